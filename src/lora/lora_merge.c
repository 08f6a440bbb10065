// SPDX-License-Identifier: MIT
#include "lora/lora_merge.h"

#include <stdlib.h>
#include <string.h>

#include "base/finite.h"
#include "base/team.h"
#include "gemm/gemm.h"

enum { ROWS = 4 * TT_GEMM_ROWS }; // of a weight at a time, so that they stay in a core's cache

// A change of one weight.
struct change {
    const struct tt_lora_file *file;
    const struct tt_lora_delta *delta;
    float scale;
};

struct touched {
    struct tt_view view; // as it will be; without data
    const struct tt_view *base;
    struct change *changes;
    size_t count;
};

struct tt_lora_merge {
    struct tt_source base;
    const struct tt_kernels *kernels;
    int threads;
    struct touched *touched; // by base
    size_t count;
    struct change *changes; // of all
};

// ---- finding ----

static int by_base(const void *a, const void *b) {
    const struct touched *x = a, *y = b;
    return (x->base > y->base) - (x->base < y->base);
}

// A weight may have several names, so it is known by what the base finds.
static const struct tt_view *find(void *context, const char *name) {
    const struct tt_lora_merge *merge = context;
    const struct touched key = {.base = merge->base.find(merge->base.context, name)};
    const struct touched *touched =
        key.base ? bsearch(&key, merge->touched, merge->count, sizeof key, by_base) : NULL;
    return touched ? &touched->view : key.base;
}

// What find() gave for a touched weight and what acquire() made of it have a name of ours.
static const struct touched *touched_of(const struct tt_lora_merge *merge,
                                        const struct tt_view *view) {
    for (size_t i = 0; i < merge->count; i++)
        if (merge->touched[i].view.name == view->name) return &merge->touched[i];
    return NULL;
}

// ---- making ----

// One change ready to be multiplied: B as rows, A as panels of packed weights.
struct factors {
    float *up, *down; // (out, R); [ceil(in/32)][R][32]
    size_t up_bytes, down_bytes;
};

static void drop_factors(struct factors *f, size_t count) {
    for (size_t i = 0; f && i < count; i++) {
        tt_block_free(f[i].up, f[i].up_bytes);
        tt_block_free(f[i].down, f[i].down_bytes);
    }
    free(f);
}

static enum tt_status not_finite(const struct change *change, const struct tt_view *view,
                                 struct tt_error *err) {
    return tt_fail(err, TT_BAD_INPUT, "%s: tensor '%.200s': found a value that is not finite, "
                   "expected finite numbers", change->file->path, view->name);
}

// gemm.h packs rows of the transposed matrix: A itself, cut into panels of 32 columns.
static enum tt_status make_factors(const struct change *change, size_t rows, size_t columns,
                                   struct factors *f, struct tt_error *err) {
    const struct tt_lora_delta *d = change->delta;
    size_t rank = d->rank, panels = tt_gemm_packed_count(columns, 1) / TT_GEMM_PANEL;
    float *row = malloc(columns * sizeof *row);
    f->up_bytes = rows * rank * sizeof *f->up;
    f->down_bytes = tt_gemm_packed_count(columns, rank) * sizeof *f->down;
    f->up = tt_block_alloc(f->up_bytes);
    f->down = tt_block_alloc(f->down_bytes);
    enum tt_status status = TT_OK;
    if (!row || !f->up || !f->down)
        status = tt_fail(err, TT_SYSTEM, "out of memory for '%.200s'", d->down->name);
    if (!status) tt_view_floats(d->up, 0, rows * rank, f->up);
    if (!status && !tt_all_finite(f->up, rows * rank)) status = not_finite(change, d->up, err);
    for (size_t r = 0; !status && r < rank; r++) {
        tt_view_floats(d->down, r * columns, columns, row);
        if (!tt_all_finite(row, columns)) status = not_finite(change, d->down, err);
        for (size_t p = 0; p < panels; p++) {
            size_t at = p * TT_GEMM_PANEL, left = columns - at;
            memcpy(f->down + (p * rank + r) * TT_GEMM_PANEL, row + at,
                   (left < TT_GEMM_PANEL ? left : TT_GEMM_PANEL) * sizeof *row);
        }
    }
    free(row);
    return status;
}

// Rows row .. row+count-1 of the weight, with all changes; product: room for as many.
static void merge_rows(const struct tt_lora_merge *merge, const struct touched *t,
                       const struct tt_view *base, const struct factors *factors, size_t columns,
                       size_t row, size_t count, float *product, float *out) {
    float *to = out + row * columns;
    tt_view_floats(base, row * columns, count * columns, to);
    for (size_t i = 0; i < t->count; i++) {
        size_t rank = t->changes[i].delta->rank;
        const float scale = t->changes[i].scale;
        struct tt_gemm g = {.m = count, .n = columns, .k = rank,
                            .x = factors[i].up + row * rank, .ldx = rank,
                            .w = {factors[i].down, TT_F32}, .y = product, .ldy = columns};
        tt_gemm(merge->kernels, &g, 1);
        for (size_t k = 0; k < count * columns; k++) to[k] += scale * product[k];
    }
}

