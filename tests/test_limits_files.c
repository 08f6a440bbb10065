// SPDX-License-Identifier: MIT
// What comes from outside takes time that grows with its size, and no more than the limits (README,
// "Limits"): pictures, logs, data sets, charts. Limits are tried at their value and one past it.
#include "base/poll.h"
#include "cli/chart.h"
#include "io/image_read.h"
#include "text/tokenizer.h"
#include "train/data.h"
#include "train/log.h"

#include "growth.h"

#include <float.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

// ---- pictures ----

struct bytes {
    uint8_t *at;
    size_t size, room;
};

static void put(struct bytes *b, const void *data, size_t size) {
    if (b->size + size > b->room) {
        b->room = 2 * (b->room + size);
        b->at = realloc(b->at, b->room);
        ck_assert_ptr_nonnull(b->at);
    }
    memcpy(b->at + b->size, data, size);
    b->size += size;
}

static void put_byte(struct bytes *b, int byte) { put(b, &(uint8_t){(uint8_t)byte}, 1); }

static void put_word(struct bytes *b, size_t word) {
    put_byte(b, (int)(word >> 8));
    put_byte(b, (int)word);
}

// Bits of a scan, a zero byte behind each 0xFF.
struct bits {
    struct bytes *to;
    unsigned byte, count;
};

static void put_bits(struct bits *bits, unsigned value, unsigned n) {
    while (n--) {
        bits->byte = bits->byte << 1 | (value >> n & 1);
        if (++bits->count < 8) continue;
        put_byte(bits->to, (int)bits->byte);
        if (bits->byte == 0xFF) put_byte(bits->to, 0);
        bits->byte = bits->count = 0;
    }
}

// A grey progressive JPEG of side x side pixels and `scans` scans, each of a few bytes: all blocks
// are empty, and said to be in runs of up to 32767.
static struct bytes make_jpeg(size_t side, size_t scans) {
    static const uint8_t tables[] = {
        0xFF, 0xC4, 0, 20, 0x00, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0xFF, 0xC4, 0, 20, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xE0};
    struct bytes b = {0};
    size_t blocks = (side / 8) * (side / 8);
    put_word(&b, 0xFFD8);
    put_word(&b, 0xFFDB);
    put_word(&b, 67);
    put_byte(&b, 0);
    for (int i = 0; i < 64; i++) put_byte(&b, 1);
    put_word(&b, 0xFFC2);
    put_word(&b, 11);
    put_byte(&b, 8);
    put_word(&b, side);
    put_word(&b, side);
    put(&b, "\1\1\x11\0", 4);
    put(&b, tables, sizeof tables);
    for (size_t scan = 0; scan < scans; scan++) {
        int band = scan ? 1 + (int)(scan % 63) : 0;
        put_word(&b, 0xFFDA);
        put_word(&b, 8);
        put(&b, "\1\1\0", 3);
        put_byte(&b, band);
        put_byte(&b, band);
        put_byte(&b, 0);
        for (size_t i = 0; !scan && i < (blocks + 7) / 8; i++) put_byte(&b, 0);
        struct bits bits = {.to = &b};
        for (size_t left = scan ? blocks : 0; left;) {
            size_t run = left > 32767 ? 32767 : left, rest = run > 16384 ? run - 16384 : 0;
            put_bits(&bits, 0, 1);
            put_bits(&bits, (unsigned)rest, 14);
            left = left > 16384 + rest ? left - 16384 - rest : 0;
        }
        while (bits.count) put_bits(&bits, 1, 1);
    }
    put_word(&b, 0xFFD9);
    return b;
}

static void put_chunk(struct bytes *b, const char *type, const void *data, size_t size) {
    put_word(b, size >> 16);
    put_word(b, size & 0xFFFF);
    size_t from = b->size;
    put(b, type, 4);
    put(b, data, size);
    uint32_t crc = (uint32_t)crc32(0, b->at + from, (uInt)(b->size - from));
    put_word(b, crc >> 16);
    put_word(b, crc & 0xFFFF);
}

