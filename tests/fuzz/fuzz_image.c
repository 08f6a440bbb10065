// SPDX-License-Identifier: MIT
// Input: a PNG or JPEG file.
#include "fuzz.h"

#include "tintype.h"

#include <stdbool.h>
#include <string.h>

static size_t big_endian(const uint8_t *at, int bytes) {
    size_t value = 0;
    for (int i = 0; i < bytes; i++) value = value << 8 | at[i];
    return value;
}

// Whether a header anywhere in the file promises more than a megapixel: the reader has its own
// limit, but below that a large picture only takes the fuzzer's time.
static bool is_large(const uint8_t *data, size_t size) {
    const size_t most = 1 << 20;
    if (size >= 24 && data[0] == 0x89)
        return big_endian(data + 16, 4) * big_endian(data + 20, 4) > most;
    for (size_t i = 0; i + 9 <= size; i++) {
        bool frame = data[i] == 0xff && data[i + 1] >= 0xc0 && data[i + 1] <= 0xcf &&
                     data[i + 1] != 0xc4 && data[i + 1] != 0xcc; // tables
        if (frame && big_endian(data + i + 5, 2) * big_endian(data + i + 7, 2) > most) return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tt_image image;
    struct tt_error error = {0};
    if (is_large(data, size)) return 0;
    enum tt_status status = tt_image_read_memory("fuzz", data, size, &image, &error);
    must_explain(status, error);
    must(!status == (image.rgb != NULL));
    unsigned sum = 0;
    for (size_t i = 0; !status && i < 3 * image.width * image.height; i++) sum += image.rgb[i];
    must(sum <= 255u * 3u << 20);
    tt_image_free(&image);
    return 0;
}
