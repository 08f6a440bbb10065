// SPDX-License-Identifier: MIT
// Whether the machine is busy with something else, and where what was measured of it is kept.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "cli/profile.h"

static double clock_of(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// Threads that run or are ready, on all the machine, beside the one that asks.
static double other_threads(void) {
    unsigned running = 0;
    FILE *file = fopen("/proc/loadavg", "re");
    bool good = file && fscanf(file, "%*f %*f %*f %u/", &running) == 1 && running > 0;
    if (file) fclose(file);
    return good ? running - 1.0 : -1.0;
}

static double switches(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_nivcsw;
}

void profile_machine_before(struct profile_machine *m) {
    enum { LOOKS = 5 };
    struct timespec pause = {0, 4000000};
    *m = (struct profile_machine){.processors = (double)sysconf(_SC_NPROCESSORS_ONLN),
                                  .others = 1e9};
    for (int i = 0; i < LOOKS; i++) { // the least of some moments: a daemon that wakes is no load
        double now = other_threads();
        if (now < m->others) m->others = now;
        nanosleep(&pause, NULL);
    }
    double begun = clock_of(CLOCK_MONOTONIC), ran = clock_of(CLOCK_THREAD_CPUTIME_ID);
    while (clock_of(CLOCK_MONOTONIC) < begun + 0.02) {}
    m->share = (clock_of(CLOCK_THREAD_CPUTIME_ID) - ran) / (clock_of(CLOCK_MONOTONIC) - begun);
    m->switches = switches();
    m->seconds = clock_of(CLOCK_MONOTONIC);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void profile_machine_after(struct profile_machine *m, const double *seconds, size_t repeat) {
    m->switches = switches() - m->switches;
    m->seconds = clock_of(CLOCK_MONOTONIC) - m->seconds;
    double *sorted = malloc((repeat + 1) * sizeof *sorted);
    m->spread = 0;
    if (sorted && repeat > 2) {
        memcpy(sorted, seconds, repeat * sizeof *sorted);
        qsort(sorted, repeat, sizeof *sorted, by_size);
        double middle = sorted[repeat / 2];
        m->spread = (sorted[3 * (repeat - 1) / 4] - sorted[(repeat - 1) / 4]) / middle;
    }
    free(sorted);
}

const char *profile_cache(char path[PROFILE_PATH]) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int length = -1;
    if (cache && *cache == '/') length = snprintf(path, PROFILE_PATH, "%s/tintype", cache);
    else if (home && *home == '/') length = snprintf(path, PROFILE_PATH, "%s/.cache/tintype", home);
    return length > 0 && length < PROFILE_PATH ? path : NULL;
}
