// SPDX-License-Identifier: MIT
// Whole files, for reading: read into memory, or mapped where they are large and read in places.
#ifndef TT_IO_FILE_H
#define TT_IO_FILE_H

#include <stdbool.h>

#include "base/status.h"

// The bytes of one file: mapped from disk, read, or borrowed from the binary.
struct tt_bytes {
    const unsigned char *data; // never NULL after success, also for an empty file
    size_t size;
    enum { TT_BYTES_BORROWED, TT_BYTES_MAPPED, TT_BYTES_READ } kind;
    int fd; // of a file that is mapped
};

// No file of which all is wanted at once is larger than this.
enum { TT_FILE_MOST = 1 << 30 };

// Reads the regular file at path. The bytes are ours: what others do to the file does not matter
// any more. Asks files (what is read is noted there; may be NULL) whether to go on. TT_BAD_INPUT
// when the file is missing, unreadable, no regular file or larger than TT_FILE_MOST.
enum tt_status tt_file_read(struct tt_files *files, const char *path, struct tt_bytes *out,
                            struct tt_error *err);
// Maps it, read-only, at any size: for weights. TT_SYSTEM when the mapping fails. A file that is
// cut short while it is mapped raises SIGBUS.
enum tt_status tt_file_map(struct tt_files *files, const char *path, struct tt_bytes *out,
                           struct tt_error *err);

// Whether a mapped file still holds all of its bytes: where it is cut within the last page that is
// left, zeros are read and no signal comes. Others are whole.
bool tt_bytes_are_whole(const struct tt_bytes *bytes);

// Lets go of the memory that holds a part of a mapped file, until it is read again: what has been
// read, or laid out elsewhere, need not stay. Whole pages; a small part is left, and so are bytes
// that are not mapped.
void tt_bytes_release(const struct tt_bytes *bytes, const void *part, size_t size);

// Frees or unmaps, and empties bytes.
void tt_bytes_free(struct tt_bytes *bytes);

#endif
