// SPDX-License-Identifier: MIT
// Input: a safetensors file; or, when it begins with '{', the index of two shards that are there.
#include "fuzz.h"

#include "io/weights.h"

#include <stdbool.h>
#include <string.h>

static void read_file(const uint8_t *data, size_t size) {
    struct tt_safetensors *file;
    struct tt_error error = {0};
    enum tt_status status = tt_safetensors_open_memory("fuzz", data, size, &file, &error);
    must_explain(status, error);
    must(!status == (file != NULL));
    if (status) return;
    size_t total = 0;
    for (size_t i = 0; i < tt_safetensors_count(file); i++) {
        const struct tt_view *view = tt_safetensors_at(file, i);
        must(tt_safetensors_find(file, view->name) == view);
        must(tt_shape_count(&view->shape) * tt_dtype_size(view->dtype) == view->bytes);
        const uint8_t *begin = view->data;
        must(begin >= data && begin + view->bytes <= data + size);
        total += view->bytes;
        float last;
        bool floats = view->dtype == TT_F32 || view->dtype == TT_F16 || view->dtype == TT_BF16;
        if (floats && view->bytes) tt_view_floats(view, tt_shape_count(&view->shape) - 1, 1, &last);
    }
    must(total <= size);
    tt_safetensors_metadata(file, "format");
    tt_safetensors_close(file);
}

// One shard of two floats each, called tensor.
static size_t make_shard(const char *tensor, unsigned char *out) {
    char header[128];
    int length = snprintf(header, sizeof header,
                          "{\"%s\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
                          tensor);
    memset(out, 0, 16 + (size_t)length);
    out[0] = (unsigned char)length;
    memcpy(out + 8, header, (size_t)length);
    return 16 + (size_t)length;
}

static void read_weights(const uint8_t *data, size_t size) {
    static unsigned char shards[3][256];
    const unsigned char *ends[3];
    static const char *const names[] = {"a.weight", "text_model.b.to_q.bias", "a.weight"};
    for (int i = 0; i < 3; i++) ends[i] = shards[i] + make_shard(names[i], shards[i]);
    const struct tt_embedded_file files[] = {
        {"unet/model.safetensors.index.json", data, data + size},
        {"unet/1.safetensors", shards[0], ends[0]},
        {"unet/2.safetensors", shards[1], ends[1]},
        {"unet/3.safetensors", shards[2], ends[2]},
    };
    struct tt_folder *folder;
    struct tt_weights *weights;
    struct tt_error error = {0};
    must(!tt_folder_open_embedded("fuzz", files, sizeof files / sizeof *files, &folder, &error));
    enum tt_status status = tt_weights_open(folder, "unet", &weights, &error);
    must_explain(status, error);
    must(!status == (weights != NULL));
    for (size_t i = 0; !status && i < tt_weights_count(weights); i++)
        must(tt_weights_expect(weights, tt_weights_at(weights, i)->name));
    if (!status) must(!tt_weights_note_unused(weights));
    tt_weights_close(weights);
    tt_folder_close(folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size && *data == '{')
        read_weights(data, size);
    else
        read_file(data, size);
    return 0;
}
