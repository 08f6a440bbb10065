// SPDX-License-Identifier: MIT
#include "io/json_object.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Looks over a text, which need be no JSON, once: what goes beyond the limits is not parsed.
static enum tt_status look_over(const char *file, const char *data, size_t size,
                                struct tt_error *err) {
    size_t depth = 0, memory = 0;
    bool between = true; // a value may begin
    if (size > TT_JSON_BYTES)
        return tt_fail(err, TT_BAD_INPUT, "%s: found %zu bytes of JSON, expected at most %d", file,
                       size, TT_JSON_BYTES);
    for (size_t i = 0; i < size && memory <= TT_JSON_MEMORY && depth <= TT_JSON_DEPTH; i++) {
        char c = data[i];
        if (c == '"') {
            size_t from = i++;
            while (i < size && data[i] != '"') i += data[i] == '\\' ? 2 : 1;
            memory += TT_JSON_STRING + (i - from);
            between = false;
        } else if (c == '{' || c == '[') {
            memory += c == '{' ? TT_JSON_OBJECT : TT_JSON_LIST;
            depth++;
            between = true;
        } else if (c == '}' || c == ']') {
            depth -= depth > 0;
            between = false;
        } else if (c == ',' || c == ':') {
            between = true;
        } else if (between && c != ' ' && c != '\t' && c != '\n' && c != '\r') {
            memory += TT_JSON_VALUE;
            between = false;
        }
    }
    if (depth > TT_JSON_DEPTH)
        return tt_fail(err, TT_BAD_INPUT, "%s: found JSON nested deeper than %d, expected no more",
                       file, TT_JSON_DEPTH);
    if (memory > TT_JSON_MEMORY)
        return tt_fail(err, TT_BAD_INPUT, "%s: found JSON whose values would take more than %d MiB "
                       "of memory, expected no more", file, TT_JSON_MEMORY >> 20);
    return TT_OK;
}

json_t *tt_json_load(const void *data, size_t size, size_t flags, json_error_t *error) {
    json_t *root = json_loadb(data, size, flags, error);
    if (root) return root;
    void *volatile room = malloc(size + (64 << 10)); // volatile: a call that is not optimised away
    if (room) {
        free(room);
        return json_loadb(data, size, flags, error);
    }
    error->text[sizeof error->text - 1] = json_error_out_of_memory; // where the library has it
    return NULL;
}

// Python writes -Infinity, which JSON does not know, for a limit that limits nothing: diffusers
// does so in the scheduler_config.json of its DPM solvers. It is read as about the lowest double.
static json_t *load_infinite(const char *data, size_t size, json_error_t *error) {
    char *copy = malloc(size);
    if (!copy) return NULL;
    memcpy(copy, data, size);
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        if (quoted && copy[i] == '\\') i++;
        else if (copy[i] == '"') quoted = !quoted;
        else if (!quoted && size - i >= 9 && !memcmp(copy + i, "-Infinity", 9))
            memcpy(copy + i, "-1.7e+308", 9);
    }
    json_t *root = tt_json_load(copy, size, JSON_REJECT_DUPLICATES, error);
    free(copy);
    return root;
}

enum tt_status tt_json_parse(const char *file, const void *data, size_t size, json_t **out,
                             struct tt_error *err) {
    json_error_t error;
    const size_t flags = JSON_REJECT_DUPLICATES;
    *out = NULL;
    enum tt_status status = look_over(file, data, size, err);
    if (status) return status;
    *out = tt_json_load(data, size, flags, &error);
    if (!*out && memmem(data, size, "-Infinity", 9)) *out = load_infinite(data, size, &error);
    // Python writes "no limit" as an integer of 31 digits; as a double it is near enough.
    if (!*out && json_error_code(&error) == json_error_numeric_overflow)
        *out = tt_json_load(data, size, flags | JSON_DECODE_INT_AS_REAL, &error);
    if (!*out && json_error_code(&error) == json_error_out_of_memory)
        return tt_fail(err, TT_SYSTEM, "%s: out of memory for its JSON", file);
    if (!*out)
        return tt_fail(err, TT_BAD_INPUT, "%s: invalid JSON at line %d column %d: %s", file,
                       error.line, error.column, error.text);
    return TT_OK;
}

