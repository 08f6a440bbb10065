// SPDX-License-Identifier: MIT
// The backward pass through every network of the tiny pipelines against autograd's gradients
// (reference/README.md, "Gradients"): of every module's output, every parameter and every input,
//
//     |c - stored| <= F * err32 + floor        floor = 2^-23 * maxabs
//     rms(c - stored) <= R * rms32 + floor     floor = 2^-25 * maxabs
//
// then against differences of the network's own output, and the bits against those of other
// threads, instruction sets, observers, and with checkpointing. GRADIENTS_REPORT=1 prints the F
// and R each network would need.
#include "subject.h"

#include "graph/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct subject_name subjects[] = {
    EVERY_PART("sd15/square"), EVERY_PART("sd15/token"), EVERY_PART("sd21/odd"),
    EVERY_PART("wide/tall"), EVERY_PART("odd/wide"), EVERY_PART("rare/tall"),
    {"ddpm/wide", PART_UNET}, {"ddim/tall", PART_UNET},
    {"taesd/tall", PART_TINY_ENCODER}, {"taesd/tall", PART_TINY_DECODER},
    {"taegelu/wide", PART_TINY_ENCODER}, {"taegelu/wide", PART_TINY_DECODER},
};
// A difference that crosses a kink of ReLU is no slope: those of the last are not taken.
enum { SUBJECTS = sizeof subjects / sizeof *subjects, SMOOTH = SUBJECTS - 4 };

// F as measured, rounded up. It is a ratio of two largest errors and scatters (see test_goldens.c):
// the largest F of a network comes from one tensor of a few sums where PyTorch's own error happens
// to be small, nearly always the weight or bias of a norm, or a bias in front of one, whose
// gradient is what is left when large numbers cancel. By the root mean square instead, the error of
// the median tensor is 0.94 (text), 1.03 (U-Net), 1.13 (encoder) and 1.07 (decoder) times that of
// PyTorch; the median F is 0.54, 0.93, 0.96 and 0.85. Part of what rises above that is Winograd's:
// direct convolution takes the F of `wide`, the model with the most channels, from 3.6, 3.8 and 4.5
// to 1.9, 1.7 and 2.3. R is of the same tensors of a few sums, where it says what F says.
static const struct factor factors[PARTS] = {
    {2, 2}, {4.25, 3.25}, {4, 4.75}, {4.75, 5.25}, {3.75, 3.25}, {5, 5.25},
};
static const struct factor factors_direct[PARTS] = {
    {2, 2}, {4, 3.5}, {4, 4.75}, {2.75, 3.25}, {1.25, 1.25}, {1.5, 1.5},
};

// A subject with its gradients' recording and what training needs.
struct pupil {
    struct subject s;
    json_t *manifest;
    const json_t *part;
    struct tt_safetensors *stored;
    struct tt_params *params;
    tt_value outputs[4], inputs[4];
    int output_count, input_count;
};

static bool absent(int index) {
    char path[256];
    snprintf(path, sizeof path, "reference/golden/%s/gradients.json",
             subjects[index].recording);
    FILE *file = fopen(path, "r");
    if (!file) test_skip("golden %s is missing", path);
    if (file) fclose(file);
    return !file;
}

static struct pupil open_pupil(int index) {
    const char *recording = subjects[index].recording;
    struct pupil p = {.s = open_subject(subjects[index])};
    char path[256];
    size_t size, i;
    json_t *entry;
    snprintf(path, sizeof path, "reference/golden/%s/gradients.json", recording);
    char *text = test_read(path, &size);
    OK(&p.s, tt_json_parse(path, text, size, &p.manifest, &p.s.err));
    free(text);
    json_array_foreach(json_object_get(p.manifest, "parts"), i, entry)
        if (!strcmp(text_of(entry, "part"), part_names[p.s.part])) p.part = entry;
    ck_assert(p.part != NULL);
    snprintf(path, sizeof path, "reference/golden/%s/%s", recording, text_of(p.manifest, "file"));
    OK(&p.s, tt_safetensors_open(NULL, path, &p.stored, &p.s.err));
    const struct tt_tape *tapes[] = {&p.s.tape};
    OK(&p.s, tt_params_new(tapes, 1, true, &p.params, &p.s.err));
    const struct tt_source source = tt_weights_source(p.s.weights);
    OK(&p.s, tt_params_load(p.params, &source, &p.s.err));
    json_array_foreach(json_object_get(p.part, "outputs"), i, entry)
        p.outputs[p.output_count++] = tt_find_value(&p.s.tape, json_string_value(entry));
    json_array_foreach(json_object_get(p.part, "tensors"), i, entry)
        if (!strcmp(text_of(entry, "kind"), "input"))
            p.inputs[p.input_count++] = tt_find_value(&p.s.tape, text_of(entry, "name"));
    return p;
}

