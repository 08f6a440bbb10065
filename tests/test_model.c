// SPDX-License-Identifier: MIT
// Networks from configuration files: that each tape asks for exactly what the checkpoint holds,
// that old and new files are read alike, and what is said of files that are not supported.
#include "util.h"

#include "io/weights.h"
#include "model/clip.h"
#include "model/unet.h"
#include "model/vae.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const models[] = {
    "sd15", "sd21", "wide", "odd", "rare", "variants/base", "variants/hub", "variants/sharded",
    "variants/fp16", "variants/bf16",
};
enum { MODELS = sizeof models / sizeof *models };

enum kind { UNET, VAE, CLIP };

union config {
    struct tt_unet_config unet;
    struct tt_vae_config vae;
    struct tt_clip_config clip;
};

// What was noted by the last read, a line each.
static char noted[2048];

static void keep_note(void *context, const char *text) {
    (void)context;
    size_t used = strlen(noted);
    snprintf(noted + used, sizeof noted - used, "%s\n", text);
}

static enum tt_status read_text(enum kind kind, const char *text, union config *config,
                                struct tt_error *err) {
    struct tt_json *json;
    enum tt_status status = tt_json_open("config.json", text, strlen(text), &json, err);
    if (status) return status;
    *noted = 0;
    tt_json_tell(json, &(struct tt_notes){keep_note, NULL});
    if (kind == UNET) status = tt_unet_config_read(json, &config->unet, err);
    if (kind == VAE) status = tt_vae_config_read(json, &config->vae, err);
    if (kind == CLIP) status = tt_clip_config_read(json, &config->clip, err);
    tt_json_free(json);
    return status;
}

static union config must_read(enum kind kind, const char *text) {
    union config config;
    struct tt_error err = {0};
    ck_assert_msg(!read_text(kind, text, &config, &err), "%s", err.message);
    return config;
}

// The whole network of one folder at some size; the autoencoder's halves one after another.
static struct tt_tape lay_out(enum kind kind, const union config *config) {
    struct tt_tape tape = {0};
    struct tt_error err = {0};
    if (kind == UNET) {
        size_t whole = tt_unet_multiple(&config->unet);
        size_t h = whole > 1 ? whole : 7, w = whole > 1 ? 2 * whole : 5;
        tt_unet_tape(&tape, &config->unet, 2, h, w, 3);
    }
    if (kind == CLIP) tt_clip_tape(&tape, &config->clip, 2, 9, 0);
    if (kind == VAE) {
        tt_vae_encoder_tape(&tape, &config->vae, 1, 24, 40);
        tt_vae_decoder_tape(&tape, &config->vae, 1, 3, 5);
    }
    ck_assert_msg(!tt_tape_status(&tape, &err), "%s", err.message);
    return tape;
}

static void check_checkpoint(const char *model, enum kind kind, const char *part) {
    char folder_path[256];
    snprintf(folder_path, sizeof folder_path, "reference/tiny/%s", model);
    struct tt_folder *folder;
    struct tt_weights *weights;
    struct tt_error err = {0};
    ck_assert_msg(!tt_folder_open(folder_path, &folder, &err), "%s", err.message);
    ck_assert_msg(!tt_weights_open(folder, part, &weights, &err), "%s", err.message);
    char config_path[300];
    size_t size;
    snprintf(config_path, sizeof config_path, "%s/%s/config.json", folder_path, part);
    char *text = test_read(config_path, &size);
    union config config = must_read(kind, text);
    struct tt_tape tape = lay_out(kind, &config);

    size_t asked = 0;
    for (int i = 0; i < tape.node_count; i++)
        for (int j = 0; j < TT_MAX_PARAMS; j++) {
            const struct tt_param *param = tape.nodes[i].param[j];
            if (!param) continue;
            char want[64], have[64];
            const struct tt_view *view = tt_weights_expect(weights, param->name);
            ck_assert_msg(view != NULL, "%s/%s lacks %s", model, part, param->name);
            ck_assert_msg(tt_shape_equal(&view->shape, &param->shape),
                          "%s/%s: %s: found %s, asked %s", model, part, param->name,
                          tt_shape_text(&view->shape, have, sizeof have),
                          tt_shape_text(&param->shape, want, sizeof want));
            asked++;
        }
    ck_assert_uint_eq(tt_weights_note_unused(weights), 0);
    ck_assert_uint_gt(asked, 0);
    tt_tape_free(&tape);
    free(text);
    tt_weights_close(weights);
    tt_folder_close(folder);
}

START_TEST(checkpoints) {
    check_checkpoint(models[_i], UNET, "unet");
    check_checkpoint(models[_i], VAE, "vae");
    check_checkpoint(models[_i], CLIP, "text_encoder");
}
END_TEST

START_TEST(unconditional_checkpoints) {
    check_checkpoint("ddpm", UNET, "unet");
    check_checkpoint("ddim", UNET, "unet");
}
END_TEST

// ---- the files that hubs hold, and their sizes as PyTorch counts them ----

static const char sd15_unet[] =
    "{\"_class_name\": \"UNet2DConditionModel\", \"_diffusers_version\": \"0.6.0\", \"act_fn\": "
    "\"silu\","
    "\"attention_head_dim\": 8, \"block_out_channels\": [320, 640, 1280, 1280],"
    "\"center_input_sample\": false, \"cross_attention_dim\": 768, \"down_block_types\":"
    "[\"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\", "
    "\"DownBlock2D\"],"
    "\"downsample_padding\": 1, \"flip_sin_to_cos\": true, \"freq_shift\": 0, \"in_channels\": 4,"
    "\"layers_per_block\": 2, \"mid_block_scale_factor\": 1, \"norm_eps\": 1e-05,"
    "\"norm_num_groups\": 32, \"out_channels\": 4, \"sample_size\": 64, \"up_block_types\":"
    "[\"UpBlock2D\", \"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\"]}";
