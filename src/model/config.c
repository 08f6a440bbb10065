// SPDX-License-Identifier: MIT
#include "model/config.h"

#include <string.h>

long tt_config_int(struct tt_json *json, const char *key, long fallback, long least, long most) {
    return tt_json_value(json, key) ? tt_json_int(json, key, least, most) : fallback;
}

bool tt_config_bool(struct tt_json *json, const char *key, bool fallback) {
    const json_t *value = tt_json_value(json, key);
    if (json_is_null(value)) return false;
    if (json_is_number(value)) return json_number_value(value) != 0;
    return value ? tt_json_bool(json, key) : fallback;
}

void tt_config_dropout(struct tt_json *json, const char *key) {
    double share = tt_json_number_or(json, key, 0);
    if (share != 0)
        tt_json_note(json, key, "found %g: nothing is dropped, in training neither", share);
}

double tt_config_positive(struct tt_json *json, const char *key, double fallback) {
    if (!tt_json_value(json, key)) return fallback;
    double number = tt_json_number(json, key);
    if (number >= 1e-30 && number <= 1e30) return number;
    tt_json_fail(json, key, "found %g, expected a number above 0 (from 1e-30 to 1e30)", number);
    return fallback;
}

void tt_config_each(struct tt_json *json, const char *key, long fallback, long most, long *out,
                    size_t n) {
    if (tt_json_value(json, key)) {
        tt_json_int_each(json, key, 1, most, out, n);
        for (size_t i = 0; i < n; i++) // a failure may leave anything
            if (out[i] < 1 || out[i] > most) out[i] = 1;
        return;
    }
    for (size_t i = 0; i < n; i++) out[i] = fallback;
}

void tt_config_size(struct tt_json *json, const char *key, size_t *height, size_t *width) {
    long size[2] = {0, 0};
    if (tt_json_has(json, key))
        tt_json_int_each(json, key, 1, 1 << 20, size, 2);
    else
        tt_json_ignore(json, key);
    *height = (size_t)size[0];
    *width = (size_t)size[1];
}

void tt_config_same_types(struct tt_json *json, const char *key, const char *type, size_t n) {
    const char *names[16] = {0};
    size_t count = tt_json_strings(json, key, names, sizeof names / sizeof *names);
    if (count != n)
        tt_json_fail(json, key, "found %zu blocks, expected %zu, one per block_out_channels", count,
                     n);
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], type))
            tt_json_fail(json, key, "found \"%s\", expected \"%s\"", names[i], type);
}
