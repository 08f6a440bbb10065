// SPDX-License-Identifier: MIT
// Training through the public interface: steps, what is told of them, saving, resuming to the same
// bits, stopping, pictures of a program's own, and what is refused.
#include "tintype.h"

#include "util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PICTURES = 7, SIDE = 40, STEPS = 4 };

// ---- a source of pictures ----

// What a program draws, and what its callbacks saw.
struct source {
    size_t asked;
    bool other;       // draws something else once more than PICTURES were asked for
    bool twice;       // gives one name twice
    size_t broken;    // 1 + number of a picture that there is none of
    enum tt_status fails;
    size_t told, measured, stop; // calls of progress; of held-out pictures; stop after so many
    double losses[STEPS + 1];
    bool stopped; // the engine is to stop
    char notes[4096];
};

// A hashed gradient, the same on every call.
static void paint(size_t i, uint8_t *rgb) {
    for (size_t k = 0; k < 3 * SIDE * SIDE; k++)
        rgb[k] = (uint8_t)((k / 3 % SIDE * (3 + i) + k / (3 * SIDE) * (7 * i + 1) +
                            test_hashed(i, k % 3) % 97) & 255);
}

static const char *name_of(size_t i) {
    static const char *const names[PICTURES] = {"d.png", "a.png", "g.png", "b.png",
                                                "c.png", "f.png", "e.png"};
    return names[i];
}

static const char *caption_of(size_t i) {
    static const char *const captions[PICTURES] = {
        "a tree", "a house at night", "a red boat", "a tent", "a lighthouse", "fog", "a mushroom"};
    return captions[i];
}

static enum tt_status give(void *context, size_t i, struct tt_train_picture *picture,
                           struct tt_error *err) {
    static const char *captions[1];
    struct source *source = context;
    source->asked++;
    if (source->broken == i + 1)
        return tt_fail(err, source->fails, "the source has run dry");
    captions[0] = caption_of(i);
    picture->name = name_of(source->twice && i == 3 ? 2 : i);
    picture->captions = captions;
    picture->caption_count = 1;
    picture->image = (struct tt_image){SIDE, SIDE, malloc(3 * SIDE * SIDE)};
    paint(i, picture->image.rgb);
    if (source->other && source->asked > PICTURES) picture->image.rgb[100]++;
    return TT_OK;
}

static int show(void *context, const char *what, const struct tt_train_line *line) {
    struct source *source = context;
    if (!strcmp(what, "held-out pictures")) source->measured++;
    if (strcmp(what, "training")) return 0;
    ck_assert_uint_le(line->step, line->steps);
    if (line->step <= STEPS) source->losses[line->step] = line->loss;
    return ++source->told == source->stop;
}

static void note(void *context, const char *text) {
    struct source *source = context;
    size_t used = strlen(source->notes);
    snprintf(source->notes + used, sizeof source->notes - used, "%s\n", text);
}

static int stop_asked(void *context) {
    const struct source *source = context;
    return source->stopped;
}

// ---- a run ----

static struct tt_engine *engine_for(struct source *source) {
    struct tt_engine *engine;
    struct tt_engine_settings how;
    tt_engine_defaults(&how, sizeof how);
    how.cpu = getenv("TINTYPE_CPU");
    how.threads = 2;
    how.note = note;
    how.cancelled = stop_asked;
    how.context = source;
    ck_assert_int_eq(tt_engine_new(&how, &engine, NULL), TT_OK);
    return engine;
}

static struct tt_train_settings settings_for(struct source *source, const char *output) {
    struct tt_train_settings s;
    tt_train_defaults(&s, sizeof s);
    s.picture = give;
    s.picture_count = PICTURES;
    s.context = source;
    s.progress = show;
    s.model = "reference/tiny/sd15";
    s.output = output;
    s.width = s.height = 32;
    s.batch = 2;
    s.steps = STEPS;
    s.save_every = 0;
    s.log_every = 1;
    s.learning_rate = 1e-3;
    s.seed = 3;
    s.caption_dropout = 0.3;
    return s;
}

