// SPDX-License-Identifier: MIT
// Problems: steps of plans as text and back, run alone in both directions, and texts that are none.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/finite.h"
#include "base/quant.h"
#include "graph/plan.h"
#include "graph/problem.h"
#include "util.h"

// As they are written, with every operation and every word among them.
static const char *const texts[] = {
    "conv2d n2 c32 h8 w12 k24 r3 s1 f32",
    "conv2d n2 c32 h8 w8 k32 r3 s1 f16 +bias +image_bias +residual",
    "conv2d n1 c4 h9 w7 k8 r3 s2 p0,0,1,1 bf16 +bias",
    "conv2d n1 c4 h9 w7 k8 r1 s1 f32 +residual",
    "linear m6 k40 n8 f16",
    "linear m6 k40 n8 f32 +bias +residual",
    "linear m6 k40 n8 q8_0 +bias",
    "linear m70 k800 n72 q4_k +residual",
    "conv2d n2 c40 h8 w8 k32 r3 s1 q6_k +bias +image_bias +residual",
    "conv2d n1 c4 h9 w7 k8 r3 s2 p0,0,1,1 q5_1 +bias",
    "conv2d n1 c36 h9 w7 k8 r1 s1 q5_k",
    "attention n2 q9 k5 heads3 d8 f32",
    "attention n1 q9 k9 heads2 d8 causal scale0.25 f32",
    "group_norm n2 c8 h3 w5 g4 eps1e-06 f32 +silu",
    "group_norm n2 c8 h15 w1 g4 f32",
    "layer_norm m7 c24 f32",
    "embedding m5 v11 c16 f16",
    "embedding m5 v11 c16 q4_0",
    "sinusoidal n3 c32 flip shift1 f32",
    "silu m3 c40 f32", "gelu m3 c40 f32", "quick_gelu m3 c40 f32", "relu m3 c40 f32",
    "tanh m3 c40 f32", "geglu m3 c40 f32",
    "affine m3 c40 scale2 shift-1 f32",
    "scale m3 c40 scale0.33333334 f32",
    "add m6 c40 b3 f32", "add m6 c40 b6 f32",
    "add_image n2 c8 h3 w5 f32",
    "upsample_nearest n2 c8 h3 w5 oh6 ow10 f32",
    "concat n2 a8 b4 h3 w5 f32",
    "take_row n2 t5 c8 f32",
};
enum { TEXTS = sizeof texts / sizeof *texts };

static struct tt_problem parsed(const char *text) {
    struct tt_problem problem;
    struct tt_error err = {0};
    ck_assert_msg(!tt_problem_parse(text, &problem, &err), "%s: %s", text, err.message);
    return problem;
}

START_TEST(text_and_back) {
    char text[TT_PROBLEM_TEXT], longer[2 * TT_PROBLEM_TEXT];
    struct tt_problem problem = parsed(texts[_i]);
    ck_assert_str_eq(tt_problem_text(&problem, text, sizeof text), texts[_i]);
    for (size_t size = 1; size < 12; size++) { // cut, not written past
        memset(longer, '#', sizeof longer);
        tt_problem_text(&problem, longer, size);
        ck_assert_uint_eq(strlen(longer), size - 1);
    }
    struct tt_problem back = problem;
    if (!tt_ops[problem.op]->backward) return;
    back.backward = true;
    back.nodx = problem.op == TT_OP_linear;
    tt_problem_text(&back, text, sizeof text);
    problem = parsed(text);
    ck_assert_str_eq(tt_problem_text(&problem, longer, sizeof longer), text);
}
END_TEST

