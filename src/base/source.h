// SPDX-License-Identifier: MIT
// Where weights come from: the files of a folder, or a table of parameters that is being trained.
// What is found may lie in a mapped file, or be made when it is asked for and belong to the source.
#ifndef TT_BASE_SOURCE_H
#define TT_BASE_SOURCE_H

#include "base/status.h"

struct tt_source {
    void *context;
    const char *name; // what messages call it

    // What there is under that name, or NULL: its dtype and shape, and its data where `acquire` is
    // NULL. Changes nothing, so that several threads may ask at once.
    const struct tt_view *(*find)(void *context, const char *name);

    // The tensor that `found` describes, with its data, which stay until it is released. NULL: what
    // find gives has them all along.
    enum tt_status (*acquire)(void *context, const struct tt_view *found, struct tt_view *view,
                              struct tt_error *err);

    // Ends what acquire began, once for each. Without acquire it is a hint: the data have been read
    // or laid out elsewhere, so that their pages need not stay in memory. May be NULL.
    void (*release)(void *context, const struct tt_view *view);
};

static inline enum tt_status tt_source_acquire(const struct tt_source *source,
                                               const struct tt_view *found, struct tt_view *view,
                                               struct tt_error *err) {
    if (source->acquire) return source->acquire(source->context, found, view, err);
    *view = *found;
    return TT_OK;
}

static inline void tt_source_release(const struct tt_source *source, const struct tt_view *view) {
    if (source->release) source->release(source->context, view);
}

#endif
