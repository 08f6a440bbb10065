// SPDX-License-Identifier: MIT
// A part is a network of a model that can be called alone. The list of them is parts.def; what
// stands behind a line of it is a struct tt_part_network, beside the network's tape. It depends on
// the configuration alone: one of it serves any number of sizes and plans.
#ifndef TT_MODEL_PART_H
#define TT_MODEL_PART_H

#include "graph/tape.h"
#include "io/json.h"

enum tt_part {
#define PART(id, name, folder, recorded, factor, pipelines, network) TT_PART_##id,
#define ALSO(id, pipelines, network)
#include "model/parts.def"
#undef PART
#undef ALSO
    TT_PARTS
};

// The kinds of model, a bit each.
enum {
    TT_LATENTS = 1,     // a text becomes a picture by way of latents
    TT_PIXELS = 2,      // a U-Net alone, in pixel space and without a text
    TT_AUTOENCODER = 4, // an autoencoder alone
    TT_XL = 8,          // as TT_LATENTS, with two text encoders, of which the first may be missing
    TT_PROMPTED = TT_LATENTS | TT_XL,
    TT_ENCODED = TT_PROMPTED | TT_AUTOENCODER,
};

// An input or output of a network. Its tensor on the tape has this name. axes has a letter for
// each dimension: N, H, W and T are those of the call's struct tt_size (batch, height, width,
// tokens), another letter is a number that the configuration says.
struct tt_named {
    const char *name; // NULL: the end
    enum tt_dtype dtype;
    const char *axes;
    enum {
        TT_ALWAYS,
        TT_OPTIONAL,   // a configuration may be without it; an input that is not given is zeros
        TT_WHERE_READ, // a configuration may be without it; else it must be given
    } presence;
};
enum { TT_NAMED = 8 }; // room for the inputs or the outputs, and for the end

// What networks say of themselves, for the pipelines that put them together.
struct tt_facts {
    struct tt_model_info info; // width and height in latents
    size_t projection;         // width of what the second text encoder says of a whole text
    size_t context_width;      // of the embeddings that the U-Net attends to
    size_t predicted_channels; // that the U-Net gives
    size_t latent_channels;    // of the autoencoder; info has those of the U-Net
    size_t seen_channels, shown_channels; // of the autoencoder's pictures, in and out
    bool normalised; // its latents, each channel by a mean and a deviation of its own
};

struct tt_part_network {
    const char *classes; // its classes as JSON texts, alternatives separated by " or "
    bool transformers;   // of that library: the class stands under "architectures"
    size_t config_size;
    // Reads the whole object into config_size zeroed bytes that hold no pointers.
    enum tt_status (*read)(struct tt_json *json, void *config, struct tt_error *err);
    void (*tell)(const void *config, struct tt_facts *facts); // NULL: another part does
    // Lays it out; errors stick to the tape.
    void (*tape)(struct tt_tape *tape, const void *config, const struct tt_size *size);
    size_t (*multiple)(const void *config); // what height and width must divide by; NULL: 1
    size_t (*longest)(const void *config);  // tokens; NULL: any number
    bool pixels;                            // height and width are of a picture, not of latents
    struct tt_named inputs[TT_NAMED], outputs[TT_NAMED]; // the first output is the main one
    // Inputs of the tape that follow from those that are given, and what fills them: given and
    // made are in the order of `inputs` and `derived`.
    const char *derived[TT_NAMED];
    enum tt_status (*derive)(const void *config, const struct tt_size *size,
                             const void *const *given, void *const *made, struct tt_error *err);
};

#define PART(id, name, folder, recorded, factor, pipelines, network) \
    extern const struct tt_part_network tt_network_##network;
#define ALSO(id, pipelines, network) extern const struct tt_part_network tt_network_##network;
#include "model/parts.def"
#undef PART
#undef ALSO

// The network that a class of diffusers or transformers is for a part of such a model; class "":
// the first that may stand there. NULL: none.
const struct tt_part_network *tt_part_network(enum tt_part part, unsigned pipelines,
                                              const char *class_name);
// The classes that may stand there, as in `classes`; returns text.
char *tt_part_classes(enum tt_part part, unsigned pipelines, char *text, size_t size);
// The first part of the same folder.
enum tt_part tt_part_first(enum tt_part part);
// What recordings call it.
const char *tt_part_recorded(enum tt_part part);

#endif
