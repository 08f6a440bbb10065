// SPDX-License-Identifier: MIT
#include "single/unet_form.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

// What is read, and where the names of both layouts say it.
struct look {
    const struct tt_tensor_file *file;
    const char *prefix;
    struct tt_unet_form *form;
    struct tt_error *err;
};

static const struct tt_view *find(const struct look *l, const char *format, size_t a, size_t b,
                                  const char *rest) {
    char name[192];
    snprintf(name, sizeof name, format, a, b);
    return tt_single_find(l->file, l->prefix, "%s%s", name, rest);
}

// Size `axis` of a tensor; 0: it is not there, or has fewer.
static size_t side(const struct tt_view *view, size_t axis) {
    return view && axis < view->shape.rank ? view->shape.dim[axis] : 0;
}

// Transformer blocks of the attention whose names begin so; 0: there is none.
static size_t depth_of(const struct look *l, const char *format, size_t a, size_t b) {
    size_t depth = 0;
    const struct tt_view *projection = find(l, format, a, b, ".proj_in.weight");
    if (!projection) return 0;
    l->form->linear |= projection->shape.rank == 2;
    for (char rest[64]; depth <= 64; depth++) {
        snprintf(rest, sizeof rest, ".transformer_blocks.%zu.attn2.to_k.weight", depth);
        const struct tt_view *view = find(l, format, a, b, rest);
        if (!view) break;
        l->form->context = side(view, 1);
    }
    return depth;
}

static enum tt_status too_many(const struct look *l, const char *what, size_t most) {
    return tt_fail(l->err, TT_BAD_INPUT, "%s: U-Net: found more than %zu %s, expected no more",
                   tt_tensor_file_name(l->file), most, what);
}

// ---- the original layout ----

// input_blocks: N.0 is a ResNet and N.1 its attention, or N.0.op the way down.
static enum tt_status read_down(const struct look *l) {
    struct tt_unet_form *f = l->form;
    size_t level = 0, layer = 0;
    for (size_t i = 1; i < TT_FORM_BLOCKS; i++) {
        const struct tt_view *resnet = find(l, "input_blocks.%zu.0", i, 0, ".out_layers.3.weight");
        f->down[i].level = level;
        f->down[i].layer = layer;
        if (resnet && layer == TT_FORM_LAYERS) return too_many(l, "layers", TT_FORM_LAYERS);
        if (resnet) {
            f->level[level].channels = side(resnet, 0);
            f->level[level].depth[layer++] = depth_of(l, "input_blocks.%zu.1", i, 0);
            f->level[level].layers = layer;
        }
        if (!find(l, "input_blocks.%zu.0", i, 0, ".op.weight")) continue;
        if (++level == TT_FORM_LEVELS) return too_many(l, "levels", TT_FORM_LEVELS);
        layer = 0;
    }
    f->levels = level + 1;
    return TT_OK;
}

// output_blocks: N.0 is a ResNet and N.1 its attention; N.1 or N.2 may be the way up.
static enum tt_status read_up(const struct look *l) {
    struct tt_unet_form *f = l->form;
    size_t level = 0, layer = 0;
    for (size_t i = 0; i < TT_FORM_BLOCKS; i++) {
        size_t down = level < f->levels ? f->levels - 1 - level : 0;
        bool resnet = find(l, "output_blocks.%zu.0", i, 0, ".out_layers.3.weight");
        f->up[i].level = level;
        f->up[i].layer = layer;
        if (resnet && layer > TT_FORM_LAYERS) return too_many(l, "layers", TT_FORM_LAYERS + 1);
        if (resnet) {
            f->level[down].up_depth[layer++] = depth_of(l, "output_blocks.%zu.1", i, 0);
            f->level[down].up_layers = layer;
        }
        if (!find(l, "output_blocks.%zu.1", i, 0, ".conv.weight") &&
            !find(l, "output_blocks.%zu.2", i, 0, ".conv.weight"))
            continue;
        level++;
        layer = 0;
    }
    if (level + 1 == f->levels) return TT_OK;
    return tt_fail(l->err, TT_BAD_INPUT, "%s: U-Net: found %zu levels of output_blocks, expected "
                   "%zu, as many as of input_blocks", tt_tensor_file_name(l->file), level + 1,
                   f->levels);
}

