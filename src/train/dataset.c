// SPDX-License-Identifier: MIT
#include "train/dataset.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "text/tokenizer.h"
#include "train/captions.h"
#include "train/listing.h"

int tt_dataset_by_name(const void *a, const void *b) {
    const struct tt_item *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : x->order < y->order ? -1 : x->order > y->order;
}

enum tt_status tt_dataset_no_memory(struct tt_error *err) {
    return tt_fail(err, TT_SYSTEM, "out of memory for a list of pictures");
}

// Whether another picture, or caption of one, is too much.
enum tt_status tt_dataset_check_limits(const struct tt_dataset *data, struct tt_error *err) {
    const char *path = data->name;
    if (data->count >= TT_DATASET_ITEMS)
        return tt_fail(err, TT_BAD_INPUT, "%s: found more than %d pictures, expected no more", path,
                       TT_DATASET_ITEMS);
    if (data->captions >= TT_DATASET_CAPTIONS)
        return tt_fail(err, TT_BAD_INPUT, "%s: found more than %d captions, expected no more", path,
                       TT_DATASET_CAPTIONS);
    if (data->text > TT_DATASET_TEXT)
        return tt_fail(err, TT_BAD_INPUT, "%s: found more than %d bytes of names and captions, "
                       "expected no more", path, TT_DATASET_TEXT);
    return TT_OK;
}

enum tt_status tt_dataset_judge(const struct tt_dataset *data, struct tt_item *item,
                                const char *where, struct tt_error *why) {
    const struct tt_dataset_options *o = &data->options;
    if (o->captions && !item->caption_count)
        return tt_fail(why, TT_BAD_INPUT, "%s: no caption", where);
    item->size = o->sizes ? o->sizes[tt_bucket_nearest(o->sizes, o->size_count, item->own)]
                          : (struct tt_picture_size){o->width, o->height};
    size_t w = (item->size.width + 3) / 4, h = (item->size.height + 3) / 4;
    if (item->own.width >= w && item->own.height >= h) return TT_OK;
    return tt_fail(why, TT_BAD_INPUT, "%s: found %zu x %zu pixels, expected at least %zu x %zu",
                   where, item->own.width, item->own.height, w, h);
}

struct tt_item *tt_dataset_add(struct tt_dataset *data, const char *name) {
    if (data->count == data->room) {
        size_t room = data->room ? 2 * data->room : 256;
        struct tt_item *items = realloc(data->items, room * sizeof *items);
        if (!items) return NULL;
        data->items = items;
        data->room = room;
    }
    struct tt_item *item = &data->items[data->count];
    *item = (struct tt_item){.name = tt_pool_format(&data->pool, "%s", name),
                             .order = data->count};
    if (!item->name) return NULL;
    data->text += strlen(name);
    data->count++;
    return item;
}

bool tt_dataset_add_caption(struct tt_dataset *data, struct tt_item *item, const char *text,
                            size_t room) {
    if (!item->captions)
        item->captions = tt_pool_alloc(&data->pool, room * sizeof *item->captions);
    if (!item->captions) return false;
    const char *copy = tt_pool_format(&data->pool, "%s", text);
    item->captions[item->caption_count++] = copy;
    data->captions++;
    data->text += strlen(text);
    return copy != NULL;
}

// The path of a file that stands in `folder` ("" or "birds/") under a name, without "." and, where
// they lead nowhere else, "..".
static char *tidy(struct tt_dataset *data, const char *folder, const char *name) {
    char *path = tt_pool_format(&data->pool, "%s%s", name[0] == '/' ? "" : folder, name);
    if (!path || name[0] == '/') return path;
    char *end = path;
    for (const char *at = path; *at;) {
        size_t length = strcspn(at, "/");
        const char *next = at + length + (at[length] == '/');
        char *last = end;
        while (last > path && (last == end || last[-1] != '/')) last--;
        bool up = length == 2 && !memcmp(at, "..", 2);
        if (up && end > path && strncmp(last, "../", 3)) end = last;
        else if (length && !(length == 1 && *at == '.')) {
            memmove(end, at, length + (at[length] == '/'));
            end += length + (at[length] == '/');
        }
        at = next;
    }
    *end = 0;
    return path;
}