// That the file of that name is the same in both folders.
static void same_file(const char *a, const char *b, const char *name) {
    char path[2][512];
    size_t n, m;
    snprintf(path[0], sizeof path[0], "%s/%s", a, name);
    snprintf(path[1], sizeof path[1], "%s/%s", b, name);
    char *x = test_read(path[0], &n), *y = test_read(path[1], &m);
    ck_assert_msg(n == m && !memcmp(x, y, n), "%s and %s differ", path[0], path[1]);
    free(x);
    free(y);
}

static bool there(const char *folder, const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (file) fclose(file);
    return file != NULL;
}

static const char unet[] = "unet/diffusion_pytorch_model.safetensors";

// All of it in one call, for others to compare with.
static void train_whole(struct source *source, const char *output) {
    struct tt_error err = {0};
    struct tt_engine *engine = engine_for(source);
    struct tt_train_settings s = settings_for(source, output);
    ck_assert_msg(!tt_train(&s, engine, &err), "%s", err.message);
    tt_engine_free(engine);
}

// ---- steps ----

START_TEST(step_by_step) {
    struct source whole = {0}, parts = {0};
    struct tt_error err = {0};
    const char *a = test_path("whole-a"), *b = test_path("steps");
    train_whole(&whole, a);
    struct tt_engine *engine = engine_for(&parts);
    struct tt_train_settings s = settings_for(&parts, b);
    struct tt_trainer *trainer = NULL;
    ck_assert_msg(!tt_trainer_new(&s, engine, &trainer, &err), "%s", err.message);
    ck_assert_uint_eq(tt_trainer_line(trainer)->step, 0);
    for (size_t step = 1; step <= STEPS; step++) {
        ck_assert_msg(!tt_trainer_step(trainer, &err), "%s", err.message);
        const struct tt_train_line *line = tt_trainer_line(trainer);
        ck_assert_uint_eq(tt_trainer_steps(trainer), step);
        ck_assert_uint_eq(line->step, step);
        ck_assert_uint_eq(line->steps, STEPS);
        ck_assert_int_eq(line->told, TT_TOLD_STEPS);
        ck_assert(line->loss > 0 && line->norm > 0 && line->learning_rate == 1e-3);
        ck_assert(line->seconds >= 0 && line->images_per_second > 0 && isnan(line->held));
        ck_assert(parts.losses[step] == line->loss && whole.losses[step] == line->loss);
    }
    ck_assert_uint_eq(parts.told, STEPS);
    ck_assert(strstr(parts.notes, "7 pictures, 0 left out") != NULL);
    // There is nothing beyond the last step, and that does no harm.
    ck_assert_int_eq(tt_trainer_step(trainer, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "found 4 steps done") != NULL, "%s", err.message);
    err = (struct tt_error){0};
    ck_assert(!there(b, "model_index.json"));
    ck_assert_msg(!tt_trainer_export(trainer, &err), "%s", err.message);
    tt_trainer_free(trainer);
    same_file(a, b, "checkpoint.safetensors");
    same_file(a, b, unet);
    struct tt_model *model;
    ck_assert_msg(!tt_model_open(b, engine, &model, &err), "%s", err.message);
    tt_model_close(model);
    tt_engine_free(engine);
}
END_TEST

START_TEST(resumed_to_the_same_bits) {
    struct source whole = {0}, parts = {0};
    struct tt_error err = {0};
    const char *a = test_path("whole-b"), *b = test_path("parts");
    train_whole(&whole, a);
    struct tt_engine *engine = engine_for(&parts);
    struct tt_train_settings s = settings_for(&parts, b);
    struct tt_trainer *trainer = NULL;
    s.resume = true; // there is nothing yet, which is told
    for (size_t done = 0; done < STEPS; done++) {
        ck_assert_msg(!tt_trainer_new(&s, engine, &trainer, &err), "%s", err.message);
        ck_assert_uint_eq(tt_trainer_steps(trainer), done);
        ck_assert_msg(!tt_trainer_step(trainer, &err), "%s", err.message);
        ck_assert_msg(!tt_trainer_save(trainer, &err), "%s", err.message);
        ck_assert_msg(!tt_trainer_save(trainer, &err), "%s", err.message); // once more: nothing
        if (done + 1 == STEPS)
            ck_assert_msg(!tt_trainer_export(trainer, &err), "%s", err.message);
        tt_trainer_free(trainer);
    }
    ck_assert(strstr(parts.notes, "no checkpoint yet") && strstr(parts.notes, "after step 3"));
    // A step that is not saved, as that after the last one is not, has to be done again.
    s.steps = STEPS + 2;
    ck_assert_msg(!tt_trainer_new(&s, engine, &trainer, &err), "%s", err.message);
    ck_assert_uint_eq(tt_trainer_steps(trainer), STEPS);
    ck_assert_msg(!tt_trainer_step(trainer, &err), "%s", err.message);
    tt_trainer_free(trainer);
    ck_assert_msg(!tt_trainer_new(&s, engine, &trainer, &err), "%s", err.message);
    ck_assert_uint_eq(tt_trainer_steps(trainer), STEPS);
    tt_trainer_free(trainer);
    same_file(a, b, "checkpoint.safetensors");
    same_file(a, b, unet);
    // Without resume the folder is refused.
    s.resume = false;
    ck_assert_int_eq(tt_trainer_new(&s, engine, &trainer, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "found a checkpoint") != NULL, "%s", err.message);
    tt_engine_free(engine);
}
END_TEST

