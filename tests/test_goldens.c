// SPDX-License-Identifier: MIT
// Every module of every network of the tiny pipelines against its recording (reference/README.md):
//
//     |c - stored| <= F * err32 + floor        floor = 2^-23 * maxabs
//     rms(c - stored) <= R * rms32 + floor     floor = 2^-25 * rms, what rounding to float costs
//
// F and R are how many times PyTorch's own float32 error ours may be, per network: F the largest of
// a tensor, R its root mean square, which an error of all elements that stays below the largest
// does not pass. The values compared are
// those of an unfolded plan that keeps everything; folding, threads and instruction sets must then
// give the same bits. GOLDENS_REPORT=1 prints the F and R each network would need.
#include "subject.h"

#include "graph/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct subject_name subjects[] = {
    EVERY_PART("sd15/square"), EVERY_PART("sd15/token"), EVERY_PART("sd21/odd"),
    EVERY_PART("sd21/wide"), EVERY_PART("wide/small"), EVERY_PART("wide/tall"),
    EVERY_PART("odd/square"), EVERY_PART("odd/wide"), EVERY_PART("rare/tall"),
    EVERY_PART("lcm/square"),
    EVERY_PART_XL("xl/square"), EVERY_PART_XL("xl-uneven/tall"),
    {"xl-refiner/wide", PART_TEXT_2}, {"xl-refiner/wide", PART_UNET},
    {"ddpm/wide", PART_UNET}, {"ddim/tall", PART_UNET},
    {"taesd/tall", PART_TINY_ENCODER}, {"taesd/tall", PART_TINY_DECODER},
    {"taegelu/wide", PART_TINY_ENCODER}, {"taegelu/wide", PART_TINY_DECODER},
};
enum { SUBJECTS = sizeof subjects / sizeof *subjects };

// F and R as measured, rounded up. F is a ratio of two largest errors, so it scatters: over all
// tensors our rms error is about PyTorch's. What stands out is Winograd.
static const struct factor factors[PARTS] = { // Winograd where it is faster
    {2, 1.75}, {3, 2.5}, {2.25, 2}, {3, 2.5}, {1.25, 1}, {3.25, 2.25}, {2, 1.75},
};
static const struct factor factors_direct[PARTS] = {
    {2, 1.75}, {2.5, 2}, {2.25, 1.5}, {2.25, 1.5}, {1, 1}, {1, 1.25}, {2, 1.75},
};

static float *data_of_plan(const void *plan, tt_value value) {
    return tt_plan_data(plan, value);
}

static struct tt_plan *run(struct subject *s, struct tt_plan_options options, unsigned cpu) {
    struct tt_plan *plan;
    struct tt_kernels kernels;
    tt_kernels_init(&kernels, cpu);
    OK(s, tt_plan_new(&s->tape, s->bank, &options, &plan, &s->err));
    set_inputs(s, data_of_plan, plan);
    OK(s, tt_plan_run(plan, &kernels, NULL, 0, &s->err));
    return plan;
}

// ---- comparing ----

// Compares values of ours, in PyTorch's order.
static void compare(const struct subject *s, const json_t *tensor, const float *ours,
                    const struct factor *factor, struct tally *tally) {
    const struct tt_view *view = stored_view(s, tensor);
    const float *stored = view->data;
    size_t n = view->bytes / sizeof(float);
    struct errors e = {0};
    for (size_t i = 0; i < n; i++) add_error(&e, (double)ours[i], (double)stored[i], i);
    judge_errors(tensor, text_of(tensor, "name"), &e, n,
                 ldexp(json_number_value(json_object_get(tensor, "rms")), -25),
                 (double)ours[e.at], (double)stored[e.at], factor, tally);
}

