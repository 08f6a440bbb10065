// SPDX-License-Identifier: MIT
#include "cli/request.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/words.h"

void request_begin(struct request *r) {
    tt_settings_defaults(&r->with, sizeof r->with);
    r->with.steps = 0;
    r->with.guidance_scale = NAN;
}

size_t request_options(struct request *r, struct cli *cli, struct cli_option *table) {
    const struct cli_option options[] = {
        {"prompt", 'p', CLI_ONCE, "TEXT",
         "what to draw, also without -p; default: none", &r->with.prompt},
        {"negative-prompt", 'n', CLI_ONCE, "TEXT",
         "what to stay away from; default: nothing", &r->with.negative},
        {"model", 'm', CLI_TEXT, "MODEL", "folder or file; default: the built-in one", &r->model},
        CLI_VARIANT(cli),
        CLI_WEIGHTS(cli),
        CLI_NETWORKS(cli),
        CLI_LORA(cli),
        {"lora-folder", 0, CLI_TEXT, "DIR",
         "where the LoRAs of <lora:NAME:W> in the prompt are; default: none", &r->lora_folder},
        {"prompt-syntax", 0, CLI_TEXT, "SYNTAX",
         "plain; webui: (a:1.2), [a], BREAK; compel: a++, (a b)1.2, .and(); default: plain",
         &r->wording.syntax},
        {"clip-skip", 0, CLI_COUNT, "N",
         "leave out the text encoder's last N layers, as diffusers counts; default: none",
         &r->with.clip_skip},
        {"embedding", 0, CLI_LIST, "FILE[:WORD]",
         "textual inversion, and the word for it; again for more; default: none",
         &r->wording.given},
        {"embedding-folder", 0, CLI_TEXT, "DIR",
         "where the embeddings are that prompts call by their files' names; default: none",
         &r->wording.folder},
        {"output", 'o', CLI_TEXT, "OUT.png",
         "the picture, PNG or JPEG; -: standard output", &r->out},
        {"seed", 's', CLI_SEED, "SEED", "seed of the first noise", &r->with.seed},
        {"steps", 0, CLI_COUNT, "N",
         "steps from noise to picture; default: 20, or the model's (see 'tintype info')",
         &r->with.steps},
        {"guidance-scale", 0, CLI_NUMBER, "G",
         "how closely the text is followed; 1: half the time; default: 7.5, or the model's",
         &r->with.guidance_scale},
        {"guidance-rescale", 0, CLI_NUMBER, "R", "against overexposure",
         &r->with.guidance_rescale},
        {"guidance-interval", 0, CLI_TEXT, "FROM-TO",
         "guide only these steps; A,B: this part of the run (default 0,1)", &r->interval},
        {"scheduler", 0, CLI_TEXT, "NAME", "see 'tintype schedulers'; default: the model's",
         &r->with.scheduler},
        {"scheduler-option", 0, CLI_LIST, "K=V",
         "a setting of scheduler_config.json, also several; default: the model's",
         &r->options},
        {"width", 'W', CLI_COUNT, "PX", "width; default: the model's", &r->with.width},
        {"height", 'H', CLI_COUNT, "PX", "height; default: the model's", &r->with.height},
        {"original-size", 0, CLI_TEXT, "WxH",
         "SDXL: of the picture before it was cut, as if; default: the picture's",
         &r->original_size},
        {"crop", 0, CLI_TEXT, "X,Y", "SDXL: where the cut began; default: 0,0", &r->crop},
        {"target-size", 0, CLI_TEXT, "WxH", "SDXL: of the picture; default: the picture's",
         &r->target_size},
        {"negative-original-size", 0, CLI_TEXT, "WxH",
         "SDXL: the same to stay away from, with both sizes; default: nothing else",
         &r->negative_original_size},
        {"negative-crop", 0, CLI_TEXT, "X,Y", "with these; default: 0,0", &r->negative_crop},
        {"negative-target-size", 0, CLI_TEXT, "WxH", "with these; default: nothing else",
         &r->negative_target_size},
        CLI_CONV(cli),
    };
    memcpy(table, options, sizeof options);
    return sizeof options / sizeof *options;
}

