// SPDX-License-Identifier: MIT
// What verify and profile print with --json, made up: for the tests of the reports.
#ifndef TESTS_REPORT_SAMPLES_H
#define TESTS_REPORT_SAMPLES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

// So many tensors in each of so many steps, as modules of a U-Net. nth 0: all agree; 1: none does;
// else a fault in the middle, from step 3 on, whose traces are seen in every nth module behind it,
// and two tensors there that are not numbers.
json_t *sample_verification(size_t tensors, size_t steps, size_t nth);

// A whole picture: text, steps of so many nodes, decode.
json_t *sample_profile(size_t nodes, size_t steps);

// Puts texts that would end a script, start a comment or turn the line around wherever a file or a
// user may.
void sample_make_hostile(json_t *root);
extern const char sample_hostile[];

#endif
