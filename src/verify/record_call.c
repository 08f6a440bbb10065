// SPDX-License-Identifier: MIT
// The two files of a call: the values as they come, then the manifest.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "verify/record.h"

enum tt_status tt_record_begin(struct tt_record_call *call, struct tt_error *err) {
    size_t size;
    unsigned char length[8];
    call->next = 0;
    call->stream = NULL;
    char *header = tt_record_header(&call->layout, &size);
    if (!header) return tt_fail(err, TT_SYSTEM, "%s: out of memory", call->path);
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)(size >> 8 * i);
    enum tt_status status = tt_stream_begin(call->files, call->path, &call->stream, err);
    if (!status) status = tt_stream_add(call->stream, length, sizeof length, err);
    if (!status) status = tt_stream_add(call->stream, header, size, err);
    free(header);
    return status;
}

enum tt_status tt_record_put(struct tt_record_call *call, const float *x, struct tt_error *err) {
    struct tt_record_tensor *t = &call->layout.tensors[call->next++];
    if (!t->sampled) {
        t->maxabs = tt_largest(x, t->count);
        return tt_stream_add(call->stream, x, t->bytes, err);
    }
    if (!tt_statistics_of(&call->room, x, t->count, &t->statistics))
        return tt_fail(err, TT_SYSTEM, "%s: out of memory for statistics", call->path);
    t->maxabs = t->statistics.not_finite ? NAN
                                         : fmax(fabs(t->statistics.min), fabs(t->statistics.max));
    for (size_t i = 0; i < TT_SAMPLE; i++) call->sample[i] = x[tt_recorded_sample(t->count, i)];
    return tt_stream_add(call->stream, call->sample, sizeof call->sample, err);
}

enum tt_status tt_record_put_ids(struct tt_record_call *call, const int32_t *ids,
                                 struct tt_error *err) {
    const struct tt_record_tensor *t = &call->layout.tensors[call->next++];
    int64_t *wide = malloc(t->bytes);
    if (!wide) return tt_fail(err, TT_SYSTEM, "%s: out of memory", call->path);
    for (size_t i = 0; i < t->count; i++) wide[i] = ids[i];
    enum tt_status status = tt_stream_add(call->stream, wide, t->bytes, err);
    free(wide);
    return status;
}

// ---- the manifest ----

static json_t *describe_statistics(const struct tt_recorded_statistics *s) {
    json_t *quantiles = json_array();
    bool good = true;
    for (size_t i = 0; i < TT_QUANTILES; i++)
        good &= !json_array_append_new(quantiles, json_real(s->quantiles[i]));
    json_t *of = json_pack("{s:f, s:f, s:f, s:f, s:f, s:o}", "mean", s->mean, "std", s->std, "min",
                           s->min, "max", s->max, "l2", s->l2, "quantiles",
                           tt_record_whole(quantiles, good));
    if (s->not_finite)
        good &= !json_object_set_new(of, "not_finite", json_integer((json_int_t)s->not_finite));
    return tt_record_whole(of, good);
}

static json_t *describe(const struct tt_record_layout *layout, const struct tt_record_entry *e) {
    const struct tt_record_tensor *t = &layout->tensors[e->tensor];
    json_t *inputs = json_array();
    bool good = true;
    for (int i = 0; i < e->input_count; i++)
        good &= !json_array_append_new(
            inputs, json_string(layout->tensors[layout->inputs[e->first_input + i]].name));
    json_t *entry =
        json_pack("{s:s, s:s, s:b, s:o, s:s, s:s, s:o}", "name", e->name, "type", e->type, "leaf",
                  e->leaf, "shape", tt_record_shape(&e->shape), "dtype", tt_dtype_name(t->dtype),
                  "stored", t->name, "inputs", tt_record_whole(inputs, good));
    if (t->dtype == TT_F32 && isfinite(t->maxabs))
        good &= !json_object_set_new(entry, "maxabs", json_real(t->maxabs));
    if (t->sampled)
        good &= !json_object_set_new(entry, "statistics", describe_statistics(&t->statistics));
    return tt_record_whole(entry, good);
}

// A text that grows; the first failure stays.
struct text {
    char *data;
    size_t size;
    bool failed;
};

static void append(struct text *text, const char *more) {
    size_t length = more ? strlen(more) : 0;
    char *larger = more && !text->failed ? realloc(text->data, text->size + length + 1) : NULL;
    if (!larger) {
        text->failed = true;
        return;
    }
    memcpy(larger + text->size, more, length + 1);
    text->data = larger;
    text->size += length;
}

static void append_json(struct text *text, json_t *value) {
    char *more = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(9) | JSON_ENCODE_ANY);
    append(text, more);
    free(more);
    json_decref(value);
}

static enum tt_status write_manifest(const struct tt_record_call *call, struct tt_error *err) {
    char path[PATH_MAX];
    struct text text = {0};
    size_t length = strlen(call->path) - strlen("safetensors");
    memcpy(path, call->path, length);
    strcpy(path + length, "json");
    json_t *head = json_pack("{s:s, s:I}", "part", call->part, "call", (json_int_t)call->call);
    append_json(&text, head);
    if (text.size) text.size--; // its last bracket comes at the end
    append(&text, ",\"tensors\":[\n");
    for (int i = 0; i < call->layout.entry_count; i++) {
        if (i) append(&text, ",\n");
        append_json(&text, describe(&call->layout, &call->layout.entries[i]));
    }
    append(&text, "\n]}\n");
    enum tt_status status =
        text.failed ? tt_fail(err, TT_SYSTEM, "%s: out of memory", path)
                    : tt_write_file(call->files, path, text.data, text.size, err);
    free(text.data);
    return status;
}

enum tt_status tt_record_end(struct tt_record_call *call, bool keep, struct tt_error *err) {
    enum tt_status status = tt_stream_end(call->stream, keep, err);
    call->stream = NULL;
    if (keep && !status) status = write_manifest(call, err);
    tt_record_layout_free(&call->layout);
    tt_statistics_free(&call->room);
    return status;
}