// One line of the metadata.jsonl in `folder`.
static enum tt_status read_line(struct tt_dataset *data, const char *folder, const char *where,
                                const char *line, size_t size, struct tt_error *err) {
    json_t *object = NULL;
    enum tt_status status = tt_json_parse(where, line, size, &object, err);
    if (status) return status;
    const char *name = json_string_value(json_object_get(object, "file_name"));
    const json_t *text = json_object_get(object, "text");
    size_t captions = json_is_array(text) ? json_array_size(text) : 1;
    bool good = json_is_string(text) || captions > 0;
    for (size_t i = 0; json_is_array(text) && i < captions; i++)
        good = good && json_is_string(json_array_get(text, i));
    if (text && !json_is_string(text) && !json_is_array(text)) good = false;
    if (!text) good = !data->options.captions;
    char found[128];
    struct tt_item *item = NULL;
    if (!name) {
        status = tt_fail(err, TT_BAD_INPUT, "%s: file_name: found %s, expected a string", where,
                         tt_json_text(json_object_get(object, "file_name"), found, sizeof found));
    } else if (!good) {
        status = tt_fail(err, TT_BAD_INPUT,
                         "%s: text: found %s, expected a string or a list of strings", where,
                         tt_json_text(text, found, sizeof found));
    } else if (!(status = tt_dataset_check_limits(data, err))) {
        const char *path = tidy(data, folder, name);
        if (!path || !(item = tt_dataset_add(data, path))) status = tt_dataset_no_memory(err);
    }
    for (size_t i = 0; !status && text && i < captions; i++) {
        const json_t *caption = json_is_array(text) ? json_array_get(text, i) : text;
        status = tt_dataset_check_limits(data, err);
        if (!status && json_string_length(caption) > TT_TEXT_BYTES)
            status = tt_fail(err, TT_BAD_INPUT, "%s: text: found %zu bytes, expected at most %d",
                             where, json_string_length(caption), TT_TEXT_BYTES);
        if (status) break;
        if (!tt_dataset_add_caption(data, item, json_string_value(caption), captions))
            status = tt_dataset_no_memory(err);
    }
    json_decref(object);
    return status;
}

// How long the name is up to its last slash.
static int folder_of(const char *name) {
    const char *slash = strrchr(name, '/');
    return slash ? (int)(slash + 1 - name) : 0;
}

static enum tt_status read_metadata(struct tt_dataset *data, const char *name,
                                    struct tt_error *err) {
    struct tt_bytes bytes = {0};
    const struct tt_dataset_options *o = &data->options;
    const char *folder = tt_pool_format(&data->pool, "%.*s", folder_of(name), name);
    char file[400];
    if (!folder) return tt_dataset_no_memory(err);
    tt_folder_where(data->folder, name, file, sizeof file);
    enum tt_status status = tt_folder_read(data->folder, name, &bytes, err);
    size_t number = 0;
    if (!status && bytes.size > TT_DATASET_LIST)
        status = tt_fail(err, TT_BAD_INPUT, "%s: found %zu bytes, expected at most %d", file,
                         bytes.size, TT_DATASET_LIST);
    if (!status && tt_is_utf16(bytes.data, bytes.size))
        status = tt_fail(err, TT_BAD_INPUT, "%s: found UTF-16 text, expected UTF-8", file);
    for (size_t at = tt_skip_mark(bytes.data, bytes.size); !status && at < bytes.size;) {
        const char *line = (const char *)bytes.data + at;
        const char *end = memchr(line, '\n', bytes.size - at);
        size_t size = end ? (size_t)(end - line) : bytes.size - at;
        char where[512];
        snprintf(where, sizeof where, "%s: line %zu", file, ++number);
        at += size + 1;
        size_t blank = 0;
        while (blank < size && strchr(" \t\r", line[blank]) && line[blank]) blank++;
        if (blank == size) continue; // an empty line
        status = read_line(data, folder, where, line, size, err);
        if (!status && number % 4096 == 0 && o->progress && o->progress(o->context, 0, data->count))
            status = tt_fail(err, TT_CANCELLED, "cancelled while reading %s", where);
    }
    tt_bytes_free(&bytes);
    return status;
}

