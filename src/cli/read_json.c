// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"

enum tt_status cli_read_json(struct cli *cli, const char *path, json_t **root) {
    enum { MOST = 100000000 };
    struct stat info;
    json_error_t error;
    enum tt_status status = tt_files_read(cli->files, path, &cli->error);
    if (status) return status;
    FILE *file = fopen(path, "re");
    if (!file || fstat(fileno(file), &info) || !S_ISREG(info.st_mode)) {
        status = tt_fail(&cli->error, TT_BAD_INPUT, "%s: %s", path,
                         file ? "found no file" : strerror(errno));
    } else if (info.st_size > MOST) {
        status = tt_fail(&cli->error, TT_BAD_INPUT, "%s: found %lld bytes of JSON, expected at "
                         "most %d", path, (long long)info.st_size, MOST);
    } else {
        *root = json_loadf(file, JSON_REJECT_DUPLICATES, &error);
        if (!*root)
            status = tt_fail(&cli->error, TT_BAD_INPUT, "%s: line %d: %s", path, error.line,
                             error.text);
        else if (!json_is_object(*root))
            status = tt_fail(&cli->error, TT_BAD_INPUT, "%s: found no JSON object", path);
    }
    if (file) fclose(file);
    return status;
}
