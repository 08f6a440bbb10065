// SPDX-License-Identifier: MIT
// JSON files. Every message names the file, the path of the key, what was found and what was
// expected. A configuration is read with getters that keep the first failure to themselves, so that
// reading code is a list of assignments; tt_json_finish() tells, and also fails for any key that
// nobody asked for. Configurations of models may have such: tt_json_finish_noting() tells of them.
#ifndef TT_IO_JSON_H
#define TT_IO_JSON_H

#include "base/note.h"
#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>

// What is taken of one document, looked at before it is parsed: its bytes, how deeply it is nested,
// and the memory that it would take. That is reckoned, somewhat more than the JSON library needs:
// so many bytes for each object and list, for each string (or key) and its text, and for each other
// value.
enum { TT_JSON_BYTES = 100000000, TT_JSON_DEPTH = 64, TT_JSON_MEMORY = 1 << 28 };
enum { TT_JSON_OBJECT = 320, TT_JSON_LIST = 192, TT_JSON_STRING = 160, TT_JSON_VALUE = 64 };

// An object being read, and which of its keys were asked for.
struct tt_json;

// Parses data, one JSON object in UTF-8; file is its name for messages. Duplicate keys, NUL
// characters, trailing bytes and more than the limits above are TT_BAD_INPUT. Free with
// tt_json_free().
enum tt_status tt_json_open(const char *file, const void *data, size_t size, struct tt_json **out,
                            struct tt_error *err);
void tt_json_free(struct tt_json *json);

// The first failure of any getter on this object or its children; then, for this object alone, an
// error for each key that was never asked for, unless it begins with '_' (notes of the writer).
enum tt_status tt_json_finish(struct tt_json *json, struct tt_error *err);
// The same, but keys that nobody asked for are noted, in one line, as none of `what`.
enum tt_status tt_json_finish_noting(struct tt_json *json, const char *what, struct tt_error *err);
// The same without the question for unknown keys: for files of which only a part concerns us.
enum tt_status tt_json_status(const struct tt_json *json, struct tt_error *err);

// Records a failure that the caller found: "FILE: PATH.key: message".
void tt_json_fail(struct tt_json *json, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Whom notes about this document and its objects go to, borrowed; before: nobody.
void tt_json_tell(struct tt_json *json, const struct tt_notes *notes);
// Notes "FILE: PATH.key: message".
void tt_json_note(struct tt_json *json, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// The same for memory that is short: TT_SYSTEM.
void tt_json_no_memory(struct tt_json *json);

// Whether key is there and not null; it then still has to be read.
bool tt_json_has(const struct tt_json *json, const char *key);

// Each getter marks its key as known. A missing or null key is a failure, or the fallback for the
// `_or` forms. A failing getter returns the least allowed value, 0, false, "" or NULL.
long tt_json_int(struct tt_json *json, const char *key, long least, long most);
long tt_json_int_or(struct tt_json *json, const char *key, long fallback, long least, long most);
double tt_json_number(struct tt_json *json, const char *key);
double tt_json_number_or(struct tt_json *json, const char *key, double fallback);
bool tt_json_bool(struct tt_json *json, const char *key);
bool tt_json_bool_or(struct tt_json *json, const char *key, bool fallback);
// Strings live as long as the document.
const char *tt_json_string(struct tt_json *json, const char *key);
const char *tt_json_string_or(struct tt_json *json, const char *key, const char *fallback);
// One of the NULL-terminated names, as its index; fallback when the key is absent or null, unless
// fallback is negative.
int tt_json_choice(struct tt_json *json, const char *key, const char *const *names, int fallback);

// A list of 1 to room integers into out; returns how many, 0 on failure.
size_t tt_json_ints(struct tt_json *json, const char *key, long least, long most, long *out,
                    size_t room);
// The same, or one integer, which is repeated to fill all room elements; a list must have exactly
// room elements.
void tt_json_int_each(struct tt_json *json, const char *key, long least, long most, long *out,
                      size_t room);
// A list of 1 to room numbers, or strings.
size_t tt_json_numbers(struct tt_json *json, const char *key, double *out, size_t room);
size_t tt_json_strings(struct tt_json *json, const char *key, const char **out, size_t room);

// An object inside; it is freed with json. NULL when absent (with a failure if required).
struct tt_json *tt_json_child(struct tt_json *json, const char *key, bool required);

// A key that is supported with these values only, or absent. values is JSON text, alternatives
// separated by " or ": tt_json_expect(c, "dropout", "0.0"), tt_json_expect(c, "act_fn",
// "\"silu\" or \"swish\""). Numbers compare by value.
void tt_json_expect(struct tt_json *json, const char *key, const char *values);
// What another file decides: the key holds this text (a list: of which the text is the one
// element), whatever it held.
void tt_json_put(struct tt_json *json, const char *key, const char *text, bool list);
// Takes away the keys that a list of names at `key` holds, and the list.
void tt_json_take_away(struct tt_json *json, const char *key);

// A key without influence on what is computed.
void tt_json_ignore(struct tt_json *json, const char *key);

// The value of key for code that walks lists and maps itself, or NULL; marks the key as known.
const json_t *tt_json_value(struct tt_json *json, const char *key);
const json_t *tt_json_object(const struct tt_json *json);
// What a value is, for messages: "string \"silu\"", "list of 4", "integer 3"; returns text.
char *tt_json_text(const json_t *value, char *text, size_t size);
const char *tt_json_file(const struct tt_json *json);

// json_loadb(), which without memory mostly says that the syntax is wrong: here the code is then
// json_error_out_of_memory.
json_t *tt_json_load(const void *data, size_t size, size_t flags, json_error_t *error);

// Parses any JSON value with the checks of tt_json_open(); the caller json_decref()s it.
enum tt_status tt_json_parse(const char *file, const void *data, size_t size, json_t **out,
                             struct tt_error *err);

#endif
