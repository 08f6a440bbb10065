// SPDX-License-Identifier: MIT
// example_files FOLDER: small files of the forms that people have, under the names that README's
// table of files calls them by, for tests/check_loads.sh.
#include "gguf_file.h"

#include <stdio.h>

#include "util.h"

static const char *folder;
static struct single_file file;
static struct tt_shape stored[SINGLE_TENSORS];

static const char *path_of(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name) {
    struct tt_error err = {0};
    ck_assert_msg(!tt_safetensors_write(NULL, path_of(name), file.views, file.count, NULL, &err),
                  "%s", err.message);
    single_free(&file);
}

static void whole(const char *case_, const char *name) {
    single_make(&file, case_);
    write_file(name);
}

static void network_alone(const char *prefix, const char *name) {
    single_make(&file, "sd1");
    single_keep(&file, prefix);
    single_rename(&file, prefix, "");
    write_file(name);
}

static void quantised(const char *name, bool unet) {
    static const char prefix[] = "model.diffusion_model.";
    single_make(&file, "sd1");
    if (unet) single_keep(&file, prefix);
    if (unet) single_rename(&file, prefix, "");
    gguf_quantise(&file, stored, unet);
    gguf_write(&file, stored, path_of(name));
    single_free(&file);
}

// A test, since what makes files fails as one.
START_TEST(files) {
    whole("sd1", "sd15.safetensors");
    whole("sd2", "sd21.safetensors");
    whole("xl", "sdxl.safetensors");
    whole("refiner", "sdxl-refiner.safetensors");
    single_make(&file, "sd1");
    single_drop(&file, "model_ema.|alphas_cumprod");
    single_convert(&file, TT_F16);
    write_file("sd15-pruned-fp16.safetensors");
    network_alone("model.diffusion_model.", "unet.safetensors");
    network_alone("first_stage_model.", "vae.safetensors");
    quantised("sd15.gguf", false);
    quantised("unet.gguf", true);
}
END_TEST

int main(int argc, char **argv) {
    if (argc != 2) return 2;
    folder = argv[1];
    Suite *suite = suite_create("example files");
    TCase *t = tcase_create("example files");
    tcase_set_timeout(t, 240);
    tcase_add_test(t, files);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
