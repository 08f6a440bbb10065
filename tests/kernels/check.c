// SPDX-License-Identifier: MIT
#include "check.h"

#include <fenv.h>
#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

// A buffer of one case: [no access] canary data canary [no access], or without the second canary.
enum slot_kind { SLOT_IN, SLOT_GOT, SLOT_WANT, SLOT_SCRATCH };
struct check_slot {
    unsigned char *base; // first accessible byte
    size_t room;         // accessible bytes
    unsigned char *data;
    size_t size;
    enum slot_kind kind;
    uint64_t digest; // of an input before the call
};

enum { SLOTS = 24, CANARY = 256 };
static const uint32_t UNWRITTEN = 0x7fdeadbf; // a quiet NaN that no arithmetic makes by itself

uint64_t check_random(struct check *c) { // splitmix64
    uint64_t z = c->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

size_t check_range(struct check *c, size_t low, size_t high) {
    return low + (size_t)(check_random(c) % (high - low + 1));
}

size_t check_length(struct check *c, size_t bench) {
    if (c->bench) return bench;
    return c->index <= 70 ? c->index : check_range(c, 71, 1500);
}

enum fill check_fill(struct check *c) {
    static const enum fill turns[] = {FILL_WIDE, FILL_CANCEL, FILL_FINITE, FILL_ANY, FILL_BITS};
    return c->bench || c->index % 2 == 0 ? FILL_UNIT : turns[c->index / 2 % 5];
}

static float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t to_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

// No library function: the inputs are the same on every machine.
static float number(struct check *c, enum fill fill, float before) {
    static const uint32_t finite[] = {
        0x00000000, 0x80000000, 0x00000001, 0x80000001, 0x007fffff, 0x807fffff, 0x00800000,
        0x80800000, 0x7f7fffff, 0xff7fffff, 0x7f000000, 0x5f000000, 0xdf000000, 0x1f800000,
        0x3f7fffff, 0x3f800001, 0x3f000000, 0xbf800000, 0x42b17218, 0xc2aeac50, 0x33800000,
    };
    static const uint32_t special[] = {0x7f800000, 0xff800000, 0x7fc00000, 0xffc00001, 0x7fa00000};
    uint64_t r = check_random(c);
    float unit = (float)((int32_t)(r >> 40) - (1 << 23)) * 0x1p-23f;
    unsigned pick = (unsigned)(r & 0xffff);
    switch (fill) {
    case FILL_UNIT: return unit;
    case FILL_WIDE: return from_bits((uint32_t)(r >> 32 & 0x807fffff) | (107 + pick % 41) << 23);
    case FILL_CANCEL:
        if (pick % 4 == 0) return unit * 1024;
        return from_bits((to_bits(before) ^ 0x80000000) + pick % 3);
    case FILL_BITS: return from_bits((uint32_t)r);
    case FILL_ANY:
        if (pick % 64 == 1) return from_bits(special[pick / 64 % 5]);
        // fallthrough
    case FILL_FINITE:
        if (pick % 4 == 0) return from_bits(finite[pick / 4 % (sizeof finite / sizeof *finite)]);
    }
    return unit;
}

void check_fill_f32(struct check *c, float *x, size_t n, enum fill fill) {
    for (size_t i = 0; i < n; i++) x[i] = number(c, fill, i ? x[i - 1] : 1);
}

// Makes room for size bytes in the next slot. Data either ends right before the no-access page or
// starts some floats after the other one.
static struct check_slot *take(struct check *c, size_t size, enum slot_kind kind, bool aligned) {
    if (c->used == SLOTS) check_fail(c, "the check wants more than %d buffers", SLOTS);
    struct check_slot *s = c->slots + c->used++;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t room = (size + 2 * CANARY + 64 + page - 1) / page * page;
    if (s->room < room) {
        if (s->base) munmap(s->base - page, s->room + 2 * page);
        unsigned char *map =
            mmap(NULL, room + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (map == MAP_FAILED || mprotect(map + page, room, PROT_READ | PROT_WRITE))
            check_fail(c, "no memory for %zu bytes", size);
        s->base = map + page;
        s->room = room;
    }
    s->size = size;
    s->kind = kind;
    s->data = s->base + s->room - size - (c->slack ? 64 : 0); // the very end
    if (aligned) s->data -= (uintptr_t)s->data % 64;
    uint64_t r = check_random(c);
    if (!c->bench && r % 4 == 0) s->data = s->base + (aligned ? 0 : r / 4 % 16 * 4);
    if (c->bench) s->data = s->base + CANARY;
    unsigned char *end = s->data + size;
    for (unsigned char *p = s->data; p > s->base && p > s->data - CANARY;) *--p = 0xc5;
    for (unsigned char *p = end; p < s->base + s->room && p < end + CANARY; p++) *p = 0xc5;
    return s;
}

static void look_at_canaries(struct check *c, const struct check_slot *s) {
    static const char *const kinds[] = {"an input", "an output", "scalar's output", "scratch"};
    const unsigned char *end = s->data + s->size;
    for (const unsigned char *p = s->data; p > s->base && p > s->data - CANARY;)
        if (*--p != 0xc5) check_fail(c, "wrote %td bytes before %s", s->data - p, kinds[s->kind]);
    for (const unsigned char *p = end; p < s->base + s->room && p < end + CANARY; p++)
        if (*p != 0xc5) check_fail(c, "wrote %td bytes past %s", p - end + 1, kinds[s->kind]);
}

float *check_in(struct check *c, size_t n, enum fill fill) {
    float *x = (float *)take(c, n * sizeof *x, SLOT_IN, false)->data;
    check_fill_f32(c, x, n, fill);
    return x;
}

float *check_in_aligned(struct check *c, size_t n, enum fill fill) {
    float *x = (float *)take(c, n * sizeof *x, SLOT_IN, true)->data;
    check_fill_f32(c, x, n, fill);
    return x;
}

void *check_in_bytes(struct check *c, size_t size) {
    unsigned char *x = take(c, size, SLOT_IN, false)->data;
    for (size_t i = 0; i < size; i++) x[i] = (unsigned char)(check_random(c) >> 32);
    return x;
}

// Towards zero; what is too large becomes the largest, what is too small 0 or a subnormal.
static uint16_t cut_to_f16(uint32_t bits) {
    uint16_t sign = bits >> 16 & 0x8000;
    int exponent = (int)(bits >> 23 & 255) - 127;
    uint32_t fraction = bits >> 13 & 0x3ff;
    if (exponent == 128) return sign | 0x7c00 | (bits & 0x7fffff ? 0x200 | fraction : 0);
    if (exponent > 15) return sign | 0x7bff;
    if (exponent < -24) return sign;
    if (exponent < -14) return sign | (uint16_t)((fraction | 0x400) >> (-14 - exponent));
    return sign | (uint16_t)((unsigned)(exponent + 15) << 10 | fraction);
}

struct tt_weight check_halve_to(struct check *c, float *x, size_t n, enum tt_dtype dtype) {
    uint16_t *half = (uint16_t *)check_in_aligned(c, (n + 1) / 2, FILL_UNIT);
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        half[i] = dtype == TT_F16 ? cut_to_f16(bits) : (uint16_t)(bits >> 16);
    }
    if (dtype == TT_F16) c->scalar->convert_f16_f32(half, x, n);
    else c->scalar->convert_bf16_f32(half, x, n);
    return (struct tt_weight){half, dtype};
}

struct tt_weight check_halve(struct check *c, float *x, size_t n) {
    return check_halve_to(c, x, n, c->index % 2 ? TT_F16 : TT_BF16);
}

static struct check_out pair(struct check *c, size_t n, bool aligned) {
    struct check_slot *got = take(c, n * sizeof(float), SLOT_GOT, aligned);
    struct check_slot *want = take(c, n * sizeof(float), SLOT_WANT, aligned);
    struct check_out y = {(float *)got->data, (float *)want->data, n};
    for (size_t i = 0; i < n; i++) y.got[i] = y.want[i] = from_bits(UNWRITTEN);
    return y;
}

struct check_out check_out(struct check *c, size_t n) {
    return pair(c, n, false);
}

struct check_out check_out_aligned(struct check *c, size_t n) {
    return pair(c, n, true);
}

static struct check_out filled(struct check *c, struct check_out y, enum fill fill) {
    check_fill_f32(c, y.got, y.n, fill);
    if (y.n) memcpy(y.want, y.got, y.n * sizeof *y.got);
    return y;
}

struct check_out check_inout(struct check *c, size_t n, enum fill fill) {
    return filled(c, pair(c, n, false), fill);
}

struct check_out check_inout_aligned(struct check *c, size_t n, enum fill fill) {
    return filled(c, pair(c, n, true), fill);
}

void *check_scratch(struct check *c, size_t size) {
    unsigned char *data = take(c, size, SLOT_SCRATCH, true)->data;
    memset(data, 0xff, size); // NaN
    return data;
}

void check_describe(struct check *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(c->description, sizeof c->description, format, args);
    va_end(args);
}

void check_limit(struct check *c, double limit) {
    c->limit = limit;
}

void check_work(struct check *c, double work) {
    c->work = work;
}

bool check_reference(const struct check *c) {
    return !c->bench && !c->sabotage && c->scalar == c->kernels && c->threads <= 1;
}

_Noreturn void check_fail(struct check *c, const char *format, ...) {
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    c->result->failed = true;
    snprintf(c->result->message, sizeof c->result->message, "case %zu (%s): %s", c->index,
             c->description, what);
    siglongjmp(c->stop, 1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static uint64_t digest(uint64_t h, const unsigned char *data, size_t size) {
    for (; size >= 8; data += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 29;
    }
    for (; size; size--) h = (h ^ *data++) * 0x100000001b3u;
    return h;
}

void check_enter(struct check *c) {
    for (size_t i = 0; i < c->used && !c->bench; i++)
        c->slots[i].digest = digest(1, c->slots[i].data, c->slots[i].size);
    c->rounding = fegetround();
    c->calls = 0;
    c->called = true;
    c->seconds = INFINITY;
    c->started = now();
}

static bool same(float a, float b) {
    uint32_t x = to_bits(a), y = to_bits(b);
    return x == y || (x != UNWRITTEN && y != UNWRITTEN && isnan(a) && isnan(b));
}

static int64_t ordered(float x) {
    int32_t bits = (int32_t)to_bits(x);
    return bits < 0 ? (int64_t)INT32_MIN - bits : bits;
}

static void compare(struct check *c, const float *got, const float *want, size_t n) {
    double max_abs = 0, max_rel = 0, max_ulp = 0;
    size_t different = 0, worst = 0;
    for (size_t i = 0; i < n; i++) {
        if (same(got[i], want[i])) continue;
        if (to_bits(got[i]) == UNWRITTEN) check_fail(c, "[%zu] of %zu was not written", i, n);
        if (to_bits(want[i]) == UNWRITTEN)
            check_fail(c, "wrote [%zu] of %zu, which is not the kernel's", i, n);
        double d = fabs((double)got[i] - (double)want[i]), r = d / fabs((double)want[i]);
        double ulp = (double)llabs((long long)(ordered(got[i]) - ordered(want[i])));
        if (isnan(d)) d = r = ulp = INFINITY;
        if (d <= c->limit && c->exactness == TT_BOUNDED) continue;
        if (d > max_abs || !different) max_abs = d, worst = i;
        if (r > max_rel) max_rel = r;
        if (ulp > max_ulp) max_ulp = ulp;
        different++;
    }
    if (different)
        check_fail(c,
                   "%zu of %zu differ from scalar: max abs %.3g, max rel %.3g, %.0f ulp; "
                   "worst [%zu]: %.9g, expected %.9g",
                   different, n, max_abs, max_rel, max_ulp, worst, got[worst], want[worst]);
}

// Puts the fault in; c->sabotaged says whether this case has a place for it.
static void put_fault_in(struct check *c) {
    for (size_t s = 0; s < c->used && !c->sabotaged; s++) {
        struct check_slot *slot = c->slots + s;
        if (c->sabotage == SABOTAGE_INPUT && slot->kind == SLOT_IN && slot->size)
            slot->data[check_range(c, 0, slot->size - 1)] ^= 1, c->sabotaged = true;
        if (slot->kind != SLOT_GOT || !slot->size) continue;
        float *y = (float *)slot->data;
        size_t n = slot->size / sizeof *y, i = check_range(c, 0, n - 1);
        for (size_t k = 0; k < n && isnan(y[i]); k++) i = (i + 1) % n;
        bool number_there = !isnan(y[i]);
        size_t j = i;
        for (size_t k = 0; k < n && (isnan(y[j]) || y[j] == y[i]); k++) j = (j + 1) % n;
        float other = y[j];
        bool swappable = number_there && !isnan(other) && other != y[i];
        switch (c->sabotage) {
        case SABOTAGE_ULP:
            if (number_there) y[i] = from_bits(to_bits(y[i]) ^ 1);
            c->sabotaged = number_there && !isnan(y[i]);
            break;
        case SABOTAGE_NAN:
            if (number_there) y[i] = NAN, c->sabotaged = true;
            break;
        case SABOTAGE_STALE:
            if (number_there) y[i] = from_bits(UNWRITTEN), c->sabotaged = true;
            break;
        case SABOTAGE_SWAP:
            if (swappable) y[j] = y[i], y[i] = other, c->sabotaged = true;
            break;
        case SABOTAGE_PAST: // these may meet a no-access page, like a kernel that does it
            c->result->sabotaged = c->sabotaged = true, slot->data[slot->size] ^= 1;
            break;
        case SABOTAGE_BEFORE:
            c->result->sabotaged = c->sabotaged = true, slot->data[-1] ^= 1;
            break;
        default: break;
        }
    }
    if (c->sabotage == SABOTAGE_ROUNDING) fesetround(FE_UPWARD), c->sabotaged = true;
}

// What there is to see after a call.
static void look(struct check *c) {
    int rounding = fegetround();
    volatile float denormal = 0x1p-140f, one = 1, product = denormal * one;
    fesetenv(FE_DFL_ENV);
    if (rounding != c->rounding) check_fail(c, "left the rounding mode changed");
    if (product == 0) check_fail(c, "left denormals flushed to zero");
    for (size_t s = 0; s < c->used; s++) {
        struct check_slot *slot = c->slots + s;
        look_at_canaries(c, slot);
        if (slot->kind == SLOT_IN && slot->digest != digest(1, slot->data, slot->size))
            check_fail(c, "changed input %zu", s);
        if (slot->kind != SLOT_GOT) continue;
        float *got = (float *)slot->data, *want = (float *)slot[1].data;
        size_t n = slot->size / sizeof *got;
        compare(c, got, want, n);
        for (size_t i = 0; i < n; i++) {
            uint32_t bits = isnan(got[i]) ? 0x7fc00000 : to_bits(got[i]);
            c->result->hash = (c->result->hash ^ bits) * 0x9e3779b97f4a7c15u;
            c->result->hash ^= c->result->hash >> 29;
        }
    }
}

// One call when checking; when benching the fastest of runs that fill a tenth of a second.
bool check_again(struct check *c) {
    if (!c->bench) {
        if (c->calls++ == 0) return true;
        if (c->sabotage && c->index >= c->sabotage_case && !c->sabotaged) put_fault_in(c);
        c->result->sabotaged = c->sabotaged;
        look(c);
        return false;
    }
    double t = now();
    if (c->calls && t - c->started < c->seconds) c->seconds = t - c->started;
    c->result->seconds += c->calls ? t - c->started : 0;
    c->started = now();
    return c->calls++ < 3 || c->result->seconds < 0.1;
}

static void end_case(struct check *c) {
    c->result->cases++;
    if (!c->bench) return;
    c->result->seconds = c->seconds;
    c->result->work = c->work;
}

bool check_case(struct check *c, size_t cases) {
    if (c->called) end_case(c), c->index++;
    c->called = false;
    c->used = 0;
    c->limit = 0;
    c->description[0] = 0;
    uint64_t name = 1469598103934665603u;
    for (const char *p = c->name; *p; p++) name = (name ^ (unsigned char)*p) * 0x100000001b3u;
    c->random = c->seed * 0x2545f4914f6cdd1du ^ name ^ (uint64_t)c->index << 40;
    return c->index < (c->bench ? 1 : cases);
}

void check_within(struct check *c, const struct check_out *y, size_t i, double value,
                  double limit) {
    double got = y->want[i];
    if (isnan(value) && isnan(got)) return;
    if (isinf(got) && fabs(value) + limit > FLT_MAX && signbit(got) == signbit(value)) return;
    if (!(fabs(got - value) <= limit))
        check_fail(c, "scalar [%zu] is %.9g; float64 gives %.17g, limit %.3g, off by %.3g", i, got,
                   value, limit, fabs(got - value));
}

void check_near(struct check *c, const struct check_out *y, size_t i, double value, double ulps) {
    int exponent = -126;
    if (value != 0 && isfinite(value)) frexp(value, &exponent);
    if (exponent - 1 < -126) exponent = -125;
    check_within(c, y, i, value, ulps * ldexp(1, exponent - 24));
}

static struct check *running; // for the signal handler

static void caught(int signal) {
    running->result->failed = true;
    snprintf(running->result->message, sizeof running->result->message, "case %zu (%s): %s",
             running->index, running->description,
             signal == SIGSEGV || signal == SIGBUS ? "touched memory outside its buffers"
             : signal == SIGILL || signal == SIGTRAP ? "illegal instruction"
                                                   : "floating point exception");
    siglongjmp(running->stop, 1);
}

void check_run(struct check *c, check_function *function, struct check_result *result) {
    static struct check_slot slots[SLOTS]; // kept from check to check
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE};
    enum { SIGNALS = sizeof signals / sizeof *signals };
    struct sigaction old[SIGNALS], new = {.sa_handler = caught};
    memset(result, 0, sizeof *result);
    c->slots = slots;
    c->result = result;
    c->index = 0;
    c->called = c->sabotaged = false;
    c->work = 0;
    running = c;
    for (size_t i = 0; i < SIGNALS; i++) sigaction(signals[i], &new, &old[i]);
    if (!sigsetjmp(c->stop, 1)) function(c);
    fesetenv(FE_DFL_ENV);
    for (size_t i = 0; i < SIGNALS; i++) sigaction(signals[i], &old[i], NULL);
}
