// SPDX-License-Identifier: MIT
#include <math.h>
#include <sleef.h>
#include <string.h>

#include "verify/suspects.h"

const char *const tt_function_names[TT_FUNCTIONS] = {
    "the exact (erf) GELU", "the tanh GELU", "quick_gelu", "SiLU", "ReLU", "tanh", "a sigmoid",
    "no activation",
};

static double sigmoid(double x) {
    return 1 / (1 + Sleef_cinz_expd1_u10purec(-x));
}

float tt_function(enum tt_function function, float value) {
    const double x = (double)value, root2 = 1.4142135623730951, root = 0.79788456080286536;
    switch (function) {
    case TT_FUNCTION_gelu: return (float)(0.5 * x * (1 + Sleef_cinz_erfd1_u10purec(x / root2)));
    case TT_FUNCTION_gelu_tanh: // root: of 2/pi
        return (float)(0.5 * x *
                       (1 + Sleef_cinz_tanhd1_u10purec(root * (x + 0.044715 * x * x * x))));
    case TT_FUNCTION_quick_gelu: return (float)(x * sigmoid(1.702 * x));
    case TT_FUNCTION_silu: return (float)(x * sigmoid(x));
    case TT_FUNCTION_relu: return x > 0 ? value : 0;
    case TT_FUNCTION_tanh: return (float)Sleef_cinz_tanhd1_u10purec(x);
    case TT_FUNCTION_sigmoid: return (float)sigmoid(x);
    default: return value;
    }
}

bool tt_compute_function(const struct tt_changed *c, const void *const x[], float *y) {
    const float *in = x[0];
    for (size_t i = 0; i < tt_shape_count(&c->out); i++)
        y[i] = tt_function((enum tt_function)c->which, in[i]);
    return true;
}

bool tt_compute_gated(const struct tt_changed *c, const void *const x[], float *y) {
    size_t width = tt_columns(&c->out), rows = tt_rows(&c->out);
    bool first = c->number == 1;
    for (size_t i = 0; i < rows; i++) {
        const float *row = (const float *)x[0] + i * 2 * width;
        const float *gate = first ? row : row + width, *hidden = first ? row + width : row;
        for (size_t j = 0; j < width; j++)
            y[i * width + j] = hidden[j] * tt_function((enum tt_function)c->which, gate[j]);
    }
    return true;
}

// Where output i of n falls among m inputs: between `low` and the next, with weight *part.
static size_t place(size_t i, size_t n, size_t m, bool aligned, double *part) {
    double at = aligned ? (n > 1 ? (double)i * (double)(m - 1) / (double)(n - 1) : 0)
                        : ((double)i + 0.5) * (double)m / (double)n - 0.5;
    if (at < 0) at = 0;
    size_t low = (size_t)at;
    if (low > m - 1) low = m - 1;
    *part = low + 1 < m ? at - (double)low : 0;
    return low;
}

bool tt_compute_bilinear(const struct tt_changed *c, const void *const x[], float *y) {
    const size_t *in = c->in[0].dim, *out = c->out.dim, channels = in[1];
    for (size_t row = 0; row < out[0] * out[2] * out[3]; row++) {
        size_t n = row / (out[2] * out[3]);
        double down, right;
        size_t top = place(row / out[3] % out[2], out[2], in[2], c->which, &down);
        size_t left = place(row % out[3], out[3], in[3], c->which, &right);
        const float *a = (const float *)x[0] + ((n * in[2] + top) * in[3] + left) * channels;
        size_t next_row = down > 0 ? in[3] * channels : 0, next = right > 0 ? channels : 0;
        for (size_t k = 0; k < channels; k++) {
            double above = (1 - right) * (double)a[k] + right * (double)a[k + next];
            double below = (1 - right) * (double)a[k + next_row] +
                           right * (double)a[k + next_row + next];
            y[row * channels + k] = (float)((1 - down) * above + down * below);
        }
    }
    return true;
}

bool tt_compute_concat_swapped(const struct tt_changed *c, const void *const x[], float *y) {
    size_t a = c->in[0].dim[1], b = c->in[1].dim[1], rows = tt_rows(&c->out);
    for (size_t i = 0; i < rows; i++) {
        memcpy(y + i * (a + b), (const float *)x[1] + i * b, b * sizeof *y);
        memcpy(y + i * (a + b) + b, (const float *)x[0] + i * a, a * sizeof *y);
    }
    return true;
}

bool tt_compute_one_input(const struct tt_changed *c, const void *const x[], float *y) {
    size_t n = tt_shape_count(&c->in[c->which]);
    if (n != tt_shape_count(&c->out)) return false;
    memcpy(y, x[c->which], n * sizeof *y);
    return true;
}

bool tt_compute_sum(const struct tt_changed *c, const void *const x[], float *y) {
    const float *a = x[0], *b = x[1];
    size_t n = tt_shape_count(&c->out);
    if (tt_shape_count(&c->in[0]) != n || tt_shape_count(&c->in[1]) != n) return false;
    for (size_t i = 0; i < n; i++) y[i] = (float)((double)a[i] + c->number * (double)b[i]);
    return true;
}

bool tt_compute_scaled(const struct tt_changed *c, const void *const x[], float *y) {
    const float *in = x[0];
    for (size_t i = 0; i < tt_shape_count(&c->out); i++)
        y[i] = (float)((double)in[i] * c->number);
    return true;
}

bool tt_compute_row(const struct tt_changed *c, const void *const x[], float *y) {
    size_t tokens = c->in[0].dim[1], width = c->in[0].dim[2];
    for (size_t n = 0; n < c->in[0].dim[0]; n++)
        memcpy(y + n * width,
               (const float *)x[0] + (n * tokens + (c->which ? tokens - 1 : 0)) * width,
               width * sizeof *y);
    return true;
}
