// SPDX-License-Identifier: MIT
// The safetensors format: 8 bytes header length (little-endian), a JSON header, then the data of
// all tensors without gaps. Source: the format section of the safetensors README.
#ifndef TT_IO_SAFETENSORS_H
#define TT_IO_SAFETENSORS_H

#include "base/shape.h"
#include "base/status.h"

struct tt_safetensors;

// Maps and checks the whole header of the file at path: length, JSON, keys, dtypes, shapes against
// byte ranges, and that the ranges cover the data exactly (no overlap, no hole, no rest).
// TT_BAD_INPUT names the file and the tensor.
enum tt_status tt_safetensors_open(const char *path, struct tt_safetensors **out,
                                   struct tt_error *err);
// The same on size borrowed bytes; name stands for the file in messages.
enum tt_status tt_safetensors_open_memory(const char *name, const void *data, size_t size,
                                          struct tt_safetensors **out, struct tt_error *err);
void tt_safetensors_close(struct tt_safetensors *file);

// Tensors in the order of their names (bytewise). Views and names live until close.
size_t tt_safetensors_count(const struct tt_safetensors *file);
const struct tt_view *tt_safetensors_at(const struct tt_safetensors *file, size_t index);
// NULL when there is no such tensor.
const struct tt_view *tt_safetensors_find(const struct tt_safetensors *file, const char *name);
// The value of a `__metadata__` key, or NULL.
const char *tt_safetensors_metadata(const struct tt_safetensors *file, const char *key);
const char *tt_safetensors_name(const struct tt_safetensors *file);

// Writes the views as one file, beside its name and renamed. Tensors are laid out as the reference
// writer does: by element size downwards, then by name; the header is padded with spaces to a
// multiple of 8. metadata is NULL, or keys and values in turn ending with NULL. TT_BAD_INPUT when a
// name is used twice or is no UTF-8, or when bytes and shape of a view disagree.
enum tt_status tt_safetensors_write(const char *path, const struct tt_view *views, size_t count,
                                    const char *const *metadata, struct tt_error *err);

#endif
