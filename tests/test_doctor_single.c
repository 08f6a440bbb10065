// SPDX-License-Identifier: MIT
// The doctor on models that are one file: whole ones, parts of them, and what is wrong with them.
#include "examined.h"
#include "single_file.h"
#include "util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct single_file file;

static void look(void) {
    examined_look(single_write(&file, "a.safetensors"));
}

static void make(const char *name) {
    single_free(&file);
    single_make(&file, name);
}

static struct tt_view *view_of(const char *name) {
    for (size_t i = 0; i < file.count; i++)
        if (!strcmp(file.views[i].name, name)) return &file.views[i];
    ck_abort_msg("no tensor %s", name);
    return NULL;
}

static const char norm[] = "model.diffusion_model.out.0.weight";
static const char bias[] = "model.diffusion_model.out.0.bias";

START_TEST(whole) {
    static const char *const families[][4] = {
        {"sd1", "checkpoint", "Stable Diffusion 1.x", "epsilon"},
        {"sd2", "checkpoint", "Stable Diffusion 2.x", "v_prediction"},
        {"xl", "checkpoint", "Stable Diffusion XL", "epsilon"},
        {"refiner", "refiner", "Stable Diffusion XL refiner", "epsilon"},
    };
    const char *const *family = families[_i];
    make(family[0]);
    look();
    examined_be(family[1], true);
    examined_know("", "family", family[2]);
    examined_know("", "prediction_type", family[3]);
    examined_find("noted", NULL, "assumed of its family");
    examined_know("", "use", _i == 3 ? "-m MODEL --refiner PATH" : "-m FILE");
    examined_know("unet", "class", "UNet2DConditionModel");
    examined_know("vae", "class", "AutoencoderKL");
    ck_assert(examined_number(_i > 1 ? "text_encoder_2" : "text_encoder", "tensors") > 20);
    ck_assert(examined_number("cost", "peak_bytes") > examined_number("cost", "weight_bytes"));
    ck_assert(examined_number("cost", "weight_bytes") <= examined_number("", "bytes"));
    single_free(&file);
}
END_TEST

START_TEST(parts) {
    make("sd1");
    single_drop(&file, "first_stage_model.");
    look();
    examined_be("checkpoint", false);
    examined_find("missing-weights", NULL, "expected also autoencoder");
    examined_know("unet", "class", "UNet2DConditionModel"); // what is there is looked at
    make("sd1");
    single_keep(&file, "model.diffusion_model.");
    look();
    examined_be("unet", true);
    examined_know("", "use", "-m MODEL --unet PATH");
    make("sd1");
    single_keep(&file, "first_stage_model.");
    look();
    examined_be("vae", true);
    examined_know("", "use", "--vae FILE");
    ck_assert(examined_number("vae", "tensors") > 100);
    single_free(&file);
}
END_TEST

START_TEST(wrong) {
    make("sd1");
    single_drop(&file, bias);
    single_add(&file, "model.diffusion_model.what.is.this", TT_F32, 2, 2, 2);
    float *values = (float *)(uintptr_t)view_of(norm)->data;
    ck_assert_int_eq(view_of(norm)->dtype, TT_F16);
    ((uint16_t *)values)[1] = 0x7e00;
    look();
    examined_be("checkpoint", false);
    examined_find("missing-tensor", "conv_norm_out.bias", NULL);
    examined_find("not-finite", norm, "1 NaN");
    examined_find("superfluous-tensors", NULL, "what.is.this");
    make("sd1");
    struct tt_view *view = view_of(norm);
    view->shape.dim[0] /= 2;
    view->bytes /= 2;
    look();
    examined_find("misshapen-tensor", "conv_norm_out.weight", NULL);
    single_free(&file);
}
END_TEST

static Suite *doctor(void) {
    Suite *suite = suite_create("doctor of single files");
    TCase *tcase = tcase_create("single");
    tcase_add_checked_fixture(tcase, examined_open, examined_close);
    tcase_set_timeout(tcase, 240);
    tcase_add_loop_test(tcase, whole, 0, 4);
    tcase_add_test(tcase, parts);
    tcase_add_test(tcase, wrong);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) {
    return test_main(doctor(), NULL);
}
