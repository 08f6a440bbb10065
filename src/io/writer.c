// SPDX-License-Identifier: MIT
#include "io/writer_draft.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/text.h"

// ---- names of what is unfinished ----

// ".tintype-" RANDOM CHECKSUM ".part", in hexadecimal digits.
enum { RANDOM = 12, CHECK = 8, NAME = TT_DRAFT_NAME };
static const char head[] = ".tintype-", tail[] = ".part";
enum { HEAD = sizeof head - 1, TAIL = sizeof tail - 1 };
_Static_assert(NAME == HEAD + RANDOM + CHECK + TAIL, "names of drafts");

static uint32_t check_of(const char *random) {
    uLong sum = crc32(crc32(0, (const Bytef *)head, HEAD), (const Bytef *)random, RANDOM);
    return (uint32_t)sum;
}

static bool new_name(char name[NAME + 1]) {
    unsigned char bytes[RANDOM / 2];
    char random[RANDOM + 1];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) return false;
    tt_text_hex(bytes, sizeof bytes, random);
    snprintf(name, NAME + 1, "%s%s%08x%s", head, random, (unsigned)check_of(random), tail);
    return true;
}

bool tt_is_unfinished(const char *name) {
    char check[CHECK + 1];
    if (strlen(name) != NAME || strncmp(name, head, HEAD) ||
        strcmp(name + HEAD + RANDOM + CHECK, tail))
        return false;
    snprintf(check, sizeof check, "%08x", (unsigned)check_of(name + HEAD));
    return !memcmp(check, name + HEAD + RANDOM, CHECK);
}

// ---- what killed runs left ----

// Whether the unfinished file or folder that fd is open on is nobody's any more: its maker holds a
// lock while it lives.
static bool is_abandoned(int fd, struct stat *info) {
    return !fstat(fd, info) && info->st_uid == geteuid() && !flock(fd, LOCK_EX | LOCK_NB);
}

// Everything in an unfinished folder, which may hold folders of files.
static void remove_entries(int folder, int depth) {
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = copy < 0 ? NULL : fdopendir(copy);
    if (!entries && copy >= 0) close(copy);
    for (struct dirent *e; entries && (e = readdir(entries));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
        if (!unlinkat(folder, e->d_name, 0) || !depth) continue;
        int fd = openat(folder, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) continue;
        remove_entries(fd, depth - 1);
        close(fd);
        unlinkat(folder, e->d_name, AT_REMOVEDIR);
    }
    if (entries) closedir(entries);
}

static void sweep_one(int folder, const char *name) {
    struct stat info;
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return;
    if (is_abandoned(fd, &info)) {
        if (S_ISREG(info.st_mode) && info.st_nlink == 1) unlinkat(folder, name, 0);
        if (S_ISDIR(info.st_mode)) {
            remove_entries(fd, 1);
            unlinkat(folder, name, AT_REMOVEDIR);
        }
    }
    close(fd);
}

static void sweep(const char *folder) {
    DIR *entries = opendir(folder);
    for (struct dirent *e; entries && (e = readdir(entries));)
        if (tt_is_unfinished(e->d_name)) sweep_one(dirfd(entries), e->d_name);
    if (entries) closedir(entries);
}

// ---- one file ----

enum tt_status tt_cannot_write(const char *path, int error, struct tt_error *err) {
    return tt_fail(err, TT_SYSTEM, "%s: cannot write: %s", path, strerror(error));
}

void tt_draft_drop(struct tt_draft *draft) {
    if (draft->fd < 0) return;
    unlink(draft->path);
    close(draft->fd);
    draft->fd = -1;
}

// Makes an empty file or folder of a new name in the folder, locked. The lock comes after the name:
// who sweeps may have been faster, then it is tried again.
static enum tt_status make_beside(const char *folder, bool directory, mode_t mode, char *path,
                                  size_t size, int *fd, const char *asked, struct tt_error *err) {
    for (int attempt = 0; attempt < 100; attempt++) {
        char name[NAME + 1];
        struct stat info;
        if (!new_name(name)) return tt_cannot_create(asked, errno, err);
        snprintf(path, size, "%s/%s", folder, name);
        int flags = directory ? O_RDONLY | O_DIRECTORY : O_WRONLY | O_CREAT | O_EXCL;
        *fd = directory && mkdir(path, mode) ? -1
                                             : open(path, flags | O_NOFOLLOW | O_CLOEXEC, mode);
        if (*fd < 0 && errno == EEXIST) continue;
        if (*fd < 0) {
            int error = errno;
            if (directory) rmdir(path);
            return tt_cannot_create(asked, error, err);
        }
        bool locked = !flock(*fd, LOCK_EX | LOCK_NB) || errno != EWOULDBLOCK;
        int error = fstat(*fd, &info) ? errno : 0;
        if (!error && locked && info.st_nlink > 0) return TT_OK;
        if (error && (directory ? rmdir(path) : unlink(path))) error = errno;
        close(*fd);
        if (error) return tt_cannot_create(asked, error, err);
    }
    return tt_cannot_create(asked, EEXIST, err);
}

