// SPDX-License-Identifier: MIT
// Pictures in and out: all kinds of PNG, JPEG, the settings in a PNG, and files made to do harm.
#include "tintype.h"

#include "util.h"

#include <png.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <jpeglib.h>

enum { W = 7, H = 5 };

static void fill(uint8_t *rgb, size_t count) {
    for (size_t i = 0; i < count; i++) rgb[i] = (uint8_t)(i * 37 + i / 3);
}

// A PNG of the given format of libpng's simplified interface; the caller frees.
static uint8_t *make_png(png_uint_32 format, const void *pixels, const void *colours,
                         size_t *size) {
    png_image png = {.version = PNG_IMAGE_VERSION, .width = W, .height = H, .format = format};
    png.colormap_entries = colours ? 4 : 0;
    png_alloc_size_t bytes = 1 << 16;
    uint8_t *out = malloc(bytes);
    ck_assert_msg(png_image_write_to_memory(&png, out, &bytes, 0, pixels, 0, colours), "%s",
                  png.message);
    *size = bytes;
    return out;
}

static uint8_t *make_jpeg(const uint8_t *rgb, int channels, size_t *size) {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *out = NULL;
    unsigned long bytes = 0;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &out, &bytes);
    jpeg.image_width = W;
    jpeg.image_height = H;
    jpeg.input_components = channels;
    jpeg.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 4 ? JCS_CMYK : JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 100, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < H) {
        JSAMPROW row = (JSAMPROW)(rgb + (size_t)channels * W * jpeg.next_scanline);
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    *size = bytes;
    return out;
}

static struct tt_image read_good(const uint8_t *bytes, size_t size) {
    struct tt_image image;
    struct tt_error err = {0};
    ck_assert_msg(!tt_image_read_memory("m", bytes, size, &image, &err), "%s", err.message);
    ck_assert(image.width == W && image.height == H);
    return image;
}

START_TEST(png_kinds) {
    uint8_t rgb[3 * W * H], rgba[4 * W * H], grey[W * H], index[W * H];
    uint16_t wide[3 * W * H];
    const uint8_t colours[12] = {0, 0, 0, 255, 0, 0, 0, 255, 0, 10, 20, 30};
    fill(rgb, sizeof rgb);
    for (size_t i = 0; i < W * H; i++) {
        grey[i] = (uint8_t)(7 * i);
        index[i] = (uint8_t)(i % 4);
        memcpy(rgba + 4 * i, rgb + 3 * i, 3);
        rgba[4 * i + 3] = i % 2 ? 255 : 0;
    }
    for (size_t i = 0; i < 3 * W * H; i++) wide[i] = 65535;
    size_t size;
    uint8_t *bytes = make_png(PNG_FORMAT_RGB, rgb, NULL, &size);
    struct tt_image image = read_good(bytes, size);
    ck_assert(!memcmp(image.rgb, rgb, sizeof rgb));
    tt_image_free(&image);
    free(bytes);
    bytes = make_png(PNG_FORMAT_RGBA, rgba, NULL, &size);
    image = read_good(bytes, size);
    for (size_t i = 0; i < 3 * W * H; i++) ck_assert_int_eq(image.rgb[i], i / 3 % 2 ? rgb[i] : 0);
    tt_image_free(&image);
    free(bytes);
    bytes = make_png(PNG_FORMAT_GRAY, grey, NULL, &size);
    image = read_good(bytes, size);
    for (size_t i = 0; i < 3 * W * H; i++) ck_assert_int_eq(image.rgb[i], grey[i / 3]);
    tt_image_free(&image);
    free(bytes);
    bytes = make_png(PNG_FORMAT_RGB_COLORMAP, index, colours, &size);
    image = read_good(bytes, size);
    for (size_t i = 0; i < 3 * W * H; i++)
        ck_assert_int_eq(image.rgb[i], colours[3 * index[i / 3] + i % 3]);
    tt_image_free(&image);
    free(bytes);
    bytes = make_png(PNG_FORMAT_LINEAR_RGB, wide, NULL, &size);
    image = read_good(bytes, size);
    for (size_t i = 0; i < 3 * W * H; i++) ck_assert_int_eq(image.rgb[i], 255);
    tt_image_free(&image);
    free(bytes);
}
END_TEST

