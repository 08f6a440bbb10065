// SPDX-License-Identifier: MIT
// weights.json: digests and statistics of the weights that networks ask for, as they are in memory.
#include <math.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "verify/record.h"
#include "parts.h"

enum { CHUNK = 4096, DIGITS = 2 * SHA256_DIGEST_SIZE + 1 };

// One weight; its statistics run over the floats that it stands for, its digest over its bytes.
struct weight {
    enum tt_part part;
    const char *name;
    const struct tt_view *view;
    enum tt_dtype dtype;
    char sha256[DIGITS];
    double mean, std, maxabs, sample[TT_WEIGHT_SAMPLE];
    size_t samples;
};

struct weights {
    struct weight *list;
    size_t count, room;
    json_t *names; // of the folder
    struct tt_pool pool;
};

static void measure(struct weight *w, const struct tt_view *view) {
    float x[CHUNK];
    struct sha256_ctx sha;
    uint8_t digest[SHA256_DIGEST_SIZE];
    size_t n = tt_shape_count(&view->shape);
    double sum = 0, spread = 0;
    sha256_init(&sha);
    w->maxabs = 0;
    for (size_t i = 0, count; i < n; i += count) {
        count = n - i < CHUNK ? n - i : CHUNK;
        tt_view_floats(view, i, count, x);
        if (w->dtype != view->dtype)
            sha256_update(&sha, count * sizeof *x, (const uint8_t *)x);
        for (size_t j = 0; j < count; j++) {
            sum += (double)x[j];
            w->maxabs = fmax(w->maxabs, fabs((double)x[j]));
        }
    }
    if (w->dtype == view->dtype) sha256_update(&sha, view->bytes, view->data);
    w->mean = sum / (double)n;
    for (size_t i = 0, count; i < n; i += count) {
        count = n - i < CHUNK ? n - i : CHUNK;
        tt_view_floats(view, i, count, x);
        for (size_t j = 0; j < count; j++)
            spread += ((double)x[j] - w->mean) * ((double)x[j] - w->mean);
    }
    w->std = sqrt(spread / (double)n);
    sha256_digest(&sha, sizeof digest, digest);
    tt_text_hex(digest, sizeof digest, w->sha256);
    w->samples = n < TT_WEIGHT_SAMPLE ? n : TT_WEIGHT_SAMPLE;
    for (size_t i = 0; i < w->samples; i++) {
        tt_view_floats(view, tt_weight_sample(n, i), 1, x);
        w->sample[i] = (double)x[0];
    }
}

static enum tt_status add(struct weights *w, const struct tt_model *model, enum tt_part part,
                          const struct tt_param *param, struct tt_error *err) {
    const struct tt_view *view;
    if (json_object_get(w->names, param->name)) return TT_OK;
    enum tt_status status = tt_find_checked(&model->parts[part].source, param, &view, err);
    if (status) return status;
    if (w->count == w->room) {
        size_t room = w->room ? 2 * w->room : 256;
        struct weight *list = realloc(w->list, room * sizeof *list);
        if (!list) return tt_fail(err, TT_SYSTEM, "out of memory for a list of weights");
        w->list = list;
        w->room = room;
    }
    const char *name = tt_pool_format(&w->pool, "%s", param->name);
    if (!name || json_object_set_new(w->names, name, json_true()))
        return tt_fail(err, TT_SYSTEM, "out of memory for a list of weights");
    w->list[w->count++] = (struct weight){
        .part = part, .name = name, .view = view,
        .dtype = model->widen ? TT_F32 : view->dtype,
    };
    return TT_OK;
}

// Both halves of the autoencoder are in one folder: each of its weights once.
static enum tt_status collect(struct weights *w, struct tt_model *model, struct tt_error *err) {
    const struct tt_size size = {1, TT_ANY_SIDE, TT_ANY_SIDE, 1};
    enum tt_status status = TT_OK;
    for (enum tt_part part = 0; !status && part < TT_PARTS; part++) {
        if (!model->parts[part].network) continue;
        if (tt_part_first(part) == part && json_object_clear(w->names))
            return tt_fail(err, TT_SYSTEM, "out of memory for a list of weights");
        struct tt_network network = {0};
        status = tt_open_weights(model, part, err);
        if (!status) status = tt_part_lay_out(model, part, &size, &network, err);
        for (int i = 0; !status && i < network.tape.node_count; i++)
            for (int j = 0; !status && j < TT_MAX_PARAMS; j++)
                if (network.tape.nodes[i].param[j])
                    status = add(w, model, part, network.tape.nodes[i].param[j], err);
        tt_network_drop(&network);
    }
    return status;
}

static json_t *describe(const struct weight *w) {
    const double numbers[] = {w->mean, w->std, w->maxabs};
    static const char *const names[] = {"mean", "std", "maxabs"};
    json_t *sample = json_array();
    bool good = true, finite = true;
    for (size_t i = 0; i < w->samples; i++) {
        finite &= isfinite(w->sample[i]) != 0;
        if (finite) good &= !json_array_append_new(sample, json_real(w->sample[i]));
    }
    json_t *one = json_pack("{s:s, s:s, s:o, s:s, s:s}", "part", tt_part_folder((int)w->part),
                            "name", w->name, "shape", tt_record_shape(&w->view->shape), "dtype",
                            tt_dtype_name(w->dtype), "sha256", w->sha256);
    for (int i = 0; i < 3; i++) // what is not there is not known
        if (isfinite(numbers[i]))
            good &= !json_object_set_new(one, names[i], json_real(numbers[i]));
    if (finite) good &= !json_object_set(one, "sample", sample);
    json_decref(sample);
    return tt_record_whole(one, good);
}

enum tt_status tt_record_weights(struct tt_model *model, int threads, struct tt_files *files,
                                 const char *path, struct tt_error *err) {
    struct weights w = {.names = json_object()};
    json_t *list = json_array();
    bool good = list && w.names;
    enum tt_status status = good ? collect(&w, model, err)
                                 : tt_fail(err, TT_SYSTEM, "out of memory for a list of weights");
    if (!status) {
#pragma omp parallel for num_threads(threads) schedule(dynamic)
        for (size_t i = 0; i < w.count; i++) {
            const struct tt_source *source = &model->parts[w.list[i].part].source;
            struct tt_view view;
            enum tt_status got;
#pragma omp critical
            {
                got = status ? status : tt_source_acquire(source, w.list[i].view, &view, err);
                status = got;
            }
            if (got) continue;
            measure(&w.list[i], &view);
            tt_source_release(source, &view);
        }
    }
    for (size_t i = 0; !status && good && i < w.count; i++)
        good = !json_array_append_new(list, describe(&w.list[i]));
    char *text = status || !good ? NULL : json_dumps(list, JSON_INDENT(0) | JSON_REAL_PRECISION(9));
    if (!status && !text) status = tt_fail(err, TT_SYSTEM, "out of memory for a list of weights");
    if (!status) status = tt_write_file(files, path, text, strlen(text), err);
    free(text);
    json_decref(list);
    json_decref(w.names);
    free(w.list);
    tt_pool_free(&w.pool);
    return status;
}
