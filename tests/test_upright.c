// SPDX-License-Identifier: MIT
// Pictures as people bring them: turned upright by their orientation tag as Pillow's
// ImageOps.exif_transpose() does it (the numbers here are its answers), WebP, and what shows
// through transparent pixels.
#include "io/image_read.h"
#include "io/orientation.h"
#include "util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <webp/encode.h>
#include <zlib.h>

#include <png.h>

#include <jpeglib.h>

// ---- bytes ----

struct bytes {
    uint8_t at[8192];
    size_t size;
};

static void add(struct bytes *b, const void *data, size_t size) {
    ck_assert_uint_le(b->size + size, sizeof b->at);
    if (size) memcpy(b->at + b->size, data, size);
    b->size += size;
}

static void add_number(struct bytes *b, uint64_t value, size_t bytes, bool big) {
    for (size_t i = 0; i < bytes; i++)
        b->at[b->size++] = (uint8_t)(value >> 8 * (big ? bytes - 1 - i : i));
}

// Exif data with one tag before the orientation.
struct tag {
    uint64_t id, type, count, value;
    int at; // bytes of the value, 4 where it is an offset
};

static struct bytes make_exif(bool big, const char *head, const struct tag *tags, size_t count,
                              size_t stated) {
    struct bytes b = {.size = 0};
    add(&b, head ? head : big ? "MM\0*" : "II*\0", 4);
    add_number(&b, 8, 4, big);
    add_number(&b, stated, 2, big);
    for (size_t i = 0; i < count; i++) {
        add_number(&b, tags[i].id, 2, big);
        add_number(&b, tags[i].type, 2, big);
        add_number(&b, tags[i].count, 4, big);
        add_number(&b, tags[i].value, (size_t)tags[i].at, big);
        add_number(&b, 0, 4 - (size_t)tags[i].at, big);
    }
    add_number(&b, 0, 4, big);
    return b;
}

static struct bytes oriented(bool big, unsigned orientation) {
    struct tag tags[] = {{0x10f, 2, 4, 0x616200, 4}, {0x112, 3, 1, orientation, 2}};
    return make_exif(big, NULL, tags, 2, 2);
}

// ---- what the data says ----

