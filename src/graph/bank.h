// SPDX-License-Identifier: MIT
// The weights of one network, each converted to float32 and laid out once, the first time a plan
// asks; plans for other sizes share them.
#ifndef TT_GRAPH_BANK_H
#define TT_GRAPH_BANK_H

#include "graph/op.h"

// Finds a stored tensor by name; NULL when there is none.
typedef const struct tt_view *(*tt_find_view)(void *context, const char *name);
// Told that a view has been laid out elsewhere: its pages need not stay in memory. Only who mapped
// them knows whether they may go.
typedef void (*tt_release_view)(void *context, const struct tt_view *view);

// The stored tensor of a parameter. TT_BAD_INPUT names source, tensor, found and expected when it
// is missing, not float, or of another shape.
enum tt_status tt_find_checked(tt_find_view find, void *context, const char *source,
                               const struct tt_param *param, const struct tt_view **view,
                               struct tt_error *err);

// Floats of a weight of that shape in that form, and laying it out from the checkpoint's order.
size_t tt_form_floats(enum tt_form form, const struct tt_shape *shape);
void tt_form_pack(enum tt_form form, const struct tt_shape *shape, const float *plain,
                  float *packed, int threads);

struct tt_bank;

// source: what error messages call the file; borrowed, as the context and the views are. release
// NULL: the views stay as they are.
struct tt_bank *tt_bank_new(tt_find_view find, tt_release_view release, void *context,
                            const char *source);
void tt_bank_free(struct tt_bank *bank);

// *data = the weight in the given form. TT_BAD_INPUT: missing, not float, or another shape.
enum tt_status tt_bank_get(struct tt_bank *bank, const struct tt_param *param, enum tt_form form,
                           int threads, const float **data, struct tt_error *err);

// Bytes held, packed and borrowed.
size_t tt_bank_bytes(const struct tt_bank *bank);

#endif
