// SPDX-License-Identifier: MIT
// Steps of training over all parameters. EXACT; the caller divides ranges among threads, values do
// not depend on where a range begins. None of the arrays overlap, but where it is said.
//
//   adamw_f32 (p, g, m, v, n, a)      one step of torch.optim.AdamW (Loshchilov and Hutter, 2019)
//       in its single-tensor form on a CPU, operation by operation:
//         p = p decay;  m = lerp(m, g, rest1);  v = fma(rest2 g, g, v beta2)
//         p = p + (step m) / (sqrt(v) / root + eps)
//   lerp_f32 (a, b, weight, y, n)     y = lerp(a, b, weight); y may equal a. An average of weights:
//       lerp(average, weights, 1 - decay).
//
// lerp(a, b, w), torch.lerp's: fma(w, b - a, a) for |w| < 1/2, else fma(w - 1, b - a, b).
#ifndef TT_SIMD_OPTIMISER_H
#define TT_SIMD_OPTIMISER_H

#include "kernels.h"

struct tt_adamw {
    float decay;        // 1 - learning rate * weight decay
    float rest1;        // 1 - beta1
    float beta2, rest2; // beta2 and 1 - beta2
    float root;         // sqrt(1 - beta2^t)
    float eps;
    float step;         // -learning rate / (1 - beta1^t)
};

// The numbers of step t = 1, 2, ..., computed in double and rounded once.
struct tt_adamw tt_adamw_step(double learning_rate, double beta1, double beta2, double eps,
                              double weight_decay, uint64_t t);

#endif
