// SPDX-License-Identifier: MIT
#include "graph/op.h"

const struct tt_op *const tt_ops[TT_OP_COUNT] = {
#define OP(name, ...) &tt_op_##name,
#include "graph/ops.def"
#undef OP
};

enum { NONE = 0, F32 = 1u << TT_F32, F16 = 1u << TT_F16, BF16 = 1u << TT_BF16, I32 = 1u << TT_I32,
       BLOCKS = 1u << TT_Q8_0 | 1u << TT_Q4_0 | 1u << TT_Q4_1 | 1u << TT_Q5_0 | 1u << TT_Q5_1 |
                1u << TT_Q4_K | 1u << TT_Q5_K | 1u << TT_Q6_K };

const unsigned tt_op_weights[TT_OP_COUNT] = {
#define OP(name, weight, ...) weight,
#include "graph/ops.def"
#undef OP
};

const unsigned tt_op_inputs[TT_OP_COUNT][TT_MAX_INPUTS] = {
#define OP(name, weight, ...) {__VA_ARGS__},
#include "graph/ops.def"
#undef OP
};
