// SPDX-License-Identifier: MIT
#include "io/weights.h"

#include "base/text.h"
#include "io/json.h"
#include "io/tensor_file.h"
#include "tintype.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct entry {
    const struct tt_view *view;
    size_t shard;
    bool asked;
};

struct tt_weights {
    char name[512], module[32];
    const struct tt_notes *notes;
    struct tt_tensor_file **shards;
    struct tt_bytes *bytes; // of the shards
    size_t shard_count;
    struct entry *entries; // by name
    size_t count;
};

// Where a part's weights may be: one file, or an index of shards, which has its variant in one of
// three places, as the libraries' versions wrote it. %s: the stem, and the variant with its dot.
static const char *const single = "%s%s.safetensors";
static const char *const indices[] = {
    "%s.safetensors.index%s.json", "%s.safetensors%s.index.json", "%s%s.safetensors.index.json",
};
enum { INDICES = sizeof indices / sizeof *indices };

// What no network here asks for and every loader leaves out in silence.
static const struct {
    const char *module, *name; // the name, or what follows its last dots
} idle_tensors[] = {
    // 0, 1, 2, ..., saved until transformers 4.31: PreTrainedModel's own pattern.
    {"text_encoder", "position_ids"},
    // The head and the temperature of the CLIP model around the text encoder: diffusers drops them
    // when it converts (SD_2_TEXT_ENCODER_KEYS_TO_IGNORE; the other is in no table of its).
    {"text_encoder", "text_projection.weight"},
    {"text_encoder", "logit_scale"},
};

// The stem that the part's library gives its files, and the other one, which is not looked for
// there, but read here where there is nothing else.
static const char *stem_of(const char *module, bool other) {
    static const char *const stems[] = {"diffusion_pytorch_model", "model"};
    return stems[!strcmp(module, "text_encoder") ^ other];
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct entry *)a)->view->name, ((const struct entry *)b)->view->name);
}

static struct entry *find_entry(const struct tt_weights *weights, const char *name) {
    struct tt_view view = {.name = name};
    struct entry key = {.view = &view};
    return bsearch(&key, weights->entries, weights->count, sizeof key, by_name);
}

// Opens folder/module/file as one more shard; the arrays have room.
static enum tt_status open_shard(struct tt_weights *weights, const struct tt_folder *folder,
                                 const char *module, const char *file, struct tt_error *err) {
    char relative[512], where[1024];
    snprintf(relative, sizeof relative, "%s/%s", module, file);
    size_t i = weights->shard_count;
    enum tt_status status = tt_folder_map(folder, relative, &weights->bytes[i], err);
    if (status) return status;
    tt_folder_where(folder, relative, where, sizeof where);
    status = tt_tensor_file_open_memory(where, weights->bytes[i].data, weights->bytes[i].size,
                                        &weights->shards[i], err);
    if (status)
        tt_bytes_free(&weights->bytes[i]);
    else
        weights->shard_count++;
    return status;
}

// Collects the tensors of all shards, sorted by name; a name in two shards is an error.
static enum tt_status collect(struct tt_weights *weights, struct tt_error *err) {
    size_t count = 0;
    for (size_t s = 0; s < weights->shard_count; s++)
        count += tt_tensor_file_count(weights->shards[s]);
    weights->entries = calloc(count + 1, sizeof *weights->entries);
    if (!weights->entries)
        return tt_fail(err, TT_SYSTEM, "%s: out of memory for %zu tensors", weights->name, count);
    for (size_t s = 0; s < weights->shard_count; s++)
        for (size_t i = 0; i < tt_tensor_file_count(weights->shards[s]); i++)
            weights->entries[weights->count++] =
                (struct entry){tt_tensor_file_at(weights->shards[s], i), s, false};
    qsort(weights->entries, count, sizeof *weights->entries, by_name);
    for (size_t i = 1; i < count; i++) {
        const struct entry *a = &weights->entries[i - 1], *b = &weights->entries[i];
        if (!by_name(a, b))
            return tt_fail(err, TT_BAD_INPUT, "%s: tensor %s: found in %s and in %s, expected in "
                           "one shard", weights->name, a->view->name,
                           tt_tensor_file_name(weights->shards[a->shard]),
                           tt_tensor_file_name(weights->shards[b->shard]));
    }
    return TT_OK;
}

