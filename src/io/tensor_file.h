// SPDX-License-Identifier: MIT
// A file of named tensors, whatever its format: safetensors or GGUF, told apart by how it begins.
#ifndef TT_IO_TENSOR_FILE_H
#define TT_IO_TENSOR_FILE_H

#include "io/file.h"

struct tt_tensor_file;

// Maps the file at path and checks its whole header, as tt_safetensors_open() or
// tt_gguf_open_memory() does. TT_BAD_INPUT names the file and the tensor or key.
enum tt_status tt_tensor_file_open(struct tt_files *files, const char *path,
                                   struct tt_tensor_file **out, struct tt_error *err);
// The same on size borrowed bytes; name stands for the file in messages.
enum tt_status tt_tensor_file_open_memory(const char *name, const void *data, size_t size,
                                          struct tt_tensor_file **out, struct tt_error *err);
void tt_tensor_file_close(struct tt_tensor_file *file);

// Its format: GGUF, or else safetensors; and what messages call it.
bool tt_tensor_file_is_gguf(const struct tt_tensor_file *file);
const char *tt_tensor_file_name(const struct tt_tensor_file *file);
// The mapped file; borrowed bytes are TT_BYTES_BORROWED.
const struct tt_bytes *tt_tensor_file_bytes(const struct tt_tensor_file *file);

// Tensors in the order of their names (bytewise), NULL at the end. Views and names live until
// close.
size_t tt_tensor_file_count(const struct tt_tensor_file *file);
const struct tt_view *tt_tensor_file_at(const struct tt_tensor_file *file, size_t index);
// NULL when there is no such tensor.
const struct tt_view *tt_tensor_file_find(const struct tt_tensor_file *file, const char *name);
// The value of a `__metadata__` key, or of one of GGUF's as text; NULL: none, or a list.
const char *tt_tensor_file_metadata(const struct tt_tensor_file *file, const char *key);

#endif
