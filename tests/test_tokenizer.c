// SPDX-License-Identifier: MIT
// The tokenizer against the recorded ids of reference/tokenizer, its files in all their forms, and
// files made to do harm.
#include "io/json.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

#include "util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LENGTH = 77 };

// Turns the escapes of corpus.txt into what they stand for, in place.
static void unescape(char *text) {
    char *out = text;
    for (char *in = text; *in;) {
        if (*in != '\\') {
            *out++ = *in++;
        } else if (in[1] == 'u') {
            long c = strtol(in + 3, &in, 16);
            in++;
            if (c < 0x80) {
                *out++ = (char)c;
            } else if (c < 0x800) {
                *out++ = (char)(0xC0 | c >> 6);
                *out++ = (char)(0x80 | (c & 63));
            } else {
                if (c >= 0x10000) {
                    *out++ = (char)(0xF0 | c >> 18);
                    *out++ = (char)(0x80 | (c >> 12 & 63));
                } else {
                    *out++ = (char)(0xE0 | c >> 12);
                }
                *out++ = (char)(0x80 | (c >> 6 & 63));
                *out++ = (char)(0x80 | (c & 63));
            }
        } else {
            *out++ = in[1] == 'n' ? '\n' : in[1] == 'r' ? '\r' : '\\';
            in += 2;
        }
    }
    *out = 0;
}

static struct tt_tokenizer *open_tokenizer(const char *folder, const char *module) {
    struct tt_folder *files;
    struct tt_tokenizer *tokenizer;
    struct tt_error err = {0};
    ck_assert_msg(!tt_folder_open_any(folder, &files, &err), "%s", err.message);
    ck_assert_msg(!tt_tokenizer_open(files, module, &tokenizer, &err), "%s", err.message);
    tt_folder_close(files);
    return tokenizer;
}

static void check_golden(const char *form, const char *folder, const char *module) {
    char path[200];
    snprintf(path, sizeof path, "reference/tokenizer/ids.%s.json", form);
    if (access(path, R_OK) || access(folder, R_OK)) {
        test_skip("golden %s or tokenizer %s is missing", path, folder);
        return;
    }
    struct tt_tokenizer *tokenizer = open_tokenizer(folder, module);
    size_t size;
    char *text = test_read(path, &size);
    json_t *golden;
    struct tt_error err = {0};
    ck_assert_msg(!tt_json_parse(path, text, size, &golden, &err), "%s", err.message);
    free(text);
    const json_t *lists = json_object_get(golden, "ids");
    char *corpus = test_read("reference/tokenizer/corpus.txt", &size), *line = corpus;
    ck_assert_uint_ge(json_array_size(lists), 2000);
    for (size_t i = 0; i < json_array_size(lists); i++) {
        char *end = strchr(line, '\n');
        ck_assert_ptr_nonnull(end);
        *end = 0;
        unescape(line);
        const json_t *want = json_array_get(lists, i);
        int32_t ids[LENGTH];
        size_t used;
        ck_assert_msg(!tt_tokenizer_encode(tokenizer, line, ids, LENGTH, &used, &err), "%s",
                      err.message);
        if (used > LENGTH) used = LENGTH;
        ck_assert_msg(used == json_array_size(want), "line %zu: %zu ids, expected %zu: %s", i + 1,
                      used, json_array_size(want), line);
        for (size_t k = 0; k < used; k++)
            ck_assert_msg(ids[k] == json_integer_value(json_array_get(want, k)),
                          "line %zu: id %zu is %d, expected %d: %s", i + 1, k, ids[k],
                          (int)json_integer_value(json_array_get(want, k)), line);
        for (size_t k = used; k < LENGTH; k++)
            ck_assert_int_eq(ids[k], tt_tokenizer_padding(tokenizer));
        line = end + 1;
    }
    ck_assert_msg(!*line, "the corpus has more lines than the golden");
    free(corpus);
    json_decref(golden);
    tt_tokenizer_close(tokenizer);
}

