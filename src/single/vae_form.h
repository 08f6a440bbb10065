// SPDX-License-Identifier: MIT
// The form of an autoencoder as its tensors show it, and diffusers' names of them.
#ifndef TT_SINGLE_VAE_FORM_H
#define TT_SINGLE_VAE_FORM_H

#include "single/family.h"

enum { TT_VAE_FORM_LEVELS = 8, TT_VAE_FORM_LAYERS = 16 };

struct tt_vae_form {
    size_t levels, channels[TT_VAE_FORM_LEVELS], layers, in, out, latent;
    bool attention, quant, post_quant;
};

// TT_BAD_INPUT names the file and what does not make an autoencoder.
enum tt_status tt_vae_form_read(const struct tt_tensor_file *file, const struct tt_single *single,
                                struct tt_vae_form *form, struct tt_error *err);

// What diffusers calls the tensor of the original layout whose name without the prefix is given;
// false: it has no name there. *matrix: a 1x1 convolution there, a matrix here.
bool tt_vae_form_name(const struct tt_vae_form *form, const char *name, char *text, size_t size,
                      bool *matrix);

#endif
