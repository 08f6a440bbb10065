// SPDX-License-Identifier: MIT
// What comes from outside takes time that grows with its size, and no more than the limits (README,
// "Limits"): texts, tokenizers, JSON. Limits are tried at their value and one past it.
#include "base/poll.h"
#include "io/json.h"
#include "text/prompt.h"
#include "text/tokenizer.h"
#include "text/tokenizer_data.h"

#include "growth.h"

// ---- tokenizers ----

// Bytes of one tokenizer: a vocabulary of all of them, "ca" and "cat</w>".
static void add_vocabulary(struct text *text) {
    size_t id = 0;
    for (int end = 0; end < 2; end++)
        for (int byte = 0, next = 256; byte < 256; byte++) {
            int prints = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
            add(text, "\"\\u%04x%s\":%zu,", (unsigned)(prints ? byte : next++), end ? "</w>" : "",
                id++);
        }
    add(text, "\"ca\":512,\"cat</w>\":513,\"<|startoftext|>\":514,\"<|endoftext|>\":515");
}

static const char merges[] = "#version: 0.2\nc a\nca t</w>\n";

struct files {
    struct tt_embedded_file file[3];
    size_t count;
};

static void add_file(struct files *files, const char *path, const char *text) {
    const unsigned char *begin = (const unsigned char *)text;
    files->file[files->count++] = (struct tt_embedded_file){path, begin, begin + strlen(text)};
}

static enum tt_status open_files(const struct files *files, const struct tt_poll *poll,
                                 struct tt_tokenizer **tokenizer, struct tt_error *err) {
    struct tt_folder *folder;
    ck_assert(!tt_folder_open_embedded("mem", files->file, files->count, &folder, err));
    struct tt_files *polled = NULL;
    if (poll) ck_assert(!tt_files_new(poll->cancelled, poll->context, &polled, err));
    tt_folder_note_in(folder, polled);
    enum tt_status status = tt_tokenizer_open(folder, "t", tokenizer, err);
    tt_folder_close(folder);
    tt_files_free(polled);
    return status;
}

// vocab.json and merges.txt, and a third file.
static struct files usual_files(struct text *vocabulary, const char *path, const char *third) {
    struct files files = {.count = 0};
    add(vocabulary, "{");
    add_vocabulary(vocabulary);
    add(vocabulary, "}");
    add_file(&files, "t/vocab.json", vocabulary->at);
    add_file(&files, "t/merges.txt", merges);
    if (path) add_file(&files, path, third);
    return files;
}

// Looked for in the text as given: tokens of 1 to `longest` times "a", then "b".
static struct tt_tokenizer *open_with_tokens(size_t longest) {
    struct text vocabulary = {0}, config = {0};
    struct tt_tokenizer *tokenizer;
    struct tt_error err = {0};
    add(&config, "{\"added_tokens_decoder\":{\"514\":{\"content\":\"<|startoftext|>\"},"
        "\"515\":{\"content\":\"<|endoftext|>\"}");
    for (size_t i = 0; i < longest; i++) {
        add(&config, ",\"%zu\":{\"normalized\":%s,\"content\":\"", 516 + i,
            i % 2 ? "true" : "false");
        repeat(&config, "a", i + 1);
        add(&config, "b\"}");
    }
    add(&config, "}}");
    struct files files = usual_files(&vocabulary, "t/tokenizer_config.json", config.at);
    ck_assert_msg(!open_files(&files, NULL, &tokenizer, &err), "%s", err.message);
    free(vocabulary.at);
    free(config.at);
    return tokenizer;
}

struct prompt {
    const struct tt_tokenizer *tokenizer;
    struct text text;
};

static void encode(void *input) {
    const struct prompt *prompt = input;
    struct tt_error err = {0};
    int32_t ids[8];
    ck_assert_msg(!tt_tokenizer_encode(prompt->tokenizer, prompt->text.at, ids, 8, NULL, &err),
                  "%s", err.message);
}

