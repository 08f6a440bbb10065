// SPDX-License-Identifier: MIT
#include "model/blocks.h"

#include <math.h>

tt_value tt_same_conv(struct tt_tape *t, const char *name, tt_value x, size_t out, size_t kernel) {
    size_t p = (kernel - 1) / 2, padding[4] = {p, p, p, p};
    return tt_nn_conv2d(t, name, x, out, kernel, 1, padding);
}

tt_value tt_identity(struct tt_tape *t, const char *name, tt_value x) {
    tt_push(t, "%s", name);
    return tt_pop(t, x);
}

static tt_value silu(struct tt_tape *t, const char *name, tt_value x) {
    return tt_nn_activation(t, name, x, TT_OP_silu);
}

// (N, C, H, W) -> (N, H W, C): the same rows.
static tt_value to_rows(struct tt_tape *t, tt_value x) {
    struct tt_shape s = tt_shape_of(t, x);
    return tt_nn_reshape(t, x, (struct tt_shape){3, {s.dim[0], s.dim[2] * s.dim[3], s.dim[1]}});
}

// (N, H W, C) -> (N, C, H, W), H and W those of `like`.
static tt_value to_image(struct tt_tape *t, tt_value x, struct tt_shape like) {
    struct tt_shape s = tt_shape_of(t, x);
    return tt_nn_reshape(t, x,
                         (struct tt_shape){4, {s.dim[0], s.dim[2], like.dim[2], like.dim[3]}});
}

tt_value tt_resnet_block(struct tt_tape *t, int index, tt_value x, tt_value temb, size_t out,
                         struct tt_resnets with) {
    size_t in = tt_shape_of(t, x).dim[1];
    tt_push_block(t, "resnets.%d", index);
    tt_value y = tt_nn_group_norm(t, "norm1", x, with.groups, with.eps); // (N, C, H, W)
    y = silu(t, "nonlinearity", y);
    y = tt_same_conv(t, "conv1", y, out, 3); // (N, out, H, W)
    if (temb != TT_NO_VALUE) {
        tt_value e = silu(t, "nonlinearity", temb);         // (N, E)
        e = tt_nn_linear(t, "time_emb_proj", e, out, true); // (N, out)
        y = tt_nn_add_image(t, "add_time", y, e);
    }
    y = tt_nn_group_norm(t, "norm2", y, with.groups, with.eps);
    y = silu(t, "nonlinearity", y);
    y = tt_identity(t, "dropout", y);
    y = tt_same_conv(t, "conv2", y, out, 3);
    if (in != out) x = tt_same_conv(t, "conv_shortcut", x, out, 1);
    y = tt_nn_add(t, "residual", y, x);
    if (with.divisor != 1) y = tt_nn_scale(t, "scale", y, 1 / with.divisor);
    return tt_pop(t, y);
}

// The inside of Attention, AttnProcessor2_0: x (N, T, C), context (N, S, D) -> (N, T, C). Only
// attention over pixels has a bias in the projections of query, key and value.
static tt_value attend(struct tt_tape *t, tt_value x, tt_value context, size_t heads,
                       size_t head_dim, bool bias) {
    size_t c = tt_shape_of(t, x).dim[2], inner = heads * head_dim;
    tt_value q = tt_nn_linear(t, "to_q", x, inner, bias);       // (N, T, heads D)
    tt_value k = tt_nn_linear(t, "to_k", context, inner, bias); // (N, S, heads D)
    tt_value v = tt_nn_linear(t, "to_v", context, inner, bias); // (N, S, heads D)
    float scale = (float)(1.0 / sqrt((double)head_dim));
    tt_value y = tt_nn_attention(t, "attention", q, k, v, heads, scale, false);
    y = tt_nn_linear(t, "to_out.0", y, c, true);
    return tt_identity(t, "to_out.1", y);
}

// FeedForward with GEGLU: x (N, T, C) -> (N, T, C).
static tt_value feed_forward(struct tt_tape *t, tt_value x) {
    size_t c = tt_shape_of(t, x).dim[2];
    tt_push(t, "ff");
    tt_push(t, "net.0");
    tt_value y = tt_nn_linear(t, "proj", x, 8 * c, true); // (N, T, 8 C)
    y = tt_nn_activation(t, "geglu", y, TT_OP_geglu);     // (N, T, 4 C)
    y = tt_pop(t, y);
    y = tt_identity(t, "net.1", y);
    y = tt_nn_linear(t, "net.2", y, c, true); // (N, T, C)
    return tt_pop(t, y);
}