static const char *const bad[][2] = {
    {"", "found its end, expected an operation: "},
    {"conv3d n1", "found 'conv3d', expected an operation: embedding, sinusoidal, linear"},
    {"input m1 c1 f32", "found 'input'"}, {"reshape m1 c1 f32", "found 'reshape'"},
    {"linear", "found its end, expected m and a whole number from 1 to 268435456"},
    {"linear m1 n2 k3 f32", "found 'n2', expected k and"},
    {"linear m0 k3 n2 f32", "found 'm0'"}, {"linear m k3 n2 f32", "found 'm'"},
    {"linear m-1 k3 n2 f32", "found 'm-1'"}, {"linear m1.5 k3 n2 f32", "found 'm1.5'"},
    {"linear m999999999999999999999 k3 n2 f32", "found 'm999"},
    {"linear m1 k3 n2", "found its end, expected f32 or f16 or bf16"},
    {"linear m1 k3 n2 f64", "found 'f64', expected f32 or f16 or bf16"},
    {"silu m1 c3 f16", "found 'f16', expected f32"},
    {"linear m1 k3 n2 f32 +silu", "found '+silu'"},
    {"linear m1 k3 n2 f32 +residual +bias", "found '+bias'"},
    {"linear m1 k3 n2 f32 +bias +bias", "found '+bias'"},
    {"linear m1 k3 n2 f32 nodx", "found 'nodx'"},
    {"linear m1 k3 n2 f32 backward backward", "found 'backward'"},
    {"sinusoidal n1 c4 f32 backward", "found 'backward'"},
    {"linear m1 k3 n2 causal f32", "found 'causal', expected nothing that linear lacks"},
    {"attention n1 q1 k1 heads1 d1 causal causal f32", "found 'causal', expected it once"},
    {"attention n1 q1 k1 heads1 d1 scale f32", "found 'scale', expected scale and a finite"},
    {"attention n1 q1 k1 heads1 d1 scaleinf f32", "found 'scaleinf'"},
    {"attention n1 q1 k1 heads1 d1 scalenan f32", "found 'scalenan'"},
    {"conv2d n1 c1 h8 w8 k1 r2 s1 f32", "found 'r2', expected r1 or r3"},
    {"conv2d n1 c1 h8 w8 k1 r5 s1 f32", "found 'r5'"},
    {"conv2d n1 c1 h8 w8 k1 r3 s3 f32", "found 's3', expected s and a whole number from 1 to 2"},
    {"conv2d n1 c1 h8 w8 k1 r3 s1 p1,1,1 f32", "found 'p1,1,1', expected p and the padding"},
    {"conv2d n1 c1 h8 w8 k1 r3 s1 p1,1,1,3 f32", "found 'p1,1,1,3'"},
    {"conv2d n1 c1 h1 w8 k1 r3 s1 p0,0,0,0 f32", "a 1x8 picture is smaller than the kernel (3)"},
    {"group_norm n1 c10 h1 w1 g3 f32", "found c10 and g3, expected c to divide by g"},
    {"add m10 c1 b3 f32", "found m10 and b3"},
    {"silu m268435456 c268435456 f32 x", "found 'x'"},
    {"linear m1 k268435456 n268435456 f32", "found more than 1073741824 weights"},
    {"conv2d n268435456 c268435456 h268435456 w8 k1 r3 s1 f32", "larger than memory can be"},
};
enum { BAD = sizeof bad / sizeof *bad };

START_TEST(bad_texts) {
    struct tt_error err = {0};
    struct tt_problem problem = {.op = TT_OP_tanh};
    ck_assert_int_eq(tt_problem_parse(bad[_i][0], &problem, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, bad[_i][1]), "'%s': %s", bad[_i][0], err.message);
    ck_assert_int_eq(problem.op, TT_OP_tanh); // as it was
}
END_TEST

// Inputs that are floats get made-up numbers; ids stay 0, which any table has.
static void fill_inputs(const struct tt_tape *tape, float *(*data)(const void *, tt_value),
                        const void *of) {
    for (int i = 0; i < tape->node_count; i++)
        if (tape->nodes[i].op == TT_OP_input && tape->tensors[i].dtype == TT_F32)
            tt_problem_fill(data(of, i), tt_shape_count(&tape->tensors[i].shape), (unsigned)i + 1);
}

static float *plan_data(const void *plan, tt_value value) { return tt_plan_data(plan, value); }

