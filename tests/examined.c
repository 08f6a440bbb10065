// SPDX-License-Identifier: MIT
#include "examined.h"

#include "util.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static struct tt_engine *engine;
static struct tt_examination *seen;

void examined_open(void) {
    struct tt_engine_settings settings;
    struct tt_error err = {0};
    tt_engine_defaults(&settings, sizeof settings);
    settings.threads = 2;
    ck_assert_msg(!tt_engine_new(&settings, &engine, &err), "%s", err.message);
}

void examined_close(void) {
    tt_examination_free(seen);
    seen = NULL;
    tt_engine_free(engine);
}

const struct tt_engine *examined_engine(void) {
    return engine;
}

void examined_look_as(const char *path, bool quick, const char *variant) {
    struct tt_examine_settings settings;
    struct tt_error err = {0};
    tt_examination_free(seen);
    tt_examine_defaults(&settings, sizeof settings);
    settings.quick = quick;
    settings.variant = variant;
    settings.cache = test_path("cache");
    ck_assert_msg(!tt_examine(path, engine, &settings, &seen, &err), "%s", err.message);
}

void examined_look(const char *path) {
    examined_look_as(path, false, NULL);
}

const struct tt_finding *examined_finding(const char *code, const char *tensor,
                                          const char *found) {
    const struct tt_finding *f;
    for (size_t i = 0; (f = tt_finding_at(seen, i)); i++)
        if (!strcmp(f->code, code) && (!tensor || !strcmp(f->tensor, tensor)) &&
            (!found || strstr(f->found, found)))
            return f;
    return NULL;
}

size_t examined_count(const char *code) {
    const struct tt_finding *f;
    size_t count = 0;
    for (size_t i = 0; (f = tt_finding_at(seen, i)); i++) count += !strcmp(f->code, code);
    return count;
}

static void print_all(void) {
    const struct tt_finding *f;
    for (size_t i = 0; (f = tt_finding_at(seen, i)); i++)
        fprintf(stderr, "%s: %s: %s: %s; %s; %s\n", f->code, f->file, f->tensor, f->found,
                f->expected, f->advice);
}

void examined_find(const char *code, const char *tensor, const char *found) {
    if (!examined_finding(code, tensor, found)) print_all();
    ck_assert_msg(examined_finding(code, tensor, found) != NULL, "no %s: %s: %s", code,
                  tensor ? tensor : "", found ? found : "");
}

const char *examined_kind(void) {
    return tt_examination_kind(seen);
}

void examined_be(const char *kind, bool sound) {
    if (tt_examination_is_sound(seen) != sound) print_all();
    ck_assert_str_eq(tt_examination_kind(seen), kind);
    ck_assert_int_eq(tt_examination_is_sound(seen), sound);
}

void examined_know(const char *of, const char *name, const char *text) {
    const struct tt_fact *fact;
    char known[2000] = "";
    for (size_t i = 0; (fact = tt_fact_at(seen, i)); i++) {
        if (strcmp(fact->of, of) || strcmp(fact->name, name)) continue;
        if (!strcmp(fact->text, text)) return;
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%.100s; ", fact->text);
    }
    ck_abort_msg("%s: %s: found %s, expected %s", of, name, known, text);
}

double examined_number(const char *of, const char *name) {
    const struct tt_fact *fact;
    for (size_t i = 0; (fact = tt_fact_at(seen, i)); i++)
        if (!strcmp(fact->of, of) && !strcmp(fact->name, name)) return fact->number;
    ck_abort_msg("%s: %s: no such fact", of, name);
    return NAN;
}
