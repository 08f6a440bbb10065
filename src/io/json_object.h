// SPDX-License-Identifier: MIT
// The inside of what src/io/json.h hands out, for the files that make it.
#ifndef TT_IO_JSON_OBJECT_H
#define TT_IO_JSON_OBJECT_H

#include "io/json.h"

// What the root and its children share.
struct document {
    char *file;
    json_t *root;
    struct tt_error err;
    const struct tt_notes *notes;
};

struct tt_json {
    struct document *document;
    const json_t *object;
    char *path; // "" or "model.decoder."
    json_t *known;
    struct tt_json *children, *next;
};

// Records "found VALUE, expected EXPECTED" as the failure of a key.
void tt_json_fail_found(struct tt_json *json, const char *key, const json_t *value,
                        const char *expected);

#endif
