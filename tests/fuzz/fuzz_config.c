// SPDX-License-Identifier: MIT
// Input: a letter, then a configuration file: C text encoder, U U-Net, V autoencoder, T
// AutoencoderTiny, S scheduler, I model_index.json. What the readers accept is built: tapes of
// small size, every scheduler.
#include "fuzz.h"

#include "model/clip.h"
#include "model/unet.h"
#include "model/vae.h"
#include "parts.h"

#include <stdlib.h>
#include <string.h>

static void check_tape(struct tt_tape *tape) {
    struct tt_error error = {0};
    enum tt_status status = tt_tape_status(tape, &error);
    must_explain(status, error);
    tt_tape_free(tape);
}

static enum tt_status read_clip(struct tt_json *json, struct tt_error *error) {
    struct tt_clip_config config;
    enum tt_status status = tt_clip_config_read(json, &config, error);
    struct tt_tape tape = {0};
    if (status || config.layers > 24) return status; // every name is compared with all before it
    struct tt_clip clip = tt_clip_tape(&tape, &config, 2, 5, config.layers / 2);
    if (tt_tape_status(&tape, NULL) == TT_OK) {
        struct tt_shape shape = tt_shape_of(&tape, clip.context);
        must(shape.dim[0] == 2 && shape.dim[1] == 5 && shape.dim[2] == config.hidden_size);
    }
    check_tape(&tape);
    struct tt_clip inner = tt_clip_tape_xl(&tape, &config, 2, 5, config.layers / 2);
    if (tt_tape_status(&tape, NULL) == TT_OK) {
        struct tt_shape shape = tt_shape_of(&tape, inner.context);
        must(shape.dim[0] == 2 && shape.dim[1] == 5 && shape.dim[2] == config.hidden_size);
    }
    check_tape(&tape);
    int32_t ids[10] = {0}, positions[5], ends[2];
    tt_clip_prepare(&config, ids, 2, 5, positions, ends, NULL);
    return TT_OK;
}

static enum tt_status read_unet(struct tt_json *json, struct tt_error *error) {
    struct tt_unet_config config;
    enum tt_status status = tt_unet_config_read(json, &config, error);
    struct tt_tape tape = {0};
    size_t blocks = 0;
    for (size_t i = 0; !status && i < config.level_count; i++)
        for (size_t j = 0; j <= config.level[i].layers; j++)
            blocks += 1 + config.level[i].up_transformers[j];
    if (status || blocks > 32) return status;
    size_t multiple = tt_unet_multiple(&config);
    size_t h = multiple > 1 ? 2 * multiple : 9, w = multiple > 1 ? multiple : 7;
    struct tt_unet unet = tt_unet_tape(&tape, &config, 2, h, w, 3);
    if (tt_tape_status(&tape, NULL) == TT_OK) {
        struct tt_shape shape = tt_shape_of(&tape, unet.out);
        must(shape.dim[1] == config.out_channels && shape.dim[2] == h && shape.dim[3] == w);
        must(!config.added_dim || config.added_dim == tt_unet_text_embeds(&config) +
                                                          config.time_ids * config.added_time_dim);
        must(!tt_unet_config_fit(&config, 3) || tt_unet_text_embeds(&config) == 3);
    }
    check_tape(&tape);
    return TT_OK;
}

static enum tt_status read_vae(struct tt_json *json, struct tt_error *error) {
    struct tt_vae_config config;
    enum tt_status status = tt_vae_config_read(json, &config, error);
    if (status) return status;
    size_t factor = tt_vae_factor(&config);
    struct tt_tape tape = {0};
    tt_vae_encoder_tape(&tape, &config, 1, 2 * factor, 3 * factor);
    check_tape(&tape);
    struct tt_vae vae = tt_vae_decoder_tape(&tape, &config, 1, 2, 3);
    if (tt_tape_status(&tape, NULL) == TT_OK) {
        struct tt_shape shape = tt_shape_of(&tape, vae.out);
        must(shape.dim[2] == 2 * factor && shape.dim[3] == 3 * factor);
    }
    check_tape(&tape);
    return TT_OK;
}

