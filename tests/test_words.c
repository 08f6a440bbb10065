// SPDX-License-Identifier: MIT
// Prompts of web UIs and of compel, textual inversion, layers left out: against what compel and
// diffusers gave, a table of webui's rules, and the rules of its chunks, which
// reference/record_words.py has.
#include "io/json.h"
#include "session.h"
#include "text/chunks.h"

#include "util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static json_t *open_json(const char *path) {
    size_t size;
    struct tt_error err = {0};
    json_t *json;
    char *text = test_read(path, &size);
    ck_assert_msg(!tt_json_parse(path, text, size, &json, &err), "%s", err.message);
    free(text);
    return json;
}

static const char *text_of(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

static bool near(double a, double b) {
    return fabs(a - b) <= 4e-16 * fabs(b);
}

// ---- taking apart ----

static void check_fragments(const char *prompt, const json_t *want,
                            const struct tt_fragments *got) {
    ck_assert_msg(got->count == json_array_size(want), "%s: %zu fragments, not %zu", prompt,
                  got->count, json_array_size(want));
    for (size_t i = 0; i < got->count; i++) {
        const json_t *each = json_array_get(want, i);
        const char *text = json_string_value(json_array_get(each, 0));
        double weight = json_number_value(json_array_get(each, 1));
        if (!strcmp(text, "BREAK") && near(weight, -1)) {
            ck_assert_msg(got->data[i].ends_chunk, "%s: fragment %zu is no BREAK", prompt, i);
            continue;
        }
        ck_assert_msg(!got->data[i].ends_chunk && !strcmp(got->data[i].text, text) &&
                      near(got->data[i].weight, weight), "%s: fragment %zu is '%s' at %.17g, not "
                      "'%s' at %.17g", prompt, i, got->data[i].text, got->data[i].weight, text,
                      weight);
    }
}

START_TEST(webui_table) {
    json_t *table = open_json("reference/words/webui.json"), *each;
    const json_t *prompts = json_object_get(table, "prompts");
    size_t i;
    ck_assert_uint_ge(json_array_size(prompts), 30);
    json_array_foreach(prompts, i, each) {
        struct tt_fragments got;
        struct tt_error err = {0};
        const char *prompt = text_of(each, "prompt");
        ck_assert_ptr_nonnull(text_of(json_object_get(table, "rules"), text_of(each, "rule")));
        ck_assert_msg(!tt_prompt_webui("prompt", prompt, &got, &err), "%s", err.message);
        check_fragments(prompt, json_object_get(each, "weights"), &got);
        tt_fragments_free(&got);
    }
    json_decref(table);
}
END_TEST

static void check_part(const char *prompt, const json_t *want, const struct tt_compel_part *got) {
    const json_t *texts = json_object_get(want, "texts"), *shares = json_object_get(want, "shares");
    ck_assert_uint_eq(got->count, json_array_size(texts));
    ck_assert_int_eq(got->normalize, json_is_true(json_object_get(want, "normalize")));
    ck_assert(near(got->weight, json_number_value(json_object_get(want, "weight"))));
    for (size_t i = 0; i < got->count; i++) {
        ck_assert(near(got->shares[i], json_number_value(json_array_get(shares, i))));
        check_fragments(prompt, json_array_get(texts, i), &got->texts[i]);
    }
}

START_TEST(compel_prompts) {
    json_t *table = open_json("reference/words/compel.json"), *each;
    size_t i, refused = 0;
    json_array_foreach(json_object_get(table, "prompts"), i, each) {
        struct tt_compel got;
        struct tt_error err = {0};
        const char *prompt = text_of(each, "prompt");
        const json_t *parts = json_object_get(each, "parts");
        enum tt_status status = tt_prompt_compel("prompt", prompt, &got, &err);
        if (json_is_null(parts)) {
            ck_assert_msg(status == TT_BAD_INPUT, "%s: compel refuses it", prompt);
            refused++;
            continue;
        }
        ck_assert_msg(!status, "%s: %s", prompt, err.message);
        ck_assert_uint_eq(got.count, json_array_size(parts));
        for (size_t j = 0; j < got.count; j++)
            check_part(prompt, json_array_get(parts, j), &got.parts[j]);
        tt_compel_free(&got);
    }
    ck_assert_uint_ge(i, 50);
    ck_assert_uint_ge(refused, 7);
    json_decref(table);
}
END_TEST

// Each is refused with a message that has these words.
static const struct {
    bool compel;
    const char *prompt, *words;
} wrong[] = {
    {false, "a (fox:1.2.3)", "weight: found '1.2.3'"},
    {false, "a (fox:.)", "a (fox:.)"}, // no number: text, see below
    {false, "a (fox:9e)", "a (fox:9e)"},
    {false, "a [fox:hen:0.5]", "[from:to:when]"},
    {false, "a [fox:0.5]", "[from:to:when]"},
    {false, "a [fox::10]", "[from:to:when]"},
    {false, "a [fox|hen]", "[one|another]"},
    {false, "a <hypernet:anime:1> fox", "<hypernet:"},
    {false, "(fox:99999999999999999999999999999999999999999)", "float32"},
    {false, "a fox AND a hen", "AND"},
    {true, "fox.swap(hen)", ".swap()"},
    {true, "a fox withLora(red, 0.5)", "--lora"},
    {true, "(\"a\", \"b\").blend(1)", ".blend(): found 1 weights, expected 2"},
    {true, "(\"a\", \"b\").and(1, two)", "found 'two', expected a weight"},
    {true, "(\"a\", \"b\").blend(1, -1)", "0 together"},
    {true, "(\"a\").and() hen", "found 'hen' behind .and()"},
    {true, "()", "brackets without words"},
};

START_TEST(wrong_prompts) {
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct tt_fragments list = {0};
        struct tt_compel prompt = {0};
        struct tt_error err = {0};
        const char *text = wrong[i].prompt;
        enum tt_status status = wrong[i].compel ? tt_prompt_compel("prompt", text, &prompt, &err)
                                                : tt_prompt_webui("prompt", text, &list, &err);
        if (!strcmp(text, wrong[i].words)) { // what is no number is a text in open brackets
            ck_assert_msg(!status || strstr(err.message, "weight"), "%s", text);
            tt_fragments_free(&list);
            continue;
        }
        ck_assert_msg(status == TT_BAD_INPUT && strstr(err.message, wrong[i].words), "%s: '%s'",
                      text, err.message);
        ck_assert_ptr_null(list.data);
        ck_assert_ptr_null(prompt.parts);
    }
}
END_TEST