static void expect_step(const struct tt_step *step, const char *expected) {
    char text[TT_PROBLEM_TEXT];
    ck_assert_str_eq(tt_step_problem(step, text, sizeof text), expected);
}

// One step, which is the problem again, and gives finite numbers that are not all alike.
START_TEST(alone) {
    struct tt_problem problem = parsed(texts[_i]);
    struct tt_problem_values values;
    struct tt_problem_weights weights = {0};
    struct tt_tape tape = {0};
    struct tt_error err = {0};
    struct tt_kernels kernels;
    tt_kernels_init(&kernels, test_cpu());
    tt_problem_tape(&problem, "some.layer", &tape, &values);
    ck_assert_msg(!tt_tape_status(&tape, &err), "%s", err.message);
    struct tt_source source = tt_problem_source(&problem, &tape, &weights);
    struct tt_bank *bank = tt_bank_new(&source, &(struct tt_bank_options){0});
    struct tt_plan *plan = NULL;
    struct tt_plan_options options = {.threads = 2, .fold = true, .poison = true};
    ck_assert_msg(!tt_plan_new(&tape, bank, &options, &plan, &err), "%s", err.message);
    int count;
    const struct tt_step *steps = tt_plan_steps(plan, &count);
    ck_assert_int_eq(count, 1);
    ck_assert_str_eq(tt_step_name(steps), "some.layer");
    expect_step(steps, texts[_i]);
    fill_inputs(&tape, plan_data, plan);
    ck_assert_msg(!tt_plan_run(plan, &kernels, NULL, 0, &err), "%s", err.message);
    struct tt_shape shape = tt_shape_of(&tape, values.output);
    size_t n = tt_shape_count(&shape), alike = 0;
    const float *y = tt_plan_data(plan, values.output);
    ck_assert(tt_all_finite(y, n));
    for (size_t i = 0; i < n; i++) alike += y[i] == y[0];
    ck_assert_uint_lt(alike, n);
    tt_plan_free(plan);
    tt_bank_free(bank);
    tt_tape_free(&tape);
}
END_TEST

// Steps whose weights may be quantised: each size of row against each size of block, both ways of
// convolution, one and several groups of rows.
static const char *const quantised[] = {
    "linear m6 k40 n8", "linear m70 k800 n72", "linear m200 k256 n33", "linear m1 k320 n64",
    "conv2d n2 c40 h8 w8 k32 r3 s1", "conv2d n1 c260 h16 w16 k70 r3 s1",
    "conv2d n1 c32 h32 w32 k40 r3 s1", "conv2d n1 c4 h9 w7 k8 r3 s2",
    "conv2d n1 c36 h9 w7 k8 r1 s1",
    "embedding m5 v11 c16", "embedding m5 v11 c768",
};
enum { QUANTISED = sizeof quantised / sizeof *quantised };

