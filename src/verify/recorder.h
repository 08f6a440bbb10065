// SPDX-License-Identifier: MIT
// The inside of a recorder, for its files.
#ifndef TT_VERIFY_RECORDER_H
#define TT_VERIFY_RECORDER_H

#include "session.h"
#include "verify/record.h"

struct tt_recorder {
    struct tt_session *session;
    struct tt_files *files, *own_files; // the latter where the caller has none
    char *path;
    struct tt_recorder_settings settings;
    struct tt_settings run;
    regex_t regex;
    bool has_regex;
    struct tt_recorder_cost cost;
    json_t *header, *calls; // of recording.json
    bool goes_on;           // the folder has calls of an earlier run

    // What is being recorded.
    struct tt_follower follower;
    struct tt_observer observer;
    const struct tt_observer *observers; // the session's own
    size_t observer_count;
    const struct tt_network *network;
    struct tt_record_call call;
    bool claimed, observing;
    float *values;                          // a tensor in PyTorch's order
    size_t number, part_calls[TT_PARTS], step; // of the next call
    struct tt_error error;                  // of a callback

    // The sampling: the sample before the next step, the noise that it all began with, room for
    // that of a step, the generator before it, and the picture.
    struct tt_shape latent_shape, image_shape;
    float *sample, *first, *noise, *image;
    struct tt_rng rng;
};

// TT_SYSTEM.
enum tt_status tt_recorder_no_memory(struct tt_error *err);
// Where a file of the folder is, PATH_MAX bytes; whether something is there.
enum tt_status tt_recorder_path(const struct tt_recorder *r, const char *name, char path[PATH_MAX],
                                struct tt_error *err);
bool tt_recorder_exists(const char *path);

// Fills in the cost of a run that calls the U-Net so often; TT_SYSTEM when the disk has less room.
enum tt_status tt_recorder_measure(struct tt_recorder *r, size_t calls, bool noise,
                                   struct tt_error *err);
// Whether both files of a call are there, of an earlier run.
bool tt_recorder_kept(const struct tt_recorder *r, size_t number, const char *part);

// Makes the folder, or finds what an earlier run has left in it, and writes what is not of a call.
enum tt_status tt_recorder_begin_folder(struct tt_recorder *r, struct tt_error *err);
// Adds the next call, whose layout is made, to the list; r->claimed: it is not there yet, and
// r->call is ready to begin.
enum tt_status tt_recorder_claim(struct tt_recorder *r, const struct tt_recorded_call *told,
                                 struct tt_error *err);
// All calls are there: writes recording.json.
enum tt_status tt_recorder_end_folder(struct tt_recorder *r, struct tt_error *err);

// What a step of the scheduler and the whole run leave.
void tt_recorder_scheduler_layout(const struct tt_recorder *r, struct tt_record_layout *layout,
                                  size_t draws);
void tt_recorder_pipeline_layout(const struct tt_recorder *r, struct tt_record_layout *layout);

#endif