static enum tt_status read_original(const struct look *l) {
    struct tt_unet_form *f = l->form;
    f->in = side(find(l, "input_blocks.0.0", 0, 0, ".weight"), 1);
    f->out = side(find(l, "out.2", 0, 0, ".weight"), 0);
    f->time_dim = side(find(l, "time_embed.0", 0, 0, ".weight"), 0);
    f->guidance_dim = side(find(l, "time_embed.cond_proj", 0, 0, ".weight"), 1);
    f->added_dim = side(find(l, "label_emb.0.0", 0, 0, ".weight"), 1);
    f->mid = find(l, "middle_block.2", 0, 0, ".out_layers.3.weight") ? TT_FORM_MID_WHOLE
             : find(l, "middle_block.0", 0, 0, ".out_layers.3.weight") ? TT_FORM_MID_PLAIN
                                                                       : TT_FORM_MID_NONE;
    f->mid_depth = depth_of(l, "middle_block.1", 0, 0);
    enum tt_status status = read_down(l);
    return status ? status : read_up(l);
}

// ---- diffusers' layout ----

static enum tt_status read_diffusers(const struct look *l) {
    struct tt_unet_form *f = l->form;
    f->in = side(find(l, "conv_in", 0, 0, ".weight"), 1);
    f->out = side(find(l, "conv_out", 0, 0, ".weight"), 0);
    f->time_dim = side(find(l, "time_embedding.linear_1", 0, 0, ".weight"), 0);
    f->guidance_dim = side(find(l, "time_embedding.cond_proj", 0, 0, ".weight"), 1);
    f->added_dim = side(find(l, "add_embedding.linear_1", 0, 0, ".weight"), 1);
    f->mid = find(l, "mid_block.resnets.1", 0, 0, ".conv1.weight")   ? TT_FORM_MID_WHOLE
             : find(l, "mid_block.resnets.0", 0, 0, ".conv1.weight") ? TT_FORM_MID_PLAIN
                                                                     : TT_FORM_MID_NONE;
    f->mid_depth = depth_of(l, "mid_block.attentions.0", 0, 0);
    for (size_t i = 0; find(l, "down_blocks.%zu.resnets.0", i, 0, ".conv1.weight"); i++) {
        if (i == TT_FORM_LEVELS) return too_many(l, "levels", TT_FORM_LEVELS);
        for (size_t j = 0;; j++) {
            const struct tt_view *resnet =
                find(l, "down_blocks.%zu.resnets.%zu", i, j, ".conv2.weight");
            if (!resnet) break;
            if (j == TT_FORM_LAYERS) return too_many(l, "layers", TT_FORM_LAYERS);
            f->level[i].channels = side(resnet, 0);
            f->level[i].layers = j + 1;
            f->level[i].depth[j] = depth_of(l, "down_blocks.%zu.attentions.%zu", i, j);
        }
        f->levels = i + 1;
    }
    for (size_t i = 0; i < f->levels; i++) {
        size_t up = f->levels - 1 - i;
        for (size_t j = 0; find(l, "up_blocks.%zu.resnets.%zu", up, j, ".conv2.weight"); j++) {
            if (j > TT_FORM_LAYERS) return too_many(l, "layers", TT_FORM_LAYERS + 1);
            f->level[i].up_layers = j + 1;
            f->level[i].up_depth[j] = depth_of(l, "up_blocks.%zu.attentions.%zu", up, j);
        }
    }
    return TT_OK;
}

// A level has as many layers as diffusers' classes can have, with attention in all or none.
static enum tt_status check_level(const struct look *l, size_t i) {
    const struct tt_unet_form *f = l->form;
    const char *name = tt_tensor_file_name(l->file);
    size_t layers = f->level[i].layers, down = 0, up = 0;
    if (!layers || f->level[i].up_layers != layers + 1)
        return tt_fail(l->err, TT_BAD_INPUT, "%s: U-Net: level %zu: found %zu ResNets down and "
                       "%zu up, expected one more up than down", name, i, layers,
                       f->level[i].up_layers);
    for (size_t j = 0; j < layers; j++) down += f->level[i].depth[j] > 0;
    for (size_t j = 0; j <= layers; j++) up += f->level[i].up_depth[j] > 0;
    if ((down && down != layers) || (up && up != layers + 1))
        return tt_fail(l->err, TT_BAD_INPUT, "%s: U-Net: level %zu: found attention in %zu of %zu "
                       "layers down and %zu of %zu up, expected it in all or none", name, i, down,
                       layers, up, layers + 1);
    return TT_OK;
}

enum tt_status tt_unet_form_read(const struct tt_tensor_file *file, const struct tt_single *single,
                                 struct tt_unet_form *form, struct tt_error *err) {
    *form = (struct tt_unet_form){0};
    const struct look look = {file, single->part[TT_SINGLE_UNET].prefix, form, err};
    bool original = single->part[TT_SINGLE_UNET].layout == TT_LAYOUT_ORIGINAL;
    enum tt_status status = original ? read_original(&look) : read_diffusers(&look);
    if (!status && (!form->in || !form->out || !form->time_dim || !form->context))
        status = tt_fail(err, TT_BAD_INPUT, "%s: U-Net: found %zu channels in, %zu out, a time "
                         "embedding of %zu, a text of %zu; expected none to be 0",
                         tt_tensor_file_name(file), form->in, form->out, form->time_dim,
                         form->context);
    for (size_t i = 0; !status && i < form->levels; i++) status = check_level(&look, i);
    return status;
}