enum tt_status request_guide(const struct request *r, size_t calls, struct tt_settings *with,
                             struct tt_error *err) {
    char first[32] = "";
    size_t from, to;
    double a, b;
    if (!r->interval) return TT_OK;
    const char *second = r->interval + strcspn(r->interval, strchr(r->interval, ',') ? "," : "-");
    size_t length = (size_t)(second - r->interval);
    if (length < sizeof first) memcpy(first, r->interval, length);
    if (*second == ',' && !cli_number("", first, &a, NULL) &&
        !cli_number("", second + 1, &b, NULL) && a >= 0 && a <= b && b <= 1) {
        with->guidance_start = a;
        with->guidance_stop = b;
        return TT_OK;
    }
    if (*second == '-' && !cli_count("", first, calls, &from, NULL) &&
        !cli_count("", second + 1, calls, &to, NULL) && from <= to && to <= calls) {
        with->guidance_start = (double)(from - 1) / (double)calls;
        with->guidance_stop = (double)to / (double)calls;
        return TT_OK;
    }
    return tt_fail(err, TT_BAD_INPUT,
                   "--guidance-interval: found '%s', expected steps FROM-TO within 1-%zu, or parts "
                   "of the run A,B with 0 <= A <= B <= 1", r->interval, calls);
}

// "AxB" or "A,B": two whole numbers, into those places; text NULL: they stay.
static enum tt_status read_two(const char *option, const char *text, char between, size_t least,
                               size_t *a, size_t *b, struct tt_error *err) {
    uint64_t first, second;
    char copy[64] = "";
    if (!text) return TT_OK;
    if (strlen(text) < sizeof copy) strcpy(copy, text);
    char *mark = strchr(copy, between);
    if (mark) *mark++ = '\0';
    if (!mark || cli_whole("", copy, &first, NULL) || cli_whole("", mark, &second, NULL) ||
        first < least || second < least || first > TT_IMAGE_SIDE || second > TT_IMAGE_SIDE)
        return tt_fail(err, TT_BAD_INPUT, "--%s: found '%s', expected %s, each from %zu to %d",
                       option, text, between == ',' ? "X,Y" : "WIDTHxHEIGHT", least, TT_IMAGE_SIDE);
    *a = (size_t)first;
    *b = (size_t)second;
    return TT_OK;
}

// What SDXL is told.
static enum tt_status read_numbers(struct request *r, struct tt_error *err) {
    struct tt_settings *s = &r->with;
    enum tt_status status = read_two("original-size", r->original_size, 'x', 1, &s->original_width,
                                     &s->original_height, err);
    if (!status) status = read_two("crop", r->crop, ',', 0, &s->crop_left, &s->crop_top, err);
    if (!status)
        status = read_two("target-size", r->target_size, 'x', 1, &s->target_width,
                          &s->target_height, err);
    if (!status)
        status = read_two("negative-original-size", r->negative_original_size, 'x', 1,
                          &s->negative_original_width, &s->negative_original_height, err);
    if (!status)
        status = read_two("negative-crop", r->negative_crop, ',', 0, &s->negative_crop_left,
                          &s->negative_crop_top, err);
    if (!status)
        status = read_two("negative-target-size", r->negative_target_size, 'x', 1,
                          &s->negative_target_width, &s->negative_target_height, err);
    return status;
}

// What was not given is what suits the model.
static void fill_in(struct cli *cli, struct request *r, const struct tt_model_info *info) {
    bool steps = !r->with.steps, guidance = isnan(r->with.guidance_scale);
    if (steps) r->with.steps = info->steps;
    if (guidance) r->with.guidance_scale = info->guidance_scale;
    // "" and none are one where neither is zeros: one text for both in the picture.
    if (!info->force_zeros && r->with.negative && !*r->with.negative) r->with.negative = NULL;
    if (!info->few_steps || (!steps && !guidance)) return;
    char note[256];
    snprintf(note, sizeof note, "%.80s: taken for a model of few steps, as %s: %zu steps, guidance "
             "scale %g; --steps and --guidance-scale say otherwise", info->name, info->few_steps,
             r->with.steps, r->with.guidance_scale);
    cli_note(cli, note);
}

