// SPDX-License-Identifier: MIT
// The fields of struct tt_train_settings that can be said as text, as a list: their names, who
// uses them, and what of them a checkpoint remembers. train_settings.def is the list.
#ifndef TT_TRAIN_TRAIN_SETTINGS_H
#define TT_TRAIN_TRAIN_SETTINGS_H

#include <jansson.h>

#include <stdint.h>

#include "train/data.h"

enum tt_setting_kind {
    TT_SETTING_COUNT,
    TT_SETTING_SEED,
    TT_SETTING_NUMBER,
    TT_SETTING_FLAG,
    TT_SETTING_TEXT,
    TT_SETTING_PART,
    TT_SETTING_RATE,
    TT_SETTING_FIT,
    TT_SETTING_PREDICTION,
    TT_SETTING_BACKGROUND,
};

// Who uses a setting: a bit for each part, and one more where only models with a text do.
enum tt_setting_uses {
    TT_USES_ENCODER = 1 << TT_TRAIN_VAE,
    TT_USES_VAE = TT_USES_ENCODER | 1 << TT_TRAIN_VAE_DECODER,
    TT_USES_UNET = 1 << TT_TRAIN_UNET | 1 << TT_TRAIN_UNET_TEXT,
    TT_USES_DENOISE = TT_USES_UNET | 1 << TT_TRAIN_TEXT,
    TT_USES_EVERY = TT_USES_DENOISE | TT_USES_VAE,
    TT_USES_CAPTIONS = TT_USES_DENOISE | 1 << 8,
};

// Whether it is the autoencoder, or its decoder alone, that learns.
static inline bool tt_trains_vae(int part) { return TT_USES_VAE >> part & 1; }

// A line of the list: where the field is, and what command lines and files call it.
struct tt_setting {
    const char *name; // "learning_rate"; --learning-rate
    enum tt_setting_kind kind;
    size_t offset;
    bool kept;  // must not change when a run is resumed, unless that is asked for,
    bool fixed; // and not then either
    bool newer; // kept, and left out of checkpoints while it is what it is initially
    unsigned uses; // enum tt_setting_uses
    const char *argument, *help;
};

extern const struct tt_setting tt_settings[];
extern const size_t tt_settings_count;

// The words of a kind that is a choice, NULL at the end; NULL for other kinds.
const char *const *tt_setting_words(enum tt_setting_kind kind);

// settings, all of it, takes what the caller's struct says, over the defaults. TT_BAD_INPUT: it is
// of a later version, or of none.
enum tt_status tt_train_settings_take(struct tt_train_settings *settings,
                                      const struct tt_train_settings *given, struct tt_error *err);

// Checks ranges, that what goes together is there, and that the part uses what was said.
enum tt_status tt_train_settings_check(const struct tt_train_settings *settings,
                                       struct tt_error *err);
// The last of that, once it is known whether the model has a text.
enum tt_status tt_train_settings_used(const struct tt_train_settings *settings, bool has_text,
                                      struct tt_error *err);

// The KEPT settings as JSON text, for a checkpoint; malloc'd, NULL when memory is short.
char *tt_train_settings_text(const struct tt_train_settings *settings);
// TT_BAD_INPUT: a setting is another in file; `end` is how the message ends.
enum tt_status tt_train_setting_refuse(const char *file, const struct tt_setting *setting,
                                       const json_t *now, const json_t *then, const char *end,
                                       struct tt_error *err);
// That for the first that differs from text, which came from file.
enum tt_status tt_train_settings_compare(const struct tt_train_settings *settings, const char *file,
                                         const char *text, struct tt_error *err);
// Calls differs() for each of them that is another in text, which came from file, until it fails.
enum tt_status tt_train_settings_differ(
    const struct tt_train_settings *settings, const char *file, const char *text,
    enum tt_status (*differs)(void *context, const struct tt_setting *setting, json_t *now,
                              json_t *then, struct tt_error *err),
    void *context, struct tt_error *err);

// The learning rate of a step (0, 1, ...): linear warm-up, then constant, down to 0 in a line, or
// along half a cosine, as diffusers.optimization has them.
double tt_learning_rate(const struct tt_train_settings *settings, size_t step);

#endif
