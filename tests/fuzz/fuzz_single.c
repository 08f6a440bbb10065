// SPDX-License-Identifier: MIT
// Input: a table of tensors, a line for each, NAME DTYPE SIZE SIZE ..., as which a file of weights
// is recognised, named and given configurations.
#include "fuzz.h"

#include <stdbool.h>
#include <string.h>

#include "io/json.h"
#include "model/clip.h"
#include "model/unet.h"
#include "model/vae.h"
#include "single/configs.h"
#include "single/renamed.h"

enum { MOST = 600, DATA = 1 << 20, LINE = 200 };

static unsigned char zeros[DATA];
static char names[MOST][LINE];
static struct tt_view views[MOST];

static enum tt_dtype dtype_of(const char *word) {
    for (int dtype = TT_F64; dtype <= TT_BOOL; dtype++)
        if (!strcmp(word, tt_dtype_name((enum tt_dtype)dtype))) return (enum tt_dtype)dtype;
    return TT_F32;
}

// One line; false: no tensor.
static bool read_line(char *line, struct tt_view *view, char *name) {
    char *state = NULL, *word = strtok_r(line, " ", &state);
    if (!word) return false;
    snprintf(name, LINE, "%s", word);
    *view = (struct tt_view){.name = name, .data = zeros};
    word = strtok_r(NULL, " ", &state);
    view->dtype = dtype_of(word ? word : "");
    size_t bytes = tt_dtype_size(view->dtype);
    while (word && (word = strtok_r(NULL, " ", &state)) && view->shape.rank < TT_MAX_RANK) {
        size_t size = (size_t)atoi(word) % 100000;
        view->shape.dim[view->shape.rank++] = size;
        if (size && bytes > DATA / size) return false;
        bytes *= size;
    }
    view->bytes = bytes;
    return true;
}

static size_t read_table(const uint8_t *data, size_t size) {
    size_t count = 0, total = 0;
    for (const uint8_t *at = data, *end = data + size; at < end && count < MOST;) {
        char line[LINE];
        const uint8_t *stop = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((stop ? stop : end) - at);
        size_t taken = length < LINE - 1 ? length : LINE - 1;
        memcpy(line, at, taken);
        line[taken] = 0;
        at += length + 1;
        if (!read_line(line, &views[count], names[count])) continue;
        if (total + views[count].bytes > DATA) break;
        total += views[count++].bytes;
    }
    return count;
}

// A configuration that was made is JSON that the network's reader takes or refuses.
static void check_config(json_t *made,
                         enum tt_status (*read)(struct tt_json *, void *, struct tt_error *)) {
    union {
        struct tt_unet_config unet;
        struct tt_clip_config text;
        struct tt_vae_config vae;
    } config = {0};
    struct tt_error error = {0};
    struct tt_json *json;
    char *text = made ? json_dumps(made, 0) : NULL;
    must(text);
    must(!tt_json_open("fuzz", text, strlen(text), &json, &error));
    if (read) {
        enum tt_status status = read(json, &config, &error);
        must_explain(status, error);
    }
    tt_json_free(json);
    free(text);
    json_decref(made);
}

static enum tt_status read_unet(struct tt_json *json, void *config, struct tt_error *err) {
    return tt_unet_config_read(json, config, err);
}

static enum tt_status read_text(struct tt_json *json, void *config, struct tt_error *err) {
    return tt_clip_config_read(json, config, err);
}

static enum tt_status read_vae(struct tt_json *json, void *config, struct tt_error *err) {
    return tt_vae_config_read(json, config, err);
}

static void check_renamed(const struct tt_tensor_file *file, const struct tt_single *single,
                          const struct tt_single_forms *forms, const uint8_t *data, size_t size) {
    struct tt_renamed renamed[TT_SINGLE_PARTS] = {{0}};
    struct tt_error error = {0};
    const char *first = NULL;
    size_t left;
    must(!tt_renamed_make(file, single, forms, renamed, &left, &first, &error));
    must((left > 0) == (first != NULL) && left <= tt_tensor_file_count(file));
    for (int part = 0; part < TT_SINGLE_PARTS; part++) {
        for (size_t i = 0; i < renamed[part].count; i++) {
            const struct tt_view *view = &renamed[part].views[i];
            const uint8_t *begin = view->data;
            must(begin == renamed[part].made ||
                 (begin >= data && begin + view->bytes <= data + size));
            must(tt_shape_count(&view->shape) * tt_dtype_size(view->dtype) == view->bytes);
        }
        tt_renamed_free(&renamed[part]);
    }
}

static void look(const struct tt_tensor_file *file, const uint8_t *data, size_t size) {
    static struct tt_single_forms forms;
    struct tt_single single;
    struct tt_error error = {0};
    tt_single_recognise(file, &single);
    enum tt_status status = TT_OK;
    memset(&forms, 0, sizeof forms);
    bool vae = single.part[TT_SINGLE_VAE].layout &&
               single.part[TT_SINGLE_VAE].layout != TT_LAYOUT_TINY;
    if (single.part[TT_SINGLE_UNET].layout) {
        status = tt_unet_form_read(file, &single, &forms.unet, &error);
        if (!status) status = tt_single_check_depths(file, &forms.unet, &error);
        if (!status) check_config(tt_single_unet_config(&single, &forms.unet), read_unet);
        if (!status) check_config(tt_single_index(&single, &forms.unet), NULL);
        if (!status) check_config(tt_single_scheduler_config(&single, false), NULL);
    }
    if (!status && vae) status = tt_vae_form_read(file, &single, &forms.vae, &error);
    if (!status && vae) check_config(tt_single_vae_config(single.family, &forms.vae), read_vae);
    for (int i = 0; !status && i < 2; i++) {
        if (!single.part[TT_SINGLE_TEXT + i].layout) continue;
        status = tt_text_form_read(file, &single, TT_SINGLE_TEXT + i, &forms.text[i], &error);
        if (!status)
            check_config(tt_single_text_config(single.family, &forms.text[i]), read_text);
    }
    must_explain(status, error);
    if (!status) check_renamed(file, &single, &forms, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tt_tensor_file *file;
    struct tt_error error = {0};
    void *bytes;
    size_t count = read_table(data, size), length;
    if (tt_safetensors_encode("fuzz", views, count, NULL, &bytes, &length, &error)) return 0;
    must(!tt_tensor_file_open_memory("fuzz", bytes, length, &file, &error));
    look(file, bytes, length);
    tt_tensor_file_close(file);
    free(bytes);
    return 0;
}
