// SPDX-License-Identifier: MIT
// Single files of weights in their families' own layouts, held beside the folders that diffusers
// makes of them (reference/record_single.py): the same tensors bit for bit, the same pictures. The
// forms in which such files go around, and what is said of those that are something else.
#include "single_file.h"
#include "util.h"

#include "io/model_folder.h"
#include "parts.h"
#include "single/vocabulary.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

static const double MOST = 5e-5; // relative L2 distance of final latents

static const char *const cases[] = {"sd1", "sd2", "xl", "refiner"};
enum { CASES = sizeof cases / sizeof *cases, PICTURES = 3 }; // of the first ones pictures, too

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

static void hold_latents(const json_t *how, const float *latents, size_t n) {
    const json_t *values = json_object_get(how, "values");
    double off = 0, all = 0;
    ck_assert_int_eq(n, json_array_size(values));
    for (size_t i = 0; i < n; i++) {
        double want = json_number_value(json_array_get(values, i));
        off += (latents[i] - want) * (latents[i] - want);
        all += want * want;
    }
    ck_assert_msg(sqrt(off / all) <= MOST, "relative L2 %g", sqrt(off / all));
}

// Draws what was recorded, and closes the model.
static void must_draw(struct tt_model *model) {
    const json_t *how = json_object_get(file.case_, "latents");
    float *latents;
    size_t n = draw(model, how, &latents);
    hold_latents(how, latents, n);
    free(latents);
    tt_model_close(model);
}

// The tensors of a part as diffusers calls them, in a file of their own.
static const char *write_part(struct tt_model *model, const char *folder, const char *name) {
    const struct tt_weights *weights;
    struct tt_error err = {0};
    ck_assert(!tt_model_weights(model, part_of(folder), &weights, &err));
    size_t count = tt_weights_count(weights);
    struct tt_view *views = calloc(count, sizeof *views);
    for (size_t i = 0; i < count; i++) views[i] = *tt_weights_at(weights, i);
    const char *path = test_path(name);
    ck_assert_msg(!tt_safetensors_write(NULL, path, views, count, NULL, &err), "%s", err.message);
    free(views);
    return path;
}

// All texts and tensors of a file, as the folder that it stands for.
static const char *write_made(struct tt_model *model, const char *name) {
    static char path[256];
    char to[600];
    const struct tt_folder_made *made = tt_folder_made_of(model->folder);
    snprintf(path, sizeof path, "%s", test_path(name));
    ck_assert(made && (!mkdir(path, 0777) || errno == EEXIST));
    for (size_t i = 0; i < made->file_count; i++) {
        const struct tt_embedded_file *text = &made->files[i];
        const char *slash = strchr(text->path, '/');
        snprintf(to, sizeof to, "%s/%.*s", path, slash ? (int)(slash - text->path) : 0, text->path);
        ck_assert(!mkdir(to, 0777) || errno == EEXIST);
        snprintf(to, sizeof to, "%s/%s", path, text->path);
        FILE *out = fopen(to, "wb");
        size_t size = (size_t)(text->end - text->begin);
        ck_assert(out && fwrite(text->begin, 1, size, out) == size && !fclose(out));
    }
    for (size_t i = 0; i < made->tensors_count; i++) {
        snprintf(to, sizeof to, "%s/%s/model.safetensors", name, made->tensors[i].module);
        write_part(model, made->tensors[i].module, to);
    }
    return path;
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
    const json_t *how = json_object_get(file.case_, "latents");
    struct tt_model *model = must_open(single_write(&file, "a.safetensors"), engine, NULL);
    size_t n = draw(model, how, &latents[0]);
    ck_assert(!tt_model_hash(model, hash[0], &err));
    hold_latents(how, latents[0], n);
    const char *path = _i < 2 ? write_folder(model, cases[_i]) : write_made(model, "made");
    struct tt_model *folder = must_open(path, engine, NULL);
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
    must_draw(model);
    ck_assert_msg(!strstr(noted, "belong"), "%s", noted);
    tt_engine_free(engine);
    single_free(&file);
}
END_TEST

// ---- networks alone ----

static const char vae_names[] = "first_stage_model.", unet_names[] = "model.diffusion_model.";