static char *repeated(const char *piece, size_t times) {
    size_t size = strlen(piece);
    char *text = malloc(size * times + 1);
    ck_assert_ptr_nonnull(text);
    for (size_t i = 0; i < times; i++) memcpy(text + i * size, piece, size);
    text[size * times] = 0;
    return text;
}

START_TEST(deep_prompts) {
    static const char *const pieces[] = {"(", "[", "\"(", "(a ", "((a)", "(\"a\" "};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        char *text = repeated(pieces[i], 100000);
        struct tt_fragments list;
        struct tt_compel prompt;
        struct tt_error err = {0};
        if (!tt_prompt_webui("prompt", text, &list, &err)) tt_fragments_free(&list);
        else ck_assert_msg(strstr(err.message, "deeper than 64"), "%s", err.message);
        err = (struct tt_error){0};
        if (!tt_prompt_compel("prompt", text, &prompt, &err)) tt_compel_free(&prompt);
        else ck_assert_msg(strstr(err.message, "deeper than 64"), "%s", err.message);
        free(text);
    }
    struct tt_fragments list;
    struct tt_error err = {0};
    ck_assert(!tt_prompt_webui("prompt", "((((((((((a))))))))))", &list, &err));
    ck_assert(near(list.data[0].weight, 2.5937424601000023));
    tt_fragments_free(&list);
}
END_TEST

// ---- embeddings ----

