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

static bool on_terminal(const struct cli *cli) {
    return !cli->quiet && isatty(STDERR_FILENO);
}

void cli_progress_begin(struct cli_progress *p, const struct cli *cli, const char *what) {
    double now = cli_seconds(), told = p->cli == cli ? p->told : now;
    *p = (struct cli_progress){.cli = cli, .what = what, .started = now, .told = told};
}

// In a log nobody wants a bar, nor a line for every step.
static void print_line(struct cli_progress *p, size_t step, size_t steps) {
    double now = cli_seconds(), each = step ? (now - p->started) / (double)step : 0;
    if (now - p->told < CLI_PROGRESS_SECONDS) return;
    p->told = now;
    fprintf(stderr, "tintype %s: %s: %zu/%zu, %.3g s a step, %.0f s left%s%s\n", p->cli->verb,
            p->what, step, steps, each, each * (double)(steps - step), *p->more ? ", " : "",
            p->more);
}

void cli_progress_step(struct cli_progress *p, size_t step, size_t steps) {
    if (p->cli->quiet) return;
    if (!on_terminal(p->cli)) {
        print_line(p, step, steps);
        return;
    }
    enum { WIDTH = 30 };
    char bar[WIDTH + 1];
    for (int i = 0; i < WIDTH; i++) bar[i] = (size_t)i * steps < step * WIDTH ? '#' : '.';
    bar[WIDTH] = 0;
    double spent = cli_seconds() - p->started, each = step ? spent / (double)step : 0;
    fprintf(stderr, "\r%s [%s] %zu/%zu  %.2f s/step  %.0f s left %s\033[K", p->what, bar, step,
            steps, each, each * (double)(steps - step), p->more);
}

void cli_progress_end(struct cli_progress *p) {
    if (on_terminal(p->cli)) fputs("\r\033[K", stderr);
}
