// SPDX-License-Identifier: MIT
#include <stdio.h>

#include "cli/cli.h"

enum tt_status cli_kernels(struct cli *cli, int argc, char **argv) {
    const struct cli_option options[] = {{0}};
    enum tt_status status = cli_options(cli, options, argc, argv, NULL, 0);
    if (status || cli->help) return status;
    const char *const classes[] = {[TT_EXACT] = "exact", [TT_BOUNDED] = "bounded"};
    const char *cpu = tt_cpu_name(cli->kernels.mask);
    if (cli->json) printf("{\"cpu\": \"%s\", \"kernels\": [", cpu);
    else printf("%-28s %-8s %s\n", "kernel", "class", "variant");
    for (int i = 0; i < TT_KERNEL_COUNT; i++) {
        const char *format = cli->json
                                 ? "%s{\"name\": \"%s\", \"class\": \"%s\", \"variant\": \"%s\"}"
                                       : "%s%-28s %-8s %s\n";
        printf(format, cli->json && i ? ", " : "", tt_kernel_names[i],
               classes[tt_kernel_exactness[i]], cli->kernels.variant[i]);
    }
    if (cli->json) puts("]}");
    return TT_OK;
}
