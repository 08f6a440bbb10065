// SPDX-License-Identifier: MIT
// The weights of one network, each laid out once, the first time a plan asks; plans for other sizes
// share them. They keep the dtype in which they are stored where their reader takes it.
#ifndef TT_GRAPH_BANK_H
#define TT_GRAPH_BANK_H

#include "base/source.h"
#include "graph/op.h"

// The stored tensor of a parameter. TT_BAD_INPUT names source, tensor, found and expected when it
// is missing, not float or quantised, or of another shape.
enum tt_status tt_find_checked(const struct tt_source *source, const struct tt_param *param,
                               const struct tt_view **view, struct tt_error *err);

// Elements of a weight of that shape in that form, and laying floats out from the checkpoint's
// order.
size_t tt_form_count(enum tt_form form, const struct tt_shape *shape);
void tt_form_pack(enum tt_form form, const struct tt_shape *shape, const float *plain,
                  float *packed, int threads);

struct tt_bank_options {
    bool widen;  // everything is kept as float32, whatever the source has
    bool in_use; // only what somebody has got and not put back is kept; otherwise all that ever was
};

struct tt_bank;

// The source is copied; what it points to is borrowed. NULL when memory is short. A bank serves
// several threads at once.
struct tt_bank *tt_bank_new(const struct tt_source *source, const struct tt_bank_options *options);
void tt_bank_free(struct tt_bank *bank);

// The weight in the given form, and in the dtype in which it is stored or as TT_F32, which dtypes
// has: a set of 1u << enum tt_dtype. Blocks stay where and as they are, whatever the form. It stays
// until it is put back, once for each time that it was got, with the same arguments; or until the
// bank ends. TT_BAD_INPUT: missing, not float or quantised, not finite, another shape.
enum tt_status tt_bank_get(struct tt_bank *bank, const struct tt_param *param, enum tt_form form,
                           unsigned dtypes, int threads, struct tt_weight *weight,
                           struct tt_error *err);
void tt_bank_put(struct tt_bank *bank, const struct tt_param *param, enum tt_form form,
                 unsigned dtypes);

// The dtype that tt_bank_get() would give; TT_F32 where there is no such tensor.
enum tt_dtype tt_bank_dtype(const struct tt_bank *bank, const struct tt_param *param,
                            unsigned dtypes);

// Whether weights go when they are put back, so that steps should get them one by one.
bool tt_bank_streams(const struct tt_bank *bank);

// Bytes held, laid out and borrowed.
size_t tt_bank_bytes(struct tt_bank *bank);

#endif
