// SPDX-License-Identifier: MIT
// What several files of a recorder use: paths in its folder, and the layouts of what is no
// network's.
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "verify/recorder.h"

enum tt_status tt_recorder_no_memory(struct tt_error *err) {
    return tt_fail(err, TT_SYSTEM, "out of memory for a recording");
}

enum tt_status tt_recorder_path(const struct tt_recorder *r, const char *name, char path[PATH_MAX],
                                struct tt_error *err) {
    if (snprintf(path, PATH_MAX, "%s/%s", r->path, name) < PATH_MAX) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "%s/%s: the path is too long", r->path, name);
}

bool tt_recorder_exists(const char *path) {
    struct stat info;
    return !lstat(path, &info);
}

// ---- layouts of what is no network's ----

static void add(struct tt_record_layout *layout, const char *name, const char *type,
                const struct tt_shape *shape) {
    int tensor = tt_record_add_tensor(layout, name, TT_F32, shape, !strcmp(type, "input"));
    tt_record_add_entry(layout, name, type, shape, tensor);
}

void tt_recorder_scheduler_layout(const struct tt_recorder *r, struct tt_record_layout *layout,
                                  size_t draws) {
    const struct tt_shape one = {1, {1}};
    *layout = (struct tt_record_layout){.statistics = r->settings.statistics};
    add(layout, "sample", "input", &r->latent_shape);
    add(layout, "model_output", "input", &r->latent_shape);
    add(layout, "timestep", "input", &one);
    for (size_t i = 0; i < draws; i++) {
        char name[32] = "noise";
        if (i) snprintf(name, sizeof name, "noise%zu", i + 1);
        add(layout, name, "input", &r->latent_shape);
    }
    add(layout, "prev_sample", "output", &r->latent_shape);
}

void tt_recorder_pipeline_layout(const struct tt_recorder *r, struct tt_record_layout *layout) {
    *layout = (struct tt_record_layout){.statistics = r->settings.statistics};
    add(layout, "noise", "input", &r->latent_shape);
    add(layout, "latents", "output", &r->latent_shape);
    add(layout, "image", "output", &r->image_shape);
}

bool tt_recorder_kept(const struct tt_recorder *r, size_t number, const char *part) {
    char name[64], path[PATH_MAX];
    snprintf(name, sizeof name, "%05zu.%.32s.json", number, part);
    if (!r->goes_on || tt_recorder_path(r, name, path, NULL) || !tt_recorder_exists(path))
        return false;
    snprintf(name, sizeof name, "%05zu.%.32s.safetensors", number, part);
    return !tt_recorder_path(r, name, path, NULL) && tt_recorder_exists(path);
}
