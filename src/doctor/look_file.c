// SPDX-License-Identifier: MIT
// A look at one file.
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/quant.h"
#include "base/text.h"
#include "doctor/doctor.h"

// ---- files of tensors ----

static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void tell_conditioning(struct tt_examination *x, const struct tt_doctor_file *file) {
    static const char *const names[] = {"controlnet_cond_embedding.conv_in.weight",
                                        "control_model.input_hint_block.0.weight",
                                        "input_hint_block.0.weight"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const struct tt_doctor_tensor *t = tt_doctor_named(file, names[i]);
        if (t && t->view.shape.rank >= 2)
            tt_doctor_number(x, "", "conditioning_channels", (double)t->view.shape.dim[1]);
    }
}

// Marks of the prediction that a file carries.
static void tell_prediction(struct tt_examination *x, const struct tt_doctor_file *file) {
    const char *said = tt_doctor_metadata(file, "modelspec.prediction_type");
    if (said) tt_doctor_fact(x, "", "prediction_type", said);
    else if (tt_doctor_named(file, "v_pred"))
        tt_doctor_fact(x, "", "prediction_type", "v_prediction");
    if (tt_doctor_named(file, "ztsnr")) tt_doctor_fact(x, "", "zero_terminal_snr", "true");
}

// Tensors that only a quantised file has, by how their names end.
static const struct {
    const char *end, *is;
} packings[] = {
    {".quant_state.bitsandbytes__nf4", "bitsandbytes NF4"},
    {".quant_state.bitsandbytes__fp4", "bitsandbytes FP4"},
    {".SCB", "bitsandbytes INT8"},
    {".qweight", "GPTQ, AWQ or SVDQuant (nunchaku)"},
    {".scale_weight", "scaled FP8"},
    {"scaled_fp8", "scaled FP8"},
};

static void tell_packing(struct tt_examination *x, const struct tt_doctor_file *file) {
    for (size_t k = 0; k < sizeof packings / sizeof *packings; k++)
        for (size_t i = 0; i < file->count; i++) {
            if (!tt_text_ends(file->tensors[i].view.name, packings[k].end)) continue;
            tt_doctor_find(x, TT_CODE_UNKNOWN_QUANT, file->path, file->tensors[i].view.name,
                           packings[k].is, "F16, BF16, F32, or GGUF", NULL);
            return;
        }
}

static void tell_blocks(struct tt_examination *x, const struct tt_doctor_file *file) {
    size_t count = 0, first = 0;
    for (size_t i = 0; i < file->count; i++)
        if (tt_is_quantised(file->tensors[i].view.dtype) && !count++) first = i;
    if (count)
        tt_doctor_find(x, TT_CODE_QUANTISED, file->path, NULL,
                       tt_doctor_text(x, "%zu of %zu tensors, as %s", count, file->count,
                                      file->tensors[first].dtype), NULL, NULL);
}

// Numbers of kinds that are not read here.
static void tell_unread(struct tt_examination *x, const struct tt_doctor_file *file) {
    size_t unread = 0;
    const struct tt_doctor_tensor *first = NULL;
    for (size_t i = 0; i < file->count; i++)
        if (!file->tensors[i].known && !unread++) first = &file->tensors[i];
    if (unread)
        tt_doctor_find(x, TT_CODE_UNKNOWN_QUANT, file->path, first->view.name,
                       tt_doctor_text(x, "%zu tensors of %s and the like", unread, first->dtype),
                       "F16, BF16 or F32", NULL);
}

