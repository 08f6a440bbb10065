// SPDX-License-Identifier: MIT
// What generate and grid are asked for beside a text: a picture to begin with, a second pass.
#include <math.h>
#include <string.h>

#include "cli/request.h"

size_t request_picture_options(struct request *r, struct cli_option *table) {
    struct tt_settings *s = &r->with;
    const struct cli_option options[] = {
        {"image", 0, CLI_TEXT, "FILE",
         "begin with this picture (PNG, JPEG, WebP); default: with noise", &r->image},
        {"strength", 0, CLI_NUMBER, "S",
         "how much of the steps to go, so how much changes; default: 0.8, with --mask 1",
         &s->strength},
        {"mask", 0, CLI_TEXT, "FILE",
         "draw only what is white in this picture; default: all", &r->mask},
        {"mask-blur", 0, CLI_NUMBER, "PX",
         "blur the mask, and keep the picture itself outside of it; default: 0", &s->mask_blur},
        {"inpaint-padding", 0, CLI_WHOLE, "PX",
         "draw what is masked and PX around it at the full size; default: the whole picture",
         &r->padding},
        {"resize", 0, CLI_TEXT, "HOW",
         "the picture to the size: stretch, crop or fill; default: stretch", &r->resize},
        {"image-guidance-scale", 0, CLI_NUMBER, "G",
         "of instruct-pix2pix: how closely the picture is kept; default: 1.5",
         &s->image_guidance_scale},
        {"upscale", 0, CLI_NUMBER, "X",
         "a second pass at X times the size; default: none", &s->upscale},
        {"upscale-strength", 0, CLI_NUMBER, "S",
         "how much of the steps the second pass goes; default: 0.5", &s->upscale_strength},
        {"upscale-in", 0, CLI_TEXT, "WHAT",
         "enlarge latents or pixels; default: latents", &r->upscale_in},
    };
    // Help has the words for what is not given.
    s->strength = s->mask_blur = s->image_guidance_scale = s->upscale = s->upscale_strength = NAN;
    r->padding = UINT64_MAX;
    memcpy(table, options, sizeof options);
    return sizeof options / sizeof *options;
}

static enum tt_status choose(const char *option, const char *text, const char *const *words,
                             int count, int *out, struct tt_error *err) {
    for (int i = 0; text && i < count; i++)
        if (!strcmp(text, words[i])) {
            *out = i;
            return TT_OK;
        }
    if (!text) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "--%s: found '%s', expected %s%s%s%s%s", option, text,
                   words[0], count > 2 ? ", " : "", count > 2 ? words[1] : "", " or ",
                   words[count - 1]);
}

static const char *const resizes[] = {"stretch", "crop", "fill"};
static const char *const upscales[] = {"latents", "pixels"};

void request_picture_again(struct request *r, const struct settings_record *was) {
    r->image = was->image.path;
    r->mask = was->mask.path;
    r->resize = r->with.resize ? resizes[r->with.resize] : NULL;
    r->upscale_in = r->with.upscale != 0 ? upscales[r->with.upscale_in] : NULL;
    r->padding = r->with.inpaint_padding < 0 ? UINT64_MAX : (uint64_t)r->with.inpaint_padding;
}

static void unset(double *number, double value) {
    if (isnan(*number)) *number = value;
}

// Reads a picture; of one that is replayed the same one.
static enum tt_status read_picture(struct cli *cli, const char *path,
                                   const struct settings_file *was, struct tt_image *image,
                                   struct settings_file *record) {
    if (!path) return TT_OK;
    enum tt_status status = tt_image_read(cli->files, path, image, &cli->error);
    if (status) return status;
    size_t bytes = 3 * image->width * image->height;
    const struct tt_view view = {path, TT_U8, {3, {image->height, image->width, 3}}, image->rgb,
                                 bytes};
    record->path = path;
    tt_view_digest(&view, record->digest);
    if (!was || was->path != path || !strcmp(was->digest, record->digest)) return TT_OK;
    return tt_fail(&cli->error, TT_BAD_INPUT, "%s: found another picture (its pixels' SHA-256 is "
                   "%s), expected the one that was drawn from (%s)", path, record->digest,
                   was->digest);
}

enum tt_status request_picture(struct cli *cli, struct request *r,
                               const struct settings_record *was) {
    struct tt_settings *s = &r->with;
    unset(&s->strength, -1);
    unset(&s->mask_blur, 0);
    unset(&s->image_guidance_scale, -1);
    unset(&s->upscale, 0);
    unset(&s->upscale_strength, -1);
    if (!r->image && r->resize)
        return tt_fail(&cli->error, TT_BAD_INPUT, "--resize: found it without --image, expected a "
                       "picture");
    if (r->resize && r->padding != UINT64_MAX)
        return tt_fail(&cli->error, TT_BAD_INPUT, "--resize: found it with --inpaint-padding, "
                       "expected one of the two: the region is filled up to the size");
    if (r->upscale_in && s->upscale == 0)
        return tt_fail(&cli->error, TT_BAD_INPUT, "--upscale-in: found it without --upscale, "
                       "expected --upscale, such as 2");
    if (r->padding != UINT64_MAX && r->padding > TT_IMAGE_SIDE)
        return tt_fail(&cli->error, TT_BAD_INPUT, "--inpaint-padding: found %llu, expected at most "
                       "%d", (unsigned long long)r->padding, TT_IMAGE_SIDE);
    s->inpaint_padding = r->padding == UINT64_MAX ? -1 : (int)r->padding;
    enum tt_status status = choose("resize", r->resize, resizes, 3, &s->resize, &cli->error);
    if (!status)
        status = choose("upscale-in", r->upscale_in, upscales, 2, &s->upscale_in, &cli->error);
    if (!status)
        status = read_picture(cli, r->image, was ? &was->image : NULL, &r->picture,
                              &r->record.image);
    if (!status)
        status = read_picture(cli, r->mask, was ? &was->mask : NULL, &r->mask_picture,
                              &r->record.mask);
    if (!status && r->image) s->image = &r->picture;
    if (!status && r->mask) s->mask = &r->mask_picture;
    return status;
}
