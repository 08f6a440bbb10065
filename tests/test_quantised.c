// SPDX-License-Identifier: MIT
// Whole models from GGUF files, in the layouts of stable-diffusion.cpp (a checkpoint under its own
// names) and of ComfyUI (the U-Net alone, stored flat): the bits of the same files in float32,
// however they are held; and what is refused.
#include "base/half.h"
#include "base/quant.h"
#include "single_file.h"
#include "util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct single_file file;
static struct tt_shape stored[SINGLE_TENSORS]; // where a tensor is stored under another shape

// ---- quantised weights ----

// Random blocks that reach about as far as the tensor did.
static void to_blocks(struct tt_view *view, enum tt_dtype dtype, uint64_t seed) {
    static const float scales[][2] = { // of d and of m, for the largest element to be 1
        {1.0f / 127, 0}, {1.0f / 8, 0}, {2.0f / 15, -1}, {1.0f / 16, 0}, {2.0f / 31, -1},
        {2.0f / 63 / 15, 1.0f / 63}, {2.0f / 63 / 31, 1.0f / 63}, {1.0f / 128 / 32, 0},
    };
    size_t n = tt_shape_count(&view->shape), size = tt_dtype_block_size(dtype);
    float most = 0;
    for (size_t i = 0; i < n; i++) {
        float x;
        tt_view_floats(view, i, 1, &x);
        most = fmaxf(most, fabsf(x));
    }
    size_t count = n / tt_dtype_block(dtype);
    unsigned char *data = malloc(count * size);
    for (size_t i = 0; i < count * size; i++) data[i] = (unsigned char)(test_random(&seed) >> 56);
    for (size_t i = 0; i < count; i++)
        for (int k = 0; k < 2; k++) {
            float scale = scales[dtype - TT_Q8_0][k] * most;
            uint16_t half = tt_half_from_float(scale);
            if (scale != 0)
                memcpy(data + i * size + (dtype == TT_Q6_K ? 208 : 2 * k), &half, sizeof half);
        }
    free((void *)(uintptr_t)view->data);
    view->data = data;
    view->dtype = dtype;
    view->bytes = count * size;
}

// What a row of so many elements may be, by turns.
static enum tt_dtype pick(size_t row, size_t turn) {
    static const enum tt_dtype kinds[] = {TT_Q8_0, TT_Q4_K, TT_Q4_0, TT_Q6_K,
                                          TT_Q4_1, TT_Q5_K, TT_Q5_0, TT_Q5_1};
    enum tt_dtype kind = kinds[turn % 8];
    if (row % tt_dtype_block(kind)) kind = kinds[turn / 2 % 4 * 2];
    if (row % tt_dtype_block(kind)) kind = TT_Q8_0;
    return row % tt_dtype_block(kind) ? TT_F32 : kind;
}

// All matrices and kernels whose rows (flat: all elements) are whole blocks; how many.
static size_t quantise(bool flat) {
    size_t count = 0;
    for (size_t i = 0; i < file.count; i++) {
        struct tt_view *view = &file.views[i];
        size_t rank = view->shape.rank, n = tt_shape_count(&view->shape);
        stored[i].rank = 0;
        if (rank < 2 || (view->dtype != TT_F32 && view->dtype != TT_F16)) continue;
        enum tt_dtype kind = pick(flat ? n : view->shape.dim[rank - 1], count);
        if (kind == TT_F32) continue;
        to_blocks(view, kind, i);
        size_t block = tt_dtype_block(kind);
        if (flat) stored[i] = (struct tt_shape){2, {n / block, block}};
        count++;
    }
    return count;
}

// ---- a file ----

static void put(FILE *to, const void *data, size_t size) {
    ck_assert_uint_eq(fwrite(data, 1, size, to), size);
}

static void put_number(FILE *to, uint64_t number, size_t size) { put(to, &number, size); }

static void put_text(FILE *to, const char *text) {
    put_number(to, strlen(text), 8);
    put(to, text, strlen(text));
}

static unsigned kind_of(enum tt_dtype dtype) {
    static const unsigned kinds[] = {
        [TT_F32] = 0, [TT_F16] = 1, [TT_BF16] = 30, [TT_F64] = 28, [TT_I64] = 27, [TT_I32] = 26,
        [TT_Q4_0] = 2, [TT_Q4_1] = 3, [TT_Q5_0] = 6, [TT_Q5_1] = 7, [TT_Q8_0] = 8, [TT_Q4_K] = 12,
        [TT_Q5_K] = 13, [TT_Q6_K] = 14,
    };
    return kinds[dtype];
}

