// SPDX-License-Identifier: MIT
// Model folders that are not as diffusers writes them, drawn with and held beside what diffusers
// draws with them (reference/record_folders.py): older layouts and classes, files of several
// versions side by side, keys and tensors that nobody knows. And what is said of them.
#include "util.h"

#include "io/json.h"
#include "tintype.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Largest relative L2 distance of final latents, or of a picture in [0, 1].
static const double MOST = 5e-5;

static json_t *manifest;
static struct tt_safetensors *recorded;

static void open_recording(void) {
    static const char path[] = "reference/golden/folders/folders.json";
    struct tt_error err = {0};
    size_t size;
    char *text = test_read(path, &size);
    ck_assert_msg(!tt_json_parse(path, text, size, &manifest, &err), "%s", err.message);
    free(text);
    static const char values[] = "reference/golden/folders/folders.safetensors";
    ck_assert_msg(!tt_safetensors_open(NULL, values, &recorded, &err), "%s", err.message);
}

static void close_recording(void) {
    tt_safetensors_close(recorded);
    json_decref(manifest);
}

static const char *text_of(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

static double number_of(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

// ---- changing a copy of a folder ----

static char folder[256], noted[8192];

static void keep_note(void *context, const char *text) {
    (void)context;
    size_t used = strlen(noted);
    snprintf(noted + used, sizeof noted - used, "%s\n", text);
}

static const char *at(const char *relative, char path[600]) {
    snprintf(path, 600, "%s/%s", folder, relative);
    return path;
}

static void shell(const char *format, const char *a, const char *b) {
    char command[1300];
    snprintf(command, sizeof command, format, a, b);
    ck_assert_msg(!system(command), "%s", command);
}

static void copy_model(const char *model) {
    char from[300];
    snprintf(folder, sizeof folder, "%s", test_path("m"));
    snprintf(from, sizeof from, "reference/tiny/%s", model);
    shell("rm -rf '%s'%s", folder, "");
    shell("cp -r '%s' '%s'", from, folder);
    shell("chmod -R u+w '%s'%s", folder, "");
}

static void write_json(const char *relative, json_t *root) {
    char path[600];
    ck_assert(!json_dump_file(root, at(relative, path), 0));
}

static void edit(const char *file, const json_t *set, const json_t *take) {
    char path[600];
    size_t i;
    json_t *key, *root = json_load_file(at(file, path), 0, NULL);
    ck_assert_msg(root != NULL, "%s", path);
    ck_assert(!json_object_update(root, (json_t *)set));
    json_array_foreach(take, i, key) json_object_del(root, json_string_value(key));
    write_json(file, root);
    json_decref(root);
}

// Weights times a power of two, and more of them, each of two zeros.
static void scale(const char *from, const char *to, double factor, const json_t *add) {
    struct tt_safetensors *file;
    struct tt_error err = {0};
    char path[600];
    static const float zeros[2];
    ck_assert_msg(!tt_safetensors_open(NULL, at(from, path), &file, &err), "%s", err.message);
    size_t n = tt_safetensors_count(file), count = n + json_array_size(add);
    struct tt_view *views = calloc(count, sizeof *views);
    for (size_t i = 0; i < n; i++) {
        views[i] = *tt_safetensors_at(file, i);
        ck_assert_int_eq(views[i].dtype, TT_F32);
        size_t numbers = tt_shape_count(&views[i].shape);
        float *values = malloc((numbers + 1) * sizeof *values);
        for (size_t k = 0; k < numbers; k++)
            values[k] = ((const float *)views[i].data)[k] * (float)factor;
        views[i].data = values;
    }
    for (size_t i = n; i < count; i++)
        views[i] = (struct tt_view){json_string_value(json_array_get(add, i - n)), TT_F32,
                                    {1, {2}}, zeros, sizeof zeros};
    char written[600];
    at("new.safetensors", path);
    ck_assert_msg(!tt_safetensors_write(NULL, path, views, count, NULL, &err), "%s", err.message);
    for (size_t i = 0; i < n; i++) free((void *)views[i].data);
    free(views);
    tt_safetensors_close(file);
    ck_assert(!rename(path, at(to, written)));
}

static void shard(const char *from, double factor) {
    char name[300], index[300], path[600];
    const char *dot = strchr(from, '.');
    struct tt_safetensors *file;
    snprintf(name, sizeof name, "%.*s-00001-of-00001%s", (int)(dot - from), from, dot);
    snprintf(index, sizeof index, "%s.index.json", from);
    scale(from, name, factor, NULL);
    ck_assert(!tt_safetensors_open(NULL, at(name, path), &file, NULL));
    json_t *map = json_object();
    for (size_t i = 0; i < tt_safetensors_count(file); i++)
        json_object_set_new(map, tt_safetensors_at(file, i)->name,
                            json_string(strrchr(name, '/') + 1));
    json_t *root = json_pack("{s:{}, s:o}", "metadata", "weight_map", map);
    write_json(index, root);
    json_decref(root);
    tt_safetensors_close(file);
}

static void change(const json_t *step) {
    char a[600], b[600];
    const char *op = text_of(step, "op"), *from = text_of(step, "from"), *to = text_of(step, "to");
    if (!strcmp(op, "edit"))
        edit(text_of(step, "file"), json_object_get(step, "set"), json_object_get(step, "take"));
    else if (!strcmp(op, "move")) ck_assert(!rename(at(from, a), at(to, b)));
    else if (!strcmp(op, "lend")) {
        snprintf(b, sizeof b, "reference/tiny/%s", from);
        shell("cp '%s' '%s'", b, at(to, a));
        shell("chmod u+w '%s'%s", a, "");
    } else if (!strcmp(op, "remove")) shell("rm -r '%s'%s", at(text_of(step, "path"), a), "");
    else if (!strcmp(op, "scale"))
        scale(from, to, number_of(step, "factor"), json_object_get(step, "add"));
    else shard(from, number_of(step, "factor"));
}

static struct tt_model *open_model(const char *variant, struct tt_engine **engine,
                                   struct tt_error *err) {
    struct tt_engine_settings how;
    struct tt_model_settings as;
    struct tt_model *model = NULL;
    tt_engine_defaults(&how, sizeof how);
    how.threads = 2;
    how.note = keep_note;
    *noted = 0;
    ck_assert(!tt_engine_new(&how, engine, NULL));
    tt_model_defaults(&as, sizeof as);
    as.variant = variant;
    tt_model_open_with(folder, *engine, &as, &model, err);
    return model;
}

// ---- drawing ----

static double distance(const float *a, const float *b, size_t n) {
    double off = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        off += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        all += (double)b[i] * b[i];
    }
    return sqrt(off / all);
}

static void hold(const char *name, const char *tail, const float *ours, size_t n) {
    char key[128];
    snprintf(key, sizeof key, "%s%s", name, tail);
    const struct tt_view *view = tt_safetensors_find(recorded, key);
    ck_assert_msg(view && tt_shape_count(&view->shape) == n, "%s: other sizes", key);
    double off = distance(ours, view->data, n);
    if (getenv("FOLDERS_REPORT")) printf("%-24s %.2g\n", key, off);
    ck_assert_msg(off <= MOST, "%s: relative L2 %g, expected at most %g", key, off, MOST);
}

static float to_unit(float x) {
    float y = x * 0.5f + 0.5f;
    return y < 0 ? 0 : y > 1 ? 1 : y;
}

// Bytes of RGB beside a picture (c, pixels) in [0, 1]: within what rounding does.
static void hold_bytes(const char *name, const char *tail, const uint8_t *rgb, size_t pixels) {
    char key[128];
    snprintf(key, sizeof key, "%s%s", name, tail);
    const struct tt_view *view = tt_safetensors_find(recorded, key);
    ck_assert_msg(view != NULL, "%s", key);
    size_t c = view->shape.dim[0];
    for (size_t i = 0; i < 3 * pixels; i++) {
        double want = 255.0 * (double)((const float *)view->data)[i % 3 % c * pixels + i / 3];
        ck_assert_msg(fabs(rgb[i] - want) <= 0.502, "%s: byte %zu: found %d, expected %g", key, i,
                      rgb[i], want);
    }
}

static void draw(struct tt_model *model, const json_t *spec) {
    struct tt_session *session = NULL;
    const char *name = text_of(spec, "name");
    const struct tt_model_info *info = tt_model_info(model);
    struct tt_error err = {0};
    struct tt_settings g;
    struct tt_image image = {0};
    tt_settings_defaults(&g, sizeof g);
    if (!info->unconditional) g.prompt = text_of(manifest, "prompt");
    g.seed = (uint64_t)number_of(spec, "seed");
    g.steps = (size_t)number_of(spec, "steps");
    g.guidance_scale = number_of(spec, "guidance_scale");
    g.scheduler = text_of(spec, "scheduler");
    ck_assert_msg(!tt_model_size(model, &g.width, &g.height, &err), "%s", err.message);
    size_t pixels = g.width * g.height;
    size_t n = info->latent_channels * (g.width / info->factor) * (g.height / info->factor);
    float *latents = malloc(n * sizeof *latents);
    bool picture = info->unconditional || json_is_true(json_object_get(spec, "picture"));
    ck_assert_msg(!tt_session_new(model, NULL, &session, &err), "%s", err.message);
    ck_assert_msg(!tt_generate(session, &g, latents, picture ? &image : NULL, &err), "%s: %s", name,
                  err.message);
    for (size_t i = 0; info->unconditional && i < n; i++) latents[i] = to_unit(latents[i]);
    hold(name, "", latents, n);
    if (picture) hold_bytes(name, info->unconditional ? "" : ".picture", image.rgb, pixels);
    free(latents);
    tt_image_free(&image);
    tt_session_free(session);
}

// What has to be said of a case, NULL: nothing at all.
static const char *said_of(const char *name) {
    static const char *const said[][2] = {
        {"no-middle", "ignored: 'mid_block.attentions.0.norm.bias'"},
        {"one-block-middle", "has no place for, ignored: 'mid_block.attentions.0"},
        {"index-euler", "steps_offset: found 0, taken for 1, as StableDiffusionPipeline does"},
        {"old-sample-size", "unet/config.json: sample_size: found 32 in a file of diffusers 0.6.0"},
        {"old-scheduler", "clip_sample: found true, taken for false"},
        {"tiny-vae-scaled", "vae/config.json: shift_factor: found 0.25, ignored"},
        {"shift", "vae/config.json: shift_factor: found 0.75, ignored"},
        {"no-scheduler-ddim", "found no scheduler/scheduler_config.json: ddim has its class's"},
        {"no-scheduler-euler", "found no scheduler/scheduler_config.json: euler has its class's"},
        {"img2img", "found StableDiffusionImg2ImgPipeline, which begins with a picture"},
        {"inpaint", "found StableDiffusionInpaintPipeline, which begins with a picture"},
        {"lcm-img2img", "draws from noise as LatentConsistencyModelPipeline does"},
        {"index-beside-unet", "index.json: read, but not diffusion_pytorch_model.safetensors\n"},
        {"index-beside-text", "model.safetensors: read, but not model.safetensors.index.json\n"},
        {"index-beside-vae", "index.json: read, but not diffusion_pytorch_model.safetensors\n"},
        {"variant-unet", "text_encoder/model.safetensors: read, for want of the variant 'non_ema'"},
        {"variant-two", "model.bf16.safetensors: read, but not model.safetensors"},
        {"variant-not-asked", "read, but not diffusion_pytorch_model.ema.safetensors, "
                              "diffusion_pytorch_model.fp16.safetensors"},
        {"left-over", "found 2 tensors that unet/config.json has no place for, ignored: "
                      "'ema.decay', 'mid_block.extra'"},
        {"unknown-keys", "timestep_values, tensor_format, noise_sampler_seed, eta: no keys of"},
    };
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        if (!strcmp(name, said[i][0])) return said[i][1];
    return NULL;
}

enum { CASES = 43 };

START_TEST(equals_diffusers) {
    struct tt_error err = {0};
    struct tt_engine *engine;
    size_t i;
    json_t *step;
    open_recording();
    const json_t *cases = json_object_get(manifest, "cases");
    const json_t *spec = json_array_get(cases, (size_t)_i);
    ck_assert_uint_eq(json_array_size(cases), CASES);
    if (spec) {
        copy_model(text_of(spec, "model"));
        json_array_foreach(json_object_get(spec, "changes"), i, step) change(step);
        struct tt_model *model = open_model(text_of(spec, "variant"), &engine, &err);
        ck_assert_msg(model != NULL, "%s: %s", text_of(spec, "name"), err.message);
        draw(model, spec);
        const char *says = said_of(text_of(spec, "name"));
        ck_assert_msg(says ? strstr(noted, says) != NULL : !*noted, "%s: noted %s",
                      text_of(spec, "name"), noted);
        tt_model_close(model);
        tt_engine_free(engine);
    }
    close_recording();
}
END_TEST

// ---- another autoencoder ----

static struct tt_model *open_as(const char *path, const char *vae, const struct tt_engine *engine,
                                struct tt_error *err) {
    struct tt_model_settings as;
    struct tt_model *model = NULL;
    tt_model_defaults(&as, sizeof as);
    as.vae = vae;
    tt_model_open_with(path, engine, &as, &model, err);
    return model;
}

// A folder of an AutoencoderTiny draws the picture that diffusers draws with it in the model's
// place: given beside the model, or opened alone to show the model's latents.
START_TEST(another_vae) {
    struct tt_error err = {0};
    struct tt_engine *engine;
    struct tt_settings g;
    struct tt_image image = {0};
    struct tt_session *session = NULL;
    struct tt_size size = {1, 4, 4, 6};
    open_recording();
    const struct tt_view *latents = tt_safetensors_find(recorded, "tiny-vae");
    const struct tt_view *picture = tt_safetensors_find(recorded, "tiny-vae.picture");
    ck_assert(latents && picture);
    ck_assert(!tt_engine_new(NULL, &engine, &err));
    struct tt_model *model = open_as("reference/tiny/sd15", "reference/tiny/taesd", engine, &err);
    ck_assert_msg(model != NULL, "%s", err.message);
    ck_assert(!tt_model_info(model)->posterior && tt_model_info(model)->scaling_factor == 1);
    tt_settings_defaults(&g, sizeof g);
    g.prompt = text_of(manifest, "prompt");
    g.seed = g.steps = 3;
    g.guidance_scale = 5;
    ck_assert(!tt_session_new(model, NULL, &session, &err));
    ck_assert_msg(!tt_generate(session, &g, NULL, &image, &err), "%s", err.message);
    hold_bytes("tiny-vae", ".picture", image.rgb, image.width * image.height);
    char with[TT_MODEL_HASH_SIZE], without[TT_MODEL_HASH_SIZE];
    ck_assert(!tt_model_hash(model, with, &err));
    tt_session_free(session);
    tt_model_close(model);
    ck_assert((model = open_as("reference/tiny/sd15", NULL, engine, &err)) != NULL);
    ck_assert(!tt_model_hash(model, without, &err) && strcmp(with, without));
    tt_model_close(model);

    ck_assert_msg((model = open_as("reference/tiny/taesd", NULL, engine, &err)) != NULL, "%s",
                  err.message);
    ck_assert(!tt_session_new(model, NULL, &session, &err));
    const struct tt_model_info *info = tt_model_info(model);
    ck_assert(info->factor == 8 && info->latent_channels == 4 && !info->unconditional);
    size_t h = latents->shape.dim[1], w = latents->shape.dim[2];
    ck_assert(!tt_latents_to_pixels(session, latents->data, h, w, image.rgb, &err));
    hold_bytes("tiny-vae", ".picture", image.rgb, image.width * image.height);
    // The encoder, whose latents are no sample of a posterior.
    float *back[2];
    struct tt_rng rng;
    tt_rng_seed(&rng, 1);
    for (int k = 0; k < 2; k++) {
        ck_assert((back[k] = calloc(4 * h * w, sizeof **back)) != NULL);
        ck_assert(!tt_pixels_to_latents(session, image.rgb, image.height, image.width,
                                        k ? &rng : NULL, back[k], &err));
    }
    ck_assert(!memcmp(back[0], back[1], 4 * h * w * sizeof **back));
    for (int k = 0; k < 2; k++) free(back[k]);
    // What an autoencoder alone cannot do.
    ck_assert_int_eq(tt_generate(session, &g, NULL, &image, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "unet: found no such part, expected vae-encode or"),
                  "%s", err.message);
    err = (struct tt_error){0};
    ck_assert_int_eq(tt_session_prepare(session, tt_part_find("text"), size, &err), TT_BAD_INPUT);
    ck_assert(!tt_model_tokenizer(model));
    err = (struct tt_error){0};
    struct tt_scheduler *scheduler = NULL;
    ck_assert_int_eq(tt_scheduler_open(&scheduler, NULL, model, NULL, &err), TT_BAD_INPUT);
    tt_session_free(session);
    tt_model_close(model);
    tt_image_free(&image);
    tt_engine_free(engine);
    close_recording();
}
END_TEST

// Whatever does not fit is said when the model is opened.
START_TEST(another_vae_that_does_not_fit) {
    static const char *const cases[][3] = {
        {"sd15", "reference/tiny/taegelu", "found 4, 4, expected 3, the autoencoder's "
                                           "latent_channels (reference/tiny/taegelu/config.json)"},
        {"ddpm", "reference/tiny/taesd", "vae: found reference/tiny/taesd, expected none"},
        {"sd15", "nowhere", "nowhere: cannot open"},
        {"sd15", "reference/noise", "reference/noise/vae/config.json"},
        {"sd15", "reference/tiny/ddpm/unet", "_class_name: found \"UNet2DModel\", expected"},
    };
    struct tt_engine *engine;
    struct tt_error err = {0};
    ck_assert(!tt_engine_new(NULL, &engine, &err));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[100];
        snprintf(path, sizeof path, "reference/tiny/%s", cases[i][0]);
        err = (struct tt_error){0};
        ck_assert(!open_as(path, cases[i][1], engine, &err));
        ck_assert_int_eq(err.status, TT_BAD_INPUT);
        ck_assert_msg(strstr(err.message, cases[i][2]) != NULL, "%s", err.message);
    }
    // A whole model lends its own.
    err = (struct tt_error){0};
    struct tt_model *model = open_as("reference/tiny/sd15", "reference/tiny/wide", engine, &err);
    ck_assert_msg(model != NULL, "%s", err.message);
    ck_assert(tt_model_info(model)->posterior);
    tt_model_close(model);
    tt_engine_free(engine);
}
END_TEST

