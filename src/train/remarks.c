// SPDX-License-Identifier: MIT
#include "train/remarks.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "io/json.h"
#include "train/log.h"

enum tt_status tt_remark_captions(const struct tt_model *model, const struct tt_dataset *data,
                                  const struct tt_notes *notes,
                                  int (*progress)(void *context, size_t done, size_t all),
                                  void *context, struct tt_error *err) {
    size_t most = tt_model_info(model)->tokens, all = 0, cut = 0;
    size_t count = tt_dataset_count(data) + tt_dataset_held(data);
    const char *first = NULL;
    int32_t *ids = malloc(most * sizeof *ids);
    enum tt_status status = ids ? TT_OK : tt_fail(err, TT_SYSTEM, "out of memory for a caption");
    for (size_t i = 0; !status && i < count; i++) {
        for (size_t k = 0; !status && k < tt_dataset_captions(data, i); k++) {
            size_t used = 0;
            status = tt_tokenizer_encode(model->tokenizer, tt_dataset_caption(data, i, k), ids,
                                         most, &used, err);
            if (status) tt_fail_prefix(err, "%s", tt_dataset_name(data, i));
            all++;
            if (used <= most) continue;
            if (!first) first = tt_dataset_name(data, i);
            cut++;
        }
        if (!status && i % 256 == 0 && progress && progress(context, i, count))
            status = tt_fail(err, TT_CANCELLED, "cancelled while looking at captions");
    }
    free(ids);
    if (!status && cut)
        tt_note(notes, "%zu of %zu captions are cut: they are longer than the %zu tokens that the "
                "model takes; the first: of %s", cut, all, most, first);
    return status;
}

void tt_remark_rate(const struct tt_train_settings *s, const char *path, size_t step,
                    const struct tt_notes *notes) {
    struct tt_train_line *lines = NULL;
    struct tt_error ignored = {0};
    struct stat info;
    size_t count = 0;
    // A log that is not there, or damaged, is told about where it is needed.
    if (stat(path, &info) || tt_train_log_read(NULL, path, &lines, &count, &ignored)) return;
    while (count && (lines[count - 1].step > step || lines[count - 1].told != TT_TOLD_STEPS))
        count--;
    if (count) {
        const struct tt_train_line *last = &lines[count - 1];
        double now = tt_learning_rate(s, last->step - 1);
        if (fabs(now - last->learning_rate) > 1e-6 * fmax(now, last->learning_rate))
            tt_note(notes, "the learning rate jumps: step %zu was done at %.6g, with --steps %zu "
                    "it would have been %.6g; step %zu is done at %.6g", last->step,
                    last->learning_rate, s->steps, now, step + 1, tt_learning_rate(s, step));
    }
    free(lines);
}
