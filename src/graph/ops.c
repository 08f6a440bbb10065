// SPDX-License-Identifier: MIT
#include "graph/op.h"

const struct tt_op *const tt_ops[TT_OP_COUNT] = {
#define OP(name) &tt_op_##name,
#include "graph/ops.def"
#undef OP
};

size_t tt_columns(const struct tt_shape *shape) {
    return shape->rank == 4 ? shape->dim[1] : shape->dim[shape->rank - 1];
}

size_t tt_rows(const struct tt_shape *shape) {
    return tt_shape_count(shape) / tt_columns(shape);
}
