// SPDX-License-Identifier: MIT
// Safetensors below the public interface, which is in tintype.h.
#ifndef TT_IO_SAFETENSORS_H
#define TT_IO_SAFETENSORS_H

#include "io/writer.h"

// The bytes of a file that tt_safetensors_write() would write, as spans that show the views' data.
// The caller frees *text and *spans after use; nothing is left to free after an error.
enum tt_status tt_safetensors_spans(const char *path, const struct tt_view *views, size_t count,
                                    const char *const *metadata, char **text,
                                    struct tt_span **spans, size_t *span_count,
                                    struct tt_error *err);

#endif
