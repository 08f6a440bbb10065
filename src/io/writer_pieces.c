// SPDX-License-Identifier: MIT
// Files that are written in pieces, that grow, and that belong together; see writer.h.
#include "io/writer_draft.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum tt_status tt_check_disk(const char *path, double bytes, const char *what,
                             struct tt_error *err) {
    char at[PATH_MAX];
    struct statvfs disk;
    snprintf(at, sizeof at, "%s", path);
    while (statvfs(at, &disk)) { // what is not there yet will be on the disk of the folder above
        char *slash = strrchr(at, '/');
        if (!slash && !strcmp(at, ".")) return TT_OK; // writing will say what is wrong
        if (!slash) strcpy(at, ".");
        else if (slash == at && !slash[1]) return TT_OK;
        else slash[slash == at] = 0;
    }
    double free = (double)disk.f_bavail * (double)disk.f_frsize;
    if (bytes <= free) return TT_OK;
    return tt_fail(err, TT_SYSTEM, "%s: found %.1f MB free on the disk, expected %.1f MB, which %s "
                   "takes", path, free / 1e6, bytes / 1e6, what);
}

// ---- a file that is written in pieces ----

struct tt_stream {
    struct tt_files *files;
    char *path;
    struct tt_draft draft;
};

enum tt_status tt_stream_begin(struct tt_files *files, const char *path, struct tt_stream **out,
                               struct tt_error *err) {
    struct tt_stream *stream = calloc(1, sizeof *stream);
    if (stream) stream->path = strdup(path);
    if (!stream || !stream->path) {
        free(stream);
        return tt_fail(err, TT_SYSTEM, "%s: out of memory", path);
    }
    stream->files = files;
    enum tt_status status = tt_place_find(path, &stream->draft.place, err);
    if (!status && stream->draft.place.special)
        status = tt_fail(err, TT_BAD_INPUT, "%s: found a device or a pipe, expected a file", path);
    if (!status) status = tt_draft_begin(files, path, &stream->draft, err);
    if (!status) {
        *out = stream;
        return TT_OK;
    }
    free(stream->path);
    free(stream);
    return status;
}

enum tt_status tt_stream_add(struct tt_stream *stream, const void *data, size_t size,
                             struct tt_error *err) {
    return tt_write_all(stream->draft.fd, data, size)
               ? TT_OK
               : tt_cannot_write(stream->path, errno, err);
}

enum tt_status tt_stream_end(struct tt_stream *stream, bool keep, struct tt_error *err) {
    enum tt_status status = TT_OK;
    if (!stream) return TT_OK;
    if (keep) status = tt_draft_flush(&stream->draft, stream->path, err);
    if (keep && !status) status = tt_draft_name(stream->files, &stream->draft, err);
    if (keep && !status) tt_sync_folder(stream->draft.place.folder);
    tt_draft_drop(&stream->draft);
    free(stream->path);
    free(stream);
    return status;
}

// ---- a file that grows ----

struct tt_appender {
    int fd;
    char *path;
};

enum tt_status tt_appender_open(struct tt_files *files, const char *path,
                                struct tt_appender **out, struct tt_error *err) {
    struct tt_place place;
    enum tt_status status = tt_place_find(path, &place, err);
    if (!status) status = tt_files_check(files, path, &place, err);
    if (status) return status;
    struct tt_appender *a = calloc(1, sizeof *a);
    if (a) a->path = strdup(path);
    if (!a || !a->path) {
        free(a);
        return tt_fail(err, TT_SYSTEM, "%s: out of memory", path);
    }
    a->fd = open(place.target, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (a->fd < 0) {
        status = tt_cannot_create(path, errno, err);
        free(a->path);
        free(a);
        return status;
    }
    *out = a;
    return TT_OK;
}

enum tt_status tt_appender_add(struct tt_appender *a, const void *data, size_t size,
                               struct tt_error *err) {
    off_t before = lseek(a->fd, 0, SEEK_END);
    if (before >= 0 && tt_write_all(a->fd, data, size)) return TT_OK;
    enum tt_status status = tt_cannot_write(a->path, errno, err);
    if (before >= 0 && ftruncate(a->fd, before)) return status; // who reads drops a torn line
    return status;
}

enum tt_status tt_appender_sync(struct tt_appender *a, struct tt_error *err) {
    return fsync(a->fd) ? tt_cannot_write(a->path, errno, err) : TT_OK;
}

void tt_appender_close(struct tt_appender *a) {
    if (!a) return;
    close(a->fd);
    free(a->path);
    free(a);
}

// ---- files that belong together ----

struct tt_file_set {
    struct tt_files *files;
    struct tt_draft *drafts;
    size_t count, room;
};

enum tt_status tt_file_set_new(struct tt_files *files, struct tt_file_set **out,
                               struct tt_error *err) {
    struct tt_file_set *set = calloc(1, sizeof *set);
    if (!set) return tt_fail(err, TT_SYSTEM, "out of memory");
    set->files = files;
    *out = set;
    return TT_OK;
}

enum tt_status tt_file_set_add(struct tt_file_set *set, const char *path,
                               const struct tt_span *spans, size_t count, bool is_key,
                               struct tt_error *err) {
    if (set->count == set->room) {
        size_t room = set->room ? 2 * set->room : 16;
        struct tt_draft *drafts = realloc(set->drafts, room * sizeof *drafts);
        if (!drafts) return tt_fail(err, TT_SYSTEM, "%s: out of memory", path);
        set->drafts = drafts;
        set->room = room;
    }
    struct tt_draft *draft = &set->drafts[set->count];
    enum tt_status status = tt_place_find(path, &draft->place, err);
    if (!status && draft->place.special)
        status = tt_fail(err, TT_BAD_INPUT, "%s: found a device or a pipe, expected a file", path);
    if (!status) status = tt_draft_write(set->files, path, spans, count, draft, err);
    if (status) return status;
    draft->is_key = is_key;
    set->count++;
    return TT_OK;
}

enum tt_status tt_file_set_commit(struct tt_file_set *set, struct tt_error *err) {
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < set->count; i++) {
        const struct tt_place *place = &set->drafts[i].place;
        if (!set->drafts[i].is_key || !place->exists) continue;
        if (unlink(place->target) && errno != ENOENT)
            status = tt_cannot_write(place->target, errno, err);
        tt_sync_folder(place->folder);
    }
    for (int key = 0; key < 2; key++) {
        for (size_t i = 0; !status && i < set->count; i++)
            if (set->drafts[i].is_key == key)
                status = tt_draft_name(set->files, &set->drafts[i], err);
        for (size_t i = 0; !status && i < set->count; i++)
            if (set->drafts[i].is_key == key) tt_sync_folder(set->drafts[i].place.folder);
    }
    return status;
}

void tt_file_set_free(struct tt_file_set *set) {
    if (!set) return;
    for (size_t i = 0; i < set->count; i++) tt_draft_drop(&set->drafts[i]);
    free(set->drafts);
    free(set);
}
