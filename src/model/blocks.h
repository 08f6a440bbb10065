// SPDX-License-Identifier: MIT
// The modules that the U-Net and the autoencoder are made of, one function each, after the classes
// of diffusers whose names they bear: models/resnet.py, attention.py, downsampling.py,
// upsampling.py and transformers/transformer_2d.py. Every function opens the module's own path,
// appends its nodes and returns its output; index is the module's place in its list.
#ifndef TT_MODEL_BLOCKS_H
#define TT_MODEL_BLOCKS_H

#include "graph/tape.h"

// What the ResNet blocks of a network have in common, and its attention over pixels with them.
struct tt_resnets {
    size_t groups;
    float eps;
    float divisor; // "output_scale_factor": the sum is divided by it
};

// Transformer2DModel's settings.
struct tt_transformer {
    size_t heads, layers, groups;
    bool linear_projection;    // proj_in and proj_out are Linear rather than 1x1 convolutions
    bool only_cross_attention; // attn1 attends to the context, too
};

// Convolution that keeps the size; kernel 1 or 3. x (N, C, H, W) -> (N, out, H, W).
tt_value tt_same_conv(struct tt_tape *t, const char *name, tt_value x, size_t out, size_t kernel);

// A module that does nothing when a trained network is used (Dropout): only its name is noted.
tt_value tt_identity(struct tt_tape *t, const char *name, tt_value x);

// "resnets.<index>", ResnetBlock2D: x (N, C, H, W), temb (N, E) or TT_NO_VALUE -> (N, out, H, W).
tt_value tt_resnet_block(struct tt_tape *t, int index, tt_value x, tt_value temb, size_t out,
                         struct tt_resnets with);

// "attentions.<index>", Transformer2DModel: x (N, C, H, W), context (N, T, D) -> (N, C, H, W).
tt_value tt_transformer_2d(struct tt_tape *t, int index, tt_value x, tt_value context,
                           const struct tt_transformer *with);

// "attentions.<index>", Attention over all pixels, with its own group norm and residual: heads of
// width head_dim, as many as fit into C. x (N, C, H, W) -> (N, C, H, W).
tt_value tt_pixel_attention(struct tt_tape *t, int index, tt_value x, size_t head_dim,
                            struct tt_resnets with);

// "downsamplers.0", Downsample2D: x (N, C, H, W) -> (N, C, H', W'), about half. padding 1 pads
// every side; padding 0 pads one row below and one column to the right.
tt_value tt_downsample(struct tt_tape *t, tt_value x, size_t padding);

// "upsamplers.0", Upsample2D: x (N, C, H, W) -> (N, C, height, width).
tt_value tt_upsample(struct tt_tape *t, tt_value x, size_t height, size_t width);

#endif
