// SPDX-License-Identifier: MIT
#include "wording_encoder.h"

#include <stdlib.h>
#include <string.h>

#include "base/stack.h"

void tt_wording_encoder_free(struct tt_wording_encoder *e) {
    tt_network_drop(&e->lookup);
    tt_network_drop(&e->whole);
    tt_network_drop(&e->part_of);
    tt_network_drop(&e->hidden);
}

void tt_wording_encoder_skip(struct tt_wording_encoder *e, size_t clip_skip) {
    if (e->config.skip == clip_skip) return;
    tt_wording_encoder_free(e);
    e->config.skip = e->behind.skip = clip_skip;
}

enum tt_status tt_wording_encoders(struct tt_session *session, struct tt_inversions *inversions,
                                 size_t clip_skip, struct tt_wording_encoder encoders[TT_ENCODERS],
                                 size_t *count, struct tt_error *err) {
    const struct tt_model *model = session->model;
    *count = 0;
    for (enum tt_part part = 0; part < TT_PARTS; part++) {
        const struct tt_tokenizer *tokenizer = tt_tokenizer_of(model, part);
        if (!tokenizer) continue;
        const struct tt_clip_config *clip = model->parts[part].config;
        bool xl = model->parts[part].network != &tt_network_clip;
        if (clip_skip >= clip->layers)
            return tt_fail(err, TT_BAD_INPUT, "clip_skip: found %zu, expected at most %zu: %s of "
                           "%s has %zu layers", clip_skip, clip->layers - 1, tt_part_folder(part),
                           model->info.name, clip->layers);
        struct tt_clip_words config = {*clip, clip_skip, xl, 0};
        encoders[(*count)++] = (struct tt_wording_encoder){
            .session = session, .part = part, .slot = part == TT_PART_TEXT ? 0 : 1,
            .tokenizer = tokenizer, .inversions = inversions, .length = model->info.tokens,
            .width = clip->hidden_size, .projection = xl ? clip->projection : 0, .config = config,
            .behind = config,
        };
    }
    return TT_OK;
}

// Plans one of the networks, where it is not planned for this size.
static enum tt_status plan(struct tt_wording_encoder *e, struct tt_network *network,
                           const struct tt_part_network *of, const struct tt_clip_words *config,
                           size_t tokens, struct tt_error *err) {
    if (network->plan && network->size.tokens == tokens) return TT_OK;
    tt_network_drop(network);
    struct tt_size size = {.n = 1, .tokens = tokens};
    enum tt_status status = tt_open_weights(e->session->model, e->part, err);
    if (!status) status = tt_network_lay_out(network, of, config, &size, err);
    if (!status)
        status = tt_network_plan(network, e->session->engine,
                                 e->session->model->parts[e->part].bank, err);
    if (status) tt_network_drop(network);
    return status;
}

static enum tt_status run(struct tt_wording_encoder *e, struct tt_network *network,
                          const struct tt_arrays *arrays, struct tt_error *err) {
    const struct tt_session *session = e->session;
    const struct tt_engine *engine = session->engine;
    enum tt_status status = tt_stack_check_here(TT_STACK_CALL, err);
    if (!status) status = tt_network_feed(network, engine, arrays, err);
    // Observers and overrides know the plans that a session keeps, and are not shown these.
    if (!status) status = tt_network_run(network, engine, NULL, 0, err);
    if (!status) status = tt_weights_check_whole(session->model->parts[e->part].weights, err);
    if (status) return status;
    if (!tt_network_is_finite(network, arrays))
        return tt_network_explain(network, engine, arrays, tt_part_name(e->part), err);
    tt_network_get(network, engine, arrays);
    return TT_OK;
}

// The vectors of the ids of a chunk: the encoder's own, or those of textual inversion.
static enum tt_status look_up(struct tt_wording_encoder *e, const int32_t *ids, float *x,
                              struct tt_error *err) {
    int32_t *known = malloc(e->length * sizeof *known);
    if (!known) return tt_fail(err, TT_SYSTEM, "out of memory for a prompt");
    for (size_t i = 0; i < e->length; i++)
        known[i] = ids[i] < TT_INVERSION_ID ? ids[i] : tt_tokenizer_start(e->tokenizer);
    struct tt_arrays arrays = {{known}, {x}};
    enum tt_status status =
        plan(e, &e->lookup, &tt_network_clip_lookup, &e->config, e->length, err);
    if (!status) status = run(e, &e->lookup, &arrays, err);
    for (size_t i = 0; i < e->length && !status; i++)
        if (ids[i] >= TT_INVERSION_ID)
            memcpy(x + i * e->width, tt_inversions_row(e->inversions, ids[i], e->slot),
                   e->width * sizeof *x);
    free(known);
    return status;
}

