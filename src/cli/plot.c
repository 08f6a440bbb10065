// SPDX-License-Identifier: MIT
// tintype plot: the log of a training run as charts: loss, that of held-out pictures, learning
// rate, the gradient's norm; and where something was changed.
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/chart.h"
#include "cli/cli.h"

// So many points are seen on a chart; the lines of a longer log are put together.
enum { POINTS = 300 };

static const char ink[] = "#222", grey[] = "#666", dark[] = "#0072b2", light[] = "#b8d7ea";
static const char orange[] = "#d55e00", violet[] = "#aa3377";

// One quantity over the steps: least, mean and most of the lines that share a point, and the mean
// of the lines around it.
struct series {
    double x[POINTS], low[POINTS], high[POINTS], smooth[POINTS];
    size_t n;
};

static double loss_of(const struct tt_train_line *line) { return line->loss; }
static double rate_of(const struct tt_train_line *line) { return line->learning_rate; }
static double norm_of(const struct tt_train_line *line) { return line->norm; }

// Sums of numbers that are finite may be none: they are held at the ends of the range.
static double held(double x) {
    return fmax(-DBL_MAX, fmin(x, DBL_MAX));
}

// The mean of `value` over lines[from...to).
static double mean(const struct tt_train_line *lines, size_t from, size_t to,
                   double (*value)(const struct tt_train_line *)) {
    double sum = 0;
    for (size_t i = from; i < to; i++) sum += value(&lines[i]);
    if (isfinite(sum)) return sum / (double)(to - from);
    sum = 0;
    for (size_t i = from; i < to; i++) sum += value(&lines[i]) / (double)(to - from);
    return held(sum);
}

// `around` lines on either side are smoothed over, fewer at both ends.
static void make_series(struct series *s, const struct tt_train_line *lines, size_t count,
                        double (*value)(const struct tt_train_line *), size_t around) {
    s->n = count < POINTS ? count : POINTS;
    for (size_t k = 0; k < s->n; k++) {
        size_t from = k * count / s->n, to = (k + 1) * count / s->n, middle = (from + to - 1) / 2;
        size_t reach = middle < around ? middle : around;
        if (count - 1 - middle < reach) reach = count - 1 - middle;
        s->x[k] = (double)lines[middle].step;
        s->low[k] = s->high[k] = value(&lines[from]);
        for (size_t i = from + 1; i < to; i++) {
            double v = value(&lines[i]);
            if (v < s->low[k]) s->low[k] = v;
            if (v > s->high[k]) s->high[k] = v;
        }
        s->smooth[k] = mean(lines, middle - reach, middle + reach + 1, value);
    }
}

// The least or the largest of n values above 0 (0: there is none).
static double extreme(const double *values, size_t n, bool largest) {
    double best = 0;
    for (size_t i = 0; i < n; i++)
        if (values[i] > 0 && (!best || (values[i] > best) == largest)) best = values[i];
    return best;
}

// The axis ends at the highest smoothed value: one early outlier does not flatten the rest. Another
// series, which may be NULL, is to be seen, too, but for what it is before the first step.
static void draw(struct page *page, struct chart *chart, const struct series *s,
                 const struct series *other, const char *label, bool logarithmic) {
    double high = extreme(s->smooth, s->n, true), low = extreme(s->low, s->n, false);
    for (size_t k = 0; other && k < other->n; k++) {
        if (other->x[k] > 0 || other->n == 1) high = fmax(high, other->smooth[k]);
        if (other->smooth[k] > 0 && (!(low > 0) || other->smooth[k] < low)) low = other->smooth[k];
    }
    chart->up = logarithmic && low > 0 ? chart_powers(label, low, high)
                                       : chart_round(label, 0, high > 0 ? held(1.1 * high) : 1);
    chart_frame(page, chart);
    chart_band(page, chart, s->x, s->low, s->high, s->n, light);
    chart_line(page, chart, s->x, s->smooth, s->n, dark, 2);
}

