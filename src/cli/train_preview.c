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

static enum tt_status draw_cell(const struct tt_train_data *data, size_t item, bool sized,
                                const struct lettering *letters, const struct cell *cell, size_t x,
                                size_t y, struct tt_image *out, struct tt_error *err) {
    char *name = NULL, told[40];
    bool held = item >= tt_train_data_count(data);
    struct tt_image picture = {0};
    enum tt_status status = tt_train_data_picture(data, item, &picture, err);
    if (status) return status;
    size_t width = picture.width, height = picture.height;
    if (asprintf(&name, "%s%s", held ? "HELD OUT: " : "", tt_train_data_name(data, item)) < 0) {
        tt_image_free(&picture);
        return tt_fail(err, TT_SYSTEM, "out of memory for a preview");
    }
    if (held) frame(out, x - FRAME, y - FRAME, width + 2 * FRAME, height + 2 * FRAME);
    for (size_t row = 0; row < height; row++)
        memcpy(out->rgb + 3 * ((y + row) * out->width + x), picture.rgb + 3 * row * width,
               3 * width);
    tt_image_free(&picture);
    size_t below = y + height + MARGIN / 2, used = 0;
    snprintf(told, sizeof told, "%zu x %zu", width, height);
    if (sized) used = write_text(letters, cell, out, x, below, told, 1, 110);
    used += write_text(letters, cell, out, x, below + used * cell->line, name, 1, held ? 30 : 110);
    free(name);
    const char *caption = tt_train_data_caption(data, item, 0);
    if (caption)
        write_text(letters, cell, out, x, below + used * cell->line, caption,
                   LINES + sized - used, 30);
    return TT_OK;
}

// Rows of cells, each with room for a picture of any size there is.
static enum tt_status draw_cells(const struct tt_train_data *data, bool sized,
                                 const struct lettering *letters, const struct cell *cell,
                                 const size_t *items, size_t count, struct tt_image *out,
                                 struct tt_error *err) {
    size_t columns = count < COLUMNS ? count : COLUMNS, rows = (count + columns - 1) / columns;
    *out = (struct tt_image){columns * cell->width + MARGIN, rows * cell->height + MARGIN, NULL};
    out->rgb = malloc(3 * out->width * out->height);
    enum tt_status status =
        out->rgb ? TT_OK : tt_fail(err, TT_SYSTEM, "out of memory for a preview");
    if (out->rgb) memset(out->rgb, 255, 3 * out->width * out->height);
    for (size_t i = 0; !status && i < count; i++)
        status = draw_cell(data, items[i], sized, letters, cell, MARGIN + i % columns * cell->width,
                           MARGIN + i / columns * cell->height, out, err);
    if (status) tt_image_free(out);
    return status;
}

enum tt_status preview_draw(const struct tt_train_data *data, bool sized, struct tt_image *out,
                            struct tt_error *err) {
    size_t items[COLUMNS * ROWS], width = 0, height = 0;
    size_t trained = tt_train_data_count(data), held = tt_train_data_held(data);
    for (size_t i = 0; i < trained + held; i++) {
        size_t w, h;
        tt_train_data_size(data, i, &w, &h);
        if (w > width) width = w;
        if (h > height) height = h;
    }
    struct lettering *letters = lettering_new(LETTERS);
    if (!letters) return tt_fail(err, TT_SYSTEM, "out of memory for a preview");
    struct cell cell = {(width > NARROWEST ? width : NARROWEST) + MARGIN, 0,
                        lettering_line(letters)};
    cell.height = height + MARGIN + (LINES + sized) * cell.line;
    size_t most = TT_IMAGE_PIXELS / 4 / (cell.width * cell.height);
    if (most > COLUMNS * ROWS) most = COLUMNS * ROWS;
    if (!most) most = 1;
    // Of those held out, which come last, a quarter of the cells at least.
    if (held > most / 4 && trained + held > most)
        held = most / 4 + (trained < most - most / 4 ? most - most / 4 - trained : 0);
    size_t count = trained + held < most ? trained + held : most;
    enum tt_status status = tt_train_data_order(data, items, count - held, err);
    for (size_t i = count - held; i < count; i++) items[i] = trained + i - (count - held);
    if (!status) status = draw_cells(data, sized, letters, &cell, items, count, out, err);
    lettering_free(letters);
    return status;
}
