// SPDX-License-Identifier: MIT
// Settings read from the text that stands inside a picture.
#include <stdio.h>
#include <stdlib.h>

#include "cli/cli.h"
#include "cli/parameters_words.h"

enum key {
    STEPS, SAMPLER, CFG_SCALE, CFG_RESCALE, CFG_START, CFG_STOP, SEED, SIZE, HASH, CONVOLUTION,
    STRIP, LORA_HASHES, PROMPT_LINES, VERSION, ORIGINAL, CROP, TARGET, NEGATIVE_ORIGINAL,
    NEGATIVE_CROP, NEGATIVE_TARGET, REFINER, REFINE_FROM, SCORE, NEGATIVE_SCORE,
    TI_HASHES, PROMPT_SYNTAX, CLIP_SKIP, IMAGE, IMAGE_HASH, MASK, MASK_HASH,
    STRENGTH, RESIZE, MASK_BLUR, AREA, PADDING, IMAGE_CFG, HIRES_STRENGTH, HIRES_UPSCALE,
    HIRES_UPSCALER, KEYS,
};

static const struct {
    const char *name;
    bool needed;
} keys[KEYS] = {
    [STEPS] = {"Steps", true}, [SAMPLER] = {"Sampler", true}, [CFG_SCALE] = {"CFG scale", true},
    [CFG_RESCALE] = {"CFG rescale", false}, [CFG_START] = {"CFG start", false},
    [CFG_STOP] = {"CFG stop", false}, [SEED] = {"Seed", true}, [SIZE] = {"Size", true},
    [HASH] = {"Model hash", true}, [CONVOLUTION] = {"Convolution", false},
    [STRIP] = {"Strip", false}, [LORA_HASHES] = {"Lora hashes", false},
    [PROMPT_LINES] = {"Prompt lines", false},
    [VERSION] = {"Version", true}, [ORIGINAL] = {"Original size", false}, [CROP] = {"Crop", false},
    [TARGET] = {"Target size", false}, [NEGATIVE_ORIGINAL] = {"Negative original size", false},
    [NEGATIVE_CROP] = {"Negative crop", false},
    [NEGATIVE_TARGET] = {"Negative target size", false}, [REFINER] = {"Refiner hash", false},
    [REFINE_FROM] = {"Refiner switch at", false}, [SCORE] = {"Aesthetic score", false},
    [NEGATIVE_SCORE] = {"Negative aesthetic score", false},
    [TI_HASHES] = {"TI hashes", false}, [PROMPT_SYNTAX] = {"Prompt syntax", false},
    [CLIP_SKIP] = {"Clip skip", false},
    [IMAGE] = {"Image", false},
    [IMAGE_HASH] = {"Image hash", false}, [MASK] = {"Mask", false},
    [MASK_HASH] = {"Mask hash", false}, [STRENGTH] = {"Denoising strength", false},
    [RESIZE] = {"Resize mode", false}, [MASK_BLUR] = {"Mask blur", false},
    [AREA] = {"Inpaint area", false}, [PADDING] = {"Masked area padding", false},
    [IMAGE_CFG] = {"Image CFG scale", false},
    [HIRES_STRENGTH] = {"Hires denoising strength", false},
    [HIRES_UPSCALE] = {"Hires upscale", false}, [HIRES_UPSCALER] = {"Hires upscaler", false},
};

struct parser {
    const char *name;
    struct settings_read *out;
    char *values[KEYS]; // into out->memory
    int option_count;
    struct tt_error *err;
};

static enum tt_status wrong(struct parser *p, const char *key, const char *found,
                            const char *expected) {
    return tt_fail(p->err, TT_BAD_INPUT, "%s: settings: %s: found '%.200s', expected %s", p->name,
                   key, found, expected);
}

// Takes the quotes off a JSON string in place; *end is what followed it. false: it is none.
static bool unquote(char *text, char **end) {
    json_error_t error;
    json_t *string = json_loads(text, JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK, &error);
    bool good = json_is_string(string);
    if (good) {
        *end = text + error.position;
        memmove(text, json_string_value(string), json_string_length(string) + 1);
    }
    json_decref(string);
    return good;
}

