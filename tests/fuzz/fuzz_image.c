// SPDX-License-Identifier: MIT
// Input: a PNG, JPEG or WebP file. A PNG is also read with its checksums put right, which a fuzzer
// cannot guess, and so are the settings in it.
#include "fuzz.h"

#include "cli/parameters.h"

#include <stdbool.h>
#include <string.h>
#include <webp/decode.h>
#include <zlib.h>

static size_t big_endian(const uint8_t *at, int bytes) {
    size_t value = 0;
    for (int i = 0; i < bytes; i++) value = value << 8 | at[i];
    return value;
}

// Whether a header anywhere in the file promises more than a megapixel: the reader has its own
// limit, but below that a large picture only takes the fuzzer's time.
static bool is_large(const uint8_t *data, size_t size) {
    const size_t most = 1 << 20;
    int width, height;
    if (WebPGetInfo(data, size, &width, &height)) return (size_t)width * (size_t)height > most;
    if (size >= 24 && data[0] == 0x89)
        return big_endian(data + 16, 4) * big_endian(data + 20, 4) > most;
    for (size_t i = 0; i + 9 <= size; i++) {
        bool frame = data[i] == 0xff && data[i + 1] >= 0xc0 && data[i + 1] <= 0xcf &&
                     data[i + 1] != 0xc4 && data[i + 1] != 0xcc; // tables
        if (frame && big_endian(data + i + 5, 2) * big_endian(data + i + 7, 2) > most) return true;
    }
    return false;
}

// Puts the checksum of every chunk right; whether one was wrong.
static bool mend(uint8_t *data, size_t size) {
    bool changed = false;
    for (size_t at = 8; at + 12 <= size;) {
        size_t length = big_endian(data + at, 4);
        if (length > size - at - 12) break;
        uint8_t *sum = data + at + 8 + length;
        size_t right = crc32(0, data + at + 4, (uInt)length + 4);
        changed |= big_endian(sum, 4) != right;
        for (int i = 0; i < 4; i++) sum[i] = (uint8_t)(right >> (24 - 8 * i));
        at += 12 + length;
    }
    return changed;
}

static void read_pixels(const uint8_t *data, size_t size) {
    struct tt_image image;
    struct tt_error error = {0};
    enum tt_status status = tt_image_read_memory("fuzz", data, size, &image, &error);
    must_explain(status, error);
    must(!status == (image.rgb != NULL));
    unsigned sum = 0;
    for (size_t i = 0; !status && i < 3 * image.width * image.height; i++) sum += image.rgb[i];
    must(sum <= 255u * 3u << 20);
    tt_image_free(&image);
}

// What `generate --replay` reads; settings it takes are written and read again.
static void read_settings(const uint8_t *data, size_t size) {
    char *text = NULL, *again = NULL;
    struct tt_error error = {0};
    enum tt_status status = tt_image_read_settings_memory("fuzz", data, size, &text, &error);
    must_explain(status, error);
    must(!status == (text != NULL));
    if (status) return;
    struct settings_read read, same;
    status = settings_parse("fuzz", text, &read, &error);
    must_explain(status, error);
    if (!status) {
        must(read.with.prompt && read.with.scheduler && read.with.steps && read.with.width);
        must((again = settings_text(&read.with, &read.record)));
        status = settings_parse("fuzz", again, &same, &error);
        if (status) fprintf(stderr, "%s: from %s\n", error.message, again);
        must(!status && !strcmp(same.with.prompt, read.with.prompt));
        must(same.with.seed == read.with.seed && same.with.steps == read.with.steps);
        settings_free(&same);
    }
    settings_free(&read);
    free(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (is_large(data, size)) return 0;
    read_pixels(data, size);
    uint8_t *mended = malloc(size + !size);
    must(mended);
    memcpy(mended, data, size);
    if (mend(mended, size)) read_pixels(mended, size);
    read_settings(mended, size);
    free(mended);
    return 0;
}
