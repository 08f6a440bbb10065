// SPDX-License-Identifier: MIT
#include "graph/bank.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/finite.h"
#include "base/team.h"
#include "gemm/gemm.h"

struct entry {
    char *name;
    const float *data;
    void *block; // NULL when data is borrowed
    size_t bytes;
    enum tt_form form;
};

struct tt_bank {
    tt_find_view find;
    tt_release_view release; // may be NULL
    void *context;
    const char *source;
    struct entry *entries;
    size_t count, capacity;
};

struct tt_bank *tt_bank_new(tt_find_view find, tt_release_view release, void *context,
                            const char *source) {
    struct tt_bank *bank = calloc(1, sizeof *bank);
    if (bank)
        *bank = (struct tt_bank){
            .find = find, .release = release, .context = context, .source = source};
    return bank;
}

void tt_bank_free(struct tt_bank *bank) {
    if (!bank) return;
    for (size_t i = 0; i < bank->count; i++) {
        tt_block_free(bank->entries[i].block, bank->entries[i].bytes);
        free(bank->entries[i].name);
    }
    free(bank->entries);
    free(bank);
}

size_t tt_bank_bytes(const struct tt_bank *bank) {
    size_t bytes = 0;
    for (size_t i = 0; i < bank->count; i++) bytes += bank->entries[i].bytes;
    return bytes;
}

static void release_view(const struct tt_bank *bank, const struct tt_view *view) {
    if (bank->release) bank->release(bank->context, view);
}

// A linear layer's weight may be stored as a 1x1 convolution's and the other way round: older
// checkpoints do so. Trailing dimensions of 1 do not count.
static int same_shape(const struct tt_shape *a, const struct tt_shape *b) {
    size_t ranks[2] = {a->rank, b->rank};
    while (ranks[0] > 2 && a->dim[ranks[0] - 1] == 1) ranks[0]--;
    while (ranks[1] > 2 && b->dim[ranks[1] - 1] == 1) ranks[1]--;
    if (ranks[0] != ranks[1]) return 0;
    return !memcmp(a->dim, b->dim, ranks[0] * sizeof *a->dim);
}

enum tt_status tt_find_checked(tt_find_view find, void *context, const char *source,
                               const struct tt_param *param, const struct tt_view **out,
                               struct tt_error *err) {
    const struct tt_view *view = find(context, param->name);
    char found[96], expected[96];
    tt_shape_text(&param->shape, expected, sizeof expected);
    if (!view)
        return tt_fail(err, TT_BAD_INPUT, "%s: tensor '%s' is missing; expected shape %s",
                       source, param->name, expected);
    if (!same_shape(&view->shape, &param->shape))
        return tt_fail(err, TT_BAD_INPUT, "%s: tensor '%s': found shape %s, expected %s",
                       source, param->name, tt_shape_text(&view->shape, found, sizeof found),
                       expected);
    if (view->dtype != TT_F32 && view->dtype != TT_F16 && view->dtype != TT_BF16)
        return tt_fail(err, TT_BAD_INPUT,
                       "%s: tensor '%s': found dtype %s, expected F32, F16 or BF16",
                       source, param->name, tt_dtype_name(view->dtype));
    *out = view;
    return TT_OK;
}

size_t tt_form_floats(enum tt_form form, const struct tt_shape *shape) {
    size_t count = tt_shape_count(shape), rows = shape->dim[0];
    if (form == TT_FORM_GEMM) return tt_gemm_packed_floats(rows, count / rows);
    if (form == TT_FORM_CONV) return tt_conv_packed_floats(rows, shape->dim[1], shape->dim[2]);
    return count;
}

// Rows touch disjoint floats of the packed panels.
static void pack_rows(enum tt_form form, const struct tt_shape *shape, size_t row, size_t count,
                      const float *data, float *packed) {
    size_t rows = shape->dim[0];
    if (form == TT_FORM_GEMM)
        tt_gemm_pack_rows(packed, rows, tt_shape_count(shape) / rows, row, count, data);
    else
        tt_conv_pack_rows(packed, rows, shape->dim[1], shape->dim[2], row, count, data);
}

enum { PACK_ROWS = 32 }; // at a time: a panel

void tt_form_pack(enum tt_form form, const struct tt_shape *shape, const float *plain,
                  float *packed, int threads) {
    size_t rows = shape->dim[0], length = tt_shape_count(shape) / rows;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (size_t row = 0; row < rows; row += PACK_ROWS)
        pack_rows(form, shape, row, rows - row < PACK_ROWS ? rows - row : PACK_ROWS,
                  plain + row * length, packed);
}

enum { ALL_FINITE = -1 };

// The index of the first value among n of x that is not finite, offset by `at`; or ALL_FINITE.
static ptrdiff_t not_finite(const float *x, size_t n, size_t at) {
    size_t first = 0;
    if (tt_all_finite(x, n)) return ALL_FINITE;
    tt_count_not_finite(x, n, &first);
    return (ptrdiff_t)(at + first);
}

