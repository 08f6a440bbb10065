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
static const char *const models[] = {"sd15", "sd21", "xl"};
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

// ---- names ----

static void open_modules(struct tt_engine **engine, struct tt_lora_modules *modules) {
    struct tt_model *model;
    struct tt_error err;
    *engine = new_engine("scalar", 1);
    ck_assert_msg(!open_with(*engine, tiny, NULL, 0, &model, &err), "%s", err.message);
    add_modules(model, modules);
    tt_model_close(model);
}

// What files call modules, and what these are called here; NULL: nothing. As peft, diffusers today
// and before peft, kohya's scripts, and these with the names of the original U-Net, whose blocks
// count through.
static const struct {
    const char *name, *weight;
} names[] = {
    {"unet.conv_in.lora_A.weight", "conv_in.weight"},
    {"base_model.model.conv_in.lora_B.weight", "conv_in.weight"},
    {"unet.base_model.model.conv_in.lora_B.default.weight", "conv_in.weight"},
    {"unet.down_blocks.0.attentions.1.transformer_blocks.0.ff.net.0.proj.lora.up.weight",
     "down_blocks.0.attentions.1.transformer_blocks.0.ff.net.0.proj.weight"},
    {"unet.mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_q_lora.down.weight",
     "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"},
    {"mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_out_lora.up.weight",
     "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0.weight"},
    {"lora_unet_up_blocks_1_attentions_2_transformer_blocks_0_attn2_to_out_0.lora_up.weight",
     "up_blocks.1.attentions.2.transformer_blocks.0.attn2.to_out.0.weight"},
    {"lora_unet_down_blocks_0_downsamplers_0_conv.alpha",
     "down_blocks.0.downsamplers.0.conv.weight"},
    {"lora_unet_time_embedding_linear_1.lora_down.weight", "time_embedding.linear_1.weight"},
    {"lora_unet_time_embed_2.lora_down.weight", "time_embedding.linear_2.weight"},
    {"lora_unet_input_blocks_0_0.lora_down.weight", "conv_in.weight"},
    {"lora_unet_out_2.lora_down.weight", "conv_out.weight"},
    {"lora_unet_input_blocks_1_0_in_layers_2.lora_down.weight",
     "down_blocks.0.resnets.0.conv1.weight"},
    {"lora_unet_input_blocks_2_1_transformer_blocks_0_attn1_to_k.lora_down.weight",
     "down_blocks.0.attentions.1.transformer_blocks.0.attn1.to_k.weight"},
    {"lora_unet_input_blocks_3_0_op.lora_down.weight", "down_blocks.0.downsamplers.0.conv.weight"},
    {"lora_unet_input_blocks_4_0_skip_connection.lora_down.weight",
     "down_blocks.1.resnets.0.conv_shortcut.weight"},
    {"lora_unet_input_blocks_8_0_emb_layers_1.lora_up.weight",
     "down_blocks.2.resnets.1.time_emb_proj.weight"},
    {"lora_unet_middle_block_0_out_layers_3.lora_up.weight", "mid_block.resnets.0.conv2.weight"},
    {"lora_unet_middle_block_1_proj_in.lora_up.weight", "mid_block.attentions.0.proj_in.weight"},
    {"lora_unet_middle_block_2_in_layers_2.lora_up.weight", "mid_block.resnets.1.conv1.weight"},
    {"lora_unet_output_blocks_0_0_in_layers_2.lora_up.weight",
     "up_blocks.0.resnets.0.conv1.weight"},
    {"lora_unet_output_blocks_2_1_conv.lora_up.weight", "up_blocks.0.upsamplers.0.conv.weight"},
    {"lora_unet_output_blocks_5_2_conv.lora_up.weight", "up_blocks.1.upsamplers.0.conv.weight"},
    {"lora_unet_output_blocks_8_1_proj_out.lora_up.weight",
     "up_blocks.2.attentions.2.proj_out.weight"},
    {"lora_te_text_model_encoder_layers_1_self_attn_q_proj.lora_down.weight",
     "encoder.layers.1.self_attn.q_proj.weight"},
    {"lora_te1_text_model_encoder_layers_1_mlp_fc2.alpha", "encoder.layers.1.mlp.fc2.weight"},
    {"text_encoder.text_model.encoder.layers.0.self_attn.out_proj.lora_linear_layer.up.weight",
     "encoder.layers.0.self_attn.out_proj.weight"},
    {"text_encoder.encoder.layers.2.self_attn.v_proj.lora_A.weight",
     "encoder.layers.2.self_attn.v_proj.weight"},
    {"text_encoder.text_model.encoder.layers.0.self_attn.to_out_lora.up.weight",
     "encoder.layers.0.self_attn.out_proj.weight"},
    // Not of this model, not of a LoRA, or of another network.
    {"lora_te2_text_model_encoder_layers_1_mlp_fc2.alpha", NULL},
    {"lora_unet_input_blocks_9_0_in_layers_2.lora_down.weight", NULL},
    {"lora_unet_output_blocks_9_0_in_layers_2.lora_down.weight", NULL},
    {"lora_te_down_blocks_0_downsamplers_0_conv.alpha", NULL},
    {"unet.down_blocks.0.resnets.0.norm1.lora_A.weight", NULL},
    {"text_encoder.embeddings.token_embedding.lora_A.weight", NULL},
    {"conv_in.weight", NULL},
    {"unet.lora_A.weight", NULL},
    {".alpha", NULL},
};

