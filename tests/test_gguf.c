// SPDX-License-Identifier: MIT
// GGUF files: those that Python's gguf writes, their blocks dequantised to the same bits; and ones
// made to do harm.
#include "base/quant.h"
#include "io/tensor_file.h"

#include "util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- a file, piece by piece ----

static unsigned char bytes[1 << 16];
static size_t used;

static void put(const void *data, size_t size) {
    memcpy(bytes + used, data, size);
    used += size;
}

static void put_number(uint64_t number, size_t size) { put(&number, size); }

static void put_text(const char *text) {
    put_number(strlen(text), 8);
    put(text, strlen(text));
}

static void begin(uint64_t tensors, uint64_t keys) {
    used = 0;
    put("GGUF\3\0\0", 8);
    put_number(tensors, 8);
    put_number(keys, 8);
}

// A tensor of one dimension.
static void put_tensor(const char *name, uint64_t elements, uint32_t kind, uint64_t offset) {
    put_text(name);
    put_number(1, 4);
    put_number(elements, 8);
    put_number(kind, 4);
    put_number(offset, 8);
}

// Up to the next multiple of 32, and so many bytes of data.
static void put_data(size_t size) {
    while (used % 32) bytes[used++] = 0;
    for (size_t i = 0; i < size; i++) bytes[used++] = (unsigned char)i;
}

static enum tt_status open_bytes(struct tt_tensor_file **file, struct tt_error *err) {
    *err = (struct tt_error){0};
    unsigned char *copy = malloc(used ? used : 1); // exact, so that a sanitizer sees reads beyond
    memcpy(copy, bytes, used);
    enum tt_status status = tt_tensor_file_open_memory("mem", copy, used, file, err);
    if (!status) ck_assert_ptr_nonnull(*file);
    tt_tensor_file_close(*file);
    free(copy);
    return status;
}

static void expect_good(void) {
    struct tt_tensor_file *file;
    struct tt_error err;
    ck_assert_msg(!open_bytes(&file, &err), "%s", err.message);
}

static void expect_refusal(const char *message) {
    struct tt_tensor_file *file;
    struct tt_error err;
    ck_assert_msg(open_bytes(&file, &err) == TT_BAD_INPUT, "accepted, expected \"%s\"", message);
    ck_assert_ptr_null(file);
    ck_assert_msg(strstr(err.message, message) && !strncmp(err.message, "mem: ", 5),
                  "found \"%s\", expected \"%s\" in it", err.message, message);
}

// ---- what others wrote ----

static struct tt_tensor_file *open_file(const char *path) {
    struct tt_tensor_file *file;
    struct tt_error err = {0};
    ck_assert_msg(!tt_tensor_file_open(NULL, path, &file, &err), "%s", err.message);
    ck_assert_str_eq(tt_tensor_file_name(file), path);
    return file;
}

// Files by the package and by stable-diffusion.cpp: in both, every kind of block is there.
static const char *const written[][2] = {
    {"reference/gguf/blocks.gguf", "reference/gguf/blocks.safetensors"},
    {"reference/gguf/sdcpp.gguf", "reference/gguf/sdcpp.safetensors"},
};

START_TEST(blocks_as_the_package_dequantises_them) {
    struct tt_tensor_file *file = open_file(written[_i][0]), *expected = open_file(written[_i][1]);
    unsigned kinds = 0;
    ck_assert(tt_tensor_file_is_gguf(file) && !tt_tensor_file_is_gguf(expected));
    ck_assert_uint_eq(tt_tensor_file_count(file), _i ? 10 : 11);
    for (size_t i = 0; i < tt_tensor_file_count(file); i++) {
        const struct tt_view *view = tt_tensor_file_at(file, i);
        const struct tt_view *right = tt_tensor_file_find(expected, view->name);
        ck_assert(strstr(view->name, tt_dtype_name(view->dtype)) || !tt_is_quantised(view->dtype));
        kinds |= 1u << view->dtype;
        ck_assert(right && tt_shape_equal(&view->shape, &right->shape));
        size_t n = tt_shape_count(&view->shape), wrong = 0;
        float *found = malloc((n + 1) * sizeof *found);
        tt_view_floats(view, 0, n + 1, found);
        ck_assert(found[n] != found[n]); // one that is not there
        ck_assert_msg(!memcmp(found, right->data, n * sizeof *found), "%s", view->name);
        // From any element on, as many as one likes.
        for (size_t first = 0; first < n; first += 1 + first % 37) {
            float some[300];
            size_t count = first % 300 < n - first ? first % 300 : n - first;
            tt_view_floats(view, first, count, some);
            wrong += memcmp(some, found + first, count * sizeof *some) != 0;
        }
        ck_assert_uint_eq(wrong, 0);
        free(found);
    }
    for (int dtype = TT_Q8_0; dtype <= TT_Q6_K; dtype++) ck_assert(kinds & 1u << dtype);
    tt_tensor_file_close(file);
    tt_tensor_file_close(expected);
}
END_TEST

