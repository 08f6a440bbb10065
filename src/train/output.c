// SPDX-License-Identifier: MIT
#include "train/output.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/file.h"
#include "io/json.h"
#include "io/model_folder.h"
#include "io/writer.h"

static const char format[] = "tintype-training";

// What a run writes beside the model.
static const char *const own[] = {"checkpoint.safetensors", "latents.safetensors", "train.jsonl",
                                  NULL};

// Folders in it that files are written to.
static const char *const inside[] = {"unet",      "vae",       "text_encoder",
                                     "scheduler", "tokenizer", "samples"};

static bool path_in(const struct tt_train_output *out, const char *name, char path[PATH_MAX]) {
    return snprintf(path, PATH_MAX, "%s/%s", out->settings->output, name) < PATH_MAX;
}

// Whether something is there, a dangling link, too. What cannot be looked at is no absence.
static enum tt_status is_there(const char *path, bool *there, struct tt_error *err) {
    struct stat info;
    *there = !lstat(path, &info);
    if (*there || errno == ENOENT || errno == ENOTDIR) return TT_OK;
    return tt_fail(err, tt_status_of_errno(errno), "%s: %s", path, strerror(errno));
}

// ---- whose folder it is ----

static enum tt_status read_mark(struct tt_train_output *out, struct tt_error *err) {
    static const char *const formats[] = {format, NULL};
    struct tt_bytes bytes = {0};
    struct tt_json *json = NULL;
    enum tt_status status = is_there(out->mark, &out->marked, err);
    if (status || !out->marked) return status;
    status = tt_file_read(NULL, out->mark, &bytes, err);
    if (!status) status = tt_json_open(out->mark, bytes.data, bytes.size, &json, err);
    if (!status) {
        tt_json_choice(json, "format", formats, -1);
        tt_json_int(json, "version", 1, 1);
        out->saved = tt_json_bool(json, "checkpoint");
        status = tt_json_status(json, err);
    }
    tt_json_free(json);
    tt_bytes_free(&bytes);
    return status;
}

static enum tt_status write_mark(struct tt_train_output *out, struct tt_error *err) {
    char text[128];
    snprintf(text, sizeof text, "{\"format\": \"%s\", \"version\": 1, \"checkpoint\": %s}\n",
             format, out->saved ? "true" : "false");
    return tt_write_file(out->files, out->mark, text, strlen(text), err);
}

// Runs of tintype 0.1 left no mark, but checkpoints that say what they are.
static bool is_old_checkpoint(const char *path) {
    struct tt_safetensors *file = NULL;
    if (tt_safetensors_open(NULL, path, &file, NULL)) return false;
    const char *found = tt_safetensors_metadata(file, "format");
    bool ours = found && !strncmp(found, "tintype-checkpoint-", 19);
    tt_safetensors_close(file);
    return ours;
}

// Encoded pictures that another run left say so, too: they may be put into a new folder, to be used
// again.
static bool is_latents(const char *path) {
    struct tt_safetensors *file = NULL;
    if (tt_safetensors_open(NULL, path, &file, NULL)) return false;
    bool ours = tt_safetensors_metadata(file, "key") && tt_safetensors_metadata(file, "digest");
    tt_safetensors_close(file);
    return ours;
}

// The first few names of what training did not make, and how many there are.
static size_t list(const struct tt_train_output *out, char *names, size_t size) {
    DIR *entries = opendir(out->settings->output);
    size_t count = 0, used = 0;
    for (struct dirent *e; entries && (e = readdir(entries));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || tt_is_unfinished(e->d_name))
            continue;
        if (!strcmp(e->d_name, own[1]) && is_latents(out->latents)) continue;
        if (count++ < 3 && used < size)
            used += (size_t)snprintf(names + used, size - used, "%s%s", used ? ", " : "",
                                     e->d_name);
    }
    if (entries) closedir(entries);
    return count;
}

