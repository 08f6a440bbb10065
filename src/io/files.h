// SPDX-License-Identifier: MIT
// What a piece of work reads and writes (struct tt_files of tintype.h), below the public interface.
#ifndef TT_IO_FILES_H
#define TT_IO_FILES_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "base/poll.h"
#include "base/status.h"

// Where a path leads.
struct tt_place {
    char target[PATH_MAX]; // the file that the path names, over any links
    char folder[PATH_MAX]; // that it is in
    struct stat info;      // of the file, if it exists
    bool exists;
    bool special; // a device or a pipe: written straight, under the path as given
};

// Whether an errno says that the user named an impossible path (TT_BAD_INPUT), or that the system
// let us down.
enum tt_status tt_status_of_errno(int error);

// "PATH: cannot create: ..." for an errno.
enum tt_status tt_cannot_create(const char *path, int error, struct tt_error *err);

// Follows links to the file that path names, or will name: a dangling link names one, too.
// TT_BAD_INPUT: an empty or impossible path, a folder.
enum tt_status tt_place_find(const char *path, struct tt_place *place, struct tt_error *err);

// The file that was opened at path is read. All take NULL for files, and then know nothing.
enum tt_status tt_files_note(struct tt_files *files, const char *path, const struct stat *info,
                             struct tt_error *err);
// TT_BAD_INPUT when the place is one that was read, or another one of the outputs.
enum tt_status tt_files_check(struct tt_files *files, const char *path,
                              const struct tt_place *place, struct tt_error *err);
// Remembers an output, whose folder that is. *asked: whether that folder was asked before.
// TT_BAD_INPUT as above, or when another output names that file already, in whatever way.
enum tt_status tt_files_remember(struct tt_files *files, const char *path,
                                 const struct tt_place *place, const struct stat *folder,
                                 bool *asked, struct tt_error *err);
// The file is written now, and of this identity.
enum tt_status tt_files_wrote(struct tt_files *files, const struct tt_place *place,
                              const struct stat *info, struct tt_error *err);
// Whether the file at the place is one that tt_files_wrote() was told of.
bool tt_files_is_own(struct tt_files *files, const struct tt_place *place);

// Whom long reading asks whether to go on; NULL for NULL.
const struct tt_poll *tt_files_poll(const struct tt_files *files);

#endif
