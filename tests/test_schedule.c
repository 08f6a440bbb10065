// SPDX-License-Identifier: MIT
// Noise schedules against hashes of PyTorch's tables, and the closed forms against diffusers.
#include "tintype.h"
#include "noise/numeric.h"
#include "noise/schedule.h"

#include "util.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

static const struct table {
    size_t n;
    enum tt_beta_schedule kind;
    double start, end;
    const char *betas, *alphas_cumprod; // sha256 of the float32 bytes, torch 2.13
} tables[] = {
    {1000, TT_BETAS_LINEAR, 0.00085, 0.012,
     "48fc236cbbcec45c41163e419803bfc9966eed953e99a6096b5567a4352298b2",
     "d1e37ed557c9cd24a4539e5ddceb66f71ed0a68202c8593a1aaa4a0554356d33"},
    {1000, TT_BETAS_SCALED_LINEAR, 0.00085, 0.012,
     "f19a556ef5f4eb086a5f0fe99c2fbd38caada7cf582b7d5441fabce01ed0b768",
     "b0c6833c866f3aae5d58606971a4297931251d8ed9c31d9a8b849e13ca14e3b6"},
    {1000, TT_BETAS_SQUAREDCOS_CAP_V2, 0.00085, 0.012,
     "ee9cd3d5d1b98fa46b637fac268971c24c4ecac99011989f216c21fa14ea7840",
     "f32ff0b43921c3125e2d7457bebc7aa5dd64586e4c1c837c2653aa637b657525"},
    {1, TT_BETAS_LINEAR, 0.00085, 0.012,
     "d8d644443494a39a5cb8906cf1e03de859187beb957917291fdef47b5a7f6d55",
     "e7c69acced6d3255aa8a96abff063ca4fcca374e3b02f97f1fd1c7e004eb774f"},
    {1, TT_BETAS_SCALED_LINEAR, 0.00085, 0.012,
     "935cf2d2b47f9132aa8bce52ac32c52b68cb1b58e0ba9b5dceb4052bd629ac78",
     "e7c69acced6d3255aa8a96abff063ca4fcca374e3b02f97f1fd1c7e004eb774f"},
    {1, TT_BETAS_SQUAREDCOS_CAP_V2, 0.00085, 0.012,
     "cca6554fcb41bd98d8755b6d4fc32bbd1a9461252f2317f4097479699cfa66b6",
     "72cf545adadced4e77857a129ef14bb5a04276c9244fdf547cb340602ca7ba12"},
    {2, TT_BETAS_LINEAR, 0.00085, 0.012,
     "5820b989981b3c5f6ab540dfa87adaf9eee7015da4c36825e4175be6f37d1ee7",
     "9467bf16ca474bfc421169833a5f576cf065374609a1431ab293b5b036b3eff6"},
    {2, TT_BETAS_SCALED_LINEAR, 0.00085, 0.012,
     "1468b2e758b44170db6fef04f78d0a8275ef202c37505dbd6ce7a8545af05734",
     "9467bf16ca474bfc421169833a5f576cf065374609a1431ab293b5b036b3eff6"},
    {2, TT_BETAS_SQUAREDCOS_CAP_V2, 0.00085, 0.012,
     "de0d5707419c43a75850d309038776e98c7a48f48491f00772acb197ca3e3235",
     "f8d959e26b71d76a54707a75e31c2e99b4d0a48d4ee5bbad797869d3c5e7037a"},
    {7, TT_BETAS_LINEAR, 0.00085, 0.012,
     "ef9f8540ea02d054503651c78c137860e65e17f2605b4fc358c73be2dc5efca4",
     "6644e9589c9eb8db3ac8111ae2c1c77b7ae72046941e8a54b96beb2f07d4fc28"},
    {7, TT_BETAS_SCALED_LINEAR, 0.00085, 0.012,
     "024c303d6bbc3fac5d07ca0cbf2cb08906edc056f78fb227b9e51f7571af871f",
     "c2f8fb70074edf461108260ae693c67c81aa68abecd5e0feeab21d97dc5197b4"},
    {7, TT_BETAS_SQUAREDCOS_CAP_V2, 0.00085, 0.012,
     "65fb4f0ae1ebb3d93306b94041e9682324605aadcee16fe2a0a2bd911df7a599",
     "32ca369dc067bd48df3a830b80b1987c6ed91ebb041c01116dfe7ce8624a2d29"},
    {50, TT_BETAS_LINEAR, 0.00085, 0.012,
     "5a5876eb977c1b2b6b04011d3dd8df067924a9ea80e6260fdd73ab96d62f238e",
     "d1c8860949803f6929dc88638d6d59b928fca22330f1d3d697143877d176c7e0"},
    {50, TT_BETAS_SCALED_LINEAR, 0.00085, 0.012,
     "10858b3b91f0ea8491f741d2050ba30ceaba1c59a861cfe4985d90e72694f561",
     "35231d828e96497edcd8fc9027b4827c10d39547bd15e163d0f6545c4b35d8a1"},
    {50, TT_BETAS_SQUAREDCOS_CAP_V2, 0.00085, 0.012,
     "7c6ba23917b2465deb7e374a2c21974842a8f3b5dafb7f0d6a756abd42e4bbda",
     "5568f3ba5b7ff89d67bb3e780bfdb09dc0fd77c9971199dbee56cee3eaa8295d"},
    {1001, TT_BETAS_LINEAR, 0.00085, 0.012,
     "65a0b1ddfbf3e1314ae2948f9c8a0421ca27468745d3029cb91c0e385bf49fa2",
     "8fcd60852709d86ab2cca0931c6c020c2032036c50d5fb78bb2b507988f5f770"},
    {1001, TT_BETAS_SCALED_LINEAR, 0.00085, 0.012,
     "85f028b69e2c1a816881defba72a45f47ebf04e9225083f62b9c3075944a3605",
     "5b2d2f21afbd20c6c49ce50bf2f39d2eca2d2c04c0de863152d6eacc049381be"},
    {1001, TT_BETAS_SQUAREDCOS_CAP_V2, 0.00085, 0.012,
     "425848676efe4c056fe19b3bb080e9c8f7937c64b7796d377090b895da98e6a6",
     "13fc648262d7764ebbc199752e970aff7d052175a9ffc59d67590f18f21ec267"},
    {1000, TT_BETAS_LINEAR, 0.0001, 0.02,
     "a455de8584c2913e90719b1668c1a4eb0d1e08d8614ad8edaefd5b5f8e5eb140",
     "b5555536933367c4ad73b4e972e1701b8cf631f368d370f1f05c23c5881f1994"},
};

