// SPDX-License-Identifier: MIT
// What a file of many tensors is: which networks of which family of Stable Diffusion it holds, and
// under which names. Looks at names, shapes and a few marks; reads no weights.
#ifndef TT_SINGLE_FAMILY_H
#define TT_SINGLE_FAMILY_H

#include "io/tensor_file.h"
#include "tintype.h"

enum tt_family {
    TT_FAMILY_NONE, // it cannot be told: an autoencoder alone serves several
    TT_FAMILY_SD1,
    TT_FAMILY_SD2,
    TT_FAMILY_XL,
    TT_FAMILY_REFINER,
};

// How a network's tensors are called.
enum tt_layout {
    TT_LAYOUT_NONE,      // it is not there
    TT_LAYOUT_ORIGINAL,  // as in the repositories of CompVis and Stability: input_blocks.0.0, ...
    TT_LAYOUT_OPENCLIP,  // a text encoder of OpenCLIP: transformer.resblocks.0, ...
    TT_LAYOUT_DIFFUSERS, // as diffusers and transformers call them
    TT_LAYOUT_TINY,      // an AutoencoderTiny of diffusers
};

enum tt_single_part {
    TT_SINGLE_UNET,
    TT_SINGLE_VAE,
    TT_SINGLE_TEXT,
    TT_SINGLE_TEXT_2,
    TT_SINGLE_PARTS,
};

struct tt_single {
    enum tt_family family;
    struct {
        enum tt_layout layout;
        const char *prefix; // of the names of its tensors
    } part[TT_SINGLE_PARTS];
    // What the file is instead, by the tensor that tells, when it holds none of these networks, or
    // one that is not for drawing ("a LoRA, ..."); else NULL.
    const char *other, *other_tensor;
    size_t average; // tensors of a moving average of the U-Net ("model_ema.")
    // What it was trained to predict, as diffusers says it ("v_prediction"), and where the file
    // says so; NULL: it does not.
    const char *prediction, *mark;
    bool zero_snr; // its last timestep is pure noise (key "ztsnr")
};

// What the file is.
void tt_single_recognise(const struct tt_tensor_file *file, struct tt_single *single);

// "Stable Diffusion 1.x"; "no family" for none.
const char *tt_family_name(enum tt_family family);
// The folder of a part in diffusers' layout ("unet"), and what messages call it ("U-Net").
const char *tt_single_folder(int part);
const char *tt_single_part_name(int part);

// The tensor whose name is the prefix and a printf-style rest, or NULL.
const struct tt_view *tt_single_find(const struct tt_tensor_file *file, const char *prefix,
                                     const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
