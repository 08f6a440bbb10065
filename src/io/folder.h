// SPDX-License-Identifier: MIT
// A model's folder, on disk or built into the program: files by relative path.
#ifndef TT_IO_FOLDER_H
#define TT_IO_FOLDER_H

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
void tt_folder_close(struct tt_folder *folder);
// What is read from it from now on is noted there; borrowed.
void tt_folder_note_in(struct tt_folder *folder, struct tt_files *files);
// Whom long reading of its files asks whether to go on.
const struct tt_poll *tt_folder_poll(const struct tt_folder *folder);

// Its path, or "built-in model".
const char *tt_folder_name(const struct tt_folder *folder);
// "FOLDER/RELATIVE" for messages; returns text.
char *tt_folder_where(const struct tt_folder *folder, const char *relative, char *text,
                      size_t size);
// Whether it is there, or cannot be looked at: reading it then says why.
bool tt_folder_has(const struct tt_folder *folder, const char *relative);
// The bytes of one file; free with tt_bytes_free() before the folder is closed. TT_BAD_INPUT when
// it is missing, or when relative leaves the folder ("..", a leading '/').
enum tt_status tt_folder_read(const struct tt_folder *folder, const char *relative,
                              struct tt_bytes *out, struct tt_error *err);
// The same for a file that is large and read in places: mapped.
enum tt_status tt_folder_map(const struct tt_folder *folder, const char *relative,
                             struct tt_bytes *out, struct tt_error *err);

#endif
