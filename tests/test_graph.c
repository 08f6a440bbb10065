// SPDX-License-Identifier: MIT
// Tape and plan: folding, buffer sharing, poisoning and threads leave the bits alone.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "graph/plan.h"
#include "util.h"

// Weights made up from the name when they are acquired: any shape, the same numbers for the same
// name.
struct made {
    struct tt_tape *tape;
    enum tt_dtype dtype; // as which they are stored; the numbers are exact in each
    struct tt_view views[64];
    size_t count, live, most; // live: acquired and not released; most: at any time
};

// k / 256 of |k| <= 128, in half precision: exact.
static uint16_t half_of(int k, enum tt_dtype dtype) {
    float value = (float)k / 256;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return dtype == TT_F16 ? tt_half_from_float(value) : (uint16_t)(bits >> 16);
}

static const struct tt_view *find_made(void *context, const char *name) {
    const struct made *made = context;
    for (size_t i = 0; i < made->count; i++)
        if (!strcmp(made->views[i].name, name)) return &made->views[i];
    return NULL;
}

static enum tt_status make_weight(void *context, const struct tt_view *found, struct tt_view *view,
                                  struct tt_error *err) {
    (void)err;
    struct made *made = context;
    size_t n = tt_shape_count(&found->shape);
    float *data = malloc(n * sizeof *data);
    uint16_t *half = (uint16_t *)data;
    unsigned state = 1;
    for (const char *c = found->name; *c; c++) state = state * 31 + (unsigned char)*c;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        int k = (int)(state >> 24) - 128;
        if (made->dtype == TT_F32) data[i] = (float)k / 256;
        else half[i] = half_of(k, made->dtype);
    }
    *view = *found;
    view->data = data;
    if (++made->live > made->most) made->most = made->live;
    return TT_OK;
}

static void end_weight(void *context, const struct tt_view *view) {
    struct made *made = context;
    ck_assert_uint_gt(made->live--, 0);
    free((void *)view->data);
}

// All that the tape asks for, but what is called absent.
static struct tt_source made_source(struct made *made, struct tt_tape *tape, enum tt_dtype dtype) {
    *made = (struct made){.tape = tape, .dtype = dtype};
    for (int i = 0; i < tape->node_count; i++)
        for (int j = 0; j < TT_MAX_PARAMS; j++) {
            const struct tt_param *p = tape->nodes[i].param[j];
            if (!p || strstr(p->name, "absent")) continue;
            size_t bytes = tt_shape_count(&p->shape) * tt_dtype_size(dtype);
            made->views[made->count++] = (struct tt_view){p->name, dtype, p->shape, NULL, bytes};
        }
    return (struct tt_source){made, "made up", find_made, make_weight, end_weight};
}

static const size_t same[4] = {1, 1, 1, 1};

// A residual block with a per-image bias and attention: everything that folds.
static tt_value write_block(struct tt_tape *t) {
    tt_value x = tt_nn_input(t, "x", (struct tt_shape){4, {2, 12, 7, 5}}, TT_F32);
    tt_value e = tt_nn_input(t, "e", (struct tt_shape){2, {2, 8}}, TT_F32);
    tt_push(t, "block.%d", 3);
    tt_value bias = tt_nn_linear(t, "time", e, 20, true);
    tt_value h = tt_nn_group_norm(t, "norm1", x, 4, 1e-5f);
    h = tt_nn_activation(t, "nonlinearity", h, TT_OP_silu);
    h = tt_nn_conv2d(t, "conv1", h, 20, 3, 1, same);
    h = tt_nn_add_image(t, "add_time", h, bias);
    h = tt_nn_group_norm(t, "norm2", h, 5, 1e-5f);
    h = tt_nn_activation(t, "nonlinearity", h, TT_OP_silu);
    h = tt_nn_conv2d(t, "conv2", h, 20, 3, 1, same);
    tt_value shortcut = tt_nn_conv2d(t, "conv_shortcut", x, 20, 1, 1, (size_t[4]){0});
    h = tt_pop(t, tt_nn_add(t, "add", shortcut, h));
    tt_value rows = tt_nn_reshape(t, h, (struct tt_shape){3, {2, 35, 20}});
    tt_value q = tt_nn_linear(t, "to_q", rows, 20, false);
    tt_value a = tt_nn_attention(t, "sdpa", q, rows, rows, 4, 0.5f, false);
    a = tt_nn_linear(t, "to_out", a, 20, true);
    a = tt_nn_add(t, "residual", a, rows);
    a = tt_nn_reshape(t, a, (struct tt_shape){4, {2, 20, 7, 5}});
    a = tt_nn_upsample_nearest(t, "up", a, 14, 10);
    a = tt_nn_activation(t, "act", a, TT_OP_gelu);
    tt_set_output(t, a);
    return a;
}

