// SPDX-License-Identifier: MIT
// Digests of tensors: whether bytes are still those that were written.
#ifndef TT_IO_DIGEST_H
#define TT_IO_DIGEST_H

#include "base/status.h"

enum { TT_DIGEST_SIZE = 65 }; // hexadecimal digits and the end

// SHA-256 over the names, types, shapes and data of the views in their order: the digest of each,
// made by several threads, then of these.
enum tt_status tt_views_digest(const struct tt_view *views, size_t count, int threads,
                               char text[TT_DIGEST_SIZE], struct tt_error *err);

// SHA-256 of size bytes.
void tt_bytes_digest(const void *data, size_t size, char text[TT_DIGEST_SIZE]);

#endif
