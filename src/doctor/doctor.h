// SPDX-License-Identifier: MIT
// The doctor: looks at any file or folder and tells what it is, what is wrong with it and what to
// do. The public interface stands in tintype.h; what may be found in findings.def, what a thing may
// be in kinds.def, which tensors make it that in marks.def, whose folders are not read in
// foreign.def.
//
// Every look adds findings and facts to one struct tt_examination, and goes on where it can: nobody
// is helped by the first of five mistakes. What it looks at may be hostile, so that each look is
// bounded as the parsers are.
#ifndef TT_DOCTOR_H
#define TT_DOCTOR_H

#include "base/memory.h"
#include "base/source.h"
#include "engine.h"
#include "io/file.h"
#include "io/gguf.h"
#include "io/json.h"

enum tt_doctor_code {
#define FINDING(id, code, severity, means, advice) TT_CODE_##id,
#include "doctor/findings.def"
#undef FINDING
    TT_CODES
};

enum tt_doctor_kind {
#define KIND(id, kind, is, use) TT_KIND_##id,
#include "doctor/kinds.def"
#undef KIND
    TT_KINDS
};

// Of one code so many are listed, and the rest counted.
enum { TT_DOCTOR_LISTED = 100 };

struct tt_examination {
    struct tt_examine_settings settings;
    const struct tt_engine *engine; // as given
    struct tt_engine own;           // the same, but that its notes become findings
    enum tt_doctor_kind kind;
    const char *is;
    struct tt_pool pool; // of all texts
    struct tt_finding *findings;
    size_t finding_count, finding_room, of_code[TT_CODES];
    struct tt_fact *facts;
    size_t fact_count, fact_room;
    enum tt_doctor_code note_code; // what a note of the engine's becomes
    const char *note_file;
    uint64_t done, all; // bytes of values
    bool no_memory;
    bool mute; // a look whose findings do not count: at one of several models
};

// A whole examination of a file's borrowed bytes, as tt_examine() does it of the file; path is its
// name for messages (examine.c).
enum tt_status tt_examine_bytes(const char *path, const void *data, size_t size,
                                const struct tt_engine *engine,
                                const struct tt_examine_settings *settings,
                                struct tt_examination **examination, struct tt_error *err);

// ---- what is found and known (findings.c) ----

