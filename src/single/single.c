// SPDX-License-Identifier: MIT
#include "single/single.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "io/json.h"
#include "single/configs.h"
#include "single/renamed.h"
#include "single/vocabulary.h"

enum { TEXTS = 16 };

// A file with all that is made of it.
struct made {
    struct tt_tensor_file *file;
    struct tt_single single;
    struct tt_single_forms forms;
    struct tt_renamed renamed[TT_SINGLE_PARTS];
    struct tt_folder_tensors tensors[TT_SINGLE_PARTS];
    size_t tensors_count;
    struct tt_embedded_file texts[TEXTS];
    size_t text_count;
    char *owned[TEXTS]; // texts that belong to this
    size_t owned_count;
    char paths[TEXTS][64]; // of the texts
};

static void free_made(void *context) {
    struct made *made = context;
    for (int part = 0; part < TT_SINGLE_PARTS; part++) tt_renamed_free(&made->renamed[part]);
    for (size_t i = 0; i < made->owned_count; i++) free(made->owned[i]);
    tt_tensor_file_close(made->file);
    free(made);
}

bool tt_single_is_file(const char *path) {
    struct stat info;
    return path && !stat(path, &info) && !S_ISDIR(info.st_mode);
}

// ---- texts ----

static void add_text(struct made *made, const char *path, const char *text, size_t size) {
    size_t i = made->text_count++;
    snprintf(made->paths[i], sizeof made->paths[i], "%s", path);
    made->texts[i] = (struct tt_embedded_file){made->paths[i], (const unsigned char *)text,
                                               (const unsigned char *)text + size};
}

// The JSON text of value, whose reference it takes.
static enum tt_status add_json(struct made *made, const char *path, json_t *value,
                               struct tt_error *err) {
    char *text = value ? json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(value);
    if (!text) return tt_fail(err, TT_SYSTEM, "%s: out of memory", path);
    made->owned[made->owned_count++] = text;
    add_text(made, path, text, strlen(text));
    return TT_OK;
}

// CLIP's vocabulary is the same for all; the second text encoder of XL, and that of Stable
// Diffusion 2, pad with "!", which is id 0.
static enum tt_status add_tokenizers(struct made *made, struct tt_error *err) {
    const struct tt_single *s = &made->single;
    char *merges = NULL, *vocab = NULL, path[64];
    size_t merges_size, vocab_size;
    enum tt_status status = tt_vocabulary_make(&merges, &merges_size, &vocab, &vocab_size, err);
    made->owned[made->owned_count++] = merges;
    made->owned[made->owned_count++] = vocab;
    for (int second = 0; !status && second < 2; second++) {
        const char *folder = second ? "tokenizer_2" : "tokenizer";
        if (!s->part[second ? TT_SINGLE_TEXT_2 : TT_SINGLE_TEXT].layout) continue;
        snprintf(path, sizeof path, "%s/merges.txt", folder);
        add_text(made, path, merges, merges_size);
        snprintf(path, sizeof path, "%s/vocab.json", folder);
        add_text(made, path, vocab, vocab_size);
        snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
        bool zero = second || s->family == TT_FAMILY_SD2;
        status = add_json(made, path, tt_single_tokenizer_config(zero ? "!" : "<|endoftext|>"),
                          err);
    }
    return status;
}

static enum tt_status add_texts(struct made *made, struct tt_error *err) {
    const struct tt_single *s = &made->single;
    const struct tt_single_forms *f = &made->forms;
    bool unet = s->part[TT_SINGLE_UNET].layout, tiny = s->part[TT_SINGLE_VAE].layout ==
                                                       TT_LAYOUT_TINY;
    enum tt_status status = TT_OK;
    if (unet) status = add_json(made, "model_index.json", tt_single_index(s, &f->unet), err);
    if (!status && unet)
        status = add_json(made, "unet/config.json", tt_single_unet_config(s, &f->unet), err);
    if (!status && unet)
        status = add_json(made, "scheduler/scheduler_config.json",
                          tt_single_scheduler_config(s, f->unet.guidance_dim > 0), err);
    if (!status && s->part[TT_SINGLE_VAE].layout)
        status = add_json(made, "vae/config.json",
                          tiny ? tt_single_tiny_config() : tt_single_vae_config(s->family, &f->vae),
                          err);
    for (int i = 0; !status && i < 2; i++) {
        char path[64];
        int part = TT_SINGLE_TEXT + i;
        snprintf(path, sizeof path, "%s/config.json", tt_single_folder(part));
        if (s->part[part].layout)
            status = add_json(made, path, tt_single_text_config(s->family, &f->text[i]), err);
    }
    bool text = s->part[TT_SINGLE_TEXT].layout || s->part[TT_SINGLE_TEXT_2].layout;
    return status || !text ? status : add_tokenizers(made, err);
}

