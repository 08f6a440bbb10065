// SPDX-License-Identifier: MIT
#include "io/weights_file.h"

#include <stdio.h>
#include <string.h>

#include "io/weights.h"

// Where a part's weights may be: one file, or an index of shards, which has its variant in one of
// three places, as the libraries' versions wrote it. %s: the stem, and the variant with its dot.
static const char *const single = "%s%s.safetensors";
static const char *const indices[] = {
    "%s.safetensors.index%s.json", "%s.safetensors%s.index.json", "%s%s.safetensors.index.json",
};
enum { INDICES = sizeof indices / sizeof *indices };

bool tt_weights_of_text(const char *module) {
    return !strncmp(module, "text_encoder", strlen("text_encoder"));
}

// The stem that the part's library gives its files, and the other one, which is not looked for
// there, but read here where there is nothing else.
static const char *stem_of(const char *module, bool other) {
    static const char *const stems[] = {"diffusion_pytorch_model", "model"};
    return stems[tt_weights_of_text(module) ^ other];
}

// Whether folder/module holds the file that a pattern names; its path within the folder.
static bool try_pattern(const struct tt_folder *folder, const char *module, const char *pattern,
                        const char *stem, const char *variant, char *relative, size_t size) {
    char file[256], dotted[80] = "";
    if (*variant) snprintf(dotted, sizeof dotted, ".%s", variant);
    snprintf(file, sizeof file, pattern, stem, dotted);
    snprintf(relative, size, "%s/%s", module, file);
    return tt_folder_has(folder, relative);
}

// diffusers looks for an index before a single file, transformers after.
static bool find_variant(const struct tt_folder *folder, const char *module, const char *variant,
                         char *relative, size_t size) {
    bool single_first = tt_weights_of_text(module);
    for (int other = 0; other < 2; other++) {
        const char *stem = stem_of(module, other);
        if (single_first && try_pattern(folder, module, single, stem, variant, relative, size))
            return true;
        for (size_t i = 0; i < INDICES; i++)
            if (try_pattern(folder, module, indices[i], stem, variant, relative, size)) return true;
        if (!single_first && try_pattern(folder, module, single, stem, variant, relative, size))
            return true;
    }
    return false;
}

bool tt_weights_has_variant(const struct tt_folder *folder, const char *module,
                            const char *variant) {
    char relative[512];
    if (tt_folder_made_of(folder)) return !*variant && tt_folder_tensors(folder, module);
    return find_variant(folder, module, variant, relative, sizeof relative);
}

// The path of what is read: the variant that was asked for, else (a part may lack it, as in
// diffusers) the plain files; else float16, which holds the same numbers as those once did.
bool tt_weights_file_find(const struct tt_folder *folder, const char *module, char *relative,
                          size_t size) {
    const char *variant = tt_folder_variant(folder);
    return (variant && find_variant(folder, module, variant, relative, size)) ||
           find_variant(folder, module, "", relative, size) ||
           (!variant && find_variant(folder, module, "fp16", relative, size));
}

enum tt_status tt_weights_will_read(const struct tt_folder *folder, const char *module,
                                    struct tt_error *err) {
    char relative[512];
    if (tt_folder_made_of(folder)) return TT_OK; // which its file was when it was mapped
    if (!tt_weights_file_find(folder, module, relative, sizeof relative)) return TT_OK;
    return tt_folder_will_read(folder, relative, err);
}

bool tt_weights_present(const struct tt_folder *folder, const char *module) {
    char relative[512];
    if (tt_folder_made_of(folder)) return tt_folder_tensors(folder, module) != NULL;
    return tt_weights_file_find(folder, module, relative, sizeof relative);
}

// Whether a file's name is one that weights have, but not a numbered shard's. pickled: also those
// that are not read.
static bool is_weights(const char *name, bool pickled) {
    const char *of = strstr(name, "-of-");
    bool shard = of && of - name >= 6 && of[-6] == '-' && of[-1] >= '0' && of[-1] <= '9';
    bool read = strstr(name, ".safetensors") != NULL;
    bool pickle = strstr(name, ".bin") && strstr(name, "pytorch_model");
    return !shard && ((read && (!strncmp(name, "diffusion_pytorch_model.", 24) ||
                                !strncmp(name, "model.", 6))) || (pickled && pickle));
}

