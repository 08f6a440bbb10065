// SPDX-License-Identifier: MIT
// Sheets of pictures with labels: a strip is a sheet of one row.
#ifndef TT_CLI_SHEET_H
#define TT_CLI_SHEET_H

#include "tintype.h"

enum { SHEET_MOST = 64, SHEET_LABEL = 64 }; // columns or rows; bytes of a caption

// Labels are UTF-8 and may be NULL; long ones are wrapped, then cut.
struct sheet {
    const char *title;          // above all
    size_t columns, rows;       // up to SHEET_MOST
    const char *x_name, *y_name;              // of the axes
    const char *x[SHEET_MOST], *y[SHEET_MOST]; // above the columns, left of the rows
    size_t width, height;       // of one picture
    struct tt_image *pictures;  // rows * columns, row by row, all of that size
    char (*captions)[SHEET_LABEL]; // below each picture; NULL: none
};

// Takes memory for the pictures (zeroed) and, if captioned, the captions. TT_BAD_INPUT when the
// sheet would be too large for a picture file.
enum tt_status sheet_open(struct sheet *sheet, bool captioned, struct tt_error *err);
void sheet_close(struct sheet *sheet);

// The sheet as one picture, dark on white. The same sheet gives the same bytes. Free with
// tt_image_free().
enum tt_status sheet_draw(const struct sheet *sheet, struct tt_image *out, struct tt_error *err);

#endif