// ---- names ----

// What stands for the beginning of a name, up to its end or a dot.
struct renamed {
    const char *from, *to;
};

// The first of the table that begins `rest`, replaced; what is in no table stays.
static bool put(char *text, size_t size, const char *place, const char *rest,
                const struct renamed *table) {
    for (; table && table->from; table++) {
        size_t length = strlen(table->from);
        if (!strncmp(rest, table->from, length) && rest[length] == '.')
            return (size_t)snprintf(text, size, "%s%s%s", place, table->to, rest + length) < size;
    }
    return (size_t)snprintf(text, size, "%s%s", place, rest) < size;
}

static const struct renamed ends[] = {
    {"time_embed.0", "time_embedding.linear_1"},
    {"time_embed.2", "time_embedding.linear_2"},
    {"time_embed.cond_proj", "time_embedding.cond_proj"},
    {"label_emb.0.0", "add_embedding.linear_1"},
    {"label_emb.0.2", "add_embedding.linear_2"},
    {"input_blocks.0.0", "conv_in"},
    {"out.0", "conv_norm_out"},
    {"out.2", "conv_out"},
    {NULL, NULL},
};

static const struct renamed resnet[] = {
    {"in_layers.0", "norm1"},
    {"in_layers.2", "conv1"},
    {"out_layers.0", "norm2"},
    {"out_layers.3", "conv2"},
    {"emb_layers.1", "time_emb_proj"},
    {"skip_connection", "conv_shortcut"},
    {NULL, NULL},
};

// Of "N.M.rest": *a, *b and what is behind; NULL: it is not so.
static const char *numbers(const char *text, size_t *a, size_t *b) {
    int used = 0;
    if (sscanf(text, "%3zu.%3zu.%n", a, b, &used) != 2 || !used || *a >= TT_FORM_BLOCKS)
        return NULL;
    return text + used;
}

static bool name_down(const struct tt_unet_form *f, const char *at, char *text, size_t size) {
    char place[96];
    size_t block, child;
    const char *rest = numbers(at, &block, &child);
    if (!rest) return false;
    size_t level = f->down[block].level, layer = f->down[block].layer;
    if (child == 0 && !strncmp(rest, "op.", 3)) {
        snprintf(place, sizeof place, "down_blocks.%zu.downsamplers.0.conv.", level);
        return put(text, size, place, rest + 3, NULL);
    }
    snprintf(place, sizeof place, "down_blocks.%zu.%s.%zu.", level,
             child ? "attentions" : "resnets", layer);
    return child < 2 && put(text, size, place, rest, child ? NULL : resnet);
}

static bool name_up(const struct tt_unet_form *f, const char *at, char *text, size_t size) {
    char place[96];
    size_t block, child;
    const char *rest = numbers(at, &block, &child);
    if (!rest) return false;
    size_t level = f->up[block].level, layer = f->up[block].layer;
    if (child && !strncmp(rest, "conv.", 5)) {
        snprintf(place, sizeof place, "up_blocks.%zu.upsamplers.0.conv.", level);
        return put(text, size, place, rest + 5, NULL);
    }
    snprintf(place, sizeof place, "up_blocks.%zu.%s.%zu.", level, child ? "attentions" : "resnets",
             layer);
    return child < 2 && put(text, size, place, rest, child ? NULL : resnet);
}

bool tt_unet_form_name(const struct tt_unet_form *form, const char *name, char *text, size_t size) {
    for (const struct renamed *end = ends; end->from; end++) {
        size_t length = strlen(end->from);
        if (!strncmp(name, end->from, length) && name[length] == '.')
            return put(text, size, "", name, ends);
    }
    if (!strncmp(name, "input_blocks.", 13)) return name_down(form, name + 13, text, size);
    if (!strncmp(name, "output_blocks.", 14)) return name_up(form, name + 14, text, size);
    if (!strncmp(name, "middle_block.0.", 15))
        return put(text, size, "mid_block.resnets.0.", name + 15, resnet);
    if (!strncmp(name, "middle_block.1.", 15))
        return put(text, size, "mid_block.attentions.0.", name + 15, NULL);
    if (!strncmp(name, "middle_block.2.", 15))
        return put(text, size, "mid_block.resnets.1.", name + 15, resnet);
    return false;
}
