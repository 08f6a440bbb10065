// SPDX-License-Identifier: MIT
// A search for what explains a difference: the list of explanations is spread over the files
// suspects_*.c, by what they change.
#ifndef TT_VERIFY_SUSPECTS_H
#define TT_VERIFY_SUSPECTS_H

#include "verify/alone.h"

struct tt_search {
    const struct tt_alone *alone;
    size_t k;                 // the recorded tensor
    struct tt_stretch stretch;
    const struct tt_shape *shape; // of its value
    void *recorded;           // as a plan has it
    struct tt_bounds bounds;
    struct tt_suspect *found; // the best of each kind
    size_t count, tried;
};

// Compares values of tensor k, as a plan has them; where they agree, `name` and the text are found.
// Of one name the one with the smallest difference stays.
void tt_search_judge(struct tt_search *s, const void *ours, const char *name, const char *format,
                     ...) __attribute__((format(printf, 4, 5)));
// The same with bounds of its own.
void tt_search_judge_within(struct tt_search *s, struct tt_bounds bounds, const void *ours,
                            const char *name, const char *text);

// Makes tensor k as the trial has it, and judges that.
enum tt_status tt_search_try(struct tt_search *s, const struct tt_trial *trial, const char *name,
                             const char *text, struct tt_error *err);
// The same for each node of the stretch that `change` changes, and for all of them at once. The
// text gets their names.
enum tt_status tt_search_each(struct tt_search *s, struct tt_trial trial, const char *name,
                              const char *text, struct tt_error *err);

// What nodes do: attributes, operations, weights.
enum tt_status tt_suspects_nodes(struct tt_search *s, struct tt_error *err);
enum tt_status tt_suspects_weights(struct tt_search *s, struct tt_error *err);
// An eps, a scale of attention that no list has: the one that fits best, when nothing else does.
enum tt_status tt_suspects_fit(struct tt_search *s, struct tt_error *err);
// What values are: their order, halves, rows, scale, rounding; timesteps and token ids.
enum tt_status tt_suspects_values(struct tt_search *s, struct tt_error *err);
enum tt_status tt_suspects_rounding(struct tt_search *s, struct tt_error *err);
enum tt_status tt_suspects_ids(struct tt_search *s, struct tt_error *err);
// Whole modules, left out or run twice.
enum tt_status tt_suspects_modules(struct tt_search *s, struct tt_error *err);

// ---- helpers of several ----

// y = x of these sizes with its axes in another order; the second half of the orders takes x for
// what lies in that order, and turns it back. 0 is as it is. Whether that differs from x.
enum { TT_ORDERS = 48 };
bool tt_permute(const float *x, const size_t dims[4], int order, float *y);
// For a trial: weights rounded to the dtype `which`; number: without biases, or with.
enum { TT_WEIGHT_AND_BIAS, TT_WEIGHT_ALONE };
bool tt_change_rounds(const struct tt_trial *trial, struct tt_changed *changed);

// ---- computing what no operation of the tape does (suspects_compute.c) ----

enum tt_function {
    TT_FUNCTION_gelu, TT_FUNCTION_gelu_tanh, TT_FUNCTION_quick_gelu, TT_FUNCTION_silu,
    TT_FUNCTION_relu, TT_FUNCTION_tanh, TT_FUNCTION_sigmoid, TT_FUNCTION_none,
    TT_FUNCTIONS
};
// "tanh GELU"
extern const char *const tt_function_names[TT_FUNCTIONS];
float tt_function(enum tt_function function, float x);

// As `compute` of struct tt_changed; what `which` and `number` mean:
bool tt_compute_function(const struct tt_changed *c, const void *const x[], float *y); // function
// function; number 1: the gate comes first
bool tt_compute_gated(const struct tt_changed *c, const void *const x[], float *y);
// 0: corners lie at halves, as PyTorch's align_corners=False; 1: they are aligned
bool tt_compute_bilinear(const struct tt_changed *c, const void *const x[], float *y);
bool tt_compute_concat_swapped(const struct tt_changed *c, const void *const x[], float *y);
// the input that is taken alone
bool tt_compute_one_input(const struct tt_changed *c, const void *const x[], float *y);
// a + number b
bool tt_compute_sum(const struct tt_changed *c, const void *const x[], float *y);
// number x
bool tt_compute_scaled(const struct tt_changed *c, const void *const x[], float *y);
// a row of each text: 0 the first, 1 the last
bool tt_compute_row(const struct tt_changed *c, const void *const x[], float *y);

#endif
