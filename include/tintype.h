// SPDX-License-Identifier: MIT
// tintype: latent text-to-image diffusion on a plain CPU. The public interface.
#ifndef TINTYPE_H
#define TINTYPE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TT_VERSION "0.1.0"

// What a call came to; the same numbers are the exit codes of the command line.
enum tt_status {
    TT_OK = 0,
    TT_MISMATCH = 1,  // a comparison failed
    TT_BAD_INPUT = 2, // bad usage or bad input: the message names file, key, found, expected
    TT_SYSTEM = 3,    // the system failed: memory, disk
};

// Where a failing call leaves its message. Callers own it; zero-initialise before the first use.
struct tt_error {
    enum tt_status status;
    char message[1024];
};

#ifdef __cplusplus
}
#endif
#endif