// A grey PNG, 1024 pixels wide and as high as said, with `count` chunks of a kind before its data.
static struct bytes make_png(size_t height, const char *type, size_t count) {
    struct bytes b = {0};
    size_t raw = 1025 * height;
    uLongf packed = compressBound((uLong)raw), text_size = compressBound(100000);
    uint8_t *pixels = calloc(raw > 100000 ? raw : 100000, 1);
    uint8_t *data = malloc(packed), *text = malloc(text_size + 8);
    ck_assert(pixels && data && text);
    ck_assert_int_eq(compress(data, &packed, pixels, (uLong)raw), Z_OK);
    memcpy(text, "Comment\0\0", 9);
    ck_assert_int_eq(compress(text + 9, &(uLongf){text_size - 9}, pixels, 100000), Z_OK);
    put(&b, "\x89PNG\r\n\x1a\n", 8);
    uint8_t head[13] = {0, 0, 4, 0, 0, 0, (uint8_t)(height >> 8), (uint8_t)height, 8};
    put_chunk(&b, "IHDR", head, 13);
    bool text_chunk = type && !strcmp(type, "zTXt");
    for (size_t i = 0; i < count; i++) put_chunk(&b, type, text, text_chunk ? 200 : 0);
    put_chunk(&b, "IDAT", data, packed);
    put_chunk(&b, "IEND", "", 0);
    free(pixels);
    free(data);
    free(text);
    return b;
}

static void read_picture(void *input) {
    const struct bytes *b = input;
    struct tt_image image;
    struct tt_error err = {0};
    ck_assert_msg(!tt_image_read_memory("p", b->at, b->size, &image, &err), "%s", err.message);
    tt_image_free(&image);
}

static void read_settings(void *input) {
    const struct bytes *b = input;
    char *text = NULL;
    struct tt_error err = {0};
    ck_assert_int_eq(tt_image_read_settings_memory("p", b->at, b->size, &text, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "PNG without settings"), "%s", err.message);
}

START_TEST(pictures_grow) {
    struct bytes sizes[5][2] = {
        {make_jpeg(2048, 30), make_jpeg(2048, 60)},
        {make_jpeg(1448, 20), make_jpeg(2048, 20)},
        {make_png(2000, NULL, 0), make_png(4000, NULL, 0)},
        {make_png(16, "IDAT", 40000), make_png(16, "IDAT", 80000)},
        {make_png(16, "zTXt", 20000), make_png(16, "zTXt", 40000)},
    };
    static const char *const what[5] = {"scans", "pixels of scans", "rows", "empty IDAT", "texts"};
    for (int i = 0; i < 5; i++)
        check_growth(what[i], read_picture, &sizes[i][0], &sizes[i][1]);
    check_growth("texts of settings", read_settings, &sizes[4][0], &sizes[4][1]);
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 2; k++) free(sizes[i][k].at);
}
END_TEST

static void check_scans(size_t side, size_t scans, const char *message) {
    struct bytes b = make_jpeg(side, scans);
    struct tt_image image;
    struct tt_error err = {0};
    enum tt_status status = tt_image_read_memory("p.jpg", b.at, b.size, &image, &err);
    ck_assert_msg(message ? status == TT_BAD_INPUT && !strcmp(err.message, message) : !status,
                  "%zu scans: %s", scans, err.message);
    if (!status) tt_image_free(&image);
    free(b.at);
}

START_TEST(jpeg_limits) {
    check_scans(64, TT_JPEG_SCANS, NULL);
    check_scans(64, TT_JPEG_SCANS + 1,
                "p.jpg: found more than 100 scans of 64 x 64 pixels, expected no more");
    check_scans(8192, 64, NULL); // 2^32 pixels in all
    check_scans(8192, 65,
                "p.jpg: found more than 64 scans of 8192 x 8192 pixels, expected no more");
    struct tt_image image;
    struct tt_error err = {0};
    ck_assert_int_eq(tt_image_read_memory("p", "\x89PNG\r\n\x1a\n", (size_t)TT_PICTURE_BYTES + 1,
                                          &image, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "found 1073741825 bytes, expected a picture"), "%s",
                  err.message);
}
END_TEST

// ---- cancelling ----

static int count_down(void *context) {
    int *left = context;
    return (*left)-- <= 0;
}

START_TEST(pictures_stop) {
    struct bytes files[2] = {make_jpeg(1024, 10), make_png(4000, NULL, 0)};
    for (int i = 0; i < 2; i++)
        for (int after = 0; after < 3; after++) {
            int left = after;
            const struct tt_poll poll = {count_down, &left};
            struct tt_image image;
            struct tt_error err = {0};
            ck_assert_int_eq(tt_image_read_polled("p", files[i].at, files[i].size, &poll, &image,
                                                  &err), TT_CANCELLED);
            ck_assert_str_eq(err.message, "cancelled while reading p");
            ck_assert_ptr_null(image.rgb);
            ck_assert_int_eq(left, -1); // and is not asked again
        }
    for (int i = 0; i < 2; i++) free(files[i].at);
}
END_TEST

