// SPDX-License-Identifier: MIT
#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

enum { MOST_OPTIONS = 96, FIRST_CODE = 256, DEFAULT_SIZE = 32 };

enum tt_status cli_count(const char *option, const char *text, size_t most, size_t *out,
                         struct tt_error *err) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || value == 0 || value > most)
        return tt_fail(err, TT_BAD_INPUT, "--%s: found '%s', expected a whole number from 1 to %zu",
                       option, text, most);
    *out = (size_t)value;
    return TT_OK;
}

// What counts may be at most, where that is less or more than CLI_COUNT_MOST.
static const struct {
    const char *verb, *name; // verb NULL: of every other
    size_t most;
} counts[] = {
    {"generate", "count", 100000},
    {"profile generate", "count", 1000},
    {"bench", "repeat", 100000},
    {"schedulers", "steps", 10000}, // a dot is drawn for each
    {"scenes", "captions", 1000},
    {"scenes", "pixels", 4096},
    {"profile", "repeat", 100000},
    {NULL, "width", TT_IMAGE_SIDE},
    {NULL, "height", TT_IMAGE_SIDE},
    {NULL, "strip", TT_IMAGE_SIDE},
    {NULL, "batch", TT_IMAGE_SIDE},
};

static size_t most_of(const char *verb, const char *name) {
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (!strcmp(name, counts[i].name) && (!counts[i].verb || !strcmp(verb, counts[i].verb)))
            return counts[i].most;
    return CLI_COUNT_MOST;
}

enum tt_status cli_number(const char *option, const char *text, double *out, struct tt_error *err) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !isfinite(value))
        return tt_fail(err, TT_BAD_INPUT, "--%s: found '%s', expected a finite number", option,
                       text);
    *out = value;
    return TT_OK;
}

enum tt_status cli_number_in(const char *option, const char *text, double least, double most,
                             double *out, struct tt_error *err) {
    double value = 0;
    enum tt_status status = cli_number(option, text, &value, err);
    if (status) return status;
    if (!(value >= least && value <= most))
        return tt_fail(err, TT_BAD_INPUT, "--%s: found '%s', expected %g to %g", option, text,
                       least, most);
    *out = value;
    return TT_OK;
}

enum tt_status cli_whole(const char *option, const char *text, uint64_t *out,
                         struct tt_error *err) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno)
        return tt_fail(err, TT_BAD_INPUT,
                       "--%s: found '%s', expected a whole number from 0 to 18446744073709551615",
                       option, text);
    *out = value;
    return TT_OK;
}

enum tt_status cli_seed(const char *option, const char *text, uint64_t *out, struct tt_error *err) {
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (*text == '-' && text[1] >= '0' && text[1] <= '9' && !*end && !errno) {
        *out = (uint64_t)value;
        return TT_OK;
    }
    if (!cli_whole(option, text, out, NULL)) return TT_OK;
    return tt_fail(err, TT_BAD_INPUT, "--%s: found '%s', expected a whole number from "
                   "-9223372036854775808 to 18446744073709551615", option, text);
}

// What the options may be that take a number with a fraction.
static const struct range {
    const char *name;
    double least, most;
} ranges[] = {
    {"guidance-scale", -TT_GUIDANCE_MOST, TT_GUIDANCE_MOST},
    {"guidance-rescale", 0, 1},
    {"refine-from", 0, 1},
    {"aesthetic-score", -1000, 1000},
    {"negative-aesthetic-score", -1000, 1000},
    {"image-guidance-scale", 0, TT_GUIDANCE_MOST},
    {"strength", 0, 1},
    {"upscale-strength", 0, 1},
    {"upscale", 1, 16},
    {"mask-blur", 0, 1024},
    {"factor", 0, 1e30},
    {"rtol", 0, 1e30},
    {"atol", 0, 1e30},
    {"drift", 0, 1e30},
    {"min-psnr", 0, 1000},
    {"limit", 0, 1e6},
};

static const struct range *range_of(const char *name) {
    size_t i = 0;
    while (strcmp(ranges[i].name, name)) i++; // an option without a range is a mistake here
    return &ranges[i];
}