START_TEST(jpeg_kinds) {
    uint8_t flat[4 * W * H];
    memset(flat, 100, sizeof flat);
    size_t size;
    for (int channels = 1; channels <= 3; channels += 2) {
        uint8_t *bytes = make_jpeg(flat, channels, &size);
        struct tt_image image = read_good(bytes, size);
        for (size_t i = 0; i < 3 * W * H; i++) ck_assert_int_le(abs(image.rgb[i] - 100), 2);
        tt_image_free(&image);
        free(bytes);
    }
    uint8_t *bytes = make_jpeg(flat, 4, &size); // CMYK: refused, not shown in wrong colours
    struct tt_image image;
    struct tt_error err = {0};
    ck_assert_int_eq(tt_image_read_memory("m", bytes, size, &image, &err), TT_BAD_INPUT);
    ck_assert_str_eq(err.message, "m: found a JPEG for print (CMYK), expected RGB or grey");
    free(bytes);
}
END_TEST

// Reads exactly size bytes from the heap, so that a sanitizer sees what lies beyond; frees all.
static enum tt_status try_read(const uint8_t *bytes, size_t size) {
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    struct tt_image image;
    struct tt_error err = {0};
    enum tt_status status = tt_image_read_memory("m", copy, size, &image, &err);
    ck_assert_msg(!status || (status == TT_BAD_INPUT && !strncmp(err.message, "m: ", 3)), "%d %s",
                  status, err.message);
    ck_assert(!status == !!image.rgb);
    tt_image_free(&image);
    free(copy);
    return status;
}

START_TEST(damaged) {
    uint8_t rgb[3 * W * H];
    fill(rgb, sizeof rgb);
    for (int kind = 0; kind < 2; kind++) {
        size_t size;
        uint8_t *bytes =
            kind ? make_jpeg(rgb, 3, &size) : make_png(PNG_FORMAT_RGB, rgb, NULL, &size);
        // What a decoder may still read whole: all but the chunk or the mark that ends the file.
        for (size_t cut = 0; cut < size - 12; cut++)
            ck_assert_int_eq(try_read(bytes, cut), TT_BAD_INPUT);
        for (size_t bit = 0; bit < 8 * size; bit++) {
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            try_read(bytes, size);
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        uint64_t state = 1;
        for (int round = 0; round < 500; round++) {
            uint8_t *noisy = malloc(size);
            memcpy(noisy, bytes, size);
            for (int k = 0; k < 8; k++)
                noisy[test_random(&state) % size] = (uint8_t)test_random(&state);
            try_read(noisy, size);
            free(noisy);
        }
        free(bytes);
    }
}
END_TEST

// The checksum of size bytes, as the four bytes that follow them in a PNG.
static void checksum(const void *data, size_t size, uint8_t out[4]) {
    const uint8_t *bytes = data;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(~crc >> (24 - 8 * i));
}

// IHDR with sizes of its own and a valid checksum.
static void set_size(uint8_t *png, uint32_t width, uint32_t height) {
    uint32_t values[2] = {width, height};
    for (int i = 0; i < 8; i++) png[16 + i] = (uint8_t)(values[i / 4] >> (24 - 8 * (i % 4)));
    checksum(png + 12, 17, png + 29);
}

START_TEST(impossible_sizes) {
    static const uint32_t sizes[][2] = {
        {0, 5}, {7, 0}, {0x7fffffff, 0x7fffffff}, {0xffffffff, 1}, {32769, 1}, {1, 32769},
        {32768, 32768}, {1000000, 5}, {7, 6}};
    uint8_t rgb[3 * W * H];
    fill(rgb, sizeof rgb);
    size_t size;
    uint8_t *bytes = make_png(PNG_FORMAT_RGB, rgb, NULL, &size);
    set_size(bytes, W, H);
    ck_assert_int_eq(try_read(bytes, size), TT_OK);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        set_size(bytes, sizes[i][0], sizes[i][1]);
        ck_assert_int_eq(try_read(bytes, size), TT_BAD_INPUT);
    }
    free(bytes);
}
END_TEST

