// SPDX-License-Identifier: MIT
// A look at a folder: what it is, and then at what is in it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/doctor.h"
#include "model/part.h"

// ---- a hub's cache ----

// The snapshot to name: that of "main", or the first.
static const char *find_snapshot(struct tt_examination *x, const char *path) {
    struct tt_bytes bytes;
    struct tt_doctor_names names;
    const char *found = NULL, *snapshots = tt_doctor_join(x, path, "snapshots");
    if (!tt_file_read(NULL, tt_doctor_join(x, path, "refs/main"), &bytes, NULL)) {
        int length = (int)(bytes.size < 64 ? bytes.size : 64);
        char name[80];
        snprintf(name, sizeof name, "%.*s", length, (const char *)bytes.data);
        name[strcspn(name, " \n\r/")] = 0;
        if (*name && tt_doctor_is_folder(tt_doctor_join(x, snapshots, name)))
            found = tt_doctor_join(x, snapshots, name);
        tt_bytes_free(&bytes);
    }
    tt_doctor_list(x, snapshots, &names);
    if (!found && names.count) found = tt_doctor_join(x, snapshots, names.name[0]);
    tt_doctor_names_free(&names);
    return found;
}

// Downloads into the cache that did not end.
static void look_at_blobs(struct tt_examination *x, const char *path) {
    struct tt_doctor_names names;
    tt_doctor_list(x, path, &names);
    for (size_t i = 0; i < names.count; i++)
        if (tt_doctor_ends(names.name[i], ".incomplete"))
            tt_doctor_find(x, TT_CODE_HALF_DOWNLOAD, tt_doctor_join(x, path, names.name[i]), NULL,
                           "a file that is not whole", NULL, NULL);
    tt_doctor_names_free(&names);
}

static void look_at_cache(struct tt_examination *x, const char *path) {
    const char *snapshot = find_snapshot(x, path);
    tt_doctor_is(x, TT_KIND_CACHE);
    tt_doctor_fact(x, "", "snapshot", snapshot ? snapshot : "");
    tt_doctor_find(x, TT_CODE_CACHE_ROOT, path, NULL, "an entry of a hub's cache",
                   "a snapshot of it", snapshot ? tt_doctor_text(x, "give %s", snapshot)
                                                : "download it: there is no snapshot yet");
    look_at_blobs(x, tt_doctor_join(x, path, "blobs"));
}

// ---- folders of other programs ----

// Folders and files that say what a folder is for.
static const struct {
    const char *end;
    enum tt_doctor_code code;
    const char *is;
} signs[] = {
    {".mlpackage", TT_CODE_COREML, "packages for Core ML"},
    {".mlmodelc", TT_CODE_COREML, "compiled models for Core ML"},
    {".mlmodel", TT_CODE_COREML, "models for Core ML"},
    {".onnx", TT_CODE_ONNX, "graphs for ONNX Runtime"},
    {"openvino_model.xml", TT_CODE_OPENVINO, "graphs for OpenVINO"},
    {".engine", TT_CODE_TENSORRT, "engines of TensorRT"},
    {".plan", TT_CODE_TENSORRT, "engines of TensorRT"},
    {".msgpack", TT_CODE_FLAX, "weights of Flax"},
    {".h5", TT_CODE_TENSORFLOW, "weights of Keras"},
};
enum { SIGNS = sizeof signs / sizeof *signs };

// What files there are in a folder and in those in it.
struct inventory {
    size_t models;            // .safetensors and .gguf
    const char *first;        // of them
    size_t folders, indexed;  // folders; of which have a model_index.json
    size_t entries;           // "models--..." of a hub's cache
    size_t pickles;
    const char *pickle;
    const char *sign[SIGNS];
    size_t files;
    size_t names; // looked at, at most
};
enum { NAMES = 20000 };

static bool is_pickle_name(const char *name) {
    return tt_doctor_ends(name, ".ckpt") || tt_doctor_ends(name, ".pt") ||
           tt_doctor_ends(name, ".pth") || tt_doctor_ends(name, ".bin");
}