START_TEST(known_names) {
    struct tt_engine *engine;
    struct tt_lora_modules modules = {0};
    open_modules(&engine, &modules);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char key[TT_LORA_KEY];
        const char *kind, *folder;
        size_t length;
        bool several;
        const struct tt_lora_alias *alias = NULL;
        if (tt_lora_role(names[i].name, &length, &kind) != TT_LORA_NONE &&
            tt_lora_key(names[i].name, length, key, &folder))
            alias = tt_lora_modules_find(&modules, key, folder, &several);
        const char *weight = alias ? modules.modules[alias->module].weight : NULL;
        ck_assert_msg(!weight == !names[i].weight && (!weight || !strcmp(weight, names[i].weight)),
                      "%s: found %s, expected %s", names[i].name, weight, names[i].weight);
    }
    // No two modules of a network have a name in common.
    for (size_t i = 1; i < modules.alias_count; i++) {
        const struct tt_lora_alias *a = &modules.aliases[i - 1], *b = &modules.aliases[i];
        ck_assert_msg(strcmp(a->key, b->key) || a->module == b->module, "%s", a->key);
    }
    tt_lora_modules_free(&modules);
    tt_engine_free(engine);
}
END_TEST

// ---- what is refused ----

#define K "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_k" // (12, 12)
#define X "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_v" // (12, 24)
#define C "lora_unet_down_blocks_0_resnets_0_conv1"                              // (12, 12, 3, 3)

// Tensors of halves, or of `value` where it is not 0.
struct piece {
    const char *name;
    size_t shape[4];
    enum tt_dtype dtype;
    float value;
};

