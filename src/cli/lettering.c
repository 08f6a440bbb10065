// SPDX-License-Identifier: MIT
#include "cli/lettering.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#define STB_TRUETYPE_IMPLEMENTATION
#define STBTT_STATIC
#pragma GCC diagnostic ignored "-Wunused-function" // what of the library is not called
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wshadow"
#include <stb/stb_truetype.h>

extern const unsigned char cli_font[]; // font.S of the build

enum { BOX = 96 }; // no glyph of a size in use is wider or higher

struct lettering {
    stbtt_fontinfo font;
    float scale;
    int ascent, line;
};

struct lettering *lettering_new(double pixels) {
    struct lettering *l = malloc(sizeof *l);
    if (!l) return NULL;
    int up, down, gap;
    stbtt_InitFont(&l->font, cli_font, 0);
    l->scale = stbtt_ScaleForPixelHeight(&l->font, (float)pixels);
    stbtt_GetFontVMetrics(&l->font, &up, &down, &gap);
    l->ascent = (int)ceilf((float)up * l->scale);
    l->line = (int)ceilf((float)(up - down + gap) * l->scale);
    return l;
}

void lettering_free(struct lettering *l) { free(l); }

size_t lettering_line(const struct lettering *l) { return (size_t)l->line; }

// The glyph of the character at text and the bytes it takes, at least 1 of the `bytes` left.
static int glyph_at(const struct lettering *l, const char *text, size_t bytes, size_t *taken) {
    int32_t point;
    if (!cli_character(text, bytes, &point, taken)) point = 0xfffd;
    if (point < ' ') point = ' ';
    return stbtt_FindGlyphIndex(&l->font, point);
}

// Moves *pen over one glyph, kerned against the one before it (-1: none).
static void advance(const struct lettering *l, int before, int glyph, float *pen, float *at) {
    int width, bearing;
    stbtt_GetGlyphHMetrics(&l->font, glyph, &width, &bearing);
    if (before >= 0)
        *pen += (float)stbtt_GetGlyphKernAdvance(&l->font, before, glyph) * l->scale;
    *at = *pen;
    *pen += (float)width * l->scale;
}

size_t lettering_width(const struct lettering *l, const char *text, size_t bytes) {
    float pen = 0, at;
    int before = -1;
    for (size_t i = 0, taken; i < bytes; i += taken) {
        int glyph = glyph_at(l, text + i, bytes - i, &taken);
        advance(l, before, glyph, &pen, &at);
        before = glyph;
    }
    return (size_t)ceilf(pen);
}

size_t lettering_break(const struct lettering *l, const char *text, size_t width, size_t *next) {
    size_t length = strcspn(text, "\n"), fits = 0, space = 0;
    for (size_t taken; fits < length; fits += taken) {
        glyph_at(l, text + fits, length - fits, &taken);
        if (fits && lettering_width(l, text, fits + taken) > width) break;
        if (text[fits] == ' ') space = fits;
    }
    if (fits < length && text[fits] == ' ') space = fits;
    size_t end = fits < length && space ? space : fits;
    *next = end + (text[end] == ' ' || text[end] == '\n');
    return end;
}

static void blend(struct tt_image *image, long x, long y, int grey, int cover) {
    if (x < 0 || y < 0 || (size_t)x >= image->width || (size_t)y >= image->height) return;
    uint8_t *p = image->rgb + 3 * ((size_t)y * image->width + (size_t)x);
    for (int c = 0; c < 3; c++) p[c] = (uint8_t)((p[c] * (255 - cover) + grey * cover + 127) / 255);
}

void lettering_draw(const struct lettering *l, struct tt_image *image, size_t x, size_t y,
                    const char *text, size_t bytes, int grey) {
    unsigned char cover[BOX * BOX];
    float pen = 0, at;
    int before = -1;
    for (size_t i = 0, taken; i < bytes; i += taken) {
        int glyph = glyph_at(l, text + i, bytes - i, &taken), x0, y0, x1, y1;
        advance(l, before, glyph, &pen, &at);
        before = glyph;
        float whole = floorf(at), shift = at - whole;
        stbtt_GetGlyphBitmapBoxSubpixel(&l->font, glyph, l->scale, l->scale, shift, 0, &x0, &y0,
                                        &x1, &y1);
        int w = x1 - x0 < BOX ? x1 - x0 : BOX, h = y1 - y0 < BOX ? y1 - y0 : BOX;
        if (w <= 0 || h <= 0) continue;
        memset(cover, 0, sizeof cover);
        stbtt_MakeGlyphBitmapSubpixel(&l->font, cover, w, h, BOX, l->scale, l->scale, shift, 0,
                                      glyph);
        for (int row = 0; row < h; row++)
            for (int column = 0; column < w; column++)
                blend(image, (long)x + (long)whole + x0 + column,
                      (long)y + l->ascent + y0 + row, grey, cover[row * BOX + column]);
    }
}
