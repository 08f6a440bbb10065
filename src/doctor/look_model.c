// SPDX-License-Identifier: MIT
// A look at a model: each part's tensors against what its network asks for, their values, and what
// drawing takes. Where opening it as a whole fails, its parts are looked at one by one.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/doctor.h"
#include "graph/bank.h"
#include "noise/scheduler_config.h"
#include "parts.h"
#include "single/single.h"

// The networks of one folder of a model.
struct part {
    enum tt_part first;
    const char *of;
    const struct tt_part_network *networks[TT_PARTS]; // by part; NULL: none
    const void *config;  // NULL: it cannot be read, and there are no networks
    void *own;           // the same where it was read here
    struct tt_folder *folder;
    struct tt_weights *weights; // NULL: none that can be read
    struct tt_doctor_tensor *tensors;
    size_t count;
    double asked; // bytes of tensors that networks ask for
};

struct looking {
    struct tt_examination *x;
    const char *path;
    bool file;                // rather than a folder
    struct tt_folder *folder; // of its own, where the model could not be opened
    struct tt_model *model;   // NULL: it could not
    struct part parts[TT_PARTS];
    size_t count;
};

// ---- a part and its files ----

// Whether a message is about that file, by its path, or by its name as one that is missing.
static bool is_about(const char *message, const char *file) {
    const char *at = *file ? strstr(message, file) : NULL, *slash = strrchr(file, '/');
    char missing[300];
    snprintf(missing, sizeof missing, "%.250s is missing", slash ? slash + 1 : file);
    char after = at ? at[strlen(file)] : 0;
    return (at && !(after && strchr("-./_", after))) || (*file && strstr(message, missing));
}

// What failed, unless a finding about the same file has said so.
static void tell_failure(struct tt_examination *x, enum tt_doctor_code code, const char *file,
                         const struct tt_error *why) {
    for (size_t i = 0; i < x->finding_count; i++)
        if (x->findings[i].severity == TT_IS_ERROR && is_about(why->message, x->findings[i].file))
            return;
    if (why->status == TT_SYSTEM && strstr(why->message, "out of memory")) x->no_memory = true;
    tt_doctor_find(x, code, file, NULL, why->message, NULL, NULL);
}

static enum tt_status list_tensors(struct part *p, struct tt_error *err) {
    p->count = tt_weights_count(p->weights);
    p->tensors = calloc(p->count + 1, sizeof *p->tensors);
    if (!p->tensors) return tt_fail(err, TT_SYSTEM, "out of memory for %zu tensors", p->count);
    for (size_t i = 0; i < p->count; i++) {
        const struct tt_view *view = tt_weights_at(p->weights, i);
        p->tensors[i] = (struct tt_doctor_tensor){*view, tt_dtype_name(view->dtype), true};
    }
    return TT_OK;
}

// Opens the weights of a part; when that fails, all the files beside are looked at.
static enum tt_status open_part(struct looking *l, struct part *p, struct tt_error *err) {
    struct tt_examination *x = l->x;
    struct tt_error why = {TT_OK, ""};
    enum tt_status status = tt_weights_open(p->folder, p->of, &p->weights, &why);
    if (!status) return list_tensors(p, err);
    if (status != TT_BAD_INPUT) return tt_fail(err, status, "%s", why.message);
    char where[1024];
    tt_folder_where(p->folder, p->of, where, sizeof where);
    if (l->file) {
        tell_failure(x, TT_CODE_CANNOT_OPEN, l->path, &why);
        return TT_OK;
    }
    tt_doctor_look_around(x, tt_doctor_is_folder(where) ? where : l->path, true);
    bool present = tt_weights_present(p->folder, p->of);
    tell_failure(x, present ? TT_CODE_CANNOT_OPEN : TT_CODE_MISSING_WEIGHTS, where, &why);
    return TT_OK;
}

// ---- tensors against the network ----

