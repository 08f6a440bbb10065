// SPDX-License-Identifier: MIT
// Aspect-ratio buckets: which sizes there are, which picture belongs to which, what makes a batch,
// and plans of several sizes in one memory.
#include "train/buckets.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "graph/plan.h"
#include "train/train_settings.h"
#include "util.h"

// ---- sizes ----

struct sizes {
    struct tt_picture_size *size;
    size_t count;
};

static struct sizes make(size_t width, size_t height, size_t step) {
    struct sizes s = {0};
    struct tt_error err = {0};
    tt_bucket_sizes(width, height, step, &s.size, &s.count, &err);
    ck_assert_msg(s.count > 1, "%zu x %zu: %s", width, height, err.message);
    return s;
}

static bool has(struct sizes s, size_t width, size_t height) {
    for (size_t i = 0; i < s.count; i++)
        if (s.size[i].width == width && s.size[i].height == height) return true;
    return false;
}

START_TEST(known_sizes) {
    // What make_bucket_resolutions((512, 512)) of sd-scripts gives.
    static const struct tt_picture_size of_512[] = {
        {256, 832}, {256, 896}, {256, 960}, {256, 1024}, {320, 704}, {320, 768},
        {384, 640}, {448, 576}, {512, 512}, {576, 448},  {640, 384}, {704, 320},
        {768, 320}, {832, 256}, {896, 256}, {960, 256},  {1024, 256},
    };
    static const struct tt_picture_size of_128[] = {
        {64, 192}, {64, 256}, {128, 128}, {192, 64}, {256, 64}};
    static const struct tt_picture_size of_96[] = {{64, 128}, {96, 96}, {128, 64}};
    static const struct {
        size_t width, height, step, count;
        const struct tt_picture_size *size;
    } cases[] = {{512, 512, 64, 17, of_512}, {128, 128, 64, 5, of_128}, {96, 96, 64, 3, of_96}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct sizes s = make(cases[k].width, cases[k].height, cases[k].step);
        ck_assert_uint_eq(s.count, cases[k].count);
        for (size_t i = 0; i < s.count; i++) {
            ck_assert_uint_eq(s.size[i].width, cases[k].size[i].width);
            ck_assert_uint_eq(s.size[i].height, cases[k].size[i].height);
        }
        free(s.size);
    }
}
END_TEST

// Steps of 64 pixels; area; limits; nothing that fits between; both ways.
START_TEST(properties_of_sizes) {
    static const size_t bases[][3] = {
        {512, 512, 64}, {512, 768, 64}, {768, 512, 64},  {1024, 1024, 64}, {64, 64, 8},
        {40, 72, 8},    {200, 520, 64}, {136, 136, 16},  {32, 32, 16},     {256, 256, 32},
        {8, 8, 2},      {96, 32, 16},   {640, 640, 128}, {2048, 512, 64},
    };
    for (size_t k = 0; k < sizeof bases / sizeof *bases; k++) {
        size_t width = bases[k][0], height = bases[k][1], step = bases[k][2];
        size_t area = width * height;
        double root = sqrt((double)area);
        struct sizes s = make(width, height, step);
        ck_assert(has(s, width, height));
        for (size_t i = 0; i < s.count; i++) {
            size_t w = s.size[i].width, h = s.size[i].height;
            ck_assert(!i || w > s.size[i - 1].width ||
                      (w == s.size[i - 1].width && h > s.size[i - 1].height));
            if (w == width && h == height) continue;
            ck_assert_uint_eq(w % step, 0);
            ck_assert_uint_eq(h % step, 0);
            ck_assert_uint_le(w * h, area);
            ck_assert((double)w >= root / 2 && (double)h >= root / 2);
            ck_assert(has(s, h, w));
            ck_assert((w + step) * h > area || w * (h + step) > area);
        }
        for (size_t w = step; w <= 2 * area; w += step) // every width that may be is there
            for (size_t h = step; w * h <= area; h += step) {
                bool right = (double)w >= root / 2 && (double)h >= root / 2;
                if (right && w * (h + step) > area) ck_assert(has(s, w, h) && has(s, h, w));
            }
        free(s.size);
    }
}
END_TEST

