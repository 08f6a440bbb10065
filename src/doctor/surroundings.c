// SPDX-License-Identifier: MIT
// What lies in folders, and what is wrong with the files there before any is read as a model.
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor/doctor.h"

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void tt_doctor_list(struct tt_examination *x, const char *path, struct tt_doctor_names *names) {
    *names = (struct tt_doctor_names){calloc(TT_DOCTOR_NAMES, sizeof *names->name), 0};
    DIR *directory = names->name ? opendir(path) : NULL;
    if (!names->name || (!directory && errno == ENOMEM)) x->no_memory = true;
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (names->count == TT_DOCTOR_NAMES) {
            tt_doctor_find(x, TT_CODE_MORE, path, NULL, "more than 4096 names: the rest is not "
                           "looked at", NULL, NULL);
            break;
        }
        names->name[names->count] = strdup(entry->d_name);
        if (!names->name[names->count]) {
            x->no_memory = true;
            break;
        }
        names->count++;
    }
    if (directory) closedir(directory);
    if (names->count) qsort(names->name, names->count, sizeof *names->name, by_text);
}

void tt_doctor_names_free(struct tt_doctor_names *names) {
    for (size_t i = 0; i < names->count; i++) free(names->name[i]);
    free(names->name);
    *names = (struct tt_doctor_names){0};
}

const char *tt_doctor_join(struct tt_examination *x, const char *path, const char *name) {
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    return tt_doctor_text(x, "%.*s/%s", (int)length, path, name);
}

bool tt_doctor_is_folder(const char *path) {
    struct stat info;
    return !stat(path, &info) && S_ISDIR(info.st_mode);
}

bool tt_doctor_is_there(const char *path) {
    struct stat info;
    return !stat(path, &info);
}

// ---- one after the other ----

static bool is_weights(const char *name) {
    static const char *const is[] = {".safetensors", ".gguf", ".bin", ".pt", ".pth", ".ckpt",
                                     ".msgpack", ".onnx", ".onnx_data", ".xml", ".h5", ".engine",
                                     ".plan", ".trt", ".mlmodel", ".pb"};
    for (size_t i = 0; i < sizeof is / sizeof *is; i++)
        if (tt_doctor_ends(name, is[i])) return true;
    return tt_doctor_half_name(name) != NULL;
}

static void look_at_weights(struct tt_examination *x, const char *path,
                            const struct tt_bytes *bytes) {
    struct tt_doctor_file file = {0};
    if (tt_doctor_sign(x, path, bytes) != TT_SIGN_SAFETENSORS) return;
    struct tt_bytes borrowed = {.data = bytes->data, .size = bytes->size};
    tt_doctor_file_read(x, path, borrowed, &file);
    tt_doctor_file_free(&file);
}

static void look_at(struct tt_examination *x, const char *path, const char *name, bool weights) {
    struct stat info;
    struct tt_bytes bytes;
    if (stat(path, &info)) {
        char to[512];
        ssize_t length = readlink(path, to, sizeof to - 1);
        if (length < 0) return;
        to[length] = 0;
        tt_doctor_find(x, TT_CODE_MISSING_FILE, path, NULL,
                       tt_doctor_text(x, "a link to %s, which is not there", to), "a file",
                       "the download did not end: begin it again");
        return;
    }
    if (!S_ISREG(info.st_mode)) return;
    enum tt_status status = tt_file_map(x->engine->files, path, &bytes, NULL);
    if (status == TT_SYSTEM) x->no_memory = true;
    if (status) return;
    if (is_weights(name)) {
        if (weights) look_at_weights(x, path, &bytes);
    } else if (tt_doctor_is_pointer(&bytes)) tt_doctor_sign(x, path, &bytes);
    tt_bytes_free(&bytes);
}

// The files that an index of shards names.
static void look_at_index(struct tt_examination *x, const char *path, const char *name) {
    json_t *root = tt_doctor_json(x, tt_doctor_join(x, path, name)), *missing = json_object();
    const json_t *map = json_object_get(root, "weight_map");
    const char *tensor, *file;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, tensor, value) {
        file = json_string_value(value);
        if (!file || strchr(file, '/') || json_object_get(missing, file)) continue;
        json_object_set_new(missing, file, json_true()); // looked at
        if (tt_doctor_is_there(tt_doctor_join(x, path, file))) continue;
        tt_doctor_find(x, TT_CODE_MISSING_SHARD, tt_doctor_join(x, path, file), NULL,
                       "no such file", tt_doctor_text(x, "a shard that %.200s names", name), NULL);
    }
    json_decref(missing);
    json_decref(root);
}

void tt_doctor_look_around(struct tt_examination *x, const char *path, bool weights) {
    struct tt_doctor_names names;
    tt_doctor_list(x, path, &names);
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.name[i];
        if (name[0] != '.') look_at(x, tt_doctor_join(x, path, name), name, weights);
        if (weights && strstr(name, ".safetensors") && strstr(name, ".index") &&
            tt_doctor_ends(name, ".json"))
            look_at_index(x, path, name);
    }
    tt_doctor_names_free(&names);
}

json_t *tt_doctor_json_of(struct tt_examination *x, const char *path,
                          const struct tt_bytes *bytes) {
    struct tt_error why = {TT_OK, ""};
    json_t *root = NULL;
    enum tt_status status = tt_json_parse(path, bytes->data, bytes->size, &root, &why);
    if (status == TT_SYSTEM) x->no_memory = true;
    if (!status && json_is_object(root)) return root;
    tt_doctor_find(x, TT_CODE_BROKEN_HEADER, path, NULL, status ? why.message : "no object",
                   "a JSON object", NULL);
    json_decref(root);
    return NULL;
}

json_t *tt_doctor_json(struct tt_examination *x, const char *path) {
    struct tt_bytes bytes;
    struct tt_error why = {TT_OK, ""};
    json_t *root = NULL;
    enum tt_status status = tt_file_read(x->engine->files, path, &bytes, &why);
    if (status == TT_SYSTEM) x->no_memory = true;
    if (status) tt_doctor_find(x, TT_CODE_CANNOT_OPEN, path, NULL, why.message, NULL, NULL);
    // Of a pointer tt_doctor_look_around() tells.
    else if (!tt_doctor_is_pointer(&bytes)) root = tt_doctor_json_of(x, path, &bytes);
    tt_bytes_free(&bytes);
    return root;
}
