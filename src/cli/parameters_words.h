// SPDX-License-Identifier: MIT
// The words of a settings text that writing and reading share.
#ifndef TT_CLI_PARAMETERS_WORDS_H
#define TT_CLI_PARAMETERS_WORDS_H

#include <string.h>

#include "cli/parameters.h"

static const char negative_mark[] = "Negative prompt: ", option_mark[] = "Scheduler ";
static const char lora_mark[] = "LoRA ", inversion_mark[] = "Embedding ";
static const char *const resize_words[] = {"stretch", "crop", "fill"};
static const char *const upscaler_words[] = {"Latent", "Lanczos"};

static inline bool begins(const char *text, const char *with) {
    return !strncmp(text, with, strlen(with));
}

// The first line that begins with the mark of the negative prompt, or NULL.
static inline const char *find_mark(const char *text) {
    while (text && !begins(text, negative_mark)) {
        text = strchr(text, '\n');
        if (text) text++;
    }
    return text;
}

#endif
