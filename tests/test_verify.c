// SPDX-License-Identifier: MIT
// How tensors and pictures differ, overrides, statistics beside recorded ones, gradients by module.
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/alike.h"
#include "tintype.h"
#include "util.h"
#include "verify/statistics.h"

static struct tt_engine *engine;

static void open_engine(void) {
    struct tt_engine_settings with;
    struct tt_error err = {0};
    tt_engine_defaults(&with, sizeof with);
    with.every_node = true;
    with.threads = 2;
    ck_assert_msg(!tt_engine_new(&with, &engine, &err), "%s", err.message);
}

static void close_engine(void) {
    tt_engine_free(engine);
}

static bool near(double a, double b, double most) {
    return fabs(a - b) <= most;
}

static struct tt_difference compare(const float *ours, const struct tt_shape *shape,
                                    enum tt_lies lies, const void *reference, enum tt_dtype dtype) {
    struct tt_difference d;
    struct tt_error err = {0};
    struct tt_view view = {"x", dtype, *shape, reference,
                           tt_shape_count(shape) * tt_dtype_size(dtype)};
    ck_assert_msg(!tt_compare(engine, ours, shape, lies, &view, true, &d, &err), "%s",
                  err.message);
    return d;
}

// ---- numbers ----

START_TEST(numbers) {
    const struct tt_shape shape = {2, {2, 3}};
    const float ours[] = {1, 2, 3, 4, 5, -6}, want[] = {1, 2, 3.5f, 4, 5, -6.25f};
    struct tt_difference d = compare(ours, &shape, TT_LIES_TORCH, want, TT_F32);
    ck_assert_uint_eq(d.count, 6);
    ck_assert(near(d.largest, 0.5, 0) && d.at == 2);
    ck_assert(near((double)d.ours, 3, 0) && near((double)d.reference, 3.5, 0));
    ck_assert(near(d.l2, sqrt(0.3125), 1e-15));
    double length = sqrt(1 + 4 + 12.25 + 16 + 25 + 39.0625);
    ck_assert(near(d.reference_l2, length, 1e-14));
    ck_assert(near(d.relative_l2, sqrt(0.3125) / length, 1e-15));
    ck_assert(near(d.max_relative, 0.5 / 3.5, 1e-15));
    ck_assert(near(d.ulp, 1 << 21, 0)); // 3 to 3.5: 0.5 / 2^-22
    ck_assert(near(d.cosine, (1 + 4 + 10.5 + 16 + 25 + 37.5) / (sqrt(91) * length), 1e-14));
    ck_assert(near(d.sqnr, 20 * log10(length / sqrt(0.3125)), 1e-9));
    ck_assert_uint_eq(d.decades[0], 4);
    ck_assert_uint_eq(d.decades[12], 2); // 0.1 to 1
}
END_TEST

START_TEST(not_finite) {
    const struct tt_shape shape = {1, {5}};
    const float same[] = {NAN, INFINITY, -INFINITY, 0, 1};
    struct tt_difference d = compare(same, &shape, TT_LIES_TORCH, same, TT_F32);
    ck_assert(!(d.largest > 0) && !(d.relative_l2 > 0));
    ck_assert(d.nan_ours == 1 && d.infinite_reference == 2);
    const float other[] = {NAN, INFINITY, INFINITY, 0, 1};
    const float late[] = {NAN, INFINITY, -INFINITY, 0, NAN};
    d = compare(other, &shape, TT_LIES_TORCH, same, TT_F32);
    ck_assert(isinf(d.largest) && isinf(d.relative_l2) && d.at == 2);
    d = compare(same, &shape, TT_LIES_TORCH, late, TT_F32);
    ck_assert(isinf(d.largest) && d.at == 4 && d.nan_reference == 2 && isnan(d.reference));
}
END_TEST

