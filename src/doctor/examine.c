// SPDX-License-Identifier: MIT
// The way into the doctor, and out of it.
#include "doctor/doctor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/growth.h"
#include "io/files.h"

void tt_examine_defaults(struct tt_examine_settings *settings, size_t size) {
    struct tt_examine_settings defaults = {0};
    tt_growth_give(settings, size, &defaults, sizeof defaults);
}

// What reading a model tells becomes a finding.
static void catch_note(void *context, const char *text) {
    struct tt_examination *x = context;
    // Opening a single file tells of all its networks at once (src/single/single.c).
    bool left_over = strstr(text, "belongs to no network") || strstr(text, "belong to no network");
    enum tt_doctor_code code = left_over ? TT_CODE_SUPERFLUOUS : x->note_code;
    bool listed = x->of_code[code] < TT_DOCTOR_LISTED;
    for (size_t i = 0; listed && i < x->finding_count; i++)
        if (!strcmp(x->findings[i].found, text)) return;
    tt_doctor_find(x, code, x->note_file, NULL, text, NULL, NULL);
}

static enum tt_status look(struct tt_examination *x, const char *path, struct tt_error *err) {
    struct stat info;
    if (stat(path, &info))
        return tt_fail(err, tt_status_of_errno(errno), "%s: cannot open: %s", path,
                       strerror(errno));
    if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode))
        return tt_fail(err, TT_BAD_INPUT, "%s: found a special file, expected a file or a folder",
                       path);
    if (access(path, S_ISDIR(info.st_mode) ? R_OK | X_OK : R_OK))
        return tt_fail(err, tt_status_of_errno(errno), "%s: cannot open: %s", path,
                       strerror(errno));
    return S_ISDIR(info.st_mode) ? tt_doctor_folder(x, path, err) : tt_doctor_file(x, path, err);
}

// bytes NULL: of the file or folder at path.
static enum tt_status examine(const char *path, const struct tt_bytes *bytes,
                              const struct tt_engine *engine,
                              const struct tt_examine_settings *settings,
                              struct tt_examination **out, struct tt_error *err) {
    *out = NULL;
    struct tt_examination *x = calloc(1, sizeof *x);
    if (!x) return tt_fail(err, TT_SYSTEM, "out of memory");
    enum tt_status status = TT_OK;
    if (settings)
        status = tt_growth_take(&x->settings, sizeof x->settings, settings,
                                "struct tt_examine_settings", err);
    x->engine = engine;
    x->own = *engine;
    x->own.notes = (struct tt_notes){catch_note, x};
    x->note_code = TT_CODE_NOTED;
    tt_doctor_is(x, TT_KIND_UNREADABLE);
    if (!status) status = bytes ? tt_doctor_bytes(x, path, *bytes, err) : look(x, path, err);
    tt_doctor_close(x);
    if (!status && x->no_memory) status = tt_fail(err, TT_SYSTEM, "%s: out of memory", path);
    if (status) tt_examination_free(x);
    else *out = x;
    return status;
}

enum tt_status tt_examine(const char *path, const struct tt_engine *engine,
                          const struct tt_examine_settings *settings,
                          struct tt_examination **examination, struct tt_error *err) {
    return examine(path, NULL, engine, settings, examination, err);
}

enum tt_status tt_examine_bytes(const char *path, const void *data, size_t size,
                                const struct tt_engine *engine,
                                const struct tt_examine_settings *settings,
                                struct tt_examination **examination, struct tt_error *err) {
    const struct tt_bytes bytes = {.data = data, .size = size};
    return examine(path, &bytes, engine, settings, examination, err);
}

void tt_examination_free(struct tt_examination *x) {
    if (!x) return;
    free(x->findings);
    free(x->facts);
    tt_pool_free(&x->pool);
    free(x);
}
