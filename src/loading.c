// SPDX-License-Identifier: MIT
// The weights of a model's parts: opened when they are first used, and held beside what the
// networks ask for.
#include "parts.h"

#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

// What a network asks of a file that lacks it.
struct missing {
    const char *first;
    char more[256];
    size_t count, used;
};

static void add_missing(struct missing *missing, const char *name) {
    enum { NAMED = 4 };
    if (missing->count++ == 0) missing->first = name;
    else if (missing->count <= NAMED && missing->used < sizeof missing->more)
        missing->used += (size_t)snprintf(missing->more + missing->used,
                                          sizeof missing->more - missing->used, "%s'%.100s'",
                                          missing->count > 2 ? ", " : "", name);
}

// Every parameter of a tape must be there, of the right shape.
static enum tt_status check_tape(const struct tt_tape *tape, struct tt_weights *weights,
                                 struct tt_error *err) {
    struct missing missing = {0};
    const struct tt_view *view;
    const struct tt_source source = tt_weights_source(weights);
    enum tt_status status = TT_OK;
    for (int i = 0; !status && i < tape->node_count; i++)
        for (int j = 0; !status && j < TT_MAX_PARAMS; j++) {
            const struct tt_param *param = tape->nodes[i].param[j];
            if (param && !tt_weights_expect(weights, param->name))
                add_missing(&missing, param->name);
            else if (param && !missing.count)
                status = tt_find_checked(&source, param, &view, err);
        }
    if (status || !missing.count) return status;
    for (int i = 0; !status && i < tape->node_count; i++)
        for (int j = 0; !status && j < TT_MAX_PARAMS; j++) {
            const struct tt_param *param = tape->nodes[i].param[j];
            if (param && param->name == missing.first)
                status = tt_find_checked(&source, param, &view, err);
        }
    if (missing.count > 1 && err) {
        size_t used = strlen(err->message);
        snprintf(err->message + used, sizeof err->message - used, "; and %zu more: %s%s",
                 missing.count - 1, missing.more, missing.count > 5 ? ", ..." : "");
    }
    return status;
}

// Every tensor that the parts of a folder ask for must be there: before a run begins, not where it
// first needs them. What else is there is noted. The names do not depend on the size of the tape.
static enum tt_status check_tensors(struct tt_model *model, enum tt_part first,
                                    struct tt_weights *weights, struct tt_error *err) {
    const struct tt_size size = {1, TT_ANY_SIDE, TT_ANY_SIDE, 1};
    enum tt_status status = TT_OK;
    for (enum tt_part part = first; !status && part < TT_PARTS; part++) {
        if (tt_part_first(part) != first || !model->parts[part].network) continue;
        struct tt_network network = {0};
        status = tt_part_lay_out(model, part, &size, &network, err);
        if (!status) status = check_tape(&network.tape, weights, err);
        tt_network_drop(&network);
    }
    char file[64], where[1024];
    snprintf(file, sizeof file, "%s/config.json", tt_part_folder((int)first));
    if (status == TT_BAD_INPUT)
        tt_fail_prefix(err, "%s does not match its weights",
                       tt_folder_where(model->parts[first].folder, file, where, sizeof where));
    if (!status) tt_weights_note_unused(weights);
    return status;
}

// Once the parts of a folder know their weights, these are only read: without the lock, too.
static bool are_open(struct tt_model *model, enum tt_part part) {
    const struct tt_held *first = &model->parts[tt_part_first(part)];
    struct tt_held *held = &model->parts[part];
    pthread_mutex_lock(&model->lock);
    bool open = first->weights != NULL;
    if (open && !held->weights) {
        held->weights = first->weights;
        held->bank = first->bank;
        held->merge = first->merge;
        held->source = first->source;
    }
    pthread_mutex_unlock(&model->lock);
    return open;
}