static void tell_parts(struct tt_examination *x, const struct tt_doctor_file *file) {
    static const char *const parts[][2] = {
        {"model.diffusion_model.", "unet"}, {"first_stage_model.", "vae"}, {"vae.", "vae"},
        {"cond_stage_model.", "text_encoder"}, {"conditioner.embedders.0.", "text_encoder"},
        {"conditioner.embedders.1.", "text_encoder_2"}, {"model_ema.", "ema"},
        {"text_encoders.", "text_encoders"}, {"control_model.", "controlnet"},
        {"ip_adapter.", "attention"}, {"image_proj.", "image_projection"},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (tt_doctor_begins(file, parts[i][0])) tt_doctor_listed(x, "", "holds", parts[i][1]);
}

void tt_doctor_tell_file(struct tt_examination *x, const struct tt_doctor_file *file) {
    struct tt_recognised r = tt_doctor_recognise(file);
    bool shard = strstr(name_of(file->path), "-of-") != NULL;
    if (shard && r.kind != TT_KIND_LORA) r.kind = TT_KIND_SHARD;
    tt_doctor_is(x, r.kind);
    if (r.kind == TT_KIND_LORA) tt_doctor_lora(x, file);
    else if (r.kind == TT_KIND_EMBEDDING) tt_doctor_embedding(x, file);
    else tt_doctor_fact(x, "", "family", r.family ? r.family : "");
    if (r.note) tt_doctor_fact(x, "", "variant", r.note);
    if (file->gguf) {
        const char *architecture = tt_doctor_metadata(file, "general.architecture");
        tt_doctor_fact(x, "", "architecture", architecture ? architecture : "");
    }
    tell_conditioning(x, file);
    tell_prediction(x, file);
    tell_parts(x, file);
    tt_doctor_describe(x, "", file->tensors, file->count);
    tell_unread(x, file);
    tell_packing(x, file);
    tell_blocks(x, file);
    const char *needs = r.kind == TT_KIND_FOREIGN_FILE && r.family ? tt_doctor_needs(r.family)
                                                                   : NULL;
    if (r.kind == TT_KIND_FOREIGN_FILE)
        tt_doctor_find(x, TT_CODE_FOREIGN_FAMILY, file->path, NULL, r.family,
                       "Stable Diffusion",
                       needs ? tt_doctor_text(x, "not supported: it would need %s", needs) : NULL);
    if (r.kind == TT_KIND_TENSORS && !shard)
        tt_doctor_find(x, TT_CODE_UNKNOWN_KIND, file->path,
                       file->count ? file->tensors[0].view.name : NULL,
                       tt_doctor_text(x, "%zu tensors", file->count), "a network's names", NULL);
    const char *end = file->gguf ? ".gguf" : ".safetensors";
    if (!tt_doctor_ends(file->path, end) && !tt_doctor_half_name(file->path) &&
        strchr(name_of(file->path), '.'))
        tt_doctor_find(x, TT_CODE_WRONG_NAME, file->path, NULL,
                       file->gguf ? "GGUF" : "safetensors",
                       tt_doctor_text(x, "a name that ends in %s", end), NULL);
}

// Mapped pages that have been read go.
static void let_go(void *context, const struct tt_view *view) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)view->data;
    uintptr_t first = (begin + page - 1) / page * page, end = (begin + view->bytes) / page * page;
    (void)context;
    if (first < end) madvise((void *)first, end - first, MADV_DONTNEED);
}

enum tt_status tt_doctor_scan_file(struct tt_examination *x, const struct tt_doctor_file *file,
                                   struct tt_error *err) {
    const struct tt_source source = {.release = let_go};
    const struct tt_doctor_scan scan = {
        file->path, file->tensors, file->count,
        file->bytes.kind == TT_BYTES_MAPPED ? &source : NULL};
    if (x->settings.quick) return TT_OK;
    x->all += tt_doctor_scan_bytes(file->tensors, file->count);
    return tt_doctor_scan(x, &scan, err);
}

// Whether it can be opened, as a model or as a part of one.
static bool is_network(enum tt_doctor_kind kind) {
    return kind == TT_KIND_CHECKPOINT || kind == TT_KIND_UNET || kind == TT_KIND_VAE ||
           kind == TT_KIND_TAESD || kind == TT_KIND_TEXT_ENCODER;
}

static enum tt_status look_at_tensors(struct tt_examination *x, const char *path, bool gguf,
                                      struct tt_bytes *bytes, struct tt_error *err) {
    struct tt_doctor_file file;
    bool mapped = bytes->kind == TT_BYTES_MAPPED;
    bool good = gguf ? tt_doctor_gguf_read(x, path, *bytes, &file)
                     : tt_doctor_file_read(x, path, *bytes, &file);
    *bytes = (struct tt_bytes){0}; // the file's now
    enum tt_status status = TT_OK;
    if (good) tt_doctor_tell_file(x, &file);
    if (good && mapped && is_network(x->kind) && !tt_doctor_has_errors(x))
        status = tt_doctor_model(x, path, NULL, err);
    if (good && !status) status = tt_doctor_scan_file(x, &file, err);
    if (good && !status) tt_doctor_use(x, path);
    tt_doctor_file_free(&file);
    return status;
}