// The block from weights of that dtype, run twice. most: so many of them were live at once.
static float *run_block_as(struct tt_plan_options options, enum tt_dtype dtype,
                           struct tt_bank_options hold, size_t *count, int *steps, size_t *most) {
    struct tt_tape tape = {0};
    struct made made;
    struct tt_error err = {0};
    struct tt_kernels kernels;
    tt_kernels_init(&kernels, test_cpu());
    tt_value out = write_block(&tape);
    const struct tt_source source = made_source(&made, &tape, dtype);
    struct tt_bank *bank = tt_bank_new(&source, &hold);
    struct tt_plan *plan = NULL;
    ck_assert_msg(!tt_plan_new(&tape, bank, &options, &plan, &err), "%s", err.message);
    for (int run = 0; run < 2; run++) {
        float *x = tt_plan_data(plan, tt_find_value(&tape, "x"));
        float *e = tt_plan_data(plan, tt_find_value(&tape, "e"));
        for (int i = 0; i < 2 * 12 * 35; i++) x[i] = (float)(i * 37 % 101) / 50 - 1;
        for (int i = 0; i < 16; i++) e[i] = (float)i / 8 - 1;
        ck_assert_int_eq(tt_plan_run(plan, &kernels, NULL, 0, &err), TT_OK);
    }
    struct tt_shape shape = tt_shape_of(&tape, out);
    *count = tt_shape_count(&shape);
    tt_plan_steps(plan, steps);
    float *copy = malloc(*count * sizeof *copy);
    memcpy(copy, tt_plan_data(plan, out), *count * sizeof *copy);
    size_t file = 0, kept = hold.widen ? 4 / tt_dtype_size(dtype) : 1;
    for (size_t i = 0; i < made.count; i++) file += made.views[i].bytes;
    // 12 and 20 channels fill a panel of 32 badly; what is small is kept as float32.
    ck_assert_uint_le(tt_bank_bytes(bank), hold.in_use ? 0 : 3 * file * kept);
    tt_plan_free(plan);
    tt_bank_free(bank);
    ck_assert_uint_eq(made.live, 0);
    *most = made.most;
    tt_tape_free(&tape);
    return copy;
}

static float *run_block(struct tt_plan_options options, size_t *count, int *steps) {
    size_t most;
    return run_block_as(options, TT_F32, (struct tt_bank_options){0}, count, steps, &most);
}

START_TEST(same_bits_from_every_dtype) {
    static const enum tt_dtype dtypes[] = {TT_F16, TT_BF16};
    size_t count, other, most;
    int steps;
    struct tt_plan_options options = {.threads = 2, .fold = true};
    float *plain = run_block(options, &count, &steps);
    for (int variant = 0; variant < 8; variant++) {
        struct tt_bank_options hold = {.widen = variant & 2, .in_use = variant & 4};
        float *y = run_block_as(options, dtypes[variant & 1], hold, &other, &steps, &most);
        ck_assert_uint_eq(count, other);
        ck_assert_msg(!memcmp(plain, y, count * sizeof *y), "variant %d differs", variant);
        free(y);
    }
    free(plain);
}
END_TEST

// Steps that get their weights one by one need no more of them at once than one step has.
START_TEST(same_bits_from_a_handful_of_weights) {
    size_t count, other, most, all;
    int steps;
    struct tt_plan_options options = {.threads = 2, .fold = true};
    struct tt_bank_options hold = {0}, stream = {.in_use = true};
    float *held = run_block_as(options, TT_F32, hold, &count, &steps, &all);
    float *streamed = run_block_as(options, TT_F32, stream, &other, &steps, &most);
    ck_assert_uint_eq(count, other);
    ck_assert_msg(!memcmp(held, streamed, count * sizeof *held), "streamed weights differ");
    ck_assert_uint_le(most, TT_MAX_PARAMS);
    ck_assert_uint_gt(all, TT_MAX_PARAMS);
    free(held);
    free(streamed);
}
END_TEST

START_TEST(same_bits_however_planned) {
    size_t count, other;
    int steps, folded;
    struct tt_plan_options simple = {.threads = 1, .keep_all = true};
    float *plain = run_block(simple, &count, &steps);
    for (int variant = 1; variant < 16; variant++) {
        struct tt_plan_options options = {
            .threads = 1 + variant % 3, .fold = variant & 1, .poison = variant & 2,
            .keep_all = variant & 4,
        };
        float *y = run_block(options, &other, &folded);
        ck_assert_uint_eq(count, other);
        if (options.fold) ck_assert_int_eq(folded, steps - 5);
        ck_assert_msg(!memcmp(plain, y, count * sizeof *y), "variant %d differs", variant);
        free(y);
    }
    free(plain);
}
END_TEST

