// SPDX-License-Identifier: MIT
// Reports as HTML. The script and the style are files of their own (src/cli/report/); here they
// are put together with the data, which are made small: columns instead of one object for a row.
#include <nettle/base64.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"

// Of build/report.S.
extern const char cli_report_style[], cli_report_common[];
extern const char cli_report_verify[], cli_report_profile[];

// ---- columns ----

// Rows beyond so many come without what only tensors past their tolerance have: a page of 3,000
// tensors and 20 steps that all differ stays below 5 MB.
enum { DETAILED = 8000 };

// What every compared tensor has.
static bool is_common(const char *key) {
    static const char *const common[] = {"name", "type", "shape", "difference", "relative_l2",
                                         "limit", "limit_l2", "err32", "drift32", "times", "agrees",
                                         "what", NULL};
    for (const char *const *c = common; *c; c++)
        if (!strcmp(*c, key)) return true;
    return false;
}

// Both values of the worst element, which may differ late, and what is close to 1.
static bool is_exact(const char *key) {
    return !strcmp(key, "ours") || !strcmp(key, "recorded") || !strcmp(key, "cosine");
}

// Numbers keep four digits, lists become their text.
static json_t *short_value(const char *key, json_t *value) {
    char text[32];
    if (json_is_array(value) || json_is_object(value)) {
        char *list = json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(4));
        json_t *string = list ? json_string(list) : NULL;
        free(list);
        return string;
    }
    bool large = json_is_integer(value) && llabs(json_integer_value(value)) >= 1000000;
    if ((!json_is_real(value) && !large) || is_exact(key)) return json_incref(value);
    snprintf(text, sizeof text, "%.4g", json_number_value(value));
    return json_real(strtod(text, NULL));
}

// {"at": [rows], "values": [...]}: of a column that few rows have.
static json_t *sparse_column(json_t *values) {
    json_t *at = json_array(), *kept = json_array(), *value;
    size_t i;
    json_array_foreach(values, i, value) {
        if (json_is_null(value)) continue;
        json_array_append_new(at, json_integer((json_int_t)i));
        json_array_append(kept, value);
    }
    return json_pack("{s:o, s:o}", "at", at, "values", kept);
}

// {"words": [...], "of": [which]}: of a column of texts that come again; the column itself when
// most are different.
static json_t *words_column(json_t *values) {
    json_t *words = json_array(), *of = json_array(), *known = json_object(), *value;
    size_t i;
    json_array_foreach(values, i, value) {
        json_t *at = json_object_get(known, json_string_value(value));
        if (!at) {
            at = json_integer((json_int_t)json_array_size(words));
            json_object_set_new(known, json_string_value(value), at);
            json_array_append(words, value);
        }
        json_array_append(of, at);
    }
    json_decref(known);
    if (2 * json_array_size(words) < json_array_size(values))
        return json_pack("{s:o, s:o}", "words", words, "of", of);
    json_decref(words);
    json_decref(of);
    return json_incref(values);
}

// The values of a key in rows[0...until), null where a row has none.
static json_t *column(const json_t *rows, const char *key, size_t until) {
    json_t *values = json_array(), *row, *first;
    size_t i, present = 0, texts = 0, same = 0, n = json_array_size(rows);
    json_array_foreach(rows, i, row) {
        json_t *value = i < until ? json_object_get(row, key) : NULL;
        json_array_append_new(values, value ? short_value(key, value) : json_null());
        value = json_array_get(values, i);
        present += !json_is_null(value);
        texts += json_is_string(value);
    }
    first = json_array_get(values, 0);
    for (i = 0; i < n; i++) same += json_equal(json_array_get(values, i), first);
    json_t *made = same == n ? json_pack("{s:O}", "same", first)
                 : texts == n ? words_column(values)
                 : 2 * present < n ? sparse_column(values) : json_incref(values);
    json_decref(values);
    return made;
}

// ---- tables ----

// Columns that are alike are kept once: the modules of one call have the names of the next.
struct pool {
    json_t *columns; // an array
    json_t *of_key;  // which of them hold a key's
    size_t detailed; // rows so far
};