// The captions of `from` behind those of item, but for what is there already.
static bool join_captions(struct tt_dataset *data, struct tt_item *item,
                          const struct tt_item *from) {
    size_t count = item->caption_count, room = count + from->caption_count;
    const char **all = tt_pool_alloc(&data->pool, (room ? room : 1) * sizeof *all);
    if (!all) return false;
    for (size_t k = 0; k < count; k++) all[k] = item->captions[k];
    for (size_t k = 0; k < from->caption_count; k++) {
        size_t same = 0;
        while (same < count && strcmp(all[same], from->captions[k])) same++;
        if (same == count) all[count++] = from->captions[k];
    }
    item->captions = all;
    item->caption_count = count;
    return true;
}

// A picture that is listed more than once is one picture, with all its captions.
static enum tt_status join_same(struct tt_dataset *data, struct tt_error *err) {
    size_t kept = 0, joined = 0;
    const char *first = NULL;
    if (data->count) qsort(data->items, data->count, sizeof *data->items, tt_dataset_by_name);
    for (size_t i = 0; i < data->count; i++) {
        struct tt_item *last = kept ? &data->items[kept - 1] : NULL, *item = &data->items[i];
        if (!last || strcmp(last->name, item->name)) {
            data->items[kept++] = *item;
            continue;
        }
        if (!first) first = last->name;
        joined++;
        if (!join_captions(data, last, item)) return tt_dataset_no_memory(err);
    }
    data->count = kept;
    if (joined)
        tt_note(data->options.notes, "%s: %zu lines list a picture once more, which counts once, "
                "with all its captions; the first: %s", tt_folder_name(data->folder), joined,
                first);
    return TT_OK;
}

// Something that is left out.
static enum tt_status leave_out(struct tt_dataset *data, const char *name, const char *why,
                                struct tt_error *err) {
    enum tt_status status = tt_dataset_check_limits(data, err);
    if (status) return status;
    struct tt_item *item = tt_dataset_add(data, name);
    if (item)
        item->problem = tt_pool_format(&data->pool, "%s/%s: %s", tt_folder_name(data->folder),
                                       name, why);
    return item && item->problem ? TT_OK : tt_dataset_no_memory(err);
}

// How long the name is without what follows its last dot.
static int stem_of(const char *name) { return (int)(strrchr(name, '.') - name); }

static const struct tt_listed_file *find_listed(const struct tt_listing *list, const char *name) {
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(name, list->files[middle].name);
        if (!order) return &list->files[middle];
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return NULL;
}

static enum tt_status add_picture(struct tt_dataset *data, const struct tt_listing *list,
                                  const char *name, struct tt_error *err) {
    const char *text = NULL, *problem = NULL;
    enum tt_status status = tt_dataset_check_limits(data, err);
    if (status) return status;
    struct tt_item *item = tt_dataset_add(data, name);
    char *caption = tt_pool_format(&data->pool, "%.*s.txt", stem_of(name), name);
    if (!item || !caption) return tt_dataset_no_memory(err);
    if (!find_listed(list, caption)) memcpy(caption + stem_of(name), ".TXT", 4);
    if (!find_listed(list, caption)) return TT_OK;
    status = tt_caption_read(data->folder, caption, &data->pool, &text, &problem, err);
    item->problem = problem;
    if (status || !text || tt_dataset_add_caption(data, item, text, 1)) return status;
    return tt_dataset_no_memory(err);
}

static int by_stem(const void *a, const void *b) {
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    int n = stem_of(x), m = stem_of(y), order = memcmp(x, y, (size_t)(n < m ? n : m));
    return order ? order : n - m;
}