START_TEST(paths_and_labels) {
    struct tt_tape tape = {0};
    write_block(&tape);
    ck_assert_int_ne(tt_find_value(&tape, "block.3.nonlinearity#2"), TT_NO_VALUE);
    ck_assert_int_eq(tt_find_value(&tape, "block.3"), tt_find_value(&tape, "block.3.add"));
    ck_assert_int_eq(tt_find_value(&tape, "block.4"), TT_NO_VALUE);
    tt_tape_free(&tape);
}
END_TEST

// The outermost block counts, and ends with its module.
START_TEST(blocks) {
    struct tt_tape tape = {0};
    tt_value x = tt_nn_input(&tape, "x", (struct tt_shape){2, {1, 8}}, TT_F32), y[4];
    for (int i = 0; i < 2; i++) {
        tt_push_block(&tape, "list.%d", i);
        x = tt_nn_scale(&tape, "first", x, 2);
        tt_push_block(&tape, "inner");
        y[i] = x = tt_pop(&tape, tt_nn_scale(&tape, "second", x, 2));
        y[2 + i] = x = tt_pop(&tape, tt_nn_scale(&tape, "third", x, 2));
        x = tt_nn_scale(&tape, "between", x, 2);
        ck_assert_int_eq(tape.nodes[x].block, 0);
        ck_assert_int_eq(tape.nodes[y[i]].block, i + 1);
        ck_assert_int_eq(tape.nodes[y[2 + i]].block, i + 1);
    }
    ck_assert_str_eq(tape.nodes[y[1]].name, "list.1.inner.second");
    tt_tape_free(&tape);
}
END_TEST

static void expect_plan_error(tt_value (*write)(struct tt_tape *), const char *message) {
    struct tt_tape tape = {0};
    struct made made;
    struct tt_error err = {0};
    struct tt_plan *plan = NULL;
    write(&tape);
    const struct tt_source source = made_source(&made, &tape, TT_F32);
    struct tt_bank *bank = tt_bank_new(&source, &(struct tt_bank_options){0});
    struct tt_plan_options options = {.threads = 1};
    ck_assert_int_eq(tt_plan_new(&tape, bank, &options, &plan, &err), TT_BAD_INPUT);
    ck_assert_str_eq(err.message, message);
    tt_bank_free(bank);
    tt_tape_free(&tape);
}

static tt_value write_absent(struct tt_tape *t) {
    tt_value x = tt_nn_input(t, "x", (struct tt_shape){2, {1, 8}}, TT_F32);
    return tt_nn_linear(t, "absent", x, 4, true);
}

static tt_value write_ungroupable(struct tt_tape *t) {
    tt_value x = tt_nn_input(t, "x", (struct tt_shape){4, {1, 10, 2, 2}}, TT_F32);
    tt_push(t, "mid");
    return tt_pop(t, tt_nn_group_norm(t, "norm", x, 4, 1e-5f));
}

// What no kernel has.
static tt_value write_ids_of_floats(struct tt_tape *t) {
    tt_value x = tt_nn_input(t, "x", (struct tt_shape){2, {1, 8}}, TT_F32);
    tt_push(t, "embeddings");
    return tt_pop(t, tt_nn_embedding(t, "token", x, 10, 4));
}

static tt_value write_sum_of_halves(struct tt_tape *t) {
    tt_value x = tt_nn_input(t, "x", (struct tt_shape){2, {1, 8}}, TT_F32);
    tt_value y = tt_nn_input(t, "y", (struct tt_shape){2, {1, 8}}, TT_F16);
    return tt_nn_add(t, "sum", x, y);
}

START_TEST(errors_name_the_place) {
    expect_plan_error(write_ids_of_floats, "embeddings.token: input 0 of embedding: found dtype "
                      "F32, expected I32");
    expect_plan_error(write_sum_of_halves, "sum: input 1 of add: found dtype F16, expected F32");
    expect_plan_error(write_absent,
                      "made up: tensor 'absent.weight' is missing; expected shape (4, 8)");
    expect_plan_error(write_ungroupable,
                      "mid: norm: 10 channels do not divide into norm_num_groups 4");
}
END_TEST

static Suite *graph_suite(void) {
    Suite *suite = suite_create("graph");
    TCase *plan = tcase_create("plan");
    tcase_set_timeout(plan, 60);
    tcase_add_test(plan, same_bits_however_planned);
    tcase_add_test(plan, same_bits_from_every_dtype);
    tcase_add_test(plan, same_bits_from_a_handful_of_weights);
    tcase_add_test(plan, paths_and_labels);
    tcase_add_test(plan, blocks);
    tcase_add_test(plan, errors_name_the_place);
    suite_add_tcase(suite, plan);
    return suite;
}

int main(void) { return test_main(graph_suite(), NULL); }
