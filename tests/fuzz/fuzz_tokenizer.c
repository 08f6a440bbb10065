// SPDX-License-Identifier: MIT
// Input: the files of a tokenizer, separated by 0x1e (record separator), in the order below; an
// empty one is not there. A tokenizer that opens encodes a text with the contents of the last part.
#include "fuzz.h"

#include "text/tokenizer.h"

#include <string.h>

static const char *const names[] = {
    "tokenizer/tokenizer.json",        "tokenizer/vocab.json",
    "tokenizer/merges.txt",            "tokenizer/tokenizer_config.json",
    "tokenizer/special_tokens_map.json", "tokenizer/added_tokens.json",
};
enum { FILES = sizeof names / sizeof *names, MAX = 12 };

static void use(const struct tt_tokenizer *tokenizer, const char *text) {
    int32_t ids[MAX];
    size_t used;
    struct tt_error error = {0};
    enum tt_status status = tt_tokenizer_encode(tokenizer, text, ids, MAX, &used, &error);
    must_explain(status, error);
    if (status) return;
    must(used >= 2 && ids[0] == tt_tokenizer_start(tokenizer));
    char bytes[8];
    for (int i = 0; i < MAX; i++) {
        must(ids[i] >= 0 && ids[i] < tt_tokenizer_size(tokenizer));
        tt_tokenizer_token(tokenizer, ids[i]);
        tt_tokenizer_text(tokenizer, ids[i], bytes, sizeof bytes);
        must(strlen(bytes) < sizeof bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tt_embedded_file files[FILES];
    struct tt_folder *folder;
    struct tt_tokenizer *tokenizer;
    struct tt_error error = {0};
    size_t count = 0;
    const uint8_t *at = data, *end = data + size;
    for (int i = 0; i < FILES && at < end; i++) {
        const uint8_t *stop = memchr(at, 0x1e, (size_t)(end - at));
        if (!stop) stop = end;
        if (stop > at) files[count++] = (struct tt_embedded_file){names[i], at, stop};
        at = stop + (stop < end);
    }
    if (!count) return 0;
    must(!tt_folder_open_embedded("fuzz", files, count, &folder, &error));
    enum tt_status status = tt_tokenizer_open(folder, "tokenizer", &tokenizer, &error);
    must_explain(status, error);
    must(!status == (tokenizer != NULL));
    if (!status) {
        use(tokenizer, "A lighthouse<|endoftext|> at  sunset, isn't it? 42 \xc3\x89t\xc3\xa9");
        size_t length = (size_t)(files[count - 1].end - files[count - 1].begin);
        char *text = malloc(length + 1);
        must(text);
        memcpy(text, files[count - 1].begin, length);
        text[length] = 0;
        use(tokenizer, text);
        free(text);
    }
    tt_tokenizer_close(tokenizer);
    tt_folder_close(folder);
    return 0;
}
