// SPDX-License-Identifier: MIT
#include "single/configs.h"

#include <string.h>

// What shapes do not say, of each family.
static const struct {
    size_t heads, head_width; // one number of heads, or their width
    size_t latents, vae_size; // sides of the pictures it was trained on
    double scaling;
    const char *activation; // of the first text encoder
    const char *prediction, *scheduler;
} families[] = {
    [TT_FAMILY_NONE] = {8, 0, 64, 512, 0.18215, "quick_gelu", "epsilon", "PNDMScheduler"},
    [TT_FAMILY_SD1] = {8, 0, 64, 512, 0.18215, "quick_gelu", "epsilon", "PNDMScheduler"},
    [TT_FAMILY_SD2] = {0, 64, 96, 768, 0.18215, "gelu", "v_prediction", "PNDMScheduler"},
    [TT_FAMILY_XL] = {0, 64, 128, 1024, 0.13025, "quick_gelu", "epsilon", "EulerDiscreteScheduler"},
    [TT_FAMILY_REFINER] = {0, 64, 128, 1024, 0.13025, "gelu", "epsilon", "EulerDiscreteScheduler"},
};
enum { HEAD_WIDTH = 64 }; // of all of CLIP's text encoders

const char *tt_single_prediction(const struct tt_single *single) {
    return single->prediction ? single->prediction : families[single->family].prediction;
}

// An object that is being filled; without memory for a key it is given up as a whole.
struct draft {
    json_t *object;
    bool failed;
};

static void set(struct draft *d, const char *key, json_t *value) {
    d->failed |= json_object_set_new(d->object, key, value) != 0;
}

static void set_int(struct draft *d, const char *key, size_t value) {
    set(d, key, json_integer((json_int_t)value));
}

static void append(struct draft *d, json_t *list, json_t *value) {
    d->failed |= json_array_append_new(list, value) != 0;
}

static void append_int(struct draft *d, json_t *list, size_t value) {
    append(d, list, json_integer((json_int_t)value));
}

static json_t *finish(struct draft *d) {
    if (!d->failed) return d->object;
    json_decref(d->object);
    return NULL;
}

// ---- the U-Net ----

// Depths of a level's layers: one number where all are the same, else a list.
static json_t *depths(struct draft *d, const size_t *depth, size_t count, size_t fallback) {
    bool same = true;
    for (size_t i = 1; i < count; i++) same = same && depth[i] == depth[0];
    if (same) return json_integer((json_int_t)(depth[0] ? depth[0] : fallback));
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) append_int(d, list, depth[i]);
    return list;
}

// A level without attention going down has the depth of its way up; the last one, the middle's.
static size_t depth_without(const struct tt_unet_form *f, size_t i) {
    size_t up = f->level[i].up_depth[0];
    return up ? up : i + 1 == f->levels && f->mid_depth ? f->mid_depth : 1;
}

static bool is_mirrored(const struct tt_unet_form *f) {
    for (size_t i = 0; i < f->levels; i++) {
        size_t down = f->level[i].depth[0] ? f->level[i].depth[0] : depth_without(f, i);
        for (size_t j = 0; j <= f->level[i].layers; j++) {
            size_t up = f->level[i].up_depth[j];
            bool same = j == f->level[i].layers || f->level[i].depth[j] == f->level[i].depth[0];
            if (!same || (up && up != down)) return false;
        }
    }
    return true;
}

enum tt_status tt_single_check_depths(const struct tt_tensor_file *file,
                                      const struct tt_unet_form *f, struct tt_error *err) {
    size_t last = f->levels - 1, depth = f->level[last].depth[0];
    if (!depth) depth = depth_without(f, last);
    bool bare = f->mid == TT_FORM_MID_WHOLE && !f->mid_depth;
    if (!bare && (!f->mid_depth || f->mid_depth == depth)) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "%s: U-Net: middle block: found %zu transformer blocks, "
                   "expected %zu, as its coarsest level has", tt_tensor_file_name(file),
                   f->mid_depth, depth);
}

