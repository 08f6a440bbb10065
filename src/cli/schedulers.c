// SPDX-License-Identifier: MIT
// tintype schedulers: the schedulers and their diffusers classes; and a plot of what they do.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/chart.h"
#include "cli/cli.h"

enum { CURVES = 4 };

// The noise schedules that are drawn; zero terminal SNR rescales the model's own.
static const struct {
    const char *text, *colour, *dash, *options[4];
} curves[CURVES] = {
    {"linear", "#0072b2", NULL, {"trained_betas=null", "beta_schedule=linear"}},
    {"scaled_linear", "#d55e00", NULL, {"trained_betas=null", "beta_schedule=scaled_linear"}},
    {"squaredcos_cap_v2", "#009e73", NULL,
     {"trained_betas=null", "beta_schedule=squaredcos_cap_v2"}},
    {"model's, rescale_betas_zero_snr", "#cc79a7", "6 4", {"rescale_betas_zero_snr=true"}},
};

struct plot {
    struct cli *cli;
    struct tt_model *model;
    struct tt_scheduler *own, *of[CURVES]; // the model's scheduler; those of the curves
    struct page *page;
    size_t steps;
    float *values;
};

static const struct tt_schedule *curve(const struct plot *p, size_t i) {
    return tt_scheduler_schedule(p->of[i]);
}

static enum tt_status open_all(struct plot *p) {
    enum tt_status status = tt_scheduler_open(&p->own, NULL, p->model, NULL, &p->cli->error);
    for (size_t i = 0; !status && i < CURVES; i++)
        status = tt_scheduler_open(&p->of[i], "ddim", p->model, curves[i].options, &p->cli->error);
    size_t count = status ? 0 : tt_scheduler_schedule(p->own)->count;
    if (!status && !(p->values = malloc(count * sizeof *p->values)))
        status = tt_fail(&p->cli->error, TT_SYSTEM, "out of memory");
    return status;
}

static struct chart_axis timesteps(const struct tt_schedule *s) {
    double count = (double)s->count;
    return (struct chart_axis){.label = "timestep t", .high = count, .tick = count / 5};
}

// The curves; dots on one of them mark that of the model.
static void draw_curves(struct plot *p, const struct chart *chart,
                        void (*fill)(const struct tt_schedule *s, float *values)) {
    const struct tt_schedule *own = tt_scheduler_schedule(p->own);
    chart_frame(p->page, chart);
    for (size_t i = 0; i < CURVES; i++) {
        fill(curve(p, i), p->values);
        chart_curve(p->page, chart, p->values, own->count, curves[i].colour, curves[i].dash);
    }
    fill(own, p->values);
    chart_curve(p->page, chart, p->values, own->count, "#222", "1 7");
}

static void fill_alphas(const struct tt_schedule *s, float *values) {
    memcpy(values, s->alphas_cumprod, s->count * sizeof *values);
}

static void fill_sigmas(const struct tt_schedule *s, float *values) {
    memcpy(values, s->sigmas, s->count * sizeof *values);
}

// Signal to noise, in variance.
static void fill_snr(const struct tt_schedule *s, float *values) {
    for (size_t i = 0; i < s->count; i++)
        values[i] = s->alphas_cumprod[i] / (1 - s->alphas_cumprod[i]);
}

static void fill_betas(const struct tt_schedule *s, float *values) {
    memcpy(values, s->betas, s->count * sizeof *values);
}

static void draw_schedules(struct plot *p) {
    struct chart chart = {.x = 60, .y = 80, .width = 400, .height = 240, .title = "ā: signal",
                          .across = timesteps(tt_scheduler_schedule(p->own)),
                          .up = {"share of the variance", 0, 1, 0.2, false}};
    draw_curves(p, &chart, fill_alphas);
    chart.x = 540;
    chart.title = "σ = √((1 - ā) / ā): noise";
    chart.up = (struct chart_axis){"for a signal of 1", -2, 2, 1, true};
    draw_curves(p, &chart, fill_sigmas);
    chart.y = 400;
    chart.title = "β";
    chart.up = (struct chart_axis){"noise added at t", -5, 0, 1, true};
    draw_curves(p, &chart, fill_betas);
    chart.x = 60;
    chart.title = "SNR = ā / (1 - ā)";
    chart.up = (struct chart_axis){"ratio of the variances", -4, 4, 2, true};
    draw_curves(p, &chart, fill_snr);
    for (size_t i = 0; i < CURVES; i++)
        chart_legend(p->page, 60, 708, i, curves[i].colour, curves[i].dash, curves[i].text);
    chart_legend(p->page, 60, 708, CURVES, "#222", "1 7", "the model's own");
}

