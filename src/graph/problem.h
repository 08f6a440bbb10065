// SPDX-License-Identifier: MIT
// A step as a line of text, which says all that its time and its arithmetic depend on and nothing
// of where it stands, and back: as a tape of one node, to be planned and run alone.
//
//   conv2d n2 c320 h64 w64 k320 r3 s1 f16 +bias +image_bias +residual
//   linear m8192 k320 n2560 f32 +bias        attention n2 q4096 k4096 heads8 d40 f32
//
// The operation (ops.def); its sizes, a letter or word and a number each, in this order:
//   conv2d n c h w k r s      images, channels, height, width; k outputs, r x r kernel, stride s
//   linear m k n              m rows of k to n
//   attention n q k heads d   q queries and k keys of `heads` heads, each d wide
//   group_norm n c h w g      g groups
//   embedding m v c           m ids of v, to c channels
//   sinusoidal n c
//   add m c b                 m rows of c, of which the second has b, which repeat
//   add_image n c h w         upsample_nearest n c h w oh ow
//   concat n a b h w          take_row n t c
//   layer_norm and all else:  m c, rows of c channels that it gives
// then what is not as usual: pT,L,B,R (padding; usual (r - 1) / 2), causal, flip, scaleX (of
// attention: usual 1 / sqrt d; of scale and affine: 1), shiftX (usual 0), epsX (usual 1e-05);
// the dtype in which the weight is stored, or of the values where there is none;
// what is folded in, in the order in which it is done: +bias +image_bias +residual +silu;
// and for the step's backward pass: backward, nodx where nobody wants the gradient of its inputs,
// and nodw where the weight is frozen.
#ifndef TT_GRAPH_PROBLEM_H
#define TT_GRAPH_PROBLEM_H

#include "base/source.h"
#include "graph/op.h"

enum {
    TT_PROBLEM_SIZES = 7,   // at most, of an operation
    TT_PROBLEM_TEXT = 256,  // room for any problem's text
};

struct tt_problem {
    enum tt_op_kind op;
    size_t size[TT_PROBLEM_SIZES]; // in the order above
    size_t padding[4];             // of conv2d: top, left, bottom, right
    float scale, shift, eps;       // of those that have them
    bool causal, flip;
    enum tt_dtype dtype;
    bool bias, image_bias, residual, silu;
    bool backward, nodx, nodw;
};

// The problem that a step of a plan is; its name and its data do not count. False: an input or a
// reshape, which are no steps.
bool tt_problem_of_step(const struct tt_step *step, struct tt_problem *problem);

// The word for the dtype of a weight, "q8_0"; of none, and of values: "f32".
const char *tt_problem_dtype(enum tt_dtype dtype);

// Its text, cut to size; returns text.
char *tt_problem_text(const struct tt_problem *problem, char *text, size_t size);

// The problem of a text. TT_BAD_INPUT names the word: an unknown operation, size or flag, one that
// is missing, out of order, out of range or given twice, what this operation does not have.
enum tt_status tt_problem_parse(const char *text, struct tt_problem *problem,
                                struct tt_error *err);

// Its values on a tape; TT_NO_VALUE where it has none.
struct tt_problem_values {
    tt_value input[TT_MAX_INPUTS], image_bias, residual, output;
};

// Writes it on a zero-initialised tape: inputs "in", "in1", "in2", "image_bias" and "residual",
// the node, whose weights are NAME.weight and NAME.bias, and what is folded into it; the output is
// kept.
// A plan that folds has one step. The error is the tape's.
void tt_problem_tape(const struct tt_problem *problem, const char *name, struct tt_tape *tape,
                     struct tt_problem_values *values);

// Made-up weights for the tape of a problem, the same numbers each time: of the size at which a
// product neither grows nor fades, norms' about 1, biases about 0. Zero-initialise.
struct tt_problem_weights {
    struct tt_view view[TT_MAX_PARAMS];
    size_t count;
};
// The source borrows tape and weights.
struct tt_source tt_problem_source(const struct tt_problem *problem, const struct tt_tape *tape,
                                   struct tt_problem_weights *weights);

// n floats as that dtype (f32, f16 or bf16): halves that are nearest, or cut. to may be x.
void tt_problem_store(void *to, const float *x, size_t n, enum tt_dtype dtype);

// n made-up numbers, about evenly from -1 to 1, by seed.
void tt_problem_fill(float *data, size_t n, unsigned seed);

#endif