// Stopped by progress, or by the engine in the middle of a step: the steps done are saved.
START_TEST(stopped) {
    struct source whole = {0}, parts = {.stop = _i ? 0 : 2};
    struct tt_error err = {0};
    const char *a = test_path(_i ? "whole-c2" : "whole-c1");
    const char *b = test_path(_i ? "stopped2" : "stopped1");
    train_whole(&whole, a);
    struct tt_engine *engine = engine_for(&parts);
    struct tt_train_settings s = settings_for(&parts, b);
    struct tt_trainer *trainer = NULL;
    ck_assert_msg(!tt_trainer_new(&s, engine, &trainer, &err), "%s", err.message);
    ck_assert_msg(!tt_trainer_step(trainer, &err), "%s", err.message);
    if (_i) {
        ck_assert_msg(!tt_trainer_step(trainer, &err), "%s", err.message);
        parts.stopped = true;
    }
    ck_assert_int_eq(tt_trainer_step(trainer, &err), TT_CANCELLED);
    ck_assert_str_eq(err.message, "stopped after step 2; --resume goes on");
    // It is over: nothing that is half done can be gone on with.
    parts.stopped = false;
    for (int what = 0; what < 3; what++) {
        err = (struct tt_error){0};
        ck_assert_int_eq(what == 0   ? tt_trainer_step(trainer, &err)
                         : what == 1 ? tt_trainer_save(trainer, &err)
                                     : tt_trainer_export(trainer, &err), TT_BAD_INPUT);
        ck_assert_msg(strstr(err.message, "that an error has ended") != NULL, "%s", err.message);
    }
    tt_trainer_free(trainer);
    err = (struct tt_error){0};
    ck_assert(there(b, "checkpoint.safetensors") && !there(b, "model_index.json"));
    s.resume = true;
    ck_assert_msg(!tt_train(&s, engine, &err), "%s", err.message);
    ck_assert(strstr(parts.notes, "goes on after step 2") != NULL);
    same_file(a, b, "checkpoint.safetensors");
    same_file(a, b, unet);
    tt_engine_free(engine);
}
END_TEST

// ---- observers ----

struct counts {
    size_t before, after, back, stop;
};

static int count_before(void *context, const struct tt_step *step) {
    struct counts *counts = context;
    counts->before++;
    if (!tt_step_module(step, 0)) counts->back++; // or a step that ends no module
    return counts->before == counts->stop;
}

static void count_after(void *context, const struct tt_step *step) {
    struct counts *counts = context;
    (void)step;
    counts->after++;
}