// By the table of parts: both halves, and what they tell.
static enum tt_status read_tiny(struct tt_json *json, struct tt_error *error) {
    const enum tt_part parts[] = {TT_PART_VAE_ENCODE, TT_PART_VAE_DECODE};
    const struct tt_part_network *of = tt_part_network(parts[0], TT_AUTOENCODER, "AutoencoderTiny");
    void *config = calloc(1, of->config_size);
    struct tt_facts facts = {0};
    enum tt_status status = config ? of->read(json, config, error) : TT_SYSTEM;
    if (!status) of->tell(config, &facts);
    for (int i = 0; !status && i < 2; i++) {
        struct tt_network network = {0};
        size_t side = i ? 3 : 3 * facts.info.factor;
        of = tt_part_network(parts[i], TT_AUTOENCODER, "AutoencoderTiny");
        struct tt_error inner = {0};
        enum tt_status laid =
            tt_network_lay_out(&network, of, config, &(struct tt_size){1, side, side, 0}, &inner);
        must(laid == inner.status && (laid == TT_OK || *inner.message));
        if (!laid) {
            struct tt_shape shape = tt_shape_of(&network.tape, network.outputs[0]);
            must(shape.dim[2] == (i ? 3 * facts.info.factor : 3) && shape.dim[3] == shape.dim[2]);
        }
        tt_network_drop(&network);
    }
    free(config);
    return status;
}

static void walk(const char *name, const struct tt_scheduler_config *config) {
    struct tt_scheduler *s;
    struct tt_error error = {0};
    struct tt_rng rng;
    float x[6] = {1, -2, 3, -4, 5, -6}, noise[6] = {0.5f}, scaled[6];
    tt_rng_seed(&rng, 1);
    enum tt_status status = tt_scheduler_new(&s, name, config, &error);
    if (!status) status = tt_scheduler_set_timesteps(s, 4, &error);
    if (!status) status = tt_scheduler_start(s, 1, 6, &error);
    for (size_t i = 0; !status && i < tt_scheduler_calls(s); i++) {
        tt_scheduler_scale_input(s, i, x, scaled);
        status = tt_scheduler_step(s, i, scaled, x, &(struct tt_rng *){&rng}, 1, x, &error);
    }
    if (!status) status = tt_scheduler_add_noise(s, 0, x, noise, x, &error);
    must_explain(status, error);
    tt_scheduler_free(s);
}

static enum tt_status read_scheduler(struct tt_json *json, struct tt_error *error) {
    struct tt_scheduler_config config = {.stable_diffusion = true};
    enum tt_status status = tt_scheduler_config_read(&config, json, error);
    const char *name, *class_name;
    if (!status && config.file.num_train_timesteps <= 4000) { // more only takes longer
        walk(NULL, &config);
        for (size_t i = 0; tt_scheduler_list(i, &name, &class_name); i++) walk(name, &config);
    }
    tt_scheduler_config_free(&config);
    return status;
}

static enum tt_status read_index(struct tt_json *json, struct tt_error *error) {
    tt_json_expect(json, "_class_name", "\"StableDiffusionPipeline\"");
    return tt_json_status(json, error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char letters[] = "CUVTSI";
    static enum tt_status (*const readers[])(struct tt_json *, struct tt_error *) = {
        read_clip, read_unet, read_vae, read_tiny, read_scheduler, read_index,
    };
    const char *letter = size && *data ? strchr(letters, *data) : NULL;
    if (!letter) return 0;
    struct tt_json *json = NULL;
    struct tt_error error = {0};
    enum tt_status status = tt_json_open("fuzz", data + 1, size - 1, &json, &error);
    if (!status) status = readers[letter - letters](json, &error);
    must_explain(status, error);
    tt_json_free(json);
    return 0;
}