static void take_stock(struct tt_examination *x, const char *path, int deep,
                       struct inventory *inventory) {
    struct tt_doctor_names names;
    tt_doctor_list(x, path, &names);
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.name[i], *where;
        if (name[0] == '.' || inventory->names++ >= NAMES) continue;
        where = tt_doctor_join(x, path, name);
        for (size_t k = 0; k < SIGNS; k++)
            if (tt_doctor_ends(name, signs[k].end) && !inventory->sign[k])
                inventory->sign[k] = where;
        if (tt_doctor_is_folder(where)) {
            inventory->folders++;
            if (!strncmp(name, "models--", 8)) inventory->entries++;
            if (tt_doctor_is_there(tt_doctor_join(x, where, "model_index.json")))
                inventory->indexed++;
            if (deep < 2) take_stock(x, where, deep + 1, inventory);
            continue;
        }
        inventory->files++;
        bool model = tt_doctor_ends(name, ".safetensors") || tt_doctor_ends(name, ".gguf");
        if (model && !inventory->models++) inventory->first = where;
        if (is_pickle_name(name) && !inventory->pickles++) inventory->pickle = where;
    }
    tt_doctor_names_free(&names);
}

// Says what its files are of; false: of nothing known.
static bool tell_signs(struct tt_examination *x, const struct inventory *inventory) {
    bool any = false;
    for (size_t k = 0; k < SIGNS; k++) {
        if (!inventory->sign[k]) continue;
        bool again = false;
        for (size_t i = 0; i < k; i++)
            again |= inventory->sign[i] && signs[i].code == signs[k].code;
        if (!again)
            tt_doctor_find(x, signs[k].code, inventory->sign[k], NULL, signs[k].is,
                           "a folder as diffusers writes it, of safetensors", NULL);
        any = true;
    }
    return any;
}

// ---- models ----

// The parts that model_index.json tells of must have folders; those that are null need none.
static void check_components(struct tt_examination *x, const char *path, const json_t *index) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)index, name, value) {
        bool needed = !strcmp(name, "scheduler") || !strncmp(name, "tokenizer", 9);
        for (int part = 0; part < (int)tt_part_count(); part++)
            needed |= !strcmp(name, tt_part_folder(part));
        if (!needed || !json_is_string(json_array_get(value, 1))) continue;
        const char *where = tt_doctor_join(x, path, name);
        bool spread = tt_doctor_is_there(tt_doctor_join(x, path, "config.json"));
        if (!tt_doctor_is_folder(where) && !spread)
            tt_doctor_find(x, TT_CODE_MISSING_FILE, where, NULL, "no such folder",
                           tt_doctor_text(x, "%s's folder, which model_index.json tells of", name),
                           NULL);
        else tt_doctor_look_around(x, where, false);
    }
}

// Where the snapshot is one of a hub's cache, what is not whole lies beside it.
static void look_beside(struct tt_examination *x, const char *path) {
    const char *blobs = tt_doctor_join(x, path, "../../blobs");
    if (strstr(path, "snapshots/") && tt_doctor_is_folder(blobs)) look_at_blobs(x, blobs);
}

static enum tt_status look_at_model(struct tt_examination *x, const char *path,
                                    struct tt_error *err) {
    const char *file = tt_doctor_join(x, path, "model_index.json");
    json_t *index = tt_doctor_is_there(file) ? tt_doctor_json(x, file) : NULL;
    const char *class = json_string_value(json_object_get(index, "_class_name"));
    const char *pipeline = class ? tt_doctor_text(x, "%.80s", class) : NULL;
    tt_doctor_is(x, TT_KIND_FOLDER);
    if (pipeline) tt_doctor_fact(x, "", "pipeline", pipeline);
    if (tt_doctor_is_there(tt_doctor_join(x, path, "training.json")))
        tt_doctor_fact(x, "", "made_by", "tintype train");
    tt_doctor_look_around(x, path, false);
    check_components(x, path, index);
    look_beside(x, path);
    json_decref(index);
    enum tt_status status = tt_doctor_model(x, path, pipeline, err);
    if (!status && x->kind == TT_KIND_FOREIGN_FOLDER) {
        struct inventory inventory = {0};
        take_stock(x, path, 0, &inventory);
        tell_signs(x, &inventory);
    }
    if (!status) tt_doctor_use(x, path);
    return status;
}

