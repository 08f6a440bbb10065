// SPDX-License-Identifier: MIT
#include "generate_settings.h"

#include <math.h>

#include "base/growth.h"

static const struct tt_settings defaults = {.count = 1, .steps = 20, .guidance_scale = 7.5,
                                            .guidance_stop = 1};

void tt_settings_defaults(struct tt_settings *settings, size_t size) {
    tt_growth_give(settings, size, &defaults, sizeof defaults);
}

enum tt_status tt_settings_check(const struct tt_model *model, const struct tt_settings *given,
                                 struct tt_settings *full, struct tt_error *err) {
    struct tt_settings s = defaults;
    enum tt_status status = tt_growth_take(&s, sizeof s, given, "struct tt_settings", err);
    if (status) return status;
    status = tt_check_part(model, TT_PART_UNET, err);
    if (status) return status;
    if (!s.count) return tt_fail(err, TT_BAD_INPUT, "count: found 0, expected at least 1");
    if (!s.steps) return tt_fail(err, TT_BAD_INPUT, "steps: found 0, expected at least 1");
    if (!(fabs(s.guidance_scale) <= TT_GUIDANCE_MOST))
        return tt_fail(err, TT_BAD_INPUT, "guidance_scale: found %g, expected %d to %d",
                       s.guidance_scale, -TT_GUIDANCE_MOST, TT_GUIDANCE_MOST);
    if (!(s.guidance_rescale >= 0 && s.guidance_rescale <= 1))
        return tt_fail(err, TT_BAD_INPUT, "guidance_rescale: found %g, expected 0 to 1",
                       s.guidance_rescale);
    if (!(s.guidance_start >= 0 && s.guidance_start <= s.guidance_stop && s.guidance_stop <= 1))
        return tt_fail(err, TT_BAD_INPUT,
                       "guidance_start, guidance_stop: found %g, %g, expected 0 <= start <= stop "
                       "<= 1", s.guidance_start, s.guidance_stop);
    const char *text = s.prompt && *s.prompt ? s.prompt : s.negative;
    if (model->unconditional && text && *text)
        return tt_fail(err, TT_BAD_INPUT, "prompt: found '%s', expected none: %s is unconditional, "
                       "it draws without a text", text, model->info.name);
    status = tt_model_size(model, &s.width, &s.height, err);
    if (!status) *full = s;
    return status;
}