// ---- what is refused, and how it is said ----

static const struct {
    const char *model, *file, *set, *variant, *says;
} refused[] = {
    {"sd15", "model_index.json", "{\"_class_name\": \"StableDiffusion3Pipeline\"}", NULL,
     "_class_name: found \"StableDiffusion3Pipeline\", expected one of StableDiffusionPipeline, "},
    {"sd15", "model_index.json", "{\"unet\": [\"diffusers\", \"UNet2DModel\"]}", NULL,
     "unet: found \"UNet2DModel\", expected \"UNet2DConditionModel\""},
    {"sd15", "model_index.json", "{\"vae\": [null, null]}", NULL,
     "vae: found null, expected [\"library\", \"AutoencoderKL\" or \"AutoencoderTiny\"]"},
    {"sd15", "model_index.json", "{\"vae\": null}", NULL, "vae: found null, expected"},
    {"sd15", "model_index.json", "{\"vae\": [\"diffusers\", \"VQModel\"]}", NULL,
     "vae: found \"VQModel\", expected \"AutoencoderKL\" or \"AutoencoderTiny\""},
    {"taesd", "config.json", "{\"_class_name\": \"VQModel\"}", NULL,
     "/config.json: _class_name: found \"VQModel\", expected \"AutoencoderKL\" or "
     "\"AutoencoderTiny\", for an autoencoder alone (without model_index.json)"},
    {"taesd", "config.json", "{\"_class_name\": null}", NULL, "_class_name: found \"\", expected"},
    {"taesd", "config.json", "{\"act_fn\": \"mish\"}", NULL,
     "act_fn: found \"mish\", expected one of \"relu\""},
    {"taesd", "config.json", "{\"upsample_fn\": \"bilinear\"}", NULL,
     "upsample_fn: found \"bilinear\", expected \"nearest\""},
    {"taesd", "config.json", "{\"upsampling_scaling_factor\": 4}", NULL,
     "upsampling_scaling_factor: found 4, expected 2"},
    {"taesd", "config.json", "{\"encoder_block_out_channels\": [20, 20, 24, 24]}", NULL,
     "encoder_block_out_channels: found 24 after 20, expected the same on all levels"},
    {"taesd", "config.json", "{\"decoder_block_out_channels\": [24, 24]}", NULL,
     "decoder_block_out_channels: found 2 levels, expected 4, as the encoder has"},
    {"taesd", "config.json", "{\"num_encoder_blocks\": [1, 1]}", NULL,
     "num_encoder_blocks: found 2 numbers, expected 4, one for each level"},
    {"taesd", "config.json", "{\"num_decoder_blocks\": [1, 1, 1, 1, 1]}", NULL,
     "num_decoder_blocks: found 5 numbers, expected 4"},
    {"taesd", "config.json", "{\"in_channels\": 1}", NULL,
     "config.json: in_channels, out_channels: found 1, 3, expected 3, 3: red, green and blue"},
    {"taesd", NULL, NULL, "bf16", "variant: found no part with 'bf16'; vae has "
                                  "diffusion_pytorch_model.safetensors"},
    {"sd15", "model_index.json", "{\"text_encoder\": [\"transformers\", \"T5EncoderModel\"]}", NULL,
     "text_encoder: found \"T5EncoderModel\", expected \"CLIPTextModel\" or"},
    {"sd15", "model_index.json", "{\"unet\": [\"diffusers\", \"\"]}", NULL, "unet: found \"\""},
    {"sd15", "model_index.json", "{\"unet\": [\"diffusers\", \"\\\"\"]}", NULL, "unet: found"},
    {"sd15", "unet/config.json", "{\"in_channels\": 7}", NULL,
     "in_channels, out_channels: found 7, 4, expected 4, the autoencoder's latent_channels"},
    {"grey", "unet/config.json", "{\"in_channels\": 2, \"out_channels\": 2}", NULL,
     "found 2, 2, expected 3, 3: red, green and blue, or 1, 1: grey"},
    {"ddpm", "unet/config.json", "{\"out_channels\": 6}", NULL, "found 3, 6, expected"},
    {"xl", "model_index.json", "{\"text_encoder\": [null, null], \"tokenizer\": [null, null]}",
     NULL, "cross_attention_dim: found 44, expected 20, hidden_size of text_encoder_2/config.json: "
           "model_index.json has null for text_encoder, which a wider one needs, too"},
    {"xl", "model_index.json", "{\"text_encoder\": [null, null]}", NULL,
     "tokenizer: found it without text_encoder, expected both, or null for both"},
    {"xl", "model_index.json", "{\"tokenizer\": [null, null]}", NULL,
     "text_encoder: found it without tokenizer, expected both, or null for both"},
    {"xl", "model_index.json", "{\"text_encoder_2\": [null, null]}", NULL,
     "text_encoder_2: found null, expected [\"library\", \"CLIPTextModelWithProjection\"]"},
    {"xl", "model_index.json", "{\"tokenizer_2\": [null, null]}", NULL,
     "tokenizer_2: found null, expected"},
    {"xl", "model_index.json", "{\"text_encoder_2\": [\"transformers\", \"CLIPTextModel\"]}", NULL,
     "text_encoder_2: found \"CLIPTextModel\", expected \"CLIPTextModelWithProjection\""},
    {"xl", "model_index.json", "{\"_class_name\": \"StableDiffusionPipeline\"}", NULL,
     "cross_attention_dim: found 44, expected 24, the text encoder's hidden_size"},
    {"xl", "unet/config.json", "{\"addition_embed_type\": null}", NULL,
     "addition_embed_type: found null, expected \"text_time\""},
    {"xl", "unet/config.json", "{\"projection_class_embeddings_input_dim\": 54}", NULL,
     "projection_class_embeddings_input_dim: found 54, expected 62: projection_dim of "
     "text_encoder_2 (14) and 6 times addition_time_embed_dim (8), as requires_aesthetics_score "
     "of model_index.json is false"},
    {"xl-refiner", "model_index.json", "{\"requires_aesthetics_score\": false}", NULL,
     "found 54, expected 62"},
    {"sd15", "unet/config.json", "{\"addition_embed_type\": \"text_time\","
     "\"addition_time_embed_dim\": 8, \"projection_class_embeddings_input_dim\": 62}", NULL,
     "addition_embed_type: found \"text_time\", expected null: the U-Net is of SDXL"},
    {"xl", "vae/config.json", "{\"latent_channels\": 3}", NULL,
     "expected 3, the autoencoder's latent_channels"},
    {"sd15", NULL, NULL, "bf16", "variant: found no part with 'bf16'; unet has "
                                 "diffusion_pytorch_model.safetensors"},
    {"sd15", NULL, NULL, "a/b", "variant: found 'a/b', expected a part of file names"},
};

