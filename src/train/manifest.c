// SPDX-License-Identifier: MIT
#include "train/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/dataset.h"

enum tt_status tt_manifest_make(const struct tt_dataset *data, struct tt_manifest *manifest,
                                struct tt_error *err) {
    *manifest = (struct tt_manifest){0};
    FILE *out = open_memstream(&manifest->bytes, &manifest->size);
    for (size_t i = 0; out && i < data->used + data->held; i++) {
        const struct tt_item *item = &data->items[i];
        fprintf(out, "%s%c%08x %d %s %zu%c", item->name, 0, (unsigned)item->crc, item->orientation,
                item->held ? "held" : "used", item->caption_count, 0);
        for (size_t k = 0; k < item->caption_count; k++)
            fprintf(out, "%s%c", item->captions[k], 0);
    }
    bool good = out && !ferror(out);
    if (out && fclose(out)) good = false;
    if (good) return TT_OK;
    free(manifest->bytes);
    *manifest = (struct tt_manifest){0};
    return tt_fail(err, TT_SYSTEM, "out of memory for a list of pictures");
}

// ---- reading ----

struct entry {
    const char *name, *captions; // the first, then the others behind it
    unsigned crc;
    int orientation;
    bool held;
    size_t count;
};

struct list {
    struct entry *at;
    size_t count;
};

// The next text of at most `left` bytes with its end; NULL: there is none.
static const char *next(const char **at, size_t *left) {
    const char *text = *at, *end = *left ? memchr(text, 0, *left) : NULL;
    if (!end) return NULL;
    *left -= (size_t)(end + 1 - text);
    *at = end + 1;
    return text;
}

static bool read_entry(const char **at, size_t *left, struct entry *e) {
    char word[8];
    int length = 0;
    const char *line;
    if (!(e->name = next(at, left)) || !(line = next(at, left))) return false;
    if (sscanf(line, "%8x %d %4s %zu%n", &e->crc, &e->orientation, word, &e->count, &length) != 4 ||
        line[length])
        return false;
    e->held = !strcmp(word, "held");
    e->captions = *at;
    for (size_t k = 0; k < e->count; k++)
        if (!next(at, left)) return false;
    return true;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static enum tt_status read_list(const struct tt_manifest *manifest, const char *file,
                                struct list *list, struct tt_error *err) {
    size_t room = 0, left = manifest->size;
    for (const char *at = manifest->bytes; left;) {
        if (list->count == room) {
            room = room ? 2 * room : 256;
            struct entry *more = realloc(list->at, room * sizeof *more);
            if (!more) return tt_fail(err, TT_SYSTEM, "out of memory for a list of pictures");
            list->at = more;
        }
        struct entry *e = &list->at[list->count];
        if (!read_entry(&at, &left, e))
            return tt_fail(err, TT_BAD_INPUT, "%s: pictures: found no list of pictures behind %zu "
                           "of them", file, list->count);
        list->count++;
    }
    if (list->count) qsort(list->at, list->count, sizeof *list->at, by_name);
    return TT_OK;
}

// ---- comparing ----

static json_t *role(const struct entry *e) {
    return e ? json_string(e->held ? "held out" : "trained on") : json_null();
}

static json_t *sum(const struct entry *e) {
    char text[48], turned[32] = "";
    if (e->orientation > 1) snprintf(turned, sizeof turned, ", orientation %d", e->orientation);
    snprintf(text, sizeof text, "CRC-32 %08x%s", e->crc, turned);
    return json_string(text);
}

static enum tt_status compare_captions(const struct entry *now, const struct entry *then,
                                       struct tt_changes *changes, struct tt_error *err) {
    const char *a = now->captions, *b = then->captions;
    enum tt_status status = TT_OK;
    for (size_t k = 0; !status && (k < now->count || k < then->count); k++) {
        const char *found = k < now->count ? a : NULL, *was = k < then->count ? b : NULL;
        if (!found || !was || strcmp(found, was))
            status = tt_changes_add(changes, "caption", now->name,
                                    found ? tt_changes_text(found) : json_null(),
                                    was ? tt_changes_text(was) : json_null(), err);
        if (found) a += strlen(a) + 1;
        if (was) b += strlen(b) + 1;
    }
    return status;
}

// Of one name; now or then may be NULL.
static enum tt_status compare_entries(const struct entry *now, const struct entry *then,
                                      struct tt_changes *changes, struct tt_error *err) {
    enum tt_status status = TT_OK;
    bool learns = now && !now->held, learnt = then && !then->held;
    changes->other = changes->other || learns != learnt;
    if (!now || !then || now->held != then->held)
        status = tt_changes_add(changes, "picture", now ? now->name : then->name, role(now),
                                role(then), err);
    if (status || !now || !then) return status;
    bool turned = now->orientation > 1 || then->orientation > 1;
    bool replaced = now->crc != then->crc || (turned && now->orientation != then->orientation);
    changes->replaced = changes->replaced || (replaced && !now->held);
    if (replaced)
        status = tt_changes_add(changes, "file", now->name, sum(now), sum(then), err);
    return status ? status : compare_captions(now, then, changes, err);
}

static enum tt_status compare_lists(const struct list *now, const struct list *then,
                                    struct tt_changes *changes, struct tt_error *err) {
    enum tt_status status = TT_OK;
    if (now->count != then->count)
        status = tt_changes_add(changes, "pictures", NULL, json_integer((json_int_t)now->count),
                                json_integer((json_int_t)then->count), err);
    for (size_t i = 0, j = 0; !status && (i < now->count || j < then->count);) {
        const struct entry *a = i < now->count ? &now->at[i] : NULL;
        const struct entry *b = j < then->count ? &then->at[j] : NULL;
        int order = !a ? 1 : !b ? -1 : strcmp(a->name, b->name);
        status = compare_entries(order <= 0 ? a : NULL, order >= 0 ? b : NULL, changes, err);
        i += order <= 0;
        j += order >= 0;
    }
    if (!status && changes->untold)
        status = tt_changes_add(changes, "more pictures and captions", NULL,
                                json_integer((json_int_t)changes->untold), json_null(), err);
    return status;
}

enum tt_status tt_manifest_compare(const struct tt_manifest *now, const struct tt_manifest *then,
                                   struct tt_changes *changes, struct tt_error *err) {
    struct list a = {0}, b = {0};
    enum tt_status status = read_list(now, changes->file, &a, err);
    if (!status) status = read_list(then, changes->file, &b, err);
    if (!status) status = compare_lists(&a, &b, changes, err);
    free(a.at);
    free(b.at);
    return status;
}
