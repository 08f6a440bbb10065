// SPDX-License-Identifier: MIT
#include "optimiser.h"

#include <math.h>

// x^n by squaring: the library's pow differs between machines.
static double power(double x, uint64_t n) {
    double y = 1;
    for (; n; n /= 2, x *= x)
        if (n % 2) y *= x;
    return y;
}

struct tt_adamw tt_adamw_step(double learning_rate, double beta1, double beta2, double eps,
                              double weight_decay, uint64_t t) {
    return (struct tt_adamw){
        .decay = (float)(1 - learning_rate * weight_decay),
        .rest1 = (float)(1 - beta1),
        .beta2 = (float)beta2,
        .rest2 = (float)(1 - beta2),
        .root = (float)sqrt(1 - power(beta2, t)),
        .eps = (float)eps,
        .step = (float)-(learning_rate / (1 - power(beta1, t))),
    };
}
