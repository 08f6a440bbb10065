// SPDX-License-Identifier: MIT
#include "cli/train_preview.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/lettering.h"

enum { COLUMNS = 4, ROWS = 6, LINES = 5, LETTERS = 12, MARGIN = 8, NARROWEST = 176, FRAME = 3 };

// A cell: the picture, and below it the name and the caption in so many lines.
struct cell {
    size_t width, height, line;
};

// Text from (x, y) on, in `lines` of the cell's lines at most; returns how many it took.
static size_t write_text(const struct lettering *letters, const struct cell *cell,
                         struct tt_image *out, size_t x, size_t y, const char *text, size_t lines,
                         int grey) {
    size_t used = 0, next = 0;
    for (const char *at = text; *at && used < lines; at += next, used++) {
        size_t bytes = lettering_break(letters, at, cell->width - MARGIN, &next);
        lettering_draw(letters, out, x, y + used * cell->line, at, bytes, grey);
        if (!next) break;
    }
    return used;
}

// An orange rectangle, on which a picture is laid that is held out.
static void frame(struct tt_image *out, size_t x, size_t y, size_t width, size_t height) {
    static const uint8_t orange[] = {213, 94, 0};
    for (size_t i = 0; i < width * height; i++)
        memcpy(out->rgb + 3 * ((y + i / width) * out->width + x + i % width), orange, 3);
}

static enum tt_status draw_cell(const struct tt_dataset *data, size_t item, bool sized,
                                const struct lettering *letters, const struct cell *cell,
                                float *picture, size_t x, size_t y, struct tt_image *out,
                                struct tt_error *err) {
    char *name = NULL, told[40];
    bool held = item >= tt_dataset_count(data);
    struct tt_picture_size size = tt_dataset_size(data, item);
    size_t width = size.width, height = size.height;
    enum tt_status status = tt_dataset_picture(data, item, false, picture, err);
    if (status) return status;
    if (asprintf(&name, "%s%s", held ? "HELD OUT: " : "", tt_dataset_name(data, item)) < 0)
        return tt_fail(err, TT_SYSTEM, "out of memory for a preview");
    if (held) frame(out, x - FRAME, y - FRAME, width + 2 * FRAME, height + 2 * FRAME);
    for (size_t i = 0; i < 3 * width * height; i++) {
        size_t row = i / (3 * width), column = i / 3 % width;
        out->rgb[3 * ((y + row) * out->width + x + column) + i % 3] =
            (uint8_t)(picture[i % 3 * width * height + i / 3] * 127.5f + 128.0f);
    }
    size_t below = y + height + MARGIN / 2, used = 0;
    snprintf(told, sizeof told, "%zu x %zu", width, height);
    if (sized) used = write_text(letters, cell, out, x, below, told, 1, 110);
    used += write_text(letters, cell, out, x, below + used * cell->line, name, 1, held ? 30 : 110);
    free(name);
    if (tt_dataset_captions(data, item))
        write_text(letters, cell, out, x, below + used * cell->line,
                   tt_dataset_caption(data, item, 0), LINES + sized - used, 30);
    return TT_OK;
}

// The first `shown` pictures in the order of training, and behind them those held out, until
// `count`.
static enum tt_status first_items(const struct tt_dataset *data, const struct tt_buckets *buckets,
                                  uint64_t seed, size_t shown, size_t count, size_t *items,
                                  struct tt_error *err) {
    size_t n = 0, *batch = malloc((buckets ? buckets->batch : 1) * sizeof *batch);
    if (!batch) return tt_fail(err, TT_SYSTEM, "out of memory for a batch");
    for (uint64_t i = 0; n < shown; i++) {
        size_t taken = 1;
        if (buckets) taken = tt_buckets_batch(buckets, seed, i, batch);
        else batch[0] = tt_dataset_order(data, seed, i);
        for (size_t k = 0; k < taken && n < shown; k++) items[n++] = batch[k];
    }
    for (size_t i = tt_dataset_count(data); n < count; i++) items[n++] = i;
    free(batch);
    return TT_OK;
}

// Rows of cells, each with room for a picture of any size there is.
static enum tt_status draw_cells(const struct tt_dataset *data, bool sized,
                                 const struct lettering *letters, const struct cell *cell,
                                 const size_t *items, size_t count, float *picture,
                                 struct tt_image *out, struct tt_error *err) {
    size_t columns = count < COLUMNS ? count : COLUMNS, rows = (count + columns - 1) / columns;
    *out = (struct tt_image){columns * cell->width + MARGIN, rows * cell->height + MARGIN, NULL};
    out->rgb = malloc(3 * out->width * out->height);
    enum tt_status status =
        out->rgb ? TT_OK : tt_fail(err, TT_SYSTEM, "out of memory for a preview");
    if (out->rgb) memset(out->rgb, 255, 3 * out->width * out->height);
    for (size_t i = 0; !status && i < count; i++)
        status = draw_cell(data, items[i], sized, letters, cell, picture,
                           MARGIN + i % columns * cell->width, MARGIN + i / columns * cell->height,
                           out, err);
    if (status) tt_image_free(out);
    return status;
}

enum tt_status preview_draw(const struct tt_dataset *data, const struct tt_buckets *buckets,
                            uint64_t seed, struct tt_image *out, struct tt_error *err) {
    size_t items[COLUMNS * ROWS], width = 0, height = 0;
    size_t trained = tt_dataset_count(data), held = tt_dataset_held(data);
    for (size_t i = 0; i < trained + held; i++) {
        struct tt_picture_size size = tt_dataset_size(data, i);
        if (size.width > width) width = size.width;
        if (size.height > height) height = size.height;
    }
    struct lettering *letters = lettering_new(LETTERS);
    float *picture = malloc(3 * width * height * sizeof *picture);
    if (!letters || !picture) {
        lettering_free(letters);
        free(picture);
        return tt_fail(err, TT_SYSTEM, "out of memory for a preview");
    }
    struct cell cell = {(width > NARROWEST ? width : NARROWEST) + MARGIN, 0,
                        lettering_line(letters)};
    cell.height = height + MARGIN + (LINES + (buckets != NULL)) * cell.line;
    size_t most = TT_IMAGE_PIXELS / 4 / (cell.width * cell.height);
    if (most > COLUMNS * ROWS) most = COLUMNS * ROWS;
    if (!most) most = 1;
    // Of those held out, which come last, a quarter of the cells at least.
    if (held > most / 4 && trained + held > most)
        held = most / 4 + (trained < most - most / 4 ? most - most / 4 - trained : 0);
    size_t count = trained + held < most ? trained + held : most;
    enum tt_status status = first_items(data, buckets, seed, count - held, count, items, err);
    if (!status)
        status = draw_cells(data, buckets != NULL, letters, &cell, items, count, picture, out, err);
    lettering_free(letters);
    free(picture);
    return status;
}
