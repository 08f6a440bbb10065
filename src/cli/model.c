// SPDX-License-Identifier: MIT
#include <string.h>

#include "cli/cli.h"

enum tt_status cli_open_model(struct cli *cli, const char *path, const char *conv,
                              struct tt_model **model) {
    bool direct = conv && !strcmp(conv, "direct");
    if (conv && !direct && strcmp(conv, "auto"))
        return tt_fail(&cli->error, TT_BAD_INPUT, "--conv: found '%s', expected auto or direct",
                       conv);
    struct tt_engine engine = {
        .kernels = &cli->kernels,
        .plan = {.threads = (int)cli->threads, .fold = true, .conv_direct = direct},
    };
    return tt_model_open(path, &engine, model, &cli->error);
}

enum tt_status cli_size(struct cli *cli, const struct tt_model *model, size_t *width,
                        size_t *height) {
    size_t factor = tt_model_factor(model);
    if (!*width) *width = model->unet.sample_width * factor;
    if (!*height) *height = model->unet.sample_height * factor;
    if (!*width || !*height)
        return tt_fail(&cli->error, TT_BAD_INPUT,
                       "%s: unet/config.json has no sample_size: give -W and -H",
                       tt_folder_name(model->folder));
    return tt_check_size(model, *width, *height, &cli->error);
}

enum tt_status cli_scheduler(struct cli *cli, struct tt_model *model, const char *name,
                             const struct cli_list *settings, struct tt_scheduler **scheduler) {
    enum tt_status status = TT_OK;
    for (int i = 0; !status && i < settings->count; i++)
        status = tt_scheduler_config_set(&model->scheduler, settings->item[i], &cli->error);
    return status ? status : tt_scheduler_new(scheduler, name, &model->scheduler, &cli->error);
}
