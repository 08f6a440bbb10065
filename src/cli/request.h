// SPDX-License-Identifier: MIT
// What generate and grid are asked for: the options that a picture depends on.
#ifndef TT_CLI_REQUEST_H
#define TT_CLI_REQUEST_H

#include "cli/cli.h"
#include "cli/parameters.h"

enum { REQUEST_OPTIONS = 60 }; // room for more than the common ones, and for the end

// How prompts are to be read, and the files of textual inversion.
struct request_wording {
    const char *syntax, *folder;
    struct cli_list given; // FILE or FILE:WORD
    struct tt_inversion_file files[SETTINGS_INVERSIONS];
    char *shown[SETTINGS_INVERSIONS]; // the path that pictures carry; NULL: the file's
    size_t count;
    struct tt_inversion_info *used; // by the prompts
    size_t used_count;
};

struct request {
    const char *model, *out, *interval, *lora_folder;
    struct cli_list options; // of the scheduler
    struct tt_settings with;
    struct settings_record record; // what else goes into the picture's settings
    char scheduler[48];            // the name that stands there
    char prediction[48];           // --prediction-type as an option of the scheduler
    struct tt_lora_prompt tags;    // the prompt without its LoRAs, and these
    const struct tt_lora *loras;   // with which a picture was made that is made again: those of
    size_t lora_count;             // its prompt's tags
    // SDXL's numbers as they were given, "WxH" and "X,Y": NULL: not.
    const char *original_size, *crop, *target_size;
    const char *negative_original_size, *negative_crop, *negative_target_size;
    const char *refiner; // a model's folder
    struct request_wording wording;
    struct tt_outline outline;     // of one picture
    // Of a run that begins with a picture, as they were said.
    const char *image, *mask, *resize, *upscale_in;
    uint64_t padding; // UINT64_MAX: none
    struct tt_image picture, mask_picture;
};

// What a request is before its options are read. steps 0 and a guidance_scale that is no number
// are the model's own, which request_check() fills in.
void request_begin(struct request *r);

// Fills the first entries of a table of options that write into r; returns how many.
size_t request_options(struct request *r, struct cli *cli, struct cli_option *table);

// After the options were read, before the model is opened: the LoRAs of --lora and of the prompt's
// tags, which are taken out of with.prompt. To be ended with request_free(). TT_BAD_INPUT: tags
// without a --lora-folder, or in the negative prompt; a LoRA that is not in the folder.
enum tt_status request_loras(struct cli *cli, struct request *r);
void request_free(struct request *r);
// Before that, of a picture that is made again from the settings in the file: the LoRAs of its
// --lora, unless the command line has others, and those of its prompt's tags, unless it has another
// prompt. Each must be the file that it was; it is looked for in the --lora-folder, too.
enum tt_status request_replay(struct cli *cli, struct request *r, const char *file,
                              const struct settings_read *read);
// After the options were read: the syntax and the embeddings, into r->with. Before that, of a
// picture that is made again: its embeddings, unless the command line has others.
enum tt_status request_wording(struct cli *cli, struct request *r);
enum tt_status request_replay_wording(struct cli *cli, struct request *r,
                                      const struct settings_read *read);
// With the model open: which of them the prompts have; refuses prompts that are not of the syntax.
enum tt_status request_inversions(struct cli *cli, struct request *r,
                                  const struct tt_model *model);
// TT_BAD_INPUT: something of it is asked for, and the verb cannot.
enum tt_status request_plain(struct cli *cli, const struct request *r);
void request_wording_free(struct request_wording *wording);

// A prompt that must be without tags, because the model is the same for all; what: where it stands.
enum tt_status request_untagged(struct cli *cli, const char *what, const char *prompt);

// After the options were read and the model opened: checks the request, fills in its size, and what
// goes into the settings text. The interval is left to request_guide().
enum tt_status request_check(struct cli *cli, struct request *r, struct tt_model *model);

// Before that: the session of the refiner that is asked for, if any, into r->with. The caller ends
// it.
enum tt_status request_refiner(struct cli *cli, struct request *r);

// The options of a run that begins with a picture, or has a second pass, as request_options(). No
// option is its number's default until request_picture().
size_t request_picture_options(struct request *r, struct cli_option *table);

// Reads picture and mask, and puts all of that into the settings: before request_check(). To be
// ended with request_free(). was: what a picture that is replayed was drawn with; NULL: nothing.
enum tt_status request_picture(struct cli *cli, struct request *r,
                               const struct settings_record *was);

// Of a picture that is made again, what it began with: before the command line is read over it.
void request_picture_again(struct request *r, const struct settings_record *was);

// Notes what the model says that it cannot draw, of so many pictures.
enum tt_status request_note(struct cli *cli, const struct tt_model *model,
                            const struct tt_settings *with, size_t count);

// Puts the --guidance-interval into the settings of a run that calls the U-Net so often: steps
// counted from 1, both ends guided ("4-16"), or fractions of the run ("0.2,0.8"). TT_BAD_INPUT:
// neither, or steps that the run does not have.
enum tt_status request_guide(const struct request *r, size_t calls, struct tt_settings *with,
                             struct tt_error *err);

// "out.png" for one picture; "out-1.png", "out-2.png", ... for picture k of several. NULL: out of
// memory. The caller frees.
char *request_file(const struct request *r, size_t k);
// "out-preview.png", "out-1-preview.png": a PNG, whatever the picture will be.
char *request_preview(const struct request *r, size_t k);

#endif
