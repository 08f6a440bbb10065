// SPDX-License-Identifier: MIT
// Folders of pictures with captions: both conventions, what is left out, what is refused.
#include "train/data.h"

#include "train/captions.h"
#include "train/manifest.h"

#include "util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[512];

static const char *in_folder(const char *name) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void make_folder(const char *name) {
    snprintf(folder, sizeof folder, "%s", test_path(name));
    ck_assert_int_eq(mkdir(folder, 0755), 0);
}

static void write_text(const char *name, const char *text) {
    FILE *file = fopen(in_folder(name), "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    ck_assert_int_eq(fclose(file), 0);
}

// Columns go from black to red, rows from black to green.
static void write_picture(const char *name, size_t width, size_t height) {
    uint8_t *rgb = malloc(3 * width * height);
    for (size_t i = 0; i < width * height; i++) {
        rgb[3 * i] = (uint8_t)(i % width * 255 / (width - 1));
        rgb[3 * i + 1] = (uint8_t)(i / width * 255 / (height - 1));
        rgb[3 * i + 2] = 51;
    }
    struct tt_image image = {width, height, rgb};
    ck_assert_int_eq(tt_image_write(NULL, in_folder(name), &image, NULL, NULL), TT_OK);
    free(rgb);
}

static const struct tt_dataset_options options = {
    .width = 16, .height = 8, .captions = true, .threads = 2};

static struct tt_dataset *open_folder(const struct tt_dataset_options *with) {
    struct tt_dataset *data = NULL;
    struct tt_error err = {0};
    tt_dataset_open(folder, with, &data, &err);
    ck_assert_msg(data != NULL, "%s", err.message);
    return data;
}

static void refuse(const struct tt_dataset_options *with, const char *message) {
    struct tt_dataset *data = NULL;
    struct tt_error err = {0};
    ck_assert_int_eq(tt_dataset_open(folder, with, &data, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, message) != NULL, "'%s' does not say '%s'", err.message,
                  message);
    ck_assert_ptr_null(data);
}

START_TEST(text_files) {
    make_folder("text");
    write_picture("b.png", 16, 8);
    write_text("b.txt", "two birds\n");
    write_picture("a.PNG", 64, 64);
    write_text("a.txt", "");
    write_text("notes.md", "not a picture");
    write_picture("c.png", 16, 8);
    write_picture("small.png", 3, 8);
    write_text("small.txt", "x");
    write_text("torn.jpg", "\xff\xd8\xff");
    write_text("torn.txt", "x");
    write_picture("latin.png", 16, 8);
    write_text("latin.txt", "caf\xe9");
    struct tt_dataset *data = open_folder(&options);
    ck_assert_uint_eq(tt_dataset_count(data), 2);
    ck_assert_str_eq(tt_dataset_name(data, 0), "a.PNG");
    ck_assert_str_eq(tt_dataset_caption(data, 0, 0), "");
    ck_assert_str_eq(tt_dataset_caption(data, 1, 0), "two birds");
    static const char *const skipped[] = {"c.png: no caption", "latin.txt: no valid UTF-8",
                                          "small.png: found 3 x 8 pixels, expected at least 4 x 2",
                                          "torn.jpg: "};
    for (size_t i = 0; i < 4; i++) {
        ck_assert_ptr_nonnull(tt_dataset_skipped(data, i));
        ck_assert_msg(strstr(tt_dataset_skipped(data, i), skipped[i]) != NULL, "%s",
                      tt_dataset_skipped(data, i));
    }
    ck_assert_ptr_null(tt_dataset_skipped(data, 4));
    tt_dataset_close(data);

    struct tt_dataset_options with = options;
    with.strict = true;
    refuse(&with, "c.png: no caption (4 of 6 pictures cannot be used)");
    with = options;
    with.captions = false;
    data = open_folder(&with);
    ck_assert_uint_eq(tt_dataset_count(data), 3);
    tt_dataset_close(data);
}
END_TEST

START_TEST(metadata_file) {
    make_folder("lines");
    write_picture("x.png", 16, 8);
    write_picture("y.png", 16, 8);
    write_picture("unlisted.png", 16, 8);
    write_text("metadata.jsonl", "{\"file_name\": \"y.png\", \"text\": [\"one\", \"\\u00e9\"]}\n\n"
                                 "{\"file_name\": \"x.png\", \"text\": \"x\", \"seed\": 7}\n"
                                 "{\"file_name\": \"gone.png\", \"text\": \"gone\"}");
    struct tt_dataset *data = open_folder(&options);
    ck_assert_uint_eq(tt_dataset_count(data), 2);
    ck_assert_str_eq(tt_dataset_name(data, 0), "x.png");
    ck_assert_uint_eq(tt_dataset_captions(data, 1), 2);
    ck_assert_str_eq(tt_dataset_caption(data, 1, 1), "é");
    ck_assert_ptr_nonnull(strstr(tt_dataset_skipped(data, 0), "gone.png"));
    ck_assert_ptr_nonnull(strstr(tt_dataset_skipped(data, 1), "unlisted.png: not in metadata"));
    ck_assert_ptr_null(tt_dataset_skipped(data, 2));
    tt_dataset_close(data);
}
END_TEST

START_TEST(refused) {
    make_folder("empty");
    refuse(&options, "found no picture, expected PNG or JPEG files");
    write_picture("x.png", 16, 8);
    refuse(&options, "none of 1 pictures can be used; the first: ");
    static const struct {
        const char *line, *message;
    } lines[] = {
        {"{\"file_name\": \"x.png\", \"text\": \"x\"}\n{", "metadata.jsonl: line 2"},
        {"{\"text\": \"x\"}", "line 1: file_name: found"},
        {"{\"file_name\": \"x.png\"}", "line 1: text: found"},
        {"{\"file_name\": \"x.png\", \"text\": 5}", "line 1: text: found 5,"},
        {"{\"file_name\": \"x.png\", \"text\": []}", "line 1: text: found"},
        {"{\"file_name\": \"x.png\", \"text\": [1]}", "line 1: text: found"},
        {"{\"file_name\": \"../x.png\", \"text\": \"x\"}", "leaves the folder"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        write_text("metadata.jsonl", lines[i].line);
        refuse(&options, lines[i].message);
    }
    write_text("metadata.jsonl", "{\"file_name\": \"x.png\", \"text\": \"x\"}");
    write_text("x.txt", "x");
    refuse(&options, "found metadata.jsonl and x.txt, expected captions in one way");
    snprintf(folder, sizeof folder, "%s", test_path("nowhere"));
    refuse(&options, "nowhere");
}
END_TEST

// The picture's own size: exact. Scaled: red still grows with x, over all of it or its middle.
START_TEST(pixels) {
    make_folder("pixels");
    write_picture("same.png", 16, 8);
    write_picture("square.png", 64, 64);
    write_picture("wide.png", 128, 32);
    struct tt_dataset_options with = options;
    with.captions = false;
    enum { N = 16 * 8 };
    float x[3 * N], mirrored[3 * N];
    struct tt_dataset *data = open_folder(&with);
    ck_assert_int_eq(tt_dataset_picture(data, 0, false, x, NULL), TT_OK);
    ck_assert_int_eq(tt_dataset_picture(data, 0, true, mirrored, NULL), TT_OK);
    for (size_t i = 0; i < N; i++) {
        float red = 2.0f * ((float)(i % 16 * 255 / 15) / 255.0f) - 1.0f;
        ck_assert_float_eq(x[i], red);
        ck_assert_float_eq(mirrored[i / 16 * 16 + 15 - i % 16], red);
        ck_assert_float_eq(x[2 * N + i], 2.0f * (51.0f / 255.0f) - 1.0f);
    }
    ck_assert_int_eq(tt_dataset_picture(data, 1, false, x, NULL), TT_OK);
    ck_assert_float_eq_tol(x[0], -1 + 1.0f / 16, 0.02);           // red: all columns
    ck_assert_float_eq_tol(x[N], -1 + 2 * 0.28125f, 0.02);        // green: rows 16 to 48 of 64
    ck_assert_float_eq_tol(x[N + N - 1], -1 + 2 * 0.71875f, 0.02);
    ck_assert_int_eq(tt_dataset_picture(data, 2, false, x, NULL), TT_OK);
    ck_assert_float_eq_tol(x[15], -1 + 2 * 0.734375f, 0.02);      // red: columns 32 to 96 of 128
    tt_dataset_close(data);
    with.fit = TT_FIT_STRETCH;
    data = open_folder(&with);
    ck_assert_int_eq(tt_dataset_picture(data, 2, false, x, NULL), TT_OK);
    ck_assert_float_eq_tol(x[15], 1 - 1.0f / 16, 0.02);
    tt_dataset_close(data);
}
END_TEST

START_TEST(every_item_once_an_epoch) {
    make_folder("order");
    char name[32];
    enum { ITEMS = 21, EPOCHS = 4 };
    for (int i = 0; i < ITEMS; i++) {
        snprintf(name, sizeof name, "%02d.png", i);
        write_picture(name, 16, 8);
    }
    struct tt_dataset_options with = options;
    with.captions = false;
    struct tt_dataset *data = open_folder(&with);
    size_t order[EPOCHS][ITEMS], fixed = 0;
    for (size_t epoch = 0; epoch < EPOCHS; epoch++) {
        bool seen[ITEMS] = {false};
        for (size_t i = 0; i < ITEMS; i++) {
            size_t at = order[epoch][i] = tt_dataset_order(data, 9, epoch * ITEMS + i);
            ck_assert_uint_lt(at, ITEMS);
            ck_assert(!seen[at]);
            seen[at] = true;
            fixed += at == i;
        }
        for (size_t other = 0; other < epoch; other++)
            ck_assert(memcmp(order[epoch], order[other], sizeof order[epoch]) != 0);
    }
    ck_assert_uint_lt(fixed, ITEMS); // about one an epoch in a random order
    ck_assert_uint_ne(tt_dataset_order(data, 9, 0) + 100 * tt_dataset_order(data, 9, 1),
                      tt_dataset_order(data, 8, 0) + 100 * tt_dataset_order(data, 8, 1));
    tt_dataset_close(data);
}
END_TEST

// Which of 40 pictures are held out, a bit each; of the items, those trained on come first.
static uint64_t held_out(double share, uint64_t seed) {
    struct tt_dataset_options with = options;
    uint64_t bits = 0;
    with.captions = false;
    with.hold = share;
    with.seed = seed;
    struct tt_dataset *data = open_folder(&with);
    size_t trained = tt_dataset_count(data), all = trained + tt_dataset_held(data);
    ck_assert_ptr_null(tt_dataset_skipped(data, 0));
    for (size_t i = 0; i < all; i++) {
        const char *name = tt_dataset_name(data, i);
        if (i && i != trained) ck_assert_str_lt(tt_dataset_name(data, i - 1), name);
        if (i >= trained) bits |= UINT64_C(1) << atoi(name);
    }
    for (size_t n = 0; n < 3 * all; n++) ck_assert_uint_lt(tt_dataset_order(data, 1, n), trained);
    tt_dataset_close(data);
    return bits;
}

START_TEST(held_out_by_name) {
    make_folder("held");
    char name[32];
    enum { ITEMS = 40 };
    for (int i = 0; i < ITEMS; i += 2) {
        snprintf(name, sizeof name, "%02d.png", i);
        write_picture(name, 16, 8);
    }
    uint64_t half = held_out(0.3, 9), other = held_out(0.3, 10), least = held_out(1e-12, 9);
    ck_assert_int_eq(__builtin_popcountll(least), 1);
    ck_assert_int_eq(__builtin_popcountll(held_out(0.999999, 9)), ITEMS / 2 - 1);
    ck_assert_uint_eq(held_out(0, 9), 0);
    ck_assert_uint_ne(half, other);
    ck_assert_uint_eq(half & least, least);
    for (double share = 0.05; share < 1; share += 0.05) // a larger share holds out more of the same
        ck_assert_uint_eq(held_out(share, 9) & ~held_out(share + 0.04, 9), 0);
    for (int i = 1; i < ITEMS; i += 2) {
        snprintf(name, sizeof name, "%02d.png", i);
        write_picture(name, 16, 8);
    }
    uint64_t all = held_out(0.3, 9), even = UINT64_C(0x5555555555);
    ck_assert_uint_eq(all & even, half); // others that come move none
    ck_assert_int_ge(__builtin_popcountll(all), 4);
    ck_assert_int_le(__builtin_popcountll(all), 22);
    make_folder("single");
    write_picture("00.png", 16, 8);
    struct tt_dataset_options with = options;
    with.captions = false;
    with.hold = 0.5;
    refuse(&with, "validate: found a single picture, expected at least two");
}
END_TEST

// Lists of pictures as checkpoints have them, whole and in pieces.
START_TEST(lists_of_pictures) {
    static const char list[] = "a.png\0" "0123abcd 0 used 2\0one\0two\0b.png\0" "12345678 6 held 0";
    struct tt_manifest whole = {(char *)list, sizeof list};
    for (size_t size = 0; size <= sizeof list; size++) {
        struct tt_changes changes;
        struct tt_error err = {0};
        struct tt_manifest part = {malloc(size ? size : 1), size};
        memcpy(part.bytes, list, size);
        ck_assert_int_eq(tt_changes_begin(&changes, true, "F", &err), TT_OK);
        bool good = !size || size == 32 || size == sizeof list; // the end of a picture
        ck_assert_int_eq(tt_manifest_compare(&whole, &part, &changes, &err),
                         good ? TT_OK : TT_BAD_INPUT);
        ck_assert_msg(good || strstr(err.message, "F: pictures: found no list"), "%s", err.message);
        if (good) ck_assert_uint_eq(tt_changes_count(&changes), !size ? 3 : size == 32 ? 2 : 0);
        if (good) ck_assert_int_eq(changes.other, !size);
        tt_changes_free(&changes);
        free(part.bytes);
    }
}
END_TEST

START_TEST(words_left_out) {
    static const char *const words[] = {"a", "red", "boat,", "at", "night"};
    enum { WORDS = sizeof words / sizeof *words, TIMES = 4000 };
    struct tt_rng rng;
    char left[32];
    size_t kept[WORDS] = {0};
    tt_rng_seed(&rng, 5);
    tt_caption_drop_words("  a red  boat, at night ", 0, &rng, left);
    ck_assert_str_eq(left, "a red boat, at night");
    tt_caption_drop_words("a red boat, at night", 1, &rng, left);
    ck_assert_str_eq(left, "");
    tt_caption_drop_words("", 0.5, &rng, left);
    ck_assert_str_eq(left, "");
    for (size_t time = 0; time < TIMES; time++) {
        tt_caption_drop_words("a red boat, at night", 0.25, &rng, left);
        const char *at = left;
        for (size_t i = 0; i < WORDS; i++) {
            size_t length = strlen(words[i]);
            if (strncmp(at, words[i], length) || (at[length] && at[length] != ' ')) continue;
            kept[i]++;
            at += length + (at[length] == ' ');
        }
        ck_assert_msg(!*at, "'%s' are not words of the caption in order", left);
    }
    for (size_t i = 0; i < WORDS; i++) // 0.75 with a deviation of 0.007
        ck_assert_double_eq_tol((double)kept[i] / TIMES, 0.75, 0.03);
}
END_TEST

// ---- people's own folders ----

static void make_inside(const char *name) { ck_assert_int_eq(mkdir(in_folder(name), 0755), 0); }

static void copy_here(const char *from, const char *name) {
    size_t size;
    char *bytes = test_read(from, &size);
    FILE *file = fopen(in_folder(name), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
    free(bytes);
}

static void expect_names(const struct tt_dataset *data, const char *const *names, size_t count) {
    for (size_t i = 0; i < count && i < tt_dataset_count(data); i++)
        ck_assert_str_eq(tt_dataset_name(data, i), names[i]);
    ck_assert_uint_eq(tt_dataset_count(data), count);
}

// What is left out, in its order, each with these words.
static void expect_skipped(const struct tt_dataset *data, const char *const *words, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const char *found = tt_dataset_skipped(data, i);
        ck_assert_msg(found && strstr(found, words[i]), "%zu: found '%s', expected '%s'", i, found,
                      words[i]);
    }
    ck_assert_msg(!tt_dataset_skipped(data, count), "%s", tt_dataset_skipped(data, count));
}

#define COUNT(list) (sizeof(list) / sizeof *(list))

START_TEST(folders_in_folders) {
    make_folder("nested");
    write_picture("b.png", 16, 8);
    write_text("b.txt", "root");
    make_inside("a");
    make_inside("a/deep");
    make_inside("a.b");
    write_picture("a/x.png", 16, 8);
    write_text("a/x.txt", "in a");
    write_picture("a/deep/y.png", 16, 8);
    write_text("a/deep/y.TXT", "deep");
    write_picture("a.b/z", 16, 8); // no picture by its name
    write_text("a.b/lost.txt", "of nothing");
    make_inside(".git");
    make_inside("__MACOSX");
    make_inside("run");
    make_inside("out");
    write_picture(".git/x.png", 16, 8);
    write_text("__MACOSX/x.txt", "x");
    write_text("run/model_index.json", "{}");
    write_picture("run/x.png", 16, 8);
    write_picture("out/x.png", 16, 8);
    char target[1024];
    snprintf(target, sizeof target, "%s", in_folder("a"));
    ck_assert_int_eq(symlink(target, in_folder("link")), 0);
    ck_assert_int_eq(symlink(folder, in_folder("a/loop")), 0);
    char apart[1024];
    snprintf(apart, sizeof apart, "%s", in_folder("out"));
    struct tt_dataset_options with = options;
    with.apart = apart;
    struct tt_dataset *data = open_folder(&with);
    static const char *const names[] = {"a/deep/y.png", "a/x.png", "b.png"};
    static const char *const skipped[] = {
        "a.b/lost.txt: found a caption, but no picture of its name", "a/loop: found a link",
        "link: found a link to a folder", "run: found a model's folder"};
    expect_names(data, names, COUNT(names));
    expect_skipped(data, skipped, COUNT(skipped));
    ck_assert_str_eq(tt_dataset_caption(data, 0, 0), "deep");
    ck_assert_str_eq(tt_dataset_caption(data, 1, 0), "in a");
    float x[3 * 16 * 8];
    ck_assert_int_eq(tt_dataset_picture(data, 1, false, x, NULL), TT_OK);
    tt_dataset_close(data);
    with.strict = true;
    refuse(&with, "a.b/lost.txt: found a caption, but no picture of its name (4 of 7");
    with.strict = false;
    with.captions = false; // what lies beside no picture does not matter then
    data = open_folder(&with);
    expect_skipped(data, skipped + 1, COUNT(skipped) - 1);
    tt_dataset_close(data);
    // Training into the pictures' own folder: what it writes is not taken for pictures.
    make_inside("samples");
    write_picture("samples/step.png", 16, 8);
    with.apart = folder;
    data = open_folder(&with);
    static const char *const all[] = {"a/deep/y.png", "a/x.png", "b.png", "out/x.png"};
    expect_names(data, all, COUNT(all));
    tt_dataset_close(data);
}
END_TEST

START_TEST(metadata_in_folders) {
    make_folder("nested-lines");
    make_inside("a");
    make_inside("b");
    write_picture("x.png", 16, 8);
    write_picture("a/x.png", 16, 8);
    write_picture("b/y.png", 16, 8);
    write_picture("b/unlisted.png", 16, 8);
    write_text("metadata.jsonl", "{\"file_name\": \"./x.png\", \"text\": \"root\"}\n"
                                 "{\"file_name\": \"b//y.png\", \"text\": \"from above\"}");
    write_text("a/metadata.jsonl", "\xef\xbb\xbf{\"file_name\": \"x.png\", \"text\": \"in a\"}\n"
                                   "{\"file_name\": \"../b/y.png\", \"text\": \"beside\"}\n"
                                   "{\"file_name\": \"../../z.png\", \"text\": \"z\"}");
    write_text("b/y.txt", "not read");
    struct tt_dataset *data = open_folder(&options);
    static const char *const names[] = {"a/x.png", "b/y.png", "x.png"};
    static const char *const skipped[] = {"../z.png\" leaves the folder",
                                          "b/unlisted.png: not in metadata.jsonl",
                                          "b/y.txt: not read beside a metadata.jsonl"};
    expect_names(data, names, COUNT(names));
    expect_skipped(data, skipped, COUNT(skipped));
    ck_assert_str_eq(tt_dataset_caption(data, 0, 0), "in a");
    ck_assert_uint_eq(tt_dataset_captions(data, 1), 2);
    ck_assert_str_eq(tt_dataset_caption(data, 1, 0), "beside");
    ck_assert_str_eq(tt_dataset_caption(data, 1, 1), "from above");
    tt_dataset_close(data);
    write_text("a/x.txt", "x");
    refuse(&options, "found a/metadata.jsonl and a/x.txt, expected captions in one way");
}
END_TEST

static char told[1024];

static void tell(void *context, const char *text) {
    (void)context;
    strncat(told, text, sizeof told - strlen(told) - 1);
    strncat(told, "\n", sizeof told - strlen(told) - 1);
}

START_TEST(listed_twice) {
    const struct tt_notes notes = {tell, NULL};
    struct tt_dataset_options with = options;
    with.notes = &notes;
    make_folder("twice");
    write_picture("x.png", 16, 8);
    write_picture("y.png", 16, 8);
    write_text("metadata.jsonl", "{\"file_name\": \"x.png\", \"text\": [\"one\", \"one\"]}\n"
                                 "{\"file_name\": \"y.png\", \"text\": \"y\"}\n"
                                 "{\"file_name\": \"./x.png\", \"text\": [\"two\", \"one\"]}\n"
                                 "{\"file_name\": \"x.png\", \"text\": \"two\"}\n");
    struct tt_dataset *data = open_folder(&with);
    static const char *const names[] = {"x.png", "y.png"};
    static const char *const texts[] = {"one", "one", "two"};
    expect_names(data, names, COUNT(names));
    ck_assert_uint_eq(tt_dataset_captions(data, 0), COUNT(texts));
    for (size_t k = 0; k < COUNT(texts); k++)
        ck_assert_str_eq(tt_dataset_caption(data, 0, k), texts[k]);
    ck_assert_msg(strstr(told, "2 lines list a picture once more") && strstr(told, "x.png"), "%s",
                  told);
    tt_dataset_close(data);
}
END_TEST

START_TEST(marks_and_formats) {
    static const char *const kinds[] = {"a.bmp", "b.TIF", "c.tiff", "d.gif", "e.avif", "f.HEIC"};
    make_folder("formats");
    for (size_t i = 0; i < COUNT(kinds); i++) {
        char text[16];
        snprintf(text, sizeof text, "%.1s.txt", kinds[i]);
        write_text(kinds[i], "BM");
        write_text(text, "x");
    }
    write_picture("g.png", 16, 8);
    write_text("g.txt", "\xef\xbb\xbf" "caf\xc3\xa9 \n");
    write_picture("h.png", 16, 8);
    write_text("h.txt", "\xff\xfeh");
    write_picture("i.png", 16, 8);
    write_text("i.txt", "\xef\xbb\xbf");
    copy_here("tests/fuzz/corpus/image/RGB.jpg", "j.jfif");
    write_text("j.txt", "jfif");
    copy_here("tests/fuzz/corpus/image/upright-lossy30.webp", "k.webp");
    write_text("k.txt", "webp");
    write_text("metadata.csv", "file_name,text");
    struct tt_dataset *data = open_folder(&options);
    static const char *const names[] = {"g.png", "i.png", "j.jfif", "k.webp"};
    static const char *const skipped[] = {
        "a.bmp: found a picture of a kind that is not read, expected PNG, JPEG or WebP",
        "b.TIF: found", "c.tiff: found", "d.gif: found", "e.avif: found", "f.HEIC: found",
        "h.txt: found UTF-16 text, expected UTF-8", "metadata.csv: found captions of a kind"};
    expect_names(data, names, COUNT(names));
    expect_skipped(data, skipped, COUNT(skipped));
    ck_assert_str_eq(tt_dataset_caption(data, 0, 0), "caf\xc3\xa9");
    ck_assert_str_eq(tt_dataset_caption(data, 1, 0), "");
    tt_dataset_close(data);
    struct tt_dataset_options with = options;
    with.strict = true;
    refuse(&with, "a.bmp: found a picture of a kind that is not read");
    write_text("metadata.jsonl", "\xfe\xff{");
    refuse(&options, "metadata.jsonl: found UTF-16 text, expected UTF-8");
}
END_TEST

// 10 x 16 pixels are enough where 16 x 10, as they lie in the file, would not be.
START_TEST(turned_before_all) {
    make_folder("turned");
    copy_here("tests/fuzz/corpus/image/upright-II6.png", "a.png");
    struct tt_dataset_options with = {.width = 40, .height = 64, .threads = 1};
    struct tt_dataset *data = open_folder(&with);
    float x[3 * 16 * 10], y[3 * 16 * 10];
    tt_dataset_close(data);
    with.width = 64;
    with.height = 40;
    refuse(&with, "found 10 x 16 pixels, expected at least 16 x 10");
    with.width = 10;
    with.height = 16; // its own size: the pixels themselves
    data = open_folder(&with);
    ck_assert_int_eq(tt_dataset_picture(data, 0, false, x, NULL), TT_OK);
    char plain[TT_DATASET_HASH_SIZE], turned[TT_DATASET_HASH_SIZE];
    tt_dataset_hash(data, turned);
    tt_dataset_close(data);
    size_t size;
    char *bytes = test_read(in_folder("a.png"), &size);
    struct tt_image image;
    ck_assert_int_eq(tt_image_read_memory("a", bytes, size, &image, NULL), TT_OK);
    ck_assert(image.width == 10 && image.height == 16);
    for (size_t i = 0; i < 3 * 160; i++)
        y[i % 3 * 160 + i / 3] = 2.0f * ((float)image.rgb[i] / 255.0f) - 1.0f;
    test_equal("pixels", x, y, 3 * 160);
    tt_image_free(&image);
    free(bytes);
    copy_here("tests/fuzz/corpus/image/upright-II1.png", "a.png");
    with.width = 16;
    with.height = 10;
    data = open_folder(&with);
    tt_dataset_hash(data, plain);
    // As it always was: SHA-256 of "0 0 CRC32" and the name.
    ck_assert_str_eq(plain, "930fc473d8f84137");
    ck_assert_str_ne(plain, turned);
    tt_dataset_close(data);
}
END_TEST

// The draws are those of plain spaces, whatever the white space.
START_TEST(white_space) {
    static const char *const spaces[] = {" ", "\t", "\n", "\r\n", "\v\f", "\xc2\xa0",
                                         "\xe2\x80\x83", "\xe3\x80\x80", "\xe2\x80\xa8",
                                         "\xc2\x85", "\x1c"};
    for (size_t i = 0; i < COUNT(spaces); i++)
        for (uint64_t seed = 0; seed < 20; seed++) {
            char text[64], left[64], want[64];
            struct tt_rng rng, same;
            tt_rng_seed(&rng, seed);
            same = rng;
            snprintf(text, sizeof text, "%sa red%sbo\xc3\xa0t%s", spaces[i], spaces[i], spaces[i]);
            tt_caption_drop_words(text, 0.5, &rng, left);
            tt_caption_drop_words("a red bo\xc3\xa0t", 0.5, &same, want);
            ck_assert_str_eq(left, want);
            ck_assert(!memcmp(rng.state, same.state, sizeof rng.state) && rng.next == same.next);
        }
    char left[64];
    struct tt_rng rng;
    tt_rng_seed(&rng, 0); // a zero-width space is none
    tt_caption_drop_words("a\xe2\x80\x8b" "b c", 0, &rng, left);
    ck_assert_str_eq(left, "a\xe2\x80\x8b" "b c");
}
END_TEST

static Suite *data_suite(void) {
    Suite *suite = suite_create("data");
    TCase *tcase = tcase_create("folders");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, text_files);
    tcase_add_test(tcase, metadata_file);
    tcase_add_test(tcase, refused);
    tcase_add_test(tcase, pixels);
    tcase_add_test(tcase, every_item_once_an_epoch);
    tcase_add_test(tcase, held_out_by_name);
    tcase_add_test(tcase, lists_of_pictures);
    tcase_add_test(tcase, words_left_out);
    tcase_add_test(tcase, folders_in_folders);
    tcase_add_test(tcase, metadata_in_folders);
    tcase_add_test(tcase, listed_twice);
    tcase_add_test(tcase, marks_and_formats);
    tcase_add_test(tcase, turned_before_all);
    tcase_add_test(tcase, white_space);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) { return test_main(data_suite(), NULL); }
