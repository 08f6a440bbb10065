// SPDX-License-Identifier: MIT
// A LoRA's file: for each module that it changes two thin matrices, whose product, times alpha /
// rank, is added to the module's weight (Hu and others, 2021). As peft, diffusers and kohya's
// scripts write it, in any float dtype.
#ifndef TT_LORA_FILE_H
#define TT_LORA_FILE_H

#include "base/note.h"
#include "io/digest.h"
#include "io/file.h"
#include "lora/lora_modules.h"

// What is added to one weight: scale * up down.
struct tt_lora_delta {
    size_t module; // of struct tt_lora_modules
    const struct tt_view *down, *up; // A (R, in...), B (out, R...)
    size_t rank;
    double alpha, divisor; // the change counts alpha / divisor times: the rank, or its square root
};

struct tt_lora_file {
    char *path;
    struct tt_bytes bytes;
    struct tt_safetensors *file;
    char data_digest[TT_DIGEST_SIZE]; // SHA-256 of what follows the header, as web UIs take it
    char digest[TT_DIGEST_SIZE];      // of the header and that
    struct tt_lora_delta *deltas; // in the order of their modules
    size_t count;
    size_t unmatched; // modules in the file that the model has not; noted
};

// What a file is read for. model: its name in messages.
struct tt_lora_reader {
    const struct tt_lora_modules *modules;
    const char *model;
    const struct tt_notes *notes; // may be NULL
};

// Opens the file at path, which stays mapped until it is closed. Of an adapter of peft's own,
// adapter_config.json beside it says alpha. What the model has no module for is noted, if not all;
// then it is TT_BAD_INPUT, as are other adapters (LoHa, LoKr, DoRA, ...), shapes that do not fit,
// half a pair, a LoRA for another family of models: the message says which.
enum tt_status tt_lora_open(const struct tt_lora_reader *reader, struct tt_files *files,
                            const char *path, struct tt_lora_file **out, struct tt_error *err);
// The same from borrowed bytes; config: the text of adapter_config.json, or NULL.
enum tt_status tt_lora_open_memory(const struct tt_lora_reader *reader, const char *name,
                                   const void *data, size_t size, const struct tt_bytes *config,
                                   struct tt_lora_file **out, struct tt_error *err);
void tt_lora_close(struct tt_lora_file *lora);

#endif
