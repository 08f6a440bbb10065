// SPDX-License-Identifier: MIT
// What a model says that it can draw.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "stages.h"

// A words.json of somebody else is none of ours.
static bool is_words(const json_t *root, bool *good) {
    static const char format[] = "tintype-words";
    const json_t *words = json_object_get(root, "words"), *pixels = json_object_get(root, "pixels");
    const char *found = json_string_value(json_object_get(root, "format")), *key;
    json_t *list, *item;
    size_t i;
    if (!found || strcmp(found, format)) return false;
    *good = json_is_object(words) && json_array_size(pixels) == 2;
    json_array_foreach(pixels, i, item)
        *good = *good && json_integer_value(item) > 0 && json_integer_value(item) <= TT_IMAGE_SIDE;
    json_object_foreach((json_t *)(uintptr_t)words, key, list) {
        *good = *good && json_is_array(list);
        json_array_foreach(list, i, item) *good = *good && json_is_string(item);
    }
    return true;
}

enum tt_status tt_model_words(const struct tt_model *model, char **text, struct tt_error *err) {
    static const char name[] = "words.json";
    struct tt_bytes bytes = {0};
    json_t *root = NULL;
    char where[512];
    bool good = false;
    *text = NULL;
    if (!tt_folder_has(model->folder, name)) return TT_OK;
    tt_folder_where(model->folder, name, where, sizeof where);
    enum tt_status status = tt_folder_read(model->folder, name, &bytes, err);
    if (!status) status = tt_json_parse(where, bytes.data, bytes.size, &root, err);
    if (!status && is_words(root, &good)) {
        if (!good)
            status = tt_fail(err, TT_BAD_INPUT, "%s: expected \"pixels\": [width, height] and "
                             "\"words\": an object of lists of texts", where);
        else if (!(*text = json_dumps(root, JSON_COMPACT)))
            status = tt_fail(err, TT_SYSTEM, "out of memory");
    }
    json_decref(root);
    tt_bytes_free(&bytes);
    return status;
}