static void set_levels(struct draft *c, const struct tt_unet_form *f, size_t head_width) {
    json_t *channels = json_array(), *layers = json_array(), *down = json_array();
    json_t *up = json_array(), *down_depth = json_array(), *up_depth = json_array();
    json_t *heads = json_array();
    for (size_t i = 0; i < f->levels; i++) {
        size_t k = f->levels - 1 - i, wide = f->level[i].channels, n = f->level[i].layers;
        append_int(c, channels, wide);
        append_int(c, layers, n);
        append(c, down, json_string(f->level[i].depth[0] ? "CrossAttnDownBlock2D"
                                                         : "DownBlock2D"));
        append(c, up, json_string(f->level[k].up_depth[0] ? "CrossAttnUpBlock2D" : "UpBlock2D"));
        append(c, down_depth, depths(c, f->level[i].depth, n, depth_without(f, i)));
        append(c, up_depth, depths(c, f->level[k].up_depth, f->level[k].layers + 1,
                                   depth_without(f, k)));
        if (head_width) append_int(c, heads, wide < head_width ? 1 : wide / head_width);
    }
    set(c, "block_out_channels", channels);
    set(c, "layers_per_block", layers);
    set(c, "down_block_types", down);
    set(c, "up_block_types", up);
    set(c, "transformer_layers_per_block", down_depth);
    if (is_mirrored(f)) json_decref(up_depth);
    else set(c, "reverse_transformer_layers_per_block", up_depth);
    if (head_width) set(c, "attention_head_dim", heads);
    else json_decref(heads);
}

json_t *tt_single_unet_config(const struct tt_single *single, const struct tt_unet_form *f) {
    enum tt_family family = single->family;
    struct draft draft = {json_pack("{s:s}", "_class_name", "UNet2DConditionModel"), false};
    struct draft *c = &draft;
    if (families[family].heads) set_int(c, "attention_head_dim", families[family].heads);
    set_levels(c, f, families[family].head_width);
    set_int(c, "in_channels", f->in);
    set_int(c, "out_channels", f->out);
    set_int(c, "cross_attention_dim", f->context);
    set(c, "use_linear_projection", json_boolean(f->linear));
    if (f->mid == TT_FORM_MID_NONE) set(c, "mid_block_type", json_null());
    if (f->mid == TT_FORM_MID_PLAIN) set(c, "mid_block_type", json_string("UNetMidBlock2D"));
    if (f->time_dim != 4 * f->level[0].channels) set_int(c, "time_embedding_dim", f->time_dim);
    if (f->guidance_dim) set_int(c, "time_cond_proj_dim", f->guidance_dim);
    if (f->added_dim) {
        set(c, "addition_embed_type", json_string("text_time"));
        set_int(c, "addition_time_embed_dim", 256);
        set_int(c, "projection_class_embeddings_input_dim", f->added_dim);
    }
    // Stable Diffusion 2's own model of 512 pixels is the one that predicts noise.
    bool base = family == TT_FAMILY_SD2 && strcmp(tt_single_prediction(single), "v_prediction");
    set_int(c, "sample_size", base ? 64 : families[family].latents);
    return finish(c);
}

// ---- the others ----

json_t *tt_single_vae_config(enum tt_family family, const struct tt_vae_form *f) {
    struct draft draft = {json_pack("{s:s, s:s}", "_class_name", "AutoencoderKL", "act_fn",
                                    "silu"), false};
    struct draft *c = &draft;
    json_t *channels = json_array(), *down = json_array(), *up = json_array();
    for (size_t i = 0; i < f->levels; i++) {
        append_int(c, channels, f->channels[i]);
        append(c, down, json_string("DownEncoderBlock2D"));
        append(c, up, json_string("UpDecoderBlock2D"));
    }
    set(c, "block_out_channels", channels);
    set(c, "down_block_types", down);
    set(c, "up_block_types", up);
    set_int(c, "in_channels", f->in);
    set_int(c, "out_channels", f->out);
    set_int(c, "latent_channels", f->latent);
    set_int(c, "layers_per_block", f->layers);
    set(c, "mid_block_add_attention", json_boolean(f->attention));
    set(c, "use_quant_conv", json_boolean(f->quant));
    set(c, "use_post_quant_conv", json_boolean(f->post_quant));
    set_int(c, "norm_num_groups", 32);
    set_int(c, "sample_size", families[family].vae_size);
    set(c, "scaling_factor", json_real(families[family].scaling));
    return finish(c);
}

json_t *tt_single_tiny_config(void) {
    return json_pack("{s:s}", "_class_name", "AutoencoderTiny"); // with its class's defaults
}

json_t *tt_single_text_config(enum tt_family family, const struct tt_text_form *f) {
    const char *activation = f->projects ? "gelu" : families[family].activation;
    const char *class_name = f->projects ? "CLIPTextModelWithProjection" : "CLIPTextModel";
    struct draft draft = {json_pack("{s:[s], s:s, s:s}", "architectures", class_name, "hidden_act",
                                    activation, "model_type", "clip_text_model"), false};
    struct draft *c = &draft;
    set_int(c, "vocab_size", f->vocabulary);
    set_int(c, "max_position_embeddings", f->positions);
    set_int(c, "hidden_size", f->width);
    set_int(c, "intermediate_size", f->inner);
    set_int(c, "num_hidden_layers", f->layers);
    set_int(c, "num_attention_heads", f->width < HEAD_WIDTH ? 1 : f->width / HEAD_WIDTH);
    set_int(c, "eos_token_id", 2); // of old files: the end is the largest id
    if (f->projects) set_int(c, "projection_dim", f->projection);
    return finish(c);
}

