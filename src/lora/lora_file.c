// SPDX-License-Identifier: MIT
#include "lora/lora_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "lora/lora_family.h"
#include "lora/lora_settings.h"

// What the file has for a module.
struct found {
    const struct tt_view *down, *up, *alpha;
    const char *folder; // as its names have it; NULL: they do not say
    bool original;
};

struct reading {
    const struct tt_lora_reader *reader;
    struct tt_lora_file *lora;
    struct found *found; // of each module
    struct tt_lora_settings *settings;
    struct tt_lora_family family;
    bool mixed, peft; // both names of the U-Net's blocks; names as peft's own
};

// ---- which tensor is whose ----

// The alias of a tensor that belongs to a plain LoRA; NULL: the model has no such module.
static enum tt_status resolve(struct reading *r, const struct tt_view *view,
                              const struct tt_lora_alias **alias, const char **folder,
                              enum tt_lora_role *role, struct tt_error *err) {
    char key[TT_LORA_KEY];
    const char *kind;
    size_t length;
    bool several = false;
    *alias = NULL;
    *folder = NULL;
    *role = tt_lora_role(view->name, &length, &kind);
    if (*role == TT_LORA_OTHER)
        return tt_fail(err, TT_BAD_INPUT, "%s: found %s ('%.200s'), expected LoRA: other adapters "
                       "are not supported", r->lora->path, kind, view->name);
    if (*role == TT_LORA_NONE || !tt_lora_key(view->name, length, key, folder)) return TT_OK;
    *alias = tt_lora_modules_find(r->reader->modules, key, *folder, &several);
    if (several)
        return tt_fail(err, TT_BAD_INPUT, "%s: %.200s: found a name that modules of several "
                       "networks have, expected 'text_encoder.' or 'text_encoder_2.' before it",
                       r->lora->path, view->name);
    return TT_OK;
}

static enum tt_status twice(const struct reading *r, const struct tt_view *a,
                            const struct tt_view *b, struct tt_error *err) {
    return tt_fail(err, TT_BAD_INPUT, "%s: found '%.200s' and '%.200s', expected one tensor of a "
                   "module", r->lora->path, a->name, b->name);
}

// Puts each tensor where it belongs, after all have been looked at once.
static enum tt_status place(struct reading *r, const struct tt_view *view, struct tt_error *err) {
    const struct tt_lora_alias *alias;
    const char *folder;
    enum tt_lora_role role;
    enum tt_status status = resolve(r, view, &alias, &folder, &role, err);
    if (status || !alias || (r->mixed && alias->original)) return status;
    struct found *f = &r->found[alias->module];
    const struct tt_view **at = role == TT_LORA_DOWN ? &f->down
                                : role == TT_LORA_UP ? &f->up : &f->alpha;
    if (*at) return twice(r, *at, view, err);
    *at = view;
    f->folder = folder;
    f->original = alias->original;
    return TT_OK;
}

static enum tt_status see(struct reading *r, const struct tt_view *view, bool names[2],
                          struct tt_error *err) {
    const struct tt_lora_alias *alias;
    const char *folder;
    enum tt_lora_role role;
    enum tt_status status = resolve(r, view, &alias, &folder, &role, err);
    if (status) return status;
    const struct tt_lora_module *module =
        alias ? &r->reader->modules->modules[alias->module] : NULL;
    tt_lora_family_see(&r->family, view, role, module ? module->folder : folder, module != NULL);
    if (module && !strcmp(module->folder, "unet")) names[alias->original] = true;
    if (strstr(view->name, ".lora_A.") && !strncmp(view->name, "base_model.model.", 17))
        r->peft = true;
    return TT_OK;
}

static void note_unmatched(const struct reading *r) {
    const struct tt_lora_family *f = &r->family;
    if (!f->unmatched) return;
    tt_note(r->reader->notes, "%s: found %zu tensor%s that %s has no module for, ignored: %s%s",
            r->lora->path, f->unmatched, f->unmatched > 1 ? "s" : "", r->reader->model, f->names,
            f->unmatched > TT_LORA_NAMED ? ", ..." : "");
}

static enum tt_status place_all(struct reading *r, struct tt_error *err) {
    const struct tt_safetensors *file = r->lora->file;
    bool names[2] = {false, false};
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < tt_safetensors_count(file); i++)
        status = see(r, tt_safetensors_at(file, i), names, err);
    if (!status)
        status = tt_lora_family_check(&r->family, r->lora->path, r->reader->modules,
                                      r->reader->model, err);
    r->mixed = names[0] && names[1];
    if (!status && r->mixed) // as diffusers does it
        tt_note(r->reader->notes, "%s: found modules under diffusers' names and under the original "
                "U-Net's, ignored: the latter", r->lora->path);
    for (size_t i = 0; !status && i < tt_safetensors_count(file); i++)
        status = place(r, tt_safetensors_at(file, i), err);
    if (!status) note_unmatched(r);
    return status;
}

