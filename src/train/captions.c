// SPDX-License-Identifier: MIT
#include "train/captions.h"

#include <string.h>
#include <utf8proc.h>

#include "base/text.h"
#include "text/tokenizer.h"

size_t tt_skip_mark(const void *text, size_t size) {
    return size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
}

bool tt_is_utf16(const void *text, size_t size) {
    return size >= 2 && (!memcmp(text, "\xff\xfe", 2) || !memcmp(text, "\xfe\xff", 2));
}

size_t tt_white_space(const char *text, size_t size) {
    int32_t c;
    size_t n = tt_text_character(text, size, &c);
    if (!n) return 0;
    const utf8proc_property_t *property = utf8proc_get_property(c);
    return property->category == UTF8PROC_CATEGORY_ZS ||
                   property->bidi_class == UTF8PROC_BIDI_CLASS_WS ||
                   property->bidi_class == UTF8PROC_BIDI_CLASS_B ||
                   property->bidi_class == UTF8PROC_BIDI_CLASS_S
               ? n : 0;
}

enum tt_status tt_caption_read(const struct tt_folder *folder, const char *name,
                               struct tt_pool *pool, const char **text, const char **problem,
                               struct tt_error *err) {
    struct tt_bytes bytes = {0};
    const char *path = tt_folder_name(folder);
    *text = *problem = NULL;
    enum tt_status status = tt_folder_read(folder, name, &bytes, err);
    if (status) return status;
    size_t first = tt_skip_mark(bytes.data, bytes.size), size = bytes.size;
    while (size > first && strchr(" \t\r\n", bytes.data[size - 1]) && bytes.data[size - 1]) size--;
    if (bytes.size > TT_TEXT_BYTES)
        *problem = tt_pool_format(pool, "%s/%s: found %zu bytes, expected at most %d", path, name,
                                  bytes.size, TT_TEXT_BYTES);
    else if (tt_is_utf16(bytes.data, bytes.size))
        *problem = tt_pool_format(pool, "%s/%s: found UTF-16 text, expected UTF-8", path, name);
    else if (!tt_text_is_utf8(bytes.data + first, size - first) ||
             memchr(bytes.data + first, 0, size - first))
        *problem = tt_pool_format(pool, "%s/%s: no valid UTF-8", path, name);
    else *text = tt_pool_format(pool, "%.*s", (int)(size - first), bytes.data + first);
    tt_bytes_free(&bytes);
    return *text || *problem ? TT_OK : tt_fail(err, TT_SYSTEM, "out of memory for a caption");
}

void tt_caption_drop_words(const char *caption, double p, struct tt_rng *rng, char *out) {
    const char *at = caption, *stop = caption + strlen(caption);
    char *end = out;
    while (at < stop) {
        size_t space = tt_white_space(at, (size_t)(stop - at)), length = 0;
        at += space;
        if (space) continue;
        while (at + length < stop && !tt_white_space(at + length, (size_t)(stop - at) - length))
            length++; // a byte inside a character is none of white space
        float chance;
        tt_rng_uniform(rng, &chance, 1);
        if ((double)chance >= p) {
            if (end > out) *end++ = ' ';
            memcpy(end, at, length);
            end += length;
        }
        at += length;
    }
    *end = '\0';
}