// ---- pictures ----

// The comment of a JPEG, where tintype keeps settings; NULL: none.
static const char *jpeg_comment(struct tt_examination *x, const struct tt_bytes *bytes) {
    size_t at = 2;
    while (at + 4 <= bytes->size && bytes->data[at] == 0xff) {
        size_t length = bytes->data[at + 2] * 256u + bytes->data[at + 3];
        unsigned char mark = bytes->data[at + 1];
        if (mark == 0xda || length < 2 || length > bytes->size - at - 2) return NULL;
        if (mark == 0xfe)
            return tt_doctor_text(x, "%.*s", (int)(length - 2),
                                  (const char *)bytes->data + at + 4);
        at += 2 + length;
    }
    return NULL;
}

static void tell_settings(struct tt_examination *x, const char *path,
                          const struct tt_bytes *bytes) {
    char *text = NULL;
    bool png = bytes->data[0] == 0x89;
    if (png) tt_image_read_settings_memory(path, bytes->data, bytes->size, &text, NULL);
    const char *settings = png ? text : jpeg_comment(x, bytes);
    bool steps = settings && strstr(settings, "Steps: ");
    if (steps) tt_doctor_fact(x, "", "settings_of", strstr(settings, "tintype") ? "tintype"
                                                                          : "a web interface");
    if (settings) tt_doctor_fact(x, "", "settings", settings);
    else tt_doctor_fact(x, "", "settings_of", "nobody");
    free(text);
}

static void look_at_picture(struct tt_examination *x, const char *path,
                            const struct tt_bytes *bytes) {
    struct tt_image image = {0};
    struct tt_error why = {TT_OK, ""};
    unsigned char first = bytes->data[0];
    tt_doctor_is(x, TT_KIND_PICTURE);
    tt_doctor_fact(x, "", "format", first == 0x89 ? "PNG" : first == 0xff ? "JPEG" : "WebP");
    tell_settings(x, path, bytes);
    if (x->settings.quick) return;
    enum tt_status status = tt_image_read_memory(path, bytes->data, bytes->size, &image, &why);
    if (status == TT_SYSTEM) x->no_memory = true;
    if (status) tt_doctor_find(x, TT_CODE_BROKEN_PICTURE, path, NULL, why.message, NULL, NULL);
    if (status) return;
    tt_doctor_number(x, "", "width", (double)image.width);
    tt_doctor_number(x, "", "height", (double)image.height);
    tt_image_free(&image);
}

// ---- configurations ----

static void look_at_config(struct tt_examination *x, const char *path,
                           const struct tt_bytes *bytes) {
    json_t *root = tt_doctor_json_of(x, path, bytes);
    const char *class = json_string_value(json_object_get(root, "_class_name"));
    if (!class)
        class = json_string_value(json_array_get(json_object_get(root, "architectures"), 0));
    if (root) {
        tt_doctor_is(x, TT_KIND_CONFIG);
        tt_doctor_fact(x, "", "class", class ? class : "");
        tt_doctor_find(x, TT_CODE_TEXT_FILE, path, NULL,
                       tt_doctor_text(x, "a configuration%s%.80s", class ? " of " : "",
                                      class ? class : ""), "a model",
                       "give the folder that it lies in");
    }
    json_decref(root);
}

enum tt_status tt_doctor_bytes(struct tt_examination *x, const char *path, struct tt_bytes bytes,
                               struct tt_error *err) {
    enum tt_status status = TT_OK;
    switch (tt_doctor_sign(x, path, &bytes)) {
    case TT_SIGN_SAFETENSORS: status = look_at_tensors(x, path, false, &bytes, err); break;
    case TT_SIGN_GGUF: status = look_at_tensors(x, path, true, &bytes, err); break;
    case TT_SIGN_PICTURE: look_at_picture(x, path, &bytes); break;
    case TT_SIGN_JSON: look_at_config(x, path, &bytes); break;
    case TT_SIGN_BAD: break;
    }
    tt_bytes_free(&bytes);
    return status;
}

enum tt_status tt_doctor_file(struct tt_examination *x, const char *path, struct tt_error *err) {
    struct tt_bytes bytes;
    enum tt_status status = tt_file_map(x->engine->files, path, &bytes, err);
    return status ? status : tt_doctor_bytes(x, path, bytes, err);
}
