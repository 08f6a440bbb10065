// SPDX-License-Identifier: MIT
// The parts of a model, their sizes and what they take. No part has a line of its own here; what
// sets them apart stands in model/parts.def.
#include "parts.h"

#include <stdio.h>
#include <string.h>

// ---- what is there ----

bool tt_model_has_part(const struct tt_model *model, int part) {
    return (unsigned)part < TT_PARTS && model->parts[part].network;
}

enum tt_status tt_check_part(const struct tt_model *model, int part, struct tt_error *err) {
    if ((unsigned)part >= TT_PARTS)
        return tt_fail(err, TT_BAD_INPUT, "part: found %d, expected 0 to %d", part, TT_PARTS - 1);
    if (tt_model_has_part(model, part)) return TT_OK;
    char list[96] = "";
    size_t used = 0;
    for (int i = 0; i < TT_PARTS; i++)
        if (tt_model_has_part(model, i))
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? " or " : "",
                                     tt_part_name(i));
    return tt_fail(err, TT_BAD_INPUT, "%s: %s: found no such part, expected %s: it has no other",
                   model->info.name, tt_part_name(part), list);
}

// ---- sizes ----

static bool reads(const struct tt_part_network *network, char axis) {
    for (size_t i = 0; network->inputs[i].name; i++)
        if (strchr(network->inputs[i].axes, axis)) return true;
    return false;
}

enum tt_status tt_check_size(const struct tt_model *model, enum tt_part part,
                             struct tt_size *size, struct tt_error *err) {
    const struct tt_held *held = &model->parts[part];
    const struct tt_part_network *network = held->network;
    bool picture = reads(network, 'H'), tokens = reads(network, 'T');
    size_t longest = network->longest ? network->longest(held->config) : TT_IMAGE_SIDE, pixels;
    size_t multiple = network->multiple ? network->multiple(held->config) : 1;
    if (!picture) size->height = size->width = 0;
    if (!tokens) size->tokens = 0;
    if (!size->n || size->n > TT_IMAGE_SIDE || (picture && (!size->height || !size->width)) ||
        (tokens && !size->tokens) || size->tokens > longest ||
        size->height > TT_IMAGE_SIDE || size->width > TT_IMAGE_SIDE ||
        !tt_mul_size(size->n, size->height * size->width, &pixels) || pixels > TT_IMAGE_PIXELS)
        return tt_fail(err, TT_BAD_INPUT, "%s: found a batch of %zu, %zu x %zu, %zu tokens; "
                       "expected none 0, at most %zu tokens and %d positions in all",
                       tt_part_name(part), size->n, size->width, size->height, size->tokens,
                       longest, TT_IMAGE_PIXELS);
    if (size->height % multiple || size->width % multiple)
        return tt_fail(err, TT_BAD_INPUT, "%s: found %zu x %zu %s, expected multiples of %zu",
                       tt_part_name(part), size->width, size->height,
                       network->pixels || model->unconditional ? "pixels" : "latents", multiple);
    return TT_OK;
}

enum tt_status tt_model_size(const struct tt_model *model, size_t *width, size_t *height,
                             struct tt_error *err) {
    const struct tt_model_info *info = &model->info;
    const struct tt_part_network *unet = model->parts[TT_PART_UNET].network;
    size_t w = *width ? *width : info->width, h = *height ? *height : info->height;
    if (!w || !h)
        return tt_fail(err, TT_BAD_INPUT, "%s: %s: width and height must be given", info->name,
                       unet ? "unet/config.json has no sample_size" : "found no size of its own");
    if (w % info->factor || h % info->factor)
        return tt_fail(err, TT_BAD_INPUT,
                       "size: found %zu x %zu pixels, expected multiples of %zu, the autoencoder's "
                       "factor", w, h, info->factor);
    size_t multiple =
        unet && unet->multiple ? unet->multiple(model->parts[TT_PART_UNET].config) : 1;
    if (w / info->factor % multiple || h / info->factor % multiple)
        return tt_fail(err, TT_BAD_INPUT,
                       "size: found %zu x %zu pixels, expected multiples of %zu, which the U-Net "
                       "halves and doubles", w, h, multiple);
    if (w > TT_IMAGE_SIDE || h > TT_IMAGE_SIDE || w * h > TT_IMAGE_PIXELS)
        return tt_fail(err, TT_BAD_INPUT,
                       "size: found %zu x %zu pixels, expected sides of at most %d and at most %d "
                       "pixels", w, h, TT_IMAGE_SIDE, TT_IMAGE_PIXELS);
    *width = w;
    *height = h;
    return TT_OK;
}

enum tt_status tt_part_size_for(const struct tt_model *model, int part, size_t n, size_t width,
                                size_t height, struct tt_size *size, struct tt_error *err) {
    enum tt_status status = tt_check_part(model, part, err);
    if (!status) status = tt_model_size(model, &width, &height, err);
    if (status) return status;
    size_t factor = model->parts[part].network->pixels ? 1 : model->info.factor;
    struct tt_size s = {n, height / factor, width / factor, model->info.tokens};
    status = tt_check_size(model, part, &s, err);
    if (!status) *size = s;
    return status;
}

enum tt_status tt_part_lay_out(const struct tt_model *model, enum tt_part part,
                               const struct tt_size *size, struct tt_network *network,
                               struct tt_error *err) {
    const struct tt_held *held = &model->parts[part];
    return tt_network_lay_out(network, held->network, held->config, size, err);
}

static struct tt_port port_of(const struct tt_network *network, const struct tt_named *named,
                              tt_value value, bool output) {
    struct tt_port port = {.name = named->name, .dtype = named->dtype, .output = output,
                           .optional = named->presence == TT_OPTIONAL && !output};
    port.shape = tt_shape_of(&network->tape, value);
    return port;
}

enum tt_status tt_part_ports(const struct tt_model *model, int part, struct tt_size size,
                             struct tt_port ports[TT_PORTS], size_t *count, struct tt_error *err) {
    struct tt_network network = {0};
    enum tt_status status = tt_check_part(model, part, err);
    if (!status) status = tt_check_size(model, part, &size, err);
    if (status) return status;
    status = tt_part_lay_out(model, part, &size, &network, err);
    size_t n = 0;
    for (size_t i = 0; !status && network.of->inputs[i].name; i++)
        if (network.inputs[i] != TT_NO_VALUE)
            ports[n++] = port_of(&network, &network.of->inputs[i], network.inputs[i], false);
    for (size_t i = 0; !status && network.of->outputs[i].name; i++)
        if (network.outputs[i] != TT_NO_VALUE)
            ports[n++] = port_of(&network, &network.of->outputs[i], network.outputs[i], true);
    tt_network_drop(&network);
    if (!status) *count = n;
    return status;
}