static void check_param(struct tt_examination *x, struct part *p, const struct tt_param *param) {
    char expected[96], found[96];
    const struct tt_source source = tt_weights_source(p->weights);
    const char *file = tt_weights_name(p->weights);
    const struct tt_view *view = tt_weights_expect(p->weights, param->name), *checked;
    tt_shape_text(&param->shape, expected, sizeof expected);
    if (!view) {
        tt_doctor_find(x, TT_CODE_MISSING_TENSOR, file, param->name, "no such tensor", expected,
                       NULL);
        return;
    }
    p->asked += (double)view->bytes;
    if (!tt_find_checked(&source, param, &checked, NULL)) return;
    tt_shape_text(&view->shape, found, sizeof found);
    if (strcmp(found, expected))
        tt_doctor_find(x, TT_CODE_MISSHAPEN_TENSOR, file, param->name, found, expected, NULL);
    else
        tt_doctor_find(x, TT_CODE_WRONG_DTYPE, file, param->name, tt_dtype_name(view->dtype),
                       "F32, F16 or BF16", NULL);
}

static enum tt_status fit(struct looking *l, struct part *p, struct tt_error *err) {
    const struct tt_size size = {1, TT_ANY_SIDE, TT_ANY_SIDE, 1};
    struct tt_error why = {TT_OK, ""};
    for (int part = 0; part < TT_PARTS; part++) {
        struct tt_network network = {0};
        if (!p->networks[part]) continue;
        enum tt_status status =
            tt_network_lay_out(&network, p->networks[part], p->config, &size, &why);
        if (status == TT_SYSTEM) {
            tt_network_drop(&network);
            return tt_fail(err, status, "%s", why.message);
        }
        if (status) tell_failure(l->x, TT_CODE_CANNOT_OPEN, l->path, &why);
        for (int i = 0; !status && i < network.tape.node_count; i++)
            for (int j = 0; j < TT_MAX_PARAMS; j++)
                if (network.tape.nodes[i].param[j])
                    check_param(l->x, p, network.tape.nodes[i].param[j]);
        tt_network_drop(&network);
    }
    l->x->note_code = TT_CODE_SUPERFLUOUS;
    l->x->note_file = tt_weights_name(p->weights);
    tt_weights_note_unused(p->weights);
    l->x->note_code = TT_CODE_NOTED;
    l->x->note_file = NULL;
    return TT_OK;
}

// ---- which parts there are ----

static struct part *add_part(struct looking *l, enum tt_part first, struct tt_folder *folder) {
    struct part *p = &l->parts[l->count++];
    *p = (struct part){.first = first, .of = tt_part_folder((int)first), .folder = folder};
    return p;
}

static void take_parts(struct looking *l) {
    for (enum tt_part first = 0; first < TT_PARTS; first++) {
        const struct tt_held *held = &l->model->parts[first];
        if (!held->network || tt_part_first(first) != first) continue;
        struct part *p = add_part(l, first, held->folder);
        p->config = held->config;
        for (enum tt_part part = first; part < TT_PARTS; part++)
            if (tt_part_first(part) == first) p->networks[part] = l->model->parts[part].network;
    }
}

// Reads the configuration of a part on its own; what fails was told when the model was opened.
static enum tt_status read_config(struct looking *l, struct part *p, struct tt_error *err) {
    const unsigned any = ~0u;
    char file[64], where[1024];
    struct tt_bytes bytes = {0};
    struct tt_json *json = NULL;
    snprintf(file, sizeof file, "%s/config.json", p->of);
    tt_folder_where(p->folder, file, where, sizeof where);
    struct tt_error why = {TT_OK, ""};
    enum tt_status status = tt_folder_read(p->folder, file, &bytes, &why);
    if (!status) status = tt_json_open(where, bytes.data, bytes.size, &json, &why);
    tt_bytes_free(&bytes);
    const json_t *root = status ? NULL : tt_json_object(json);
    const char *class = json_string_value(json_object_get(root, "_class_name"));
    const struct tt_part_network *network =
        status ? NULL : tt_part_network(p->first, any, class ? class : "");
    if (network && !(p->own = calloc(1, network->config_size)))
        status = tt_fail(&why, TT_SYSTEM, "out of memory");
    if (network && p->own) status = network->read(json, p->own, &why);
    if (!status && network) p->config = p->own;
    for (enum tt_part part = p->first; p->config && part < TT_PARTS; part++)
        if (tt_part_first(part) == p->first)
            p->networks[part] = tt_part_network(part, any, class ? class : "");
    if (status == TT_BAD_INPUT) tell_failure(l->x, TT_CODE_CANNOT_OPEN, where, &why);
    tt_json_free(json);
    if (!status || status == TT_BAD_INPUT) return TT_OK;
    return tt_fail(err, status, "%s", why.message);
}