static enum tt_status take(const char *verb, const struct cli_option *option, const char *text,
                           struct tt_error *err) {
    switch (option->type) {
    case CLI_FLAG: *(bool *)option->target = true; return TT_OK;
    case CLI_TEXT: case CLI_ONCE: *(const char **)option->target = text; return TT_OK;
    case CLI_COUNT:
        return cli_count(option->name, text, most_of(verb, option->name), option->target, err);
    case CLI_NUMBER: {
        const struct range *range = range_of(option->name);
        return cli_number_in(option->name, text, range->least, range->most, option->target, err);
    }
    case CLI_WHOLE: return cli_whole(option->name, text, option->target, err);
    case CLI_SEED: return cli_seed(option->name, text, option->target, err);
    case CLI_LIST: {
        struct cli_list *list = option->target;
        if (list->count == CLI_LIST_MOST)
            return tt_fail(err, TT_BAD_INPUT, "--%s: given more than %d times", option->name,
                           CLI_LIST_MOST);
        list->item[list->count++] = text;
    }
    }
    return TT_OK;
}

// getopt takes the beginning of an option for all of it. What a script abbreviates today is
// ambiguous, or another option, when one more is added.
static bool is_whole(const char *word, const struct cli_option *option) {
    size_t length = strlen(option->name);
    return !strncmp(word, "--", 2) && !strncmp(word + 2, option->name, length) &&
           (!word[2 + length] || word[2 + length] == '=');
}

static enum tt_status unknown(struct cli *cli, const char *word) {
    return tt_fail(&cli->error, TT_BAD_INPUT, "unknown option '%s'; see 'tintype %s --help'", word,
                   cli->verb);
}

// The option that getopt has found, by its code: whole, of this table, with or without a value as
// it wants. *option stays NULL for what is no option.
static enum tt_status look_up(struct cli *cli, const struct cli_option *const *all, int known,
                              int code, char **argv, const struct cli_option **option) {
    bool failed = code == '?' || code == ':';
    int meant = failed ? optopt : code, i = meant - FIRST_CODE;
    for (int j = 0; meant < FIRST_CODE && j < known; j++)
        if (meant && all[j]->letter == meant) i = j;
    const char *word = argv[optind - 1];
    if (!failed && optarg == word) word = argv[optind - 2]; // its value is a word of its own
    if (i < 0 || i >= known) return unknown(cli, word);
    if (meant >= FIRST_CODE && !is_whole(word, all[i])) return unknown(cli, word);
    if (code == ':')
        return tt_fail(&cli->error, TT_BAD_INPUT, "option '%s' needs a value", word);
    if (code == '?')
        return tt_fail(&cli->error, TT_BAD_INPUT, "option '%s' takes no value", word);
    *option = all[i];
    return TT_OK;
}

// What the option is when it is not given; nothing when its help has the word for that.
static void default_of(const struct cli_option *option, char *text) {
    const void *target = option->target;
    *text = '\0';
    switch (option->type) {
    case CLI_TEXT: case CLI_ONCE: {
        const char *word = *(const char *const *)target;
        if (word) snprintf(text, DEFAULT_SIZE, "%s", word);
        return;
    }
    case CLI_COUNT: {
        size_t count = *(const size_t *)target;
        if (count) snprintf(text, DEFAULT_SIZE, "%zu", count);
        return;
    }
    case CLI_NUMBER: {
        double number = *(const double *)target;
        if (!isnan(number)) snprintf(text, DEFAULT_SIZE, "%g", number);
        return;
    }
    case CLI_WHOLE: case CLI_SEED: {
        uint64_t seed = *(const uint64_t *)target;
        if (seed != UINT64_MAX) snprintf(text, DEFAULT_SIZE, "%llu", (unsigned long long)seed);
        return;
    }
    default: return;
    }
}

