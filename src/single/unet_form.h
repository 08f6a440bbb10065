// SPDX-License-Identifier: MIT
// The form of a U-Net as its tensors show it: levels, widths, depths, and where each block of the
// original layout stands in diffusers'.
#ifndef TT_SINGLE_UNET_FORM_H
#define TT_SINGLE_UNET_FORM_H

#include "single/family.h"

enum { TT_FORM_LEVELS = 8, TT_FORM_LAYERS = 8, TT_FORM_BLOCKS = 128 };

struct tt_unet_form {
    size_t levels, in, out, context, time_dim, guidance_dim, added_dim;
    bool linear; // projections around transformers
    struct {
        size_t channels, layers, up_layers;
        // Transformer blocks behind each ResNet, going down and up; 0: no attention.
        size_t depth[TT_FORM_LAYERS], up_depth[TT_FORM_LAYERS + 1];
    } level[TT_FORM_LEVELS]; // from the finest on
    enum { TT_FORM_MID_NONE, TT_FORM_MID_PLAIN, TT_FORM_MID_WHOLE } mid;
    size_t mid_depth;
    // input_blocks.N and output_blocks.N in the original layout: their level and layer in
    // diffusers' (going up, levels are counted from the coarsest).
    struct {
        size_t level, layer;
    } down[TT_FORM_BLOCKS], up[TT_FORM_BLOCKS];
};

// TT_BAD_INPUT names the file and what does not make a U-Net.
enum tt_status tt_unet_form_read(const struct tt_tensor_file *file, const struct tt_single *single,
                                 struct tt_unet_form *form, struct tt_error *err);

// What diffusers calls the tensor of the original layout whose name without the prefix is given;
// false: it has no name there.
bool tt_unet_form_name(const struct tt_unet_form *form, const char *name, char *text, size_t size);

#endif