// Classes of one network's config.json, and what a model's folder calls those that it may have.
static const struct {
    const char *class;
    enum tt_doctor_kind kind;
    const char *of;
} classes[] = {
    {"AutoencoderKL", TT_KIND_VAE_FOLDER, NULL},
    {"AutoencoderTiny", TT_KIND_VAE_FOLDER, NULL},
    {"UNet2DConditionModel", TT_KIND_UNET, "unet"},
    {"UNet2DModel", TT_KIND_PART_FOLDER, "unet"},
    {"CLIPTextModel", TT_KIND_TEXT_ENCODER, "text_encoder"},
    {"CLIPTextModelWithProjection", TT_KIND_TEXT_ENCODER, "text_encoder"},
    {"ControlNetModel", TT_KIND_CONTROLNET, NULL},
    {"T2IAdapter", TT_KIND_T2I_ADAPTER, NULL},
    {"MotionAdapter", TT_KIND_MOTION, NULL},
    {"CLIPVisionModelWithProjection", TT_KIND_IMAGE_ENCODER, NULL},
    {"CLIPVisionModel", TT_KIND_IMAGE_ENCODER, NULL},
    {"StableDiffusionSafetyChecker", TT_KIND_SAFETY_CHECKER, NULL},
};

// The folder's files of tensors, each as a file that is looked at.
static enum tt_status look_at_files(struct tt_examination *x, const char *path,
                                    struct tt_error *err) {
    struct tt_doctor_names names;
    enum tt_status status = TT_OK;
    tt_doctor_list(x, path, &names);
    for (size_t i = 0; !status && i < names.count; i++)
        if (tt_doctor_ends(names.name[i], ".safetensors") || tt_doctor_ends(names.name[i], ".gguf"))
            status = tt_doctor_file(x, tt_doctor_join(x, path, names.name[i]), err);
    tt_doctor_names_free(&names);
    return status;
}

static enum tt_status look_at_part(struct tt_examination *x, const char *path,
                                   struct tt_error *err) {
    json_t *root = tt_doctor_json(x, tt_doctor_join(x, path, "config.json"));
    const char *class = json_string_value(json_object_get(root, "_class_name"));
    enum tt_doctor_kind kind = TT_KIND_PART_FOLDER;
    enum tt_status status = TT_OK;
    const char *of = NULL;
    if (!class)
        class = json_string_value(json_array_get(json_object_get(root, "architectures"), 0));
    if (class) class = tt_doctor_text(x, "%.80s", class);
    json_decref(root);
    for (size_t i = 0; class && i < sizeof classes / sizeof *classes; i++)
        if (!strcmp(class, classes[i].class)) {
            kind = classes[i].kind;
            of = classes[i].of;
        }
    if (class) tt_doctor_fact(x, "", "class", class);
    if (of || kind == TT_KIND_VAE_FOLDER) {
        tt_doctor_is(x, kind);
        status = of ? tt_doctor_part(x, path, of, err) : tt_doctor_model(x, path, NULL, err);
        if (!status) tt_doctor_use(x, path);
        return status;
    }
    tt_doctor_look_around(x, path, false);
    status = look_at_files(x, path, err);
    tt_doctor_is(x, kind);
    if (!status && !x->of_code[TT_CODE_NO_USE]) tt_doctor_use(x, path);
    return status;
}

// ---- several, or none ----