START_TEST(exif) {
    enum { ORIENTATION = 0x112 };
    static const struct {
        const char *head;
        struct tag tags[2];
        size_t count, stated;
        int want;
    } cases[] = {
        {NULL, {{0x112, 3, 1, 6, 2}}, 1, 1, 6},
        {NULL, {{0x112, 3, 1, 0, 2}}, 1, 1, 9},
        {NULL, {{0x112, 3, 1, 9, 2}}, 1, 1, 9},
        {NULL, {{0x112, 3, 2, 6, 2}}, 1, 1, 6},            // the first of two
        {NULL, {{0x112, 3, 0, 6, 2}}, 1, 1, 0},            // of none
        {NULL, {{0x112, 1, 1, 6, 1}}, 1, 1, 9},            // bytes are no number,
        {NULL, {{0x112, 7, 1, 6, 1}}, 1, 1, 9},
        {NULL, {{0x112, 2, 2, 6, 2}}, 1, 1, 9},            // nor is a text;
        {NULL, {{0x112, 4, 1, 6, 4}}, 1, 1, 6},            // all others are
        {NULL, {{0x112, 6, 1, 6, 1}}, 1, 1, 6},
        {NULL, {{0x112, 8, 1, 6, 2}}, 1, 1, 6},
        {NULL, {{0x112, 9, 1, 6, 4}}, 1, 1, 6},
        {NULL, {{0x112, 9, 1, UINT32_MAX, 4}}, 1, 1, 9},
        {NULL, {{0x112, 11, 1, 0x40c00000, 4}}, 1, 1, 6},
        {NULL, {{0x112, 11, 1, 0x40d00000, 4}}, 1, 1, 9},  // 6.5
        {NULL, {{0x112, 13, 1, 6, 4}}, 1, 1, 6},
        {NULL, {{0x112, 0, 1, 6, 4}}, 1, 1, 0},            // no such types
        {NULL, {{0x112, 99, 1, 6, 4}}, 1, 1, 0},
        {NULL, {{0x112, 3, 1, 6, 2}, {0x112, 3, 1, 3, 2}}, 2, 2, 6}, // the first counts,
        {NULL, {{0x112, 0, 1, 6, 4}, {0x112, 3, 1, 3, 2}}, 2, 2, 3}, // that can be read
        {NULL, {{0x112, 3, 1, 6, 2}}, 1, 500, 6},          // more tags than there are
        {NULL, {{0x110, 3, 1, 7, 2}}, 1, 500, 0},
        {NULL, {{0x110, 2, 4000, 99, 4}, {0x112, 3, 1, 6, 2}}, 2, 2, 6}, // larger than the file
        {NULL, {{0x110, 2, 20, 9999, 4}, {0x112, 3, 1, 6, 2}}, 2, 2, 0}, // beyond its end
        {NULL, {{0x110, 12, UINT32_MAX, 9, 4}, {0x112, 3, 1, 6, 2}}, 2, 2, 6},
        {"II\0*", {{0x112, 3, 1, 6, 2}}, 1, 1, 6},
        {"MM*\0", {{0x112, 3, 1, 6, 2}}, 1, 1, 6},
        {"MMxx", {{0x112, 3, 1, 6, 2}}, 1, 1, 9},
        {"MI*\0", {{0x112, 3, 1, 6, 2}}, 1, 1, 9},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int big = 0; big < 2; big++) {
            const char *head = cases[i].head;
            if (head && (head[0] == 'M') != big) continue;
            struct bytes b = make_exif(big, head, cases[i].tags, cases[i].count, cases[i].stated);
            int found = tt_exif_orientation(b.at, b.size);
            ck_assert_msg(found == cases[i].want, "case %zu, %s: found %d, expected %d", i,
                          big ? "MM" : "II", found, cases[i].want);
            for (size_t cut = 0; cut < b.size; cut++) { // reads nothing beyond
                uint8_t *copy = malloc(cut + 1);
                memcpy(copy, b.at, cut);
                tt_exif_orientation(copy, cut);
                free(copy);
            }
        }
    for (int type = 5; type <= 12; type += type == 5 ? 5 : 2) // ratios and doubles, by an offset
        for (int big = 0; big < 2; big++) {
            struct tag tag = {ORIENTATION, (uint64_t)type, 1, 26, 4};
            struct bytes b = make_exif(big, NULL, &tag, 1, 1);
            if (type == 12) add_number(&b, 0x4018000000000000, 8, big);
            else add_number(&b, type == 5 ? 12 : (uint32_t)-12, 4, big);
            if (type != 12) add_number(&b, type == 5 ? 2 : (uint32_t)-2, 4, big);
            ck_assert_int_eq(tt_exif_orientation(b.at, b.size), 6);
        }
    struct bytes twice = {.size = 0}, b = oriented(true, 5);
    add(&twice, "Exif\0\0Exif\0\0", 12);
    add(&twice, b.at, b.size);
    ck_assert_int_eq(tt_exif_orientation(twice.at, twice.size), 5);
}
END_TEST