// What both calls need: vectors, positions, and room for as many rows.
struct room {
    float *x, *rows;
    int32_t *positions, *hidden;
};

static enum tt_status begin(struct tt_wording_encoder *e, const int32_t *ids, struct room *room,
                            struct tt_error *err) {
    size_t n = e->length * e->width;
    *room = (struct room){malloc(2 * n * sizeof(float)), NULL,
                          malloc(2 * e->length * sizeof(int32_t)), NULL};
    if (!room->x || !room->positions) return tt_fail(err, TT_SYSTEM, "out of memory for a prompt");
    room->rows = room->x + n;
    room->hidden = room->positions + e->length;
    return look_up(e, ids, room->x, err);
}

static void end(struct room *room) {
    free(room->x);
    free(room->positions);
}

enum tt_status tt_wording_encode_chunk(struct tt_wording_encoder *e, const int32_t *ids, float *z,
                                     float *whole, struct tt_error *err) {
    struct room room;
    int32_t last = (int32_t)tt_clip_end(&e->config.clip, ids, e->length);
    enum tt_status status = begin(e, ids, &room, err);
    for (size_t i = 0; i < e->length && !status; i++) room.positions[i] = (int32_t)i;
    struct tt_arrays arrays = {{room.x, room.positions, &last}, {z, NULL, whole}};
    if (!status)
        status = plan(e, &e->whole, &tt_network_clip_vectors, &e->config, e->length, err);
    if (!status) status = run(e, &e->whole, &arrays, err);
    end(&room);
    return status;
}

// Tokens that no other one sees change nothing for these: they are left out, and the others keep
// their positions.
static enum tt_status encode_others(struct tt_wording_encoder *e, struct room *room, size_t from,
                                    size_t to, float *z, struct tt_error *err) {
    size_t left = e->length - (to - from), width = e->width;
    int32_t last = 0;
    memcpy(room->rows, room->x, from * width * sizeof *room->rows);
    memcpy(room->rows + from * width, room->x + to * width,
           (e->length - to) * width * sizeof *room->rows);
    for (size_t i = 0; i < left; i++) room->positions[i] = (int32_t)(i < from ? i : i + to - from);
    float *out = malloc(left * width * sizeof *out);
    if (!out) return tt_fail(err, TT_SYSTEM, "out of memory for a prompt");
    struct tt_arrays arrays = {{room->rows, room->positions, &last}, {out}};
    enum tt_status status =
        plan(e, &e->part_of, &tt_network_clip_vectors, &e->config, left, err);
    if (!status) status = run(e, &e->part_of, &arrays, err);
    if (!status) {
        memcpy(z, out, from * width * sizeof *z);
        memcpy(z + to * width, out + from * width, (left - from) * width * sizeof *z);
    }
    free(out);
    return status;
}

enum tt_status tt_wording_encode_hiding(struct tt_wording_encoder *e, const int32_t *ids,
                                        size_t from, size_t to, float *z, struct tt_error *err) {
    struct room room;
    size_t hidden = to - from;
    enum tt_status status = begin(e, ids, &room, err);
    if (!status) status = encode_others(e, &room, from, to, z, err);
    for (size_t i = 0; i < e->length && !status; i++) {
        room.positions[i] = (int32_t)i;
        room.hidden[i] = (int32_t)(from + i);
    }
    if (e->hidden.plan && e->behind.seen != from) tt_network_drop(&e->hidden);
    e->behind.seen = from;
    if (!status)
        status = plan(e, &e->hidden, &tt_network_clip_behind, &e->behind, hidden, err);
    if (!status) {
        struct tt_arrays arrays = {
            {room.x, room.positions, room.x + from * e->width, room.hidden},
            {z + from * e->width}};
        status = run(e, &e->hidden, &arrays, err);
    }
    end(&room);
    return status;
}
