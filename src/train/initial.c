// SPDX-License-Identifier: MIT
#include "train/initial.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static void fill(float *x, size_t n, float value) {
    for (size_t i = 0; i < n; i++) x[i] = value;
}

// The weight of the module that a bias belongs to.
static const struct tt_view *weight_of(const struct tt_params *params, const char *bias) {
    char name[512];
    snprintf(name, sizeof name, "%.*sweight", (int)(strlen(bias) - strlen("bias")), bias);
    int i = tt_params_find(params, name);
    return i < 0 ? NULL : &params->values[i];
}

void tt_initial_layers(struct tt_params *params, struct tt_rng *rng) {
    for (int i = 0; i < params->count; i++) {
        const struct tt_view *view = &params->values[i];
        size_t n = tt_shape_count(&view->shape);
        bool bias = tt_text_ends(view->name, ".bias");
        const struct tt_view *weight = bias ? weight_of(params, view->name) : view;
        float *x = tt_params_value(params, i);
        if (!weight || weight->shape.rank < 2) { // a norm's
            fill(x, n, bias ? 0 : 1);
            continue;
        }
        size_t fan_in = tt_shape_count(&weight->shape) / weight->shape.dim[0];
        float bound = (float)(1 / sqrt((double)fan_in));
        tt_rng_uniform(rng, x, n);
        for (size_t j = 0; j < n; j++) x[j] = (2 * x[j] - 1) * bound;
    }
}

// The standard deviation of a weight, as CLIPPreTrainedModel._init_weights has it with an
// initializer_factor of 1; 0 for what does not draw.
static double deviation(const char *name, const struct tt_clip_config *c) {
    double width = 1 / sqrt((double)c->hidden_size), depth = 1 / sqrt(2 * (double)c->layers);
    if (tt_text_ends(name, "embedding.weight")) return 0.02;
    if (tt_text_ends(name, "q_proj.weight") || tt_text_ends(name, "k_proj.weight") ||
        tt_text_ends(name, "v_proj.weight") || tt_text_ends(name, "fc2.weight"))
        return width * depth;
    if (tt_text_ends(name, "out_proj.weight") || tt_text_ends(name, "text_projection.weight"))
        return width;
    if (tt_text_ends(name, "fc1.weight")) return 1 / sqrt(2 * (double)c->hidden_size);
    return 0;
}

void tt_initial_clip(struct tt_params *params, const struct tt_clip_config *config,
                     struct tt_rng *rng) {
    for (int i = 0; i < params->count; i++) {
        const struct tt_view *view = &params->values[i];
        size_t n = tt_shape_count(&view->shape);
        float *x = tt_params_value(params, i), scale = (float)deviation(view->name, config);
        if (!(scale > 0)) { // layer norms and biases
            fill(x, n, tt_text_ends(view->name, ".bias") ? 0 : 1);
            continue;
        }
        tt_rng_normal(rng, x, n);
        for (size_t j = 0; j < n; j++) x[j] *= scale;
    }
}
