// SPDX-License-Identifier: MIT
#include "single/vae_form.h"

#include <stdio.h>
#include <string.h>

static size_t side(const struct tt_view *view, size_t axis) {
    return view && axis < view->shape.rank ? view->shape.dim[axis] : 0;
}

// Both layouts: how the ResNet `layer` of a level of the encoder begins.
static const char *const resnets[] = {"encoder.down.%zu.block.%zu.conv2.weight",
                                      "encoder.down_blocks.%zu.resnets.%zu.conv2.weight"};
static const char *const attentions[] = {"decoder.mid.attn_1.norm.weight",
                                         "decoder.mid_block.attentions.0.group_norm.weight"};

enum tt_status tt_vae_form_read(const struct tt_tensor_file *file, const struct tt_single *single,
                                struct tt_vae_form *form, struct tt_error *err) {
    *form = (struct tt_vae_form){0};
    const char *prefix = single->part[TT_SINGLE_VAE].prefix, *name = tt_tensor_file_name(file);
    int layout = single->part[TT_SINGLE_VAE].layout != TT_LAYOUT_ORIGINAL;
    const struct tt_view *view;
    char text[128];
    form->in = side(tt_single_find(file, prefix, "encoder.conv_in.weight"), 1);
    form->out = side(tt_single_find(file, prefix, "decoder.conv_out.weight"), 0);
    form->latent = side(tt_single_find(file, prefix, "decoder.conv_in.weight"), 1);
    form->attention = tt_single_find(file, prefix, "%s", attentions[layout]);
    form->quant = tt_single_find(file, prefix, "quant_conv.weight");
    form->post_quant = tt_single_find(file, prefix, "post_quant_conv.weight");
    for (size_t i = 0; i <= TT_VAE_FORM_LEVELS; i++) {
        size_t layers = 0;
        for (; layers <= TT_VAE_FORM_LAYERS; layers++) {
            snprintf(text, sizeof text, resnets[layout], i, layers);
            if (!(view = tt_single_find(file, prefix, "%s", text))) break;
            if (i < TT_VAE_FORM_LEVELS) form->channels[i] = side(view, 0);
        }
        if (!layers) break;
        if (i == TT_VAE_FORM_LEVELS || layers > TT_VAE_FORM_LAYERS || (i && layers != form->layers))
            return tt_fail(err, TT_BAD_INPUT, "%s: autoencoder: level %zu: found %zu layers, "
                           "expected as many on each of at most %d levels, at most %d", name, i,
                           layers, TT_VAE_FORM_LEVELS, TT_VAE_FORM_LAYERS);
        form->layers = layers;
        form->levels = i + 1;
    }
    if (form->levels && form->in && form->out && form->latent) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "%s: autoencoder: found %zu levels, %zu channels in, %zu "
                   "out, %zu of latents; expected none to be 0, an encoder and a decoder", name,
                   form->levels, form->in, form->out, form->latent);
}

// ---- names ----

// A part of "encoder." or "decoder.", which stays before it.
static const struct {
    const char *from, *to;
    bool matrix;
} middle[] = {
    {"mid.block_1.", "mid_block.resnets.0.", false},
    {"mid.block_2.", "mid_block.resnets.1.", false},
    {"mid.attn_1.norm.", "mid_block.attentions.0.group_norm.", false},
    {"mid.attn_1.q.", "mid_block.attentions.0.to_q.", true},
    {"mid.attn_1.k.", "mid_block.attentions.0.to_k.", true},
    {"mid.attn_1.v.", "mid_block.attentions.0.to_v.", true},
    {"mid.attn_1.proj_out.", "mid_block.attentions.0.to_out.0.", true},
    {"norm_out.", "conv_norm_out.", false},
    {"conv_in.", "conv_in.", false},
    {"conv_out.", "conv_out.", false},
};

// "N.block.M.rest" or "N.downsample.rest" or "N.upsample.rest", of a level.
static bool name_level(const struct tt_vae_form *form, bool up, const char *at, char *text,
                       size_t size) {
    size_t level, layer;
    int used = 0;
    if (sscanf(at, "%3zu.%n", &level, &used) != 1 || !used || level >= form->levels) return false;
    const char *rest = at + used, *half = up ? "decoder.up" : "encoder.down";
    if (up) level = form->levels - 1 - level; // counted from the coarsest
    if (!strncmp(rest, "block.", 6)) {
        used = 0;
        if (sscanf(rest + 6, "%3zu.%n", &layer, &used) != 1 || !used) return false;
        rest += 6 + used;
        bool shortcut = !strncmp(rest, "nin_shortcut.", 13);
        return (size_t)snprintf(text, size, "%s_blocks.%zu.resnets.%zu.%s%s", half, level, layer,
                                shortcut ? "conv_shortcut." : "",
                                rest + (shortcut ? 13 : 0)) < size;
    }
    const char *sampler = up ? "upsample." : "downsample.";
    if (strncmp(rest, sampler, strlen(sampler))) return false;
    return (size_t)snprintf(text, size, "%s_blocks.%zu.%srs.0.%s", half, level,
                            up ? "upsample" : "downsample", rest + strlen(sampler)) < size;
}

bool tt_vae_form_name(const struct tt_vae_form *form, const char *name, char *text, size_t size,
                      bool *matrix) {
    *matrix = false;
    if (!strncmp(name, "quant_conv.", 11) || !strncmp(name, "post_quant_conv.", 16))
        return (size_t)snprintf(text, size, "%s", name) < size;
    bool encoder = !strncmp(name, "encoder.", 8), decoder = !strncmp(name, "decoder.", 8);
    if (!encoder && !decoder) return false;
    const char *rest = name + 8;
    if (!strncmp(rest, encoder ? "down." : "up.", encoder ? 5 : 3))
        return name_level(form, decoder, rest + (encoder ? 5 : 3), text, size);
    for (size_t i = 0; i < sizeof middle / sizeof *middle; i++) {
        size_t length = strlen(middle[i].from);
        if (strncmp(rest, middle[i].from, length)) continue;
        *matrix = middle[i].matrix;
        return (size_t)snprintf(text, size, "%.8s%s%s", name, middle[i].to, rest + length) < size;
    }
    return false;
}
