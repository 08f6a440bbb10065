// SPDX-License-Identifier: MIT
#include "model/part.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *folder, *recorded;
    double factor;
} parts[TT_PARTS] = {
#define PART(id, name, folder, recorded, factor, pipelines, network) \
    {name, folder, recorded, factor},
#define ALSO(id, pipelines, network)
#include "model/parts.def"
#undef PART
#undef ALSO
};

static const struct row {
    enum tt_part part;
    unsigned pipelines;
    const struct tt_part_network *network;
} rows[] = {
#define PART(id, name, folder, recorded, factor, pipelines, network) \
    {TT_PART_##id, pipelines, &tt_network_##network},
#define ALSO(id, pipelines, network) {TT_PART_##id, pipelines, &tt_network_##network},
#include "model/parts.def"
#undef PART
#undef ALSO
};
enum { ROWS = sizeof rows / sizeof *rows };

size_t tt_part_count(void) {
    return TT_PARTS;
}

int tt_part_find(const char *name) {
    for (int i = 0; name && i < TT_PARTS; i++)
        if (!strcmp(name, parts[i].name)) return i;
    return -1;
}

const char *tt_part_name(int part) {
    return (unsigned)part < TT_PARTS ? parts[part].name : "?";
}

const char *tt_part_folder(int part) {
    return (unsigned)part < TT_PARTS ? parts[part].folder : "?";
}

const char *tt_part_recorded(enum tt_part part) {
    return parts[part].recorded;
}

// A ratio of two largest errors scatters, although over all tensors our root mean square error is
// about PyTorch's: on three recordings of the shipped model a single SiLU needed 7.2, nothing else
// more than 4.1, and without Winograd nothing more than 1.7. The tiny pipelines, which
// tests/test_goldens.c holds to their own factors, need at most 3, and 2.5 without Winograd.
double tt_recorded_factor(int part, bool conv_direct) {
    if ((unsigned)part >= TT_PARTS) return 0;
    return conv_direct ? 3 : parts[part].factor;
}

enum tt_part tt_part_first(enum tt_part part) {
    enum tt_part first = 0;
    while (strcmp(parts[first].folder, parts[part].folder)) first++;
    return first;
}

const struct tt_part_network *tt_part_network(enum tt_part part, unsigned pipelines,
                                              const char *class_name) {
    char quoted[96];
    if ((size_t)snprintf(quoted, sizeof quoted, "\"%s\"", class_name) >= sizeof quoted ||
        strchr(class_name, '"'))
        return NULL;
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].part == part && (rows[i].pipelines & pipelines) &&
            (!*class_name || strstr(rows[i].network->classes, quoted)))
            return rows[i].network;
    return NULL;
}

char *tt_part_classes(enum tt_part part, unsigned pipelines, char *text, size_t size) {
    size_t used = 0;
    *text = 0;
    for (size_t i = 0; i < ROWS && used < size; i++)
        if (rows[i].part == part && (rows[i].pipelines & pipelines))
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? " or " : "",
                                     rows[i].network->classes);
    return text;
}