static const char *write_gguf(const char *name) {
    enum { ALIGNMENT = 32 };
    const char *path = test_path(name);
    FILE *to = fopen(path, "wb");
    ck_assert_ptr_nonnull(to);
    size_t keys = 0, offset = 0;
    for (size_t i = 0; i < file.count; i++) keys += stored[i].rank != 0;
    put(to, "GGUF\3\0\0", 8);
    put_number(to, file.count, 8);
    put_number(to, keys, 8);
    for (size_t i = 0; i < file.count; i++) {
        const struct tt_view *view = &file.views[i];
        if (!stored[i].rank) continue;
        char key[300];
        snprintf(key, sizeof key, "comfy.gguf.orig_shape.%s", view->name);
        put_text(to, key);
        put_number(to, 9, 4);
        put_number(to, 5, 4);
        put_number(to, view->shape.rank, 8);
        for (size_t k = 0; k < view->shape.rank; k++) put_number(to, view->shape.dim[k], 4);
    }
    for (size_t i = 0; i < file.count; i++) {
        const struct tt_view *view = &file.views[i];
        const struct tt_shape *shape = stored[i].rank ? &stored[i] : &view->shape;
        put_text(to, view->name);
        put_number(to, shape->rank, 4);
        for (size_t k = shape->rank; k-- > 0;) put_number(to, shape->dim[k], 8);
        put_number(to, kind_of(view->dtype), 4);
        put_number(to, offset, 8);
        offset += (view->bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    static const char zeros[ALIGNMENT];
    put(to, zeros, (size_t)-ftell(to) % ALIGNMENT);
    for (size_t i = 0; i < file.count; i++) {
        put(to, file.views[i].data, file.views[i].bytes);
        put(to, zeros, -file.views[i].bytes % ALIGNMENT);
    }
    ck_assert(!fclose(to));
    return path;
}

// The same numbers as float32, by names that are in the file.
static const char *write_floats(const char *name) {
    for (size_t i = 0; i < file.count; i++) {
        struct tt_view *view = &file.views[i];
        size_t n = tt_shape_count(&view->shape);
        if (!tt_is_quantised(view->dtype)) continue;
        float *data = malloc(n * sizeof *data);
        tt_view_floats(view, 0, n, data);
        free((void *)(uintptr_t)view->data);
        *view = (struct tt_view){view->name, TT_F32, view->shape, data, n * sizeof *data};
    }
    return single_write(&file, name);
}

// ---- what comes of it ----

static struct tt_engine *new_engine(int threads, const char *cpu) {
    struct tt_engine_settings how;
    struct tt_engine *engine;
    struct tt_error err = {0};
    tt_engine_defaults(&how, sizeof how);
    how.threads = threads;
    how.cpu = cpu;
    ck_assert_msg(!tt_engine_new(&how, &engine, &err), "%s", err.message);
    return engine;
}

static struct tt_model *must_open(const char *path, const char *unet,
                                  const struct tt_engine *engine, bool widen) {
    struct tt_error err = {0};
    struct tt_model *model = NULL;
    struct tt_model_settings as;
    tt_model_defaults(&as, sizeof as);
    as.unet = unet;
    as.weights = widen ? TT_WEIGHTS_F32 : TT_WEIGHTS_STORED;
    ck_assert_msg(!tt_model_open_with(path, engine, &as, &model, &err), "%s", err.message);
    return model;
}

// The latents of a picture; unet NULL: the model's own.
static float *draw(const char *path, const char *unet, int threads, const char *cpu, bool widen,
                   size_t *n) {
    struct tt_session *session;
    struct tt_error err = {0};
    struct tt_settings g;
    struct tt_engine *engine = new_engine(threads, cpu);
    struct tt_model *model = must_open(path, unet, engine, widen);
    const struct tt_model_info *info = tt_model_info(model);
    tt_settings_defaults(&g, sizeof g);
    g.prompt = "a lighthouse at sunset";
    g.negative = "blurry";
    g.steps = 2;
    g.width = g.height = 16 * info->factor;
    *n = info->latent_channels * 16 * 16;
    float *latents = malloc(*n * sizeof *latents);
    ck_assert(!tt_session_new(model, NULL, &session, &err));
    ck_assert_msg(!tt_generate(session, &g, latents, NULL, &err), "%s", err.message);
    tt_session_free(session);
    tt_model_close(model);
    tt_engine_free(engine);
    return latents;
}

// A checkpoint, every kind of block in each of its networks.
START_TEST(checkpoint) {
    static const char *const names[] = {"sd1", "sd2"};
    size_t n, m;
    single_make(&file, names[_i]);
    ck_assert_uint_gt(quantise(false), 40);
    const char *blocks = write_gguf("a.gguf");
    float *kept = draw(blocks, NULL, 2, NULL, false, &n);
    float *other = draw(blocks, NULL, 3, "scalar", false, &m);
    test_equal("other threads and kernels", other, kept, n);
    free(other);
    other = draw(blocks, NULL, 2, NULL, true, &m);
    test_equal("widened", other, kept, n);
    free(other);
    other = draw(write_floats("a.safetensors"), NULL, 2, NULL, false, &m);
    ck_assert_uint_eq(m, n);
    test_equal("float32", other, kept, n);
    free(other);
    free(kept);
    single_free(&file);
}
END_TEST

// The U-Net alone, as ComfyUI has it: rows that begin anywhere in a block.
START_TEST(unet_alone) {
    size_t n, m;
    single_make(&file, "sd1");
    const char *base = single_write(&file, "base.safetensors");
    single_keep(&file, "model.diffusion_model.");
    single_rename(&file, "model.diffusion_model.", "");
    ck_assert_uint_gt(quantise(true), 40);
    float *kept = draw(base, write_gguf("unet.gguf"), 2, NULL, false, &n);
    float *floats = draw(base, write_floats("unet.safetensors"), 2, NULL, false, &m);
    test_equal("float32", floats, kept, n);
    free(kept);
    free(floats);
    single_free(&file);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("quantised");
    TCase *t = tcase_create("quantised");
    tcase_set_timeout(t, 240);
    tcase_add_loop_test(t, checkpoint, 0, 2);
    tcase_add_test(t, unet_alone);
    suite_add_tcase(s, t);
    return s;
}

int main(void) {
    return test_main(suite(), NULL);
}
