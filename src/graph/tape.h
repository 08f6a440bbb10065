// SPDX-License-Identifier: MIT
// The tape: a network written once, as straight-line calls that read like the PyTorch module and
// append nodes. Nothing is computed and no weight is touched here; a plan (graph/plan.h) does that.
//
// Names are the module paths of the checkpoint's own library: tt_push opens a module, tt_pop closes
// it and notes its output, and a node's name is the path so far and its own. A path used again gets
// "#2", "#3", ..., as in the recordings.
//
// Errors stick: after the first, every call returns TT_NO_VALUE and does nothing; tt_tape_status
// tells what it was.
#ifndef TT_GRAPH_TAPE_H
#define TT_GRAPH_TAPE_H

#include <stdbool.h>

#include "base/memory.h"
#include "tintype.h"
#include "base/status.h"

typedef int tt_value; // a tensor on the tape
enum { TT_NO_VALUE = -1 };

enum tt_op_kind {
#define OP(name, ...) TT_OP_##name,
#include "graph/ops.def"
#undef OP
    TT_OP_COUNT
};

// A tensor that the checkpoint holds; name and shape are the checkpoint's.
struct tt_param {
    const char *name;
    struct tt_shape shape;
};

enum { TT_MAX_INPUTS = 4, TT_MAX_PARAMS = 2 };

struct tt_node {
    enum tt_op_kind op;
    const char *name;
    int block; // the one it stands in (tt_push_block), counted from 1; 0: none
    int input_count;
    tt_value input[TT_MAX_INPUTS];
    tt_value output;
    const struct tt_param *param[TT_MAX_PARAMS]; // weight, bias; NULL when absent
    union {
        struct {
            size_t kernel, stride, pad_top, pad_left, pad_bottom, pad_right;
        } conv;
        struct {
            size_t groups;
            float eps;
        } norm;
        struct {
            size_t heads;
            float scale;
            bool causal;
        } attention;
        struct {
            size_t dim;
            bool flip_sin_to_cos;
            float shift; // diffusers' downscale_freq_shift
        } sinusoidal;
        struct {
            float scale, shift;
        } affine;
        float scale;
    } with;
};

struct tt_tensor {
    struct tt_shape shape;
    int producer;     // node index
    enum tt_dtype dtype;
    bool is_output; // kept until the run ends
};

// "module path -> value" for modules that are more than one node.
struct tt_label {
    const char *name;
    tt_value value;
};

struct tt_tape {
    struct tt_pool pool;
    struct tt_node *nodes;
    struct tt_tensor *tensors; // one per value
    struct tt_label *labels;
    int node_count, label_count; // as many tensors as nodes
    char path[256];
    size_t opened[24]; // length of path before each open module
    int depth, block_depth; // of the open block; 0: none is
    int block_count;
    struct tt_error error;
};

// Ends everything on the tape and leaves it zero-initialised.
void tt_tape_free(struct tt_tape *tape);

// The first error, copied into err; TT_OK when there was none.
enum tt_status tt_tape_status(const struct tt_tape *tape, struct tt_error *err);

// A sticky error from the network's own checks; the message gets the module path in front.
tt_value tt_tape_fail(struct tt_tape *tape, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Opens the module `name` (printf-style) below the current one; tt_pop closes it, labels its output
// and returns that.
void tt_push(struct tt_tape *tape, const char *name, ...) __attribute__((format(printf, 2, 3)));
// The same for a block of the network, of which training may keep only what goes in and comes out
// (tt_both_ways.checkpoint_activations). Inside a block there are none: the outermost counts.
void tt_push_block(struct tt_tape *tape, const char *name, ...)
    __attribute__((format(printf, 2, 3)));
tt_value tt_pop(struct tt_tape *tape, tt_value output);

// The shape of a value; rank 0 after an error.
struct tt_shape tt_shape_of(const struct tt_tape *tape, tt_value value);
void tt_set_output(struct tt_tape *tape, tt_value value);

// The value called `name` (a node or a label), or TT_NO_VALUE.
tt_value tt_find_value(const struct tt_tape *tape, const char *name);

// Nodes. x is (N, C, H, W) or (..., C) as ops.def says; the checkpoint's tensors are
// "<path>.weight" and "<path>.bias".
tt_value tt_nn_input(struct tt_tape *tape, const char *name, struct tt_shape shape,
                     enum tt_dtype dtype);
tt_value tt_nn_reshape(struct tt_tape *tape, tt_value x, struct tt_shape shape);
tt_value tt_nn_embedding(struct tt_tape *tape, const char *name, tt_value ids, size_t rows,
                         size_t channels);
tt_value tt_nn_sinusoidal(struct tt_tape *tape, const char *name, tt_value timesteps, size_t dim,
                          bool flip_sin_to_cos, float shift);
tt_value tt_nn_linear(struct tt_tape *tape, const char *name, tt_value x, size_t out, bool bias);
// padding: top, left, bottom, right.
tt_value tt_nn_conv2d(struct tt_tape *tape, const char *name, tt_value x, size_t out, size_t kernel,
                      size_t stride, const size_t padding[4]);
// The same without a bias.
tt_value tt_nn_conv2d_unbiased(struct tt_tape *tape, const char *name, tt_value x, size_t out,
                               size_t kernel, size_t stride, const size_t padding[4]);
tt_value tt_nn_group_norm(struct tt_tape *tape, const char *name, tt_value x, size_t groups,
                          float eps);
tt_value tt_nn_layer_norm(struct tt_tape *tape, const char *name, tt_value x, float eps);
// q (N, Tq, heads D), k and v (N, Tk, heads D).
tt_value tt_nn_attention(struct tt_tape *tape, const char *name, tt_value q, tt_value k, tt_value v,
                         size_t heads, float scale, bool causal);
// silu, gelu, quick_gelu, geglu, relu or tanh.
tt_value tt_nn_activation(struct tt_tape *tape, const char *name, tt_value x, enum tt_op_kind op);
tt_value tt_nn_add(struct tt_tape *tape, const char *name, tt_value a, tt_value b);
tt_value tt_nn_scale(struct tt_tape *tape, const char *name, tt_value x, float s);
tt_value tt_nn_affine(struct tt_tape *tape, const char *name, tt_value x, float scale, float shift);
tt_value tt_nn_add_image(struct tt_tape *tape, const char *name, tt_value x, tt_value e);
tt_value tt_nn_upsample_nearest(struct tt_tape *tape, const char *name, tt_value x, size_t height,
                                size_t width);
tt_value tt_nn_concat(struct tt_tape *tape, const char *name, tt_value a, tt_value b);
tt_value tt_nn_take_row(struct tt_tape *tape, const char *name, tt_value x, tt_value index);

// A node of another tape, which must outlive this one, under its own name: its operation,
// attributes and parameters on these inputs. shape: of its output.
tt_value tt_nn_copy(struct tt_tape *tape, const struct tt_node *node, const tt_value input[],
                    struct tt_shape shape);

#endif
