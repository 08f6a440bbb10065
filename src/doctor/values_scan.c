// SPDX-License-Identifier: MIT
// Values, read a piece at a time by all threads: what is not finite, what is all the same.
#include <string.h>

#include "base/quant.h"
#include "base/team.h"
#include "base/text.h"
#include "doctor/doctor.h"

// Elements that one thread reads at once; bytes between two looks at progress.
enum { BLOCK = 1 << 14, PIECE = 1 << 24 };

// What is known of the elements seen so far.
struct seen {
    size_t nan, infinite, first; // first: index of the first that is not finite
    bool differs;                // from element 0
    bool nonzero;
};

static bool is_float(const struct tt_doctor_tensor *t) {
    enum tt_dtype dtype = t->view.dtype;
    if (!t->known) return !strcmp(t->dtype, "F8_E4M3") || !strcmp(t->dtype, "F8_E5M2");
    return dtype == TT_F64 || dtype == TT_F32 || dtype == TT_F16 || dtype == TT_BF16 ||
           tt_is_quantised(dtype);
}

uint64_t tt_doctor_scan_bytes(const struct tt_doctor_tensor *tensors, size_t count) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        if (is_float(&tensors[i])) bytes += tensors[i].view.bytes;
    return bytes;
}

// The bits of a dtype: all of its exponent, and all but its sign.
struct bits {
    size_t size;
    uint64_t exponent, magnitude;
    bool no_infinity; // F8_E4M3: only all ones is no number
};

static struct bits bits_of(const struct tt_doctor_tensor *t) {
    if (!t->known && !strcmp(t->dtype, "F8_E4M3")) return (struct bits){1, 0x7f, 0x7f, true};
    if (!t->known) return (struct bits){1, 0x7c, 0x7f, false};
    switch (t->view.dtype) {
    case TT_F64: return (struct bits){8, 0x7ff0000000000000, 0x7fffffffffffffff, false};
    case TT_F16: return (struct bits){2, 0x7c00, 0x7fff, false};
    case TT_BF16: return (struct bits){2, 0x7f80, 0x7fff, false};
    default: return (struct bits){4, 0x7f800000, 0x7fffffff, false};
    }
}

static inline uint64_t element(const unsigned char *data, size_t size, size_t i) {
    uint64_t value = 0;
    memcpy(&value, data + i * size, size);
    return value;
}

// Elements first .. last-1, after a quick look that mostly finds nothing.
#define LOOK(type)                                                                                 \
    do {                                                                                           \
        type bad = 0, other = 0, any = 0, exponent = (type)b->exponent;                            \
        for (size_t i = first; i < last; i++) {                                                    \
            type value;                                                                            \
            memcpy(&value, data + i * sizeof value, sizeof value);                                 \
            bad |= (type)((value & exponent) == exponent);                                         \
            other |= (type)(value ^ (type)zeroth);                                                 \
            any |= (type)(value & (type)b->magnitude);                                             \
        }                                                                                          \
        *found = bad != 0;                                                                         \
        seen->differs |= other != 0;                                                               \
        seen->nonzero |= any != 0;                                                                 \
    } while (0)

static void look(const unsigned char *data, const struct bits *b, size_t first, size_t last,
                 uint64_t zeroth, struct seen *seen, bool *found) {
    switch (b->size) {
    case 1: LOOK(uint8_t); return;
    case 2: LOOK(uint16_t); return;
    case 4: LOOK(uint32_t); return;
    default: LOOK(uint64_t); return;
    }
}

static void count_bad(const unsigned char *data, const struct bits *b, size_t first, size_t last,
                      struct seen *seen) {
    for (size_t i = last; i-- > first;) {
        uint64_t value = element(data, b->size, i) & b->magnitude;
        if ((value & b->exponent) != b->exponent) continue;
        if (value == b->exponent && !b->no_infinity) seen->infinite++;
        else seen->nan++;
        if (i < seen->first) seen->first = i;
    }
}

static void join(struct seen *all, const struct seen *part) {
    all->nan += part->nan;
    all->infinite += part->infinite;
    all->differs |= part->differs;
    all->nonzero |= part->nonzero;
    if (part->first < all->first) all->first = part->first;
}

// Pages of the mapping that have been read need not stay.
static void release(const struct tt_doctor_scan *scan, const struct tt_view *piece) {
    if (scan->source) tt_source_release(scan->source, piece);
}