START_TEST(what_is_refused) {
    struct tt_error err = {0};
    struct tt_engine *engine;
    copy_model(refused[_i].model);
    if (refused[_i].file) {
        json_t *set = json_loads(refused[_i].set, 0, NULL);
        edit(refused[_i].file, set, NULL);
        json_decref(set);
    }
    ck_assert_ptr_null(open_model(refused[_i].variant, &engine, &err));
    ck_assert_int_eq(err.status, TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, refused[_i].says) != NULL, "says: %s\nnot:  %s", err.message,
                  refused[_i].says);
    tt_engine_free(engine);
}
END_TEST

// Without a scheduler's file one must be named; a wrong value of the file matters when it is read.
START_TEST(schedulers_of_a_model) {
    struct tt_error err = {0};
    struct tt_engine *engine;
    struct tt_scheduler *s;
    copy_model("sd15");
    shell("rm -r '%s/scheduler'%s", folder, "");
    struct tt_model *model = open_model(NULL, &engine, &err);
    ck_assert_msg(model && !*tt_model_info(model)->scheduler, "%s", err.message);
    ck_assert_int_eq(tt_scheduler_open(&s, NULL, model, NULL, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "/m: found no scheduler (scheduler/scheduler_config.json is "
                                      "missing, or"), "%s", err.message);
    ck_assert(!tt_scheduler_open(&s, "euler", model, NULL, NULL));
    tt_scheduler_free(s);
    tt_model_close(model);
    tt_engine_free(engine);
    copy_model("sd15");
    json_t *set = json_pack("{s:s}", "timestep_spacing", "odd");
    edit("scheduler/scheduler_config.json", set, NULL);
    json_decref(set);
    err = (struct tt_error){0};
    model = open_model(NULL, &engine, &err);
    ck_assert_int_eq(tt_scheduler_open(&s, NULL, model, NULL, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "/scheduler_config.json: timestep_spacing: found \"odd\", "
                                      "expected leading or"), "%s", err.message);
    ck_assert(!tt_scheduler_open(&s, "dpm++-2s", model, NULL, NULL)); // which has no such key
    tt_scheduler_free(s);
    const char *const options[] = {"timestep_spacing=leading", NULL};
    ck_assert(!tt_scheduler_open(&s, NULL, model, options, NULL));
    tt_scheduler_free(s);
    tt_model_close(model);
    tt_engine_free(engine);
}
END_TEST