// Our value under a recorded name. For a module's input that no module returned ("<path>.in"), it
// is what the first node of that module reads.
static tt_value value_of(const struct tt_tape *tape, const char *name, bool is_input) {
    if (!is_input) return tt_find_value(tape, name);
    size_t length = strlen(name) - strlen(".in");
    for (int i = 0; i < tape->node_count; i++) {
        const char *node = tape->nodes[i].name;
        if (!strncmp(node, name, length) && (!node[length] || node[length] == '.'))
            return tape->nodes[i].input[0];
    }
    return TT_NO_VALUE;
}

// mean, logvar and std of the encoder's moments (N, 2C, h, w), as the pipelines make them.
static bool derive(const struct subject *s, const struct tt_plan *plan, const char *name,
                   float *ours) {
    static const char *const names[] = {"mean", "logvar", "std"};
    int which = 0;
    while (which < 3 && strcmp(name, names[which])) which++;
    if (which == 3 || s->moments == TT_NO_VALUE) return false;
    struct tt_shape shape = tt_shape_of(&s->tape, s->moments);
    const float *data = tt_plan_data(plan, s->moments);
    size_t c = shape.dim[1] / 2, hw = shape.dim[2] * shape.dim[3];
    for (size_t i = 0; i < shape.dim[0] * c * hw; i++) {
        const float *row = data + (i / (c * hw) * hw + i % hw) * 2 * c;
        float logvar = fminf(fmaxf(row[c + i / hw % c], -30.0f), 20.0f);
        ours[i] = which == 0 ? row[i / hw % c] : which == 1 ? logvar : expf(0.5f * logvar);
    }
    return true;
}

static void compare_all(const struct subject *s, const struct tt_plan *plan,
                        const struct factor *factor, struct tally *tally) {
    size_t index;
    json_t *tensor;
    json_array_foreach((json_t *)s->tensors, index, tensor) {
        const char *name = text_of(tensor, "name"), *type = text_of(tensor, "type");
        bool is_input = !strcmp(type, "in");
        if (!strcmp(type, "input")) continue;
        if (is_input && strcmp(text_of(tensor, "dtype"), "F32")) continue;
        struct tt_shape shape = shape_of(tensor);
        size_t n = tt_shape_count(&shape);
        float *ours = malloc(n * sizeof *ours);
        ck_assert(ours != NULL);
        tt_value value = value_of(&s->tape, name, is_input);
        if (value != TT_NO_VALUE) {
            struct tt_shape own = tt_shape_of(&s->tape, value);
            // A convolution that pads on two sides reads less than PyTorch's, which is given the
            // padded picture.
            bool padded = is_input && tt_shape_count(&own) < n;
            ck_assert_msg(padded || tt_shape_count(&own) == n, "%s: another shape", name);
            const float *data = tt_plan_data(plan, value);
            for (size_t i = 0; i < n && !padded; i++) ours[torch_index(&own, i)] = data[i];
            if (!padded) compare(s, tensor, ours, factor, tally);
            tally->inputs_left += padded;
            tally->inputs_compared += is_input && !padded;
        } else if (derive(s, plan, name, ours)) {
            compare(s, tensor, ours, factor, tally);
        } else {
            tally->failed++;
            printf("%s (%s) is missing\n", name, type);
        }
        tally->compared += !is_input;
        free(ours);
    }
}

static bool absent(int index) {
    char path[256];
    snprintf(path, sizeof path, "reference/golden/%s/recording.json",
             subjects[index].recording);
    FILE *file = fopen(path, "r");
    if (!file) test_skip("golden %s is missing", path);
    if (file) fclose(file);
    return !file;
}

static void modules(int index, bool conv_direct) {
    if (absent(index)) return;
    struct subject s = open_subject(subjects[index]);
    struct tt_plan_options keep = {.threads = 2, .conv_direct = conv_direct, .keep_all = true};
    struct tt_plan *plan = run(&s, keep, test_cpu());
    struct tally tally = {0};
    compare_all(&s, plan, &(conv_direct ? factors_direct : factors)[s.part], &tally);
    if (getenv("GOLDENS_REPORT"))
        printf("%-12s %-12s %s: %zu modules and outputs, %zu inputs (%zu padded ones left), F %.2f "
               "needed by %s, R %.2f by %s\n", subjects[index].recording, part_names[s.part],
               conv_direct ? "direct" : "auto", tally.compared, tally.inputs_compared,
               tally.inputs_left, tally.needed, tally.worst, tally.needed_rms, tally.worst_rms);
    ck_assert_msg(!tally.failed, "%s %s: %zu tensors differ or are missing",
                  subjects[index].recording, part_names[s.part], tally.failed);
    tt_plan_free(plan);
    close_subject(&s);
}

