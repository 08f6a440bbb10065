// SPDX-License-Identifier: MIT
// What the files of `tintype verify` share: a run beside its recording, call by call.
//
// verify.c reads the options and says the verdict; verify_weights.c compares the weights;
// verify_call.c runs one call of a part beside the recorded one, verify_limit.c says how far off is
// too far, verify_names.c what another port's modules are called here; verify_drift.c draws the
// recorded picture again; verify_tell.c prints tables, verify_json.c makes JSON. Two more things
// that the verb does stand alone: verify_files.c (two files of tensors), verify_perturb.c.
#ifndef TT_CLI_VERIFY_H
#define TT_CLI_VERIFY_H

#include <jansson.h>
#include <math.h>

#include "cli/cli.h"

enum verify_mode { VERIFY_END_TO_END, VERIFY_ISOLATED, VERIFY_WEIGHTS };

// ---- how far off is too far (verify_limit.c) ----

enum verify_by {
    VERIFY_BY_DEFAULT, VERIFY_BY_ERR32, VERIFY_BY_F16, VERIFY_BY_BF16, VERIFY_BY_CLOSE,
};

struct verify_tolerance {
    enum verify_by by;
    double factor;     // of err32; NaN: the part's own
    double rtol, atol; // VERIFY_BY_CLOSE
};

// What became of a recorded tensor.
struct verify_row {
    char *name, *type; // as recorded
    char *own;         // what the model calls it
    size_t recorded;   // which of the call's tensors
    struct tt_shape shape;
    enum tt_recorded_kind kind;
    // Left out are whole numbers, what a module is given beside its first input, padded pictures,
    // which we never make, and gradients that no step of ours has.
    enum { VERIFY_NOT_SEEN, VERIFY_COMPARED, VERIFY_LEFT_OUT } state;
    struct tt_difference d; // whole where it does not agree, or all is asked for
    const char *what;       // of statistics, what is farthest off: "sample", "mean", ...; or NULL
    double difference;      // what is held against limit
    double limit, limit_l2; // limit_l2 NaN: the relative L2 is not held against anything
    double times;           // the share of the limit that it takes, of the larger of the two
    double err32;           // that the limit was made of
    bool agrees;
    size_t order;           // of execution, from 1; 0: not seen
};

// "err32", ...; and the value of --tolerance.
const char *verify_by_name(enum verify_by by);
enum tt_status verify_by_of(struct cli *cli, const char *name, enum verify_by *by);

// ---- calls (verify_call.c) ----

struct verify;

// What was compared last.
struct verify_looked {
    const struct tt_view *view; // NULL: nothing that could be met again
    const float *data;
    enum tt_lies lies;
    struct tt_difference d;
};

struct verify_call {
    const struct verify *of;
    size_t index;  // in the recording
    int part;
    size_t call, step;
    bool has_step;
    char *name, *file; // "unet", "unet call 3, step 3"; the file that holds the values
    double factor;     // of err32
    enum verify_by by;
    bool drift; // the recording has the errors of the network, beside those of its modules
    struct verify_row *rows; // in the order of the model's own execution, once it has run
    size_t count;
    size_t compared, differ, left_out, absent, bad; // bad: recorded values that are not finite
    const struct verify_row *first, *hardest, *first_absent, *first_bad;
    json_t *unrecorded; // names of the model's modules that the recording lacks
    // While it runs:
    json_t *places, *gradients; // our name -> index of its row, before they are put in order
    json_t *modules;            // that the model has
    struct tt_error error;      // the first that a hook met
    size_t order, steps;
    double step_error;        // the largest err32 of the names of an output
    struct verify_looked looked;
    bool back;                // in the backward pass
    struct verify_row *given; // what the step that begins is given, as recorded
};

// Runs the call beside the recorded one and counts. What differs is no error.
enum tt_status verify_call_run(struct verify *v, struct verify_call *c);
void verify_call_free(struct verify_call *c);

// ---- tensors (verify_tensor.c) ----

// What a tensor of ours is, and how it lies.
struct verify_ours {
    const float *data;
    const struct tt_shape *shape;
    enum tt_lies lies;
};

// Where element `at` is, one index for each size.
struct tt_shape verify_place(const struct tt_shape *shape, size_t at);

// Compares it with the recorded tensor of the row and judges that. Another shape is the call's
// error.
void verify_check(struct verify_call *c, struct verify_row *row, const struct verify_ours *ours);

// ---- limits (verify_limit.c) ----

// Chooses what the call is compared by, once its rows are made.
void verify_choose_limit(struct verify_call *c);

// The recorded error that the limit of a tensor goes by: in isolation the module's own, end to end
// that of the network up to there; of what passes errors on element by element no less than that of
// its input.
double verify_error(const struct verify_call *c, const struct tt_recorded *r);
// Fills in limit, times and agrees of a row that has been compared; `step` counts the steps that
// ran before.
void verify_judge(const struct verify_call *c, const struct tt_recorded *r, size_t step,
                  struct verify_row *row);