enum tt_status request_refiner(struct cli *cli, struct request *r) {
    struct tt_session *session = NULL;
    struct tt_model *model = NULL;
    if (!r->refiner) return TT_OK;
    enum tt_status status = cli_open_beside(cli, r->refiner, true, &session, &model);
    if (status) return tt_fail_prefix(&cli->error, "--refiner");
    r->with.refiner = session;
    return tt_model_hash(model, r->record.refiner, &cli->error);
}

// --prediction-type among the scheduler's options, so that the picture's settings hold it; those
// that a replayed picture had stay beside it.
static void add_prediction(struct request *r, const char *type) {
    static const char key[] = "prediction_type=";
    const char *const *had = r->with.scheduler_options;
    for (int i = 0; i < r->options.count; i++)
        if (!strncmp(r->options.item[i], key, sizeof key - 1)) return; // the narrower one counts
    bool own = r->options.count > 0;
    for (size_t i = 0; !own && had && had[i] && r->options.count < CLI_LIST_MOST; i++)
        if (strncmp(had[i], key, sizeof key - 1)) r->options.item[r->options.count++] = had[i];
    if (r->options.count == CLI_LIST_MOST) return; // the model was opened with it all the same
    snprintf(r->prediction, sizeof r->prediction, "%s%s", key, type);
    r->options.item[r->options.count++] = r->prediction;
}

enum tt_status request_check(struct cli *cli, struct request *r, struct tt_model *model) {
    struct tt_scheduler *scheduler = NULL;
    if (!tt_model_has_part(model, tt_part_find("unet")))
        return tt_fail(&cli->error, TT_BAD_INPUT,
                       "%s: found an autoencoder alone, expected a model's folder: give the "
                       "autoencoder with --vae", tt_model_info(model)->name);
    if (!r->with.prompt && !tt_model_info(model)->unconditional)
        return tt_fail(&cli->error, TT_BAD_INPUT,
                       "--prompt is missing: tintype %s \"a lighthouse\"", cli->verb);
    if (cli->prediction) add_prediction(r, cli->prediction);
    if (r->options.count) r->with.scheduler_options = r->options.item;
    fill_in(cli, r, tt_model_info(model));
    enum tt_status status = read_numbers(r, &cli->error);
    if (!status) status = tt_settings_complete(model, &r->with, &r->outline, &cli->error);
    if (!status)
        status = tt_scheduler_open(&scheduler, r->with.scheduler, model, r->with.scheduler_options,
                                   &cli->error);
    if (!status) {
        snprintf(r->scheduler, sizeof r->scheduler, "%s", tt_scheduler_name(scheduler));
        r->record.direct = cli->conv && !strcmp(cli->conv, "direct");
        status = tt_model_hash(model, r->record.hash, &cli->error);
    }
    if (!status) status = request_inversions(cli, r, model);
    struct tt_lora_info *info = r->record.loras;
    for (size_t i = 0; !status && tt_model_lora(model, i, &info[i]); i++) {
        if (cli->loras.shown[i]) info[i].path = cli->loras.shown[i];
        r->record.lora_count = i + 1;
    }
    tt_scheduler_free(scheduler);
    return status;
}

enum tt_status request_note(struct cli *cli, const struct tt_model *model,
                            const struct tt_settings *with, size_t count) {
    json_t *words = NULL;
    enum tt_status status = words_read(cli, model, &words);
    for (size_t i = 0; !status && words && i < count; i++) words_note(cli, words, &with[i]);
    json_decref(words);
    return status;
}

// OUT's name without its ending, "-K" for one of several, then tail.
static char *name_of(const struct request *r, size_t k, const char *tail, const char *ending) {
    const char *dot = strrchr(r->out, '.'), *slash = strrchr(r->out, '/');
    if (!dot || (slash && dot < slash)) dot = r->out + strlen(r->out);
    char *name = NULL, number[24] = "";
    if (r->with.count > 1) snprintf(number, sizeof number, "-%zu", k + 1);
    int length = asprintf(&name, "%.*s%s%s%s", (int)(dot - r->out), r->out, number, tail,
                          ending ? ending : dot);
    return length < 0 ? NULL : name;
}

char *request_file(const struct request *r, size_t k) {
    return name_of(r, k, "", NULL);
}

char *request_preview(const struct request *r, size_t k) {
    return name_of(r, k, "-preview", ".png");
}
