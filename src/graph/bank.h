// SPDX-License-Identifier: MIT
// The weights of one network, each laid out once, the first time a plan asks; plans for other sizes
// share them. They keep the dtype in which they are stored where their reader takes it.
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

// Elements of a weight of that shape in that form, and laying floats out from the checkpoint's
// order.
size_t tt_form_count(enum tt_form form, const struct tt_shape *shape);
void tt_form_pack(enum tt_form form, const struct tt_shape *shape, const float *plain,
                  float *packed, int threads);

struct tt_bank;

// source: what error messages call the file; borrowed, as the context and the views are. release
// NULL: the views stay as they are. widen: everything is kept as float32.
struct tt_bank *tt_bank_new(tt_find_view find, tt_release_view release, void *context,
                            const char *source, bool widen);
void tt_bank_free(struct tt_bank *bank);

// The weight in the given form, and in the dtype in which it is stored or as TT_F32, which dtypes
// has: a set of 1u << enum tt_dtype. TT_BAD_INPUT: missing, not float, not finite, another shape.
enum tt_status tt_bank_get(struct tt_bank *bank, const struct tt_param *param, enum tt_form form,
                           unsigned dtypes, int threads, struct tt_weight *weight,
                           struct tt_error *err);

// Bytes held, packed and borrowed.
size_t tt_bank_bytes(const struct tt_bank *bank);

#endif
