// SPDX-License-Identifier: MIT
// Calls of a model's parts by the names of their inputs and outputs, which are checked, and those
// of Stable Diffusion's parts as functions.
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- calls by name ----

enum { NONE = -1 };

// The field that an axis stands for; NULL: the configuration's number.
static size_t *axis_of(struct tt_size *size, char axis) {
    switch (axis) {
    case 'N': return &size->n;
    case 'H': return &size->height;
    case 'W': return &size->width;
    case 'T': return &size->tokens;
    default: return NULL;
    }
}

static int find_named(const struct tt_named *names, const char *name) {
    for (int i = 0; names[i].name; i++)
        if (!strcmp(names[i].name, name)) return i;
    return NONE;
}

static enum tt_status fail_unknown(const struct tt_model *model, enum tt_part part,
                                   const char *what, const struct tt_named *names,
                                   const char *found, struct tt_error *err) {
    char list[256] = "";
    size_t used = 0;
    for (size_t i = 0; names[i].name; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "",
                                 names[i].name);
    return tt_fail(err, TT_BAD_INPUT, "%s '%.100s': found it, expected one of %s of %s of %s, each "
                   "once", what, found, list, tt_part_name(part), model->info.name);
}

// What of a list of tensors is which of the network's.
static enum tt_status sort(const struct tt_model *model, enum tt_part part, const char *what,
                           const struct tt_named *names, const char *name, size_t i,
                           int *which, struct tt_error *err) {
    int at = name ? find_named(names, name) : NONE;
    if (at == NONE || which[at] != NONE)
        return fail_unknown(model, part, what, names, name ? name : "(no name)", err);
    which[at] = (int)i;
    return TT_OK;
}

// "(N, 4, H, W)": sizes that `bound` does not have yet are letters.
static void expected_text(const struct tt_model *model, enum tt_part part, bool output, int i,
                          struct tt_size bound, char *text, size_t size) {
    struct tt_network network = {0};
    struct tt_size any = {1, TT_ANY_SIDE, TT_ANY_SIDE, 1}, whole = bound;
    for (const char *axis = "NHWT"; *axis; axis++)
        if (!*axis_of(&whole, *axis)) *axis_of(&whole, *axis) = *axis_of(&any, *axis);
    const struct tt_part_network *of = model->parts[part].network;
    const char *axes = (output ? of->outputs : of->inputs)[i].axes;
    struct tt_shape shape = {0};
    if (!tt_part_lay_out(model, part, &whole, &network, NULL))
        shape = tt_shape_of(&network.tape, (output ? network.outputs : network.inputs)[i]);
    tt_network_drop(&network);
    size_t used = (size_t)snprintf(text, size, "(");
    for (size_t j = 0; axes[j] && used < size; j++) {
        const size_t *free = axis_of(&bound, axes[j]);
        if ((free && !*free) || j >= shape.rank)
            used += (size_t)snprintf(text + used, size - used, "%s%c", j ? ", " : "", axes[j]);
        else
            used += (size_t)snprintf(text + used, size - used, "%s%zu", j ? ", " : "",
                                     shape.dim[j]);
    }
    if (used < size) snprintf(text + used, size - used, ")");
}

static enum tt_status fail_tensor(const struct tt_model *model, enum tt_part part, bool output,
                                  int i, const char *found, struct tt_size bound,
                                  struct tt_error *err) {
    const struct tt_part_network *of = model->parts[part].network;
    const struct tt_named *named = &(output ? of->outputs : of->inputs)[i];
    char expected[128];
    expected_text(model, part, output, i, bound, expected, sizeof expected);
    return tt_fail(err, TT_BAD_INPUT, "%s '%s': found %s, expected %s of shape %s for %s of %s",
                   output ? "output" : "input", named->name, found, tt_dtype_name(named->dtype),
                   expected, tt_part_name(part), model->info.name);
}

static char *describe(enum tt_dtype dtype, const struct tt_shape *shape, char *text, size_t size) {
    char dims[96];
    snprintf(text, size, "%s of shape %s", tt_dtype_name(dtype),
             tt_shape_text(shape, dims, sizeof dims));
    return text;
}

// The size that the inputs have: each axis from the first of them that has it.
static enum tt_status size_of(const struct tt_model *model, enum tt_part part,
                              const struct tt_view *inputs, size_t count, int *which,
                              struct tt_size *size, struct tt_error *err) {
    const struct tt_named *names = model->parts[part].network->inputs;
    char found[160];
    *size = (struct tt_size){0};
    for (int i = 0; i < TT_NAMED; i++) which[i] = NONE;
    for (size_t i = 0; i < count; i++) {
        enum tt_status status = sort(model, part, "input", names, inputs[i].name, i, which, err);
        if (status) return status;
    }
    for (int i = 0; names[i].name; i++) {
        const struct tt_view *view = which[i] == NONE ? NULL : &inputs[which[i]];
        struct tt_size before = *size;
        if (!view && names[i].presence) continue;
        if (!view) return fail_tensor(model, part, false, i, "none", before, err);
        bool good = view->shape.rank == strlen(names[i].axes) && view->dtype == names[i].dtype;
        for (size_t j = 0; good && names[i].axes[j]; j++) {
            size_t *axis = axis_of(size, names[i].axes[j]);
            if (axis && !*axis) *axis = view->shape.dim[j];
            good = !axis || *axis == view->shape.dim[j];
        }
        if (!good)
            return fail_tensor(model, part, false, i,
                               describe(view->dtype, &view->shape, found, sizeof found), before,
                               err);
    }
    return tt_check_size(model, part, size, err);
}

