// SPDX-License-Identifier: MIT
// Single files of weights in their families' own layouts, held beside the folders that diffusers
// makes of them (reference/record_single.py): the same tensors bit for bit, the same pictures. The
// forms in which such files go around, and what is said of those that are something else.
#include "single_file.h"
#include "util.h"

#include "io/model_folder.h"
#include "parts.h"
#include "single/vocabulary.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static const double MOST = 5e-5; // relative L2 distance of final latents

static const char *const cases[] = {"sd1", "sd2", "xl", "refiner"};
enum { CASES = sizeof cases / sizeof *cases, PICTURES = 2 }; // of the first ones pictures, too

static struct single_file file;
static char noted[4096];

static void keep_note(void *context, const char *text) {
    (void)context;
    size_t used = strlen(noted);
    snprintf(noted + used, sizeof noted - used, "%s\n", text);
}

static struct tt_engine *new_engine(void) {
    struct tt_engine_settings how;
    struct tt_engine *engine;
    tt_engine_defaults(&how, sizeof how);
    how.threads = 2;
    how.note = keep_note;
    *noted = 0;
    ck_assert(!tt_engine_new(&how, &engine, NULL));
    return engine;
}

static struct tt_model *must_open(const char *path, const struct tt_engine *engine,
                                  const struct tt_model_settings *as) {
    struct tt_error err = {0};
    struct tt_model *model = NULL;
    ck_assert_msg(!tt_model_open_with(path, engine, as, &model, &err), "%s", err.message);
    return model;
}

static int part_of(const char *folder) {
    for (int part = 0; part < (int)tt_part_count(); part++)
        if (!strcmp(tt_part_folder(part), folder)) return part;
    ck_abort_msg("no part in %s", folder);
    return -1;
}

// ---- the tensors ----

static void hold_tensor(const char *module, const struct tt_view *view, const json_t *entry) {
    const json_t *shape = json_array_get(entry, 1);
    ck_assert_str_eq(view->name, json_string_value(json_array_get(entry, 0)));
    ck_assert_msg(view->shape.rank == json_array_size(shape), "%s: %s", module, view->name);
    for (size_t i = 0; i < view->shape.rank; i++)
        ck_assert_int_eq(view->shape.dim[i], json_integer_value(json_array_get(shape, i)));
    size_t numbers = tt_shape_count(&view->shape);
    float *values = malloc((numbers + 1) * sizeof *values);
    char hex[65];
    tt_view_floats(view, 0, numbers, values);
    test_sha256(values, numbers * sizeof *values, hex);
    free(values);
    ck_assert_msg(!strcmp(hex, json_string_value(json_array_get(entry, 2))), "%s: %s: other values",
                  module, view->name);
}

// Names, shapes and bits are those of the folder that diffusers makes of the file.
START_TEST(same_tensors) {
    struct tt_engine *engine = new_engine();
    struct tt_error err = {0};
    single_make(&file, cases[_i]);
    struct tt_model *model = must_open(single_write(&file, "a.safetensors"), engine, NULL);
    const char *module;
    json_t *list;
    json_object_foreach(json_object_get(file.case_, "folder"), module, list) {
        const struct tt_weights *weights;
        ck_assert_msg(!tt_model_weights(model, part_of(module), &weights, &err), "%s", err.message);
        ck_assert_int_eq(tt_weights_count(weights), json_array_size(list));
        for (size_t i = 0; i < json_array_size(list); i++)
            hold_tensor(module, tt_weights_at(weights, i), json_array_get(list, i));
    }
    ck_assert_msg(!strstr(noted, "that no") && !strstr(noted, "has no place"), "%s", noted);
    tt_model_close(model);
    tt_engine_free(engine);
    single_free(&file);
}
END_TEST

// ---- pictures ----

static size_t draw(struct tt_model *model, const json_t *how, float **latents) {
    struct tt_session *session;
    struct tt_error err = {0};
    struct tt_settings g;
    const struct tt_model_info *info = tt_model_info(model);
    tt_settings_defaults(&g, sizeof g);
    g.prompt = json_string_value(json_object_get(how, "prompt"));
    g.negative = json_string_value(json_object_get(how, "negative_prompt"));
    g.seed = (uint64_t)json_integer_value(json_object_get(how, "seed"));
    g.steps = (size_t)json_integer_value(json_object_get(how, "steps"));
    g.guidance_scale = json_number_value(json_object_get(how, "guidance_scale"));
    g.width = (size_t)json_integer_value(json_object_get(how, "width"));
    g.height = (size_t)json_integer_value(json_object_get(how, "height"));
    size_t n = info->latent_channels * (g.width / info->factor) * (g.height / info->factor);
    *latents = malloc(n * sizeof **latents);
    ck_assert(!tt_session_new(model, NULL, &session, &err));
    ck_assert_msg(!tt_generate(session, &g, *latents, NULL, &err), "%s", err.message);
    tt_session_free(session);
    return n;
}

