// SPDX-License-Identifier: MIT
// A file of textual inversion. Sources of the forms: diffusers, loaders/textual_inversion.py;
// stable-diffusion-webui, modules/textual_inversion/textual_inversion.py.
#include "text/inversion.h"

#include "base/finite.h"
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const pair[TT_ENCODERS] = {"clip_l", "clip_g"};

static enum tt_status open(struct tt_files *files, const char *path, struct tt_bytes *bytes,
                           struct tt_safetensors **file, struct tt_error *err) {
    *file = NULL;
    *bytes = (struct tt_bytes){0};
    if (tt_text_ends(path, ".pt") || tt_text_ends(path, ".bin") || tt_text_ends(path, ".pth"))
        return tt_fail(err, TT_BAD_INPUT, "%s: found a pickle by its name, expected .safetensors: "
                       "a pickle is a program, which is not run here; convert it where it is "
                       "trusted", path);
    enum tt_status status = tt_file_map(files, path, bytes, err);
    return status ? status : tt_safetensors_open_memory(path, bytes->data, bytes->size, file, err);
}

// "a, b, c and 5 more" into text.
static char *name_tensors(const struct tt_safetensors *file, char *text, size_t size) {
    size_t count = tt_safetensors_count(file), used = 0;
    text[0] = 0;
    for (size_t i = 0; i < count && i < 3 && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%.40s", i ? ", " : "",
                                 tt_safetensors_at(file, i)->name);
    if (count > 3 && used < size) snprintf(text + used, size - used, " and %zu more", count - 3);
    return text;
}

static enum tt_status fail_form(const struct tt_safetensors *file, const char *expected,
                                struct tt_error *err) {
    char names[160];
    return tt_fail(err, TT_BAD_INPUT, "%s: found tensors %s, expected %s",
                   tt_safetensors_name(file), name_tensors(file, names, sizeof names), expected);
}

// What takes vectors of a width.
static const char *family(size_t width) {
    return width == 768 ? ": Stable Diffusion 1.x takes these" :
           width == 1024 ? ": Stable Diffusion 2.x takes these" : "";
}

// The tensors of the encoders that the model has.
static enum tt_status find(const struct tt_inversions *list, const struct tt_safetensors *file,
                           const struct tt_view *views[TT_ENCODERS], struct tt_error *err) {
    size_t count = tt_safetensors_count(file);
    bool pairs = list->widths[1] != 0, found = count == 2;
    for (size_t i = 0; i < TT_ENCODERS; i++) {
        views[i] = tt_safetensors_find(file, pair[i]);
        found &= views[i] != NULL;
    }
    if (pairs && count == 1 && !found) {
        const struct tt_view *view = tt_safetensors_at(file, 0);
        size_t width = view->shape.rank ? view->shape.dim[view->shape.rank - 1] : 0;
        return tt_fail(err, TT_BAD_INPUT, "%s: found one tensor '%.80s' of width %zu, expected a "
                       "pair, clip_l and clip_g, for an SDXL model's two text encoders%s",
                       tt_safetensors_name(file), view->name, width, family(width));
    }
    if (pairs && !found) return fail_form(file, "a pair, clip_l and clip_g", err);
    if (!pairs && found)
        return fail_form(file, "one tensor: this model has one text encoder, and an SDXL model "
                         "would take the pair", err);
    if (!pairs && count != 1) return fail_form(file, "one tensor (diffusers) or emb_params", err);
    if (!pairs) views[0] = tt_safetensors_at(file, 0);
    return TT_OK;
}

