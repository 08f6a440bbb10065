// SPDX-License-Identifier: MIT
// What the verbs share: options, the engine they run on, output. The command line is made of the
// public interface alone.
#ifndef TT_CLI_H
#define TT_CLI_H

#include <jansson.h>
#include <stdio.h>

#include "tintype.h"

enum cli_type {
    CLI_FLAG, CLI_TEXT, CLI_COUNT, CLI_NUMBER, CLI_WHOLE, CLI_SEED, CLI_LIST,
    CLI_ONCE // a text that must not be given again; of the others the last one counts
};

// A list option may be given several times; NULL ends it.
enum { CLI_LIST_MOST = 16 };
struct cli_list {
    const char *item[CLI_LIST_MOST + 1];
    int count;
};

// One option of a verb; a table ends with a zeroed entry. target points at a bool, const char *,
// size_t (at least 1), double, uint64_t (CLI_SEED: a negative one counts back from 2^64) or struct
// cli_list.
struct cli_option {
    const char *name; // "steps" for --steps
    char letter;      // 's' for -s, or 0
    enum cli_type type;
    const char *argument; // what help calls the value
    const char *help;
    void *target;
};

// Who looks on while a verb draws pictures: `profile generate`.
struct cli_watcher {
    const struct cli_option *options; // further ones that the verb takes
    void *context;
    // The request is checked, nothing is drawn yet.
    enum tt_status (*opened)(void *context, struct tt_session *session,
                             const struct tt_settings *with, const char *scheduler);
    // What begins now: "text", "step" and which (from 1), "preview", "decode", "png"; or NULL.
    void (*stage)(void *context, const char *name, size_t step);
    void (*closing)(void *context); // the session ends; also after an error
};

// The LoRAs of the model that a verb opens: as --lora names them, and read. shown: the path that
// pictures carry, where it is another than the file's; NULL: it is not.
struct cli_loras {
    struct cli_list given;
    struct tt_lora lora[TT_LORAS];
    char *shown[TT_LORAS];
    size_t count;
};

// The options that every verb takes, and what follows from them.
struct cli {
    unsigned takes; // what of the verb's struct cli_verb
    const char *lone;
    size_t threads; // --threads; 0: not given
    const char *cpu, *conv, *variant, *weights, *vae, *unet, *config, *prediction;
    struct cli_loras loras;
    bool json, quiet, help;
    int fewer;             // of a verb's words so many may be missing, which are NULL then
    const char *more_help; // stands below the options; may be NULL
    bool every_node; // set by verbs that look at each (tt_engine_settings)
    const struct cli_watcher *watcher; // NULL: nobody
    struct tt_engine *engine;
    const char *verb, *usage; // of the verb, for messages
    json_t *notes;            // what was said so far, each text once
    struct tt_files *files;   // what is read and written
    bool uses_stdout;         // an output goes there
    json_t *written;          // names of what was written so far
    struct cli_progress *bar; // that notes do not stand in the middle of; NULL: none
    struct tt_error error;
};

// Which of the options that are not its own a verb has a use for, beside --json, --quiet, --help.
enum { CLI_TAKES_CPU = 1, CLI_TAKES_THREADS = 2, CLI_COMPUTES = CLI_TAKES_CPU | CLI_TAKES_THREADS };

struct cli_verb {
    const char *name, *usage, *summary;
    enum tt_status (*run)(struct cli *cli, int argc, char **argv);
    unsigned takes;
    const char *lone; // the option that a single word stands for; NULL: none
};

// Reads argv[1...] against the verb's table and the common options and leaves the words that are no
// options in words[0...count). Exactly `count` words are required, or one more that stands for the
// verb's lone option. What an option's target holds before is its default, which help tells; NULL,
// 0 for a count, UINT64_MAX for a seed and NaN for a number are none. Returns TT_BAD_INPUT with the
// error set; TT_OK with cli->help set when help was printed and the verb is done.
enum tt_status cli_parse(struct cli *cli, const struct cli_option *options, int argc, char **argv,
                         const char **words, int count);

// The same, and opens the engine.
enum tt_status cli_options(struct cli *cli, const struct cli_option *options, int argc, char **argv,
                           const char **words, int count);

// The option of the verbs that run networks.
#define CLI_CONV(cli) \
    {"conv", 0, CLI_TEXT, "HOW", "convolutions: auto or direct; default: auto", \
     &(cli)->conv}