// ---- opening ----

static enum tt_status read_forms(struct made *made, struct tt_error *err) {
    const struct tt_single *s = &made->single;
    struct tt_single_forms *f = &made->forms;
    enum tt_status status = TT_OK;
    if (s->part[TT_SINGLE_UNET].layout) {
        status = tt_unet_form_read(made->file, s, &f->unet, err);
        if (!status) status = tt_single_check_depths(made->file, &f->unet, err);
    }
    if (!status && s->part[TT_SINGLE_VAE].layout && s->part[TT_SINGLE_VAE].layout != TT_LAYOUT_TINY)
        status = tt_vae_form_read(made->file, s, &f->vae, err);
    for (int i = 0; !status && i < 2; i++)
        if (s->part[TT_SINGLE_TEXT + i].layout)
            status = tt_text_form_read(made->file, s, TT_SINGLE_TEXT + i, &f->text[i], err);
    return status;
}

static enum tt_status refuse_other(const struct made *made, struct tt_error *err) {
    const struct tt_single *s = &made->single;
    const char *path = tt_tensor_file_name(made->file);
    bool drawing = false;
    for (int part = 0; part < TT_SINGLE_PARTS; part++) drawing |= s->part[part].layout != 0;
    if (s->other)
        return tt_fail(err, TT_BAD_INPUT, "%s: found %s (tensor '%.128s'), expected a checkpoint "
                       "of Stable Diffusion, or one network of it", path, s->other,
                       s->other_tensor);
    const struct tt_view *first = tt_tensor_file_at(made->file, 0);
    return drawing ? TT_OK
                   : tt_fail(err, TT_BAD_INPUT, "%s: found %zu tensors%s%.128s%s, expected a "
                             "checkpoint of Stable Diffusion, or one network of it", path,
                             tt_tensor_file_count(made->file), first ? ", as '" : "",
                             first ? first->name : "", first ? "'" : "");
}