START_TEST(tables_have_the_bits_of_torch) {
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        const struct table *t = &tables[i];
        struct tt_schedule_options options = {t->n, t->start, t->end, t->kind, NULL, false};
        struct tt_schedule s;
        char betas[65], alphas[65];
        ck_assert_int_eq(tt_schedule_init(&s, &options, NULL), TT_OK);
        test_sha256(s.betas, s.count * sizeof *s.betas, betas);
        test_sha256(s.alphas_cumprod, s.count * sizeof *s.betas, alphas);
        ck_assert_msg(!strcmp(betas, t->betas), "table %zu: betas differ", i);
        ck_assert_msg(!strcmp(alphas, t->alphas_cumprod), "table %zu: alphas_cumprod differ", i);
        tt_schedule_free(&s);
    }
}
END_TEST

static struct tt_schedule stable_diffusion(bool zero_snr) {
    struct tt_schedule_options options = {
        1000, 0.00085, 0.012, TT_BETAS_SCALED_LINEAR, NULL, zero_snr};
    struct tt_schedule s;
    ck_assert_int_eq(tt_schedule_init(&s, &options, NULL), TT_OK);
    return s;
}

START_TEST(zero_snr) {
    struct tt_schedule s = stable_diffusion(true);
    ck_assert(isinf(s.sigmas[999]));
    tt_schedule_set_alpha(&s, 999, 0x1p-24f);
    ck_assert_float_eq(s.sigmas[999], sqrtf((1.0f - 0x1p-24f) / 0x1p-24f));
    tt_schedule_free(&s);
}
END_TEST

START_TEST(trained_betas_replace_the_schedule) {
    const double betas[] = {0.1, 0.2, 0.3};
    const float want[] = {0.9f, 0.72f, 0.504f};
    struct tt_schedule_options options = {3, 0.5, 0.5, TT_BETAS_LINEAR, betas, false};
    struct tt_schedule s;
    ck_assert_int_eq(tt_schedule_init(&s, &options, NULL), TT_OK);
    test_close("alphas_cumprod", s.alphas_cumprod, want, 3, 0, 1e-7);
    tt_schedule_free(&s);
}
END_TEST

