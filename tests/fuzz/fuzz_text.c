// SPDX-License-Identifier: MIT
// Input: a prompt, for a tokenizer that stays open.
#include "fuzz.h"

#include "text/tokenizer.h"

#include <string.h>

enum { MAX = 77 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct tt_folder *folder;
    static struct tt_tokenizer *tokenizer;
    struct tt_error error = {0};
    if (!tokenizer) {
        must(!tt_folder_open("reference/tiny/sd15", &folder, &error));
        must(!tt_tokenizer_open(folder, "tokenizer", &tokenizer, &error));
    }
    char *text = malloc(size + 1);
    must(text);
    memcpy(text, data, size);
    text[size] = 0;
    int32_t ids[MAX], few[2];
    size_t used = 0, again = 0;
    enum tt_status status = tt_tokenizer_encode(tokenizer, text, ids, MAX, &used, &error);
    must_explain(status, error);
    if (!status) {
        must(used >= 2 && ids[0] == tt_tokenizer_start(tokenizer));
        for (size_t i = 0; i < MAX; i++) {
            must(ids[i] >= 0 && ids[i] < tt_tokenizer_size(tokenizer));
            if (i + 1 >= used) must(ids[i] == tt_tokenizer_padding(tokenizer));
        }
        must(ids[MAX - 1] == tt_tokenizer_end(tokenizer));
        must(!tt_tokenizer_encode(tokenizer, text, few, 2, &again, &error));
        must(again == used && few[0] == ids[0] && few[1] == ids[MAX - 1]);
    }
    free(text);
    return 0;
}
