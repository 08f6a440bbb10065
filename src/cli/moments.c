// SPDX-License-Identifier: MIT
#include "cli/moments.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum tt_status moments_begin(struct moments *m, size_t count, struct tt_error *err) {
    m->count = count;
    m->list = count ? calloc(count, sizeof *m->list) : NULL;
    return count && !m->list ? tt_fail(err, TT_SYSTEM, "out of memory for a strip") : TT_OK;
}

void moments_free(struct moments *m) {
    for (size_t i = 0; m->list && i < m->count; i++) free(m->list[i].latents);
    free(m->list);
    *m = (struct moments){0};
}

void moments_shown(const struct tt_progress *seen, float *out) {
    size_t n = tt_shape_count(&seen->shape);
    if (seen->next < tt_scheduler_calls(seen->scheduler))
        tt_scheduler_scale_input(seen->scheduler, seen->next, seen->latents, out);
    else memcpy(out, seen->latents, n * sizeof *out);
}

// Room for moment i, which comes `done` steps after the beginning, before a call or at the end.
static enum tt_status make_room(struct moments *m, const struct tt_progress *seen, size_t i,
                                size_t done, size_t call, struct tt_error *err) {
    struct moment *moment = &m->list[i];
    free(moment->latents);
    moment->latents = malloc(tt_shape_count(&seen->shape) * sizeof *moment->latents);
    if (!moment->latents) return tt_fail(err, TT_SYSTEM, "out of memory for a strip");
    moment->h = seen->shape.dim[2];
    moment->w = seen->shape.dim[3];
    snprintf(moment->when[0], sizeof moment->when[0], "step %zu", done);
    if (call < tt_scheduler_calls(seen->scheduler))
        snprintf(moment->when[1], sizeof moment->when[1], "t = %.0f",
                 tt_scheduler_timesteps(seen->scheduler)[call]);
    else strcpy(moment->when[1], "picture");
    return TT_OK;
}

// Moment i of N lies after so many of the calls: from none to all.
static size_t call_of(size_t i, size_t moments, size_t calls) {
    return (2 * i * calls + (moments - 1)) / (2 * (moments - 1));
}

enum tt_status moments_keep(struct moments *m, const struct tt_progress *seen,
                            struct tt_error *err) {
    enum tt_status status = TT_OK;
    if (seen->step == 1) { // what the first step began with
        status = make_room(m, seen, 0, 0, seen->next - 1, err);
        if (!status)
            memcpy(m->list[0].latents, seen->input,
                   tt_shape_count(&seen->shape) * sizeof *seen->input);
    }
    for (size_t i = 1; !status && i < m->count; i++) {
        if (call_of(i, m->count, seen->steps) != seen->step) continue;
        status = make_room(m, seen, i, seen->step, seen->next, err);
        if (!status) moments_shown(seen, m->list[i].latents);
    }
    return status;
}

static enum tt_status decode(const struct moment *moment, struct tt_session *decoder, size_t width,
                             size_t height, struct tt_image *image, struct tt_error *err) {
    size_t f = tt_model_info(tt_session_model(decoder))->factor;
    size_t w = f * moment->w, h = f * moment->h;
    *image = (struct tt_image){w, h, malloc(3 * w * h)};
    if (!image->rgb) return tt_fail(err, TT_SYSTEM, "out of memory for a picture");
    enum tt_status status = tt_latents_to_pixels(decoder, moment->latents, moment->h, moment->w,
                                                 image->rgb, err);
    if (status || (w == width && h == height)) return status;
    struct tt_image small = *image;
    *image = (struct tt_image){0};
    status = tt_image_resize(&small, TT_RESIZE_STRETCH, width, height, image, err);
    tt_image_free(&small);
    return status;
}

enum tt_status moments_draw(struct moments *m, struct tt_session *decoder, const char *title,
                            const struct tt_outline *outline, struct tt_image *image,
                            struct tt_error *err) {
    size_t f = tt_model_info(tt_session_model(decoder))->factor;
    struct sheet *sheet = &m->sheet;
    *sheet = (struct sheet){.title = title, .columns = m->count, .rows = 1,
                            .width = f * outline->w, .height = f * outline->h};
    enum tt_status status = sheet_open(sheet, true, err);
    for (size_t i = 0; !status && i < m->count; i++) {
        sheet->x[i] = m->list[i].when[0];
        strcpy(sheet->captions[i], m->list[i].when[1]);
        status = decode(&m->list[i], decoder, sheet->width, sheet->height, &sheet->pictures[i],
                        err);
    }
    if (!status) status = sheet_draw(sheet, image, err);
    sheet_close(sheet);
    return status;
}
