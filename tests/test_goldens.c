// SPDX-License-Identifier: MIT
// Every module of every network of the tiny pipelines against its recording (reference/README.md):
//
//     |c - stored| <= F * err32 + floor        floor = 2^-23 * maxabs
//
// F is how many times PyTorch's own float32 error ours may be, per network. The values compared are
// those of an unfolded plan that keeps everything; folding, threads and instruction sets must then
// give the same bits. GOLDENS_REPORT=1 prints the F each network would need.
#include "util.h"

#include "graph/plan.h"
#include "io/json.h"
#include "tintype.h"
#include "io/weights.h"
#include "model/clip.h"
#include "model/unet.h"
#include "model/vae.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const recordings[] = {
    "sd15/square", "sd15/token", "sd21/odd", "sd21/wide",
    "wide/small", "wide/tall",  "odd/square", "odd/wide", "rare/tall",
    "lcm/square",
};
enum { RECORDINGS = sizeof recordings / sizeof *recordings };

// F as measured, rounded up. It is a ratio of two largest errors, so it scatters: over all tensors
// our rms error is about PyTorch's. What stands out is Winograd.
static const struct part {
    const char *name, *module;
    double factor, factor_direct; // with Winograd where it is faster; without
} parts[] = {
    {"text_encoder", "text_encoder", 2, 2},
    {"unet", "unet", 3, 2.25},
    {"vae_encoder", "vae", 2.25, 2.25},
    {"vae_decoder", "vae", 3, 2.25},
};
enum { PARTS = sizeof parts / sizeof *parts };

// One network of one recording: what PyTorch made of it, and ours.
struct subject {
    const struct part *part;
    json_t *manifest;      // of the recording
    const json_t *tensors; // of the part
    struct tt_safetensors *stored;
    struct tt_folder *folder;
    struct tt_weights *weights;
    struct tt_bank *bank;
    struct tt_tape tape;
    tt_value moments; // of the autoencoder's encoder
    struct tt_error err;
};

#define OK(subject, call) ck_assert_msg(!(call), "%s", (subject)->err.message)

static const char *text_of(const json_t *tensor, const char *key) {
    return json_string_value(json_object_get(tensor, key));
}

static struct tt_shape shape_of(const json_t *tensor) {
    const json_t *list = json_object_get(tensor, "shape");
    struct tt_shape shape = {.rank = json_array_size(list)};
    for (size_t i = 0; i < shape.rank; i++)
        shape.dim[i] = (size_t)json_integer_value(json_array_get(list, i));
    return shape;
}

static const json_t *find_tensor(const struct subject *s, const char *name) {
    size_t i;
    json_t *tensor;
    json_array_foreach((json_t *)s->tensors, i, tensor)
        if (!strcmp(text_of(tensor, "name"), name)) return tensor;
    ck_abort_msg("%s is not in the recording", name);
}

// ---- the network ----

static struct tt_json *open_config(struct subject *s, struct tt_bytes *bytes) {
    char relative[64];
    struct tt_json *json;
    snprintf(relative, sizeof relative, "%s/config.json", s->part->module);
    OK(s, tt_folder_read(s->folder, relative, bytes, &s->err));
    OK(s, tt_json_open(relative, bytes->data, bytes->size, &json, &s->err));
    return json;
}

static void lay_out(struct subject *s) {
    struct tt_bytes bytes;
    struct tt_json *json = open_config(s, &bytes);
    if (!strcmp(s->part->name, "text_encoder")) {
        struct tt_clip_config config;
        OK(s, tt_clip_config_read(json, &config, &s->err));
        struct tt_shape ids = shape_of(find_tensor(s, "input_ids"));
        tt_clip_tape(&s->tape, &config, ids.dim[0], ids.dim[1], 0);
    } else if (!strcmp(s->part->name, "unet")) {
        struct tt_unet_config config;
        OK(s, tt_unet_config_read(json, &config, &s->err));
        struct tt_shape x = shape_of(find_tensor(s, "sample"));
        struct tt_shape context = shape_of(find_tensor(s, "encoder_hidden_states"));
        tt_unet_tape(&s->tape, &config, x.dim[0], x.dim[2], x.dim[3], context.dim[1]);
    } else {
        struct tt_vae_config config;
        OK(s, tt_vae_config_read(json, &config, &s->err));
        struct tt_shape x = shape_of(find_tensor(s, "sample"));
        bool encoder = !strcmp(s->part->name, "vae_encoder");
        struct tt_vae vae = (encoder ? tt_vae_encoder_tape : tt_vae_decoder_tape)(
            &s->tape, &config, x.dim[0], x.dim[2], x.dim[3]);
        s->moments = encoder ? vae.out : TT_NO_VALUE;
    }
    OK(s, tt_tape_status(&s->tape, &s->err));
    tt_json_free(json);
    tt_bytes_free(&bytes);
}

