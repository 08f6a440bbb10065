// SPDX-License-Identifier: MIT
// What an operation is to the plan and the executor.
#ifndef TT_GRAPH_OP_H
#define TT_GRAPH_OP_H

#include "conv/conv.h"
#include "graph/tape.h"
#include "kernels.h"

// How a weight lies in memory.
enum tt_form {
    TT_FORM_PLAIN, // as in the checkpoint
    TT_FORM_GEMM,  // tt_gemm_pack_rows
    TT_FORM_CONV,  // tt_conv_pack_rows
};

// What a backward step has beside a forward one; gradients are named after what they are the
// gradient of.
struct tt_backward {
    const float *dy;
    float *dx[TT_MAX_INPUTS], *dimage_bias; // NULL: nobody wants it
    float *dweight, *dbias;                 // added to; NULL: frozen, or there is none
};

// A node as the plan runs it: perhaps with later nodes folded in, with every pointer known.
struct tt_step {
    enum tt_op_kind op;
    const struct tt_tape *tape;      // NULL: a sum of gradients, which is on none
    const struct tt_node *node;      // the main node: weights and attributes
    const char *name;                // the main node's
    const struct tt_node *folded[3]; // nodes done in the same pass, in order
    int folded_count;
    tt_value input[TT_MAX_INPUTS]; // of the main node, through reshapes
    tt_value image_bias, residual, output;
    struct tt_shape in[TT_MAX_INPUTS], out;
    const float *x[TT_MAX_INPUTS];
    const float *image_bias_data, *residual_data, *bias;
    struct tt_weight weight; // in the op's form; no data: the node has none
    float *y;
    void *scratch;
    void *saved; // what is left for the backward step beside the output; NULL: none comes
    bool silu;
    bool conv_direct; // no Winograd, though it were faster
    struct tt_backward *back; // NULL: the step goes forward. Else weight is as the checkpoint's.
};

// What a step does, for reports. Floating point operations as they are done; bytes that any way of
// doing it must read and write: inputs, weights as they are stored and what it gives, each once;
// kernel and variant ("copy": none). See tt_step_flops() and op.h.
double tt_step_executed(const struct tt_step *step, const struct tt_kernels *kernels, int threads);
double tt_step_bytes(const struct tt_step *step);
const char *tt_step_kernel(const struct tt_step *step);
void tt_step_why(const struct tt_step *step, const struct tt_kernels *kernels, int threads,
                 struct tt_why *why);

// Whether all that a step gave is finite: its output going forward; in the backward pass the
// gradients of its inputs and, summed so far, of its weights. For an observer's `after`.
bool tt_step_is_finite(const struct tt_step *step);

// Forward values that a backward step reads; TO_LEARN: for the gradient of its weight alone.
enum {
    TT_READS_NOTHING = 0,
    TT_READS_INPUTS = 1,
    TT_READS_OUTPUT = 2,
    TT_READS_INPUTS_TO_LEARN = 4,
};

struct tt_op {
    const char *name;
    enum tt_form form; // of the weight
    bool in_place;     // output may share the first input's buffer
    void (*run)(const struct tt_step *step, const struct tt_kernels *kernels, int threads);
    size_t (*scratch)(const struct tt_step *step, int threads); // bytes; NULL: none
    double (*flops)(const struct tt_step *step); // multiply-adds count 2; NULL: one per output
    // As flops, of either pass, but as it is done: fast algorithms, what is computed twice or left
    // out. NULL: no other than that.
    double (*executed)(const struct tt_step *step, const struct tt_kernels *kernels, int threads);
    // The kernel that does most of the work, for reports; NULL: plain copies.
    enum tt_kernel (*kernel)(const struct tt_step *step);
    // What was considered for the step, of either pass, and what decided, told by what chooses;
    // NULL: nothing but the kernel's variants.
    void (*why)(const struct tt_step *step, const struct tt_kernels *kernels, int threads,
                struct tt_why *why);
    bool reads_rows; // of its weight, or without one of its first input, no more than it gives

    // The backward pass: from dy and the values that `reads` names, each dx and dimage_bias that is
    // wanted; dweight and dbias, each where it is not NULL, are added to. NULL: nothing before it
    // gets a gradient.
    void (*backward)(const struct tt_step *step, const struct tt_kernels *kernels, int threads);
    size_t (*backward_scratch)(const struct tt_step *step, int threads); // as scratch
    double (*backward_flops)(const struct tt_step *step);                // as flops
    enum tt_kernel (*backward_kernel)(const struct tt_step *step);       // as kernel
    size_t (*saved)(const struct tt_step *step);                         // bytes; NULL: none
    unsigned reads;
    bool every_dx;          // backward gives each input's dx, also where nobody wants it
    bool backward_in_place; // dx[0] may share dy's buffer
    // Whether dy is the gradient of that input as it is: no work. NULL: never.
    bool (*passes)(const struct tt_step *step, int input);
};

#define OP(name, ...) extern const struct tt_op tt_op_##name;
#include "graph/ops.def"
#undef OP

// Indexed by enum tt_op_kind.
extern const struct tt_op *const tt_ops[TT_OP_COUNT];

// The dtypes that it takes, sets of 1u << enum tt_dtype: of its weight, and of each input.
extern const unsigned tt_op_weights[TT_OP_COUNT];
extern const unsigned tt_op_inputs[TT_OP_COUNT][TT_MAX_INPUTS];

// Rows and row length of a tensor in memory: (N, C, H, W) is N*H*W rows of C.
size_t tt_rows(const struct tt_shape *shape);
size_t tt_columns(const struct tt_shape *shape);

#endif