static void close_pupil(struct pupil *p) {
    tt_params_free(p->params);
    tt_safetensors_close(p->stored);
    json_decref(p->manifest);
    close_subject(&p->s);
}

static float *plan_data(const void *plan, tt_value value) {
    return tt_plan_data(plan, value);
}

// ---- the run ----

// The scalar whose gradient this is: the sum over outputs of output times seed.
static double scalar(const struct pupil *p, const struct tt_plan *plan) {
    double sum = 0;
    for (int i = 0; i < p->output_count; i++) {
        struct tt_shape shape = tt_shape_of(&p->s.tape, p->outputs[i]);
        const float *data = tt_plan_data(plan, p->outputs[i]);
        for (size_t j = 0; j < tt_shape_count(&shape); j++)
            sum += (double)data[j] * (double)test_hashed_uniform(torch_index(&shape, j), (size_t)i);
    }
    return sum;
}

static void seed(const struct pupil *p, const struct tt_plan *plan) {
    for (int i = 0; i < p->output_count; i++) {
        struct tt_shape shape = tt_shape_of(&p->s.tape, p->outputs[i]);
        float *data = tt_plan_seed(plan, p->outputs[i]);
        for (size_t j = 0; j < tt_shape_count(&shape); j++)
            data[j] = test_hashed_uniform(torch_index(&shape, j), (size_t)i);
    }
}

static struct tt_plan *make_with(struct pupil *p, struct tt_params *params,
                                 struct tt_plan_options options, bool checkpoint) {
    struct tt_plan *plan;
    struct tt_both_ways back = {
        .params = params, .checkpoint_activations = checkpoint, .outputs = p->outputs,
        .output_count = p->output_count, .inputs = p->inputs, .input_count = p->input_count,
    };
    OK(&p->s, tt_plan_new_both_ways(&p->s.tape, &options, &back, &plan, &p->s.err));
    return plan;
}

static struct tt_plan *make(struct pupil *p, struct tt_plan_options options, bool checkpoint) {
    return make_with(p, p->params, options, checkpoint);
}

static void run(struct pupil *p, struct tt_plan *plan, unsigned cpu,
                const struct tt_observer *observer) {
    struct tt_kernels kernels;
    tt_kernels_init(&kernels, cpu);
    tt_params_zero_gradients(p->params);
    set_inputs(&p->s, plan_data, plan);
    OK(&p->s, tt_plan_run(plan, &kernels, observer, observer != NULL, &p->s.err));
    seed(p, plan);
    OK(&p->s, tt_plan_run_back(plan, &kernels, observer, observer != NULL, &p->s.err));
}

// ---- comparing ----

// Compares ours, element i of which is element torch_index of PyTorch's, as sums: `fold` of
// reference/common.py.
static void compare(const struct pupil *p, const json_t *tensor, const float *ours,
                    const struct tt_shape *shape, const struct factor *factor,
                    struct tally *tally) {
    const char *name = text_of(tensor, "name"), *stored = text_of(tensor, "stored");
    size_t n = tt_shape_count(shape),
           width = (size_t)json_integer_value(json_object_get(p->manifest, "fold"));
    char place[300];
    snprintf(place, sizeof place, "%s/%s/%s", part_names[p->s.part], text_of(tensor, "kind"), name);
    const struct tt_view *view = tt_safetensors_find(p->stored, stored ? stored : place);
    ck_assert_msg(view != NULL, "%s: its values are missing", place);
    size_t sums = n < width ? n : width;
    ck_assert_uint_eq(view->bytes, sums * sizeof(float));
    double *sum = calloc(sums, sizeof *sum);
    for (size_t i = 0; i < n; i++)
        test_fold(sum, n, width, torch_index(shape, i), (double)ours[i]);
    const float *truth = view->data;
    struct errors e = {0};
    for (size_t i = 0; i < sums; i++) add_error(&e, sum[i], (double)truth[i], i);
    judge_errors(tensor, place, &e, sums,
                 ldexp(json_number_value(json_object_get(tensor, "maxabs")), -25), sum[e.at],
                 (double)truth[e.at], factor, tally);
    tally->compared++;
    free(sum);
}