START_TEST(steps) {
    static const size_t cases[][4] = {
        // width, height, what the model halves, step
        {512, 512, 8, 64}, {256, 256, 8, 64}, {128, 128, 8, 64}, {127, 127, 1, 32},
        {64, 64, 8, 32},   {64, 512, 8, 32},  {32, 32, 8, 16},   {16, 16, 8, 8},
        {8, 8, 2, 4},      {8, 8, 8, 8},      {512, 512, 128, 128}, {96, 96, 32, 32},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_uint_eq(tt_bucket_step(cases[i][0], cases[i][1], cases[i][2]), cases[i][3]);
    struct tt_picture_size *size;
    size_t count, step;
    struct tt_error err = {0};
    ck_assert_int_eq(tt_bucket_sizes(64, 64, 64, &size, &count, &err), TT_BAD_INPUT);
    ck_assert(strstr(err.message, "bucket_step: found 64, which makes no other size") != NULL);
    ck_assert_ptr_null(size);
    ck_assert_int_eq(tt_bucket_sizes(64, 64, SIZE_MAX, &size, &count, NULL), TT_BAD_INPUT);
    err = (struct tt_error){0};
    ck_assert_int_eq(tt_bucket_sizes(4096, 4096, 1, &size, &count, &err), TT_BAD_INPUT);
    ck_assert(strstr(err.message, "more than 1024 sizes") != NULL);
    err = (struct tt_error){0};
    struct tt_train_settings settings;
    tt_train_defaults(&settings, sizeof settings);
    ck_assert_int_eq(tt_buckets_asked(&settings, 128, 128, 8, &step, &size, &count, &err), TT_OK);
    ck_assert_ptr_null(size);
    settings.buckets = true;
    settings.bucket_step = 20;
    ck_assert_int_eq(tt_buckets_asked(&settings, 128, 128, 8, &step, &size, &count, &err),
                     TT_BAD_INPUT);
    ck_assert(strstr(err.message, "bucket_step: found 20, expected a multiple of 8") != NULL);
}
END_TEST

// ---- which picture belongs to which ----

START_TEST(nearest) {
    static const struct {
        size_t width, height, to_width, to_height;
    } cases[] = {
        {512, 512, 512, 512},   {100, 100, 512, 512},  {513, 512, 512, 512},
        {3000, 2000, 640, 384}, {2000, 3000, 384, 640}, {4000, 3000, 576, 448},
        {1920, 1080, 640, 384}, {1080, 1920, 384, 640}, {2400, 1000, 768, 320},
        {10000, 100, 1024, 256}, {1, 32768, 256, 1024}, {32768, 1, 1024, 256},
        {1024, 256, 1024, 256}, {325, 100, 832, 256},   {640, 512, 576, 448},
        {1, 1, 512, 512},       {704, 320, 704, 320},   {23, 10, 768, 320},
        {135, 128, 512, 512},   {8, 7, 576, 448},
    };
    struct sizes s = make(512, 512, 64);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tt_picture_size own = {cases[i].width, cases[i].height};
        struct tt_picture_size to = s.size[tt_bucket_nearest(s.size, s.count, own)];
        ck_assert_msg(to.width == cases[i].to_width && to.height == cases[i].to_height,
                      "%zu x %zu: found %zu x %zu, expected %zu x %zu", own.width, own.height,
                      to.width, to.height, cases[i].to_width, cases[i].to_height);
    }
    // None is nearer, in logarithms; a picture on its side goes to the bucket on its side.
    for (size_t w = 1; w < 900; w += 7)
        for (size_t h = 1; h < 900; h += 11) {
            struct tt_picture_size a = s.size[tt_bucket_nearest(
                s.size, s.count, (struct tt_picture_size){w, h})];
            struct tt_picture_size b = s.size[tt_bucket_nearest(
                s.size, s.count, (struct tt_picture_size){h, w})];
            double own = log((double)w / (double)h);
            double off = fabs(log((double)a.width / (double)a.height) - own);
            for (size_t i = 0; i < s.count; i++)
                ck_assert(fabs(log((double)s.size[i].width / (double)s.size[i].height) - own) >=
                          off - 1e-12);
            ck_assert(a.width * a.height == b.width * b.height);
            ck_assert((a.width == b.height && a.height == b.width) ||
                      fabs(log((double)b.width / (double)b.height) + own) >= off - 1e-12);
        }
    free(s.size);
    // Of two as near the larger one, then the first.
    static const struct tt_picture_size two[] = {{64, 32}, {128, 64}, {32, 64}, {64, 128}};
    ck_assert_uint_eq(tt_bucket_nearest(two, 4, (struct tt_picture_size){2, 1}), 1);
    ck_assert_uint_eq(tt_bucket_nearest(two, 4, (struct tt_picture_size){5, 5}), 1);
    ck_assert_uint_eq(tt_bucket_nearest(two, 1, (struct tt_picture_size){5, 5}), 0);
}
END_TEST

