// SPDX-License-Identifier: MIT
// What is another between a run and the checkpoint that it goes on from: an error that names the
// first, or, with `change`, a list for people and the log.
#ifndef TT_TRAIN_CHANGE_H
#define TT_TRAIN_CHANGE_H

#include "base/note.h"
#include "train/train_settings.h"

// So many pictures that are others are told one by one; of more, the number.
enum { TT_CHANGES_MOST = 100 };

struct tt_changes {
    bool allowed;     // else the first one is an error
    const char *file; // the checkpoint's, for messages
    json_t *list;     // {"change": what, "name": of which, "found": now, "was": then}
    size_t pictures, untold; // changes of single pictures, told and not
    bool other;    // other pictures are trained on now
    bool replaced; // a picture's file is another, which may be of another size
};

// An empty list, to be freed. TT_SYSTEM: memory.
enum tt_status tt_changes_begin(struct tt_changes *changes, bool allowed, const char *file,
                                struct tt_error *err);
// Frees it; takes one that is all 0, too.
void tt_changes_free(struct tt_changes *changes);

// Adds one; name may be NULL. Takes the values; NULL: there was no memory for one. Of pictures,
// those beyond the limit are counted.
enum tt_status tt_changes_add(struct tt_changes *changes, const char *what, const char *name,
                              json_t *found, json_t *was, struct tt_error *err);
// A text for found and was: what is no valid UTF-8 is replaced, and what is long is cut. NULL: no
// memory.
json_t *tt_changes_text(const char *text);

// Adds the KEPT settings that are others than in `then`, a checkpoint's text. TT_BAD_INPUT names
// one that cannot change: all when changes are not allowed.
enum tt_status tt_changes_settings(struct tt_changes *changes,
                                   const struct tt_train_settings *settings, const char *then,
                                   struct tt_error *err);
// How many there are; whether one is of this; and what a number was before, when it is.
size_t tt_changes_count(const struct tt_changes *changes);
bool tt_changes_has(const struct tt_changes *changes, const char *what);
size_t tt_changes_was(const struct tt_changes *changes, const char *what, size_t now);

// One as a sentence, and as a line of the log at that step, malloc'd; NULL: no memory.
char *tt_changes_sentence(const struct tt_changes *changes, size_t i);
char *tt_changes_line(const struct tt_changes *changes, size_t i, size_t step);

#endif
