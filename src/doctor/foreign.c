// SPDX-License-Identifier: MIT
// Families: those whose folders are not drawn with here, and those that a width tells.
#include <string.h>

#include "doctor/doctor.h"

static const struct {
    const char *begins, *family, *needs;
} families[] = {
#define FOREIGN(begins, family, needs) {begins, family, needs},
#include "doctor/foreign.def"
#undef FOREIGN
};

bool tt_doctor_foreign(const char *pipeline, const char **family, const char **needs) {
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        if (strncmp(pipeline, families[i].begins, strlen(families[i].begins))) continue;
        *family = families[i].family;
        *needs = families[i].needs;
        return true;
    }
    return false;
}

const char *tt_doctor_needs(const char *family) {
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (!strcmp(family, families[i].family)) return families[i].needs;
    return NULL;
}

// What the embeddings that a U-Net attends to are wide.
static const struct {
    size_t width;
    const char *family;
} widths[] = {
    {768, "Stable Diffusion 1.x"},
    {1024, "Stable Diffusion 2.x"},
    {2048, "Stable Diffusion XL"},
    {1280, "Stable Diffusion XL refiner"},
};

const char *tt_doctor_family_of_width(size_t width) {
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        if (widths[i].width == width) return widths[i].family;
    return NULL;
}
