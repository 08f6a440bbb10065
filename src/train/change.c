// SPDX-License-Identifier: MIT
#include "train/change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "io/json.h"

static enum tt_status no_memory(struct tt_error *err) {
    return tt_fail(err, TT_SYSTEM, "out of memory for a list of changes");
}

enum tt_status tt_changes_begin(struct tt_changes *changes, bool allowed, const char *file,
                                struct tt_error *err) {
    *changes = (struct tt_changes){.allowed = allowed, .file = file, .list = json_array()};
    return changes->list ? TT_OK : no_memory(err);
}

void tt_changes_free(struct tt_changes *changes) {
    json_decref(changes->list);
    *changes = (struct tt_changes){0};
}

enum tt_status tt_changes_add(struct tt_changes *changes, const char *what, const char *name,
                              json_t *found, json_t *was, struct tt_error *err) {
    json_t *change = json_object();
    bool good = change && !json_object_set_new(change, "change", json_string(what));
    if (good && name) good = !json_object_set_new(change, "name", tt_changes_text(name));
    // Both are taken in any case.
    bool taken = !json_object_set_new(change, "found", found);
    taken = !json_object_set_new(change, "was", was) && taken;
    if (good && taken && name && changes->pictures == TT_CHANGES_MOST) {
        changes->untold++;
        json_decref(change);
        return TT_OK;
    }
    changes->pictures += name != NULL;
    if (good && taken) return json_array_append_new(changes->list, change) ? no_memory(err) : TT_OK;
    json_decref(change);
    return no_memory(err);
}

json_t *tt_changes_text(const char *text) {
    enum { MOST = 160 }; // a line of the log has room for three, escaped
    char good[MOST + 8];
    size_t n = 0, left = strlen(text);
    while (*text && n < MOST - 4) {
        int32_t c;
        size_t used = tt_text_character(text, left, &c);
        memcpy(good + n, used ? text : "?", used ? used : 1);
        n += used ? used : 1;
        text += used ? used : 1;
        left -= used ? used : 1;
    }
    memcpy(good + n, "...", 4);
    if (!*text) good[n] = 0;
    return json_string(good);
}

// ---- settings ----

static enum tt_status add_setting(void *context, const struct tt_setting *s, json_t *now,
                                  json_t *then, struct tt_error *err) {
    struct tt_changes *changes = context;
    // Without an average there is nothing in a checkpoint that one could go on from.
    bool average = s->offset == offsetof(struct tt_train_settings, ema_decay) &&
                   (json_number_value(now) > 0) != (json_number_value(then) > 0);
    bool fixed = s->fixed || average;
    if (changes->allowed && !fixed)
        return tt_changes_add(changes, s->name, NULL, json_incref(now), json_incref(then), err);
    return tt_train_setting_refuse(changes->file, s, now, then,
                                   !fixed             ? "; --change goes on with it"
                                   : changes->allowed ? "; --change cannot change this"
                                                      : "", err);
}

enum tt_status tt_changes_settings(struct tt_changes *changes,
                                   const struct tt_train_settings *settings, const char *then,
                                   struct tt_error *err) {
    return tt_train_settings_differ(settings, changes->file, then, add_setting, changes, err);
}

size_t tt_changes_count(const struct tt_changes *changes) {
    return json_array_size(changes->list);
}

static const json_t *of(const struct tt_changes *changes, const char *what) {
    size_t i;
    json_t *change;
    json_array_foreach(changes->list, i, change)
        if (!strcmp(json_string_value(json_object_get(change, "change")), what)) return change;
    return NULL;
}

bool tt_changes_has(const struct tt_changes *changes, const char *what) {
    return of(changes, what) != NULL;
}

size_t tt_changes_was(const struct tt_changes *changes, const char *what, size_t now) {
    const json_t *change = of(changes, what);
    return change ? (size_t)json_integer_value(json_object_get(change, "was")) : now;
}

// ---- telling ----

static char *value_text(const json_t *value) {
    if (json_is_null(value)) return strdup("nothing");
    return json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
}

char *tt_changes_sentence(const struct tt_changes *changes, size_t i) {
    const json_t *change = json_array_get(changes->list, i);
    const char *what = json_string_value(json_object_get(change, "change"));
    const char *name = json_string_value(json_object_get(change, "name"));
    char *found = value_text(json_object_get(change, "found"));
    char *was = value_text(json_object_get(change, "was")), *text = NULL;
    if (found && was && asprintf(&text, "%s%s%s: found %s, was %s", what, name ? " of " : "",
                                 name ? name : "", found, was) < 0)
        text = NULL;
    free(found);
    free(was);
    return text;
}

char *tt_changes_line(const struct tt_changes *changes, size_t i, size_t step) {
    char *text = json_dumps(json_array_get(changes->list, i),
                            JSON_COMPACT | JSON_REAL_PRECISION(9)), *line = NULL;
    if (text && asprintf(&line, "{\"step\":%zu,%s\n", step, text + 1) < 0) line = NULL;
    free(text);
    return line;
}