// A file as the folder that it stands for; what fails has been told when it was a whole model.
static enum tt_status open_file(struct looking *l, struct tt_error *err) {
    const struct tt_single_options options = {.notes = &l->x->own.notes,
                                              .files = l->x->engine->files};
    struct tt_error why = {TT_OK, ""};
    enum tt_status status = tt_single_open(l->path, &options, &l->folder, NULL, &why);
    if (status && status != TT_BAD_INPUT) return tt_fail(err, status, "%s", why.message);
    if (status) tell_failure(l->x, TT_CODE_CANNOT_OPEN, l->path, &why);
    return TT_OK;
}

// The parts of a folder that does not open: those that it has a folder for.
static enum tt_status guess_parts(struct looking *l, struct tt_error *err) {
    enum tt_status status =
        l->file ? open_file(l, err) : tt_folder_open_any(l->path, &l->folder, err);
    if (status || !l->folder) return status;
    tt_folder_tell(l->folder, &l->x->own.notes);
    tt_folder_note_in(l->folder, l->x->engine->files);
    if (!l->file) status = tt_folder_prefer(l->folder, l->x->settings.variant, err);
    for (enum tt_part first = 0; !status && first < TT_PARTS; first++) {
        char config[64];
        snprintf(config, sizeof config, "%s/config.json", tt_part_folder((int)first));
        if (tt_part_first(first) != first) continue;
        if (!tt_folder_has(l->folder, l->file ? config : tt_part_folder((int)first))) continue;
        status = read_config(l, add_part(l, first, l->folder), err);
    }
    return status;
}

// ---- what the model tells of itself ----

static void describe(struct looking *l) {
    struct tt_examination *x = l->x;
    const struct tt_model_info *info = &l->model->info;
    const struct tt_scheduler_config *s = &l->model->scheduler;
    const char *family = info->unconditional  ? "without a text, in pixel space"
                         : info->second_stage ? "Stable Diffusion XL refiner"
                         : info->time_ids     ? "Stable Diffusion XL"
                                              : tt_doctor_family_of_width(info->text_width);
    if (info->second_stage) tt_doctor_is(x, TT_KIND_REFINER);
    bool told = l->file && tt_doctor_knows(x, "family"); // by its names
    if ((info->text_width || info->unconditional) && !told)
        tt_doctor_fact(x, "", "family", family ? family : "of its own width");
    tt_doctor_fact(x, "", "scheduler", info->scheduler);
    bool whole = !l->file || l->x->kind == TT_KIND_CHECKPOINT || l->x->kind == TT_KIND_REFINER;
    if (!l->model->no_scheduler && whole)
        tt_doctor_fact(x, "", "prediction_type", tt_scheduler_config_word(
                           "prediction_type", s->file.prediction_type));
    if (info->width) tt_doctor_number(x, "", "width", (double)info->width);
    if (info->height) tt_doctor_number(x, "", "height", (double)info->height);
}

static void describe_part(struct tt_examination *x, const struct part *p) {
    if (p->networks[p->first]) {
        char class[64]; // the first of those that the network may be
        snprintf(class, sizeof class, "%s", p->networks[p->first]->classes + 1);
        class[strcspn(class, "\"")] = 0;
        tt_doctor_fact(x, p->of, "class", class);
    }
    if (!p->weights) return;
    tt_doctor_fact(x, p->of, "file", tt_weights_name(p->weights));
    tt_doctor_describe(x, p->of, p->tensors, p->count);
}

static enum tt_status scan(struct looking *l, struct tt_error *err) {
    enum tt_status status = TT_OK;
    if (l->x->settings.quick || l->file) return TT_OK; // who looks at the file reads it
    for (size_t i = 0; i < l->count; i++)
        l->x->all += tt_doctor_scan_bytes(l->parts[i].tensors, l->parts[i].count);
    for (size_t i = 0; !status && i < l->count; i++) {
        const struct part *p = &l->parts[i];
        if (!p->weights) continue;
        const struct tt_source source = tt_weights_source(p->weights);
        status = tt_doctor_scan(l->x, &(struct tt_doctor_scan){tt_weights_name(p->weights),
                                                               p->tensors, p->count, &source},
                                err);
    }
    return status;
}

