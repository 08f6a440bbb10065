// SPDX-License-Identifier: MIT
#include "io/folder.h"

#include <dirent.h>
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
    struct tt_folder_made made; // of one file of tensors; zeros: it is not
    struct tt_folder *over;     // that goes before it, or NULL
    const char *parts; // of tt_folder_spread(); NULL: none
    char *home;        // the real path that its files should not leave; NULL: not on disk
    bool sealed;       // nothing outside of that is read
    char variant[64];  // "": none
    const struct tt_notes *notes;
    struct tt_files *noted; // where what is read is noted
    struct {
        int error; // of the last file that could not be looked at
        char path[PATH_MAX];
    } *unseen;
};

// Whether a real path is `home` or inside it.
static bool inside(const char *home, const char *path) {
    size_t length = strlen(home);
    return !strncmp(home, path, length) && (!path[length] || path[length] == '/' ||
                                            home[length - 1] == '/');
}

// A snapshot in a hub's cache is made of links to the blobs beside all snapshots.
static void widen_to_cache(char *home) {
    char path[PATH_MAX], *slash = strrchr(home, '/');
    struct stat info;
    if (!slash || slash - home < 10 || strncmp(slash - 10, "/snapshots", 10)) return;
    int above = (int)(slash - 10 - home);
    if (snprintf(path, sizeof path, "%.*s/blobs", above, home) < (int)sizeof path &&
        !stat(path, &info) && S_ISDIR(info.st_mode))
        home[above] = 0;
}