// How many times PyTorch's own float32 error an embedding may be off, and what rounding the result
// to float32 adds; as measured, rounded up (WORDS_REPORT=1 prints what each case needs).
static const double FACTOR = 2;

struct model {
    struct tt_engine *engine;
    struct tt_model *model;
    struct tt_session *session;
    char notes[2048];
};

static void note(void *context, const char *text) {
    struct model *m = context;
    size_t used = strlen(m->notes);
    snprintf(m->notes + used, sizeof m->notes - used, "%s\n", text);
}

static void open_model(struct model *m, const char *name) {
    struct tt_error err = {0};
    struct tt_engine_settings settings;
    char path[128];
    *m = (struct model){0};
    snprintf(path, sizeof path, "reference/tiny/%s", name);
    tt_engine_defaults(&settings, sizeof settings);
    settings.context = m;
    settings.note = note;
    settings.threads = 1;
    ck_assert_msg(!tt_engine_new(&settings, &m->engine, &err), "%s", err.message);
    ck_assert_msg(!tt_model_open(path, m->engine, &m->model, &err), "%s", err.message);
    ck_assert_msg(!tt_session_new(m->model, NULL, &m->session, &err), "%s", err.message);
    m->notes[0] = 0;
}

static void close_model(struct model *m) {
    tt_session_free(m->session);
    tt_model_close(m->model);
    tt_engine_free(m->engine);
}

static int syntax_of(const char *name) {
    return !strcmp(name, "webui") ? TT_PROMPT_WEBUI
           : !strcmp(name, "compel") ? TT_PROMPT_COMPEL : TT_PROMPT_PLAIN;
}

static void check_case(struct model *m, const char *name, const json_t *spec,
                       const struct tt_view *want) {
    char paths[2][128];
    snprintf(paths[0], sizeof *paths, "reference/words/%s-toy.safetensors", name);
    snprintf(paths[1], sizeof *paths, "reference/words/%s-word.safetensors", name);
    bool pair = !strcmp(name, "xl");
    if (pair) strcpy(paths[0], "reference/words/xl-pair.safetensors");
    const struct tt_inversion_file files[2] = {{.path = paths[0],
                                                 .word = pair ? "<fox-pair>" : NULL},
                                               {.path = paths[1], .word = "<one-word>"}};
    const char *prompt = text_of(spec, "prompt"), *syntax = text_of(spec, "syntax");
    bool inverted = json_is_true(json_object_get(spec, "inverted"));
    struct tt_settings words;
    tt_settings_defaults(&words, sizeof words);
    words.prompt = prompt;
    words.guidance_scale = 1;
    words.prompt_syntax = syntax_of(syntax);
    words.clip_skip = (size_t)json_integer_value(json_object_get(spec, "clip_skip"));
    words.inversions = files;
    words.inversion_count = inverted ? pair ? 1 : 2 : 0;
    struct tt_embeddings got = {0};
    struct tt_error err = {0};
    ck_assert_msg(!tt_encode_prompt(m->session, &words, &got, &err), "%s: %s", prompt,
                  err.message);
    const struct tt_model_info *info = tt_model_info(m->model);
    size_t n = tt_shape_count(&want->shape);
    size_t tokens = (n - info->pooled_width) / info->text_width;
    ck_assert_msg(got.tokens == tokens, "%s %s: %zu tokens, not %zu", syntax, prompt, got.tokens,
                  tokens);
    double most = json_number_value(json_object_get(spec, "error")), worst = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        double value;
        memcpy(&value, (const char *)want->data + i * sizeof value, sizeof value);
        double off = fabs(got.data[i] - value);
        if (!(off <= worst)) worst = off;
        if (fabs(value) > largest) largest = fabs(value);
    }
    if (getenv("WORDS_REPORT"))
        printf("%s %s skip %zu: %.2f of %.2g (%.60s)\n", name, syntax, words.clip_skip,
               worst / most, most, prompt);
    ck_assert_msg(worst <= FACTOR * most + largest * 6e-8, "%s %s: off by %g, PyTorch by %g: %s",
                  name, syntax, worst, most, prompt);
    tt_embeddings_free(&got);
}

