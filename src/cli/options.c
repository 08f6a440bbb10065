// SPDX-License-Identifier: MIT
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

enum { MOST_OPTIONS = 48, FIRST_CODE = 256 };

enum tt_status cli_count(const char *option, const char *text, size_t *out, struct tt_error *err) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || value == 0 || value > 1u << 30)
        return tt_fail(err, TT_BAD_INPUT, "--%s: found '%s', expected a whole number from 1 to %u",
                       option, text, 1u << 30);
    *out = (size_t)value;
    return TT_OK;
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

static enum tt_status take(const struct cli_option *option, const char *text,
                           struct tt_error *err) {
    switch (option->type) {
    case CLI_FLAG: *(bool *)option->target = true; return TT_OK;
    case CLI_TEXT: *(const char **)option->target = text; return TT_OK;
    case CLI_COUNT: return cli_count(option->name, text, option->target, err);
    case CLI_NUMBER: return cli_number(option->name, text, option->target, err);
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

static void print_help(const struct cli *cli, const struct cli_option *const *all, int count) {
    printf("usage: tintype %s %s\n\n", cli->verb, cli->usage);
    for (int i = 0; i < count; i++) {
        char left[64], letter[8] = "    ";
        if (all[i]->letter) snprintf(letter, sizeof letter, "-%c, ", all[i]->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, all[i]->name,
                 all[i]->argument ? " " : "", all[i]->argument ? all[i]->argument : "");
        printf("  %-32s %s\n", left, all[i]->help);
    }
}

enum tt_status cli_parse(struct cli *cli, const struct cli_option *options, int argc, char **argv,
                         const char **words, int count) {
    const struct cli_option common[] = {
        {"threads", 0, CLI_COUNT, "N", "threads to use", &cli->threads},
        {"cpu", 0, CLI_TEXT, "NAME", "use no more than this instruction set", &cli->cpu},
        {"json", 0, CLI_FLAG, NULL, "print one JSON object", &cli->json},
        {"quiet", 0, CLI_FLAG, NULL, "no progress, no notes", &cli->quiet},
        {"help", 'h', CLI_FLAG, NULL, "this text", &cli->help},
        {0},
    };
    const struct cli_option *all[MOST_OPTIONS];
    struct option names[MOST_OPTIONS + 1] = {0};
    char letters[2 * MOST_OPTIONS + 2] = ":", *end = letters + 1;
    int known = 0;
    for (int table = 0; table < 2; table++)
        for (const struct cli_option *o = table ? common : options; o->name; o++) {
            all[known] = o;
            names[known] = (struct option){o->name, o->type != CLI_FLAG, NULL, FIRST_CODE + known};
            if (o->letter) *end++ = o->letter;
            if (o->letter && o->type != CLI_FLAG) *end++ = ':';
            known++;
        }
    optind = 1;
    opterr = 0;
    for (int code; (code = getopt_long(argc, argv, letters, names, NULL)) != -1;) {
        const char *given = argv[optind - 1];
        if (code == '?')
            return tt_fail(&cli->error, TT_BAD_INPUT,
                           "unknown option '%s'; see 'tintype %s --help'", given, cli->verb);
        if (code == ':')
            return tt_fail(&cli->error, TT_BAD_INPUT, "option '%s' needs a value", given);
        int i = code - FIRST_CODE;
        for (int j = 0; code < FIRST_CODE && j < known; j++)
            if (all[j]->letter == code) i = j;
        enum tt_status status = take(all[i], optarg, &cli->error);
        if (status) return status;
    }
    if (cli->help) {
        print_help(cli, all, known);
        return TT_OK;
    }
    if (argc - optind != count)
        return tt_fail(&cli->error, TT_BAD_INPUT, "usage: tintype %s %s", cli->verb, cli->usage);
    for (int i = 0; i < count; i++) words[i] = argv[optind + i];
    return TT_OK;
}

enum tt_status cli_options(struct cli *cli, const struct cli_option *options, int argc, char **argv,
                           const char **words, int count) {
    enum tt_status status = cli_parse(cli, options, argc, argv, words, count);
    return status || cli->help ? status : cli_open_engine(cli);
}