START_TEST(golden_tiny_json) {
    check_golden("tiny-json", "reference/tiny/sd15", "tokenizer");
}
END_TEST

START_TEST(golden_tiny_hub) {
    check_golden("tiny-hub", "reference/tiny/sd21", "tokenizer");
}
END_TEST

START_TEST(golden_clip) {
    static const char *const commands[] = {
        "gzip -dc reference/tokenizer/clip/vocab.json.gz >%s/vocab.json",
        "gzip -dc reference/tokenizer/clip/merges.txt.gz >%s/merges.txt",
        "cp reference/tokenizer/clip/tokenizer_config.json %s",
        "cp reference/tokenizer/clip/special_tokens_map.json %s"};
    const char *path = test_path("clip");
    if (access("reference/tokenizer/clip/vocab.json.gz", R_OK)) {
        test_skip("golden reference/tokenizer/clip is missing");
        return;
    }
    ck_assert(!mkdir(path, 0700));
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char command[700];
        snprintf(command, sizeof command, commands[i], path);
        ck_assert_msg(!system(command), "%s", command);
    }
    check_golden("clip", path, ".");
}
END_TEST

// A small tokenizer made here: all bytes, and the merges of "cat".
static char vocabulary[16384];
static const char merges[] = "#version: 0.2\nc a\nca t</w>\n";

static void make_vocabulary(void) {
    size_t used = 0, id = 0;
    used += (size_t)snprintf(vocabulary, sizeof vocabulary, "{");
    for (int end = 0; end < 2; end++)
        for (int byte = 0, next = 256; byte < 256; byte++) {
            int prints = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
            int c = prints ? byte : next++;
            used += (size_t)snprintf(vocabulary + used, sizeof vocabulary - used,
                                     "\"\\u%04x%s\":%zu,", c, end ? "</w>" : "", id++);
        }
    snprintf(vocabulary + used, sizeof vocabulary - used,
             "\"ca\":512,\"cat</w>\":513,\"<|startoftext|>\":514,\"<|endoftext|>\":515}");
}

// Files by name, in memory; the first is replaced by a test.
static enum tt_status open_files(const char *const (*names)[2], size_t count,
                                 struct tt_tokenizer **tokenizer, struct tt_error *err) {
    struct tt_embedded_file files[8] = {{0}};
    char paths[8][64];
    for (size_t i = 0; i < count; i++) {
        snprintf(paths[i], sizeof paths[i], "t/%s", names[i][0]);
        const unsigned char *begin = (const unsigned char *)names[i][1];
        files[i] = (struct tt_embedded_file){paths[i], begin, begin + strlen(names[i][1])};
    }
    struct tt_folder *folder;
    *err = (struct tt_error){0};
    ck_assert(!tt_folder_open_embedded("mem", files, count, &folder, err));
    enum tt_status status = tt_tokenizer_open(folder, "t", tokenizer, err);
    tt_folder_close(folder);
    return status;
}

