// SPDX-License-Identifier: MIT
// What a file is by its first bytes, and where those say nothing by its name. Sources: the formats'
// own descriptions (safetensors, GGUF, git-lfs pointers, ZIP, pickle's protocol numbers).
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/text.h"
#include "doctor/doctor.h"

enum { LOOKED_AT = 4096, EXCERPT = 120 };

// First bytes at a place. The order counts: the first that fits.
static const struct magic {
    const char *bytes;
    unsigned char at, size;
    enum tt_doctor_code code;
    const char *is;
} magics[] = {
    {"\x89HDF\r\n\x1a\n", 0, 8, TT_CODE_TENSORFLOW, "HDF5, as Keras writes it"},
    {"TFL3", 4, 4, TT_CODE_TENSORFLOW, "a model for TensorFlow Lite"},
    {"ftrt", 0, 4, TT_CODE_TENSORRT, "an engine of TensorRT"},
    {"\x1f\x8b", 0, 2, TT_CODE_ARCHIVE, "a gzip archive"},
    {"7z\xbc\xaf\x27\x1c", 0, 6, TT_CODE_ARCHIVE, "a 7-Zip archive"},
    {"Rar!\x1a\x07", 0, 6, TT_CODE_ARCHIVE, "a RAR archive"},
    {"\xfd" "7zXZ", 0, 5, TT_CODE_ARCHIVE, "an xz archive"},
    {"BZh", 0, 3, TT_CODE_ARCHIVE, "a bzip2 archive"},
    {"\x28\xb5\x2f\xfd", 0, 4, TT_CODE_ARCHIVE, "a Zstandard archive"},
    {"\x93NUMPY", 0, 6, TT_CODE_UNKNOWN_FILE, "an array of NumPy"},
    {"\x7f" "ELF", 0, 4, TT_CODE_UNKNOWN_FILE, "a program"},
    {"MZ", 0, 2, TT_CODE_UNKNOWN_FILE, "a program"},
    {"GIF8", 0, 4, TT_CODE_UNKNOWN_FILE, "a GIF picture, which is not read"},
    {"BM", 0, 2, TT_CODE_UNKNOWN_FILE, "a BMP picture, which is not read"},
    {"II*\0", 0, 4, TT_CODE_UNKNOWN_FILE, "a TIFF picture, which is not read"},
    {"MM\0*", 0, 4, TT_CODE_UNKNOWN_FILE, "a TIFF picture, which is not read"},
    {"ftypavif", 4, 8, TT_CODE_UNKNOWN_FILE, "an AVIF picture, which is not read"},
    {"ftyphe", 4, 6, TT_CODE_UNKNOWN_FILE, "a HEIC picture, which is not read"},
    {"%PDF", 0, 4, TT_CODE_UNKNOWN_FILE, "a PDF"},
    {"lmgg", 0, 4, TT_CODE_UNKNOWN_FILE, "GGML, the format before GGUF"},
    {"tjgg", 0, 4, TT_CODE_UNKNOWN_FILE, "GGJT, the format before GGUF"},
};

// Ends of names, where bytes say nothing.
static const struct {
    const char *end;
    enum tt_doctor_code code;
    const char *is;
} ends[] = {
    {".msgpack", TT_CODE_FLAX, "weights of Flax"},
    {".onnx", TT_CODE_ONNX, "a graph for ONNX Runtime"},
    {".onnx_data", TT_CODE_ONNX, "the weights of an ONNX graph"},
    {".engine", TT_CODE_TENSORRT, "an engine of TensorRT"},
    {".plan", TT_CODE_TENSORRT, "an engine of TensorRT"},
    {".trt", TT_CODE_TENSORRT, "an engine of TensorRT"},
    {".mlmodel", TT_CODE_COREML, "a model for Core ML"},
    {".pb", TT_CODE_TENSORFLOW, "a graph of TensorFlow"},
    {".tflite", TT_CODE_TENSORFLOW, "a model for TensorFlow Lite"},
};

static const char *const half[] = {".incomplete", ".part", ".crdownload", ".aria2", ".download",
                                   ".partial", ".!ut", ".tmp"};

bool tt_doctor_ends(const char *path, const char *end) {
    size_t length = strlen(path), tail = strlen(end);
    return length >= tail && !strcasecmp(path + length - tail, end);
}

const char *tt_doctor_half_name(const char *path) {
    for (size_t i = 0; i < sizeof half / sizeof *half; i++)
        if (tt_doctor_ends(path, half[i])) return half[i];
    return NULL;
}

