// SPDX-License-Identifier: MIT
#include "train/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"

struct tt_train_log {
    FILE *file;
    char *path;
};

static enum tt_status failed(const struct tt_train_log *log, struct tt_error *err) {
    return tt_fail(err, TT_SYSTEM, "%s: %s", log->path, strerror(errno));
}

// How much of the text is whole lines up to `step`.
static size_t keep(const char *text, size_t size, size_t step) {
    size_t kept = 0;
    while (kept < size) {
        const char *line = text + kept, *end = memchr(line, '\n', size - kept);
        unsigned long long at;
        char head[64];
        if (!end) break;
        snprintf(head, sizeof head, "%.*s", (int)(end - line < 63 ? end - line : 63), line);
        if (sscanf(head, "{\"step\":%llu,", &at) != 1 || at > step) break;
        kept += (size_t)(end - line) + 1;
    }
    return kept;
}

// Drops what comes after `step`.
static enum tt_status cut(const char *path, size_t step, struct tt_error *err) {
    struct tt_bytes bytes = {0};
    if (access(path, F_OK)) return TT_OK;
    enum tt_status status = tt_file_map(path, &bytes, err);
    if (status) return status;
    size_t kept = keep((const char *)bytes.data, bytes.size, step);
    if (kept < bytes.size)
        status = tt_file_write(path, &(struct tt_span){bytes.data, kept}, 1, err);
    tt_bytes_free(&bytes);
    return status;
}

enum tt_status tt_train_log_open(const char *path, size_t step, struct tt_train_log **out,
                                 struct tt_error *err) {
    enum tt_status status = cut(path, step, err);
    if (status) return status;
    struct tt_train_log *log = calloc(1, sizeof *log);
    if (log) log->path = strdup(path);
    if (!log || !log->path) {
        free(log);
        return tt_fail(err, TT_SYSTEM, "%s: out of memory", path);
    }
    log->file = fopen(path, "a");
    if (!log->file) {
        status = failed(log, err);
        tt_train_log_close(log);
        return status;
    }
    *out = log;
    return TT_OK;
}

void tt_train_log_close(struct tt_train_log *log) {
    if (!log) return;
    if (log->file) fclose(log->file);
    free(log->path);
    free(log);
}

enum tt_status tt_train_log_add(struct tt_train_log *log, const struct tt_train_line *l,
                                struct tt_error *err) {
    int written = fprintf(log->file,
                          "{\"step\":%zu,\"loss\":%.9g,\"learning_rate\":%.9g,\"norm\":%.6g,"
                          "\"images_per_second\":%.4g,\"seconds\":%.2f}\n", l->step, l->loss,
                          l->learning_rate, l->norm, l->images_per_second, l->seconds);
    return written < 0 || fflush(log->file) ? failed(log, err) : TT_OK;
}

enum tt_status tt_train_log_sync(struct tt_train_log *log, struct tt_error *err) {
    return fflush(log->file) || fsync(fileno(log->file)) ? failed(log, err) : TT_OK;
}