START_TEST(every_module) {
    modules(_i, false);
}
END_TEST

START_TEST(every_module_direct) {
    modules(_i, true);
}
END_TEST

static void same_bits(const struct subject *s, const struct tt_plan *a, const struct tt_plan *b,
                      const char *what) {
    for (int i = 0; i < s->tape.node_count; i++)
        if (s->tape.tensors[i].is_output)
            test_equal(what, tt_plan_data(a, i), tt_plan_data(b, i),
                       tt_shape_count(&s->tape.tensors[i].shape));
}

// Folding, buffers used again, threads and instruction sets change no bit of the outputs.
START_TEST(same_outputs) {
    if (absent(_i)) return;
    struct subject s = open_subject(subjects[_i]);
    unsigned cpu = test_cpu();
    struct tt_plan *want = run(&s, (struct tt_plan_options){.threads = 1, .keep_all = true}, cpu);
    static const struct {
        const char *name;
        struct tt_plan_options options;
        bool scalar;
    } others[] = {
        {"folded", {.threads = 2, .fold = true, .poison = true}, false},
        {"three threads", {.threads = 3, .poison = true}, false},
        {"scalar", {.threads = 2, .fold = true}, true},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct tt_plan *plan = run(&s, others[i].options, others[i].scalar ? 0 : cpu);
        same_bits(&s, plan, want, others[i].name);
        tt_plan_free(plan);
    }
    tt_plan_free(want);
    close_subject(&s);
}
END_TEST

// A drift: recorded values with four times their rms32 added to each pass by F, and not by R.
START_TEST(drift) {
    if (absent(0)) return;
    struct subject s = open_subject(subjects[0]);
    const struct factor both = factors[s.part], most_alone = {both.most, INFINITY};
    enum { QUIET = 10 }; // so many are printed
    size_t index, tensors = 0;
    struct tally found = {.failed = QUIET}, missed = {0};
    json_t *tensor;
    json_array_foreach((json_t *)s.tensors, index, tensor) {
        double rms32 = json_number_value(json_object_get(tensor, "rms32"));
        double err32 = json_number_value(json_object_get(tensor, "err32"));
        const struct tt_view *view = stored_view(&s, tensor);
        size_t n = view->bytes / sizeof(float);
        // Where the largest of the errors is close to all of them, there is nothing to tell apart.
        if (!(both.most * err32 > 4 * rms32) || n < 64) continue;
        float *ours = malloc(n * sizeof *ours);
        ck_assert(ours != NULL);
        for (size_t i = 0; i < n; i++)
            ours[i] = (float)((double)((const float *)view->data)[i] + 4 * rms32);
        compare(&s, tensor, ours, &both, &found);
        compare(&s, tensor, ours, &most_alone, &missed);
        free(ours);
        tensors++;
    }
    ck_assert_uint_gt(tensors, 20);
    ck_assert_uint_eq(missed.failed, 0);
    ck_assert_uint_eq(found.failed, QUIET + tensors);
    close_subject(&s);
}
END_TEST

static Suite *goldens_suite(void) {
    Suite *suite = suite_create("goldens");
    TCase *tcase = tcase_create("goldens");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, every_module, 0, SUBJECTS);
    tcase_add_loop_test(tcase, every_module_direct, 0, SUBJECTS);
    tcase_add_loop_test(tcase, same_outputs, 0, SUBJECTS);
    tcase_add_test(tcase, drift);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    return test_main(goldens_suite(), NULL);
}