static enum tt_status refuse(const struct tt_bank *bank, const struct tt_view *view,
                             ptrdiff_t index, struct tt_error *err) {
    float value;
    tt_view_floats(view, (size_t)index, 1, &value);
    return tt_fail(err, TT_BAD_INPUT, "%s: tensor '%s': found %g at element %td, expected finite "
                   "numbers", bank->source, view->name, (double)value, index);
}

// Lays rows of the checkpoint's weight out, some at a time, from several threads. Rows touch
// disjoint floats of the packed panels.
static enum tt_status pack(const struct tt_bank *bank, const struct tt_view *view,
                           const struct tt_param *param, enum tt_form form, float *packed,
                           int threads, struct tt_error *err) {
    size_t rows = param->shape.dim[0], length = tt_shape_count(&param->shape) / rows;
    enum tt_status status = TT_OK;
    ptrdiff_t broken = ALL_FINITE; // the first value that is not finite
#pragma omp parallel num_threads(threads)
    {
        float *buffer = malloc(PACK_ROWS * length * sizeof *buffer);
#pragma omp for schedule(dynamic)
        for (size_t row = 0; row < rows; row += PACK_ROWS) {
            if (!buffer) continue;
            size_t count = rows - row < PACK_ROWS ? rows - row : PACK_ROWS;
            tt_view_floats(view, row * length, count * length, buffer);
            ptrdiff_t found = not_finite(buffer, count * length, row * length);
            if (found != ALL_FINITE) {
#pragma omp critical
                if (broken == ALL_FINITE || found < broken) broken = found;
            }
            pack_rows(form, &param->shape, row, count, buffer, packed);
        }
        if (!buffer) {
#pragma omp critical
            status = TT_SYSTEM;
        }
        free(buffer);
    }
    if (status) return tt_fail(err, status, "out of memory while loading '%s'", param->name);
    return broken == ALL_FINITE ? TT_OK : refuse(bank, view, broken, err);
}

static enum tt_status load(struct tt_bank *bank, const struct tt_param *param, enum tt_form form,
                           int threads, struct entry *entry, struct tt_error *err) {
    const struct tt_view *view = NULL;
    enum tt_status status = tt_find_checked(bank->find, bank->context, bank->source, param,
                                            &view, err);
    size_t count = tt_shape_count(&param->shape);
    if (status) return status;
    if (form == TT_FORM_PLAIN && view->dtype == TT_F32 && (uintptr_t)view->data % 4 == 0) {
        *entry = (struct entry){.data = view->data, .form = form};
        ptrdiff_t broken = not_finite(view->data, count, 0);
        release_view(bank, view);
        return broken == ALL_FINITE ? TT_OK : refuse(bank, view, broken, err);
    }
    size_t bytes = tt_form_floats(form, &param->shape) * sizeof(float);
    float *block = tt_block_alloc(bytes);
    if (!block)
        return tt_fail(err, TT_SYSTEM, "out of memory: %zu bytes for '%s'", bytes, param->name);
    *entry = (struct entry){.data = block, .block = block, .bytes = bytes, .form = form};
    if (form == TT_FORM_PLAIN) {
        tt_view_floats(view, 0, count, block);
        ptrdiff_t broken = not_finite(block, count, 0);
        if (broken != ALL_FINITE) status = refuse(bank, view, broken, err);
    } else {
        status = pack(bank, view, param, form, block, threads, err);
    }
    release_view(bank, view);
    return status;
}

enum tt_status tt_bank_get(struct tt_bank *bank, const struct tt_param *param, enum tt_form form,
                           int threads, const float **data, struct tt_error *err) {
    for (size_t i = 0; i < bank->count; i++) {
        if (bank->entries[i].form != form || strcmp(bank->entries[i].name, param->name)) continue;
        *data = bank->entries[i].data;
        return TT_OK;
    }
    if (bank->count == bank->capacity) {
        size_t capacity = bank->capacity ? 2 * bank->capacity : 256;
        struct entry *larger = realloc(bank->entries, capacity * sizeof *larger);
        if (!larger)
            return tt_fail(err, TT_SYSTEM, "out of memory while loading '%s'", param->name);
        bank->entries = larger;
        bank->capacity = capacity;
    }
    struct entry entry = {0};
    enum tt_status status = load(bank, param, form, tt_team_size(threads), &entry, err);
    entry.name = strdup(param->name);
    if (!status && !entry.name)
        status = tt_fail(err, TT_SYSTEM, "out of memory while loading '%s'", param->name);
    if (status) {
        tt_block_free(entry.block, entry.bytes);
        free(entry.name);
        return status;
    }
    bank->entries[bank->count++] = entry;
    *data = entry.data;
    return TT_OK;
}
