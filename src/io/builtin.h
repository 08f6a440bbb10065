// SPDX-License-Identifier: MIT
// The files of the model built into the program; the table is assembled by the Makefile.
#ifndef TT_IO_BUILTIN_H
#define TT_IO_BUILTIN_H

#include <stddef.h>

struct tt_embedded_file {
    const char *path; // relative to the model's folder
    const unsigned char *begin, *end;
};

extern const struct tt_embedded_file tt_builtin_files[];
extern const size_t tt_builtin_count; // 0 in a build without a model

// CLIP's merges.txt, packed with gzip.
extern const unsigned char tt_builtin_merges[], tt_builtin_merges_end[];

#endif