static json_t *pooled(struct pool *pool, const char *key, json_t *made) {
    json_t *mine = json_object_get(pool->of_key, key), *at;
    size_t i;
    if (!mine) json_object_set_new(pool->of_key, key, mine = json_array());
    json_array_foreach(mine, i, at) {
        if (!json_equal(json_array_get(pool->columns, (size_t)json_integer_value(at)), made))
            continue;
        json_decref(made);
        return json_incref(at);
    }
    at = json_integer((json_int_t)json_array_size(pool->columns));
    json_array_append_new(pool->columns, made);
    json_array_append(mine, at);
    return at;
}

// How many rows come whole; they are counted.
static size_t rows_detailed(struct pool *pool, const json_t *rows) {
    const char *key;
    json_t *row, *value;
    size_t i;
    json_array_foreach(rows, i, row) {
        bool detailed = false;
        json_object_foreach(row, key, value) detailed = detailed || !is_common(key);
        if (detailed && ++pool->detailed > DETAILED) return i;
    }
    return i;
}

// {"rows": how many, "columns": {key: which of the pool}}: of an array of objects.
static json_t *table(struct pool *pool, const json_t *rows, bool limited) {
    json_t *keys = json_object(), *columns = json_object(), *row, *value;
    size_t i, until = limited ? rows_detailed(pool, rows) : json_array_size(rows);
    const char *key;
    json_array_foreach(rows, i, row)
        json_object_foreach(row, key, value)
            if (!json_object_get(keys, key)) json_object_set_new(keys, key, json_true());
    json_object_foreach(keys, key, value) {
        size_t to = is_common(key) ? json_array_size(rows) : until;
        if (to) json_object_set_new(columns, key, pooled(pool, key, column(rows, key, to)));
    }
    json_decref(keys);
    return json_pack("{s:I, s:o}", "rows", (json_int_t)json_array_size(rows), "columns", columns);
}

static bool alike(const json_t *a, const json_t *b, const char *key) {
    const json_t *of_a = json_object_get(a, key), *of_b = json_object_get(b, key);
    return of_a == of_b || json_equal(of_a, of_b);
}

// The nodes as tables, one for each stage and step: those of a step have the names, shapes and sums
// of the step before.
static json_t *node_tables(struct pool *pool, const json_t *nodes) {
    json_t *tables = json_array(), *rows = json_array(), *node, *last = NULL;
    size_t i;
    json_array_foreach(nodes, i, node) {
        if (last && !(alike(node, last, "stage") && alike(node, last, "step"))) {
            json_array_append_new(tables, table(pool, rows, false));
            json_array_clear(rows);
        }
        json_array_append(rows, last = node);
    }
    json_array_append_new(tables, table(pool, rows, false));
    json_decref(rows);
    return tables;
}

// root with tables in place of its long arrays. What the page sums up itself is left out.
static json_t *packed(const json_t *root) {
    json_t *page = json_copy((json_t *)(uintptr_t)root), *parts = json_array(), *part;
    struct pool pool = {json_array(), json_object(), 0};
    size_t i;
    json_object_set_new(page, "totals", json_pack("{s:O?}", "step", json_object_get(
        json_object_get(root, "totals"), "step")));
    if (json_object_get(root, "nodes"))
        json_object_set_new(page, "nodes", node_tables(&pool, json_object_get(root, "nodes")));
    json_array_foreach(json_object_get(root, "parts"), i, part) {
        json_t *copy = json_copy(part);
        json_object_set_new(copy, "tensors",
                            table(&pool, json_object_get(part, "tensors"), true));
        json_array_append_new(parts, copy);
    }
    if (json_array_size(parts)) json_object_set(page, "parts", parts);
    if (pool.detailed > DETAILED)
        json_object_set_new(page, "detailed", json_integer(DETAILED));
    json_object_set_new(page, "pool", pool.columns);
    json_decref(pool.of_key);
    json_decref(parts);
    return page;
}

// ---- the page ----

