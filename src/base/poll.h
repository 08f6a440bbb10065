// SPDX-License-Identifier: MIT
// Work that can take long asks now and then whether it is still wanted.
#ifndef TT_BASE_POLL_H
#define TT_BASE_POLL_H

#include "base/status.h"

// Who is asked: a non-zero answer stops the work with TT_CANCELLED. Zero-initialised: nobody.
struct tt_poll {
    int (*cancelled)(void *context);
    void *context;
};

// Whether to stop; poll may be NULL.
static inline int tt_poll_cancelled(const struct tt_poll *poll) {
    return poll && poll->cancelled && poll->cancelled(poll->context);
}

// The same as a status; what is the work, for the message.
static inline enum tt_status tt_poll_ask(const struct tt_poll *poll, const char *what,
                                         struct tt_error *err) {
    return tt_poll_cancelled(poll) ? tt_fail(err, TT_CANCELLED, "cancelled while reading %s", what)
                                   : TT_OK;
}

#endif
