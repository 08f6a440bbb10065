// SPDX-License-Identifier: MIT
// safetensors files, folders and the weights in them: good ones, and ones made to do harm.
#include "base/half.h"
#include "io/file.h"
#include "tintype.h"
#include "io/weights.h"

#include "util.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// A file of the given header text and data_size bytes 0, 1, 2, ...; the caller frees.
static unsigned char *make_file(const char *header, size_t data_size, size_t *size) {
    size_t length = strlen(header);
    unsigned char *bytes = malloc(8 + length + data_size);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)((uint64_t)length >> (8 * i));
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < data_size; i++) bytes[8 + length + i] = (unsigned char)i;
    *size = 8 + length + data_size;
    return bytes;
}

static void write_file(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    fclose(file);
}

static void write_header(const char *path, const char *header, size_t data_size) {
    size_t size;
    unsigned char *bytes = make_file(header, data_size, &size);
    write_file(path, bytes, size);
    free(bytes);
}

START_TEST(good_file) {
    size_t size;
    unsigned char *bytes = make_file(
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[4,12]},"
        "\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]},"
        "\"empty\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[4,4]},"
        "\"scalar\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[12,20]}}   ", 20, &size);
    struct tt_error err = {0};
    struct tt_safetensors *file;
    ck_assert_msg(!tt_safetensors_open_memory("mem", bytes, size, &file, &err), "%s", err.message);
    ck_assert_uint_eq(tt_safetensors_count(file), 4);
    ck_assert_str_eq(tt_safetensors_at(file, 0)->name, "a");
    ck_assert_str_eq(tt_safetensors_at(file, 3)->name, "scalar");
    const struct tt_view *b = tt_safetensors_find(file, "b");
    ck_assert_uint_eq(b->shape.rank, 2);
    ck_assert_uint_eq(b->bytes, 8);
    ck_assert_int_eq(*(const unsigned char *)b->data, 4);
    ck_assert_uint_eq(tt_safetensors_find(file, "empty")->bytes, 0);
    ck_assert_uint_eq(tt_safetensors_find(file, "scalar")->shape.rank, 0);
    ck_assert_ptr_null(tt_safetensors_find(file, "c"));
    ck_assert_str_eq(tt_safetensors_metadata(file, "format"), "pt");
    ck_assert_ptr_null(tt_safetensors_metadata(file, "other"));
    tt_safetensors_close(file);
    free(bytes);
}
END_TEST