static void compare_all(const struct pupil *p, const struct tt_plan *plan,
                        const struct factor *factor, struct tally *tally) {
    size_t index;
    json_t *tensor;
    json_array_foreach(json_object_get(p->part, "tensors"), index, tensor) {
        const char *name = text_of(tensor, "name");
        struct tt_shape shape = shape_of(tensor);
        size_t n = tt_shape_count(&shape);
        const float *ours = NULL;
        if (!strcmp(text_of(tensor, "kind"), "parameter")) {
            int parameter = tt_params_find(p->params, name);
            if (parameter >= 0) ours = tt_params_gradient(p->params, parameter);
            shape = (struct tt_shape){1, {n}}; // in PyTorch's order already
        } else {
            tt_value value = tt_find_value(&p->s.tape, name);
            if (value != TT_NO_VALUE) ours = tt_plan_gradient(plan, value);
            if (value != TT_NO_VALUE) shape = tt_shape_of(&p->s.tape, value);
        }
        if (ours && tt_shape_count(&shape) == n) {
            compare(p, tensor, ours, &shape, factor, tally);
        } else {
            tally->failed++;
            printf("%s (%s) is missing\n", name, text_of(tensor, "kind"));
        }
    }
}

static void gradients(int index, bool conv_direct) {
    if (absent(index)) return;
    struct pupil p = open_pupil(index);
    struct tt_plan_options keep = {.threads = 2, .conv_direct = conv_direct, .keep_all = true};
    struct tt_plan *plan = make(&p, keep, false);
    run(&p, plan, test_cpu(), NULL);
    struct tally tally = {0};
    compare_all(&p, plan, &(conv_direct ? factors_direct : factors)[p.s.part], &tally);
    if (getenv("GRADIENTS_REPORT"))
        printf("%-12s %-12s %s: %zu gradients, F %.2f needed by %s, R %.2f by %s\n",
               subjects[index].recording, part_names[p.s.part], conv_direct ? "direct" : "auto",
               tally.compared, tally.needed, tally.worst, tally.needed_rms, tally.worst_rms);
    fflush(stdout);
    ck_assert_msg(!tally.failed, "%s %s: %zu gradients differ or are missing",
                  subjects[index].recording, part_names[p.s.part], tally.failed);
    tt_plan_free(plan);
    close_pupil(&p);
}

START_TEST(every_gradient) {
    gradients(_i, false);
}
END_TEST

START_TEST(every_gradient_direct) {
    gradients(_i, true);
}
END_TEST

// ---- differences ----

// (f(+h) - f(-h)) / 2h, f being the scalar after a move of all parameters by h along `direction`.
static double difference(struct pupil *p, struct tt_plan *plan, const float *start,
                         const float *direction, double h) {
    struct tt_kernels kernels;
    tt_kernels_init(&kernels, 0);
    double at[2];
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < p->params->floats; i++)
            p->params->value[i] =
                (float)((double)start[i] + (side ? -h : h) * (double)direction[i]);
        set_inputs(&p->s, plan_data, plan);
        OK(&p->s, tt_plan_run(plan, &kernels, NULL, 0, &p->s.err));
        at[side] = scalar(p, plan);
    }
    memcpy(p->params->value, start, p->params->floats * sizeof *start);
    return (at[0] - at[1]) / (2 * h);
}

// Ridders' way to the limit h -> 0 (Numerical Recipes, 5.7): halved steps, Neville's table in h^2,
// and the entry whose neighbours differ least.
static double extrapolated(struct pupil *p, struct tt_plan *plan, const float *start,
                           const float *direction, double h, double *error) {
    enum { STEPS = 5 };
    double table[STEPS][STEPS], best = NAN;
    *error = INFINITY;
    for (int i = 0; i < STEPS; i++, h /= 2) {
        table[i][0] = difference(p, plan, start, direction, h);
        double power = 4;
        for (int j = 1; j <= i; j++, power *= 4) {
            table[i][j] = (power * table[i][j - 1] - table[i - 1][j - 1]) / (power - 1);
            double own = fmax(fabs(table[i][j] - table[i][j - 1]),
                              fabs(table[i][j] - table[i - 1][j - 1]));
            if (own > *error) continue;
            *error = own;
            best = table[i][j];
        }
    }
    return best;
}

