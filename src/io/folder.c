// SPDX-License-Identifier: MIT
#include "io/folder.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/files.h"

struct tt_folder {
    char *name;
    const struct tt_embedded_file *files; // NULL: on disk, at name
    size_t count;
    struct tt_files *noted; // where what is read is noted
};

static enum tt_status new_folder(const char *name, const struct tt_embedded_file *files,
                                 size_t count, struct tt_folder **out, struct tt_error *err) {
    *out = calloc(1, sizeof **out);
    if (*out) (*out)->name = strdup(name);
    if (!*out || !(*out)->name) {
        free(*out);
        *out = NULL;
        return tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
    }
    size_t length = strlen(name);
    while (!files && length > 1 && (*out)->name[length - 1] == '/') (*out)->name[--length] = 0;
    (*out)->files = files;
    (*out)->count = count;
    return TT_OK;
}

enum tt_status tt_folder_open_embedded(const char *name, const struct tt_embedded_file *files,
                                       size_t count, struct tt_folder **out, struct tt_error *err) {
    return new_folder(name, files, count, out, err);
}

enum tt_status tt_folder_open_any(const char *path, struct tt_folder **out, struct tt_error *err) {
    *out = NULL;
    struct stat info;
    if (stat(path, &info))
        return tt_fail(err, tt_status_of_errno(errno), "%s: cannot open: %s; expected a folder",
                       path, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return tt_fail(err, TT_BAD_INPUT, "%s: found a file, expected a folder as diffusers "
                       "writes it (with model_index.json)", path);
    return new_folder(path, NULL, 0, out, err);
}

enum tt_status tt_folder_open(const char *path, struct tt_folder **out, struct tt_error *err) {
    *out = NULL;
    if (!path && !tt_builtin_count)
        return tt_fail(err, TT_BAD_INPUT, "no model is built into this program: name a folder "
                       "with --model");
    enum tt_status status =
        path ? tt_folder_open_any(path, out, err)
             : new_folder("built-in model", tt_builtin_files, tt_builtin_count, out, err);
    if (status || tt_folder_has(*out, "model_index.json")) return status;
    status = tt_fail(err, TT_BAD_INPUT, "%s: model_index.json is missing; expected a folder as "
                     "diffusers writes it", tt_folder_name(*out));
    tt_folder_close(*out);
    *out = NULL;
    return status;
}

void tt_folder_close(struct tt_folder *folder) {
    if (!folder) return;
    free(folder->name);
    free(folder);
}

void tt_folder_note_in(struct tt_folder *folder, struct tt_files *files) {
    folder->noted = files;
}

const struct tt_poll *tt_folder_poll(const struct tt_folder *folder) {
    return tt_files_poll(folder->noted);
}

const char *tt_folder_name(const struct tt_folder *folder) {
    return folder->name;
}

char *tt_folder_where(const struct tt_folder *folder, const char *relative, char *text,
                      size_t size) {
    if (snprintf(text, size, "%s/%s", folder->name, relative) < 0 && size) text[0] = 0;
    return text;
}

static bool stays_inside(const char *relative) {
    if (*relative == '/' || !*relative) return false;
    for (const char *part = relative; part; part = strchr(part, '/')) {
        if (*part == '/') part++;
        if (part[0] == '.' && part[1] == '.' && (part[2] == '/' || !part[2])) return false;
    }
    return true;
}

static const struct tt_embedded_file *find_embedded(const struct tt_folder *folder,
                                                    const char *relative) {
    for (size_t i = 0; i < folder->count; i++)
        if (!strcmp(folder->files[i].path, relative)) return &folder->files[i];
    return NULL;
}

bool tt_folder_has(const struct tt_folder *folder, const char *relative) {
    char path[PATH_MAX];
    struct stat info;
    if (folder->files) return find_embedded(folder, relative) != NULL;
    if (!stays_inside(relative)) return false;
    // What cannot be looked at is no absence: who then opens it is told why.
    return !stat(tt_folder_where(folder, relative, path, sizeof path), &info) ||
           (errno != ENOENT && errno != ENOTDIR);
}

// take: tt_file_read or tt_file_map.
static enum tt_status open_bytes(const struct tt_folder *folder, const char *relative,
                                 enum tt_status (*take)(struct tt_files *, const char *,
                                                        struct tt_bytes *, struct tt_error *),
                                 struct tt_bytes *out, struct tt_error *err) {
    *out = (struct tt_bytes){(const unsigned char *)"", 0, 0};
    if (!stays_inside(relative))
        return tt_fail(err, TT_BAD_INPUT, "%s: the file name \"%s\" leaves the folder",
                       folder->name, relative);
    if (folder->files) {
        const struct tt_embedded_file *file = find_embedded(folder, relative);
        if (!file)
            return tt_fail(err, TT_BAD_INPUT, "%s/%s: is missing", folder->name, relative);
        *out = (struct tt_bytes){file->begin, (size_t)(file->end - file->begin), 0};
        return TT_OK;
    }
    char path[PATH_MAX];
    if (strlen(folder->name) + strlen(relative) + 2 > sizeof path)
        return tt_fail(err, TT_BAD_INPUT, "%s/%s: the path is too long", folder->name, relative);
    return take(folder->noted, tt_folder_where(folder, relative, path, sizeof path), out, err);
}

enum tt_status tt_folder_read(const struct tt_folder *folder, const char *relative,
                              struct tt_bytes *out, struct tt_error *err) {
    return open_bytes(folder, relative, tt_file_read, out, err);
}

enum tt_status tt_folder_map(const struct tt_folder *folder, const char *relative,
                             struct tt_bytes *out, struct tt_error *err) {
    return open_bytes(folder, relative, tt_file_map, out, err);
}
