// SPDX-License-Identifier: MIT
// Schedulers below the public interface (tintype.h, which tells how one runs): made from a
// configuration, and asked for it.
#ifndef TT_NOISE_SCHEDULER_H
#define TT_NOISE_SCHEDULER_H

#include "noise/rng.h"
#include "noise/scheduler_config.h"

// A scheduler by its name or its class in diffusers; NULL: the class that the file names. Errors:
// an unknown name, an option that the class does not know, a value that it does not support.
enum tt_status tt_scheduler_new(struct tt_scheduler **out, const char *name,
                                const struct tt_scheduler_config *config, struct tt_error *err);

// The settings after defaults, file and options.
const struct tt_scheduler_values *tt_scheduler_settings(const struct tt_scheduler *scheduler);

// The calls of the model that a step takes, as diffusers counts them: 2 of Heun's kind, else 1.
size_t tt_scheduler_order(const struct tt_scheduler *scheduler);

#endif
