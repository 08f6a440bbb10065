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

static enum tt_status draw_cell(const struct tt_dataset *data, size_t item,
                                const struct lettering *letters, const struct cell *cell,
                                size_t width, size_t height, float *picture, size_t x, size_t y,
                                struct tt_image *out, struct tt_error *err) {
    char *name = NULL;
    bool held = item >= tt_dataset_count(data);
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
    size_t below = y + height + MARGIN / 2;
    size_t used = write_text(letters, cell, out, x, below, name, 1, held ? 30 : 110);
    free(name);
    if (tt_dataset_captions(data, item))
        write_text(letters, cell, out, x, below + used * cell->line,
                   tt_dataset_caption(data, item, 0), LINES - used, 30);
    return TT_OK;
}

enum tt_status preview_draw(const struct tt_dataset *data, uint64_t seed, size_t width,
                            size_t height, struct tt_image *out, struct tt_error *err) {
    struct lettering *letters = lettering_new(LETTERS);
    float *picture = malloc(3 * width * height * sizeof *picture);
    if (!letters || !picture) {
        lettering_free(letters);
        free(picture);
        return tt_fail(err, TT_SYSTEM, "out of memory for a preview");
    }
    struct cell cell = {(width > NARROWEST ? width : NARROWEST) + MARGIN, 0,
                        lettering_line(letters)};
    cell.height = height + MARGIN + LINES * cell.line;
    size_t most = TT_IMAGE_PIXELS / 4 / (cell.width * cell.height);
    size_t trained = tt_dataset_count(data), held = tt_dataset_held(data);
    if (most > COLUMNS * ROWS) most = COLUMNS * ROWS;
    if (!most) most = 1;
    // Of those held out, which come last, a quarter of the cells at least.
    if (held > most / 4 && trained + held > most)
        held = most / 4 + (trained < most - most / 4 ? most - most / 4 - trained : 0);
    size_t count = trained + held < most ? trained + held : most, shown = count - held;
    size_t columns = count < COLUMNS ? count : COLUMNS, rows = (count + columns - 1) / columns;
    *out = (struct tt_image){columns * cell.width + MARGIN, rows * cell.height + MARGIN, NULL};
    out->rgb = malloc(3 * out->width * out->height);
    enum tt_status status =
        out->rgb ? TT_OK : tt_fail(err, TT_SYSTEM, "out of memory for a preview");
    if (out->rgb) memset(out->rgb, 255, 3 * out->width * out->height);
    for (size_t i = 0; !status && i < count; i++)
        status = draw_cell(data, i < shown ? tt_dataset_order(data, seed, i) : trained + i - shown,
                           letters, &cell, width, height, picture,
                           MARGIN + i % columns * cell.width,
                           MARGIN + i / columns * cell.height, out, err);
    lettering_free(letters);
    free(picture);
    if (status) tt_image_free(out);
    return status;
}
