// SPDX-License-Identifier: MIT
// --names: what the modules of another port are called here.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/verify.h"

struct verify_names {
    const char *path;
    json_t *root;
    json_t *names, *prefixes; // of root; NULL: not there
    // What was met: names and prefixes that a recorded tensor had; what the model called its own.
    json_t *used, *own;
};

static enum tt_status check_map(struct cli *cli, const char *path, const char *key,
                                const json_t *map) {
    const char *theirs;
    json_t *ours;
    if (map && !json_is_object(map))
        return tt_fail(&cli->error, TT_BAD_INPUT, "%s: %s: found no object, expected "
                       "{\"theirs\": \"ours\", ...}", path, key);
    json_object_foreach((json_t *)(uintptr_t)map, theirs, ours)
        if (!json_is_string(ours))
            return tt_fail(&cli->error, TT_BAD_INPUT, "%s: %s: '%s': found no text, expected a "
                           "module's name", path, key, theirs);
    return TT_OK;
}

static enum tt_status check_keys(struct cli *cli, const char *path, json_t *root) {
    const char *key;
    json_t *value;
    if (!json_is_object(root) || !json_object_size(root))
        return tt_fail(&cli->error, TT_BAD_INPUT, "%s: found no object, expected "
                       "{\"names\": {...}, \"prefixes\": {...}}", path);
    json_object_foreach(root, key, value)
        if (strcmp(key, "names") && strcmp(key, "prefixes"))
            return tt_fail(&cli->error, TT_BAD_INPUT, "%s: found key '%s', expected names or "
                           "prefixes", path, key);
    return TT_OK;
}

enum tt_status verify_names_read(struct cli *cli, const char *path, struct verify_names **out) {
    struct verify_names *names = calloc(1, sizeof *names);
    json_error_t where;
    enum tt_status status = names ? tt_files_read(cli->files, path, &cli->error)
                                  : tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    if (status) {
        free(names);
        return status;
    }
    *out = names;
    names->path = path;
    names->used = json_object();
    names->own = json_object();
    names->root = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
    if (!names->root)
        return tt_fail(&cli->error, TT_BAD_INPUT, "%s: line %d: %s", path, where.line, where.text);
    status = check_keys(cli, path, names->root);
    names->names = json_object_get(names->root, "names");
    names->prefixes = json_object_get(names->root, "prefixes");
    if (!status) status = check_map(cli, path, "names", names->names);
    return status ? status : check_map(cli, path, "prefixes", names->prefixes);
}

void verify_names_free(struct verify_names *names) {
    if (!names) return;
    json_decref(names->root);
    json_decref(names->used);
    json_decref(names->own);
    free(names);
}

static char *joined(const char *head, const char *tail) {
    size_t length = strlen(head);
    char *text = malloc(length + strlen(tail) + 1);
    if (!text) return NULL;
    memcpy(text, head, length);
    strcpy(text + length, tail);
    return text;
}

// Where what follows a module's own path begins: "#2", ".in", "#2.in2".
static size_t path_length(const char *name) {
    const char *at = strchr(name, '#');
    if (at) return (size_t)(at - name);
    at = strrchr(name, '.');
    bool input = at && !strncmp(at, ".in", 3) && strspn(at + 3, "0123456789") == strlen(at + 3);
    return input ? (size_t)(at - name) : strlen(name);
}

static char *exact(struct verify_names *names, const char *recorded, size_t length) {
    char *path = strndup(recorded, length), *own = NULL;
    const char *to = path ? json_string_value(json_object_get(names->names, path)) : NULL;
    if (to) {
        json_object_set_new(names->used, path, json_true());
        own = joined(to, recorded + length);
    }
    free(path);
    return own;
}

char *verify_name_of(struct verify_names *names, const char *recorded) {
    const char *prefix, *longest = NULL, *to = NULL;
    json_t *ours;
    if (!names) return strdup(recorded);
    char *own = exact(names, recorded, strlen(recorded));
    if (!own) own = exact(names, recorded, path_length(recorded));
    if (own) return own;
    json_object_foreach(names->prefixes, prefix, ours) {
        if (strncmp(recorded, prefix, strlen(prefix))) continue;
        if (longest && strlen(longest) >= strlen(prefix)) continue;
        longest = prefix;
        to = json_string_value(ours);
    }
    if (!longest) return strdup(recorded);
    json_object_set_new(names->used, longest, json_true());
    return joined(to, recorded + strlen(longest));
}

void verify_names_met(struct verify_names *names, const char *own) {
    if (names) json_object_set_new(names->own, own, json_true());
}

static bool is_own(const struct verify_names *names, const char *text, bool prefix) {
    const char *own;
    json_t *value;
    if (!prefix) return json_object_get(names->own, text);
    json_object_foreach(names->own, own, value)
        if (!strncmp(own, text, strlen(text))) return true;
    return false;
}

static enum tt_status check_met(struct cli *cli, const struct verify_names *names, bool prefix) {
    const char *what = prefix ? "prefixes" : "names", *theirs;
    json_t *ours;
    json_object_foreach(prefix ? names->prefixes : names->names, theirs, ours) {
        if (!json_object_get(names->used, theirs))
            return tt_fail(&cli->error, TT_BAD_INPUT, "%s: %s: found '%s', which no recorded "
                           "tensor %s", names->path, what, theirs,
                           prefix ? "begins with" : "is called");
        if (!is_own(names, json_string_value(ours), prefix))
            return tt_fail(&cli->error, TT_BAD_INPUT, "%s: %s: '%s': found '%s', which no module "
                           "or input of the model %s", names->path, what, theirs,
                           json_string_value(ours), prefix ? "begins with" : "is called");
    }
    return TT_OK;
}

enum tt_status verify_names_check(struct cli *cli, const struct verify_names *names) {
    if (!names) return TT_OK;
    enum tt_status status = check_met(cli, names, false);
    return status ? status : check_met(cli, names, true);
}
