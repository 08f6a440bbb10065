// SPDX-License-Identifier: MIT
// LoRAs merged into weights, beside what diffusers and peft make of the same files
// (reference/record_loras.py); the names that files have for modules; and what is refused.
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "lora/lora_merge.h"
#include "parts.h"
#include "util.h"

static const char tiny[] = "reference/tiny/sd15";
static const char plain[] = "reference/loras/sd15/plain.safetensors";
static const char *const models[] = {"sd15", "sd21"};
enum { MODELS = sizeof models / sizeof *models };

static struct tt_engine *new_engine(const char *cpu, size_t threads) {
    struct tt_engine_settings with;
    struct tt_engine *engine = NULL;
    struct tt_error err = {0};
    tt_engine_defaults(&with, sizeof with);
    with.cpu = cpu;
    with.threads = threads;
    ck_assert_msg(!tt_engine_new(&with, &engine, &err), "%s", err.message);
    return engine;
}

static enum tt_status open_with(const struct tt_engine *engine, const char *path,
                                const struct tt_lora *loras, size_t count, struct tt_model **model,
                                struct tt_error *err) {
    struct tt_model_settings as;
    tt_model_defaults(&as, sizeof as);
    as.loras = loras;
    as.lora_count = count;
    *model = NULL;
    *err = (struct tt_error){0};
    return tt_model_open_with(path, engine, &as, model, err);
}

// ---- the latents of a run ----

struct latents {
    float *value;
    size_t n;
};

static int keep(void *context, size_t picture, const float *latents) {
    struct latents *l = context;
    memcpy(l->value + picture * l->n, latents, l->n * sizeof *latents);
    return 0;
}

static void draw(struct tt_model *model, const json_t *run, struct latents *out) {
    struct tt_session *session = NULL;
    struct tt_settings s;
    struct tt_error err = {0};
    const struct tt_model_info *info = tt_model_info(model);
    out->n = info->latent_channels * (info->height / info->factor) * (info->width / info->factor);
    out->value = calloc(out->n, sizeof *out->value);
    tt_settings_defaults(&s, sizeof s);
    s.prompt = run ? json_string_value(json_object_get(run, "prompt")) : "a boat";
    s.steps = run ? (size_t)json_integer_value(json_object_get(run, "steps")) : 2;
    s.seed = run ? (uint64_t)json_integer_value(json_object_get(run, "seed")) : 1;
    if (run) s.guidance_scale = json_number_value(json_object_get(run, "guidance_scale"));
    s.scheduler = "ddim";
    s.finished = keep;
    s.context = out;
    ck_assert_msg(!tt_session_new(model, NULL, &session, &err), "%s", err.message);
    ck_assert_msg(!tt_generate(session, &s, NULL, NULL, &err), "%s", err.message);
    tt_session_free(session);
}

// Of a model with LoRAs on an engine of its own.
static struct latents draw_with(const char *cpu, size_t threads, const char *path,
                                const struct tt_lora *loras, size_t count) {
    struct tt_engine *engine = new_engine(cpu, threads);
    struct tt_model *model;
    struct tt_error err;
    struct latents out;
    ck_assert_msg(!open_with(engine, path, loras, count, &model, &err), "%s", err.message);
    draw(model, NULL, &out);
    tt_model_close(model);
    tt_engine_free(engine);
    return out;
}

// ---- beside diffusers ----

struct golden {
    json_t *manifest;
    struct tt_safetensors *file;
    const char *model;
};

static struct golden open_golden(const char *model) {
    struct golden g = {.model = model};
    struct tt_error err = {0};
    char path[128];
    size_t size;
    snprintf(path, sizeof path, "reference/golden/loras/%s.json", model);
    char *text = test_read(path, &size);
    ck_assert_msg(!tt_json_parse(path, text, size, &g.manifest, &err), "%s", err.message);
    free(text);
    snprintf(path, sizeof path, "reference/golden/loras/%s.safetensors", model);
    ck_assert_msg(!tt_safetensors_open(NULL, path, &g.file, &err), "%s", err.message);
    return g;
}