// "0.8 DIGEST PATH"
static enum tt_status take_lora(struct parser *p, const char *key, char *value) {
    struct settings_read *out = p->out;
    size_t i = out->record.lora_count;
    char expected[32], *digest = strchr(value, ' ');
    char *path = digest ? strchr(digest + 1, ' ') : NULL;
    double weight;
    snprintf(expected, sizeof expected, "%s%zu", lora_mark, i + 1);
    if (i == TT_LORAS || strcmp(key, expected))
        return wrong(p, key, value, i == TT_LORAS ? "no more" : expected);
    if (path) *digest++ = *path++ = 0;
    if (!path || !*path || cli_number("", value, &weight, NULL) || strlen(digest) != 64 ||
        strspn(digest, "0123456789abcdef") != 64)
        return wrong(p, key, value, "a weight, a digest and a path");
    out->loras[out->record.lora_count++] = (struct tt_lora){path, weight, digest};
    return TT_OK;
}

// "Embedding 1": "DIGEST PATH", then "Embedding 1 word": "WORD"
static enum tt_status take_inversion(struct parser *p, const char *key, char *value) {
    struct settings_read *out = p->out;
    size_t i = out->inversion_count;
    char expected[40];
    snprintf(expected, sizeof expected, "%s%zu word", inversion_mark, i);
    if (i && !strcmp(key, expected) && *value && !out->inversions[i - 1].word) {
        out->inversions[i - 1].word = value;
        return TT_OK;
    }
    snprintf(expected, sizeof expected, "%s%zu", inversion_mark, i + 1);
    if (i == SETTINGS_INVERSIONS || strcmp(key, expected) ||
        (i && !out->inversions[i - 1].word))
        return wrong(p, key, value, i == SETTINGS_INVERSIONS ? "no more" : expected);
    char *path = strchr(value, ' ');
    if (path) *path++ = 0;
    if (!path || !*path || strlen(value) != 64 || strspn(value, "0123456789abcdef") != 64)
        return wrong(p, key, value, "a digest and a path");
    out->inversions[out->inversion_count++] =
        (struct tt_inversion_file){.path = path, .sha256 = value};
    return TT_OK;
}

static enum tt_status take(struct parser *p, char *key, char *value) {
    if (begins(key, inversion_mark)) return take_inversion(p, key, value);
    if (begins(key, lora_mark)) return take_lora(p, key, value);
    if (begins(key, option_mark)) {
        if (p->option_count == SETTINGS_OPTIONS)
            return wrong(p, key, value, "at most 16 settings of the scheduler");
        // "Scheduler eta\0 0.5" -> "eta=0.5": there is room, the value was further to the right.
        char *option = key + strlen(option_mark), *end = option + strlen(option);
        *end = '=';
        memmove(end + 1, value, strlen(value) + 1);
        p->out->options[p->option_count++] = option;
        return TT_OK;
    }
    for (int i = 0; i < KEYS; i++) {
        if (strcmp(key, keys[i].name)) continue;
        if (p->values[i]) return wrong(p, key, value, "it once");
        p->values[i] = value;
        return TT_OK;
    }
    return tt_fail(p->err, TT_BAD_INPUT,
                   "%s: settings: found key '%.80s', expected those of one picture of tintype",
                   p->name, key);
}

// Splits "key: value, key: value" in place.
static enum tt_status split(struct parser *p, char *line) {
    enum tt_status status = TT_OK;
    while (!status && *line) {
        char *key = line, *value = strstr(line, ": "), *end;
        if (!value) return wrong(p, "last line", key, "'key: value, ...'");
        *value = 0;
        value += 2;
        if (*value != '"') end = value + strcspn(value, ",");
        else if (!unquote(value, &end)) return wrong(p, key, value, "a JSON string");
        if (*end && strncmp(end, ", ", 2)) return wrong(p, key, end, "', ' after the value");
        line = *end ? end + 2 : end;
        *end = 0;
        status = take(p, key, value);
    }
    return status;
}

static enum tt_status number(struct parser *p, enum key key, double *out) {
    if (!p->values[key]) return TT_OK;
    struct tt_error why = {0};
    if (cli_number("", p->values[key], out, &why))
        return wrong(p, keys[key].name, p->values[key], "a finite number");
    return TT_OK;
}

static enum tt_status count(struct parser *p, enum key key, size_t *out) {
    if (!p->values[key]) return TT_OK;
    struct tt_error why = {0};
    if (cli_count("", p->values[key], CLI_COUNT_MOST, out, &why))
        return wrong(p, keys[key].name, p->values[key], "a whole number from 1");
    return TT_OK;
}

