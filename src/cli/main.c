// SPDX-License-Identifier: MIT
#include "tintype.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    if (argc == 2 && !strcmp(argv[1], "--version")) {
        puts("tintype " TT_VERSION);
        return TT_OK;
    }
    fputs("usage: tintype VERB [OPTION]...\n", stderr);
    return TT_BAD_INPUT;
}
