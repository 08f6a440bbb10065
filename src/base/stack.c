// SPDX-License-Identifier: MIT
#include "base/stack.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

// The first thread's stack grows down from where the system put the name of the program, as far as
// the limit of today lets it. pthread_getattr_np() would read /proc/self/maps to find it.
static size_t first_thread_left(uintptr_t here) {
    struct rlimit limit;
    uintptr_t top = getauxval(AT_EXECFN);
    if (!top || here > top || getrlimit(RLIMIT_STACK, &limit) || limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    size_t used = top - here;
    return used < limit.rlim_cur ? limit.rlim_cur - used : 0;
}

size_t tt_stack_left(void) {
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    pthread_attr_t attributes;
    void *begin = NULL;
    size_t size = 0;
    if (gettid() == getpid()) return first_thread_left(here);
    if (pthread_getattr_np(pthread_self(), &attributes)) return SIZE_MAX;
    int failed = pthread_attr_getstack(&attributes, &begin, &size);
    pthread_attr_destroy(&attributes);
    uintptr_t lowest = (uintptr_t)begin;
    return failed || here < lowest || here - lowest >= size ? SIZE_MAX : here - lowest;
}

enum tt_status tt_stack_check(size_t left, size_t need, const char *which, struct tt_error *err) {
    if (left >= need) return TT_OK;
    return tt_fail(err, TT_SYSTEM, "%s: found %zu KiB left, expected %zu KiB, as a stack of 256 "
                   "KiB has", which, left >> 10, need >> 10);
}

enum tt_status tt_stack_check_here(size_t need, struct tt_error *err) {
    return tt_stack_check(tt_stack_left(), need, "stack of the calling thread (ulimit -s)", err);
}