// ---- batches ----

static char folder[512];

static void write_picture(const char *name, size_t width, size_t height) {
    char path[1024];
    uint8_t *rgb = malloc(3 * width * height);
    for (size_t i = 0; i < 3 * width * height; i++) rgb[i] = (uint8_t)(i * 37 + i / width);
    struct tt_image image = {width, height, rgb};
    snprintf(path, sizeof path, "%s/%s.png", folder, name);
    ck_assert_int_eq(tt_image_write(NULL, path, &image, NULL, NULL), TT_OK);
    free(rgb);
}

static void make_folder(const char *name) {
    snprintf(folder, sizeof folder, "%s", test_path(name));
    ck_assert_int_eq(mkdir(folder, 0755), 0);
}

static struct tt_dataset *open_folder(struct sizes s, size_t width, size_t height) {
    struct tt_dataset *data = NULL;
    struct tt_error err = {0};
    struct tt_dataset_options options = {.width = width, .height = height, .sizes = s.size,
                                         .size_count = s.count, .threads = 2};
    tt_dataset_open(folder, &options, &data, &err);
    ck_assert_msg(data != NULL, "%s", err.message);
    return data;
}

// 11 pictures of 3 ratios: every epoch shows each once, in batches of one size.
static void check_epochs(const struct tt_dataset *data, size_t batch, size_t batches,
                         size_t partial) {
    enum { ITEMS = 11, EPOCHS = 40, LARGEST = 16 };
    struct tt_buckets *b = NULL;
    size_t first[LARGEST], items[LARGEST];
    bool moved = false;
    ck_assert_int_eq(tt_buckets_new(data, 8, batch, &b, NULL), TT_OK);
    ck_assert_uint_eq(b->count, 3);
    ck_assert_uint_eq(b->batches, batches);
    ck_assert_uint_eq(b->partial, partial);
    size_t count = tt_buckets_batch(b, 7, 0, first);
    for (uint64_t epoch = 0, n = 0; epoch < EPOCHS; epoch++) {
        size_t seen[ITEMS] = {0}, whole = 0;
        for (size_t i = 0; i < batches; i++, n++) {
            size_t taken = tt_buckets_batch(b, 7, n, items);
            ck_assert(taken >= 1 && taken <= batch);
            whole += taken == batch;
            if (!i && (taken != count || memcmp(items, first, taken * sizeof *items))) moved = true;
            struct tt_picture_size size = tt_dataset_size(data, items[0]);
            for (size_t k = 0; k < taken; k++) {
                struct tt_picture_size other = tt_dataset_size(data, items[k]);
                ck_assert(other.width == size.width && other.height == size.height);
                ck_assert_uint_lt(items[k], ITEMS);
                seen[items[k]]++;
            }
        }
        for (size_t i = 0; i < ITEMS; i++) ck_assert_uint_eq(seen[i], 1);
        ck_assert_uint_eq(whole, batches - partial);
    }
    ck_assert(moved); // epochs have orders of their own
    size_t same = 0;
    for (uint64_t n = 0; n < 20; n++) { // and so have seeds
        size_t taken = tt_buckets_batch(b, 7, n, first), other = tt_buckets_batch(b, 8, n, items);
        same += taken == other && !memcmp(first, items, taken * sizeof *items);
    }
    ck_assert_uint_lt(same, 20);
    tt_buckets_free(b);
}

START_TEST(every_picture_once_an_epoch) {
    static const size_t sizes[][2] = {{30, 20}, {30, 20}, {30, 20}, {30, 20}, {30, 20}, {16, 16},
                                      {16, 16}, {16, 16}, {16, 16}, {90, 20}, {70, 16}};
    make_folder("epochs");
    for (size_t i = 0; i < 11; i++) {
        char name[8];
        snprintf(name, sizeof name, "%zu", i * 7 % 11 + 10);
        write_picture(name, sizes[i][0], sizes[i][1]);
    }
    struct sizes s = make(32, 32, 8); // 5 of 40 x 24, 4 of 32 x 32, 2 of 64 x 16
    struct tt_dataset *data = open_folder(s, 32, 32);
    free(s.size);
    check_epochs(data, 1, 11, 0);
    check_epochs(data, 2, 6, 1);
    check_epochs(data, 3, 5, 3);
    check_epochs(data, 4, 4, 2);
    check_epochs(data, 5, 3, 2);
    check_epochs(data, 16, 3, 3); // more than any bucket holds
    tt_dataset_close(data);
}
END_TEST