// The opened model written as the folder that training writes.
static const char *write_folder(struct tt_model *model, const char *name) {
    static char path[256];
    struct tt_model_folder *out;
    struct tt_error err = {0};
    snprintf(path, sizeof path, "%s", test_path(name));
    ck_assert(!tt_model_folder_begin(path, model->folder, NULL, &out, &err));
    ck_assert_msg(!tt_model_folder_commit(out, NULL, 0, &err), "%s", err.message);
    tt_model_folder_free(out);
    return path;
}

// Final latents are diffusers', and bit for bit those of the folder with the same tensors, which
// has the same name for its weights.
START_TEST(same_picture) {
    struct tt_engine *engine = new_engine();
    struct tt_error err = {0};
    char hash[2][TT_MODEL_HASH_SIZE];
    float *latents[2];
    single_make(&file, cases[_i]);
    const json_t *how = json_object_get(file.case_, "latents"), *values;
    struct tt_model *model = must_open(single_write(&file, "a.safetensors"), engine, NULL);
    size_t n = draw(model, how, &latents[0]);
    ck_assert(!tt_model_hash(model, hash[0], &err));
    values = json_object_get(how, "values");
    ck_assert_int_eq(n, json_array_size(values));
    double off = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        double want = json_number_value(json_array_get(values, i));
        off += (latents[0][i] - want) * (latents[0][i] - want);
        all += want * want;
    }
    ck_assert_msg(sqrt(off / all) <= MOST, "relative L2 %g", sqrt(off / all));
    struct tt_model *folder = must_open(write_folder(model, "folder"), engine, NULL);
    draw(folder, how, &latents[1]);
    test_equal(cases[_i], latents[0], latents[1], n);
    ck_assert(!tt_model_hash(folder, hash[1], &err));
    ck_assert_str_eq(hash[0], hash[1]);
    free(latents[0]);
    free(latents[1]);
    tt_model_close(folder);
    tt_model_close(model);
    tt_engine_free(engine);
    single_free(&file);
}
END_TEST

// ---- configurations ----

// Keys that diffusers' configurations hold and ours say otherwise, or not at all where the class's
// default is another.
static void hold_config(struct tt_model *model, const char *name, const json_t *want) {
    static const char *const keys[] = {
        "in_channels", "out_channels", "cross_attention_dim", "attention_head_dim",
        "sample_size", "use_linear_projection", "block_out_channels", "down_block_types",
        "up_block_types", "latent_channels", "scaling_factor", "hidden_size", "hidden_act",
        "intermediate_size", "num_hidden_layers", "num_attention_heads", "eos_token_id",
        "vocab_size", "max_position_embeddings", "prediction_type", "beta_start", "beta_end",
        "beta_schedule", "steps_offset", "set_alpha_to_one", "clip_sample", "skip_prk_steps",
        "num_train_timesteps", "addition_embed_type", "addition_time_embed_dim",
        "projection_class_embeddings_input_dim", "interpolation_type", "_class_name",
    };
    struct tt_bytes bytes;
    struct tt_error err = {0};
    ck_assert_msg(!tt_folder_read(model->folder, name, &bytes, &err), "%s", err.message);
    json_t *got = json_loadb((const char *)bytes.data, bytes.size, 0, NULL);
    ck_assert_msg(got != NULL, "%s", name);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *ours = json_object_get(got, keys[i]);
        const json_t *theirs = json_object_get(want, keys[i]);
        if (!ours || !theirs) continue;
        bool equal = json_is_number(ours) ? json_number_value(ours) == json_number_value(theirs)
                                          : json_equal(ours, theirs);
        ck_assert_msg(equal, "%s: %s: found %s, expected %s", name, keys[i],
                      json_dumps(ours, JSON_ENCODE_ANY), json_dumps(theirs, JSON_ENCODE_ANY));
    }
    json_decref(got);
    tt_bytes_free(&bytes);
}

