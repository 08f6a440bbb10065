// SPDX-License-Identifier: MIT
// Whether an output can be written, asked before the work.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "io/writer.h"

enum tt_status tt_files_plan(struct tt_files *files, const char *path, struct tt_error *err) {
    struct tt_place place;
    struct stat folder;
    bool asked;
    enum tt_status status = tt_place_find(path, &place, err);
    if (status) return status;
    if (place.exists && faccessat(AT_FDCWD, place.target, W_OK, AT_EACCESS))
        return tt_fail(err, tt_status_of_errno(errno), "%s: cannot write: %s", path,
                       strerror(errno));
    if (place.special) return TT_OK;
    if (stat(place.folder, &folder)) return tt_cannot_create(path, errno, err);
    // Where a folder is everybody's, only the owner may replace a file.
    if (place.exists && folder.st_mode & S_ISVTX && geteuid() != 0 &&
        geteuid() != place.info.st_uid && geteuid() != folder.st_uid)
        return tt_fail(err, TT_BAD_INPUT, "%s: cannot write: it is somebody else's", path);
    status = tt_files_remember(files, path, &place, &folder, &asked, err);
    return status || asked ? status : tt_folder_probe(place.folder, path, err);
}