// What a problem gives; the caller frees.
static float *run_problem(const char *text, unsigned cpu, bool widen, int threads, bool direct,
                          size_t *n) {
    struct tt_problem problem = parsed(text);
    struct tt_problem_values values;
    struct tt_problem_weights weights = {0};
    struct tt_tape tape = {0};
    struct tt_error err = {0};
    struct tt_kernels kernels;
    tt_kernels_init(&kernels, cpu);
    tt_problem_tape(&problem, "some.layer", &tape, &values);
    struct tt_source source = tt_problem_source(&problem, &tape, &weights);
    struct tt_bank *bank = tt_bank_new(&source, &(struct tt_bank_options){.widen = widen});
    struct tt_plan *plan = NULL;
    struct tt_plan_options options = {.threads = threads, .fold = true, .poison = true,
                                      .conv_direct = direct};
    ck_assert_msg(!tt_plan_new(&tape, bank, &options, &plan, &err), "%s", err.message);
    int count;
    char again[TT_PROBLEM_TEXT];
    const struct tt_step *steps = tt_plan_steps(plan, &count);
    ck_assert_int_eq(tt_is_quantised(steps->weight.dtype), !widen);
    tt_step_problem(steps, again, sizeof again);
    ck_assert(widen ? strstr(again, " f32") != NULL : !strcmp(again, text));
    if (!widen) ck_assert_uint_eq(tt_bank_bytes(bank), weights.view->bytes);
    fill_inputs(&tape, plan_data, plan);
    for (int i = 0; i < tape.node_count; i++) { // some ids
        int32_t *ids = (int32_t *)tt_plan_data(plan, i);
        for (int j = 0; j < 5 && tape.tensors[i].dtype == TT_I32; j++) ids[j] = (j + 3) % 5;
    }
    ck_assert_msg(!tt_plan_run(plan, &kernels, NULL, 0, &err), "%s", err.message);
    struct tt_shape shape = tt_shape_of(&tape, values.output);
    *n = tt_shape_count(&shape);
    float *y = malloc(*n * sizeof *y);
    memcpy(y, tt_plan_data(plan, values.output), *n * sizeof *y);
    tt_plan_free(plan);
    tt_bank_free(bank);
    tt_tape_free(&tape);
    return y;
}

// Blocks give the bits of the floats that they stand for, whoever dequantises them, wherever.
START_TEST(blocks_as_their_floats) {
    for (int dtype = TT_Q8_0; dtype <= TT_Q6_K; dtype++)
        for (int direct = 0; direct < (*quantised[_i] == 'c' ? 2 : 1); direct++) {
            char text[TT_PROBLEM_TEXT];
            snprintf(text, sizeof text, "%s %s", quantised[_i],
                     tt_problem_dtype((enum tt_dtype)dtype));
            size_t n, m;
            float *floats = run_problem(text, 0, true, 1, direct, &n);
            for (int threads = 1; threads < 4; threads++) {
                float *y = run_problem(text, threads == 1 ? 0 : test_cpu(), false, threads, direct,
                                       &m);
                ck_assert_uint_eq(n, m);
                test_equal(text, y, floats, n);
                free(y);
            }
            free(floats);
        }
}
END_TEST

// The backward pass of each, with the gradient of all its inputs; and of products without.
START_TEST(alone_backward) {
    struct tt_problem problem = parsed(texts[_i]);
    problem.dtype = TT_F32; // training's weights
    if (!tt_ops[problem.op]->backward || problem.op == TT_OP_embedding) return;
    bool product = problem.op == TT_OP_conv2d || problem.op == TT_OP_linear;
    for (int dx = product ? 0 : 1; dx < 2; dx++) {
        struct tt_problem_values values;
        struct tt_problem_weights weights = {0};
        struct tt_tape tape = {0};
        const struct tt_tape *tapes = &tape;
        struct tt_error err = {0};
        struct tt_kernels kernels;
        struct tt_params *params = NULL;
        struct tt_plan *plan = NULL;
        char expected[TT_PROBLEM_TEXT];
        tt_kernels_init(&kernels, test_cpu());
        tt_problem_tape(&problem, "some.layer", &tape, &values);
        struct tt_source source = tt_problem_source(&problem, &tape, &weights);
        ck_assert_int_eq(tt_params_new(&tapes, 1, true, &params, &err), TT_OK);
        ck_assert_msg(!tt_params_load(params, &source, &err), "%s", err.message);
        tt_value wanted[TT_MAX_INPUTS + 2];
        int inputs = 0;
        for (int i = 0; dx && i < tape.node_count; i++)
            if (tape.nodes[i].op == TT_OP_input && tape.tensors[i].dtype == TT_F32)
                wanted[inputs++] = i;
        struct tt_plan_options options = {.threads = 2, .fold = true};
        struct tt_both_ways back = {
            .params = params, .outputs = &values.output, .output_count = 1,
            .inputs = wanted, .input_count = inputs,
        };
        ck_assert_msg(!tt_plan_new_both_ways(&tape, &options, &back, &plan, &err), "%s",
                      err.message);
        fill_inputs(&tape, plan_data, plan);
        ck_assert_int_eq(tt_plan_run(plan, &kernels, NULL, 0, &err), TT_OK);
        struct tt_shape shape = tt_shape_of(&tape, values.output);
        tt_problem_fill(tt_plan_seed(plan, values.output), tt_shape_count(&shape), 9);
        ck_assert_int_eq(tt_plan_run_back(plan, &kernels, NULL, 0, &err), TT_OK);
        int count;
        const struct tt_step *steps = tt_plan_steps(plan, &count);
        problem.backward = true;
        problem.nodx = product && !dx;
        tt_problem_text(&problem, expected, sizeof expected);
        problem.backward = problem.nodx = false;
        if (count == 2) expect_step(&steps[1], expected);
        else ck_assert_int_eq(count, 1); // the gradient passes as it is
        tt_plan_free(plan);
        tt_params_free(params);
        tt_tape_free(&tape);
    }
}
END_TEST

