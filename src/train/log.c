// SPDX-License-Identifier: MIT
#include "train/log.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/file.h"
#include "io/json.h"
#include "io/writer.h"

struct tt_train_log {
    struct tt_appender *file;
    long long held; // the step of the last line if that is of held-out pictures, else -1
};

// What a line beginning like this tells, and its step; false: it is none of a log.
static bool look(const char *line, size_t size, enum tt_train_told *told, size_t *step) {
    char head[80], key[32] = "";
    snprintf(head, sizeof head, "%.*s", (int)(size < 79 ? size : 79), line);
    if (sscanf(head, "{\"step\":%zu, \"%31[a-z_]\"", step, key) < 1) return false;
    *told = !strcmp(key, "validation_loss") ? TT_TOLD_HELD
            : !strcmp(key, "change")        ? TT_TOLD_CHANGE
                                            : TT_TOLD_STEPS;
    return true;
}

// How much of the text is whole lines up to its end; a line that is none of a log is somebody
// else's, and not to be lost. *held: the step of the last line, if that is of held-out pictures.
static enum tt_status keep(const char *path, const char *text, size_t size, struct tt_log_end to,
                           size_t *kept, long long *held, struct tt_error *err) {
    size_t number = 0, at = 0;
    bool later = !to.step;
    for (*kept = 0; at < size;) {
        const char *line = text + at, *end = memchr(line, '\n', size - at);
        size_t found;
        enum tt_train_told told;
        if (!end) return TT_OK; // torn
        number++;
        if (!look(line, (size_t)(end - line), &told, &found))
            return tt_fail(err, TT_BAD_INPUT, "%s: line %zu: found no line of a log of training, "
                           "expected {\"step\":...", path, number);
        at += (size_t)(end - line) + 1;
        bool last = found == to.step, change = last && told == TT_TOLD_CHANGE;
        later = later || found > to.step || (change && !to.changes) ||
                (last && told == TT_TOLD_HELD && !to.held);
        if (change && to.changes) to.changes--;
        if (later) continue;
        *kept = at;
        *held = told == TT_TOLD_HELD ? (long long)found : -1;
    }
    return TT_OK;
}

// Drops what comes behind its end.
static enum tt_status cut(const char *path, struct tt_log_end end, long long *held,
                          struct tt_error *err) {
    struct tt_bytes bytes = {0};
    struct stat info;
    if (lstat(path, &info) && errno == ENOENT) return TT_OK;
    size_t kept = 0;
    enum tt_status status = tt_file_read(NULL, path, &bytes, err);
    if (!status)
        status = keep(path, (const char *)bytes.data, bytes.size, end, &kept, held, err);
    if (!status && kept < bytes.size)
        status = tt_write_file(NULL, path, bytes.data, kept, err);
    tt_bytes_free(&bytes);
    return status;
}

enum tt_status tt_train_log_open(struct tt_files *files, const char *path, struct tt_log_end end,
                                 struct tt_train_log **out, struct tt_error *err) {
    long long held = -1;
    enum tt_status status = cut(path, end, &held, err);
    if (status) return status;
    struct tt_train_log *log = calloc(1, sizeof *log);
    if (!log) return tt_fail(err, TT_SYSTEM, "%s: out of memory", path);
    log->held = held;
    status = tt_appender_open(files, path, &log->file, err);
    if (status) tt_train_log_close(log);
    else *out = log;
    return status;
}

bool tt_train_log_has_held(const struct tt_train_log *log, size_t step) {
    return log->held == (long long)step;
}

void tt_train_log_close(struct tt_train_log *log) {
    if (!log) return;
    tt_appender_close(log->file);
    free(log);
}

enum tt_status tt_train_log_add(struct tt_train_log *log, const struct tt_train_line *l,
                                struct tt_error *err) {
    char line[256];
    int length = snprintf(line, sizeof line,
                          "{\"step\":%zu,\"loss\":%.9g,\"learning_rate\":%.9g,\"norm\":%.9g,"
                          "\"images_per_second\":%.4g,\"seconds\":%.2f}\n", l->step, l->loss,
                          l->learning_rate, l->norm, l->images_per_second, l->seconds);
    return tt_appender_add(log->file, line, (size_t)length, err);
}

