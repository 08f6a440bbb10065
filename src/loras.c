// SPDX-License-Identifier: MIT
// The LoRAs of a model: opened with it, so that what does not fit is told before any work, and put
// into weights when these are opened.
#include "parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lora/lora_merge.h"

struct tt_model_loras {
    struct tt_lora_modules modules;
    struct tt_lora_use use[TT_LORAS];
    struct tt_lora_file *file[TT_LORAS];
    size_t count;
};

// The modules of every network but the autoencoder, which LoRAs leave alone.
static enum tt_status find_modules(const struct tt_model *model, struct tt_lora_modules *modules,
                                   struct tt_error *err) {
    const struct tt_size size = {1, TT_ANY_SIDE, TT_ANY_SIDE, 1};
    enum tt_status status = TT_OK;
    for (enum tt_part part = 0; !status && part < TT_PARTS; part++) {
        const char *folder = tt_part_folder((int)part);
        if (!model->parts[part].network || !strcmp(folder, "vae")) continue;
        struct tt_network network = {0};
        status = tt_part_lay_out(model, part, &size, &network, err);
        if (!status) status = tt_lora_modules_add(modules, folder, &network.tape, err);
        tt_network_drop(&network);
    }
    return status ? status : tt_lora_modules_end(modules, err);
}

static enum tt_status open_one(struct tt_model *model, const struct tt_lora *lora,
                               struct tt_error *err) {
    struct tt_model_loras *loras = model->loras;
    const struct tt_lora_reader reader = {&loras->modules, tt_folder_name(model->folder),
                                          &model->engine->notes};
    if (!lora->path) return tt_fail(err, TT_BAD_INPUT, "lora: found no path, expected one");
    if (!isfinite(lora->weight))
        return tt_fail(err, TT_BAD_INPUT, "%s: weight: found %g, expected a finite number",
                       lora->path, lora->weight);
    enum tt_status status = tt_lora_open(&reader, model->engine->files, lora->path,
                                         &loras->file[loras->count], err);
    if (status) return status;
    const struct tt_lora_file *file = loras->file[loras->count];
    loras->use[loras->count++] = (struct tt_lora_use){file, lora->weight};
    if (!lora->sha256 || !strcmp(lora->sha256, file->digest)) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "%s: found digest %s, expected %.64s: another file than the "
                   "one that was asked for", lora->path, file->digest, lora->sha256);
}

enum tt_status tt_model_open_loras(struct tt_model *model, const struct tt_lora *loras,
                                   size_t count, struct tt_error *err) {
    if (!count) return TT_OK;
    if (count > TT_LORAS)
        return tt_fail(err, TT_BAD_INPUT, "loras: found %zu, expected at most %d", count, TT_LORAS);
    model->loras = calloc(1, sizeof *model->loras);
    if (!model->loras) return tt_fail(err, TT_SYSTEM, "out of memory for LoRAs");
    enum tt_status status = find_modules(model, &model->loras->modules, err);
    if (!status && !model->loras->modules.count)
        return tt_fail(err, TT_BAD_INPUT, "%s: found an autoencoder alone, expected a model that "
                       "LoRAs are for", tt_folder_name(model->folder));
    for (size_t i = 0; !status && i < count; i++) status = open_one(model, &loras[i], err);
    return status;
}

void tt_model_close_loras(struct tt_model *model) {
    struct tt_model_loras *loras = model->loras;
    if (!loras) return;
    for (size_t i = 0; i < loras->count; i++) tt_lora_close(loras->file[i]);
    tt_lora_modules_free(&loras->modules);
    free(loras);
}

enum tt_status tt_model_source(const struct tt_model *model, enum tt_part part,
                               struct tt_weights *weights, struct tt_lora_merge **merge,
                               struct tt_source *source, struct tt_error *err) {
    const struct tt_model_loras *loras = model->loras;
    *source = tt_weights_source(weights);
    *merge = NULL;
    if (!loras) return TT_OK;
    const struct tt_engine *engine = model->engine;
    enum tt_status status =
        tt_lora_merge_new(source, &loras->modules, tt_part_folder((int)part), loras->use,
                          loras->count, &engine->kernels, engine->plan.threads, merge, err);
    if (!status && *merge) *source = tt_lora_merge_source(*merge);
    return status;
}

enum tt_status tt_model_check_loras(const struct tt_model *model, struct tt_error *err) {
    const struct tt_model_loras *loras = model->loras;
    for (size_t i = 0; loras && i < loras->count; i++)
        if (!tt_bytes_are_whole(&loras->file[i]->bytes))
            return tt_fail(err, TT_SYSTEM, "%s: the file was cut short while it was used",
                           loras->file[i]->path);
    return TT_OK;
}

size_t tt_model_lora_count(const struct tt_model *model) {
    return model->loras ? model->loras->count : 0;
}

bool tt_model_lora(const struct tt_model *model, size_t index, struct tt_lora_info *info) {
    const struct tt_model_loras *loras = model->loras;
    if (!loras || index >= loras->count) return false;
    const struct tt_lora_file *file = loras->file[index];
    size_t least = SIZE_MAX, most = 0;
    for (size_t i = 0; i < file->count; i++) {
        if (file->deltas[i].rank < least) least = file->deltas[i].rank;
        if (file->deltas[i].rank > most) most = file->deltas[i].rank;
    }
    *info = (struct tt_lora_info){
        .path = file->path, .weight = loras->use[index].weight, .sha256 = file->digest,
        .data_sha256 = file->data_digest, .modules = file->count, .ignored = file->unmatched,
        .least_rank = least, .most_rank = most,
    };
    return true;
}
