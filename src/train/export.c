// SPDX-License-Identifier: MIT
#include "train/export.h"

#include <math.h>
#include <stdlib.h>

#include "base/half.h"
#include "io/weights.h"

// Rounds what the views show into out and lets them show that.
static enum tt_status round_to_half(const char *module, struct tt_view *views, size_t n,
                                    uint16_t *out, struct tt_error *err) {
    for (size_t i = 0; i < n; i++) {
        const float *x = views[i].data;
        size_t count = tt_shape_count(&views[i].shape);
        for (size_t k = 0; k < count; k++) {
            if (!(fabsf(x[k]) <= TT_HALF_MOST))
                return tt_fail(err, TT_BAD_INPUT, "%s: %s: found %g, expected at most %g: too "
                               "large for float16", module, views[i].name, (double)x[k],
                               (double)TT_HALF_MOST);
            out[k] = tt_half_from_float(x[k]);
        }
        views[i].dtype = TT_F16;
        views[i].data = out;
        views[i].bytes = count * sizeof *out;
        out += count;
    }
    return TT_OK;
}

// A module's weights. data: the values that are new, laid out like params->value.
static enum tt_status write_new(const struct tt_export *with, struct tt_model_folder *folder,
                                const struct tt_export_part *part, const char *variant,
                                const float *data, struct tt_error *err) {
    size_t n = (size_t)part->params->count, all = 0, rest = 0;
    struct tt_weights *old = NULL;
    enum tt_status status =
        part->partly ? tt_weights_open(with->source, part->module, &old, err) : TT_OK;
    if (status) return status;
    size_t room = n + (old ? tt_weights_count(old) : 0);
    struct tt_view *views = malloc((room ? room : 1) * sizeof *views);
    if (!views) {
        tt_weights_close(old);
        return tt_fail(err, TT_SYSTEM, "%s: out of memory", part->module);
    }
    for (size_t i = 0; i < n; i++) {
        views[i] = part->params->values[i];
        views[i].data =
            data + (tt_params_value(part->params, (int)i) - part->params->value);
        all += tt_shape_count(&views[i].shape);
    }
    uint16_t *halves = with->float16 ? malloc((all ? all : 1) * sizeof *halves) : NULL;
    if (with->float16 && !halves)
        status = tt_fail(err, TT_SYSTEM, "%s: out of memory", part->module);
    if (!status && with->float16) status = round_to_half(part->module, views, n, halves, err);
    for (size_t i = 0; old && i < tt_weights_count(old); i++)
        if (tt_params_find(part->params, tt_weights_at(old, i)->name) < 0)
            views[n + rest++] = *tt_weights_at(old, i);
    if (!status)
        status = tt_model_folder_weights(folder, part->module, variant, views, n + rest, err);
    free(halves);
    free(views);
    tt_weights_close(old);
    return status;
}

enum tt_status tt_export(const char *path, const struct tt_export *with, struct tt_error *err) {
    struct tt_model_folder *folder = NULL;
    enum tt_status status = tt_model_folder_begin(path, with->source, with->files, &folder, err);
    for (size_t i = 0; !status && i < with->count; i++) {
        const struct tt_export_part *part = &with->parts[i];
        status = write_new(with, folder, part, NULL, part->data, err);
        if (!status && part->raw)
            status = write_new(with, folder, part, "non_ema", part->params->value, err);
    }
    if (!status) status = tt_model_folder_commit(folder, with->keys, with->key_count, err);
    tt_model_folder_free(folder);
    return status;
}
