// SPDX-License-Identifier: MIT
// A recorder's folder: what an earlier run has left there, and the files that are of no call. While
// a run is not done, recording.part.json says what it was asked for.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/growth.h"
#include "base/text.h"
#include "generate_settings.h"
#include "verify/recorder.h"

static const char list_file[] = "recording.json", part_file[] = "recording.part.json",
                  weights_file[] = "weights.json";

// ---- recording.json ----

// What is behind the last '/' of a model's folder.
static json_t *name_of(const char *path) {
    char name[256];
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/') begin--;
    snprintf(name, sizeof name, "%.*s", (int)(end - begin), path + begin);
    return json_string(tt_text_is_utf8(name, strlen(name)) ? name : "model");
}

static json_t *describe_options(const char *const *options) {
    json_t *all = json_object();
    bool good = true;
    for (size_t i = 0; options && options[i]; i++) {
        char key[64];
        const char *equals = strchr(options[i], '=');
        if (!equals) continue; // none passes tt_scheduler_open()
        snprintf(key, sizeof key, "%.*s", (int)(equals - options[i]), options[i]);
        json_error_t error;
        json_t *value = json_loads(equals + 1, JSON_DECODE_ANY, &error);
        if (!value && json_error_code(&error) != json_error_out_of_memory)
            value = json_string(equals + 1);
        good &= !json_object_set_new(all, key, value);
    }
    return tt_record_whole(all, good);
}

// Numbers that JSON's cannot hold are texts.
static json_t *describe_seed(uint64_t seed) {
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)seed);
    return seed <= INT64_MAX ? json_integer((json_int_t)seed) : json_string(text);
}

// Two numbers by diffusers' name and in its order, height or top first.
// false: out of memory.
static bool put_two(json_t *run, const char *key, size_t first, size_t second) {
    return !json_object_set_new(run, key,
                                json_pack("[I, I]", (json_int_t)first, (json_int_t)second));
}

// What SDXL is told.
static bool describe_told(json_t *run, const struct tt_settings *s) {
    return !s->original_width ||
           (put_two(run, "original_size", s->original_height, s->original_width) &&
            put_two(run, "crops_coords_top_left", s->crop_top, s->crop_left) &&
            put_two(run, "target_size", s->target_height, s->target_width) &&
            put_two(run, "negative_original_size", s->negative_original_height,
                    s->negative_original_width) &&
            put_two(run, "negative_crops_coords_top_left", s->negative_crop_top,
                    s->negative_crop_left) &&
            put_two(run, "negative_target_size", s->negative_target_height,
                    s->negative_target_width));
}

static json_t *describe_run(const struct tt_recorder *r, const char *class_name) {
    const struct tt_settings *s = &r->run;
    json_t *run = json_pack("{s:s?, s:s?, s:o, s:I, s:f, s:I, s:I, s:s, s:o}", "prompt", s->prompt,
                            "negative_prompt", s->negative, "seed", describe_seed(s->seed),
                            "steps", (json_int_t)s->steps, "guidance_scale", s->guidance_scale,
                            "width", (json_int_t)s->width, "height", (json_int_t)s->height,
                            "scheduler", class_name, "scheduler_options",
                            describe_options(s->scheduler_options));
    bool good = describe_told(run, s);
    if (s->guidance_rescale > 0)
        good &= !json_object_set_new(run, "guidance_rescale", json_real(s->guidance_rescale));
    if (s->guidance_start > 0 || s->guidance_stop < 1) {
        good &= !json_object_set_new(run, "guidance_start", json_real(s->guidance_start));
        good &= !json_object_set_new(run, "guidance_stop", json_real(s->guidance_stop));
    }
    return tt_record_whole(run, good);
}