// The options of the verbs that open a model.
#define CLI_VARIANT(cli) \
    {"variant", 0, CLI_TEXT, "NAME", \
     "which weights: NAME.safetensors as fp16, bf16, non_ema; default: those without", \
     &(cli)->variant}, \
    {"config", 0, CLI_TEXT, "FOLDER", \
     "of a model that is one file: configurations and tokenizer; default: its family's", \
     &(cli)->config}, \
    {"prediction-type", 0, CLI_TEXT, "TYPE", \
     "what the U-Net predicts: epsilon, v_prediction or sample; default: as the model says", \
     &(cli)->prediction}

// The option of the verbs that hold a model's weights.
#define CLI_WEIGHTS(cli) \
    {"weights", 0, CLI_TEXT, "HOW", \
     "in memory: stored, as in their files, or f32; the bits are the same; default: stored", \
     &(cli)->weights}

// The option of the verbs that use an autoencoder.
#define CLI_VAE(cli) \
    {"vae", 0, CLI_TEXT, "PATH", \
     "another autoencoder: AutoencoderTiny (TAESD) or AutoencoderKL; default: the model's own", \
     &(cli)->vae}

// The options of the verbs that use both networks.
#define CLI_NETWORKS(cli) \
    CLI_VAE(cli), \
    {"unet", 0, CLI_TEXT, "PATH", "another U-Net, a folder or a file; default: the model's own", \
     &(cli)->unet}

// The option of the verbs that run a text encoder or U-Net.
#define CLI_LORA(cli) \
    {"lora", 0, CLI_LIST, "FILE[:W]", \
     "a LoRA that counts W times (default 1); again for more; default: none", \
     &(cli)->loras.given}

// A LoRA more for the models that are opened next; sha256: that the file must have, or NULL; shown:
// see struct cli_loras.
enum tt_status cli_add_lora(struct cli *cli, const struct tt_lora *lora, const char *shown);
// Those of --lora, which is then empty; opening a model does it. main() frees them.
enum tt_status cli_take_loras(struct cli *cli);
void cli_free_loras(struct cli *cli);

// The engine that the common options ask for; main() frees it.
enum tt_status cli_open_engine(struct cli *cli);

// The model folder (NULL: built in) on that engine, in the variant, with the autoencoder and
// with the LoRAs that were asked for.
enum tt_status cli_open_model(struct cli *cli, const char *path, struct tt_model **model);
// The same with a session on it, which holds the model.
enum tt_status cli_open_session(struct cli *cli, const char *path, struct tt_session **session,
                                struct tt_model **model);
// The same for a further model beside the verb's own, which alone the options are about; but
// --weights, and where it is to draw alike, --variant and --vae, are about both.
enum tt_status cli_open_beside(struct cli *cli, const char *path, bool alike,
                               struct tt_session **session, struct tt_model **model);

// Says on standard error, once, what was cut, ignored or assumed (not with --quiet); --json has it,
// too. As callbacks of the library want it: context is the struct cli.
void cli_note(void *context, const char *text);

// Text of files or users, which may hold anything: control characters (C0, DEL, C1, line and
// paragraph separators, changes of direction) and bytes that are no valid UTF-8 become '?', so that
// a terminal does not take them for commands.
void cli_print(FILE *to, const char *text);
// The character at text, of size bytes at most (SIZE_MAX: up to its zero), and how many it takes;
// false, and one byte, when it is no valid UTF-8.
bool cli_character(const char *text, size_t size, int32_t *character, size_t *bytes);
// Whether the character at text is shown as it is, and how many bytes it takes.
bool cli_is_shown(const char *text, size_t *bytes);
// A JSON string of such a text; bytes that are no valid UTF-8 become U+FFFD. NULL without memory.
json_t *cli_json_text(const char *text);
// A number, null where it is not finite; the sizes of a shape.
json_t *cli_json_real(double value);
json_t *cli_json_shape(const struct tt_shape *shape);

// The JSON object in the file at path, read whole: at most 100,000,000 bytes, no key twice.
// TT_BAD_INPUT names the file and what is wrong with it.
enum tt_status cli_read_json(struct cli *cli, const char *path, json_t **root);

// Prints what --json gives, with "notes" where something was noted, and drops root. TT_SYSTEM when
// root is NULL: it could not be made.
enum tt_status cli_print_json(struct cli *cli, json_t *root, size_t flags);

// An output that the command line names, "-" for standard output, asked for before the work:
// TT_BAD_INPUT when it could not be written, is read, or its name asks for another format.
enum tt_status cli_plan(struct cli *cli, const char *path);
enum tt_status cli_plan_picture(struct cli *cli, const char *path);
enum tt_status cli_plan_latents(struct cli *cli, const char *path);
enum tt_status cli_plan_chart(struct cli *cli, const char *path);
// Whether that is standard output.
bool cli_is_standard_output(const char *path);
// Writes it, unless the command was stopped. A picture is in the format that the name asks for.
enum tt_status cli_write(struct cli *cli, const char *path, const void *data, size_t size);
enum tt_status cli_write_picture(struct cli *cli, const char *path, const struct tt_image *image,
                                 const char *settings);