// Captions beside no picture, of whatever format it may be.
static enum tt_status look_for_captions(struct tt_dataset *data, const struct tt_listing *list,
                                        struct tt_error *err) {
    const char **pictures = malloc((list->count + 1) * sizeof *pictures);
    size_t count = 0;
    enum tt_status status = pictures ? TT_OK : tt_dataset_no_memory(err);
    for (size_t i = 0; !status && i < list->count; i++) {
        enum tt_listed kind = list->files[i].kind;
        if ((kind == TT_LISTED_PICTURE || kind == TT_LISTED_PROBLEM) &&
            strrchr(list->files[i].name, '.'))
            pictures[count++] = list->files[i].name;
    }
    if (count) qsort(pictures, count, sizeof *pictures, by_stem);
    for (size_t i = 0; !status && i < list->count; i++) {
        const char *name = list->files[i].name;
        if (list->files[i].kind == TT_LISTED_CAPTION &&
            (!count || !bsearch(&name, pictures, count, sizeof *pictures, by_stem)))
            status = leave_out(data, name, "found a caption, but no picture of its name", err);
    }
    free(pictures);
    return status;
}

// Every picture in the list; captions from the text files.
static enum tt_status read_pictures(struct tt_dataset *data, const struct tt_listing *list,
                                    struct tt_error *err) {
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < list->count; i++) {
        const struct tt_listed_file *file = &list->files[i];
        if (file->kind == TT_LISTED_PICTURE) status = add_picture(data, list, file->name, err);
        if (file->kind == TT_LISTED_PROBLEM)
            status = leave_out(data, file->name, file->problem, err);
    }
    return status || !data->options.captions ? status : look_for_captions(data, list, err);
}

// Pictures that no metadata.jsonl names are left out like others; text files beside one mean that
// two conventions are mixed.
static enum tt_status look_for_others(struct tt_dataset *data, const struct tt_listing *list,
                                      struct tt_error *err) {
    size_t listed = data->count;
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < list->count; i++) {
        const char *name = list->files[i].name, *why = list->files[i].problem;
        char *beside = tt_pool_format(&data->pool, "%.*smetadata.jsonl", folder_of(name), name);
        struct tt_item key = {.name = name};
        if (!beside) return tt_dataset_no_memory(err);
        if (list->files[i].kind == TT_LISTED_METADATA) continue;
        if (list->files[i].kind == TT_LISTED_CAPTION) why = "not read beside a metadata.jsonl";
        if (list->files[i].kind == TT_LISTED_CAPTION && find_listed(list, beside))
            return tt_fail(err, TT_BAD_INPUT,
                           "%s: found %s and %s, expected captions in one way: metadata.jsonl, "
                           "or text files", tt_folder_name(data->folder), beside, name);
        size_t low = 0, high = listed; // the items' order settles ties, so bsearch() does not do
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (strcmp(data->items[middle].name, key.name) < 0) low = middle + 1;
            else high = middle;
        }
        if (low < listed && !strcmp(data->items[low].name, name)) continue;
        status = leave_out(data, name, why ? why : "not in metadata.jsonl", err);
    }
    return status;
}

enum tt_status tt_dataset_read(struct tt_dataset *data, const char *path, struct tt_error *err) {
    struct tt_listing list = {0};
    bool metadata = false;
    enum tt_status status =
        tt_listing_make(path, data->options.apart, tt_folder_poll(data->folder),
                        (size_t)2 * TT_DATASET_ITEMS + TT_DATASET_CAPTIONS, &list, err);
    for (size_t i = 0; !status && i < list.count; i++)
        if (list.files[i].kind == TT_LISTED_METADATA) {
            status = read_metadata(data, list.files[i].name, err);
            metadata = true;
        }
    if (!status && !metadata) status = read_pictures(data, &list, err);
    if (!status && metadata) status = join_same(data, err);
    if (!status && metadata) status = look_for_others(data, &list, err);
    tt_listing_free(&list);
    return status;
}