// Along random directions, the gradient of all parameters together is the slope.
START_TEST(slopes) {
    if (absent(_i)) return;
    struct pupil p = open_pupil(_i);
    struct tt_plan *plan = make(&p, (struct tt_plan_options){.threads = 1, .fold = true}, false);
    size_t n = p.params->floats;
    float *start = malloc(n * sizeof *start), *direction = calloc(n, sizeof *direction);
    memcpy(start, p.params->value, n * sizeof *start);
    uint64_t state = 5;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < p.params->count; i++) { // of each parameter's own size
            size_t count = tt_shape_count(&p.params->values[i].shape);
            size_t offset = (size_t)(tt_params_value(p.params, i) - p.params->value);
            double square = 0;
            for (size_t j = 0; j < count; j++)
                square += (double)start[offset + j] * (double)start[offset + j];
            float size = (float)sqrt(square / (double)count);
            for (size_t j = 0; j < count; j++)
                direction[offset + j] = size * test_random_f32(&state);
        }
        run(&p, plan, 0, NULL);
        double slope = 0, absolute = 0, error;
        for (size_t i = 0; i < n; i++) {
            slope += (double)p.params->gradient[i] * (double)direction[i];
            absolute += pow((double)p.params->gradient[i] * (double)direction[i], 2);
        }
        double measured = extrapolated(&p, plan, start, direction, 0x1p-5, &error);
        if (getenv("GRADIENTS_REPORT"))
            printf("%-12s %-12s: slope %.7g, differences %.7g, off by %.2g of its size (%.2g)\n",
                   subjects[_i].recording, part_names[p.s.part], slope, measured,
                   (measured - slope) / sqrt(absolute), error / sqrt(absolute));
        ck_assert_msg(fabs(measured - slope) <= 1e-3 * sqrt(absolute),
                      "slope %.9g, differences %.9g", slope, measured);
    }
    free(start);
    free(direction);
    tt_plan_free(plan);
    close_pupil(&p);
}
END_TEST

// ---- the same bits ----

struct count {
    int before, after, back;
};

static int count_before(void *context, const struct tt_step *step) {
    struct count *count = context;
    count->before++;
    count->back += step->back != NULL;
    ck_assert(!step->back || strstr(step->name, " backward"));
    return 0;
}

static void count_after(void *context, const struct tt_step *step) {
    (void)step;
    ((struct count *)context)->after++;
}

// How many steps go forward once more.
static int repeated(const struct tt_plan *plan) {
    int count, again = 0;
    const struct tt_step *steps = tt_plan_steps(plan, &count);
    for (int i = 0; i < count; i++) again += strstr(steps[i].name, " again") != NULL;
    return again;
}

// Folding, buffers used again, threads, instruction sets, observers and checkpointing change no bit
// of the gradients of parameters and inputs.
START_TEST(same_gradients) {
    if (absent(_i)) return;
    struct pupil p = open_pupil(_i);
    unsigned cpu = test_cpu();
    struct tt_plan *plain =
        make(&p, (struct tt_plan_options){.threads = 1, .keep_all = true}, false);
    run(&p, plain, cpu, NULL);
    size_t n = p.params->floats;
    float *want = malloc(n * sizeof *want);
    memcpy(want, p.params->gradient, n * sizeof *want);
    static const struct {
        const char *name;
        struct tt_plan_options options;
        bool scalar, checkpoint, observe;
    } others[] = {
        {"folded", {.threads = 2, .fold = true, .poison = true}, false, false, false},
        {"three threads", {.threads = 3, .poison = true}, false, false, true},
        {"scalar", {.threads = 2, .fold = true}, true, false, false},
        {"checkpointed", {.threads = 2, .poison = true}, false, true, false},
        {"folded, checkpointed", {.threads = 1, .fold = true, .poison = true}, false, true, true},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct count count = {0};
        struct tt_observer observer = {&count, count_before, count_after};
        struct tt_plan *plan = make(&p, others[i].options, others[i].checkpoint);
        int steps;
        tt_plan_steps(plan, &steps);
        ck_assert_msg((repeated(plan) > 0) == others[i].checkpoint, "%s: %d steps are repeated",
                      others[i].name, repeated(plan));
        run(&p, plan, others[i].scalar ? 0 : cpu, others[i].observe ? &observer : NULL);
        if (others[i].observe) {
            ck_assert_int_eq(count.before, steps);
            ck_assert_int_eq(count.after, steps);
            ck_assert_int_gt(count.back, 0);
        }
        test_equal(others[i].name, p.params->gradient, want, n);
        for (int j = 0; j < p.input_count; j++)
            test_equal(others[i].name, tt_plan_gradient(plan, p.inputs[j]),
                       tt_plan_gradient(plain, p.inputs[j]),
                       tt_shape_count(&p.s.tape.tensors[p.inputs[j]].shape));
        tt_plan_free(plan);
    }
    free(want);
    tt_plan_free(plain);
    close_pupil(&p);
}
END_TEST