static const struct bad {
    const char *message, *metadata;
    struct piece pieces[4];
} bads[] = {
    {"found LoHa ('" K ".hada_w1_a'), expected LoRA", NULL, {{K ".hada_w1_a", {2, 4}, TT_F32, 0}}},
    {"found LoKr ('" K ".lokr_w2'), expected LoRA", NULL, {{K ".lokr_w2", {2, 4}, TT_F32, 0}}},
    {"found DoRA ('" K ".dora_scale')", NULL,
     {{K ".lora_down.weight", {2, 12}, TT_F32, 0}, {K ".lora_up.weight", {12, 2}, TT_F32, 0},
      {K ".dora_scale", {12, 1}, TT_F32, 0}}},
    {"found DoRA ('unet.conv_in.lora_magnitude_vector')", NULL,
     {{"unet.conv_in.lora_magnitude_vector", {12}, TT_F32, 0}}},
    {"found LoCon in three factors (lora_mid)", NULL,
     {{C ".lora_mid.weight", {2, 2, 3, 3}, TT_F32, 0}}},
    {"found OFT", NULL, {{C ".oft_blocks", {2, 2, 3}, TT_F32, 0}}},
    {"found LoRA with biases", NULL, {{"unet.conv_in.lora_B.bias", {12}, TT_F32, 0}}},
    {"found no tensor of a LoRA but 'a.b', expected names that end with", NULL,
     {{"a.b", {3}, TT_F32, 0}}},
    {"found 1 tensors ('a.b.lora_A.weight', ...), of none of which tiny has the module; expected "
     "one for text embeddings of 24 values", NULL, {{"a.b.lora_A.weight", {1, 3}, TT_F32, 0}}},
    {"found 1 tensors for unet ('lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight', ...), "
     "of none of which tiny has the module: a LoRA for a transformer (FLUX, SD 3)", NULL,
     {{"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight", {1, 9}, TT_F32, 0}}},
    {"found 2 tensors for text_encoder_2 ('lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down."
     "weight', ...), which tiny does not have: a LoRA for SDXL", NULL,
     {{"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight", {1, 9}, TT_F32, 0},
      {"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_up.weight", {9, 1}, TT_F32, 0}}},
    {X ".lora_down.weight: found a LoRA for text embeddings of 2048 values (SDXL), expected 24, as "
     "tiny has them", NULL,
     {{X ".lora_down.weight", {2, 2048}, TT_F16, 0}, {X ".lora_up.weight", {12, 2}, TT_F16, 0}}},
    {"found '" K ".lora_down.weight' without its lora_B (or lora_up)", NULL,
     {{K ".lora_down.weight", {2, 12}, TT_F32, 0}}},
    {"found '" K ".alpha' without its lora_A (or lora_down)", NULL, {{K ".alpha", {1}, 1, 0}}},
    {K ".lora_down.weight: found shape (2, 13), expected (R, 12): down_blocks.0.attentions.0."
     "transformer_blocks.0.attn1.to_k.weight of unet is (12, 12)", NULL,
     {{K ".lora_down.weight", {2, 13}, TT_F32, 0}, {K ".lora_up.weight", {12, 2}, TT_F32, 0}}},
    {K ".lora_up.weight: found shape (13, 2), expected (12, 2)", NULL,
     {{K ".lora_down.weight", {2, 12}, TT_F32, 0}, {K ".lora_up.weight", {13, 2}, TT_F32, 0}}},
    {C ".lora_down.weight: found shape (2, 12, 1, 1), expected (R, 12, 3, 3)", NULL,
     {{C ".lora_down.weight", {2, 12, 1, 1}, 1, 0}, {C ".lora_up.weight", {12, 2, 1, 1}, 1, 0}}},
    {"found rank 2 in '" K ".lora_down.weight' and rank 3 in '" K ".lora_up.weight'", NULL,
     {{K ".lora_down.weight", {2, 12}, TT_F32, 0}, {K ".lora_up.weight", {12, 3}, TT_F32, 0}}},
    {K ".lora_up.weight: found dtype I16, expected F64, F32, F16 or BF16", NULL,
     {{K ".lora_down.weight", {2, 12}, TT_F32, 0}, {K ".lora_up.weight", {12, 2}, TT_I16, 0}}},
    {K ".alpha: found nan, expected a finite number", NULL,
     {{K ".lora_down.weight", {2, 12}, TT_F32, 0}, {K ".lora_up.weight", {12, 2}, TT_F32, 0},
      {K ".alpha", {1}, TT_F32, NAN}}},
    {K ".alpha: found shape (2), expected one number", NULL,
     {{K ".lora_down.weight", {2, 12}, TT_F32, 0}, {K ".lora_up.weight", {12, 2}, TT_F32, 0},
      {K ".alpha", {2}, TT_F32, 0}}},
    {"expected one tensor of a module", NULL,
     {{"unet.conv_in.lora_A.weight", {1, 4, 3, 3}, TT_F32, 0},
      {"unet.conv_in.lora.down.weight", {1, 4, 3, 3}, TT_F32, 0}}},
    {"lora_adapter_metadata: invalid JSON at line 1", "{", {{K ".alpha", {1}, TT_F32, 0}}},
    {"lora_adapter_metadata: unet.lora_alpha: found \"4\", expected a number",
     "{\"unet.lora_alpha\": \"4\"}", {{K ".alpha", {1}, TT_F32, 0}}},
    {"lora_adapter_metadata: unet.use_dora: found true, expected none: plain LoRA",
     "{\"unet.lora_alpha\": 4, \"unet.use_dora\": true}", {{K ".alpha", {1}, TT_F32, 0}}},
    {"lora_adapter_metadata: unet.bias: found \"all\", expected none",
     "{\"unet.lora_alpha\": 4, \"unet.bias\": \"all\"}", {{K ".alpha", {1}, TT_F32, 0}}},
    {"unet.alpha_pattern: found '.*to_q', expected names of modules: expressions are not supported",
     "{\"unet.lora_alpha\": 4, \"unet.alpha_pattern\": {\".*to_q\": 3}}",
     {{K ".alpha", {1}, TT_F32, 0}}},
};

