// SPDX-License-Identifier: MIT
// tintype train: noise prediction, or an autoencoder, on a folder of pictures with captions.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/train_preview.h"

enum { MOST = 64 };

// The options: one for each setting, and the file that may hold them instead.
struct request {
    const char *file, *preview;
    const char *text[MOST];
    bool flag[MOST];
    char names[MOST][32], help[MOST][160];
    struct cli_option options[MOST + 3];
};

static char letter_of(const char *name) {
    static const struct {
        const char *name;
        char letter;
    } letters[] = {{"output", 'o'}, {"model", 'm'}, {"seed", 's'}, {"width", 'W'}, {"height", 'H'}};
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++)
        if (!strcmp(name, letters[i].name)) return letters[i].letter;
    return 0;
}

// --learning-rate for learning_rate, with what it is when nobody says anything.
static void make_options(struct request *r) {
    struct tt_train_settings defaults;
    const char *name, *argument, *help;
    size_t n = 0;
    tt_train_defaults(&defaults, sizeof defaults);
    r->options[n++] = (struct cli_option){"settings", 0, CLI_TEXT, "FILE",
                                          "JSON with any of these; options go before it; "
                                          "default: none",
                                          &r->file};
    r->options[n++] = (struct cli_option){"preview-data", 0, CLI_TEXT, "FILE.png",
                                          "show what training sees of its pictures; trains "
                                          "nothing; default: none",
                                          &r->preview};
    for (size_t i = 0; i < MOST && tt_train_setting(i, &name, &argument, &help); i++) {
        bool flag = !argument;
        snprintf(r->names[i], sizeof r->names[i], "%s", name);
        for (char *c = r->names[i]; *c; c++)
            if (*c == '_') *c = '-';
        bool told = strstr(help, "default") || strstr(help, "must be given") || flag;
        char *initial = told ? NULL : tt_train_setting_text(&defaults, name);
        snprintf(r->help[i], sizeof r->help[i], told ? "%s" : initial ? "%s (default %s)" :
                 "%s (default: none)", help, initial);
        free(initial);
        r->options[n++] = (struct cli_option){
            r->names[i], letter_of(name), flag ? CLI_FLAG : CLI_TEXT, argument, r->help[i],
            flag ? (void *)&r->flag[i] : (void *)&r->text[i]};
    }
}

static enum tt_status take(struct cli *cli, const struct request *r,
                           struct tt_train_settings *settings, struct tt_train_texts **texts) {
    const char *name, *argument, *help;
    enum tt_status status = TT_OK;
    tt_train_defaults(settings, sizeof *settings);
    if (r->file)
        status = tt_train_settings_read(settings, cli->files, r->file, texts, &cli->error);
    for (size_t i = 0; !status && i < MOST && tt_train_setting(i, &name, &argument, &help); i++) {
        const char *text = r->flag[i] ? "true" : r->text[i];
        if (text) status = tt_train_set(settings, name, text, &cli->error);
    }
    return status;
}

// ---- what a person sees ----

struct screen {
    struct cli *cli;
    struct cli_progress bar;
    const char *what;
    size_t step, steps; // of training; 0: not yet
};

static int show(void *context, const char *what, const struct tt_train_line *line) {
    struct screen *screen = context;
    bool measures = !strcmp(what, "held-out pictures");
    if (measures && screen->steps) { // in between: the bar of training stays
        snprintf(screen->bar.more, sizeof screen->bar.more, "%s: %zu/%zu", what, line->step,
                 line->steps);
        cli_progress_step(&screen->bar, screen->step, screen->steps);
        return 0;
    }
    if (screen->what != what) cli_progress_begin(&screen->bar, screen->cli, what);
    screen->what = what;
    char held[32] = "";
    if (line->images_per_second > 0 && !isnan(line->held))
        snprintf(held, sizeof held, ", held out %.4g", line->held);
    if (line->images_per_second > 0)
        snprintf(screen->bar.more, sizeof screen->bar.more,
                 "loss %.4g%s, rate %.2e, %.1f images/s", line->loss, held, line->learning_rate,
                 line->images_per_second);
    if (line->images_per_second > 0) screen->step = line->step;
    if (line->images_per_second > 0) screen->steps = line->steps;
    cli_progress_step(&screen->bar, line->step, line->steps);
    return 0;
}

static enum tt_status run(struct cli *cli, const struct request *r,
                          const struct tt_train_settings *settings) {
    struct tt_image image = {0};
    struct tt_train_data *data = NULL;
    if (!r->preview) return tt_train(settings, cli->engine, &cli->error);
    enum tt_status status = cli_plan_picture(cli, r->preview);
    if (!status) status = tt_train_data_open(settings, cli->engine, &data, &cli->error);
    if (!status) status = preview_draw(data, settings->buckets, &image, &cli->error);
    if (!status) status = cli_write_picture(cli, r->preview, &image, NULL);
    tt_train_data_close(data);
    tt_image_free(&image);
    return status;
}

enum tt_status cli_train(struct cli *cli, int argc, char **argv) {
    struct request r = {0};
    struct tt_train_settings settings;
    struct tt_train_texts *texts = NULL;
    make_options(&r);
    enum tt_status status = cli_parse(cli, r.options, argc, argv, NULL, 0);
    if (status || cli->help) return status;
    status = take(cli, &r, &settings, &texts);
    if (!status) status = cli_open_engine(cli);
    struct screen screen = {.cli = cli};
    settings.progress = show;
    settings.context = &screen;
    cli_progress_begin(&screen.bar, cli, "");
    cli->bar = &screen.bar;
    if (!status) status = run(cli, &r, &settings);
    cli->bar = NULL;
    cli_progress_end(&screen.bar);
    if (!status) cli_written(cli, r.preview ? r.preview : settings.output);
    if (!status && cli->json) {
        json_t *line = r.preview ? json_pack("{s:o}", "preview", cli_json_text(r.preview))
                                 : json_pack("{s:o, s:I}", "folder",
                                             cli_json_text(settings.output), "steps",
                                             (json_int_t)settings.steps);
        status = cli_print_json(cli, line, JSON_COMPACT);
    }
    tt_train_texts_free(texts);
    return status;
}