// (N, C, H, W) as rows of C beside PyTorch's order, in every dtype.
START_TEST(layouts) {
    enum { N = 2, C = 5, PIXELS = 37 * 41 };
    const struct tt_shape shape = {4, {N, C, 37, 41}};
    static float torch[N * C * PIXELS], steps[N * C * PIXELS], laid[N * C * PIXELS];
    static uint16_t half[N * C * PIXELS];
    for (size_t i = 0; i < N * C * PIXELS; i++) {
        size_t image = i / (C * PIXELS), c = i / PIXELS % C, pixel = i % PIXELS;
        half[i] = (uint16_t)(0x3f00 + i % 128); // bfloat16, 0.5 to 1
        uint32_t bits = (uint32_t)half[i] << 16;
        memcpy(&torch[i], &bits, sizeof bits);
        steps[(image * PIXELS + pixel) * C + c] = torch[i];
    }
    ck_assert(!(compare(steps, &shape, TT_LIES_STEP, torch, TT_F32).largest > 0));
    ck_assert(!(compare(steps, &shape, TT_LIES_STEP, half, TT_BF16).largest > 0));
    ck_assert(compare(steps, &shape, TT_LIES_TORCH, torch, TT_F32).largest > 0);
    struct tt_view view = {"x", TT_BF16, shape, half, sizeof half};
    tt_lay_steps(engine, &view, &shape, laid);
    test_equal("laid out as steps", laid, steps, N * C * PIXELS);
    steps[(1 * PIXELS + 40) * C + 3] += 2;
    struct tt_difference d = compare(steps, &shape, TT_LIES_STEP, half, TT_BF16);
    ck_assert(d.at == (1 * C + 3) * PIXELS + 40 && near(d.largest, 2, 0));
}
END_TEST

// The relative L2 of twenty million numbers: lanes in double keep it right.
START_TEST(many) {
    const size_t n = 20000000;
    const struct tt_shape shape = {1, {n}};
    float *a = malloc(n * sizeof *a), *b = malloc(n * sizeof *b);
    struct tt_difference d;
    struct tt_error err = {0};
    ck_assert(a && b);
    for (size_t i = 0; i < n; i++) {
        b[i] = 1 + (float)(i % 1000) / 1000;
        a[i] = b[i] + 0x1p-20f;
    }
    struct tt_view view = {"x", TT_F32, shape, b, n * sizeof *b};
    ck_assert(!tt_compare(engine, a, &shape, TT_LIES_TORCH, &view, false, &d, &err));
    double squares = 0;
    for (size_t i = 0; i < 1000; i++) squares += (double)b[i] * (double)b[i] * (n / 1000.0);
    ck_assert(near(d.l2, 0x1p-20 * sqrt((double)n), 1e-12 * d.l2));
    double relative = 0x1p-20 * sqrt((double)n) / sqrt(squares);
    ck_assert(near(d.relative_l2, relative, 1e-12 * relative));
    ck_assert_uint_eq(d.at, 0);
    free(a);
    free(b);
}
END_TEST

START_TEST(close_ones) {
    const struct tt_shape shape = {1, {3}};
    const float ours[] = {1, 100.5f, 0.001f}, want[] = {1, 100, 0};
    struct tt_view view = {"x", TT_F32, shape, want, sizeof want};
    struct tt_excess e;
    struct tt_error err = {0};
    ck_assert(!tt_compare_close(engine, ours, &shape, TT_LIES_TORCH, &view, 0.01, 1e-4, &e, &err));
    ck_assert(e.at == 2 && near(e.limit, 1e-4, 0) && e.difference > e.limit);
    ck_assert(!tt_compare_close(engine, ours, &shape, TT_LIES_TORCH, &view, 0.01, 0.01, &e, &err));
    ck_assert(e.at == 1 && e.difference <= e.limit);
    view.shape.dim[0] = 2;
    ck_assert_int_eq(tt_compare_close(engine, ours, &shape, TT_LIES_TORCH, &view, 0, 0, &e, &err),
                     TT_BAD_INPUT);
}
END_TEST

// ---- statistics ----

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