// What a plan goes back through, and what its forward steps and those of the backward pass compute.
static double flops_back(const struct tt_plan *plan, bool *learns) {
    int count;
    double flops = 0;
    const struct tt_step *steps = tt_plan_steps(plan, &count);
    *learns = false;
    for (int i = 0; i < count; i++) {
        const struct tt_backward *back = steps[i].back;
        if (!back) continue;
        flops += tt_step_flops(&steps[i]);
        *learns = *learns || back->dweight || back->dbias;
    }
    return flops;
}

// Through frozen weights the same gradients reach the inputs, with less work and memory; where no
// input is wanted, there is no backward pass at all.
START_TEST(frozen) {
    static const struct {
        const char *name;
        struct tt_plan_options options;
        bool scalar, checkpoint;
    } ways[] = {
        {"one by one", {.threads = 1}, false, false},
        {"folded", {.threads = 3, .fold = true, .poison = true}, false, false},
        {"scalar", {.threads = 2, .fold = true, .poison = true}, true, false},
        {"checkpointed", {.threads = 2, .fold = true, .poison = true}, false, true},
    };
    if (absent(_i)) return;
    struct pupil p = open_pupil(_i);
    const struct tt_tape *tapes[] = {&p.s.tape};
    struct tt_params *still = NULL;
    OK(&p.s, tt_params_new(tapes, 1, false, &still, &p.s.err));
    const struct tt_source source = tt_weights_source(p.s.weights);
    OK(&p.s, tt_params_load(still, &source, &p.s.err));
    ck_assert(!still->gradient && !tt_params_gradient(still, 0));
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        unsigned cpu = ways[i].scalar ? 0 : test_cpu();
        bool learns;
        struct tt_plan *all = make(&p, ways[i].options, ways[i].checkpoint);
        struct tt_plan *plan = make_with(&p, still, ways[i].options, ways[i].checkpoint);
        double most = flops_back(all, &learns);
        ck_assert(learns);
        ck_assert_double_lt(flops_back(plan, &learns), most);
        ck_assert(!learns && (p.input_count || !flops_back(plan, &learns)));
        ck_assert_uint_lt(tt_plan_arena_bytes(plan), tt_plan_arena_bytes(all));
        run(&p, all, cpu, NULL);
        run(&p, plan, cpu, NULL);
        for (int j = 0; j < p.input_count; j++)
            test_equal(ways[i].name, tt_plan_gradient(plan, p.inputs[j]),
                       tt_plan_gradient(all, p.inputs[j]),
                       tt_shape_count(&p.s.tape.tensors[p.inputs[j]].shape));
        tt_plan_free(plan);
        tt_plan_free(all);
    }
    tt_params_free(still);
    close_pupil(&p);
}
END_TEST

static Suite *gradients_suite(void) {
    Suite *suite = suite_create("gradients");
    TCase *values = tcase_create("values"), *differences = tcase_create("differences"),
          *bits = tcase_create("bits");
    tcase_set_timeout(values, 300);
    tcase_set_timeout(differences, 300);
    tcase_set_timeout(bits, 300);
    tcase_add_loop_test(values, every_gradient, 0, SUBJECTS);
    tcase_add_loop_test(values, every_gradient_direct, 0, SUBJECTS);
    tcase_add_loop_test(differences, slopes, 0, SMOOTH);
    tcase_add_loop_test(bits, same_gradients, 0, SUBJECTS);
    tcase_add_loop_test(bits, frozen, 0, SUBJECTS);
    suite_add_tcase(suite, values);
    suite_add_tcase(suite, differences);
    suite_add_tcase(suite, bits);
    return suite;
}

int main(void) {
    return test_main(gradients_suite(), NULL);
}
