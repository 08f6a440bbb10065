// SPDX-License-Identifier: MIT
// --prompt-syntax, --clip-skip, --embedding FILE[:WORD], --embedding-folder DIR.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/request.h"

static const char *const syntaxes[] = {
    [TT_PROMPT_PLAIN] = "plain", [TT_PROMPT_WEBUI] = "webui", [TT_PROMPT_COMPEL] = "compel"};

enum { SYNTAXES = sizeof syntaxes / sizeof *syntaxes };

const char *syntax_name(int syntax) {
    return syntaxes[syntax];
}

bool syntax_find(const char *name, int *syntax) {
    for (int i = 0; i < SYNTAXES; i++) {
        if (strcmp(name, syntaxes[i])) continue;
        *syntax = i;
        return true;
    }
    return false;
}

static bool is_file(const char *path) {
    struct stat info;
    return !stat(path, &info) && S_ISREG(info.st_mode);
}

// How much of FILE:WORD is the file: all when there is such a one, else up to the ':' behind its
// ending, else up to the last.
static size_t file_length(const char *given) {
    static const char ending[] = ".safetensors:";
    const char *found = strstr(given, ending), *colon = strrchr(given, ':');
    if (is_file(given) || !colon) return strlen(given);
    return found ? (size_t)(found - given) + sizeof ending - 2 : (size_t)(colon - given);
}

static bool is_utf8(const char *text) {
    json_t *string = json_string(text);
    json_decref(string);
    return string != NULL;
}

// One file more; shown: the path that pictures carry, NULL: the file's own.
static enum tt_status add(struct cli *cli, struct request_wording *w, const char *path, size_t size,
                          const char *word, const char *sha256, const char *shown) {
    if (w->count == SETTINGS_INVERSIONS)
        return tt_fail(&cli->error, TT_BAD_INPUT, "--embedding: found more than %d, expected fewer",
                       SETTINGS_INVERSIONS);
    if (!size || (word && !*word))
        return tt_fail(&cli->error, TT_BAD_INPUT, "--embedding: found '%s', expected FILE or "
                       "FILE:WORD", path);
    struct tt_inversion_file *file = &w->files[w->count];
    *file = (struct tt_inversion_file){strndup(path, size), word ? strdup(word) : NULL,
                                       sha256 ? strdup(sha256) : NULL};
    w->shown[w->count] = shown ? strdup(shown) : NULL;
    w->count++;
    if (!file->path || (word && !file->word) || (sha256 && !file->sha256) ||
        (shown && !w->shown[w->count - 1]))
        return tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    if (is_utf8(file->path) && (!word || is_utf8(word))) return TT_OK;
    return tt_fail(&cli->error, TT_BAD_INPUT, "--embedding: %s: found a name that is no valid "
                   "UTF-8, expected one that pictures can carry", path);
}

enum tt_status request_wording(struct cli *cli, struct request *r) {
    struct request_wording *w = &r->wording;
    if (w->syntax && !syntax_find(w->syntax, &r->with.prompt_syntax))
        return tt_fail(&cli->error, TT_BAD_INPUT, "--prompt-syntax: found '%s', expected plain, "
                       "webui or compel", w->syntax);
    enum tt_status status = TT_OK;
    for (int i = 0; !status && i < w->given.count; i++) {
        const char *given = w->given.item[i];
        size_t size = file_length(given);
        status = add(cli, w, given, size, given[size] ? given + size + 1 : NULL, NULL, NULL);
    }
    r->with.inversions = w->files;
    r->with.inversion_count = w->count;
    r->with.inversion_folder = w->folder;
    return status;
}

enum tt_status request_replay_wording(struct cli *cli, struct request *r,
                                      const struct settings_read *read) {
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && !r->wording.given.count && i < read->inversion_count; i++) {
        const struct tt_inversion_file *file = &read->inversions[i];
        const char *slash = strrchr(file->path, '/'), *folder = r->wording.folder;
        char *found = NULL;
        if (folder && asprintf(&found, "%s/%s", folder, slash ? slash + 1 : file->path) < 0)
            return tt_fail(&cli->error, TT_SYSTEM, "out of memory");
        const char *path = found && is_file(found) ? found : file->path;
        status = add(cli, &r->wording, path, strlen(path), file->word, file->sha256, file->path);
        free(found);
    }
    return status;
}

enum tt_status request_inversions(struct cli *cli, struct request *r,
                                  const struct tt_model *model) {
    struct request_wording *w = &r->wording;
    enum tt_status status =
        tt_settings_inversions(model, &r->with, &w->used, &w->used_count, &cli->error);
    if (!status && w->used_count > SETTINGS_INVERSIONS)
        status = tt_fail(&cli->error, TT_BAD_INPUT, "prompt: found %zu embeddings, expected at "
                         "most %d", w->used_count, SETTINGS_INVERSIONS);
    for (size_t i = 0; !status && i < w->used_count; i++) {
        struct tt_inversion_info *used = &w->used[i];
        for (size_t j = 0; j < w->count; j++) {
            if (!w->shown[j] || strcmp(w->files[j].path, used->path)) continue;
            free(used->path);
            used->path = strdup(w->shown[j]);
            break;
        }
        if (!used->path) status = tt_fail(&cli->error, TT_SYSTEM, "out of memory");
        else if (!is_utf8(used->path))
            status = tt_fail(&cli->error, TT_BAD_INPUT, "--embedding-folder: %s: found a name that "
                             "is no valid UTF-8, expected one that pictures can carry", used->path);
    }
    r->record.inversions = w->used;
    r->record.inversion_count = w->used_count;
    return status;
}

enum tt_status request_plain(struct cli *cli, const struct request *r) {
    if (!r->with.prompt_syntax && !r->with.clip_skip && !r->wording.count && !r->wording.folder)
        return TT_OK;
    return tt_fail(&cli->error, TT_BAD_INPUT, "--prompt-syntax, --clip-skip, --embedding: found "
                   "one of them, expected none: %s calls the text encoder with token ids, whole",
                   cli->verb);
}

void request_wording_free(struct request_wording *w) {
    for (size_t i = 0; i < w->count; i++) {
        free((char *)(uintptr_t)w->files[i].path);
        free((char *)(uintptr_t)w->files[i].word);
        free((char *)(uintptr_t)w->files[i].sha256);
        free(w->shown[i]);
    }
    tt_inversion_info_free(w->used, w->used_count);
    *w = (struct request_wording){0};
}
