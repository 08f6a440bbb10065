// SPDX-License-Identifier: MIT
// The GGUF format, versions 2 and 3, little-endian: "GGUF", version (4 bytes), how many tensors and
// how many keys (8 each); the keys: name, type, value; the tensors: name, how many dimensions (4),
// these (8 each, the fastest first), dtype (4), offset (8); then, from the next multiple of
// general.alignment on, the data. A string is its length (8) and its bytes. Sources: ggml's
// docs/gguf.md, and gguf.gguf_reader of the Python package gguf 0.19.
#ifndef TT_IO_GGUF_H
#define TT_IO_GGUF_H

#include <stdbool.h>

#include "tintype.h"

struct tt_gguf;

// Whether the bytes begin as such a file does.
bool tt_is_gguf(const void *data, size_t size);

// Checks the whole header of size borrowed bytes, and that each tensor lies in the data, aligned,
// and overlaps no other; name stands for the file in messages. Shapes are in PyTorch's order; where
// ComfyUI stored a tensor flat and its shape under comfy.gguf.orig_shape.NAME, that. TT_BAD_INPUT
// names the file, and the key or tensor.
enum tt_status tt_gguf_open_memory(const char *name, const void *data, size_t size,
                                   struct tt_gguf **out, struct tt_error *err);
void tt_gguf_close(struct tt_gguf *file);

// As those of safetensors files: in the order of names, NULL at the end.
size_t tt_gguf_count(const struct tt_gguf *file);
const struct tt_view *tt_gguf_at(const struct tt_gguf *file, size_t index);
const struct tt_view *tt_gguf_find(const struct tt_gguf *file, const char *name);
// The value of a key as text: a string as it is, a number or boolean in digits or as true, false;
// NULL: there is no such key, or it holds a list.
const char *tt_gguf_metadata(const struct tt_gguf *file, const char *key);
const char *tt_gguf_name(const struct tt_gguf *file);

#endif