static struct subject open_subject(int index) {
    struct subject s = {.part = &parts[index % PARTS], .moments = TT_NO_VALUE};
    const char *recording = recordings[index / PARTS];
    char path[256];
    size_t size, i;
    json_t *part, *list;
    snprintf(path, sizeof path, "reference/golden/%s/recording.json", recording);
    char *text = test_read(path, &size);
    OK(&s, tt_json_parse(path, text, size, &s.manifest, &s.err));
    free(text);
    list = json_object_get(s.manifest, "parts");
    json_array_foreach(list, i, part) {
        if (strcmp(text_of(part, "part"), s.part->name)) continue;
        s.tensors = json_object_get(part, "tensors");
        snprintf(path, sizeof path, "reference/golden/%s/%s", recording, text_of(part, "file"));
    }
    ck_assert_msg(s.tensors != NULL, "%s: no part %s", path, s.part->name);
    OK(&s, tt_safetensors_open(path, &s.stored, &s.err));
    snprintf(path, sizeof path, "reference/tiny/%s", text_of(s.manifest, "model"));
    OK(&s, tt_folder_open(path, &s.folder, &s.err));
    OK(&s, tt_weights_open(s.folder, s.part->module, &s.weights, &s.err));
    s.bank = tt_bank_new(tt_weights_find, s.weights, tt_weights_name(s.weights));
    ck_assert(s.bank != NULL);
    lay_out(&s);
    return s;
}

static void close_subject(struct subject *s) {
    tt_tape_free(&s->tape);
    tt_bank_free(s->bank);
    tt_weights_close(s->weights);
    tt_folder_close(s->folder);
    tt_safetensors_close(s->stored);
    json_decref(s->manifest);
}

// ---- the run ----

// Index in PyTorch's order of element i of a value, which lies as N*H*W rows of C when it is a
// picture.
static size_t torch_index(const struct tt_shape *shape, size_t i) {
    if (shape->rank != 4) return i;
    size_t c = shape->dim[1], hw = shape->dim[2] * shape->dim[3];
    return (i / (c * hw) * c + i % c) * hw + i / c % hw;
}

static const struct tt_view *stored_view(const struct subject *s, const json_t *tensor) {
    const struct tt_view *view = tt_safetensors_find(s->stored, text_of(tensor, "stored"));
    ck_assert_msg(view != NULL, "%s: its values are missing", text_of(tensor, "name"));
    return view;
}

static void set_ids(const struct subject *s, struct tt_plan *plan) {
    const json_t *tensor = find_tensor(s, "input_ids");
    struct tt_shape shape = shape_of(tensor);
    const int64_t *stored = stored_view(s, tensor)->data;
    size_t n = tt_shape_count(&shape);
    int32_t *ids = (int32_t *)tt_plan_data(plan, tt_find_value(&s->tape, "input_ids"));
    for (size_t i = 0; i < n; i++) ids[i] = (int32_t)stored[i];
    struct tt_bytes bytes;
    struct tt_clip_config config;
    struct subject *own = (struct subject *)s;
    struct tt_json *json = open_config(own, &bytes);
    OK(own, tt_clip_config_read(json, &config, &own->err));
    OK(own, tt_clip_prepare(
                &config, ids, shape.dim[0], shape.dim[1],
                (int32_t *)tt_plan_data(plan, tt_find_value(&s->tape, "position_ids")),
                (int32_t *)tt_plan_data(plan, tt_find_value(&s->tape, "eos_index")), &own->err));
    tt_json_free(json);
    tt_bytes_free(&bytes);
}

