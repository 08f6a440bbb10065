// SPDX-License-Identifier: MIT
// Settings as the text that stands inside a picture.
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/parameters_words.h"

// Appends ", key: value", the value quoted where it could be taken for more than one. false: out of
// memory.
static bool put(FILE *out, const char *key, const char *value) {
    size_t length = strlen(value);
    if (length && !strpbrk(value, ",:\"\n") && *value != ' ' && value[length - 1] != ' ')
        return fprintf(out, ", %s: %s", key, value) > 0;
    json_t *string = json_string(value);
    char *quoted = string ? json_dumps(string, JSON_ENCODE_ANY) : NULL;
    bool good = quoted && fprintf(out, ", %s: %s", key, quoted) > 0;
    json_decref(string);
    free(quoted);
    return good;
}

// The shortest decimal number that reads back as x.
static void shortest(double x, char text[32]) {
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, 32, "%.*g", digits, x);
        if (strtod(text, NULL) == x) break;
    }
}

static bool put_number(FILE *out, const char *key, double x) {
    char text[32];
    shortest(x, text);
    return put(out, key, text);
}

static bool put_whole(FILE *out, const char *key, uint64_t x) {
    return fprintf(out, ", %s: %llu", key, (unsigned long long)x) > 0;
}

// "AxB", where it is said.
static bool put_pair(FILE *out, const char *key, size_t a, size_t b) {
    return !(a || b) || fprintf(out, ", %s: %zux%zu", key, a, b) > 0;
}

static size_t count_lines(const char *text) {
    size_t lines = 1;
    for (; (text = strchr(text, '\n')); text++) lines++;
    return lines;
}

// "NAME: DIGITS, NAME: DIGITS", NAME without folder and ending. NULL: out of memory.
static char *lora_hashes(const struct settings_record *r) {
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) return NULL;
    for (size_t i = 0; i < r->lora_count; i++) {
        const char *slash = strrchr(r->loras[i].path, '/');
        const char *name = slash ? slash + 1 : r->loras[i].path, *dot = strrchr(name, '.');
        fprintf(out, "%s%.*s: %.12s", i ? ", " : "", (int)(dot ? (size_t)(dot - name)
                                                              : strlen(name)), name,
                r->loras[i].data_sha256);
    }
    bool good = !ferror(out);
    if (!fclose(out) && good) return text;
    free(text);
    return NULL;
}

static bool put_loras(FILE *out, const struct settings_record *r) {
    char *hashes = r->lora_count ? lora_hashes(r) : NULL;
    bool good = !r->lora_count || (hashes && put(out, "Lora hashes", hashes));
    free(hashes);
    for (size_t i = 0; i < r->lora_count; i++) {
        const struct tt_lora_info *lora = &r->loras[i];
        char key[32], number[32], *value = NULL;
        snprintf(key, sizeof key, "LoRA %zu", i + 1);
        shortest(lora->weight, number);
        if (asprintf(&value, "%s %s %s", number, lora->sha256, lora->path) < 0) return false;
        good &= put(out, key, value);
        free(value);
    }
    return good;
}

// "WORD: DIGITS, WORD: DIGITS", without what would end a value. NULL: out of memory.
static char *inversion_hashes(const struct settings_record *r) {
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) return NULL;
    for (size_t i = 0; i < r->inversion_count; i++) {
        if (i) fputs(", ", out);
        for (const char *c = r->inversions[i].word; *c; c++)
            if (!strchr(":,", *c)) fputc(*c, out);
        fprintf(out, ": %.12s", r->inversions[i].sha256);
    }
    bool good = !ferror(out);
    if (!fclose(out) && good) return text;
    free(text);
    return NULL;
}

static bool put_inversions(FILE *out, const struct settings_record *r) {
    char *hashes = r->inversion_count ? inversion_hashes(r) : NULL;
    bool good = !r->inversion_count || (hashes && put(out, "TI hashes", hashes));
    free(hashes);
    for (size_t i = 0; i < r->inversion_count; i++) {
        const struct tt_inversion_info *file = &r->inversions[i];
        char key[40], *value = NULL;
        snprintf(key, sizeof key, "%s%zu", inversion_mark, i + 1);
        if (asprintf(&value, "%s %s", file->sha256, file->path) < 0) return false;
        good &= put(out, key, value);
        free(value);
        snprintf(key, sizeof key, "%s%zu word", inversion_mark, i + 1);
        good &= put(out, key, file->word);
    }
    return good;
}