// ---- all of it ----

static enum tt_status open_model(struct looking *l, const char *pipeline, struct tt_error *err) {
    struct tt_model_settings settings;
    struct tt_error why = {TT_OK, ""};
    const char *family, *needs;
    tt_model_defaults(&settings, sizeof settings);
    settings.variant = l->file ? NULL : l->x->settings.variant;
    enum tt_status status = tt_model_open_with(l->path, &l->x->own, &settings, &l->model, &why);
    if (status == TT_SYSTEM || status == TT_CANCELLED)
        return tt_fail(err, status, "%s", why.message);
    if (status && pipeline && tt_doctor_foreign(pipeline, &family, &needs) &&
        strstr(why.message, "_class_name")) {
        tt_doctor_is(l->x, TT_KIND_FOREIGN_FOLDER);
        tt_doctor_fact(l->x, "", "family", family);
        tt_doctor_find(l->x, TT_CODE_FOREIGN_FAMILY, l->path, NULL,
                       tt_doctor_text(l->x, "%s (%.80s)", family, pipeline), "Stable Diffusion",
                       tt_doctor_text(l->x, "not supported: it would need %s", needs));
        return TT_OK;
    }
    // One network is no model, and need be none; of others that are not there the message tells.
    bool whole = !l->file || l->x->kind == TT_KIND_CHECKPOINT;
    bool lacks = strstr(why.message, "expected also") != NULL;
    if (status && whole)
        tell_failure(l->x, lacks ? TT_CODE_MISSING_WEIGHTS : TT_CODE_CANNOT_OPEN, l->path, &why);
    if (!status) take_parts(l);
    return status ? guess_parts(l, err) : TT_OK;
}

// The network of a folder that has nothing but that.
static enum tt_status open_part_alone(struct looking *l, const char *of, struct tt_error *err) {
    enum tt_status status = tt_folder_open_any(l->path, &l->folder, err);
    if (status) return status;
    tt_folder_tell(l->folder, &l->x->own.notes);
    tt_folder_note_in(l->folder, l->x->engine->files);
    tt_folder_spread(l->folder, of);
    status = tt_folder_prefer(l->folder, l->x->settings.variant, err);
    for (enum tt_part first = 0; !status && first < TT_PARTS; first++)
        if (tt_part_first(first) == first && !strcmp(tt_part_folder((int)first), of))
            status = read_config(l, add_part(l, first, l->folder), err);
    return status;
}

static void close_all(struct looking *l) {
    for (size_t i = 0; i < l->count; i++) {
        tt_weights_close(l->parts[i].weights);
        free(l->parts[i].tensors);
        free(l->parts[i].own);
    }
    tt_folder_close(l->folder);
    tt_model_close(l->model);
}

// All that there is to see once the parts are known.
static enum tt_status look(struct looking *l, struct tt_error *err) {
    enum tt_status status = TT_OK;
    double asked = 0;
    if (l->model) describe(l);
    for (size_t i = 0; !status && i < l->count; i++) {
        struct part *p = &l->parts[i];
        status = open_part(l, p, err);
        if (!status) describe_part(l->x, p);
        if (!status && p->weights && p->config) status = fit(l, p, err);
        asked += p->asked;
    }
    if (!status) status = scan(l, err);
    bool works = l->model && !tt_doctor_has_errors(l->x);
    return !status && works ? tt_doctor_cost(l->x, l->model, asked, err) : status;
}

enum tt_status tt_doctor_model(struct tt_examination *x, const char *path, const char *pipeline,
                               struct tt_error *err) {
    struct looking l = {.x = x, .path = path, .file = tt_single_is_file(path)};
    enum tt_status status = open_model(&l, pipeline, err);
    if (!status) status = look(&l, err);
    close_all(&l);
    return status;
}

enum tt_status tt_doctor_part(struct tt_examination *x, const char *path, const char *of,
                              struct tt_error *err) {
    struct looking l = {.x = x, .path = path};
    enum tt_status status = open_part_alone(&l, of, err);
    if (!status) status = look(&l, err);
    close_all(&l);
    return status;
}