// As the families' own files have it; what is v_prediction or has pure noise at its end, as those
// of such models.
json_t *tt_single_scheduler_config(const struct tt_single *single, bool distilled) {
    const char *prediction = tt_single_prediction(single);
    const char *class_name = families[single->family].scheduler;
    bool xl = single->family == TT_FAMILY_XL || single->family == TT_FAMILY_REFINER;
    bool plain = !strcmp(prediction, "epsilon") && !single->zero_snr;
    if (distilled) class_name = "LCMScheduler";
    else if (!xl && !plain) class_name = "DDIMScheduler";
    struct draft draft = {json_pack("{s:s, s:f, s:f, s:s, s:i, s:s, s:i}", "_class_name",
                                    class_name, "beta_start", 0.00085, "beta_end", 0.012,
                                    "beta_schedule", "scaled_linear", "num_train_timesteps", 1000,
                                    "prediction_type", prediction, "steps_offset", 1), false};
    struct draft *c = &draft;
    // Also keys that other schedulers made of it obey. Without timestep_spacing, each has its own.
    set(c, "set_alpha_to_one", json_false());
    set(c, "clip_sample", json_false());
    set(c, "skip_prk_steps", json_true());
    if ((xl && !distilled) || single->zero_snr)
        set(c, "timestep_spacing", json_string(single->zero_snr ? "trailing" : "leading"));
    if (single->zero_snr) set(c, "rescale_betas_zero_snr", json_true());
    return finish(c);
}

json_t *tt_single_tokenizer_config(const char *padding) {
    struct draft draft = {json_pack("{s:s, s:i, s:b}", "tokenizer_class", "CLIPTokenizer",
                                    "model_max_length", 77, "add_prefix_space", 0), false};
    struct draft *c = &draft;
    static const char *const ends[] = {"bos_token", "eos_token", "unk_token"};
    for (int i = 0; i < 3; i++) // special tokens as the hub's files declare them
        set(c, ends[i], json_pack("{s:s, s:b, s:b, s:b, s:b}", "content",
                                  i ? "<|endoftext|>" : "<|startoftext|>", "lstrip", 0,
                                  "normalized", 1, "rstrip", 0, "single_word", 0));
    set(c, "pad_token", json_string(padding));
    return finish(c);
}

json_t *tt_single_index(const struct tt_single *single, const struct tt_unet_form *form) {
    bool xl = single->family == TT_FAMILY_XL, refiner = single->family == TT_FAMILY_REFINER;
    const char *class_name = refiner                 ? "StableDiffusionXLImg2ImgPipeline"
                             : xl && form->in == 9   ? "StableDiffusionXLInpaintPipeline"
                             : xl                    ? "StableDiffusionXLPipeline"
                             : form->guidance_dim    ? "LatentConsistencyModelPipeline"
                             : form->in == 9         ? "StableDiffusionInpaintPipeline"
                             : form->in == 8         ? "StableDiffusionInstructPix2PixPipeline"
                                                     : "StableDiffusionPipeline";
    bool tiny = single->part[TT_SINGLE_VAE].layout == TT_LAYOUT_TINY;
    struct draft draft = {json_pack("{s:s, s:[s, s], s:[s, s]}", "_class_name", class_name, "unet",
                                    "diffusers", "UNet2DConditionModel", "vae", "diffusers",
                                    tiny ? "AutoencoderTiny" : "AutoencoderKL"), false};
    struct draft *c = &draft;
    json_t *scheduler = tt_single_scheduler_config(single, form->guidance_dim > 0);
    json_t *name = json_object_get(scheduler, "_class_name");
    set(c, "scheduler", json_pack("[s, O]", "diffusers", name));
    json_decref(scheduler);
    if (refiner) {
        set(c, "text_encoder", json_pack("[n, n]"));
        set(c, "tokenizer", json_pack("[n, n]"));
    } else {
        set(c, "text_encoder", json_pack("[s, s]", "transformers", "CLIPTextModel"));
        set(c, "tokenizer", json_pack("[s, s]", "transformers", "CLIPTokenizer"));
    }
    if (xl || refiner) {
        set(c, "text_encoder_2", json_pack("[s, s]", "transformers",
                                           "CLIPTextModelWithProjection"));
        set(c, "tokenizer_2", json_pack("[s, s]", "transformers", "CLIPTokenizer"));
        set(c, "force_zeros_for_empty_prompt", json_boolean(xl));
    }
    if (refiner) set(c, "requires_aesthetics_score", json_true());
    return finish(c);
}
