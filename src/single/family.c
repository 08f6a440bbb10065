// SPDX-License-Identifier: MIT
#include "single/family.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

// Where networks are: a name that each of its layout has, and the prefixes that files give it. The
// first that is found counts.
static const struct place {
    enum tt_single_part part;
    enum tt_layout layout;
    const char *prefix, *tensor;
} places[] = {
    {TT_SINGLE_UNET, TT_LAYOUT_ORIGINAL, "model.diffusion_model.", "input_blocks.0.0.weight"},
    {TT_SINGLE_UNET, TT_LAYOUT_ORIGINAL, "", "input_blocks.0.0.weight"},
    {TT_SINGLE_UNET, TT_LAYOUT_DIFFUSERS, "", "down_blocks.0.resnets.0.time_emb_proj.weight"},
    {TT_SINGLE_VAE, TT_LAYOUT_ORIGINAL, "first_stage_model.", "decoder.mid.block_1.norm1.weight"},
    {TT_SINGLE_VAE, TT_LAYOUT_ORIGINAL, "vae.", "decoder.mid.block_1.norm1.weight"},
    {TT_SINGLE_VAE, TT_LAYOUT_ORIGINAL, "", "decoder.mid.block_1.norm1.weight"},
    {TT_SINGLE_VAE, TT_LAYOUT_DIFFUSERS, "first_stage_model.",
     "decoder.mid_block.resnets.0.norm1.weight"},
    {TT_SINGLE_VAE, TT_LAYOUT_DIFFUSERS, "vae.", "decoder.mid_block.resnets.0.norm1.weight"},
    {TT_SINGLE_VAE, TT_LAYOUT_DIFFUSERS, "", "decoder.mid_block.resnets.0.norm1.weight"},
    {TT_SINGLE_VAE, TT_LAYOUT_TINY, "", "decoder.layers.0.weight"},
    {TT_SINGLE_TEXT, TT_LAYOUT_DIFFUSERS, "cond_stage_model.transformer.",
     "text_model.embeddings.token_embedding.weight"},
    {TT_SINGLE_TEXT, TT_LAYOUT_DIFFUSERS, "cond_stage_model.transformer.",
     "embeddings.token_embedding.weight"}, // as sd-webui found them in some files
    {TT_SINGLE_TEXT, TT_LAYOUT_DIFFUSERS, "conditioner.embedders.0.transformer.",
     "text_model.embeddings.token_embedding.weight"},
    {TT_SINGLE_TEXT, TT_LAYOUT_OPENCLIP, "cond_stage_model.model.", "token_embedding.weight"},
    {TT_SINGLE_TEXT, TT_LAYOUT_OPENCLIP, "conditioner.embedders.0.model.",
     "token_embedding.weight"},
    {TT_SINGLE_TEXT, TT_LAYOUT_DIFFUSERS, "", "text_model.embeddings.token_embedding.weight"},
    {TT_SINGLE_TEXT, TT_LAYOUT_DIFFUSERS, "", "embeddings.token_embedding.weight"},
    {TT_SINGLE_TEXT_2, TT_LAYOUT_OPENCLIP, "conditioner.embedders.1.model.",
     "token_embedding.weight"},
    {TT_SINGLE_TEXT_2, TT_LAYOUT_DIFFUSERS, "cond_stage_model.1.transformer.",
     "text_model.embeddings.token_embedding.weight"}, // as stable-diffusion.cpp calls it
};

// Files of other kinds, by a part of one of their names.
static const struct {
    const char *part, *what;
} others[] = {
    {"input_hint_block.0.weight", "a ControlNet, which guides a model"},
    {"controlnet_cond_embedding.conv_in.weight", "a ControlNet, which guides a model"},
    {".lora_down.weight", "a LoRA, which --lora adds to a model"},
    {".lora_up.weight", "a LoRA, which --lora adds to a model"},
    {".lora_A.", "a LoRA, which --lora adds to a model"},
    {".lora.down.weight", "a LoRA, which --lora adds to a model"},
    {".hada_w1_a", "a LoHa, which changes a model's weights"},
    {".lokr_w1", "a LoKr, which changes a model's weights"},
    {"emb_params", "a textual inversion embedding, a word for prompts"},
    {"string_to_param", "a textual inversion embedding, a word for prompts"},
    {"image_proj.", "an IP-Adapter, which guides a model"},
    {"adapter.body.0.", "a T2I-Adapter, which guides a model"},
    {"motion_modules.", "a motion module, for video"},
    {"joint_blocks.0.", "a Stable Diffusion 3"},
    {"double_blocks.0.img_attn", "a FLUX"},
    {"single_transformer_blocks.0.", "a FLUX"},
    {"double_layers.0.", "an AuraFlow"},
    {"clip_txt_mapper.", "a Stable Cascade"},
    {"text_encoders.t5xxl.", "a model with a T5 text encoder"},
    {"shared.weight", "a T5 text encoder"},
    {"vision_model.embeddings.patch_embedding.weight", "an image encoder"},
    {"conv_first.weight", "an upscaler"},
    {"edm_vpred.sigma_max", "a model of continuous sigmas (EDM)"},
    {"edm_mean", "a Playground 2.5 (EDM)"},
    {"label_emb.weight", "an upscaler by diffusion (x4)"},
};