START_TEST(small_tokenizer) {
    make_vocabulary();
    const char *const files[][2] = {
        {"vocab.json", vocabulary}, {"merges.txt", merges},
        {"tokenizer_config.json", "{\"model_max_length\":77,\"pad_token\":\"<|endoftext|>\"}"},
        {"special_tokens_map.json", "{\"pad_token\":\"!\"}"},
        {"added_tokens.json", "{\"<cat-toy>\":516}"}};
    struct tt_tokenizer *tokenizer;
    struct tt_error err;
    ck_assert_msg(!open_files(files, 5, &tokenizer, &err), "%s", err.message);
    ck_assert_int_eq(tt_tokenizer_start(tokenizer), 514);
    ck_assert_int_eq(tt_tokenizer_end(tokenizer), 515);
    ck_assert_int_eq(tt_tokenizer_padding(tokenizer), '!');
    ck_assert_int_eq(tt_tokenizer_size(tokenizer), 517);
    ck_assert_uint_eq(tt_tokenizer_max_length(tokenizer), 77);
    int32_t ids[8];
    size_t used;
    ck_assert(!tt_tokenizer_encode(tokenizer, "CAT<CAT-toy> a cat", ids, 8, &used, &err));
    static const int32_t want[8] = {514, 513, 516, 'a' + 256, 513, 515, '!', '!'};
    ck_assert_uint_eq(used, 6);
    for (int i = 0; i < 8; i++) ck_assert_int_eq(ids[i], want[i]);
    ck_assert(!tt_tokenizer_encode(tokenizer, "cat cat cat cat", ids, 4, &used, &err));
    ck_assert(used == 6 && ids[2] == 513 && ids[3] == 515);
    ck_assert(!tt_tokenizer_encode(tokenizer, "", ids, 2, &used, &err));
    ck_assert(used == 2 && ids[0] == 514 && ids[1] == 515);
    for (size_t room = 0; room < 2; room++) {
        err = (struct tt_error){0};
        ck_assert_int_eq(tt_tokenizer_encode(tokenizer, "", ids, room, &used, &err), TT_BAD_INPUT);
        ck_assert_ptr_nonnull(strstr(err.message, "expected at least 2"));
    }
    char text[16];
    ck_assert_str_eq(tt_tokenizer_token(tokenizer, 513), "cat</w>");
    ck_assert_str_eq(tt_tokenizer_text(tokenizer, 513, text, sizeof text), "cat ");
    ck_assert_str_eq(tt_tokenizer_text(tokenizer, 0xE9, text, sizeof text), "\xe9");
    ck_assert_str_eq(tt_tokenizer_text(tokenizer, ' ', text, sizeof text), " ");
    ck_assert_str_eq(tt_tokenizer_text(tokenizer, 513, text, 3), "ca");
    ck_assert_ptr_null(tt_tokenizer_token(tokenizer, 517));
    ck_assert_ptr_null(tt_tokenizer_token(tokenizer, -1));
    tt_tokenizer_close(tokenizer);
}
END_TEST

START_TEST(model_lengths) {
    static const struct {
        const char *config;
        size_t most;
        bool whole;
    } lengths[] = {
        {"{}", 0, false},
        {"{\"model_max_length\":0}", 0, true},
        {"{\"model_max_length\":1}", 0, true},
        {"{\"model_max_length\":2}", 2, false},
        {"{\"model_max_length\":3.0}", 3, false},
        {"{\"model_max_length\":1000000000000000019884624838656}", 0, false},
    };
    make_vocabulary();
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const char *const files[][2] = {{"vocab.json", vocabulary}, {"merges.txt", merges},
                                        {"tokenizer_config.json", lengths[i].config}};
        struct tt_tokenizer *tokenizer;
        struct tt_error err;
        ck_assert_msg(!open_files(files, 3, &tokenizer, &err), "%s", err.message);
        ck_assert_uint_eq(tt_tokenizer_max_length(tokenizer), lengths[i].most);
        ck_assert(tt_tokenizer_whole(tokenizer) == lengths[i].whole);
        tt_tokenizer_close(tokenizer);
    }
}
END_TEST

