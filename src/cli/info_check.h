// SPDX-License-Identifier: MIT
// `info --check`, beside the rest of `info`.
#ifndef TT_CLI_INFO_CHECK_H
#define TT_CLI_INFO_CHECK_H

#include "cli/cli.h"

// What stands below the options of `info`: fields, codes, kinds.
const char *info_check_help(void);
// TT_MISMATCH: there is an error among the findings. quick: no values are read.
enum tt_status cli_info_check(struct cli *cli, const char *path, bool quick);

#endif