static bool same_folder(const char *a, const char *b) {
    struct stat x, y;
    return a && b && !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

enum tt_status tt_train_output_check(struct tt_train_output *out, struct tt_error *err) {
    const struct tt_train_settings *s = out->settings;
    char names[400] = "";
    struct stat info;
    if (strlen(s->output) > PATH_MAX - 512)
        return tt_fail(err, TT_BAD_INPUT, "%s: the path is too long", s->output);
    path_in(out, own[0], out->checkpoint);
    path_in(out, own[1], out->latents);
    path_in(out, own[2], out->lines);
    path_in(out, "training.json", out->mark);
    if (same_folder(s->output, s->model) || same_folder(s->output, s->config))
        return tt_fail(err, TT_BAD_INPUT, "output: found %s, the folder that is trained from: "
                       "expected another one", s->output);
    bool there;
    enum tt_status status = is_there(s->output, &there, err);
    if (!status && there && (stat(s->output, &info) || !S_ISDIR(info.st_mode)))
        status = tt_fail(err, TT_BAD_INPUT, "%s: found something else, expected a folder",
                         s->output);
    if (!status) status = read_mark(out, err);
    if (!status) status = is_there(out->checkpoint, &out->has_checkpoint, err);
    if (status) return status;
    bool ours = out->marked || (out->has_checkpoint && is_old_checkpoint(out->checkpoint));
    size_t count = list(out, names, sizeof names);
    if (!ours && count && !s->force)
        return tt_fail(err, TT_BAD_INPUT, "%s: found %zu files that training did not make (%s%s), "
                       "expected a new or empty folder, or one with training.json; --force trains "
                       "here, too, and deletes nothing", s->output, count, names,
                       count > 3 ? ", ..." : "");
    out->foreign = !ours && count;
    if (!ours) out->has_checkpoint = false; // it is not ours to go on from
    if (out->has_checkpoint && !s->resume)
        return tt_fail(err, TT_BAD_INPUT, "%s: found a checkpoint, expected none: go on from it "
                       "with --resume, or write to another folder", out->checkpoint);
    if (!out->has_checkpoint && out->saved)
        return tt_fail(err, TT_BAD_INPUT, "%s: is missing, but this folder had one: put it back, "
                       "or write to another folder", out->checkpoint);
    return TT_OK;
}

// ---- taking it ----

// Every file that the run may write, but for the samples'. false: another one than the i-th is the
// last.
static bool target(const struct tt_train_output *out, size_t i, char path[PATH_MAX]) {
    for (size_t k = 0; own[k]; k++, i--)
        if (!i) return path_in(out, own[k], path);
    const char *name = tt_model_folder_name(i);
    return name && path_in(out, name, path);
}

// A file that training will write must not be one that it reads.
static enum tt_status may_write(struct tt_train_output *out, const char *path,
                                struct tt_error *err) {
    struct tt_place place;
    struct stat info;
    // Its folder may have to be made first.
    if (lstat(path, &info) && errno == ENOENT) return TT_OK;
    enum tt_status status = tt_place_find(path, &place, err);
    if (!status && place.special)
        status = tt_fail(err, TT_BAD_INPUT, "%s: found a device or a pipe, expected a file", path);
    if (!status) status = tt_files_check(out->files, path, &place, err);
    if (!status && place.exists && faccessat(AT_FDCWD, place.target, W_OK, AT_EACCESS))
        status = tt_fail(err, tt_status_of_errno(errno), "%s: cannot write: %s", path,
                         strerror(errno));
    return status;
}

static enum tt_status set_one_aside(struct tt_train_output *out, const char *path,
                                    const struct tt_notes *notes, struct tt_error *err) {
    char as[PATH_MAX];
    struct stat info;
    bool is_folder = !stat(path, &info) && S_ISDIR(info.st_mode);
    enum tt_status status = is_folder ? TT_OK : may_write(out, path, err);
    if (!status) status = tt_file_set_aside(path, as, err);
    if (!status && *as) tt_note(notes, "%s: was there before; it is now %s", path, as);
    return status;
}

// What is in the way in a folder that is not ours.
static enum tt_status set_aside(struct tt_train_output *out, const struct tt_notes *notes,
                                struct tt_error *err) {
    char path[PATH_MAX], folder[PATH_MAX];
    struct stat info;
    enum tt_status status = TT_OK;
    // A link to another folder first: what is in that is in nobody's way.
    for (size_t i = 0; !status && i < sizeof inside / sizeof *inside; i++)
        if (path_in(out, inside[i], path) && !lstat(path, &info) && S_ISLNK(info.st_mode))
            status = set_one_aside(out, path, notes, err);
    for (size_t i = 0; !status && target(out, i, path); i++)
        status = set_one_aside(out, path, notes, err);
    path_in(out, "samples", folder);
    DIR *entries = opendir(folder);
    for (struct dirent *e; !status && entries && (e = readdir(entries));) {
        size_t step, k;
        int end = 0;
        if (sscanf(e->d_name, "step-%zu-%zu.png%n", &step, &k, &end) != 2 || e->d_name[end])
            continue;
        if (snprintf(path, sizeof path, "%s/%s", folder, e->d_name) < PATH_MAX)
            status = set_one_aside(out, path, notes, err);
    }
    if (entries) closedir(entries);
    return status;
}

static enum tt_status check_targets(struct tt_train_output *out, struct tt_error *err) {
    char path[PATH_MAX];
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && target(out, i, path); i++) status = may_write(out, path, err);
    return status;
}