START_TEST(bad_text) {
    make_vocabulary();
    const char *const files[][2] = {{"vocab.json", vocabulary}, {"merges.txt", merges}};
    struct tt_tokenizer *tokenizer;
    struct tt_error err;
    ck_assert_msg(!open_files(files, 2, &tokenizer, &err), "%s", err.message);
    static const struct {
        const char *text;
        int at;
    } bad[] = {{"\xff", 0}, {"ab\x80", 2}, {"a\xc3", 1}, {"\xc0\x80", 0}, {"x\xed\xa0\x80", 1},
               {"\xe2\x82", 0}, {"caf\xc3\xa9\xf5\x80\x80\x80", 5}, {"\xf4\x90\x80\x80", 0}};
    int32_t ids[8];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char want[40];
        snprintf(want, sizeof want, "byte %d ", bad[i].at);
        err = (struct tt_error){0};
        ck_assert_int_eq(tt_tokenizer_encode(tokenizer, bad[i].text, ids, 8, NULL, &err),
                         TT_BAD_INPUT);
        ck_assert_msg(strstr(err.message, want), "%s", err.message);
    }
    // Long words take no quadratic time: one of a million letters, and one of half as many marks.
    size_t size = 1 << 20, used;
    char *text = malloc(size + 2);
    for (size_t i = 0; i < size; i++) text[i] = "ca"[i % 2];
    text[size] = 0;
    err = (struct tt_error){0};
    ck_assert(!tt_tokenizer_encode(tokenizer, text, ids, 8, &used, &err));
    ck_assert_uint_eq(used, size / 2 + 3); // the last "a" ends the word, so it is apart
    for (size_t i = 0; i < size; i++) text[i] = "\xcc\x81"[i % 2];
    ck_assert(!tt_tokenizer_encode(tokenizer, text, ids, 8, &used, &err));
    strcpy(text + size, "x");
    ck_assert_int_eq(tt_tokenizer_encode(tokenizer, text, ids, 8, NULL, &err), TT_BAD_INPUT);
    free(text);
    tt_tokenizer_close(tokenizer);
}
END_TEST

#define NORMALIZER \
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":" \
    "\"Replace\",\"pattern\":{\"Regex\":\"\\\\s+\"},\"content\":\" \"},{\"type\":\"Lowercase\"}]},"
#define SPLIT \
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":" \
    "{\"Regex\":\"'s|'t|'re|'ve|'m|'ll|'d|[\\\\p{L}]+|[\\\\p{N}]|[^\\\\s\\\\p{L}\\\\p{N}]+\"}}]},"
#define PROCESSOR "\"post_processor\":{\"type\":\"RobertaProcessing\"},"
#define MODEL(merges) \
    "\"model\":{\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\",\"vocab\":{\"a\":0,\"b\":1," \
    "\"ab\":2,\"<|startoftext|>\":3,\"<|endoftext|>\":4},\"merges\":" merges "}"

START_TEST(tokenizer_json) {
    static const char *const forms[] = {
        "{" NORMALIZER SPLIT PROCESSOR MODEL("[\"a b\"]") "}",
        "{" NORMALIZER SPLIT PROCESSOR MODEL("[[\"a\",\"b\"]]") "}"};
    for (int i = 0; i < 2; i++) {
        const char *const files[][2] = {{"tokenizer.json", forms[i]}};
        struct tt_tokenizer *tokenizer;
        struct tt_error err;
        ck_assert_msg(!open_files(files, 1, &tokenizer, &err), "%s", err.message);
        int32_t ids[4];
        // The last letter ends a word, for which this vocabulary has no token.
        ck_assert(!tt_tokenizer_encode(tokenizer, "aba", ids, 4, NULL, &err));
        ck_assert(ids[0] == 3 && ids[1] == 2 && ids[2] == 4 && ids[3] == 4);
        tt_tokenizer_close(tokenizer);
    }
}
END_TEST

