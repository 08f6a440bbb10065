// SPDX-License-Identifier: MIT
// The U-Net, as two classes of diffusers have it: UNet2DConditionModel of Stable Diffusion 1.x, 2.x
// and XL (models/unets/unet_2d_condition.py), which attends to a text, and UNet2DModel
// (unet_2d.py), which knows only the sample and the timestep. One configuration, one tape: they
// differ in what attends to what.
#ifndef TT_MODEL_UNET_H
#define TT_MODEL_UNET_H

#include "graph/tape.h"
#include "io/json.h"

enum { TT_UNET_LEVELS = 8, TT_UNET_LAYERS = 8 }; // the most of either

// One resolution, from the finest to the coarsest.
struct tt_unet_level {
    size_t channels;
    size_t layers;             // ResNet blocks on the way down; one more on the way up
    bool down_attention;       // (Cross)AttnDownBlock2D rather than DownBlock2D
    bool up_attention;         // (Cross)AttnUpBlock2D rather than UpBlock2D
    // "attention_head_dim". UNet2DConditionModel takes it for the number of heads, a mistake that
    // stayed; UNet2DModel for the width of one.
    size_t heads, head_dim;
    // In each Transformer2DModel, on the way down and up.
    size_t down_transformers[TT_UNET_LAYERS], up_transformers[TT_UNET_LAYERS + 1];
    bool only_cross_attention;
};

struct tt_unet_config {
    size_t in_channels, out_channels;
    size_t level_count;
    struct tt_unet_level level[TT_UNET_LEVELS];
    bool unconditional;         // UNet2DModel
    // The middle may be none, one ResNet block (UNet2DConditionModel's "UNetMidBlock2D"), or two
    // around what attends, which UNet2DModel may go without.
    enum { TT_MID_NONE, TT_MID_ONE, TT_MID_WHOLE } mid_block;
    bool mid_attention;
    size_t mid_transformers; // in its Transformer2DModel
    size_t cross_attention_dim; // D of the text; 0: unconditional
    size_t time_embed_dim;
    size_t time_cond_dim; // "time_cond_proj_dim": of the guidance embedding; 0: none
    // "text_time": what is known of a whole text and numbers like the picture's size, each as
    // added_time_dim sines and cosines, side by side: added_dim in all; 0: none.
    size_t added_dim, added_time_dim;
    size_t time_ids; // how many numbers: 6, where tt_unet_config_fit() does not say otherwise
    size_t groups, mid_attention_groups; // the latter where pixels attend
    float eps;
    bool flip_sin_to_cos;
    float freq_shift;
    size_t downsample_padding;
    float mid_block_divisor; // "mid_block_scale_factor"
    size_t conv_in_kernel, conv_out_kernel;
    bool linear_projection;
    size_t sample_height, sample_width; // of the samples it was trained on; 0 when not said
};

// Reads the whole object; "_class_name" says of which class it is, UNet2DConditionModel without it.
// TT_BAD_INPUT names file, key, found and expected.
enum tt_status tt_unet_config_read(struct tt_json *json, struct tt_unet_config *config,
                                   struct tt_error *err);

// The file says the sum added_dim alone. Given the width of the text's part, fills in time_ids;
// false: there is no such number.
bool tt_unet_config_fit(struct tt_unet_config *config, size_t text_embeds);
// The width of the text's part; 0: none.
size_t tt_unet_text_embeds(const struct tt_unet_config *config);

// Inputs and output of the tape.
struct tt_unet {
    tt_value sample;                // (N, in_channels, H, W)
    tt_value timestep;              // (N), may be fractional
    tt_value timestep_cond;         // (N, time_cond_dim); TT_NO_VALUE when that is 0
    tt_value encoder_hidden_states; // (N, T, cross_attention_dim); TT_NO_VALUE: unconditional
    tt_value text_embeds; // (N, tt_unet_text_embeds()); TT_NO_VALUE when nothing is added
    tt_value time_ids;    // (N, time_ids); the same
    tt_value out;                   // (N, out_channels, H, W)
};

// Lays the network out for a batch of n samples of height x width and `tokens` rows of context,
// which an unconditional one does not read. Any size, also one that does not halve evenly, unless
// it is unconditional: then of tt_unet_multiple(). Errors stick to the tape.
struct tt_unet tt_unet_tape(struct tt_tape *t, const struct tt_unet_config *config, size_t n,
                            size_t height, size_t width, size_t tokens);

// What height and width must divide by: 1 but for UNet2DModel, which doubles what it has halved.
size_t tt_unet_multiple(const struct tt_unet_config *config);

// What a model that was distilled with guidance learned as timestep_cond for a guidance scale
// (arXiv 2310.04378, get_guidance_scale_embedding in diffusers): sines, then cosines of
// 1000 (scale - 1). out: dim floats; an odd one ends with a 0. dim >= 4.
void tt_guidance_embedding(double scale, size_t dim, float *out);

#endif
