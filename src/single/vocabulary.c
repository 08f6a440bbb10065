// SPDX-License-Identifier: MIT
#include "single/vocabulary.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "io/builtin.h"

enum { MERGES = 524619, BYTES = 256 }; // of merges.txt; how many values a byte has

static enum tt_status unpack(char **text, size_t *size, struct tt_error *err) {
    z_stream stream = {0};
    unsigned char *data = malloc(MERGES + 1);
    *text = (char *)data;
    if (!data || inflateInit2(&stream, 16 + MAX_WBITS))
        return tt_fail(err, TT_SYSTEM, "CLIP's vocabulary: out of memory");
    stream.next_in = (unsigned char *)(uintptr_t)tt_builtin_merges;
    stream.avail_in = (unsigned)(tt_builtin_merges_end - tt_builtin_merges);
    stream.next_out = data;
    stream.avail_out = MERGES + 1;
    int code = inflate(&stream, Z_FINISH);
    *size = stream.total_out;
    inflateEnd(&stream);
    data[*size < MERGES ? *size : MERGES] = 0;
    if (code == Z_STREAM_END && *size == MERGES) return TT_OK;
    return tt_fail(err, TT_SYSTEM, "CLIP's vocabulary: found %zu bytes in this program, expected "
                   "%d", *size, MERGES);
}

// The character that stands for a byte, in UTF-8: itself where it can be seen, else one from 256
// on. Returns how many bytes that takes.
static size_t letter(unsigned code, char text[2]) {
    if (code < 128) {
        text[0] = (char)code;
        return 1;
    }
    text[0] = (char)(0xc0 | code >> 6);
    text[1] = (char)(0x80 | (code & 63));
    return 2;
}

static bool is_seen(unsigned byte) {
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

// A token as a key of JSON: the two characters that would end it are escaped.
static void put_token(FILE *out, const char *token, size_t size, const char *end, unsigned *id) {
    fprintf(out, "%s\"", *id ? ",\n" : "{\n");
    for (size_t i = 0; i < size; i++) {
        if (token[i] == '"' || token[i] == '\\') fputc('\\', out);
        fputc(token[i], out);
    }
    fprintf(out, "%s\": %u", end, (*id)++);
}

static void put_letters(FILE *out, const char *end, unsigned *id) {
    for (unsigned seen = 2, next = 256; seen-- > 0;)
        for (unsigned byte = 0; byte < BYTES; byte++) {
            char text[2];
            if (is_seen(byte) != (seen != 0)) continue;
            put_token(out, text, letter(seen ? byte : next++, text), end, id);
        }
}

// 256 bytes, the same at the end of a word, what each merge makes, and the two ends of a text.
static void put_vocabulary(FILE *out, const char *merges) {
    unsigned id = 0;
    put_letters(out, "", &id);
    put_letters(out, "</w>", &id);
    const char *line = strchr(merges, '\n'); // the first one is a version
    while (line && *++line) {
        char token[256];
        size_t size = 0;
        for (; *line && *line != '\n'; line++)
            if (*line != ' ' && size < sizeof token) token[size++] = *line;
        put_token(out, token, size, "", &id);
    }
    put_token(out, "<|startoftext|>", 15, "", &id);
    put_token(out, "<|endoftext|>", 13, "", &id);
    fprintf(out, "\n}\n");
}

enum tt_status tt_vocabulary_make(char **merges, size_t *merges_size, char **vocab,
                                  size_t *vocab_size, struct tt_error *err) {
    *vocab = NULL;
    *vocab_size = 0;
    enum tt_status status = unpack(merges, merges_size, err);
    if (status) return status;
    FILE *out = open_memstream(vocab, vocab_size);
    if (out) put_vocabulary(out, *merges);
    bool failed = !out || ferror(out);
    if (out && fclose(out)) failed = true;
    return failed ? tt_fail(err, TT_SYSTEM, "CLIP's vocabulary: out of memory") : TT_OK;
}