static enum tt_status make(const struct tt_lora_merge *merge, const struct touched *t,
                           const struct tt_view *base, float *out, struct tt_error *err) {
    size_t rows = t->view.shape.dim[0], columns = tt_shape_count(&t->view.shape) / rows;
    struct factors *factors = calloc(t->count, sizeof *factors);
    enum tt_status status = TT_OK;
    if (!factors) return tt_fail(err, TT_SYSTEM, "out of memory for '%.200s'", t->view.name);
    for (size_t i = 0; !status && i < t->count; i++)
        status = make_factors(&t->changes[i], rows, columns, &factors[i], err);
    bool good = true;
    int threads = tt_team_size(merge->threads);
#pragma omp parallel num_threads(threads) if (!status)
    {
        float *product = status ? NULL : malloc(ROWS * columns * sizeof *product);
#pragma omp for schedule(dynamic)
        for (size_t row = 0; row < rows; row += ROWS)
            if (product)
                merge_rows(merge, t, base, factors, columns, row,
                           rows - row < ROWS ? rows - row : ROWS, product, out);
        if (!product) {
#pragma omp critical
            good = false;
        }
        free(product);
    }
    drop_factors(factors, t->count);
    if (!status && !good)
        status = tt_fail(err, TT_SYSTEM, "out of memory for '%.200s'", t->view.name);
    return status;
}

static enum tt_status acquire(void *context, const struct tt_view *found, struct tt_view *view,
                              struct tt_error *err) {
    const struct tt_lora_merge *merge = context;
    const struct touched *t = touched_of(merge, found);
    if (!t) return tt_source_acquire(&merge->base, found, view, err);
    struct tt_view base;
    enum tt_status status = tt_source_acquire(&merge->base, t->base, &base, err);
    if (status) return status;
    float *out = tt_block_alloc(t->view.bytes);
    if (out) status = make(merge, t, &base, out, err);
    else status = tt_fail(err, TT_SYSTEM, "out of memory: %zu bytes for '%.200s'", t->view.bytes,
                          t->view.name);
    tt_source_release(&merge->base, &base);
    if (status) {
        tt_block_free(out, t->view.bytes);
        return status;
    }
    *view = t->view;
    view->data = out;
    return TT_OK;
}

static void release(void *context, const struct tt_view *view) {
    const struct tt_lora_merge *merge = context;
    if (touched_of(merge, view)) tt_block_free((void *)(uintptr_t)view->data, view->bytes);
    else tt_source_release(&merge->base, view);
}

struct tt_source tt_lora_merge_source(struct tt_lora_merge *merge) {
    return (struct tt_source){.context = merge, .name = merge->base.name, .find = find,
                              .acquire = acquire, .release = release};
}

// ---- the list ----

// The change of a module by a file, or NULL.
static const struct tt_lora_delta *delta_of(const struct tt_lora_file *file, size_t module) {
    size_t begin = 0, end = file->count;
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (file->deltas[middle].module < module) begin = middle + 1;
        else end = middle;
    }
    return begin < file->count && file->deltas[begin].module == module ? &file->deltas[begin]
                                                                       : NULL;
}

static void touch(struct tt_lora_merge *merge, const struct tt_lora_module *module, size_t index,
                  const struct tt_lora_use *uses, size_t count, size_t *used) {
    struct touched t = {.base = merge->base.find(merge->base.context, module->weight),
                        .changes = merge->changes + *used};
    for (size_t i = 0; t.base && i < count; i++) {
        const struct tt_lora_delta *d = delta_of(uses[i].file, index);
        if (!d || uses[i].weight == 0) continue;
        t.changes[t.count++] = (struct change){
            uses[i].file, d, (float)(uses[i].weight * d->alpha / d->divisor)};
    }
    if (!t.count) return;
    t.view = (struct tt_view){.name = module->weight, .dtype = TT_F32, .shape = t.base->shape,
                              .bytes = tt_shape_count(&t.base->shape) * sizeof(float)};
    *used += t.count;
    merge->touched[merge->count++] = t;
}

enum tt_status tt_lora_merge_new(const struct tt_source *base,
                                 const struct tt_lora_modules *modules, const char *folder,
                                 const struct tt_lora_use *uses, size_t count,
                                 const struct tt_kernels *kernels, int threads,
                                 struct tt_lora_merge **out, struct tt_error *err) {
    size_t most = 0, used = 0;
    for (size_t i = 0; i < count; i++) most += uses[i].file->count;
    struct tt_lora_merge *merge = calloc(1, sizeof *merge);
    *out = NULL;
    if (merge) {
        *merge = (struct tt_lora_merge){.base = *base, .kernels = kernels, .threads = threads};
        merge->touched = calloc(most + 1, sizeof *merge->touched);
        merge->changes = calloc(most + 1, sizeof *merge->changes);
    }
    if (!merge || !merge->touched || !merge->changes) {
        tt_lora_merge_free(merge);
        return tt_fail(err, TT_SYSTEM, "out of memory for LoRAs of %s", folder);
    }
    for (size_t i = 0; i < modules->count; i++)
        if (!strcmp(modules->modules[i].folder, folder))
            touch(merge, &modules->modules[i], i, uses, count, &used);
    qsort(merge->touched, merge->count, sizeof *merge->touched, by_base);
    if (merge->count) *out = merge;
    else tt_lora_merge_free(merge);
    return TT_OK;
}

void tt_lora_merge_free(struct tt_lora_merge *merge) {
    if (!merge) return;
    free(merge->touched);
    free(merge->changes);
    free(merge);
}