START_TEST(no_picture) {
    struct tt_image image;
    static const char *const texts[] = {"", "GIF89a", "\x89PNG\r\n\x1a\n", "\xff\xd8\xff",
                                        "\xff\xd8\xff\xd9", "\x89PNG", "BM", "{}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_int_eq(try_read((const uint8_t *)texts[i], strlen(texts[i])), TT_BAD_INPUT);
    ck_assert_int_eq(tt_image_read(NULL, test_path("absent.png"), &image, NULL), TT_BAD_INPUT);
    ck_assert_int_eq(tt_image_read(NULL, "/", &image, NULL), TT_BAD_INPUT);
}
END_TEST

// The text of the chunk of that type, whose data begins with prefix; NULL when there is none.
static const char *find_text(const char *png, size_t size, const char *type, const char *prefix,
                             size_t prefix_size, size_t *length) {
    for (size_t at = 8; at + 12 <= size;) {
        const unsigned char *p = (const unsigned char *)png + at;
        size_t bytes = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
        uint8_t crc[4];
        checksum(p + 4, 4 + bytes, crc);
        ck_assert(!memcmp(crc, p + 8 + bytes, 4));
        if (!memcmp(p + 4, type, 4)) {
            ck_assert(bytes >= prefix_size && !memcmp(p + 8, prefix, prefix_size));
            *length = bytes - prefix_size;
            return png + at + 8 + prefix_size;
        }
        at += 12 + bytes;
    }
    return NULL;
}

START_TEST(write_png) {
    static const char *const settings[] = {
        "a lighthouse\nNegative prompt: fog\nSteps: 20, Seed: 1, Size: 7x5",
        "caf\xc3\xa9 \xf0\x9f\x98\x80\nSteps: 1"};
    uint8_t rgb[3 * W * H];
    fill(rgb, sizeof rgb);
    struct tt_image image = {W, H, rgb}, back;
    struct tt_error err = {0};
    for (int i = 0; i < 3; i++) {
        const char *text = i < 2 ? settings[i] : NULL, *path = test_path("out.png");
        ck_assert_msg(!tt_image_write(NULL, path, &image, text, &err), "%s", err.message);
        size_t size, again_size, length = 0;
        char *bytes = test_read(path, &size);
        ck_assert(!tt_image_write(NULL, path, &image, text, &err));
        char *again = test_read(path, &again_size);
        ck_assert(size == again_size && !memcmp(bytes, again, size));
        ck_assert_msg(!tt_image_read(NULL, path, &back, &err), "%s", err.message);
        ck_assert(back.width == W && back.height == H && !memcmp(back.rgb, rgb, sizeof rgb));
        tt_image_free(&back);
        const char *found =
            i == 0   ? find_text(bytes, size, "tEXt", "parameters", 11, &length)
            : i == 1 ? find_text(bytes, size, "iTXt", "parameters\0\0\0\0", 15, &length)
                     : find_text(bytes, size, "tEXt", "", 0, &length);
        ck_assert(!found == !text);
        if (text) ck_assert(length == strlen(text) && !memcmp(found, text, length));
        char *read = NULL;
        ck_assert_int_eq(tt_image_read_settings(NULL, path, &read, NULL),
                         text ? TT_OK : TT_BAD_INPUT);
        ck_assert(!read == !text);
        if (text) ck_assert_str_eq(read, text);
        free(read);
        free(again);
        free(bytes);
    }
    ck_assert_int_eq(tt_image_write(NULL, "/no/such/folder/x.png", &image, NULL, &err),
                     TT_BAD_INPUT);
    ck_assert_int_eq(tt_image_write(NULL, "/", &image, NULL, &err), TT_BAD_INPUT);
    ck_assert_int_eq(tt_image_write(NULL, "/dev/full", &image, NULL, &err), TT_SYSTEM);
    struct tt_image huge = {TT_IMAGE_SIDE, TT_IMAGE_SIDE, rgb};
    ck_assert_int_eq(tt_image_write(NULL, test_path("huge.png"), &huge, NULL, &err), TT_BAD_INPUT);
    ck_assert_int_eq(access(test_path("huge.png"), F_OK), -1);
}
END_TEST

// Cut anywhere, or with any byte changed, the text is there, another one, or an error.
START_TEST(settings_damaged) {
    uint8_t rgb[3 * W * H];
    fill(rgb, sizeof rgb);
    struct tt_image image = {W, H, rgb};
    for (int kind = 0; kind < 2; kind++) {
        const char *text = kind ? "caf\xc3\xa9" : "a lighthouse", *path = test_path("out.png");
        ck_assert(!tt_image_write(NULL, path, &image, text, NULL));
        size_t size, found = 0;
        char *bytes = test_read(path, &size);
        for (size_t i = 0; i < 4 * size; i++) {
            size_t cut = i < size ? i : size;
            uint8_t *copy = malloc(cut ? cut : 1); // exactly so long: a sanitizer sees what follows
            memcpy(copy, bytes, cut);
            if (i >= size) copy[i % size] ^= (uint8_t)(1 << i / size * 2);
            char *read = NULL;
            struct tt_error err = {0};
            enum tt_status status = tt_image_read_settings_memory("m", copy, cut, &read, &err);
            ck_assert(status == TT_OK ? read != NULL : status == TT_BAD_INPUT && !read);
            ck_assert(!status || !strncmp(err.message, "m: ", 3));
            found += !status && !strcmp(read, text);
            free(read);
            free(copy);
        }
        ck_assert_uint_gt(found, size); // what lies after it does not matter
        free(bytes);
    }
}
END_TEST

static size_t put_chunk(uint8_t *out, const char *type, const void *data, size_t size) {
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(size >> (24 - 8 * i));
    memcpy(out + 4, type, 4);
    if (size) memcpy(out + 8, data, size);
    checksum(out + 4, 4 + size, out + 8 + size);
    return 12 + size;
}

static long peak_kilobytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

// A hundred texts of 7.9 MB each in 770 KB, then one that says it is of 2 GB: neither reader takes
// memory for them.
START_TEST(large_texts) {
    enum { TEXT = 7900000, TEXTS = 100 };
    uint8_t rgb[3 * W * H], *bytes = malloc(2000000), *text = malloc(TEXT), key[20000] = "key";
    fill(rgb, sizeof rgb);
    struct tt_image image = {W, H, rgb}, read;
    struct tt_error err = {0};
    ck_assert(!tt_image_write(NULL, test_path("out.png"), &image, "a lighthouse", NULL));
    size_t size, used = 8 + 25; // signature, IHDR
    uint8_t *file = (uint8_t *)test_read(test_path("out.png"), &size);
    memcpy(bytes, file, used);
    memset(text, 'a', TEXT);
    uLongf packed = sizeof key - 5; // behind a name and the method, both ended by 0
    ck_assert_int_eq(compress2(key + 5, &packed, text, TEXT, 9), Z_OK);
    free(text);
    long before = peak_kilobytes();
    for (int i = 0; i < TEXTS; i++) used += put_chunk(bytes + used, "zTXt", key, 5 + packed);
    memcpy(bytes + used, file + 33, size - 33);
    ck_assert_msg(!tt_image_read_memory("m", bytes, used + size - 33, &read, &err), "%s",
                  err.message);
    ck_assert(!memcmp(read.rgb, rgb, sizeof rgb));
    tt_image_free(&read);
    char *settings = NULL; // it may be taken or left, behind so many
    tt_image_read_settings_memory("m", bytes, used + size - 33, &settings, &err);
    free(settings);
    put_chunk(bytes + 33, "tEXt", key, packed);
    bytes[33] = 0x73;
    err = (struct tt_error){0};
    ck_assert_int_eq(tt_image_read_memory("m", bytes, used, &read, &err), TT_BAD_INPUT);
    ck_assert_str_eq(err.message, "m: not a valid PNG: a chunk goes beyond the end");
    ck_assert_int_eq(tt_image_read_settings_memory("m", bytes, used, &settings, &err),
                     TT_BAD_INPUT);
    for (size_t cut = 41; cut < 80; cut++) // the promise is kept nowhere
        ck_assert_int_eq(tt_image_read_memory("m", bytes, cut, &read, &err), TT_BAD_INPUT);
    ck_assert_int_lt(peak_kilobytes() - before, 100000);
    free(file);
    free(bytes);
}
END_TEST

static Suite *image_suite(void) {
    Suite *suite = suite_create("image");
    TCase *tcase = tcase_create("image");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, png_kinds);
    tcase_add_test(tcase, jpeg_kinds);
    tcase_add_test(tcase, damaged);
    tcase_add_test(tcase, impossible_sizes);
    tcase_add_test(tcase, no_picture);
    tcase_add_test(tcase, write_png);
    tcase_add_test(tcase, settings_damaged);
    tcase_add_test(tcase, large_texts);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    return test_main(image_suite(), NULL);
}
