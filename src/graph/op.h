// SPDX-License-Identifier: MIT
// What an operation is to the plan and the executor.
#ifndef TT_GRAPH_OP_H
#define TT_GRAPH_OP_H

#include "conv/conv.h"
#include "graph/tape.h"
#include "kernels.h"

// How a weight lies in memory.
enum tt_form {
    TT_FORM_PLAIN, // as in the checkpoint, float32
    TT_FORM_GEMM,  // tt_gemm_pack_rows
    TT_FORM_CONV,  // tt_conv_pack_rows
};

// A node as the plan runs it: perhaps with later nodes folded in, with every pointer known.
struct tt_step {
    enum tt_op_kind op;
    const struct tt_node *node;      // the main node: weights and attributes
    const char *name;                // the main node's
    const struct tt_node *folded[3]; // nodes done in the same pass, in order
    int folded_count;
    tt_value input[TT_MAX_INPUTS]; // of the main node, through reshapes
    tt_value image_bias, residual, output;
    struct tt_shape in[TT_MAX_INPUTS], out;
    const float *x[TT_MAX_INPUTS];
    const float *image_bias_data, *residual_data, *weight, *bias;
    float *y;
    void *scratch;
    bool silu;
    bool conv_direct; // no Winograd, though it were faster
};

struct tt_op {
    const char *name;
    enum tt_form form; // of the weight
    bool in_place;     // output may share the first input's buffer
    void (*run)(const struct tt_step *step, const struct tt_kernels *kernels, int threads);
    size_t (*scratch)(const struct tt_step *step, int threads); // bytes; NULL: none
    double (*flops)(const struct tt_step *step); // multiply-adds count 2; NULL: one per output
    // The kernel that does most of the work, for reports; NULL: plain copies.
    enum tt_kernel (*kernel)(const struct tt_step *step);
};

#define OP(name) extern const struct tt_op tt_op_##name;
#include "graph/ops.def"
#undef OP

// Indexed by enum tt_op_kind.
extern const struct tt_op *const tt_ops[TT_OP_COUNT];

// Rows and row length of a tensor in memory: (N, C, H, W) is N*H*W rows of C.
size_t tt_rows(const struct tt_shape *shape);
size_t tt_columns(const struct tt_shape *shape);

#endif