static void print_help(const struct cli *cli, const struct cli_option *const *all, int count,
                       char (*defaults)[DEFAULT_SIZE]) {
    printf("usage: tintype %s %s\n\n", cli->verb, cli->usage);
    for (int i = 0; i < count; i++) {
        char left[64], letter[8] = "    ";
        if (all[i]->letter) snprintf(letter, sizeof letter, "-%c, ", all[i]->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, all[i]->name,
                 all[i]->argument ? " " : "", all[i]->argument ? all[i]->argument : "");
        printf("  %-32s %s", left, all[i]->help);
        if (*defaults[i]) printf(" (default %s)", defaults[i]);
        if (all[i]->type == CLI_NUMBER) {
            const struct range *range = range_of(all[i]->name);
            printf("; %g to %g", range->least, range->most);
        }
        putchar('\n');
    }
    if (cli->more_help) printf("\n%s", cli->more_help);
}

// The last value of an option counts, so that wrappers can have defaults; but of two prompts one
// would be lost.
static enum tt_status once(struct cli *cli, const struct cli_option *const *all,
                           const struct cli_option *option, bool *given) {
    size_t i = 0;
    while (all[i] != option) i++;
    if (given[i] && option->type == CLI_ONCE)
        return tt_fail(&cli->error, TT_BAD_INPUT, "--%s: given twice", option->name);
    given[i] = true;
    return TT_OK;
}

enum tt_status cli_parse(struct cli *cli, const struct cli_option *options, int argc, char **argv,
                         const char **words, int count) {
    const struct cli_option common[] = {
        {"threads", 0, CLI_COUNT, "N", "threads to use; default: one for each processor",
         &cli->threads},
        {"cpu", 0, CLI_TEXT, "NAME", "use no more than this instruction set; default: all it has",
         &cli->cpu},
        {"json", 0, CLI_FLAG, NULL, "print one JSON object", &cli->json},
        {"quiet", 0, CLI_FLAG, NULL, "no progress, no notes, no names of what was written",
         &cli->quiet},
        {"help", 'h', CLI_FLAG, NULL, "this text", &cli->help},
        {0},
    };
    const unsigned needs[] = {CLI_TAKES_THREADS, CLI_TAKES_CPU, 0, 0, 0}; // of common
    const struct cli_option *all[MOST_OPTIONS];
    struct option names[MOST_OPTIONS + 1] = {0};
    char letters[2 * MOST_OPTIONS + 2] = ":", *end = letters + 1;
    char defaults[MOST_OPTIONS][DEFAULT_SIZE];
    bool given[MOST_OPTIONS] = {false};
    int known = 0;
    static const struct cli_option none[] = {{0}};
    const struct cli_option *more = cli->watcher ? cli->watcher->options : none;
    for (int table = 0; table < 3; table++)
        for (const struct cli_option *o = table == 0 ? options : table == 1 ? more : common;
             o->name; o++) {
            if (table == 2 && (needs[o - common] & ~cli->takes)) continue;
            assert(known < MOST_OPTIONS);
            all[known] = o;
            default_of(o, defaults[known]);
            names[known] = (struct option){o->name, o->type != CLI_FLAG, NULL, FIRST_CODE + known};
            if (o->letter) *end++ = o->letter;
            if (o->letter && o->type != CLI_FLAG) *end++ = ':';
            known++;
        }
    optind = 1;
    opterr = 0;
    for (int code; (code = getopt_long(argc, argv, letters, names, NULL)) != -1;) {
        const struct cli_option *option = NULL;
        enum tt_status status = look_up(cli, all, known, code, argv, &option);
        if (!status) status = once(cli, all, option, given);
        if (!status) status = take(cli->verb, option, optarg, &cli->error);
        if (status) return status;
    }
    if (cli->help) {
        print_help(cli, all, known, defaults);
        return TT_OK;
    }
    for (int i = 0; cli->lone && argc - optind == count + 1 && i < known; i++) {
        if (strcmp(all[i]->name, cli->lone)) continue;
        enum tt_status status = once(cli, all, all[i], given);
        if (!status) status = take(cli->verb, all[i], argv[argc - 1], &cli->error);
        if (status) return status;
        argc--;
    }
    if (argc - optind > count || argc - optind < count - cli->fewer)
        return tt_fail(&cli->error, TT_BAD_INPUT, "usage: tintype %s %s", cli->verb, cli->usage);
    for (int i = 0; i < count; i++) words[i] = optind + i < argc ? argv[optind + i] : NULL;
    return TT_OK;
}
