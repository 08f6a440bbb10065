// SPDX-License-Identifier: MIT
#include "io/digest.h"

#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static void spell(struct sha256_ctx *sha, char text[TT_DIGEST_SIZE]) {
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest(sha, sizeof digest, digest);
    tt_text_hex(digest, sizeof digest, text);
}

void tt_bytes_digest(const void *data, size_t size, char text[TT_DIGEST_SIZE]) {
    struct sha256_ctx sha;
    sha256_init(&sha);
    sha256_update(&sha, size, data);
    spell(&sha, text);
}

static void digest_view(const struct tt_view *view, char text[TT_DIGEST_SIZE]) {
    struct sha256_ctx sha;
    char line[160], shape[96];
    snprintf(line, sizeof line, " %s %s\n", tt_dtype_name(view->dtype),
             tt_shape_text(&view->shape, shape, sizeof shape));
    sha256_init(&sha);
    sha256_update(&sha, strlen(view->name), (const uint8_t *)view->name);
    sha256_update(&sha, strlen(line), (const uint8_t *)line);
    sha256_update(&sha, view->bytes, view->data);
    spell(&sha, text);
}

enum tt_status tt_views_digest(const struct tt_view *views, size_t count, int threads,
                               char text[TT_DIGEST_SIZE], struct tt_error *err) {
    char (*each)[TT_DIGEST_SIZE] = calloc(count + 1, sizeof *each);
    if (!each) return tt_fail(err, TT_SYSTEM, "out of memory for %zu digests", count);
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (size_t i = 0; i < count; i++) digest_view(&views[i], each[i]);
    tt_bytes_digest(each, count * sizeof *each, text);
    free(each);
    return TT_OK;
}
