// SPDX-License-Identifier: MIT
// Charts as SVG: written straight, no library. The same numbers give the same bytes.
#ifndef TT_CLI_CHART_H
#define TT_CLI_CHART_H

#include "cli/cli.h"

// A page: what is drawn is kept as text until the end.
struct page;

// width and height in SVG's units, about a pixel each. NULL: out of memory.
struct page *page_new(double width, double height);
void page_free(struct page *page);
// TT_SYSTEM when memory ran out on the way, or the file cannot be written.
enum tt_status page_write(struct page *page, struct cli *cli, const char *path);

enum anchor { ANCHOR_START, ANCHOR_MIDDLE, ANCHOR_END };
// text is escaped; size in units; y is the base line.
void page_text(struct page *page, double x, double y, double size, enum anchor anchor,
               const char *colour, const char *text);
void page_line(struct page *page, double x0, double y0, double x1, double y1, const char *colour,
               double width);
void page_dot(struct page *page, double x, double y, double radius, const char *colour);

struct chart_axis {
    const char *label;
    double low, high, tick; // low may be above high; tick: from one to the next
    bool logarithmic;       // low and high are whole exponents of 10 then, and so is tick
};

struct chart {
    double x, y, width, height; // of the frame
    const char *title;
    struct chart_axis across, up;
};

// Frame, grid, numbers and labels.
void chart_frame(struct page *page, const struct chart *chart);
// Where a value lies; off the chart it is put at the edge.
double chart_x(const struct chart *chart, double value);
double chart_y(const struct chart *chart, double value);

// n points (i, values[i]) joined by lines, thinned to what the eye sees, always with the last.
// dash: as in stroke-dasharray; NULL: solid.
void chart_curve(struct page *page, const struct chart *chart, const float *values, size_t n,
                 const char *colour, const char *dash);
// n points (x[i], y[i]) joined by a line of this width, none left out.
void chart_line(struct page *page, const struct chart *chart, const double *x, const double *y,
                size_t n, const char *colour, double width);
// The area between (x[i], low[i]) and (x[i], high[i]), with an edge: it shows where both meet.
void chart_band(struct page *page, const struct chart *chart, const double *x, const double *low,
                const double *high, size_t n, const char *colour);
// An axis from `low` to at least `high` in round ticks, about four of them. It is at least 1e-300
// (1e-12 of low) long and ends at 1.5e308 at most. Both are finite, low is from -1e307 to 1e307.
struct chart_axis chart_round(const char *label, double low, double high);
// The same in whole powers of ten around both, which are above 0; at most 20 ticks.
struct chart_axis chart_powers(const char *label, double low, double high);
// Line `row` of a legend whose upper left corner is (x, y).
void chart_legend(struct page *page, double x, double y, size_t row, const char *colour,
                  const char *dash, const char *text);

#endif