static const struct {
    const char *name, *text, *message;
} hostile[] = {
    {"vocab.json", "", "invalid JSON"},
    {"vocab.json", "[]", "expected an object: token -> id"},
    {"vocab.json", "{}", "expected an object: token -> id"},
    {"vocab.json", "{\"a\":0,\"a\":1}", "duplicate"},
    {"vocab.json", "{\"a\":-1}", "found -1, expected an id"},
    {"vocab.json", "{\"a\":99999999}", "found 99999999, expected an id"},
    {"vocab.json", "{\"a\":\"0\"}", "found \"0\", expected an id"},
    {"vocab.json", "{\"a\":1.5}", "found 1.5, expected an id"},
    {"vocab.json", "{\"a\":0,\"b\":0}", "have the same id 0"},
    {"vocab.json", "{\"a\":0}", "\"<|endoftext|>\" is not in the vocabulary"},
    {"merges.txt", "c", "line 1: expected two tokens"},
    {"merges.txt", "c a t", "line 1: expected two tokens"},
    {"merges.txt", " a", "line 1: expected two tokens"},
    {"merges.txt", "c ", "line 1: expected two tokens"},
    {"merges.txt", "c a\n\nca t</w>", "line 2: expected two tokens"},
    {"merges.txt", "c t", "token \"ct\" is not in the vocabulary"},
    {"merges.txt", "zz a", "token \"zz\" is not in the vocabulary"},
    {"tokenizer_config.json", "[]", "expected an object"},
    {"tokenizer_config.json", "{\"tokenizer_class\":\"T5Tokenizer\"}", "tokenizer_class: found"},
    {"tokenizer_config.json", "{\"padding_side\":\"left\"}", "padding_side: found \"left\""},
    {"tokenizer_config.json", "{\"model_max_length\":\"77\"}", "model_max_length: found \"77\""},
    {"tokenizer_config.json", "{\"model_max_length\":-1}", "model_max_length"},
    {"tokenizer_config.json", "{\"model_max_length\":1.5}", "found 1.5, expected a whole number"},
    {"tokenizer_config.json", "{\"bos_token\":1}", "bos_token: found 1"},
    {"tokenizer_config.json", "{\"bos_token\":{}}", "bos_token.content: found nothing"},
    {"tokenizer_config.json", "{\"bos_token\":{\"content\":\"x\",\"single_word\":true}}",
     "bos_token.single_word: found true"},
    {"tokenizer_config.json", "{\"unk_token\":\"nope\"}", "\"nope\" is not in the vocabulary"},
    {"tokenizer_config.json", "{\"added_tokens_decoder\":[]}", "added_tokens_decoder: found"},
    {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"x\":{}}}", "expected an id as the key"},
    {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"1\":{\"content\":1}}}",
     "added_tokens_decoder.1.content: found 1"},
    {"special_tokens_map.json", "{\"pad_token\":[]}", "pad_token: found a list"},
    {"added_tokens.json", "{\"<x>\":9}", "<x>: found another id than 516"},
    {"tokenizer.json", "{", "invalid JSON"},
    {"tokenizer.json", "{}", "normalizer: found nothing"},
    {"tokenizer.json", "{" NORMALIZER SPLIT PROCESSOR "\"model\":{\"type\":\"Unigram\"}}",
     "model.type: found \"Unigram\""},
    {"tokenizer.json", "{" NORMALIZER SPLIT PROCESSOR "\"model\":{\"end_of_word_suffix\":\"\"}}",
     "model.end_of_word_suffix: found \"\""},
    {"tokenizer.json", "{" NORMALIZER SPLIT PROCESSOR "\"model\":{\"byte_fallback\":true}}",
     "model.byte_fallback: found true"},
    {"tokenizer.json", "{" NORMALIZER SPLIT PROCESSOR "\"model\":{\"vocab\":[]}}",
     "model.vocab: expected an object"},
    {"tokenizer.json", "{" NORMALIZER SPLIT PROCESSOR MODEL("{}") "}", "model.merges: expected"},
    {"tokenizer.json", "{" NORMALIZER SPLIT PROCESSOR MODEL("[\"ab\"]") "}", "merges[0]: expected"},
    {"tokenizer.json", "{" NORMALIZER SPLIT PROCESSOR MODEL("[[\"a\"]]") "}",
     "merges[0]: expected"},
    {"tokenizer.json", "{" NORMALIZER SPLIT PROCESSOR MODEL("[[1,2]]") "}", "merges[0]: expected"},
    {"tokenizer.json", "{" NORMALIZER SPLIT PROCESSOR MODEL("[null]") "}", "merges[0]: expected"},
    {"tokenizer.json", "{" NORMALIZER SPLIT PROCESSOR MODEL("[\"b a\"]") "}", "token \"ba\""},
    {"tokenizer.json", "{" SPLIT PROCESSOR MODEL("[]") "}", "normalizer: found nothing"},
    {"tokenizer.json", "{\"normalizer\":{\"type\":\"Lowercase\"}," SPLIT PROCESSOR MODEL("[]") "}",
     "normalizer.type: found \"Lowercase\""},
    {"tokenizer.json", "{" NORMALIZER "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":"
     "[{\"pattern\":{\"Regex\":\".\"}}]}," PROCESSOR MODEL("[]") "}", "found ., expected CLIP's"},
    {"tokenizer.json", "{" NORMALIZER SPLIT MODEL("[]") "}", "post_processor: found nothing"},
    {"tokenizer.json", "{\"added_tokens\":[{}]," NORMALIZER SPLIT PROCESSOR MODEL("[]") "}",
     "added_tokens[0]: expected"},
};