static void close_golden(struct golden *g) {
    tt_safetensors_close(g->file);
    json_decref(g->manifest);
}

// The LoRAs of a case; their paths live until the next call.
static size_t loras_of(const struct golden *g, const json_t *spec, struct tt_lora loras[4]) {
    static char paths[4][160];
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(spec, "loras"), i, one) {
        ck_assert_uint_lt(i, 4);
        snprintf(paths[i], sizeof paths[i], "reference/loras/%s/%s", g->model,
                 json_string_value(json_object_get(one, "file")));
        loras[i] = (struct tt_lora){paths[i], json_number_value(json_object_get(one, "weight")),
                                    NULL};
    }
    return i;
}

static int part_of(const char *name, const char **weight) {
    for (int part = 0; part < (int)tt_part_count(); part++) {
        const char *folder = tt_part_folder(part);
        size_t length = strlen(folder);
        if (strncmp(name, folder, length) || name[length] != '.') continue;
        *weight = name + length + 1;
        return part;
    }
    ck_abort_msg("%s: of no part", name);
}

// A source of zeros in place of the weights: what is merged into it is the change alone.
struct zeros {
    struct tt_source base;
    float *none;
};

static const struct tt_view *find_shape(void *context, const char *name) {
    const struct zeros *z = context;
    return z->base.find(z->base.context, name);
}

static enum tt_status acquire_zeros(void *context, const struct tt_view *found,
                                    struct tt_view *view, struct tt_error *err) {
    const struct zeros *z = context;
    (void)err;
    *view = *found;
    view->dtype = TT_F32;
    view->data = z->none;
    view->bytes = tt_shape_count(&found->shape) * sizeof *z->none;
    return TT_OK;
}

static void add_modules(struct tt_model *model, struct tt_lora_modules *modules) {
    const struct tt_size size = {1, TT_ANY_SIDE, TT_ANY_SIDE, 1};
    struct tt_error err = {0};
    for (int part = 0; part < (int)tt_part_count(); part++) {
        struct tt_network network = {0};
        if (!tt_model_has_part(model, part) || !strcmp(tt_part_folder(part), "vae")) continue;
        ck_assert(!tt_part_lay_out(model, part, &size, &network, &err));
        ck_assert(!tt_lora_modules_add(modules, tt_part_folder(part), &network.tape, &err));
        tt_network_drop(&network);
    }
    ck_assert(!tt_lora_modules_end(modules, &err));
}

// Each recorded change of a case with one file: within 1e-6 of peft's.
static void check_deltas(const struct golden *g, struct tt_model *model, const char *name,
                         const struct tt_lora *lora) {
    const struct tt_lora_reader reader = {.modules = &(struct tt_lora_modules){0}, .model = "tiny"};
    struct tt_lora_file *file = NULL;
    struct tt_error err = {0};
    char begin[64];
    size_t compared = 0;
    add_modules(model, (struct tt_lora_modules *)(uintptr_t)reader.modules);
    ck_assert_msg(!tt_lora_open(&reader, NULL, lora->path, &file, &err), "%s", err.message);
    snprintf(begin, sizeof begin, "%s.delta.", name);
    for (size_t i = 0; i < tt_safetensors_count(g->file); i++) {
        const struct tt_view *want = tt_safetensors_at(g->file, i);
        const char *weight;
        if (strncmp(want->name, begin, strlen(begin))) continue;
        int part = part_of(want->name + strlen(begin), &weight);
        ck_assert_msg(!tt_open_weights(model, (enum tt_part)part, &err), "%s", err.message);
        size_t n = tt_shape_count(&want->shape);
        struct zeros zeros = {.base = tt_weights_source(model->parts[part].weights),
                              .none = calloc(n, sizeof(float))};
        const struct tt_source base = {.context = &zeros, .name = "zeros", .find = find_shape,
                                       .acquire = acquire_zeros};
        const struct tt_lora_use use = {file, lora->weight};
        struct tt_lora_merge *merge = NULL;
        ck_assert(!tt_lora_merge_new(&base, reader.modules, tt_part_folder(part), &use, 1,
                                     &model->engine->kernels, 2, &merge, &err));
        ck_assert_msg(merge != NULL, "%s is not touched", want->name);
        struct tt_source source = tt_lora_merge_source(merge);
        const struct tt_view *found = source.find(source.context, weight);
        struct tt_view made;
        ck_assert(found && tt_shape_count(&found->shape) == n);
        ck_assert_msg(!tt_source_acquire(&source, found, &made, &err), "%s", err.message);
        test_close(want->name, made.data, want->data, n, 0, 1e-6);
        tt_source_release(&source, &made);
        tt_lora_merge_free(merge);
        free(zeros.none);
        compared++;
    }
    ck_assert_msg(compared || !strcmp(name, "plain-weighted") || !strcmp(name, "several"),
                  "%s: no change is recorded", name);
    tt_lora_close(file);
    tt_lora_modules_free((struct tt_lora_modules *)(uintptr_t)reader.modules);
}

