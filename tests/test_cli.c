// SPDX-License-Identifier: MIT
// The parts of the command line: settings inside pictures, axes of grids, sheets, charts, and the
// noise verb against its formula.
#include "util.h"

#include "cli/axis.h"
#include "cli/chart.h"
#include "cli/cli.h"
#include "cli/lettering.h"
#include "cli/parameters.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- settings ----

static const char *const no_options[] = {NULL};
static const char *const options[] = {"use_karras_sigmas=true", "trained_betas=0.1,0.2",
                                      "timestep_spacing= a: \"b\" ", "eta=", NULL};

static struct tt_settings plain(const char *prompt, const char *negative) {
    struct tt_settings s;
    tt_settings_defaults(&s, sizeof s);
    s.prompt = prompt;
    s.negative = negative;
    s.scheduler = "ddim";
    s.scheduler_options = no_options;
    s.width = 48;
    s.height = 32;
    return s;
}

static void same_text(const char *a, const char *b) {
    ck_assert_str_eq(a ? a : "", b ? b : "");
}

static void round_trip(const struct tt_settings *s, const struct settings_record *r) {
    struct settings_read read;
    struct tt_error err = {0};
    char *text = settings_text(s, r);
    ck_assert_ptr_nonnull(text);
    ck_assert_msg(!settings_parse("f", text, &read, &err), "%s in %s", err.message, text);
    same_text(read.with.prompt, s->prompt);
    same_text(read.with.negative, s->negative);
    same_text(read.with.scheduler, s->scheduler);
    for (size_t i = 0; s->scheduler_options[i]; i++)
        same_text(read.options[i], s->scheduler_options[i]);
    ck_assert_uint_eq(read.with.seed, s->seed);
    ck_assert_uint_eq(read.with.steps, s->steps);
    ck_assert_uint_eq(read.with.width, s->width);
    ck_assert_uint_eq(read.with.height, s->height);
    ck_assert(read.with.guidance_scale == s->guidance_scale);
    ck_assert(read.with.guidance_rescale == s->guidance_rescale);
    ck_assert(read.with.guidance_start == s->guidance_start);
    ck_assert(read.with.guidance_stop == s->guidance_stop);
    ck_assert_str_eq(read.record.hash, r->hash);
    ck_assert(read.record.direct == r->direct && read.record.strip == r->strip);
    ck_assert_str_eq(read.version, tt_version());
    char *twice = settings_text(&read.with, &read.record);
    ck_assert_str_eq(text, twice);
    free(twice);
    free(text);
    settings_free(&read);
}

START_TEST(settings_come_back) {
    static const char *const prompts[] = {
        "a lighthouse", "", " ", "\n", "two\nlines", "ends\n", "Negative prompt: no", "灯台, \"x\"",
        "a\nNegative prompt: of these\nSteps: 9, Sampler: x", "\nNegative prompt: ", "Steps: 1",
        "tab\tand\r\nreturn",
    };
    enum { PROMPTS = sizeof prompts / sizeof *prompts };
    struct settings_record r = {.hash = "0123456789"};
    for (size_t i = 0; i < PROMPTS; i++)
        for (size_t j = 0; j <= PROMPTS; j++) {
            struct tt_settings s = plain(prompts[i], j < PROMPTS ? prompts[j] : NULL);
            round_trip(&s, &r);
        }
    struct tt_settings s = plain("x", NULL);
    s.seed = UINT64_MAX;
    s.steps = 1000;
    s.scheduler_options = options;
    s.guidance_scale = 10.0 / 3;
    s.guidance_rescale = 0.1;
    s.guidance_start = 1e-300;
    s.guidance_stop = nextafter(1, 0);
    r.direct = true;
    r.strip = 8;
    round_trip(&s, &r);
}
END_TEST

