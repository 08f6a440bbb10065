// SPDX-License-Identifier: MIT
// Recordings are read here; what they tell stands in tintype.h.
#ifndef TT_IO_RECORDING_H
#define TT_IO_RECORDING_H

#include "base/poll.h"
#include "io/folder.h"

// As tt_recording_open(), from a folder that is open. The recording closes it, or a failure does.
// poll (NULL: nobody) is asked while values are looked at, which are as many as their files hold.
enum tt_status tt_recording_read(struct tt_folder *folder, const struct tt_poll *poll,
                                 struct tt_recording **out, struct tt_error *err);

#endif
