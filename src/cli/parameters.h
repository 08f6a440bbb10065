// SPDX-License-Identifier: MIT
// The settings inside a picture: everything that its bytes depend on, in the layout that web
// interfaces read:
//
//     the prompt, as many lines as it has
//     Negative prompt: the negative prompt
//     Steps: 20, Sampler: ddim, Scheduler eta: 0.5, CFG scale: 7.5, Seed: 0, Size: 128x128, ...
//
// LoRAs stand there twice: "Lora hashes" as web interfaces read them (names, and 12 digits of the
// digest of what follows a file's header), and "LoRA 1", "LoRA 2", ... as we do: weight, digest of
// the file and its path. Of tags in the prompt are the last of them.
//
// So do embeddings (textual inversion) that the prompts have: "TI hashes" (words, and 12 digits of
// the file's digest), and "Embedding 1", "Embedding 1 word", ...: digest and path, the word.
// "Clip skip" is as web interfaces count it: one more than --clip-skip.
//
// A value of the last line that holds a comma, a colon or a quote is a JSON string.
#ifndef TT_CLI_PARAMETERS_H
#define TT_CLI_PARAMETERS_H

#include "tintype.h"

enum { SETTINGS_OPTIONS = 16 };    // of a scheduler
enum { SETTINGS_INVERSIONS = 64 }; // embeddings

// A picture that was read: its path as it was given (NULL: none), and the SHA-256 of its pixels.
struct settings_file {
    const char *path;
    char digest[TT_VIEW_DIGEST];
};

// What stands in a picture beside struct tt_settings.
struct settings_record {
    char hash[TT_MODEL_HASH_SIZE];    // of the model
    char refiner[TT_MODEL_HASH_SIZE]; // of its refiner; "": none
    bool direct;                   // --conv direct, which alters the bits
    size_t strip;                  // the picture is a strip of so many; 0: it is none
    const char *grid[2];           // it is a sheet of these axes; NULL: it is none
    const char *prompt;            // with the tags of LoRAs that it had; NULL: as the settings' is
    struct tt_lora_info loras[TT_LORAS];
    size_t lora_count;
    const struct tt_inversion_info *inversions;
    size_t inversion_count;
    struct settings_file image, mask;
};

// A syntax of prompts by its name, and the other way; false: there is no such one.
const char *syntax_name(int syntax);
bool syntax_find(const char *name, int *syntax);

// The text for settings whose size, scheduler and options are filled in. NULL: out of memory.
// The caller frees.
char *settings_text(const struct tt_settings *settings, const struct settings_record *record);

// What settings_parse() reads.
struct settings_read {
    struct tt_settings with; // strings belong to this struct
    struct settings_record record;
    const char *options[SETTINGS_OPTIONS + 1];
    struct tt_lora loras[TT_LORAS]; // in their order; record.lora_count of them
    struct tt_inversion_file inversions[SETTINGS_INVERSIONS];
    size_t inversion_count;
    char version[32];
    char *memory;
};

// Reads a text that settings_text() wrote; name is the file's, for messages. TT_BAD_INPUT: a key
// is missing, unknown or given twice, a value out of range, the text of another program.
enum tt_status settings_parse(const char *name, const char *text, struct settings_read *out,
                              struct tt_error *err);
void settings_free(struct settings_read *s);

#endif