static enum tt_status pair(struct parser *p, enum key key, size_t *a, size_t *b) {
    char rest;
    if (!p->values[key]) return TT_OK;
    if (sscanf(p->values[key], "%9zux%9zu%c", a, b, &rest) == 2) return TT_OK;
    return wrong(p, keys[key].name, p->values[key], "two whole numbers, AxB");
}

// What SDXL was told.
static enum tt_status read_numbers(struct parser *p) {
    struct tt_settings *s = &p->out->with;
    enum tt_status status = pair(p, ORIGINAL, &s->original_width, &s->original_height);
    if (!status) status = pair(p, CROP, &s->crop_left, &s->crop_top);
    if (!status) status = pair(p, TARGET, &s->target_width, &s->target_height);
    if (!status)
        status = pair(p, NEGATIVE_ORIGINAL, &s->negative_original_width,
                      &s->negative_original_height);
    if (!status) status = pair(p, NEGATIVE_CROP, &s->negative_crop_left, &s->negative_crop_top);
    if (!status)
        status = pair(p, NEGATIVE_TARGET, &s->negative_target_width, &s->negative_target_height);
    if (!status) status = number(p, REFINE_FROM, &s->refine_from);
    if (!status) status = number(p, SCORE, &s->aesthetic_score);
    if (!status) status = number(p, NEGATIVE_SCORE, &s->negative_aesthetic_score);
    if (status || !p->values[REFINER]) return status;
    if (strlen(p->values[REFINER]) != TT_MODEL_HASH_SIZE - 1)
        return wrong(p, "Refiner hash", p->values[REFINER], "10 hexadecimal digits");
    strcpy(p->out->record.refiner, p->values[REFINER]);
    return TT_OK;
}

static enum tt_status read_file(struct parser *p, enum key key, enum key hash,
                                struct settings_file *file) {
    const char *path = p->values[key], *digest = p->values[hash];
    if (!path && !digest) return TT_OK;
    if (!path || !digest || strlen(digest) != TT_VIEW_DIGEST - 1)
        return wrong(p, keys[digest && path ? hash : path ? hash : key].name,
                     path && digest ? digest : "none", "a path, and 64 hexadecimal digits");
    file->path = path;
    strcpy(file->digest, digest);
    return TT_OK;
}

static enum tt_status choice(struct parser *p, enum key key, const char *const *words, int count,
                             int *out) {
    for (int i = 0; p->values[key] && i < count; i++)
        if (!strcmp(p->values[key], words[i])) {
            *out = i;
            return TT_OK;
        }
    return p->values[key] ? wrong(p, keys[key].name, p->values[key], "a word that is known there")
                          : TT_OK;
}

static enum tt_status read_picture(struct parser *p) {
    struct tt_settings *s = &p->out->with;
    struct settings_record *r = &p->out->record;
    enum tt_status status = read_file(p, IMAGE, IMAGE_HASH, &r->image);
    if (!status) status = read_file(p, MASK, MASK_HASH, &r->mask);
    if (!status)
        status = number(p, STRENGTH, r->image.path ? &s->strength : &s->upscale_strength);
    if (!status) status = choice(p, RESIZE, resize_words, 3, &s->resize);
    if (!status) status = number(p, MASK_BLUR, &s->mask_blur);
    double padding = -1;
    if (!status) status = number(p, PADDING, &padding);
    if (!status && p->values[PADDING] && !(padding >= 0 && padding <= TT_IMAGE_SIDE))
        status = wrong(p, "Masked area padding", p->values[PADDING], "pixels");
    s->inpaint_padding = (int)padding;
    if (!status) status = number(p, IMAGE_CFG, &s->image_guidance_scale);
    if (!status) status = number(p, HIRES_STRENGTH, &s->upscale_strength);
    if (!status) status = number(p, HIRES_UPSCALE, &s->upscale);
    return status ? status : choice(p, HIRES_UPSCALER, upscaler_words, 2, &s->upscale_in);
}