START_TEST(xmp) {
    static const struct {
        const char *text;
        int want;
    } cases[] = {
        {"<rdf:Description tiff:Orientation=\"6\"/>", 6}, {"<tiff:Orientation>8<", 8},
        {"tiff:Orientation='6' tiff:Orientation=\"3\"", 3}, {"tiff:Orientation=\"0\"", 9},
        {"tiff:Orientation=\"", 0}, {"tiff:Orientation", 0}, {"tiff:Orientation=6", 0},
        {"tiff:Orientatio", 0}, {"", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size = strlen(cases[i].text);
        uint8_t *exact = malloc(size + 1);
        memcpy(exact, cases[i].text, size);
        ck_assert_int_eq(tt_xmp_orientation(exact, size), cases[i].want);
        free(exact);
    }
}
END_TEST

// ---- whole files, 3 x 2 pixels of one number each ----

enum { W = 3, H = 2 };

static void add_chunk(struct bytes *png, const char *type, const void *data, size_t size) {
    size_t at = png->size + 4;
    add_number(png, size, 4, true);
    add(png, type, 4);
    add(png, data, size);
    add_number(png, crc32_z(0, png->at + at, size + 4), 4, true);
}

// A PNG of colour type 2 or 6 (bytes a pixel: 3 or 4) with a chunk before its data or behind it.
static struct bytes make_png(const uint8_t *pixels, size_t each, const char *type,
                             const void *chunk, size_t size, bool behind) {
    struct bytes png = {.size = 0};
    uint8_t raw[H * (1 + 4 * W)], packed[200];
    uLongf length = sizeof packed;
    const uint8_t head[13] = {0, 0, 0, W, 0, 0, 0, H, 8, each == 4 ? 6 : 2, 0, 0, 0};
    for (size_t y = 0; y < H; y++) {
        raw[y * (1 + each * W)] = 0;
        memcpy(raw + y * (1 + each * W) + 1, pixels + y * each * W, each * W);
    }
    ck_assert_int_eq(compress(packed, &length, raw, H * (1 + each * W)), Z_OK);
    add(&png, "\x89PNG\r\n\x1a\n", 8);
    add_chunk(&png, "IHDR", head, sizeof head);
    if (type && !behind) add_chunk(&png, type, chunk, size);
    add_chunk(&png, "IDAT", packed, length);
    if (type && behind) add_chunk(&png, type, chunk, size);
    add_chunk(&png, "IEND", NULL, 0);
    return png;
}

static void add_part(struct bytes *riff, const char *type, const void *data, size_t size) {
    add(riff, type, 4);
    add_number(riff, size, 4, false);
    add(riff, data, size);
    if (size % 2) add_number(riff, 0, 1, false);
}

// A lossless WebP of RGBA pixels with Exif data and XMP (sizes 0: none); flags: of VP8X.
static struct bytes make_webp(const uint8_t *rgba, const struct bytes *exif_data,
                              const char *xmp_text) {
    struct bytes webp = {.size = 0};
    uint8_t *still = NULL, head[10] = {0};
    WebPConfig config;
    WebPPicture picture;
    WebPMemoryWriter writer;
    ck_assert(WebPConfigInit(&config) && WebPPictureInit(&picture));
    WebPMemoryWriterInit(&writer);
    config.lossless = config.exact = picture.use_argb = 1;
    picture.width = W;
    picture.height = H;
    picture.writer = WebPMemoryWrite;
    picture.custom_ptr = &writer;
    ck_assert(WebPPictureImportRGBA(&picture, rgba, 4 * W) && WebPEncode(&config, &picture));
    still = writer.mem;
    head[0] = (uint8_t)(0x10 | (exif_data ? 0x08 : 0) | (xmp_text ? 0x04 : 0));
    head[4] = W - 1;
    head[7] = H - 1;
    add(&webp, "RIFF\0\0\0\0WEBP", 12);
    add_part(&webp, "VP8X", head, sizeof head);
    add(&webp, still + 12, writer.size - 12);
    if (exif_data) add_part(&webp, "EXIF", exif_data->at, exif_data->size);
    if (xmp_text) add_part(&webp, "XMP ", xmp_text, strlen(xmp_text));
    for (int i = 0; i < 4; i++) webp.at[4 + i] = (uint8_t)((webp.size - 8) >> 8 * i);
    WebPPictureFree(&picture);
    WebPMemoryWriterClear(&writer);
    return webp;
}

// A JPEG of grey blocks, 8 x 8 pixels for each of ours, with markers before the picture.
static struct bytes make_jpeg(const uint8_t *grey, const struct bytes *markers, size_t count) {
    struct bytes out = {.size = 0};
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    unsigned char *made = NULL;
    unsigned long size = 0;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &made, &size);
    jpeg.image_width = 8 * W;
    jpeg.image_height = 8 * H;
    jpeg.input_components = 1;
    jpeg.in_color_space = JCS_GRAYSCALE;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 100, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    for (size_t i = 0; i < count; i++)
        jpeg_write_marker(&jpeg, JPEG_APP0 + 1, markers[i].at, (unsigned)markers[i].size);
    for (size_t y = 0; y < 8 * H; y++) {
        uint8_t row[8 * W];
        for (size_t x = 0; x < sizeof row; x++) row[x] = grey[y / 8 * W + x / 8];
        jpeg_write_scanlines(&jpeg, &(JSAMPROW){row}, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    add(&out, made, size);
    free(made);
    return out;
}

static struct tt_image read_all(const struct bytes *file, struct tt_image_reading *how) {
    struct tt_image image;
    struct tt_error err = {0};
    ck_assert_msg(!tt_image_read_how("m", file->at, file->size, how, &image, &err), "%s",
                  err.message);
    return image;
}

// What exif_transpose() makes of the numbers 0 to 5 in two rows.
static const uint8_t turned[9][6] = {
    {0, 1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}, {2, 1, 0, 5, 4, 3}, {5, 4, 3, 2, 1, 0},
    {3, 4, 5, 0, 1, 2}, {0, 3, 1, 4, 2, 5}, {3, 0, 4, 1, 5, 2}, {5, 2, 4, 1, 3, 0},
    {2, 5, 1, 4, 0, 3},
};

enum { UNIT = 40 }; // apart, so that a JPEG's rounding does not matter

// Whether the picture is that of the orientation; block: pixels of each number's square.
static void check(const char *what, const struct bytes *file, int orientation, size_t block) {
    struct tt_image_reading how = {0};
    struct tt_image image = read_all(file, &how);
    bool swapped = orientation >= 5;
    ck_assert_msg(image.width == block * (swapped ? H : W) &&
                  image.height == block * (swapped ? W : H), "%s %d: found %zu x %zu", what,
                  orientation, image.width, image.height);
    for (size_t y = 0; y < image.height; y++)
        for (size_t x = 0; x < image.width; x++) {
            size_t i = y / block * (image.width / block) + x / block;
            int found = image.rgb[3 * (y * image.width + x)], want = UNIT * turned[orientation][i];
            ck_assert_msg(abs(found - want) <= (block > 1 ? 2 : 0), "%s %d: found %d at (%zu, %zu),"
                          " expected %d", what, orientation, found, x, y, want);
        }
    ck_assert_int_eq(how.orientation > 0 ? how.orientation : 1, orientation ? orientation : 1);
    tt_image_free(&image);
}

static void add_texts(const struct bytes *data, const char *xmp_text, int orientation,
                      const uint8_t *rgb) {
    struct bytes text = {.size = 0}, packed = {.size = 0};
    static const char key[] = "Raw profile type exif";
    char digits[2048];
    size_t length = (size_t)snprintf(digits, sizeof digits, "\nexif\n%8zu\n", data->size);
    for (size_t i = 0; i < data->size; i++)
        length += (size_t)snprintf(digits + length, sizeof digits - length, "%02x%s", data->at[i],
                                   i % 36 == 35 ? "\n" : "");
    add(&text, key, sizeof key);
    add(&text, digits, length);
    struct bytes png = make_png(rgb, 3, "tEXt", text.at, text.size, false);
    check("tEXt", &png, orientation, 1);
    uLongf size = sizeof packed.at - 100;
    add(&packed, key, sizeof key);
    add(&packed, "", 1);
    ck_assert_int_eq(compress(packed.at + packed.size, &size, (uint8_t *)digits, length), Z_OK);
    packed.size += size;
    png = make_png(rgb, 3, "zTXt", packed.at, packed.size, true);
    check("zTXt", &png, orientation, 1);
    packed.at[packed.size - 3] ^= 1; // does not unpack any more
    png = make_png(rgb, 3, "zTXt", packed.at, packed.size, true);
    check("damaged zTXt", &png, 0, 1);
    for (int compressed = 0; compressed < 2; compressed++) {
        text.size = 0;
        add(&text, "XML:com.adobe.xmp", 18);
        add(&text, compressed ? "\1\0\0\0" : "\0\0\0\0", 4);
        size = sizeof text.at - text.size;
        if (!compressed) add(&text, xmp_text, strlen(xmp_text));
        else {
            compress(text.at + text.size, &size, (const uint8_t *)xmp_text, strlen(xmp_text));
            text.size += size;
        }
        png = make_png(rgb, 3, "iTXt", text.at, text.size, compressed);
        check("iTXt", &png, orientation, 1);
    }
}

// All eight and two that mean nothing, in each format and place.
START_TEST(upright) {
    uint8_t grey[W * H], rgb[3 * W * H], rgba[4 * W * H];
    unsigned stated = (unsigned)_i; // 0 to 9
    int orientation = stated <= 8 ? _i : 0;
    for (size_t i = 0; i < W * H; i++) {
        grey[i] = (uint8_t)(UNIT * i);
        memset(rgb + 3 * i, grey[i], 3);
        memset(rgba + 4 * i, grey[i], 3);
        rgba[4 * i + 3] = 255;
    }
    char xmp_text[64];
    snprintf(xmp_text, sizeof xmp_text, "<x tiff:Orientation=\"%u\"/>", stated);
    for (int big = 0; big < 2; big++) {
        struct bytes data = oriented(big, stated), marker[3] = {{.size = 0}};
        if (stated == 0 || stated == 9) { // an answer, but none that turns
            struct bytes png = make_png(rgb, 3, "eXIf", data.at, data.size, false);
            struct tt_image image = read_all(&png, NULL);
            ck_assert(!memcmp(image.rgb, rgb, sizeof rgb));
            tt_image_free(&image);
            continue;
        }
        struct bytes file = make_png(rgb, 3, "eXIf", data.at, data.size, false);
        check("eXIf", &file, orientation, 1);
        file = make_png(rgb, 3, "eXIf", data.at, data.size, true);
        check("eXIf behind", &file, orientation, 1);
        file.at[file.size - 14] ^= 1; // its checksum, before IEND
        check("eXIf damaged", &file, 0, 1);
        add_texts(&data, xmp_text, orientation, rgb);
        file = make_webp(rgba, &data, NULL);
        check("webp", &file, orientation, 1);
        file = make_webp(rgba, NULL, xmp_text);
        check("webp, XMP", &file, orientation, 1);
        add(&marker[0], "Exif\0\0", 6); // in two pieces
        add(&marker[0], data.at, 17);
        add(&marker[1], "Exif\0\0", 6);
        add(&marker[1], data.at + 17, data.size - 17);
        file = make_jpeg(grey, marker, 2);
        check("jpeg", &file, orientation, 8);
        add(&marker[2], "http://ns.adobe.com/xap/1.0/", 29);
        add(&marker[2], xmp_text, strlen(xmp_text));
        file = make_jpeg(grey, &marker[2], 1);
        check("jpeg, XMP", &file, orientation, 8);
        data = oriented(big, stated == 6 ? 3 : 6); // Exif counts before XMP
        marker[0].size = 6;
        add(&marker[0], data.at, data.size);
        file = make_jpeg(grey, (struct bytes[]){marker[2], marker[0]}, 2);
        check("jpeg, both", &file, stated == 6 ? 3 : 6, 8);
    }
}
END_TEST

// ---- WebP ----

static int give_up(void *context) {
    (void)context;
    return 1;
}

START_TEST(webp) {
    uint8_t rgba[4 * W * H];
    for (size_t i = 0; i < sizeof rgba; i++) rgba[i] = (uint8_t)(i % 4 == 3 ? 255 : 9 * i);
    struct bytes file = make_webp(rgba, NULL, NULL), animated = {.size = 0}, frame = {.size = 0};
    struct tt_image image = read_all(&file, NULL);
    ck_assert(image.width == W && image.height == H);
    for (size_t i = 0; i < 3 * W * H; i++)
        ck_assert_int_eq(image.rgb[i], rgba[i / 3 * 4 + i % 3]);
    tt_image_free(&image);
    for (size_t cut = 0; cut < file.size; cut++) { // all of it is wanted
        struct tt_error err = {0};
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy, file.at, cut);
        ck_assert_int_eq(tt_image_read_memory("m", copy, cut, &image, &err), TT_BAD_INPUT);
        ck_assert_ptr_null(image.rgb);
        free(copy);
    }
    const struct tt_poll poll = {give_up, NULL};
    struct tt_error err = {0};
    ck_assert_int_eq(tt_image_read_polled("m", file.at, file.size, &poll, &image, &err),
                     TT_CANCELLED);
    err = (struct tt_error){0};
    struct bytes huge = file; // 16384 x 16384 are the most it can state, and too many pixels
    memset(huge.at + 24, 0xff, 6);
    ck_assert_int_eq(tt_image_read_memory("m", huge.at, huge.size, &image, &err), TT_BAD_INPUT);
    // Two frames on a canvas of 5 x 4, the first at (2, 2).
    static const uint8_t canvas[10] = {0x12, 0, 0, 0, 4, 0, 0, 3, 0, 0}, loop[6] = {0};
    static const uint8_t place[16] = {1, 0, 0, 1, 0, 0, W - 1, 0, 0, H - 1, 0, 0, 99, 0, 0, 0};
    add(&animated, "RIFF\0\0\0\0WEBP", 12);
    add_part(&animated, "VP8X", canvas, sizeof canvas);
    add_part(&animated, "ANIM", loop, sizeof loop);
    add(&frame, place, sizeof place);
    add(&frame, file.at + 30, file.size - 30);
    add_part(&animated, "ANMF", frame.at, frame.size);
    add_part(&animated, "ANMF", frame.at, frame.size);
    for (int i = 0; i < 4; i++) animated.at[4 + i] = (uint8_t)((animated.size - 8) >> 8 * i);
    image = read_all(&animated, NULL);
    ck_assert(image.width == 5 && image.height == 4);
    for (size_t i = 0; i < 3 * 20; i++) {
        size_t x = i / 3 % 5, y = i / 15;
        int want = x >= 2 && y >= 2 ? rgba[4 * ((y - 2) * W + x - 2) + i % 3] : 0;
        ck_assert_int_eq(image.rgb[i], want);
    }
    tt_image_free(&image);
}
END_TEST

// ---- transparency ----

// Numbers on black and white as Pillow's Image.paste(picture, mask=alpha) makes them; libpng mixes
// light in 8 bits.
START_TEST(backgrounds) {
    static const uint8_t alpha[W * H] = {0, 1, 77, 128, 254, 255};
    static const uint8_t black[W * H] = {0, 1, 60, 100, 199, 200};
    static const uint8_t white[W * H] = {255, 255, 238, 227, 200, 200};
    static const uint8_t linear[W * H] = {0, 7, 116, 147, 200, 200};
    uint8_t rgba[4 * W * H];
    for (size_t i = 0; i < W * H; i++) {
        memset(rgba + 4 * i, 200, 3);
        rgba[4 * i + 3] = alpha[i];
    }
    struct bytes files[3] = {make_png(rgba, 4, NULL, NULL, 0, false), make_webp(rgba, NULL, NULL),
                             make_png(rgba, 4, "gAMA", "\0\1\x86\xa0", 4, false)}; // 1.0
    for (int k = 0; k < 3; k++)
        for (int background = 0; background < 3; background++) {
            const uint8_t *want = background == TT_BACKGROUND_BLACK   ? black
                                  : background == TT_BACKGROUND_WHITE ? white
                                                                      : linear;
            struct tt_image_reading how = {.background = (enum tt_background)background};
            struct tt_image image = read_all(&files[k], &how);
            if (background == TT_BACKGROUND_LINEAR && k == 2)
                ck_assert_int_gt(image.rgb[15], 220); // gAMA is applied there
            for (size_t i = 0; i < 3 * W * H && (background || k < 2); i++)
                ck_assert_msg(abs(image.rgb[i] - want[i / 3]) <= (background || k ? 0 : 14),
                              "%d, %d: found %d at %zu, expected %d", k, background, image.rgb[i],
                              i, want[i / 3]);
            tt_image_free(&image);
        }
}
END_TEST

static Suite *upright_suite(void) {
    Suite *suite = suite_create("upright");
    TCase *tcase = tcase_create("upright");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, exif);
    tcase_add_test(tcase, xmp);
    tcase_add_loop_test(tcase, upright, 0, 10);
    tcase_add_test(tcase, webp);
    tcase_add_test(tcase, backgrounds);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    return test_main(upright_suite(), NULL);
}
