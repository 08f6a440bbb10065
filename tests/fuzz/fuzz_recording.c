// SPDX-License-Identifier: MIT
// Input: the recording.json of a recording whose one file of values is there.
#include "fuzz.h"

#include "model/part.h"
#include "recording.h"

#include <math.h>
#include <string.h>

// Tensors a (F32), b (F16), i (I64) and none (F32, a NaN), of two elements each.
static size_t make_values(unsigned char *out) {
    static const char header[] =
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
        "\"none\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]},"
        "\"i\":{\"dtype\":\"I64\",\"shape\":[1,2],\"data_offsets\":[16,32]},"
        "\"b\":{\"dtype\":\"F16\",\"shape\":[2,1],\"data_offsets\":[32,36]}}";
    const size_t length = sizeof header - 1;
    const float a[2] = {1, -3}, none[2] = {0, NAN};
    memset(out, 0, 8 + length + 36);
    out[0] = (unsigned char)length;
    out[1] = (unsigned char)(length >> 8);
    memcpy(out + 8, header, length);
    memcpy(out + 8 + length, a, sizeof a);
    memcpy(out + 8 + length + 8, none, sizeof none);
    return 8 + length + 36;
}

static void look_at(const struct tt_recording *recording, int part) {
    for (size_t i = 0; i < tt_recording_count(recording, part); i++) {
        const struct tt_recorded *r = tt_recording_at(recording, part, i);
        must(r == tt_recording_at(recording, part, 0) + i);
        must(r == tt_recording_find(recording, part, r->name));
        must(tt_shape_count(&r->shape) == 2 && strcmp(r->view->name, "none"));
        if (r->view->dtype == TT_I64) continue;
        double limit = tt_recorded_limit(r, 2);
        must(r->err32 >= 0 && r->maxabs >= 0 && limit >= 2 * r->err32 && isfinite(limit));
    }
    must(!tt_recording_at(recording, part, tt_recording_count(recording, part)));
    must(!tt_recording_find(recording, part, "no such name"));
    if (tt_recording_count(recording, part)) must(tt_recording_file(recording, part));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static unsigned char values[1024];
    const struct tt_embedded_file files[] = {
        {"recording.json", data, data + size},
        {"values", values, values + make_values(values)},
    };
    struct tt_folder *folder;
    struct tt_recording *recording = NULL;
    struct tt_error error = {0};
    must(!tt_folder_open_embedded("fuzz", files, sizeof files / sizeof *files, &folder, &error));
    enum tt_status status = tt_recording_read(folder, &recording, &error);
    must_explain(status, error);
    must(!status == (recording != NULL));
    for (int part = 0; !status && part < TT_PARTS; part++)
        look_at(recording, part);
    tt_recording_close(recording);
    return 0;
}
