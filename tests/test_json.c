// SPDX-License-Identifier: MIT
// Reading configurations: getters, their messages, and keys that nobody asked for.
#include "io/json.h"

#include "util.h"

#include <string.h>

static struct tt_json *open_text(const char *text) {
    struct tt_error err = {0};
    struct tt_json *json;
    ck_assert_msg(!tt_json_open("c.json", text, strlen(text), &json, &err), "%s", err.message);
    return json;
}

static void expect_failure(struct tt_json *json, const char *message) {
    struct tt_error err = {0};
    ck_assert_int_eq(tt_json_finish(json, &err), TT_BAD_INPUT);
    ck_assert_str_eq(err.message, message);
    tt_json_free(json);
}

START_TEST(good_configuration) {
    struct tt_json *json = open_text(
        "{\"_class_name\":\"X\",\"n\":3,\"eps\":1e-5,\"whole\":1,\"flag\":true,\"none\":null,"
        "\"act\":\"silu\",\"list\":[1,2,3],\"heads\":8,\"each\":[5,10],\"nums\":[0.5,1],"
        "\"types\":[\"A\",\"B\"],\"in\":{\"deep\":1},\"dropout\":0,\"idle\":[1,{}],"
        "\"big\":100}");
    static const char *const acts[] = {"gelu", "silu", NULL};
    long list[4], heads[2], each[2];
    double nums[2];
    const char *types[2];
    ck_assert_int_eq(tt_json_int(json, "n", 1, 9), 3);
    ck_assert_double_eq(tt_json_number(json, "eps"), 1e-5);
    ck_assert_double_eq(tt_json_number(json, "whole"), 1);
    ck_assert(tt_json_bool(json, "flag"));
    ck_assert(!tt_json_has(json, "none") && !tt_json_has(json, "absent") && tt_json_has(json, "n"));
    ck_assert_int_eq(tt_json_int_or(json, "none", 7, 0, 9), 7);
    ck_assert_int_eq(tt_json_int_or(json, "absent", -1, 0, 9), -1);
    ck_assert_double_eq(tt_json_number_or(json, "absent", 2), 2);
    ck_assert(tt_json_bool_or(json, "absent", true));
    ck_assert_str_eq(tt_json_string(json, "act"), "silu");
    ck_assert_str_eq(tt_json_string_or(json, "absent", "x"), "x");
    ck_assert_int_eq(tt_json_choice(json, "act", acts, -1), 1);
    ck_assert_int_eq(tt_json_choice(json, "absent", acts, 1), 1);
    ck_assert_uint_eq(tt_json_ints(json, "list", 1, 9, list, 4), 3);
    ck_assert_int_eq(list[2], 3);
    tt_json_int_each(json, "heads", 1, 9, heads, 2);
    ck_assert(heads[0] == 8 && heads[1] == 8);
    tt_json_int_each(json, "each", 1, 99, each, 2);
    ck_assert(each[0] == 5 && each[1] == 10);
    ck_assert_uint_eq(tt_json_numbers(json, "nums", nums, 2), 2);
    ck_assert_uint_eq(tt_json_strings(json, "types", types, 2), 2);
    ck_assert_str_eq(types[1], "B");
    struct tt_json *child = tt_json_child(json, "in", true);
    ck_assert_int_eq(tt_json_int(child, "deep", 0, 1), 1);
    ck_assert_ptr_null(tt_json_child(json, "absent", false));
    tt_json_expect(json, "dropout", "0.0");
    tt_json_expect(json, "absent", "true");
    tt_json_ignore(json, "idle");
    struct tt_error err = {0};
    ck_assert_int_eq(tt_json_finish(child, &err), TT_OK);
    ck_assert_int_eq(tt_json_status(json, &err), TT_OK);
    expect_failure(json, "c.json: big: found 100, expected no such key (it is not supported)");
}
END_TEST