// 'sha256-...' of what stands in an element of style or script.
static void print_hash(FILE *to, const char *const *texts) {
    struct sha256_ctx sha;
    uint8_t digest[SHA256_DIGEST_SIZE];
    char text[BASE64_ENCODE_RAW_LENGTH(SHA256_DIGEST_SIZE) + 1] = {0};
    sha256_init(&sha);
    for (; *texts; texts++) sha256_update(&sha, strlen(*texts), (const uint8_t *)*texts);
    sha256_digest(&sha, sizeof digest, digest);
    base64_encode_raw(text, sizeof digest, digest);
    fprintf(to, "'sha256-%s'", text);
}

// As text of an element.
static void print_text(FILE *to, const char *text) {
    for (size_t bytes; text && *text; text += bytes) {
        bool shown = cli_is_shown(text, &bytes);
        if (*text == '<') fputs("&lt;", to);
        else if (*text == '&') fputs("&amp;", to);
        else if (shown) fwrite(text, 1, bytes, to);
        else fputc('?', to);
    }
}

// JSON in an element of script ends at nothing but its end: no '<' is left in it.
static bool print_data(FILE *to, const json_t *page) {
    char *text = json_dumps(page, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(9));
    for (const char *at = text; text && *at;) {
        size_t good = strcspn(at, "<");
        fwrite(at, 1, good, to);
        at += good;
        if (*at) fputs("\\u003c", to), at++;
    }
    free(text);
    return text;
}

static bool print_page(FILE *to, const json_t *root, const json_t *page) {
    const char *format = json_string_value(json_object_get(root, "format"));
    bool profile = format && !strcmp(format, "tintype-profile");
    const char *const style[] = {cli_report_style, NULL};
    const char *const script[] = {cli_report_common,
                                  profile ? cli_report_profile : cli_report_verify, NULL};
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
          "base-uri 'none'; form-action 'none'; style-src ", to);
    print_hash(to, style);
    fputs("; script-src ", to);
    print_hash(to, script);
    fputs("\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta name=\"color-scheme\" content=\"light dark\">\n<title>", to);
    fputs(profile ? "tintype profile: " : "tintype verify: ", to);
    print_text(to, json_string_value(json_object_get(root, "model")));
    fprintf(to, "</title>\n<style>%s</style>\n</head>\n<body>\n"
            "<noscript>This report needs JavaScript; it loads nothing.</noscript>\n"
            "<main></main>\n<script type=\"application/json\" id=\"data\">", *style);
    bool good = print_data(to, page);
    fprintf(to, "</script>\n<script>%s%s</script>\n</body>\n</html>\n", script[0], script[1]);
    return good;
}

char *report_page(const json_t *root, size_t *size) {
    char *text = NULL;
    json_t *page = packed(root);
    FILE *to = open_memstream(&text, size);
    bool good = to && page && print_page(to, root, page);
    if (to && fclose(to)) good = false;
    json_decref(page);
    if (good) return text;
    free(text);
    return NULL;
}

enum tt_status report_plan(struct cli *cli, const char *path) {
    static const char *const endings[] = {".html", ".htm", NULL};
    bool good = !path || cli_is_standard_output(path);
    for (const char *const *e = endings; !good && *e; e++) {
        size_t length = strlen(path), tail = strlen(*e);
        good = length >= tail && !strcasecmp(path + length - tail, *e);
    }
    if (!good)
        return tt_fail(&cli->error, TT_BAD_INPUT, "%s: reports are written as HTML: expected a "
                       "name that ends in .html", path);
    return path ? cli_plan(cli, path) : TT_OK;
}

enum tt_status report_write(struct cli *cli, const char *path, const json_t *root) {
    json_t *noted = root ? json_copy((json_t *)(uintptr_t)root) : NULL;
    size_t size = 0;
    if (noted && cli->notes) json_object_set(noted, "notes", cli->notes);
    char *page = noted ? report_page(noted, &size) : NULL;
    enum tt_status status = page ? cli_write(cli, path, page, size)
                                 : tt_fail(&cli->error, TT_SYSTEM, "%s: out of memory", path);
    if (!status) cli_written(cli, path);
    free(page);
    json_decref(noted);
    return status;
}
