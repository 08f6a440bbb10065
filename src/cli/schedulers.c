// SPDX-License-Identifier: MIT
#include <stdio.h>

#include "cli/cli.h"

enum tt_status cli_schedulers(struct cli *cli, int argc, char **argv) {
    const struct cli_option options[] = {{0}};
    enum tt_status status = cli_options(cli, options, argc, argv, NULL, 0);
    if (status || cli->help) return status;
    const char *name, *class_name;
    if (cli->json) fputs("{\"schedulers\": [", stdout);
    for (size_t i = 0; tt_scheduler_list(i, &name, &class_name); i++)
        printf(cli->json ? "%s{\"name\": \"%s\", \"class\": \"%s\"}" : "%s%-18s %s\n",
               cli->json && i ? ", " : "", name, class_name);
    if (cli->json) puts("]}");
    return TT_OK;
}
