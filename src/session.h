// SPDX-License-Identifier: MIT
// What one caller has of a model: plans of its parts with their activations, and observers. The
// calls are in tintype.h.
#ifndef TT_SESSION_H
#define TT_SESSION_H

#include "parts.h"

// A part that is planned for one size.
struct tt_planned {
    int part;
    size_t bytes; // of activations
    struct tt_network network;
    struct tt_planned *next;
};

// Who follows whole calls, beside the observers of their steps. begin: a call is planned, and not
// yet fed; it may give the session other observers for its time. end: what it came to; always, when
// begin was TT_OK; says what the caller is told.
struct tt_follower {
    void *context;
    enum tt_status (*begin)(void *context, int part, const struct tt_network *network,
                            const struct tt_arrays *arrays, struct tt_error *err);
    enum tt_status (*end)(void *context, enum tt_status status, const struct tt_arrays *arrays,
                          struct tt_error *err);
};

struct tt_session {
    struct tt_model *model;
    const struct tt_engine *engine;
    const struct tt_observer *observers;
    size_t observer_count;
    const struct tt_override *override; // NULL: none
    const struct tt_follower *follower; // NULL: nobody
    size_t plan_bytes;          // of all that is planned, but that the newest is always kept
    struct tt_planned *planned; // the one that was used last comes first
};

// The one of the part that was used last; of that size, when it is not NULL. NULL: there is none.
const struct tt_network *tt_session_network(const struct tt_session *session, int part,
                                            const struct tt_size *size);

// Plans a part where it is not planned, and calls it, shown to the session's observers.
enum tt_status tt_session_call(struct tt_session *session, int part, struct tt_size size,
                               const struct tt_arrays *arrays, struct tt_error *err);

// What the U-Net is told beside the sample in a call of one or two passes; NULL: it is not.
struct tt_told {
    const float *embeddings;  // (n, tokens, D)
    const float *text_embeds; // (n, P), of SDXL
    float time_ids[12];       // (n, I), of SDXL
    double guidance_scale;    // for a model that was taught it
};

// tt_session_unet() with all that the model's U-Net takes.
enum tt_status tt_session_unet_told(struct tt_session *session, struct tt_size size,
                                    const float *sample, const float *timesteps,
                                    const struct tt_told *told, float *out, struct tt_error *err);

// Whether the activations of a part will find room at a size: for a run that needs it at its end.
// TT_SYSTEM, with both numbers, when the machine has less memory.
enum tt_status tt_session_check_room(const struct tt_session *session, enum tt_part part,
                                     struct tt_size size, struct tt_error *err);

#endif