// A U-Net and an autoencoder from files of their own, in both layouts, stand in the place of
// others, or of none.
START_TEST(networks_alone) {
    struct tt_engine *engine = new_engine();
    struct tt_model_settings as;
    char whole[300], bare[300], unet[2][300], vae[2][300];
    single_make(&file, "sd1");
    snprintf(whole, sizeof whole, "%s", single_write(&file, "a.safetensors"));
    struct tt_model *model = must_open(whole, engine, NULL);
    snprintf(unet[0], 300, "%s", write_part(model, "unet", "u0.safetensors"));
    snprintf(vae[0], 300, "%s", write_part(model, "vae", "v0.safetensors"));
    tt_model_close(model);
    single_drop(&file, vae_names);
    snprintf(bare, sizeof bare, "%s", single_write(&file, "b.safetensors"));
    single_keep(&file, unet_names);
    single_rename(&file, unet_names, "");
    snprintf(unet[1], 300, "%s", single_write(&file, "u1.safetensors"));
    single_free(&file);
    single_make(&file, "sd1");
    single_keep(&file, vae_names);
    single_rename(&file, vae_names, "");
    snprintf(vae[1], 300, "%s", single_write(&file, "v1.safetensors"));
    for (int k = 0; k < 2; k++) {
        tt_model_defaults(&as, sizeof as);
        as.unet = unet[k];
        as.vae = vae[!k];
        must_draw(must_open(k ? bare : whole, engine, &as));
        *noted = 0;
        model = must_open(vae[k], engine, NULL);
        ck_assert(tt_model_info(model)->scaling_factor == 0.18215 && strstr(noted, "assumed"));
        ck_assert(!tt_model_has_part(model, part_of("unet")));
        tt_model_close(model);
    }
    single_free(&file);
    single_make(&file, "xl"); // whose latents have another scale, of which no file tells
    as.unet = NULL;
    as.vae = vae[0];
    model = must_open(single_write(&file, "x.safetensors"), engine, &as);
    ck_assert(tt_model_info(model)->scaling_factor == 0.13025);
    tt_model_close(model);
    tt_engine_free(engine);
    single_free(&file);
}
END_TEST

// ---- half precision ----

// What a file is stored in never changes a bit.
START_TEST(stored_in_halves) {
    struct tt_engine *engine = new_engine();
    float *latents[2];
    size_t n = 0;
    single_make(&file, "sd1");
    single_convert(&file, TT_BF16);
    for (int k = 0; k < 2; k++) {
        struct tt_model *model = must_open(single_write(&file, "a.safetensors"), engine, NULL);
        n = draw(model, json_object_get(file.case_, "latents"), &latents[k]);
        tt_model_close(model);
        if (!k) single_convert(&file, TT_F32);
    }
    test_equal("bfloat16", latents[0], latents[1], n);
    free(latents[0]);
    free(latents[1]);
    tt_engine_free(engine);
    single_free(&file);
}
END_TEST

// ---- what it predicts ----

static void mark_v(void) { single_add(&file, "v_pred", TT_F32, 1, 0, 0); }
static void mark_both(void) {
    mark_v();
    single_add(&file, "ztsnr", TT_F32, 1, 0, 0);
}
static void mark_step(void) {
    single_add(&file, "global_step", TT_I64, 0, 0, 0);
    const int64_t step = 875000;
    memcpy((void *)(uintptr_t)file.views[file.count - 1].data, &step, sizeof step);
}
static void said(const char *key, const char *value) {
    file.metadata[0] = key;
    file.metadata[1] = value;
}
static void said_v(void) { said("modelspec.prediction_type", "v"); }
static void said_epsilon(void) { said("modelspec.prediction_type", "epsilon"); }
static void said_512(void) { said("modelspec.architecture", "stable-diffusion-v2-512"); }