// Opens each file of the map once; shard_of, as long as the map, says which one each tensor is in.
static enum tt_status open_mapped(struct tt_weights *weights, const struct tt_folder *folder,
                                  const char *module, const json_t *map, size_t *shard_of,
                                  struct tt_error *err) {
    char text[80];
    const char *tensor;
    json_t *value, *numbers = json_object(); // file name -> shard
    enum tt_status status = TT_OK;
    size_t i = 0;
    json_object_foreach((json_t *)map, tensor, value) {
        const char *file = json_string_value(value);
        if (!file || strchr(file, '/')) {
            status = tt_fail(err, TT_BAD_INPUT, "%s: weight_map.%s: found %s, expected the name of "
                             "a file beside the index", weights->name, tensor,
                             tt_json_text(value, text, sizeof text));
            break;
        }
        const json_t *number = json_object_get(numbers, file);
        shard_of[i++] = number ? (size_t)json_integer_value(number) : weights->shard_count;
        if (number) continue;
        if (json_object_set_new(numbers, file, json_integer((json_int_t)weights->shard_count))) {
            status = tt_fail(err, TT_SYSTEM, "%s: out of memory", weights->name);
            break;
        }
        status = open_shard(weights, folder, module, file, err);
        if (status) {
            tt_fail_prefix(err, "%s: weight_map.%s", weights->name, tensor);
            break;
        }
    }
    json_decref(numbers);
    return status;
}

// What the index names must be where it says.
static enum tt_status check_map(struct tt_weights *weights, const json_t *map,
                                const size_t *shard_of, struct tt_error *err) {
    const char *tensor;
    json_t *value;
    size_t i = 0;
    json_object_foreach((json_t *)map, tensor, value) {
        const struct entry *entry = find_entry(weights, tensor);
        if (!entry || entry->shard != shard_of[i++])
            return tt_fail(err, TT_BAD_INPUT, "%s: weight_map.%s: found no such tensor in %s",
                           weights->name, tensor, json_string_value(value));
    }
    for (i = 0; i < weights->count; i++) { // diffusers reads whole shards
        const struct entry *entry = &weights->entries[i];
        if (!json_object_get(map, entry->view->name))
            tt_note(weights->notes, "%s: weight_map: found no '%.128s', which is in %s: read all "
                    "the same", weights->name, entry->view->name,
                    tt_tensor_file_name(weights->shards[entry->shard]));
    }
    return TT_OK;
}

static enum tt_status open_index(struct tt_weights *weights, const struct tt_folder *folder,
                                 const char *module, const char *relative, struct tt_error *err) {
    struct tt_bytes bytes;
    enum tt_status status = tt_folder_read(folder, relative, &bytes, err);
    if (status) return status;
    json_t *root = NULL;
    size_t *shard_of = NULL;
    char text[80];
    status = tt_json_parse(weights->name, bytes.data, bytes.size, &root, err);
    tt_bytes_free(&bytes);
    if (status) return status;
    const json_t *map = json_object_get(root, "weight_map");
    size_t count = json_object_size(map);
    if (!count) {
        status = tt_fail(err, TT_BAD_INPUT, "%s: weight_map: found %s, expected an object: tensor "
                         "-> file", weights->name, tt_json_text(map, text, sizeof text));
        goto done;
    }
    shard_of = calloc(count, sizeof *shard_of);
    weights->shards = calloc(count, sizeof *weights->shards);
    weights->bytes = calloc(count, sizeof *weights->bytes);
    if (!shard_of || !weights->shards || !weights->bytes) {
        status = tt_fail(err, TT_SYSTEM, "%s: out of memory", weights->name);
        goto done;
    }
    status = open_mapped(weights, folder, module, map, shard_of, err);
    if (!status) status = collect(weights, err);
    if (!status) status = check_map(weights, map, shard_of, err);
done:
    free(shard_of);
    json_decref(root);
    return status;
}

static enum tt_status open_single(struct tt_weights *weights, const struct tt_folder *folder,
                                  const char *module, const char *file, struct tt_error *err) {
    weights->shards = calloc(1, sizeof *weights->shards);
    weights->bytes = calloc(1, sizeof *weights->bytes);
    if (!weights->shards || !weights->bytes)
        return tt_fail(err, TT_SYSTEM, "%s: out of memory", weights->name);
    enum tt_status status = open_shard(weights, folder, module, file, err);
    return status ? status : collect(weights, err);
}

// ---- which file ----

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
    bool single_first = !strcmp(module, "text_encoder");
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
    return find_variant(folder, module, variant, relative, sizeof relative);
}