// The held-out pictures' loss where it was measured: that of no other line says more.
static void draw_held(struct page *page, const struct chart *chart, const struct series *held) {
    enum { DOTS = 60 };
    chart_line(page, chart, held->x, held->smooth, held->n, orange, 2);
    for (size_t k = 0; held->n <= DOTS && k < held->n; k++)
        page_dot(page, chart_x(chart, held->x[k]), chart_y(chart, held->smooth[k]), 3, orange);
}

// The lines of a log by what they tell, each in their order.
struct log {
    struct tt_train_line *steps, *held, *changes; // in one array, which begins with the first
    size_t count, held_count, change_count;
};

static size_t take(const struct tt_train_lines *lines, enum tt_train_told told,
                   struct tt_train_line *to) {
    const struct tt_train_line *line;
    size_t n = 0;
    for (size_t i = 0; (line = tt_train_lines_at(lines, i)); i++)
        if (line->told == told) to[n++] = *line;
    return n;
}

static enum tt_status sort_lines(const char *path, const struct tt_train_lines *lines,
                                 struct log *log, struct tt_error *err) {
    size_t count = 0;
    while (tt_train_lines_at(lines, count)) count++;
    log->steps = malloc(count * sizeof *log->steps);
    if (!log->steps) return tt_fail(err, TT_SYSTEM, "%s: out of memory for %zu lines", path, count);
    log->count = take(lines, TT_TOLD_STEPS, log->steps);
    log->held = log->steps + log->count;
    log->held_count = take(lines, TT_TOLD_HELD, log->held);
    log->changes = log->held + log->held_count;
    log->change_count = take(lines, TT_TOLD_CHANGE, log->changes);
    return log->count ? TT_OK : tt_fail(err, TT_BAD_INPUT, "%s: found no line with a loss yet, "
                                        "expected a log of training", path);
}

// Of the whole log, and of its last tenth. held: the last loss of held-out pictures, or NaN.
struct summary {
    size_t lines, step;
    double loss, held, images_per_second, hours;
};

static struct summary summarize(const struct log *log) {
    const struct tt_train_line *lines = log->steps;
    size_t count = log->count;
    struct summary s = {.lines = count, .step = lines[count - 1].step, .held = NAN};
    if (log->held_count) s.held = log->held[log->held_count - 1].loss;
    size_t tenth = count - (count + 9) / 10;
    double images = 0, seconds = 0, before = 0;
    for (size_t i = 0; i < count; i++) {
        // Seconds begin anew where a run was resumed.
        double took = held(lines[i].seconds - (lines[i].seconds < before ? 0 : before));
        before = lines[i].seconds;
        seconds = held(seconds + took);
        images = held(images + held(took * lines[i].images_per_second));
    }
    s.loss = mean(lines, tenth, count, loss_of);
    s.images_per_second = seconds > 0 ? held(images / seconds) : 0;
    s.hours = seconds / 3600;
    return s;
}

// What the two curves of the loss are, and the lines where something was changed.
static void draw_legend(struct page *page, const struct chart *chart, const struct log *log) {
    enum { MOST = 100 };
    double x = chart->x + chart->width - 250, y = chart->y + 16;
    size_t row = 0, drawn = 0;
    for (size_t i = 0; i < log->change_count && drawn < MOST; i++) {
        double at = chart_x(chart, (double)log->changes[i].step);
        if (i && log->changes[i].step == log->changes[i - 1].step) continue;
        page_line(page, at, chart->y, at, chart->y + chart->height, violet, 1);
        drawn++;
    }
    if (!log->held_count && !drawn) return;
    chart_legend(page, x, y, row++, dark, NULL, "pictures that are trained on");
    if (log->held_count)
        chart_legend(page, x, y, row++, orange, NULL, "held-out pictures (validation_loss)");
    if (drawn) chart_legend(page, x, y, row, violet, NULL, "something was changed");
}