static const char sd21_unet[] =
    "{\"_class_name\": \"UNet2DConditionModel\", \"_diffusers_version\": \"0.10.0.dev0\","
    "\"act_fn\": \"silu\", \"attention_head_dim\": [5, 10, 20, 20],"
    "\"block_out_channels\": [320, 640, 1280, 1280], \"center_input_sample\": false,"
    "\"cross_attention_dim\": 1024, \"down_block_types\":"
    "[\"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\", "
    "\"DownBlock2D\"],"
    "\"downsample_padding\": 1, \"dual_cross_attention\": false, \"flip_sin_to_cos\": true,"
    "\"freq_shift\": 0, \"in_channels\": 4, \"layers_per_block\": 2, \"mid_block_scale_factor\": 1,"
    "\"norm_eps\": 1e-05, \"norm_num_groups\": 32, \"num_class_embeds\": null,"
    "\"only_cross_attention\": false, \"out_channels\": 4, \"sample_size\": 96, \"up_block_types\":"
    "[\"UpBlock2D\", \"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\"],"
    "\"use_linear_projection\": true, \"upcast_attention\": true}";
static const char sd_vae[] =
    "{\"_class_name\": \"AutoencoderKL\", \"_diffusers_version\": \"0.6.0\", \"act_fn\": \"silu\","
    "\"block_out_channels\": [128, 256, 512, 512], \"down_block_types\": [\"DownEncoderBlock2D\","
    "\"DownEncoderBlock2D\", \"DownEncoderBlock2D\", \"DownEncoderBlock2D\"], \"in_channels\": 3,"
    "\"latent_channels\": 4, \"layers_per_block\": 2, \"norm_num_groups\": 32, \"out_channels\": 3,"
    "\"sample_size\": 512, \"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\","
    "\"UpDecoderBlock2D\", \"UpDecoderBlock2D\"]}";
static const char sd15_text[] =
    "{\"_name_or_path\": \"openai/clip-vit-large-patch14\", \"architectures\": [\"CLIPTextModel\"],"
    "\"attention_dropout\": 0.0, \"bos_token_id\": 0, \"dropout\": 0.0, \"eos_token_id\": 2,"
    "\"hidden_act\": \"quick_gelu\", \"hidden_size\": 768, \"initializer_factor\": 1.0,"
    "\"initializer_range\": 0.02, \"intermediate_size\": 3072, \"layer_norm_eps\": 1e-05,"
    "\"max_position_embeddings\": 77, \"model_type\": \"clip_text_model\","
    "\"num_attention_heads\": 12, \"num_hidden_layers\": 12, \"pad_token_id\": 1,"
    "\"projection_dim\": 768, \"torch_dtype\": \"float32\","
    "\"transformers_version\": \"4.22.0.dev0\", \"vocab_size\": 49408}";
static const char sd21_text[] =
    "{\"architectures\": [\"CLIPTextModel\"], \"attention_dropout\": 0.0, \"bos_token_id\": 0,"
    "\"dropout\": 0.0, \"eos_token_id\": 2, \"hidden_act\": \"gelu\", \"hidden_size\": 1024,"
    "\"initializer_factor\": 1.0, \"initializer_range\": 0.02, \"intermediate_size\": 4096,"
    "\"layer_norm_eps\": 1e-05, \"max_position_embeddings\": 77, \"model_type\": "
    "\"clip_text_model\","
    "\"num_attention_heads\": 16, \"num_hidden_layers\": 23, \"pad_token_id\": 1,"
    "\"projection_dim\": 512, \"torch_dtype\": \"float32\","
    "\"transformers_version\": \"4.25.0.dev0\", \"vocab_size\": 49408}";
static const char cat_256[] = // google/ddpm-cat-256
    "{\"_class_name\": \"UNet2DModel\", \"_diffusers_version\": \"0.0.4\", \"act_fn\": \"silu\","
    "\"attention_head_dim\": null, \"block_out_channels\": [128, 128, 256, 256, 512, 512],"
    "\"center_input_sample\": false, \"down_block_types\": [\"DownBlock2D\", \"DownBlock2D\","
    "\"DownBlock2D\", \"DownBlock2D\", \"AttnDownBlock2D\", \"DownBlock2D\"],"
    "\"downsample_padding\": 0, \"flip_sin_to_cos\": false, \"freq_shift\": 1, \"in_channels\": 3,"
    "\"layers_per_block\": 2, \"mid_block_scale_factor\": 1, \"norm_eps\": 1e-06,"
    "\"norm_num_groups\": 32, \"out_channels\": 3, \"sample_size\": 256,"
    "\"time_embedding_type\": \"positional\", \"up_block_types\": [\"UpBlock2D\","
    "\"AttnUpBlock2D\", \"UpBlock2D\", \"UpBlock2D\", \"UpBlock2D\", \"UpBlock2D\"]}";
static const char no_middle[] =
    "{\"_class_name\": \"UNet2DModel\", \"mid_block_type\": null, \"block_out_channels\":"
    "[32, 64], \"down_block_types\": [\"DownBlock2D\", \"AttnDownBlock2D\"],"
    "\"up_block_types\": [\"AttnUpBlock2D\", \"UpBlock2D\"]}";