// A file of pieces, encoded; its values are all the same.
static void encode(const struct piece *pieces, size_t count, const char *metadata, void **data,
                   size_t *size) {
    struct tt_view views[4] = {{0}};
    const char *const keys[] = {"lora_adapter_metadata", metadata, NULL};
    struct tt_error err = {0};
    size_t n = 0;
    for (; n < count && pieces[n].name; n++) {
        const struct piece *p = &pieces[n];
        struct tt_shape shape = {0};
        while (shape.rank < 4 && p->shape[shape.rank]) {
            shape.dim[shape.rank] = p->shape[shape.rank];
            shape.rank++;
        }
        size_t elements = tt_shape_count(&shape);
        float *values = calloc(elements, sizeof *values);
        for (size_t i = 0; i < elements && p->dtype == TT_F32; i++)
            values[i] = p->value != 0 ? p->value : 0.5f;
        views[n] = (struct tt_view){p->name, p->dtype, shape, values,
                                    elements * tt_dtype_size(p->dtype)};
    }
    ck_assert_msg(!tt_safetensors_encode("bad", views, n, metadata ? keys : NULL, data, size, &err),
                  "%s", err.message);
    for (size_t i = 0; i < n; i++) free((void *)(uintptr_t)views[i].data);
}

START_TEST(refused) {
    struct tt_engine *engine;
    struct tt_lora_modules modules = {0};
    open_modules(&engine, &modules);
    const struct tt_lora_reader reader = {.modules = &modules, .model = "tiny"};
    for (size_t i = 0; i < sizeof bads / sizeof *bads; i++) {
        const struct bad *bad = &bads[i];
        struct tt_lora_file *file;
        struct tt_error err = {0};
        void *data;
        size_t size;
        encode(bad->pieces, 4, bad->metadata, &data, &size);
        ck_assert_msg(tt_lora_open_memory(&reader, "FILE", data, size, NULL, &file, &err) ==
                      TT_BAD_INPUT, "accepted, expected '%s'; %s", bad->message, err.message);
        ck_assert_msg(!strncmp(err.message, "FILE: ", 6) && strstr(err.message, bad->message),
                      "found '%s', expected '%s'", err.message, bad->message);
        ck_assert_ptr_null(file);
        free(data);
    }
    tt_lora_modules_free(&modules);
    tt_engine_free(engine);
}
END_TEST

static char noted[2048];

static void note(void *context, const char *text) {
    (void)context;
    strncat(noted, text, sizeof noted - strlen(noted) - 1);
}

// What has no place is named; a value that is not finite is an error where it is merged; alpha of 0
// changes nothing.
START_TEST(read_anyhow) {
    static const struct piece pieces[] = {
        {K ".lora_down.weight", {2, 12}, TT_F32, 3e38f}, {K ".lora_up.weight", {12, 2}, 1, 3e38f},
        {"lora_unet_nowhere.lora_up.weight", {12, 2}, TT_F32, 0}, {"stray", {2}, TT_F32, 0},
    };
    struct tt_engine *engine;
    struct tt_lora_modules modules = {0};
    struct tt_lora_file *file;
    struct tt_error err = {0};
    void *data;
    size_t size;
    const struct tt_notes notes = {note, NULL};
    open_modules(&engine, &modules);
    const struct tt_lora_reader reader = {&modules, "tiny", &notes};
    encode(pieces, 4, NULL, &data, &size);
    ck_assert_msg(!tt_lora_open_memory(&reader, "FILE", data, size, NULL, &file, &err), "%s",
                  err.message);
    ck_assert_uint_eq(file->count, 1);
    ck_assert_uint_eq(file->unmatched, 2);
    ck_assert(file->deltas[0].alpha == 2 && file->deltas[0].divisor == 2);
    ck_assert_msg(strstr(noted, "FILE: found 2 tensors that tiny has no module for, ignored: "
                                "'lora_unet_nowhere.lora_up.weight', 'stray'"), "%s", noted);
    tt_lora_close(file);
    free(data);
    // The same in a model: refused when its weights are read, with its own name.
    const char *path = test_path("huge.safetensors");
    struct tt_lora lora = {path, 1, NULL};
    struct tt_model *model;
    float value = NAN;
    const struct tt_view views[] = {
        {K ".lora_down.weight", TT_F32, {2, {1, 12}}, (float[12]){0}, 48},
        {K ".lora_up.weight", TT_F32, {2, {12, 1}}, (float[12]){[3] = value}, 48},
    };
    ck_assert(!tt_safetensors_write(NULL, path, views, 2, NULL, &err));
    ck_assert_msg(!open_with(engine, tiny, &lora, 1, &model, &err), "%s", err.message);
    struct tt_session *session = NULL;
    ck_assert(!tt_session_new(model, NULL, &session, &err));
    const struct tt_size at = {1, 8, 8, 7};
    ck_assert_int_eq(tt_session_prepare(session, tt_part_find("unet"), at, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "huge.safetensors: tensor '" K ".lora_up.weight': found a "
                                      "value that is not finite"), "%s", err.message);
    tt_session_free(session);
    tt_model_close(model);
    lora.weight = NAN;
    ck_assert_int_eq(open_with(engine, tiny, &lora, 1, &model, &err), TT_BAD_INPUT);
    struct tt_lora many[TT_LORAS + 1];
    for (size_t i = 0; i <= TT_LORAS; i++) many[i] = (struct tt_lora){path, 1, NULL};
    ck_assert_int_eq(open_with(engine, tiny, many, TT_LORAS + 1, &model, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "loras: found 65, expected at most 64"), "%s", err.message);
    ck_assert_int_eq(open_with(engine, "reference/tiny/taesd", many, 1, &model, &err),
                     TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "found an autoencoder alone"), "%s", err.message);
    tt_lora_modules_free(&modules);
    tt_engine_free(engine);
}
END_TEST

