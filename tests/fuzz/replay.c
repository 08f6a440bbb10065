// SPDX-License-Identifier: MIT
// Runs a harness on every file of its corpus, tests/fuzz/corpus/<name>, without libFuzzer.
#include "fuzz.h"

#include <dirent.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static char path[512];

// A crash takes the process with it: say on which file.
static void report(int number) {
    if (write(STDERR_FILENO, path, strlen(path)) > 0 && write(STDERR_FILENO, "\n", 1) > 0)
        signal(number, SIG_DFL);
    raise(number);
}

// The whole file in a block of exactly its size, so that a read past its end is seen.
static uint8_t *read_whole(size_t *size) {
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    if (!file) return NULL;
    if (!fseek(file, 0, SEEK_END)) {
        long length = ftell(file);
        rewind(file);
        data = length < 0 ? NULL : malloc((size_t)length + !length);
        *size = (size_t)length;
        if (data && fread(data, 1, *size, file) != *size) {
            free(data);
            data = NULL;
        }
    }
    fclose(file);
    return data;
}

int main(int argc, char **argv) {
    const char *slash = strrchr(argv[0], '/'), *name = slash ? slash + 1 : argv[0];
    static const int deadly[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    char folder[256];
    int passed = 0, failed = 0;
    (void)argc;
    for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++) signal(deadly[i], report);
    if (!strncmp(name, "fuzz_", 5)) name += 5;
    snprintf(folder, sizeof folder, "tests/fuzz/corpus/%s", name);
    DIR *directory = opendir(folder);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        size_t size = 0;
        uint8_t *data = read_whole(&size);
        if (data) {
            LLVMFuzzerTestOneInput(data, size);
            passed++;
        } else {
            printf("%s: cannot read\n", path);
            failed++;
        }
        free(data);
    }
    if (directory) closedir(directory);
    if (!passed) {
        printf("%s: found no corpus\n", folder);
        failed++;
    }
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed != 0;
}