START_TEST(forward_process) {
    static const float x0[] = {1.5f, -0.25f, 3.0f, 0.0f}, noise[] = {-0.5f, 2.0f, 0.125f, 1.0f};
    static const struct {
        size_t t;
        float noised[4], velocity[4]; // DDIMScheduler.add_noise, .get_velocity
    } want[] = {
        {0, {1.48478484f, -0.191583455f, 3.00236917f, 0.0291551333f},
         {-0.543520153f, 2.00643849f, 0.0374814644f, 0.9995749f}},
        {1, {1.47808182f, -0.167228386f, 3.00260282f, 0.0412792638f},
         {-0.561492741f, 2.00861502f, 0.00105566531f, 0.999147654f}},
        {500, {0.36316672f, 1.56995463f, 1.68335569f, 0.850686491f},
         {-1.5388664f, 1.2640183f, -2.4863503f, 0.52567333f}},
        {999, {-0.396436304f, 1.97826827f, 0.329503059f, 0.997667253f},
         {-1.53063333f, 0.385946572f, -2.9844687f, 0.0682648867f}},
    };
    struct tt_schedule s = stable_diffusion(false);
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        float out[4];
        tt_add_noise(&s, want[i].t, x0, noise, out, 4);
        test_close("add_noise", out, want[i].noised, 4, 0, 2e-7);
        tt_velocity(&s, want[i].t, x0, noise, out, 4);
        test_close("velocity", out, want[i].velocity, 4, 0, 2e-7);
        memcpy(out, noise, sizeof out);
        tt_add_noise(&s, want[i].t, x0, out, out, 4); // in place
        test_close("add_noise", out, want[i].noised, 4, 0, 2e-7);
    }
    tt_schedule_free(&s);
}
END_TEST

static void floats(const struct tt_safetensors *file, const char *name, size_t n, float *out) {
    const struct tt_view *view = tt_safetensors_find(file, name);
    ck_assert_msg(view && tt_shape_count(&view->shape) == n, "%s: missing or too small", name);
    tt_view_floats(view, 0, n, out);
}