// Each recorded merged weight: within a unit in the last place of the largest.
static size_t check_fused(const struct golden *g, struct tt_model *model, const char *name) {
    char begin[64];
    size_t compared = 0;
    struct tt_error err = {0};
    snprintf(begin, sizeof begin, "%s.fused.", name);
    for (size_t i = 0; i < tt_safetensors_count(g->file); i++) {
        const struct tt_view *want = tt_safetensors_at(g->file, i);
        const char *weight;
        if (strncmp(want->name, begin, strlen(begin))) continue;
        int part = part_of(want->name + strlen(begin), &weight);
        ck_assert_msg(!tt_open_weights(model, (enum tt_part)part, &err), "%s", err.message);
        const struct tt_source *source = &model->parts[part].source;
        const struct tt_view *found = source->find(source->context, weight);
        struct tt_view made;
        ck_assert_msg(found != NULL, "%s", weight);
        ck_assert_msg(!tt_source_acquire(source, found, &made, &err), "%s", err.message);
        test_close(want->name, made.data, want->data, tt_shape_count(&want->shape), 0, 0x1p-23);
        tt_source_release(source, &made);
        compared++;
    }
    return compared;
}

static void check_latents(const char *name, const struct latents *got, const struct tt_view *want) {
    const float *w = want->data;
    double off = 0, size = 0;
    ck_assert_uint_eq(tt_shape_count(&want->shape), got->n);
    for (size_t i = 0; i < got->n; i++) {
        off += pow((double)got->value[i] - (double)w[i], 2);
        size += pow((double)w[i], 2);
    }
    ck_assert_msg(sqrt(off) <= 1e-5 * sqrt(size), "%s: latents: relative L2 %.3g", name,
                  sqrt(off / size));
}

// Everything that is recorded of one model.
START_TEST(recorded) {
    struct golden g = open_golden(models[_i]);
    struct tt_engine *engine = new_engine(NULL, 2);
    char path[64], name[80];
    size_t i, count, fused = 0;
    json_t *spec;
    snprintf(path, sizeof path, "reference/tiny/%s", g.model);
    json_array_foreach(json_object_get(g.manifest, "cases"), i, spec) {
        struct tt_lora loras[4];
        struct tt_lora_info info;
        struct latents got;
        struct tt_model *model;
        struct tt_error err;
        const char *part, *of = json_string_value(json_object_get(spec, "name"));
        json_t *modules;
        count = loras_of(&g, spec, loras);
        ck_assert_msg(!open_with(engine, path, loras, count, &model, &err), "%s", err.message);
        size_t expected = 0;
        json_object_foreach(json_object_get(spec, "modules"), part, modules)
            expected += (size_t)json_integer_value(modules);
        ck_assert_uint_eq(tt_model_lora_count(model), count);
        ck_assert(tt_model_lora(model, 0, &info) && !tt_model_lora(model, count, &info));
        if (count == 1) {
            ck_assert_msg(info.modules == expected && !info.ignored, "%s: %zu modules, %zu ignored",
                          of, info.modules, info.ignored);
            check_deltas(&g, model, of, loras);
        }
        fused += check_fused(&g, model, of);
        draw(model, json_object_get(g.manifest, "run"), &got);
        snprintf(name, sizeof name, "%s.latents", of);
        check_latents(of, &got, tt_safetensors_find(g.file, name));
        free(got.value);
        tt_model_close(model);
    }
    ck_assert_uint_gt(fused, 30);
    tt_engine_free(engine);
    close_golden(&g);
}
END_TEST

