// SPDX-License-Identifier: MIT
#include "cli/alike.h"

#include <math.h>
#include <stdlib.h>

enum { WINDOW = 11 };

static void look_at_pixels(const struct tt_image *a, const struct tt_image *b, struct alike *out) {
    size_t pixels = a->width * a->height;
    double squares = 0;
    for (size_t i = 0; i < pixels; i++) {
        unsigned most = 0;
        for (size_t c = 0; c < 3; c++) {
            int d = abs((int)a->rgb[3 * i + c] - (int)b->rgb[3 * i + c]);
            squares += (double)d * (double)d;
            if ((unsigned)d > most) most = (unsigned)d;
        }
        out->different += most > 0;
        if (most <= out->largest) continue;
        out->largest = most;
        out->x = i % a->width;
        out->y = i / a->width;
    }
    double mean = squares / (3 * (double)pixels);
    out->psnr = mean > 0 ? 10 * log10(255 * 255 / mean) : INFINITY;
}

// ---- SSIM: five planes, each smoothed along rows, then columns ----

enum { MEAN_A, MEAN_B, SQUARE_A, SQUARE_B, PRODUCT, PLANES };

static double luma(const uint8_t *rgb) {
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2];
}

static void gaussian(double weights[WINDOW]) {
    double sum = 0;
    for (int i = 0; i < WINDOW; i++) {
        double x = i - WINDOW / 2;
        weights[i] = exp(-x * x / (2 * 1.5 * 1.5));
        sum += weights[i];
    }
    for (int i = 0; i < WINDOW; i++) weights[i] /= sum;
}

// Row y of all planes, smoothed along it: `width` - WINDOW + 1 numbers each.
static void smooth_row(const struct tt_image *a, const struct tt_image *b, size_t y,
                       const double weights[WINDOW], double *rows[PLANES]) {
    size_t inside = a->width - WINDOW + 1;
    for (size_t x = 0; x < inside; x++) {
        double sum[PLANES] = {0};
        for (size_t k = 0; k < WINDOW; k++) {
            size_t at = 3 * (y * a->width + x + k);
            double p = luma(a->rgb + at), q = luma(b->rgb + at), w = weights[k];
            sum[MEAN_A] += w * p;
            sum[MEAN_B] += w * q;
            sum[SQUARE_A] += w * p * p;
            sum[SQUARE_B] += w * q * q;
            sum[PRODUCT] += w * p * q;
        }
        for (int plane = 0; plane < PLANES; plane++) rows[plane][x] = sum[plane];
    }
}

static double similarity(const double s[PLANES]) {
    const double c1 = 0.01 * 255 * 0.01 * 255, c2 = 0.03 * 255 * 0.03 * 255;
    double a = s[MEAN_A], b = s[MEAN_B];
    double variances = s[SQUARE_A] - a * a + s[SQUARE_B] - b * b, covariance = s[PRODUCT] - a * b;
    return (2 * a * b + c1) * (2 * covariance + c2) / ((a * a + b * b + c1) * (variances + c2));
}

static enum tt_status look_at_windows(const struct tt_image *a, const struct tt_image *b,
                                      struct alike *out, struct tt_error *err) {
    double weights[WINDOW], sum = 0, *rows[WINDOW][PLANES];
    size_t inside = a->width - WINDOW + 1;
    double *memory = malloc(inside * WINDOW * PLANES * sizeof *memory);
    if (!memory) return tt_fail(err, TT_SYSTEM, "out of memory for comparing pictures");
    for (size_t k = 0; k < WINDOW; k++)
        for (size_t p = 0; p < PLANES; p++) rows[k][p] = memory + (k * PLANES + p) * inside;
    gaussian(weights);
    for (size_t y = 0; y < a->height; y++) {
        smooth_row(a, b, y, weights, rows[y % WINDOW]);
        for (size_t x = 0; y + 1 >= WINDOW && x < inside; x++) {
            double s[PLANES] = {0};
            for (size_t k = 0; k < WINDOW; k++)
                for (size_t p = 0; p < PLANES; p++)
                    s[p] += weights[k] * rows[(y + 1 + k) % WINDOW][p][x];
            double one = similarity(s);
            sum += one;
            if (one >= out->worst_ssim) continue;
            out->worst_ssim = one;
            out->worst_x = x + WINDOW / 2;
            out->worst_y = y - WINDOW / 2;
        }
    }
    out->ssim = sum / ((double)inside * (double)(a->height - WINDOW + 1));
    free(memory);
    return TT_OK;
}

enum tt_status alike_measure(const struct tt_image *a, const struct tt_image *b,
                             struct alike *alike, struct tt_error *err) {
    *alike = (struct alike){.ssim = NAN, .worst_ssim = INFINITY};
    if (a->width != b->width || a->height != b->height)
        return tt_fail(err, TT_BAD_INPUT, "found %zux%zu and %zux%zu pixels, expected pictures of "
                       "one size", a->width, a->height, b->width, b->height);
    look_at_pixels(a, b, alike);
    if (a->width < WINDOW || a->height < WINDOW) return TT_OK;
    return look_at_windows(a, b, alike, err);
}