static const struct {
    const char *name;
    void (*mark)(void);
    const char *asked, *type, *from, *scheduler, *text;
} marks[] = {
    {"sd1", plain, NULL, "epsilon", "assumed", "PNDMScheduler", "\"steps_offset\": 1"},
    {"sd2", plain, NULL, "v_prediction", "assumed", "DDIMScheduler", "\"steps_offset\": 1"},
    {"sd1", mark_v, NULL, "v_prediction", "v_pred", "DDIMScheduler", "v_prediction"},
    {"sd1", mark_both, NULL, "v_prediction", "v_pred", "DDIMScheduler",
     "\"rescale_betas_zero_snr\": true"},
    {"xl", mark_both, NULL, "v_prediction", "v_pred", "EulerDiscreteScheduler",
     "\"timestep_spacing\": \"trailing\""},
    {"xl", said_v, NULL, "v_prediction", "modelspec.pred", "EulerDiscreteScheduler", "leading"},
    {"sd2", said_epsilon, NULL, "epsilon", "modelspec.pred", "PNDMScheduler", "epsilon"},
    {"sd2", said_512, NULL, "epsilon", "modelspec.arch", "PNDMScheduler", "epsilon"},
    {"sd2", mark_step, NULL, "epsilon", "global_step", "PNDMScheduler", "epsilon"},
    {"sd2", said_v, "epsilon", "epsilon", "asked", "PNDMScheduler", "epsilon"},
    {"sd1", mark_v, "sample", "sample", "asked", "DDIMScheduler", "sample"},
};

START_TEST(prediction) {
    struct tt_engine *engine = new_engine();
    struct tt_model_settings as;
    struct tt_bytes bytes;
    struct tt_error err = {0};
    single_make(&file, marks[_i].name);
    marks[_i].mark();
    tt_model_defaults(&as, sizeof as);
    as.prediction_type = marks[_i].asked;
    struct tt_model *model = must_open(single_write(&file, "a.safetensors"), engine, &as);
    const struct tt_model_info *info = tt_model_info(model);
    ck_assert_str_eq(info->prediction_type, marks[_i].type);
    ck_assert_str_eq(info->scheduler, marks[_i].scheduler);
    ck_assert_msg(strstr(info->prediction_from, marks[_i].from), "%s", info->prediction_from);
    ck_assert(!tt_folder_read(model->folder, TT_SCHEDULER_FILE, &bytes, &err));
    char *text = strndup((const char *)bytes.data, bytes.size);
    ck_assert_msg(strstr(text, marks[_i].text), "%s", text);
    ck_assert_msg(strstr(noted, marks[_i].type), "%s", noted);
    if (!strcmp(marks[_i].name, "sd2")) // of 768 pixels, or of 512
        ck_assert_uint_eq(info->width / info->factor, strcmp(info->prediction_type, "epsilon")
                                                          ? 96 : 64);
    free(text);
    tt_bytes_free(&bytes);
    tt_model_close(model);
    tt_engine_free(engine);
    single_free(&file);
}
END_TEST

// A folder's configurations and tokenizer go before what is assumed.
START_TEST(configured) {
    struct tt_engine *engine = new_engine();
    struct tt_model_settings as;
    single_make(&file, "sd1");
    struct tt_model *model = must_open(single_write(&file, "a.safetensors"), engine, NULL);
    static char config[300];
    snprintf(config, sizeof config, "%s", write_folder(model, "config"));
    tt_model_close(model);
    char path[400], *text;
    size_t size;
    snprintf(path, sizeof path, "%s/scheduler/scheduler_config.json", config);
    text = test_read(path, &size);
    json_t *root = json_loads(text, 0, NULL);
    json_object_set_new(root, "prediction_type", json_string("sample"));
    ck_assert(!json_dump_file(root, path, 0));
    json_decref(root);
    free(text);
    tt_model_defaults(&as, sizeof as);
    as.config = config;
    *noted = 0;
    model = must_open(single_write(&file, "a.safetensors"), engine, &as);
    ck_assert_str_eq(tt_model_info(model)->prediction_type, "sample");
    ck_assert_str_eq(tt_model_info(model)->prediction_from, TT_SCHEDULER_FILE);
    ck_assert_msg(strstr(noted, config), "%s", noted);
    tt_model_close(model);
    as.prediction_type = "epsilon";
    must_draw(must_open(single_write(&file, "a.safetensors"), engine, &as));
    tt_engine_free(engine);
    single_free(&file);
}
END_TEST

