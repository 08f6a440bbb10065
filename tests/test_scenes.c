// SPDX-License-Identifier: MIT
// Drawn scenes against reference/scenes.py, byte for byte: properties, captions, pictures.
#include "cli/scenes/scene_draw.h"

#include "util.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static int index_of(const char *word, const char *const *list, int n) {
    for (int i = 0; i < n; i++)
        if (!strcmp(word, list[i])) return i;
    ck_abort_msg("'%s' is not in the list", word);
    return -1;
}

static void check_scene(const json_t *entry) {
    static const char *const sizes[] = {"small", "medium", "big"};
    static const char *const places[] = {"left", "middle", "right"};
    const char *subject, *time, *colour, *size, *place, *caption, *sha256;
    json_int_t seed, pixels;
    int given, held_out;
    ck_assert_int_eq(json_unpack((json_t *)entry,
                                 "{s:I, s:s, s:s, s:b, s:s, s:s, s:s, s:b, s:s, s:I, s:s}", "seed",
                                 &seed, "subject", &subject, "time", &time, "given", &given,
                                 "colour", &colour, "size", &size, "place", &place, "held_out",
                                 &held_out, "caption", &caption, "pixels", &pixels, "sha256",
                                 &sha256), 0);
    int subject_index = index_of(subject, scene_subjects, SCENE_SUBJECTS);
    int time_index = index_of(time, scene_times, SCENE_TIMES);
    struct scene scene = scene_of((uint64_t)seed, given ? subject_index : -1,
                                        given ? time_index : -1);
    ck_assert_int_eq(scene.subject, subject_index);
    ck_assert_int_eq(scene.time, time_index);
    ck_assert_int_eq(scene.colour, index_of(colour, scene_colours, SCENE_COLOURS));
    ck_assert_int_eq(scene.size, index_of(size, sizes, 3));
    ck_assert_int_eq(scene.place, index_of(place, places, 3));
    ck_assert_int_eq(scene_held_out(&scene), held_out);

    char text[SCENE_CAPTION], hex[65];
    struct scene_chance rng = {(uint64_t)seed + 1};
    scene_caption(&scene, &rng, text);
    ck_assert_str_eq(text, caption);

    size_t n = 3 * (size_t)(pixels * pixels);
    float *work = malloc(n * sizeof *work);
    uint8_t *rgb = malloc(n);
    scene_draw(&scene, (size_t)pixels, work, rgb);
    test_sha256(rgb, n, hex);
    ck_assert_msg(!strcmp(hex, sha256), "seed %lld, %s at %s, %lld pixels: other bytes than %s",
                  (long long)seed, subject, time, (long long)pixels, sha256);
    free(work);
    free(rgb);
}

START_TEST(same_bytes_as_the_reference) {
    json_error_t error;
    json_t *cases = json_load_file("reference/scenes.json", 0, &error);
    if (!cases) {
        test_skip("reference/scenes.json is missing");
        return;
    }
    ck_assert_uint_eq(json_array_size(cases), 180);
    for (size_t i = 0; i < json_array_size(cases); i++) check_scene(json_array_get(cases, i));
    json_decref(cases);
}
END_TEST

static Suite *scenes_suite(void) {
    Suite *suite = suite_create("scenes");
    TCase *tcase = tcase_create("drawn");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, same_bytes_as_the_reference);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) { return test_main(scenes_suite(), NULL); }