START_TEST(statistics) {
    enum { N = 10007 };
    static float x[N], sorted[N];
    struct tt_recorded_statistics s;
    struct tt_error err = {0};
    double sum = 0, squares = 0;
    uint64_t state = 1;
    for (size_t i = 0; i < N; i++) {
        x[i] = i % 7 ? test_random_f32(&state) * (i % 3 ? 1 : 1000) : -0.0f;
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    memcpy(sorted, x, sizeof x);
    qsort(sorted, N, sizeof *sorted, ascending);
    struct tt_statistics_room room = {0};
    ck_assert(tt_statistics_of(&room, x, N, &s));
    tt_statistics_free(&room);
    ck_assert(near(s.mean, sum / N, 1e-9) && near(s.l2, sqrt(squares), 1e-6));
    ck_assert(near(s.std, sqrt(squares / N - sum / N * sum / N), 1e-6));
    ck_assert(near(s.min, (double)sorted[0], 0) && near(s.max, (double)sorted[N - 1], 0));
    for (int k = 0; k < TT_QUANTILES; k++) {
        double place = k / 16.0 * (N - 1), part = place - floor(place);
        size_t low = (size_t)place, high = low + 1 < N ? low + 1 : low;
        double want = (double)sorted[low] + part * ((double)sorted[high] - (double)sorted[low]);
        ck_assert_msg(near(s.quantiles[k], want, 1e-12 * fabs(want)), "quantile %d: %g, %g", k,
                      s.quantiles[k], want);
    }
    // What differs is noticed wherever it is: an outlier that no sample has moves the largest.
    float sample[TT_SAMPLE];
    for (size_t i = 0; i < TT_SAMPLE; i++) sample[i] = x[tt_recorded_sample(N, i)];
    struct tt_view view = {"x", TT_F32, {1, {TT_SAMPLE}}, sample, sizeof sample};
    struct tt_recorded r = {.name = "x", .shape = {1, {N}}, .view = &view, .statistics = &s};
    struct tt_difference d;
    const char *what;
    ck_assert(!tt_compare_statistics(engine, x, &r.shape, TT_LIES_TORCH, &r, false, &d, &what,
                                     &err));
    ck_assert(!(d.largest > 1e-9));
    size_t at = 1;
    for (size_t i = 0; i < TT_SAMPLE; i++) at += at == tt_recorded_sample(N, i);
    x[at] = 5000;
    ck_assert(!tt_compare_statistics(engine, x, &r.shape, TT_LIES_TORCH, &r, false, &d, &what,
                                     &err));
    ck_assert_str_eq(what, "max");
    ck_assert(near(d.largest, 5000 - s.max, 1e-6) && d.largest <= 5000 - -1000);
    x[at] = NAN;
    ck_assert(!tt_compare_statistics(engine, x, &r.shape, TT_LIES_TORCH, &r, false, &d, &what,
                                     &err));
    ck_assert_str_eq(what, "not_finite");
    ck_assert(isinf(d.largest) && isinf(d.relative_l2) && isnan(d.ours) && d.nan_ours == 1);
    s.not_finite = 2;
    ck_assert(!tt_compare_statistics(engine, x, &r.shape, TT_LIES_TORCH, &r, false, &d, &what,
                                     &err));
    ck_assert(isinf(d.largest) && isnan(d.reference) && d.nan_reference == 2);
}
END_TEST

// ---- overrides and gradients ----

struct tiny {
    struct tt_model *model;
    struct tt_session *session;
    struct tt_size size;
    struct tt_view inputs[3];
    struct tt_room out;
    float sample[2 * 4 * 8 * 8], timestep[2], text[2 * 5 * 24], y[2 * 4 * 8 * 8];
    struct tt_error err;
};

static struct tiny t;

static void open_tiny(void) {
    uint64_t state = 3;
    memset(&t, 0, sizeof t);
    ck_assert(!tt_model_open("reference/tiny/sd15", engine, &t.model, &t.err));
    ck_assert(!tt_session_new(t.model, NULL, &t.session, &t.err));
    for (size_t i = 0; i < sizeof t.sample / 4; i++) t.sample[i] = test_random_f32(&state);
    for (size_t i = 0; i < sizeof t.text / 4; i++) t.text[i] = test_random_f32(&state);
    t.timestep[0] = t.timestep[1] = 100;
    t.size = (struct tt_size){2, 8, 8, 5};
    t.inputs[0] = (struct tt_view){"sample", TT_F32, {4, {2, 4, 8, 8}}, t.sample, sizeof t.sample};
    t.inputs[1] = (struct tt_view){"timestep", TT_F32, {1, {2}}, t.timestep, sizeof t.timestep};
    t.inputs[2] = (struct tt_view){"encoder_hidden_states", TT_F32, {3, {2, 5, 24}}, t.text,
                                   sizeof t.text};
    t.out = (struct tt_room){"out", TT_F32, {4, {2, 4, 8, 8}}, t.y, sizeof t.y};
}

static void close_tiny(void) {
    tt_session_free(t.session);
    tt_model_close(t.model);
}

static enum tt_status call(void) {
    return tt_part_run(t.session, tt_part_find("unet"), t.inputs, 3, &t.out, 1, &t.err);
}

static void zero_output(void *context, const struct tt_step *step, float *y) {
    if (!strcmp(tt_step_name(step), context))
        memset(y, 0, tt_shape_count(tt_step_shape(step)) * sizeof *y);
}

static void zero_input(void *context, const struct tt_step *step, size_t i,
                       const struct tt_shape *shape, float *x) {
    if (!i && !strcmp(tt_step_name(step), context))
        memset(x, 0, tt_shape_count(shape) * sizeof *x);
}

static void ruin(void *context, const struct tt_step *step, float *y) {
    (void)context;
    if (!strcmp(tt_step_name(step), "conv_in")) y[0] = NAN;
}

static bool is_zero(const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (x[i] < 0 || x[i] > 0) return false;
    return true;
}

START_TEST(overrides) {
    float before[2 * 4 * 8 * 8], bias[4];
    const size_t n = sizeof before / sizeof *before;
    open_tiny();
    ck_assert_msg(!call(), "%s", t.err.message);
    memcpy(before, t.y, sizeof before);
    ck_assert(!is_zero(t.y, n));
    struct tt_override last = {(void *)(uintptr_t)"conv_out", NULL, zero_output};
    tt_session_override(t.session, &last);
    ck_assert(!call());
    ck_assert(is_zero(t.y, n));
    // Zeros in, and what is left of a convolution is its bias.
    last = (struct tt_override){(void *)(uintptr_t)"conv_out", zero_input, NULL};
    ck_assert(!call());
    for (size_t c = 0; c < 4; c++) bias[c] = t.y[c * 64];
    for (size_t i = 0; i < n; i++) test_equal("the bias", &t.y[i], &bias[i / 64 % 4], 1);
    struct tt_override nan = {NULL, NULL, ruin};
    tt_session_override(t.session, &nan);
    ck_assert_int_eq(call(), TT_BAD_INPUT);
    t.err = (struct tt_error){0};
    tt_session_override(t.session, NULL);
    ck_assert(!call());
    test_equal("without an override", t.y, before, n);
    close_tiny();
}
END_TEST

struct seen {
    size_t gradients;
    bool conv_out, conv_in, resnet;
    float first;
};

static int look_back(void *context, const struct tt_step *step) {
    struct seen *seen = context;
    struct tt_shape shape;
    const char *module;
    const float *data = tt_step_gradient(step, &shape);
    for (size_t i = 0; data && (module = tt_step_gradient_of(step, i)); i++) {
        seen->gradients++;
        seen->conv_in = seen->conv_in || !strcmp(module, "conv_in");
        seen->resnet = seen->resnet || !strcmp(module, "down_blocks.0.resnets.0");
        if (strcmp(module, "conv_out")) continue;
        seen->conv_out = true;
        seen->first = data[0];
        ck_assert(tt_shape_equal(&shape, &t.out.shape));
    }
    return 0;
}

// The gradient of the last module's output is the one that was given.
// Tensors of a recorded call made alone, of what was recorded before them: in PyTorch's order.
START_TEST(alone) {
    static const char *const names[] = {"conv_in", "down_blocks.0.resnets.0.norm1", "time_proj"};
    struct tt_recording *recording;
    struct tt_alone *all;
    size_t call = 0, k, count;
    open_tiny();
    ck_assert_msg(!tt_recording_open(NULL, "reference/golden/sd15/square", &recording, &t.err),
                  "%s", t.err.message);
    while (tt_recording_call(recording, call)->part != tt_part_find("unet")) call++;
    ck_assert_msg(!tt_recording_load(recording, call, &t.err), "%s", t.err.message);
    ck_assert_msg(!tt_alone_new(t.session, recording, call, NULL, NULL, &all, &t.err), "%s",
                  t.err.message);
    count = tt_recording_count(recording, call);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct tt_recorded *r = tt_recording_find(recording, call, names[i]);
        struct tt_made made;
        ck_assert_ptr_nonnull(r);
        for (k = 0; tt_recording_at(recording, call, k) != r;) k++;
        size_t n = tt_shape_count(&r->shape);
        float *out = malloc(2 * n * sizeof *out);
        double limit = tt_recorded_limit(r, 4);
        ck_assert_msg(!tt_alone_make(all, k, (struct tt_bounds){.absolute = limit}, out, &made,
                                     &t.err), "%s", t.err.message);
        ck_assert(made.made && made.agrees && made.nodes > 0 && made.difference <= limit);
        tt_view_floats(r->view, 0, n, out + n);
        test_close(names[i], out, out + n, n, limit, 0);
        free(out);
    }
    struct tt_made none;
    ck_assert(!tt_alone_make(all, count, (struct tt_bounds){.absolute = 1}, NULL, &none, &t.err));
    ck_assert(!none.made);
    tt_alone_free(all);
    tt_recording_close(recording);
    close_tiny();
}
END_TEST