// A row of dots for each scheduler, from noise to picture as it goes.
static enum tt_status draw_timesteps(struct plot *p, double top, size_t rows) {
    char title[96], text[64];
    const char *name, *class_name;
    struct chart_axis across = timesteps(tt_scheduler_schedule(p->own));
    across.low = across.high;
    across.high = 0;
    across.label = "timestep t: from noise to picture";
    snprintf(title, sizeof title, "Where %zu steps call the model", p->steps);
    struct chart chart = {160, top, 700, 24 * (double)rows + 8, title, across, {0}};
    chart_frame(p->page, &chart);
    for (size_t i = 0; tt_scheduler_list(i, &name, &class_name); i++) {
        struct tt_scheduler *s = NULL;
        double y = top + 16 + 24 * (double)i;
        enum tt_status status = tt_scheduler_open(&s, name, p->model, NULL, &p->cli->error);
        if (!status) status = tt_scheduler_set_timesteps(s, p->steps, &p->cli->error);
        size_t calls = status ? 0 : tt_scheduler_calls(s);
        for (size_t k = 0; k < calls; k++)
            page_dot(p->page, chart_x(&chart, (double)tt_scheduler_timesteps(s)[k]), y, 3.5,
                     curves[i % (CURVES - 1)].colour);
        bool own = !strcmp(name, tt_scheduler_name(p->own));
        snprintf(text, sizeof text, "%s%s", name, own ? " *" : "");
        page_text(p->page, 150, y + 4, 12, ANCHOR_END, "#222", text);
        snprintf(text, sizeof text, "%zu calls", calls);
        page_text(p->page, 870, y + 4, 12, ANCHOR_START, "#666", text);
        tt_scheduler_free(s);
        if (status) return status;
    }
    page_text(p->page, 160, top + chart.height + 34, 12, ANCHOR_START, "#666",
              "* the model's own");
    return TT_OK;
}

static enum tt_status draw_plot(struct cli *cli, const char *path, const char *folder,
                                size_t steps) {
    struct plot p = {.cli = cli, .steps = steps};
    const char *name, *class_name;
    size_t rows = 0;
    char title[256];
    while (tt_scheduler_list(rows, &name, &class_name)) rows++;
    enum tt_status status = cli_open_model(cli, folder, &p.model);
    if (!status) status = cli_plan_chart(cli, path);
    if (!status) status = open_all(&p);
    if (!status && !(p.page = page_new(1000, 24 * (double)rows + 920)))
        status = tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    if (!status) {
        snprintf(title, sizeof title, "Noise schedules and schedulers: %s",
                 tt_model_info(p.model)->name);
        page_text(p.page, 60, 36, 18, ANCHOR_START, "#222", title);
        draw_schedules(&p);
        status = draw_timesteps(&p, 850, rows);
    }
    if (!status) status = page_write(p.page, cli, path);
    if (!status) cli_written(cli, path);
    if (!status) status = cli_print_written(cli);
    page_free(p.page);
    free(p.values);
    for (size_t i = 0; i < CURVES; i++) tt_scheduler_free(p.of[i]);
    tt_scheduler_free(p.own);
    tt_model_close(p.model);
    return status;
}

enum tt_status cli_schedulers(struct cli *cli, int argc, char **argv) {
    const char *plot = NULL, *model = NULL;
    size_t steps = 0;
    const struct cli_option options[] = {
        {"plot", 0, CLI_TEXT, "F.svg",
         "draw schedules (alphas, sigmas, SNR) and timesteps; default: none", &plot},
        {"model", 'm', CLI_TEXT, "MODEL", "whose settings; default: the built-in model", &model},
        CLI_VARIANT(cli),
        {"steps", 0, CLI_COUNT, "N", "steps of the schedulers in the plot (default 20)", &steps},
        {0},
    };
    enum tt_status status = cli_options(cli, options, argc, argv, NULL, 0);
    if (status || cli->help) return status;
    if (plot) return draw_plot(cli, plot, model, steps ? steps : 20);
    if (model || steps)
        return tt_fail(&cli->error, TT_BAD_INPUT, "--%s: it is for the plot: give --plot, too",
                       model ? "model" : "steps");
    const char *name, *class_name;
    json_t *list = json_array();
    for (size_t i = 0; tt_scheduler_list(i, &name, &class_name); i++) {
        json_array_append_new(list, json_pack("{s:s, s:s}", "name", name, "class", class_name));
        if (!cli->json) printf("%-18s %s\n", name, class_name);
    }
    json_t *root = json_pack("{s:o}", "schedulers", list);
    if (cli->json) return cli_print_json(cli, root, 0);
    json_decref(root);
    return TT_OK;
}