static bool begins(const struct tt_bytes *bytes, size_t at, const char *with, size_t size) {
    return bytes->size >= at + size && !memcmp(bytes->data + at, with, size);
}

bool tt_doctor_is_pointer(const struct tt_bytes *bytes) {
    static const char begin[] = "version https://git-lfs.github.com/spec/";
    return begins(bytes, 0, begin, sizeof begin - 1);
}

// The first bytes as a text that ends.
static void copy_head(const struct tt_bytes *bytes, char head[LOOKED_AT + 1]) {
    size_t size = bytes->size < LOOKED_AT ? bytes->size : LOOKED_AT;
    memcpy(head, bytes->data, size);
    head[size] = 0;
}

static enum tt_signature bad(struct tt_examination *x, enum tt_doctor_code code, const char *path,
                             const char *found, const char *expected) {
    tt_doctor_find(x, code, path, NULL, found, expected, NULL);
    return TT_SIGN_BAD;
}

static enum tt_signature tell_pointer(struct tt_examination *x, const char *path,
                                      const char *head) {
    const char *size = strstr(head, "\nsize "), *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    unsigned long long bytes = size ? strtoull(size + 6, NULL, 10) : 0;
    tt_doctor_find(x, TT_CODE_LFS_POINTER, path, NULL,
                   tt_doctor_text(x, "a pointer of %zu bytes to %llu bytes", strlen(head), bytes),
                   "the file it stands for",
                   tt_doctor_text(x, "fetch it, with git-lfs installed, in that folder: git lfs "
                                  "pull -I \"%s\"", name));
    return TT_SIGN_BAD;
}

// ---- texts ----

// Whether what is there is text: no control characters but white space, valid UTF-8 but for a
// character that is cut at the end.
static bool is_text(const char *head, size_t size) {
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)head[i] < 32 && !strchr("\t\n\r\f", head[i])) return false;
    for (size_t cut = 0; cut < 4 && cut < size; cut++)
        if (tt_text_is_utf8(head, size - cut)) return true;
    return false;
}

static const char *skip_space(const char *text) {
    if (!strncmp(text, "\xef\xbb\xbf", 3)) text += 3;
    return text + strspn(text, " \t\r\n");
}

// The beginning of a text on one line.
static const char *excerpt(struct tt_examination *x, const char *text) {
    char line[EXCERPT + 1];
    size_t n = 0;
    for (text = skip_space(text); *text && n < EXCERPT; text++)
        line[n++] = isspace((unsigned char)*text) ? ' ' : *text;
    line[n] = 0;
    return tt_doctor_text(x, "\"%s\"%s", line, *text ? "..." : "");
}

static const char *page_title(struct tt_examination *x, const char *head) {
    const char *title = strcasestr(head, "<title");
    title = title ? strchr(title, '>') : NULL;
    if (!title) return "a page of HTML";
    size_t length = strcspn(skip_space(++title), "<\n");
    return tt_doctor_text(x, "a page of HTML, \"%.*s\"", (int)(length < EXCERPT ? length : EXCERPT),
                          skip_space(title));
}

static enum tt_signature sign_text(struct tt_examination *x, const char *path, const char *head,
                                   size_t size) {
    const char *text = skip_space(head);
    static const char *const html[] = {"<!doctype html", "<html", "<head", "<body"};
    for (size_t i = 0; i < sizeof html / sizeof *html; i++)
        if (!strncasecmp(text, html[i], strlen(html[i])))
            return bad(x, TT_CODE_WEB_PAGE, path, page_title(x, head), "a model");
    if (*text == '<' && strstr(head, "<net "))
        return bad(x, TT_CODE_OPENVINO, path, "the graph of an OpenVINO model", NULL);
    bool json = *text == '{' || *text == '[';
    if (json && (tt_doctor_ends(path, ".json") || tt_doctor_ends(path, ".jsonl")))
        return TT_SIGN_JSON;
    const char *found = tt_doctor_text(x, "%zu bytes of text: %s", size, excerpt(x, head));
    return bad(x, TT_CODE_TEXT_FILE, path, found, "a model, or a picture");
}

// ---- bytes ----

static bool is_tar(const struct tt_bytes *bytes) {
    return begins(bytes, 257, "ustar", 5);
}