START_TEST(keys_of_every_type) {
    static const char *const texts[][2] = {
        {"general.architecture", "sd1"}, {"general.alignment", "128"}, {"u8", "200"},
        {"i8", "-100"}, {"u16", "60000"}, {"i16", "-30000"}, {"u32", "4000000000"},
        {"i32", "-2000000000"}, {"u64", "18446744073709551615"}, {"i64", "-9000000000000000000"},
        {"f32", "0.10000000149011612"}, {"f64", "0.10000000000000001"}, {"yes", "true"},
        {"no", "false"}, {"text", "na\xc3\xafve \xc3\xa9"},
    };
    struct tt_tensor_file *file = open_file("reference/gguf/keys.gguf");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const char *found = tt_tensor_file_metadata(file, texts[i][0]);
        ck_assert_msg(found && !strcmp(found, texts[i][1]), "%s: found %s", texts[i][0], found);
    }
    ck_assert_ptr_null(tt_tensor_file_metadata(file, "texts"));
    ck_assert_ptr_null(tt_tensor_file_metadata(file, "numbers"));
    ck_assert_ptr_null(tt_tensor_file_metadata(file, "nested"));
    ck_assert_ptr_null(tt_tensor_file_metadata(file, "absent"));

    ck_assert_uint_eq(tt_tensor_file_count(file), 3);
    const struct tt_view *weight = tt_tensor_file_find(file, "conv.weight");
    ck_assert(tt_shape_equal(&weight->shape, &(struct tt_shape){4, {4, 8, 3, 3}}));
    ck_assert_int_eq(weight->dtype, TT_Q8_0);
    ck_assert_uint_eq(weight->bytes, 4 * 72 / 32 * 34);
    const struct tt_view *bias = tt_tensor_file_find(file, "conv.bias");
    ck_assert_uint_eq(((const char *)bias->data - (const char *)tt_tensor_file_bytes(file)->data) %
                      128, 0);
    float values[4];
    tt_view_floats(bias, 0, 4, values);
    ck_assert(values[0] == 0 && values[3] == 3);
    ck_assert_int_eq(tt_tensor_file_find(file, "ids")->dtype, TT_I64);
    ck_assert_ptr_null(tt_tensor_file_find(file, "conv"));
    ck_assert_ptr_null(tt_tensor_file_at(file, 3));
    tt_tensor_file_close(file);
}
END_TEST

// ---- harm ----

// Each cut of a good file: all bytes count, but the last of one that pads its data.
START_TEST(cut_short) {
    struct tt_bytes whole;
    ck_assert(!tt_file_map(NULL, "reference/gguf/keys.gguf", &whole, NULL));
    memcpy(bytes, whole.data, whole.size);
    size_t good = 0;
    for (size_t cut = 0; cut <= whole.size; cut++) {
        struct tt_tensor_file *file;
        struct tt_error err;
        used = cut;
        if (!open_bytes(&file, &err)) good++;
        else ck_assert_int_eq(err.status, TT_BAD_INPUT);
    }
    // The data end with three numbers of 8 bytes, padded to 128.
    ck_assert_uint_eq(good, 128 - 24 + 1);
    tt_bytes_free(&whole);
}
END_TEST

START_TEST(header) {
    begin(0, 0);
    expect_good();
    bytes[4] = 2;
    expect_good();
    bytes[4] = 1;
    expect_refusal("version: found 1, expected 2 or 3");
    memcpy(bytes + 4, "\0\0\0\3", 4);
    expect_refusal("version: found 50331648 (big-endian), expected 2 or 3");
    memcpy(bytes, "GGML", 4);
    expect_refusal("no safetensors file");
    begin(1, 0);
    expect_refusal("found 1 tensors, expected at most 0");
    begin(0, 1);
    expect_refusal("found 1 keys, expected at most 0");
    begin(UINT64_MAX, UINT64_MAX);
    expect_refusal("found 18446744073709551615 tensors, expected at most");
    begin(65537, 0);
    memset(bytes + used, 0, sizeof bytes - used);
    used = sizeof bytes;
    expect_refusal("found 65537 tensors, expected at most");
}
END_TEST

