// SPDX-License-Identifier: MIT
// How much of a thread's stack is left: a product of matrices packs its operand there, 174 KiB in
// one frame.
#ifndef TT_BASE_STACK_H
#define TT_BASE_STACK_H

#include "base/status.h"

// What must be left where an engine is made and where a thread of a team begins, so that one with
// a stack of 256 KiB will do; and where a network is called. Measured: 188 KiB below such a call,
// 216 where a model is trained.
enum { TT_STACK_NEED = 222 << 10, TT_STACK_CALL = 192 << 10 };

// Bytes of the calling thread's stack below the caller's frame; SIZE_MAX: it has no limit, or it is
// a stack that the system does not know (a coroutine's).
size_t tt_stack_left(void);

// TT_SYSTEM when `left` is less than `need`: found and expected. which: the stack, and what sets
// its size.
enum tt_status tt_stack_check(size_t left, size_t need, const char *which, struct tt_error *err);

// The same of the calling thread.
enum tt_status tt_stack_check_here(size_t need, struct tt_error *err);

#endif