START_TEST(settings_refused) {
#define GOOD "Steps: 2, Sampler: ddim, CFG scale: 7.5, Seed: 0, Size: 8x8, Model hash: 0123456789"
    static const char *const cases[][2] = {
        {"", "last line: found ''"},
        {"x", "last line: found 'x', expected 'Steps: ...'"},
        {"x\n" GOOD, "Version: found 'none'"},
        {"x\n" GOOD ", Version: v1.10.1", "Version: found 'v1.10.1', expected tintype"},
        {"x\n" GOOD ", Version: tintype 1, Hires steps: 2", "found key 'Hires steps'"},
        {"x\n" GOOD ", Version: tintype 1, Seed: 2", "Seed: found '2', expected it once"},
        {"x\n" GOOD ", Version: tintype 1, Strip", "last line: found 'Strip'"},
        {"x\n" GOOD ", Version: tintype 1, Strip: 0", "Strip: found '0'"},
        {"x\n" GOOD ", Version: tintype 1, CFG stop: nan", "CFG stop: found 'nan'"},
        {"x\n" GOOD ", Version: \"tintype 1", "expected a JSON string"},
        {"\xe1 x\n" GOOD ", Version: tintype 1", "found no valid UTF-8"},
        {"caf\xe9\n" GOOD ", Version: tintype 1", "found no valid UTF-8"},
        {"x\nSteps: 2, Sampler: d\x96, Version: tintype 1", "found no valid UTF-8"},
        {"x\n" GOOD ", Version: \"tintype 1\" x", "expected ', ' after the value"},
        {"x\n" GOOD ",Version: tintype 1", "expected ', ' after the value"},
        {"x\n" GOOD ", Version: tintype 1, Convolution: fft", "Convolution: found 'fft'"},
        {"x\n" GOOD ", Version: tintype 1, Prompt lines: 2", "Prompt lines: found '2'"},
        {"x\ny\n" GOOD ", Version: tintype 1, Prompt lines: 1", "Prompt lines: found '1'"},
        {"Negative prompt: x\n" GOOD ", Version: tintype 1", "before the negative prompt"},
        {"x\nSteps: 2, Version: tintype 1", "Sampler: found 'none'"},
        {"x\nSteps: 2, Sampler: ddim, CFG scale: 7.5, Seed: 0, Size: 8x0, Model hash: 0123456789, "
         "Version: tintype 1", "Size: found '8x0', expected WIDTHxHEIGHT"},
        {"x\nSteps: 2, Sampler: ddim, CFG scale: 7.5, Seed: -1.5, Size: 8x8, Model hash: 012345678"
         "9, Version: tintype 1", "Seed: found '-1.5'"},
        {"x\nSteps: 2, Sampler: ddim, CFG scale: 7.5, Seed: 1, Size: 8x8, Model hash: 12, "
         "Version: tintype 1", "Model hash: found '12'"},
    };
#undef GOOD
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct settings_read read;
        struct tt_error err = {0};
        ck_assert_msg(settings_parse("f", cases[i][0], &read, &err) == TT_BAD_INPUT, "%s",
                      cases[i][0]);
        ck_assert_msg(strstr(err.message, cases[i][1]) != NULL, "%s: %s", cases[i][0], err.message);
        ck_assert_msg(!strncmp(err.message, "f: settings: ", 13), "%s", err.message);
    }
}
END_TEST

// Any bytes are read or refused; a sanitizer watches.
START_TEST(settings_damaged) {
    struct settings_record r = {.hash = "0123456789", .direct = true, .strip = 3};
    struct tt_settings s = plain("a\nNegative prompt: b", "c");
    s.scheduler_options = options;
    char *text = settings_text(&s, &r);
    size_t length = strlen(text);
    uint64_t state = 7;
    for (int i = 0; i < 20000; i++) {
        char *copy = strdup(text);
        size_t at = test_random(&state) % length;
        if (i % 3 == 0) copy[at] = 0;
        else if (i % 3 == 1) copy[at] = ",:\"\\\n= 0"[test_random(&state) % 8];
        else memmove(copy + at, copy + at + 1, length - at);
        struct settings_read read;
        if (!settings_parse("f", copy, &read, NULL)) settings_free(&read);
        free(copy);
    }
    free(text);
}
END_TEST

