// SPDX-License-Identifier: MIT
// What comes from outside takes time that grows with its size, and no more than the limits (README,
// "Limits"). Each hostile kind is timed at a size and at twice that: at most 2.5 times the processor
// time, the best of some runs each. Limits are tried at their value and one past it.
#include "base/poll.h"
#include "cli/chart.h"
#include "io/image_read.h"
#include "io/json.h"
#include "text/tokenizer.h"
#include "text/tokenizer_data.h"
#include "train/data.h"
#include "train/log.h"

#include "util.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

// ---- counting work ----

static double cpu_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void take_time(void (*work)(void *input), void *input, double *best) {
    double from = cpu_seconds();
    work(input);
    *best = fmin(*best, cpu_seconds() - from);
}

// A clock may tick in hundredths of a second; a square shows beyond that. More runs where the
// machine is busy.
static void check_growth(const char *what, void (*work)(void *input), void *once, void *twice) {
    enum { LEAST = 3, MOST = 12 };
    double one = INFINITY, two = INFINITY;
    for (int i = 0; i < LEAST || (i < MOST && !(two <= 2.5 * one + 0.012)); i++) {
        take_time(work, once, &one);
        take_time(work, twice, &two);
    }
    ck_assert_msg(two <= 2.5 * one + 0.012, "%s: %.3f s, and %.3f s for twice as much", what, one,
                  two);
}

// ---- texts that grow ----

struct text {
    char *at;
    size_t size, room;
};

static void add_bytes(struct text *text, const char *bytes, size_t length) {
    if (text->size + length + 1 > text->room) {
        text->room = 2 * (text->room + length + 1);
        text->at = realloc(text->at, text->room);
        ck_assert_ptr_nonnull(text->at);
    }
    memcpy(text->at + text->size, bytes, length);
    text->size += length;
    text->at[text->size] = 0;
}

static void add(struct text *text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void add(struct text *text, const char *format, ...) {
    va_list args;
    char piece[2048];
    va_start(args, format);
    size_t length = (size_t)vsnprintf(piece, sizeof piece, format, args);
    va_end(args);
    ck_assert_uint_lt(length, sizeof piece);
    add_bytes(text, piece, length);
}

static void repeat(struct text *text, const char *piece, size_t times) {
    size_t length = strlen(piece);
    for (size_t i = 0; i < times; i++) add_bytes(text, piece, length);
}

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
    struct tt_files *polled = NULL;
    ck_assert(!tt_folder_open_embedded("mem", files->file, files->count, &folder, err));
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
    "\"Replace\",\"pattern\":{\"Regex\":\"\\\\s+\"},\"content\":\" \"},{\"type\":\"Lowercase\"}]}," \
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
    struct opening *once = make_opening((enum kind)_i, n), *twice = make_opening((enum kind)_i, 2 * n);
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
    check_opening(MERGES, (1 << 20) + 1, "line 1048577: mem/t/vocab.json: found more than 1048576 merges");
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
            for (size_t k = 0; k < length; k++) patterns[i][k] = (char)('a' + test_random(&state) % 2);
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
    {"{}", TT_JSON_OBJECT}, {"[]", TT_JSON_LIST}, {"1", TT_JSON_VALUE}, {"\"\"", TT_JSON_STRING + 1},
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
        ck_assert(!more || strstr(d->err.message, "f.json: found JSON whose values would take more"));
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
        ck_assert(!more || strstr(d.err.message, "found 100000001 bytes of JSON, expected at most"));
        free(text);
    }
}
END_TEST

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
    uint8_t *pixels = calloc(raw, 1), *data = malloc(packed), *text = malloc(text_size + 8);
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
    check_scans(8192, 65, "p.jpg: found more than 64 scans of 8192 x 8192 pixels, expected no more");
    struct tt_image image;
    struct tt_error err = {0};
    ck_assert_int_eq(tt_image_read_memory("p", "\x89PNG\r\n\x1a\n", (size_t)TT_PICTURE_BYTES + 1,
                                          &image, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "found 1073741825 bytes, expected a picture of at most"), "%s",
                  err.message);
}
END_TEST

// ---- cancelling ----

static int count_down(void *context) {
    int *left = context;
    return (*left)-- <= 0;
}

START_TEST(reading_stops) {
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
    Suite *suite = suite_create("limits");
    TCase *grows = tcase_create("work grows with the input"), *limits = tcase_create("limits");
    tcase_set_timeout(grows, 120);
    tcase_set_timeout(limits, 120);
    tcase_add_loop_test(grows, prompts_grow, 0, sizeof prompts / sizeof *prompts);
    tcase_add_loop_test(grows, tokenizers_grow, 0, KINDS);
    tcase_add_loop_test(grows, json_grows, 0, sizeof elements / sizeof *elements);
    tcase_add_test(grows, pictures_grow);
    tcase_add_test(limits, tokenizer_limits);
    tcase_add_test(limits, added_bytes);
    tcase_add_test(limits, finder_finds);
    tcase_add_loop_test(limits, json_limits, 0, sizeof elements / sizeof *elements);
    tcase_add_test(limits, json_depth_and_bytes);
    tcase_add_test(limits, jpeg_limits);
    tcase_add_test(limits, reading_stops);
    tcase_add_test(limits, axes_end);
    tcase_add_test(limits, logs);
    tcase_add_test(limits, log_limits);
    tcase_add_test(limits, data_limits);
    suite_add_tcase(suite, grows);
    suite_add_tcase(suite, limits);
    return suite;
}

int main(void) {
    return test_main(limits_suite(), NULL);
}