bool tt_write_all(int fd, const void *data, size_t size) {
    for (const char *at = data; size;) {
        ssize_t done = write(fd, at, size < (1u << 30) ? size : (1u << 30));
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return false;
        at += done;
        size -= (size_t)done;
    }
    return true;
}

static bool write_spans(int fd, const struct tt_span *spans, size_t count) {
    bool good = true;
    for (size_t i = 0; good && i < count; i++)
        good = tt_write_all(fd, spans[i].data, spans[i].size);
    return good;
}

// A rename reaches the disk with the folder. A file system that cannot flush a folder is no reason
// to fail.
void tt_sync_folder(const char *folder) {
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

// Another owner can be kept by root alone; the mode by everybody.
static bool keep_mode(int fd, const struct tt_place *place) {
    if (!place->exists) return true;
    if ((place->info.st_uid != geteuid() || place->info.st_gid != getegid()) &&
        fchown(fd, place->info.st_uid, place->info.st_gid))
        return !fchmod(fd, place->info.st_mode & 0777);
    return !fchmod(fd, place->info.st_mode & 07777);
}

enum tt_status tt_draft_begin(struct tt_files *files, const char *path, struct tt_draft *draft,
                              struct tt_error *err) {
    const struct tt_place *place = &draft->place;
    draft->fd = -1;
    enum tt_status status = tt_files_check(files, path, place, err);
    return status ? status
                  : make_beside(place->folder, false, place->exists ? 0600 : 0666, draft->path,
                                sizeof draft->path, &draft->fd, path, err);
}

enum tt_status tt_draft_flush(struct tt_draft *draft, const char *path, struct tt_error *err) {
    if (keep_mode(draft->fd, &draft->place) && !fsync(draft->fd)) return TT_OK;
    enum tt_status status = tt_cannot_write(path, errno, err);
    tt_draft_drop(draft);
    return status;
}

enum tt_status tt_draft_write(struct tt_files *files, const char *path,
                              const struct tt_span *spans, size_t count, struct tt_draft *draft,
                              struct tt_error *err) {
    enum tt_status status = tt_draft_begin(files, path, draft, err);
    if (status) return status;
    if (write_spans(draft->fd, spans, count)) return tt_draft_flush(draft, path, err);
    status = tt_cannot_write(path, errno, err);
    tt_draft_drop(draft);
    return status;
}

enum tt_status tt_draft_name(struct tt_files *files, struct tt_draft *draft, struct tt_error *err) {
    struct stat info;
    if (fstat(draft->fd, &info) || rename(draft->path, draft->place.target)) {
        enum tt_status status = tt_cannot_write(draft->place.target, errno, err);
        tt_draft_drop(draft);
        return status;
    }
    close(draft->fd); // flushed: nothing is left to fail
    draft->fd = -1;
    return tt_files_wrote(files, &draft->place, &info, err);
}

static enum tt_status write_straight(const char *path, const struct tt_span *spans, size_t count,
                                     struct tt_error *err) {
    int fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) return tt_cannot_create(path, errno, err);
    bool good = write_spans(fd, spans, count);
    int error = errno;
    if (close(fd) && good) good = false, error = errno;
    return good ? TT_OK : tt_cannot_write(path, error, err);
}

enum tt_status tt_file_write(struct tt_files *files, const char *path, const struct tt_span *spans,
                             size_t count, struct tt_error *err) {
    struct tt_draft draft = {.fd = -1};
    enum tt_status status = tt_place_find(path, &draft.place, err);
    if (status) return status;
    if (draft.place.special) return write_straight(path, spans, count, err);
    status = tt_draft_write(files, path, spans, count, &draft, err);
    if (!status) status = tt_draft_name(files, &draft, err);
    if (!status) tt_sync_folder(draft.place.folder);
    return status;
}

enum tt_status tt_write_file(struct tt_files *files, const char *path, const void *data,
                             size_t size, struct tt_error *err) {
    return tt_file_write(files, path, &(struct tt_span){data, size}, 1, err);
}

enum tt_status tt_files_adopt(struct tt_files *files, const char *path, struct tt_error *err) {
    struct tt_place place;
    enum tt_status status = tt_place_find(path, &place, err);
    if (status || !place.exists || place.special) return status;
    return tt_files_wrote(files, &place, &place.info, err);
}

enum tt_status tt_files_remove(struct tt_files *files, const char *path, struct tt_error *err) {
    struct tt_place place;
    enum tt_status status = tt_place_find(path, &place, err);
    if (status || !tt_files_is_own(files, &place)) return status;
    if (unlink(place.target)) return tt_cannot_write(path, errno, err);
    return TT_OK;
}

enum tt_status tt_folder_probe(const char *folder, const char *path, struct tt_error *err) {
    struct tt_draft draft = {.fd = -1};
    sweep(folder);
    enum tt_status status = make_beside(folder, false, 0600, draft.path, sizeof draft.path,
                                        &draft.fd, path, err);
    if (status) return status;
    if (unlink(draft.path))
        status = tt_fail(err, TT_SYSTEM, "%s: cannot be removed again: %s", draft.path,
                         strerror(errno));
    close(draft.fd);
    return status;
}

