// SPDX-License-Identifier: MIT
// What lies in a folder of pictures and the folders in it, as far as training has to know.
#ifndef TT_TRAIN_LISTING_H
#define TT_TRAIN_LISTING_H

#include "base/memory.h"
#include "base/poll.h"

enum tt_listed {
    TT_LISTED_PICTURE,  // by its name a PNG, JPEG or WebP
    TT_LISTED_CAPTION,  // a text file
    TT_LISTED_METADATA, // metadata.jsonl
    TT_LISTED_PROBLEM,  // what might have been meant to be used, and cannot be
};

struct tt_listed_file {
    const char *name; // relative to the folder: "birds/owl.png"
    enum tt_listed kind;
    const char *problem; // "expected ...", of the last kind
};

// Zero-initialise; free with tt_listing_free().
struct tt_listing {
    struct tt_listed_file *files; // ordered by name
    size_t count, room;
    struct tt_pool pool;
};

// Files whose names begin with '.' and folders that begin with '.' or "__" are left out, as the
// datasets library's imagefolder does it; so are other files than those above. Links to folders and
// models' folders are not looked into, and say so; nor is the folder `apart` (NULL: none), which
// does not. TT_BAD_INPUT: no such folder. poll: asked now and then, TT_CANCELLED.
enum tt_status tt_listing_make(const char *path, const char *apart,
                               const struct tt_poll *poll, size_t most, struct tt_listing *listing,
                               struct tt_error *err);
void tt_listing_free(struct tt_listing *listing);

#endif