START_TEST(gradients) {
    struct seen seen = {0};
    struct tt_observer observer = {&seen, look_back, NULL};
    float seed[2 * 4 * 8 * 8];
    int unet = tt_part_find("unet");
    open_tiny();
    for (size_t i = 0; i < sizeof seed / sizeof *seed; i++) seed[i] = (float)i / 100 + 1;
    ck_assert(!tt_session_prepare_training(t.session, unet, t.size, &t.err));
    tt_session_observe(t.session, &observer, 1);
    ck_assert(!call());
    ck_assert_uint_eq(seen.gradients, 0);
    ck_assert(!tt_session_backward(t.session, unet, seed, &t.err));
    ck_assert(seen.conv_out && seen.conv_in && seen.resnet && seen.gradients > 100);
    test_equal("the seed", &seen.first, seed, 1);
    close_tiny();
}
END_TEST

// ---- pictures ----

START_TEST(pictures) {
    uint8_t black[12] = {0}, blue[12] = {0};
    struct tt_image a = {2, 2, black}, b = {2, 2, blue}, c = {4, 1, blue};
    struct alike alike;
    struct tt_error err = {0};
    blue[11] = 255;
    ck_assert(!alike_measure(&a, &b, &alike, &err));
    ck_assert(near(alike.psnr, 10 * log10(12), 1e-12) && isnan(alike.ssim));
    ck_assert(alike.different == 1 && alike.largest == 255 && alike.x == 1 && alike.y == 1);
    ck_assert_int_eq(alike_measure(&a, &c, &alike, &err), TT_BAD_INPUT);
    // Two grey planes: the structure term is 1, and what is left is that of the means.
    static uint8_t dark[3 * 16 * 12], bright[3 * 16 * 12];
    struct tt_image d = {16, 12, dark}, e = {16, 12, bright};
    memset(dark, 100, sizeof dark);
    memset(bright, 150, sizeof bright);
    ck_assert(!alike_measure(&d, &e, &alike, &err));
    double c1 = 2.55 * 2.55, want = (2 * 100 * 150 + c1) / (100 * 100 + 150 * 150 + c1);
    ck_assert(near(alike.ssim, want, 1e-9) && near(alike.worst_ssim, want, 1e-9));
    ck_assert(near(alike.psnr, 20 * log10(255 / 50.0), 1e-12));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("verify");
    TCase *tcase = tcase_create("differences");
    tcase_add_checked_fixture(tcase, open_engine, close_engine);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, numbers);
    tcase_add_test(tcase, not_finite);
    tcase_add_test(tcase, layouts);
    tcase_add_test(tcase, many);
    tcase_add_test(tcase, close_ones);
    tcase_add_test(tcase, statistics);
    tcase_add_test(tcase, overrides);
    tcase_add_test(tcase, gradients);
    tcase_add_test(tcase, alone);
    tcase_add_test(tcase, pictures);
    suite_add_tcase(suite, tcase);
    return test_main(suite, NULL);
}
