// SPDX-License-Identifier: MIT
#include <stdio.h>

#include "cli/cli.h"

enum tt_status cli_kernels(struct cli *cli, int argc, char **argv) {
    const struct cli_option options[] = {{0}};
    enum tt_status status = cli_options(cli, options, argc, argv, NULL, 0);
    if (status || cli->help) return status;
    const char *name, *class_name, *variant;
    json_t *list = json_array();
    if (!cli->json) printf("%-28s %-8s %s\n", "kernel", "class", "variant");
    for (size_t i = 0; tt_kernel_list(cli->engine, i, &name, &class_name, &variant); i++) {
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", name, "class", class_name,
                                              "variant", variant));
        if (!cli->json) printf("%-28s %-8s %s\n", name, class_name, variant);
    }
    json_t *root = json_pack("{s:s, s:o}", "cpu", tt_engine_cpu(cli->engine), "kernels", list);
    if (cli->json) return cli_print_json(cli, root, 0);
    json_decref(root);
    return TT_OK;
}