START_TEST(messages) {
    static const char *const acts[] = {"gelu", "silu", NULL};
    long list[2];
    const char *strings[2];
    struct tt_json *json = open_text("{\"n\":10}");
    ck_assert_int_eq(tt_json_int(json, "n", 1, 9), 1);
    tt_json_string(json, "n"); // the first failure is the one that is told
    expect_failure(json, "c.json: n: found 10, expected an integer from 1 to 9");
    json = open_text("{\"n\":1.5}");
    tt_json_int(json, "n", 1, 9);
    expect_failure(json, "c.json: n: found 1.5, expected an integer from 1 to 9");
    json = open_text("{}");
    tt_json_number(json, "eps");
    expect_failure(json, "c.json: eps: found nothing, expected a number");
    json = open_text("{\"eps\":null}");
    tt_json_number(json, "eps");
    expect_failure(json, "c.json: eps: found null, expected a number");
    json = open_text("{\"flag\":1}");
    tt_json_bool_or(json, "flag", false);
    expect_failure(json, "c.json: flag: found 1, expected true or false");
    json = open_text("{\"act\":\"relu\"}");
    tt_json_choice(json, "act", acts, 0);
    expect_failure(json, "c.json: act: found \"relu\", expected one of \"gelu\", \"silu\"");
    json = open_text("{\"act\":2}");
    tt_json_choice(json, "act", acts, -1);
    expect_failure(json, "c.json: act: found 2, expected one of \"gelu\", \"silu\"");
    json = open_text("{\"l\":[1,2,3]}");
    ck_assert_uint_eq(tt_json_ints(json, "l", 1, 9, list, 2), 0);
    expect_failure(json, "c.json: l: found a list of 3, expected a list of 1 to 2 integers");
    json = open_text("{\"l\":[1,\"x\"]}");
    ck_assert_uint_eq(tt_json_ints(json, "l", 1, 9, list, 2), 0);
    expect_failure(json, "c.json: l[1]: found \"x\", expected an integer from 1 to 9");
    json = open_text("{\"l\":[]}");
    ck_assert_uint_eq(tt_json_strings(json, "l", strings, 2), 0);
    expect_failure(json, "c.json: l: found a list of 0, expected a list of 1 to 2 strings");
    json = open_text("{\"l\":[1]}");
    tt_json_int_each(json, "l", 1, 9, list, 2);
    expect_failure(json, "c.json: l: found a list of 1, expected an integer or a list of 2");
    json = open_text("{\"in\":{\"deep\":{\"n\":\"x\"}}}");
    tt_json_int(tt_json_child(tt_json_child(json, "in", true), "deep", true), "n", 0, 1);
    expect_failure(json, "c.json: in.deep.n: found \"x\", expected an integer from 0 to 1");
    json = open_text("{\"in\":[]}");
    ck_assert_ptr_null(tt_json_child(json, "in", false));
    expect_failure(json, "c.json: in: found a list of 0, expected an object");
    json = open_text("{\"act\":\"relu\"}");
    tt_json_expect(json, "act", "\"silu\" or \"swish\" or null");
    expect_failure(json, "c.json: act: found \"relu\", expected \"silu\" or \"swish\" or null");
}
END_TEST

START_TEST(huge_integer) {
    struct tt_json *json = open_text("{\"limit\":1000000000000000019884624838656,\"n\":77}");
    ck_assert_int_eq(tt_json_int(json, "n", 0, 100), 77);
    ck_assert_double_gt(tt_json_number(json, "limit"), 1e29);
    tt_json_int(json, "limit", 0, 100);
    expect_failure(json, "c.json: limit: found 1e+30, expected an integer from 0 to 100");
}
END_TEST

START_TEST(minus_infinity) { // as Python writes it; in a string it is text
    static const char text[] =
        "{\"a\": -Infinity, \"b\": \"\\\"-Infinity\", \"c\": [-Infinity, 1]}";
    struct tt_json *json;
    ck_assert_int_eq(tt_json_open("c.json", text, sizeof text - 1, &json, NULL), TT_OK);
    ck_assert(tt_json_number(json, "a") < -1e308);
    ck_assert_str_eq(tt_json_string(json, "b"), "\"-Infinity");
    double c[2];
    ck_assert_uint_eq(tt_json_numbers(json, "c", c, 2), 2);
    ck_assert_int_eq(tt_json_finish(json, NULL), TT_OK);
    tt_json_free(json);
    struct tt_error err = {0};
    ck_assert_int_eq(tt_json_open("c.json", "{\"a\":-Infinitys}", 17, &json, &err), TT_BAD_INPUT);
}
END_TEST

START_TEST(bad_documents) {
    static const char *const texts[] = {
        "", " ", "{", "}", "[]", "1", "\"x\"", "null", "{}x", "{} {}", "{\"a\":1,\"a\":2}",
        "{\"a\":{\"b\":1,\"b\":1}}", "{\"a\":01}", "{\"a\":NaN}", "{\"a\":Infinity}",
        "{\"a\":1e999}",
        "{\"a\":\"\xff\"}", "{\"a\":\"\xed\xa0\x80\"}", "{\"a\":\"\\u0000\"}", "{\"\\u0000\":1}",
        "{\"a\":\"\\ud800\"}", "{'a':1}", "{\"a\":1,}", "{\"a\" 1}", "// x\n{}", "\xef\xbb\xbf{}",
        "{\"a\":\"\n\"}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct tt_error err = {0};
        struct tt_json *json;
        ck_assert_msg(tt_json_open("c.json", texts[i], strlen(texts[i]), &json, &err) ==
                      TT_BAD_INPUT, "accepted: %s", texts[i]);
        ck_assert_ptr_null(json);
        ck_assert_msg(!strncmp(err.message, "c.json: ", 8), "%s", err.message);
    }
}
END_TEST

static Suite *json_suite(void) {
    Suite *suite = suite_create("json");
    TCase *tcase = tcase_create("json");
    tcase_add_test(tcase, good_configuration);
    tcase_add_test(tcase, messages);
    tcase_add_test(tcase, huge_integer);
    tcase_add_test(tcase, bad_documents);
    tcase_add_test(tcase, minus_infinity);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    return test_main(json_suite(), NULL);
}