static struct tt_json *new_object(struct document *document, const json_t *object,
                                  const char *parent, const char *key) {
    struct tt_json *json = calloc(1, sizeof *json);
    if (!json) return NULL;
    json->document = document;
    json->object = object;
    json->known = json_object();
    size_t size = strlen(parent) + strlen(key) + 2;
    json->path = malloc(size);
    if (json->path) snprintf(json->path, size, "%s%s%s", parent, key, *key ? "." : "");
    if (json->path && json->known) return json;
    json_decref(json->known);
    free(json->path);
    free(json);
    return NULL;
}

enum tt_status tt_json_open(const char *file, const void *data, size_t size, struct tt_json **out,
                            struct tt_error *err) {
    *out = NULL;
    json_t *root;
    enum tt_status status = tt_json_parse(file, data, size, &root, err);
    if (status) return status;
    struct document *document = NULL;
    char text[80];
    if (!json_is_object(root)) {
        status = tt_fail(err, TT_BAD_INPUT, "%s: found %s, expected an object", file,
                         tt_json_text(root, text, sizeof text));
    } else {
        document = calloc(1, sizeof *document);
        if (document) document->file = strdup(file);
        if (document && document->file) *out = new_object(document, root, "", "");
        if (!*out) status = tt_fail(err, TT_SYSTEM, "%s: out of memory", file);
    }
    if (!status) {
        document->root = root;
        return TT_OK;
    }
    if (document) free(document->file);
    free(document);
    json_decref(root);
    return status;
}

static void free_object(struct tt_json *json) {
    for (struct tt_json *child = json->children; child;) {
        struct tt_json *next = child->next;
        free_object(child);
        child = next;
    }
    json_decref(json->known);
    free(json->path);
    free(json);
}

void tt_json_free(struct tt_json *json) {
    if (!json) return;
    struct document *document = json->document;
    free_object(json);
    json_decref(document->root);
    free(document->file);
    free(document);
}

const char *tt_json_file(const struct tt_json *json) {
    return json->document->file;
}