// The weights of a part are mapped and looked over when it is first used. Callbacks are told notes
// on the way, so no lock is held: of two sessions that do it at once, one finds it done.
enum tt_status tt_open_weights(struct tt_model *model, enum tt_part part, struct tt_error *err) {
    enum tt_part first = tt_part_first(part);
    struct tt_held *held = &model->parts[first];
    struct tt_weights *weights = NULL;
    struct tt_bank *bank = NULL;
    struct tt_lora_merge *merge = NULL;
    struct tt_source source;
    if (are_open(model, part)) return TT_OK;
    enum tt_status status =
        tt_weights_open(held->folder, tt_part_folder((int)first), &weights, err);
    if (!status) status = check_tensors(model, first, weights, err);
    if (!status) status = tt_model_source(model, first, weights, &merge, &source, err);
    if (!status) {
        const struct tt_bank_options options = {.widen = model->widen};
        bank = tt_bank_new(&source, &options);
        if (!bank) status = tt_fail(err, TT_SYSTEM, "out of memory");
    }
    pthread_mutex_lock(&model->lock);
    if (!status && !held->weights) {
        held->weights = weights;
        held->bank = bank;
        held->merge = merge;
        held->source = source;
        weights = NULL;
        bank = NULL;
        merge = NULL;
    }
    pthread_mutex_unlock(&model->lock);
    tt_bank_free(bank);
    tt_lora_merge_free(merge);
    tt_weights_close(weights);
    if (!status) are_open(model, part);
    return status;
}

bool tt_model_has_weights(const struct tt_model *model, int part) {
    return tt_model_has_part(model, part) &&
           tt_weights_present(model->parts[part].folder, tt_part_folder(part));
}

enum tt_status tt_model_weights(struct tt_model *model, int part,
                                const struct tt_weights **weights, struct tt_error *err) {
    enum tt_status status = tt_check_part(model, part, err);
    if (!status) status = tt_open_weights(model, part, err);
    if (!status) *weights = model->parts[part].weights;
    return status;
}

// Names, dtypes and shapes of all tensors and the first kilobyte of each: fine-tuned models differ
// there, and four gigabytes need not be read for a name.
enum tt_status tt_model_hash(struct tt_model *model, char text[TT_MODEL_HASH_SIZE],
                             struct tt_error *err) {
    struct sha256_ctx sha;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&sha);
    for (enum tt_part part = 0; part < TT_PARTS; part++) {
        if (!model->parts[part].network || tt_part_first(part) != part) continue;
        enum tt_status status = tt_open_weights(model, part, err);
        if (status) return status;
        const struct tt_weights *weights = model->parts[part].weights;
        for (size_t j = 0; j < tt_weights_count(weights); j++) {
            const struct tt_view *view = tt_weights_at(weights, j);
            char line[512], shape[96];
            snprintf(line, sizeof line, "%s %s %s\n", view->name, tt_dtype_name(view->dtype),
                     tt_shape_text(&view->shape, shape, sizeof shape));
            sha256_update(&sha, strlen(line), (const uint8_t *)line);
            sha256_update(&sha, view->bytes < 1024 ? view->bytes : 1024, view->data);
        }
    }
    struct tt_lora_info lora;
    for (size_t i = 0; tt_model_lora(model, i, &lora); i++) {
        char line[160];
        snprintf(line, sizeof line, "lora %s %.17g\n", lora.sha256, lora.weight);
        if (lora.weight != 0) sha256_update(&sha, strlen(line), (const uint8_t *)line);
    }
    sha256_digest(&sha, sizeof digest, digest);
    tt_text_hex(digest, TT_MODEL_HASH_SIZE / 2, text);
    return TT_OK;
}

enum tt_status tt_model_weight(struct tt_model *model, int part, const char *name, bool *there,
                               struct tt_view *view, struct tt_error *err) {
    enum tt_status status = tt_check_part(model, part, err);
    if (!status) status = tt_open_weights(model, (enum tt_part)part, err);
    if (status) return status;
    const struct tt_source *source = &model->parts[part].source;
    const struct tt_view *found = source->find(source->context, name);
    *there = found != NULL;
    return found ? tt_source_acquire(source, found, view, err) : TT_OK;
}

void tt_model_weight_done(struct tt_model *model, int part, const struct tt_view *view) {
    tt_source_release(&model->parts[part].source, view);
}
