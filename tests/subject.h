// SPDX-License-Identifier: MIT
// A network of a recording (reference/README.md), opened for a test: its tape, its weights, and
// the recorded inputs.
#ifndef TESTS_SUBJECT_H
#define TESTS_SUBJECT_H

#include "util.h"

#include "graph/bank.h"
#include "io/json.h"
#include "io/weights.h"

enum {
    PART_TEXT, PART_UNET, PART_VAE_ENCODER, PART_VAE_DECODER,
    PART_TINY_ENCODER, PART_TINY_DECODER, // of AutoencoderTiny, which stands alone
    PART_TEXT_2, // of SDXL
    PARTS
};
extern const char *const part_names[PARTS]; // as recordings call them

// Which network of which recording; a latent model has four, an unconditional one its U-Net.
struct subject_name {
    const char *recording; // "sd15/square"
    int part;
};
#define EVERY_PART(recording)                                                                      \
    {recording, PART_TEXT}, {recording, PART_UNET}, {recording, PART_VAE_ENCODER},                 \
        {recording, PART_VAE_DECODER}

#define EVERY_PART_XL(recording) EVERY_PART(recording), {recording, PART_TEXT_2}

struct subject {
    int part;
    json_t *manifest;      // of the recording
    const json_t *tensors; // of the part
    struct tt_safetensors *stored;
    struct tt_folder *folder;
    struct tt_weights *weights;
    struct tt_bank *bank;
    struct tt_tape tape;
    tt_value moments; // of the autoencoder's encoder
    struct tt_error err;
};

#define OK(subject, call) ck_assert_msg(!(call), "%s", (subject)->err.message)

struct subject open_subject(struct subject_name name);
void close_subject(struct subject *s);

const char *text_of(const json_t *tensor, const char *key);
struct tt_shape shape_of(const json_t *tensor);
const json_t *find_tensor(const struct subject *s, const char *name);
const struct tt_view *stored_view(const struct subject *s, const json_t *tensor);

// Index in PyTorch's order of element i of a value, which lies as N*H*W rows of C when it is a
// picture.
size_t torch_index(const struct tt_shape *shape, size_t i);

// How far a tensor may be from the recorded one, as factors of PyTorch's own errors against
// float64: the largest error of an element, and the root mean square of all.
struct factor {
    double most, rms;
};

// What was found over tensors: the factors that they would need, and those that are past theirs.
struct tally {
    size_t compared, failed, inputs_compared, inputs_left;
    double needed, needed_rms;
    char worst[300], worst_rms[300];
};

// How n values are off, and where most.
struct errors {
    double largest, squares;
    size_t at;
};
void add_error(struct errors *e, double ours, double recorded, size_t i);

// Judges a tensor by its manifest's err32, rms32 and maxabs; rms_floor: what its values' rounding
// may add. ours and recorded: the values at e->at, to be told.
void judge_errors(const json_t *tensor, const char *name, const struct errors *e, size_t n,
                  double rms_floor, double ours, double recorded, const struct factor *factor,
                  struct tally *tally);

// Writes the recorded inputs where `data` says that a plan has them.
typedef float *(*data_of)(const void *plan, tt_value value);
void set_inputs(struct subject *s, data_of data, const void *plan);

#endif