START_TEST(hostile_files) {
    make_vocabulary();
    const char *files[4][2] = {{"vocab.json", vocabulary}, {"merges.txt", merges}};
    size_t count = 2;
    for (size_t i = 0; i < 2; i++)
        if (!strcmp(files[i][0], hostile[_i].name)) files[i][1] = hostile[_i].text;
    if (strcmp(hostile[_i].name, "vocab.json") && strcmp(hostile[_i].name, "merges.txt")) {
        files[count][0] = hostile[_i].name;
        files[count++][1] = hostile[_i].text;
    }
    struct tt_tokenizer *tokenizer;
    struct tt_error err;
    ck_assert_int_eq(open_files((const char *const (*)[2])files, count, &tokenizer, &err),
                     TT_BAD_INPUT);
    ck_assert_ptr_null(tokenizer);
    ck_assert_msg(strstr(err.message, hostile[_i].message) && !strncmp(err.message, "mem/t/", 6),
                  "found \"%s\", expected %s: \"%s\"", err.message, hostile[_i].name,
                  hostile[_i].message);
}
END_TEST

START_TEST(missing_files) {
    struct tt_tokenizer *tokenizer;
    struct tt_error err;
    ck_assert_int_eq(open_files(NULL, 0, &tokenizer, &err), TT_BAD_INPUT);
    ck_assert_ptr_nonnull(strstr(err.message, "mem/t: found neither tokenizer.json nor"));
    make_vocabulary();
    const char *const files[][2] = {{"vocab.json", vocabulary}};
    ck_assert_int_eq(open_files(files, 1, &tokenizer, &err), TT_BAD_INPUT);
    ck_assert_ptr_nonnull(strstr(err.message, "mem/t/merges.txt: is missing"));
}
END_TEST

START_TEST(characters) {
    int32_t out[2];
    ck_assert(tt_unicode_lower(0x130, out) == 2 && out[0] == 'i' && out[1] == 0x307);
    ck_assert(tt_unicode_lower(0x10D50, out) == 1 && out[0] == 0x10D70); // Unicode 16
    ck_assert(tt_unicode_lower(0x16EA0, out) == 1 && out[0] == 0x16EBB); // Unicode 17
    ck_assert(tt_unicode_class(0x85) == TT_SPACE && tt_unicode_class(0x180E) == TT_OTHER);
    ck_assert(tt_unicode_class(0x105C0) == TT_LETTER && tt_unicode_class(0xBD) == TT_NUMBER);
    ck_assert(tt_unicode_is_barrier(0x1DF6) && !tt_unicode_is_barrier(0x301));
}
END_TEST

static Suite *tokenizer_suite(void) {
    Suite *suite = suite_create("tokenizer");
    TCase *golden = tcase_create("golden");
    tcase_set_timeout(golden, 60);
    tcase_add_test(golden, golden_tiny_json);
    tcase_add_test(golden, golden_tiny_hub);
    tcase_add_test(golden, golden_clip);
    tcase_add_test(golden, bad_text);
    suite_add_tcase(suite, golden);
    TCase *tcase = tcase_create("tokenizer");
    tcase_add_test(tcase, small_tokenizer);
    tcase_add_test(tcase, model_lengths);
    tcase_add_test(tcase, tokenizer_json);
    tcase_add_loop_test(tcase, hostile_files, 0, sizeof hostile / sizeof *hostile);
    tcase_add_test(tcase, missing_files);
    tcase_add_test(tcase, characters);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    return test_main(tokenizer_suite(), NULL);
}
