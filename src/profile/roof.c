// SPDX-License-Identifier: MIT
// The roof: what the machine can do at most, measured with the kernels that networks run.
#include <inttypes.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "engine.h"
#include "gemm/gemm.h"
#include "io/file.h"
#include "io/writer.h"
#include "reduce/reduce.h"

// Seconds of one try, and how many: the best counts. Each thread is timed by its own processor time
// and the rates are added, so that programs that take processors away disturb little.
enum { TRIES = 3 };
static const double try_seconds = 0.1;

static double thread_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// ---- operations ----

// A tile against a panel, both of which stay in the first cache.
enum { K = TT_GEMM_CHAIN, PANEL = K * TT_GEMM_PANEL, TILE = K * TT_GEMM_ROWS };
struct room {
    _Alignas(64) float x[TILE], w[PANEL], y[TT_GEMM_ROWS * TT_GEMM_PANEL];
};

static double multiply(const struct tt_kernels *kernels, struct room *room, double until) {
    struct tt_gemm_tile tile = {
        .rows = tt_gemm_tile_rows(kernels), .n = TT_GEMM_PANEL, .k = K, .chain = K,
        .x = room->x, .w = room->w, .y = room->y, .ldy = TT_GEMM_PANEL,
    };
    double flops = 0;
    do {
        for (int i = 0; i < 64; i++) kernels->gemm_tile_f32(&tile);
        flops += 64 * 2.0 * (double)(tile.rows * K * TT_GEMM_PANEL);
    } while (tt_seconds() < until);
    return flops;
}

static double find_flops(const struct tt_engine *engine, struct room *rooms) {
    int threads = engine->plan.threads;
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        double begun = tt_seconds(), rate = 0;
#pragma omp parallel num_threads(threads) reduction(+ : rate)
        {
            double from = thread_seconds();
            double flops = multiply(&engine->kernels, &rooms[omp_get_thread_num()],
                                    begun + try_seconds);
            rate += flops / (thread_seconds() - from);
        }
        if (rate > best) best = rate;
    }
    return best;
}

// ---- bytes ----

// Several times the last cache, as far as that is quickly filled.
static size_t buffer_floats(void) {
    const size_t least = (size_t)64 << 20, most = (size_t)1 << 30;
    long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    size_t bytes = cache > 0 ? 4 * (size_t)cache : 0;
    bytes = bytes < least ? least : bytes > most ? most : bytes;
    while (bytes > least / 8 && !tt_memory_has(4 * bytes)) bytes /= 2;
    return bytes / sizeof(float);
}

// Pieces of the buffer are read; or those of its first half copied into the second.
enum { PIECE = 1 << 16 };
static void move(const struct tt_kernels *kernels, float *x, size_t piece, size_t half,
                 bool copy) {
    float sums[PIECE / TT_SUM_FLOATS], *from = x + piece * PIECE;
    if (copy) memcpy(from + half * PIECE, from, PIECE * sizeof *x);
    for (size_t j = 0; !copy && j < PIECE; j += TT_SUM_FLOATS)
        kernels->sum_squares_f32(from + j, TT_SUM_FLOATS, sums + j / TT_SUM_FLOATS);
}

static double find_bytes(const struct tt_engine *engine, float *x, size_t n, bool copy) {
    int threads = engine->plan.threads;
    size_t half = n / PIECE / 2, pieces = copy ? half : 2 * half;
    double first = tt_seconds(), each = (copy ? 2.0 : 1.0) * PIECE * sizeof *x;
    double best = 0;
    for (int i = 0; i < TRIES && (!i || tt_seconds() - first < 2 * try_seconds); i++) {
        double rate = 0;
#pragma omp parallel num_threads(threads) reduction(+ : rate)
        {
            double from = thread_seconds(), moved = 0;
#pragma omp for schedule(static) nowait
            for (size_t p = 0; p < pieces; p++) {
                move(&engine->kernels, x, p, half, copy);
                moved += each;
            }
            double seconds = thread_seconds() - from;
            if (moved > 0 && seconds > 0) rate += moved / seconds;
        }
        if (rate > best) best = rate;
    }
    return best;
}

// Writes to pages for the first time, which the system may take long to give. How many floats, of
// n, that was done for in the time there is for it.
static size_t fill(float *x, size_t n, int threads) {
    const double most_seconds = 0.7;
    const size_t step = (size_t)512 * PIECE / 16;
    double begun = tt_seconds();
    size_t done = 0;
    for (; done < n && (done < 2 * step || tt_seconds() - begun < most_seconds); done += step) {
        size_t end = n - done < step ? n : done + step;
#pragma omp parallel for num_threads(threads) schedule(static)
        for (size_t i = done; i < end; i++) x[i] = 1;
    }
    return done < n ? done : n;
}

