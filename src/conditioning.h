// SPDX-License-Identifier: MIT
// What the U-Net is told beside the sample: the texts, and of SDXL what a whole text says and the
// numbers of the picture. Of a guided run first what is guided away from, then what towards.
#ifndef TT_CONDITIONING_H
#define TT_CONDITIONING_H

#include "session.h"

enum { TT_TIME_IDS = 6 }; // the most

// tt_encode_prompt() with settings that have been checked.
enum tt_status tt_encode(struct tt_session *session, const struct tt_settings *settings,
                         struct tt_embeddings *embeddings, struct tt_error *err);

// What the passes of a run are told, the embeddings borrowed.
struct tt_conditions {
    const struct tt_embeddings *embeddings;
    size_t text_width, pooled_width, time_ids;
    float ids[2][TT_TIME_IDS]; // of the pass away, and the pass towards
};

// As diffusers' StableDiffusionXLPipeline fills them in, of a refiner StableDiffusionXLImg2Img's.
void tt_condition(const struct tt_model *model, const struct tt_settings *settings,
                  const struct tt_embeddings *embeddings, struct tt_conditions *conditions);

// Those of a call of so many passes: of one, towards the text.
struct tt_told tt_conditions_of(const struct tt_conditions *conditions, size_t passes);

#endif
