// SPDX-License-Identifier: MIT
// The inside of a recording, for the files that read one; what it tells stands in tintype.h.
#ifndef TT_VERIFY_RECORDING_H
#define TT_VERIFY_RECORDING_H

#include "base/memory.h"
#include "io/folder.h"
#include "io/json.h"

// An object in a document, and what messages call it: "parts[1].tensors[3]", or "" for the root.
struct tt_json_item {
    struct tt_json *json;
    const json_t *object;
    char path[64];
};

// Element i of the list at item's key.
struct tt_json_item tt_json_item_at(const struct tt_json_item *item, const char *key, size_t i);
// Each marks the document as failed when the value is not as it should be. A text must not be
// empty; a number is at least 0, and -1 when it is not there; a dtype that is not there is
// `fallback`.
void tt_json_item_fail(const struct tt_json_item *item, const char *key, const char *expected);
const char *tt_json_item_text(const struct tt_json_item *item, const char *key);
double tt_json_item_number(const struct tt_json_item *item, const char *key);
struct tt_shape tt_json_item_shape(const struct tt_json_item *item, const char *key);
enum tt_dtype tt_json_item_dtype(const struct tt_json_item *item, const char *key,
                                 enum tt_dtype fallback);

// One call of a network (or of the scheduler, or the pipeline) as it was recorded.
struct tt_call {
    struct tt_recorded_call told;
    struct tt_json_item item; // its object in recording.json
    bool version1;

    // What tt_recording_load() makes, and tt_recording_unload() ends.
    bool loaded;
    struct tt_bytes bytes;
    struct tt_safetensors *file;
    struct tt_json *manifest; // of its own; NULL: its entries are in recording.json
    struct tt_recorded *tensors;
    size_t count;
    json_t *places, *gradients; // name -> index: of all but gradients; of gradients
    float *largest; // finite magnitude of each stored tensor; -1: not looked at, which is done once
    struct tt_pool pool;
};

// Maps the values of a call and reads its entries, checked. TT_BAD_INPUT names file and entry.
enum tt_status tt_call_load(struct tt_call *call, const struct tt_folder *folder,
                            struct tt_error *err);
void tt_call_unload(struct tt_call *call);
// Whether every value is finite.
enum tt_status tt_call_check_values(struct tt_call *call, const struct tt_poll *poll,
                                    struct tt_error *err);

// As tt_recording_open(), from a folder that is open. The recording closes it, or a failure does.
enum tt_status tt_recording_read(struct tt_folder *folder, struct tt_recording **out,
                                 struct tt_error *err);

#endif
