// SPDX-License-Identifier: MIT
// An axis of a grid: a setting and the values it takes.
#ifndef TT_CLI_AXIS_H
#define TT_CLI_AXIS_H

#include "cli/sheet.h"

enum axis_kind {
    AXIS_STEPS, AXIS_GUIDANCE_SCALE, AXIS_SCHEDULER, AXIS_SEED, AXIS_STRENGTH, AXIS_PROMPT, AXES
};

struct axis {
    enum axis_kind kind;
    const char *name;
    size_t count;
    const char *values[SHEET_MOST]; // into memory
    char *memory;
};

// Reads "NAME=V,V,...". A value in double quotes may hold commas, and a quote written twice; spaces
// around a value without quotes do not count. option ("x") is for messages. TT_BAD_INPUT: an
// unknown name, no value, an empty one, one that the setting cannot take, more than SHEET_MOST.
enum tt_status axis_parse(const char *option, const char *text, struct axis *axis,
                          struct tt_error *err);
void axis_free(struct axis *axis);

// Puts value i into the settings; strings stay the axis's.
void axis_apply(const struct axis *axis, size_t i, struct tt_settings *settings);

#endif
