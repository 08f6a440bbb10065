// SPDX-License-Identifier: MIT
// What the operations share.
#include "graph/op.h"

size_t tt_columns(const struct tt_shape *shape) {
    return shape->rank == 4 ? shape->dim[1] : shape->dim[shape->rank - 1];
}

size_t tt_rows(const struct tt_shape *shape) {
    return tt_shape_count(shape) / tt_columns(shape);
}