// A pickle by its protocol number, or PyTorch's ZIP with one in it. Its first entry says so.
static bool is_pickle(const struct tt_bytes *bytes) {
    if (bytes->size > 2 && bytes->data[0] == 0x80 && bytes->data[1] >= 1 && bytes->data[1] <= 5)
        return true;
    if (!begins(bytes, 0, "PK\3\4", 4)) return false;
    size_t length = bytes->size > 30 ? bytes->data[26] + 256u * bytes->data[27] : 0;
    const char *name = (const char *)bytes->data + 30;
    for (size_t i = 0; i < length && 30 + i + 8 <= bytes->size && i + 8 <= length; i++)
        if (!memcmp(name + i, "data.pkl", 8)) return true;
    return false;
}

// OpenVINO keeps its weights beside the graph of the same name.
static bool has_graph(const char *path) {
    char graph[4096];
    size_t length = strlen(path);
    if (!tt_doctor_ends(path, ".bin") || length >= sizeof graph) return false;
    memcpy(graph, path, length + 1);
    memcpy(graph + length - 4, ".xml", 4);
    return !access(graph, F_OK);
}

static bool is_picture(const struct tt_bytes *bytes) {
    return begins(bytes, 0, "\x89PNG\r\n\x1a\n", 8) || begins(bytes, 0, "\xff\xd8\xff", 3) ||
           (begins(bytes, 0, "RIFF", 4) && begins(bytes, 8, "WEBP", 4));
}

static bool is_zeros(const struct tt_bytes *bytes) {
    size_t i = 0;
    while (i < bytes->size && i < LOOKED_AT && !bytes->data[i]) i++;
    return i == bytes->size || i == LOOKED_AT;
}

static enum tt_signature sign_named(struct tt_examination *x, const char *path) {
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (tt_doctor_ends(path, ends[i].end)) return bad(x, ends[i].code, path, ends[i].is, NULL);
    if (has_graph(path))
        return bad(x, TT_CODE_OPENVINO, path, "the weights of an OpenVINO model", NULL);
    if (tt_doctor_ends(path, ".safetensors")) return TT_SIGN_SAFETENSORS;
    return bad(x, TT_CODE_UNKNOWN_FILE, path, NULL, "a model, or a picture");
}

static enum tt_signature sign_bytes(struct tt_examination *x, const char *path,
                                    const struct tt_bytes *bytes) {
    if (begins(bytes, 0, "GGUF", 4)) return TT_SIGN_GGUF;
    if (is_picture(bytes)) return TT_SIGN_PICTURE;
    if (bytes->size > 8 && bytes->data[8] == '{' && !bytes->data[7] && !bytes->data[6])
        return TT_SIGN_SAFETENSORS;
    if (is_pickle(bytes))
        return bad(x, TT_CODE_PICKLE, path, "a pickle of Python", "safetensors or GGUF");
    if (begins(bytes, 0, "PK\3\4", 4))
        return bad(x, TT_CODE_ARCHIVE, path, "a ZIP archive", "a model");
    if (is_tar(bytes)) return bad(x, TT_CODE_ARCHIVE, path, "a tar archive", "a model");
    if (is_zeros(bytes))
        return bad(x, TT_CODE_HALF_DOWNLOAD, path,
                   "zeros where a file begins: its place was reserved, and never filled", NULL);
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
        if (begins(bytes, magics[i].at, magics[i].bytes, magics[i].size))
            return bad(x, magics[i].code, path, magics[i].is, "a model, or a picture");
    return sign_named(x, path);
}

enum tt_signature tt_doctor_sign(struct tt_examination *x, const char *path,
                                 const struct tt_bytes *bytes) {
    char head[LOOKED_AT + 1];
    const char *unfinished = tt_doctor_half_name(path);
    if (!bytes->size) return bad(x, TT_CODE_EMPTY_FILE, path, "0 bytes", NULL);
    copy_head(bytes, head);
    if (tt_doctor_is_pointer(bytes)) return tell_pointer(x, path, head);
    if (unfinished)
        tt_doctor_find(x, TT_CODE_HALF_DOWNLOAD, path, NULL,
                       tt_doctor_text(x, "%zu bytes under a name that ends in %s", bytes->size,
                                      unfinished), "the whole file under its own name", NULL);
    size_t size = bytes->size < LOOKED_AT ? bytes->size : LOOKED_AT;
    if (strlen(head) == size && is_text(head, size)) return sign_text(x, path, head, bytes->size);
    return sign_bytes(x, path, bytes);
}