START_TEST(pictures_of_their_size) {
    make_folder("sized");
    write_picture("long", 100, 20);
    write_picture("small", 64, 3); // less than a quarter of 64 x 16
    write_picture("tall", 20, 41);
    write_picture("wide", 40, 24);
    struct sizes s = make(32, 32, 8);
    struct tt_dataset *data = open_folder(s, 32, 32);
    static const size_t expected[][4] = {{64, 16, 100, 20}, {24, 40, 20, 41}, {40, 24, 40, 24}};
    ck_assert_uint_eq(tt_dataset_count(data), 3);
    ck_assert(strstr(tt_dataset_skipped(data, 0), "small.png: found 64 x 3 pixels, expected at "
                                                  "least 16 x 4") != NULL);
    float out[3 * 64 * 16 + 1];
    for (size_t i = 0; i < 3; i++) {
        struct tt_picture_size size = tt_dataset_size(data, i), own = tt_dataset_own_size(data, i);
        ck_assert_uint_eq(size.width, expected[i][0]);
        ck_assert_uint_eq(size.height, expected[i][1]);
        ck_assert_uint_eq(own.width, expected[i][2]);
        ck_assert_uint_eq(own.height, expected[i][3]);
        size_t n = 3 * size.width * size.height;
        for (size_t k = 0; k < 3 * 64 * 16 + 1; k++) out[k] = 9;
        ck_assert_int_eq(tt_dataset_picture(data, i, false, out, NULL), TT_OK);
        for (size_t k = 0; k <= n; k++)
            ck_assert_msg((out[k] < 9) == (k < n), "%zu: element %zu", i, k);
    }
    // One that has the very size of its bucket is taken as it is.
    ck_assert_int_eq((int)lroundf(out[1] * 127.5f + 127.5f), 3 * 37);
    tt_dataset_close(data);
    free(s.size);
}
END_TEST

// Puts an eXIf chunk with that orientation behind a PNG's IHDR.
static void tag(const char *name, uint8_t orientation) {
    uint8_t chunk[38] = {0, 0, 0, 26, 'e', 'X', 'I', 'f', 'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0,
                         0x12, 1, 3, 0, 1, 0, 0, 0, orientation};
    uint32_t crc = (uint32_t)crc32(0, chunk + 4, 30);
    for (int i = 0; i < 4; i++) chunk[34 + i] = (uint8_t)(crc >> (24 - 8 * i));
    char path[1024];
    size_t size;
    snprintf(path, sizeof path, "%s/%s.png", folder, name);
    char *bytes = test_read(path, &size);
    FILE *file = fopen(path, "wb");
    ck_assert(file && fwrite(bytes, 1, 33, file) == 33 && fwrite(chunk, 1, 38, file) == 38);
    ck_assert(fwrite(bytes + 33, 1, size - 33, file) == size - 33 && !fclose(file));
    free(bytes);
}

// Every orientation tag: the bucket is that of the upright picture, before sizes are checked.
START_TEST(upright_first) {
    make_folder("upright");
    for (uint8_t i = 1; i <= 8; i++) {
        char name[8];
        snprintf(name, sizeof name, "%d", i);
        write_picture(name, 40, 24);
        tag(name, i);
    }
    struct sizes s = make(32, 32, 8);
    struct tt_dataset *data = open_folder(s, 32, 32);
    ck_assert_uint_eq(tt_dataset_count(data), 8);
    for (size_t i = 0; i < 8; i++) {
        struct tt_picture_size size = tt_dataset_size(data, i), own = tt_dataset_own_size(data, i);
        bool turned = i >= 4; // tags 5 to 8
        ck_assert_msg(size.width == (turned ? 24 : 40) && size.height == (turned ? 40 : 24),
                      "tag %zu: found %zu x %zu", i + 1, size.width, size.height);
        ck_assert(own.width == size.width && own.height == size.height);
    }
    tt_dataset_close(data);
    free(s.size);
}
END_TEST

// ---- plans of several sizes ----

struct net {
    struct tt_tape tape;
    tt_value x, y;
    struct tt_plan *plan;
};