const struct tt_view *tt_single_find(const struct tt_tensor_file *file, const char *prefix,
                                     const char *format, ...) {
    char name[256];
    va_list list;
    size_t used = strlen(prefix);
    if (used >= sizeof name) return NULL;
    memcpy(name, prefix, used + 1);
    va_start(list, format);
    int more = vsnprintf(name + used, sizeof name - used, format, list);
    va_end(list);
    if (more < 0 || (size_t)more >= sizeof name - used) return NULL;
    return tt_tensor_file_find(file, name);
}

static const char *const names[] = {
    [TT_FAMILY_NONE] = "no family",
    [TT_FAMILY_SD1] = "Stable Diffusion 1.x",
    [TT_FAMILY_SD2] = "Stable Diffusion 2.x",
    [TT_FAMILY_XL] = "Stable Diffusion XL",
    [TT_FAMILY_REFINER] = "Stable Diffusion XL refiner",
};

const char *tt_family_name(enum tt_family family) {
    return names[family];
}

static const struct {
    const char *folder, *name;
} parts[] = {
    [TT_SINGLE_UNET] = {"unet", "U-Net"},
    [TT_SINGLE_VAE] = {"vae", "autoencoder"},
    [TT_SINGLE_TEXT] = {"text_encoder", "text encoder"},
    [TT_SINGLE_TEXT_2] = {"text_encoder_2", "second text encoder"},
};

const char *tt_single_folder(int part) {
    return parts[part].folder;
}

const char *tt_single_part_name(int part) {
    return parts[part].name;
}

// ---- what it is ----

static void find_parts(const struct tt_tensor_file *file, struct tt_single *s) {
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const struct place *p = &places[i];
        if (s->part[p->part].layout || !tt_single_find(file, p->prefix, "%s", p->tensor)) continue;
        s->part[p->part].layout = p->layout;
        s->part[p->part].prefix = p->prefix;
    }
}

static void find_other(const struct tt_tensor_file *file, struct tt_single *s) {
    bool drawing = s->part[TT_SINGLE_UNET].layout || s->part[TT_SINGLE_VAE].layout ||
                   s->part[TT_SINGLE_TEXT].layout;
    for (size_t k = 0; k < sizeof others / sizeof *others && !s->other; k++) {
        for (size_t i = 0; i < tt_tensor_file_count(file) && !s->other; i++) {
            const char *name = tt_tensor_file_at(file, i)->name;
            const char *at = strstr(name, others[k].part);
            // In a checkpoint the name must stand alone, or behind the U-Net's prefix.
            bool whole = at && (at == name || !strncmp(name, "model.diffusion_model.", 22));
            if (!at || (drawing && !whole)) continue;
            s->other = others[k].what;
            s->other_tensor = name;
        }
    }
}

// The width of what the U-Net attends to; 0: it attends to nothing.
static size_t context_width(const struct tt_tensor_file *file, const struct tt_single *s) {
    static const char tail[] = ".transformer_blocks.0.attn2.to_k.weight";
    const char *prefix = s->part[TT_SINGLE_UNET].prefix;
    size_t length = strlen(prefix);
    for (size_t i = 0; i < tt_tensor_file_count(file); i++) {
        const struct tt_view *view = tt_tensor_file_at(file, i);
        if (!strncmp(view->name, prefix, length) && tt_text_ends(view->name, tail) &&
            view->shape.rank == 2)
            return view->shape.dim[1];
    }
    return 0;
}

static const struct tt_view *added_embedding(const struct tt_tensor_file *file,
                                             const struct tt_single *s) {
    const char *prefix = s->part[TT_SINGLE_UNET].prefix;
    bool original = s->part[TT_SINGLE_UNET].layout == TT_LAYOUT_ORIGINAL;
    return tt_single_find(file, prefix, "%s", original ? "label_emb.0.0.weight"
                                                       : "add_embedding.linear_1.weight");
}

