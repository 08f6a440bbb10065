// SPDX-License-Identifier: MIT
// How one call is written: what its file will hold is known before it begins (a layout), so that
// each tensor goes straight to the disk when it is there.
#ifndef TT_VERIFY_RECORD_H
#define TT_VERIFY_RECORD_H

#include <regex.h>

#include "base/memory.h"
#include "io/writer.h"
#include "graph/tape.h"
#include "network.h"
#include "verify/statistics.h"

// A tensor of the file.
struct tt_record_tensor {
    const char *name;
    enum tt_dtype dtype; // TT_F32 or TT_I64
    struct tt_shape shape;
    size_t count;   // its elements
    bool sampled;   // statistics and a sample stand for them
    size_t offset, bytes; // in the file, behind its header
    tt_value value;       // of a network; TT_NO_VALUE: given before it runs

    // Filled in when it is written.
    double maxabs; // NaN: not every element is finite
    struct tt_recorded_statistics statistics;
};

// A line of the manifest: a tensor under the name of an input, of a module or of an output.
struct tt_record_entry {
    const char *name, *type;
    bool leaf;
    struct tt_shape shape;
    int tensor;
    int first_input, input_count; // in the layout's inputs
};

// Tensors are in the order in which they are written, entries in the order of execution.
// Zero-initialise; free with tt_record_layout_free().
struct tt_record_layout {
    bool statistics; // large tensors are sampled, but those that are added as whole
    struct tt_record_tensor *tensors;
    struct tt_record_entry *entries;
    int *inputs; // of all entries, tensors
    int tensor_count, entry_count, input_count;
    size_t bytes; // of all tensors
    struct tt_pool pool;
    struct tt_error error; // the first: no memory, a name twice
};

// Adds a tensor, whole where that is said although others are sampled; its index.
int tt_record_add_tensor(struct tt_record_layout *layout, const char *name, enum tt_dtype dtype,
                         const struct tt_shape *shape, bool whole);
// Names must be there once.
void tt_record_add_entry(struct tt_record_layout *layout, const char *name, const char *type,
                         const struct tt_shape *shape, int tensor);
// Of the entry that was added last.
void tt_record_add_input(struct tt_record_layout *layout, int tensor);
// Ends all that it holds, and leaves it zero-initialised.
void tt_record_layout_free(struct tt_record_layout *layout);
// The header of the file, to be freed; its size is a multiple of 8. NULL: no memory.
char *tt_record_header(const struct tt_record_layout *layout, size_t *size);
// About how many bytes both files of the call will take.
size_t tt_record_measure(const struct tt_record_layout *layout);

// What a call of a network leaves: its inputs; of each module in whose path `modules` is found
// (NULL: all) what it returns, and what it is given that no such module returned; its outputs.
// Whole numbers that the network derives from its inputs are among the first tensors, then follow
// values in the order in which steps make them. TT_SYSTEM: no memory.
enum tt_status tt_record_network(struct tt_record_layout *layout, const struct tt_network *network,
                                 const regex_t *modules, struct tt_error *err);

// The value that it is a reshape of, or itself.
tt_value tt_root_of(const struct tt_tape *tape, tt_value value);

// A pair of files that is being written, NNNNN.PART.safetensors and NNNNN.PART.json.
struct tt_record_call {
    struct tt_files *files;
    char path[PATH_MAX]; // of the safetensors
    const char *part;
    size_t call;
    bool has_step;
    size_t step;
    struct tt_record_layout layout;
    int next; // tensor to write
    struct tt_stream *stream;
    struct tt_statistics_room room;
    float sample[TT_SAMPLE];
};

// JSON of which all or nothing is written: `value`, or NULL when a part of it found no memory.
json_t *tt_record_whole(json_t *value, bool good);
json_t *tt_record_shape(const struct tt_shape *shape);

// Begins the safetensors file; the call's fields but next and stream are set. A call that has
// begun must be ended.
enum tt_status tt_record_begin(struct tt_record_call *call, struct tt_error *err);
// Writes the next tensor of the layout: its floats in PyTorch's order, or its whole numbers.
enum tt_status tt_record_put(struct tt_record_call *call, const float *x, struct tt_error *err);
enum tt_status tt_record_put_ids(struct tt_record_call *call, const int32_t *ids,
                                 struct tt_error *err);
// keep: all of them were written; then both files get their names, the manifest last. Else nothing
// is left. Frees.
enum tt_status tt_record_end(struct tt_record_call *call, bool keep, struct tt_error *err);

// weights.json of a model: every weight that its parts ask for, as it is kept in memory.
enum tt_status tt_record_weights(struct tt_model *model, int threads, struct tt_files *files,
                                 const char *path, struct tt_error *err);

#endif