// ---- charts and logs ----

static void check_axis(const struct chart_axis *axis, double low, double high) {
    double ticks = (axis->high - axis->low) / axis->tick;
    ck_assert_msg(isfinite(axis->low) && isfinite(axis->high) && axis->tick > 0 && ticks >= 1 &&
                  ticks <= 20, "%g to %g: found %g to %g by %g", low, high, axis->low, axis->high,
                  axis->tick);
}

START_TEST(axes_end) {
    static const double ends[] = {0, 5e-324, DBL_MIN, 1e-310, 1e-300, 1e-20, 1, 9.99, 0x1p63, 1e20,
                                  1e300, 1.5e308, DBL_MAX, -1, -1e307};
    enum { N = sizeof ends / sizeof *ends };
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++) {
            struct chart_axis axis = chart_round("x", ends[i] <= 1e307 ? ends[i] : 0, ends[k]);
            check_axis(&axis, ends[i], ends[k]);
            if (ends[i] <= 1e300 && ends[k] <= 1e300)
                ck_assert(axis.high >= ends[k] - 1e-12 * fabs(ends[i]));
            if (!(ends[i] > 0 && ends[k] >= ends[i])) continue;
            axis = chart_powers("x", ends[i], ends[k]);
            check_axis(&axis, ends[i], ends[k]);
            ck_assert(axis.high >= log10(ends[k]) - 1e-9 && axis.low <= log10(ends[i]) + 1e-9);
        }
}
END_TEST

static const char *write_text(const char *name, const struct text *text) {
    const char *path = test_path(name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text->at, 1, text->size, file), text->size);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

static void add_line(struct text *log, const char *step, const char *loss) {
    add(log, "{\"step\":%s,\"loss\":%s,\"learning_rate\":1,\"norm\":1,\"images_per_second\":1,"
        "\"seconds\":1}\n", step, loss);
}

static void check_log(const char *path, enum tt_status want, const char *message) {
    struct tt_train_line *lines;
    size_t count;
    struct tt_error err = {0};
    ck_assert_int_eq(tt_train_log_read(NULL, path, &lines, &count, &err), want);
    ck_assert_msg(!message || strstr(err.message, message), "%s", err.message);
    if (!want) free(lines);
}

START_TEST(logs) {
    static const char *const bad[][3] = {
        {"2", "nan", "line 2: loss: found nan, expected a finite number"},
        {"2", "-Infinity", "line 2: loss: found -Infinity, expected a finite number"},
        {"2", "NaN", "line 2: loss: found NaN, expected a finite number"},
        {"2", "1e999", "line 2: loss: found 1e999, expected a finite number"},
        {"2", "\"1\"", "line 2: loss: found \"1\", expected a number"},
        {"inf", "1", "line 2: step: found inf, expected a finite number"},
        {"1", "1", "line 2: step: found 1, expected more than 1"},
        {"9223372036854775808", "1", "line 2: step: found 9.22337204e+18, expected an integer"},
        {"9223372036854775807", "1.7e308", NULL},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct text log = {0};
        add_line(&log, "1", "1");
        add_line(&log, bad[i][0], bad[i][1]);
        check_log(write_text("log", &log), bad[i][2] ? TT_BAD_INPUT : TT_OK, bad[i][2]);
        free(log.at);
    }
    for (size_t more = 0; more < 2; more++) { // a line's bytes
        struct text log = {0}, line = {0};
        add_line(&line, "1", "1");
        repeat(&log, " ", TT_LOG_LINE + more - line.size);
        add(&log, "%s", line.at);
        free(line.at);
        check_log(write_text("log", &log), more ? TT_BAD_INPUT : TT_OK,
                  more ? "line 1: found 4097 bytes, expected at most 4096" : NULL);
        free(log.at);
    }
}
END_TEST