// ---- the same bits ----

static void expect_bits(const struct latents *a, const struct latents *b, bool same) {
    ck_assert_uint_eq(a->n, b->n);
    ck_assert_int_eq(!memcmp(a->value, b->value, a->n * sizeof *a->value), same);
}

// Weight 0 and a LoRA with its opposite; twice one half; any instruction set and thread count;
// weights that are kept as they are stored.
START_TEST(bits) {
    const struct tt_lora once = {plain, 1, NULL}, zero = {plain, 0, NULL};
    const struct tt_lora halves[] = {{plain, 0.5, NULL}, {plain, 0.5, NULL}};
    const struct tt_lora with_zero[] = {once, zero};
    struct latents none = draw_with(NULL, 2, tiny, NULL, 0);
    struct latents of_zero = draw_with(NULL, 2, tiny, &zero, 1);
    struct latents one = draw_with(NULL, 2, tiny, &once, 1);
    struct latents scalar = draw_with("scalar", 1, tiny, &once, 1);
    struct latents two = draw_with(NULL, 2, tiny, with_zero, 2);
    struct latents half = draw_with(NULL, 2, tiny, halves, 2), quarter;
    expect_bits(&none, &of_zero, true);
    expect_bits(&none, &one, false);
    expect_bits(&one, &scalar, true);
    expect_bits(&one, &two, true);
    quarter = draw_with(NULL, 2, tiny, halves, 1);
    expect_bits(&half, &quarter, false);
    double off = 0, size = 0;
    for (size_t i = 0; i < one.n; i++) {
        off += pow((double)one.value[i] - (double)half.value[i], 2);
        size += pow((double)one.value[i], 2);
    }
    ck_assert_msg(off <= 1e-10 * size, "%g", sqrt(off / size)); // rounded twice
    free(none.value);
    free(of_zero.value);
    free(one.value);
    free(scalar.value);
    free(two.value);
    free(half.value);
    free(quarter.value);
}
END_TEST

START_TEST(hashes) {
    struct tt_engine *engine = new_engine(NULL, 1);
    struct tt_model *model;
    struct tt_error err;
    struct tt_lora_info info;
    char hash[4][TT_MODEL_HASH_SIZE], digest[65];
    const double weights[] = {0, 1, 0.5, 0};
    for (size_t i = 0; i < 4; i++) {
        const struct tt_lora lora = {plain, weights[i], NULL};
        ck_assert_msg(!open_with(engine, tiny, &lora, i < 3, &model, &err), "%s", err.message);
        ck_assert(!tt_model_hash(model, hash[i], &err));
        if (i < 3) ck_assert(tt_model_lora(model, 0, &info));
        if (i == 0) snprintf(digest, sizeof digest, "%s", info.sha256);
        tt_model_close(model);
    }
    ck_assert_str_eq(hash[0], hash[3]);
    ck_assert(strcmp(hash[0], hash[1]) && strcmp(hash[1], hash[2]) && strcmp(hash[0], hash[2]));
    const struct tt_lora right = {plain, 1, digest};
    ck_assert_msg(!open_with(engine, tiny, &right, 1, &model, &err), "%s", err.message);
    tt_model_close(model);
    digest[5] ^= 1;
    ck_assert_int_eq(open_with(engine, tiny, &right, 1, &model, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "plain.safetensors: found digest ") &&
                  strstr(err.message, digest), "%s", err.message);
    tt_engine_free(engine);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("lora");
    TCase *tcase = tcase_create("lora");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, recorded, 0, MODELS);
    tcase_add_test(tcase, bits);
    tcase_add_test(tcase, hashes);
    suite_add_tcase(suite, tcase);
    return test_main(suite, NULL);
}
