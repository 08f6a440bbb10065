// SPDX-License-Identifier: MIT
// A harness is one file, fuzz_<name>.c, that defines LLVMFuzzerTestOneInput: libFuzzer's main calls
// it for `make fuzz`, replay.c's main for `make test`. It must leave nothing behind, and abort on
// anything that should not be.
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Like assert, in every build.
#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

// What holds for every failing call: a status that says whose fault it is, and a message.
#define must_explain(status, error)                                                                \
    must((status) == (error).status && !(status) == !(error).message[0] && (status) != TT_MISMATCH)

#endif