// Tensors that are not there, or of another shape, are told with the file that asks for them.
START_TEST(weights_of_another_network) {
    struct tt_error err = {0};
    struct tt_engine *engine;
    const struct tt_weights *weights;
    static const struct {
        const char *file, *key;
        int value;
        const char *part;
        const char *says;
    } cases[] = {
        {"text_encoder/config.json", "num_hidden_layers", 4, "text",
         "text_encoder/config.json does not match its weights: "},
        {"text_encoder/config.json", "num_hidden_layers", 4, "text",
         "is missing; expected shape (24); and 15 more: 'encoder.layers.3."},
        {"vae/config.json", "layers_per_block", 3, "vae-decode",
         "vae/config.json does not match its weights: "},
        {"unet/config.json", "time_embedding_dim", 7, "unet",
         "unet/diffusion_pytorch_model.safetensors: tensor 'time_embedding.linear_1.weight': found "
         "shape (48, 12), expected (7, 12)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        copy_model("sd15");
        json_t *set = json_pack("{s:i}", cases[i].key, cases[i].value);
        edit(cases[i].file, set, NULL);
        json_decref(set);
        err = (struct tt_error){0};
        struct tt_model *model = open_model(NULL, &engine, &err);
        ck_assert_msg(model != NULL, "%s", err.message);
        ck_assert(tt_model_has_weights(model, tt_part_find(cases[i].part)));
        ck_assert_int_eq(tt_model_weights(model, tt_part_find(cases[i].part), &weights, &err),
                         TT_BAD_INPUT);
        ck_assert_msg(strstr(err.message, cases[i].says) != NULL, "%s", err.message);
        tt_model_close(model);
        tt_engine_free(engine);
    }
}
END_TEST

// A prompt that is longer than the model takes.
START_TEST(prompt_that_is_cut) {
    struct tt_error err = {0};
    struct tt_engine *engine;
    struct tt_embeddings embeddings;
    struct tt_session *session = NULL;
    struct tt_settings g;
    char text[1200] = "";
    for (int i = 0; i < 38; i++) strcat(text, "sea ");
    strcat(text, "and a lighthouse");
    copy_model("sd15");
    struct tt_model *model = open_model(NULL, &engine, &err);
    ck_assert_msg(model != NULL, "%s", err.message);
    ck_assert(!tt_session_new(model, NULL, &session, NULL));
    tt_settings_defaults(&g, sizeof g);
    g.prompt = "sea";
    g.negative = text;
    ck_assert(!tt_encode_prompt(session, &g, &embeddings, &err));
    tt_embeddings_free(&embeddings);
    ck_assert_msg(!strncmp(noted, "negative prompt: cut to 77 of ", 30), "%s", noted);
    ck_assert_msg(strstr(noted, "which is what the model takes; lost: '") &&
                  strstr(noted, "lighthouse '\n"), "%s", noted);
    *noted = 0;
    g.guidance_scale = 1; // then it is not read
    ck_assert(!tt_encode_prompt(session, &g, &embeddings, &err));
    tt_embeddings_free(&embeddings);
    ck_assert_str_eq(noted, "");
    tt_session_free(session);
    tt_model_close(model);
    tt_engine_free(engine);
}
END_TEST

static Suite *folders_suite(void) {
    Suite *suite = suite_create("folders");
    TCase *tcase = tcase_create("folders");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, equals_diffusers, 0, CASES);
    tcase_add_loop_test(tcase, what_is_refused, 0, sizeof refused / sizeof *refused);
    tcase_add_test(tcase, another_vae);
    tcase_add_test(tcase, another_vae_that_does_not_fit);
    tcase_add_test(tcase, schedulers_of_a_model);
    tcase_add_test(tcase, weights_of_another_network);
    tcase_add_test(tcase, prompt_that_is_cut);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    return test_main(folders_suite(), NULL);
}
