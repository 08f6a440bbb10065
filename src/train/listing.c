// SPDX-License-Identifier: MIT
#include "train/listing.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct walk {
    struct tt_listing *listing;
    const char *path;
    const struct tt_poll *poll;
    size_t most, seen;
    struct stat apart;
    bool has_apart, shared; // shared: it is the folder of the pictures itself
};

enum { DEEPEST = 64 };

static bool ends_with_one_of(const char *name, const char *const *ends) {
    const char *dot = strrchr(name, '.');
    for (; dot > name && *ends; ends++)
        if (!strcasecmp(dot + 1, *ends)) return true;
    return false;
}

// Names that mean nothing for training have the kind -1.
static int kind_of(const char *name, const char **problem) {
    static const char *const pictures[] = {"png", "jpg", "jpeg", "jpe", "jfif", "webp", NULL};
    static const char *const others[] = {
        "bmp", "dib", "tif", "tiff", "gif", "apng", "avif", "heic", "heif", "hif", "jxl", "jp2",
        "j2k", "jpx", "tga", "ico", "pcx", "ppm", "pgm", "pbm", "pnm", "psd", "xcf", "svg", "exr",
        "hdr", "dng", "cr2", "cr3", "nef", "arw", "orf", "rw2", "raf", NULL};
    static const char *const texts[] = {"txt", NULL};
    *problem = NULL;
    if (name[0] == '.') return -1;
    if (!strcmp(name, "metadata.jsonl")) return TT_LISTED_METADATA;
    if (ends_with_one_of(name, pictures)) return TT_LISTED_PICTURE;
    if (ends_with_one_of(name, texts)) return TT_LISTED_CAPTION;
    if (ends_with_one_of(name, others))
        *problem = "found a picture of a kind that is not read, expected PNG, JPEG or WebP";
    if (!strcmp(name, "metadata.csv") || !strcmp(name, "metadata.parquet"))
        *problem = "found captions of a kind that is not read, expected metadata.jsonl or text "
                   "files";
    return *problem ? TT_LISTED_PROBLEM : -1;
}

static enum tt_status add(struct walk *w, const char *name, int kind, const char *problem,
                          struct tt_error *err) {
    struct tt_listing *l = w->listing;
    if (l->count >= w->most)
        return tt_fail(err, TT_BAD_INPUT, "%s: found more than %zu files, expected no more",
                       w->path, w->most);
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 256;
        struct tt_listed_file *files = realloc(l->files, room * sizeof *files);
        if (!files) return tt_fail(err, TT_SYSTEM, "out of memory for a list of pictures");
        l->files = files;
        l->room = room;
    }
    l->files[l->count++] = (struct tt_listed_file){name, (enum tt_listed)kind, problem};
    return TT_OK;
}

static bool is_model(const char *path) {
    char index[PATH_MAX];
    struct stat info;
    return snprintf(index, sizeof index, "%s/model_index.json", path) < PATH_MAX &&
           !stat(index, &info);
}

// Why a folder is not looked into; "": without a word, NULL: it is.
static const char *why_not(const struct walk *w, const char *path, const struct stat *info,
                           int depth) {
    static const char *const own[] = {"samples", "scheduler", "text_encoder", "tokenizer", "unet",
                                      "vae"};
    struct stat link;
    const char *base = strrchr(path, '/') + 1;
    if (base[0] == '.' || !strncmp(base, "__", 2)) return "";
    for (size_t i = 0; w->shared && !depth && i < sizeof own / sizeof *own; i++)
        if (!strcmp(base, own[i])) return "";
    if (w->has_apart && info->st_dev == w->apart.st_dev && info->st_ino == w->apart.st_ino)
        return "";
    if (!lstat(path, &link) && S_ISLNK(link.st_mode))
        return "found a link to a folder, which is not followed";
    if (is_model(path)) return "found a model's folder (model_index.json), expected pictures";
    return depth >= DEEPEST ? "found folders in folders, 64 deep" : NULL;
}

// What is in one folder; folders in it go to the end of `folders`, to be walked once it is closed.
static enum tt_status list(struct walk *w, const char *inside, int depth,
                           struct tt_listing *folders, struct tt_error *err) {
    struct walk deeper = *w;
    char path[PATH_MAX];
    deeper.listing = folders;
    if (snprintf(path, sizeof path, "%s%s%s", w->path, *inside ? "/" : "", inside) >= PATH_MAX)
        return tt_fail(err, TT_BAD_INPUT, "%s/%s: the path is too long", w->path, inside);
    DIR *directory = opendir(path);
    if (!directory && !*inside)
        return tt_fail(err, TT_BAD_INPUT, "%s: %s", path, strerror(errno));
    if (!directory) {
        const char *why = tt_pool_format(&w->listing->pool, "%s", strerror(errno));
        return why ? add(w, inside, TT_LISTED_PROBLEM, why, err)
                   : tt_fail(err, TT_SYSTEM, "out of memory for a list of pictures");
    }
    enum tt_status status = TT_OK;
    for (struct dirent *entry; !status && (entry = readdir(directory));) {
        const char *problem, *base = entry->d_name;
        struct stat info = {0};
        int kind = kind_of(base, &problem);
        if (++w->seen % 4096 == 0) status = tt_poll_ask(w->poll, w->path, err);
        if (!strcmp(base, ".") || !strcmp(base, "..") || status) continue;
        char *name = tt_pool_format(&w->listing->pool, "%s%s%s", inside, *inside ? "/" : "", base);
        if (!name) status = tt_fail(err, TT_SYSTEM, "out of memory for a list of pictures");
        if (status) break;
        if (entry->d_type != DT_REG &&
            snprintf(path, sizeof path, "%s/%s", w->path, name) < PATH_MAX)
            stat(path, &info);
        const char *why = S_ISDIR(info.st_mode) ? why_not(w, path, &info, depth) : NULL;
        if (why && *why) status = add(w, name, TT_LISTED_PROBLEM, why, err);
        else if (!why && S_ISDIR(info.st_mode)) status = add(&deeper, name, 0, NULL, err);
        else if (!why && kind >= 0) status = add(w, name, kind, problem, err);
    }
    closedir(directory);
    return status;
}

static enum tt_status walk(struct walk *w, const char *inside, int depth, struct tt_error *err) {
    struct tt_listing folders = {0};
    enum tt_status status = list(w, inside, depth, &folders, err);
    for (size_t i = 0; !status && i < folders.count; i++)
        status = walk(w, folders.files[i].name, depth + 1, err);
    free(folders.files);
    return status;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct tt_listed_file *)a)->name,
                  ((const struct tt_listed_file *)b)->name);
}

enum tt_status tt_listing_make(const char *path, const char *apart, const struct tt_poll *poll,
                               size_t most, struct tt_listing *listing, struct tt_error *err) {
    struct walk w = {.listing = listing, .path = path, .poll = poll, .most = most};
    struct stat info;
    w.has_apart = apart && !stat(apart, &w.apart);
    w.shared = w.has_apart && !stat(path, &info) && info.st_dev == w.apart.st_dev &&
               info.st_ino == w.apart.st_ino;
    enum tt_status status = walk(&w, "", 0, err);
    if (!status && listing->count)
        qsort(listing->files, listing->count, sizeof *listing->files, by_name);
    return status;
}

void tt_listing_free(struct tt_listing *listing) {
    tt_pool_free(&listing->pool);
    free(listing->files);
    *listing = (struct tt_listing){0};
}
