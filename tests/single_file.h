// SPDX-License-Identifier: MIT
// The single files of reference/single/: their tensors, of which weights follow from position and
// shape (record_single.py's fill), changed as a test wants them, and written.
#ifndef TESTS_SINGLE_FILE_H
#define TESTS_SINGLE_FILE_H

#include <jansson.h>

#include "tintype.h"

enum { SINGLE_TENSORS = 4096 };

struct single_file {
    json_t *case_; // the recorded case
    struct tt_view views[SINGLE_TENSORS]; // each owns name and data
    size_t count;
    const char *metadata[8]; // key, value, ..., NULL
};

// Makes the tensors of reference/single/<name>.json; fails the test when it cannot.
void single_make(struct single_file *file, const char *name);
void single_free(struct single_file *file);

// Keeps only the tensors whose names begin with one of the words ("" is all), divided by '|'.
void single_keep(struct single_file *file, const char *words);
// Drops those whose names begin with one of the words.
void single_drop(struct single_file *file, const char *words);
// Gives what begins with `from` the beginning `to`.
void single_rename(struct single_file *file, const char *from, const char *to);
// One more, of zeros.
void single_add(struct single_file *file, const char *name, enum tt_dtype dtype, size_t rank,
                size_t rows, size_t columns);
// All floats in another dtype.
void single_convert(struct single_file *file, enum tt_dtype dtype);
// Writes it; returns the path.
const char *single_write(const struct single_file *file, const char *name);

#endif