// ---- names of other ports (verify_names.c) ----

// {"names": {"theirs": "ours", ...}, "prefixes": {"theirs.": "ours.", ...}}. A name of "names"
// also stands for its further calls and inputs ("theirs#2", "theirs.in"); else the longest prefix.
struct verify_names;
enum tt_status verify_names_read(struct cli *cli, const char *path, struct verify_names **names);
void verify_names_free(struct verify_names *names);
// What a recorded tensor is called here, in memory that the caller frees; NULL: out of memory.
// names may be NULL.
char *verify_name_of(struct verify_names *names, const char *recorded);
// The model has a module or an input of that name.
void verify_names_met(struct verify_names *names, const char *own);
// TT_BAD_INPUT when a name or prefix was not met, on either side.
enum tt_status verify_names_check(struct cli *cli, const struct verify_names *names);

// ---- weights (verify_weights.c) ----

struct verify_weights {
    size_t compared, differ, missing, unrecorded;
    json_t *differing; // objects: part, name, what, ...
    bool recorded;     // the recording has any
};
enum tt_status verify_weights_compare(struct verify *v, struct verify_weights *w);
void verify_weights_print(const struct verify *v, const struct verify_weights *w);

// ---- the picture, drawn again (verify_drift.c) ----

struct verify_drift {
    bool drawn;
    json_t *rows; // objects: name, step, relative_l2, difference, limit, agrees
    size_t differ;
    const char *first; // of rows
};
enum tt_status verify_drift_draw(struct verify *v, struct verify_drift *d);
void verify_drift_print(const struct verify *v, const struct verify_drift *d);

// ---- what is at fault (verify_suspects.c) ----

// Of each part, the first call that differs, or with --bisect the first that is at fault: the
// tensor that differs first when it is made alone, of recorded ones, and the usual suspects tried
// on it. *found: something is at fault. TT_BAD_INPUT: --pipeline or --save-repro cannot be done.
enum tt_status verify_explain(struct verify *v, bool *found);

// `verify FOLDER` of a folder that --save-repro wrote.
enum tt_status verify_repro(struct cli *cli, const char *path);

// ---- all of it ----

struct verify {
    struct cli *cli;
    struct tt_session *session;
    struct tt_model *model; // the session's
    struct tt_recording *recording;
    struct verify_names *names;
    const char *model_path, *recording_path, *html;
    enum verify_mode mode;
    struct verify_tolerance tolerance;
    bool all;          // rows: every one, with all that can be told
    double drift_most; // relative L2 of latents and picture
    struct verify_call *calls;
    size_t count, chosen; // that are told; that were chosen
    struct verify_weights weights;
    struct verify_drift drift;
    json_t *suspects; // of what is at fault (verify_suspects.c): for --json, and the report
    json_t *lines;    // the same as text
    bool bisect;
    const char *pipeline, *repro; // --pipeline, --save-repro
    const char *verdict;
    char verdict_room[1200];
};

// The first tensor that differs, in the order of calls and of the model's execution: its call, and
// *row. NULL: none.
const struct verify_call *verify_first(const struct verify *v, const struct verify_row **row);
// The worst rows, at most so many, worst first; returns how many.
enum { VERIFY_WORST = 10 };
struct verify_worst {
    const struct verify_call *call;
    const struct verify_row *row;
};
size_t verify_worst(const struct verify *v, struct verify_worst worst[VERIFY_WORST]);

// Tables and sums (verify_tell.c); --json (verify_json.c).
void verify_print(const struct verify *v);
json_t *verify_describe(const struct verify *v, bool agrees);
// The recorded tensors, inputs of the part apart, that the run showed nothing of.
json_t *verify_absent(const struct verify_call *c);
// TT_BAD_INPUT names the first of them, and the module that may be meant.
enum tt_status verify_fail_absent(const struct verify_call *c);
// What the recorded run was asked for, as settings of one of ours; strings are the recording's.
void verify_settings(const struct tt_recording_settings *from, struct tt_settings *to);

extern const char verify_help[]; // below the options (verify_help.c)
// What it comes to, and v->verdict in words (verify_verdict.c): TT_MISMATCH or TT_BAD_INPUT with
// the error set. What differs comes before what could not be compared.
enum tt_status verify_judge_all(struct verify *v);

// The verb's other uses: `verify A B`, `verify --perturb`.
enum tt_status verify_two_files(struct cli *cli, const char *a, const char *b,
                                const struct verify_tolerance *tolerance);

// --perturb: one or more NODES=HOW; the picture that is drawn, whose size is filled in; the PSNR
// that it has to keep.
enum tt_status verify_perturb(struct verify *v, const struct cli_list *asked,
                              const struct tt_settings *with, double least);

#endif
