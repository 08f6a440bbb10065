// SPDX-License-Identifier: MIT
#include "io/image_webp.h"

#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>
#include <webp/demux.h>

#include "io/orientation.h"

bool tt_is_webp(const void *data, size_t size) {
    return size >= 12 && !memcmp(data, "RIFF", 4) && !memcmp((const char *)data + 8, "WEBP", 4);
}

static enum tt_status invalid(const char *name, const char *why, struct tt_error *err) {
    return tt_fail(err, TT_BAD_INPUT, "%s: not a valid WebP: %s", name, why);
}

// The frame onto the canvas, whose pixels are (height, width, 4).
static enum tt_status decode(const char *name, const WebPIterator *frame, size_t width,
                             const struct tt_poll *poll, uint8_t *rgba, struct tt_error *err) {
    enum { STRETCH = 1 << 16 };
    WebPDecoderConfig config;
    VP8StatusCode code = VP8_STATUS_SUSPENDED;
    enum tt_status status = TT_OK;
    size_t first = (size_t)frame->y_offset * width + (size_t)frame->x_offset;
    if (!WebPInitDecoderConfig(&config)) return invalid(name, "another version of libwebp", err);
    config.output.colorspace = MODE_RGBA;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = rgba + 4 * first;
    config.output.u.RGBA.stride = 4 * (int)width;
    config.output.u.RGBA.size =
        4 * (width * ((size_t)frame->height - 1) + (size_t)frame->width);
    WebPIDecoder *decoder = WebPIDecode(NULL, 0, &config);
    if (!decoder) return tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
    for (size_t at = 0; !status && at < frame->fragment.size && code == VP8_STATUS_SUSPENDED;) {
        at += frame->fragment.size - at < STRETCH ? frame->fragment.size - at : STRETCH;
        status = tt_poll_ask(poll, name, err);
        if (!status) code = WebPIUpdate(decoder, frame->fragment.bytes, at);
    }
    WebPIDelete(decoder);
    WebPFreeDecBuffer(&config.output);
    if (status || code == VP8_STATUS_OK) return status;
    if (code == VP8_STATUS_OUT_OF_MEMORY)
        return tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
    return invalid(name, code == VP8_STATUS_SUSPENDED || code == VP8_STATUS_NOT_ENOUGH_DATA
                             ? "the file ends too early" : "its data is damaged", err);
}

static int find_orientation(const WebPDemuxer *demuxer) {
    WebPChunkIterator chunk;
    int orientation = 0;
    if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk)) {
        orientation = tt_exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    if (!orientation && WebPDemuxGetChunk(demuxer, "XMP ", 1, &chunk)) {
        orientation = tt_xmp_orientation(chunk.chunk.bytes, chunk.chunk.size);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    return orientation;
}

enum tt_status tt_webp_read(const char *name, const void *data, size_t size,
                            const struct tt_poll *poll,
                            enum tt_status (*check)(const char *name, size_t width, size_t height,
                                                    struct tt_error *err),
                            size_t *width, size_t *height, uint8_t **rgba, int *orientation,
                            struct tt_error *err) {
    WebPIterator frame;
    *rgba = NULL;
    WebPDemuxer *demuxer = WebPDemux(&(WebPData){data, size});
    if (!demuxer) return invalid(name, "its parts do not fit together", err);
    *width = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_WIDTH);
    *height = WebPDemuxGetI(demuxer, WEBP_FF_CANVAS_HEIGHT);
    *orientation = find_orientation(demuxer);
    enum tt_status status = check(name, *width, *height, err);
    if (!status && !WebPDemuxGetFrame(demuxer, 1, &frame))
        status = invalid(name, "found no frame", err);
    if (status) {
        WebPDemuxDelete(demuxer);
        return status;
    }
    size_t right = (size_t)frame.x_offset + (size_t)frame.width;
    size_t below = (size_t)frame.y_offset + (size_t)frame.height;
    if (frame.width < 1 || frame.height < 1 || right > *width || below > *height)
        status = invalid(name, "its first frame leaves the canvas", err);
    else if (!(*rgba = calloc(*width * *height, 4)))
        status = tt_fail(err, TT_SYSTEM, "%s: out of memory for %zu x %zu pixels", name, *width,
                         *height);
    if (!status) status = decode(name, &frame, *width, poll, *rgba, err);
    WebPDemuxReleaseIterator(&frame);
    WebPDemuxDelete(demuxer);
    if (status) {
        free(*rgba);
        *rgba = NULL;
    }
    return status;
}