static const char bare[] = "{\"_class_name\": \"UNet2DModel\"}";
// Every key that diffusers 0.42.1 knows, with its default.
static const char every_plain_key[] =
    "{\"_class_name\": \"UNet2DModel\", \"sample_size\": null, \"in_channels\": 3,"
    "\"out_channels\": 3, \"center_input_sample\": false, \"time_embedding_type\": \"positional\","
    "\"time_embedding_dim\": null, \"freq_shift\": 0, \"flip_sin_to_cos\": true,"
    "\"down_block_types\": [\"DownBlock2D\", \"AttnDownBlock2D\", \"AttnDownBlock2D\","
    "\"AttnDownBlock2D\"], \"mid_block_type\": \"UNetMidBlock2D\", \"up_block_types\":"
    "[\"AttnUpBlock2D\", \"AttnUpBlock2D\", \"AttnUpBlock2D\", \"UpBlock2D\"],"
    "\"block_out_channels\": [224, 448, 672, 896], \"layers_per_block\": 2,"
    "\"mid_block_scale_factor\": 1, \"downsample_padding\": 1, \"downsample_type\": \"conv\","
    "\"upsample_type\": \"conv\", \"dropout\": 0.0, \"act_fn\": \"silu\","
    "\"attention_head_dim\": 8, \"norm_num_groups\": 32, \"attn_norm_num_groups\": null,"
    "\"norm_eps\": 1e-05, \"resnet_time_scale_shift\": \"default\", \"add_attention\": true,"
    "\"class_embed_type\": null, \"num_class_embeds\": null, \"num_train_timesteps\": null}";
static const char every_key[] =
    "{\"sample_size\": null, \"in_channels\": 4, \"out_channels\": 4, \"center_input_sample\": "
    "false,"
    "\"flip_sin_to_cos\": true, \"freq_shift\": 0, \"down_block_types\": [\"CrossAttnDownBlock2D\","
    "\"CrossAttnDownBlock2D\", \"CrossAttnDownBlock2D\", \"DownBlock2D\"], \"mid_block_type\":"
    "\"UNetMidBlock2DCrossAttn\", \"up_block_types\": [\"UpBlock2D\", \"CrossAttnUpBlock2D\","
    "\"CrossAttnUpBlock2D\", \"CrossAttnUpBlock2D\"], \"only_cross_attention\": false,"
    "\"block_out_channels\": [320, 640, 1280, 1280], \"layers_per_block\": 2,"
    "\"downsample_padding\": 1, \"mid_block_scale_factor\": 1, \"dropout\": 0.0, \"act_fn\": "
    "\"silu\","
    "\"norm_num_groups\": 32, \"norm_eps\": 1e-05, \"cross_attention_dim\": 768,"
    "\"transformer_layers_per_block\": 1, \"reverse_transformer_layers_per_block\": null,"
    "\"encoder_hid_dim\": null, \"encoder_hid_dim_type\": null, \"attention_head_dim\": 8,"
    "\"num_attention_heads\": null, \"dual_cross_attention\": false,"
    "\"use_linear_projection\": false, \"class_embed_type\": null, \"addition_embed_type\": null,"
    "\"addition_time_embed_dim\": null, \"num_class_embeds\": null, \"upcast_attention\": false,"
    "\"resnet_time_scale_shift\": \"default\", \"resnet_skip_time_act\": false,"
    "\"resnet_out_scale_factor\": 1.0, \"time_embedding_type\": \"positional\","
    "\"time_embedding_dim\": null, \"time_embedding_act_fn\": null, \"timestep_post_act\": null,"
    "\"time_cond_proj_dim\": null, \"conv_in_kernel\": 3, \"conv_out_kernel\": 3,"
    "\"projection_class_embeddings_input_dim\": null, \"attention_type\": \"default\","
    "\"class_embeddings_concat\": false, \"mid_block_only_cross_attention\": null,"
    "\"cross_attention_norm\": null, \"addition_embed_type_num_heads\": 64,"
    "\"_use_default_values\": [\"act_fn\"], \"_class_name\": \"UNet2DConditionModel\"}";

static const struct {
    enum kind kind;
    const char *text;
    size_t parameters, tensors;
} full_size[] = {
    {UNET, sd15_unet, 859520964, 686}, {UNET, sd21_unet, 865910724, 686},
    {UNET, every_key, 859520964, 686}, {UNET, cat_256, 113673219, 450},
    {UNET, bare, 274056163, 432},      {UNET, every_plain_key, 274056163, 432},
    {UNET, no_middle, 821379, 178},    {VAE, sd_vae, 83653863, 248},
    {CLIP, sd15_text, 123060480, 196}, {CLIP, sd21_text, 340387840, 372},
};

START_TEST(hub_files) {
    union config config = must_read(full_size[_i].kind, full_size[_i].text);
    struct tt_tape tape = lay_out(full_size[_i].kind, &config);
    size_t parameters = 0, tensors = 0;
    for (int i = 0; i < tape.node_count; i++)
        for (int j = 0; j < TT_MAX_PARAMS; j++)
            if (tape.nodes[i].param[j]) {
                parameters += tt_shape_count(&tape.nodes[i].param[j]->shape);
                tensors++;
            }
    ck_assert_uint_eq(parameters, full_size[_i].parameters);
    ck_assert_uint_eq(tensors, full_size[_i].tensors);
    tt_tape_free(&tape);
}
END_TEST