START_TEST(logs_of_all_kinds) {
    static const char good[] =
        "{\"step\":0,\"validation_loss\":2}\n"
        "{\"step\":1,\"loss\":1,\"learning_rate\":1,\"norm\":1,\"images_per_second\":1,"
        "\"seconds\":1}\n"
        "{\"step\":1,\"validation_loss\":3}\n"
        "{\"step\":1,\"change\":\"caption\",\"name\":\"a: nan\",\"found\":\"x: inf, nan\","
        "\"was\":null}\n";
    static const enum tt_train_told kinds[] = {TT_TOLD_HELD, TT_TOLD_STEPS, TT_TOLD_HELD,
                                               TT_TOLD_CHANGE};
    static const char *const bad[][2] = {
        {"{\"step\":0,\"validation_loss\":3}", "line 5: step: found 0, expected at least 1"},
        {"{\"step\":-1,\"validation_loss\":3}", "line 5: step: found -1, expected"},
        {"{\"step\":2,\"validation_loss\":nan}", "validation_loss: found nan, expected a finite"},
        {"{\"step\":2,\"validation_loss\":\"3\"}", "validation_loss: found \"3\", expected a nu"},
        {"{\"step\":2,\"validation_loss\":3,\"x\":1}", "line 5: x: "},
        {"{\"step\":0,\"change\":\"batch\",\"was\":2}", "found 0, expected at least 1"},
        {"{\"step\":2,\"change\":nan}", "line 5"},
    };
    struct text log = {0};
    struct tt_train_line *lines;
    size_t count;
    add(&log, "%s", good);
    const char *path = write_text("kinds", &log);
    free(log.at);
    ck_assert_int_eq(tt_train_log_read(NULL, path, &lines, &count, NULL), TT_OK);
    ck_assert_uint_eq(count, 4);
    for (size_t i = 0; i < count; i++) ck_assert_int_eq(lines[i].told, kinds[i]);
    ck_assert(lines[0].loss == 2 && lines[2].loss == 3 && lines[2].step == 1);
    free(lines);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct text more = {0};
        add(&more, "%s%s\n", good, bad[i][0]);
        check_log(write_text("kinds", &more), TT_BAD_INPUT, bad[i][1]);
        free(more.at);
    }
}
END_TEST

START_TEST(log_limits) {
    struct text log = {0};
    char step[24];
    for (int i = 1; i <= TT_LOG_LINES; i++) {
        snprintf(step, sizeof step, "%d", i);
        add_line(&log, step, "1");
    }
    const char *path = write_text("long", &log);
    int left = 3;
    struct tt_train_line *lines;
    size_t count;
    struct tt_error err = {0};
    struct tt_files *files = NULL;
    ck_assert(!tt_files_new(count_down, &left, &files, &err));
    ck_assert_int_eq(tt_train_log_read(files, path, &lines, &count, &err), TT_CANCELLED);
    tt_files_free(files);
    check_log(path, TT_OK, NULL);
    add_line(&log, "2000000", "1");
    path = write_text("long", &log);
    check_log(path, TT_BAD_INPUT, "found more than 1048576 lines, expected no more");
    ck_assert_int_eq(truncate(path, (off_t)TT_LOG_BYTES + 1), 0);
    check_log(path, TT_BAD_INPUT, "found 268435457 bytes, expected a log of at most 268435456");
    free(log.at);
}
END_TEST

static void read_log(void *input) {
    const struct text *log = input;
    struct tt_train_line *lines;
    size_t count;
    struct tt_error err = {0};
    ck_assert_msg(!tt_train_log_read_memory("log", log->at, log->size, NULL, &lines, &count, &err),
                  "%s", err.message);
    free(lines);
}

START_TEST(logs_grow) {
    struct text once = {0}, twice = {0};
    char step[24];
    for (int i = 1; i <= 40000; i++) {
        snprintf(step, sizeof step, "%d", i);
        if (i <= 20000) add_line(&once, step, "1");
        add_line(&twice, step, "1");
    }
    check_growth("logs", read_log, &once, &twice);
    free(once.at);
    free(twice.at);
}
END_TEST

// ---- data sets ----

static enum tt_status open_data(const char *folder, struct tt_error *err) {
    struct tt_dataset *data;
    const struct tt_dataset_options options = {.width = 8, .height = 8, .threads = 1};
    enum tt_status status = tt_dataset_open(folder, &options, &data, err);
    if (!status) tt_dataset_close(data);
    return status;
}

static void check_list(const struct text *list, const char *message) {
    char path[300];
    struct tt_error err = {0};
    snprintf(path, sizeof path, "%s", test_path("data"));
    mkdir(path, 0700);
    write_text("data/metadata.jsonl", list);
    ck_assert_int_eq(open_data(path, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, message), "%s", err.message);
}

