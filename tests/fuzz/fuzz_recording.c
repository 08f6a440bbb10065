// SPDX-License-Identifier: MIT
// Input: the recording.json of a recording whose files are there: values, two manifests that name
// them, the second with statistics, and weights.
#include "fuzz.h"

#include "verify/recording.h"

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

static void look_at(const struct tt_recording *recording, size_t call, bool finite) {
    for (size_t k = 0; k < tt_recording_count(recording, call); k++) {
        const struct tt_recorded *r = tt_recording_at(recording, call, k);
        must(r == tt_recording_at(recording, call, 0) + k);
        must(r == (r->kind == TT_RECORDED_GRADIENT
                       ? tt_recording_find_gradient(recording, call, r->name)
                       : tt_recording_find(recording, call, r->name)));
        must(tt_shape_count(&r->shape) == 2 && (!finite || strcmp(r->view->name, "none")));
        for (size_t i = 0; r->inputs[i]; i++) must(strlen(r->inputs[i]) < 1 << 20);
        for (size_t i = 0; r->statistics && i < TT_QUANTILES; i++)
            must(isfinite(r->statistics->quantiles[i]));
        if (r->view->dtype == TT_I64) continue;
        double limit = tt_recorded_limit(r, 2);
        must(r->err32 >= 0 && r->drift32 >= 0 && r->maxabs >= 0);
        must(limit >= 2 * r->drift32 && isfinite(limit));
    }
    must(!tt_recording_at(recording, call, tt_recording_count(recording, call)));
    must(!tt_recording_find(recording, call, "no such name"));
}

// Each call on its own, as one who has not the memory for all does it.
static void walk(struct tt_recording *recording) {
    const struct tt_recording_info *info = tt_recording_info(recording);
    must(info->version == 1 || info->version == 2);
    const char *const *options = info->settings.scheduler_options;
    for (size_t i = 0; options && options[i]; i++) must(strchr(options[i], '=') != NULL);
    for (size_t i = 0; i < tt_recording_weight_count(recording); i++) {
        const struct tt_recorded_weight *w = tt_recording_weight_at(recording, i);
        must(w->part >= 0 && strlen(w->sha256) == 64 && w->samples <= TT_WEIGHT_SAMPLE);
    }
    for (size_t call = 0; call < tt_recording_calls(recording); call++) {
        struct tt_error error = {0};
        const struct tt_recorded_call *told = tt_recording_call(recording, call);
        must(told->count && told->part >= -1);
        enum tt_status status = tt_recording_load(recording, call, &error);
        must_explain(status, error);
        must((tt_recording_file(recording, call) != NULL) == !status);
        must(tt_recording_count(recording, call) == (status ? 0 : told->count));
        if (status) continue;
        look_at(recording, call, false);
        status = tt_recording_check_values(recording, call, &error);
        must_explain(status, error);
        look_at(recording, call, !status);
        tt_recording_unload(recording, call);
        must(!tt_recording_count(recording, call));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static unsigned char values[1024];
    static const char first[] =
        "{\"part\": \"unet\", \"call\": 0, \"tensors\": [{\"name\": \"a\", \"type\": \"input\","
        " \"shape\": [2]}, {\"name\": \"c\", \"type\": \"SiLU\", \"shape\": [2, 1],"
        " \"stored\": \"b\", \"inputs\": [\"a\"], \"err32\": 1e-7, \"drift32\": 1e-6}]}";
    static const char second[] =
        "{\"part\": \"scheduler\", \"call\": 0, \"tensors\": [{\"name\": \"a\", \"type\": \"in\","
        " \"shape\": [2], \"statistics\": {\"mean\": -1, \"std\": 2, \"min\": -3, \"max\": 1,"
        " \"l2\": 3.2, \"quantiles\": [-3,-3,-3,-3,-3,-3,-3,-3,-3,-3,-3,-3,-3,-3,-3,-3,1]}}]}";
    static const char weights[] =
        "[{\"part\": \"unet\", \"name\": \"w\", \"shape\": [2], \"dtype\": \"F32\", \"sha256\": "
        "\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\", \"mean\": 0,"
        " \"std\": 1, \"maxabs\": 2, \"sample\": [1, -2]}]";
#define TEXT(text) (const unsigned char *)(text), (const unsigned char *)(text) + sizeof(text) - 1
    const struct tt_embedded_file files[] = {
        {"recording.json", data, data + size},
        {"values", values, values + make_values(values)},
        {"first", TEXT(first)},
        {"second", TEXT(second)},
        {"weights", TEXT(weights)},
    };
    struct tt_folder *folder;
    struct tt_recording *recording = NULL;
    struct tt_error error = {0};
    must(!tt_folder_open_embedded("fuzz", files, sizeof files / sizeof *files, &folder, &error));
    enum tt_status status = tt_recording_read(folder, &recording, &error);
    must_explain(status, error);
    must(!status == (recording != NULL));
    if (!status) walk(recording);
    tt_recording_close(recording);
    return 0;
}