START_TEST(same_configurations) {
    struct tt_engine *engine = new_engine();
    single_make(&file, cases[_i]);
    struct tt_model *model = must_open(single_write(&file, "a.safetensors"), engine, NULL);
    const char *name;
    json_t *want;
    json_object_foreach(json_object_get(file.case_, "configs"), name, want)
        hold_config(model, name, want);
    tt_model_close(model);
    tt_engine_free(engine);
    single_free(&file);
}
END_TEST

// ---- CLIP's vocabulary ----

static char *unpacked(const char *path, size_t *size) {
    gzFile packed = gzopen(path, "rb");
    char *text = malloc(1 << 21);
    ck_assert(packed && text);
    int read = gzread(packed, text, (1 << 21) - 1);
    ck_assert_int_gt(read, 0);
    gzclose(packed);
    text[read] = 0;
    *size = (size_t)read;
    return text;
}

// What follows from the merges is the vocabulary that transformers has.
START_TEST(vocabulary) {
    char *merges, *vocab;
    size_t merges_size, vocab_size, size;
    struct tt_error err = {0};
    ck_assert(!tt_vocabulary_make(&merges, &merges_size, &vocab, &vocab_size, &err));
    char *want = unpacked("reference/tokenizer/clip/merges.txt.gz", &size);
    ck_assert(size == merges_size && !memcmp(want, merges, size));
    free(want);
    want = unpacked("reference/tokenizer/clip/vocab.json.gz", &size);
    json_t *ours = json_loadb(vocab, vocab_size, 0, NULL);
    json_t *theirs = json_loadb(want, size, 0, NULL);
    ck_assert(ours && theirs && json_object_size(ours) == 49408 && json_equal(ours, theirs));
    json_decref(ours);
    json_decref(theirs);
    free(want);
    free(merges);
    free(vocab);
}
END_TEST

// ---- forms ----

// What is done to a file; the folder's tensors or the picture must stay the same.
static void plain(void) {}
static void bare_text(void) {
    single_rename(&file, "cond_stage_model.transformer.text_model.",
                  "cond_stage_model.transformer.");
}
static void vae_prefix(void) { single_rename(&file, "first_stage_model.", "vae."); }
static void embedder(void) {
    single_rename(&file, "cond_stage_model.model.", "conditioner.embedders.0.model.");
}
static void old_buffers(void) {
    single_add(&file, "cond_stage_model.transformer.text_model.embeddings.position_ids", TT_I64, 2,
               1, 77);
    single_add(&file, "first_stage_model.loss.logvar", TT_F32, 1, 1, 0);
}
static void pruned(void) { single_drop(&file, "model_ema.|alphas_cumprod"); }

static const struct {
    const char *name;
    void (*change)(void);
} forms[] = {{"sd1", plain},  {"sd1", bare_text}, {"sd1", vae_prefix}, {"sd1", old_buffers},
             {"sd1", pruned}, {"sd2", plain},     {"sd2", embedder}};

START_TEST(form) {
    struct tt_engine *engine = new_engine();
    single_make(&file, forms[_i].name);
    forms[_i].change();
    struct tt_model *model = must_open(single_write(&file, "a.safetensors"), engine, NULL);
    float *latents;
    size_t n = draw(model, json_object_get(file.case_, "latents"), &latents);
    const json_t *values = json_object_get(json_object_get(file.case_, "latents"), "values");
    double off = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        double want = json_number_value(json_array_get(values, i));
        off += (latents[i] - want) * (latents[i] - want);
        all += want * want;
    }
    ck_assert_msg(sqrt(off / all) <= MOST, "relative L2 %g", sqrt(off / all));
    ck_assert_msg(!strstr(noted, "belong"), "%s", noted);
    free(latents);
    tt_model_close(model);
    tt_engine_free(engine);
    single_free(&file);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("single");
    TCase *t = tcase_create("single files");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, same_tensors, 0, CASES);
    tcase_add_loop_test(t, same_picture, 0, PICTURES);
    tcase_add_loop_test(t, same_configurations, 0, CASES);
    tcase_add_loop_test(t, form, 0, sizeof forms / sizeof *forms);
    tcase_add_test(t, vocabulary);
    suite_add_tcase(s, t);
    return s;
}

int main(void) {
    return test_main(suite(), NULL);
}
