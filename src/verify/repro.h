// SPDX-License-Identifier: MIT
// A difference alone: a folder with the values and weights that make one recorded tensor, what they
// make here, and what was recorded. repro.json says how: nodes as problems (graph/problem.h).
#ifndef TT_VERIFY_REPRO_H
#define TT_VERIFY_REPRO_H

#include <stdio.h>

#include "verify/alone.h"

#define TT_REPRO_JSON "repro.json"
#define TT_REPRO_VALUES "repro.safetensors"
#define TT_REPRO_SCRIPT "repro.py"

// What an input of the stretch is called in the file of values; returns text.
char *tt_repro_name(const struct tt_stretch *stretch, tt_value value, char *text, size_t size);

// Writes the script: the nodes of the stretch as calls of PyTorch.
void tt_repro_script(FILE *to, const struct tt_stretch *stretch, size_t k);

#endif