START_TEST(keys) {
    begin(0, 1);
    put_text("k");
    put_number(13, 4);
    put_number(0, 8);
    expect_refusal("k: found type 13, expected one from 0 to 12");

    begin(0, 1);
    put_number(UINT64_MAX, 8);
    put_number(0, 8);
    expect_refusal("key 0: found a text of 18446744073709551615 bytes, expected at most 65535");

    begin(0, 1);
    put_number(65535, 8);
    put_number(0, 8);
    expect_refusal("key 0: found 8 bytes at byte 32 of the header, expected 65535: cut short");

    begin(0, 1);
    put_number(3, 8);
    put("a\0b", 3);
    put_number(0, 4);
    put_number(1, 1);
    expect_refusal("key 0: found a text with a zero byte");

    begin(0, 1);
    put_text("a\xff");
    put_number(0, 4);
    put_number(1, 1);
    expect_refusal("no valid UTF-8");

    begin(0, 1);
    put_text("k");
    put_number(8, 4);
    put_number(UINT64_MAX - 7, 8);
    expect_refusal("k: found a text of 18446744073709551608 bytes, expected at most 100000000");

    begin(0, 2);
    for (int i = 0; i < 2; i++) {
        put_text("k");
        put_number(0, 4);
        put_number(1, 1);
    }
    expect_refusal("k: found twice, expected once");
}
END_TEST

// A key "k" with a list of `count` elements of `type`, and behind it `rest` bytes 0.
static void put_list(uint32_t type, uint64_t count, size_t rest) {
    begin(0, 1);
    put_text("k");
    put_number(9, 4);
    put_number(type, 4);
    put_number(count, 8);
    memset(bytes + used, 0, rest);
    used += rest;
}

START_TEST(lists) {
    put_list(0, 100, 100);
    expect_good();
    put_list(0, 100, 99);
    expect_refusal("k: found 99 bytes at byte 49 of the header, expected 100: cut short");
    put_list(12, UINT64_MAX / 8 + 2, 100);
    expect_refusal("k: found 100 bytes at byte 49 of the header, expected 18446744073709551615");
    put_list(8, 10, 80);
    expect_good();
    put_list(8, 11, 80);
    expect_refusal("cut short");
    put_list(8, UINT64_MAX, 80);
    expect_refusal("cut short");
    put_list(9, 2, 24); // two lists of no bytes
    expect_good();
    put_list(9, UINT64_MAX, 24);
    expect_refusal("cut short");
    put_list(13, 1, 100);
    expect_refusal("k: found type 13");
    for (int depth = 3; depth < 6; depth++) { // lists of one list
        begin(0, 1);
        put_text("k");
        put_number(9, 4);
        for (int i = 0; i < depth; i++) {
            put_number(9, 4);
            put_number(1, 8);
        }
        put_number(0, 4);
        put_number(0, 8);
        if (depth < 4) expect_good();
        else expect_refusal("k: found lists nested deeper than 4");
    }
}
END_TEST

