// SPDX-License-Identifier: MIT
// The page of HTML that --html writes: what --json prints, to be looked at. It stands alone: its
// style, its script and the data are inside, and a Content-Security-Policy lets it fetch nothing
// and run no other script.
#ifndef TT_CLI_REPORT_H
#define TT_CLI_REPORT_H

#include <jansson.h>

#include "cli/cli.h"

// The option of the verbs that write one.
#define CLI_HTML(target) \
    {"html", 0, CLI_TEXT, "F.html", "a report to look at: one file that stands alone; - for " \
     "standard output; default: none", target}

// Like cli_plan(), to be asked before the work but after what is read was opened: TT_BAD_INPUT,
// too, when the name does not end in .html or .htm. NULL is none.
enum tt_status report_plan(struct cli *cli, const char *path);

// Writes it. root is what --json prints: its "format" says whether a tintype-verification or a
// tintype-profile; what was noted is taken from cli. TT_SYSTEM: out of memory, or not written.
enum tt_status report_write(struct cli *cli, const char *path, const json_t *root);

// The page as text, which the caller frees; NULL: out of memory.
char *report_page(const json_t *root, size_t *size);

#endif
