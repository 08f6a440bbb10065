// SPDX-License-Identifier: MIT
#include "io/tensor_file.h"

#include <stdlib.h>

#include "io/gguf.h"

// One of the two is not NULL.
struct tt_tensor_file {
    struct tt_bytes bytes;
    struct tt_safetensors *safetensors;
    struct tt_gguf *gguf;
};

static enum tt_status open_bytes(const char *name, struct tt_bytes bytes,
                                 struct tt_tensor_file **out, struct tt_error *err) {
    *out = NULL;
    struct tt_tensor_file *file = calloc(1, sizeof *file);
    if (!file) {
        tt_bytes_free(&bytes);
        return tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
    }
    file->bytes = bytes;
    enum tt_status status =
        tt_is_gguf(bytes.data, bytes.size)
            ? tt_gguf_open_memory(name, bytes.data, bytes.size, &file->gguf, err)
            : tt_safetensors_open_memory(name, bytes.data, bytes.size, &file->safetensors, err);
    if (status)
        tt_tensor_file_close(file);
    else
        *out = file;
    return status;
}

enum tt_status tt_tensor_file_open(struct tt_files *files, const char *path,
                                   struct tt_tensor_file **out, struct tt_error *err) {
    *out = NULL;
    struct tt_bytes bytes;
    enum tt_status status = tt_file_map(files, path, &bytes, err);
    return status ? status : open_bytes(path, bytes, out, err);
}

enum tt_status tt_tensor_file_open_memory(const char *name, const void *data, size_t size,
                                          struct tt_tensor_file **out, struct tt_error *err) {
    return open_bytes(name, (struct tt_bytes){.data = data, .size = size}, out, err);
}

void tt_tensor_file_close(struct tt_tensor_file *file) {
    if (!file) return;
    tt_safetensors_close(file->safetensors);
    tt_gguf_close(file->gguf);
    tt_bytes_free(&file->bytes);
    free(file);
}

bool tt_tensor_file_is_gguf(const struct tt_tensor_file *file) {
    return file->gguf != NULL;
}

const char *tt_tensor_file_name(const struct tt_tensor_file *file) {
    return file->gguf ? tt_gguf_name(file->gguf) : tt_safetensors_name(file->safetensors);
}

const struct tt_bytes *tt_tensor_file_bytes(const struct tt_tensor_file *file) {
    return &file->bytes;
}

size_t tt_tensor_file_count(const struct tt_tensor_file *file) {
    return file->gguf ? tt_gguf_count(file->gguf) : tt_safetensors_count(file->safetensors);
}

const struct tt_view *tt_tensor_file_at(const struct tt_tensor_file *file, size_t index) {
    return file->gguf ? tt_gguf_at(file->gguf, index) : tt_safetensors_at(file->safetensors, index);
}

const struct tt_view *tt_tensor_file_find(const struct tt_tensor_file *file, const char *name) {
    return file->gguf ? tt_gguf_find(file->gguf, name)
                      : tt_safetensors_find(file->safetensors, name);
}

const char *tt_tensor_file_metadata(const struct tt_tensor_file *file, const char *key) {
    return file->gguf ? tt_gguf_metadata(file->gguf, key)
                      : tt_safetensors_metadata(file->safetensors, key);
}