START_TEST(alignment) {
    static const struct {
        uint32_t type, value;
        const char *message;
    } cases[] = {
        {4, 32, NULL}, {4, 1, NULL}, {4, 65536, NULL},
        {4, 0, "general.alignment: found 0 (UINT32), expected a UINT32, a power of two up to"},
        {4, 24, "found 24 (UINT32)"}, {4, 131072, "found 131072"}, {5, 32, "found 32 (INT32)"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(0, 1);
        put_text("general.alignment");
        put_number(cases[i].type, 4);
        put_number(cases[i].value, 4);
        if (cases[i].message) expect_refusal(cases[i].message);
        else expect_good();
    }
}
END_TEST

START_TEST(tensors) {
    begin(1, 0);
    put_tensor("x", 4, 0, 0);
    put_data(16);
    expect_good();
    used--;
    expect_refusal("tensor x: offset: found 16 bytes from 0 on, expected a range in the 15 bytes");

    static const struct {
        uint64_t elements;
        uint32_t kind;
        uint64_t offset;
        const char *message;
    } cases[] = {
        {4, 0, 16, "tensor x: offset: found 16, expected a multiple of 32"},
        {4, 0, 96, "expected a range in the 64 bytes of data"},
        {4, 0, UINT64_MAX - 31, "expected a range in the 64 bytes of data"},
        {0, 0, 0, NULL}, {0, 0, 64, NULL}, {0, 0, 96, "expected a range in"},
        {(uint64_t)1 << 62, 0, 0, "tensor x: shape: the product of its 1 sizes overflows"},
        {UINT64_MAX / 32 * 32, 8, 0, "overflows"},
        {32, 8, 0, NULL}, {33, 8, 0, "found rows of 33 elements, expected a multiple of 32, the "
                                     "block of Q8_0"},
        {128, 12, 0, "expected a multiple of 256, the block of Q4_K"},
        {256, 10, 0, "dtype: found Q2_K, expected one of F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, "
                     "Q5_1, Q4_K, Q5_K, Q6_K"},
        {256, 20, 0, "found IQ4_NL, expected"}, {4, 4, 0, "found ggml's type 4, expected"},
        {4, 4000000000, 0, "found ggml's type 4000000000, expected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(1, 0);
        put_tensor("x", cases[i].elements, cases[i].kind, cases[i].offset);
        put_data(64);
        if (cases[i].message) expect_refusal(cases[i].message);
        else expect_good();
    }

    begin(1, 0);
    put_text("x");
    put_number(9, 4);
    put_data(256);
    expect_refusal("tensor x: shape: found 9 sizes, expected at most 8");

    begin(1, 0);
    put_text("x");
    put_number(3, 4);
    put_number(32, 8);
    put_number((uint64_t)1 << 32, 8);
    put_number((uint64_t)1 << 32, 8);
    put_number(2, 4);
    put_number(0, 8);
    put_data(64);
    expect_refusal("overflows");

    begin(2, 0);
    put_tensor("x", 4, 0, 0);
    put_tensor("x", 4, 0, 32);
    put_data(64);
    expect_refusal("tensor x: found twice, expected once");

    begin(2, 0);
    put_tensor("x", 12, 0, 0);
    put_tensor("y", 4, 0, 32);
    put_data(64);
    expect_refusal("tensor y: begins 32 bytes behind tensor x, expected at least 48: they overlap");

    begin(2, 0); // a hole, and a file that goes on, harm nobody
    put_tensor("x", 4, 0, 64);
    put_tensor("y", 4, 0, 0);
    put_data(200);
    expect_good();
}
END_TEST

// ComfyUI's key for tensor x of 64 elements.
static void put_original(uint32_t type, uint32_t item, const int32_t *sizes, uint64_t count) {
    begin(1, 1);
    put_text("comfy.gguf.orig_shape.x");
    put_number(type, 4);
    if (type == 9) {
        put_number(item, 4);
        put_number(count, 8);
    }
    put(sizes, 4 * (type == 9 ? count : 1));
    put_tensor("x", 64, 8, 0);
    put_data(68);
}

START_TEST(original_shapes) {
    static const int32_t right[] = {4, 1, 16}, wrong[] = {4, 15}, negative[] = {-4, -16};
    static const int32_t huge[] = {INT32_MAX, INT32_MAX, INT32_MAX}, many[9] = {64, 1, 1, 1};
    put_original(9, 5, right, 3);
    expect_good();
    put_original(9, 4, right, 3);
    expect_good();
    put_original(9, 5, wrong, 2);
    expect_refusal("comfy.gguf.orig_shape.x: found (4, 15), expected as many elements as there "
                   "are, (64)");
    put_original(9, 5, negative, 2);
    expect_refusal("expected as many elements");
    put_original(9, 5, huge, 3);
    expect_refusal("expected as many elements");
    put_original(9, 5, many, 9);
    expect_refusal("found a list, too long or of INT32, expected a list of at most 8 whole");
    put_original(9, 6, right, 3);
    expect_refusal("of FLOAT32, expected a list");
    put_original(5, 0, right, 1);
    expect_refusal("orig_shape.x: found INT32, expected a list");
}
END_TEST

static Suite *gguf_suite(void) {
    Suite *suite = suite_create("gguf");
    TCase *tcase = tcase_create("gguf");
    tcase_add_loop_test(tcase, blocks_as_the_package_dequantises_them, 0, 2);
    tcase_add_test(tcase, keys_of_every_type);
    tcase_add_test(tcase, cut_short);
    tcase_add_test(tcase, header);
    tcase_add_test(tcase, keys);
    tcase_add_test(tcase, lists);
    tcase_add_test(tcase, alignment);
    tcase_add_test(tcase, tensors);
    tcase_add_test(tcase, original_shapes);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    return test_main(gguf_suite(), NULL);
}
