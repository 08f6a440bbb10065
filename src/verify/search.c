// SPDX-License-Identifier: MIT
// What the files of a search use: trials, and what of them is found.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verify/suspects.h"

static void keep(struct tt_search *s, const char *name, const char *text, double difference) {
    size_t i = 0;
    while (i < s->count && strcmp(s->found[i].name, name)) i++;
    if (i == TT_SUSPECTS || (i < s->count && s->found[i].difference <= difference)) return;
    s->found[i] = (struct tt_suspect){.name = name, .difference = difference};
    snprintf(s->found[i].text, sizeof s->found[i].text, "%s", text);
    s->count += i == s->count;
}

void tt_search_judge_within(struct tt_search *s, struct tt_bounds bounds, const void *ours,
                            const char *name, const char *text) {
    struct tt_gap gap = tt_alone_compare(s->alone, s->k, ours, s->recorded, bounds);
    s->tried++;
    if (gap.agrees) keep(s, name, text, gap.difference);
}

void tt_search_judge(struct tt_search *s, const void *ours, const char *name, const char *format,
                     ...) {
    char text[sizeof s->found->text];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tt_search_judge_within(s, s->bounds, ours, name, text);
}

enum tt_status tt_search_try(struct tt_search *s, const struct tt_trial *trial, const char *name,
                             const char *text, struct tt_error *err) {
    float *ours;
    enum tt_status status = tt_stretch_try(&s->stretch, trial, &ours, err);
    if (ours) tt_search_judge(s, ours, name, "%s", text);
    free(ours);
    return status;
}

// What the node has of that kind: " (ours: 1e-05)".
static void own_text(const struct tt_node *node, const char *name, char *text, size_t size) {
    bool norm = node->op == TT_OP_group_norm || node->op == TT_OP_layer_norm;
    *text = 0;
    if (norm && !strcmp(name, "eps"))
        snprintf(text, size, " (ours: %g)", (double)node->with.norm.eps);
    else if (norm && !strcmp(name, "groups"))
        snprintf(text, size, " (ours: %zu)", node->with.norm.groups);
    else if (node->op == TT_OP_attention && !strcmp(name, "heads"))
        snprintf(text, size, " (ours: %zu)", node->with.attention.heads);
    else if (node->op == TT_OP_attention && !strcmp(name, "scale"))
        snprintf(text, size, " (ours: %g)", (double)node->with.attention.scale);
    else if (node->op == TT_OP_conv2d && !strcmp(name, "padding"))
        snprintf(text, size, " (ours: %zu, %zu, %zu, %zu)", node->with.conv.pad_top,
                 node->with.conv.pad_left, node->with.conv.pad_bottom, node->with.conv.pad_right);
    else if (!strcmp(name, "activation"))
        snprintf(text, size, " (ours: %s)",
                 node->op == TT_OP_geglu ? "the exact (erf) GELU" : tt_ops[node->op]->name);
}

enum tt_status tt_search_each(struct tt_search *s, struct tt_trial trial, const char *name,
                              const char *text, struct tt_error *err) {
    const struct tt_tape *tape = &s->alone->network.tape;
    enum tt_status status = TT_OK;
    char whole[sizeof s->found->text], own[96];
    trial.preset.value = TT_NO_VALUE;
    trial.node = -1;
    int count = tt_stretch_changes(&s->stretch, &trial);
    if (!count) return TT_OK;
    for (int i = 0; !status && i <= s->stretch.target; i++) {
        trial.node = i;
        if (!s->stretch.made[i] || !tt_stretch_changes(&s->stretch, &trial)) continue;
        own_text(&tape->nodes[i], name, own, sizeof own);
        snprintf(whole, sizeof whole, "%s%s in %s", text, own, tape->nodes[i].name);
        status = tt_search_try(s, &trial, name, whole, err);
    }
    if (status || count == 1) return status;
    trial.node = -1;
    snprintf(whole, sizeof whole, "%s in %d nodes", text, count);
    return tt_search_try(s, &trial, name, whole, err);
}
