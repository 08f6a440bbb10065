// SPDX-License-Identifier: MIT
// Recordings are read here; what they tell stands in tintype.h.
#ifndef TT_RECORDING_H
#define TT_RECORDING_H

#include "io/folder.h"

// As tt_recording_open(), from a folder that is open. The recording closes it, or a failure does.
enum tt_status tt_recording_read(struct tt_folder *folder, struct tt_recording **out,
                                 struct tt_error *err);

#endif