// BasicTransformerBlock: x (N, T, C), context (N, S, D) -> (N, T, C).
static tt_value transformer_block(struct tt_tape *t, int index, tt_value x, tt_value context,
                                  size_t heads, bool only_cross_attention) {
    const float eps = 1e-5f;
    size_t head_dim = tt_shape_of(t, x).dim[2] / heads;
    tt_push(t, "transformer_blocks.%d", index);

    tt_value y = tt_nn_layer_norm(t, "norm1", x, eps);
    tt_push(t, "attn1");
    y = tt_pop(t, attend(t, y, only_cross_attention ? context : y, heads, head_dim, false));
    x = tt_nn_add(t, "residual", y, x);

    y = tt_nn_layer_norm(t, "norm2", x, eps);
    tt_push(t, "attn2");
    y = tt_pop(t, attend(t, y, context, heads, head_dim, false));
    x = tt_nn_add(t, "residual", y, x);

    y = tt_nn_layer_norm(t, "norm3", x, eps);
    y = feed_forward(t, y);
    x = tt_nn_add(t, "residual", y, x);
    return tt_pop(t, x);
}

tt_value tt_transformer_2d(struct tt_tape *t, int index, tt_value x, tt_value context,
                           const struct tt_transformer *with) {
    struct tt_shape s = tt_shape_of(t, x);
    size_t c = s.dim[1], inner = c / with->heads * with->heads;
    tt_push_block(t, "attentions.%d", index);
    if (s.rank && inner == 0)
        tt_tape_fail(t,
                     "attention_head_dim %zu is the number of heads; it exceeds the %zu channels",
                     with->heads, c);
    tt_value y = tt_nn_group_norm(t, "norm", x, with->groups, 1e-6f); // (N, C, H, W)
    if (with->linear_projection)
        y = tt_nn_linear(t, "proj_in", to_rows(t, y), inner, true); // (N, H W, inner)
    else
        y = to_rows(t, tt_same_conv(t, "proj_in", y, inner, 1));
    for (size_t i = 0; i < with->layers; i++)
        y = transformer_block(t, (int)i, y, context, with->heads, with->only_cross_attention);
    if (with->linear_projection)
        y = to_image(t, tt_nn_linear(t, "proj_out", y, c, true), s); // (N, C, H, W)
    else
        y = tt_same_conv(t, "proj_out", to_image(t, y, s), c, 1);
    y = tt_nn_add(t, "residual", y, x);
    return tt_pop(t, y);
}

tt_value tt_pixel_attention(struct tt_tape *t, int index, tt_value x, size_t head_dim,
                            struct tt_resnets with) {
    struct tt_shape s = tt_shape_of(t, x);
    tt_push_block(t, "attentions.%d", index);
    if (s.rank && s.dim[1] < head_dim)
        tt_tape_fail(t, "attention_head_dim %zu is a head's width; it exceeds the %zu channels",
                     head_dim, s.dim[1]);
    tt_value y = tt_nn_group_norm(t, "group_norm", x, with.groups, with.eps);
    y = to_rows(t, y); // (N, H W, C)
    y = attend(t, y, y, s.dim[1] / head_dim, head_dim, true);
    y = to_image(t, y, s); // (N, C, H, W)
    y = tt_nn_add(t, "residual", y, x);
    if (with.divisor != 1) y = tt_nn_scale(t, "scale", y, 1 / with.divisor);
    return tt_pop(t, y);
}

tt_value tt_downsample(struct tt_tape *t, tt_value x, size_t padding) {
    const size_t around[4] = {1, 1, 1, 1}, below_and_right[4] = {0, 0, 1, 1};
    tt_push(t, "downsamplers.0");
    size_t c = tt_shape_of(t, x).dim[1];
    x = tt_nn_conv2d(t, "conv", x, c, 3, 2, padding ? around : below_and_right);
    return tt_pop(t, x);
}

tt_value tt_upsample(struct tt_tape *t, tt_value x, size_t height, size_t width) {
    tt_push(t, "upsamplers.0");
    x = tt_nn_upsample_nearest(t, "interpolate", x, height, width);
    x = tt_same_conv(t, "conv", x, tt_shape_of(t, x).dim[1], 3);
    return tt_pop(t, x);
}
