// SPDX-License-Identifier: MIT
// A call of a recording, of which single tensors are made again: each from the recorded tensors
// just before it, by the nodes that lie in between. So what differs there is the fault of these
// nodes, and of none before them; and a node may be tried with other attributes or weights.
//
// Values lie as plans have them: (N, C, H, W) as N*H*W rows of C; whole numbers are int32.
#ifndef TT_VERIFY_ALONE_H
#define TT_VERIFY_ALONE_H

#include "session.h"

struct tt_alone {
    struct tt_session *session; // borrowed
    const struct tt_recording *recording;
    int part;
    size_t call;  // of the recording
    size_t count; // of its tensors
    struct tt_network network;
    struct tt_source weights;
    tt_value *root;  // of each value of the tape: what it is a reshape of, itself when it is none
    tt_value *value; // of each recorded tensor: the value it stands for; TT_NO_VALUE: none
    size_t *order;   // the tensors in the model's own order, whatever the recording has them in
    size_t *rank;    // of each tensor: its place there
    int32_t **whole; // of each value: whole numbers that are given or derived; NULL: none
};

// The value's elements.
size_t tt_alone_size(const struct tt_alone *alone, tt_value value);
bool tt_alone_is_whole(const struct tt_alone *alone, tt_value value);

// The last tensor before number `before` that stands for the root; TT_NOT_RECORDED: none.
#define TT_NOT_RECORDED SIZE_MAX
size_t tt_alone_recorded(const struct tt_alone *alone, tt_value root, size_t before);
// Its values, as a plan has them; the caller frees them. NULL without memory.
void *tt_alone_load(const struct tt_alone *alone, size_t k);

// The nodes of a module, which follow each other: those whose names are the path or begin with it.
// false: there are none.
bool tt_alone_nodes(const struct tt_alone *alone, const char *path, int *from, int *to);
// What the module at these nodes is given: the root of its first node's first input.
tt_value tt_alone_given(const struct tt_alone *alone, int from);

// ---- a stretch: the nodes between recorded tensors and a value ----

struct tt_stretch {
    const struct tt_alone *alone;
    tt_value target; // a root
    size_t before;
    bool *made;      // of each value: whether it is made here
    void **data;     // of each value: what was recorded, or was made of it; NULL: not read here
    int made_count;
};

// What is known though nothing recorded it; its data are borrowed.
struct tt_preset {
    tt_value value; // a root; TT_NO_VALUE: none
    const void *data;
};

// Makes the target from the tensors that stand before number `before` in the recording, but from
// none that nodes from .. to - 1 make (from == to: whatever is recorded). The target itself is not
// made where it stands before, as what another module returned. Ends with tt_stretch_free(), also
// after an error. TT_BAD_INPUT: a value that is not recorded cannot be made.
enum tt_status tt_stretch_make(const struct tt_alone *alone, tt_value target, size_t before,
                               int from, int to, struct tt_preset preset,
                               struct tt_stretch *stretch, struct tt_error *err);
void tt_stretch_free(struct tt_stretch *stretch);

// ---- a trial: the same with something changed ----

// A node as it is tried.
struct tt_changed {
    struct tt_node node;
    struct tt_shape in[TT_MAX_INPUTS], out;
    // Instead of the operation; false: it cannot be done. x and y lie as plans have them.
    bool (*compute)(const struct tt_changed *changed, const void *const x[], float *y);
    int which;        // of what `compute` knows
    double number;
    // Of a parameter of the node (0 or 1), floats in PyTorch's order; false: it stays.
    bool (*reweigh)(const struct tt_changed *changed, int param, float *data);
    const char *weights_of; // the node's parameters are those of this module; NULL: its own
    const struct tt_source *weights; // for `reweigh`
};

struct tt_trial {
    struct tt_preset preset; // a value that is something else
    int node;                // the node that is changed; -1: every one that `change` changes
    bool (*change)(const struct tt_trial *trial, struct tt_changed *changed);
    int which;
    double number;
    const void *context;
};

// The target as the trial makes it; the caller frees it. *out NULL, and TT_OK: the trial changes
// nothing here, or cannot be done.
enum tt_status tt_stretch_try(const struct tt_stretch *stretch, const struct tt_trial *trial,
                              float **out, struct tt_error *err);

// Makes all of it again, after something in `data` was changed.
enum tt_status tt_stretch_again(struct tt_stretch *stretch, struct tt_error *err);

// How many nodes of the stretch the trial changes.
int tt_stretch_changes(const struct tt_stretch *stretch, const struct tt_trial *trial);

// ---- comparing ----

struct tt_gap {
    double difference; // the largest; infinite where a value is not finite
    size_t at;         // in PyTorch's order
    float ours, recorded;
    bool agrees;
};

// Values of recorded tensor k, as a plan has them, beside what was recorded (`recorded`, as
// tt_alone_load gives it).
struct tt_gap tt_alone_compare(const struct tt_alone *alone, size_t k, const void *ours,
                               const void *recorded, struct tt_bounds bounds);

// x rounded to F16 or BF16.
float tt_rounded(enum tt_dtype dtype, float x);

// Whether every recorded value is one that BF16 or F16 has while many of ours are not, which chance
// does not do: something was rounded there, be it within the bounds. Then *dtype is which.
bool tt_alone_is_rounded(const struct tt_alone *alone, size_t k, const void *ours,
                         const void *recorded, enum tt_dtype *dtype);

#endif
