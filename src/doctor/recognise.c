// SPDX-License-Identifier: MIT
// What a file of tensors is, by their names and a few of their sizes.
#include <string.h>

#include "base/text.h"
#include "doctor/doctor.h"

static const struct mark {
    enum tt_doctor_kind kind;
    const char *family, *begins, *also;
} marks[] = {
#define MARK(kind, family, begins, also) {TT_KIND_##kind, family, begins, also},
#include "doctor/marks.def"
#undef MARK
};

// What a U-Net's first convolution reads beside four channels of latents.
static const struct {
    size_t channels;
    const char *note;
} inputs[] = {
    {9, "for inpainting"},
    {8, "for instruct-pix2pix"},
    {5, "guided by depth"},
    {7, "the x4 upscaler"},
    {3, "in pixel space"},
};

// Input channels of a weight (K, C, ...); 0: it is not there.
static size_t columns(const struct tt_doctor_tensor *t) {
    return t && t->view.shape.rank >= 2 ? t->view.shape.dim[1] : 0;
}

// The width of the embeddings that cross attention reads; 0: there is none.
static size_t context_width(const struct tt_doctor_file *file) {
    for (size_t i = 0; i < file->count; i++) {
        const char *name = file->tensors[i].view.name, *at = strstr(name, "attn2.to_k.weight");
        if (at && !at[17]) return columns(&file->tensors[i]);
    }
    return 0;
}

// Rows of an embedding's vectors, or the width of a text encoder.
static size_t text_width(const struct tt_doctor_file *file) {
    const struct tt_doctor_tensor *t = tt_doctor_named(file, "emb_params");
    for (size_t i = 0; !t && i < file->count; i++)
        if (tt_text_ends(file->tensors[i].view.name, "token_embedding.weight"))
            t = &file->tensors[i];
    if (tt_doctor_named(file, "clip_g")) return 2048;
    return columns(t);
}

static const struct tt_doctor_tensor *first_convolution(const struct tt_doctor_file *file) {
    static const char *const names[] = {
        "model.diffusion_model.input_blocks.0.0.weight", "input_blocks.0.0.weight",
        "conv_in.weight", "unet.conv_in.weight",
    };
    const struct tt_doctor_tensor *t = NULL;
    for (size_t i = 0; !t && i < sizeof names / sizeof *names; i++)
        t = tt_doctor_named(file, names[i]);
    return t;
}

// diffusers saves a concept as one tensor called by its word: "<cat-toy>", rows of embeddings.
static bool is_embedding(const struct tt_doctor_file *file) {
    if (!file->count || file->count > 2) return false;
    for (size_t i = 0; i < file->count; i++) {
        const struct tt_view *view = &file->tensors[i].view;
        size_t rank = view->shape.rank, width = rank ? view->shape.dim[rank - 1] : 0;
        if (rank < 1 || rank > 2 || strchr(view->name, '.')) return false;
        if (!tt_doctor_family_of_width(width)) return false;
    }
    return true;
}

// Checkpoints of `tintype train` say so, and so do the pictures that it has encoded, by two keys.
static bool is_checkpoint_of_ours(const struct tt_doctor_file *file) {
    static const char format[] = "tintype-checkpoint";
    const char *found = tt_doctor_metadata(file, "format");
    return found && !strncmp(found, format, sizeof format - 1);
}

static bool is_encoded(const struct tt_doctor_file *file) {
    return file->count == 1 && tt_doctor_metadata(file, "key") &&
           tt_doctor_metadata(file, "digest");
}

struct tt_recognised tt_doctor_recognise(const struct tt_doctor_file *file) {
    struct tt_recognised r = {TT_KIND_TENSORS, NULL, NULL};
    size_t width = context_width(file), channels = columns(first_convolution(file));
    if (is_checkpoint_of_ours(file)) r.kind = TT_KIND_TRAINING;
    else if (is_encoded(file)) r.kind = TT_KIND_TRAINING_LATENTS;
    else if (tt_doctor_is_lora(file)) r.kind = TT_KIND_LORA;
    for (size_t i = 0; r.kind == TT_KIND_TENSORS && i < sizeof marks / sizeof *marks; i++) {
        if (!tt_doctor_begins(file, marks[i].begins)) continue;
        if (*marks[i].also && !tt_doctor_begins(file, marks[i].also)) continue;
        r.kind = marks[i].kind;
        r.family = marks[i].family;
        if (!r.family) r.family = tt_doctor_family_of_width(width ? width : text_width(file));
        if (r.family && !*r.family) r.family = NULL;
    }
    if (r.kind == TT_KIND_TENSORS && is_embedding(file)) r.kind = TT_KIND_EMBEDDING;
    bool unet = r.kind == TT_KIND_UNET || r.kind == TT_KIND_CHECKPOINT;
    for (size_t i = 0; unet && i < sizeof inputs / sizeof *inputs; i++)
        if (inputs[i].channels == channels) r.note = inputs[i].note;
    return r;
}
