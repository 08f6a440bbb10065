// SPDX-License-Identifier: MIT
#include "cli/chart.h"

#include <math.h>
#include <sleef.h>
#include <stdio.h>
#include <stdlib.h>

static const char ink[] = "#222", pale[] = "#666", grid[] = "#ddd";

struct page {
    FILE *out;
    char *text;
    size_t bytes;
};

struct page *page_new(double width, double height) {
    struct page *page = calloc(1, sizeof *page);
    if (page && !(page->out = open_memstream(&page->text, &page->bytes))) {
        free(page);
        return NULL;
    }
    if (page)
        fprintf(page->out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%g\" height=\"%g\" "
                "viewBox=\"0 0 %g %g\" font-family=\"DejaVu Sans, Verdana, sans-serif\">\n"
                "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
                width, height, width, height);
    return page;
}

void page_free(struct page *page) {
    if (!page) return;
    if (page->out) fclose(page->out);
    free(page->text);
    free(page);
}

enum tt_status page_write(struct page *page, struct cli *cli, const char *path) {
    fputs("</svg>\n", page->out);
    bool bad = ferror(page->out);
    bad |= fclose(page->out) != 0;
    page->out = NULL;
    if (bad) return tt_fail(&cli->error, TT_SYSTEM, "%s: out of memory", path);
    return cli_write(cli, path, page->text, page->bytes);
}

void page_text(struct page *page, double x, double y, double size, enum anchor anchor,
               const char *colour, const char *text) {
    static const char *const anchors[] = {"start", "middle", "end"};
    fprintf(page->out, "<text x=\"%.2f\" y=\"%.2f\" font-size=\"%g\" text-anchor=\"%s\" "
            "fill=\"%s\">", x, y, size, anchors[anchor], colour);
    for (; *text; text++) {
        switch (*text) {
        case '<': fputs("&lt;", page->out); break;
        case '>': fputs("&gt;", page->out); break;
        case '&': fputs("&amp;", page->out); break;
        default: fputc(*text, page->out);
        }
    }
    fputs("</text>\n", page->out);
}

static void line(struct page *page, double x0, double y0, double x1, double y1, const char *colour,
                 double width, const char *dash) {
    fprintf(page->out, "<line x1=\"%.2f\" y1=\"%.2f\" x2=\"%.2f\" y2=\"%.2f\" stroke=\"%s\" "
            "stroke-width=\"%g\" stroke-dasharray=\"%s\"/>\n", x0, y0, x1, y1, colour, width,
            dash ? dash : "none");
}

void page_line(struct page *page, double x0, double y0, double x1, double y1, const char *colour,
               double width) {
    line(page, x0, y0, x1, y1, colour, width, NULL);
}

void page_dot(struct page *page, double x, double y, double radius, const char *colour) {
    fprintf(page->out, "<circle cx=\"%.2f\" cy=\"%.2f\" r=\"%g\" fill=\"%s\"/>\n", x, y, radius,
            colour);
}

// Where value lies on the axis: 0 at its low end to 1. SLEEF's logarithm, for the same bytes on
// every machine.
static double part(const struct chart_axis *axis, double value) {
    if (axis->logarithmic) value = value > 0 ? Sleef_cinz_log10d1_u10purec(value) : -INFINITY;
    double at = (value - axis->low) / (axis->high - axis->low);
    return at > 0 ? at < 1 ? at : 1 : 0;
}

double chart_x(const struct chart *chart, double value) {
    return chart->x + chart->width * part(&chart->across, value);
}

double chart_y(const struct chart *chart, double value) {
    return chart->y + chart->height * (1 - part(&chart->up, value));
}

static void number(char *text, size_t size, const struct chart_axis *axis, double value) {
    static const char *const powers[] = {"0.001", "0.01", "0.1", "1", "10", "100", "1000"};
    if (!axis->logarithmic) snprintf(text, size, "%g", value);
    else if (value >= -3 && value <= 3) snprintf(text, size, "%s", powers[(int)value + 3]);
    else snprintf(text, size, "1e%g", value);
}

