// SPDX-License-Identifier: MIT
#include "text/normalize.h"

#include "base/text.h"
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

// Canonical decomposition makes at most four characters of one (U+1F82 and its like), and never
// more than three for two bytes.
enum { PARTS = 4 };

static unsigned combining_class(int32_t c) {
    return (unsigned)utf8proc_get_property(c)->combining_class;
}

static int by_value(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

// Sorts a run of marks by combining class, those of one class as they stood: class, place and mark
// in one number. A loop that swaps neighbours, as utf8proc has it, takes the square of the run.
static void order_run(int32_t *run, size_t n, uint64_t *keys) {
    bool sorted = true;
    for (size_t i = 0; i < n; i++) {
        keys[i] = (uint64_t)combining_class(run[i]) << 56 | (uint64_t)i << 21 | (uint64_t)run[i];
        sorted &= !i || keys[i] > keys[i - 1];
    }
    if (sorted) return;
    qsort(keys, n, sizeof *keys, by_value);
    for (size_t i = 0; i < n; i++) run[i] = (int32_t)(keys[i] & 0x1FFFFF);
}

static void order_marks(int32_t *characters, size_t count, uint64_t *keys) {
    for (size_t i = 0, end; i < count; i = end + 1) {
        for (end = i; end < count && combining_class(characters[end]); end++) continue;
        if (end - i > 1) order_run(characters + i, end - i, keys);
    }
}

// NFC of size bytes of valid UTF-8 without barriers into out, which has room; returns the bytes
// used. characters has room for all parts, keys as well.
static size_t compose_stretch(const char *text, size_t size, int32_t *characters, uint64_t *keys,
                              char *out) {
    const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    size_t count = 0, used = 0, step;
    for (size_t at = 0; at < size; at += step) {
        int32_t character;
        step = tt_text_character(text + at, size - at, &character);
        count += (size_t)utf8proc_decompose_char(character, characters + count, PARTS, options,
                                                 NULL);
    }
    order_marks(characters, count, keys);
    count = (size_t)utf8proc_normalize_utf32(characters, (utf8proc_ssize_t)count, options);
    for (size_t i = 0; i < count; i++)
        used += (size_t)utf8proc_encode_char(characters[i], (utf8proc_uint8_t *)out + used);
    return used;
}

// NFC of size bytes of valid UTF-8 into out, which has room: NFC takes at most three times the
// bytes. *length: those used. false: out of memory.
static bool compose(const char *text, size_t size, char *out, size_t *length) {
    int32_t *characters = malloc((2 * size + PARTS) * sizeof *characters);
    uint64_t *keys = malloc((2 * size + PARTS) * sizeof *keys);
    bool good = characters && keys;
    *length = 0;
    for (size_t at = 0; good && at < size;) {
        size_t end = at, step = 0;
        int32_t character;
        for (; end < size; end += step) {
            step = tt_text_character(text + end, size - end, &character);
            if (tt_unicode_is_barrier(character)) break;
        }
        *length += compose_stretch(text + at, end - at, characters, keys, out + *length);
        if (end == size) break;
        memcpy(out + *length, text + end, step);
        *length += step;
        at = end + step;
    }
    free(keys);
    free(characters);
    return good;
}

enum tt_status tt_text_normalize(const char *text, size_t size, char **out, size_t *length,
                                 struct tt_error *err) {
    size_t composed_size = 0;
    char *composed = malloc(3 * size + 1), *normal = NULL;
    // Lower case takes at most 3 bytes for 2 (U+023A, U+0130).
    if (composed && compose(text, size, composed, &composed_size))
        normal = malloc(2 * composed_size + 1);
    if (!normal) {
        free(composed);
        return tt_fail(err, TT_SYSTEM, "out of memory for a text of %zu bytes", size);
    }
    size_t used = 0, step;
    bool after_space = false;
    for (size_t at = 0; at < composed_size; at += step) {
        int32_t character, lower[2];
        step = tt_text_character(composed + at, composed_size - at, &character);
        bool space = tt_unicode_class(character) == TT_SPACE;
        if (space && !after_space) normal[used++] = ' ';
        after_space = space;
        int count = space ? 0 : tt_unicode_lower(character, lower);
        for (int i = 0; i < count; i++)
            used += (size_t)utf8proc_encode_char(lower[i], (utf8proc_uint8_t *)normal + used);
    }
    normal[used] = 0;
    free(composed);
    *out = normal;
    *length = used;
    return TT_OK;
}
