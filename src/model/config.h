// SPDX-License-Identifier: MIT
// What reading the configuration files of networks needs beyond io/json.h. There a null and an
// absent key are one; here a null is an error unless it means something, since in these files it
// often switches a part off that the absent key leaves on.
#ifndef TT_MODEL_CONFIG_H
#define TT_MODEL_CONFIG_H

#include "io/json.h"

// A key that must be absent or hold one of these JSON values, alternatives separated by " or ".
struct tt_config_fixed {
    const char *key, *values;
};

// The key's value, or the fallback when it is absent.
long tt_config_int(struct tt_json *json, const char *key, long fallback, long least, long most);
// As Python takes it: null and 0 are false.
bool tt_config_bool(struct tt_json *json, const char *key, bool fallback);
// A share of the values that training drops: 0 or absent; another is noted, nothing is dropped.
void tt_config_dropout(struct tt_json *json, const char *key);
// A number from 1e-30 to 1e30, so that it and its inverse fit a float.
double tt_config_positive(struct tt_json *json, const char *key, double fallback);
// One integer from 1 to most for all n levels, or a list of n.
void tt_config_each(struct tt_json *json, const char *key, long fallback, long most, long *out,
                    size_t n);
// A height and a width, a list of 2 or one integer for both; 0 when absent or null.
void tt_config_size(struct tt_json *json, const char *key, size_t *height, size_t *width);

// The block types: a list of n strings that all are `type`.
void tt_config_same_types(struct tt_json *json, const char *key, const char *type, size_t n);

#endif
