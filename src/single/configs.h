// SPDX-License-Identifier: MIT
// Configurations as diffusers writes them, for what a file of weights holds: widths and depths from
// its shapes, what shapes do not say from the family.
#ifndef TT_SINGLE_CONFIGS_H
#define TT_SINGLE_CONFIGS_H

#include <jansson.h>

#include "single/text_form.h"
#include "single/unet_form.h"
#include "single/vae_form.h"

// Each returns a new object, or NULL without memory.
json_t *tt_single_unet_config(const struct tt_single *single, const struct tt_unet_form *form);
json_t *tt_single_vae_config(enum tt_family family, const struct tt_vae_form *form);
json_t *tt_single_tiny_config(void); // of an AutoencoderTiny
json_t *tt_single_text_config(enum tt_family family, const struct tt_text_form *form);
json_t *tt_single_scheduler_config(const struct tt_single *single, bool distilled);
json_t *tt_single_tokenizer_config(const char *padding);
json_t *tt_single_index(const struct tt_single *single, const struct tt_unet_form *form);

// TT_BAD_INPUT where a U-Net's depths are such that no configuration says them.
enum tt_status tt_single_check_depths(const struct tt_tensor_file *file,
                                      const struct tt_unet_form *form, struct tt_error *err);

// What the U-Net of this file is taken to predict, as diffusers says it.
const char *tt_single_prediction(const struct tt_single *single);

#endif