START_TEST(observed) {
    struct source whole = {0}, seen = {0};
    struct tt_error err = {0};
    const char *a = test_path("whole-d"), *b = test_path("seen");
    train_whole(&whole, a);
    struct tt_engine *engine = engine_for(&seen);
    struct tt_train_settings s = settings_for(&seen, b);
    struct tt_trainer *trainer = NULL;
    struct counts counts[2] = {{0}};
    const struct tt_observer observers[] = {{&counts[0], count_before, count_after},
                                            {&counts[1], NULL, count_after}};
    ck_assert_msg(!tt_trainer_new(&s, engine, &trainer, &err), "%s", err.message);
    ck_assert_msg(!tt_trainer_step(trainer, &err), "%s", err.message);
    tt_trainer_observe(trainer, observers, 2);
    ck_assert_msg(!tt_trainer_step(trainer, &err), "%s", err.message);
    size_t first = counts[0].before;
    ck_assert(first > 100 && counts[0].back > first / 3);
    ck_assert(counts[0].after == first && counts[1].after == first);
    ck_assert_msg(!tt_trainer_step(trainer, &err), "%s", err.message);
    ck_assert_uint_eq(counts[1].after, 2 * first);
    tt_trainer_observe(trainer, NULL, 0);
    ck_assert_msg(!tt_trainer_step(trainer, &err), "%s", err.message);
    ck_assert_uint_eq(counts[0].before, 2 * first);
    tt_trainer_free(trainer);
    same_file(a, b, "checkpoint.safetensors"); // looking changes nothing
    // One that stops ends the run, which is saved.
    s.resume = true;
    s.steps = STEPS + 2;
    ck_assert_msg(!tt_trainer_new(&s, engine, &trainer, &err), "%s", err.message);
    ck_assert_msg(!tt_trainer_step(trainer, &err), "%s", err.message);
    counts[0].stop = counts[0].before + first / 2;
    tt_trainer_observe(trainer, observers, 2);
    ck_assert_int_eq(tt_trainer_step(trainer, &err), TT_CANCELLED);
    ck_assert_str_eq(err.message, "stopped after step 5; --resume goes on");
    tt_trainer_free(trainer);
    tt_engine_free(engine);
}
END_TEST

// ---- pictures ----

// The same pictures from a folder and from the program train the same weights.
START_TEST(own_or_a_folder) {
    struct source own = {0}, listed = {0};
    struct tt_error err = {0};
    const char *a = test_path("own"), *b = test_path("listed"), *data = test_path("data");
    char lines[1024] = "", path[512];
    struct tt_new_folder *folder;
    struct tt_image image = {SIDE, SIDE, malloc(3 * SIDE * SIDE)};
    ck_assert_int_eq(tt_new_folder_begin(data, &folder, NULL), TT_OK);
    for (size_t i = 0; i < PICTURES; i++) {
        size_t used = strlen(lines);
        snprintf(lines + used, sizeof lines - used, "{\"file_name\": \"%s\", \"text\": \"%s\"}\n",
                 name_of(i), caption_of(i));
        paint(i, image.rgb);
        snprintf(path, sizeof path, "%s/%s", tt_new_folder_path(folder), name_of(i));
        ck_assert_int_eq(tt_image_write(NULL, path, &image, NULL, NULL), TT_OK);
    }
    snprintf(path, sizeof path, "%s/metadata.jsonl", tt_new_folder_path(folder));
    ck_assert_int_eq(tt_write_file(NULL, path, lines, strlen(lines), NULL), TT_OK);
    ck_assert_int_eq(tt_new_folder_end(folder, true, NULL), TT_OK);
    tt_image_free(&image);
    for (int i = 0; i < 2; i++) {
        struct source *source = i ? &listed : &own;
        struct tt_engine *engine = engine_for(source);
        struct tt_train_settings s = settings_for(source, i ? b : a);
        s.validate = 0.3;
        s.flip = true;
        if (i) s.picture = NULL;
        if (i) s.data = data;
        ck_assert_msg(!tt_train(&s, engine, &err), "%s", err.message);
        ck_assert_uint_gt(source->measured, 0);
        tt_engine_free(engine);
    }
    ck_assert(own.asked > PICTURES && listed.asked == 0);
    for (size_t i = 1; i <= STEPS; i++) ck_assert(own.losses[i] == listed.losses[i]);
    same_file(a, b, unet);
    // The log has both kinds of lines, which programs can read.
    struct tt_train_lines *log;
    size_t steps = 0, held = 0;
    snprintf(path, sizeof path, "%s/train.jsonl", a);
    ck_assert_msg(!tt_train_lines_read(NULL, path, &log, &err), "%s", err.message);
    const struct tt_train_line *line;
    for (size_t i = 0; (line = tt_train_lines_at(log, i)); i++) {
        steps += line->told == TT_TOLD_STEPS;
        held += line->told == TT_TOLD_HELD;
    }
    ck_assert(steps == STEPS && held == 2);
    tt_train_lines_free(log);
}
END_TEST

