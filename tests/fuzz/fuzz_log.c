// SPDX-License-Identifier: MIT
// Input: a train.jsonl. What it says must fit an axis, which must end.
#include "fuzz.h"

#include "cli/chart.h"
#include "train/log.h"

#include <math.h>
#include <stdlib.h>

static void use(double value) {
    must(isfinite(value));
    struct chart_axis axis = chart_round("", 0, value);
    must(isfinite(axis.high) && axis.tick > 0 && axis.high - axis.low <= 20 * axis.tick);
    if (!(value > 0)) return;
    axis = chart_powers("", value, value);
    must(axis.tick >= 1 && axis.high - axis.low <= 20 * axis.tick);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tt_train_line *lines = NULL;
    size_t count = 0;
    struct tt_error error = {0};
    enum tt_status status =
        tt_train_log_read_memory("fuzz", data, size, NULL, &lines, &count, &error);
    must_explain(status, error);
    if (status) return 0;
    must(count > 0);
    for (size_t i = 0, done = 0; i < count; i++) {
        must(lines[i].step >= (i ? lines[i - 1].step : 0));
        if (lines[i].told == TT_TOLD_STEPS) {
            must(lines[i].step > done);
            done = lines[i].step;
        }
        use(lines[i].loss);
        use(lines[i].learning_rate);
        use(lines[i].norm);
        use((double)lines[i].step);
    }
    free(lines);
    return 0;
}