// A file that says nothing means the class's own defaults.
START_TEST(defaults) {
    struct tt_unet_config unet = must_read(UNET, "{}").unet;
    ck_assert_uint_eq(unet.level_count, 4);
    ck_assert_uint_eq(unet.level[1].channels, 640);
    ck_assert_uint_eq(unet.level[3].layers, 2);
    ck_assert_uint_eq(unet.level[2].heads, 8);
    ck_assert(unet.level[2].down_attention && !unet.level[3].down_attention);
    ck_assert(unet.level[2].up_attention && !unet.level[3].up_attention);
    ck_assert_uint_eq(unet.cross_attention_dim, 1280);
    ck_assert_uint_eq(unet.time_embed_dim, 1280);
    unet = must_read(UNET, bare).unet;
    ck_assert(unet.unconditional && !must_read(UNET, "{}").unet.unconditional);
    ck_assert(!unet.level[0].down_attention && unet.level[3].down_attention);
    ck_assert(!unet.level[0].up_attention && unet.level[3].up_attention);
    ck_assert_uint_eq(unet.level[2].head_dim, 8);
    ck_assert_uint_eq(unet.mid_attention_groups, 32);
    ck_assert_uint_eq(tt_unet_multiple(&unet), 8);
    struct tt_vae_config vae = must_read(VAE, "{}").vae;
    ck_assert_uint_eq(vae.level_count, 1);
    ck_assert_uint_eq(vae.channels[0], 64);
    ck_assert_double_eq(vae.scaling_factor, 0.18215);
    ck_assert_uint_eq(tt_vae_factor(&vae), 1);
    struct tt_clip_config clip = must_read(CLIP, "{}").clip;
    ck_assert_int_eq(clip.activation, TT_OP_quick_gelu);
    ck_assert_int_eq(clip.eos_token, 49407);
    ck_assert_uint_eq(clip.projection, 0);
}
END_TEST

