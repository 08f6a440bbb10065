// SPDX-License-Identifier: MIT
// tintype train: noise prediction, or an autoencoder, on a folder of pictures with captions.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/train_preview.h"
#include "train/trainer.h"

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
    size_t n = 0;
    tt_train_defaults(&defaults);
    r->options[n++] = (struct cli_option){"settings", 0, CLI_TEXT, "FILE",
                                          "JSON with any of these; options go before it; "
                                          "default: none",
                                          &r->file};
    r->options[n++] = (struct cli_option){"preview-data", 0, CLI_TEXT, "FILE.png",
                                          "show what training sees of its pictures; trains "
                                          "nothing; default: none",
                                          &r->preview};
    for (size_t i = 0; i < tt_settings_count && i < MOST; i++) {
        const struct tt_setting *s = &tt_settings[i];
        bool flag = s->kind == TT_SETTING_FLAG;
        snprintf(r->names[i], sizeof r->names[i], "%s", s->name);
        for (char *c = r->names[i]; *c; c++)
            if (*c == '_') *c = '-';
        bool told = strstr(s->help, "default") || strstr(s->help, "must be given") || flag;
        char *initial = told ? NULL : tt_setting_text(&defaults, s);
        snprintf(r->help[i], sizeof r->help[i], told ? "%s" : initial ? "%s (default %s)" :
                 "%s (default: none)", s->help, initial);
        free(initial);
        r->options[n++] = (struct cli_option){
            r->names[i], letter_of(s->name), flag ? CLI_FLAG : CLI_TEXT, s->argument, r->help[i],
            flag ? (void *)&r->flag[i] : (void *)&r->text[i]};
    }
}

static enum tt_status take(struct cli *cli, const struct request *r,
                           struct tt_train_settings *settings, json_t **root) {
    enum tt_status status = TT_OK;
    tt_train_defaults(settings);
    if (r->file) status = tt_train_settings_read(settings, cli->files, r->file, root,
                                                &cli->error);
    for (size_t i = 0; !status && i < tt_settings_count && i < MOST; i++) {
        const char *text = r->flag[i] ? "true" : r->text[i];
        if (text) status = tt_train_settings_set(settings, &tt_settings[i], text, &cli->error);
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
    bool measures = !strcmp(what, TT_TRAIN_HELD);
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

static void tell(void *context, const char *text) {
    struct screen *screen = context;
    cli_keep_note(screen->cli, text);
    if (screen->cli->quiet) return;
    cli_progress_end(&screen->bar);
    fputs("tintype train: ", stderr);
    cli_print(stderr, text);
    fputc('\n', stderr);
}

struct preview {
    const struct tt_train_settings *settings;
    struct tt_image image;
};

static enum tt_status draw_preview(void *context, const struct tt_dataset *data,
                                   const struct tt_buckets *buckets, struct tt_error *err) {
    struct preview *preview = context;
    return preview_draw(data, buckets, preview->settings->seed, &preview->image, err);
}

static enum tt_status run(struct cli *cli, const struct request *r,
                          const struct tt_train_settings *settings,
                          const struct tt_train_watch *watch) {
    struct preview preview = {.settings = settings};
    if (!r->preview) return tt_train(settings, cli->engine, watch, &cli->error);
    enum tt_status status = cli_plan_picture(cli, r->preview);
    if (!status)
        status = tt_train_look(settings, cli->engine, watch, draw_preview, &preview, &cli->error);
    if (!status) status = cli_write_picture(cli, r->preview, &preview.image, NULL);
    tt_image_free(&preview.image);
    return status;
}

enum tt_status cli_train(struct cli *cli, int argc, char **argv) {
    struct request r = {0};
    struct tt_train_settings settings;
    json_t *root = NULL;
    make_options(&r);
    enum tt_status status = cli_parse(cli, r.options, argc, argv, NULL, 0);
    if (status || cli->help) return status;
    status = take(cli, &r, &settings, &root);
    if (!status) status = cli_open_engine(cli);
    struct screen screen = {.cli = cli};
    struct tt_train_watch watch = {&screen, show, tell};
    cli_progress_begin(&screen.bar, cli, "");
    if (!status) status = run(cli, &r, &settings, &watch);
    cli_progress_end(&screen.bar);
    if (!status) cli_written(cli, r.preview ? r.preview : settings.output);
    if (!status && cli->json) {
        json_t *line = r.preview ? json_pack("{s:o}", "preview", cli_json_text(r.preview))
                                 : json_pack("{s:o, s:I}", "folder",
                                             cli_json_text(settings.output), "steps",
                                             (json_int_t)settings.steps);
        status = cli_print_json(cli, line, JSON_COMPACT);
    }
    json_decref(root);
    return status;
}
