// SPDX-License-Identifier: MIT
#include "io/files.h"

#include <errno.h>
#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum kind { READ, PLANNED, WRITTEN, PROBED };

// A file by device and inode; one that is not there yet by its folder's, and its name in there.
struct record {
    enum kind kind;
    dev_t device;
    ino_t inode;
    char *name; // PLANNED and not there: within the folder; else NULL
    char *path; // under which it was read or is written
};

struct tt_files {
    pthread_mutex_t lock;
    void *records; // a tree (tsearch)
    struct tt_poll poll;
};

static int compare(const void *a, const void *b) {
    const struct record *x = a, *y = b;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    if (x->device != y->device) return x->device < y->device ? -1 : 1;
    if (x->inode != y->inode) return x->inode < y->inode ? -1 : 1;
    return strcmp(x->name ? x->name : "", y->name ? y->name : "");
}

static void free_record(void *record) {
    free(((struct record *)record)->name);
    free(((struct record *)record)->path);
    free(record);
}

enum tt_status tt_files_new(int (*cancelled)(void *context), void *context, struct tt_files **out,
                            struct tt_error *err) {
    struct tt_files *files = calloc(1, sizeof *files);
    if (!files) return tt_fail(err, TT_SYSTEM, "out of memory");
    pthread_mutex_init(&files->lock, NULL);
    files->poll = (struct tt_poll){cancelled, context};
    *out = files;
    return TT_OK;
}

void tt_files_free(struct tt_files *files) {
    if (!files) return;
    tdestroy(files->records, free_record);
    pthread_mutex_destroy(&files->lock);
    free(files);
}

const struct tt_poll *tt_files_poll(const struct tt_files *files) {
    return files ? &files->poll : NULL;
}

// ---- the records ----

static struct record *find(struct tt_files *files, enum kind kind, dev_t device, ino_t inode,
                           const char *name) {
    struct record key = {kind, device, inode, (char *)name, NULL};
    struct record **found = tfind(&key, &files->records, compare);
    return found ? *found : NULL;
}

static void forget(struct tt_files *files, struct record *record) {
    if (!record) return;
    tdelete(record, &files->records, compare);
    free_record(record);
}

// A later record of the same file goes before an earlier one.
static enum tt_status add(struct tt_files *files, enum kind kind, dev_t device, ino_t inode,
                          const char *name, const char *path, struct tt_error *err) {
    struct record *record = calloc(1, sizeof *record);
    if (record) *record = (struct record){kind, device, inode, NULL, strdup(path)};
    if (record && name) record->name = strdup(name);
    forget(files, find(files, kind, device, inode, name));
    if (record && record->path && (!name || record->name) &&
        tsearch(record, &files->records, compare))
        return TT_OK;
    if (record) free_record(record);
    return tt_fail(err, TT_SYSTEM, "%s: out of memory", path);
}

// Inodes are used again: a record counts only while its path still leads to that file.
static const char *known(struct tt_files *files, enum kind kind, const struct stat *info) {
    struct record *record = find(files, kind, info->st_dev, info->st_ino, NULL);
    struct stat now;
    if (!record) return NULL;
    if (!stat(record->path, &now) && now.st_dev == info->st_dev && now.st_ino == info->st_ino)
        return record->path;
    forget(files, record);
    return NULL;
}

enum tt_status tt_files_note(struct tt_files *files, const char *path, const struct stat *info,
                             struct tt_error *err) {
    if (!files) return TT_OK;
    pthread_mutex_lock(&files->lock);
    enum tt_status status = TT_OK;
    if (!find(files, READ, info->st_dev, info->st_ino, NULL))
        status = add(files, READ, info->st_dev, info->st_ino, NULL, path, err);
    pthread_mutex_unlock(&files->lock);
    return status;
}

enum tt_status tt_files_read(struct tt_files *files, const char *path, struct tt_error *err) {
    struct stat info;
    if (stat(path, &info))
        return tt_fail(err, tt_status_of_errno(errno), "%s: cannot open: %s", path,
                       strerror(errno));
    return tt_files_note(files, path, &info, err);
}

// ---- where a path leads ----

enum tt_status tt_status_of_errno(int error) {
    switch (error) {
    case ENOENT: case ENOTDIR: case EISDIR: case EACCES: case EPERM: case EROFS: case ELOOP:
    case ENAMETOOLONG: case EINVAL: case EEXIST: case ENOTEMPTY: case ETXTBSY:
        return TT_BAD_INPUT;
    default:
        return TT_SYSTEM;
    }
}

enum tt_status tt_cannot_create(const char *path, int error, struct tt_error *err) {
    return tt_fail(err, tt_status_of_errno(error), "%s: cannot create: %s", path, strerror(error));
}

// The name of the file within its folder.
static const char *name_of(const char *target) {
    const char *slash = strrchr(target, '/');
    return slash ? slash + 1 : target;
}

static void folder_of(const char *target, char *folder) {
    size_t length = (size_t)(name_of(target) - target);
    if (!length) {
        strcpy(folder, ".");
        return;
    }
    memcpy(folder, target, length);
    folder[length > 1 ? length - 1 : 1] = 0;
}

