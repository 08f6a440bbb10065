// SPDX-License-Identifier: MIT
// Ctrl-C and kill: the run stops before its next node, nothing half-written stays, and the exit
// status is 128 and the signal's number. A second signal ends the program on the spot.
#include <signal.h>

#include "cli/cli.h"

static volatile sig_atomic_t caught;

static void note(int signal) {
    caught = signal;
}

void cli_catch_signals(void) {
    const int signals[] = {SIGINT, SIGTERM};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action = {0}, before;
        // What was started to ignore a signal (nohup, a script's background) goes on ignoring it.
        if (sigaction(signals[i], NULL, &before) || before.sa_handler == SIG_IGN) continue;
        action.sa_handler = note;
        action.sa_flags = SA_RESTART | (int)SA_RESETHAND;
        sigaction(signals[i], &action, NULL);
    }
}

int cli_signal(void) {
    return caught;
}

int cli_cancelled(void *context) {
    (void)context;
    return caught != 0;
}

enum tt_status cli_go_on(struct cli *cli) {
    return caught ? tt_fail(&cli->error, TT_CANCELLED, "cancelled") : TT_OK;
}
