// SPDX-License-Identifier: MIT
#include "base/team.h"

#include <fcntl.h>
#include <omp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/threads.h"

enum { WATCHED = 16 }; // of a larger team, these stand for all

static const double look_each = 0.01;  // seconds
static const double look_first = 0.004;  // after the team became larger
static const double most_patience = 1, least_patience = 0.02; // until it is tried again

// OpenMP keeps a team for each thread that has parallel regions; so is this.
static _Thread_local struct team {
    int most, size;
    pid_t thread[WATCHED];
    int watched;
    double waited;   // seconds that they had waited for a processor, when it was last looked at
    double looked;   // at that time
    double next;     // when to look again
    double patience; // how long it stays small
    double changed;  // when its size was changed
} team;

// Seconds that a thread was ready to run and had no processor; 0 when the kernel does not say.
static double waited(pid_t thread) {
    char name[48], text[96];
    unsigned long long ran, waiting;
    snprintf(name, sizeof name, "/proc/self/task/%d/schedstat", (int)thread);
    int file = open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0) return 0;
    text[length] = '\0';
    return sscanf(text, "%llu %llu", &ran, &waiting) == 2 ? 1e-9 * (double)waiting : 0;
}

static double all_waited(void) {
    double sum = 0;
    for (int i = 0; i < team.watched && i < team.size; i++) sum += waited(team.thread[i]);
    return sum;
}

// How many threads are running or ready to run on the whole machine, this one among them; 0 when
// nobody says, or this program may not use all of the machine.
static int running(int *processors) {
    cpu_set_t allowed;
    char text[96];
    int count = 0;
    *processors = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (sched_getaffinity(0, sizeof allowed, &allowed) || CPU_COUNT(&allowed) != *processors)
        return 0;
    int file = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0) return 0;
    text[length] = '\0';
    return sscanf(text, "%*f %*f %*f %d/", &count) == 1 ? count : 0;
}

int tt_team_choice(int most, int k) {
    int size = most * k / TT_TEAM_SIZES;
    return size > 1 ? size : 1;
}

// The largest of them that is no larger than `fits`.
static int choose(int most, double fits) {
    int k = TT_TEAM_SIZES;
    while (k && tt_team_choice(most, k) > fits) k--;
    return tt_team_choice(most, k);
}

static void watch(int size, double now, double next) {
    team.size = size;
    team.changed = now;
    team.watched = size < WATCHED ? size : WATCHED;
#pragma omp parallel num_threads(size) if (size > 1)
    {
        int i = omp_get_thread_num();
        if (i < WATCHED) team.thread[i] = gettid();
    }
    team.waited = all_waited();
    team.looked = now;
    team.next = now + next;
}

static void begin(int most) {
    int processors, others = running(&processors) - 1;
    team.most = most;
    team.patience = least_patience;
    watch(others > 0 ? choose(most, processors - others) : most, tt_seconds(), look_first);
}

static void look(double now) {
    double sum = all_waited(), spent = (now - team.looked) * team.watched;
    double share = (sum - team.waited) / spent; // of the time that its threads waited
    team.waited = sum;
    team.looked = now;
    team.next = now + look_each;
    if (team.size > 1 && share > 0.08) {
        team.patience = 2 * team.patience < most_patience ? 2 * team.patience : most_patience;
        watch(choose(team.most, team.size * (1 - share)), now, look_each);
    } else if (team.size == team.most) {
        if (now - team.changed > 10 * team.patience) team.patience = least_patience;
    } else if (share < 0.02 && now - team.changed > team.patience) {
        // OpenMP ends threads of teams that become smaller, and the process when it cannot make
        // them again.
        if (!tt_threads_make(team.most, NULL)) watch(team.most, now, look_first);
        else team.changed = now;
    }
}

int tt_team_size(int most) {
    if (most < 2) return most;
    if (most != team.most) {
        begin(most);
        return team.size;
    }
    double now = tt_seconds();
    if (now >= team.next) look(now);
    return team.size;
}