static bool is_file(const char *path, const char *name) {
    const char *slash = strrchr(path, '/');
    return !strcmp(slash ? slash + 1 : path, name);
}

// "a, b, ..." of the weights in folder/module but those that were opened.
static char *list_files(const struct tt_folder *folder, const char *module,
                        const struct tt_weights_opened *opened, char *text, size_t size) {
    enum { NAMED = 8 };
    struct tt_names names = {0};
    size_t used = 0, count = 0;
    *text = 0;
    if (tt_folder_list(folder, module, &names, NULL)) return text;
    for (size_t i = 0; i < names.count; i++) {
        bool left = is_weights(names.name[i], !opened);
        if (opened) left = left && !is_file(opened->name, names.name[i]);
        for (size_t k = 0; opened && left && k < opened->count; k++)
            left = !is_file(tt_tensor_file_name(opened->files[k]), names.name[i]);
        if (left && count++ < NAMED && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%.80s", count > 1 ? ", " : "",
                                     names.name[i]);
    }
    if (count > NAMED && used < size) snprintf(text + used, size - used, ", ...");
    tt_names_free(&names);
    return text;
}

// What to say when no weights are there: the names that were looked for, and what else there is.
enum tt_status tt_weights_file_missing(const struct tt_folder *folder, const char *module,
                                       struct tt_error *err) {
    char found[512];
    if (tt_folder_made_of(folder))
        return tt_fail(err, TT_BAD_INPUT, "%s: found no weights for %s/, expected a file that "
                       "holds them", tt_folder_name(folder), module);
    list_files(folder, module, NULL, found, sizeof found);
    return tt_fail(err, TT_BAD_INPUT, "%s/%s: found no weights%s%s, expected %s.safetensors or "
                   "%s.safetensors.index.json with shards; others by their variant (--variant "
                   "bf16); pickled files are not read", tt_folder_name(folder), module,
                   *found ? " but " : "", found, stem_of(module, false),
                   stem_of(module, false));
}

enum tt_status tt_weights_variant_missing(const struct tt_folder *folder, const char *module,
                                          struct tt_error *err) {
    char found[512];
    list_files(folder, module, NULL, found, sizeof found);
    return tt_fail(err, TT_BAD_INPUT, "%s: variant: found no part with '%s'; %s has %s",
                   tt_folder_name(folder), tt_folder_variant(folder), module,
                   *found ? found : "no weights");
}

// A variant that is there as a pickle alone is what diffusers would read.
enum tt_status tt_weights_file_check(const struct tt_folder *folder, const char *module,
                                     struct tt_error *err) {
    static const char *const pickles[] = {"%s%s.bin", "%s.bin.index%s.json"};
    const char *variant = tt_folder_variant(folder);
    const char *stem =
        tt_weights_of_text(module) ? "pytorch_model" : "diffusion_pytorch_model";
    char relative[512];
    if (!variant || tt_weights_has_variant(folder, module, variant)) return TT_OK;
    for (size_t i = 0; i < sizeof pickles / sizeof *pickles; i++)
        if (try_pattern(folder, module, pickles[i], stem, variant, relative, sizeof relative))
            return tt_fail(err, TT_BAD_INPUT, "%s/%s: variant '%s': found it pickled, expected "
                           "safetensors: pickled files are not read", tt_folder_name(folder),
                           relative, variant);
    return TT_OK;
}

// What was decided, where there was a choice.
void tt_weights_file_note(const struct tt_folder *folder, const char *module, const char *file,
                          const struct tt_weights_opened *opened) {
    const char *variant = tt_folder_variant(folder);
    const struct tt_notes *notes = tt_folder_notes(folder);
    char others[512], relative[512];
    list_files(folder, module, opened, others, sizeof others);
    if (variant && !tt_weights_has_variant(folder, module, variant))
        tt_note(notes, "%s: read, for want of the variant '%s'", opened->name, variant);
    else if (!variant && !find_variant(folder, module, "", relative, sizeof relative))
        tt_note(notes, "%s: read, for want of weights without a variant", opened->name);
    if (strncmp(file, stem_of(module, false), strlen(stem_of(module, false))))
        tt_note(notes, "%s: read, where diffusers looks for %s.safetensors", opened->name,
                stem_of(module, false));
    if (*others) tt_note(notes, "%s: read, but not %s", opened->name, others);
}