// ---- what does not work ----

static void unet_only(void) { single_keep(&file, unet_names); }
static void no_vae(void) { single_drop(&file, vae_names); }
static void no_text(void) { single_drop(&file, "cond_stage_model."); }
static void text_only(void) { single_keep(&file, "cond_stage_model."); }
static void none(void) { single_drop(&file, ""); }
static void unknown(void) {
    none();
    single_add(&file, "foo.weight", TT_F32, 1, 1, 0);
}
static void lora(void) {
    none();
    single_add(&file, "lora_unet_down_blocks_0.lora_down.weight", TT_F16, 2, 4, 8);
}
static void embedding(void) {
    none();
    single_add(&file, "emb_params", TT_F16, 2, 4, 64);
}
static void controlnet(void) {
    single_keep(&file, unet_names);
    single_rename(&file, unet_names, "control_model.");
    single_add(&file, "control_model.input_hint_block.0.weight", TT_F32, 2, 4, 4);
}
static void flux(void) {
    none();
    single_add(&file, "double_blocks.0.img_attn.norm.key_norm.scale", TT_BF16, 1, 8, 0);
}
static void edm(void) { single_add(&file, "edm_vpred.sigma_max", TT_F32, 1, 1, 0); }
static void no_first_text(void) { single_drop(&file, "conditioner.embedders.0."); }
static void no_way_up(void) {
    single_drop(&file, "model.diffusion_model.output_blocks.2.1.conv|"
                       "model.diffusion_model.output_blocks.2.2.conv");
}
static void no_layer(void) { single_drop(&file, "model.diffusion_model.input_blocks.2.0."); }
static void no_attention(void) { single_drop(&file, "model.diffusion_model.input_blocks.2.1."); }
static void no_end(void) { single_drop(&file, "model.diffusion_model.out.2."); }
static void no_encoder(void) { single_drop(&file, "first_stage_model.encoder."); }
static void no_projection(void) {
    single_drop(&file, "conditioner.embedders.1.model.text_projection");
}
static void no_depth(void) {
    single_drop(&file, "model.diffusion_model.middle_block.1.transformer_blocks.2.");
}

static const struct {
    const char *name;
    void (*change)(void);
    const char *found, *expected;
} wrong[] = {
    {"sd1", unet_only, "found U-Net of Stable Diffusion 1.x", "-m MODEL --unet FILE"},
    {"sd1", no_vae, "expected also autoencoder", "--vae names"},
    {"sd1", no_text, "expected also text encoder", "Stable Diffusion 1.x"},
    {"sd1", text_only, "found text encoder", "expected also U-Net, autoencoder"},
    {"sd1", none, "found 0 tensors", "expected a checkpoint"},
    {"sd1", unknown, "found 1 tensors, as 'foo.weight'", "expected a checkpoint"},
    {"sd1", lora, "found a LoRA", "--lora"},
    {"sd1", embedding, "found a textual inversion embedding", "emb_params"},
    {"sd1", controlnet, "found a ControlNet", "input_hint_block"},
    {"sd1", flux, "found a FLUX", "double_blocks"},
    {"xl", edm, "found a model of continuous sigmas", "edm_vpred"},
    {"xl", no_first_text, "expected also text encoder", "Stable Diffusion XL"},
    {"xl", no_projection, "found no text_projection", "expected it"},
    {"xl", no_depth, "middle block: found 2 transformer blocks", "expected 3"},
    {"sd1", no_way_up, "found 1 levels of output_blocks", "expected 2"},
    {"sd1", no_layer, "found 1 ResNets down and 3 up", "level 0"},
    {"sd1", no_attention, "found attention in 1 of 2 layers down", "expected it in all or none"},
    {"sd1", no_end, "0 out", "expected none to be 0"},
    {"sd1", no_encoder, "found 0 levels", "an encoder and a decoder"},
};

static void must_fail(const char *path, const struct tt_engine *engine,
                      const struct tt_model_settings *as, const char *found,
                      const char *expected) {
    struct tt_error err = {0};
    struct tt_model *model = NULL;
    ck_assert_int_eq(tt_model_open_with(path, engine, as, &model, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, found) && strstr(err.message, expected), "%s: expected %s, "
                  "%s", err.message, found, expected);
    ck_assert_msg(!strchr(err.message, '\n'), "%s", err.message);
}