// Goes from link to link until a name that is none, of a file that is not there.
static enum tt_status follow(const char *path, char *target, struct tt_error *err) {
    char link[PATH_MAX], folder[PATH_MAX];
    struct stat info;
    strcpy(target, path);
    for (int links = 0; !lstat(target, &info) && S_ISLNK(info.st_mode); links++) {
        ssize_t length = readlink(target, link, sizeof link - 1);
        if (length < 0) return tt_cannot_create(path, errno, err);
        if (links == 40) return tt_cannot_create(path, ELOOP, err);
        link[length] = 0;
        folder_of(target, folder);
        int size = *link == '/' ? snprintf(target, PATH_MAX, "%s", link)
                                : snprintf(target, PATH_MAX, "%s/%s", folder, link);
        if (size >= PATH_MAX) return tt_cannot_create(path, ENAMETOOLONG, err);
    }
    return errno == ENOENT ? TT_OK : tt_cannot_create(path, errno, err);
}

// The one name of a file that is not there yet: within the folder as realpath() has it.
static enum tt_status find_new(const char *path, char *target, struct tt_error *err) {
    char named[PATH_MAX], folder[PATH_MAX];
    enum tt_status status = follow(path, named, err);
    if (status) return status;
    const char *name = name_of(named);
    if (!*name)
        return tt_fail(err, TT_BAD_INPUT, "%s: found the name of a folder, expected that of a file "
                       "to write", path);
    folder_of(named, folder);
    if (!realpath(folder, target)) return tt_cannot_create(path, errno, err);
    size_t length = strlen(target);
    if (length + strlen(name) + 2 > PATH_MAX) return tt_cannot_create(path, ENAMETOOLONG, err);
    snprintf(target + length, PATH_MAX - length, "%s%s", length > 1 ? "/" : "", name);
    return TT_OK;
}

enum tt_status tt_place_find(const char *path, struct tt_place *place, struct tt_error *err) {
    if (!*path) return tt_fail(err, TT_BAD_INPUT, "cannot write a file with an empty name");
    if (strlen(path) >= PATH_MAX)
        return tt_fail(err, TT_BAD_INPUT, "path of %zu bytes is too long", strlen(path));
    place->exists = !stat(path, &place->info);
    if (!place->exists && errno != ENOENT) return tt_cannot_create(path, errno, err);
    if (place->exists && S_ISDIR(place->info.st_mode))
        return tt_fail(err, TT_BAD_INPUT, "%s: found a directory, expected a file to write", path);
    place->special = place->exists && !S_ISREG(place->info.st_mode);
    if (place->special) strcpy(place->target, path);
    else if (place->exists && !realpath(path, place->target))
        return tt_cannot_create(path, errno, err);
    else if (!place->exists) {
        enum tt_status status = find_new(path, place->target, err);
        if (status) return status;
    }
    folder_of(place->target, place->folder);
    return TT_OK;
}

// ---- what may be written ----

static enum tt_status look(struct tt_files *files, const char *path, const struct tt_place *place,
                           struct tt_error *err) {
    const struct stat *info = &place->info;
    const char *other = place->exists ? known(files, READ, info) : NULL;
    if (other)
        return tt_fail(err, TT_BAD_INPUT, "%s: this file is read (as %s), expected another one to "
                       "write", path, other);
    other = place->exists ? known(files, WRITTEN, info) : NULL;
    if (other && strcmp(other, place->target))
        return tt_fail(err, TT_BAD_INPUT, "%s: this file has just been written (as %s), expected "
                       "another one", path, other);
    return TT_OK;
}

enum tt_status tt_files_check(struct tt_files *files, const char *path,
                              const struct tt_place *place, struct tt_error *err) {
    if (!files || place->special) return TT_OK;
    pthread_mutex_lock(&files->lock);
    enum tt_status status = look(files, path, place, err);
    pthread_mutex_unlock(&files->lock);
    return status;
}

enum tt_status tt_files_wrote(struct tt_files *files, const struct tt_place *place,
                              const struct stat *info, struct tt_error *err) {
    if (!files) return TT_OK;
    pthread_mutex_lock(&files->lock);
    enum tt_status status =
        add(files, WRITTEN, info->st_dev, info->st_ino, NULL, place->target, err);
    pthread_mutex_unlock(&files->lock);
    return status;
}

bool tt_files_is_own(struct tt_files *files, const struct tt_place *place) {
    if (!files || !place->exists) return false;
    pthread_mutex_lock(&files->lock);
    bool own = known(files, WRITTEN, &place->info) != NULL;
    pthread_mutex_unlock(&files->lock);
    return own;
}

static enum tt_status plan(struct tt_files *files, const char *path, const struct tt_place *place,
                           const struct stat *folder, bool *asked, struct tt_error *err) {
    const struct stat *info = place->exists ? &place->info : folder;
    const char *name = place->exists ? NULL : name_of(place->target);
    enum tt_status status = look(files, path, place, err);
    if (status) return status;
    const struct record *other = find(files, PLANNED, info->st_dev, info->st_ino, name);
    if (other)
        return tt_fail(err, TT_BAD_INPUT, "%s: this file is written twice (as %s), expected "
                       "another one", path, other->path);
    status = add(files, PLANNED, info->st_dev, info->st_ino, name, path, err);
    *asked = find(files, PROBED, folder->st_dev, folder->st_ino, NULL);
    if (!status && !*asked)
        status = add(files, PROBED, folder->st_dev, folder->st_ino, NULL, place->folder, err);
    return status;
}

enum tt_status tt_files_remember(struct tt_files *files, const char *path,
                                 const struct tt_place *place, const struct stat *folder,
                                 bool *asked, struct tt_error *err) {
    *asked = false;
    if (!files) return TT_OK;
    pthread_mutex_lock(&files->lock);
    enum tt_status status = plan(files, path, place, folder, asked, err);
    pthread_mutex_unlock(&files->lock);
    return status;
}
