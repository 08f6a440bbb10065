// SPDX-License-Identifier: MIT
#include <stdio.h>

#include "cli/cli.h"

enum tt_status cli_kernels(struct cli *cli, int argc, char **argv) {
    const struct cli_option options[] = {{0}};
    enum tt_status status = cli_options(cli, options, argc, argv, NULL, 0);
    if (status || cli->help) return status;
    const char *name, *class_name, *variant, *cpu = tt_engine_cpu(cli->engine);
    if (cli->json) printf("{\"cpu\": \"%s\", \"kernels\": [", cpu);
    else printf("%-28s %-8s %s\n", "kernel", "class", "variant");
    for (size_t i = 0; tt_kernel_list(cli->engine, i, &name, &class_name, &variant); i++) {
        const char *format = cli->json
                                 ? "%s{\"name\": \"%s\", \"class\": \"%s\", \"variant\": \"%s\"}"
                                       : "%s%-28s %-8s %s\n";
        printf(format, cli->json && i ? ", " : "", name, class_name, variant);
    }
    if (cli->json) puts("]}");
    return TT_OK;
}
