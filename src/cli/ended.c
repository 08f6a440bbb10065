// SPDX-License-Identifier: MIT
// OpenMP's runtime ends the process, with exit status 1, when it cannot have a thread or memory.
// Here 1 means that a comparison failed, so that such an end becomes "the system failed".
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static bool returned;

static void at_exit(void) {
    static const char text[] = "tintype: ended by OpenMP, which says why above: too few threads "
                               "or too little memory; --threads 1 needs the least of both\n";
    if (returned) return;
    if (write(STDERR_FILENO, text, strlen(text)) < 0) _exit(TT_SYSTEM); // nobody hears it
    _exit(TT_SYSTEM);
}

bool cli_expect_return(void) {
    return !atexit(at_exit);
}

void cli_returned(void) {
    returned = true;
}