START_TEST(refused) {
    struct tt_engine *engine = new_engine();
    single_make(&file, wrong[_i].name);
    wrong[_i].change();
    must_fail(single_write(&file, "a.safetensors"), engine, NULL, wrong[_i].found,
              wrong[_i].expected);
    tt_engine_free(engine);
    single_free(&file);
}
END_TEST

// A weight too few is told when the part is first used, under the name that diffusers has for it.
START_TEST(a_weight_too_few) {
    struct tt_engine *engine = new_engine();
    struct tt_error err = {0};
    const struct tt_weights *weights;
    single_make(&file, "sd1");
    single_drop(&file, "first_stage_model.decoder.mid.attn_1.q.weight");
    struct tt_model *model = must_open(single_write(&file, "a.safetensors"), engine, NULL);
    ck_assert_int_eq(tt_model_weights(model, part_of("vae"), &weights, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "mid_block.attentions.0.to_q.weight"), "%s", err.message);
    tt_model_close(model);
    tt_engine_free(engine);
    single_free(&file);
}
END_TEST

START_TEST(wrong_settings) {
    struct tt_engine *engine = new_engine();
    struct tt_model_settings as;
    char whole[300], vae[300], unet[300], tiny[] = "reference/tiny/sd15";
    single_make(&file, "sd1");
    snprintf(whole, sizeof whole, "%s", single_write(&file, "a.safetensors"));
    single_keep(&file, vae_names);
    snprintf(vae, sizeof vae, "%s", single_write(&file, "v.safetensors"));
    single_free(&file);
    single_make(&file, "xl");
    unet_only();
    snprintf(unet, sizeof unet, "%s", single_write(&file, "u.safetensors"));
#define WRONG(path, field, value, found, expected)                                                 \
    tt_model_defaults(&as, sizeof as);                                                             \
    as.field = value;                                                                              \
    must_fail(path, engine, &as, found, expected)
    WRONG(tiny, config, tiny, "config: found", "single file");
    WRONG(whole, config, "reference/tiny/ddpm", "another kind", "Stable Diffusion 1.x");
    WRONG(whole, prediction_type, "v", "found 'v'", "expected epsilon, v_prediction or sample");
    WRONG(vae, prediction_type, "epsilon", "found 'epsilon'", "no scheduler");
    WRONG(whole, variant, "fp16", "found 'fp16'", "one file has one set");
    WRONG(tiny, unet, vae, "found no U-Net", "--unet");
    WRONG(tiny, vae, unet, "found no autoencoder", "--vae");
    WRONG(tiny, unet, unet, "found", "expected");
    WRONG("reference/tiny/ddpm", unet, unet, "unet: found", "expected none");
    WRONG(vae, unet, unet, "unet: found", "expected none");
    WRONG("reference/single/sd1.json", vae, NULL, "found", "safetensors");
    tt_engine_free(engine);
    single_free(&file);
}
END_TEST

// A pickle is not even opened: the message says why, and how it becomes something else.
START_TEST(pickles) {
    static const char *const names[] = {"a.ckpt", "a.pt", "a.pth", "a.bin"};
    struct tt_engine *engine = new_engine();
    single_make(&file, "sd1");
    single_keep(&file, "alphas_cumprod");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        must_fail(single_write(&file, names[i]), engine, NULL, "found a pickle",
                  "weights_only=True");
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
    tcase_add_loop_test(t, prediction, 0, sizeof marks / sizeof *marks);
    tcase_add_loop_test(t, refused, 0, sizeof wrong / sizeof *wrong);
    tcase_add_test(t, vocabulary);
    tcase_add_test(t, networks_alone);
    tcase_add_test(t, stored_in_halves);
    tcase_add_test(t, configured);
    tcase_add_test(t, a_weight_too_few);
    tcase_add_test(t, wrong_settings);
    tcase_add_test(t, pickles);
    suite_add_tcase(s, t);
    return s;
}

int main(void) {
    return test_main(suite(), NULL);
}