START_TEST(lists) {
    struct tt_unet_config c =
        must_read(
            UNET,
            "{\"block_out_channels\": [32, 64], \"layers_per_block\": [1, 3], "
            "\"attention_head_dim\": [2, 4],"
            "\"transformer_layers_per_block\": [1, 5], \"only_cross_attention\": [true, false],"
            "\"cross_attention_dim\": [24, 24], \"sample_size\": [48, 96],"
            "\"down_block_types\": [\"CrossAttnDownBlock2D\", \"DownBlock2D\"],"
            "\"up_block_types\": [\"CrossAttnUpBlock2D\", \"UpBlock2D\"], \"time_embedding_dim\": "
            "100,"
            "\"act_fn\": \"swish\", \"mid_block_scale_factor\": 1.0}")
            .unet;
    ck_assert_uint_eq(c.level[1].layers, 3);
    ck_assert_uint_eq(c.level[1].heads, 4);
    ck_assert_uint_eq(c.level[1].down_transformers[2], 5);
    ck_assert_uint_eq(c.level[1].up_transformers[3], 5);
    ck_assert_uint_eq(c.mid_transformers, 5);
    ck_assert(c.level[0].only_cross_attention && !c.level[1].only_cross_attention);
    // up_block_types begin at the coarsest level
    ck_assert(c.level[0].down_attention && !c.level[0].up_attention && c.level[1].up_attention);
    ck_assert_uint_eq(c.sample_height, 48);
    ck_assert_uint_eq(c.sample_width, 96);
    ck_assert_uint_eq(c.time_embed_dim, 100);
    struct tt_tape tape = lay_out(UNET, &(union config){.unet = c});
    // self-attention that looks at the context takes its width
    for (int i = 0; i < tape.node_count; i++)
        if (!strcmp(tape.nodes[i].name,
                    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k"))
            ck_assert_uint_eq(tape.nodes[i].param[0]->shape.dim[1], 24);
    tt_tape_free(&tape);
}
END_TEST

// The embedding that the network is told the guidance scale by.
START_TEST(guidance_embedding) {
    float e[5];
    tt_guidance_embedding(1.0, 5, e);
    for (int i = 0; i < 5; i++) ck_assert_float_eq(e[i], i == 2 || i == 3 ? 1.0f : 0.0f);
    tt_guidance_embedding(7.5, 4, e); // frequencies 1 and 1/10000
    const double want[] = {sin(6500.0), sin(0.65), cos(6500.0), cos(0.65)};
    for (int i = 0; i < 4; i++) ck_assert_double_eq_tol((double)e[i], want[i], 1e-7);
}
END_TEST

// ---- what is refused, and how it is said ----

#define PLAIN "{\"_class_name\": \"UNet2DModel\", "
static const struct {
    enum kind kind;
    const char *text;
    const char *says; // after "config.json: "
} hostile[] = {
    {UNET, "{", "invalid JSON"},
    {UNET, "[]", "found a list of 0, expected an object"},
    {UNET, "{\"_class_name\": \"SD3Transformer2DModel\"}",
     "_class_name: found \"SD3Transformer2DModel\", expected \"UNet2DConditionModel\" or "
     "\"UNet2DModel\""},
    {UNET, PLAIN "\"down_block_types\": [\"DownBlock2D\", \"SkipDownBlock2D\", \"DownBlock2D\", "
     "\"DownBlock2D\"]}",
     "down_block_types: found \"SkipDownBlock2D\", expected \"DownBlock2D\" or "
     "\"AttnDownBlock2D\""},
    {UNET, PLAIN "\"up_block_types\": [\"UpBlock2D\", \"UpBlock2D\", \"CrossAttnUpBlock2D\", "
     "\"UpBlock2D\"]}",
     "up_block_types: found \"CrossAttnUpBlock2D\", expected \"UpBlock2D\" or \"AttnUpBlock2D\""},
    {UNET, PLAIN "\"layers_per_block\": [1, 1, 1, 1]}",
     "layers_per_block: found a list of 4, expected an integer from 1 to 8"},
    {UNET, PLAIN "\"attention_head_dim\": [4, 4, 4, 4]}",
     "attention_head_dim: found a list of 4, expected an integer"},
    {UNET, PLAIN "\"attention_head_dim\": 0}",
     "attention_head_dim: found 0, expected an integer from 1"},
    {UNET, PLAIN "\"mid_block_type\": \"UNetMidBlock2DCrossAttn\"}",
     "mid_block_type: found \"UNetMidBlock2DCrossAttn\", expected \"UNetMidBlock2D\" or null"},
    {UNET, PLAIN "\"downsample_type\": \"resnet\"}",
     "downsample_type: found \"resnet\", expected \"conv\""},
    {UNET, PLAIN "\"upsample_type\": \"resnet\"}",
     "upsample_type: found \"resnet\", expected \"conv\""},
    {UNET, PLAIN "\"center_input_sample\": true}",
     "center_input_sample: found true, expected false"},
    {UNET, PLAIN "\"attn_norm_num_groups\": 48}",
     "attn_norm_num_groups: found 48, expected a divisor of the last block_out_channels (896)"},
    {UNET, PLAIN "\"num_class_embeds\": 10}", "num_class_embeds: found 10, expected null"},
    {UNET, PLAIN "\"time_embedding_type\": \"learned\"}",
     "time_embedding_type: found \"learned\", expected \"positional\""},
    {UNET, "{\"addition_embed_type\": \"text_image\"}",
     "addition_embed_type: found \"text_image\", expected null or \"text_time\""},
    {UNET, "{\"addition_embed_type\": \"text_time\"}",
     "addition_time_embed_dim: found nothing, expected"},
    {UNET, "{\"addition_embed_type\": \"text_time\", \"addition_time_embed_dim\": 256,"
     "\"projection_class_embeddings_input_dim\": 1280}",
     "projection_class_embeddings_input_dim: found 1280, expected more than 5 times "
     "addition_time_embed_dim (256)"},
    {UNET, "{\"addition_embed_type\": \"text_time\", \"addition_time_embed_dim\": 8,"
     "\"projection_class_embeddings_input_dim\": 128, \"freq_shift\": 4}",
     "freq_shift: found 4, expected 0 to half of addition_time_embed_dim"},
    {UNET, "{\"block_out_channels\": [320, -1, 1280, 1280]}", "block_out_channels[1]: found -1"},
    {UNET, "{\"block_out_channels\": [320, 640.5, 1280, 1280]}",
     "block_out_channels[1]: found 640.5"},
    {UNET, "{\"block_out_channels\": []}",
     "block_out_channels: found a list of 0, expected a list of 1 to 8"},
    {UNET, "{\"block_out_channels\": 320}", "block_out_channels: found 320, expected a list"},
    {UNET, "{\"block_out_channels\": [320, 650, 1280, 1280]}",
     "block_out_channels: found 650, expected a multiple of norm_num_groups (32)"},
    {UNET, "{\"norm_num_groups\": 0}", "norm_num_groups: found 0, expected an integer from 1"},
    {UNET, "{\"norm_num_groups\": null}",
     "norm_num_groups: found null, expected an integer from 1"},
    {UNET, "{\"norm_eps\": 0}", "norm_eps: found 0, expected a number above 0"},
    {UNET, "{\"norm_eps\": \"1e-5\"}", "norm_eps: found \"1e-5\", expected a number"},
    {UNET, "{\"layers_per_block\": [2, 2]}",
     "layers_per_block: found a list of 2, expected an integer or a list of 4"},
    {UNET, "{\"layers_per_block\": 1000000}",
     "layers_per_block: found 1000000, expected an integer from 1 to 8"},
    {UNET, "{\"layers_per_block\": [2, 2, 4000000000000000000, 2]}",
     "layers_per_block[2]: found 4000000000000000000, expected an integer from 1 to 8"},
    {UNET, "{\"attention_head_dim\": 0}",
     "attention_head_dim: found 0, expected an integer from 1"},
    {UNET, "{\"num_attention_heads\": 8}", "num_attention_heads: found 8, expected null"},
    {UNET, "{\"down_block_types\": [\"DownBlock2D\"]}",
     "down_block_types: found 1 blocks, expected 4, one per block_out_channels"},
    {UNET,
     "{\"down_block_types\": [\"DownBlock2D\", \"DownBlock2D\", \"AttnDownBlock2D\", "
     "\"DownBlock2D\"]}",
     "down_block_types: found \"AttnDownBlock2D\", expected \"DownBlock2D\" or "
     "\"CrossAttnDownBlock2D\""},
    {UNET, "{\"up_block_types\": [\"UpBlock2D\", \"UpBlock2D\", \"UpBlock2D\", 7]}",
     "up_block_types[3]: found 7, expected a string"},
    {UNET, "{\"block_out_channels\": [32, 64]}",
     "down_block_types: found nothing, expected a list of 1 to 8 strings"},
    {UNET, "{\"mid_block_type\": \"UNetMidBlock2DSimpleCrossAttn\"}",
     "mid_block_type: found \"UNetMidBlock2DSimpleCrossAttn\", expected "
     "\"UNetMidBlock2DCrossAttn\""},
    {UNET, "{\"resnet_time_scale_shift\": \"scale_shift\"}",
     "resnet_time_scale_shift: found \"scale_shift\", expected \"default\""},
    {UNET, "{\"act_fn\": \"mish\"}", "act_fn: found \"mish\", expected \"silu\" or \"swish\""},
    {UNET, "{\"conv_in_kernel\": 5}", "conv_in_kernel: found 5, expected 1 or 3"},
    {UNET, "{\"downsample_padding\": 2}",
     "downsample_padding: found 2, expected an integer from 0 to 1"},
    {UNET, "{\"class_embed_type\": \"timestep\"}",
     "class_embed_type: found \"timestep\", expected null"},
    {UNET, "{\"time_embedding_type\": \"fourier\"}", "time_embedding_type: found \"fourier\""},
    {UNET, "{\"time_cond_proj_dim\": 2}",
     "time_cond_proj_dim: found 2, expected an integer from 4"},
    {UNET, "{\"cross_attention_dim\": [768, 768, 768, 1024]}",
     "cross_attention_dim: found 768 and 1024, expected the same on every level"},
    {UNET, "{\"cross_attention_dim\": null}", "cross_attention_dim: found null"},
    {UNET, "{\"only_cross_attention\": [true]}",
     "only_cross_attention: found a list of 1, expected a boolean or a list of 4"},
    {UNET, "{\"transformer_layers_per_block\": [[1, 2], 1, 1, 1]}",
     "transformer_layers_per_block: found a list of 2 for level 0, expected an integer: a list "
     "needs reverse_transformer_layers_per_block"},
    {UNET, "{\"transformer_layers_per_block\": [1, 17, 1, 1]}",
     "transformer_layers_per_block: found 17 for level 1, expected an integer from 0 to 16 or a "
     "list of 2"},
    {UNET, "{\"transformer_layers_per_block\": [1, 1, 1]}",
     "transformer_layers_per_block: found a list of 3, expected an integer from 0 to 16 or a list "
     "of 4"},
    {UNET, "{\"transformer_layers_per_block\": 16, \"layers_per_block\": 8}",
     "transformer_layers_per_block: found 1088 transformer blocks in all, expected at most 512"},
    {UNET, "{\"reverse_transformer_layers_per_block\": [1, 1, 1]}",
     "reverse_transformer_layers_per_block: found a list of 3, expected null or a list of 4"},
    {UNET, "{\"reverse_transformer_layers_per_block\": 2}",
     "reverse_transformer_layers_per_block: found 2, expected null or a list of 4"},
    {UNET, "{\"reverse_transformer_layers_per_block\": [1, 1, [1, 1], 1]}",
     "reverse_transformer_layers_per_block: found a list of 2 for level 1, expected an integer "
     "from 0 to 16 or a list of 3"},
    {UNET, "{\"dual_cross_attention\": true}", "dual_cross_attention: found true, expected false"},
    {UNET, "{\"use_linear_projection\": \"yes\"}",
     "use_linear_projection: found \"yes\", expected true or false"},
    {UNET, "{\"freq_shift\": 160}", "freq_shift: found 160, expected 0 to half of"},
    {UNET, "{\"sample_size\": [64, 64, 64]}", "sample_size: found a list of 3"},
    {UNET, "{\"in_channels\": 1e30}", "in_channels: found 1e+30, expected an integer"},
    {VAE, "{\"_class_name\": \"AutoencoderTiny\"}", "_class_name: found \"AutoencoderTiny\""},
    {VAE, "{\"latents_mean\": [0, 0, 0], \"latents_std\": [1, 1, 1, 1]}",
     "latents_mean: found 3 numbers, expected 4, one per latent_channels"},
    {VAE, "{\"latents_mean\": [0, 0, 0, 0], \"latents_std\": [1, 1, 0, 1]}",
     "latents_std: found 0, expected numbers above 0"},
    {VAE, "{\"down_block_types\": [\"AttnDownEncoderBlock2D\"]}",
     "down_block_types: found \"AttnDownEncoderBlock2D\", expected \"DownEncoderBlock2D\""},
    {VAE, "{\"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\"]}",
     "up_block_types: found 2 blocks, expected 1"},
    {VAE, "{\"scaling_factor\": 0}", "scaling_factor: found 0, expected a number above 0"},
    {VAE, "{\"norm_num_groups\": 48}",
     "block_out_channels: found 64, expected a multiple of norm_num_groups (48)"},
    {VAE, "{\"layers_per_block\": 0}", "layers_per_block: found 0"},
    {UNET, "{\"quantization_config\": {}}",
     "quantization_config: found an object of 0, expected null"},
    {UNET, "{\"only_cross_attention\": null}", "only_cross_attention: found null"},
    {CLIP, "{\"text_config\": 3}", "text_config: found 3, expected an object"},
    {CLIP, "{\"text_config\": {\"hidden_act\": \"relu\"}}",
     "text_config.hidden_act: found \"relu\""},
    {CLIP, "{\"hidden_act\": \"gelu_new\"}",
     "hidden_act: found \"gelu_new\", expected one of \"quick_gelu\", \"gelu\""},
    {CLIP, "{\"hidden_size\": 100}",
     "num_attention_heads: found 8, expected a divisor of hidden_size (100)"},
    {CLIP, "{\"eos_token_id\": [1, 2]}", "eos_token_id: found a list of 2, expected an integer"},
    {CLIP, "{\"num_hidden_layers\": 1000000}", "num_hidden_layers: found 1000000"},
};

START_TEST(refused) {
    union config config;
    struct tt_error err = {0};
    ck_assert_int_eq(read_text(hostile[_i].kind, hostile[_i].text, &config, &err), TT_BAD_INPUT);
    ck_assert_msg(!strncmp(err.message, "config.json: ", 13) &&
                      strstr(err.message, hostile[_i].says),
                  "%s\nsays: %s\nnot:  %s", hostile[_i].text, err.message, hostile[_i].says);
}
END_TEST

// What is read all the same, and what is said ("": nothing).
static const struct {
    enum kind kind;
    const char *text, *says;
} accepted[] = {
    {UNET, "{\"frobnicate\": 3}",
     "config.json: frobnicate: no key of UNet2DConditionModel, ignored"},
    {UNET, PLAIN "\"cross_attention_dim\": 8, \"decay\": 0.99, \"power\": 1}",
     "config.json: cross_attention_dim, decay, power: no keys of UNet2DModel, ignored"},
    {UNET, "{\"k1\":0,\"k2\":0,\"k3\":0,\"k4\":0,\"k5\":0,\"k6\":0,\"k7\":0,\"k8\":0,\"k9\":0}",
     "k1, k2, k3, k4, k5, k6, k7, k8, ...: no keys of"},
    {UNET, "{\"dropout\": 0.1}", "config.json: dropout: found 0.1: nothing is dropped"},
    {UNET, "{\"dropout\": 0.0, \"resnet_skip_time_act\": true, \"attention_type\": null,"
     " \"center_input_sample\": null, \"dual_cross_attention\": null, \"layers_per_block\": 2.0,"
     " \"class_embeddings_concat\": null, \"in_channels\": 4.0, \"_note\": \"x\"}", ""},
    {UNET, PLAIN "\"downsample_type\": null, \"upsample_type\": null}", ""},
    {VAE, "{\"lossconfig\": {}}", "config.json: lossconfig: no key of AutoencoderKL, ignored"},
    {VAE, "{\"shift_factor\": null, \"latents_mean\": null, \"force_upcast\": false}", ""},
    {CLIP, "{\"model_type\": \"t5\"}", "model_type: found \"t5\", read as clip_text_model"},
    {CLIP, "{\"architectures\": [\"CLIPModel\"], \"dropout\": 0.0}", ""},
    {CLIP, "{\"attention_dropout\": 0.5, \"new_key\": 1}", "attention_dropout: found 0.5: nothing"},
    {CLIP, "{\"attention_dropout\": 0.5, \"new_key\": 1}", "new_key: no key of CLIPTextModel"},
    {CLIP, "{\"projection_dim\": 0, \"id2label\": {}, \"problem_type\": null}", ""},
};

START_TEST(read_all_the_same) {
    must_read(accepted[_i].kind, accepted[_i].text);
    const char *says = accepted[_i].says;
    ck_assert_msg(*says ? strstr(noted, says) != NULL : !*noted, "%s\nsays: %s\nnot:  %s",
                  accepted[_i].text, noted, says);
}
END_TEST

// Without a middle, with one ResNet block of it; a text encoder inside a whole CLIPModel; Python's
// idea of what is true.
START_TEST(other_forms) {
    struct tt_unet_config unet = must_read(UNET, "{\"mid_block_type\": null}").unet;
    ck_assert_int_eq(unet.mid_block, TT_MID_NONE);
    struct tt_tape tape = lay_out(UNET, &(union config){.unet = unet});
    for (int i = 0; i < tape.node_count; i++)
        ck_assert(strncmp(tape.nodes[i].name, "mid_block", 9));
    tt_tape_free(&tape);
    unet = must_read(UNET, "{\"mid_block_type\": \"UNetMidBlock2D\"}").unet;
    ck_assert_int_eq(unet.mid_block, TT_MID_ONE);
    tape = lay_out(UNET, &(union config){.unet = unet});
    ck_assert_int_ne(tt_find_value(&tape, "mid_block.resnets.0.conv2"), TT_NO_VALUE);
    ck_assert_int_eq(tt_find_value(&tape, "mid_block.resnets.1.conv2"), TT_NO_VALUE);
    tt_tape_free(&tape);
    ck_assert_int_eq(must_read(UNET, bare).unet.mid_block, TT_MID_WHOLE);
    ck_assert_int_eq(must_read(UNET, no_middle).unet.mid_block, TT_MID_NONE);
    unet = must_read(UNET, "{\"flip_sin_to_cos\": null, \"use_linear_projection\": 1}").unet;
    ck_assert(!unet.flip_sin_to_cos && unet.linear_projection);
    struct tt_clip_config clip = must_read(CLIP, "{\"model_type\": \"clip\", \"hidden_size\": 7,"
        "\"text_config\": {\"model_type\": \"clip_text_model\", \"hidden_size\": 64},"
        "\"vision_config\": {}}").clip;
    ck_assert_uint_eq(clip.hidden_size, 64);
    ck_assert_msg(strstr(noted, "hidden_size, vision_config: no keys of"), "%s", noted);
}
END_TEST

static void expect_failure(struct tt_tape *tape, const char *says) {
    struct tt_error err = {0};
    ck_assert_int_eq(tt_tape_status(tape, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, says) != NULL, "says: %s\nnot:  %s", err.message, says);
    tt_tape_free(tape);
}

// What only shows when a size is known.
START_TEST(refused_sizes) {
    struct tt_tape tape = {0};
    struct tt_clip_config clip = must_read(CLIP, "{\"num_hidden_layers\": 2}").clip;
    tt_clip_tape(&tape, &clip, 1, 78, 0);
    expect_failure(&tape, "78 tokens, but max_position_embeddings is 77");
    tt_clip_tape(&tape, &clip, 1, 77, 2);
    expect_failure(&tape, "cannot skip 2 of 2 layers");
    struct tt_unet_config unet = must_read(UNET, "{\"attention_head_dim\": 500}").unet;
    tt_unet_tape(&tape, &unet, 1, 8, 8, 4);
    expect_failure(&tape,
                   "down_blocks.0.attentions.0: attention_head_dim 500 is the number of heads");
    unet = must_read(UNET, "{\"downsample_padding\": 0}").unet;
    tt_unet_tape(&tape, &unet, 1, 1, 8, 4);
    expect_failure(&tape,
                   "down_blocks.0.downsamplers.0: conv: a 1x8 picture is smaller than the kernel");
    unet = must_read(UNET, bare).unet;
    tt_unet_tape(&tape, &unet, 1, 64, 60, 0);
    expect_failure(&tape, "a 64x60 sample does not halve evenly 3 times");
    unet = must_read(UNET, PLAIN "\"attention_head_dim\": 500}").unet;
    tt_unet_tape(&tape, &unet, 1, 8, 8, 0);
    expect_failure(&tape, "down_blocks.1.attentions.0: attention_head_dim 500 is a head's width");
    struct tt_vae_config vae = must_read(VAE, sd_vae).vae;
    tt_vae_decoder_tape(&tape, &vae, 1, (size_t)1 << 40, (size_t)1 << 40);
    expect_failure(&tape, "the tensor is larger than memory can be");
}
END_TEST

// Sizes that do not halve evenly come back as they were.
START_TEST(uneven_sizes) {
    struct tt_unet_config c = must_read(UNET, sd15_unet).unet;
    static const size_t sizes[][2] = {{64, 64}, {9, 13}, {1, 1}, {7, 96}, {33, 2}};
    struct tt_tape tape = {0};
    struct tt_unet unet = tt_unet_tape(&tape, &c, 2, sizes[_i][0], sizes[_i][1], 77);
    struct tt_error err = {0};
    ck_assert_msg(!tt_tape_status(&tape, &err), "%s", err.message);
    struct tt_shape out = tt_shape_of(&tape, unet.out), in = tt_shape_of(&tape, unet.sample);
    ck_assert(tt_shape_equal(&in, &out));
    tt_tape_free(&tape);
}
END_TEST

START_TEST(end_of_text) {
    struct tt_clip_config c = must_read(CLIP, "{\"eos_token_id\": 7, \"vocab_size\": 10}").clip;
    const int32_t ids[] = {1, 2, 7, 9, 7, /**/ 9, 3, 3, 9, 7, /**/ 1, 2, 3, 4, 5};
    int32_t positions[5], ends[3];
    struct tt_error err = {0};
    ck_assert(!tt_clip_prepare(&c, ids, 3, 5, positions, ends, &err));
    ck_assert(ends[0] == 2 && ends[1] == 4 && ends[2] == 0);
    for (int i = 0; i < 5; i++) ck_assert_int_eq(positions[i], i);
    c.eos_token = 2; // the largest id, the first of several
    ck_assert(!tt_clip_prepare(&c, ids, 3, 5, positions, ends, &err));
    ck_assert(ends[0] == 3 && ends[1] == 0 && ends[2] == 4);
    c.vocab_size = 9;
    ck_assert_int_eq(tt_clip_prepare(&c, ids, 3, 5, positions, ends, &err), TT_BAD_INPUT);
    ck_assert_str_eq(err.message, "token id: found 9, expected 0 to vocab_size - 1 = 8");
}
END_TEST

START_TEST(skipped_layers) {
    struct tt_clip_config c = must_read(CLIP, sd15_text).clip;
    for (size_t skip = 0; skip < 3; skip++) {
        struct tt_tape tape = {0};
        struct tt_clip clip = tt_clip_tape(&tape, &c, 1, 77, skip);
        const char *names[] = {"encoder.layers.11", "encoder.layers.10", "encoder.layers.9"};
        ck_assert_int_eq(clip.hidden, tt_find_value(&tape, names[skip]));
        ck_assert_int_eq(clip.context, tt_find_value(&tape, skip ? "final_layer_norm#2"
                                                                 : "last_hidden_state"));
        tt_tape_free(&tape);
    }
}
END_TEST

static Suite *model_suite(void) {
    Suite *suite = suite_create("model");
    TCase *tcase = tcase_create("model");
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, checkpoints, 0, MODELS);
    tcase_add_test(tcase, unconditional_checkpoints);
    tcase_add_loop_test(tcase, hub_files, 0, sizeof full_size / sizeof *full_size);
    tcase_add_test(tcase, defaults);
    tcase_add_test(tcase, lists);
    tcase_add_loop_test(tcase, refused, 0, sizeof hostile / sizeof *hostile);
    tcase_add_test(tcase, refused_sizes);
    tcase_add_loop_test(tcase, read_all_the_same, 0, sizeof accepted / sizeof *accepted);
    tcase_add_test(tcase, other_forms);
    tcase_add_test(tcase, guidance_embedding);
    tcase_add_loop_test(tcase, uneven_sizes, 0, 5);
    tcase_add_test(tcase, end_of_text);
    tcase_add_test(tcase, skipped_layers);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    return test_main(model_suite(), NULL);
}
