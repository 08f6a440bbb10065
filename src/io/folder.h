// SPDX-License-Identifier: MIT
// A model's folder, on disk or built into the program: files by relative path.
#ifndef TT_IO_FOLDER_H
#define TT_IO_FOLDER_H

#include "base/note.h"
#include "io/builtin.h"
#include "io/file.h"

#include <stdbool.h>

struct tt_folder;

// Opens the folder at path, or the built-in model when path is NULL. TT_BAD_INPUT when there is no
// such folder, or when it has no model_index.json.
enum tt_status tt_folder_open(const char *path, struct tt_folder **out, struct tt_error *err);
// Any folder, whatever it holds.
enum tt_status tt_folder_open_any(const char *path, struct tt_folder **out, struct tt_error *err);
// A folder of borrowed files; name stands for its path in messages.
enum tt_status tt_folder_open_embedded(const char *name, const struct tt_embedded_file *files,
                                       size_t count, struct tt_folder **out, struct tt_error *err);

// What stands for a folder: texts, and tensors under diffusers' names, made of one file of tensors.
struct tt_folder_tensors {
    const char *module; // "unet"
    const struct tt_view *views;
    size_t count;
};
struct tt_folder_made {
    void *context; // owns all below
    void (*free)(void *context);
    const struct tt_embedded_file *files;
    size_t file_count;
    const struct tt_folder_tensors *tensors;
    size_t tensors_count;
    struct tt_tensor_file *file; // that holds the tensors
};
// A folder of such; name is the path of the file. The context is the folder's from now on, also
// after an error.
enum tt_status tt_folder_open_made(const char *name, const struct tt_folder_made *made,
                                   struct tt_folder **out, struct tt_error *err);
// What it was made of; NULL: it is a real folder, or built in.
const struct tt_folder_made *tt_folder_made_of(const struct tt_folder *folder);
// The tensors that were made for a module; NULL: none.
const struct tt_folder_tensors *tt_folder_tensors(const struct tt_folder *folder,
                                                  const char *module);
// From now on `over`, which is the folder's to close, goes before it: its file instead of one that
// the folder has, its tokenizers instead of the folder's. It is told what the folder is told.
void tt_folder_cover(struct tt_folder *folder, struct tt_folder *over);
// Whether it is such a one that has this file.
bool tt_folder_is_covered(const struct tt_folder *folder, const char *relative);
// Takes NULL, too.
void tt_folder_close(struct tt_folder *folder);
// From now on a link that leads outside is TT_BAD_INPUT: for folders of which nobody said that they
// are to be trusted.
void tt_folder_seal(struct tt_folder *folder);
// What is read from it from now on is noted there; borrowed.
void tt_folder_note_in(struct tt_folder *folder, struct tt_files *files);
// Whom long reading of its files asks whether to go on.
const struct tt_poll *tt_folder_poll(const struct tt_folder *folder);

// The parts of a model ("unet scheduler", borrowed) that are looked for in the folder itself where
// they have no folder of their own, as diffusers does: "unet/config.json" is then config.json.
void tt_folder_spread(struct tt_folder *folder, const char *parts);
// Whom notes about what is read here go to, borrowed; before: nobody.
void tt_folder_tell(struct tt_folder *folder, const struct tt_notes *notes);
const struct tt_notes *tt_folder_notes(const struct tt_folder *folder);
// The variant of weights to read where there is one ("fp16"); NULL: none. TT_BAD_INPUT: no name.
enum tt_status tt_folder_prefer(struct tt_folder *folder, const char *variant,
                                struct tt_error *err);
// That variant, or NULL.
const char *tt_folder_variant(const struct tt_folder *folder);

// Its path, or "built-in model".
const char *tt_folder_name(const struct tt_folder *folder);
// "FOLDER/RELATIVE" for messages; returns text.
char *tt_folder_where(const struct tt_folder *folder, const char *relative, char *text,
                      size_t size);
// Notes that a file will be read later, so that nothing is written over it until then.
enum tt_status tt_folder_will_read(const struct tt_folder *folder, const char *relative,
                                   struct tt_error *err);
// Whether it is there, or cannot be looked at: reading it then says why.
bool tt_folder_has(const struct tt_folder *folder, const char *relative);
// The bytes of one file; free with tt_bytes_free() before the folder is closed. TT_BAD_INPUT when
// it is missing, when relative leaves the folder ("..", a leading '/'), or when it is a pointer
// that git-lfs left in the file's place. A link that leads outside the folder (for a snapshot of a
// hub's cache: outside that cache entry) is noted.
enum tt_status tt_folder_read(const struct tt_folder *folder, const char *relative,
                              struct tt_bytes *out, struct tt_error *err);
// The same for a file that is large and read in places: mapped.
enum tt_status tt_folder_map(const struct tt_folder *folder, const char *relative,
                             struct tt_bytes *out, struct tt_error *err);

// The names of the files of a part ("unet"), sorted; at most TT_FOLDER_NAMES of them.
enum { TT_FOLDER_NAMES = 1024 };
struct tt_names {
    char **name;
    size_t count;
};
enum tt_status tt_folder_list(const struct tt_folder *folder, const char *part,
                              struct tt_names *names, struct tt_error *err);
// Also takes a zero-initialised struct.
void tt_names_free(struct tt_names *names);

#endif