// Whether a tensor is what the network has there; its bytes are as many as its shape says.
static enum tt_status check_tensor(const struct tt_model *model, enum tt_part part, bool output,
                                   int i, const struct tt_network *laid, enum tt_dtype dtype,
                                   const struct tt_shape *shape, size_t bytes,
                                   struct tt_error *err) {
    tt_value value = (output ? laid->outputs : laid->inputs)[i];
    const struct tt_named *named = &(output ? laid->of->outputs : laid->of->inputs)[i];
    struct tt_shape expected = tt_shape_of(&laid->tape, value);
    char found[160];
    if (value == TT_NO_VALUE)
        return tt_fail(err, TT_BAD_INPUT, "%s '%s': found it, expected none: the configuration of "
                       "%s of %s is without it", output ? "output" : "input", named->name,
                       tt_part_name(part), model->info.name);
    if (!tt_shape_equal(&expected, shape) || dtype != named->dtype) {
        describe(dtype, shape, found, sizeof found);
        return fail_tensor(model, part, output, i, found,
                           output ? laid->size : (struct tt_size){0}, err);
    }
    size_t wanted = tt_shape_count(shape) * tt_dtype_size(dtype);
    if (bytes == wanted) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "%s '%s': found %zu bytes, expected %zu",
                   output ? "output" : "input", named->name, bytes, wanted);
}

struct given {
    const struct tt_view *inputs;
    const struct tt_room *outputs;
    int input[TT_NAMED], output[TT_NAMED]; // which of those is which of the network's
};

static enum tt_status check_given(const struct tt_model *model, enum tt_part part,
                                  const struct given *g, const struct tt_network *laid,
                                  struct tt_error *err) {
    enum tt_status status = TT_OK;
    for (int i = 0; !status && laid->of->inputs[i].name; i++) {
        bool absent = g->input[i] == NONE;
        if (absent && laid->of->inputs[i].presence == TT_WHERE_READ &&
            laid->inputs[i] != TT_NO_VALUE)
            return fail_tensor(model, part, false, i, "none", laid->size, err);
        if (absent) continue;
        const struct tt_view *view = &g->inputs[g->input[i]];
        status = check_tensor(model, part, false, i, laid, view->dtype, &view->shape, view->bytes,
                              err);
    }
    for (int i = 0; !status && laid->of->outputs[i].name; i++) {
        if (g->output[i] == NONE) continue;
        const struct tt_room *room = &g->outputs[g->output[i]];
        status = check_tensor(model, part, true, i, laid, room->dtype, &room->shape, room->bytes,
                              err);
    }
    return status;
}

// Before anything is loaded. planned: of this size, or NULL.
static enum tt_status check_call(const struct tt_model *model, enum tt_part part,
                                 const struct tt_network *planned, const struct given *g,
                                 const struct tt_size *size, struct tt_error *err) {
    if (planned) return check_given(model, part, g, planned, err);
    struct tt_network laid = {0};
    enum tt_status status = tt_part_lay_out(model, part, size, &laid, err);
    if (!status) status = check_given(model, part, g, &laid, err);
    tt_network_drop(&laid);
    return status;
}

enum tt_status tt_part_size_of(const struct tt_model *model, int part,
                               const struct tt_view *inputs, size_t count, struct tt_size *size,
                               struct tt_error *err) {
    struct given g = {.inputs = inputs};
    struct tt_size s;
    enum tt_status status = tt_check_part(model, part, err);
    for (int i = 0; i < TT_NAMED; i++) g.output[i] = NONE;
    if (!status) status = size_of(model, part, inputs, count, g.input, &s, err);
    if (!status) status = check_call(model, part, NULL, &g, &s, err);
    if (!status) *size = s;
    return status;
}

enum tt_status tt_part_run(struct tt_session *session, int part, const struct tt_view *inputs,
                           size_t input_count, const struct tt_room *outputs, size_t output_count,
                           struct tt_error *err) {
    const struct tt_model *model = session->model;
    struct given g = {.inputs = inputs, .outputs = outputs};
    struct tt_arrays arrays = {{NULL}, {NULL}};
    struct tt_size size;
    enum tt_status status = tt_check_part(model, part, err);
    if (!status) status = size_of(model, part, inputs, input_count, g.input, &size, err);
    for (int i = 0; i < TT_NAMED; i++) g.output[i] = NONE;
    for (size_t i = 0; !status && i < output_count; i++)
        status = sort(model, part, "output", model->parts[part].network->outputs, outputs[i].name,
                      i, g.output, err);
    if (!status)
        status = check_call(model, part, tt_session_network(session, part, &size), &g, &size, err);
    if (status) return status;
    for (int i = 0; i < TT_NAMED; i++) {
        if (g.input[i] != NONE) arrays.in[i] = inputs[g.input[i]].data;
        if (g.output[i] != NONE) arrays.out[i] = outputs[g.output[i]].data;
    }
    return tt_session_call(session, part, size, &arrays, err);
}