static void check_model(const char *name) {
    char path[128];
    struct tt_safetensors *file;
    struct tt_error err = {0};
    struct model m;
    size_t i;
    json_t *each;
    snprintf(path, sizeof path, "reference/words/%s.json", name);
    json_t *manifest = open_json(path);
    snprintf(path, sizeof path, "reference/words/%s.safetensors", name);
    ck_assert_msg(!tt_safetensors_open(NULL, path, &file, &err), "%s", err.message);
    open_model(&m, name);
    json_array_foreach(json_object_get(manifest, "cases"), i, each) {
        char number[24];
        snprintf(number, sizeof number, "%zu", i);
        const struct tt_view *want = tt_safetensors_find(file, number);
        ck_assert_ptr_nonnull(want);
        ck_assert_int_eq(want->dtype, TT_F64);
        check_case(&m, name, each, want);
    }
    ck_assert_uint_ge(i, 10);
    close_model(&m);
    tt_safetensors_close(file);
    json_decref(manifest);
}

START_TEST(embeddings_sd15) { check_model("sd15"); }
END_TEST
START_TEST(embeddings_sd21) { check_model("sd21"); }
END_TEST
START_TEST(embeddings_xl) { check_model("xl"); }
END_TEST

// Final latents of whole runs, of which prompt and negative prompt take several chunks.
START_TEST(runs) {
    json_t *manifest = open_json("reference/words/runs.json"), *each;
    struct tt_safetensors *file;
    struct tt_error err = {0};
    struct model m;
    size_t i;
    ck_assert(!tt_safetensors_open(NULL, "reference/words/runs.safetensors", &file, &err));
    open_model(&m, "sd15");
    json_array_foreach(json_object_get(manifest, "cases"), i, each) {
        char number[24];
        struct tt_settings s;
        tt_settings_defaults(&s, sizeof s);
        s.prompt = text_of(each, "prompt");
        s.negative = text_of(each, "negative");
        s.prompt_syntax = syntax_of(text_of(each, "syntax"));
        s.steps = 4;
        s.seed = 5;
        s.width = 48;
        s.height = 32;
        snprintf(number, sizeof number, "%zu", i);
        const struct tt_view *want = tt_safetensors_find(file, number);
        ck_assert_ptr_nonnull(want);
        size_t n = tt_shape_count(&want->shape);
        float *got = malloc(2 * n * sizeof *got), *recorded = got + n;
        ck_assert_ptr_nonnull(got);
        ck_assert_msg(!tt_generate(m.session, &s, got, NULL, &err), "%s", err.message);
        tt_view_floats(want, 0, n, recorded);
        double off = 0, all = 0;
        for (size_t j = 0; j < n; j++) {
            off += pow((double)got[j] - recorded[j], 2);
            all += pow(recorded[j], 2);
        }
        if (getenv("WORDS_REPORT")) printf("run %zu: %.2g\n", i, sqrt(off / all));
        ck_assert_msg(sqrt(off / all) <= 1e-5, "%s: off by %g", s.prompt, sqrt(off / all));
        free(got);
    }
    ck_assert_uint_eq(i, 4);
    close_model(&m);
    tt_safetensors_close(file);
    json_decref(manifest);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("words");
    TCase *parsing = tcase_create("parsing"), *embeddings = tcase_create("embeddings");
    tcase_add_test(parsing, webui_table);
    tcase_add_test(parsing, compel_prompts);
    tcase_add_test(parsing, wrong_prompts);
    tcase_add_test(parsing, deep_prompts);
    tcase_set_timeout(embeddings, 120);
    tcase_add_test(embeddings, embeddings_sd15);
    tcase_add_test(embeddings, embeddings_sd21);
    tcase_add_test(embeddings, embeddings_xl);
    tcase_add_test(embeddings, runs);
    suite_add_tcase(suite, parsing);
    suite_add_tcase(suite, embeddings);
    return test_main(suite, NULL);
}