// ---- folders ----

enum tt_status tt_make_folder(const char *path, struct tt_error *err) {
    char part[PATH_MAX];
    size_t length = strlen(path);
    struct stat info;
    if (length >= sizeof part) return tt_fail(err, TT_BAD_INPUT, "%s: the path is too long", path);
    for (size_t i = 1; i <= length; i++) {
        if (path[i] != '/' && path[i]) continue;
        memcpy(part, path, i);
        part[i] = 0;
        int error = mkdir(part, 0777) ? errno : 0;
        if (error && error != EEXIST && stat(part, &info)) // some say so of what is there
            return tt_fail(err, tt_status_of_errno(error), "%s: no folder can be made: %s", part,
                           strerror(error));
    }
    if (stat(path, &info))
        return tt_fail(err, tt_status_of_errno(errno), "%s: %s", path, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return tt_fail(err, TT_BAD_INPUT, "%s: found a file, expected a folder", path);
    return TT_OK;
}

enum tt_status tt_file_set_aside(const char *path, char *as, struct tt_error *err) {
    struct stat info;
    *as = 0;
    if (lstat(path, &info)) {
        if (errno == ENOENT) return TT_OK;
        return tt_fail(err, tt_status_of_errno(errno), "%s: %s", path, strerror(errno));
    }
    for (int n = 1; n < 1000; n++) {
        char number[16] = "";
        if (n > 1) snprintf(number, sizeof number, "-%d", n);
        if (snprintf(as, PATH_MAX, "%s.before-training%s", path, number) >= PATH_MAX)
            return tt_fail(err, TT_BAD_INPUT, "%s: the path is too long", path);
        // Never over another one.
        if (!renameat2(AT_FDCWD, path, AT_FDCWD, as, RENAME_NOREPLACE)) return TT_OK;
        if (errno == EINVAL && lstat(as, &info) && !rename(path, as)) return TT_OK;
        if (errno != EEXIST) break;
    }
    return tt_fail(err, tt_status_of_errno(errno), "%s: cannot be moved aside: %s", path,
                   strerror(errno));
}

struct tt_new_folder {
    char *path, beside[PATH_MAX + NAME + 2];
    int fd;
};

enum tt_status tt_new_folder_begin(const char *path, struct tt_new_folder **out,
                                   struct tt_error *err) {
    char parent[PATH_MAX];
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    if (!length || length >= sizeof parent)
        return tt_fail(err, TT_BAD_INPUT, "path of %zu bytes, expected 1 to %d", length, PATH_MAX);
    struct tt_new_folder *folder = calloc(1, sizeof *folder);
    if (folder) folder->path = strndup(path, length);
    if (!folder || !folder->path) {
        free(folder);
        return tt_fail(err, TT_SYSTEM, "%s: out of memory", path);
    }
    snprintf(parent, sizeof parent, "%s", folder->path);
    char *slash = strrchr(parent, '/');
    if (!slash) strcpy(parent, ".");
    else slash[slash == parent] = 0;
    // What is there must be an empty folder, or rename() would refuse when all is done.
    DIR *there = opendir(folder->path);
    int error = there ? 0 : errno, entries = 0;
    while (there && readdir(there)) entries++;
    if (there) closedir(there);
    struct stat info;
    bool other = (error == ENOENT || error == ENOTDIR) && !lstat(folder->path, &info);
    enum tt_status status = TT_OK;
    if (entries > 2 || other)
        status = tt_fail(err, TT_BAD_INPUT, "%s: found %s, expected no folder or an empty one",
                         path, there ? "files in it" : "something else");
    else if (error && error != ENOENT) status = tt_cannot_create(path, error, err);
    if (!status) sweep(parent);
    if (!status)
        status = make_beside(parent, true, 0777, folder->beside, sizeof folder->beside,
                             &folder->fd, path, err);
    if (status) {
        free(folder->path);
        free(folder);
        return status;
    }
    *out = folder;
    return TT_OK;
}

const char *tt_new_folder_path(const struct tt_new_folder *folder) {
    return folder->beside;
}

enum tt_status tt_new_folder_end(struct tt_new_folder *folder, bool keep, struct tt_error *err) {
    enum tt_status status = TT_OK;
    if (!folder) return TT_OK;
    if (keep && fsync(folder->fd) && errno != EINVAL)
        status = tt_cannot_write(folder->path, errno, err);
    if (keep && !status && rename(folder->beside, folder->path)) {
        bool taken = errno == EEXIST || errno == ENOTEMPTY || errno == ENOTDIR;
        status = tt_fail(err, tt_status_of_errno(errno), "%s: %s: %s", folder->path,
                         taken ? "found something there, expected no folder or an empty one"
                               : "cannot be given its name", strerror(errno));
    }
    if (!keep || status) {
        remove_entries(folder->fd, 1);
        rmdir(folder->beside);
    }
    close(folder->fd);
    free(folder->path);
    free(folder);
    return status;
}