static enum tt_status new_folder(const char *name, const struct tt_embedded_file *files,
                                 size_t count, struct tt_folder **out, struct tt_error *err) {
    *out = calloc(1, sizeof **out);
    if (*out) (*out)->name = strdup(name);
    if (*out) (*out)->unseen = calloc(1, sizeof *(*out)->unseen);
    if (!*out || !(*out)->name || !(*out)->unseen) {
        tt_folder_close(*out);
        *out = NULL;
        return tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
    }
    size_t length = strlen(name);
    while (!files && length > 1 && (*out)->name[length - 1] == '/') (*out)->name[--length] = 0;
    (*out)->files = files;
    (*out)->count = count;
    (*out)->home = files ? NULL : realpath(name, NULL);
    if ((*out)->home) widen_to_cache((*out)->home);
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

enum tt_status tt_folder_open_made(const char *name, const struct tt_folder_made *made,
                                   struct tt_folder **out, struct tt_error *err) {
    enum tt_status status = new_folder(name, made->files, made->file_count, out, err);
    if (status) made->free(made->context);
    else (*out)->made = *made;
    return status;
}

const struct tt_folder_made *tt_folder_made_of(const struct tt_folder *folder) {
    return folder->made.context ? &folder->made : NULL;
}

const struct tt_folder_tensors *tt_folder_tensors(const struct tt_folder *folder,
                                                  const char *module) {
    for (size_t i = 0; i < folder->made.tensors_count; i++)
        if (!strcmp(folder->made.tensors[i].module, module)) return &folder->made.tensors[i];
    return NULL;
}

void tt_folder_cover(struct tt_folder *folder, struct tt_folder *over) {
    folder->over = over;
}

// The snapshot of a hub's cache entry to name: that of "main", or the first there is.
static void find_snapshot(const struct tt_folder *folder, char *text, size_t size) {
    struct tt_bytes bytes;
    struct tt_names names = {0};
    snprintf(text, size, "REVISION");
    if (!tt_folder_read(folder, "refs/main", &bytes, NULL)) {
        int length = (int)(bytes.size < 64 ? bytes.size : 64);
        char relative[96];
        snprintf(relative, sizeof relative, "snapshots/%.*s", length, (const char *)bytes.data);
        relative[strcspn(relative, " \n\r")] = 0;
        if (relative[10] && tt_folder_has(folder, relative))
            snprintf(text, size, "%s", relative + 10);
        tt_bytes_free(&bytes);
    } else if (!tt_folder_list(folder, "snapshots", &names, NULL) && names.count) {
        snprintf(text, size, "%s", names.name[0]);
    }
    tt_names_free(&names);
}

static enum tt_status fail_without_index(const struct tt_folder *folder, struct tt_error *err) {
    const char *name = folder->name;
    char snapshot[128];
    if (!tt_folder_has(folder, "snapshots"))
        return tt_fail(err, TT_BAD_INPUT, "%s: model_index.json is missing; expected a folder as "
                       "diffusers writes it", name);
    find_snapshot(folder, snapshot, sizeof snapshot);
    return tt_fail(err, TT_BAD_INPUT, "%s: found an entry of a hub's cache, model_index.json is "
                   "missing; expected a snapshot of it: %s/snapshots/%s", name, name, snapshot);
}

enum tt_status tt_folder_open(const char *path, struct tt_folder **out, struct tt_error *err) {
    *out = NULL;
    if (!path && !tt_builtin_count)
        return tt_fail(err, TT_BAD_INPUT, "no model is built into this program: name a folder "
                       "with --model");
    enum tt_status status =
        path ? tt_folder_open_any(path, out, err)
             : new_folder("built-in model", tt_builtin_files, tt_builtin_count, out, err);
    if (!status && !tt_folder_has(*out, "model_index.json")) {
        status = fail_without_index(*out, err);
        tt_folder_close(*out);
        *out = NULL;
    }
    return status;
}

void tt_folder_close(struct tt_folder *folder) {
    if (!folder) return;
    tt_folder_close(folder->over);
    if (folder->made.context) folder->made.free(folder->made.context);
    free(folder->home);
    free(folder->name);
    free(folder->unseen);
    free(folder);
}

void tt_folder_seal(struct tt_folder *folder) {
    folder->sealed = true;
    if (folder->over) tt_folder_seal(folder->over);
}

void tt_folder_note_in(struct tt_folder *folder, struct tt_files *files) {
    folder->noted = files;
    if (folder->over) tt_folder_note_in(folder->over, files);
}

void tt_folder_spread(struct tt_folder *folder, const char *parts) {
    folder->parts = parts;
    if (folder->over) tt_folder_spread(folder->over, parts);
}

void tt_folder_tell(struct tt_folder *folder, const struct tt_notes *notes) {
    folder->notes = notes;
    if (folder->over) tt_folder_tell(folder->over, notes);
}

const struct tt_notes *tt_folder_notes(const struct tt_folder *folder) {
    return folder->notes;
}

enum tt_status tt_folder_prefer(struct tt_folder *folder, const char *variant,
                                struct tt_error *err) {
    if (!variant) variant = "";
    else if (folder->made.context)
        return tt_fail(err, TT_BAD_INPUT, "%s: variant: found '%s', expected none: one file has "
                       "one set of weights", folder->name, variant);
    else if (!*variant || strchr(variant, '/') || strlen(variant) >= sizeof folder->variant)
        return tt_fail(err, TT_BAD_INPUT, "variant: found '%s', expected a part of file names, as "
                       "fp16 or non_ema", variant);
    snprintf(folder->variant, sizeof folder->variant, "%s", variant);
    return TT_OK;
}

const char *tt_folder_variant(const struct tt_folder *folder) {
    return *folder->variant ? folder->variant : NULL;
}

const struct tt_poll *tt_folder_poll(const struct tt_folder *folder) {
    return tt_files_poll(folder->noted);
}

const char *tt_folder_name(const struct tt_folder *folder) {
    return folder->name;
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

// Whether path is not the one that could not be looked at.
static enum tt_status check_seen(const struct tt_folder *folder, const char *path,
                                 struct tt_error *err) {
    int error = folder->unseen->error;
    if (!error || strcmp(folder->unseen->path, path)) return TT_OK;
    return tt_fail(err, tt_status_of_errno(error), "%s: cannot open: %s", path, strerror(error));
}

// The path of relative itself.
static char *plain_path(const struct tt_folder *folder, const char *relative, char *text,
                        size_t size) {
    const char *between = folder->made.context ? ": " : "/"; // no file is called so
    if (snprintf(text, size, "%s%s%s", folder->name, between, relative) < 0 && size) text[0] = 0;
    return text;
}

static bool has_plain(const struct tt_folder *folder, const char *relative) {
    char path[PATH_MAX];
    struct stat info;
    if (folder->files) return find_embedded(folder, relative) != NULL;
    if (!stays_inside(relative)) return false;
    if (!stat(plain_path(folder, relative, path, sizeof path), &info)) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    // What cannot be looked at is no absence: who then opens it is told why.
    folder->unseen->error = errno;
    strcpy(folder->unseen->path, path);
    return true;
}

static bool has_directory(const struct tt_folder *folder, const char *name, size_t length) {
    char relative[256], path[PATH_MAX];
    struct stat info;
    for (size_t i = 0; i < folder->count; i++)
        if (!strncmp(folder->files[i].path, name, length) && folder->files[i].path[length] == '/')
            return true;
    if (folder->files || length >= sizeof relative) return false;
    snprintf(relative, sizeof relative, "%.*s", (int)length, name);
    return !stat(plain_path(folder, relative, path, sizeof path), &info) &&
           S_ISDIR(info.st_mode);
}

// Whether a part is one that may be in the folder itself, and has no folder of its own.
static bool is_spread(const struct tt_folder *folder, const char *part, size_t length) {
    const char *at = folder->parts;
    for (; at && *at; at += strcspn(at, " "), at += strspn(at, " "))
        if (strcspn(at, " ") == length && !strncmp(at, part, length))
            return !has_directory(folder, part, length);
    return false;
}

// "unet/config.json", or "config.json" where a model's part is in the folder itself.
static const char *resolve(const struct tt_folder *folder, const char *relative) {
    const char *slash = strchr(relative, '/');
    if (!slash || !is_spread(folder, relative, (size_t)(slash - relative))) return relative;
    return has_plain(folder, slash + 1) ? slash + 1 : relative;
}

// The folder that has what is looked for at relative: the one that goes before, if the folder
// itself has such a file, or any of the same tokenizer.
static const struct tt_folder *holder(const struct tt_folder *folder, const char *relative) {
    const struct tt_folder *over = folder->over;
    size_t length = strcspn(relative, "/");
    bool tokenizer = !strncmp(relative, "tokenizer", 9) && relative[length];
    if (!over) return folder;
    if (tokenizer && has_directory(folder, relative, length) &&
        (has_directory(over, relative, length) || tt_folder_has(over, relative)))
        return over;
    return has_plain(folder, relative) && tt_folder_has(over, relative) ? over : folder;
}

bool tt_folder_is_covered(const struct tt_folder *folder, const char *relative) {
    return holder(folder, relative) != folder;
}

enum tt_status tt_folder_will_read(const struct tt_folder *folder, const char *relative,
                                   struct tt_error *err) {
    char path[PATH_MAX];
    folder = holder(folder, relative);
    if (folder->files || !folder->noted) return TT_OK;
    tt_folder_where(folder, relative, path, sizeof path);
    enum tt_status status = check_seen(folder, path, err);
    return status ? status : tt_files_read(folder->noted, path, err);
}

char *tt_folder_where(const struct tt_folder *folder, const char *relative, char *text,
                      size_t size) {
    folder = holder(folder, relative);
    return plain_path(folder, resolve(folder, relative), text, size);
}

bool tt_folder_has(const struct tt_folder *folder, const char *relative) {
    folder = holder(folder, relative);
    return has_plain(folder, resolve(folder, relative));
}

// Says when path, of a file in the folder, leads outside by a link: of its own, or of the folder
// that it is in, which is then named. TT_BAD_INPUT: the folder is sealed.
static enum tt_status note_link(const struct tt_folder *folder, const char *path,
                                struct tt_error *err) {
    char part[PATH_MAX], *real = NULL;
    enum tt_status status = TT_OK;
    if ((!folder->notes && !folder->sealed) || !folder->home) return TT_OK;
    snprintf(part, sizeof part, "%s", path);
    char *slash = strrchr(part, '/');
    if ((size_t)(slash - part) > strlen(folder->name)) {
        *slash = 0;
        real = realpath(part, NULL);
    }
    if (!real || inside(folder->home, real)) {
        free(real);
        snprintf(part, sizeof part, "%s", path);
        real = realpath(part, NULL);
    }
    bool outside = real && !inside(folder->home, real);
    if (outside && folder->sealed)
        status = tt_fail(err, TT_BAD_INPUT, "%s: found a link that leads outside the folder, to "
                         "%s; expected a file in it", part, real);
    else if (outside)
        tt_note(folder->notes, "%s is a link that leads outside the folder, to %s", part, real);
    free(real);
    return status;
}

// What git leaves in the place of a large file that was not fetched.
static bool is_pointer(const struct tt_bytes *bytes) {
    static const char begin[] = "version https://git-lfs.github.com/spec/";
    return bytes->size >= sizeof begin - 1 && !memcmp(bytes->data, begin, sizeof begin - 1);
}

// take: tt_file_read or tt_file_map.
static enum tt_status open_bytes(const struct tt_folder *folder, const char *relative,
                                 enum tt_status (*take)(struct tt_files *, const char *,
                                                        struct tt_bytes *, struct tt_error *),
                                 struct tt_bytes *out, struct tt_error *err) {
    *out = (struct tt_bytes){.data = (const unsigned char *)""};
    if (!stays_inside(relative))
        return tt_fail(err, TT_BAD_INPUT, "%s: the file name \"%s\" leaves the folder",
                       folder->name, relative);
    folder = holder(folder, relative);
    relative = resolve(folder, relative);
    if (folder->files) {
        const struct tt_embedded_file *file = find_embedded(folder, relative);
        if (!file)
            return tt_fail(err, TT_BAD_INPUT, "%s/%s: is missing", folder->name, relative);
        *out = (struct tt_bytes){.data = file->begin, .size = (size_t)(file->end - file->begin)};
        return TT_OK;
    }
    char path[PATH_MAX];
    if (strlen(folder->name) + strlen(relative) + 2 > sizeof path)
        return tt_fail(err, TT_BAD_INPUT, "%s/%s: the path is too long", folder->name, relative);
    plain_path(folder, relative, path, sizeof path);
    enum tt_status status = check_seen(folder, path, err);
    if (!status) status = take(folder->noted, path, out, err);
    if (status) return status;
    status = note_link(folder, path, err);
    if (!status && !is_pointer(out)) return TT_OK;
    tt_bytes_free(out);
    return status ? status
                  : tt_fail(err, TT_BAD_INPUT, "%s: found a git-lfs pointer, expected the file it "
                            "stands for: fetch it with 'git lfs pull' in that folder", path);
}

enum tt_status tt_folder_read(const struct tt_folder *folder, const char *relative,
                              struct tt_bytes *out, struct tt_error *err) {
    return open_bytes(folder, relative, tt_file_read, out, err);
}

enum tt_status tt_folder_map(const struct tt_folder *folder, const char *relative,
                             struct tt_bytes *out, struct tt_error *err) {
    return open_bytes(folder, relative, tt_file_map, out, err);
}

// ---- listing ----

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

// False: no memory, or no more room.
static bool add_name(struct tt_names *names, const char *name) {
    if (names->count == TT_FOLDER_NAMES) return false;
    names->name[names->count] = strdup(name);
    return names->name[names->count] && ++names->count;
}

enum tt_status tt_folder_list(const struct tt_folder *folder, const char *part,
                              struct tt_names *names, struct tt_error *err) {
    char path[PATH_MAX];
    size_t length = strlen(part);
    bool own = !is_spread(folder, part, length);
    *names = (struct tt_names){calloc(TT_FOLDER_NAMES, sizeof *names->name), 0};
    bool good = names->name != NULL;
    for (size_t i = 0; good && i < folder->count; i++) {
        const char *name = folder->files[i].path;
        if (own && (strncmp(name, part, length) || name[length] != '/')) continue;
        if (own) name += length + 1;
        if (!strchr(name, '/')) good = add_name(names, name);
    }
    DIR *directory =
        good && !folder->files ? opendir(own ? plain_path(folder, part, path, sizeof path)
                                             : folder->name) : NULL;
    for (struct dirent *entry; directory && good && (entry = readdir(directory));)
        if (entry->d_name[0] != '.') good = add_name(names, entry->d_name);
    if (directory) closedir(directory);
    if (good || names->count == TT_FOLDER_NAMES) {
        if (names->count) qsort(names->name, names->count, sizeof *names->name, by_text);
        return TT_OK;
    }
    tt_names_free(names);
    return tt_fail(err, TT_SYSTEM, "%s: out of memory", folder->name);
}

void tt_names_free(struct tt_names *names) {
    for (size_t i = 0; i < names->count; i++) free(names->name[i]);
    free(names->name);
    *names = (struct tt_names){0};
}
