// SPDX-License-Identifier: MIT
// <lora:NAME:WEIGHT> in prompts, as web interfaces have it, and the files that such names stand
// for.
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/text.h"
#include "io/files.h"
#include "tintype.h"

static const char tag_begin[] = "<lora:", file_end[] = ".safetensors";

void tt_lora_prompt_free(struct tt_lora_prompt *prompt) {
    for (size_t i = 0; i < prompt->count; i++) free(prompt->name[i]);
    free(prompt->text);
    *prompt = (struct tt_lora_prompt){0};
}

// Of length bytes behind "<lora:".
static enum tt_status read_tag(const char *tag, size_t length, struct tt_lora_prompt *out,
                               struct tt_error *err) {
    const char *colon = memchr(tag, ':', length);
    size_t name = colon ? (size_t)(colon - tag) : length;
    char number[64] = "1", *end = NULL;
    if (colon && length - name - 1 < sizeof number)
        snprintf(number, sizeof number, "%.*s", (int)(length - name - 1), colon + 1);
    double weight = strtod(number, &end);
    bool fits = !colon || length - name - 1 < sizeof number;
    if (!name || !fits || end == number || *end || !isfinite(weight))
        return tt_fail(err, TT_BAD_INPUT, "prompt: found '%s%.*s>', expected <lora:NAME> or "
                       "<lora:NAME:WEIGHT>", tag_begin, length < 200 ? (int)length : 200, tag);
    if (out->count == TT_LORAS)
        return tt_fail(err, TT_BAD_INPUT, "prompt: found more than %d LoRAs", TT_LORAS);
    out->weight[out->count] = weight;
    out->name[out->count] = strndup(tag, name);
    if (!out->name[out->count]) return tt_fail(err, TT_SYSTEM, "out of memory for a prompt");
    out->count++;
    return TT_OK;
}

enum tt_status tt_lora_prompt_read(const char *prompt, struct tt_lora_prompt *out,
                                   struct tt_error *err) {
    enum tt_status status = TT_OK;
    size_t used = 0;
    *out = (struct tt_lora_prompt){.text = malloc(strlen(prompt) + 1)};
    if (!out->text) return tt_fail(err, TT_SYSTEM, "out of memory for a prompt");
    for (const char *at = prompt; !status && at;) {
        const char *begin = strstr(at, tag_begin), *end = begin ? strchr(begin, '>') : NULL;
        size_t kept = begin ? (size_t)(begin - at) : strlen(at);
        memcpy(out->text + used, at, kept);
        used += kept;
        at = NULL;
        if (!begin) break;
        begin += strlen(tag_begin);
        if (!end)
            status = tt_fail(err, TT_BAD_INPUT, "prompt: found '%s%.60s', expected '>' behind it",
                             tag_begin, begin);
        else
            status = read_tag(begin, (size_t)(end - begin), out, err);
        if (!status) at = end + 1;
    }
    out->text[used] = 0;
    if (status) tt_lora_prompt_free(out);
    return status;
}

// ---- the folder ----

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum { LISTED = 1024 }; // names that are looked at for the list

// "a, b, c, ...": what there is in the folder, sorted.
static void list(DIR *folder, char *text, size_t size) {
    char *names[LISTED];
    size_t count = 0, used = 0;
    *text = 0;
    for (const struct dirent *entry; count < LISTED && (entry = readdir(folder));) {
        size_t length = strlen(entry->d_name);
        if (!tt_text_ends(entry->d_name, file_end)) continue;
        names[count] = strndup(entry->d_name, length - strlen(file_end));
        if (names[count]) count++;
    }
    qsort(names, count, sizeof *names, by_text);
    for (size_t i = 0; i < count; i++) {
        if (used + strlen(names[i]) + 8 < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", names[i]);
        else if (used + 6 < size)
            used += (size_t)snprintf(text + used, size - used, "%s", ", ..."), size = used;
        free(names[i]);
    }
    if (!count) snprintf(text, size, "no file that ends with %s", file_end);
}

enum tt_status tt_lora_find(const char *folder, const char *name, char **path,
                            struct tt_error *err) {
    char listed[512];
    struct stat info;
    char *found = NULL;
    bool inside = *name && *name != '/' && strcmp(name, "..") && strncmp(name, "../", 3) &&
                  !strstr(name, "/../");
    *path = NULL;
    if (asprintf(&found, "%s/%s%s", folder, name, file_end) < 0)
        return tt_fail(err, TT_SYSTEM, "out of memory for the name of a LoRA");
    if (inside && !stat(found, &info) && S_ISREG(info.st_mode)) {
        *path = found;
        return TT_OK;
    }
    free(found);
    DIR *opened = opendir(folder);
    if (!opened)
        return tt_fail(err, tt_status_of_errno(errno), "%s: cannot open: %s", folder,
                       strerror(errno));
    list(opened, listed, sizeof listed);
    closedir(opened);
    return tt_fail(err, TT_BAD_INPUT, "prompt: found LoRA '%.200s', expected one that is in %.200s:"
                   " %s", name, folder, listed);
}
