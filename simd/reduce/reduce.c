// SPDX-License-Identifier: MIT
#include "reduce/reduce.h"

#include "split.h"

enum { STRIP = 256 }; // columns of one task

size_t tt_column_sums_scratch(const struct tt_column_sums *s) {
    return s->images * ceil_div(s->rows, TT_SUM_ROWS) * s->c * sizeof(float);
}

void tt_fold_blocks(const float *partial, size_t blocks, size_t ld, size_t c, float *y,
                    int accumulate) {
    for (size_t j = 0; j < c; j++) {
        double total = 0;
        for (size_t b = 0; b < blocks; b++) total += (double)partial[b * ld + j];
        y[j] = accumulate ? y[j] + (float)total : (float)total;
    }
}

void tt_column_sums(const struct tt_kernels *kernels, const struct tt_column_sums *s, void *scratch,
                    int threads) {
    size_t blocks = ceil_div(s->rows, TT_SUM_ROWS), strips = ceil_div(s->c, STRIP);
    float *partial = scratch;
#pragma omp parallel num_threads(threads)
    {
        struct tt_busy_thread me = tt_busy_begin(kernels->busy, threads);
#pragma omp for collapse(2) schedule(static) nowait
        for (size_t i = 0; i < s->images * blocks; i++)
            for (size_t strip = 0; strip < strips; strip++) {
                size_t row = i % blocks * TT_SUM_ROWS, j = strip * STRIP;
                kernels->column_sums_f32(s->x + (i / blocks * s->rows + row) * s->c + j, s->c,
                                         partial + i * s->c + j, min(TT_SUM_ROWS, s->rows - row),
                                         min(STRIP, s->c - j));
            }
        tt_busy_meet(&me);
#pragma omp for collapse(2) schedule(static) nowait
        for (size_t i = 0; i < s->images; i++)
            for (size_t strip = 0; strip < strips; strip++) {
                size_t j = strip * STRIP;
                tt_fold_blocks(partial + i * blocks * s->c + j, blocks, s->c, min(STRIP, s->c - j),
                               s->y + i * s->c + j, s->accumulate);
            }
        tt_busy_end(&me);
    }
}

size_t tt_sum_scratch_floats(size_t n) { return ceil_div(n, TT_SUM_FLOATS); }

double tt_sum_squares(const struct tt_kernels *kernels, const float *x, size_t n, float *scratch,
                      int threads) {
    double total = 0;
#pragma omp parallel for num_threads(threads) if (n > 4 * TT_SUM_FLOATS)
    for (size_t i = 0; i < n; i += TT_SUM_FLOATS)
        kernels->sum_squares_f32(x + i, min(TT_SUM_FLOATS, n - i), scratch + i / TT_SUM_FLOATS);
    for (size_t b = 0; b < tt_sum_scratch_floats(n); b++) total += (double)scratch[b];
    return total;
}