// The path of what is read: the variant that was asked for, else (a part may lack it, as in
// diffusers) the plain files; else float16, which holds the same numbers as those once did.
static bool find_file(const struct tt_folder *folder, const char *module, char *relative,
                      size_t size) {
    const char *variant = tt_folder_variant(folder);
    return (variant && find_variant(folder, module, variant, relative, size)) ||
           find_variant(folder, module, "", relative, size) ||
           (!variant && find_variant(folder, module, "fp16", relative, size));
}

enum tt_status tt_weights_will_read(const struct tt_folder *folder, const char *module,
                                    struct tt_error *err) {
    char relative[512];
    if (!find_file(folder, module, relative, sizeof relative)) return TT_OK;
    return tt_folder_will_read(folder, relative, err);
}

bool tt_weights_present(const struct tt_folder *folder, const char *module) {
    char relative[512];
    return find_file(folder, module, relative, sizeof relative);
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
                        const struct tt_weights *opened, char *text, size_t size) {
    enum { NAMED = 8 };
    struct tt_names names = {0};
    size_t used = 0, count = 0;
    *text = 0;
    if (tt_folder_list(folder, module, &names, NULL)) return text;
    for (size_t i = 0; i < names.count; i++) {
        bool left = is_weights(names.name[i], !opened);
        if (opened) left = left && !is_file(opened->name, names.name[i]);
        for (size_t k = 0; opened && left && k < opened->shard_count; k++)
            left = !is_file(tt_tensor_file_name(opened->shards[k]), names.name[i]);
        if (left && count++ < NAMED && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%.80s", count > 1 ? ", " : "",
                                     names.name[i]);
    }
    if (count > NAMED && used < size) snprintf(text + used, size - used, ", ...");
    tt_names_free(&names);
    return text;
}

