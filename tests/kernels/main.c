// SPDX-License-Identifier: MIT
// The kernel checker: every variant of every kernel in kernels.def against the scalar one, the
// scalar one against float64, the bits of both against tests/hashes.txt, and the drivers with every
// table and several thread counts. The exit status is the verdict.
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char usage[] =
    "usage: kernel_checker [OPTION]... [NAME]...\n"
    "Checks the kernels and drivers whose names contain a NAME; without NAME, all.\n"
    "  --list            print the names\n"
    "  --bench           then time what passed\n"
    "  --quick           only the fixed inputs behind the hashes; drivers with\n"
    "                    1 and 3 threads\n"
    "  --slack           leave 64 bytes between inputs and no-access pages, for emulators that\n"
    "                    read the lanes that a mask leaves out\n"
    "  --seed N          seed of the other inputs (default: the clock)\n"
    "  --hashes FILE     default tests/hashes.txt\n"
    "  --write-hashes    write that file from the scalar variants, all that passed\n";

enum { FIXED_SEED = 1, HASHES = 512 };

static struct {
    bool bench, quick, slack, write;
    uint64_t seed;
    const char *hashes;
    char **names;
    int name_count;
} options = {.hashes = "tests/hashes.txt"};

static struct {
    char name[64];
    uint64_t hash;
    bool seen;
} hashes[HASHES];
static size_t hash_count;

static struct tt_kernels tables[TT_ISA_COUNT];
static bool present[TT_ISA_COUNT];
static int passed, failed, skipped;

static int read_options(int argc, char **argv) {
    options.seed = (uint64_t)time(NULL) * 1000003 % 1000000000;
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        bool more = i + 1 < argc;
        if (!strcmp(argv[i], "--bench")) options.bench = true;
        else if (!strcmp(argv[i], "--quick")) options.quick = true;
        else if (!strcmp(argv[i], "--slack")) options.slack = true;
        else if (!strcmp(argv[i], "--write-hashes")) options.write = true;
        else if (!strcmp(argv[i], "--seed") && more) options.seed = strtoull(argv[++i], NULL, 0);
        else if (!strcmp(argv[i], "--hashes") && more) options.hashes = argv[++i];
        else if (!strcmp(argv[i], "--list")) {
            for (int k = 0; k < TT_KERNEL_COUNT; k++) puts(tt_kernel_names[k]);
            for (const struct check_driver *d = check_drivers; d->name; d++) puts(d->name);
            exit(0);
        } else {
            fputs(usage, stderr);
            return 2;
        }
    }
    options.names = argv + i;
    options.name_count = argc - i;
    return 0;
}

static bool wanted(const char *name) {
    for (int i = 0; i < options.name_count; i++)
        if (strstr(name, options.names[i])) return true;
    return !options.name_count;
}

// The table of a level; levels that this processor lacks, or another architecture's, are absent.
static void make_tables(void) {
    unsigned detected = tt_cpu_detect(), mask;
    for (int l = 0; l < TT_ISA_COUNT; l++) {
        present[l] = tt_cpu_mask(tt_isas[l].name, detected, &mask) == 0;
        if (present[l]) tt_kernels_init(&tables[l], mask);
        if (present[l]) continue;
        bool ours = tt_isas[l].flag & TT_CPU_HERE;
        printf("%s: %s: %s\n", ours ? "SKIP" : "note", tt_isas[l].name,
               ours ? "this processor lacks it" : "not on this architecture");
        skipped += ours;
    }
}

static void read_hashes(void) {
    FILE *file = fopen(options.hashes, "r");
    if (!file) return; // then every EXACT kernel fails for want of a hash
    char line[128];
    while (hash_count < HASHES && fgets(line, sizeof line, file)) {
        unsigned long long hash;
        if (line[0] == '#' || sscanf(line, "%63s %llx", hashes[hash_count].name, &hash) != 2)
            continue;
        hashes[hash_count++].hash = hash;
    }
    fclose(file);
}

// True when the file says so too, or is about to be written.
static bool hash_agrees(const char *name, uint64_t hash, char *why, size_t room) {
    for (size_t i = 0; i < hash_count; i++) {
        if (strcmp(hashes[i].name, name)) continue;
        hashes[i].seen = true;
        if (options.write) hashes[i].hash = hash;
        if (hashes[i].hash == hash) return true;
        snprintf(why, room, "hash %016llx, %s has %016llx: these are other bits than before",
                 (unsigned long long)hash, options.hashes, (unsigned long long)hashes[i].hash);
        return false;
    }
    if (options.write && hash_count < HASHES) {
        snprintf(hashes[hash_count].name, sizeof hashes[0].name, "%s", name);
        hashes[hash_count].seen = true;
        hashes[hash_count++].hash = hash;
        return true;
    }
    snprintf(why, room, "%s has no line for it (%016llx); --write-hashes adds it", options.hashes,
             (unsigned long long)hash);
    return false;
}

