// SPDX-License-Identifier: MIT
// What must fit when the parts of a model have been read: what one gives is what the next takes.
#include "parts.h"

// A U-Net alone gives pictures from pictures.
static enum tt_status check_alone(const struct tt_model *m, const struct tt_facts *f,
                                  struct tt_error *err) {
    size_t in = f->info.latent_channels, out = f->predicted_channels;
    if (in == out && (in == 3 || in == 1)) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT,
                   "%s: unet/config.json: in_channels, out_channels: found %zu, %zu, expected "
                   "3, 3: red, green and blue, or 1, 1: grey", tt_folder_name(m->folder),
                   in, out);
}

// The tokenizer of a text encoder knows no more than that has embeddings for.
static enum tt_status check_vocabulary(const struct tt_model *m, enum tt_part part,
                                       struct tt_error *err) {
    const struct tt_clip_config *text = m->parts[part].config;
    const struct tt_tokenizer *tokenizer = tt_tokenizer_of(m, part);
    if (!tokenizer || (size_t)tt_tokenizer_size(tokenizer) <= text->vocab_size) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "%s: %s/config.json: vocab_size: found %zu, expected at "
                   "least %zu, the tokenizer's (%s/)", tt_folder_name(m->folder),
                   tt_part_folder((int)part), text->vocab_size,
                   (size_t)tt_tokenizer_size(tokenizer),
                   part == TT_PART_TEXT ? "tokenizer" : "tokenizer_2");
}

// What the U-Net attends to is as wide as the text encoders make it.
static enum tt_status check_context(const struct tt_model *m, const struct tt_facts *f,
                                    struct tt_error *err) {
    bool first = m->parts[TT_PART_TEXT].network, second = m->parts[TT_PART_TEXT_2].network;
    if (f->info.text_width == f->context_width) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT,
                   "%s: unet/config.json: cross_attention_dim: found %zu, expected %zu, %s",
                   tt_folder_name(m->folder), f->context_width, f->info.text_width,
                   !second ? "the text encoder's hidden_size (text_encoder/config.json)"
                   : first ? "the text encoders' hidden_size together (text_encoder/config.json, "
                             "text_encoder_2/config.json)"
                           : "hidden_size of text_encoder_2/config.json: model_index.json has null "
                             "for text_encoder, which a wider one needs, too");
}

// What SDXL's U-Net is told beside the text.
static enum tt_status check_added(const struct tt_model *m, const struct tt_facts *f,
                                  struct tt_error *err) {
    const struct tt_unet_config *unet = tt_unet_of(m);
    const char *name = tt_folder_name(m->folder);
    const size_t expected = m->second_stage ? 5 : 6;
    if (!f->projection)
        return tt_fail(err, TT_BAD_INPUT, "%s: text_encoder_2/config.json: architectures: found no "
                       "CLIPTextModelWithProjection, expected it: the U-Net is told what the whole "
                       "text says", name);
    if (!unet->added_dim)
        return tt_fail(err, TT_BAD_INPUT, "%s: unet/config.json: addition_embed_type: found null, "
                       "expected \"text_time\", as SDXL's U-Nets have it", name);
    if (f->info.pooled_width == f->projection && unet->time_ids == expected) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "%s: unet/config.json: "
                   "projection_class_embeddings_input_dim: found %zu, expected %zu: projection_dim "
                   "of text_encoder_2 (%zu) and %zu times addition_time_embed_dim (%zu), as "
                   "requires_aesthetics_score of model_index.json is %s", name, unet->added_dim,
                   f->projection + expected * unet->added_time_dim, f->projection, expected,
                   unet->added_time_dim, m->second_stage ? "true" : "false");
}

// A whole text is told to the U-Nets of SDXL, and to no others.
static enum tt_status check_unadded(const struct tt_model *m, struct tt_error *err) {
    if (!tt_unet_of(m)->added_dim) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "%s: unet/config.json: addition_embed_type: found "
                   "\"text_time\", expected null: the U-Net is of SDXL, whose _class_name in "
                   "model_index.json is StableDiffusionXLPipeline", tt_folder_name(m->folder));
}

enum tt_status tt_check_fit(const struct tt_model *m, unsigned kind, const struct tt_facts *f,
                            struct tt_error *err) {
    char vae[512];
    if (kind == TT_PIXELS) return check_alone(m, f, err);
    tt_folder_where(m->parts[TT_PART_VAE_ENCODE].folder, "vae/config.json", vae, sizeof vae);
    if (f->seen_channels != 3 || f->shown_channels != 3)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: in_channels, out_channels: found %zu, %zu, expected 3, 3: red, green "
                       "and blue", vae, f->seen_channels, f->shown_channels);
    if (kind == TT_AUTOENCODER) return TT_OK;
    enum tt_status status = check_context(m, f, err);
    if (!status) status = kind == TT_XL ? check_added(m, f, err) : check_unadded(m, err);
    if (status) return status;
    size_t in = f->info.latent_channels, c = f->latent_channels;
    bool instructed = in == 2 * c && kind != TT_XL;
    if ((in != c && !instructed && in != 2 * c + 1) || f->predicted_channels != c)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: unet/config.json: in_channels, out_channels: found %zu, %zu, expected "
                       "%zu, the autoencoder's latent_channels (%s); in_channels may also be %zu, "
                       "of instruct-pix2pix, or %zu, for inpainting", tt_folder_name(m->folder),
                       in, f->predicted_channels, c, vae, 2 * c, 2 * c + 1);
    if (tt_tokenizer_of(m, TT_PART_TEXT_2) && tt_tokenizer_whole(m->tokenizer_2))
        return tt_fail(err, TT_BAD_INPUT, "%s: tokenizer_2/tokenizer_config.json: "
                       "model_max_length: found less than 2, expected the length that prompts are "
                       "cut and padded to", tt_folder_name(m->folder));
    for (enum tt_part part = 0; !status && part < TT_PARTS; part++)
        status = check_vocabulary(m, part, err);
    return status;
}