enum tt_status tt_train_log_add_held(struct tt_train_log *log, size_t step, double loss,
                                     struct tt_error *err) {
    char line[96];
    snprintf(line, sizeof line, "{\"step\":%zu,\"validation_loss\":%.9g}\n", step, loss);
    return tt_train_log_add_text(log, line, err);
}

enum tt_status tt_train_log_add_text(struct tt_train_log *log, const char *line,
                                     struct tt_error *err) {
    return tt_appender_add(log->file, line, strlen(line), err);
}

enum tt_status tt_train_log_sync(struct tt_train_log *log, struct tt_error *err) {
    return tt_appender_sync(log->file, err);
}

// A number that is not finite makes the line invalid JSON, or would be taken for a large one: it is
// named before. A line is "key": number, ... without strings as values, but for changes.
static enum tt_status check_finite(const char *where, const char *text, size_t size,
                                   struct tt_error *err) {
    for (const char *at = text, *end = text + size; (at = memchr(at, ':', (size_t)(end - at)));) {
        const char *close = at, *open, *value = ++at;
        char number[40];
        while (close > text && close[-1] != '"') close--;
        for (open = close > text ? --close : close; open > text && open[-1] != '"';) open--;
        while (value < end && *value == ' ') value++;
        size_t length = 0;
        for (; value + length < end && !strchr(",} \n", value[length]); length++) continue;
        snprintf(number, sizeof number, "%.*s", (int)(length < 39 ? length : 39), value);
        char *rest;
        if (isfinite(strtod(number, &rest)) || rest == number) continue;
        return tt_fail(err, TT_BAD_INPUT, "%s: %.*s: found %s, expected a finite number", where,
                       (int)(close - open < 60 ? close - open : 60), open, number);
    }
    return TT_OK;
}

static enum tt_status read_line(const char *where, const char *text, size_t size,
                                struct tt_train_line *line, struct tt_error *err) {
    struct tt_json *json;
    if (size > TT_LOG_LINE)
        return tt_fail(err, TT_BAD_INPUT, "%s: found %zu bytes, expected at most %d", where, size,
                       TT_LOG_LINE);
    enum tt_train_told told = TT_TOLD_STEPS;
    size_t step;
    enum tt_status status = TT_OK;
    if (!look(text, size, &told, &step) || told != TT_TOLD_CHANGE)
        status = check_finite(where, text, size, err);
    if (!status) status = tt_json_open(where, text, size, &json, err);
    if (status) return status;
    if (told != TT_TOLD_STEPS) {
        *line = (struct tt_train_line){
            .told = told, .step = (size_t)tt_json_int(json, "step", 0, LONG_MAX),
            .loss = told == TT_TOLD_HELD ? tt_json_number(json, "validation_loss") : 0,
        };
        status = told == TT_TOLD_HELD ? tt_json_finish(json, err) : tt_json_status(json, err);
        tt_json_free(json);
        return status;
    }
    *line = (struct tt_train_line){
        .step = (size_t)tt_json_int(json, "step", 1, LONG_MAX),
        .loss = tt_json_number(json, "loss"),
        .learning_rate = tt_json_number(json, "learning_rate"),
        .norm = tt_json_number(json, "norm"),
        .images_per_second = tt_json_number(json, "images_per_second"),
        .seconds = tt_json_number(json, "seconds"),
    };
    status = tt_json_finish(json, err);
    tt_json_free(json);
    return status;
}

// Lines that are read, in room that grows with them.
struct lines {
    struct tt_train_line *at;
    size_t count, room;
};

