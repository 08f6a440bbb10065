// SPDX-License-Identifier: MIT
// The generator against hashes of what torch.rand and torch.randn 2.13 gave (float32 bytes).
#include "noise/rng.h"

#include "util.h"

#include <jansson.h>
#include <stdlib.h>

// Successive lines of one seed draw from one generator.
static const struct draw {
    uint64_t seed;
    char kind; // n: randn, u: rand
    size_t n;
    const char *sha256;
} draws[] = {
    {42, 'n', 16384, "e97f3de04c7c6ba86354db4402b91d4402ede9c72aabed29a96dd7d635a798ba"},
    {0, 'n', 16384, "24efac55b39e95b2d74d8fb5b3a8e8a8e808bd04129f260c4cdbb225bb952a4d"},
    {42, 'n', 65536, "23c72e908d9e3fbe50836a02f09ccde0acfcf28c00dec75b986c49dadf0c115e"},
    {1, 'n', 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
    {42, 'n', 324, "2b94f0662388f5c6e352013d8ff18ec365bd9eeec4b3fb110b2219b87c059713"},
    {4294967338, 'n', 324, "2b94f0662388f5c6e352013d8ff18ec365bd9eeec4b3fb110b2219b87c059713"},
    {7, 'n', 1, "a09b31571c5d4fe7dc7322a17951c2f54582ea7d4352cebf312503d543e9c463"},
    {7, 'n', 3, "602189542c872d8b0c6529268750e2e1ca2834fe5e6382f1e3280f429085f745"},
    {7, 'n', 15, "895dffbef95bffb891e13953c7a7044b29c5e8b08bb92d17591fd8a8490357fc"},
    {7, 'u', 5, "e01bb834733eff6fc2bc7e2d230713c0453a4996f29c274d890f143ad093a32f"},
    {7, 'n', 16, "f0f3a5082bea7980976b098189eaab3d485f7991fdbc0aab0a1bbce6f7904f01"},
    {7, 'n', 1, "a3243557b0375d3c5af7aa43982ccfd50979d5888fdad055147aa3f7d49f2c78"},
    {7, 'n', 17, "14e47932957c0bfc21ea507eca2b52cf228cd5b33bd0f5dae0b0e22b74f460d1"},
    {7, 'n', 31, "fe34fbd489e13436cff36818ea51f2c6e2fe084fb5216b6b7daed69f1a5387cf"},
    {7, 'n', 2, "a269b5ebba31dfe0223aedf3963d759063f8d40c8648c50058897311179bcae1"},
    {7, 'u', 1000, "3584f965767e60cec847a28384f2e8afc65e5f6986dfbee68de69ee81735431c"},
    {7, 'n', 4096, "4eaf017d5df09e0cf1c5856a4d480d601277aab4720ed192416a3245be852b3e"},
    {7, 'n', 7, "6927d0e2acf4f522530344df38c7ec286a9bb4e29099909c4e113bca65cafab9"},
    {7, 'n', 131079, "211add12bfcc2fc48b4d75774370872c1c0cd291bd2b5a4366f4d39a276911bc"},
    {UINT64_MAX, 'n', 64, "21db4d05293093bd7f58ab1bf71d245ea170bcb9c0c9ac662e28ecab45e5517e"},
    {UINT64_MAX, 'n', 5, "ad494d6dd89a12cc7bf02f5466d1776c524b5587e6392e5f546e388b05371294"},
    // Holds a uniform of exactly 0, so a radius of -0 and the normal number +0.
    {12, 'n', 1048576, "27a24a350e1bb83257f11cc38ec03bee210bf6d442c6b4d150f65779d294e03d"},
};

START_TEST(same_bits_as_torch) {
    struct tt_rng rng;
    uint64_t seed = ~draws[0].seed;
    for (size_t i = 0; i < sizeof draws / sizeof draws[0]; i++) {
        const struct draw *d = &draws[i];
        if (i == 0 || d->seed != seed) tt_rng_seed(&rng, seed = d->seed);
        float *x = malloc((d->n + 1) * sizeof *x);
        x[d->n] = 12345.0f;
        (d->kind == 'n' ? tt_rng_normal : tt_rng_uniform)(&rng, x, d->n);
        char hex[65];
        test_sha256(x, d->n * sizeof *x, hex);
        ck_assert_msg(!strcmp(hex, d->sha256), "seed %llu, %c, %zu numbers: sha256 %s, expected %s",
                      (unsigned long long)d->seed, d->kind, d->n, hex, d->sha256);
        ck_assert_float_eq(x[d->n], 12345.0f);
        free(x);
    }
}
END_TEST

START_TEST(same_bits_as_recorded) { // reference/noise/randn.json
    char *text = test_read("reference/noise/randn.json", NULL);
    json_t *root = json_loads(text, 0, NULL), *recorded, *shape, *dim;
    free(text);
    size_t i, k, d;
    ck_assert_uint_gt(json_array_size(json_object_get(root, "cases")), 30);
    json_array_foreach(json_object_get(root, "cases"), i, recorded) {
        struct tt_rng rng;
        tt_rng_seed(&rng, (uint64_t)json_integer_value(json_object_get(recorded, "seed")));
        json_array_foreach(json_object_get(recorded, "shapes"), k, shape) {
            size_t n = 1;
            json_array_foreach(shape, d, dim) n *= (size_t)json_integer_value(dim);
            float *x = malloc(n * sizeof *x);
            char hex[65];
            tt_rng_normal(&rng, x, n);
            test_sha256(x, n * sizeof *x, hex);
            free(x);
            const json_t *want = json_array_get(json_object_get(recorded, "sha256"), k);
            ck_assert_msg(!strcmp(hex, json_string_value(want)), "%s, shape %zu differs",
                          json_string_value(json_object_get(recorded, "name")), k);
        }
    }
    json_decref(root);
}
END_TEST

START_TEST(known_words) { // the 10000th draw for seed 5489 is 4123659995 (ISO C++, rand.predef)
    struct tt_rng rng;
    tt_rng_seed(&rng, 5489);
    for (int i = 0; i < 9999; i++) tt_rng_u32(&rng);
    ck_assert_uint_eq(tt_rng_u32(&rng), 4123659995u);
    tt_rng_seed(&rng, 5489);
    struct tt_rng copy = rng;
    uint64_t high = tt_rng_u32(&copy), low = tt_rng_u32(&copy);
    ck_assert(tt_rng_u64(&rng) == (high << 32 | low));
}
END_TEST

START_TEST(spare_lives_in_the_generator) {
    struct tt_rng rng, again;
    float one[3], two[3];
    tt_rng_seed(&rng, 3);
    tt_rng_normal(&rng, one, 3);
    ck_assert(rng.has_spare);
    again = rng;
    tt_rng_normal(&rng, one, 1);
    ck_assert(!rng.has_spare);
    tt_rng_seed(&again, 3); // seeding forgets the spare
    tt_rng_normal(&again, two, 3);
    tt_rng_normal(&again, two, 1);
    ck_assert(one[0] == two[0]);
    float block[16];
    tt_rng_normal(&again, two, 1);
    ck_assert(again.has_spare);
    double spare = again.spare;
    tt_rng_normal(&again, block, 16); // blocks neither take nor clear it
    ck_assert(again.has_spare && again.spare == spare);
}
END_TEST

static Suite *rng_suite(void) {
    Suite *suite = suite_create("rng");
    TCase *tcase = tcase_create("rng");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, same_bits_as_torch);
    tcase_add_test(tcase, same_bits_as_recorded);
    tcase_add_test(tcase, known_words);
    tcase_add_test(tcase, spare_lives_in_the_generator);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) { return test_main(rng_suite(), NULL); }
