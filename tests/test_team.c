// SPDX-License-Identifier: MIT
// Teams that become smaller while their threads wait for processors, and larger again; what steps
// need of scratch at each size.
#include "util.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/team.h"
#include "base/threads.h"

// Whether the kernel tells how long a thread waited.
static bool told(void) {
    return !access("/proc/self/schedstat", R_OK);
}

// So many short regions as fit into the time, each as large as the team is; its last size.
static int work(int most, double seconds) {
    int size = most;
    for (double end = tt_seconds() + seconds; tt_seconds() < end;) {
        size = tt_team_size(most);
#pragma omp parallel for num_threads(size) schedule(static)
        for (int i = 0; i < 200; i++)
            for (volatile int j = 0; j < 100; j++) {}
    }
    return size;
}

static pid_t spinner(void) {
    pid_t child = fork();
    if (!child)
        for (;;) {}
    return child;
}

static void end(pid_t child) {
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

START_TEST(gives_way) {
    cpu_set_t before, one;
    if (!told()) {
        test_skip("the kernel does not tell how long threads wait");
        return;
    }
    ck_assert_int_eq(sched_getaffinity(0, sizeof before, &before), 0);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &before)) cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ck_assert_int_eq(sched_setaffinity(0, sizeof one, &one), 0); // two threads on one processor
    pid_t child = spinner();
    bool small = false;
    for (int i = 0; i < 40 && !small; i++) small = work(2, 0.05) == 1;
    end(child);
    ck_assert_msg(small, "two threads of one processor, which a third uses, stay two");
}
END_TEST

START_TEST(sizes) {
    for (int most = 1; most <= TT_MOST_THREADS; most++) {
        ck_assert_int_eq(tt_team_choice(most, 0), 1);
        ck_assert_int_eq(tt_team_choice(most, TT_TEAM_SIZES), most);
        for (int k = 0; k < TT_TEAM_SIZES; k++)
            ck_assert_int_le(tt_team_choice(most, k), tt_team_choice(most, k + 1));
    }
    ck_assert_int_eq(tt_team_size(1), 1);
}
END_TEST

// Whatever the machine does, the size is one of them.
START_TEST(one_of_them) {
    static const int most[] = {2, 3, 5, 9, 16};
    pid_t child = spinner();
    for (size_t i = 0; i < sizeof most / sizeof *most; i++)
        for (int turn = 0; turn < 5; turn++) {
            int size = work(most[i], 0.01), k = 0;
            while (k < TT_TEAM_SIZES && tt_team_choice(most[i], k) != size) k++;
            ck_assert_int_eq(tt_team_choice(most[i], k), size);
        }
    end(child);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("team");
    TCase *tcase = tcase_create("team");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, gives_way);
    tcase_add_test(tcase, sizes);
    tcase_add_test(tcase, one_of_them);
    suite_add_tcase(suite, tcase);
    return test_main(suite, NULL);
}
