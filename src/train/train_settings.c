// SPDX-License-Identifier: MIT
#include "train/train_settings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/growth.h"
#include "io/file.h"
#include "io/json.h"
#include "noise/numeric.h"

#define LINE(kind, name, kept, fixed, newer, uses, argument, help) \
    {#name, TT_SETTING_##kind, offsetof(struct tt_train_settings, name), kept, fixed, newer, \
     TT_USES_##uses, argument, help},
#define SETTING(kind, name, initial, uses, argument, help) \
    LINE(kind, name, false, false, false, uses, argument, help)
#define KEPT(kind, name, initial, uses, argument, help) \
    LINE(kind, name, true, false, false, uses, argument, help)
#define FIXED(kind, name, initial, uses, argument, help) \
    LINE(kind, name, true, true, false, uses, argument, help)
#define NEWER(kind, name, initial, uses, argument, help) \
    LINE(kind, name, true, false, true, uses, argument, help)
const struct tt_setting tt_settings[] = {
#include "train/train_settings.def"
};
#undef NEWER
#undef FIXED
#undef KEPT
#undef SETTING
#undef LINE
const size_t tt_settings_count = sizeof tt_settings / sizeof *tt_settings;
_Static_assert(sizeof tt_settings / sizeof *tt_settings <= 64, "a bit for each in `given`");

// Fields are of the types that their kinds say.
#define TYPE_COUNT size_t
#define TYPE_SEED uint64_t
#define TYPE_NUMBER double
#define TYPE_FLAG bool
#define TYPE_TEXT const char *
#define TYPE_PART int
#define TYPE_RATE int
#define TYPE_FIT int
#define TYPE_PREDICTION int
#define TYPE_BACKGROUND int
#define SETTING(kind, name, initial, uses, argument, help) \
    _Static_assert(_Generic(((struct tt_train_settings *)0)->name, TYPE_##kind: 1, default: 0), \
                   #name " is of another kind");
#define KEPT SETTING
#define NEWER SETTING
#define FIXED SETTING
#include "train/train_settings.def"
#undef SETTING

static const struct tt_train_settings defaults = {
    .size = sizeof defaults,
#define SETTING(kind, name, initial, uses, argument, help) .name = initial,
#include "train/train_settings.def"
};
#undef FIXED
#undef NEWER
#undef KEPT
#undef SETTING

void tt_train_defaults(struct tt_train_settings *settings, size_t size) {
    tt_growth_give(settings, size, &defaults, sizeof defaults);
}

enum tt_status tt_train_settings_take(struct tt_train_settings *settings,
                                      const struct tt_train_settings *given,
                                      struct tt_error *err) {
    *settings = defaults;
    return tt_growth_take(settings, sizeof *settings, given, "struct tt_train_settings", err);
}

bool tt_train_setting(size_t i, const char **name, const char **argument, const char **help) {
    if (i >= tt_settings_count) return false;
    *name = tt_settings[i].name;
    *argument = tt_settings[i].argument;
    *help = tt_settings[i].help;
    return true;
}

const char *const *tt_setting_words(enum tt_setting_kind kind) {
    static const char *const parts[] = {"vae", "unet", "text", "unet+text",
                                        "vae-decoder", NULL};
    static const char *const rates[] = {"constant", "linear", "cosine", NULL};
    static const char *const fits[] = {"crop", "stretch", NULL};
    static const char *const predictions[] = {"model", "epsilon", "v_prediction", "sample", NULL};
    static const char *const grounds[] = {"linear", "black", "white", NULL};
    switch (kind) {
    case TT_SETTING_BACKGROUND: return grounds;
    case TT_SETTING_PREDICTION: return predictions;
    case TT_SETTING_PART: return parts;
    case TT_SETTING_RATE: return rates;
    case TT_SETTING_FIT: return fits;
    default: return NULL;
    }
}

// ---- JSON ----

// The value of a field, and a field from a value: NULL, or what was expected.
static json_t *to_json(const struct tt_train_settings *settings, const struct tt_setting *s) {
    const void *field = (const char *)settings + s->offset;
    const char *const *words = tt_setting_words(s->kind);
    switch (s->kind) {
    case TT_SETTING_COUNT: return json_integer((json_int_t) * (const size_t *)field);
    case TT_SETTING_SEED: return json_integer((json_int_t) * (const uint64_t *)field);
    case TT_SETTING_NUMBER: return json_real(*(const double *)field);
    case TT_SETTING_FLAG: return json_boolean(*(const bool *)field);
    case TT_SETTING_TEXT: {
        const char *text = *(const char *const *)field;
        return text ? json_string(text) : json_null();
    }
    default: return json_string(words[*(const int *)field]);
    }
}

static const char *from_json(struct tt_train_settings *settings, const struct tt_setting *s,
                             const json_t *value, char *text, size_t size) {
    void *field = (char *)settings + s->offset;
    const char *const *words = tt_setting_words(s->kind);
    bool whole = json_is_integer(value) && json_integer_value(value) >= 0;
    switch (s->kind) {
    case TT_SETTING_COUNT:
        if (!whole) return "an integer from 0";
        *(size_t *)field = (size_t)json_integer_value(value);
        return NULL;
    case TT_SETTING_SEED:
        if (!json_is_integer(value)) return "an integer";
        *(uint64_t *)field = (uint64_t)json_integer_value(value);
        return NULL;
    case TT_SETTING_NUMBER:
        if (!json_is_number(value)) return "a number";
        *(double *)field = json_number_value(value);
        return NULL;
    case TT_SETTING_FLAG:
        if (!json_is_boolean(value)) return "true or false";
        *(bool *)field = json_is_true(value);
        return NULL;
    case TT_SETTING_TEXT:
        if (!json_is_string(value)) return "a string";
        *(const char **)field = json_string_value(value);
        return NULL;
    default: break;
    }
    for (int i = 0; json_is_string(value) && words[i]; i++)
        if (!strcmp(words[i], json_string_value(value))) {
            *(int *)field = i;
            return NULL;
        }
    snprintf(text, size, "\"%s\"", words[0]);
    for (int i = 1; words[i]; i++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, " or \"%s\"", words[i]);
    }
    return text;
}

static const struct tt_setting *find(const char *name) {
    for (size_t i = 0; i < tt_settings_count; i++)
        if (!strcmp(tt_settings[i].name, name)) return &tt_settings[i];
    return NULL;
}

char *tt_train_setting_text(const struct tt_train_settings *settings, const char *name) {
    struct tt_train_settings all;
    const struct tt_setting *setting = find(name);
    if (!setting || tt_train_settings_take(&all, settings, NULL)) return NULL;
    json_t *value = to_json(&all, setting);
    char *text = NULL;
    if (json_is_string(value)) text = strdup(json_string_value(value));
    else if (json_is_number(value))
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
    json_decref(value);
    return text;
}

// Whether the caller's struct, of its own size, has room for the field.
static bool has_field(const struct tt_train_settings *settings, const struct tt_setting *s) {
    size_t next = sizeof *settings;
    for (size_t i = 0; i < tt_settings_count; i++)
        if (tt_settings[i].offset > s->offset && tt_settings[i].offset < next)
            next = tt_settings[i].offset;
    return settings->size >= next;
}

// Takes a value; where: what comes before messages, shown: how it was said.
static enum tt_status set(struct tt_train_settings *settings, const char *where, const char *name,
                          const json_t *value, const char *shown, struct tt_error *err) {
    char text[96];
    const struct tt_setting *s = find(name);
    if (!s) return tt_fail(err, TT_BAD_INPUT, "%s%s: not a setting of training", where, name);
    if (!has_field(settings, s))
        return tt_fail(err, TT_BAD_INPUT, "%s%s: found size %zu, expected struct tt_train_settings "
                       "to have this field", where, name, settings->size);
    settings->given |= UINT64_C(1) << (s - tt_settings);
    const char *expected = from_json(settings, s, value, text, sizeof text);
    return expected ? tt_fail(err, TT_BAD_INPUT, "%s%s: found %s, expected %s", where, name, shown,
                              expected) : TT_OK;
}

struct tt_train_texts {
    json_t *root;
};

void tt_train_texts_free(struct tt_train_texts *texts) {
    if (!texts) return;
    json_decref(texts->root);
    free(texts);
}

enum tt_status tt_train_settings_read(struct tt_train_settings *settings, struct tt_files *files,
                                      const char *path, struct tt_train_texts **out,
                                      struct tt_error *err) {
    struct tt_bytes bytes = {0};
    const char *key;
    char *where = NULL;
    json_t *value;
    struct tt_train_texts *texts = calloc(1, sizeof *texts);
    if (!texts || asprintf(&where, "%s: ", path) < 0) {
        free(texts);
        return tt_fail(err, TT_SYSTEM, "%s: out of memory", path);
    }
    enum tt_status status = tt_file_read(files, path, &bytes, err);
    if (!status) status = tt_json_parse(path, bytes.data, bytes.size, &texts->root, err);
    tt_bytes_free(&bytes);
    if (!status && !json_is_object(texts->root))
        status = tt_fail(err, TT_BAD_INPUT, "%s: expected an object of settings", path);
    json_object_foreach(texts->root, key, value) {
        char found[128];
        if (status) break;
        status = set(settings, where, key, value, tt_json_text(value, found, sizeof found), err);
    }
    free(where);
    if (status) tt_train_texts_free(texts);
    else *out = texts;
    return status;
}

enum tt_status tt_train_set(struct tt_train_settings *settings, const char *name, const char *text,
                            struct tt_error *err) {
    char *shown = NULL;
    const struct tt_setting *s = find(name);
    if (s && s->kind == TT_SETTING_TEXT && has_field(settings, s)) { // borrowed, not copied
        settings->given |= UINT64_C(1) << (s - tt_settings);
        *(const char **)((char *)settings + s->offset) = text;
        return TT_OK;
    }
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    if (!value) value = json_string(text);
    if (!value) return tt_fail(err, TT_BAD_INPUT, "%s: found '%s'", name, text);
    if (asprintf(&shown, "'%s'", text) < 0) shown = NULL;
    enum tt_status status = shown ? set(settings, "", name, value, shown, err)
                                  : tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
    free(shown);
    json_decref(value);
    return status;
}

// `all`: also those that a checkpoint does not say.
static json_t *kept(const struct tt_train_settings *settings, bool all) {
    json_t *object = json_object();
    for (size_t i = 0; object && i < tt_settings_count; i++) {
        json_t *value = to_json(settings, &tt_settings[i]);
        json_t *initial = to_json(&defaults, &tt_settings[i]);
        bool wanted = tt_settings[i].kept &&
                      (all || !tt_settings[i].newer || !json_equal(value, initial));
        bool failed = wanted && json_object_set(object, tt_settings[i].name, value);
        json_decref(value);
        json_decref(initial);
        if (!failed) continue;
        json_decref(object);
        object = NULL;
    }
    return object;
}

char *tt_train_settings_text(const struct tt_train_settings *settings) {
    json_t *object = kept(settings, false);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return text;
}

enum tt_status tt_train_settings_differ(
    const struct tt_train_settings *settings, const char *file, const char *text,
    enum tt_status (*differs)(void *context, const struct tt_setting *setting, json_t *now,
                              json_t *then, struct tt_error *err),
    void *context, struct tt_error *err) {
    json_t *then = NULL, *now = kept(settings, true), *unsaid = kept(&defaults, true);
    const char *key;
    json_t *value;
    enum tt_status status = now && unsaid ? tt_json_parse(file, text, strlen(text), &then, err)
                                          : tt_fail(err, TT_SYSTEM, "out of memory for settings");
    if (!status) json_object_foreach(now, key, value) {
            json_t *old = json_object_get(then, key);
            if (!old) old = json_object_get(unsaid, key); // a setting that was not there yet
            // What the part does not use could once be said, and changed nothing.
            if (json_equal(old, value) || status || !(find(key)->uses >> settings->part & 1))
                continue;
            status = differs(context, find(key), value, old, err);
        }
    json_decref(then);
    json_decref(now);
    json_decref(unsaid);
    return status;
}

enum tt_status tt_train_setting_refuse(const char *file, const struct tt_setting *setting,
                                       const json_t *now, const json_t *then, const char *end,
                                       struct tt_error *err) {
    char found[128], expected[128];
    return tt_fail(err, TT_BAD_INPUT, "%s: made with another setting: %s: found %s, expected %s "
                   "as it is now%s", file, setting->name, tt_json_text(then, found, sizeof found),
                   tt_json_text(now, expected, sizeof expected), end);
}

static enum tt_status refuse(void *context, const struct tt_setting *setting, json_t *now,
                             json_t *then, struct tt_error *err) {
    return tt_train_setting_refuse(context, setting, now, then, "", err);
}

enum tt_status tt_train_settings_compare(const struct tt_train_settings *settings, const char *file,
                                         const char *text, struct tt_error *err) {
    return tt_train_settings_differ(settings, file, text, refuse, (void *)file, err);
}

// ---- checks ----

enum tt_status tt_train_settings_used(const struct tt_train_settings *s, bool has_text,
                                      struct tt_error *err) {
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < tt_settings_count; i++) {
        const struct tt_setting *setting = &tt_settings[i];
        bool part = setting->uses >> s->part & 1;
        bool used = part && (has_text || setting->uses != TT_USES_CAPTIONS);
        json_t *value = to_json(s, setting), *initial = to_json(&defaults, setting);
        char found[128];
        const char *users = setting->uses == TT_USES_ENCODER ? "vae"
                            : setting->uses == TT_USES_VAE  ? "vae and vae-decoder"
                            : setting->uses == TT_USES_UNET ? "unet and unet+text"
                                                            : "unet, text and unet+text";
        if (!used && (s->given >> i & 1 || !json_equal(value, initial)))
            status = tt_fail(err, TT_BAD_INPUT, "%s: found %s, expected none: %s%s%s",
                             setting->name, tt_json_text(value, found, sizeof found),
                             part ? "the model has no text, and a picture no caption that it would "
                                    "concern" : "it is only used for part ",
                             part ? "" : users, part ? "" : ", not this one");
        json_decref(value);
        json_decref(initial);
    }
    return status;
}

enum tt_status tt_train_settings_check(const struct tt_train_settings *s, struct tt_error *err) {
    static const struct {
        size_t offset;
        double least, most;
        const char *expected;
    } ranges[] = {
#define FIELD(name) offsetof(struct tt_train_settings, name)
        {FIELD(learning_rate), 0, 1e3, "0 to 1000"},
        {FIELD(beta1), 0, 0.9999999, "0 to below 1"},
        {FIELD(beta2), 0, 0.9999999, "0 to below 1"},
        {FIELD(epsilon), 0, 1, "0 to 1"},
        {FIELD(weight_decay), 0, 1e3, "0 to 1000"},
        {FIELD(clip_norm), 0, 1e30, "0 or more"},
        {FIELD(ema_decay), 0, 0.99999999, "0 to below 1"},
        {FIELD(caption_dropout), 0, 1, "0 to 1"},
        {FIELD(word_dropout), 0, 1, "0 to 1"},
        {FIELD(min_snr), 0, 1e30, "0 or more"},
        {FIELD(l1_weight), 0, 1e30, "0 or more"},
        {FIELD(l2_weight), 0, 1e30, "0 or more"},
        {FIELD(kl_weight), 0, 1e30, "0 or more"},
        {FIELD(sample_guidance), 0, 1e3, "0 to 1000"},
        {FIELD(validate), 0, 0.9999999, "0 to below 1"},
#undef FIELD
    };
    for (size_t i = 0; i < tt_settings_count; i++) {
        const char *const *words = tt_setting_words(tt_settings[i].kind);
        if (!words) continue;
        int count = 0, choice = *(const int *)((const char *)s + tt_settings[i].offset);
        while (words[count]) count++;
        if (choice < 0 || choice >= count)
            return tt_fail(err, TT_BAD_INPUT, "%s: found %d, expected 0 to %d", tt_settings[i].name,
                           choice, count - 1);
    }
    for (size_t i = 0; i < tt_settings_count; i++)
        for (size_t j = 0; j < sizeof ranges / sizeof *ranges; j++) {
            double x = *(const double *)((const char *)s + ranges[j].offset);
            if (tt_settings[i].offset != ranges[j].offset) continue;
            if (!(x >= ranges[j].least && x <= ranges[j].most))
                return tt_fail(err, TT_BAD_INPUT, "%s: found %g, expected %s", tt_settings[i].name,
                               x, ranges[j].expected);
        }
    if (!s->data && !s->picture)
        return tt_fail(err, TT_BAD_INPUT, "data is missing: --data DIR");
    if (s->data && s->picture)
        return tt_fail(err, TT_BAD_INPUT, "data: found %s and picture(), expected one of them",
                       s->data);
    if (!s->output) return tt_fail(err, TT_BAD_INPUT, "output is missing: -o FOLDER");
    if (s->model && s->config)
        return tt_fail(err, TT_BAD_INPUT, "found model %s and config %s, expected one of them",
                       s->model, s->config);
    if (!s->steps || !s->batch || !s->accumulate || s->batch > 65536 || s->accumulate > 65536)
        return tt_fail(err, TT_BAD_INPUT, "found steps %zu, batch %zu, accumulate %zu, expected "
                       "at least 1 of each and at most 65536 of the last two", s->steps, s->batch,
                       s->accumulate);
    if (s->part == TT_TRAIN_VAE_DECODER && s->config)
        return tt_fail(err, TT_BAD_INPUT, "found part vae-decoder and config %s, expected a model: "
                       "the decoder learns what an encoder that is there means", s->config);
    if (s->raw_weights && !(s->ema_decay > 0))
        return tt_fail(err, TT_BAD_INPUT, "found raw_weights and ema_decay 0, expected an average: "
                       "without one the weights that are written are the raw ones");
    if (s->validate_every && !(s->validate > 0))
        return tt_fail(err, TT_BAD_INPUT, "found validate_every %zu and validate 0, expected a "
                       "share of the pictures that is held out", s->validate_every);
    if (s->change && !s->resume)
        return tt_fail(err, TT_BAD_INPUT, "found change without resume, expected both: there is "
                       "nothing to change in a run that begins");
    if (tt_trains_vae(s->part) && !(s->l1_weight > 0) && !(s->l2_weight > 0))
        return tt_fail(err, TT_BAD_INPUT, "found l1_weight 0 and l2_weight 0, expected one of them "
                       "above 0: the pictures would have no weight");
    if (s->bucket_step && !s->buckets)
        return tt_fail(err, TT_BAD_INPUT, "bucket_step: found %zu, expected none without buckets",
                       s->bucket_step);
    if (!s->width != !s->height)
        return tt_fail(err, TT_BAD_INPUT, "found width %zu and height %zu, expected both or none",
                       s->width, s->height);
    return tt_train_settings_used(s, true, err);
}

// ---- the learning rate ----

double tt_learning_rate(const struct tt_train_settings *s, size_t step) {
    const double pi = 3.14159265358979323846;
    if (step < s->warmup_steps)
        return s->learning_rate * ((double)step / (double)s->warmup_steps);
    size_t rest = s->steps > s->warmup_steps ? s->steps - s->warmup_steps : 1;
    double part = (double)(step - s->warmup_steps) / (double)rest, factor = 1;
    if (s->schedule == TT_RATE_LINEAR)
        factor = fmax(0, ((double)s->steps - (double)step) / (double)rest);
    if (s->schedule == TT_RATE_COSINE) factor = fmax(0, 0.5 * (1 + tt_cos(pi * part)));
    return s->learning_rate * factor;
}