static enum tt_status describe(struct tt_recorder *r, const char *class_name,
                               struct tt_error *err) {
    struct tt_model *model = r->session->model;
    char hash[TT_MODEL_HASH_SIZE];
    enum tt_status status = tt_model_hash(model, hash, err);
    if (status) return status;
    bool whole = !r->settings.modules && r->settings.every == 1;
    const char *conv = r->session->engine->plan.conv_direct ? "direct" : "auto";
    r->header = json_pack(
        "{s:s, s:i, s:o, s:s, s:s, s:{s:s}, s:s, s:s, s:b, s:s?, s:I, s:s, s:o, s:s}", "format",
        "tintype-recording", "version", 2, "model", name_of(model->info.name), "model_hash", hash,
        "writer", "tintype " TT_VERSION, "versions", "tintype", TT_VERSION, "precision", "F32",
        "conv", conv, "whole", whole, "modules", r->settings.modules, "every",
        (json_int_t)r->settings.every, "values", r->settings.statistics ? "statistics" : "tensors",
        "settings", describe_run(r, class_name), "weights", weights_file);
    r->calls = json_array();
    return r->header && r->calls ? TT_OK : tt_recorder_no_memory(err);
}

static enum tt_status write_json(const struct tt_recorder *r, const char *folder, const char *name,
                                 json_t *calls, struct tt_error *err) {
    char path[2 * PATH_MAX];
    bool good = !calls || !json_object_set(r->header, "calls", calls);
    char *text = good ? json_dumps(r->header, JSON_INDENT(1)) : NULL;
    if (calls) json_object_del(r->header, "calls");
    if (!text) return tt_recorder_no_memory(err);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    enum tt_status status = tt_write_file(r->files, path, text, strlen(text), err);
    free(text);
    return status;
}

// ---- what is there ----

static enum tt_status fail_other(const char *path, const char *within, const char *key,
                                 const json_t *found, const json_t *expected,
                                 struct tt_error *err) {
    char was[96], is[96];
    return tt_fail(err, TT_BAD_INPUT, "%s: %s%s: found %s, expected %s: a recording goes on with "
                   "the settings that it was begun with", path, within, key,
                   tt_json_text(found, was, sizeof was), tt_json_text(expected, is, sizeof is));
}

// The same settings, or the first that differs.
static enum tt_status compare(const struct tt_recorder *r, const char *path, json_t *found,
                              struct tt_error *err) {
    json_t *const lists[2][2] = { // the file's own keys, then those of "settings"
        {r->header, found},
        {json_object_get(r->header, "settings"), json_object_get(found, "settings")}};
    for (int i = 0; i < 2; i++) {
        const char *key;
        json_t *value;
        json_object_foreach(lists[i][0], key, value)
            if (strcmp(key, "settings") && !json_equal(value, json_object_get(lists[i][1], key)))
                return fail_other(path, i ? "settings." : "", key,
                                  json_object_get(lists[i][1], key), value, err);
        json_object_foreach(lists[i][1], key, value)
            if (!json_object_get(lists[i][0], key))
                return fail_other(path, i ? "settings." : "", key, value, NULL, err);
    }
    return TT_OK;
}

static enum tt_status look_at_part(struct tt_recorder *r, const char *path, struct tt_error *err) {
    struct tt_bytes bytes;
    json_t *found = NULL;
    enum tt_status status = tt_file_read(NULL, path, &bytes, err);
    if (status) return status;
    status = tt_json_parse(path, bytes.data, bytes.size, &found, err);
    tt_bytes_free(&bytes);
    if (!status && !json_is_object(found))
        status = tt_fail(err, TT_BAD_INPUT, "%s: found something else than a recording's settings",
                         path);
    if (!status) status = compare(r, path, found, err);
    json_decref(found);
    r->goes_on = !status;
    return status;
}

