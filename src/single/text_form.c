// SPDX-License-Identifier: MIT
#include "single/text_form.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

static size_t side(const struct tt_view *view, size_t axis) {
    return view && axis < view->shape.rank ? view->shape.dim[axis] : 0;
}

// A text encoder of transformers with or without "text_model." before its names.
static const struct tt_view *find_hf(const struct tt_tensor_file *file, const char *prefix,
                                     const char *name) {
    const struct tt_view *view = tt_single_find(file, prefix, "text_model.%s", name);
    return view ? view : tt_single_find(file, prefix, "%s", name);
}

static void read_hf(const struct tt_tensor_file *file, const char *prefix,
                    struct tt_text_form *form) {
    const struct tt_view *tokens = find_hf(file, prefix, "embeddings.token_embedding.weight"), *v;
    form->vocabulary = side(tokens, 0);
    form->width = side(tokens, 1);
    form->positions = side(find_hf(file, prefix, "embeddings.position_embedding.weight"), 0);
    for (char name[96]; form->layers <= TT_TEXT_FORM_LAYERS; form->layers++) {
        snprintf(name, sizeof name, "encoder.layers.%zu.mlp.fc1.weight", form->layers);
        if (!(v = find_hf(file, prefix, name))) break;
        form->inner = side(v, 0);
    }
    form->projection = side(find_hf(file, prefix, "text_projection.weight"), 0);
    if (!form->projection) // as stable-diffusion.cpp has it
        form->projection = side(tt_single_find(file, prefix, "text_model.text_projection"), 1);
}

static void read_openclip(const struct tt_tensor_file *file, const char *prefix,
                          struct tt_text_form *form) {
    const struct tt_view *tokens = tt_single_find(file, prefix, "token_embedding.weight"), *v;
    form->vocabulary = side(tokens, 0);
    form->width = side(tokens, 1);
    form->positions = side(tt_single_find(file, prefix, "positional_embedding"), 0);
    for (; form->layers <= TT_TEXT_FORM_LAYERS; form->layers++) {
        v = tt_single_find(file, prefix, "transformer.resblocks.%zu.mlp.c_fc.weight", form->layers);
        if (!v) break;
        form->inner = side(v, 0);
    }
    form->projection = side(tt_single_find(file, prefix, "text_projection"), 1);
    if (!form->projection)
        form->projection = side(tt_single_find(file, prefix, "text_projection.weight"), 0);
}

enum tt_status tt_text_form_read(const struct tt_tensor_file *file, const struct tt_single *single,
                                 int part, struct tt_text_form *form, struct tt_error *err) {
    *form = (struct tt_text_form){0};
    const char *prefix = single->part[part].prefix, *name = tt_tensor_file_name(file);
    bool openclip = single->part[part].layout == TT_LAYOUT_OPENCLIP;
    (openclip ? read_openclip : read_hf)(file, prefix, form);
    if (form->layers > TT_TEXT_FORM_LAYERS)
        return tt_fail(err, TT_BAD_INPUT, "%s: %s: found more than %d layers, expected no more",
                       name, tt_single_part_name(part), TT_TEXT_FORM_LAYERS);
    form->projects = part == TT_SINGLE_TEXT_2;
    // Stable Diffusion 2 takes what the last layer but one gives: its files hold one more.
    if (single->family == TT_FAMILY_SD2 && form->layers > 1 &&
        (openclip || form->layers == 24))
        form->layers--;
    if (form->projects && !form->projection)
        return tt_fail(err, TT_BAD_INPUT, "%s: %s: found no text_projection, expected it beside "
                       "the layers", name, tt_single_part_name(part));
    if (form->vocabulary && form->positions && form->width && form->layers) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "%s: %s: found %zu tokens, %zu positions, a width of %zu, "
                   "%zu layers; expected none to be 0", name, tt_single_part_name(part),
                   form->vocabulary, form->positions, form->width, form->layers);
}

// ---- names ----

static const struct {
    const char *from, *to;
} ends[] = {
    {"positional_embedding", "embeddings.position_embedding.weight"},
    {"token_embedding.weight", "embeddings.token_embedding.weight"},
    {"ln_final.weight", "final_layer_norm.weight"},
    {"ln_final.bias", "final_layer_norm.bias"},
}, layer[] = {
    {"ln_1.", "layer_norm1."},
    {"ln_2.", "layer_norm2."},
    {"mlp.c_fc.", "mlp.fc1."},
    {"mlp.c_proj.", "mlp.fc2."},
    {"attn.out_proj.", "self_attn.out_proj."},
};

static bool name_openclip(const struct tt_text_form *form, const char *name, const char *model,
                          struct tt_text_name *out) {
    static const char blocks[] = "transformer.resblocks.";
    size_t size = sizeof out->text, number;
    int used = 0;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (!strcmp(name, ends[i].from))
            return (size_t)snprintf(out->text, size, "%s%s", model, ends[i].to) < size;
    if (strncmp(name, blocks, sizeof blocks - 1) ||
        sscanf(name + sizeof blocks - 1, "%3zu.%n", &number, &used) != 1 || !used)
        return false;
    out->idle = number >= form->layers;
    if (out->idle) return true;
    const char *rest = name + sizeof blocks - 1 + used;
    bool weight = !strcmp(rest, "attn.in_proj_weight");
    out->thirds = weight || !strcmp(rest, "attn.in_proj_bias");
    if (out->thirds)
        return (size_t)snprintf(out->text, size, "%sencoder.layers.%zu.self_attn.%%s_proj.%s",
                                model, number, weight ? "weight" : "bias") < size;
    for (size_t i = 0; i < sizeof layer / sizeof *layer; i++) {
        size_t length = strlen(layer[i].from);
        if (!strncmp(rest, layer[i].from, length))
            return (size_t)snprintf(out->text, size, "%sencoder.layers.%zu.%s%s", model, number,
                                    layer[i].to, rest + length) < size;
    }
    return false;
}

static bool name_hf(const struct tt_text_form *form, const char *name, const char *model,
                    struct tt_text_name *out) {
    static const char prefix[] = "text_model.", layers[] = "encoder.layers.";
    if (!strncmp(name, prefix, sizeof prefix - 1)) name += sizeof prefix - 1;
    size_t number, length = sizeof layers - 1;
    bool numbered = !strncmp(name, layers, length);
    if (numbered && sscanf(name + length, "%3zu", &number) != 1) return false;
    out->idle = (numbered && number >= form->layers) || tt_text_ends(name, "position_ids");
    if (out->idle) return true;
    if (!numbered && strncmp(name, "embeddings.", 11) && strncmp(name, "final_layer_norm.", 17))
        return false;
    return (size_t)snprintf(out->text, sizeof out->text, "%s%s", model, name) < sizeof out->text;
}

// transformers 5 has CLIPTextModel's names without "text_model.", its fellow's with.
bool tt_text_form_name(const struct tt_text_form *form, enum tt_layout layout, const char *name,
                       struct tt_text_name *out) {
    const char *model = form->projects ? "text_model." : "";
    *out = (struct tt_text_name){0};
    bool matrix = !strcmp(name, "text_projection.weight");
    if (matrix || !strcmp(name, "text_projection") || !strcmp(name, "text_model.text_projection")) {
        out->transposed = !matrix;
        out->idle = !form->projects;
        snprintf(out->text, sizeof out->text, "text_projection.weight");
        return true;
    }
    return layout == TT_LAYOUT_OPENCLIP ? name_openclip(form, name, model, out)
                                        : name_hf(form, name, model, out);
}
