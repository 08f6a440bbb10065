// SPDX-License-Identifier: MIT
// The numbers of a stored tensor as floats.
#include "base/half.h"
#include "base/quant.h"
#include "tintype.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

// One element of the formats that no weights have; data need not be aligned.
static float to_float(const unsigned char *data, enum tt_dtype dtype) {
    union {
        double f64;
        int64_t i64;
        int32_t i32;
        int16_t i16;
        int8_t i8;
        uint8_t u8;
    } x = {0};
    memcpy(&x, data, tt_dtype_size(dtype));
    switch (dtype) {
    case TT_F64: return (float)x.f64;
    case TT_I64: return (float)x.i64;
    case TT_I32: return (float)x.i32;
    case TT_I16: return x.i16;
    case TT_I8: return x.i8;
    case TT_U8: return x.u8;
    default: return x.u8 != 0;
    }
}

void tt_view_floats(const struct tt_view *view, size_t first, size_t count, float *out) {
    const unsigned char *data = view->data;
    size_t size = tt_dtype_size(view->dtype), each = tt_dtype_block_size(view->dtype);
    size_t there = each ? view->bytes / each * tt_dtype_block(view->dtype) : 0;
    there = first < there ? there - first : 0;
    for (size_t i = there; i < count; i++) out[i] = NAN;
    if (count > there) count = there;
    if (!size) {
        tt_dequantise(view->dtype, data, first, count, out);
        return;
    }
    data += count ? first * size : 0;
    if (view->dtype == TT_F32) {
        if (count) memcpy(out, data, count * sizeof *out);
        return;
    }
    bool half_size = view->dtype == TT_F16 || view->dtype == TT_BF16;
    for (size_t i = 0; !half_size && i < count; i++)
        out[i] = to_float(data + i * size, view->dtype);
    for (size_t i = 0; half_size && i < count; i++) {
        uint16_t half;
        memcpy(&half, data + 2 * i, sizeof half);
        if (view->dtype == TT_F16) {
            out[i] = tt_half_to_float(half);
        } else {
            uint32_t bits = (uint32_t)half << 16;
            memcpy(&out[i], &bits, sizeof bits);
        }
    }
}
