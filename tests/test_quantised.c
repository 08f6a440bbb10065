// SPDX-License-Identifier: MIT
// Whole models from GGUF files, in the layouts of stable-diffusion.cpp (a checkpoint under its own
// names) and of ComfyUI (the U-Net alone, stored flat): the bits of the same files in float32,
// however they are held; and what is refused.
#include "base/quant.h"
#include "gguf_file.h"
#include "util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct single_file file;
static struct tt_shape stored[SINGLE_TENSORS]; // where a tensor is stored under another shape

static const char *write_gguf(const char *name) {
    const char *path = test_path(name);
    gguf_write(&file, stored, path);
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
    ck_assert_uint_gt(gguf_quantise(&file, stored, false), 40);
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
    ck_assert_uint_gt(gguf_quantise(&file, stored, true), 40);
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
