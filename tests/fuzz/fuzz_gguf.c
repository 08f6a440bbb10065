// SPDX-License-Identifier: MIT
// Input: a GGUF file. Views lie in it and apart; each name is found, each last element read.
#include "fuzz.h"

#include "io/tensor_file.h"

#include <stdbool.h>
#include <string.h>

static void look_at(const struct tt_tensor_file *file, const struct tt_view *view,
                    const uint8_t *data, size_t size) {
    size_t n = tt_shape_count(&view->shape), block = tt_dtype_block(view->dtype);
    must(tt_tensor_file_find(file, view->name) == view);
    must(block && n % block == 0 && n / block * tt_dtype_block_size(view->dtype) == view->bytes);
    const uint8_t *begin = view->data;
    must(begin >= data && begin + view->bytes <= data + size);
    float last[3];
    if (n) tt_view_floats(view, n - 1, 1, last);
    if (n > 2) tt_view_floats(view, n / 2 - 1, 3, last);
    tt_view_floats(view, n, 1, last);
    must(last[0] != last[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tt_tensor_file *file;
    struct tt_error error = {0};
    static const char *const keys[] = {"general.architecture", "general.alignment", "a", ""};
    if (size < 4 || memcmp(data, "GGUF", 4)) return 0; // fuzz_safetensors does the others
    enum tt_status status = tt_tensor_file_open_memory("fuzz", data, size, &file, &error);
    must_explain(status, error);
    must(!status == (file != NULL));
    if (status) return 0;
    must(tt_tensor_file_is_gguf(file));
    const char *before = NULL;
    size_t total = 0;
    for (size_t i = 0; i < tt_tensor_file_count(file); i++) {
        const struct tt_view *view = tt_tensor_file_at(file, i);
        must(!before || strcmp(before, view->name) < 0);
        before = view->name;
        total += view->bytes;
        look_at(file, view, data, size);
    }
    must(total <= size);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        tt_tensor_file_metadata(file, keys[i]);
    tt_tensor_file_close(file);
    return 0;
}
