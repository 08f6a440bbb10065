// SPDX-License-Identifier: MIT
#include "cli/sheet.h"

#include <stdlib.h>
#include <string.h>

#include "cli/lettering.h"

enum { TITLE_LINES = 3, LABEL_LINES = 4, INK = 30, PALE = 110 };

enum tt_status sheet_open(struct sheet *sheet, bool captioned, struct tt_error *err) {
    size_t n = sheet->columns * sheet->rows;
    if (sheet->columns * sheet->width > TT_IMAGE_SIDE || sheet->rows * sheet->height > TT_IMAGE_SIDE
        || n * sheet->width * sheet->height > TT_IMAGE_PIXELS)
        return tt_fail(err, TT_BAD_INPUT,
                       "sheet: found %zu x %zu pictures of %zu x %zu pixels, expected sides of at "
                       "most %d and at most %d pixels", sheet->columns, sheet->rows, sheet->width,
                       sheet->height, TT_IMAGE_SIDE, TT_IMAGE_PIXELS);
    sheet->pictures = calloc(n, sizeof *sheet->pictures);
    if (captioned) sheet->captions = calloc(n, sizeof *sheet->captions);
    if (!sheet->pictures || (captioned && !sheet->captions))
        return tt_fail(err, TT_SYSTEM, "out of memory for %zu pictures", n);
    return TT_OK;
}

void sheet_close(struct sheet *sheet) {
    for (size_t i = 0; sheet->pictures && i < sheet->columns * sheet->rows; i++)
        tt_image_free(&sheet->pictures[i]);
    free(sheet->pictures);
    free(sheet->captions);
    *sheet = (struct sheet){0};
}

// Where everything goes, in pixels.
struct layout {
    struct lettering *letters;
    size_t line, margin, gap;
    size_t cell;            // width of a column: of the picture, or more where labels need it
    size_t gutter;          // left of the pictures, for the rows' labels
    size_t title_top, name_top, top, pitch, width, height;
};

static size_t greater(size_t a, size_t b) { return a > b ? a : b; }
static size_t lesser(size_t a, size_t b) { return a < b ? a : b; }

static size_t lines_of(const struct lettering *l, const char *text, size_t width, size_t most) {
    size_t lines = 0, next;
    for (const char *at = text; at && *at && lines < most; at += next, lines++)
        lettering_break(l, at, width, &next);
    return lines;
}

static size_t most_lines(const struct lettering *l, const char *const *texts, size_t n,
                         size_t width) {
    size_t most = 0;
    for (size_t i = 0; i < n; i++) most = greater(most, lines_of(l, texts[i], width, LABEL_LINES));
    return most;
}

static size_t widest(const struct lettering *l, const char *const *texts, size_t n) {
    size_t most = 0;
    for (size_t i = 0; i < n; i++)
        if (texts[i]) most = greater(most, lettering_width(l, texts[i], strlen(texts[i])));
    return most;
}

static enum tt_status lay_out(const struct sheet *s, struct layout *l, struct tt_error *err) {
    size_t px = lesser(greater(s->width / 9, 14), 32);
    if (!(l->letters = lettering_new((double)px))) return tt_fail(err, TT_SYSTEM, "out of memory");
    l->line = lettering_line(l->letters);
    l->margin = px;
    l->gap = greater(px / 2, 4);
    // Names and captions are short: they widen a column. Long labels, prompts, are wrapped.
    size_t captions = 0, comfortable = 10 * px;
    for (size_t i = 0; s->captions && i < s->columns * s->rows; i++)
        captions = greater(captions, lettering_width(l->letters, s->captions[i],
                                                     strlen(s->captions[i])));
    l->cell = greater(s->width, lesser(greater(captions, widest(l->letters, s->x, s->columns)),
                                       comfortable));
    size_t left = lesser(widest(l->letters, s->y, s->rows), comfortable);
    l->gutter = left ? greater(left, widest(l->letters, &s->y_name, 1)) + l->gap : 0;
    l->width = 2 * l->margin + l->gutter + s->columns * (l->cell + l->gap) - l->gap;

    size_t inner = l->width - 2 * l->margin, y = l->margin;
    l->title_top = y;
    y += lines_of(l->letters, s->title, inner, TITLE_LINES) * l->line + (s->title ? l->gap : 0);
    l->name_top = y;
    if (s->x_name) y += l->line;
    size_t labels = most_lines(l->letters, s->x, s->columns, l->cell);
    if (!labels && s->y_name) labels = 1; // its name stands there
    y += labels * l->line + (labels ? l->gap / 2 : 0);
    l->top = y;
    size_t below = (s->captions ? l->line : 0) + l->gap;
    l->pitch = greater(s->height + below,
                       most_lines(l->letters, s->y, s->rows, l->gutter) * l->line + l->gap);
    l->height = y + s->rows * l->pitch - l->gap + l->margin;
    return TT_OK;
}