char *tt_json_text(const json_t *value, char *text, size_t size) {
    switch (value ? json_typeof(value) : JSON_NULL) {
    case JSON_OBJECT:
        snprintf(text, size, "an object of %zu", json_object_size(value));
        break;
    case JSON_ARRAY:
        snprintf(text, size, "a list of %zu", json_array_size(value));
        break;
    case JSON_STRING:
        snprintf(text, size, "\"%.60s\"", json_string_value(value));
        break;
    case JSON_INTEGER:
        snprintf(text, size, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        snprintf(text, size, "%.9g", json_real_value(value));
        break;
    case JSON_TRUE:
        snprintf(text, size, "true");
        break;
    case JSON_FALSE:
        snprintf(text, size, "false");
        break;
    case JSON_NULL:
        snprintf(text, size, value ? "null" : "nothing");
        break;
    }
    return text;
}

void tt_json_fail(struct tt_json *json, const char *key, const char *format, ...) {
    struct document *document = json->document;
    if (document->err.status) return;
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    tt_fail(&document->err, TT_BAD_INPUT, "%s: %s%s: %s", document->file, json->path, key, message);
}

void tt_json_no_memory(struct tt_json *json) {
    tt_fail(&json->document->err, TT_SYSTEM, "%s: out of memory", json->document->file);
}

void tt_json_fail_found(struct tt_json *json, const char *key, const json_t *value,
                        const char *expected) {
    char text[80];
    tt_json_fail(json, key, "found %s, expected %s", tt_json_text(value, text, sizeof text),
                 expected);
}

enum tt_status tt_json_status(const struct tt_json *json, struct tt_error *err) {
    const struct tt_error *own = &json->document->err;
    return own->status ? tt_fail(err, own->status, "%s", own->message) : TT_OK;
}

const json_t *tt_json_value(struct tt_json *json, const char *key) {
    const json_t *value = json_object_get(json->object, key);
    if (value && json_object_set_new(json->known, key, json_true()))
        tt_json_no_memory(json);
    return value;
}

const json_t *tt_json_object(const struct tt_json *json) {
    return json->object;
}

bool tt_json_has(const struct tt_json *json, const char *key) {
    const json_t *value = json_object_get(json->object, key);
    return value && !json_is_null(value);
}

// The value, or NULL when it is absent or null; that is a failure if the key is required.
static const json_t *get(struct tt_json *json, const char *key, bool required,
                         const char *expected) {
    const json_t *value = tt_json_value(json, key);
    if (value && !json_is_null(value)) return value;
    if (required) tt_json_fail_found(json, key, value, expected);
    return NULL;
}

static bool integer_in(const json_t *value, long least, long most, long *out) {
    if (json_is_real(value)) {
        // A document with an integer beyond 64 bits holds all its integers as doubles.
        double real = json_real_value(value);
        if (real != floor(real) || fabs(real) > 0x1p53) return false;
        *out = (long)real;
    } else if (json_is_integer(value)) {
        *out = (long)json_integer_value(value);
    } else {
        return false;
    }
    return *out >= least && *out <= most;
}

static void expected_integer(char *text, size_t size, const char *what, long least, long most) {
    snprintf(text, size, "%s from %ld to %ld", what, least, most);
}

static long get_int(struct tt_json *json, const char *key, bool required, long fallback, long least,
                    long most) {
    char expected[80];
    expected_integer(expected, sizeof expected, "an integer", least, most);
    const json_t *value = get(json, key, required, expected);
    if (!value) return fallback;
    long out;
    if (integer_in(value, least, most, &out)) return out;
    tt_json_fail_found(json, key, value, expected);
    return least;
}

long tt_json_int(struct tt_json *json, const char *key, long least, long most) {
    return get_int(json, key, true, least, least, most);
}

long tt_json_int_or(struct tt_json *json, const char *key, long fallback, long least, long most) {
    return get_int(json, key, false, fallback, least, most);
}

static double get_number(struct tt_json *json, const char *key, bool required, double fallback) {
    const json_t *value = get(json, key, required, "a number");
    if (!value) return fallback;
    if (json_is_number(value)) return json_number_value(value);
    tt_json_fail_found(json, key, value, "a number");
    return 0;
}

double tt_json_number(struct tt_json *json, const char *key) {
    return get_number(json, key, true, 0);
}

double tt_json_number_or(struct tt_json *json, const char *key, double fallback) {
    return get_number(json, key, false, fallback);
}

static bool get_bool(struct tt_json *json, const char *key, bool required, bool fallback) {
    const json_t *value = get(json, key, required, "true or false");
    if (!value) return fallback;
    if (json_is_boolean(value)) return json_is_true(value);
    tt_json_fail_found(json, key, value, "true or false");
    return false;
}

bool tt_json_bool(struct tt_json *json, const char *key) {
    return get_bool(json, key, true, false);
}

bool tt_json_bool_or(struct tt_json *json, const char *key, bool fallback) {
    return get_bool(json, key, false, fallback);
}

static const char *get_string(struct tt_json *json, const char *key, bool required,
                              const char *fallback) {
    const json_t *value = get(json, key, required, "a string");
    if (!value) return fallback;
    if (json_is_string(value)) return json_string_value(value);
    tt_json_fail_found(json, key, value, "a string");
    return "";
}

const char *tt_json_string(struct tt_json *json, const char *key) {
    return get_string(json, key, true, "");
}

const char *tt_json_string_or(struct tt_json *json, const char *key, const char *fallback) {
    return get_string(json, key, false, fallback);
}

int tt_json_choice(struct tt_json *json, const char *key, const char *const *names, int fallback) {
    char expected[320];
    size_t used = (size_t)snprintf(expected, sizeof expected, "one of");
    for (size_t i = 0; names[i] && used < sizeof expected; i++)
        used += (size_t)snprintf(expected + used, sizeof expected - used, "%s \"%s\"",
                                 i ? "," : "", names[i]);
    const json_t *value = get(json, key, fallback < 0, expected);
    if (!value) return fallback < 0 ? 0 : fallback;
    for (int i = 0; names[i] && json_is_string(value); i++)
        if (!strcmp(json_string_value(value), names[i])) return i;
    tt_json_fail_found(json, key, value, expected);
    return 0;
}

// A required list of 1 to room elements, or NULL.
static const json_t *get_list(struct tt_json *json, const char *key, const char *what,
                              size_t room) {
    char expected[120];
    snprintf(expected, sizeof expected, "a list of 1 to %zu %s", room, what);
    const json_t *value = get(json, key, true, expected);
    if (!value) return NULL;
    size_t count = json_array_size(value);
    if (json_is_array(value) && count && count <= room) return value;
    tt_json_fail_found(json, key, value, expected);
    return NULL;
}

static void fail_element(struct tt_json *json, const char *key, size_t i, const json_t *value,
                         const char *expected) {
    char name[160];
    snprintf(name, sizeof name, "%s[%zu]", key, i);
    tt_json_fail_found(json, name, value, expected);
}

size_t tt_json_ints(struct tt_json *json, const char *key, long least, long most, long *out,
                    size_t room) {
    const json_t *list = get_list(json, key, "integers", room);
    char expected[80];
    expected_integer(expected, sizeof expected, "an integer", least, most);
    size_t count = list ? json_array_size(list) : 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, i);
        if (!integer_in(value, least, most, &out[i])) {
            fail_element(json, key, i, value, expected);
            return 0;
        }
    }
    return count;
}

