// SPDX-License-Identifier: MIT
// Which keys an object may have, what they must hold, and what is said of the others.
#include "io/json_object.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum tt_status tt_json_finish(struct tt_json *json, struct tt_error *err) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json->object, key, value) {
        if (*key != '_' && !json_object_get(json->known, key))
            tt_json_fail_found(json, key, value, "no such key (it is not supported)");
    }
    return tt_json_status(json, err);
}

void tt_json_tell(struct tt_json *json, const struct tt_notes *notes) {
    json->document->notes = notes;
}

void tt_json_note(struct tt_json *json, const char *key, const char *format, ...) {
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    tt_note(json->document->notes, "%s: %s%s: %s", json->document->file, json->path, key, message);
}

enum tt_status tt_json_finish_noting(struct tt_json *json, const char *what, struct tt_error *err) {
    enum { NAMED = 8 };
    char names[512] = "";
    size_t count = 0, used = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)json->object, key, value) {
        if (*key == '_' || json_object_get(json->known, key)) continue;
        if (count++ < NAMED && used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%.48s",
                                     count > 1 ? ", " : "", key);
    }
    if (count)
        tt_note(json->document->notes, "%s: %s%s%s: no key%s of %s, ignored", json->document->file,
                json->path, names, count > NAMED ? ", ..." : "", count > 1 ? "s" : "", what);
    return tt_json_status(json, err);
}

void tt_json_put(struct tt_json *json, const char *key, const char *text, bool list) {
    json_t *value = list ? json_pack("[o]", json_string_nocheck(text))
                         : json_string_nocheck(text);
    if (json_object_set_new((json_t *)json->object, key, value)) tt_json_no_memory(json);
}

void tt_json_take_away(struct tt_json *json, const char *key) {
    json_t *names = json_incref(json_object_get(json->object, key)), *name;
    size_t i;
    json_array_foreach(names, i, name)
        if (json_is_string(name)) json_object_del((json_t *)json->object, json_string_value(name));
    json_object_del((json_t *)json->object, key);
    json_decref(names);
}

static bool same_value(const json_t *a, const json_t *b) {
    if (json_is_number(a) && json_is_number(b)) return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

void tt_json_expect(struct tt_json *json, const char *key, const char *values) {
    const json_t *found = tt_json_value(json, key);
    if (!found) return;
    bool good = false;
    for (const char *from = values; from && !good;) {
        const char *end = strstr(from, " or ");
        size_t length = end ? (size_t)(end - from) : strlen(from);
        json_t *value = json_loadb(from, length, JSON_DECODE_ANY, NULL);
        if (!value) tt_json_no_memory(json); // what we expect is no invalid JSON
        good = value && same_value(found, value);
        json_decref(value);
        from = end ? end + 4 : NULL;
    }
    if (!good) tt_json_fail_found(json, key, found, values);
}

void tt_json_ignore(struct tt_json *json, const char *key) {
    tt_json_value(json, key);
}