// A real network: every step of every part is a problem that is planned alone as the same.
struct seen {
    size_t steps;
};

static int see(void *context, const struct tt_step *step) {
    struct seen *seen = context;
    char text[TT_PROBLEM_TEXT], again[TT_PROBLEM_TEXT];
    struct tt_problem problem = parsed(tt_step_problem(step, text, sizeof text));
    ck_assert_str_eq(tt_problem_text(&problem, again, sizeof again), text);
    seen->steps++;
    return 0;
}

START_TEST(of_a_network) {
    struct tt_error err = {0};
    struct tt_engine *engine = NULL;
    struct tt_model *model = NULL;
    struct tt_session *session = NULL;
    ck_assert_msg(!tt_engine_new(NULL, &engine, &err), "%s", err.message);
    ck_assert_msg(!tt_model_open(NULL, engine, &model, &err), "%s", err.message);
    ck_assert_msg(!tt_session_new(model, NULL, &session, &err), "%s", err.message);
    struct seen seen = {0};
    struct tt_observer observer = {&seen, see, NULL};
    tt_session_observe(session, &observer, 1);
    const size_t h = 16, w = 8, c = tt_model_info(model)->latent_channels;
    const size_t tokens = tt_model_info(model)->tokens, d = tt_model_info(model)->text_width;
    float *x = calloc(64 * h * w * 3, sizeof *x), *y = calloc(64 * h * w * 3, sizeof *y);
    float *e = calloc(2 * tokens * d, sizeof *e), t[2] = {500, 500};
    struct tt_size size = {2, h, w, tokens};
    int part = tt_part_find("unet");
    ck_assert_uint_le(2 * c * h * w, 64 * h * w);
    ck_assert_msg(!tt_session_prepare_training(session, part, size, &err), "%s", err.message);
    ck_assert_msg(!tt_session_unet(session, size, x, t, e, y, &err), "%s", err.message);
    ck_assert_msg(!tt_session_backward(session, part, y, &err), "%s", err.message);
    struct tt_size latents = {1, h, w, 0};
    ck_assert_msg(!tt_session_decode(session, latents, x, y, &err), "%s", err.message);
    ck_assert_uint_gt(seen.steps, 300);
    free(x);
    free(y);
    free(e);
    tt_session_free(session);
    tt_model_close(model);
    tt_engine_free(engine);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("problem");
    TCase *tcase = tcase_create("problem");
    tcase_add_loop_test(tcase, text_and_back, 0, TEXTS);
    tcase_add_loop_test(tcase, bad_texts, 0, BAD);
    tcase_add_loop_test(tcase, alone, 0, TEXTS);
    tcase_add_loop_test(tcase, blocks_as_their_floats, 0, QUANTISED);
    tcase_add_loop_test(tcase, alone_backward, 0, TEXTS);
    tcase_add_test(tcase, of_a_network);
    tcase_set_timeout(tcase, 120);
    suite_add_tcase(suite, tcase);
    return test_main(suite, NULL);
}
