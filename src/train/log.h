// SPDX-License-Identifier: MIT
// train.jsonl: a JSON object a line, as training goes on.
#ifndef TT_TRAIN_LOG_H
#define TT_TRAIN_LOG_H

#include "base/poll.h"

// What is read of a log at most.
enum { TT_LOG_BYTES = 1 << 28, TT_LOG_LINES = 1 << 20, TT_LOG_LINE = 4096 };

struct tt_train_log;

// Where a log goes on: after `step` (0: from the beginning), at which so many changes were told,
// and the loss of held-out pictures (held: else it was because a shorter run ended there).
struct tt_log_end {
    size_t step, changes;
    bool held;
};

// Opens the file at path: what comes behind its end, and a torn last line, is dropped.
// TT_BAD_INPUT: a line is none of a log; TT_SYSTEM: disk.
enum tt_status tt_train_log_open(struct tt_files *files, const char *path, struct tt_log_end end,
                                 struct tt_train_log **out, struct tt_error *err);
// Whether the last of the lines that were there tells the loss of held-out pictures after `step`.
bool tt_train_log_has_held(const struct tt_train_log *log, size_t step);
// Takes NULL, too.
void tt_train_log_close(struct tt_train_log *log);

// Adds a line: step, loss, learning_rate, norm, images_per_second, seconds.
enum tt_status tt_train_log_add(struct tt_train_log *log, const struct tt_train_line *line,
                                struct tt_error *err);
// Adds a line of held-out pictures: step, validation_loss.
enum tt_status tt_train_log_add_held(struct tt_train_log *log, size_t step, double loss,
                                     struct tt_error *err);
// Adds a whole line, as tt_changes_line() makes it.
enum tt_status tt_train_log_add_text(struct tt_train_log *log, const char *line,
                                     struct tt_error *err);
// Reads a log into *lines (*count of them, at least one; free with free()). `steps`, which a line
// does not tell, is 0, and so is what its kind does not tell. A torn last line, as a crash leaves
// it, is left out. TT_BAD_INPUT names file, line, key, found and expected: steps increase, from 1
// on, and never decrease from one line to the next; the other numbers are finite.
enum tt_status tt_train_log_read(struct tt_files *files, const char *path,
                                 struct tt_train_line **lines, size_t *count,
                                 struct tt_error *err);
// The same from size bytes; name stands for the file in messages.
enum tt_status tt_train_log_read_memory(const char *name, const void *data, size_t size,
                                        const struct tt_poll *poll, struct tt_train_line **lines,
                                        size_t *count, struct tt_error *err);
// Brings all lines to the disk.
enum tt_status tt_train_log_sync(struct tt_train_log *log, struct tt_error *err);

#endif
