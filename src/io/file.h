// SPDX-License-Identifier: MIT
// Whole files: mapped for reading, written beside their name and renamed.
#ifndef TT_IO_FILE_H
#define TT_IO_FILE_H

#include "base/status.h"

// Borrowed bytes.
struct tt_span {
    const void *data;
    size_t size;
};

// The bytes of one file: mapped from disk, or borrowed from the binary.
struct tt_bytes {
    const unsigned char *data; // never NULL after success, also for an empty file
    size_t size;
    int mapped;
};

// Maps the regular file at path, read-only. TT_BAD_INPUT when it is missing, unreadable or no
// regular file; TT_SYSTEM when the mapping fails.
enum tt_status tt_file_map(const char *path, struct tt_bytes *out, struct tt_error *err);

// Unmaps what was mapped, and empties bytes.
void tt_bytes_free(struct tt_bytes *bytes);

// Writes the spans one after another as the file at path: into a temporary beside it, flushed to
// disk, renamed. A failure leaves the old file, or none. A path that exists and is no regular file
// (a pipe, a device) is written straight. TT_BAD_INPUT when no file can be made at path, TT_SYSTEM
// when writing fails.
enum tt_status tt_file_write(const char *path, const struct tt_span *spans, size_t count,
                             struct tt_error *err);

#endif
