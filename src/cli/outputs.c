// SPDX-License-Identifier: MIT
// The outputs that a command line names: files, or "-" for standard output. Asked for before the
// work, written after it.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

bool cli_is_standard_output(const char *path) {
    return !strcmp(path, "-") || !strcmp(path, "/dev/stdout");
}

enum tt_status cli_plan(struct cli *cli, const char *path) {
    if (!cli_is_standard_output(path)) return tt_files_plan(cli->files, path, &cli->error);
    const char *wrong = cli->json        ? "--json and an output '-'"
                        : cli->uses_stdout ? "two outputs '-'"
                        : isatty(STDOUT_FILENO) ? "a terminal for the output '-'" : NULL;
    cli->uses_stdout = true;
    if (!wrong) return TT_OK;
    return tt_fail(&cli->error, TT_BAD_INPUT, "found %s, expected standard output to be a file or "
                   "a pipe for one of them alone", wrong);
}

// Whether the name, in lower or upper case, ends in one of them.
static bool ends_in(const char *path, const char *const *endings) {
    size_t length = strlen(path);
    for (; *endings; endings++) {
        size_t tail = strlen(*endings);
        if (length >= tail && !strcasecmp(path + length - tail, *endings)) return true;
    }
    return false;
}

enum tt_status cli_plan_picture(struct cli *cli, const char *path) {
    enum tt_image_format format;
    enum tt_status status = TT_OK;
    if (!cli_is_standard_output(path)) status = tt_image_format(path, &format, &cli->error);
    return status ? status : cli_plan(cli, path);
}

enum tt_status cli_plan_latents(struct cli *cli, const char *path) {
    static const char *const others[] = {".png", ".jpg", ".jpeg", ".svg", ".json", NULL};
    if (ends_in(path, others))
        return tt_fail(&cli->error, TT_BAD_INPUT, "%s: latents are written as safetensors: "
                       "expected a name that ends in .safetensors", path);
    return cli_plan(cli, path);
}

enum tt_status cli_plan_chart(struct cli *cli, const char *path) {
    static const char *const wanted[] = {".svg", NULL};
    if (!cli_is_standard_output(path) && !ends_in(path, wanted))
        return tt_fail(&cli->error, TT_BAD_INPUT, "%s: charts are written as SVG: expected a name "
                       "that ends in .svg", path);
    return cli_plan(cli, path);
}

static enum tt_status put(struct cli *cli, const char *path, const void *data, size_t size) {
    if (!cli_is_standard_output(path))
        return tt_write_file(cli->files, path, data, size, &cli->error);
    fwrite(data, 1, size, stdout); // main() asks standard output how it went
    return TT_OK;
}

enum tt_status cli_write(struct cli *cli, const char *path, const void *data, size_t size) {
    enum tt_status status = cli_go_on(cli);
    return status ? status : put(cli, path, data, size);
}

enum tt_status cli_keep_picture(struct cli *cli, const char *path, const struct tt_image *image,
                                const char *settings) {
    enum tt_image_format format = TT_PNG;
    void *data = NULL;
    size_t size = 0;
    enum tt_status status = TT_OK;
    if (!cli_is_standard_output(path)) status = tt_image_format(path, &format, &cli->error);
    if (!status)
        status = tt_image_encode(path, format, image, settings, &data, &size, &cli->error);
    if (!status) status = put(cli, path, data, size);
    free(data);
    return status;
}

enum tt_status cli_write_picture(struct cli *cli, const char *path, const struct tt_image *image,
                                 const char *settings) {
    enum tt_status status = cli_go_on(cli);
    return status ? status : cli_keep_picture(cli, path, image, settings);
}

enum tt_status cli_keep_latents(struct cli *cli, const char *path, const float *latents,
                                 const struct tt_shape *shape) {
    struct tt_view view = {"latents", TT_F32, *shape, latents,
                           tt_shape_count(shape) * sizeof *latents};
    void *data = NULL;
    size_t size = 0;
    enum tt_status status =
        tt_safetensors_encode(path, &view, 1, NULL, &data, &size, &cli->error);
    if (!status) status = put(cli, path, data, size);
    free(data);
    return status;
}
