// SPDX-License-Identifier: MIT
// The only place where files are opened for writing, renamed or removed, and folders made (writer.c
// and writer_pieces.c).
//
// A file is written under a random name of its own in the folder where it will be, flushed to the
// disk and renamed, so that its name always leads to a whole file: the old one or the new. Names of
// unfinished files and folders are known by their form, which holds a checksum, and by a lock that
// ends with the process: what a killed process left is removed by the next one that writes there,
// and nothing else ever is.
#ifndef TT_IO_WRITER_H
#define TT_IO_WRITER_H

#include "io/files.h"

// Borrowed bytes.
struct tt_span {
    const void *data;
    size_t size;
};

// Writes the spans one after another as the file at path. Links are followed to the file that they
// name; a file that is replaced passes its mode on; a failure leaves the old file, or none. A
// device or a pipe is written straight. files: what must not be replaced (TT_BAD_INPUT); NULL:
// nothing is known. TT_BAD_INPUT when no file can be made at path, TT_SYSTEM when writing fails.
enum tt_status tt_file_write(struct tt_files *files, const char *path, const struct tt_span *spans,
                             size_t count, struct tt_error *err);

// Whether that is the name of an unfinished file or folder.
bool tt_is_unfinished(const char *name);

// Removes what killed runs left in the folder, then makes a file in it and removes that, too: the
// best answer to whether writing will go well. path is the output's, for messages.
enum tt_status tt_folder_probe(const char *folder, const char *path, struct tt_error *err);

// TT_SYSTEM, with both numbers, when the disk that path is on, or will be, has less room than so
// many bytes, which `what` takes.
enum tt_status tt_check_disk(const char *path, double bytes, const char *what,
                             struct tt_error *err);

// Makes the folder and those above it. TT_BAD_INPUT when it cannot be.
enum tt_status tt_make_folder(const char *path, struct tt_error *err);

// Gives the file or folder at path another name beside it, which *as tells (PATH_MAX bytes): the
// path and ".before-training", and a number where that is taken. TT_OK, and *as "", when nothing is
// there.
enum tt_status tt_file_set_aside(const char *path, char *as, struct tt_error *err);

// ---- a file that is written in pieces ----

// It has no name until the end: a failure or a kill leaves the old file, or none.
struct tt_stream;
// Begins the file at path, as tt_file_write() would write it; no device or pipe.
enum tt_status tt_stream_begin(struct tt_files *files, const char *path, struct tt_stream **out,
                               struct tt_error *err);
enum tt_status tt_stream_add(struct tt_stream *stream, const void *data, size_t size,
                             struct tt_error *err);
// Flushes it to the disk and gives it its name, or, keep false, removes it. Frees; takes NULL, too.
enum tt_status tt_stream_end(struct tt_stream *stream, bool keep, struct tt_error *err);

// ---- a file that grows ----

struct tt_appender;
// Opens the file at path, which is made if need be, to add to its end.
enum tt_status tt_appender_open(struct tt_files *files, const char *path,
                                struct tt_appender **out, struct tt_error *err);
// Adds all of it, or nothing.
enum tt_status tt_appender_add(struct tt_appender *a, const void *data, size_t size,
                               struct tt_error *err);
// Brings all of it to the disk.
enum tt_status tt_appender_sync(struct tt_appender *a, struct tt_error *err);
void tt_appender_close(struct tt_appender *a); // takes NULL, too

// ---- files that belong together ----

// First every file is written beside its place. Then the one without which the others mean nothing,
// the key, is removed, the others take their names, and a new key is the last: whenever that is
// broken off, there is the old set, the new one, or no key.
struct tt_file_set;
enum tt_status tt_file_set_new(struct tt_files *files, struct tt_file_set **out,
                               struct tt_error *err);
// Writes one of them, in a folder that is made if need be. is_key: that of the set.
enum tt_status tt_file_set_add(struct tt_file_set *set, const char *path,
                               const struct tt_span *spans, size_t count, bool is_key,
                               struct tt_error *err);
enum tt_status tt_file_set_commit(struct tt_file_set *set, struct tt_error *err);
// Removes what has not been committed; takes NULL, too.
void tt_file_set_free(struct tt_file_set *set);

#endif
