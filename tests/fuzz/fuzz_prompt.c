// SPDX-License-Identifier: MIT
// Input: a byte that chooses, then a prompt in webui's or in compel's syntax, taken apart and put
// into chunks; or the bytes of a file of textual inversion.
#include "fuzz.h"

#include "text/chunks.h"

#include <math.h>
#include <string.h>

enum { LENGTH = 77, WIDTH = 4 };

static struct tt_tokenizer *tokenizer;
static const struct tt_chunker *chunker(void) {
    static struct tt_chunker c = {.what = "prompt", .length = LENGTH, .most = 40};
    c.tokenizer = tokenizer;
    return &c;
}

static void check_chunks(const struct tt_chunks *chunks) {
    must(chunks->count && chunks->length == LENGTH);
    for (size_t i = 0; i < chunks->count * LENGTH; i++) {
        must(isfinite(chunks->weights[i]));
        must(chunks->ids[i] >= 0 && chunks->ids[i] < tt_tokenizer_size(tokenizer));
        if (i % LENGTH == 0) must(chunks->ids[i] == tt_tokenizer_start(tokenizer));
        if (i % LENGTH == 0) must(!(chunks->weights[i] < 1) && !(chunks->weights[i] > 1));
    }
    for (size_t i = 0; i < chunks->weak_count; i++)
        must(chunks->weak[i].begin < chunks->weak[i].end &&
             chunks->weak[i].end < chunks->count * LENGTH && chunks->weak[i].weight < 1);
}

static void check_list(const struct tt_fragments *list, bool compel) {
    struct tt_chunks chunks;
    struct tt_error error = {0};
    for (size_t i = 0; i < list->count; i++) must(isfinite(list->data[i].weight));
    enum tt_status status = compel ? tt_chunks_compel(chunker(), list, &chunks, &error)
                                   : tt_chunks_webui(chunker(), list, &chunks, &error);
    must_explain(status, error);
    if (!status) check_chunks(&chunks);
    tt_chunks_free(&chunks);
}

static void use_webui(const char *text) {
    struct tt_fragments list;
    struct tt_error error = {0};
    enum tt_status status = tt_prompt_webui("prompt", text, &list, &error);
    must_explain(status, error);
    must(!status == (list.count > 0));
    if (!status) check_list(&list, false);
    tt_fragments_free(&list);
}

static void use_compel(const char *text) {
    struct tt_compel prompt;
    struct tt_error error = {0};
    enum tt_status status = tt_prompt_compel("prompt", text, &prompt, &error);
    must_explain(status, error);
    must(!status == (prompt.count > 0));
    for (size_t i = 0; i < prompt.count; i++) {
        must(prompt.parts[i].count && isfinite(prompt.parts[i].weight));
        for (size_t j = 0; j < prompt.parts[i].count; j++)
            check_list(&prompt.parts[i].texts[j], true);
    }
    tt_compel_free(&prompt);
}

static void use_file(const uint8_t *data, size_t size, bool pair) {
    struct tt_safetensors *file;
    struct tt_error error = {0};
    if (tt_safetensors_open_memory("fuzz", data, size, &file, &error)) return;
    struct tt_inversions list = {.tokenizer = tokenizer, .longest = LENGTH - 2};
    list.widths[0] = WIDTH;
    list.widths[1] = pair ? WIDTH + 1 : 0;
    struct tt_inversion one = {.path = "fuzz"};
    list.data = &one;
    enum tt_status status = tt_inversion_take(&list, file, &one, &error);
    must_explain(status, error);
    if (!status) {
        must(one.vectors && one.vectors <= LENGTH - 2 && list.vectors == one.vectors);
        for (size_t i = 0; i < one.vectors; i++) {
            int32_t id = TT_INVERSION_ID + (int32_t)i;
            must(isfinite(tt_inversions_row(&list, id, 0)[WIDTH - 1]));
            if (pair) must(isfinite(tt_inversions_row(&list, id, 1)[WIDTH]));
        }
    }
    for (size_t i = 0; i < TT_ENCODERS; i++) free(one.rows[i]);
    free(list.owners);
    tt_safetensors_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct tt_folder *folder;
    struct tt_error error = {0};
    if (!tokenizer) {
        must(!tt_folder_open("reference/tiny/sd15", &folder, &error));
        must(!tt_tokenizer_open(folder, "tokenizer", &tokenizer, &error));
    }
    if (!size) return 0;
    char *text = malloc(size);
    must(text);
    memcpy(text, data + 1, size - 1);
    text[size - 1] = 0;
    switch (data[0] % 4) {
    case 0: use_webui(text); break;
    case 1: use_compel(text); break;
    default: use_file(data + 1, size - 1, data[0] % 4 == 3);
    }
    free(text);
    return 0;
}