// Nothing, an empty folder, or a recording of the same settings that was stopped.
static enum tt_status look(struct tt_recorder *r, struct tt_error *err) {
    char path[PATH_MAX];
    struct stat info;
    if (stat(r->path, &info) && errno == ENOENT && !tt_recorder_exists(r->path)) return TT_OK;
    if (stat(r->path, &info))
        return tt_fail(err, tt_status_of_errno(errno), "%s: %s", r->path, strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return tt_fail(err, TT_BAD_INPUT, "%s: found a file, expected no folder, an empty one or a "
                       "recording that was stopped", r->path);
    enum tt_status status = tt_recorder_path(r, list_file, path, err);
    if (!status && tt_recorder_exists(path))
        status = tt_fail(err, TT_BAD_INPUT, "%s: found a recording that is complete, which is not "
                         "written over: remove it or choose another folder", path);
    if (!status) status = tt_recorder_path(r, part_file, path, err);
    if (!status && tt_recorder_exists(path)) return look_at_part(r, path, err);
    return status; // that it is empty is seen when it is replaced
}

// ---- a new one ----

static const char *class_of(const char *scheduler) {
    const char *name, *class_name;
    for (size_t i = 0; tt_scheduler_list(i, &name, &class_name); i++)
        if (!strcmp(name, scheduler)) return class_name;
    return scheduler;
}

static enum tt_status prepare(struct tt_recorder *r, struct tt_error *err) {
    const struct tt_model *model = r->session->model;
    const struct tt_model_info *info = &model->info;
    struct tt_scheduler *scheduler = NULL;
    size_t h = r->run.height / info->factor, w = r->run.width / info->factor;
    size_t c = info->latent_channels, n = c * h * w;
    r->latent_shape = (struct tt_shape){4, {1, c, h, w}};
    r->image_shape =
        (struct tt_shape){4, {1, model->unconditional ? c : 3, r->run.height, r->run.width}};
    r->sample = malloc(n * sizeof *r->sample);
    r->first = malloc(n * sizeof *r->first);
    r->noise = malloc(n * sizeof *r->noise);
    if (!r->sample || !r->first || !r->noise) return tt_recorder_no_memory(err);
    enum tt_status status = tt_scheduler_open(&scheduler, r->run.scheduler, model,
                                              r->run.scheduler_options, err);
    if (!status) status = tt_scheduler_set_timesteps(scheduler, r->run.steps, err);
    if (!status) status = describe(r, class_of(tt_scheduler_name(scheduler)), err);
    if (!status) status = look(r, err);
    if (!status)
        status = tt_recorder_measure(r, tt_scheduler_calls(scheduler),
                                     tt_scheduler_needs_noise(scheduler), err);
    tt_scheduler_free(scheduler);
    return status;
}

static enum tt_status check(struct tt_recorder *r, const struct tt_recorder_settings *settings,
                            const struct tt_settings *run, struct tt_error *err) {
    char what[128];
    enum tt_status status =
        settings ? tt_growth_take(&r->settings, sizeof r->settings, settings,
                                  "struct tt_recorder_settings", err)
                 : TT_OK;
    if (!status) status = tt_settings_check(r->session->model, run, &r->run, err);
    if (status) return status;
    if (r->run.count != 1)
        return tt_fail(err, TT_BAD_INPUT, "count: found %zu, expected 1: a recording is of one "
                       "picture", r->run.count);
    if (!r->settings.every)
        return tt_fail(err, TT_BAD_INPUT, "every: found 0, expected at least 1");
    if (r->session->engine->plan.fold)
        return tt_fail(err, TT_BAD_INPUT, "every_node: found false, expected an engine that shows "
                       "every node");
    const char *const names[] = {"prompt", "negative", "modules"};
    const char *const texts[] = {r->run.prompt, r->run.negative, r->settings.modules};
    for (int i = 0; i < 3; i++)
        if (texts[i] && !tt_text_is_utf8(texts[i], strlen(texts[i])))
            return tt_fail(err, TT_BAD_INPUT, "%s: found a text that is not valid UTF-8", names[i]);
    if (!r->settings.modules) return TT_OK;
    int wrong = regcomp(&r->regex, r->settings.modules, REG_EXTENDED | REG_NOSUB);
    r->has_regex = !wrong;
    if (!wrong) return TT_OK;
    if (wrong == REG_ESPACE) return tt_recorder_no_memory(err);
    regerror(wrong, &r->regex, what, sizeof what);
    return tt_fail(err, TT_BAD_INPUT, "modules: found '%s', expected a regular expression: %s",
                   r->settings.modules, what);
}

enum tt_status tt_recorder_new(struct tt_session *session, struct tt_files *files, const char *path,
                               const struct tt_recorder_settings *settings,
                               const struct tt_settings *run, struct tt_recorder **out,
                               struct tt_error *err) {
    struct tt_recorder *r = calloc(1, sizeof *r);
    if (!r) return tt_recorder_no_memory(err);
    r->session = session;
    r->files = files;
    r->settings = (struct tt_recorder_settings){.size = sizeof r->settings, .every = 1};
    r->path = strdup(path);
    enum tt_status status = r->path ? TT_OK : tt_recorder_no_memory(err);
    if (!status && !files) status = tt_files_new(NULL, NULL, &r->own_files, err);
    if (!files) r->files = r->own_files;
    if (!status) status = check(r, settings, run, err);
    size_t length = r->path ? strlen(r->path) : 0;
    while (length > 1 && r->path[length - 1] == '/') r->path[--length] = 0;
    if (!status) status = prepare(r, err);
    if (!status) *out = r;
    else tt_recorder_free(r);
    return status;
}

// ---- files ----

enum tt_status tt_recorder_begin_folder(struct tt_recorder *r, struct tt_error *err) {
    struct tt_new_folder *folder = NULL;
    char path[PATH_MAX];
    enum tt_status status = TT_OK;
    if (!r->goes_on) { // it comes into being with its settings
        status = tt_new_folder_begin(r->path, &folder, err);
        if (!status) status = write_json(r, tt_new_folder_path(folder), part_file, NULL, err);
        enum tt_status ended = tt_new_folder_end(folder, !status, err);
        if (!status) status = ended;
    }
    if (!status) status = tt_folder_probe(r->path, r->path, err);
    if (!status) status = tt_recorder_path(r, weights_file, path, err);
    if (!status && !tt_recorder_exists(path))
        status = tt_record_weights(r->session->model, r->session->engine->plan.threads, r->files,
                                   path, err);
    return status;
}

// A pair that an earlier run has left is as long as this run would make it.
static enum tt_status check_kept(const struct tt_record_call *call, struct tt_error *err) {
    struct stat info;
    size_t header;
    char *text = tt_record_header(&call->layout, &header);
    if (!text) return tt_recorder_no_memory(err);
    free(text);
    size_t expected = 8 + header + call->layout.bytes;
    if (!stat(call->path, &info) && (size_t)info.st_size == expected) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "%s: found a file of another size, expected %zu bytes: "
                   "something else has written there", call->path, expected);
}