static enum tt_status scan_tensor(struct tt_examination *x, const struct tt_doctor_scan *scan,
                                  const struct tt_doctor_tensor *t, struct seen *all,
                                  struct tt_error *err) {
    const struct bits b = bits_of(t);
    const unsigned char *data = t->view.data;
    size_t n = t->view.bytes / b.size, step = PIECE / b.size;
    *all = (struct seen){.first = SIZE_MAX};
    uint64_t zeroth = n ? element(data, b.size, 0) : 0;
    for (size_t begin = 0; begin < n; begin += step) {
        size_t end = n - begin < step ? n : begin + step;
        int threads = tt_team_size(x->engine->plan.threads);
#pragma omp parallel num_threads(threads)
        {
            struct seen mine = {.first = SIZE_MAX};
#pragma omp for schedule(static) nowait
            for (size_t at = begin; at < end; at += BLOCK) {
                size_t last = end - at < BLOCK ? end : at + BLOCK;
                bool found;
                look(data, &b, at, last, zeroth, &mine, &found);
                if (found) count_bad(data, &b, at, last, &mine);
            }
#pragma omp critical
            join(all, &mine);
        }
        struct tt_view piece = t->view;
        piece.data = data + begin * b.size;
        piece.bytes = (end - begin) * b.size;
        release(scan, &piece);
        x->done += piece.bytes;
        const struct tt_examine_settings *s = &x->settings;
        if (s->progress && s->progress(s->context, x->done, x->all))
            return tt_fail(err, TT_CANCELLED, "cancelled while reading %s", scan->path);
    }
    return TT_OK;
}

// Blocks are finite where their float16 numbers are; what they hold else is not looked at.
static void scan_blocks(struct tt_examination *x, const struct tt_doctor_scan *scan,
                        const struct tt_doctor_tensor *t) {
    size_t size = tt_dtype_block_size(t->view.dtype), n = t->view.bytes / size;
    size_t bad = tt_blocks_finite(t->view.dtype, t->view.data, n);
    release(scan, &t->view);
    x->done += t->view.bytes;
    if (bad < n)
        tt_doctor_find(x, TT_CODE_NOT_FINITE, scan->path, t->view.name,
                       tt_doctor_text(x, "a scale that is not finite, in block %zu of %zu of %s",
                                      bad, n, t->dtype), "finite values", NULL);
}

// ---- what that means ----

// A weight, of which one number alone says that nothing was learnt: matrices, and the factors of
// norms. Biases of zeros are usual.
static bool is_weight(const struct tt_view *view) {
    return view->shape.rank >= 2 ||
           (view->shape.rank == 1 && tt_text_ends(view->name, "norm.weight"));
}

static void judge(struct tt_examination *x, const char *path, const struct tt_doctor_tensor *t,
                  const struct seen *seen) {
    char shape[96];
    size_t n = tt_shape_count(&t->view.shape), bad = seen->nan + seen->infinite;
    tt_shape_text(&t->view.shape, shape, sizeof shape);
    if (bad)
        tt_doctor_find(x, TT_CODE_NOT_FINITE, path, t->view.name,
                       tt_doctor_text(x, "%zu NaN and %zu infinite of %zu values %s, the first at "
                                      "%zu", seen->nan, seen->infinite, n, shape, seen->first),
                       "finite values", NULL);
    if (bad || n < 2 || seen->differs || !is_weight(&t->view)) return;
    const char *found = tt_doctor_text(x, "%zu values %s that are all the same", n, shape);
    if (!seen->nonzero)
        tt_doctor_find(x, TT_CODE_ALL_ZERO, path, t->view.name,
                       tt_doctor_text(x, "%zu zeros %s", n, shape), NULL, NULL);
    else if (t->view.shape.rank >= 2)
        tt_doctor_find(x, TT_CODE_CONSTANT, path, t->view.name, found, NULL, NULL);
}

enum tt_status tt_doctor_scan(struct tt_examination *x, const struct tt_doctor_scan *scan,
                              struct tt_error *err) {
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && i < scan->count; i++) {
        const struct tt_doctor_tensor *t = &scan->tensors[i];
        struct seen seen;
        if (!is_float(t)) continue;
        if (tt_is_quantised(t->view.dtype)) {
            scan_blocks(x, scan, t);
            continue;
        }
        status = scan_tensor(x, scan, t, &seen, err);
        if (!status) judge(x, scan->path, t, &seen);
    }
    return status;
}