// ---- tags ----

START_TEST(tags) {
    static const struct {
        const char *prompt, *text, *names; // "NAME=WEIGHT ..."
    } good[] = {
        {"", "", ""},
        {"a boat", "a boat", ""},
        {"a <lora:x> boat", "a  boat", "x=1 "},
        {"<lora:x:0.5><lora:y.z:-2>b", "b", "x=0.5 y.z=-2 "},
        {"a < b <hypernet:x:1> >", "a < b <hypernet:x:1> >", ""},
        {"<lora:a b:1e-1>", "", "a b=0.1 "},
    };
    static const char *const bad[][2] = {
        {"a <lora:x", "prompt: found '<lora:x', expected '>' behind it"},
        {"<lora:>", "found '<lora:>', expected <lora:NAME>"},
        {"<lora::1>", "found '<lora::1>', expected"}, {"<lora:x:>", "found '<lora:x:>', expected"},
        {"<lora:x:1:2>", "found '<lora:x:1:2>', expected"},
        {"<lora:x:inf>", "found '<lora:x:inf>', expected"},
        {"<lora:x:0.5x>", "found '<lora:x:0.5x>', expected"},
    };
    struct tt_lora_prompt p;
    struct tt_error err = {0};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char found[128] = "";
        ck_assert_msg(!tt_lora_prompt_read(good[i].prompt, &p, &err), "%s", err.message);
        for (size_t k = 0; k < p.count; k++)
            snprintf(found + strlen(found), sizeof found - strlen(found), "%s=%g ", p.name[k],
                     p.weight[k]);
        ck_assert_str_eq(p.text, good[i].text);
        ck_assert_str_eq(found, good[i].names);
        tt_lora_prompt_free(&p);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err = (struct tt_error){0};
        ck_assert_int_eq(tt_lora_prompt_read(bad[i][0], &p, &err), TT_BAD_INPUT);
        ck_assert_msg(strstr(err.message, bad[i][1]), "%s", err.message);
    }
    char *path = NULL, many[(TT_LORAS + 1) * 9 + 1] = "";
    for (size_t i = 0; i <= TT_LORAS; i++) strcat(many, "<lora:x>");
    err = (struct tt_error){0};
    ck_assert_int_eq(tt_lora_prompt_read(many, &p, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "found more than 64 LoRAs"), "%s", err.message);
    err = (struct tt_error){0};
    ck_assert(!tt_lora_find("reference/loras/sd15", "plain", &path, &err));
    ck_assert_str_eq(path, plain);
    free(path);
    static const char *const outside[] = {"../sd21/plain", "x/../../sd21/plain", "/plain", "", "x"};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        err = (struct tt_error){0};
        ck_assert_int_eq(tt_lora_find("reference/loras/sd15", outside[i], &path, &err),
                         TT_BAD_INPUT);
        ck_assert_msg(strstr(err.message, "expected one that is in reference/loras/sd15: kohya, "
                                          "locon, metadata, old, plain"), "%s", err.message);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("lora");
    TCase *tcase = tcase_create("lora");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, recorded, 0, MODELS);
    tcase_add_test(tcase, bits);
    tcase_add_test(tcase, hashes);
    tcase_add_test(tcase, known_names);
    tcase_add_test(tcase, refused);
    tcase_add_test(tcase, read_anyhow);
    tcase_add_test(tcase, tags);
    suite_add_tcase(suite, tcase);
    return test_main(suite, NULL);
}