// The same for what a command that was stopped has done so far, which is kept: a picture; latents,
// float32, as a tensor "latents" of that shape.
enum tt_status cli_keep_picture(struct cli *cli, const char *path, const struct tt_image *image,
                                const char *settings);
enum tt_status cli_keep_latents(struct cli *cli, const char *path, const float *latents,
                                 const struct tt_shape *shape);

// What a verb has written (a file, a folder) is told: its name is a line of standard output, or of
// standard error while an output goes to the former. Not with --quiet; with --json see
// cli_print_written().
void cli_written(struct cli *cli, const char *path);
// With --json: {"files": [...]}, for verbs that have nothing else to say.
enum tt_status cli_print_written(struct cli *cli);

// The parts of models in words: "text, unet, vae-encode or vae-decode".
const char *cli_parts(void);
// The value of --part (NULL: it was not given); an error lists the parts.
enum tt_status cli_part(struct cli *cli, const char *name, int *part);

// SIGINT (Ctrl-C), SIGTERM, SIGHUP, SIGQUIT and SIGXCPU set a flag. The engine looks at it before
// every node; a verb asks before it writes a file, and in loops of its own. The signal's number, 0
// for none; whether there was one, as callbacks of the library want it; TT_CANCELLED with the error
// set when there was.
void cli_catch_signals(void);
int cli_signal(void);
int cli_cancelled(void *context);
enum tt_status cli_go_on(struct cli *cli);

// Between the two, an exit() that a library calls ends the program with exit status 3.
bool cli_expect_return(void);
void cli_returned(void);

// From here on a mapped file that is cut short ends the program with exit status 3 and a message.
void cli_catch_lost_pages(void);

// Strict readings of a whole text; an error names the option, what was found and expected.
enum { CLI_COUNT_MOST = 1000000 }; // where an option has no bound of its own
enum tt_status cli_count(const char *option, const char *text, size_t most, size_t *out,
                         struct tt_error *err);
enum tt_status cli_number(const char *option, const char *text, double *out, struct tt_error *err);
enum tt_status cli_number_in(const char *option, const char *text, double least, double most,
                             double *out, struct tt_error *err);
enum tt_status cli_whole(const char *option, const char *text, uint64_t *out, struct tt_error *err);
// As torch.Generator().manual_seed() takes it: from -2^63 on, -1 meaning 2^64 - 1.
enum tt_status cli_seed(const char *option, const char *text, uint64_t *out, struct tt_error *err);

// Seconds on a clock that only goes forward.
double cli_seconds(void);

// How far a run is, on standard error: what, step of steps, seconds a step, time left. A line that
// changes on a terminal; else a line each CLI_PROGRESS_SECONDS. Nothing with --quiet. To be zeroed
// before the first cli_progress_begin().
enum { CLI_PROGRESS_SECONDS = 5 };
struct cli_progress {
    const struct cli *cli;
    const char *what;
    double started, told;
    char more[96]; // stands behind the rest
};
void cli_progress_begin(struct cli_progress *p, const struct cli *cli, const char *what);
void cli_progress_step(struct cli_progress *p, size_t step, size_t steps);
void cli_progress_end(struct cli_progress *p);

enum tt_status cli_generate(struct cli *cli, int argc, char **argv);
enum tt_status cli_grid(struct cli *cli, int argc, char **argv);
enum tt_status cli_noise(struct cli *cli, int argc, char **argv);
enum tt_status cli_encode(struct cli *cli, int argc, char **argv);
enum tt_status cli_decode(struct cli *cli, int argc, char **argv);
enum tt_status cli_tokenize(struct cli *cli, int argc, char **argv);
enum tt_status cli_info(struct cli *cli, int argc, char **argv);
enum tt_status cli_kernels(struct cli *cli, int argc, char **argv);
enum tt_status cli_schedulers(struct cli *cli, int argc, char **argv);
enum tt_status cli_profile(struct cli *cli, int argc, char **argv);
enum tt_status cli_verify(struct cli *cli, int argc, char **argv);
enum tt_status cli_compare(struct cli *cli, int argc, char **argv);
enum tt_status cli_record(struct cli *cli, int argc, char **argv);
enum tt_status cli_scenes(struct cli *cli, int argc, char **argv);
enum tt_status cli_train(struct cli *cli, int argc, char **argv);
enum tt_status cli_plot(struct cli *cli, int argc, char **argv);
enum tt_status cli_bench(struct cli *cli, int argc, char **argv);

#endif