enum tt_status tt_recorder_claim(struct tt_recorder *r, const struct tt_recorded_call *told,
                                 struct tt_error *err) {
    struct tt_record_call *call = &r->call;
    char name[80], manifest[64];
    bool kept = tt_recorder_kept(r, r->number, told->name);
    snprintf(name, sizeof name, "%05zu.%.32s.safetensors", r->number, told->name);
    snprintf(manifest, sizeof manifest, "%05zu.%.32s.json", r->number, told->name);
    r->number++;
    r->claimed = false;
    call->files = r->files;
    call->part = told->name;
    call->call = told->call;
    enum tt_status status = tt_recorder_path(r, name, call->path, err);
    if (!status && kept) status = check_kept(call, err);
    if (status) return status;
    json_t *entry = json_pack("{s:s, s:I, s:s, s:s, s:i}", "part", told->name, "call",
                              (json_int_t)told->call, "file", name, "manifest", manifest,
                              "tensors", call->layout.entry_count);
    bool good = !told->has_step ||
                !json_object_set_new(entry, "step", json_integer((json_int_t)told->step));
    if (json_array_append_new(r->calls, tt_record_whole(entry, good)))
        return tt_recorder_no_memory(err);
    r->claimed = !kept;
    return TT_OK;
}

enum tt_status tt_recorder_end_folder(struct tt_recorder *r, struct tt_error *err) {
    char path[PATH_MAX];
    enum tt_status status = tt_recorder_path(r, part_file, path, err);
    if (!status) status = tt_files_adopt(r->files, path, err);
    if (!status) status = write_json(r, r->path, list_file, r->calls, err);
    if (!status) status = tt_files_remove(r->files, path, err);
    if (!status && tt_recorder_exists(path)) // whose it is could not be found out
        return tt_fail(err, TT_SYSTEM, "%s: stays: the recording is complete without it", path);
    return status;
}

void tt_recorder_free(struct tt_recorder *r) {
    if (!r) return;
    if (r->has_regex) regfree(&r->regex);
    tt_files_free(r->own_files);
    json_decref(r->header);
    json_decref(r->calls);
    free(r->path);
    free(r->sample);
    free(r->first);
    free(r->noise);
    free(r->image);
    free(r->values);
    free(r);
}