void chart_frame(struct page *page, const struct chart *c) {
    char text[32];
    double right = c->x + c->width, bottom = c->y + c->height;
    page_text(page, c->x, c->y - 10, 15, ANCHOR_START, ink, c->title);
    int ticks = (int)rint(fabs((c->across.high - c->across.low) / c->across.tick));
    for (int i = 0; i <= ticks; i++) {
        double value = c->across.low + i * copysign(c->across.tick, c->across.high - c->across.low);
        double x = c->x + c->width * i / ticks;
        page_line(page, x, c->y, x, bottom, grid, 1);
        number(text, sizeof text, &c->across, value);
        page_text(page, x, bottom + 16, 12, ANCHOR_MIDDLE, pale, text);
    }
    ticks = c->up.tick > 0 ? (int)rint((c->up.high - c->up.low) / c->up.tick) : -1;
    for (int i = 0; i <= ticks; i++) {
        double y = bottom - c->height * i / ticks;
        page_line(page, c->x, y, right, y, grid, 1);
        number(text, sizeof text, &c->up, c->up.low + i * c->up.tick);
        page_text(page, c->x - 6, y + 4, 12, ANCHOR_END, pale, text);
    }
    fprintf(page->out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"none\" "
            "stroke=\"%s\"/>\n", c->x, c->y, c->width, c->height, pale);
    page_text(page, c->x + c->width / 2, bottom + 34, 12, ANCHOR_MIDDLE, ink, c->across.label);
    if (c->up.label)
        page_text(page, right, c->y - 10, 12, ANCHOR_END, pale, c->up.label);
}

void chart_curve(struct page *page, const struct chart *chart, const float *values, size_t n,
                 const char *colour, const char *dash) {
    size_t every = n > 400 ? n / 200 : 1;
    fprintf(page->out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" "
            "stroke-dasharray=\"%s\" points=\"", colour, dash ? dash : "none");
    for (size_t i = 0; i < n; i += i + 1 < n && i + every >= n ? n - 1 - i : every)
        fprintf(page->out, "%.2f,%.2f ", chart_x(chart, (double)i), chart_y(chart, values[i]));
    fputs("\"/>\n", page->out);
}

static void points(struct page *page, const struct chart *chart, const double *x, const double *y,
                   size_t n, bool back) {
    for (size_t i = 0; i < n; i++) {
        size_t at = back ? n - 1 - i : i;
        fprintf(page->out, "%.2f,%.2f ", chart_x(chart, x[at]), chart_y(chart, y[at]));
    }
}

void chart_line(struct page *page, const struct chart *chart, const double *x, const double *y,
                size_t n, const char *colour, double width) {
    fprintf(page->out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"%g\" "
            "stroke-linejoin=\"round\" points=\"", colour, width);
    points(page, chart, x, y, n, false);
    fputs("\"/>\n", page->out);
}

void chart_band(struct page *page, const struct chart *chart, const double *x, const double *low,
                const double *high, size_t n, const char *colour) {
    fprintf(page->out, "<polygon fill=\"%s\" stroke=\"%s\" stroke-linejoin=\"round\" points=\"",
            colour, colour);
    points(page, chart, x, low, n, false);
    points(page, chart, x, high, n, true);
    fputs("\"/>\n", page->out);
}

struct chart_axis chart_round(const char *label, double low, double high) {
    // Between these a tick is a normal number, and the axis ends at a finite one.
    const double least = fmax(1e-300, 1e-12 * fabs(low)), most = 1.5e308;
    double range = high > low ? high - low : 1, tick = 1;
    if (!(range >= least)) range = least;
    if (!(range <= most - fmax(low, 0))) range = most - fmax(low, 0);
    while (tick > range) tick /= 10;
    while (tick * 10 <= range) tick *= 10; // range is 1 to 10 ticks now
    tick *= range < 1.6 * tick ? 0.25 : range < 4 * tick ? 0.5 : range < 8 * tick ? 1 : 2;
    return (struct chart_axis){label, low, low + tick * ceil(range / tick), tick, false};
}

struct chart_axis chart_powers(const char *label, double low, double high) {
    double bottom = floor(Sleef_cinz_log10d1_u10purec(low));
    double top = ceil(Sleef_cinz_log10d1_u10purec(high));
    if (!(top > bottom)) top = bottom + 1;
    double tick = ceil((top - bottom) / 20);
    return (struct chart_axis){label, bottom, bottom + tick * ceil((top - bottom) / tick), tick,
                               true};
}

void chart_legend(struct page *page, double x, double y, size_t row, const char *colour,
                  const char *dash, const char *text) {
    double middle = y + 18 * (double)row;
    line(page, x, middle, x + 28, middle, colour, 2, dash);
    page_text(page, x + 36, middle + 4, 12, ANCHOR_START, ink, text);
}
