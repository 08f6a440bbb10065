// SPDX-License-Identifier: MIT
// tintype compare: how two pictures differ.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/alike.h"
#include "cli/verify.h"

struct job {
    struct cli *cli;
    const char *paths[2], *out;
    double least; // PSNR; NaN: none
    struct tt_image a, b;
    struct alike alike;
    unsigned gain; // of the difference picture
};

// |a - b| of each channel, as much brighter as the largest allows.
static enum tt_status write_difference(struct job *job) {
    size_t bytes = 3 * job->a.width * job->a.height;
    struct tt_image image = {job->a.width, job->a.height, malloc(bytes)};
    if (!image.rgb) return tt_fail(&job->cli->error, TT_SYSTEM, "out of memory for a picture");
    for (size_t i = 0; i < bytes; i++)
        image.rgb[i] =
            (uint8_t)((unsigned)abs((int)job->a.rgb[i] - (int)job->b.rgb[i]) * job->gain);
    enum tt_status status = cli_write_picture(job->cli, job->out, &image, NULL);
    tt_image_free(&image);
    if (!status) cli_written(job->cli, job->out);
    return status;
}

static json_t *describe_pixel(const struct job *job, size_t x, size_t y) {
    const uint8_t *a = job->a.rgb + 3 * (y * job->a.width + x);
    const uint8_t *b = job->b.rgb + 3 * (y * job->a.width + x);
    return json_pack("{s:I, s:I, s:[i,i,i], s:[i,i,i]}", "x", (json_int_t)x, "y", (json_int_t)y,
                     "a", a[0], a[1], a[2], "b", b[0], b[1], b[2]);
}

static enum tt_status print_json(struct job *job, bool passes) {
    const struct alike *s = &job->alike;
    bool windows = !isnan(s->ssim);
    json_t *root = json_pack(
        "{s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:b, s:o*}", "format",
        "tintype-pictures-compared", "a", cli_json_text(job->paths[0]), "b",
        cli_json_text(job->paths[1]), "width", (json_int_t)job->a.width, "height",
        (json_int_t)job->a.height, "different", (json_int_t)s->different, "largest",
        (json_int_t)s->largest, "psnr", cli_json_real(s->psnr), "ssim", cli_json_real(s->ssim),
        "worst", describe_pixel(job, s->x, s->y), "worst_window",
        windows ? json_pack("{s:I, s:I, s:f}", "x", (json_int_t)s->worst_x, "y",
                            (json_int_t)s->worst_y, "ssim", s->worst_ssim)
                : json_null(),
        "min_psnr", cli_json_real(job->least), "agrees", passes, "difference",
        job->out ? cli_json_text(job->out) : NULL);
    return cli_print_json(job->cli, root, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
}

static void print(const struct job *job) {
    const struct alike *s = &job->alike;
    size_t at = 3 * (s->y * job->a.width + s->x);
    const uint8_t *a = job->a.rgb + at, *b = job->b.rgb + at;
    printf("%zux%zu: %zu of %zu pixels differ, by at most %u of 255\n", job->a.width,
           job->a.height, s->different, job->a.width * job->a.height, s->largest);
    printf("PSNR %.2f dB", s->psnr);
    if (isnan(s->ssim)) puts(", no SSIM: smaller than its window of 11x11 pixels");
    else printf(", SSIM %.6f\n", s->ssim);
    if (!s->different) return;
    printf("worst pixel: x %zu, y %zu: (%d, %d, %d) and (%d, %d, %d)\n", s->x, s->y, a[0], a[1],
           a[2], b[0], b[1], b[2]);
    if (!isnan(s->ssim))
        printf("worst window: around x %zu, y %zu: SSIM %.6f\n", s->worst_x, s->worst_y,
               s->worst_ssim);
    if (job->out) printf("the difference picture shows differences %u times\n", job->gain);
}

static enum tt_status compare(struct job *job) {
    struct tt_error *err = &job->cli->error;
    enum tt_status status = tt_image_read(job->cli->files, job->paths[0], &job->a, err);
    if (!status) status = tt_image_read(job->cli->files, job->paths[1], &job->b, err);
    if (!status && job->out) status = cli_plan_picture(job->cli, job->out);
    if (status) return status;
    status = alike_measure(&job->a, &job->b, &job->alike, err);
    if (status) return tt_fail_prefix(err, "%s, %s", job->paths[0], job->paths[1]);
    job->gain = job->alike.largest ? 255 / job->alike.largest : 1;
    bool passes = isnan(job->least) || job->alike.psnr >= job->least;
    if (job->out) status = write_difference(job);
    if (status) return status;
    if (job->cli->json) status = print_json(job, passes);
    else if (!cli_is_standard_output(job->out ? job->out : "")) print(job);
    if (status || passes) return status;
    return tt_fail(err, TT_MISMATCH, "PSNR: found %.2f dB, expected at least %g", job->alike.psnr,
                   job->least);
}

enum tt_status cli_compare(struct cli *cli, int argc, char **argv) {
    struct job job = {.cli = cli, .least = NAN};
    const struct cli_option options[] = {
        {"output", 'o', CLI_TEXT, "DIFF.png",
         "write a picture of the differences, as bright as they can be; -: standard output; "
         "default: none", &job.out},
        {"min-psnr", 0, CLI_NUMBER, "DB",
         "exit 1 when the PSNR is less; default: none", &job.least},
        {0},
    };
    cli->more_help =
        "PSNR is over all channels; SSIM of the luma, with a Gaussian window of 11x11 pixels,\n"
        "sigma 1.5 (Wang, Bovik, Sheikh, Simoncelli, IEEE Transactions on Image Processing 13,\n"
        "2004). Pictures: PNG, JPEG or WebP of one size.\n";
    enum tt_status status = cli_parse(cli, options, argc, argv, job.paths, 2);
    if (!status && !cli->help) status = compare(&job);
    tt_image_free(&job.a);
    tt_image_free(&job.b);
    return status;
}
