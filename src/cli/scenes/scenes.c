// SPDX-License-Identifier: MIT
// tintype scenes: draw a captioned data set in the imagefolder layout: pictures, metadata.jsonl.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/scenes/scene_draw.h"

struct request {
    const char *out;
    size_t count, captions, pixels;
    uint64_t seed;
    bool held_out;
};

// Consecutive seeds; combinations kept from training are left out, or nothing else is drawn.
static void choose(const struct request *r, struct scene *scenes) {
    uint64_t seed = r->seed;
    for (size_t i = 0; i < r->count; seed++) {
        scenes[i] = scene_of(seed, -1, -1);
        if (scene_held_out(&scenes[i]) == r->held_out) i++;
    }
}

static void file_name(size_t i, char *text, size_t size) { snprintf(text, size, "%06zu.png", i); }

// One scene drawn and written into folder.
static enum tt_status draw(const struct request *r, const struct scene *scene, size_t i,
                           const char *folder, struct tt_error *err) {
    size_t n = 3 * r->pixels * r->pixels;
    float *work = malloc(n * sizeof *work);
    uint8_t *rgb = malloc(n);
    char name[32], *path = NULL;
    file_name(i, name, sizeof name);
    enum tt_status status = TT_OK;
    if (!work || !rgb || asprintf(&path, "%s/%s", folder, name) < 0)
        status = tt_fail(err, TT_SYSTEM, "out of memory for a scene of %zu pixels", r->pixels);
    if (!status) {
        scene_draw(scene, r->pixels, work, rgb);
        status = tt_image_write(NULL, path, &(struct tt_image){r->pixels, r->pixels, rgb}, NULL,
                                err);
    }
    free(path);
    free(rgb);
    free(work);
    return status;
}

static enum tt_status draw_all(struct cli *cli, const struct request *r,
                               const struct scene *scenes, const char *folder) {
    enum { AT_ONCE = 64 }; // between two looks at the progress line
    struct cli_progress progress = {0};
    enum tt_status status = TT_OK;
    int threads = (int)tt_engine_threads(cli->engine);
    cli_progress_begin(&progress, cli, "scenes");
    for (size_t first = 0; !status && first < r->count; first += AT_ONCE) {
        size_t n = r->count - first < AT_ONCE ? r->count - first : AT_ONCE;
        struct tt_error errors[AT_ONCE] = {0};
#pragma omp parallel for schedule(dynamic) num_threads(threads)
        for (size_t i = 0; i < n; i++)
            if (!cli_signal()) draw(r, &scenes[first + i], first + i, folder, &errors[i]);
        for (size_t i = 0; !status && i < n; i++)
            if (errors[i].status) status = tt_fail(&cli->error, errors[i].status, "%s",
                                                   errors[i].message);
        if (!status) status = cli_go_on(cli);
        cli_progress_step(&progress, first + n, r->count);
    }
    cli_progress_end(&progress);
    return status;
}

// A line a scene: file_name and text as the imagefolder convention has them (several captions are a
// list), then what the scene holds.
static json_t *describe(const struct request *r, const struct scene *scene, size_t i) {
    struct scene_chance rng = {scene->seed + 1};
    char name[32], text[SCENE_CAPTION];
    json_t *captions = json_array();
    file_name(i, name, sizeof name);
    for (size_t k = 0; k < r->captions; k++) {
        scene_caption(scene, &rng, text);
        json_array_append_new(captions, json_string(text));
    }
    json_t *one = json_array_get(captions, 0);
    json_t *line = json_pack("{s:s, s:O, s:I, s:s, s:s, s:s}", "file_name", name, "text",
                             r->captions == 1 ? one : captions, "seed", (json_int_t)scene->seed,
                             "subject", scene_subjects[scene->subject], "time",
                             scene_times[scene->time], "colour",
                             scene_colours[scene->colour]);
    json_decref(captions);
    return line;
}

static enum tt_status write_metadata(struct cli *cli, const struct request *r,
                                     const struct scene *scenes, const char *folder) {
    char *path = NULL, *text = NULL;
    size_t bytes = 0;
    FILE *lines = open_memstream(&text, &bytes);
    bool good = lines && asprintf(&path, "%s/metadata.jsonl", folder) >= 0;
    for (size_t i = 0; good && i < r->count; i++) {
        json_t *line = describe(r, &scenes[i], i);
        good = line && !json_dumpf(line, lines, JSON_COMPACT) && fputc('\n', lines) != EOF;
        json_decref(line);
    }
    if (lines && fclose(lines)) good = false;
    enum tt_status status = good ? tt_write_file(cli->files, path, text, bytes, &cli->error)
                                 : tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    free(text);
    free(path);
    return status;
}

// What is there is whole: the folder takes its name at the end.
static enum tt_status write_folder(struct cli *cli, const struct request *r,
                                   const struct scene *scenes) {
    struct tt_new_folder *folder = NULL;
    enum tt_status status = tt_new_folder_begin(r->out, &folder, &cli->error);
    if (status) return status;
    const char *beside = tt_new_folder_path(folder);
    status = draw_all(cli, r, scenes, beside);
    if (!status) status = write_metadata(cli, r, scenes, beside);
    enum tt_status ended = tt_new_folder_end(folder, !status, &cli->error);
    return status ? status : ended;
}

enum tt_status cli_scenes(struct cli *cli, int argc, char **argv) {
    struct request r = {.count = 64, .captions = 1, .pixels = 128};
    const struct cli_option options[] = {
        {"output", 'o', CLI_TEXT, "DIR", "the new folder; must be given", &r.out},
        {"count", 0, CLI_COUNT, "N", "scenes", &r.count},
        {"seed", 's', CLI_WHOLE, "S", "seed of the first scene; the next takes the next",
         &r.seed},
        {"captions", 0, CLI_COUNT, "N", "captions a scene", &r.captions},
        {"pixels", 0, CLI_COUNT, "PX", "width and height", &r.pixels},
        {"held-out", 0, CLI_FLAG, NULL, "only combinations that are else left out", &r.held_out},
        {0},
    };
    enum tt_status status = cli_options(cli, options, argc, argv, NULL, 0);
    if (status || cli->help) return status;
    if (!r.out) return tt_fail(&cli->error, TT_BAD_INPUT, "--output is missing: -o DIR");
    struct scene *scenes = malloc(r.count * sizeof *scenes);
    if (!scenes) return tt_fail(&cli->error, TT_SYSTEM, "out of memory for %zu scenes", r.count);
    choose(&r, scenes);
    status = write_folder(cli, &r, scenes);
    free(scenes);
    if (!status) cli_written(cli, r.out);
    if (!status && cli->json) {
        json_t *root = json_pack("{s:o, s:I}", "folder", cli_json_text(r.out), "count",
                                 (json_int_t)r.count);
        status = cli_print_json(cli, root, JSON_COMPACT);
    }
    return status;
}