static void write_net(struct net *net, size_t n, size_t h, size_t w) {
    static const size_t same[4] = {1, 1, 1, 1};
    struct tt_tape *t = &net->tape;
    net->x = tt_nn_input(t, "x", (struct tt_shape){4, {n, 4, h, w}}, TT_F32);
    tt_value a = tt_nn_conv2d(t, "conv1", net->x, 8, 3, 1, same);
    a = tt_nn_group_norm(t, "norm", a, 4, 1e-5f);
    a = tt_nn_activation(t, "act", a, TT_OP_silu);
    net->y = tt_nn_conv2d(t, "conv2", a, 4, 3, 1, same);
    tt_set_output(t, net->y);
}

static void run_net(const struct net *net, const struct tt_kernels *kernels, float shift) {
    size_t n = tt_shape_count(&net->tape.tensors[net->x].shape);
    float *x = tt_plan_data(net->plan, net->x), *dy = tt_plan_seed(net->plan, net->y);
    for (size_t i = 0; i < n; i++) x[i] = (float)(i % 17) * 0.1f - shift;
    ck_assert_int_eq(tt_plan_run(net->plan, kernels, NULL, 0, NULL), TT_OK);
    const float *y = tt_plan_data(net->plan, net->y);
    for (size_t i = 0; i < n; i++) dy[i] = y[i] * 0.5f + (float)(i % 5);
    ck_assert_int_eq(tt_plan_run_back(net->plan, kernels, NULL, 0, NULL), TT_OK);
}

// By turns in one memory, which grows with each: the gradients that each has in its own.
START_TEST(one_memory) {
    static const size_t sizes[][3] = {{2, 6, 10}, {1, 16, 4}, {3, 12, 12}, {2, 24, 16}};
    enum { SIZES = 4 };
    float *sums[2] = {NULL, NULL};
    size_t floats = 0, largest = 0;
    struct tt_kernels kernels;
    tt_kernels_init(&kernels, test_cpu());
    for (int shared = 0; shared < 2; shared++) {
        struct net nets[SIZES] = {0};
        struct tt_arena_memory memory = {0};
        struct tt_params *params = NULL;
        struct tt_error err = {0};
        for (int k = 0; k < SIZES; k++) {
            struct net *net = &nets[k];
            write_net(net, sizes[k][0], sizes[k][1], sizes[k][2]);
            const struct tt_tape *tape = &net->tape;
            if (!params) {
                ck_assert_int_eq(tt_params_new(&tape, 1, true, &params, &err), TT_OK);
                for (size_t i = 0; i < params->floats; i++)
                    params->value[i] = (float)(i % 13) * 0.05f - 0.3f;
            }
            struct tt_plan_options options = {.threads = 2, .fold = true};
            struct tt_both_ways back = {
                .params = params, .outputs = &net->y, .output_count = 1,
                .memory = shared ? &memory : NULL};
            ck_assert_msg(!tt_plan_new_both_ways(tape, &options, &back, &net->plan, &err), "%s",
                          err.message);
            for (int j = k; j >= 0; j--) run_net(&nets[j], &kernels, (float)(k + j) * 0.2f);
            if (tt_plan_arena_bytes(net->plan) > largest) largest = tt_plan_arena_bytes(net->plan);
        }
        if (shared) ck_assert_uint_eq(memory.bytes, largest);
        floats = params->floats;
        sums[shared] = malloc(floats * sizeof(float));
        memcpy(sums[shared], params->gradient, floats * sizeof(float));
        for (int k = 0; k < SIZES; k++) {
            tt_plan_free(nets[k].plan);
            tt_tape_free(&nets[k].tape);
        }
        tt_arena_memory_free(&memory);
        tt_params_free(params);
    }
    ck_assert(fabsf(sums[0][0]) > 0);
    ck_assert_int_eq(memcmp(sums[0], sums[1], floats * sizeof(float)), 0);
    free(sums[0]);
    free(sums[1]);
}
END_TEST

int main(void) {
    TCase *tcase = tcase_create("buckets");
    tcase_add_test(tcase, known_sizes);
    tcase_add_test(tcase, properties_of_sizes);
    tcase_add_test(tcase, steps);
    tcase_add_test(tcase, nearest);
    tcase_add_test(tcase, every_picture_once_an_epoch);
    tcase_add_test(tcase, pictures_of_their_size);
    tcase_add_test(tcase, upright_first);
    tcase_add_test(tcase, one_memory);
    tcase_set_timeout(tcase, 60);
    Suite *suite = suite_create("buckets");
    suite_add_tcase(suite, tcase);
    return test_main(suite, NULL);
}