// What to say when no weights are there: the names that were looked for, and what else there is.
static enum tt_status fail_missing(const struct tt_folder *folder, const char *module,
                                   struct tt_error *err) {
    char found[512];
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
static enum tt_status check_pickled(const struct tt_folder *folder, const char *module,
                                    struct tt_error *err) {
    static const char *const pickles[] = {"%s%s.bin", "%s.bin.index%s.json"};
    const char *variant = tt_folder_variant(folder);
    const char *stem = strcmp(module, "text_encoder") ? "diffusion_pytorch_model" : "pytorch_model";
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
static void note_choice(const struct tt_folder *folder, const struct tt_weights *weights,
                        const char *file) {
    const char *variant = tt_folder_variant(folder), *module = weights->module;
    char others[512], relative[512];
    list_files(folder, module, weights, others, sizeof others);
    if (variant && !tt_weights_has_variant(folder, module, variant))
        tt_note(weights->notes, "%s: read, for want of the variant '%s'", weights->name, variant);
    else if (!variant && !find_variant(folder, module, "", relative, sizeof relative))
        tt_note(weights->notes, "%s: read, for want of weights without a variant", weights->name);
    if (strncmp(file, stem_of(module, false), strlen(stem_of(module, false))))
        tt_note(weights->notes, "%s: read, where diffusers looks for %s.safetensors", weights->name,
                stem_of(module, false));
    if (*others) tt_note(weights->notes, "%s: read, but not %s", weights->name, others);
}

enum tt_status tt_weights_open(const struct tt_folder *folder, const char *module,
                               struct tt_weights **out, struct tt_error *err) {
    *out = NULL;
    char relative[512];
    enum tt_status status = check_pickled(folder, module, err);
    if (status) return status;
    if (!find_file(folder, module, relative, sizeof relative))
        return fail_missing(folder, module, err);
    const char *file = relative + strlen(module) + 1;
    struct tt_weights *weights = calloc(1, sizeof *weights);
    if (!weights) return tt_fail(err, TT_SYSTEM, "%s: out of memory", relative);
    weights->notes = tt_folder_notes(folder);
    snprintf(weights->module, sizeof weights->module, "%s", module);
    tt_folder_where(folder, relative, weights->name, sizeof weights->name);
    status = strstr(file, ".json") ? open_index(weights, folder, module, relative, err)
                                   : open_single(weights, folder, module, file, err);
    if (!status) note_choice(folder, weights, file);
    if (status)
        tt_weights_close(weights);
    else
        *out = weights;
    return status;
}

void tt_weights_close(struct tt_weights *weights) {
    if (!weights) return;
    free(weights->entries);
    for (size_t i = 0; i < weights->shard_count; i++) {
        tt_tensor_file_close(weights->shards[i]);
        tt_bytes_free(&weights->bytes[i]);
    }
    free(weights->shards);
    free(weights->bytes);
    free(weights);
}

// name with its first `from` replaced by `to` into text; false when it is not in there.
static bool replace(const char *name, const char *from, const char *to, char *text, size_t size) {
    const char *at = strstr(name, from);
    if (!at) return false;
    int used = snprintf(text, size, "%.*s%s%s", (int)(at - name), name, to, at + strlen(from));
    return used >= 0 && (size_t)used < size;
}

// Under its name, or what other versions of the libraries call it.
static struct entry *find_renamed(const struct tt_weights *weights, const char *name) {
    static const char *const renamed[][2] = {
        {".to_q.", ".query."},
        {".to_k.", ".key."},
        {".to_v.", ".value."},
        {".to_out.0.", ".proj_attn."},
    };
    static const char prefix[] = "text_model.";
    struct entry *entry = find_entry(weights, name);
    char other[512];
    if (!entry && !strncmp(name, prefix, sizeof prefix - 1))
        entry = find_entry(weights, name + sizeof prefix - 1);
    if (!entry && (size_t)snprintf(other, sizeof other, "%s%s", prefix, name) < sizeof other)
        entry = find_entry(weights, other);
    for (size_t i = 0; !entry && i < sizeof renamed / sizeof *renamed; i++)
        if (replace(name, renamed[i][0], renamed[i][1], other, sizeof other))
            entry = find_entry(weights, other);
    return entry;
}

const struct tt_view *tt_weights_find(void *weights, const char *name) {
    const struct entry *entry = find_renamed(weights, name);
    return entry ? entry->view : NULL;
}

const struct tt_view *tt_weights_expect(struct tt_weights *weights, const char *name) {
    struct entry *entry = find_renamed(weights, name);
    if (entry) entry->asked = true;
    return entry ? entry->view : NULL;
}

struct tt_source tt_weights_source(struct tt_weights *weights) {
    return (struct tt_source){.context = weights, .name = weights->name, .find = tt_weights_find,
                              .release = tt_weights_release};
}

enum tt_status tt_weights_check_whole(const struct tt_weights *weights, struct tt_error *err) {
    for (size_t i = 0; i < weights->shard_count; i++)
        if (!tt_bytes_are_whole(&weights->bytes[i]))
            return tt_fail(err, TT_SYSTEM, "%s: the file was cut short while it was used",
                           tt_tensor_file_name(weights->shards[i]));
    return TT_OK;
}

void tt_weights_release(void *context, const struct tt_view *view) {
    const struct tt_weights *weights = context;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)view->data;
    uintptr_t first = (begin + page - 1) / page * page, end = (begin + view->bytes) / page * page;
    if (view->bytes <= (size_t)1 << 16 || first >= end) return; // not worth a call
    for (size_t i = 0; i < weights->shard_count; i++) {
        const struct tt_bytes *bytes = &weights->bytes[i];
        if (bytes->kind == TT_BYTES_MAPPED && begin - (uintptr_t)bytes->data < bytes->size)
            madvise((void *)first, end - first, MADV_DONTNEED);
    }
}

size_t tt_weights_count(const struct tt_weights *weights) {
    return weights->count;
}

const struct tt_view *tt_weights_at(const struct tt_weights *weights, size_t index) {
    return index < weights->count ? weights->entries[index].view : NULL;
}

static bool ends_with_name(const char *text, const char *name) {
    size_t length = strlen(text), tail = strlen(name);
    return tt_text_ends(text, name) && (length == tail || text[length - tail - 1] == '.');
}

static bool is_idle(const struct tt_weights *weights, const char *name) {
    for (size_t i = 0; i < sizeof idle_tensors / sizeof *idle_tensors; i++)
        if (!strcmp(weights->module, idle_tensors[i].module) &&
            ends_with_name(name, idle_tensors[i].name))
            return true;
    return false;
}

size_t tt_weights_note_unused(const struct tt_weights *weights) {
    enum { NAMED = 3 };
    char names[512] = "";
    size_t unused = 0, used = 0;
    for (size_t i = 0; i < weights->count; i++) {
        const char *name = weights->entries[i].view->name;
        if (weights->entries[i].asked || is_idle(weights, name)) continue;
        if (unused++ < NAMED && used < sizeof names)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s'%.128s'",
                                     unused > 1 ? ", " : "", name);
    }
    if (unused)
        tt_note(weights->notes, "%s: found %zu tensor%s that %s/config.json has no place for, "
                "ignored: %s%s", weights->name, unused, unused > 1 ? "s" : "", weights->module,
                names, unused > NAMED ? ", ..." : "");
    return unused;
}

const char *tt_weights_name(const struct tt_weights *weights) {
    return weights->name;
}