// A text that lives as long as the examination; "" without memory, which tt_examine() then tells.
const char *tt_doctor_text(struct tt_examination *x, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Adds a finding. Texts are copied; NULL: nothing to say, and for advice what findings.def says.
void tt_doctor_find(struct tt_examination *x, enum tt_doctor_code code, const char *file,
                    const char *tensor, const char *found, const char *expected,
                    const char *advice);
// Whether an error was found so far.
bool tt_doctor_has_errors(const struct tt_examination *x);

// Adds a fact: a text, one of several, a number. An empty text is none.
void tt_doctor_fact(struct tt_examination *x, const char *of, const char *name, const char *text);
void tt_doctor_listed(struct tt_examination *x, const char *of, const char *name,
                      const char *text);
void tt_doctor_number(struct tt_examination *x, const char *of, const char *name, double number);

// Whether a fact of the whole of that name is known.
bool tt_doctor_knows(const struct tt_examination *x, const char *name);

// Says what it is; the last call counts.
void tt_doctor_is(struct tt_examination *x, enum tt_doctor_kind kind);
// Adds that nothing here draws with it, where kinds.def says so.
void tt_doctor_use(struct tt_examination *x, const char *path);

// Sorts what was found, and says how many more there are.
void tt_doctor_close(struct tt_examination *x);

// ---- files by their bytes (signatures.c) ----

// What a file is by its first bytes, its size and its name.
enum tt_signature {
    TT_SIGN_SAFETENSORS, // as it says; the header may be broken
    TT_SIGN_GGUF,
    TT_SIGN_PICTURE,
    TT_SIGN_JSON,
    TT_SIGN_BAD, // a finding says what
};
enum tt_signature tt_doctor_sign(struct tt_examination *x, const char *path,
                                 const struct tt_bytes *bytes);

// Whether it is what git-lfs leaves in a file's place.
bool tt_doctor_is_pointer(const struct tt_bytes *bytes);
// The end of a name that a program gives to a download that goes on (".part"), or NULL.
const char *tt_doctor_half_name(const char *path);
// Whether the name ends so, in capitals or not: ".safetensors".
bool tt_doctor_ends(const char *path, const char *end);

// ---- files of tensors (tensor_list.c) ----

struct tt_doctor_tensor {
    struct tt_view view; // dtype: TT_U8 where it is none that is known
    const char *dtype;   // as the file spells it
    bool known;
};

struct tt_doctor_file {
    const char *path; // that messages name
    struct tt_bytes bytes;
    json_t *header;
    const json_t *metadata; // NULL: none
    struct tt_gguf *gguf;   // in the header's place
    struct tt_doctor_tensor *tensors; // by name
    size_t count;
};

// Reads the header of a safetensors file as far as it can be read, with a finding for everything
// that is wrong with it. False: nothing of it can be told. Free with tt_doctor_file_free() in any
// case.
bool tt_doctor_file_read(struct tt_examination *x, const char *path, struct tt_bytes bytes,
                         struct tt_doctor_file *file);
// The same of a GGUF file, whose reader tells the first thing that is wrong.
bool tt_doctor_gguf_read(struct tt_examination *x, const char *path, struct tt_bytes bytes,
                         struct tt_doctor_file *file);
void tt_doctor_file_free(struct tt_doctor_file *file);

// The tensor of that name, or NULL; the first whose name begins so, or NULL.
const struct tt_doctor_tensor *tt_doctor_named(const struct tt_doctor_file *file, const char *name);
const struct tt_doctor_tensor *tt_doctor_begins(const struct tt_doctor_file *file,
                                                const char *prefix);
// The value of a key of the metadata, or NULL.
const char *tt_doctor_metadata(const struct tt_doctor_file *file, const char *key);

// Facts of a list of tensors: how many, parameters, bytes, dtypes.
void tt_doctor_describe(struct tt_examination *x, const char *of,
                        const struct tt_doctor_tensor *tensors, size_t count);

// ---- what a file of tensors is (recognise.c) ----

struct tt_recognised {
    enum tt_doctor_kind kind;
    const char *family; // "Stable Diffusion 1.x", or NULL
    const char *note;   // what sets it apart: "for inpainting", or NULL
};
// What it is, by names and sizes alone.
struct tt_recognised tt_doctor_recognise(const struct tt_doctor_file *file);

// Whether tensors are those of a LoRA; and all there is to tell of one (adapter.c).
bool tt_doctor_is_lora(const struct tt_doctor_file *file);
void tt_doctor_lora(struct tt_examination *x, const struct tt_doctor_file *file);
void tt_doctor_embedding(struct tt_examination *x, const struct tt_doctor_file *file);
// Words that call what it was trained on, from the metadata (triggers.c).
void tt_doctor_triggers(struct tt_examination *x, const struct tt_doctor_file *file);

// ---- values (values_scan.c) ----

// What is told of a tensor's values besides those that are not finite: nothing; weights of zeros or
// of one number.
struct tt_doctor_scan {
    const char *path;
    const struct tt_doctor_tensor *tensors;
    size_t count;
    const struct tt_source *source; // whose release lets go of what was read; NULL: nobody's
};
// Bytes that it will read.
uint64_t tt_doctor_scan_bytes(const struct tt_doctor_tensor *tensors, size_t count);
// TT_CANCELLED, when it was stopped.
enum tt_status tt_doctor_scan(struct tt_examination *x, const struct tt_doctor_scan *scan,
                              struct tt_error *err);

// ---- looks ----

// At the bytes of a file, which are freed: they are all that is looked at.
enum tt_status tt_doctor_bytes(struct tt_examination *x, const char *path, struct tt_bytes bytes,
                               struct tt_error *err);
// At a file.
enum tt_status tt_doctor_file(struct tt_examination *x, const char *path, struct tt_error *err);
// What kind of file it is, with facts about it; reads no values.
void tt_doctor_tell_file(struct tt_examination *x, const struct tt_doctor_file *file);
// The values of a file that is open.
enum tt_status tt_doctor_scan_file(struct tt_examination *x, const struct tt_doctor_file *file,
                                   struct tt_error *err);

// At a folder: what it is, and then by that.
enum tt_status tt_doctor_folder(struct tt_examination *x, const char *path, struct tt_error *err);

// At a model, a folder or a file: its parts against their weights, values, cost. pipeline: what
// model_index.json calls itself, or NULL.
enum tt_status tt_doctor_model(struct tt_examination *x, const char *path, const char *pipeline,
                               struct tt_error *err);

// The same of a folder that has config.json and weights of one network, `of` as in a model's folder
// ("unet").
enum tt_status tt_doctor_part(struct tt_examination *x, const char *path, const char *of,
                              struct tt_error *err);

// What drawing would take: facts of "cost".
struct tt_model;
enum tt_status tt_doctor_cost(struct tt_examination *x, struct tt_model *model,
                              double weight_bytes, struct tt_error *err);

// A family whose folders are not drawn with here, by the class of its pipeline, and what it would
// need; false: it is none that is known. The same by its name, or NULL.
bool tt_doctor_foreign(const char *pipeline, const char **family, const char **needs);
const char *tt_doctor_needs(const char *family);
// The family that a width of cross attention belongs to, or NULL.
const char *tt_doctor_family_of_width(size_t width);

// ---- what lies in folders (surroundings.c) ----

enum { TT_DOCTOR_NAMES = 4096 };
struct tt_doctor_names {
    char **name;
    size_t count;
};
// The names in a folder, sorted; at most TT_DOCTOR_NAMES of them. None where it cannot be read.
void tt_doctor_list(struct tt_examination *x, const char *path, struct tt_doctor_names *names);
void tt_doctor_names_free(struct tt_doctor_names *names);
// "PATH/NAME", for as long as the examination lives.
const char *tt_doctor_join(struct tt_examination *x, const char *path, const char *name);
// Whether it is there, as a folder.
bool tt_doctor_is_folder(const char *path);
bool tt_doctor_is_there(const char *path);

// Looks at the files of a folder that a model needs, one after the other: pointers, links that lead
// nowhere, half downloads; with weights, also at their bytes and headers.
void tt_doctor_look_around(struct tt_examination *x, const char *path, bool weights);

// The JSON object in a file's bytes, or in a file, or NULL; what is wrong with it is found. The
// caller json_decref()s it.
json_t *tt_doctor_json_of(struct tt_examination *x, const char *path,
                          const struct tt_bytes *bytes);
json_t *tt_doctor_json(struct tt_examination *x, const char *path);

#endif
