// SPDX-License-Identifier: MIT
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

double cli_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool wanted(const struct cli *cli) {
    return !cli->quiet && isatty(STDERR_FILENO);
}

void cli_progress_begin(struct cli_progress *p, const struct cli *cli, const char *what) {
    *p = (struct cli_progress){cli, what, cli_seconds()};
}

void cli_progress_step(struct cli_progress *p, size_t step, size_t steps) {
    if (!wanted(p->cli)) return;
    enum { WIDTH = 30 };
    char bar[WIDTH + 1];
    for (int i = 0; i < WIDTH; i++) bar[i] = (size_t)i * steps < step * WIDTH ? '#' : '.';
    bar[WIDTH] = 0;
    double spent = cli_seconds() - p->started, each = step ? spent / (double)step : 0;
    fprintf(stderr, "\r%s [%s] %zu/%zu  %.2f s/step  %.0f s left \033[K", p->what, bar, step, steps,
            each, each * (double)(steps - step));
}

void cli_progress_end(struct cli_progress *p) {
    if (wanted(p->cli)) fputs("\r\033[K", stderr);
}