// ---- the calls of Stable Diffusion's parts, whose arrays have the shapes that the size says ----

struct array {
    const char *name;
    const void *data;
};

static enum tt_status call_with(struct tt_session *session, enum tt_part part, struct tt_size size,
                                const struct array *in, size_t count, float *out,
                                struct tt_error *err) {
    const struct tt_model *model = session->model;
    struct tt_arrays arrays = {{NULL}, {out}};
    enum tt_status status = tt_check_part(model, part, err);
    for (size_t i = 0; !status && i < count; i++) {
        int at = find_named(model->parts[part].network->inputs, in[i].name);
        if (at != NONE) arrays.in[at] = in[i].data;
    }
    return status ? status : tt_session_call(session, part, size, &arrays, err);
}

enum tt_status tt_session_text(struct tt_session *session, const int32_t *ids, size_t n,
                               size_t tokens, float *hidden, struct tt_error *err) {
    struct tt_size size = {.n = n, .tokens = tokens};
    return call_with(session, TT_PART_TEXT, size, &(struct array){"input_ids", ids}, 1, hidden,
                     err);
}

// The guidance scale's embedding for a batch of n. NULL: out of memory.
static float *guidance_conditions(double scale, size_t n, size_t width) {
    float *conditions = calloc(n, width * sizeof *conditions);
    if (!conditions) return NULL;
    tt_guidance_embedding(scale, width, conditions);
    for (size_t i = 1; i < n; i++)
        memcpy(conditions + i * width, conditions, width * sizeof *conditions);
    return conditions;
}

// scale NULL: without its embedding.
static enum tt_status call_unet(struct tt_session *session, struct tt_size size,
                                const float *sample, const float *timesteps,
                                const struct tt_told *told, const double *scale, float *out,
                                struct tt_error *err) {
    const struct tt_model_info *info = &session->model->info;
    size_t width = scale ? info->guidance_width : 0;
    if (info->pooled_width && !told->text_embeds)
        return tt_fail(err, TT_BAD_INPUT, "text_embeds, time_ids: found none, expected a call by "
                       "name (tt_part_run): %s is told more than embeddings", info->name);
    // Checks the size.
    enum tt_status status = width ? tt_session_prepare(session, TT_PART_UNET, size, err) : TT_OK;
    if (status) return status;
    float *conditions = width ? guidance_conditions(*scale, size.n, width) : NULL;
    if (width && !conditions)
        return tt_fail(err, TT_SYSTEM, "out of memory for a guidance embedding");
    const struct array in[] = {
        {"sample", sample}, {"timestep", timesteps}, {"encoder_hidden_states", told->embeddings},
        {"timestep_cond", conditions}, {"text_embeds", told->text_embeds},
        {"time_ids", told->text_embeds ? told->time_ids : NULL}};
    status = call_with(session, TT_PART_UNET, size, in, sizeof in / sizeof *in, out, err);
    free(conditions);
    return status;
}

enum tt_status tt_session_unet(struct tt_session *session, struct tt_size size,
                               const float *sample, const float *timesteps,
                               const float *embeddings, float *out, struct tt_error *err) {
    struct tt_told told = {.embeddings = embeddings};
    return call_unet(session, size, sample, timesteps, &told, NULL, out, err);
}

enum tt_status tt_session_unet_guided(struct tt_session *session, struct tt_size size,
                                      const float *sample, const float *timesteps,
                                      const float *embeddings, double guidance_scale, float *out,
                                      struct tt_error *err) {
    struct tt_told told = {.embeddings = embeddings};
    return call_unet(session, size, sample, timesteps, &told, &guidance_scale, out, err);
}

enum tt_status tt_session_unet_told(struct tt_session *session, struct tt_size size,
                                    const float *sample, const float *timesteps,
                                    const struct tt_told *told, float *out, struct tt_error *err) {
    return call_unet(session, size, sample, timesteps, told, &told->guidance_scale, out, err);
}

enum tt_status tt_session_encode(struct tt_session *session, struct tt_size size,
                                 const float *image, float *moments, struct tt_error *err) {
    return call_with(session, TT_PART_VAE_ENCODE, size, &(struct array){"sample", image}, 1,
                     moments, err);
}

enum tt_status tt_session_decode(struct tt_session *session, struct tt_size size,
                                 const float *latents, float *image, struct tt_error *err) {
    return call_with(session, TT_PART_VAE_DECODE, size, &(struct array){"sample", latents}, 1,
                     image, err);
}