static enum tt_status check(const struct tt_inversions *list, const char *path,
                            const struct tt_view *view, size_t width, size_t *vectors,
                            struct tt_error *err) {
    const struct tt_shape *s = &view->shape;
    char shape[96];
    bool number = view->dtype == TT_F32 || view->dtype == TT_F16 || view->dtype == TT_BF16 ||
                  view->dtype == TT_F64;
    if (!number || s->rank < 1 || s->rank > 2 || !s->dim[0])
        return tt_fail(err, TT_BAD_INPUT, "%s: %.80s: found %s of shape %s, expected floats of "
                       "shape (n, %zu)", path, view->name, tt_dtype_name(view->dtype),
                       tt_shape_text(s, shape, sizeof shape), width);
    if (s->dim[s->rank - 1] != width)
        return tt_fail(err, TT_BAD_INPUT, "%s: %.80s: found vectors of width %zu, expected %zu, as "
                       "the text encoder's%s", path, view->name, s->dim[s->rank - 1], width,
                       family(s->dim[s->rank - 1]));
    size_t n = s->rank == 2 ? s->dim[0] : 1;
    if (n > list->longest)
        return tt_fail(err, TT_BAD_INPUT, "%s: %.80s: found %zu vectors, expected at most %zu, "
                       "which a prompt has room for", path, view->name, n, list->longest);
    if (*vectors && *vectors != n)
        return tt_fail(err, TT_BAD_INPUT, "%s: found %zu vectors in clip_l and %zu in clip_g, "
                       "expected as many", path, *vectors, n);
    *vectors = n;
    return TT_OK;
}

enum tt_status tt_inversion_take(struct tt_inversions *list, const struct tt_safetensors *file,
                                 struct tt_inversion *inversion, struct tt_error *err) {
    const struct tt_view *views[TT_ENCODERS] = {NULL};
    size_t vectors = 0;
    enum tt_status status = find(list, file, views, err);
    for (size_t i = 0; i < TT_ENCODERS && !status; i++)
        if (list->widths[i])
            status = check(list, inversion->path, views[i], list->widths[i], &vectors, err);
    for (size_t i = 0; i < TT_ENCODERS && !status; i++) {
        size_t n = vectors * list->widths[i], first;
        if (!n) continue;
        float *rows = inversion->rows[i] = malloc(n * sizeof *rows);
        if (!rows) return tt_fail(err, TT_SYSTEM, "out of memory for %s", inversion->path);
        tt_view_floats(views[i], 0, n, rows);
        if (tt_count_not_finite(rows, n, &first))
            return tt_fail(err, TT_BAD_INPUT, "%s: %.80s: found %g at element %zu, expected finite "
                           "numbers", inversion->path, views[i]->name, (double)rows[first], first);
    }
    size_t all = list->vectors + vectors;
    size_t *owners = status ? NULL : realloc(list->owners, all * sizeof *owners);
    if (status) return status;
    if (!owners) return tt_fail(err, TT_SYSTEM, "out of memory for %s", inversion->path);
    for (size_t i = list->vectors; i < all; i++) owners[i] = (size_t)(inversion - list->data);
    list->owners = owners;
    inversion->vectors = vectors;
    inversion->first = list->vectors;
    inversion->read = true;
    list->vectors = all;
    return TT_OK;
}

enum tt_status tt_inversion_read(struct tt_inversions *list, struct tt_inversion *inversion,
                                 struct tt_error *err) {
    struct tt_safetensors *file;
    struct tt_bytes bytes;
    enum tt_status status = open(list->files, inversion->path, &bytes, &file, err);
    if (!status) tt_bytes_digest(bytes.data, bytes.size, inversion->digest);
    if (!status) status = tt_inversion_take(list, file, inversion, err);
    tt_safetensors_close(file);
    tt_bytes_free(&bytes);
    return status;
}

enum tt_status tt_inversion_own_word(struct tt_files *files, const char *path, char **word,
                                     struct tt_error *err) {
    struct tt_safetensors *file;
    struct tt_bytes bytes;
    *word = NULL;
    enum tt_status status = open(files, path, &bytes, &file, err);
    const char *name = !status && tt_safetensors_count(file) == 1
                           ? tt_safetensors_at(file, 0)->name : NULL;
    if (name && strcmp(name, "emb_params") && strcmp(name, pair[0]) && strcmp(name, pair[1])) {
        *word = strdup(name);
        if (!*word) status = tt_fail(err, TT_SYSTEM, "out of memory for %s", path);
    }
    tt_safetensors_close(file);
    tt_bytes_free(&bytes);
    return status;
}
