// SPDX-License-Identifier: MIT
#include "graph/bank.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/finite.h"
#include "base/quant.h"
#include "base/team.h"
#include "gemm/gemm.h"

struct entry {
    char *name;
    struct tt_weight weight;
    struct tt_view view; // what the data are borrowed from; its data NULL when they are not
    void *block;         // where they lie otherwise
    size_t bytes;
    size_t users;
    enum tt_form form;
};

struct tt_bank {
    struct tt_source source;
    struct tt_bank_options options;
    pthread_mutex_t lock; // of what follows; never held while a callback of a caller's runs
    struct entry *entries;
    size_t count, capacity;
};

struct tt_bank *tt_bank_new(const struct tt_source *source,
                            const struct tt_bank_options *options) {
    struct tt_bank *bank = calloc(1, sizeof *bank);
    if (!bank) return NULL;
    *bank = (struct tt_bank){.source = *source, .options = *options};
    if (!pthread_mutex_init(&bank->lock, NULL)) return bank;
    free(bank);
    return NULL;
}

static void drop(struct tt_bank *bank, struct entry *entry) {
    if (entry->view.data && bank->source.acquire) tt_source_release(&bank->source, &entry->view);
    tt_block_free(entry->block, entry->bytes);
    free(entry->name);
    *entry = bank->entries[--bank->count];
}

void tt_bank_free(struct tt_bank *bank) {
    if (!bank) return;
    while (bank->count) drop(bank, &bank->entries[bank->count - 1]);
    free(bank->entries);
    pthread_mutex_destroy(&bank->lock);
    free(bank);
}