static enum tt_status measure(const struct tt_engine *engine, struct tt_roof *roof,
                              struct tt_error *err) {
    size_t n = buffer_floats(), threads = (size_t)engine->plan.threads;
    struct room *rooms = tt_block_alloc(threads * sizeof *rooms);
    float *x = tt_block_alloc(n * sizeof *x);
    enum tt_status status = TT_OK;
    if (!rooms || !x)
        status = tt_fail(err, TT_SYSTEM, "out of memory: %zu bytes to measure the memory with",
                         n * sizeof *x);
    if (!status) {
        roof->flops_per_second = find_flops(engine, rooms);
        size_t filled = fill(x, n, (int)threads);
        roof->read = find_bytes(engine, x, filled, false);
        roof->copy = find_bytes(engine, x, filled, true);
        roof->bytes_per_second = roof->read > roof->copy ? roof->read : roof->copy;
        roof->measured = true;
    }
    tt_block_free(rooms, threads * sizeof *rooms);
    tt_block_free(x, n * sizeof *x);
    return status;
}

// ---- the cache ----

char *tt_processor_name(char *text, size_t size) {
    char line[512];
    snprintf(text, size, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "re");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, "model name", 10)) continue;
        char *value = strchr(line, ':');
        if (!value) continue;
        value += 1 + strspn(value + 1, " \t");
        snprintf(text, size, "%.*s", (int)strcspn(value, "\n"), value);
        break;
    }
    if (file) fclose(file);
    return text;
}

enum { KEY = 256, PATH = 4096 };

static void make_key(const struct tt_engine *engine, char key[KEY]) {
    char name[128];
    snprintf(key, KEY, "tintype-roof 1 %s %s %d threads %s", tt_version(),
             tt_cpu_name(engine->kernels.mask), engine->plan.threads,
             tt_processor_name(name, sizeof name));
}

// A file for each key, whose first line is that, so that two keys with one name are told apart.
static bool file_for(const char *cache, const char *key, char path[PATH]) {
    uint64_t hash = 14695981039346656037u; // FNV-1a
    for (const char *c = key; *c; c++) hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    int length = snprintf(path, PATH, "%s/roof-%016" PRIx64 ".txt", cache, hash);
    return length > 0 && length < PATH;
}

static bool is_rate(double rate) { return rate > 1e6 && rate < 1e18; }

static bool recall(const char *path, const char *key, struct tt_roof *roof) {
    struct tt_bytes bytes = {0};
    char text[512];
    int end = 0;
    if (tt_file_read(NULL, path, &bytes, NULL)) return false;
    size_t length = bytes.size < sizeof text ? bytes.size : 0;
    memcpy(text, bytes.data, length);
    text[length] = '\0';
    tt_bytes_free(&bytes);
    size_t first = strlen(key);
    if (strncmp(text, key, first) || text[first] != '\n') return false;
    struct tt_roof found = {0};
    if (sscanf(text + first + 1, "%lf %lf %lf\n%n", &found.flops_per_second, &found.read,
               &found.copy, &end) != 3 || !end || text[first + 1 + (size_t)end])
        return false;
    if (!is_rate(found.flops_per_second) || !is_rate(found.read) || !is_rate(found.copy))
        return false;
    found.bytes_per_second = found.read > found.copy ? found.read : found.copy;
    *roof = found;
    return true;
}

static void keep(const char *cache, const char *path, const char *key,
                 const struct tt_roof *roof) {
    char text[512];
    int length = snprintf(text, sizeof text, "%s\n%.6e %.6e %.6e\n", key, roof->flops_per_second,
                          roof->read, roof->copy);
    if (length < 0 || (size_t)length >= sizeof text || tt_make_folder(cache, NULL)) return;
    (void)tt_write_file(NULL, path, text, (size_t)length, NULL); // else it is measured again
}

enum tt_status tt_roof_find(const struct tt_engine *engine, const char *cache, bool again,
                            struct tt_roof *roof, struct tt_error *err) {
    char key[KEY], path[PATH];
    make_key(engine, key);
    bool cached = cache && file_for(cache, key, path);
    if (cached && !again && recall(path, key, roof)) return TT_OK;
    enum tt_status status = measure(engine, roof, err);
    if (!status && cached) keep(cache, path, key, roof);
    return status;
}
