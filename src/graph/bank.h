// SPDX-License-Identifier: MIT
// The weights of one network, each converted to float32 and laid out once, the first time a plan
// asks; plans for other sizes share them.
#ifndef TT_GRAPH_BANK_H
#define TT_GRAPH_BANK_H

#include "graph/op.h"

// Finds a stored tensor by name; NULL when there is none.
typedef const struct tt_view *(*tt_find_view)(void *context, const char *name);

struct tt_bank;

// source: what error messages call the file; borrowed, as the context and the views are.
struct tt_bank *tt_bank_new(tt_find_view find, void *context, const char *source);
void tt_bank_free(struct tt_bank *bank);

// *data = the weight in the given form. TT_BAD_INPUT: missing, not float, or another shape.
enum tt_status tt_bank_get(struct tt_bank *bank, const struct tt_param *param, enum tt_form form,
                           int threads, const float **data, struct tt_error *err);

// Bytes held, packed and borrowed.
size_t tt_bank_bytes(const struct tt_bank *bank);

#endif
