// SPDX-License-Identifier: MIT
// The pages of HTML of verify and profile: that they stand alone, hold what they were given in few
// bytes, and take no text for markup. How they look and behave: `make reports`.
#include "cli/report.h"

#include <math.h>
#include <nettle/base64.h>
#include <stdlib.h>
#include <string.h>

#include "report_samples.h"
#include "util.h"

static char *page_of(json_t *root, size_t *size) {
    char *page = report_page(root, size);
    ck_assert_ptr_nonnull(page);
    ck_assert_uint_eq(strlen(page), *size);
    json_decref(root);
    return page;
}

static size_t count_of(const char *page, const char *text) {
    size_t n = 0;
    for (const char *at = page; (at = strstr(at, text)); at++) n++;
    return n;
}

// What stands between two texts, of which the first is there once.
static char *between(const char *page, const char *from, const char *to) {
    ck_assert_uint_eq(count_of(page, from), 1);
    const char *begin = strstr(page, from) + strlen(from), *end = strstr(begin, to);
    ck_assert_ptr_nonnull(end);
    return strndup(begin, (size_t)(end - begin));
}

static json_t *data_of(const char *page) {
    char *text = between(page, "<script type=\"application/json\" id=\"data\">", "</script>");
    for (const char *c = text; *c; c++) ck_assert(*c > 0 && *c != '<');
    json_t *data = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(data);
    free(text);
    return data;
}

// The policy names the hash of what stands there.
static void expect_hash(const char *page, const char *kind, const char *element, const char *end) {
    char *policy = between(page, kind, "'"), *text = between(page, element, end);
    char wanted[65], got[65] = "";
    uint8_t digest[BASE64_DECODE_LENGTH(44)];
    size_t size = sizeof digest;
    struct base64_decode_ctx base64;
    base64_decode_init(&base64);
    ck_assert(base64_decode_update(&base64, &size, digest, strlen(policy), policy));
    ck_assert_uint_eq(size, 32);
    for (size_t i = 0; i < size; i++) sprintf(got + 2 * i, "%02x", digest[i]);
    test_sha256(text, strlen(text), wanted);
    ck_assert_str_eq(got, wanted);
    free(policy);
    free(text);
}

// A page fetches nothing, and may not; its two scripts and its style are those that it came with.
static void expect_alone(const char *page) {
    static const char *const none[] = {"src=", "@import", "url(", "<link", "<img", "<iframe",
                                       "innerHTML", "<!--", "eval(", NULL};
    for (const char *const *text = none; *text; text++)
        ck_assert_msg(!strstr(page, *text), "found %s", *text);
    ck_assert_uint_eq(count_of(page, "://"), 1); // the name space of SVG
    ck_assert_ptr_nonnull(strstr(page, "'http://www.w3.org/2000/svg'"));
    ck_assert_uint_eq(count_of(page, "<script"), 2);
    ck_assert_uint_eq(count_of(page, "</script"), 2);
    ck_assert_uint_eq(count_of(page, "<style"), 1);
    ck_assert_ptr_nonnull(strstr(page, "content=\"default-src 'none'; base-uri 'none'; "
                                       "form-action 'none'; style-src 'sha256-"));
    ck_assert_ptr_null(strstr(page, "unsafe-"));
    expect_hash(page, "style-src 'sha256-", "<style>", "</style>");
    expect_hash(page, "script-src 'sha256-", "<script>", "</script>");
}

START_TEST(stand_alone) {
    size_t size;
    char *pages[] = {page_of(sample_verification(300, 5, 3), &size),
                     page_of(sample_profile(300, 3), &size), page_of(json_object(), &size)};
    for (size_t i = 0; i < 3; i++) {
        expect_alone(pages[i]);
        json_decref(data_of(pages[i]));
        free(pages[i]);
    }
}
END_TEST

START_TEST(hostile_texts) {
    json_t *roots[] = {sample_verification(30, 4, 3), sample_profile(30, 2)};
    for (size_t i = 0; i < 2; i++) {
        size_t size;
        sample_make_hostile(roots[i]);
        char *page = page_of(roots[i], &size);
        ck_assert_uint_eq(count_of(page, "<script"), 2);
        ck_assert_uint_eq(count_of(page, "</script"), 2);
        ck_assert_ptr_null(strstr(page, "<!--"));
        ck_assert_ptr_null(strstr(page, "\xe2\x80\xa8"));
        ck_assert_ptr_null(strstr(page, "\xe2\x80\xae"));
        json_t *data = data_of(page);
        ck_assert_str_eq(json_string_value(json_object_get(data, "model")), sample_hostile);
        char *title = between(page, "<title>", "</title>");
        ck_assert_ptr_nonnull(strstr(title, "&lt;/script>&lt;script>"));
        ck_assert_ptr_nonnull(strstr(title, "&amp;amp;"));
        ck_assert_ptr_null(strchr(title, '\x01'));
        free(title);
        json_decref(data);
        free(page);
    }
}
END_TEST