void tt_json_int_each(struct tt_json *json, const char *key, long least, long most, long *out,
                      size_t room) {
    for (size_t i = 0; i < room; i++) out[i] = least;
    const json_t *value = json_object_get(json->object, key);
    if (!json_is_array(value)) {
        long one = tt_json_int(json, key, least, most);
        for (size_t i = 0; i < room; i++) out[i] = one;
    } else if (json_array_size(value) != room) {
        char expected[120];
        snprintf(expected, sizeof expected, "an integer or a list of %zu", room);
        tt_json_fail_found(json, key, value, expected);
    } else {
        tt_json_ints(json, key, least, most, out, room);
    }
}

size_t tt_json_numbers(struct tt_json *json, const char *key, double *out, size_t room) {
    const json_t *list = get_list(json, key, "numbers", room);
    size_t count = list ? json_array_size(list) : 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, i);
        if (!json_is_number(value)) {
            fail_element(json, key, i, value, "a number");
            return 0;
        }
        out[i] = json_number_value(value);
    }
    return count;
}

size_t tt_json_strings(struct tt_json *json, const char *key, const char **out, size_t room) {
    const json_t *list = get_list(json, key, "strings", room);
    size_t count = list ? json_array_size(list) : 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(list, i);
        if (!json_is_string(value)) {
            fail_element(json, key, i, value, "a string");
            return 0;
        }
        out[i] = json_string_value(value);
    }
    return count;
}

struct tt_json *tt_json_child(struct tt_json *json, const char *key, bool required) {
    const json_t *value = get(json, key, required, "an object");
    if (!value) return NULL;
    if (!json_is_object(value)) {
        tt_json_fail_found(json, key, value, "an object");
        return NULL;
    }
    struct tt_json *child = new_object(json->document, value, json->path, key);
    if (!child) {
        tt_json_no_memory(json);
        return NULL;
    }
    child->next = json->children;
    json->children = child;
    return child;
}
