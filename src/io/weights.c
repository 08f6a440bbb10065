// SPDX-License-Identifier: MIT
#include "io/weights.h"
#include "io/weights_file.h"

#include "base/text.h"
#include "io/json.h"
#include "io/tensor_file.h"
#include "tintype.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
    bool borrowed;         // shards and their bytes are the folder's
    struct entry *entries; // by name
    size_t count;
};

// What of a text encoder no network here asks for and every loader leaves out in silence: names, or
// what follows their last dots.
static const char *const idle_tensors[] = {
    // 0, 1, 2, ..., saved until transformers 4.31: PreTrainedModel's own pattern.
    "position_ids",
    // The head and the temperature of the CLIP model around the text encoder: diffusers drops them
    // when it converts (SD_2_TEXT_ENCODER_KEYS_TO_IGNORE; the other is in no table of its).
    "text_projection.weight",
    "logit_scale",
};

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

// Sorts the tensors by name; a name in two shards is an error.
static enum tt_status sort_entries(struct tt_weights *weights, struct tt_error *err) {
    qsort(weights->entries, weights->count, sizeof *weights->entries, by_name);
    for (size_t i = 1; i < weights->count; i++) {
        const struct entry *a = &weights->entries[i - 1], *b = &weights->entries[i];
        if (!by_name(a, b))
            return tt_fail(err, TT_BAD_INPUT, "%s: tensor %s: found in %s and in %s, expected in "
                           "one shard", weights->name, a->view->name,
                           tt_tensor_file_name(weights->shards[a->shard]),
                           tt_tensor_file_name(weights->shards[b->shard]));
    }
    return TT_OK;
}

// Collects the tensors of all shards.
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
    return sort_entries(weights, err);
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

// The tensors that a folder made of one file has for the module.
static enum tt_status open_made(struct tt_weights *weights, const struct tt_folder *folder,
                                const struct tt_folder_tensors *tensors, struct tt_error *err) {
    const struct tt_folder_made *made = tt_folder_made_of(folder);
    weights->borrowed = true;
    weights->shards = calloc(1, sizeof *weights->shards);
    weights->bytes = calloc(1, sizeof *weights->bytes);
    weights->entries = calloc(tensors->count + 1, sizeof *weights->entries);
    if (!weights->shards || !weights->bytes || !weights->entries)
        return tt_fail(err, TT_SYSTEM, "%s: out of memory", weights->name);
    weights->shards[0] = made->file;
    weights->bytes[0] = *tt_tensor_file_bytes(made->file);
    weights->shard_count = 1;
    snprintf(weights->name, sizeof weights->name, "%s", tt_folder_name(folder));
    for (size_t i = 0; i < tensors->count; i++)
        weights->entries[i] = (struct entry){.view = &tensors->views[i]};
    weights->count = tensors->count;
    return sort_entries(weights, err);
}

enum tt_status tt_weights_open(const struct tt_folder *folder, const char *module,
                               struct tt_weights **out, struct tt_error *err) {
    *out = NULL;
    char relative[512];
    enum tt_status status = tt_weights_file_check(folder, module, err);
    if (status) return status;
    const struct tt_folder_tensors *made = tt_folder_tensors(folder, module);
    if (made) snprintf(relative, sizeof relative, "%s/", module);
    else if (tt_folder_made_of(folder) ||
             !tt_weights_file_find(folder, module, relative, sizeof relative))
        return tt_weights_file_missing(folder, module, err);
    const char *file = relative + strlen(module) + 1;
    struct tt_weights *weights = calloc(1, sizeof *weights);
    if (!weights) return tt_fail(err, TT_SYSTEM, "%s: out of memory", relative);
    weights->notes = tt_folder_notes(folder);
    snprintf(weights->module, sizeof weights->module, "%s", module);
    tt_folder_where(folder, relative, weights->name, sizeof weights->name);
    status = made                    ? open_made(weights, folder, made, err)
             : strstr(file, ".json") ? open_index(weights, folder, module, relative, err)
                                     : open_single(weights, folder, module, file, err);
    const struct tt_weights_opened opened = {weights->name, weights->shards, weights->shard_count};
    if (!status && !made) tt_weights_file_note(folder, module, file, &opened);
    if (status)
        tt_weights_close(weights);
    else
        *out = weights;
    return status;
}

void tt_weights_close(struct tt_weights *weights) {
    if (!weights) return;
    free(weights->entries);
    for (size_t i = 0; i < weights->shard_count && !weights->borrowed; i++) {
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
    for (size_t i = 0; i < weights->shard_count; i++)
        tt_bytes_release(&weights->bytes[i], view->data, view->bytes);
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
        if (tt_weights_of_text(weights->module) && ends_with_name(name, idle_tensors[i])) return true;
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