// ---- whether it fits ----

static enum tt_status wrong_shape(const struct reading *r, const struct tt_lora_module *module,
                                  const struct tt_view *view, const char *expected,
                                  struct tt_error *err) {
    char found[96], weight[96];
    return tt_fail(err, TT_BAD_INPUT, "%s: %.200s: found shape %s, expected %s: %s of %s is %s",
                   r->lora->path, view->name, tt_shape_text(&view->shape, found, sizeof found),
                   expected, module->weight, module->folder,
                   tt_shape_text(&module->shape, weight, sizeof weight));
}

// Whether a is b but for sizes of 1 at its end: a linear layer may stand as a 1x1 convolution.
static bool same_size(const struct tt_shape *a, const struct tt_shape *b) {
    for (size_t i = 0; i < a->rank || i < b->rank; i++)
        if ((i < a->rank ? a->dim[i] : 1) != (i < b->rank ? b->dim[i] : 1)) return false;
    return true;
}

static enum tt_status check_pair(const struct reading *r, const struct tt_lora_module *module,
                                 const struct found *f, struct tt_error *err) {
    const struct tt_view *one = f->down ? f->down : f->up ? f->up : f->alpha;
    char expected[128], text[96];
    if (!f->down || !f->up)
        return tt_fail(err, TT_BAD_INPUT, "%s: found '%.200s' without its %s, expected both of a "
                       "pair", r->lora->path, one->name, !f->down ? "lora_A (or lora_down)"
                                                                  : "lora_B (or lora_up)");
    const struct tt_view *views[] = {f->down, f->up};
    for (size_t i = 0; i < 2; i++)
        if (views[i]->dtype != TT_F64 && views[i]->dtype != TT_F32 && views[i]->dtype != TT_F16 &&
            views[i]->dtype != TT_BF16)
            return tt_fail(err, TT_BAD_INPUT, "%s: %.200s: found dtype %s, expected F64, F32, F16 "
                           "or BF16", r->lora->path, views[i]->name,
                           tt_dtype_name(views[i]->dtype));
    size_t rank = f->down->shape.rank ? f->down->shape.dim[0] : 0;
    struct tt_shape down = module->shape, up = {2, {module->shape.dim[0], rank}};
    down.dim[0] = rank;
    if (!rank || !same_size(&f->down->shape, &down)) {
        int used = snprintf(expected, sizeof expected, "(R");
        for (size_t i = 1; i < down.rank; i++)
            used += snprintf(expected + used, sizeof expected - (size_t)used, ", %zu", down.dim[i]);
        snprintf(expected + used, sizeof expected - (size_t)used, ")");
        return wrong_shape(r, module, f->down, expected, err);
    }
    if (f->up->shape.rank >= 2 && f->up->shape.dim[1] != rank)
        return tt_fail(err, TT_BAD_INPUT, "%s: found rank %zu in '%.200s' and rank %zu in '%.200s',"
                       " expected the same", r->lora->path, rank, f->down->name,
                       f->up->shape.dim[1], f->up->name);
    if (!same_size(&f->up->shape, &up))
        return wrong_shape(r, module, f->up, tt_shape_text(&up, text, sizeof text), err);
    return TT_OK;
}

// Alpha: diffusers' or peft's settings, the file's own tensor, else the rank.
static enum tt_status take_alpha(const struct reading *r, const struct found *f,
                                 struct tt_lora_delta *delta, struct tt_error *err) {
    size_t length;
    const char *kind;
    bool root = false;
    tt_lora_role(f->down->name, &length, &kind);
    const char *bare = tt_lora_bare(f->down->name, &length);
    delta->alpha = (double)delta->rank;
    bool said = tt_lora_settings_alpha(r->settings, f->folder, bare, length, &delta->alpha, &root);
    delta->divisor = root ? sqrt((double)delta->rank) : (double)delta->rank;
    if (said || !f->alpha) return TT_OK;
    char shape[96];
    float value;
    if (tt_shape_count(&f->alpha->shape) != 1)
        return tt_fail(err, TT_BAD_INPUT, "%s: %.200s: found shape %s, expected one number",
                       r->lora->path, f->alpha->name,
                       tt_shape_text(&f->alpha->shape, shape, sizeof shape));
    tt_view_floats(f->alpha, 0, 1, &value);
    delta->alpha = (double)value;
    if (isfinite(value)) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "%s: %.200s: found %g, expected a finite number",
                   r->lora->path, f->alpha->name, delta->alpha);
}

static enum tt_status take_deltas(struct reading *r, struct tt_error *err) {
    const struct tt_lora_modules *m = r->reader->modules;
    struct tt_lora_file *lora = r->lora;
    enum tt_status status = TT_OK;
    lora->deltas = calloc(m->count + 1, sizeof *lora->deltas);
    if (!lora->deltas) return tt_fail(err, TT_SYSTEM, "%s: out of memory", lora->path);
    for (size_t i = 0; !status && i < m->count; i++) {
        const struct found *f = &r->found[i];
        if (!f->down && !f->up && !f->alpha) continue;
        struct tt_lora_delta *delta = &lora->deltas[lora->count];
        status = check_pair(r, &m->modules[i], f, err);
        if (status) return status;
        *delta = (struct tt_lora_delta){.module = i, .down = f->down, .up = f->up,
                                        .rank = f->down->shape.dim[0]};
        status = take_alpha(r, f, delta, err);
        lora->count++;
    }
    return status;
}