// Folders that files are written in: swept, and asked.
static enum tt_status probe(struct tt_train_output *out, struct tt_error *err) {
    char path[PATH_MAX];
    struct stat info;
    enum tt_status status = tt_folder_probe(out->settings->output, out->settings->output, err);
    for (size_t i = 0; !status && i < sizeof inside / sizeof *inside; i++) {
        path_in(out, inside[i], path);
        if (!stat(path, &info) && S_ISDIR(info.st_mode)) status = tt_folder_probe(path, path, err);
    }
    return status;
}

enum tt_status tt_train_output_take(struct tt_train_output *out, const struct tt_notes *notes,
                                    struct tt_error *err) {
    const char *output = out->settings->output;
    char samples[PATH_MAX];
    enum tt_status status = tt_make_folder(output, err);
    if (status) return status;
    out->lock = open(output, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (out->lock < 0)
        return tt_fail(err, tt_status_of_errno(errno), "%s: %s", output, strerror(errno));
    if (flock(out->lock, LOCK_EX | LOCK_NB)) {
        if (errno == EWOULDBLOCK)
            return tt_fail(err, TT_BAD_INPUT, "%s: another run is training here", output);
        if (errno != ENOLCK && errno != EOPNOTSUPP && errno != ENOSYS)
            return tt_fail(err, TT_SYSTEM, "%s: cannot be locked: %s", output, strerror(errno));
        tt_note(notes, "%s: cannot be locked here (%s): let no other run train in it", output,
                strerror(errno));
    }
    status = probe(out, err);
    // Between the look and the lock another run may have begun here.
    bool marked = out->marked;
    if (!status && !marked) status = read_mark(out, err);
    if (!status && out->marked != marked)
        status = tt_fail(err, TT_BAD_INPUT, "%s: another run has just begun here", output);
    if (!status && !out->marked && !out->has_checkpoint && out->foreign)
        status = set_aside(out, notes, err);
    if (!status) status = check_targets(out, err);
    // Before all else that is written: then it is known as ours. A run may have been killed between
    // its first checkpoint and its word of it.
    if (!status && (!out->marked || (out->has_checkpoint && !out->saved))) {
        out->saved = out->has_checkpoint;
        status = write_mark(out, err);
        out->marked = !status;
    }
    path_in(out, "samples", samples);
    if (!status && out->settings->sample_every) status = tt_make_folder(samples, err);
    return status;
}

enum tt_status tt_train_output_saved(struct tt_train_output *out, struct tt_error *err) {
    if (out->saved) return TT_OK;
    out->saved = true;
    return write_mark(out, err);
}

void tt_train_output_close(struct tt_train_output *out) {
    if (out->lock >= 0) close(out->lock); // and with it the lock
    out->lock = -1;
}
