// SPDX-License-Identifier: MIT
// What is inside a profile (tintype.h).
#ifndef TT_PROFILE_TIMED_STEPS_H
#define TT_PROFILE_TIMED_STEPS_H

#include "base/busy.h"
#include "session.h"

// A step and its times. Of many runs an evenly spaced sample is kept: when it is full, every other
// one goes, and from then on every other run comes.
enum { TT_PROFILE_SAMPLES = 1024 };
struct tt_profiled {
    struct tt_profile_node node;
    const struct tt_step *step; // another plan's may come to lie there: see is_same()
    float *sample;
    size_t kept, capacity, stride;
    double worked, had; // seconds of all threads that were used, summed over the runs
    bool asked;    // the threads told
};

struct tt_profile {
    struct tt_pool pool; // of the names, which outlive the plan
    struct tt_profiled *nodes;
    size_t count, capacity, last; // last: the node that ran last
    bool fixed;                   // no other nodes than there are
    bool whole;
    double origin;            // tt_seconds() when it began
    double begun, cpu_begun;  // of the step that runs
    struct tt_profile_stage *stages;
    size_t stage_count;
    bool in_stage, keeps_events;
    struct tt_profile_event *events; // thread: not set
    size_t event_count;
    struct tt_profile_thread *threads; // of events, team by team
    size_t thread_count;
    const char *coming, *coming_part; // a stage that begins with that part; NULL: none
    size_t coming_step;
    struct tt_session *session;       // that it watches; NULL: none
    const struct tt_engine *engine;   // the session's own,
    struct tt_engine watched;         // and in its place
    struct tt_observer observer;
    const struct tt_observer *others; // the session's observers before
    size_t other_count;
    int team, used; // threads, and those of them that the step may use
    struct tt_busy *busy;
};

// Appends a node for a step of a plan, which is step `index` of that; stage: what it belongs to.
// False when memory is short.
bool tt_profile_add(struct tt_profile *profile, const struct tt_engine *engine,
                    const struct tt_plan *plan, const struct tt_step *step, int index,
                    const char *stage);

// A profile of a plan that belongs to no session, with a place for each of the engine's threads.
enum tt_status tt_profile_new_alone(const struct tt_engine *engine, const struct tt_plan *plan,
                                    struct tt_profile **profile, struct tt_error *err);

// One run of a node.
void tt_profiled_take(struct tt_profiled *node, double seconds);

#endif
