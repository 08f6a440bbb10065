// SPDX-License-Identifier: MIT
#include "cli/axis.h"

#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

static const char *const names[AXES] = {"steps", "guidance-scale", "scheduler", "seed",
                                        "strength", "prompt"};

// Takes one value off *at, in place, and the comma after it; *more: there was one.
static enum tt_status take_value(const char *option, char **at, const char **value, bool *more,
                                 struct tt_error *err) {
    char *from = *at + strspn(*at, " "), *to;
    if (*from == '"') {
        *value = to = from++;
        while (*from && !(from[0] == '"' && from[1] != '"')) {
            if (*from == '"') from++;
            *to++ = *from++;
        }
        if (!*from)
            return tt_fail(err, TT_BAD_INPUT, "--%s: found '%s', expected a closing quote", option,
                           *value);
        from += 1 + strspn(from + 1, " ");
        if (*from && *from != ',')
            return tt_fail(err, TT_BAD_INPUT, "--%s: found '%s' after a quoted value, expected a "
                           "comma", option, from);
    } else {
        *value = from;
        from += strcspn(from, ",");
        to = from;
        while (to > *value && to[-1] == ' ') to--;
    }
    *more = *from;
    *at = from + *more;
    *to = 0;
    return **value ? TT_OK
                   : tt_fail(err, TT_BAD_INPUT, "--%s: found an empty value, expected "
                             "NAME=V,V,...", option);
}

static enum tt_status set(const char *option, enum axis_kind kind, const char *value,
                          struct tt_settings *s, struct tt_error *err) {
    switch (kind) {
    case AXIS_STEPS: return cli_count(option, value, CLI_COUNT_MOST, &s->steps, err);
    case AXIS_GUIDANCE_SCALE:
        return cli_number_in(option, value, -TT_GUIDANCE_MOST, TT_GUIDANCE_MOST,
                             &s->guidance_scale, err);
    case AXIS_SCHEDULER: s->scheduler = value; return TT_OK;
    case AXIS_STRENGTH: return cli_number_in(option, value, 0, 1, &s->strength, err);
    case AXIS_SEED: return cli_seed(option, value, &s->seed, err);
    default: s->prompt = value; return TT_OK;
    }
}

enum tt_status axis_parse(const char *option, const char *text, struct axis *axis,
                          struct tt_error *err) {
    *axis = (struct axis){.kind = AXES};
    size_t length = strcspn(text, "=");
    for (int i = 0; i < AXES; i++)
        if (strlen(names[i]) == length && !memcmp(names[i], text, length)) axis->kind = i;
    if (axis->kind == AXES || !text[length])
        return tt_fail(err, TT_BAD_INPUT, "--%s: found '%s', expected NAME=V,V,... with steps, "
                       "guidance-scale, scheduler, seed, strength or prompt", option, text);
    axis->name = names[axis->kind];
    if (!(axis->memory = strdup(text + length + 1)))
        return tt_fail(err, TT_SYSTEM, "out of memory");
    enum tt_status status = TT_OK;
    struct tt_settings scratch = {0};
    char *at = axis->memory;
    for (bool more = true; !status && more;) {
        if (axis->count == SHEET_MOST) {
            status = tt_fail(err, TT_BAD_INPUT, "--%s: found more than %d values", option,
                             SHEET_MOST);
            break;
        }
        const char **value = &axis->values[axis->count++];
        status = take_value(option, &at, value, &more, err);
        if (!status) status = set(option, axis->kind, *value, &scratch, err);
    }
    if (status) axis_free(axis);
    return status;
}

void axis_free(struct axis *axis) {
    free(axis->memory);
    *axis = (struct axis){0};
}

void axis_apply(const struct axis *axis, size_t i, struct tt_settings *settings) {
    set(axis->name, axis->kind, axis->values[i], settings, NULL);
}
