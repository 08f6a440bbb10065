// SPDX-License-Identifier: MIT
// Texts of files and users, which may hold anything.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "cli/cli.h"

// Letters, marks, digits and the like, and the space: what a terminal shows and does not obey.
static bool is_shown(int32_t c) {
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC: case UTF8PROC_CATEGORY_ZL: case UTF8PROC_CATEGORY_ZP: return false;
    case UTF8PROC_CATEGORY_CF: // of the invisible ones, those that change the direction
        return !(c >= 0x202a && c <= 0x202e) && !(c >= 0x2066 && c <= 0x2069) && c != 0x200e &&
               c != 0x200f && c != 0x61c;
    default: return true;
    }
}

bool cli_character(const char *text, size_t size, int32_t *character, size_t *bytes) {
    utf8proc_ssize_t used =
        utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)size, character);
    *bytes = used > 0 ? (size_t)used : 1;
    return used > 0;
}

bool cli_is_shown(const char *text, size_t *bytes) {
    int32_t c;
    return cli_character(text, SIZE_MAX, &c, bytes) && is_shown(c);
}

void cli_print(FILE *to, const char *text) {
    for (size_t bytes; *text; text += bytes) {
        if (cli_is_shown(text, &bytes)) fwrite(text, 1, bytes, to);
        else fputc('?', to);
    }
}

json_t *cli_json_text(const char *text) {
    static const char replacement[] = "\xef\xbf\xbd";
    char *good = malloc(3 * strlen(text) + 1), *end = good;
    int32_t c;
    if (!good) return NULL;
    for (size_t bytes; *text; text += bytes) {
        bool valid = cli_character(text, SIZE_MAX, &c, &bytes);
        memcpy(end, valid ? text : replacement, valid ? bytes : 3);
        end += valid ? bytes : 3;
    }
    *end = 0;
    json_t *string = json_string(good);
    free(good);
    return string;
}

json_t *cli_json_real(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *cli_json_shape(const struct tt_shape *shape) {
    json_t *sizes = json_array();
    for (size_t i = 0; i < shape->rank; i++)
        json_array_append_new(sizes, json_integer((json_int_t)shape->dim[i]));
    return sizes;
}