#define ONE(dtype, shape, offsets) \
    "{\"x\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define TWO(shape, first, second) \
    "{\"x\":{\"dtype\":\"U8\",\"shape\":" shape ",\"data_offsets\":" first "}," \
    "\"y\":{\"dtype\":\"U8\",\"shape\":" shape ",\"data_offsets\":" second "}}"

static const struct {
    const char *header;
    size_t data_size;
    const char *message; // must be part of the error
} hostile[] = {
    {"", 0, "does not begin with '{'"},
    {" {}", 0, "does not begin with '{'"},
    {"[]", 0, "does not begin with '{'"},
    {"{", 0, "invalid JSON"},
    {"{}x", 0, "invalid JSON"},
    {"{}{}", 0, "invalid JSON"},
    {"{\"a\xff\":1}", 0, "invalid JSON"},
    {"{\"a\\u0000b\":1}", 0, "invalid JSON"},
    {"{\"x\":NaN}", 0, "invalid JSON"},
    {"{}", 4, "found 4 bytes of data, expected 0"},
    {"{\"x\":1}", 0, "tensor x: found 1, expected an object"},
    {"{\"x\":{}}", 0, "dtype: found nothing"},
    {"{\"__metadata__\":[]}", 0, "__metadata__: found a list"},
    {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__.a: found 1, expected a string"},
    {"{\"__metadata__\":{\"a\":{\"b\":\"c\"}}}", 0, "expected a string"},
    {"{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
     "\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, "duplicate"},
    {"{\"x\":{\"dtype\":\"U8\",\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
     "duplicate"},
    {"{\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"z\":0}}", 1, "key \"z\""},
    {ONE("F8_E4M3", "[1]", "[0,1]"), 1, "dtype: found \"F8_E4M3\""},
    {ONE("f32", "[1]", "[0,4]"), 4, "dtype: found \"f32\""},
    {ONE("F32", "1", "[0,4]"), 4, "shape: found 1"},
    {ONE("F32", "[-1]", "[0,4]"), 4, "shape[0]: found -1"},
    {ONE("F32", "[1.0]", "[0,4]"), 4, "shape[0]: found 1, expected a size"},
    {ONE("F32", "[\"1\"]", "[0,4]"), 4, "shape[0]: found \"1\""},
    {ONE("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "a list of 9"},
    {ONE("F32", "[4611686018427387904]", "[0,0]"), 0, "overflows"},
    {ONE("U8", "[4294967296,4294967296,2]", "[0,0]"), 0, "overflows"},
    {ONE("U8", "[99999999999999999999999]", "[0,0]"), 0, "shape[0]"},
    {ONE("F32", "[1]", "[0]"), 4, "data_offsets: found a list of 1"},
    {ONE("F32", "[1]", "[0,4,8]"), 4, "data_offsets: found a list of 3"},
    {ONE("F32", "[1]", "[0,4.0]"), 4, "data_offsets"},
    {ONE("F32", "[1]", "[-4,0]"), 4, "data_offsets: found [-4, 0]"},
    {ONE("F32", "[1]", "[4,0]"), 4, "data_offsets: found [4, 0]"},
    {ONE("F32", "[1]", "[0,8]"), 4, "expected a range in the 4 bytes"},
    {ONE("F32", "[2]", "[0,4]"), 4, "found 4 bytes, expected 8 for F32 (2)"},
    {ONE("F32", "[1]", "[0,9223372036854775807]"), 4, "expected a range"},
    {ONE("F32", "[1]", "[4,8]"), 8, "there is a hole"},
    {ONE("F32", "[1]", "[0,4]"), 8, "found 8 bytes of data, expected 4"},
    {TWO("[2]", "[0,2]", "[1,3]"), 3, "overlap"},
    {TWO("[2]", "[0,2]", "[0,2]"), 2, "overlap"},
    {TWO("[2]", "[0,2]", "[3,5]"), 5, "hole"},
};

START_TEST(hostile_file) {
    size_t size;
    unsigned char *bytes = make_file(hostile[_i].header, hostile[_i].data_size, &size);
    struct tt_error err = {0};
    struct tt_safetensors *file;
    enum tt_status status = tt_safetensors_open_memory("mem", bytes, size, &file, &err);
    ck_assert_msg(status == TT_BAD_INPUT, "accepted: %s", hostile[_i].header);
    ck_assert_ptr_null(file);
    ck_assert_msg(strstr(err.message, hostile[_i].message) && !strncmp(err.message, "mem: ", 5),
                  "found \"%s\", expected \"%s\" in it", err.message, hostile[_i].message);
    free(bytes);
}
END_TEST

// Every shorter file than a good one, and every length a header can claim.
START_TEST(cut_and_false_lengths) {
    size_t size;
    unsigned char *bytes = make_file(ONE("F32", "[2]", "[0,8]"), 8, &size);
    struct tt_safetensors *file;
    for (size_t cut = 0; cut < size; cut++) {
        unsigned char *copy = malloc(cut ? cut : 1); // exact, so that a sanitizer sees reads beyond
        memcpy(copy, bytes, cut);
        struct tt_error err = {0};
        ck_assert_int_eq(tt_safetensors_open_memory("m", copy, cut, &file, &err), TT_BAD_INPUT);
        free(copy);
    }
    static const unsigned char lengths[][8] = {
        {0, 0, 0, 0, 0, 0, 0, 0x80}, {255, 255, 255, 255, 255, 255, 255, 255}, {1}, {0},
        {0, 0, 0, 0, 1}, {248, 255, 255, 255, 255, 255, 255, 255}};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        memcpy(bytes, lengths[i], 8);
        struct tt_error err = {0};
        ck_assert_int_eq(tt_safetensors_open_memory("m", bytes, size, &file, &err), TT_BAD_INPUT);
    }
    free(bytes);
}
END_TEST

START_TEST(deep_nesting) {
    char header[4096] = "{\"a\":";
    memset(header + 5, '[', 2000);
    memset(header + 2005, ']', 2000);
    strcpy(header + 4005, "}");
    size_t size;
    unsigned char *bytes = make_file(header, 0, &size);
    struct tt_error err = {0};
    struct tt_safetensors *file;
    ck_assert_int_eq(tt_safetensors_open_memory("m", bytes, size, &file, &err), TT_BAD_INPUT);
    ck_assert_ptr_nonnull(strstr(err.message, "nested deeper"));
    free(bytes);
}
END_TEST

START_TEST(no_regular_file) {
    struct tt_error err = {0};
    struct tt_safetensors *file;
    ck_assert_int_eq(tt_safetensors_open(NULL, test_path("absent"), &file, &err), TT_BAD_INPUT);
    err = (struct tt_error){0};
    ck_assert_int_eq(tt_safetensors_open(NULL, "/", &file, &err), TT_BAD_INPUT);
    err = (struct tt_error){0};
    ck_assert_int_eq(tt_safetensors_open(NULL, "/dev/zero", &file, &err), TT_BAD_INPUT);
    const char *fifo = test_path("fifo");
    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    err = (struct tt_error){0};
    ck_assert_int_eq(tt_safetensors_open(NULL, fifo, &file, &err), TT_BAD_INPUT);
    write_file(test_path("empty"), "", 0);
    err = (struct tt_error){0};
    ck_assert_int_eq(tt_safetensors_open(NULL, test_path("empty"), &file, &err), TT_BAD_INPUT);
    ck_assert_ptr_nonnull(strstr(err.message, "found 0 bytes"));
}
END_TEST

START_TEST(write_and_read_back) {
    float f[6] = {1, 2, 3, 4, 5, 6};
    int64_t ids[2] = {-1, 7};
    struct tt_view views[] = {
        {"z\"\\\n", TT_F32, {2, {2, 3}}, f, sizeof f},
        {"ids", TT_I64, {1, {2}}, ids, sizeof ids},
        {"a", TT_F32, {0, {0}}, f + 5, 4},
        {"none", TT_U8, {1, {0}}, NULL, 0},
    };
    const char *const metadata[] = {"seed", "1", "prompt", "\xc3\xa9t\xc3\xa9", NULL};
    const char *path = test_path("out.safetensors");
    struct tt_error err = {0};
    for (int round = 0; round < 2; round++)
        ck_assert_msg(!tt_safetensors_write(NULL, path, views, 4, metadata, &err), "%s",
                      err.message);
    struct tt_safetensors *file;
    ck_assert_msg(!tt_safetensors_open(NULL, path, &file, &err), "%s", err.message);
    ck_assert_uint_eq(tt_safetensors_count(file), 4);
    for (size_t i = 0; i < 4; i++) {
        const struct tt_view *view = tt_safetensors_find(file, views[i].name);
        ck_assert_ptr_nonnull(view);
        ck_assert(tt_shape_equal(&view->shape, &views[i].shape));
        ck_assert_uint_eq(view->bytes, views[i].bytes);
        ck_assert(!view->bytes || !memcmp(view->data, views[i].data, view->bytes));
    }
    ck_assert_uint_eq((uintptr_t)tt_safetensors_find(file, "ids")->data % 8, 0);
    ck_assert_str_eq(tt_safetensors_metadata(file, "prompt"), "\xc3\xa9t\xc3\xa9");
    tt_safetensors_close(file);
}
END_TEST

START_TEST(write_refuses) {
    float f[2] = {0};
    struct tt_view twice[] = {{"a", TT_F32, {1, {1}}, f, 4}, {"a", TT_F32, {1, {1}}, f, 4}};
    struct tt_view wrong[] = {{"a", TT_F32, {1, {2}}, f, 4}};
    struct tt_view name[] = {{"\xff", TT_F32, {1, {1}}, f, 4}};
    const char *const metadata[] = {"k", "\xff", NULL};
    const char *path = test_path("refused.safetensors");
    struct tt_error err = {0};
    ck_assert_int_eq(tt_safetensors_write(NULL, path, twice, 2, NULL, &err), TT_BAD_INPUT);
    ck_assert_int_eq(tt_safetensors_write(NULL, path, wrong, 1, NULL, NULL), TT_BAD_INPUT);
    ck_assert_int_eq(tt_safetensors_write(NULL, path, name, 1, NULL, NULL), TT_BAD_INPUT);
    ck_assert_int_eq(tt_safetensors_write(NULL, path, twice, 1, metadata, NULL), TT_BAD_INPUT);
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(tt_safetensors_write(NULL, "/no/such/folder/x", twice, 1, NULL, NULL),
                     TT_BAD_INPUT);
    ck_assert_int_eq(tt_safetensors_write(NULL, "/", twice, 1, NULL, NULL), TT_BAD_INPUT);
    ck_assert_int_eq(tt_safetensors_write(NULL, "", twice, 1, NULL, NULL), TT_BAD_INPUT);
    ck_assert_int_eq(tt_safetensors_write(NULL, "/dev/full", twice, 1, NULL, NULL), TT_SYSTEM);
}
END_TEST

// A folder DIR/unet with the given files, each "name" and header, and 1 byte of data per tensor.
static const char *make_folder(const char *name) {
    const char *path = test_path(name);
    char unet[600];
    snprintf(unet, sizeof unet, "%s/unet", path);
    ck_assert(!mkdir(path, 0700) && !mkdir(unet, 0700));
    return path;
}

static void put(const char *folder, const char *relative, const char *text) {
    char path[700];
    snprintf(path, sizeof path, "%s/%s", folder, relative);
    write_file(path, text, strlen(text));
}

static void put_tensor(const char *folder, const char *relative, const char *tensor) {
    char path[700], header[300];
    snprintf(path, sizeof path, "%s/%s", folder, relative);
    snprintf(header, sizeof header,
             "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", tensor);
    write_header(path, header, 1);
}

// What was noted since the last open, a line each.
static char noted[4096];

static void keep_note(void *context, const char *text) {
    (void)context;
    size_t used = strlen(noted);
    snprintf(noted + used, sizeof noted - used, "%s\n", text);
}

static const struct tt_notes notes = {keep_note, NULL};

static enum tt_status open_part(const char *path, const char *module, const char *variant,
                                struct tt_weights **weights, struct tt_error *err) {
    struct tt_folder *folder;
    *err = (struct tt_error){0};
    *noted = 0;
    ck_assert(!tt_folder_open_any(path, &folder, err));
    tt_folder_tell(folder, &notes);
    ck_assert(!tt_folder_prefer(folder, variant, err));
    enum tt_status status = tt_weights_open(folder, module, weights, err);
    tt_folder_close(folder);
    return status;
}

static enum tt_status open_unet(const char *path, struct tt_weights **weights,
                                struct tt_error *err) {
    return open_part(path, "unet", NULL, weights, err);
}

static void expect_refusal(const char *path, const char *message) {
    struct tt_weights *weights;
    struct tt_error err;
    ck_assert_int_eq(open_unet(path, &weights, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, message), "found \"%s\", expected \"%s\" in it", err.message,
                  message);
}

// The file that is opened, and what is said of it (NULL: nothing).
static void expect_choice(const char *path, const char *module, const char *variant,
                          const char *file, const char *said) {
    struct tt_weights *weights;
    struct tt_error err;
    ck_assert_msg(!open_part(path, module, variant, &weights, &err), "%s", err.message);
    const char *name = tt_weights_name(weights);
    size_t length = strlen(name), tail = strlen(file);
    ck_assert_msg(length > tail && !strcmp(name + length - tail, file) &&
                  name[length - tail - 1] == '/', "found %s, expected %s", name, file);
    ck_assert_msg(said ? strstr(noted, said) != NULL : !*noted, "noted \"%s\", expected \"%s\"",
                  noted, said ? said : "");
    tt_weights_close(weights);
}

START_TEST(weights_single_and_variants) {
    const char *path = make_folder("single");
    struct tt_weights *weights;
    struct tt_error err;
    expect_refusal(path, "unet: found no weights, expected diffusion_pytorch_model.safetensors or");
    put(path, "unet/diffusion_pytorch_model.bin", "x");
    expect_refusal(path, "found no weights but diffusion_pytorch_model.bin, expected");
    put_tensor(path, "unet/diffusion_pytorch_model.bf16.safetensors", "brain");
    put_tensor(path, "unet/diffusion_pytorch_model.non_ema.safetensors", "raw");
    expect_refusal(path, "found no weights but diffusion_pytorch_model.bf16.safetensors, "
                         "diffusion_pytorch_model.bin, diffusion_pytorch_model.non_ema.safe");
    expect_choice(path, "unet", "bf16", "diffusion_pytorch_model.bf16.safetensors",
                  "but not diffusion_pytorch_model.non_ema.safetensors\n");
    expect_choice(path, "unet", "non_ema", "diffusion_pytorch_model.non_ema.safetensors",
                  "but not diffusion_pytorch_model.bf16.safetensors\n");
    put_tensor(path, "unet/diffusion_pytorch_model.fp16.safetensors", "half");
    expect_choice(path, "unet", NULL, "diffusion_pytorch_model.fp16.safetensors",
                  "read, for want of weights without a variant");
    put_tensor(path, "unet/model.safetensors", "full");
    expect_choice(path, "unet", NULL, "model.safetensors",
                  "read, where diffusers looks for diffusion_pytorch_model.safetensors");
    ck_assert_msg(!open_unet(path, &weights, &err), "%s", err.message);
    ck_assert_uint_eq(tt_weights_count(weights), 1);
    ck_assert_uint_eq(tt_weights_note_unused(weights), 1);
    ck_assert_msg(strstr(noted, "unet/model.safetensors: found 1 tensor that unet/config.json has "
                                "no place for, ignored: 'full'\n"), "%s", noted);
    ck_assert_ptr_null(tt_weights_expect(weights, "half"));
    ck_assert_ptr_nonnull(tt_weights_expect(weights, "full"));
    ck_assert_uint_eq(tt_weights_note_unused(weights), 0);
    tt_weights_close(weights);
    put(path, "unet/model.safetensors", "garbage");
    expect_refusal(path, "unet/model.safetensors: found 7 bytes");
    put(path, "unet/model.safetensors", "version https://git-lfs.github.com/spec/v1\noid x\n");
    expect_refusal(path, "unet/model.safetensors: found a git-lfs pointer, expected the file it "
                         "stands for");
    put(path, "unet/diffusion_pytorch_model.ema.bin", "x");
    ck_assert_int_eq(open_part(path, "unet", "ema", &weights, &err), TT_BAD_INPUT);
    ck_assert_msg(strstr(err.message, "unet/diffusion_pytorch_model.ema.bin: variant 'ema': found "
                                      "it pickled"), "%s", err.message);
    struct tt_folder *folder;
    ck_assert(!tt_folder_open_any(path, &folder, NULL));
    ck_assert_int_eq(tt_folder_prefer(folder, "", NULL), TT_BAD_INPUT);
    ck_assert_int_eq(tt_folder_prefer(folder, "../x", NULL), TT_BAD_INPUT);
    tt_folder_close(folder);
}
END_TEST

// One file beside an index of shards: diffusers and transformers each have their own order.
START_TEST(weights_precedence) {
    static const struct {
        const char *module, *stem, *first;
    } parts[] = {
        {"unet", "diffusion_pytorch_model", "diffusion_pytorch_model.safetensors.index%s.json"},
        {"vae", "diffusion_pytorch_model", "diffusion_pytorch_model.safetensors.index%s.json"},
        {"text_encoder", "model", "model%s.safetensors"},
    };
    static const char *const variants[] = {"", ".bf16"};
    const char *path = make_folder("precedence");
    for (size_t i = 0; i < 6; i++) {
        const char *module = parts[i / 2].module, *stem = parts[i / 2].stem, *dot = variants[i % 2];
        char file[300], name[120], other[120];
        snprintf(file, sizeof file, "%s/%s", path, module);
        mkdir(file, 0700); // it may be there
        snprintf(file, sizeof file, "%s/%s%s.safetensors", module, stem, dot);
        put_tensor(path, file, "one");
        snprintf(name, sizeof name, "%s%s-00001-of-00001.safetensors", stem, dot);
        snprintf(file, sizeof file, "%s/%s", module, name);
        put_tensor(path, file, "shard");
        snprintf(file, sizeof file, "{\"weight_map\":{\"shard\":\"%s\"}}", name);
        snprintf(name, sizeof name, "%s/%s.safetensors.index%s.json", module, stem, dot);
        put(path, name, file);
        snprintf(name, sizeof name, parts[i / 2].first, dot);
        snprintf(other, sizeof other, i / 2 == 2 ? "but not %s.safetensors.index%s.json"
                                                 : "but not %s%s.safetensors", stem, dot);
        if (i % 2) // beside those without a variant, which are named first or last
            snprintf(other, sizeof other, "read, but not ");
        expect_choice(path, module, i % 2 ? "bf16" : NULL, name, other);
        if (i % 2) expect_choice(path, module, "fp16", i / 2 == 2 ? "model.safetensors"
                                 : "diffusion_pytorch_model.safetensors.index.json",
                                 "read, for want of the variant 'fp16'");
    }
    // The stem of the part's own library goes first.
    put_tensor(path, "text_encoder/diffusion_pytorch_model.safetensors", "other");
    expect_choice(path, "text_encoder", NULL, "model.safetensors",
                  "diffusion_pytorch_model.safetensors, ");
}
END_TEST

START_TEST(weights_shards) {
    const char *path = make_folder("shards");
    const char *index = "unet/diffusion_pytorch_model.safetensors.index.json";
    struct tt_weights *weights;
    struct tt_error err;
    put(path, index, "{\"metadata\":{\"total_size\":2},\"weight_map\":{\"a\":\"1.safetensors\","
                     "\"b\":\"2.safetensors\"}}");
    expect_refusal(path, "1.safetensors: cannot open");
    put_tensor(path, "unet/1.safetensors", "a");
    expect_refusal(path, "weight_map.b");
    put_tensor(path, "unet/2.safetensors", "c");
    expect_refusal(path, "weight_map.b: found no such tensor");
    put_tensor(path, "unet/2.safetensors", "a");
    expect_refusal(path, "tensor a: found in");
    put_tensor(path, "unet/2.safetensors", "b");
    ck_assert_msg(!open_unet(path, &weights, &err), "%s", err.message);
    ck_assert_uint_eq(tt_weights_count(weights), 2);
    ck_assert_str_eq(tt_weights_at(weights, 1)->name, "b");
    ck_assert_ptr_nonnull(tt_weights_expect(weights, "b"));
    tt_weights_close(weights);
    put(path, index, "{\"weight_map\":{\"a\":\"1.safetensors\"}}");
    ck_assert_msg(!open_unet(path, &weights, &err), "%s", err.message);
    ck_assert_ptr_null(tt_weights_expect(weights, "b"));
    tt_weights_close(weights);
    put_tensor(path, "unet/1.safetensors", "c");
    expect_refusal(path, "weight_map.a: found no such tensor");
    put_tensor(path, "unet/1.safetensors", "a");
    put(path, index, "{\"weight_map\":{\"a\":\"2.safetensors\",\"b\":\"1.safetensors\"}}");
    expect_refusal(path, "weight_map.a: found no such tensor");
    put(path, index, "{\"weight_map\":{\"a\":\"../unet/1.safetensors\"}}");
    expect_refusal(path, "expected the name of a file");
    put(path, index, "{\"weight_map\":{\"a\":\"..\"}}");
    expect_refusal(path, "leaves the folder");
    put(path, index, "{\"weight_map\":{\"a\":1}}");
    expect_refusal(path, "weight_map.a: found 1");
    put(path, index, "{\"weight_map\":[]}");
    expect_refusal(path, "weight_map: found a list of 0");
    put(path, index, "{}");
    expect_refusal(path, "weight_map: found nothing");
    put(path, index, "{");
    expect_refusal(path, "invalid JSON");
    put(path, "unet/1.safetensors", "");
    put(path, index, "{\"weight_map\":{\"a\":\"1.safetensors\"}}");
    expect_refusal(path, "found 0 bytes");
}
END_TEST

START_TEST(weights_other_names) {
    const char *path = make_folder("names");
    char file[700];
    snprintf(file, sizeof file, "%s/unet/model.safetensors", path);
    write_header(file, "{\"text_model.final.weight\":{\"dtype\":\"U8\",\"shape\":[1],"
                       "\"data_offsets\":[0,1]},"
                       "\"mid.0.query.weight\":{\"dtype\":\"U8\",\"shape\":[1],"
                       "\"data_offsets\":[1,2]},"
                       "\"mid.0.proj_attn.bias\":{\"dtype\":\"U8\",\"shape\":[1],"
                       "\"data_offsets\":[2,3]}}", 3);
    struct tt_weights *weights;
    struct tt_error err;
    ck_assert_msg(!open_unet(path, &weights, &err), "%s", err.message);
    ck_assert_ptr_nonnull(tt_weights_expect(weights, "final.weight"));
    ck_assert_ptr_nonnull(tt_weights_expect(weights, "mid.0.to_q.weight"));
    ck_assert_ptr_nonnull(tt_weights_expect(weights, "mid.0.to_out.0.bias"));
    ck_assert_ptr_null(tt_weights_expect(weights, "mid.0.to_k.weight"));
    ck_assert_uint_eq(tt_weights_note_unused(weights), 0);
    tt_weights_close(weights);
    put_tensor(path, "unet/model.safetensors", "final.weight");
    ck_assert_msg(!open_unet(path, &weights, &err), "%s", err.message);
    ck_assert_ptr_nonnull(tt_weights_expect(weights, "text_model.final.weight"));
    tt_weights_close(weights);
}
END_TEST

// One module with tensors of one byte each, all but the first of which nobody asks for.
static void expect_left(const char *path, const char *module, const char *const *names,
                        size_t left, const char *message) {
    char file[700], header[2000];
    size_t used = 0, count = 0;
    snprintf(file, sizeof file, "%s/%s", path, module);
    mkdir(file, 0700); // it may be there
    for (; names[count]; count++)
        used += (size_t)snprintf(header + used, sizeof header - used,
                                 "%c\"%s\":{\"dtype\":\"U8\",\"shape\":[1],"
                                 "\"data_offsets\":[%zu,%zu]}",
                                 count ? ',' : '{', names[count], count, count + 1);
    snprintf(header + used, sizeof header - used, "}");
    snprintf(file, sizeof file, "%s/%s/model.safetensors", path, module);
    write_header(file, header, count);
    struct tt_weights *weights;
    struct tt_error err = {0};
    ck_assert_msg(!open_part(path, module, NULL, &weights, &err), "%s", err.message);
    ck_assert_ptr_nonnull(tt_weights_expect(weights, names[0]));
    *noted = 0;
    ck_assert_uint_eq(tt_weights_note_unused(weights), left);
    ck_assert_msg(message ? strstr(noted, message) != NULL : !*noted, "noted \"%s\", not \"%s\"",
                  noted, message);
    tt_weights_close(weights);
}

#define NAMES(...) ((const char *const[]){__VA_ARGS__, NULL})

START_TEST(weights_left_over) {
    const char *path = make_folder("left"), *clip = "text_encoder";
    expect_left(path, clip, NAMES("a"), 0, NULL);
    expect_left(path, clip, NAMES("a", "text_model.embeddings.position_ids", "logit_scale",
                                  "text_projection.weight"), 0, NULL);
    expect_left(path, clip, NAMES("a", "my_position_ids"), 1, "/text_encoder/model.safetensors: "
                "found 1 tensor that text_encoder/config.json has no place for, ignored: "
                "'my_position_ids'\n");
    expect_left(path, clip, NAMES("a", "position_ids.b"), 1, "'position_ids.b'");
    expect_left(path, "unet", NAMES("a", "b.position_ids"), 1, "that unet/config.json");
    expect_left(path, "vae", NAMES("a", "logit_scale", "b"), 2, "found 2 tensors that vae/config"
                ".json has no place for, ignored: 'b', 'logit_scale'\n");
    expect_left(path, "vae", NAMES("m", "x", "model_ema.a", "y", "z"), 4,
                "ignored: 'model_ema.a', 'x', 'y', ...\n");
}
END_TEST

// Files that lead elsewhere, caches of hubs, and parts without a folder of their own.
START_TEST(links_and_layouts) {
    char path[600], to[600];
    struct tt_folder *folder;
    struct tt_bytes bytes;
    struct tt_error err = {0};
    const char *outside = make_folder("elsewhere"), *cache = make_folder("models--a--b");
    put(outside, "unet/config.json", "{}");
    for (const char *const *d = NAMES("blobs", "refs", "snapshots", "snapshots/abc"); *d; d++) {
        snprintf(path, sizeof path, "%s/%s", cache, *d);
        ck_assert(!mkdir(path, 0700));
    }
    put(cache, "blobs/1", "{}");
    put(cache, "refs/main", "abc\n");
    ck_assert_int_eq(tt_folder_open(cache, &folder, &err), TT_BAD_INPUT);
    snprintf(to, sizeof to, "expected a snapshot of it: %s/snapshots/abc", cache);
    ck_assert_msg(strstr(err.message, to) != NULL, "%s", err.message);
    snprintf(path, sizeof path, "%s/snapshots/abc/model_index.json", cache);
    ck_assert(!symlink("../../blobs/1", path));
    snprintf(path, sizeof path, "%s/snapshots/abc/unet", cache);
    snprintf(to, sizeof to, "%s/unet", outside);
    ck_assert(!symlink(to, path));
    put(cache, "snapshots/abc/config.json", "{\"root\": 1}");
    snprintf(path, sizeof path, "%s/snapshots/abc", cache);
    ck_assert(!tt_folder_open(path, &folder, NULL));
    tt_folder_tell(folder, &notes);
    tt_folder_spread(folder, "unet vae");
    *noted = 0;
    ck_assert(!tt_folder_read(folder, "model_index.json", &bytes, NULL));
    tt_bytes_free(&bytes);
    ck_assert_str_eq(noted, "");
    ck_assert(!tt_folder_read(folder, "unet/config.json", &bytes, NULL));
    ck_assert_uint_eq(bytes.size, 2);
    tt_bytes_free(&bytes);
    ck_assert_msg(strstr(noted, "/snapshots/abc/unet is a link that leads outside the folder, to "),
                  "%s", noted);
    // No folder "vae": the file in the folder itself.
    ck_assert(tt_folder_has(folder, "vae/config.json") && !tt_folder_has(folder, "vae/x.json"));
    ck_assert(!tt_folder_has(folder, "va/config.json") && !tt_folder_has(folder, "x/config.json"));
    ck_assert(!tt_folder_read(folder, "vae/config.json", &bytes, NULL));
    ck_assert_uint_eq(bytes.size, 11);
    tt_bytes_free(&bytes);
    ck_assert_int_eq(tt_folder_read(folder, "vae/x.json", &bytes, &err), TT_BAD_INPUT);
    tt_folder_close(folder);
}
END_TEST

START_TEST(folders) {
    struct tt_folder *folder;
    struct tt_error err = {0};
    ck_assert_int_eq(tt_folder_open(test_path("nowhere"), &folder, &err), TT_BAD_INPUT);
    const char *path = make_folder("folder");
    err = (struct tt_error){0};
    ck_assert_int_eq(tt_folder_open(path, &folder, &err), TT_BAD_INPUT);
    ck_assert_ptr_nonnull(strstr(err.message, "model_index.json is missing"));
    put(path, "model_index.json", "{}");
    err = (struct tt_error){0};
    ck_assert_msg(!tt_folder_open(path, &folder, &err), "%s", err.message);
    struct tt_bytes bytes;
    ck_assert(!tt_folder_read(folder, "model_index.json", &bytes, &err) && bytes.size == 2);
    tt_bytes_free(&bytes);
    static const char *const outside[] = {"../x", "/etc/passwd", "unet/../../x", "", ".."};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        ck_assert(!tt_folder_has(folder, outside[i]));
        ck_assert_int_eq(tt_folder_read(folder, outside[i], &bytes, NULL), TT_BAD_INPUT);
    }
    tt_folder_close(folder);

    static const unsigned char text[] = "{}";
    const struct tt_embedded_file files[] = {{"a/b.json", text, text + 2}};
    ck_assert(!tt_folder_open_embedded("inside", files, 1, &folder, &err));
    ck_assert(tt_folder_has(folder, "a/b.json") && !tt_folder_has(folder, "a"));
    ck_assert(!tt_folder_read(folder, "a/b.json", &bytes, &err) && bytes.size == 2);
    tt_bytes_free(&bytes);
    ck_assert_int_eq(tt_folder_read(folder, "a/c.json", &bytes, &err), TT_BAD_INPUT);
    ck_assert_str_eq(err.message, "inside/a/c.json: is missing");
    tt_folder_close(folder);
}
END_TEST

// Every half goes to float and back; every float between two goes to the nearer, halfway to even.
START_TEST(halves) {
    for (uint32_t h = 0; h < 0x7c00; h++) {
        float x = tt_half_to_float((uint16_t)h);
        ck_assert_uint_eq(tt_half_from_float(x), h);
        ck_assert_uint_eq(tt_half_from_float(-x), h | 0x8000);
        if (h == 0x7bff) break; // the last finite one
        float next = tt_half_to_float((uint16_t)(h + 1)), middle = x + (next - x) / 2;
        ck_assert(x < middle && middle < next);
        ck_assert_uint_eq(tt_half_from_float(middle), h + (h & 1));
        ck_assert_uint_eq(tt_half_from_float(nextafterf(middle, 0)), h);
        ck_assert_uint_eq(tt_half_from_float(nextafterf(middle, INFINITY)), h + 1);
    }
    ck_assert(tt_half_to_float(0x3555) == 0x1.554p-2f && tt_half_to_float(0x7bff) == TT_HALF_MOST);
    ck_assert(isinf(tt_half_to_float(0x7c00)) && isnan(tt_half_to_float(0x7e00)));
}
END_TEST

static Suite *safetensors_suite(void) {
    Suite *suite = suite_create("safetensors");
    TCase *tcase = tcase_create("safetensors");
    tcase_add_test(tcase, good_file);
    tcase_add_loop_test(tcase, hostile_file, 0, sizeof hostile / sizeof *hostile);
    tcase_add_test(tcase, cut_and_false_lengths);
    tcase_add_test(tcase, deep_nesting);
    tcase_add_test(tcase, no_regular_file);
    tcase_add_test(tcase, write_and_read_back);
    tcase_add_test(tcase, write_refuses);
    tcase_add_test(tcase, halves);
    suite_add_tcase(suite, tcase);
    TCase *weights = tcase_create("weights");
    tcase_add_test(weights, weights_single_and_variants);
    tcase_add_test(weights, weights_shards);
    tcase_add_test(weights, weights_other_names);
    tcase_add_test(weights, weights_left_over);
    tcase_add_test(weights, weights_precedence);
    tcase_add_test(weights, links_and_layouts);
    tcase_add_test(weights, folders);
    suite_add_tcase(suite, weights);
    return suite;
}

int main(void) {
    return test_main(safetensors_suite(), NULL);
}