// ---- axes ----

START_TEST(axes_read) {
    static const struct {
        const char *text, *values[4];
        enum axis_kind kind;
    } cases[] = {
        {"steps=2,5,10", {"2", "5", "10"}, AXIS_STEPS},
        {"guidance-scale= 1 , -2.5", {"1", "-2.5"}, AXIS_GUIDANCE_SCALE},
        {"seed=18446744073709551615", {"18446744073709551615"}, AXIS_SEED},
        {"scheduler=dpm++-2m,ddim", {"dpm++-2m", "ddim"}, AXIS_SCHEDULER},
        {"prompt=a=b, c d ", {"a=b", "c d"}, AXIS_PROMPT},
        {"prompt=\"a, \"\"b\"\"\" , \" c \",d\"e", {"a, \"b\"", " c ", "d\"e"}, AXIS_PROMPT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct axis axis;
        struct tt_error err = {0};
        size_t n = 0;
        ck_assert_msg(!axis_parse("x", cases[i].text, &axis, &err), "%s", err.message);
        ck_assert_int_eq(axis.kind, cases[i].kind);
        for (; n < 4 && cases[i].values[n]; n++)
            ck_assert_str_eq(axis.values[n], cases[i].values[n]);
        ck_assert_uint_eq(axis.count, n);
        axis_free(&axis);
    }
}
END_TEST

START_TEST(axes_refused) {
    static const char *const cases[] = {
        "", "=", "steps", "step=1", "steps=", "steps=,", "steps=1,,2", "steps=1,", "steps=1.5",
        "steps=0", "seed=-x", "seed=1x", "guidance-scale=nan", "prompt=\"\"", "prompt=\"a",
        "prompt=\"a\"b", "prompt=\"", "prompt=\"\"\"", "scheduler= ",
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct axis axis;
        struct tt_error err = {0};
        ck_assert_msg(axis_parse("x", cases[i], &axis, &err) == TT_BAD_INPUT, "%s", cases[i]);
        ck_assert_msg(!strncmp(err.message, "--x: found ", 11), "%s", err.message);
    }
    char many[8 + 2 * (SHEET_MOST + 1)] = "steps=";
    for (int i = 0; i < SHEET_MOST; i++) strcat(many, i ? ",1" : "1");
    struct axis axis;
    ck_assert_int_eq(axis_parse("x", many, &axis, NULL), TT_OK);
    axis_free(&axis);
    ck_assert_int_eq(axis_parse("x", strcat(many, ",1"), &axis, NULL), TT_BAD_INPUT);
}
END_TEST

START_TEST(axes_apply) {
    struct tt_settings s = {0};
    static const char *const texts[AXES] = {"steps=3,4", "guidance-scale=1,2.5", "scheduler=a,b",
                                            "seed=5,6", "strength=0.2,0.7", "prompt=c,d"};
    struct axis axis[AXES];
    for (int i = 0; i < AXES; i++) {
        ck_assert_int_eq(axis_parse("x", texts[i], &axis[i], NULL), TT_OK);
        axis_apply(&axis[i], 1, &s);
    }
    ck_assert(s.steps == 4 && s.guidance_scale == 2.5 && s.seed == 6 && s.strength == 0.7);
    ck_assert_str_eq(s.scheduler, "b");
    ck_assert_str_eq(s.prompt, "d");
    for (int i = 0; i < AXES; i++) axis_free(&axis[i]);
}
END_TEST

// ---- lettering and sheets ----

START_TEST(lines_break) {
    struct lettering *l = lettering_new(14);
    const char *text = "a lighthouse at sunset\nécru";
    size_t next, wide = lettering_width(l, "a lighthouse", 12);
    ck_assert_uint_eq(lettering_break(l, text, wide, &next), 12);
    ck_assert_uint_eq(next, 13);
    ck_assert_uint_eq(lettering_break(l, text + 13, 1000, &next), 9); // to the line break
    ck_assert_uint_eq(next, 10);
    ck_assert_uint_eq(lettering_break(l, text + 23, 1, &next), 2); // a whole character at least
    ck_assert_uint_eq(next, 2);
    ck_assert_uint_eq(lettering_break(l, "lighthouse", wide / 2, &next), next); // inside a word
    ck_assert(next > 0 && next < 10);
    ck_assert_uint_eq(lettering_break(l, "", 10, &next), 0);
    ck_assert_uint_eq(next, 0);
    ck_assert_uint_gt(lettering_width(l, "\xff\xff", 2), 0); // no valid UTF-8: boxes
    lettering_free(l);
}
END_TEST

// Where the 4 x 3 picture of one colour lies in the sheet; fails unless it lies there whole, once.
static void find_picture(const struct tt_image *image, int red, size_t *x, size_t *y) {
    size_t found = 0;
    for (size_t i = image->width * image->height; i-- > 0;) {
        const uint8_t *p = image->rgb + 3 * i;
        if (p[0] != red || p[1] != 7 || p[2] != 99) continue;
        found++;
        *x = i % image->width;
        *y = i / image->width;
    }
    ck_assert_uint_eq(found, 12);
    for (size_t row = 0; row < 3; row++)
        for (size_t column = 0; column < 4; column++)
            ck_assert_int_eq(image->rgb[3 * ((*y + row) * image->width + *x + column)], red);
}

START_TEST(sheets_drawn) {
    struct tt_image out[2];
    for (int run = 0; run < 2; run++) {
        struct sheet s = {.title = "a title that is far too long for so small a sheet, so that it "
                                   "has to be wrapped and then cut, as nobody would read it all",
                          .columns = 3, .rows = 2, .x_name = "steps", .y_name = "guidance-scale",
                          .x = {"1", "2", "3"}, .y = {"short", "a label of several words"},
                          .width = 4, .height = 3};
        struct tt_error err = {0};
        ck_assert_int_eq(sheet_open(&s, true, &err), TT_OK);
        for (int k = 0; k < 6; k++) {
            s.pictures[k] = (struct tt_image){4, 3, malloc(36)};
            for (int i = 0; i < 12; i++)
                memcpy(s.pictures[k].rgb + 3 * i, (uint8_t[]){(uint8_t)(20 * k), 7, 99}, 3);
            snprintf(s.captions[k], sizeof s.captions[k], "%d.00 s", k);
        }
        ck_assert_msg(!sheet_draw(&s, &out[run], &err), "%s", err.message);
        sheet_close(&s);
    }
    size_t x[6], y[6], bytes = 3 * out[0].width * out[0].height;
    for (int k = 0; k < 6; k++) find_picture(&out[0], 20 * k, &x[k], &y[k]);
    for (int k = 0; k < 6; k++) {
        ck_assert(x[k] == x[k % 3] && y[k] == y[k / 3 * 3]);
        ck_assert(k % 3 == 0 || x[k] > x[k - 1] + 4);
    }
    ck_assert_uint_gt(y[3], y[0] + 3);
    for (size_t i = 0; i < 3 * out[0].width; i++) // white margins
        ck_assert(out[0].rgb[i] == 255 && out[0].rgb[bytes - 1 - i] == 255);
    ck_assert(out[0].width == out[1].width && out[0].height == out[1].height);
    ck_assert(!memcmp(out[0].rgb, out[1].rgb, bytes));
    tt_image_free(&out[0]);
    tt_image_free(&out[1]);
}
END_TEST

START_TEST(sheets_too_large) {
    struct sheet s = {.columns = 64, .rows = 1, .width = 1024, .height = 8};
    struct tt_error err = {0};
    ck_assert_int_eq(sheet_open(&s, false, &err), TT_BAD_INPUT);
    ck_assert_ptr_nonnull(strstr(err.message, "found 64 x 1 pictures of 1024 x 8"));
    sheet_close(&s);
}
END_TEST

// ---- charts ----

START_TEST(charts_drawn) {
    float values[1000];
    struct chart chart = {10, 20, 100, 50, "a < b & c", {"t", 0, 1000, 200, false},
                          {NULL, -2, 2, 1, true}};
    for (int i = 0; i < 1000; i++) values[i] = (float)i / 10;
    ck_assert(chart_x(&chart, 500) == 60 && chart_x(&chart, -1) == 10);
    ck_assert(chart_y(&chart, 1) == 45 && chart_y(&chart, 0) == 70 && chart_y(&chart, 1e9) == 20);
    struct page *page = page_new(200, 100);
    chart_frame(page, &chart);
    chart_curve(page, &chart, values, 1000, "#000", NULL);
    chart_legend(page, 1, 2, 3, "#000", "1 2", ">");
    const char *path = test_path("chart.svg");
    struct cli cli = {0};
    ck_assert_msg(!page_write(page, &cli, path), "%s", cli.error.message);
    page_free(page);
    size_t size;
    char *text = test_read(path, &size);
    ck_assert_ptr_nonnull(strstr(text, "a &lt; b &amp; c"));
    ck_assert_ptr_nonnull(strstr(text, "109.90,20.01 \"/>")); // the last point of the curve
    ck_assert_str_eq(text + size - 7, "</svg>\n");
    free(text);
}
END_TEST

// ---- the noise verb ----

// Runs a verb as main() would.
static void run_verb(enum tt_status (*verb)(struct cli *, int, char **), int argc, char **argv) {
    struct cli cli = {.verb = argv[0], .usage = ""};
    enum tt_status status = verb(&cli, argc, argv);
    ck_assert_msg(!status, "%s", cli.error.message);
    tt_engine_free(cli.engine);
    json_decref(cli.written);
}

enum { W = 48, H = 32, T = 321 };

static void make_picture(struct tt_image *image, const char *path) {
    *image = (struct tt_image){W, H, malloc(3 * W * H)};
    for (int i = 0; i < 3 * W * H; i++) image->rgb[i] = (uint8_t)(i * 5 % 256);
    ck_assert_int_eq(tt_image_write(NULL, path, image, NULL, NULL), TT_OK);
}

// The formula, written out: x = sqrt(a) x0 + sqrt(1 - a) noise.
static void add(double a, const float *x0, const float *noise, float *x, size_t n) {
    float signal = sqrtf((float)a), rest = sqrtf(1 - (float)a);
    for (size_t i = 0; i < n; i++) x[i] = signal * x0[i] + rest * noise[i];
}

static void noise_verb(const char *space, struct tt_image *image, struct tt_image *out) {
    char in[256], path[256], number[16];
    snprintf(in, sizeof in, "%s", test_path("in.png"));
    snprintf(path, sizeof path, "%s", test_path("out.png"));
    snprintf(number, sizeof number, "%d", T);
    make_picture(image, in);
    char *argv[] = {"noise", in, "-m", "reference/tiny/sd15", "-t", number, "-o", path, "-s", "5",
                    "--space", (char *)space, NULL};
    run_verb(cli_noise, 12, argv);
    ck_assert_int_eq(tt_image_read(NULL, path, out, NULL), TT_OK);
    ck_assert(out->width == W && out->height == H);
}

static double alpha_at(const struct tt_model *model) {
    struct tt_scheduler *s;
    ck_assert_int_eq(tt_scheduler_open(&s, NULL, model, NULL, NULL), TT_OK);
    double a = (double)tt_scheduler_schedule(s)->alphas_cumprod[T];
    tt_scheduler_free(s);
    return a;
}

START_TEST(noise_is_the_formula) {
    struct tt_engine *engine;
    struct tt_model *model;
    struct tt_session *session;
    struct tt_image image, out;
    struct tt_rng rng;
    enum { N = 3 * W * H };
    float *x0 = malloc(3 * N * sizeof *x0), *noise = x0 + N, *x = noise + N;
    uint8_t *want = malloc(N);
    ck_assert_int_eq(tt_engine_new(NULL, &engine, NULL), TT_OK);
    ck_assert_int_eq(tt_model_open("reference/tiny/sd15", engine, &model, NULL), TT_OK);
    ck_assert_int_eq(tt_session_new(model, NULL, &session, NULL), TT_OK);
    double a = alpha_at(model);

    noise_verb("pixels", &image, &out);
    tt_rng_seed(&rng, 5);
    tt_rng_normal(&rng, noise, N);
    for (int i = 0; i < N; i++) x0[i % 3 * W * H + i / 3] = 2 * ((float)image.rgb[i] / 255) - 1;
    add(a, x0, noise, x, N);
    for (int i = 0; i < N; i++) {
        float v = x[i % 3 * W * H + i / 3] / 2 + 0.5f;
        want[i] = (uint8_t)rintf(255 * fminf(fmaxf(v, 0), 1));
    }
    ck_assert(!memcmp(want, out.rgb, N));
    tt_image_free(&image);
    tt_image_free(&out);

    noise_verb("latents", &image, &out);
    const struct tt_model_info *info = tt_model_info(model);
    size_t h = H / info->factor, w = W / info->factor, n = info->latent_channels * h * w;
    ck_assert_int_eq(tt_pixels_to_latents(session, image.rgb, H, W, NULL, x0, NULL), TT_OK);
    tt_rng_seed(&rng, 5);
    tt_rng_normal(&rng, noise, n);
    add(a, x0, noise, x, n);
    ck_assert_int_eq(tt_latents_to_pixels(session, x, h, w, want, NULL), TT_OK);
    ck_assert(!memcmp(want, out.rgb, N));
    tt_image_free(&image);
    tt_image_free(&out);
    tt_session_free(session);
    tt_model_close(model);
    tt_engine_free(engine);
    free(want);
    free(x0);
}
END_TEST

START_TEST(signals_repeated) {
    signal(SIGHUP, SIG_DFL); // nohup would have it ignored
    cli_catch_signals();
    raise(SIGHUP);
    raise(SIGHUP);
    raise(SIGXCPU);
    ck_assert_int_eq(cli_signal(), SIGHUP);
    ck_assert_int_ne(cli_cancelled(NULL), 0);
    raise(SIGTERM); // a second wish is not waited for
    ck_abort_msg("still alive");
}
END_TEST

START_TEST(signals_ignored) {
    signal(SIGHUP, SIG_IGN);
    cli_catch_signals();
    raise(SIGHUP);
    ck_assert_int_eq(cli_signal(), 0);
}
END_TEST

// A SIGBUS of nobody's mapped file is nobody's here.
START_TEST(sigbus_of_others) {
    cli_catch_signals();
    raise(SIGBUS);
    ck_abort_msg("still alive");
}
END_TEST

static Suite *cli_suite(void) {
    Suite *suite = suite_create("cli");
    TCase *parts = tcase_create("parts");
    tcase_set_timeout(parts, 60);
    tcase_add_test(parts, settings_come_back);
    tcase_add_test(parts, settings_refused);
    tcase_add_test(parts, settings_damaged);
    tcase_add_test(parts, axes_read);
    tcase_add_test(parts, axes_refused);
    tcase_add_test(parts, axes_apply);
    tcase_add_test(parts, lines_break);
    tcase_add_test(parts, sheets_drawn);
    tcase_add_test(parts, sheets_too_large);
    tcase_add_test(parts, charts_drawn);
    tcase_add_test(parts, noise_is_the_formula);
    tcase_add_test_raise_signal(parts, signals_repeated, SIGTERM);
    tcase_add_test(parts, signals_ignored);
    tcase_add_test_raise_signal(parts, sigbus_of_others, SIGBUS);
    suite_add_tcase(suite, parts);
    return suite;
}

int main(void) { return test_main(cli_suite(), NULL); }