static enum tt_status make_room(struct lines *lines, const char *path, struct tt_error *err) {
    if (lines->count == TT_LOG_LINES)
        return tt_fail(err, TT_BAD_INPUT, "%s: found more than %d lines, expected no more", path,
                       TT_LOG_LINES);
    if (lines->count < lines->room) return TT_OK;
    size_t room = lines->room ? 2 * lines->room : 64;
    struct tt_train_line *at = realloc(lines->at, room * sizeof *at);
    if (!at) return tt_fail(err, TT_SYSTEM, "%s: out of memory for %zu lines", path, room);
    lines->at = at;
    lines->room = room;
    return TT_OK;
}

static enum tt_status read_lines(const char *path, const char *text, size_t size,
                                 const struct tt_poll *poll, struct lines *lines,
                                 struct tt_error *err) {
    enum tt_status status = TT_OK;
    const char *end;
    size_t before = 0, done = 0; // steps of the last line, and of the last that tells of steps
    for (; !status && (end = memchr(text, '\n', size)); lines->count++) {
        size_t length = (size_t)(end - text) + 1;
        char where[PATH_MAX + 32];
        snprintf(where, sizeof where, "%s: line %zu", path, lines->count + 1);
        status = make_room(lines, path, err);
        if (!status && lines->count % 1024 == 0) status = tt_poll_ask(poll, path, err);
        if (status) break;
        struct tt_train_line *line = &lines->at[lines->count];
        status = read_line(where, text, length, line, err);
        bool steps = !status && line->told == TT_TOLD_STEPS;
        if (steps && line->step <= done)
            status = tt_fail(err, TT_BAD_INPUT, "%s: step: found %zu, expected more than %zu",
                             where, line->step, done);
        if (!status && line->step < before)
            status = tt_fail(err, TT_BAD_INPUT, "%s: step: found %zu, expected at least %zu",
                             where, line->step, before);
        before = line->step;
        if (steps) done = line->step;
        text += length;
        size -= length;
    }
    if (!status && !lines->count)
        status = tt_fail(err, TT_BAD_INPUT, "%s: found no line, expected a log of training", path);
    return status;
}

enum tt_status tt_train_log_read_memory(const char *name, const void *data, size_t size,
                                        const struct tt_poll *poll, struct tt_train_line **lines,
                                        size_t *count, struct tt_error *err) {
    struct lines read = {0};
    if (size > TT_LOG_BYTES)
        return tt_fail(err, TT_BAD_INPUT, "%s: found %zu bytes, expected a log of at most %d", name,
                       size, TT_LOG_BYTES);
    enum tt_status status = read_lines(name, data, size, poll, &read, err);
    if (status) {
        free(read.at);
        return status;
    }
    *lines = read.at;
    *count = read.count;
    return TT_OK;
}

enum tt_status tt_train_log_read(struct tt_files *files, const char *path,
                                 struct tt_train_line **lines, size_t *count,
                                 struct tt_error *err) {
    struct tt_bytes bytes = {0};
    enum tt_status status = tt_file_read(files, path, &bytes, err);
    if (!status)
        status = tt_train_log_read_memory(path, bytes.data, bytes.size, tt_files_poll(files),
                                          lines, count, err);
    tt_bytes_free(&bytes);
    return status;
}

// ---- for programs ----

struct tt_train_lines {
    struct tt_train_line *at;
    size_t count;
};

enum tt_status tt_train_lines_read(struct tt_files *files, const char *path,
                                   struct tt_train_lines **out, struct tt_error *err) {
    struct tt_train_lines *lines = calloc(1, sizeof *lines);
    if (!lines) return tt_fail(err, TT_SYSTEM, "%s: out of memory", path);
    enum tt_status status = tt_train_log_read(files, path, &lines->at, &lines->count, err);
    if (status) free(lines);
    else *out = lines;
    return status;
}

const struct tt_train_line *tt_train_lines_at(const struct tt_train_lines *lines, size_t i) {
    return i < lines->count ? &lines->at[i] : NULL;
}

void tt_train_lines_free(struct tt_train_lines *lines) {
    if (!lines) return;
    free(lines->at);
    free(lines);
}
