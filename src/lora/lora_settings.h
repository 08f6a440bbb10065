// SPDX-License-Identifier: MIT
// What a LoRA's file, or the adapter_config.json beside it, says of alpha.
#ifndef TT_LORA_SETTINGS_H
#define TT_LORA_SETTINGS_H

#include "base/status.h"
#include "io/file.h"
#include "io/json.h"

struct tt_lora_settings;

// From the metadata that diffusers writes (`lora_adapter_metadata`: JSON with keys like
// "unet.lora_alpha") or the text of peft's adapter_config.json; either may be NULL. TT_BAD_INPUT
// names the key: no JSON, another adapter than a LoRA, options that change what is computed.
enum tt_status tt_lora_settings_read(const char *name, const char *metadata,
                                     const struct tt_bytes *config,
                                     struct tt_lora_settings **out, struct tt_error *err);
void tt_lora_settings_free(struct tt_lora_settings *settings);

// Alpha of a module by its bare dotted name, of the network in that folder (NULL: not known), and
// whether it is divided by the square root of the rank (rsLoRA). False: nothing is said.
bool tt_lora_settings_alpha(const struct tt_lora_settings *settings, const char *folder,
                            const char *module, size_t length, double *alpha, bool *root);

#endif