// What training sees, before it does.
START_TEST(looked_at) {
    struct source source = {0};
    struct tt_error err = {0};
    struct tt_engine *engine = engine_for(&source);
    struct tt_train_settings s = settings_for(&source, NULL);
    struct tt_train_data *data;
    size_t width, height, items[2 * PICTURES], seen[PICTURES] = {0};
    uint8_t painted[3 * SIDE * SIDE];
    s.width = s.height = SIDE;
    s.validate = 0.3;
    ck_assert_msg(!tt_train_data_open(&s, engine, &data, &err), "%s", err.message);
    size_t count = tt_train_data_count(data), held = tt_train_data_held(data);
    ck_assert(count && held && count + held == PICTURES);
    for (size_t i = 0; i < PICTURES; i++) {
        struct tt_image image;
        size_t number = 0;
        while (strcmp(name_of(number), tt_train_data_name(data, i))) number++;
        ck_assert_str_eq(tt_train_data_caption(data, i, 0), caption_of(number));
        ck_assert_ptr_null(tt_train_data_caption(data, i, 1));
        tt_train_data_size(data, i, &width, &height);
        ck_assert(width == SIDE && height == SIDE);
        ck_assert_int_eq(tt_train_data_picture(data, i, &image, NULL), TT_OK);
        paint(number, painted);
        ck_assert_mem_eq(image.rgb, painted, sizeof painted);
        tt_image_free(&image);
    }
    ck_assert_int_eq(tt_train_data_order(data, items, 2 * count, NULL), TT_OK);
    for (size_t i = 0; i < 2 * count; i++) seen[items[i]]++;
    for (size_t i = 0; i < PICTURES; i++) ck_assert_uint_eq(seen[i], i < count ? 2 : 0);
    tt_train_data_close(data);
    tt_engine_free(engine);
}
END_TEST

START_TEST(left_out) {
    struct source source = {.broken = 3, .fails = TT_BAD_INPUT};
    struct tt_error err = {0};
    struct tt_engine *engine = engine_for(&source);
    struct tt_train_settings s = settings_for(&source, test_path("left"));
    s.steps = 1;
    ck_assert_msg(!tt_train(&s, engine, &err), "%s", err.message);
    ck_assert_msg(strstr(source.notes, "left out: picture 2: the source has run dry") &&
                  strstr(source.notes, "6 pictures, 1 left out"), "%s", source.notes);
    s.output = test_path("strict");
    s.strict = true;
    ck_assert_int_eq(tt_train(&s, engine, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "the source has run dry") != NULL, "%s", err.message);
    err = (struct tt_error){0};
    s.strict = false;
    source.fails = TT_SYSTEM;
    ck_assert_int_eq(tt_train(&s, engine, &err), TT_SYSTEM);
    ck_assert_msg(strstr(err.message, "picture 2: the source has run dry") != NULL, "%s",
                  err.message);
    tt_engine_free(engine);
}
END_TEST

// ---- what is refused ----

static void refuse(struct source *source, const struct tt_train_settings *s, const char *message) {
    struct tt_error err = {0};
    struct tt_engine *engine = engine_for(source);
    struct tt_trainer *trainer = NULL;
    enum tt_status status = tt_trainer_new(s, engine, &trainer, &err);
    while (!status && tt_trainer_steps(trainer) < s->steps) status = tt_trainer_step(trainer, &err);
    ck_assert_int_eq(status, TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, message) != NULL, "'%s' does not say '%s'", err.message,
                  message);
    tt_trainer_free(trainer);
    tt_engine_free(engine);
}

