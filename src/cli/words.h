// SPDX-License-Identifier: MIT
// What a model says that it can draw: the words.json of its folder.
//
//     {"format": "tintype-words", "pixels": [128, 128], "words": {"subjects": ["house", ...], ...}}
#ifndef TT_CLI_WORDS_H
#define TT_CLI_WORDS_H

#include "cli/cli.h"

// *words: the file's object, NULL when the model has none; the caller json_decref()s.
enum tt_status words_read(struct cli *cli, const struct tt_model *model, json_t **words);

// Notes that a prompt names none of the subjects, and that the size is not the one it learnt.
void words_note(struct cli *cli, const json_t *words, const struct tt_settings *with);

// A list of words with commas between them. NULL: out of memory; the caller frees.
char *words_text(const json_t *list);

#endif