// Linear projections around transformers, where Stable Diffusion 1.x has 1x1 convolutions.
static bool projects_linearly(const struct tt_tensor_file *file, const struct tt_single *s) {
    const char *prefix = s->part[TT_SINGLE_UNET].prefix;
    bool original = s->part[TT_SINGLE_UNET].layout == TT_LAYOUT_ORIGINAL;
    for (int i = 0; i < 64; i++) {
        const struct tt_view *view =
            original ? tt_single_find(file, prefix, "input_blocks.%d.1.proj_in.weight", i)
                     : tt_single_find(file, prefix, "down_blocks.%d.attentions.0.proj_in.weight",
                                      i);
        if (view) return view->shape.rank == 2;
    }
    return false;
}

static enum tt_family family_of(const struct tt_tensor_file *file, struct tt_single *s) {
    enum tt_layout text = s->part[TT_SINGLE_TEXT].layout, second = s->part[TT_SINGLE_TEXT_2].layout;
    const char *prefix = s->part[TT_SINGLE_TEXT].prefix;
    if (!s->part[TT_SINGLE_UNET].layout) {
        if (second) return TT_FAMILY_XL;
        if (text == TT_LAYOUT_OPENCLIP) return TT_FAMILY_SD2;
        return text && *prefix ? TT_FAMILY_SD1 : TT_FAMILY_NONE;
    }
    const struct tt_view *added = added_embedding(file, s);
    size_t context = context_width(file, s);
    if (added && second) return TT_FAMILY_XL;
    if (added && text == TT_LAYOUT_OPENCLIP && !strncmp(prefix, "cond_stage_model", 16)) {
        s->other = "a Stable unCLIP, which is given pictures";
        s->other_tensor = added->name;
        return TT_FAMILY_NONE;
    }
    // The pooled embedding and five numbers of 256 (size, place, score), where the base has six.
    if (added && (text == TT_LAYOUT_OPENCLIP ||
                  (!text && added->shape.rank == 2 && added->shape.dim[1] == context + 5 * 256)))
        return TT_FAMILY_REFINER;
    if (added) return TT_FAMILY_XL;
    bool second_version = text == TT_LAYOUT_OPENCLIP || (context == 1024 && text) ||
                          (!text && projects_linearly(file, s));
    return second_version ? TT_FAMILY_SD2 : TT_FAMILY_SD1;
}

// ---- marks ----

// Whether the checkpoint counts the steps of Stable Diffusion 2's base model, as diffusers asks.
static bool is_base_of_2(const struct tt_tensor_file *file) {
    const struct tt_view *view = tt_tensor_file_find(file, "global_step");
    int64_t step = 0;
    if (!view || view->dtype != TT_I64 || view->bytes != sizeof step) return false;
    memcpy(&step, view->data, sizeof step);
    return step == 875000;
}

static void find_marks(const struct tt_tensor_file *file, struct tt_single *s) {
    const char *said = tt_tensor_file_metadata(file, "modelspec.prediction_type");
    const char *kind = tt_tensor_file_metadata(file, "modelspec.architecture");
    s->zero_snr = tt_tensor_file_find(file, "ztsnr") != NULL;
    if (tt_tensor_file_find(file, "v_pred")) {
        s->prediction = "v_prediction";
        s->mark = "its tensor v_pred";
    } else if (said && (!strcmp(said, "v") || !strcmp(said, "v_prediction"))) {
        s->prediction = "v_prediction";
        s->mark = "modelspec.prediction_type in its metadata";
    } else if (said && (!strcmp(said, "epsilon") || !strcmp(said, "sample"))) {
        s->prediction = *said == 'e' ? "epsilon" : "sample";
        s->mark = "modelspec.prediction_type in its metadata";
    } else if (kind && !strncmp(kind, "stable-diffusion-v2-768-v", 25)) {
        s->prediction = "v_prediction";
        s->mark = "modelspec.architecture in its metadata";
    } else if (kind && !strncmp(kind, "stable-diffusion-v2-512", 23)) {
        s->prediction = "epsilon";
        s->mark = "modelspec.architecture in its metadata";
    } else if (s->family == TT_FAMILY_SD2 && is_base_of_2(file)) {
        s->prediction = "epsilon";
        s->mark = "its global_step of 875000";
    }
}

void tt_single_recognise(const struct tt_tensor_file *file, struct tt_single *single) {
    *single = (struct tt_single){0};
    for (size_t i = 0; i < tt_tensor_file_count(file); i++)
        single->average += !strncmp(tt_tensor_file_at(file, i)->name, "model_ema.", 10);
    find_parts(file, single);
    find_other(file, single);
    single->family = family_of(file, single);
    if (single->family == TT_FAMILY_REFINER && single->part[TT_SINGLE_TEXT].layout) {
        single->part[TT_SINGLE_TEXT_2] = single->part[TT_SINGLE_TEXT];
        single->part[TT_SINGLE_TEXT].layout = TT_LAYOUT_NONE;
    }
    find_marks(file, single);
}
