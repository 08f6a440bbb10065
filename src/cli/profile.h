// SPDX-License-Identifier: MIT
// A profile as the command line tells it: what was run and on what, then nodes and totals; as a
// JSON object, which everything else is made from.
#ifndef TT_CLI_PROFILE_H
#define TT_CLI_PROFILE_H

#include <math.h>

#include "cli/cli.h"

// The options of how it is told, of `profile` with whatever is profiled.
struct profile_options {
    const char *sort, *csv, *trace, *folded, *html;
    size_t top; // 0: all
};
enum { PROFILE_OPTIONS = 7 };
// Appends them and the closing zeroed entry.
void profile_add_options(struct profile_options *o, struct cli_option *to);
// Before the work: whether the key is one, and the files can be written.
enum tt_status profile_check(struct cli *cli, const struct profile_options *o);

// Whether others use the machine: read before and after what is timed.
struct profile_machine {
    double others;     // threads that are running or ready beside this program's; -1: unknown
    double processors;
    double share;      // of its processor that a loop of one thread had, before it began
    double switches, seconds, cpu; // counters when it began: involuntary context switches, times
    double spread; // after: quartile to quartile of the repeats, over the median; 0: of one
};
void profile_machine_before(struct profile_machine *machine);
void profile_machine_after(struct profile_machine *machine, const double *seconds, size_t repeat);

// What the run depends on, and what it gave.
struct profile_report {
    struct cli *cli;
    const struct tt_profile *profile;
    const char *model, *part; // part: "generate" of a whole picture
    size_t batch, width, height, repeat;
    size_t steps, pictures; // of a whole picture; 0 of a part
    const char *scheduler;
    bool train;
    const double *seconds; // of each repeat
    size_t arena_bytes, peak_bytes;
    struct tt_roof roof;
    struct profile_machine machine;
};

// Where the roof is kept: $XDG_CACHE_HOME/tintype or ~/.cache/tintype into path, which it returns;
// NULL: nowhere.
enum { PROFILE_PATH = 4096 };
const char *profile_cache(char path[PROFILE_PATH]);

// All of it; NULL: out of memory.
json_t *profile_json(const struct profile_report *report);
// The table of that object, its files, and with --json the object.
enum tt_status profile_tell(const struct profile_report *report, const struct profile_options *o);

// A field of an object of JSON: NaN, or "", where it is none such.
static inline double real_of(const json_t *o, const char *key) {
    const json_t *value = json_object_get(o, key);
    return json_is_number(value) ? json_number_value(value) : (double)NAN;
}

static inline const char *text_of(const json_t *o, const char *key) {
    const char *value = json_string_value(json_object_get(o, key));
    return value ? value : "";
}

// Of the object: printed, and as text that the caller frees (NULL: out of memory).
void profile_print(const json_t *root, const struct profile_options *o);
char *profile_csv(const json_t *root);
char *profile_folded(const json_t *root);
// Of the events: the Trace Event format, a track for each thread and one for the stages.
char *profile_trace(const struct profile_report *report);

// The keys of --sort: "time, order, ...".
const char *profile_sort_keys(void);
bool profile_is_sort_key(const char *key);

enum tt_status profile_diff(struct cli *cli, int argc, char **argv);
enum tt_status profile_generate(struct cli *cli, int argc, char **argv);

#endif
