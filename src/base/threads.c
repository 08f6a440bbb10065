// SPDX-License-Identifier: MIT
#include "base/threads.h"

#include <ctype.h>
#include <errno.h>
#include <omp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/stack.h"

// Of LLVM's runtime, which has a default of its own.
extern size_t kmp_get_stacksize_s(void) __attribute__((weak));

// OMP_NUM_THREADS is looked at before OpenMP is: LLVM's runtime aborts when it is far too large.
static enum tt_status check_variable(struct tt_error *err) {
    const char *variable = getenv("OMP_NUM_THREADS"), *number = variable;
    while (number && isspace((unsigned char)*number)) number++;
    if (!number || !isdigit((unsigned char)*number) ||
        strtoull(number, NULL, 10) <= TT_MOST_THREADS)
        return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "OMP_NUM_THREADS: found %s, expected at most %d", variable,
                   TT_MOST_THREADS);
}

enum tt_status tt_threads_count(size_t asked, int *threads, struct tt_error *err) {
    if (asked > TT_MOST_THREADS)
        return tt_fail(err, TT_BAD_INPUT, "threads: found %zu, expected at most %d", asked,
                       TT_MOST_THREADS);
    enum tt_status status = asked && !kmp_get_stacksize_s ? TT_OK : check_variable(err);
    if (status) return status;
    *threads = asked ? (int)asked : omp_get_max_threads();
    if (*threads > 0 && *threads <= TT_MOST_THREADS) return TT_OK;
    if (*threads != omp_get_num_procs())
        return tt_fail(err, TT_BAD_INPUT, "omp_set_num_threads: found %d, expected at most %d",
                       *threads, TT_MOST_THREADS);
    *threads = TT_MOST_THREADS; // of a larger machine
    return TT_OK;
}

// Bytes of stack that OpenMP gives a thread; 0: as pthreads do. The variables are numbers of KiB,
// or of what a letter after them says.
static size_t openmp_stack(void) {
    static const char *const variables[] = {"OMP_STACKSIZE", "GOMP_STACKSIZE"};
    static const char units[] = "bkmg";
    if (kmp_get_stacksize_s) return kmp_get_stacksize_s();
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        const char *text = getenv(variables[i]);
        char *end;
        if (!text) continue;
        errno = 0;
        size_t size = strtoull(text, &end, 10);
        if (end == text || errno) continue;
        while (isspace((unsigned char)*end)) end++;
        const char *unit = *end ? strchr(units, tolower((unsigned char)*end)) : units + 1;
        if (!unit || size > SIZE_MAX >> 10 * (unit - units)) continue;
        return size << 10 * (unit - units);
    }
    return 0;
}

// A gate that the threads wait behind until all have been started.
struct gate {
    pthread_mutex_t lock;
};

static void *wait_at(void *context) {
    struct gate *gate = context;
    pthread_mutex_lock(&gate->lock);
    pthread_mutex_unlock(&gate->lock);
    return NULL;
}

// Starts so many threads, and ends them when all are there, or one could not be started: *error
// then says why. Returns how many there were.
static int try_threads(int count, int *error) {
    struct gate gate = {PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[TT_MOST_THREADS];
    pthread_attr_t attributes;
    int started = 0;
    if ((*error = pthread_attr_init(&attributes))) return 0;
    size_t stack = openmp_stack();
    if (stack) pthread_attr_setstacksize(&attributes, stack); // one too small is ignored there, too
    // Room for what the runtime itself takes for its threads.
    size_t spare_bytes = ((size_t)1 << 20) + (size_t)count * 4096;
    void *spare = malloc(spare_bytes);
    *error = spare ? 0 : ENOMEM;
    pthread_mutex_lock(&gate.lock);
    for (; !*error && started < count; started += !*error)
        *error = pthread_create(&threads[started], &attributes, wait_at, &gate);
    pthread_mutex_unlock(&gate.lock);
    for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
    free(spare);
    pthread_attr_destroy(&attributes);
    return started;
}

enum tt_status tt_threads_make(int threads, struct tt_error *err) {
    int size = threads < omp_get_thread_limit() ? threads : omp_get_thread_limit(), error;
    if (omp_get_active_level() >= omp_get_max_active_levels()) size = 1; // no team within a team
    enum tt_status status = tt_stack_check_here(TT_STACK_NEED, err);
    if (status || size < 2) return status;
    int started = try_threads(size - 1, &error) + 1;
    if (started < size)
        return tt_fail(err, TT_SYSTEM, "threads: %d of %d could be started: %s; ask for fewer "
                       "(--threads, OMP_NUM_THREADS), or for smaller stacks (OMP_STACKSIZE=256k), "
                       "or raise the limits (ulimit -u, -v)", started, size, strerror(error));
    size_t least = SIZE_MAX;
#pragma omp parallel num_threads(threads) reduction(min : least)
    if (omp_get_thread_num()) least = tt_stack_left();
    return tt_stack_check(least, TT_STACK_NEED,
                          "stack of OpenMP's threads (OMP_STACKSIZE, ulimit -s)", err);
}