enum align { LEFT, CENTRE, RIGHT };

// At most `most` lines of text in a box of width pixels from x on; a text that is cut ends in dots.
static void write_lines(const struct layout *l, struct tt_image *out, const char *text, size_t x,
                        size_t y, size_t width, size_t most, enum align align, int grey) {
    for (size_t line = 0, next; text && *text && line < most; line++, text += next, y += l->line) {
        size_t bytes = lettering_break(l->letters, text, width, &next);
        size_t wide = lettering_width(l->letters, text, bytes), dots = 0;
        bool cut = line + 1 == most && text[next];
        if (cut) {
            dots = lettering_width(l->letters, "\u2026", 3);
            while (bytes && wide + dots > width) {
                do bytes--;
                while (bytes && ((unsigned char)text[bytes] & 0xc0) == 0x80);
                wide = lettering_width(l->letters, text, bytes);
            }
        }
        size_t free_width = width > wide + dots ? width - wide - dots : 0;
        size_t left = x + (align == LEFT ? 0 : align == RIGHT ? free_width : free_width / 2);
        lettering_draw(l->letters, out, left, y, text, bytes, grey);
        if (cut) lettering_draw(l->letters, out, left + wide, y, "\u2026", 3, grey);
    }
}

static void put_picture(struct tt_image *out, const struct tt_image *picture, size_t x, size_t y) {
    for (size_t row = 0; row < picture->height; row++)
        memcpy(out->rgb + 3 * ((y + row) * out->width + x),
               picture->rgb + 3 * row * picture->width, 3 * picture->width);
}

static void put_all(const struct sheet *s, const struct layout *l, struct tt_image *out) {
    size_t left = l->margin + l->gutter, across = s->columns * (l->cell + l->gap) - l->gap;
    write_lines(l, out, s->title, l->margin, l->title_top, out->width - 2 * l->margin, TITLE_LINES,
                LEFT, INK);
    write_lines(l, out, s->x_name, left, l->name_top, across, 1, CENTRE, PALE);
    write_lines(l, out, s->y_name, l->margin, l->top - l->gap / 2 - l->line, l->gutter, 1, LEFT,
                PALE);
    for (size_t i = 0; i < s->columns; i++) { // their last lines stand on the pictures
        size_t high = lines_of(l->letters, s->x[i], l->cell, LABEL_LINES) * l->line;
        write_lines(l, out, s->x[i], left + i * (l->cell + l->gap), l->top - l->gap / 2 - high,
                    l->cell, LABEL_LINES, CENTRE, INK);
    }
    for (size_t j = 0; j < s->rows; j++) {
        size_t y = l->top + j * l->pitch, wide = l->gutter ? l->gutter - l->gap : 0;
        size_t high = lines_of(l->letters, s->y[j], wide, LABEL_LINES) * l->line;
        write_lines(l, out, s->y[j], l->margin, y + (s->height > high ? (s->height - high) / 2 : 0),
                    wide, LABEL_LINES, RIGHT, INK);
        for (size_t i = 0; i < s->columns; i++) {
            size_t x = left + i * (l->cell + l->gap), k = j * s->columns + i;
            if (s->pictures[k].rgb)
                put_picture(out, &s->pictures[k], x + (l->cell - s->width) / 2, y);
            if (s->captions)
                write_lines(l, out, s->captions[k], x, y + s->height, l->cell, 1, CENTRE, PALE);
        }
    }
}

enum tt_status sheet_draw(const struct sheet *sheet, struct tt_image *out, struct tt_error *err) {
    struct layout l = {0};
    enum tt_status status = lay_out(sheet, &l, err);
    *out = (struct tt_image){l.width, l.height, NULL};
    if (!status && (l.width > TT_IMAGE_SIDE || l.height > TT_IMAGE_SIDE ||
                    l.width * l.height > TT_IMAGE_PIXELS))
        status = tt_fail(err, TT_BAD_INPUT,
                         "sheet: found %zu x %zu pixels, expected sides of at most %d and at most "
                         "%d pixels", l.width, l.height, TT_IMAGE_SIDE, TT_IMAGE_PIXELS);
    if (!status && !(out->rgb = malloc(3 * l.width * l.height)))
        status = tt_fail(err, TT_SYSTEM, "out of memory for %zu x %zu pixels", l.width, l.height);
    if (!status) {
        memset(out->rgb, 255, 3 * l.width * l.height);
        put_all(sheet, &l, out);
    }
    lettering_free(l.letters);
    return status;
}