START_TEST(refused) {
    struct source source = {0};
    const struct tt_train_settings good = settings_for(&source, test_path("refused"));
    struct tt_train_settings s = good;
    s.data = "somewhere";
    refuse(&source, &s, "data: found somewhere and picture(), expected one of them");
    s = good;
    s.picture = NULL;
    refuse(&source, &s, "data is missing");
    s = good;
    s.picture_count = 0;
    refuse(&source, &s, "own pictures: found no picture, expected at least one");
    s = good;
    s.part = 5;
    refuse(&source, &s, "part: found 5, expected 0 to 4");
    s = good;
    s.background = -1;
    refuse(&source, &s, "background: found -1, expected 0 to 2");
    s = good;
    s.learning_rate = NAN;
    refuse(&source, &s, "learning_rate: found");
    s = good;
    s.size = 0;
    refuse(&source, &s, "struct tt_train_settings: found size 0");
    s = good;
    s.width = s.height = 512;
    refuse(&source, &s, "none of 7 pictures can be used");
    source.twice = true;
    refuse(&source, &good, "name: found g.png, which is that of picture 2");
    source = (struct source){.other = true};
    refuse(&source, &good, "found other pixels than before, expected the same each time");
    // Other pictures than before a resumption.
    source = (struct source){0};
    s = good;
    s.output = test_path("resumed");
    s.steps = 1;
    train_whole(&source, s.output);
    s.resume = true;
    s.picture_count = PICTURES - 1;
    refuse(&source, &s, "picture of e.png: found nothing, was \"trained on\"");
}
END_TEST

// ---- settings as text ----

START_TEST(as_text) {
    struct tt_train_settings s, initial;
    struct tt_error err = {0};
    const char *name, *argument, *help;
    size_t i = 0;
    tt_train_defaults(&initial, sizeof initial);
    s = initial;
    for (; tt_train_setting(i, &name, &argument, &help); i++) {
        char *text = tt_train_setting_text(&initial, name);
        ck_assert(name && help && (argument || !text));
        // What it says is taken, and is the same then. x: a text without a default.
        const char *said = !argument ? "true" : text ? text : "x";
        ck_assert_msg(!tt_train_set(&s, name, said, &err), "%s", err.message);
        char *again = tt_train_setting_text(&s, name);
        ck_assert(!argument || !strcmp(again, said));
        ck_assert_uint_eq(s.given, (UINT64_C(2) << i) - 1);
        free(again);
        free(text);
    }
    ck_assert_uint_gt(i, 40);
    ck_assert(s.flip && s.zero_snr && !strcmp(s.output, "x"));
    ck_assert_int_eq(tt_train_set(&s, "stepps", "3", &err), TT_BAD_INPUT);
    ck_assert_str_eq(err.message, "stepps: not a setting of training");
    err = (struct tt_error){0};
    ck_assert_int_eq(tt_train_set(&s, "part", "wing", &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "part: found 'wing', expected \"vae\" or") != NULL, "%s",
                  err.message);
    ck_assert_ptr_null(tt_train_setting_text(&s, "stepps"));
}
END_TEST

// A program that was built when the struct ended earlier keeps the defaults of what came later, and
// nothing is written behind its end.
START_TEST(grown) {
    struct tt_train_settings s;
    struct tt_error err = {0};
    size_t early = offsetof(struct tt_train_settings, l1_weight);
    memset(&s, 0x55, sizeof s);
    tt_train_defaults(&s, early);
    ck_assert_uint_eq(s.size, early);
    for (size_t i = early; i < sizeof s; i++) ck_assert_int_eq(((char *)&s)[i], 0x55);
    ck_assert_int_eq(tt_train_set(&s, "l1_weight", "2", &err), TT_BAD_INPUT);
    ck_assert_int_eq(((char *)&s)[early], 0x55);
    char *text = tt_train_setting_text(&s, "l1_weight");
    ck_assert_str_eq(text, "1.0");
    free(text);
    err = (struct tt_error){0};
    ck_assert_msg(!tt_train_set(&s, "min_snr", "5", &err), "%s", err.message);
    ck_assert(s.min_snr == 5);
}
END_TEST

static Suite *train_api_suite(void) {
    Suite *suite = suite_create("train_api");
    TCase *tcase = tcase_create("through the public interface");
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, step_by_step);
    tcase_add_test(tcase, resumed_to_the_same_bits);
    tcase_add_loop_test(tcase, stopped, 0, 2);
    tcase_add_test(tcase, observed);
    tcase_add_test(tcase, own_or_a_folder);
    tcase_add_test(tcase, looked_at);
    tcase_add_test(tcase, left_out);
    tcase_add_test(tcase, refused);
    tcase_add_test(tcase, as_text);
    tcase_add_test(tcase, grown);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) { return test_main(train_api_suite(), NULL); }
