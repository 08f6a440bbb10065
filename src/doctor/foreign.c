// SPDX-License-Identifier: MIT
// Families whose folders are not drawn with here.
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