// Which of the files is what, a line each.
static void tell_files(struct tt_examination *x, const char *path) {
    struct tt_doctor_names names;
    tt_doctor_list(x, path, &names);
    for (size_t i = 0; i < names.count; i++) {
        const char *where = tt_doctor_join(x, path, names.name[i]), *is = NULL;
        struct tt_doctor_file file = {0};
        struct tt_bytes bytes;
        if (tt_doctor_is_folder(where)) {
            if (tt_doctor_is_there(tt_doctor_join(x, where, "model_index.json")))
                is = "a diffusers folder";
            else if (!strncmp(names.name[i], "models--", 8)) {
                is = find_snapshot(x, where);
                if (is) is = tt_doctor_text(x, "a hub's cache entry: give %s", is);
            }
        } else if (tt_doctor_ends(where, ".safetensors") &&
                   !tt_file_map(x->engine->files, where, &bytes, NULL)) {
            x->mute = true;
            if (tt_doctor_sign(x, where, &bytes) != TT_SIGN_SAFETENSORS) tt_bytes_free(&bytes);
            else if (tt_doctor_file_read(x, where, bytes, &file)) {
                tt_doctor_is(x, tt_doctor_recognise(&file).kind);
                is = x->is;
            }
            tt_doctor_file_free(&file);
            x->mute = false;
            if (!is) is = "cannot be read";
        } else if (tt_doctor_ends(where, ".gguf")) is = "a GGUF file";
        if (is) tt_doctor_listed(x, "", "models", tt_doctor_text(x, "%s: %s", names.name[i], is));
    }
    tt_doctor_names_free(&names);
}

// What peft writes beside a LoRA.
static void tell_adapter(struct tt_examination *x, const char *path) {
    const char *file = tt_doctor_join(x, path, "adapter_config.json");
    json_t *root = tt_doctor_is_there(file) ? tt_doctor_json(x, file) : NULL;
    const json_t *alpha = json_object_get(root, "lora_alpha");
    const char *base = json_string_value(json_object_get(root, "base_model_name_or_path"));
    if (json_is_number(alpha))
        tt_doctor_fact(x, "", "alpha", tt_doctor_text(x, "%g", json_number_value(alpha)));
    tt_doctor_fact(x, "", "trained_on", base ? base : "");
    json_decref(root);
}

static enum tt_status look_for_models(struct tt_examination *x, const char *path,
                                      struct tt_error *err) {
    struct inventory inventory = {0};
    take_stock(x, path, 0, &inventory);
    if (!inventory.files && !inventory.folders) {
        tt_doctor_find(x, TT_CODE_EMPTY_FOLDER, path, NULL, "nothing", NULL, NULL);
        return TT_OK;
    }
    if (!inventory.models && !inventory.indexed && !inventory.entries &&
        tell_signs(x, &inventory))
        return TT_OK;
    if (inventory.models == 1 && !inventory.indexed && !inventory.entries) {
        tt_doctor_fact(x, "", "file", inventory.first);
        tell_adapter(x, path);
        return tt_doctor_file(x, inventory.first, err);
    }
    if (inventory.models || inventory.indexed || inventory.entries) {
        tell_files(x, path);
        tt_doctor_is(x, TT_KIND_COLLECTION);
        tt_doctor_find(x, TT_CODE_SEVERAL_MODELS, path, NULL,
                       tt_doctor_text(x, "%zu files of weights, %zu diffusers folders, %zu entries "
                                      "of a hub's cache", inventory.models, inventory.indexed,
                                      inventory.entries), "one model", NULL);
        return TT_OK;
    }
    if (inventory.pickle) return tt_doctor_file(x, inventory.pickle, err);
    tt_doctor_look_around(x, path, true);
    tt_doctor_find(x, TT_CODE_NO_MODEL, path, NULL,
                   tt_doctor_text(x, "%zu files and %zu folders, none of a model",
                                  inventory.files, inventory.folders), NULL, NULL);
    return TT_OK;
}

// ---- ours ----

