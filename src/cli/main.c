// SPDX-License-Identifier: MIT
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static const struct cli_verb verbs[] = {
    {"generate", "TEXT [OPTION]...", "draw a picture from a text", cli_generate, CLI_COMPUTES,
     "prompt"},
    {"encode", "IMAGE -o Z.safetensors [OPTION]...", "a picture to latents", cli_encode,
     CLI_COMPUTES, NULL},
    {"grid", "TEXT --x NAME=V,V,... --y NAME=V,V,... [OPTION]...",
     "a sheet of pictures, two settings varied", cli_grid, CLI_COMPUTES, "prompt"},
    {"noise", "IMAGE (-t T | --strip N) -o OUT.png [OPTION]...",
     "the forward process on a picture", cli_noise, CLI_COMPUTES, NULL},
    {"decode", "Z.safetensors -o OUT.png [OPTION]...", "latents to a picture", cli_decode,
     CLI_COMPUTES, NULL},
    {"tokenize", "TEXT [OPTION]...", "the tokens of a text", cli_tokenize, 0, NULL},
    {"info", "[MODEL | --check PATH] [OPTION]...",
     "what a model folder holds, or the built-in model; what is wrong with any file", cli_info,
     0, "model"},
    {"kernels", "[OPTION]...", "the kernels and the variants this machine runs", cli_kernels,
     CLI_TAKES_CPU, NULL},
    {"schedulers", "[OPTION]...", "the schedulers and their diffusers classes", cli_schedulers,
     CLI_TAKES_CPU, NULL},
    {"profile", "--part PART [OPTION]... | generate TEXT [OPTION]... | diff A.json B.json",
     "where the time goes, node by node", cli_profile, CLI_COMPUTES, NULL},
    {"bench", "(--roof | PROBLEM | --from RECORDING NODE) [OPTION]...",
     "one node alone, beside what the machine can do", cli_bench, CLI_COMPUTES, "problem"},
    {"verify", "-m MODEL RECORDING [OPTION]... | A.safetensors B.safetensors",
     "compare every module with a recording of them", cli_verify, CLI_COMPUTES, "with"},
    {"compare", "A.png B.png [-o DIFF.png] [OPTION]...", "how two pictures differ", cli_compare, 0,
     NULL},
    {"record", "TEXT -o RECORDING [OPTION]...", "draw a picture and record what every module gives",
     cli_record, CLI_COMPUTES, "prompt"},
    {"scenes", "-o DIR [OPTION]...", "draw a captioned data set to train on", cli_scenes,
     CLI_TAKES_THREADS, NULL},
    {"train", "--data DIR -o FOLDER [OPTION]...", "train a model on captioned pictures", cli_train,
     CLI_COMPUTES, NULL},
    {"plot", "train.jsonl -o OUT.svg [OPTION]...", "draw what a training run logged", cli_plot, 0,
     NULL},
};

enum { VERBS = sizeof verbs / sizeof *verbs };

static void usage(FILE *to) {
    fputs("usage: tintype VERB [OPTION]...\n\n", to);
    for (int i = 0; i < VERBS; i++) fprintf(to, "  %-12s %s\n", verbs[i].name, verbs[i].summary);
    fputs("\n'tintype help VERB' tells the options of a verb; 'tintype --version' the version.\n"
          "To begin with: tintype generate \"a castle at night\"\n", to);
}

static void print_error(const char *verb, const char *message) {
    fprintf(stderr, "tintype %s: ", verb);
    cli_print(stderr, message);
    fputc('\n', stderr);
}

// Descriptors 0 to 2 that were closed are taken by what fails when it is used: else the next file
// that is opened would become standard output, and a note land in it.
static bool hold_standard_streams(void) {
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_PATH) != fd)
            return false;
    return true;
}

static int run(const struct cli_verb *verb, int argc, char **argv) {
    struct cli cli = {.takes = verb->takes, .lone = verb->lone, .verb = verb->name,
                      .usage = verb->usage};
    cli_catch_signals();
    if (!cli_expect_return()) return TT_SYSTEM;
    enum tt_status status = tt_files_new(cli_cancelled, NULL, &cli.files, &cli.error);
    if (!status) status = verb->run(&cli, argc, argv);
    cli_returned();
    if (status) print_error(cli.verb, cli.error.message);
    cli_free_loras(&cli);
    tt_engine_free(cli.engine);
    tt_files_free(cli.files);
    json_decref(cli.notes);
    json_decref(cli.written);
    return status == TT_CANCELLED && cli_signal() ? 128 + cli_signal() : (int)status;
}

static int choose(int argc, char **argv) {
    if (argc < 2) {
        usage(stderr);
        return TT_BAD_INPUT;
    }
    if (!strcmp(argv[1], "--version")) {
        puts("tintype " TT_VERSION);
        return TT_OK;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        usage(stdout);
        return TT_OK;
    }
    char *help[] = {argv[1], "--help", NULL};
    bool asked = !strcmp(argv[1], "help");
    if (asked && argc == 2) {
        usage(stdout);
        return TT_OK;
    }
    const char *verb = argv[asked ? 2 : 1];
    for (int i = 0; i < VERBS; i++)
        if (!strcmp(verb, verbs[i].name))
            return asked ? run(&verbs[i], 2, help) : run(&verbs[i], argc - 1, argv + 1);
    fputs("tintype: unknown verb '", stderr);
    cli_print(stderr, verb);
    fputs("'\n\n", stderr);
    usage(stderr);
    return TT_BAD_INPUT;
}

int main(int argc, char **argv) {
    if (!hold_standard_streams()) return TT_SYSTEM;
    signal(SIGPIPE, SIG_IGN); // a pipe nobody reads is a write that fails
    int status = choose(argc, argv);
    // What was printed has been done when it is out: a full disk may show only now.
    errno = 0;
    if ((fflush(stdout) || ferror(stdout)) && (status == TT_OK || status == TT_MISMATCH)) {
        fprintf(stderr, "tintype: standard output: cannot write%s%s\n", errno ? ": " : "",
                errno ? strerror(errno) : "");
        return TT_SYSTEM;
    }
    return status;
}
