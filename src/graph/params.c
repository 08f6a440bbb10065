// SPDX-License-Identifier: MIT
#include "graph/params.h"

#include <stdlib.h>
#include <string.h>

#include "base/finite.h"

static size_t padded(size_t count) {
    return tt_align_up(count * sizeof(float)) / sizeof(float);
}

void tt_params_free(struct tt_params *params) {
    if (!params) return;
    tt_block_free(params->value, params->floats * sizeof(float));
    tt_block_free(params->gradient, params->floats * sizeof(float));
    free(params->values);
    tt_pool_free(&params->names);
    free(params);
}

int tt_params_find(const struct tt_params *params, const char *name) {
    for (int i = 0; i < params->count; i++)
        if (!strcmp(params->values[i].name, name)) return i;
    return -1;
}

// A parameter that two nodes or two tapes name is one.
static enum tt_status add(struct tt_params *params, const struct tt_param *param,
                          struct tt_error *err) {
    if (tt_params_find(params, param->name) >= 0) return TT_OK;
    if (params->count == params->capacity) {
        int capacity = params->capacity ? 2 * params->capacity : 256;
        struct tt_view *larger = realloc(params->values, (size_t)capacity * sizeof *larger);
        if (!larger) return tt_fail(err, TT_SYSTEM, "out of memory for parameters");
        params->values = larger;
        params->capacity = capacity;
    }
    char *name = tt_pool_format(&params->names, "%s", param->name);
    if (!name) return tt_fail(err, TT_SYSTEM, "out of memory for parameters");
    size_t count = tt_shape_count(&param->shape);
    params->values[params->count++] =
        (struct tt_view){name, TT_F32, param->shape, NULL, count * sizeof(float)};
    params->floats += padded(count);
    return TT_OK;
}

enum tt_status tt_params_new(const struct tt_tape *const *tapes, int tape_count, bool trained,
                             struct tt_params **out, struct tt_error *err) {
    struct tt_params *params = calloc(1, sizeof *params);
    enum tt_status status =
        params ? TT_OK : tt_fail(err, TT_SYSTEM, "out of memory for parameters");
    for (int t = 0; !status && t < tape_count; t++) {
        status = tt_tape_status(tapes[t], err);
        for (int i = 0; !status && i < tapes[t]->node_count; i++)
            for (int j = 0; !status && j < TT_MAX_PARAMS; j++)
                if (tapes[t]->nodes[i].param[j])
                    status = add(params, tapes[t]->nodes[i].param[j], err);
    }
    if (!status) {
        params->value = tt_block_alloc(params->floats * sizeof(float));
        if (trained) params->gradient = tt_block_alloc(params->floats * sizeof(float));
        if (!params->value || (trained && !params->gradient))
            status = tt_fail(err, TT_SYSTEM, "out of memory: %zu bytes of parameters",
                             (trained ? 2 : 1) * params->floats * sizeof(float));
    }
    if (status) {
        tt_params_free(params);
        return status;
    }
    const float *place = params->value;
    for (int i = 0; i < params->count; i++) {
        params->values[i].data = place;
        place += padded(tt_shape_count(&params->values[i].shape));
    }
    *out = params;
    return TT_OK;
}

static size_t place_of(const struct tt_params *params, int index) {
    return (size_t)((const float *)params->values[index].data - params->value);
}

float *tt_params_value(const struct tt_params *params, int index) {
    return params->value + place_of(params, index);
}

float *tt_params_gradient(const struct tt_params *params, int index) {
    return params->gradient ? params->gradient + place_of(params, index) : NULL;
}

struct tt_view tt_params_view_of(const struct tt_params *params, int index, const float *block) {
    struct tt_view view = params->values[index];
    view.data = block + place_of(params, index);
    return view;
}

enum tt_status tt_params_load(struct tt_params *params, const struct tt_source *source,
                              struct tt_error *err) {
    for (int i = 0; i < params->count; i++) {
        const struct tt_param param = {params->values[i].name, params->values[i].shape};
        const struct tt_view *found = NULL;
        struct tt_view view;
        enum tt_status status = tt_find_checked(source, &param, &found, err);
        if (!status) status = tt_source_acquire(source, found, &view, err);
        if (status) return status;
        size_t count = tt_shape_count(&param.shape), first;
        float *value = tt_params_value(params, i);
        tt_view_floats(&view, 0, count, value);
        if (source->acquire) tt_source_release(source, &view);
        if (!tt_all_finite(value, count) && tt_count_not_finite(value, count, &first))
            return tt_fail(err, TT_BAD_INPUT, "%s: tensor '%s': found %g at element %zu, expected "
                           "finite numbers", source->name, param.name, (double)value[first], first);
    }
    return TT_OK;
}

static const struct tt_view *find_value(void *context, const char *name) {
    const struct tt_params *params = context;
    int index = tt_params_find(params, name);
    return index < 0 ? NULL : &params->values[index];
}

struct tt_source tt_params_source(struct tt_params *params, const char *name) {
    return (struct tt_source){.context = params, .name = name, .find = find_value};
}

void tt_params_zero_gradients(struct tt_params *params) {
    if (params->gradient) memset(params->gradient, 0, params->floats * sizeof(float));
}