static enum tt_status look_at_recording(struct tt_examination *x, const char *path,
                                        struct tt_error *err) {
    struct tt_recording *recording = NULL;
    struct tt_error why = {TT_OK, ""};
    size_t tensors = 0;
    tt_doctor_is(x, TT_KIND_RECORDING);
    enum tt_status status = tt_recording_open(x->engine->files, path, &recording, &why);
    for (size_t i = 0; !status && i < tt_recording_calls(recording); i++) {
        const struct tt_examine_settings *s = &x->settings;
        status = x->settings.quick ? tt_recording_load(recording, i, &why)
                                   : tt_recording_check_values(recording, i, &why);
        if (!status) tensors += tt_recording_count(recording, i);
        tt_recording_unload(recording, i);
        if (s->progress && s->progress(s->context, i, tt_recording_calls(recording)))
            status = tt_fail(err, TT_CANCELLED, "cancelled while reading %s", path);
    }
    if (!status) tt_doctor_number(x, "", "calls", (double)tt_recording_calls(recording));
    if (!status) tt_doctor_number(x, "", "tensors", (double)tensors);
    tt_recording_close(recording);
    if (status != TT_BAD_INPUT) return status ? tt_fail(err, status, "%s", why.message) : TT_OK;
    bool values = strstr(why.message, "finite") != NULL;
    tt_doctor_find(x, values ? TT_CODE_NOT_FINITE : TT_CODE_CANNOT_OPEN, path, NULL, why.message,
                   NULL, NULL);
    return TT_OK;
}

// What training leaves before there is a model.
static enum tt_status look_at_training(struct tt_examination *x, const char *path,
                                       struct tt_error *err) {
    const char *checkpoint = tt_doctor_join(x, path, "checkpoint.safetensors");
    tt_doctor_fact(x, "", "made_by", "tintype train");
    if (tt_doctor_is_there(checkpoint)) return tt_doctor_file(x, checkpoint, err);
    tt_doctor_is(x, TT_KIND_TRAINING);
    tt_doctor_find(x, TT_CODE_MISSING_FILE, checkpoint, NULL, "no such file",
                   "what training has saved", "nothing was saved yet: train again");
    return TT_OK;
}

// Whether it has the folders of a model's parts.
static bool has_parts(struct tt_examination *x, const char *path) {
    size_t count = 0;
    for (int part = 0; part < (int)tt_part_count(); part++) {
        const char *of = tt_doctor_join(x, path, tt_part_folder(part));
        count += tt_doctor_is_there(tt_doctor_join(x, of, "config.json"));
    }
    return count > 1;
}

enum tt_status tt_doctor_folder(struct tt_examination *x, const char *path, struct tt_error *err) {
    enum tt_status status;
    if (tt_doctor_is_there(tt_doctor_join(x, path, "model_index.json")))
        return look_at_model(x, path, err);
    if (tt_doctor_is_folder(tt_doctor_join(x, path, "snapshots"))) {
        look_at_cache(x, path);
        return TT_OK;
    }
    if (tt_doctor_is_there(tt_doctor_join(x, path, "recording.json"))) {
        status = look_at_recording(x, path, err);
        if (!status) tt_doctor_use(x, path);
        return status;
    }
    if (tt_is_repro(path)) {
        tt_doctor_is(x, TT_KIND_REPRO);
        tt_doctor_use(x, path);
        return TT_OK;
    }
    if (tt_doctor_is_there(tt_doctor_join(x, path, "training.json")))
        return look_at_training(x, path, err);
    if (tt_doctor_is_there(tt_doctor_join(x, path, "config.json")))
        return look_at_part(x, path, err);
    if (has_parts(x, path)) {
        tt_doctor_find(x, TT_CODE_MISSING_FILE, tt_doctor_join(x, path, "model_index.json"), NULL,
                       "no such file", "what tells of the parts", NULL);
        return look_at_model(x, path, err);
    }
    return look_for_models(x, path, err);
}