static void draw_charts(struct page *page, const struct log *log, size_t step,
                        struct series *series, struct series *held, bool logarithmic) {
    char text[96];
    struct chart chart = {.x = 70, .y = 110, .width = 860, .height = 300, .title = "loss",
                          .across = chart_round("optimiser step", 0, (double)step)};
    size_t around = log->count / 40;
    make_series(series, log->steps, log->count, loss_of, around);
    if (log->held_count) make_series(held, log->held, log->held_count, loss_of, 0);
    snprintf(text, sizeof text, "light: a line of the log; dark: mean of %zu", 2 * around + 1);
    draw(page, &chart, series, log->held_count ? held : NULL, text, logarithmic);
    if (log->held_count) draw_held(page, &chart, held);
    draw_legend(page, &chart, log);
    chart.y = 510;
    chart.width = 380;
    chart.height = 180;
    chart.title = "learning rate";
    make_series(series, log->steps, log->count, rate_of, 0);
    draw(page, &chart, series, NULL, NULL, false);
    chart.x = 550;
    chart.title = "norm of the gradient, before clipping";
    make_series(series, log->steps, log->count, norm_of, around);
    draw(page, &chart, series, NULL, NULL, logarithmic);
}

static enum tt_status draw_all(struct cli *cli, const char *name, const char *out,
                               const struct log *log, bool logarithmic) {
    struct summary s = summarize(log);
    struct series *series = malloc(2 * sizeof *series);
    struct page *page = page_new(1000, 760);
    enum tt_status status = TT_OK;
    if (!series || !page) status = tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    if (!status) {
        char text[400], held[64] = ""; // %.2f of a double takes up to 312
        size_t step = s.step;
        if (log->held_count) {
            size_t last = log->held[log->held_count - 1].step;
            step = last > step ? last : step;
            snprintf(held, sizeof held, "; of held-out pictures %.4g", s.held);
        }
        page_text(page, 70, 36, 18, ANCHOR_START, ink, name);
        snprintf(text, sizeof text,
                 "%zu steps in %.2f h, %.1f images/s; loss of the last tenth %.4g%s", s.step,
                 s.hours, s.images_per_second, s.loss, held);
        page_text(page, 70, 60, 13, ANCHOR_START, grey, text);
        draw_charts(page, log, step, series, series + 1, logarithmic);
        status = page_write(page, cli, out);
    }
    page_free(page);
    free(series);
    return status;
}

enum tt_status cli_plot(struct cli *cli, int argc, char **argv) {
    const char *path = NULL, *out = NULL;
    bool logarithmic = false;
    const struct cli_option options[] = {
        {"output", 'o', CLI_TEXT, "OUT.svg", "where the charts go; must be given", &out},
        {"log", 0, CLI_FLAG, NULL, "loss and norm on logarithmic axes", &logarithmic},
        {0},
    };
    enum tt_status status = cli_parse(cli, options, argc, argv, &path, 1);
    if (status || cli->help) return status;
    struct tt_train_lines *lines = NULL;
    struct log log = {0};
    if (!out) return tt_fail(&cli->error, TT_BAD_INPUT, "--output is missing: -o OUT.svg");
    status = tt_train_lines_read(cli->files, path, &lines, &cli->error);
    if (!status) status = sort_lines(path, lines, &log, &cli->error);
    tt_train_lines_free(lines);
    if (!status) status = cli_plan_chart(cli, out);
    if (!status) status = draw_all(cli, path, out, &log, logarithmic);
    if (!status) cli_written(cli, out);
    if (!status && cli->json) {
        struct summary s = summarize(&log);
        json_t *root = json_pack("{s:o, s:I, s:I, s:f, s:f, s:f}", "plot", cli_json_text(out),
                                 "lines", (json_int_t)s.lines, "steps", (json_int_t)s.step,
                                 "loss", s.loss, "images_per_second", s.images_per_second,
                                 "hours", s.hours);
        if (log.held_count) json_object_set_new(root, "validation_loss", json_real(s.held));
        status = cli_print_json(cli, root, JSON_COMPACT);
    }
    free(log.steps);
    return status;
}
