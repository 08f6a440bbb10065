// SPDX-License-Identifier: MIT
// Input: any file that somebody asks the doctor about; or, when it begins with '{', the header of a
// safetensors file with some numbers behind it.
#include "fuzz.h"

#include "doctor/doctor.h"

#include <string.h>

enum { NUMBERS = 512 }; // bytes behind a header

static struct tt_engine *engine;

static void must_be_text(const char *text) {
    must(text && strlen(text) <= 4096);
}

static void walk(const struct tt_examination *x) {
    const struct tt_finding *f;
    const struct tt_fact *fact;
    bool error = false;
    size_t n = 0;
    for (; (f = tt_finding_at(x, n)); n++) {
        must_be_text(f->code);
        must_be_text(f->file);
        must_be_text(f->tensor);
        must_be_text(f->found);
        must_be_text(f->expected);
        must_be_text(f->advice);
        must(!n || tt_finding_at(x, n - 1)->severity >= f->severity);
        error |= f->severity == TT_IS_ERROR;
    }
    must(error != tt_examination_is_sound(x));
    must(n <= (size_t)TT_CODES * TT_DOCTOR_LISTED);
    for (size_t i = 0; (fact = tt_fact_at(x, i)); i++) {
        must_be_text(fact->of);
        must_be_text(fact->name);
        must_be_text(fact->text);
        must(*fact->name && *fact->text);
    }
    must_be_text(tt_examination_kind(x));
    must_be_text(tt_examination_is(x));
}

static void examine(const char *name, const void *data, size_t size) {
    struct tt_examination *x = NULL;
    struct tt_error error = {0};
    enum tt_status status = tt_examine_bytes(name, data, size, engine, NULL, &x, &error);
    must_explain(status, error);
    must(!status == (x != NULL));
    if (x) walk(x);
    tt_examination_free(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"a.safetensors", "a.gguf", "a.json", "a.bin", "a"};
    struct tt_engine_settings settings;
    tt_engine_defaults(&settings, sizeof settings);
    settings.threads = 1;
    if (!engine) must(!tt_engine_new(&settings, &engine, NULL));
    examine(names[size % (sizeof names / sizeof *names)], data, size);
    if (!size || *data != '{') return 0;
    unsigned char *file = malloc(8 + size + NUMBERS);
    must(file != NULL);
    for (int i = 0; i < 8; i++) file[i] = (unsigned char)((uint64_t)size >> 8 * i);
    memcpy(file + 8, data, size);
    for (size_t i = 0; i < NUMBERS; i++) file[8 + size + i] = (unsigned char)(i * 37);
    examine("a.safetensors", file, 8 + size + NUMBERS);
    free(file);
    return 0;
}