// ---- opening ----

static void make_digests(struct tt_lora_file *lora) {
    const unsigned char *data = lora->bytes.data;
    size_t header = 0;
    char both[2 * TT_DIGEST_SIZE];
    for (int i = 8; i-- > 0;) header = header << 8 | data[i]; // it has been checked
    tt_bytes_digest(data, header + 8, both);
    tt_bytes_digest(data + header + 8, lora->bytes.size - header - 8, lora->data_digest);
    memcpy(both + TT_DIGEST_SIZE - 1, lora->data_digest, TT_DIGEST_SIZE);
    tt_bytes_digest(both, strlen(both), lora->digest);
}

// Of bytes that the file holds already.
static enum tt_status read_file(struct reading *r, const struct tt_bytes *config,
                                struct tt_error *err) {
    struct tt_lora_file *lora = r->lora;
    enum tt_status status = tt_safetensors_open_memory(lora->path, lora->bytes.data,
                                                       lora->bytes.size, &lora->file, err);
    if (status) return status;
    const char *metadata = tt_safetensors_metadata(lora->file, "lora_adapter_metadata");
    status = tt_lora_settings_read(lora->path, metadata, config, &r->settings, err);
    if (!status) status = place_all(r, err);
    if (!status && r->peft && !metadata && !config)
        tt_note(r->reader->notes, "%s: found no adapter_config.json beside it: alpha is taken for "
                "the rank", lora->path);
    if (!status) status = take_deltas(r, err);
    lora->unmatched = r->family.unmatched;
    if (!status) make_digests(lora);
    return status;
}

static enum tt_status open_bytes(const struct tt_lora_reader *reader, const char *name,
                                 struct tt_bytes bytes, const struct tt_bytes *config,
                                 struct tt_lora_file **out, struct tt_error *err) {
    struct reading r = {.reader = reader, .lora = calloc(1, sizeof *r.lora)};
    enum tt_status status = TT_OK;
    *out = NULL;
    r.found = calloc(reader->modules->count + 1, sizeof *r.found);
    if (r.lora) r.lora->bytes = bytes;
    else tt_bytes_free(&bytes);
    if (r.lora) r.lora->path = strdup(name);
    if (!r.found || !r.lora || !r.lora->path)
        status = tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
    if (!status) status = read_file(&r, config, err);
    tt_lora_settings_free(r.settings);
    free(r.found);
    if (status) tt_lora_close(r.lora);
    else *out = r.lora;
    return status;
}

enum tt_status tt_lora_open_memory(const struct tt_lora_reader *reader, const char *name,
                                   const void *data, size_t size, const struct tt_bytes *config,
                                   struct tt_lora_file **out, struct tt_error *err) {
    return open_bytes(reader, name, (struct tt_bytes){.data = data, .size = size}, config, out,
                      err);
}

// peft writes adapter_model.safetensors and adapter_config.json into a folder.
static enum tt_status read_config(struct tt_files *files, const char *path, struct tt_bytes *config,
                                  struct tt_error *err) {
    static const char model[] = "adapter_model.safetensors", other[] = "adapter_config.json";
    size_t length = strlen(path), tail = strlen(model);
    if (!tt_text_ends(path, model) || (length > tail && path[length - tail - 1] != '/'))
        return TT_OK;
    char *name = malloc(length + sizeof other);
    if (!name) return tt_fail(err, TT_SYSTEM, "%s: out of memory", path);
    snprintf(name, length + sizeof other, "%.*s%s", (int)(length - tail), path, other);
    FILE *there = fopen(name, "re");
    enum tt_status status = there ? tt_file_read(files, name, config, err) : TT_OK;
    if (there) fclose(there);
    free(name);
    return status;
}

enum tt_status tt_lora_open(const struct tt_lora_reader *reader, struct tt_files *files,
                            const char *path, struct tt_lora_file **out, struct tt_error *err) {
    struct tt_bytes bytes, config = {0};
    *out = NULL;
    enum tt_status status = read_config(files, path, &config, err);
    if (!status) status = tt_file_map(files, path, &bytes, err);
    if (!status)
        status = open_bytes(reader, path, bytes, config.data ? &config : NULL, out, err);
    tt_bytes_free(&config);
    return status;
}

void tt_lora_close(struct tt_lora_file *lora) {
    if (!lora) return;
    free(lora->deltas);
    tt_safetensors_close(lora->file);
    tt_bytes_free(&lora->bytes);
    free(lora->path);
    free(lora);
}
