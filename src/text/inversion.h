// SPDX-License-Identifier: MIT
// Textual inversion (arXiv 2208.01618): vectors that a text encoder is given in place of a word's.
//
// Files are safetensors, in one of the forms
//     {"<cat-toy>": (n, D) or (D)}           diffusers' save; the key is the word
//     {"emb_params": (n, D) or (D)}          AUTOMATIC1111's; the word is the file's name
//     {"clip_l": (n, D), "clip_g": (n, E)}   for the two encoders of SDXL; the word as above
// where n vectors stand for n tokens, one behind the other.
#ifndef TT_TEXT_INVERSION_H
#define TT_TEXT_INVERSION_H

#include "base/note.h"
#include "io/digest.h"
#include "text/bpe.h"
#include "text/finder.h"
#include "text/tokenizer.h"

enum {
    TT_ENCODERS = 2,              // text encoders of a model, at most
    TT_INVERSION_ID = 1 << 24,    // the id of the first vector; no vocabulary goes so far
    TT_INVERSION_WORD = 1024,     // bytes of a word
    TT_INVERSION_FILES = 100000,  // of a folder
    TT_INVERSION_FOLDERS = 8,     // in one another
};

struct tt_inversion {
    char *word, *path;
    char digest[TT_DIGEST_SIZE]; // of the file, when it has been read
    bool asked;                // by name, not as one of a folder
    bool read;                 // vectors are there
    bool used;                 // a prompt has it
    size_t vectors, first;     // how many; the number of the first among all
    float *rows[TT_ENCODERS];  // (vectors, width) of each encoder
    int32_t *ids;              // the word's own tokens, where it is found by those
    size_t id_count;
};

// What prompts are searched for. widths: of the vectors that each encoder takes, 0 where the model
// has no such one; a model whose second is not 0 takes files of pairs, another one single ones.
struct tt_inversions {
    const struct tt_tokenizer *tokenizer;
    struct tt_files *files;
    size_t widths[TT_ENCODERS];
    size_t longest; // tokens that a prompt has room for: no more vectors fit
    bool by_tokens; // words are found by their tokens (web UIs), else by their text (diffusers)
    // As diffusers' pipelines: of a word in other capitals than its own the first vector counts.
    bool as_typed;
    const struct tt_notes *notes; // who is told of that; may be NULL
    struct tt_inversion *data;
    size_t count, room;
    size_t vectors; // in all that was read,
    size_t *owners; // and whose each of them is
    struct tt_finder *finder;
    struct tt_inversion **order; // of data, by first token, longer ones first (by_tokens)
};

// Reads a file that was asked for. word NULL: what the file, or its name, says; digest: that it
// must have, or NULL. TT_BAD_INPUT: no safetensors file of these forms, vectors of another width or
// not finite, a word that the vocabulary or another file has, another digest.
enum tt_status tt_inversions_add(struct tt_inversions *list, const char *path, const char *word,
                                 const char *digest, struct tt_error *err);
// The files of a folder, and those in it, by their names; they are read when a prompt has one.
enum tt_status tt_inversions_add_folder(struct tt_inversions *list, const char *path,
                                        struct tt_error *err);
// After the last of them.
enum tt_status tt_inversions_ready(struct tt_inversions *list, struct tt_error *err);
void tt_inversions_free(struct tt_inversions *list);

// The tokens of a text, without start and end: words of the list are TT_INVERSION_ID and the number
// of their vector, each of its vectors in turn. list may be NULL.
enum tt_status tt_inversions_encode(struct tt_inversions *list,
                                    const struct tt_tokenizer *tokenizer, const char *text,
                                    struct tt_ids *ids, struct tt_error *err);
// The one whose word begins at ids[at] (by_tokens), NULL: none. Its vectors are read.
enum tt_status tt_inversions_at(struct tt_inversions *list, const int32_t *ids, size_t count,
                                size_t at, struct tt_inversion **found, struct tt_error *err);
// The vector of an id from TT_INVERSION_ID on, for an encoder.
const float *tt_inversions_row(const struct tt_inversions *list, int32_t id, size_t encoder);

// For inversion_file.c: the vectors of list->data[i].
enum tt_status tt_inversion_read(struct tt_inversions *list, struct tt_inversion *inversion,
                                 struct tt_error *err);
// The same from a file that is open.
enum tt_status tt_inversion_take(struct tt_inversions *list, const struct tt_safetensors *file,
                                 struct tt_inversion *inversion, struct tt_error *err);
// The word that a file itself says; *word is NULL where it says none. The caller frees it.
enum tt_status tt_inversion_own_word(struct tt_files *files, const char *path, char **word,
                                     struct tt_error *err);

#endif