static enum tt_status read_values(struct parser *p) {
    struct settings_read *out = p->out;
    struct tt_settings *s = &out->with;
    char rest;
    enum tt_status status = count(p, STEPS, &s->steps);
    if (!status) status = number(p, CFG_SCALE, &s->guidance_scale);
    if (!status) status = number(p, CFG_RESCALE, &s->guidance_rescale);
    if (!status) status = number(p, CFG_START, &s->guidance_start);
    if (!status) status = number(p, CFG_STOP, &s->guidance_stop);
    if (!status) status = count(p, STRIP, &out->record.strip);
    if (!status) status = read_numbers(p);
    if (!status) status = count(p, CLIP_SKIP, &s->clip_skip);
    if (!status && s->clip_skip) s->clip_skip--;
    if (!status && p->values[PROMPT_SYNTAX] &&
        !syntax_find(p->values[PROMPT_SYNTAX], &s->prompt_syntax))
        status = wrong(p, "Prompt syntax", p->values[PROMPT_SYNTAX], "webui or compel");
    if (!status && out->inversion_count && !out->inversions[out->inversion_count - 1].word)
        status = wrong(p, "Embedding word", "none", "one");
    if (!status) status = read_picture(p);
    struct tt_error why = {0};
    if (!status && cli_seed("", p->values[SEED], &s->seed, &why))
        status = wrong(p, "Seed", p->values[SEED], "a whole number");
    if (!status && (sscanf(p->values[SIZE], "%9zux%9zu%c", &s->width, &s->height, &rest) != 2 ||
                    !s->width || !s->height))
        status = wrong(p, "Size", p->values[SIZE], "WIDTHxHEIGHT");
    if (!status && strlen(p->values[HASH]) != TT_MODEL_HASH_SIZE - 1)
        status = wrong(p, "Model hash", p->values[HASH], "10 hexadecimal digits");
    if (!status) strcpy(out->record.hash, p->values[HASH]);
    if (!status && p->values[CONVOLUTION] && strcmp(p->values[CONVOLUTION], "direct"))
        status = wrong(p, "Convolution", p->values[CONVOLUTION], "direct");
    out->record.direct = p->values[CONVOLUTION] != NULL;
    s->scheduler = p->values[SAMPLER];
    s->scheduler_options = out->options;
    snprintf(out->version, sizeof out->version, "%s", p->values[VERSION] + strlen("tintype "));
    return status;
}

// text is prompt and negative prompt, without the last line.
static enum tt_status read_prompts(struct parser *p, char *text) {
    size_t lines = 0;
    enum tt_status status = count(p, PROMPT_LINES, &lines);
    if (status) return status;
    char *mark = text;
    if (lines) {
        for (; mark && lines; lines--) mark = (mark = strchr(mark, '\n')) ? mark + 1 : NULL;
        if (lines || (mark && !begins(mark, negative_mark)))
            return wrong(p, "Prompt lines", p->values[PROMPT_LINES], "the lines of the prompt");
    } else {
        mark = (char *)find_mark(text);
    }
    if (mark) {
        p->out->with.negative = mark + strlen(negative_mark);
        if (mark > text) mark[-1] = 0;
    }
    p->out->with.prompt = text;
    return mark == text ? wrong(p, "prompt", text, "a line before the negative prompt")
                                : TT_OK;
}

static bool is_utf8(const char *text) {
    int32_t character;
    size_t bytes;
    while (*text && cli_character(text, SIZE_MAX, &character, &bytes)) text += bytes;
    return !*text;
}

enum tt_status settings_parse(const char *name, const char *text, struct settings_read *out,
                              struct tt_error *err) {
    struct parser p = {.name = name, .out = out, .err = err};
    *out = (struct settings_read){0};
    tt_settings_defaults(&out->with, sizeof out->with);
    if (!is_utf8(text))
        return tt_fail(err, TT_BAD_INPUT, "%s: settings: found no valid UTF-8", name);
    if (!(out->memory = strdup(text))) return tt_fail(err, TT_SYSTEM, "out of memory");
    char *line = strrchr(out->memory, '\n');
    enum tt_status status = TT_OK;
    if (!line || !begins(line + 1, "Steps: "))
        status = wrong(&p, "last line", line ? line + 1 : out->memory, "'Steps: ...'");
    if (!status) {
        *line++ = 0;
        status = split(&p, line);
    }
    for (int i = 0; !status && i < KEYS; i++)
        if (keys[i].needed && !p.values[i]) status = wrong(&p, keys[i].name, "none", "a value");
    if (!status && !begins(p.values[VERSION], "tintype "))
        status = wrong(&p, "Version", p.values[VERSION], "tintype ...");
    if (!status) status = read_values(&p);
    if (!status) status = read_prompts(&p, out->memory);
    if (status) settings_free(out);
    return status;
}

void settings_free(struct settings_read *s) {
    free(s->memory);
    *s = (struct settings_read){0};
}
