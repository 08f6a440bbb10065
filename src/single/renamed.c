// SPDX-License-Identifier: MIT
#include "single/renamed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

// What checkpoints carry beside the networks: schedules, marks, an average, what training needs.
// Names, or what begins ('.' at the end) or ends ('.' at the beginning) them.
static const char *const idle[] = {
    "model_ema.", "betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod", "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped",
    "posterior_mean_coef1", "posterior_mean_coef2", "lvlb_weights", "logvar", "global_step",
    "v_pred", "ztsnr", "denoiser.", "first_stage_model.loss.", "loss.", "scale_factor",
    ".position_ids", ".logit_scale", "logit_scale", ".attn_mask",
};

static bool is_idle(const char *name) {
    for (size_t i = 0; i < sizeof idle / sizeof *idle; i++) {
        size_t length = strlen(idle[i]);
        if (*idle[i] == '.' ? tt_text_ends(name, idle[i])
            : idle[i][length - 1] == '.' ? !strncmp(name, idle[i], length)
                                         : !strcmp(name, idle[i]))
            return true;
    }
    return false;
}

static bool add(struct tt_renamed *renamed, const struct tt_view *view, const char *name) {
    if (renamed->count == renamed->room) {
        size_t room = renamed->room ? 2 * renamed->room : 256;
        struct tt_view *views = realloc(renamed->views, room * sizeof *views);
        if (!views) return false;
        renamed->views = views;
        renamed->room = room;
    }
    struct tt_view *added = &renamed->views[renamed->count];
    *added = *view;
    added->name = strdup(name);
    return added->name && ++renamed->count;
}

// Three tensors of as many rows under each other, by names with "%s" for the letter of each.
static bool add_thirds(struct tt_renamed *renamed, const struct tt_view *view, const char *names) {
    struct tt_view third = *view;
    const char *at = strstr(names, "%s");
    third.shape.dim[0] /= 3;
    third.bytes /= 3;
    for (int i = 0; i < 3; i++) {
        char name[192];
        snprintf(name, sizeof name, "%.*s%c%s", (int)(at - names), names, "qkv"[i], at + 2);
        third.data = (const unsigned char *)view->data + (size_t)i * third.bytes;
        if (!add(renamed, &third, name)) return false;
    }
    return true;
}

// A matrix with its rows as columns; quantised numbers are widened for it.
static bool add_transposed(struct tt_renamed *renamed, const struct tt_view *view,
                           const char *name) {
    size_t rows = view->shape.dim[0], columns = view->shape.dim[1];
    size_t each = tt_dtype_size(view->dtype), size = rows * columns * (each ? each : sizeof(float));
    const unsigned char *from = view->data;
    struct tt_view turned = *view;
    unsigned char *to = renamed->made ? NULL : malloc(size ? size : 1);
    if (!to) return false;
    renamed->made = to;
    if (!each) turned.dtype = TT_F32;
    for (size_t i = 0; i < rows && !each; i++)
        for (size_t j = 0; j < columns; j++)
            tt_view_floats(view, i * columns + j, 1, (float *)(void *)to + j * rows + i);
    for (size_t i = 0; i < rows && each; i++)
        for (size_t j = 0; j < columns; j++)
            memcpy(to + (j * rows + i) * each, from + (i * columns + j) * each, each);
    turned.shape.dim[0] = columns;
    turned.shape.dim[1] = rows;
    turned.data = to;
    turned.bytes = size;
    return add(renamed, &turned, name);
}

// Blocks of quantised numbers must not reach from one third into the next.
static bool has_thirds(const struct tt_view *view) {
    return view->shape.rank >= 1 && view->shape.dim[0] % 3 == 0 &&
           tt_shape_count(&view->shape) / 3 % tt_dtype_block(view->dtype) == 0;
}

// *known stays as it is where the name is none of the text encoder's.
static bool rename_text(struct tt_renamed *renamed, const struct tt_text_form *form,
                        enum tt_layout layout, const struct tt_view *view, const char *name,
                        bool *known) {
    struct tt_text_name to;
    if (!tt_text_form_name(form, layout, name, &to)) return true;
    *known = true;
    if (to.idle) return true;
    if (to.thirds && has_thirds(view)) return add_thirds(renamed, view, to.text);
    if (to.transposed && view->shape.rank == 2) return add_transposed(renamed, view, to.text);
    return add(renamed, view, to.text);
}

// A 1x1 convolution as the matrix that it is.
static struct tt_view as_matrix(const struct tt_view *view) {
    struct tt_view matrix = *view;
    while (matrix.shape.rank > 2 && matrix.shape.dim[matrix.shape.rank - 1] == 1)
        matrix.shape.rank--;
    return matrix;
}

static bool rename_one(const struct tt_single *single, const struct tt_single_forms *forms,
                       int part, const struct tt_view *view, struct tt_renamed *renamed,
                       bool *known) {
    enum tt_layout layout = single->part[part].layout;
    const char *name = view->name + strlen(single->part[part].prefix);
    bool original = layout == TT_LAYOUT_ORIGINAL, matrix = false;
    char to[256];
    if (part == TT_SINGLE_TEXT || part == TT_SINGLE_TEXT_2)
        return rename_text(renamed, &forms->text[part == TT_SINGLE_TEXT_2], layout, view, name,
                           known);
    if (!original) snprintf(to, sizeof to, "%s", name);
    else if (part == TT_SINGLE_UNET ? !tt_unet_form_name(&forms->unet, name, to, sizeof to)
                                    : !tt_vae_form_name(&forms->vae, name, to, sizeof to, &matrix))
        return true;
    *known = true;
    const struct tt_view plain = matrix ? as_matrix(view) : *view;
    return add(renamed, &plain, to);
}

enum tt_status tt_renamed_make(const struct tt_tensor_file *file, const struct tt_single *single,
                               const struct tt_single_forms *forms,
                               struct tt_renamed renamed[TT_SINGLE_PARTS], size_t *left,
                               const char **first, struct tt_error *err) {
    *left = 0;
    for (size_t i = 0; i < tt_tensor_file_count(file); i++) {
        const struct tt_view *view = tt_tensor_file_at(file, i);
        bool known = is_idle(view->name), done = true;
        for (int part = 0; part < TT_SINGLE_PARTS && done && !known; part++) {
            const char *prefix = single->part[part].prefix;
            if (!single->part[part].layout || strncmp(view->name, prefix, strlen(prefix)))
                continue;
            done = rename_one(single, forms, part, view, &renamed[part], &known);
        }
        if (!done)
            return tt_fail(err, TT_SYSTEM, "%s: out of memory", tt_tensor_file_name(file));
        if (!known && (*left)++ == 0) *first = view->name;
    }
    return TT_OK;
}

void tt_renamed_free(struct tt_renamed *renamed) {
    for (size_t i = 0; i < renamed->count; i++) free((char *)(uintptr_t)renamed->views[i].name);
    free(renamed->views);
    free(renamed->made);
}
