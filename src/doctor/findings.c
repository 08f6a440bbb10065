// SPDX-License-Identifier: MIT
// What an examination has found: findings, facts, and the texts they are made of.
#include "doctor/doctor.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *code;
    enum tt_severity severity;
    const char *means, *advice;
} codes[TT_CODES] = {
#define FINDING(id, code, severity, means, advice) {code, TT_IS_##severity, means, advice},
#include "doctor/findings.def"
#undef FINDING
};

static const struct {
    const char *kind, *is, *use;
} kinds[TT_KINDS] = {
#define KIND(id, kind, is, use) {kind, is, use},
#include "doctor/kinds.def"
#undef KIND
};

bool tt_finding_code(size_t i, const char **code, enum tt_severity *severity, const char **means) {
    if (i >= TT_CODES) return false;
    *code = codes[i].code;
    *severity = codes[i].severity;
    *means = codes[i].means;
    return true;
}

bool tt_kind_list(size_t i, const char **kind, const char **is) {
    if (i >= TT_KINDS) return false;
    *kind = kinds[i].kind;
    *is = kinds[i].is;
    return true;
}

// ---- texts ----

const char *tt_doctor_text(struct tt_examination *x, const char *format, ...) {
    char *text = NULL;
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    if (length >= 0) text = tt_pool_alloc(&x->pool, (size_t)length + 1);
    if (text) vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    va_end(args);
    if (text) return text;
    x->no_memory = true;
    return "";
}

// Names in files may be of any length.
static const char *keep(struct tt_examination *x, const char *text) {
    return text && *text ? tt_doctor_text(x, "%.2000s", text) : "";
}

// Room for one more element of `size` bytes; NULL without memory.
static void *grow(struct tt_examination *x, void *list, size_t count, size_t *room, size_t size) {
    if (count < *room) return list;
    size_t more = *room ? 2 * *room : 16;
    void *grown = realloc(list, more * size);
    if (grown) *room = more;
    else x->no_memory = true;
    return grown;
}

// ---- findings ----

void tt_doctor_find(struct tt_examination *x, enum tt_doctor_code code, const char *file,
                    const char *tensor, const char *found, const char *expected,
                    const char *advice) {
    if (x->mute || x->of_code[code]++ >= TT_DOCTOR_LISTED) return;
    struct tt_finding *list = grow(x, x->findings, x->finding_count, &x->finding_room,
                                   sizeof *list);
    if (!list) return;
    x->findings = list;
    list[x->finding_count++] = (struct tt_finding){
        .code = codes[code].code, .severity = codes[code].severity, .file = keep(x, file),
        .tensor = keep(x, tensor), .found = keep(x, found), .expected = keep(x, expected),
        .advice = advice ? keep(x, advice) : codes[code].advice,
    };
}

bool tt_doctor_has_errors(const struct tt_examination *x) {
    for (size_t i = 0; i < x->finding_count; i++)
        if (x->findings[i].severity == TT_IS_ERROR) return true;
    return false;
}

static void count_rest(struct tt_examination *x) {
    for (int code = 0; code < TT_CODES; code++) {
        if (x->of_code[code] <= TT_DOCTOR_LISTED || code == TT_CODE_MORE) continue;
        const char *text = tt_doctor_text(x, "%zu more of %s",
                                          x->of_code[code] - TT_DOCTOR_LISTED, codes[code].code);
        tt_doctor_find(x, TT_CODE_MORE, NULL, NULL, text, NULL, NULL);
    }
}

// Errors first, each severity in the order in which it was found.
void tt_doctor_close(struct tt_examination *x) {
    count_rest(x);
    struct tt_finding *sorted = calloc(x->finding_count + 1, sizeof *sorted);
    size_t count = 0;
    if (!sorted) {
        x->no_memory = true;
        return;
    }
    for (int severity = TT_IS_ERROR; severity >= TT_IS_NOTE; severity--)
        for (size_t i = 0; i < x->finding_count; i++)
            if ((int)x->findings[i].severity == severity) sorted[count++] = x->findings[i];
    free(x->findings);
    x->findings = sorted;
}

// ---- facts ----

static void add_fact(struct tt_examination *x, struct tt_fact fact) {
    if (x->mute || !*fact.text) return;
    struct tt_fact *list = grow(x, x->facts, x->fact_count, &x->fact_room, sizeof *list);
    if (!list) return;
    x->facts = list;
    list[x->fact_count++] = fact;
}

void tt_doctor_fact(struct tt_examination *x, const char *of, const char *name, const char *text) {
    add_fact(x, (struct tt_fact){keep(x, of), name, keep(x, text), (double)NAN, false});
}

bool tt_doctor_knows(const struct tt_examination *x, const char *name) {
    for (size_t i = 0; i < x->fact_count; i++)
        if (!*x->facts[i].of && !strcmp(x->facts[i].name, name)) return true;
    return false;
}

void tt_doctor_listed(struct tt_examination *x, const char *of, const char *name,
                      const char *text) {
    add_fact(x, (struct tt_fact){keep(x, of), name, keep(x, text), (double)NAN, true});
}

void tt_doctor_number(struct tt_examination *x, const char *of, const char *name, double number) {
    const char *text = tt_doctor_text(x, "%.15g", number);
    add_fact(x, (struct tt_fact){keep(x, of), name, text, number, false});
}

void tt_doctor_is(struct tt_examination *x, enum tt_doctor_kind kind) {
    x->kind = kind;
    x->is = kinds[kind].is;
}

void tt_doctor_use(struct tt_examination *x, const char *path) {
    const char *use = kinds[x->kind].use;
    if (use && !tt_doctor_has_errors(x)) tt_doctor_fact(x, "", "use", use);
    if (!use) tt_doctor_find(x, TT_CODE_NO_USE, path, NULL, x->is, NULL, NULL);
}

// ---- what the public interface tells ----

const char *tt_examination_kind(const struct tt_examination *x) {
    return kinds[x->kind].kind;
}

const char *tt_examination_is(const struct tt_examination *x) {
    return x->is;
}

bool tt_examination_is_sound(const struct tt_examination *x) {
    return !tt_doctor_has_errors(x);
}

const struct tt_finding *tt_finding_at(const struct tt_examination *x, size_t i) {
    return i < x->finding_count ? &x->findings[i] : NULL;
}

const struct tt_fact *tt_fact_at(const struct tt_examination *x, size_t i) {
    return i < x->fact_count ? &x->facts[i] : NULL;
}