// A pickle is a program: reading it runs what its writer wants.
static enum tt_status refuse_pickle(const char *path, struct tt_error *err) {
    static const char *const ends[] = {".ckpt", ".pt", ".pth", ".bin", ".pkl"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (tt_text_ends(path, ends[i]))
            return tt_fail(err, TT_BAD_INPUT, "%s: found a pickle (%s), expected .safetensors: a "
                           "pickle runs code of its writer's when it is loaded. If you trust it: "
                           "python3 -c 'import sys, torch, safetensors.torch as s; "
                           "d = torch.load(sys.argv[1], \"cpu\", weights_only=True); "
                           "d = d.get(\"state_dict\", d); s.save_file({k: v.contiguous().clone() "
                           "for k, v in d.items() if torch.is_tensor(v)}, sys.argv[2])' IN "
                           "OUT.safetensors", path, ends[i]);
    return TT_OK;
}

// What was taken for granted, or left out.
static void note(const struct made *made, const struct tt_single_options *options, size_t left,
                 const char *first) {
    const struct tt_single *s = &made->single;
    const char *path = tt_tensor_file_name(made->file);
    if (s->part[TT_SINGLE_UNET].layout && options->config)
        tt_note(options->notes, "%s: read as %s, as far as %s does not say otherwise", path,
                tt_family_name(s->family), options->config);
    else if (s->part[TT_SINGLE_UNET].layout)
        tt_note(options->notes, "%s: read as %s, which predicts %s: %s%s", path,
                tt_family_name(s->family), tt_single_prediction(s), s->mark ? "as said by " : "",
                s->mark ? s->mark : "assumed of its family, the file says nothing "
                                    "(--prediction-type does)");
    else if (s->part[TT_SINGLE_VAE].layout && !options->family &&
             s->part[TT_SINGLE_VAE].layout != TT_LAYOUT_TINY)
        tt_note(options->notes, "%s: scaling_factor 0.18215 assumed, as of Stable Diffusion 1 and "
                "2", path);
    if (s->average)
        tt_note(options->notes, "%s: found %zu tensors of an average (model_ema), ignored, as "
                "diffusers does", path, s->average);
    if (left)
        tt_note(options->notes, "%s: found %zu tensor%s that belong%s to no network, ignored: "
                "'%.128s'%s", path, left, left > 1 ? "s" : "", left > 1 ? "" : "s", first,
                left > 1 ? ", ..." : "");
}

// What has another name than such files and does not begin as they do is some other file.
static enum tt_status open_tensors(struct made *made, const char *path,
                                   const struct tt_single_options *options, struct tt_error *err) {
    struct tt_error own = {0};
    enum tt_status status = tt_tensor_file_open(options->files, path, &made->file, &own);
    bool named = tt_text_ends(path, ".safetensors") || tt_text_ends(path, ".gguf");
    if (status == TT_BAD_INPUT && !named)
        return tt_fail(err, status, "%s: found a file that holds no tensors, expected a folder, or "
                       "a file of weights: .safetensors or .gguf", path);
    return status ? tt_fail(err, status, "%s", own.message) : TT_OK;
}

static enum tt_status make(struct made *made, const char *path,
                           const struct tt_single_options *options, struct tt_error *err) {
    size_t left;
    const char *first = NULL;
    struct tt_single *s = &made->single;
    enum tt_status status = refuse_pickle(path, err);
    if (!status) status = open_tensors(made, path, options, err);
    if (status) return status;
    tt_single_recognise(made->file, s);
    status = refuse_other(made, err);
    if (status) return status;
    if (options->prediction) {
        s->prediction = options->prediction;
        s->mark = "what was asked for";
    }
    if (!s->part[TT_SINGLE_UNET].layout && options->family) s->family = options->family;
    status = read_forms(made, err);
    if (!status)
        status = tt_renamed_make(made->file, s, &made->forms, made->renamed, &left, &first, err);
    if (!status) status = add_texts(made, err);
    if (status) return status;
    for (int part = 0; part < TT_SINGLE_PARTS; part++)
        if (s->part[part].layout)
            made->tensors[made->tensors_count++] = (struct tt_folder_tensors){
                tt_single_folder(part), made->renamed[part].views, made->renamed[part].count};
    note(made, options, left, first);
    return TT_OK;
}

enum tt_family tt_single_family_of(const struct tt_folder *folder) {
    struct tt_bytes bytes;
    if (!tt_folder_has(folder, "model_index.json") ||
        tt_folder_read(folder, "model_index.json", &bytes, NULL))
        return TT_FAMILY_NONE;
    json_t *index = NULL;
    enum tt_family family = TT_FAMILY_SD1;
    if (!tt_json_parse("model_index.json", bytes.data, bytes.size, &index, NULL)) {
        const char *name = json_string_value(json_object_get(index, "_class_name"));
        if (name && !strncmp(name, "StableDiffusionXL", 17)) family = TT_FAMILY_XL;
        else if (name && strncmp(name, "StableDiffusion", 15) && strncmp(name, "Latent", 6))
            family = TT_FAMILY_NONE;
    }
    json_decref(index);
    tt_bytes_free(&bytes);
    return family;
}

// Configurations of another family would be missed one by one.
static enum tt_status check_over(const struct made *made, const struct tt_folder *over,
                                 struct tt_error *err) {
    enum tt_family family = made->single.family, found = tt_single_family_of(over);
    bool xl = family == TT_FAMILY_XL || family == TT_FAMILY_REFINER;
    if (!tt_folder_has(over, "model_index.json") || !made->single.part[TT_SINGLE_UNET].layout ||
        (found && (found == TT_FAMILY_XL) == xl))
        return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "%s: model_index.json: found a pipeline of %s, expected one "
                   "of %s, as %s is", tt_folder_name(over),
                   !found                  ? "another kind"
                   : found == TT_FAMILY_XL ? "Stable Diffusion XL"
                                           : "Stable Diffusion 1.x or 2.x",
                   tt_family_name(family), tt_tensor_file_name(made->file));
}

enum tt_status tt_single_open(const char *path, const struct tt_single_options *options,
                              struct tt_folder **out, struct tt_single *single,
                              struct tt_error *err) {
    *out = NULL;
    struct made *made = calloc(1, sizeof *made);
    if (!made) return tt_fail(err, TT_SYSTEM, "%s: out of memory", path);
    enum tt_status status = make(made, path, options, err);
    if (status) {
        free_made(made);
        return status;
    }
    if (single) *single = made->single;
    const struct tt_folder_made folder = {
        made, free_made, made->texts, made->text_count, made->tensors, made->tensors_count,
        made->file,
    };
    status = tt_folder_open_made(path, &folder, out, err);
    struct tt_folder *over = NULL;
    if (!status && options->config) status = tt_folder_open_any(options->config, &over, err);
    if (over) tt_folder_cover(*out, over);
    if (!status && over) status = check_over(made, over, err);
    if (status) {
        tt_folder_close(*out);
        *out = NULL;
    }
    return status;
}