size_t tt_bank_bytes(struct tt_bank *bank) {
    size_t bytes = 0;
    pthread_mutex_lock(&bank->lock);
    for (size_t i = 0; i < bank->count; i++) bytes += bank->entries[i].bytes;
    pthread_mutex_unlock(&bank->lock);
    return bytes;
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

enum tt_status tt_find_checked(const struct tt_source *source, const struct tt_param *param,
                               const struct tt_view **out, struct tt_error *err) {
    const struct tt_view *view = source->find(source->context, param->name);
    char found[96], expected[96];
    tt_shape_text(&param->shape, expected, sizeof expected);
    if (!view)
        return tt_fail(err, TT_BAD_INPUT, "%s: tensor '%s' is missing; expected shape %s",
                       source->name, param->name, expected);
    if (!same_shape(&view->shape, &param->shape))
        return tt_fail(err, TT_BAD_INPUT, "%s: tensor '%s': found shape %s, expected %s",
                       source->name, param->name, tt_shape_text(&view->shape, found, sizeof found),
                       expected);
    if (view->dtype != TT_F32 && view->dtype != TT_F16 && view->dtype != TT_BF16 &&
        !tt_is_quantised(view->dtype))
        return tt_fail(err, TT_BAD_INPUT, "%s: tensor '%s': found dtype %s, expected F32, F16, "
                       "BF16 or a quantised one", source->name, param->name,
                       tt_dtype_name(view->dtype));
    *out = view;
    return TT_OK;
}

size_t tt_form_count(enum tt_form form, const struct tt_shape *shape) {
    size_t count = tt_shape_count(shape), rows = shape->dim[0];
    if (form == TT_FORM_GEMM) return tt_gemm_packed_count(rows, count / rows);
    if (form == TT_FORM_CONV) return tt_conv_packed_count(rows, shape->dim[1], shape->dim[2]);
    return count;
}

// Rows touch disjoint elements of the packed panels.
static void pack_rows(enum tt_form form, const struct tt_shape *shape, size_t element, size_t row,
                      size_t count, const void *data, void *packed) {
    size_t rows = shape->dim[0];
    if (form == TT_FORM_GEMM)
        tt_gemm_pack_rows(packed, element, rows, tt_shape_count(shape) / rows, row, count, data);
    else
        tt_conv_pack_rows(packed, element, rows, shape->dim[1], shape->dim[2], row, count, data);
}

enum { PACK_ROWS = 32 }; // at a time: a panel

void tt_form_pack(enum tt_form form, const struct tt_shape *shape, const float *plain,
                  float *packed, int threads) {
    size_t rows = shape->dim[0], length = tt_shape_count(shape) / rows;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (size_t row = 0; row < rows; row += PACK_ROWS)
        pack_rows(form, shape, sizeof *plain, row, rows - row < PACK_ROWS ? rows - row : PACK_ROWS,
                  plain + row * length, packed);
}

// ---- a weight, as it is read ----

enum { ALL_FINITE = -1 };

// What is loaded, and as what.
struct loading {
    const struct tt_bank *bank;
    struct tt_view view;
    const struct tt_param *param;
    enum tt_form form;
    enum tt_dtype dtype; // the view's, or TT_F32
};

// Elements first .. first+n-1 of the view in the dtype that is wanted: where they lie, or in
// `buffer`, which has room for them.
static const void *elements(const struct loading *l, size_t first, size_t n, void *buffer) {
    size_t size = tt_dtype_size(l->dtype);
    const char *data = (const char *)l->view.data + first * size;
    if (l->dtype != l->view.dtype) tt_view_floats(&l->view, first, n, buffer);
    else if ((uintptr_t)data % size) memcpy(buffer, data, n * size);
    else return data;
    return buffer;
}

// The index of the first of n elements that is not finite, when x holds them from `first` on; or
// ALL_FINITE.
static ptrdiff_t not_finite(const struct loading *l, const void *x, size_t n, size_t first) {
    size_t size = tt_dtype_size(l->dtype);
    bool good = size == sizeof(float) ? tt_all_finite(x, n) : tt_all_finite_half(x, n, l->dtype);
    struct tt_view view = {.dtype = l->dtype, .data = x, .bytes = n * size};
    for (size_t i = 0; !good && i < n; i++) {
        float value;
        tt_view_floats(&view, i, 1, &value);
        if (!tt_all_finite(&value, 1)) return (ptrdiff_t)(first + i);
    }
    return ALL_FINITE;
}

static enum tt_status refuse(const struct loading *l, ptrdiff_t index, struct tt_error *err) {
    float value;
    tt_view_floats(&l->view, (size_t)index, 1, &value);
    return tt_fail(err, TT_BAD_INPUT, "%s: tensor '%s': found %g at element %td, expected finite "
                   "numbers", l->bank->source.name, l->view.name, (double)value, index);
}

// Lays rows of the checkpoint's weight out, some at a time, from several threads.
static enum tt_status pack(const struct loading *l, void *packed, int threads,
                           struct tt_error *err) {
    const struct tt_shape *shape = &l->param->shape;
    size_t rows = shape->dim[0], length = tt_shape_count(shape) / rows;
    size_t size = tt_dtype_size(l->dtype);
    enum tt_status status = TT_OK;
    ptrdiff_t broken = ALL_FINITE; // the first value that is not finite
#pragma omp parallel num_threads(threads)
    {
        void *buffer = malloc(PACK_ROWS * length * size);
#pragma omp for schedule(dynamic)
        for (size_t row = 0; row < rows; row += PACK_ROWS) {
            if (!buffer) continue;
            size_t count = rows - row < PACK_ROWS ? rows - row : PACK_ROWS;
            const void *x = elements(l, row * length, count * length, buffer);
            ptrdiff_t found = not_finite(l, x, count * length, row * length);
            if (found != ALL_FINITE) {
#pragma omp critical
                if (broken == ALL_FINITE || found < broken) broken = found;
            }
            pack_rows(l->form, shape, size, row, count, x, packed);
        }
        if (!buffer) {
#pragma omp critical
            status = TT_SYSTEM;
        }
        free(buffer);
    }
    if (status) return tt_fail(err, status, "out of memory while loading '%s'", l->param->name);
    return broken == ALL_FINITE ? TT_OK : refuse(l, broken, err);
}

// As the checkpoint has it: where it lies, or in memory of the bank's own.
static enum tt_status take_plain(const struct loading *l, struct entry *entry,
                                 struct tt_error *err) {
    size_t count = tt_shape_count(&l->param->shape);
    entry->weight.data = elements(l, 0, count, entry->block);
    ptrdiff_t broken = not_finite(l, entry->weight.data, count, 0);
    return broken == ALL_FINITE ? TT_OK : refuse(l, broken, err);
}

// Blocks as the checkpoint has them, in whatever form: who reads them knows where rows begin.
static enum tt_status take_blocks(const struct loading *l, int threads, struct entry *entry,
                                  struct tt_error *err) {
    enum { PIECES = 64 };
    size_t size = tt_dtype_block_size(l->dtype), count = l->view.bytes / size, broken = count;
    const char *data = l->view.data;
#pragma omp parallel for num_threads(threads) schedule(dynamic) reduction(min : broken)
    for (size_t piece = 0; piece < PIECES; piece++) {
        size_t first = count / PIECES * piece;
        size_t n = piece + 1 < PIECES ? count / PIECES : count - first;
        size_t found = tt_blocks_finite(l->dtype, data + first * size, n);
        if (found < n && first + found < broken) broken = first + found;
    }
    entry->view = l->view;
    entry->weight.data = data;
    entry->bytes = l->view.bytes;
    if (broken == count) return TT_OK;
    size_t at = broken * tt_dtype_block(l->dtype), end = at + tt_dtype_block(l->dtype);
    for (float value = 0; at < end; at++) {
        tt_view_floats(&l->view, at, 1, &value);
        if (!tt_all_finite(&value, 1)) break;
    }
    return refuse(l, (ptrdiff_t)(at < end ? at : end - 1), err);
}

// Lays the view out, or borrows it: the entry then keeps it.
static enum tt_status lay_out(struct loading *l, int threads, struct entry *entry,
                              struct tt_error *err) {
    if (tt_is_quantised(l->dtype)) return take_blocks(l, threads, entry, err);
    size_t size = tt_dtype_size(l->dtype), bytes = tt_form_count(l->form, &l->param->shape) * size;
    bool borrowed = l->form == TT_FORM_PLAIN && l->dtype == l->view.dtype &&
                    (uintptr_t)l->view.data % size == 0;
    entry->bytes = bytes;
    if (borrowed) {
        entry->view = l->view;
    } else {
        entry->block = tt_block_alloc(bytes);
        if (!entry->block)
            return tt_fail(err, TT_SYSTEM, "out of memory: %zu bytes for '%s'", bytes,
                           l->param->name);
        entry->weight.data = entry->block;
    }
    return l->form == TT_FORM_PLAIN ? take_plain(l, entry, err)
                                    : pack(l, entry->block, threads, err);
}

static enum tt_status load(struct tt_bank *bank, const struct tt_param *param, enum tt_form form,
                           unsigned dtypes, int threads, struct entry *entry,
                           struct tt_error *err) {
    struct loading l = {.bank = bank, .param = param, .form = form, .dtype = TT_F32};
    const struct tt_view *found = NULL;
    enum tt_status status = tt_find_checked(&bank->source, param, &found, err);
    if (!status) status = tt_source_acquire(&bank->source, found, &l.view, err);
    if (status) return status;
    if (!bank->options.widen && dtypes & 1u << l.view.dtype) l.dtype = l.view.dtype;
    *entry = (struct entry){.form = form, .weight.dtype = l.dtype};
    status = lay_out(&l, threads, entry, err);
    if (status || !entry->view.data || !bank->source.acquire)
        tt_source_release(&bank->source, &l.view);
    if (status) entry->view.data = NULL;
    return status;
}

enum tt_dtype tt_bank_dtype(const struct tt_bank *bank, const struct tt_param *param,
                            unsigned dtypes) {
    const struct tt_view *view = bank->source.find(bank->source.context, param->name);
    bool kept = view && !bank->options.widen && dtypes & 1u << view->dtype;
    return kept ? view->dtype : TT_F32;
}

static struct entry *find_entry(struct tt_bank *bank, const char *name, enum tt_form form,
                                unsigned dtypes) {
    for (size_t i = 0; i < bank->count; i++) {
        struct entry *entry = &bank->entries[i];
        if (entry->form == form && dtypes & 1u << entry->weight.dtype && !strcmp(entry->name, name))
            return entry;
    }
    return NULL;
}

static enum tt_status add_entry(struct tt_bank *bank, const struct tt_param *param,
                                enum tt_form form, unsigned dtypes, int threads,
                                struct tt_error *err) {
    struct entry entry = {0};
    if (bank->count == bank->capacity) {
        size_t capacity = bank->capacity ? 2 * bank->capacity : 256;
        struct entry *larger = realloc(bank->entries, capacity * sizeof *larger);
        if (!larger)
            return tt_fail(err, TT_SYSTEM, "out of memory while loading '%s'", param->name);
        bank->entries = larger;
        bank->capacity = capacity;
    }
    enum tt_status status = load(bank, param, form, dtypes, tt_team_size(threads), &entry, err);
    entry.name = strdup(param->name);
    if (!status && !entry.name)
        status = tt_fail(err, TT_SYSTEM, "out of memory while loading '%s'", param->name);
    bank->entries[bank->count++] = entry;
    if (status) drop(bank, &bank->entries[bank->count - 1]);
    return status;
}

enum tt_status tt_bank_get(struct tt_bank *bank, const struct tt_param *param, enum tt_form form,
                           unsigned dtypes, int threads, struct tt_weight *weight,
                           struct tt_error *err) {
    enum tt_status status = TT_OK;
    pthread_mutex_lock(&bank->lock);
    struct entry *entry = find_entry(bank, param->name, form, dtypes);
    if (!entry) {
        status = add_entry(bank, param, form, dtypes, threads, err);
        if (!status) entry = &bank->entries[bank->count - 1];
    }
    if (entry) {
        entry->users++;
        *weight = entry->weight;
    }
    pthread_mutex_unlock(&bank->lock);
    return status;
}

void tt_bank_put(struct tt_bank *bank, const struct tt_param *param, enum tt_form form,
                 unsigned dtypes) {
    pthread_mutex_lock(&bank->lock);
    struct entry *entry = find_entry(bank, param->name, form, dtypes);
    if (entry && --entry->users == 0 && bank->options.in_use) drop(bank, entry);
    pthread_mutex_unlock(&bank->lock);
}

bool tt_bank_streams(const struct tt_bank *bank) {
    return bank->options.in_use;
}