static int by_name(const void *a, const void *b) {
    return strcmp(a, b);
}

static int write_hashes(void) {
    FILE *file = fopen(options.hashes, "w");
    if (!file) {
        perror(options.hashes);
        return 3;
    }
    fputs("# What every EXACT kernel and driver gives on fixed inputs, on every instruction set,\n"
          "# compiler, architecture and thread count. Written by kernel_checker --write-hashes.\n",
          file);
    qsort(hashes, hash_count, sizeof *hashes, by_name);
    for (size_t i = 0; i < hash_count; i++)
        if (hashes[i].seen || options.name_count)
            fprintf(file, "%s %016llx\n", hashes[i].name, (unsigned long long)hashes[i].hash);
    return fclose(file) ? 3 : 0;
}

// One variant: fixed inputs and their hash, seeded inputs, and the bench of what passed.
static bool check_variant(struct check *c, check_function *function, const char *variant,
                          bool driver) {
    struct check_result r, extra = {0};
    c->bench = false;
    c->quick = true;
    c->slack = options.slack;
    c->seed = FIXED_SEED;
    check_run(c, function, &r);
    char why[256] = "";
    bool good = !r.failed && r.cases > 0;
    if (!r.failed && !r.cases) snprintf(why, sizeof why, "no case ran");
    if (good && c->exactness == TT_EXACT) good = hash_agrees(c->name, r.hash, why, sizeof why);
    if (good && !options.quick) {
        c->quick = false;
        c->seed = options.seed;
        check_run(c, function, &extra);
        good = !extra.failed;
    }
    (good ? passed++ : failed++);
    printf("  %s %s", variant, good ? "ok" : "FAILED");
    if (!good) {
        printf("\n    seed %llu %s%s%s\n", (unsigned long long)c->seed, r.message, extra.message,
               why);
    } else if (options.bench && (c->kernels != c->scalar || !driver)) {
        c->bench = true;
        c->scalar = c->kernels;
        check_run(c, function, &r);
        printf(" %.2f us", r.seconds * 1e6);
        if (r.work > 0) printf(" %.2f G/s", r.work / r.seconds * 1e-9);
    }
    fflush(stdout);
    return good;
}

static void check_kernel(int kernel) {
    const char *name = tt_kernel_names[kernel];
    printf("%-24s", name);
    if (!check_kernels[kernel]) {
        failed++;
        printf("  FAILED\n    no check_%s in tests/kernels\n", name);
        return;
    }
    for (int l = 0; l < TT_ISA_COUNT; l++) {
        if (!present[l] || strcmp(tables[l].variant[kernel], tt_isas[l].name)) continue;
        struct check c = {.scalar = &tables[0], .kernels = &tables[l], .threads = 1, .name = name};
        c.exactness = tt_kernel_exactness[kernel];
        if (!check_variant(&c, check_kernels[kernel], tt_isas[l].name, false) && l == 0) break;
    }
    putchar('\n');
}

static void check_driver(const struct check_driver *driver) {
    static const int threads[] = {1, 2, 3, 5};
    printf("%-24s", driver->name);
    for (int l = 0; l < TT_ISA_COUNT; l++) {
        for (int t = 0; t < 4 && present[l]; t += options.quick ? 2 : 1) {
            struct check c = {.scalar = &tables[0], .kernels = &tables[l], .threads = threads[t]};
            c.name = driver->name;
            char variant[32];
            snprintf(variant, sizeof variant, "%s/%d", tt_isas[l].name, threads[t]);
            if (!check_variant(&c, driver->function, variant, true) && l == 0 && t == 0) {
                putchar('\n');
                return;
            }
        }
    }
    putchar('\n');
}

int main(int argc, char **argv) {
    int status = read_options(argc, argv);
    if (status) return status;
    printf("seed %llu\n", (unsigned long long)options.seed);
    make_tables();
    read_hashes();
    int selected = 0;
    for (int k = 0; k < TT_KERNEL_COUNT; k++)
        if (wanted(tt_kernel_names[k])) selected++, check_kernel(k);
    for (const struct check_driver *d = check_drivers; d->name; d++)
        if (wanted(d->name)) selected++, check_driver(d);
    if (!selected && options.name_count) {
        fprintf(stderr, "no kernel or driver is called that; --list prints the names\n");
        return 2;
    }
    for (size_t i = 0; i < hash_count && !options.name_count && !options.write; i++) {
        if (hashes[i].seen) continue;
        printf("FAILED: %s names %s, which does not exist or did not get that far\n",
               options.hashes, hashes[i].name);
        failed++;
    }
    if (options.write && !failed && write_hashes()) failed++;
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0;
}
