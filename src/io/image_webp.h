// SPDX-License-Identifier: MIT
// Pictures in the format of libwebp.
#ifndef TT_IO_IMAGE_WEBP_H
#define TT_IO_IMAGE_WEBP_H

#include "base/poll.h"

// Whether the file says that it is a WebP.
bool tt_is_webp(const void *data, size_t size);
// The first frame on a canvas without colour, as (height, width, 4) with straight alpha, which the
// caller frees; and which way up it is (io/orientation.h). check: of the size, before any memory is
// taken for pixels. poll (NULL: nobody) is asked between stretches of the file. TT_BAD_INPUT: no
// valid WebP.
enum tt_status tt_webp_read(const char *name, const void *data, size_t size,
                            const struct tt_poll *poll,
                            enum tt_status (*check)(const char *name, size_t width, size_t height,
                                                    struct tt_error *err),
                            size_t *width, size_t *height, uint8_t **rgba, int *orientation,
                            struct tt_error *err);

#endif