static bool put_options(FILE *out, const char *const *options) {
    bool good = true;
    for (; options && *options; options++) {
        char key[80];
        const char *equal = strchr(*options, '=');
        if (!equal) continue; // the scheduler has refused it before
        snprintf(key, sizeof key, "%s%.*s", option_mark, (int)(equal - *options), *options);
        good &= put(out, key, equal + 1);
    }
    return good;
}

static bool put_file(FILE *out, const char *key, const char *hash_key,
                     const struct settings_file *file) {
    return !file->path || (put(out, key, file->path) && put(out, hash_key, file->digest));
}

// What a run begins with, and its second pass, in the words of web interfaces where they have any.
static bool put_picture(FILE *out, const struct tt_settings *s, const struct settings_record *r) {
    bool good = put_file(out, "Image", "Image hash", &r->image);
    good &= put_file(out, "Mask", "Mask hash", &r->mask);
    if (r->image.path && s->strength >= 0)
        good &= put_number(out, "Denoising strength", s->strength);
    if (s->resize) good &= put(out, "Resize mode", resize_words[s->resize]);
    if (s->mask_blur != 0) good &= put_number(out, "Mask blur", s->mask_blur);
    if (s->inpaint_padding >= 0) {
        good &= put(out, "Inpaint area", "Only masked");
        good &= put_whole(out, "Masked area padding", (uint64_t)s->inpaint_padding);
    }
    if (s->image_guidance_scale >= 0)
        good &= put_number(out, "Image CFG scale", s->image_guidance_scale);
    if (s->upscale != 0) {
        // The one strength that a web interface has is the second pass's where there is no picture.
        if (s->upscale_strength >= 0)
            good &= put_number(out, r->image.path ? "Hires denoising strength"
                                                  : "Denoising strength", s->upscale_strength);
        good &= put_number(out, "Hires upscale", s->upscale);
        good &= put(out, "Hires upscaler", upscaler_words[s->upscale_in]);
    }
    return good;
}

char *settings_text(const struct tt_settings *s, const struct settings_record *r) {
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    if (!out) return NULL;
    const char *prompt = r->prompt ? r->prompt : s->prompt;
    fprintf(out, "%s\n", prompt ? prompt : "");
    if (s->negative) fprintf(out, "%s%s\n", negative_mark, s->negative);
    fprintf(out, "Steps: %zu", s->steps);
    bool good = put(out, "Sampler", s->scheduler);
    good &= put_options(out, s->scheduler_options);
    good &= put_number(out, "CFG scale", s->guidance_scale);
    if (s->guidance_rescale != 0) good &= put_number(out, "CFG rescale", s->guidance_rescale);
    if (s->guidance_start != 0) good &= put_number(out, "CFG start", s->guidance_start);
    if (s->guidance_stop != 1) good &= put_number(out, "CFG stop", s->guidance_stop);
    good &= put_whole(out, "Seed", s->seed);
    fprintf(out, ", Size: %zux%zu", s->width, s->height);
    good &= put_pair(out, "Original size", s->original_width, s->original_height);
    good &= put_pair(out, "Crop", s->crop_left, s->crop_top);
    good &= put_pair(out, "Target size", s->target_width, s->target_height);
    good &= put_pair(out, "Negative original size", s->negative_original_width,
                     s->negative_original_height);
    good &= put_pair(out, "Negative crop", s->negative_crop_left, s->negative_crop_top);
    good &= put_pair(out, "Negative target size", s->negative_target_width,
                     s->negative_target_height);
    good &= put(out, "Model hash", r->hash);
    if (*r->refiner) {
        good &= put(out, "Refiner hash", r->refiner);
        good &= put_number(out, "Refiner switch at", s->refine_from);
        good &= put_number(out, "Aesthetic score", s->aesthetic_score);
        good &= put_number(out, "Negative aesthetic score", s->negative_aesthetic_score);
    }
    good &= put_picture(out, s, r);
    if (r->direct) good &= put(out, "Convolution", "direct");
    if (r->strip) good &= put_whole(out, "Strip", r->strip);
    if (r->grid[0]) good &= put(out, "Grid x", r->grid[0]);
    if (r->grid[1]) good &= put(out, "Grid y", r->grid[1]);
    if (s->prompt_syntax) good &= put(out, "Prompt syntax", syntax_name(s->prompt_syntax));
    if (s->clip_skip) good &= put_whole(out, "Clip skip", s->clip_skip + 1);
    good &= put_loras(out, r);
    good &= put_inversions(out, r);
    if (find_mark(prompt)) good &= put_whole(out, "Prompt lines", count_lines(prompt));
    fprintf(out, ", Version: tintype %s", tt_version());
    good &= !ferror(out);
    if (!fclose(out) && good) return text;
    free(text);
    return NULL;
}