static void set_inputs(const struct subject *s, struct tt_plan *plan) {
    size_t i;
    json_t *tensor;
    json_array_foreach((json_t *)s->tensors, i, tensor) {
        if (strcmp(text_of(tensor, "type"), "input")) continue;
        tt_value value = tt_find_value(&s->tape, text_of(tensor, "name"));
        ck_assert_int_ne(value, TT_NO_VALUE);
        if (s->tape.tensors[value].is_int) {
            set_ids(s, plan);
            continue;
        }
        struct tt_shape shape = shape_of(tensor);
        ck_assert(tt_shape_equal(&shape, &s->tape.tensors[value].shape));
        const float *stored = stored_view(s, tensor)->data;
        float *data = tt_plan_data(plan, value);
        for (size_t j = 0; j < tt_shape_count(&shape); j++)
            data[j] = stored[torch_index(&shape, j)];
    }
}

static struct tt_plan *run(struct subject *s, struct tt_plan_options options, unsigned cpu) {
    struct tt_plan *plan;
    struct tt_kernels kernels;
    tt_kernels_init(&kernels, cpu);
    OK(s, tt_plan_new(&s->tape, s->bank, &options, &plan, &s->err));
    set_inputs(s, plan);
    OK(s, tt_plan_run(plan, &kernels, NULL, 0, &s->err));
    return plan;
}

// ---- comparing ----

// What was found over all tensors of a network.
struct tally {
    size_t compared, failed, inputs_compared, inputs_left;
    double needed; // F
    char worst[200];
};

// Compares values of ours, in PyTorch's order.
static void compare(const struct subject *s, const json_t *tensor, const float *ours, double factor,
                    struct tally *tally) {
    const char *name = text_of(tensor, "name");
    const struct tt_view *view = stored_view(s, tensor);
    size_t n = view->bytes / sizeof(float);
    double err32 = json_number_value(json_object_get(tensor, "err32"));
    double floor32 = ldexp(json_number_value(json_object_get(tensor, "maxabs")), -23);
    double limit = factor * err32 + floor32, worst = 0;
    size_t where = 0;
    for (size_t i = 0; i < n; i++) {
        double difference = fabs((double)ours[i] - (double)((const float *)view->data)[i]);
        if (!(difference <= worst)) worst = difference, where = i;
        if (isnan(difference)) break;
    }
    double needed = err32 > 0 ? (worst - floor32) / err32 : worst > floor32 ? INFINITY : 0;
    if (!(needed <= tally->needed)) {
        tally->needed = needed;
        snprintf(tally->worst, sizeof tally->worst, "%s", name);
    }
    if (!(worst <= limit) && tally->failed++ < 10)
        printf("%s: |%.9g - %.9g| = %.3g at %zu, limit %.3g = %g * %.3g + %.3g\n", name,
               (double)ours[where], (double)((const float *)view->data)[where], worst, where, limit,
               factor, err32, floor32);
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

static void compare_all(const struct subject *s, const struct tt_plan *plan, double factor,
                        struct tally *tally) {
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
             recordings[index / PARTS]);
    FILE *file = fopen(path, "r");
    if (!file) test_skip("golden %s is missing", path);
    if (file) fclose(file);
    return !file;
}

static void modules(int index, bool conv_direct) {
    if (absent(index)) return;
    struct subject s = open_subject(index);
    struct tt_plan_options keep = {.threads = 2, .conv_direct = conv_direct, .keep_all = true};
    struct tt_plan *plan = run(&s, keep, test_cpu());
    struct tally tally = {0};
    compare_all(&s, plan, conv_direct ? s.part->factor_direct : s.part->factor, &tally);
    if (getenv("GOLDENS_REPORT"))
        printf("%-12s %-12s %s: %zu modules and outputs, %zu inputs (%zu padded ones left), F %.2f "
               "needed by %s\n", recordings[index / PARTS], s.part->name,
               conv_direct ? "direct" : "auto", tally.compared, tally.inputs_compared,
               tally.inputs_left, tally.needed, tally.worst);
    ck_assert_msg(!tally.failed, "%s %s: %zu tensors differ or are missing",
                  recordings[index / PARTS], s.part->name, tally.failed);
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
    struct subject s = open_subject(_i);
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

static Suite *goldens_suite(void) {
    Suite *suite = suite_create("goldens");
    TCase *tcase = tcase_create("goldens");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, every_module, 0, RECORDINGS * PARTS);
    tcase_add_loop_test(tcase, every_module_direct, 0, RECORDINGS * PARTS);
    tcase_add_loop_test(tcase, same_outputs, 0, RECORDINGS * PARTS);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    return test_main(goldens_suite(), NULL);
}