// A value of a packed table; NULL where there is none.
static const json_t *value_at(const json_t *data, const json_t *table, const char *key,
                              size_t row) {
    const json_t *at = json_object_get(json_object_get(table, "columns"), key), *of, *one;
    if (!at) return NULL;
    const json_t *column =
        json_array_get(json_object_get(data, "pool"), (size_t)json_integer_value(at));
    ck_assert_ptr_nonnull(column);
    if (json_is_array(column)) return json_array_get(column, row);
    if ((of = json_object_get(column, "of")))
        return json_array_get(json_object_get(column, "words"),
                              (size_t)json_integer_value(json_array_get(of, row)));
    if (!(of = json_object_get(column, "at"))) return json_object_get(column, "same");
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)of, i, one)
        if ((size_t)json_integer_value(one) == row)
            return json_array_get(json_object_get(column, "values"), i);
    return NULL;
}

// Each value of the rows is in the table: numbers to four digits, lists as their text.
static void expect_table(const json_t *data, const json_t *table, json_t *rows, size_t from) {
    json_t *row, *value;
    const char *key;
    for (size_t i = 0; i < (size_t)json_integer_value(json_object_get(table, "rows")); i++) {
        row = json_array_get(rows, from + i);
        ck_assert_ptr_nonnull(row);
        json_object_foreach(row, key, value) {
            const json_t *packed = value_at(data, table, key, i);
            if (json_is_number(value)) {
                double want = json_number_value(value);
                bool exact = !strcmp(key, "ours") || !strcmp(key, "recorded") ||
                             !strcmp(key, "cosine");
                ck_assert_msg(fabs(json_number_value(packed) - want) <=
                              (exact ? 1e-8 : 5.1e-4) * fabs(want), "%s of row %zu", key, i);
            } else if (json_is_array(value)) {
                char *text = json_dumps(value, JSON_COMPACT);
                ck_assert_str_eq(json_string_value(packed), text);
                free(text);
            } else if (json_is_null(value)) {
                ck_assert(!packed || json_is_null(packed));
            } else {
                ck_assert_msg(json_equal(packed, value), "%s of row %zu", key, i);
            }
        }
    }
}

START_TEST(nothing_is_lost) {
    size_t size, i, from = 0;
    json_t *verification = sample_verification(150, 6, 4), *profile = sample_profile(120, 3), *each;
    json_array_append_new(json_object_get(profile, "nodes"),
                          json_pack("{s:s, s:f}", "name", "last", "ms", 0.25));
    char *page = page_of(json_deep_copy(verification), &size);
    json_t *data = data_of(page);
    json_array_foreach(json_object_get(data, "parts"), i, each)
        expect_table(data, json_object_get(each, "tensors"), json_object_get(json_array_get(
            json_object_get(verification, "parts"), i), "tensors"), 0);
    ck_assert_uint_eq(i, 6);
    ck_assert(json_equal(json_object_get(data, "weights"),
                         json_object_get(verification, "weights")));
    json_decref(data);
    free(page);
    page = page_of(json_deep_copy(profile), &size);
    data = data_of(page);
    json_array_foreach(json_object_get(data, "nodes"), i, each) {
        expect_table(data, each, json_object_get(profile, "nodes"), from);
        from += (size_t)json_integer_value(json_object_get(each, "rows"));
    }
    ck_assert_uint_eq(from, 361);
    ck_assert_uint_eq(i, 4);
    json_decref(data);
    json_decref(profile);
    json_decref(verification);
    free(page);
}
END_TEST

// A report of a run that compared nothing, and one of no nodes, are pages, too.
START_TEST(empty_runs) {
    size_t size;
    json_t *roots[] = {
        json_pack("{s:s, s:[], s:n}", "format", "tintype-verification", "parts", "first"),
        json_pack("{s:s, s:[{s:s, s:[]}]}", "format", "tintype-verification", "parts", "part",
                  "unet", "tensors"),
        json_pack("{s:s, s:[]}", "format", "tintype-profile", "nodes")};
    for (size_t i = 0; i < 3; i++) {
        char *page = page_of(roots[i], &size);
        json_decref(data_of(page));
        free(page);
    }
}
END_TEST

// What an issue asks for: 3,000 tensors and 20 steps in 5 MB, also when each of them differs; what
// was left out then is said.
START_TEST(sizes) {
    size_t size;
    char *page = page_of(sample_verification(3000, 20, 1), &size);
    ck_assert_uint_le(size, 5000000);
    json_t *data = data_of(page);
    ck_assert_int_eq(json_integer_value(json_object_get(data, "detailed")), 8000);
    json_t *parts = json_object_get(data, "parts");
    json_t *tensors = json_object_get(json_array_get(parts, 19), "tensors");
    ck_assert_int_eq(json_integer_value(json_object_get(tensors, "rows")), 3000);
    ck_assert_ptr_nonnull(value_at(data, tensors, "limit", 2999));
    ck_assert_ptr_null(value_at(data, tensors, "ours", 0));
    tensors = json_object_get(json_array_get(parts, 2), "tensors");
    ck_assert(json_is_number(value_at(data, tensors, "ours", 1999)));
    ck_assert(!json_is_number(value_at(data, tensors, "ours", 2000)));
    json_decref(data);
    free(page);
}
END_TEST

static Suite *reports_suite(void) {
    Suite *suite = suite_create("reports");
    TCase *tcase = tcase_create("reports");
    tcase_set_timeout(tcase, 300);
    tcase_add_test(tcase, stand_alone);
    tcase_add_test(tcase, hostile_texts);
    tcase_add_test(tcase, nothing_is_lost);
    tcase_add_test(tcase, empty_runs);
    tcase_add_test(tcase, sizes);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    return test_main(reports_suite(), NULL);
}