// Each is repeated; before it comes what is not.
static const struct {
    const char *what, *before, *first, *second; // the second after all of the first; NULL: none
} prompts[] = {
    {"marks of two classes", "a", "\xcc\x81", "\xcc\xa3"},
    {"marks by turns", "a", "\xcc\x81\xcc\xa3", NULL},
    {"marks of three classes", "", "\xcc\x95", "\xcc\xa1\xcc\x80"},
    {"marks that compose", "", "e\xcc\xa7\xcc\x81", NULL},
    {"Hangul", "", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", NULL},
    {"barriers", "", "\xe1\xb7\xb6\xcc\x81", NULL},
    {"one word", "", "ca", NULL},
    {"one word of one letter", "", "c", "t"},
    {"words", "", "cat ", NULL},
    {"spaces", "", " ", NULL},
    {"special tokens", "", "<|endoftext|>", NULL},
    {"beginnings of tokens", "", "a", NULL},
    {"tokens", "", "aab", NULL},
    {"tokens without their end", "", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac", NULL},
    {"tokens in capitals", "", "AAB", NULL},
};

START_TEST(prompts_grow) {
    struct tt_tokenizer *tokenizer = open_with_tokens(900);
    struct prompt sizes[2];
    for (int i = 0; i < 2; i++) {
        size_t bytes = ((size_t)TT_TEXT_BYTES >> 2) << i;
        const char *first = prompts[_i].first, *second = prompts[_i].second;
        sizes[i] = (struct prompt){.tokenizer = tokenizer};
        add(&sizes[i].text, "%s", prompts[_i].before);
        bytes -= 1;
        repeat(&sizes[i].text, first, (second ? bytes / 2 : bytes) / strlen(first));
        if (second) repeat(&sizes[i].text, second, bytes / 2 / strlen(second));
    }
    check_growth(prompts[_i].what, encode, &sizes[0], &sizes[1]);
    for (int i = 0; i < 2; i++) free(sizes[i].text.at);
    tt_tokenizer_close(tokenizer);
}
END_TEST

struct syntax {
    bool compel;
    struct text text;
};

static void take_apart(void *input) {
    const struct syntax *syntax = input;
    struct tt_fragments list;
    struct tt_compel prompt;
    struct tt_error err = {0};
    if (!syntax->compel && !tt_prompt_webui("prompt", syntax->text.at, &list, &err))
        tt_fragments_free(&list);
    if (syntax->compel && !tt_prompt_compel("prompt", syntax->text.at, &prompt, &err))
        tt_compel_free(&prompt);
}

static const struct {
    bool compel;
    const char *first, *second; // repeated, as above
} syntaxes[] = {
    {false, "(a:1.2) ", NULL}, {false, "[a]b", NULL}, {false, "a BREAK ", NULL},
    {false, ")", NULL}, {false, ":", NULL}, {false, "\\(", NULL}, {false, "[:]", NULL},
    {false, "((a)b)", NULL}, {false, ": ", "1.2)"}, {false, "(:1)", NULL},
    {true, "a++ ", NULL}, {true, "(a b)1.2 ", NULL}, {true, "a, ", NULL}, {true, "(a ", NULL},
    {true, ") ", NULL}, {true, "\"a\" ", NULL}, {true, "\"a ", NULL}, {true, "\"\\\" ", NULL},
    {true, "a.b", NULL}, {true, "++ ", NULL}, {true, "((a) (b ", NULL}, {true, "+", NULL},
    {true, "\\(", NULL}, {true, "(a)1 ", "(b"}, {true, "\"(a\" ", NULL}, {true, "a+b-", NULL},
};

START_TEST(syntaxes_grow) {
    struct syntax sizes[2];
    const char *first = syntaxes[_i].first, *second = syntaxes[_i].second;
    for (int i = 0; i < 2; i++) {
        size_t bytes = ((size_t)1 << 14) << i;
        sizes[i] = (struct syntax){.compel = syntaxes[_i].compel};
        repeat(&sizes[i].text, first, (second ? bytes / 2 : bytes) / strlen(first));
        if (second) repeat(&sizes[i].text, second, bytes / 2 / strlen(second));
    }
    check_growth(first, take_apart, &sizes[0], &sizes[1]);
    for (int i = 0; i < 2; i++) free(sizes[i].text.at);
}
END_TEST

START_TEST(syntaxes_end) {
    struct syntax long_one = {0};
    struct tt_fragments list;
    struct tt_compel prompt;
    struct tt_error err = {0};
    repeat(&long_one.text, "a", TT_TEXT_BYTES + 1);
    ck_assert_int_eq(tt_prompt_webui("prompt", long_one.text.at, &list, &err), TT_BAD_INPUT);
    ck_assert_str_eq(err.message, "prompt: found 1048577 bytes, expected at most 1048576");
    ck_assert_int_eq(tt_prompt_compel("prompt", long_one.text.at, &prompt, NULL), TT_BAD_INPUT);
    long_one.text.at[TT_TEXT_BYTES] = 0;
    ck_assert(!tt_prompt_webui("prompt", long_one.text.at, &list, NULL));
    tt_fragments_free(&list);
    free(long_one.text.at);
}
END_TEST

// Tokenizer files with n entries of a kind.
enum kind { LISTED, DECODER, EXTRA, ROLELESS, MERGES, SAME_RIGHT, KINDS };
static const char *const kinds[KINDS] = {
    "added_tokens of tokenizer.json", "added_tokens_decoder", "added_tokens.json",
    "extra_special_tokens", "merges.txt", "merges with the same right part"};

struct opening {
    enum kind kind;
    struct text main, other;
    struct files files;
    enum tt_status status;
    struct tt_error err;
};

#define TOKENIZER \
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":" \
    "\"Replace\",\"pattern\":{\"Regex\":\"\\\\s+\"},\"content\":\" \"}," \
    "{\"type\":\"Lowercase\"}]}," \
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":" \
    "{\"Regex\":\"'s|'t|'re|'ve|'m|'ll|'d|[\\\\p{L}]+|[\\\\p{N}]|[^\\\\s\\\\p{L}\\\\p{N}]+\"}}]}," \
    "\"post_processor\":{\"type\":\"RobertaProcessing\"}," \
    "\"model\":{\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\",\"merges\":[],\"vocab\":{"

static struct opening *make_opening(enum kind kind, size_t n) {
    struct opening *o = calloc(1, sizeof *o);
    ck_assert_ptr_nonnull(o);
    o->kind = kind;
    switch (kind) {
    case LISTED:
        add(&o->main, TOKENIZER);
        add_vocabulary(&o->main);
        add(&o->main, "}},\"added_tokens\":[{\"content\":\"tok\"}");
        for (size_t i = 1; i < n; i++) add(&o->main, ",{\"content\":\"tok%zu\"}", i);
        add(&o->main, "]}");
        add_file(&o->files, "t/tokenizer.json", o->main.at);
        return o;
    case DECODER:
        add(&o->other, "{\"added_tokens_decoder\":{\"516\":{\"content\":\"tok\"}");
        for (size_t i = 1; i < n; i++)
            add(&o->other, ",\"%zu\":{\"content\":\"tok%zu\",\"special\":false}", 516 + i, i);
        add(&o->other, "}}");
        o->files = usual_files(&o->main, "t/tokenizer_config.json", o->other.at);
        return o;
    case EXTRA:
        add(&o->other, "{\"tok\":516");
        for (size_t i = 1; i < n; i++) add(&o->other, ",\"tok%zu\":%zu", i, 516 + i);
        add(&o->other, "}");
        o->files = usual_files(&o->main, "t/added_tokens.json", o->other.at);
        return o;
    case ROLELESS:
        add(&o->other, "{\"extra_special_tokens\":[\"tok\"");
        for (size_t i = 1; i < n; i++) add(&o->other, ",\"tok%zu\"", i);
        add(&o->other, "]}");
        o->files = usual_files(&o->main, "t/tokenizer_config.json", o->other.at);
        return o;
    case MERGES:
        o->files = usual_files(&o->main, NULL, NULL);
        repeat(&o->other, "c a\n", n);
        add_file(&o->files, "t/merges.txt", o->other.at);
        o->files.file[1] = o->files.file[--o->files.count];
        return o;
    default: // a hash of both ids alone might put these all in one place
        add(&o->main, "{");
        add_vocabulary(&o->main);
        for (size_t i = 0; i < n; i++)
            add(&o->main, ",\"x%zu\":%zu,\"x%zua\":%zu", i, 516 + 2 * i, i, 517 + 2 * i);
        add(&o->main, "}");
        for (size_t i = 0; i < n; i++) add(&o->other, "x%zu a\n", i);
        add_file(&o->files, "t/vocab.json", o->main.at);
        add_file(&o->files, "t/merges.txt", o->other.at);
        return o;
    }
}

static void free_opening(struct opening *o) {
    free(o->main.at);
    free(o->other.at);
    free(o);
}

static void open_once(void *input) {
    struct opening *o = input;
    struct tt_tokenizer *tokenizer;
    o->err = (struct tt_error){0};
    o->status = open_files(&o->files, NULL, &tokenizer, &o->err);
    if (!o->status) tt_tokenizer_close(tokenizer);
}

START_TEST(tokenizers_grow) {
    size_t n = _i == MERGES ? 1 << 16 : 1 << 14;
    struct opening *once = make_opening((enum kind)_i, n);
    struct opening *twice = make_opening((enum kind)_i, 2 * n);
    check_growth(kinds[_i], open_once, once, twice);
    ck_assert_msg(!once->status && !twice->status, "%s", twice->err.message);
    free_opening(once);
    free_opening(twice);
}
END_TEST

static void check_opening(enum kind kind, size_t n, const char *message) {
    struct opening *o = make_opening(kind, n);
    open_once(o);
    if (message) ck_assert_int_eq(o->status, TT_BAD_INPUT);
    else ck_assert_msg(!o->status, "%s", o->err.message);
    ck_assert_msg(!message || strstr(o->err.message, message), "%s", o->err.message);
    free_opening(o);
}

START_TEST(tokenizer_limits) {
    // Start and end of text are added, too, where the files have no list of their own.
    check_opening(LISTED, TT_ADDED_TOKENS - 2, NULL);
    check_opening(LISTED, TT_ADDED_TOKENS - 1, "found more than 100000 added tokens");
    check_opening(EXTRA, TT_ADDED_TOKENS + 1, "added_tokens.json: found more than 100000 added");
    check_opening(MERGES, 1 << 20, NULL);
    check_opening(MERGES, (1 << 20) + 1,
                  "line 1048577: mem/t/vocab.json: found more than 1048576 merges");
}
END_TEST

// Tokens of TT_ADDED_BYTES, all of which are looked for in the normalised text.
static void check_added_bytes(size_t tokens, size_t bytes, const char *message) {
    struct text vocabulary = {0}, added = {0};
    struct tt_tokenizer *tokenizer;
    struct tt_error err = {0};
    add(&added, "{");
    for (size_t i = 0; i < tokens; i++) {
        add(&added, "%s\"%0*zu\":%zu", i ? "," : "", (int)bytes, i, 516 + i);
    }
    add(&added, "}");
    struct files files = usual_files(&vocabulary, "t/added_tokens.json", added.at);
    enum tt_status status = open_files(&files, NULL, &tokenizer, &err);
    ck_assert_msg(message ? status == TT_BAD_INPUT && strstr(err.message, message) : !status, "%s",
                  err.message);
    if (!status) { // the automaton at its largest finds what it should
        char text[TT_ADDED_BYTES + 8];
        int32_t ids[4];
        size_t used;
        snprintf(text, sizeof text, "x%0*zu", (int)bytes, tokens - 1);
        ck_assert(!tt_tokenizer_encode(tokenizer, text, ids, 4, &used, &err));
        ck_assert(used == 4 && ids[1] == 'x' + 256 && ids[2] == (int32_t)(515 + tokens));
        tt_tokenizer_close(tokenizer);
    }
    free(vocabulary.at);
    free(added.at);
}

START_TEST(added_bytes) {
    check_added_bytes(1, TT_ADDED_BYTES, NULL);
    check_added_bytes(1, TT_ADDED_BYTES + 1, "found an added token of 1025 bytes, expected");
    check_added_bytes(TT_FINDER_BYTES / TT_ADDED_BYTES, TT_ADDED_BYTES, NULL);
    check_added_bytes(TT_FINDER_BYTES / TT_ADDED_BYTES + 1, TT_ADDED_BYTES,
                      "mem/t: added tokens: found more than 4194304 bytes in all");
}
END_TEST

// What the automaton finds, beside the plainest way to look.
START_TEST(finder_finds) {
    uint64_t state = 5;
    for (int round = 0; round < 2000; round++) {
        char patterns[12][8], text[64];
        const char *sought[12];
        size_t count = 1 + test_random(&state) % 12, size = test_random(&state) % 63;
        for (size_t i = 0; i < count; i++) {
            size_t length = 1 + test_random(&state) % 6;
            for (size_t k = 0; k < length; k++)
                patterns[i][k] = (char)('a' + test_random(&state) % 2);
            patterns[i][length] = 0;
            sought[i] = test_random(&state) % 8 ? patterns[i] : NULL;
        }
        for (size_t i = 0; i < size; i++) text[i] = (char)('a' + test_random(&state) % 2);
        struct tt_finder *finder;
        struct tt_error err = {0};
        int32_t found[64];
        ck_assert(!tt_finder_new("test", sought, count, &finder, &err));
        tt_finder_run(finder, text, size, found);
        for (size_t i = 0; i < size; i++) {
            int32_t want = -1;
            size_t longest = 0;
            for (size_t k = 0; k < count; k++) {
                size_t length = sought[k] ? strlen(sought[k]) : 0;
                if (length <= longest || length > size - i || memcmp(text + i, sought[k], length))
                    continue;
                longest = length;
                want = (int32_t)k;
            }
            ck_assert_int_eq(found[i], want);
        }
        tt_finder_free(finder);
    }
}
END_TEST

// ---- JSON ----

struct document {
    struct text text;
    enum tt_status status;
    struct tt_error err;
};

static void parse(void *input) {
    struct document *d = input;
    json_t *root;
    d->err = (struct tt_error){0};
    d->status = tt_json_parse("f.json", d->text.at, d->text.size, &root, &d->err);
    if (!d->status) json_decref(root);
}

static struct document *make_list(const char *element, size_t n) {
    struct document *d = calloc(1, sizeof *d);
    ck_assert_ptr_nonnull(d);
    char piece[64];
    snprintf(piece, sizeof piece, ",%s", element);
    repeat(&d->text, piece, n);
    d->text.at[0] = '[';
    add(&d->text, "]");
    return d;
}

static void free_document(struct document *d) {
    free(d->text.at);
    free(d);
}

static const struct {
    const char *element;
    size_t cost; // of one; 0: more than fits is not tried
} elements[] = {
    {"{}", TT_JSON_OBJECT}, {"[]", TT_JSON_LIST}, {"1", TT_JSON_VALUE},
    {"\"\"", TT_JSON_STRING + 1},
    {"{\"a\":{\"b\":[null]}}", 0}, {"\"\\u00e9\\ud83d\\ude00\"", 0},
};

START_TEST(json_grows) {
    struct document *once = make_list(elements[_i].element, 100000);
    struct document *twice = make_list(elements[_i].element, 200000);
    check_growth(elements[_i].element, parse, once, twice);
    ck_assert_msg(!twice->status, "%s", twice->err.message);
    free_document(once);
    free_document(twice);
}
END_TEST

START_TEST(json_limits) {
    size_t n = elements[_i].cost ? (TT_JSON_MEMORY - TT_JSON_LIST) / elements[_i].cost : 0;
    for (size_t more = 0; n && more < 2; more++) {
        struct document *d = make_list(elements[_i].element, n + more);
        parse(d);
        ck_assert_msg(more ? d->status == TT_BAD_INPUT : !d->status, "%s", d->err.message);
        ck_assert(!more || strstr(d->err.message, "f.json: found JSON whose values would take"));
        free_document(d);
    }
}
END_TEST

START_TEST(json_depth_and_bytes) {
    for (size_t more = 0; more < 2; more++) {
        struct document d = {0};
        repeat(&d.text, "[", TT_JSON_DEPTH + more);
        repeat(&d.text, "]", TT_JSON_DEPTH + more);
        parse(&d);
        ck_assert_msg(more ? d.status == TT_BAD_INPUT : !d.status, "%s", d.err.message);
        ck_assert(!more || strstr(d.err.message, "f.json: found JSON nested deeper than 64"));
        free(d.text.at);
        size_t size = TT_JSON_BYTES + more;
        char *text = malloc(size);
        ck_assert_ptr_nonnull(text);
        memset(text, ' ', size);
        memcpy(text, "[]", 2);
        d = (struct document){.text = {text, size, size}};
        parse(&d);
        ck_assert_msg(more ? d.status == TT_BAD_INPUT : !d.status, "%s", d.err.message);
        ck_assert(!more || strstr(d.err.message, "found 100000001 bytes of JSON, expected"));
        free(text);
    }
}
END_TEST

// ---- cancelling ----

static int count_down(void *context) {
    int *left = context;
    return (*left)-- <= 0;
}

START_TEST(opening_stops) {
    enum kind polled[] = {MERGES, SAME_RIGHT};
    for (int i = 0; i < 2; i++) {
        int left = 1;
        const struct tt_poll poll = {count_down, &left};
        struct opening *o = make_opening(polled[i], 20000);
        struct tt_tokenizer *tokenizer;
        ck_assert_int_eq(open_files(&o->files, &poll, &tokenizer, &o->err), TT_CANCELLED);
        free_opening(o);
    }
}
END_TEST

// ---- the count itself ----

struct passes {
    const struct square *square;
    size_t bytes, times;
};

static void pass(void *input) {
    const struct passes *p = input;
    char *text = malloc(2 * (p->bytes + 1)), *other = text + p->bytes + 1;
    ck_assert_ptr_nonnull(text);
    for (int i = 0; i < 2; i++) {
        memset(i ? other : text, 'a', p->bytes);
        (i ? other : text)[p->bytes] = 0;
    }
    squares_run(p->square, text, other, p->bytes, p->times);
    free(text);
}

START_TEST(squares_are_refused) {
    for (const struct square *s = squares; s->name; s++) {
        size_t count[4];
        for (int i = 0; i < 4; i++) {
            size_t bytes = i % 2 ? 2000 : 1000;
            struct passes p = {s, bytes, i < 2 ? 5 : bytes};
            count[i] = count_work(pass, &p);
            ck_assert_msg(count_work(pass, &p) == count[i], "%s: found another count", s->name);
        }
        ck_assert_msg(grows(count[0], count[1]), "%s: found %zu and %zu", s->name, count[0],
                      count[1]);
        ck_assert_msg(!grows(count[2], count[3]), "%s, a square: found %zu and %zu", s->name,
                      count[2], count[3]);
    }
    ck_assert(!grows(0, 0));
}
END_TEST

// Not compiled as what is counted, like another library's; a cube is soon told from twice.
static void cube_of(void *input) {
    size_t n = *(size_t *)input;
    volatile size_t sum = 0;
    for (size_t i = 0; i < n * n * n; i++) sum = sum + i;
}

START_TEST(cubes_take_time) {
    size_t once = 300, twice = 600;
    double seconds[2];
    ck_assert_msg(!grows_in_time(cube_of, &once, &twice, seconds), "found %.3f s and %.3f s",
                  seconds[0], seconds[1]);
    ck_assert(grows_in_time(cube_of, &once, &(size_t){301}, seconds));
}
END_TEST

static Suite *limits_suite(void) {
    Suite *suite = suite_create("limits of texts");
    TCase *grows = tcase_create("work grows with the input"), *limits = tcase_create("limits");
    tcase_set_timeout(grows, 120);
    tcase_set_timeout(limits, 120);
    tcase_add_test(grows, squares_are_refused);
    tcase_add_test(grows, cubes_take_time);
    tcase_add_loop_test(grows, prompts_grow, 0, sizeof prompts / sizeof *prompts);
    tcase_add_loop_test(grows, syntaxes_grow, 0, sizeof syntaxes / sizeof *syntaxes);
    tcase_add_test(limits, syntaxes_end);
    tcase_add_loop_test(grows, tokenizers_grow, 0, KINDS);
    tcase_add_loop_test(grows, json_grows, 0, sizeof elements / sizeof *elements);
    tcase_add_test(limits, tokenizer_limits);
    tcase_add_test(limits, added_bytes);
    tcase_add_test(limits, finder_finds);
    tcase_add_loop_test(limits, json_limits, 0, sizeof elements / sizeof *elements);
    tcase_add_test(limits, json_depth_and_bytes);
    tcase_add_test(limits, opening_stops);
    suite_add_tcase(suite, grows);
    suite_add_tcase(suite, limits);
    return suite;
}

int main(void) {
    return test_main(limits_suite(), NULL);
}
