// SPDX-License-Identifier: MIT
// report_pages FOLDER: pages made of the samples, for tests/reports.sh to open.
#include "report_samples.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/report.h"

static int write_page(const char *folder, const char *name, json_t *root, bool hostile) {
    char path[4096];
    size_t size = 0;
    if (hostile) sample_make_hostile(root);
    char *page = report_page(root, &size);
    json_decref(root);
    snprintf(path, sizeof path, "%s/%s.html", folder, name);
    FILE *to = page ? fopen(path, "w") : NULL;
    bool good = to && fwrite(page, 1, size, to) == size;
    if (to && fclose(to)) good = false;
    free(page);
    if (!good) fprintf(stderr, "%s: not written\n", path);
    return !good;
}

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    int failed = write_page(argv[1], "verify", sample_verification(572, 20, 2), false);
    failed |= write_page(argv[1], "agrees", sample_verification(240, 1, 0), false);
    failed |= write_page(argv[1], "verify-big", sample_verification(3000, 20, 1), false);
    failed |= write_page(argv[1], "verify-hostile", sample_verification(40, 5, 5), true);
    failed |= write_page(argv[1], "profile", sample_profile(700, 4), false);
    failed |= write_page(argv[1], "profile-part", sample_profile(160, 1), false);
    failed |= write_page(argv[1], "profile-big", sample_profile(3000, 20), false);
    failed |= write_page(argv[1], "profile-hostile", sample_profile(40, 2), true);
    return failed;
}