static void open_pictures(void *folder) {
    struct tt_error err = {0};
    ck_assert_int_eq(open_data(folder, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "can be used"), "%s", err.message);
}

// Pictures that are missing, listed with a caption each; one with many captions; and pictures that
// are empty, with and without a caption in a file beside them.
enum { LISTED, CAPTIONS, FILES, DATA_KINDS };

static void make_pictures(const char *folder, int kind, size_t n) {
    char file[300];
    struct text list = {0};
    ck_assert_int_eq(mkdir(test_path(folder), 0700), 0);
    if (kind == CAPTIONS) add(&list, "{\"file_name\":\"a.png\",\"text\":[\"\"");
    for (size_t i = 0; i < n; i++) {
        if (kind == LISTED) add(&list, "{\"file_name\":\"%zu.png\",\"text\":\"a\"}\n", i);
        if (kind == CAPTIONS) add(&list, ",\"%zu\"", i);
        if (kind != FILES) continue;
        const char *end = i % 3 == 1 ? "txt" : "png";
        snprintf(file, sizeof file, "%s/%zu.%s", folder, i / 3 * 3 + (i % 3 > 1), end);
        write_text(file, &(struct text){.at = ""});
    }
    if (kind == CAPTIONS) add(&list, "]}\n");
    snprintf(file, sizeof file, "%s/metadata.jsonl", folder);
    if (kind != FILES) write_text(file, &list);
    free(list.at);
}

START_TEST(data_grows) {
    static const char *const what[DATA_KINDS] = {"listed pictures", "captions", "files"};
    static const size_t most[DATA_KINDS] = {10000, 40000, 1000};
    char folder[2][300];
    for (int i = 0; i < 2; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d-%d", _i, i);
        make_pictures(name, _i, most[_i] << i);
        snprintf(folder[i], sizeof folder[i], "%s", test_path(name));
    }
    check_growth(what[_i], open_pictures, folder[0], folder[1]);
}
END_TEST

START_TEST(data_limits) {
    const char *none = "none of 1 pictures can be used";
    for (size_t more = 0; more < 2; more++) { // bytes of a caption
        struct text list = {0};
        add(&list, "{\"file_name\":\"a.png\",\"text\":\"");
        repeat(&list, "b", TT_TEXT_BYTES + more);
        add(&list, "\"}\n");
        check_list(&list, more ? "line 1: text: found 1048577 bytes, expected at most" : none);
        free(list.at);
    }
    struct text list = {0};
    for (size_t line = 0; line < 4; line++) {
        add(&list, "{\"file_name\":\"a%zu.png\",\"text\":[\"\"", line);
        repeat(&list, ",\"\"", TT_DATASET_CAPTIONS / 4 - 1);
        add(&list, "]}\n");
    }
    check_list(&list, "none of 4 pictures can be used");
    add(&list, "{\"file_name\":\"b.png\",\"text\":\"\"}\n");
    check_list(&list, "found more than 2000000 captions, expected no more");
    list.size = 0;
    for (int i = 0; i <= TT_DATASET_ITEMS; i++) add(&list, "{\"file_name\":\"%d\"}\n", i);
    check_list(&list, "found more than 1000000 pictures, expected no more");
    free(list.at);
    ck_assert_int_eq(truncate(test_path("data/metadata.jsonl"), (off_t)TT_DATASET_LIST + 1), 0);
    struct tt_error err = {0};
    char path[300];
    snprintf(path, sizeof path, "%s", test_path("data"));
    ck_assert_int_eq(open_data(path, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "metadata.jsonl: found 536870913 bytes, expected at most"),
                  "%s", err.message);
}
END_TEST

static Suite *limits_suite(void) {
    Suite *suite = suite_create("limits of files");
    TCase *limits = tcase_create("limits");
    tcase_set_timeout(limits, 120);
    tcase_add_test(limits, pictures_grow);
    tcase_add_test(limits, jpeg_limits);
    tcase_add_test(limits, pictures_stop);
    tcase_add_test(limits, axes_end);
    tcase_add_test(limits, logs);
    tcase_add_test(limits, logs_of_all_kinds);
    tcase_add_test(limits, log_limits);
    tcase_add_test(limits, logs_grow);
    tcase_add_loop_test(limits, data_grows, 0, DATA_KINDS);
    tcase_add_test(limits, data_limits);
    suite_add_tcase(suite, limits);
    return suite;
}

int main(void) {
    return test_main(limits_suite(), NULL);
}
