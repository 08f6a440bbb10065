// SPDX-License-Identifier: MIT
// A file that is being written beside its place: what the files of the writer share.
#ifndef TT_IO_WRITER_DRAFT_H
#define TT_IO_WRITER_DRAFT_H

#include "io/writer.h"

// Characters of the name of an unfinished file.
enum { TT_DRAFT_NAME = 34 };

struct tt_draft {
    int fd; // -1: none
    char path[PATH_MAX + TT_DRAFT_NAME + 2];
    struct tt_place place; // to be found by tt_place_find() before
    bool is_key;
};

// An empty file under a name of its own; everything but the name that it will have; and that name.
// After an error there is no draft. path: as the caller calls the file.
enum tt_status tt_draft_begin(struct tt_files *files, const char *path, struct tt_draft *draft,
                              struct tt_error *err);
enum tt_status tt_draft_flush(struct tt_draft *draft, const char *path, struct tt_error *err);
enum tt_status tt_draft_write(struct tt_files *files, const char *path,
                              const struct tt_span *spans, size_t count, struct tt_draft *draft,
                              struct tt_error *err);
enum tt_status tt_draft_name(struct tt_files *files, struct tt_draft *draft, struct tt_error *err);
// Removes it, if there is one.
void tt_draft_drop(struct tt_draft *draft);

// All bytes, or false and errno. A rename reaches the disk with its folder.
bool tt_write_all(int fd, const void *data, size_t size);
void tt_sync_folder(const char *folder);
// "PATH: cannot write: ..." for an errno.
enum tt_status tt_cannot_write(const char *path, int error, struct tt_error *err);

#endif