static double number(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static void check_recorded_tables(const json_t *recorded, const struct tt_safetensors *file) {
    const char *name = json_string_value(json_object_get(recorded, "name"));
    const char *kind = json_string_value(json_object_get(recorded, "beta_schedule"));
    size_t n = (size_t)number(recorded, "num_train_timesteps");
    bool rescaled = json_is_true(json_object_get(recorded, "rescale_betas_zero_snr"));
    struct tt_schedule_options options = {
        n, number(recorded, "beta_start"), number(recorded, "beta_end"),
        !strcmp(kind, "linear")          ? TT_BETAS_LINEAR
        : !strcmp(kind, "scaled_linear") ? TT_BETAS_SCALED_LINEAR
                                         : TT_BETAS_SQUAREDCOS_CAP_V2,
        NULL, rescaled};
    struct tt_schedule s;
    char tensor[128];
    float *want = malloc(n * sizeof *want);
    ck_assert_int_eq(tt_schedule_init(&s, &options, NULL), TT_OK);
    snprintf(tensor, sizeof tensor, "%s.alphas_cumprod", name);
    floats(file, tensor, n, want);
    test_equal(tensor, s.alphas_cumprod, want, n);
    snprintf(tensor, sizeof tensor, "%s.betas", name);
    floats(file, tensor, n, want);
    test_equal(tensor, s.betas, want, n);
    if (!rescaled) {
        snprintf(tensor, sizeof tensor, "%s.sigmas", name);
        floats(file, tensor, n, want);
        test_equal(tensor, s.sigmas, want, n);
    }
    tt_schedule_free(&s);
    free(want);
}

// Two images of 60 numbers, each at its own timestep: as near to float64 as PyTorch's float32.
static void check_recorded_closed_form(const json_t *root, const struct tt_safetensors *file) {
    enum { N = 60 };
    float clean[2 * N], noise[2 * N], want[2 * N], got[2 * N];
    struct tt_schedule s = stable_diffusion(false);
    floats(file, "clean", 2 * N, clean);
    floats(file, "noise", 2 * N, noise);
    size_t i;
    json_t *recorded;
    json_array_foreach(json_object_get(json_object_get(root, "closed_form"), "tensors"), i,
                       recorded) {
        const char *name = json_string_value(json_object_get(recorded, "name"));
        bool noisy = !strcmp(json_string_value(json_object_get(recorded, "kind")), "noisy");
        for (size_t k = 0; k < 2; k++) {
            const json_t *t = json_array_get(json_object_get(recorded, "timesteps"), k);
            (noisy ? tt_add_noise : tt_velocity)(&s, (size_t)json_integer_value(t), clean + k * N,
                                                 noise + k * N, got + k * N, N);
        }
        floats(file, name, 2 * N, want);
        double floor = 0x1p-23 * number(recorded, "maxabs");
        test_close(name, got, want, 2 * N, number(recorded, "err32") + floor, 0);
    }
    ck_assert_uint_gt(i, 10);
    tt_schedule_free(&s);
}

START_TEST(recorded) { // reference/noise/schedules.json
    char *text = test_read("reference/noise/schedules.json", NULL);
    json_t *root = json_loads(text, 0, NULL), *entry;
    struct tt_safetensors *file;
    free(text);
    ck_assert_int_eq(tt_safetensors_open(NULL, "reference/noise/schedules.safetensors", &file,
                                         NULL), TT_OK);
    size_t i;
    json_array_foreach(json_object_get(root, "cases"), i, entry) check_recorded_tables(entry, file);
    ck_assert_uint_gt(i, 30);
    check_recorded_closed_form(root, file);
    tt_safetensors_close(file);
    json_decref(root);
}
END_TEST

START_TEST(no_steps_is_an_error) {
    struct tt_schedule_options options = {0};
    struct tt_schedule s;
    struct tt_error err = {0};
    ck_assert_int_eq(tt_schedule_init(&s, &options, &err), TT_BAD_INPUT);
    ck_assert_ptr_nonnull(strstr(err.message, "num_train_timesteps"));
    tt_schedule_free(&s);
}
END_TEST

START_TEST(numpy_routines) {
    const float table[] = {1.0f, 3.0f, -1.0f};
    ck_assert_double_eq(tt_interp(-1.0, table, 3), 1.0);
    ck_assert_double_eq(tt_interp(0.5, table, 3), 2.0);
    ck_assert_double_eq(tt_interp(2.0, table, 3), -1.0);
    ck_assert_double_eq(tt_interp(7.5, table, 3), -1.0);
    ck_assert_double_eq(tt_linspace(0, 999, 1, 0), 0.0);
    ck_assert_double_eq(tt_linspace(0, 999, 7, 6), 999.0);
    ck_assert_double_eq(tt_linspace(0, 999, 7, 1), 166.5);
    for (float x = 1e-3f; x < 2e4f; x *= 1.37f) {
        float got = tt_numpy_logf(x), want = (float)log((double)x);
        ck_assert_uint_le(test_error_f32(&got, &want, 1).max_ulp, 4);
    }
    ck_assert_float_eq(tt_expf(-INFINITY), 0.0f);
    ck_assert(isinf(tt_logf(0.0f)) && tt_logf(0.0f) < 0.0f);
}
END_TEST

// Within 6 ulp of the exact quantile, as measured; scipy is within 8, and diffusers takes scipy's.
START_TEST(beta_quantiles) { // reference/noise/beta.json
    char *text = test_read("reference/noise/beta.json", NULL);
    json_t *root = json_loads(text, 0, NULL), *entry;
    free(text);
    size_t i;
    json_array_foreach(json_object_get(root, "cases"), i, entry) {
        double p = number(entry, "p"), exact = number(entry, "exact");
        double unit = nextafter(exact, 2.0) - exact, got = tt_beta_quantile(p);
        ck_assert_msg(fabs(got - exact) <= 6.0 * unit, "%.17g: %.17g, expected %.17g", p, got,
                      exact);
        ck_assert_msg(fabs(got - number(entry, "scipy")) <= 14.0 * unit, "%.17g: %.17g, not scipy",
                      p, got);
    }
    ck_assert_uint_gt(i, 50);
    json_decref(root);
}
END_TEST

static Suite *schedule_suite(void) {
    Suite *suite = suite_create("schedule");
    TCase *tcase = tcase_create("schedule");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, tables_have_the_bits_of_torch);
    tcase_add_test(tcase, zero_snr);
    tcase_add_test(tcase, trained_betas_replace_the_schedule);
    tcase_add_test(tcase, forward_process);
    tcase_add_test(tcase, recorded);
    tcase_add_test(tcase, no_steps_is_an_error);
    tcase_add_test(tcase, numpy_routines);
    tcase_add_test(tcase, beta_quantiles);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) { return test_main(schedule_suite(), NULL); }
