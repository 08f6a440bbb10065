// SPDX-License-Identifier: MIT
// Signals that ask a run to stop: it stops before its next node, nothing half-written stays, and
// the exit status is 128 and the signal's number. A second one ends the program on the spot.
#include <signal.h>

#include "cli/cli.h"

static volatile sig_atomic_t caught;

// A terminal that is closed sends SIGHUP, and the shell once more; when its time is up a process is
// sent SIGXCPU every second: the same wish again. Who types or sends another has lost patience.
static void note(int number) {
    if (caught && number != SIGHUP && number != SIGXCPU) {
        signal(number, SIG_DFL);
        raise(number); // comes when this handler has returned
    }
    if (!caught) caught = number;
}

void cli_catch_signals(void) {
    const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXCPU};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        struct sigaction action = {0}, before;
        // What was started to ignore a signal (nohup, a script's background) goes on ignoring it.
        if (sigaction(signals[i], NULL, &before) || before.sa_handler == SIG_IGN) continue;
        action.sa_handler = note;
        action.sa_flags = SA_RESTART;
        sigaction(signals[i], &action, NULL);
    }
    signal(SIGXFSZ, SIG_IGN); // a file that may not grow is a write that fails
    cli_catch_lost_pages();
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
