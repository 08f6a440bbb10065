// SPDX-License-Identifier: MIT
// Group norm: y = (x - mean) / sqrt(var + eps) * gamma + beta, mean and (biased) var over the
// pixels and the c / groups neighbouring channels of a group; with `silu`, y = silu(that), the bits
// of the two operations in turn. x and y are (n, hw, c), NHWC; y may equal x. NaN is stored as
// 0x7fc00000.
//
// EXACT. Order: blocks of TT_GROUP_NORM_ROWS pixels, each read from memory once: a chain of sums
// per channel, the group's channels folded in order, then the squares about the block's own mean
// likewise; blocks are merged in order, in double. Blocks and rows are what threads divide, so one
// image with few groups still uses them all.
//
// Kernels: group_norm_stats_f32 (x, sum, m2, lanes, rows, c, groups): sum[g] and m2[g], the sum and
// the squared deviations of one block; lanes is scratch of c floats.
// group_norm_apply_f32 (x, mean, scale, beta, y, rows, c, silu): y = (x - mean[j]) scale[j] +
// beta[j] (one fma after the difference), mean and scale given per channel.
#ifndef TT_SIMD_GROUP_NORM_H
#define TT_SIMD_GROUP_NORM_H

#include "kernels.h"

enum { TT_GROUP_NORM_ROWS = 32 };

struct tt_group_norm {
    size_t n, hw, c, groups; // groups divides c
    float eps;
    int silu;
    const float *x, *gamma, *beta; // (n, hw, c), (c), (c)
    float *y;                      // (n, hw, c)
};

// Bytes of scratch, 64-byte aligned, for a run with this many threads.
size_t tt_group_norm_scratch(const struct tt_group_norm *g, int threads);

// Computes y. scratch as tt_group_norm_scratch() says; the result does not depend on threads.
void tt_group_norm(const struct tt_kernels *kernels, const struct tt_group_norm *g, void *scratch,
                   int threads);

// The backward, per image and group of N = hw c / groups numbers: with d = x - mean, mean and rstd
// recomputed from x as the forward computes them, and g = dy, or dy silu'(d rstd gamma + beta):
//   dx = g rstd gamma + d slope + offset        slope = -rstd^3 / N sum of gamma g d
//   dgamma = sum of g d rstd, dbeta = sum of g  offset = -rstd / N sum of gamma g
// The backward needs x, gamma and beta only; g is held in dx meanwhile. With `accumulate`, dgamma
// and dbeta are added to. EXACT: sums and coefficients are in double, since the gradient of a bias
// in front of a group norm is what is left when the terms of dx cancel (nothing, where a group is
// one channel); only g, dx, dgamma and dbeta are rounded to float. A channel's sums are chains over
// a block of TT_GROUP_NORM_ROWS pixels, the blocks and then the channels or images added in order.
//
// Between kernels such a double is two floats: itself rounded, and what that left, rounded.
// group_norm_backward_sums_f32 (x, dy, mean, scale, beta, g, sums, rows, c, silu): g, by the mean
// and scale = rstd gamma of the forward, and sums (3, 2, c) over one block of g (x - mean), of g
// and of x - mean, whose mean is 0 but for what the forward rounded; each with its rests. g may
// equal dy.
// group_norm_backward_apply_f32 (x, g, coefficients, dx, rows, c): dx = g a + (x b + e) with the
// coefficients (3, 2, c) of a, b, e and their rests, product by product. dx may be g.
struct tt_group_norm_backward {
    struct tt_group_norm forward; // y is not looked at
    const float *dy;              // (n, hw, c)
    float *dx, *dgamma, *dbeta;   // (n, hw, c), (c), (c); dx may equal dy; NULL: not wanted, but dx
    int accumulate;
};

// Bytes of scratch, 64-byte aligned, for a run with this many threads.
size_t tt_group_norm_backward_scratch(const struct tt_group_norm_backward *b, int threads);

// Computes dx, and dgamma and dbeta where they are wanted; the result does not depend on threads.
void tt_group_norm_backward(const struct tt_kernels *kernels,
                            const struct tt_group_norm_backward *b, void *scratch, int threads);

#endif
