// SPDX-License-Identifier: MIT
#include "lora/lora_family.h"

#include <stdio.h>
#include <string.h>

// A place for each folder, and for names that say none; there are no more of them.
static void count(struct tt_lora_family *f, const char *name, const char *folder, bool matched) {
    for (size_t i = 0; i < TT_LORA_FOLDERS; i++) {
        struct tt_lora_seen *s = &f->seen[i];
        bool same = s->folder == folder || (s->folder && folder && !strcmp(s->folder, folder));
        if (s->tensors && !same) continue;
        if (!s->tensors) *s = (struct tt_lora_seen){.folder = folder, .first = name};
        s->tensors++;
        s->matched += matched;
        return;
    }
}

void tt_lora_family_see(struct tt_lora_family *f, const struct tt_view *view,
                        enum tt_lora_role role, const char *folder, bool matched) {
    static const char *const transformers[] = {"double_blocks", "single_blocks", "joint_blocks",
                                               "single_transformer_blocks", "lora_transformer_"};
    const char *name = view->name;
    if (role == TT_LORA_NONE && !f->first) f->first = name;
    if (role != TT_LORA_NONE) f->roles++;
    for (size_t i = 0; i < sizeof transformers / sizeof *transformers; i++)
        if (strstr(name, transformers[i])) f->transformer = true;
    if (!strncmp(name, "transformer.", 12)) f->transformer = true;
    const char *cross = strstr(name, "attn2");
    if (role == TT_LORA_DOWN && !f->context && cross && view->shape.rank >= 2 &&
        (strstr(cross, "to_k") || strstr(cross, "to_v"))) {
        f->context = view->shape.dim[1];
        f->cross = name;
    }
    count(f, name, folder, matched);
    if (matched) return;
    size_t used = strlen(f->names);
    if (f->unmatched++ < TT_LORA_NAMED)
        snprintf(f->names + used, sizeof f->names - used, "%s'%.128s'",
                 f->unmatched > 1 ? ", " : "", name);
}

// The models whose text embeddings have that width.
static const char *family(size_t width) {
    return width == 768    ? " (Stable Diffusion 1.x)"
           : width == 1024 ? " (Stable Diffusion 2.x)"
           : width == 2048 ? " (SDXL)"
           : width == 1280 ? " (SDXL's refiner)"
                           : "";
}

static bool has_folder(const struct tt_lora_modules *modules, const char *folder) {
    for (size_t i = 0; i < modules->count; i++)
        if (!strcmp(modules->modules[i].folder, folder)) return true;
    return false;
}

enum tt_status tt_lora_family_check(const struct tt_lora_family *f, const char *path,
                                    const struct tt_lora_modules *modules, const char *model,
                                    struct tt_error *err) {
    size_t matched = 0, context = tt_lora_modules_context(modules);
    char fits[128] = "";
    if (!f->roles)
        return tt_fail(err, TT_BAD_INPUT, "%s: found no tensor of a LoRA%s%.128s%s, expected names "
                       "that end with lora_A.weight, lora_down.weight or lora.down.weight", path,
                       f->first ? " but '" : "", f->first ? f->first : "", f->first ? "'" : "");
    if (context)
        snprintf(fits, sizeof fits, "; expected one for text embeddings of %zu values%s", context,
                 family(context));
    if (f->context && context && f->context != context)
        return tt_fail(err, TT_BAD_INPUT, "%s: %.128s: found a LoRA for text embeddings of %zu "
                       "values%s, expected %zu%s, as %s has them", path, f->cross, f->context,
                       family(f->context), context, family(context), model);
    for (size_t i = 0; i < TT_LORA_FOLDERS; i++) matched += f->seen[i].matched;
    for (size_t i = 0; i < TT_LORA_FOLDERS && f->seen[i].tensors; i++) {
        const struct tt_lora_seen *s = &f->seen[i];
        if (s->matched || (!s->folder && matched)) continue;
        if (s->folder && !has_folder(modules, s->folder))
            return tt_fail(err, TT_BAD_INPUT, "%s: found %zu tensors for %s ('%.128s', ...), which "
                           "%s does not have%s%s", path, s->tensors, s->folder, s->first, model,
                           !strcmp(s->folder, "text_encoder_2") ? ": a LoRA for SDXL" : "", fits);
        return tt_fail(err, TT_BAD_INPUT, "%s: found %zu tensors%s%s ('%.128s', ...), of none of "
                       "which %s has the module%s%s", path, s->tensors, s->folder ? " for " : "",
                       s->folder ? s->folder : "", s->first, model,
                       f->transformer ? ": a LoRA for a transformer (FLUX, SD 3)" : "", fits);
    }
    return TT_OK;
}
