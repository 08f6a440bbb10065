// SPDX-License-Identifier: MIT
// The doctor: each finding on a small case of its own, and files as other programs write them
// (reference/make_doctor.py).
#include "examined.h"
#include "util.h"

#include "io/json.h"
#include "tintype.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[256];

static void open_folder(void) {
    char command[600]; // what a test that failed has left
    snprintf(folder, sizeof folder, "%s", test_path("m"));
    snprintf(command, sizeof command, "rm -rf '%s' && mkdir '%s'", folder, folder);
    ck_assert(!system(command));
    examined_open();
}

static void close_folder(void) {
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    ck_assert(!system(command));
    examined_close();
}

// ---- what lies there ----

static void shell(const char *format, const char *a, const char *b) {
    char command[1300];
    snprintf(command, sizeof command, format, a, b);
    ck_assert_msg(!system(command), "%s", command);
}

// A path in the folder; of a ring of four.
static const char *in(const char *name) {
    static char paths[4][600];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void write_bytes(const char *name, const void *data, size_t size) {
    FILE *file = fopen(in(name), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(data, 1, size, file), size);
    ck_assert(!fclose(file));
}

static void write_text(const char *name, const char *text) {
    write_bytes(name, text, strlen(text));
}

// A safetensors file of that header and so many bytes of zeros behind it.
static void write_header(const char *name, const char *header, size_t data) {
    unsigned char bytes[8192] = {0};
    size_t length = strlen(header);
    ck_assert(8 + length + data <= sizeof bytes);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)((uint64_t)length >> 8 * i);
    memcpy(bytes + 8, header, length);
    write_bytes(name, bytes, 8 + length + data);
}

static struct tt_view view_of(const char *name, size_t rows, size_t columns, const float *data) {
    return (struct tt_view){.name = name, .dtype = TT_F32,
                            .shape = {columns ? 2 : 1, {rows, columns}}, .data = data,
                            .bytes = 4 * rows * (columns ? columns : 1)};
}

static void write_tensors(const char *name, const struct tt_view *views, size_t count,
                          const char *const *metadata) {
    struct tt_error err = {0};
    ck_assert_msg(!tt_safetensors_write(NULL, in(name), views, count, metadata, &err), "%s",
                  err.message);
}

// A copy of a model as `folder`.
static void take_model(const char *model) {
    char command[1300];
    snprintf(command, sizeof command, "rm -rf '%s' && cp -r '%s' '%s' && chmod -R u+w '%s'", folder,
             model, folder, folder);
    ck_assert_msg(!system(command), "%s", command);
}

// Of the first finding with that code: what to do, and what was expected.
static void must_advise(const char *code, const char *text) {
    examined_find(code, NULL, NULL);
    ck_assert_ptr_nonnull(strstr(examined_finding(code, NULL, NULL)->advice, text));
}

static void must_expect(const char *code, const char *text) {
    examined_find(code, NULL, NULL);
    ck_assert_ptr_nonnull(strstr(examined_finding(code, NULL, NULL)->expected, text));
}

// One file of that content: what is found, and that it is an error.
static void try_file(const char *name, const void *data, size_t size, const char *code,
                     const char *found) {
    write_bytes(name, data, size);
    examined_look(in(name));
    examined_find(code, NULL, found);
    ck_assert_int_eq(examined_finding(code, NULL, found)->severity, TT_IS_ERROR);
    examined_be("unreadable", false);
}

static void try_text(const char *name, const char *text, const char *code, const char *found) {
    try_file(name, text, strlen(text), code, found);
}

// ---- files that are none of ours ----

START_TEST(bytes) {
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n"
                                  "size 4265146304\n";
    static const unsigned char pickle[] = {0x80, 2, 0x8a, 10, 'l', 0xfc, 0x9c, 'F', 0xf9, ' '};
    static const char zip[40] = "PK\3\4\24\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\5\0\0\0a.txt";
    static const char torch[64] =
        "PK\3\4\24\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\20\0\0\0archive/data.pklxx";
    static const char zeros[5000];
    char tar[600] = "model.safetensors";
    memcpy(tar + 257, "ustar", 5);
    try_text("a.safetensors", pointer, "git-lfs-pointer", "4265146304 bytes");
    ck_assert_ptr_nonnull(strstr(examined_finding("git-lfs-pointer", NULL, NULL)->advice,
                                 "git lfs pull -I \"a.safetensors\""));
    try_text("b.safetensors", " <!DOCTYPE html><html><head><title>Sign in</title>", "web-page",
             "\"Sign in\"");
    try_text("c.safetensors", "Entry not found", "text-file", "\"Entry not found\"");
    try_text("d.safetensors", "{\"error\": \"401\"}", "text-file", "{\"error\"");
    try_text("e.xml", "<?xml version=\"1.0\"?>\n<net name=\"unet\" version=\"11\">", "openvino",
             "graph");
    try_text("f", "", "empty-file", "0 bytes");
    try_file("g.safetensors", zeros, sizeof zeros, "half-download", "zeros");
    try_file("h.ckpt", pickle, sizeof pickle, "pickle", NULL);
    must_advise("pickle", "weights_only=True");
    try_file("i.pt", torch, sizeof torch, "pickle", NULL);
    try_file("j.zip", zip, sizeof zip, "archive", "ZIP");
    try_file("k.tar", tar, sizeof tar, "archive", "tar");
    try_file("l.msgpack", "\x83\xa6params\xc0", 9, "flax", NULL);
    try_file("m.onnx", "\x08\x07\x12\x07pytorch", 11, "onnx", NULL);
    try_file("n.engine", "\1\2\3\4\5\6\7\x80\x81", 9, "tensorrt", NULL);
    try_file("o.mlmodel", "\1\2\3\4\5\6\7\x80\x81", 9, "coreml", NULL);
    try_file("p.h5", "\x89HDF\r\n\x1a\n\1\2", 10, "tensorflow", NULL);
    try_file("q.bin", "\1\2\3\4\5\6\7\x80\x81", 9, "unknown-file", NULL);
    write_text("r.xml", "x");
    try_file("r.bin", "\1\2\3\4\5\6\7\x80\x81", 9, "openvino", "weights");
    try_text("s.json", "{\"_class_name\": \"AutoencoderKL\"", "broken-header", NULL);
    write_text("t.json", "{\"_class_name\": \"AutoencoderKL\"}");
    examined_look(in("t.json"));
    examined_be("configuration", false);
    examined_know("", "class", "AutoencoderKL");
    try_file("u.gif", "GIF89a\1\2\3\4", 10, "unknown-file", "GIF");
}
END_TEST

START_TEST(nothing) {
    struct tt_examination *none;
    struct tt_error err = {0};
    ck_assert_int_eq(tt_examine(in("none"), examined_engine(), NULL, &none, &err), TT_BAD_INPUT);
    ck_assert_ptr_null(none);
    ck_assert_ptr_nonnull(strstr(err.message, "none: cannot open: No such file"));
    err = (struct tt_error){0};
    ck_assert_int_eq(tt_examine("/dev/null", examined_engine(), NULL, &none, &err), TT_BAD_INPUT);
    ck_assert_ptr_nonnull(strstr(err.message, "found a special file, expected a file or a folder"));
}
END_TEST

START_TEST(codes) {
    const char *code, *means, *kind, *is, *other;
    enum tt_severity severity;
    size_t n = 0, k = 0;
    for (; tt_finding_code(n, &code, &severity, &means); n++) {
        ck_assert(*code && *means && severity <= TT_IS_ERROR);
        for (size_t i = 0; i < n; i++) {
            tt_finding_code(i, &other, &severity, &means);
            ck_assert_str_ne(code, other);
        }
    }
    for (; tt_kind_list(k, &kind, &is); k++) ck_assert(*kind && *is);
    ck_assert(n > 30 && k > 20);
}
END_TEST

// ---- headers ----

START_TEST(headers) {
    static const char one[] = "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    write_header("a.safetensors", one, 7);
    examined_look(in("a.safetensors"));
    examined_find("cut-short", NULL, "1 tensors are missing or cut");
    must_expect("cut-short", "as its header says");
    write_header("a.safetensors", one, 9);
    examined_look(in("a.safetensors"));
    examined_find("too-long", NULL, NULL);
    write_bytes("a.safetensors", "\377\0\0\0\0\0\0\0{\"x\":", 13);
    examined_look(in("a.safetensors"));
    examined_find("cut-short", NULL, "a header of 255 bytes in a file of 13");
    write_bytes("a.safetensors", "\1\2\3\4\5", 5);
    examined_look(in("a.safetensors"));
    examined_find("cut-short", NULL, "5 bytes");
    write_header("a.safetensors", "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                 "\"y\":{\"dtype\":\"F99\",\"shape\":[2],\"data_offsets\":[8,16]},"
                 "\"z\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[8,16]},"
                 "\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,12]},\"v\":3}", 8);
    examined_look(in("a.safetensors")); // each of them is told, and the one that is good is read
    examined_find("broken-header", "y", "F99");
    examined_find("broken-header", "z", NULL);
    examined_find("broken-header", "w", "data_offsets of 8 to 12");
    examined_find("broken-header", "v", NULL);
    examined_find("unknown-kind", NULL, "1 tensors");
    write_header("a.safetensors", "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
                 "\"y\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12);
    examined_look(in("a.safetensors"));
    examined_find("broken-header", "y", NULL);
    must_expect("broken-header", "overlap");
    write_header("a.safetensors", "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}",
                 8);
    examined_look(in("a.safetensors"));
    examined_find("broken-header", NULL, NULL);
    write_header("a.part", one, 2);
    examined_look(in("a.part"));
    examined_find("half-download", NULL, ".part");
    examined_find("cut-short", NULL, NULL);
}
END_TEST

// A thousand tensors that are all wrong: so many are listed, the rest is counted.
START_TEST(many) {
    enum { MANY = 1000 };
    char *header = malloc(100 * MANY);
    size_t used = 0;
    for (int i = 0; i < MANY; i++)
        used += (size_t)sprintf(header + used, "%c\"t%d\":{\"dtype\":\"X\",\"shape\":[],"
                                "\"data_offsets\":[0,0]}", i ? ',' : '{', i);
    header[used++] = '}';
    FILE *file = fopen(in("a.safetensors"), "wb");
    uint64_t length = used;
    ck_assert(fwrite(&length, 8, 1, file) == 1 && fwrite(header, used, 1, file) == 1);
    ck_assert(!fclose(file));
    free(header);
    examined_look(in("a.safetensors"));
    ck_assert_uint_eq(examined_count("broken-header"), 100);
    examined_find("more", NULL, "900 more of broken-header");
}
END_TEST

// ---- values ----

START_TEST(values) {
    enum { N = 70000 };
    float *x = malloc(N * sizeof *x);
    for (int i = 0; i < N; i++) x[i] = (float)i * 0.001f;
    x[65537] = NAN;
    x[66000] = -INFINITY;
    x[66001] = INFINITY;
    static const float zeros[64], ones[64] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const uint16_t halves[4] = {0x3c00, 0x7c00, 0x7e00, 0};
    static const uint8_t eighths[4] = {0x7f, 0x7e, 0xff, 1};
    const struct tt_view views[] = {
        view_of("a.weight", 700, 100, x),
        view_of("b.weight", 8, 8, zeros),
        view_of("c.weight", 4, 4, ones),
        view_of("d.bias", 8, 0, zeros),
        view_of("norm.weight", 8, 0, zeros),
        {"e.weight", TT_F16, {2, {2, 2}}, halves, 8},
        {"f.weight", TT_U8, {2, {2, 2}}, eighths, 4},
    };
    write_tensors("v.safetensors", views, sizeof views / sizeof *views, NULL);
    examined_look(in("v.safetensors"));
    examined_find("not-finite", "a.weight", "1 NaN and 2 infinite of 70000 values (700, 100), the "
              "first at 65537");
    examined_find("not-finite", "e.weight", "1 NaN and 1 infinite of 4 values (2, 2), the first "
                  "at 1");
    examined_find("all-zero", "b.weight", "64 zeros");
    examined_find("constant", "c.weight", NULL);
    examined_find("all-zero", "norm.weight", NULL);
    ck_assert_ptr_null(examined_finding("all-zero", "d.bias", NULL)); // as biases begin
    examined_be("tensors", false);
    examined_look_as(in("v.safetensors"), true, NULL);
    ck_assert_ptr_null(examined_finding("not-finite", NULL, NULL));
    examined_be("tensors", true);
    free(x);
}
END_TEST

static int stop(void *context, uint64_t done, uint64_t all) {
    ck_assert(done && done <= all);
    return ++*(int *)context;
}

START_TEST(cancelled) {
    static const float x[4] = {1, 2, 3, 4};
    const struct tt_view view = view_of("a.weight", 2, 2, x);
    struct tt_examine_settings settings;
    struct tt_examination *none = NULL;
    struct tt_error err = {0};
    int calls = 0;
    write_tensors("v.safetensors", &view, 1, NULL);
    tt_examine_defaults(&settings, sizeof settings);
    settings.progress = stop;
    settings.context = &calls;
    ck_assert_int_eq(tt_examine(in("v.safetensors"), examined_engine(), &settings, &none, &err),
                     TT_CANCELLED);
    ck_assert_ptr_null(none);
    ck_assert_int_eq(calls, 1);
}
END_TEST

// ---- what others write ----

START_TEST(loras) {
    examined_look("reference/doctor/lora-kohya.safetensors");
    examined_be("lora", true);
    examined_know("", "family", "Stable Diffusion 1.x");
    examined_know("", "algorithm", "LoRA");
    examined_know("", "writer", "kohya");
    examined_know("", "rank", "2");
    examined_know("", "alpha", "1");
    examined_know("", "trains", "unet");
    examined_know("", "trains", "text_encoder");
    examined_know("", "target_modules", "attn2.to_k: 4");
    examined_know("", "target_modules", "q_proj: 1");
    examined_know("", "trigger_words", "ohwx");
    examined_know("", "trigger_words", "ohwx castle");
    examined_know("", "tags", "building: 30");
    examined_know("", "tags", "a \"tower\": 3");
    examined_know("", "title", "Castles");
    ck_assert(examined_number("", "modules") == 34);
    examined_look("reference/doctor/lora-diffusers.safetensors");
    examined_be("lora", true);
    examined_know("", "family", "Stable Diffusion 1.x");
    examined_know("", "writer", "diffusers");
    examined_know("", "rank", "2");
    examined_know("", "alpha", "4");
    examined_know("", "trains", "text_encoder");
    examined_know("", "target_modules", "attn1.to_out: 4");
    examined_look("reference/doctor/lora-peft"); // a DoRA
    examined_be("lora-like", true);
    examined_find("no-use-here", NULL, NULL);
    examined_know("", "family", "Stable Diffusion 1.x");
    examined_know("", "algorithm", "DoRA");
    examined_know("", "writer", "peft");
    examined_know("", "rank", "3");
    examined_know("", "alpha", "3");
    examined_look("reference/doctor/lora-xl.safetensors");
    examined_be("lora", true);
    examined_know("", "family", "Stable Diffusion XL");
    examined_know("", "rank", "1 to 2");
    examined_know("", "alpha", "0.5 to 1");
    examined_know("", "trains", "text_encoder_2");
}
END_TEST

START_TEST(broken_loras) {
    static const float x[64] = {1, 2, 3};
    const struct tt_view views[] = {
        view_of("lora_unet_a_attn1_to_q.lora_down.weight", 2, 8, x),
        view_of("lora_unet_a_attn1_to_q.lora_up.weight", 8, 4, x),
        view_of("lora_unet_b_attn1_to_q.lora_down.weight", 2, 8, x),
        view_of("lora_unet_c_attn1_to_q.hada_w1_a", 8, 4, x),
        view_of("lora_unet_c_attn1_to_q.hada_w1_b", 4, 8, x),
        view_of("something.else", 2, 2, x),
    };
    const char *const metadata[] = {"ss_tag_frequency", "{not JSON", NULL};
    write_tensors("l.safetensors", views, sizeof views / sizeof *views, metadata);
    examined_look(in("l.safetensors"));
    examined_be("lora", false);
    examined_find("unpaired-tensor", "lora_unet_a_attn1_to_q.lora_down.weight", "ranks 2 and 4");
    examined_find("unpaired-tensor", "lora_unet_b_attn1_to_q.lora_down.weight", "no other half");
    const char *good = "lora_unet_c_attn1_to_q.hada_w1_b";
    ck_assert_ptr_null(examined_finding("unpaired-tensor", good, NULL));
    examined_find("superfluous-tensors", "something.else", NULL);
    examined_find("noted", NULL, "ss_tag_frequency");
    examined_know("", "rank", "2 to 4");
}
END_TEST

START_TEST(adapters) {
    examined_look("reference/doctor/embedding-diffusers.safetensors");
    examined_be("embedding", true);
    examined_know("", "family", "Stable Diffusion 1.x");
    examined_know("", "trigger_words", "<castle>");
    ck_assert(examined_number("", "vectors") == 2 && examined_number("", "width") == 768);
    examined_look("reference/doctor/embedding-webui.safetensors");
    examined_be("embedding", true);
    examined_know("", "form", "emb_params");
    ck_assert(examined_number("", "vectors") == 2 && examined_number("", "width") == 768);
    examined_look("reference/doctor/embedding-xl.safetensors");
    examined_be("embedding", true);
    examined_know("", "family", "Stable Diffusion XL");
    examined_look("reference/doctor/controlnet");
    examined_be("controlnet", true);
    examined_know("", "family", "Stable Diffusion 1.x");
    ck_assert(examined_number("", "conditioning_channels") == 3);
    examined_look("reference/doctor/controlnet/diffusion_pytorch_model.safetensors");
    examined_be("controlnet", true);
    examined_look("reference/doctor/t2i-adapter");
    examined_be("t2i-adapter", true);
    examined_look("reference/doctor/t2i-adapter/diffusion_pytorch_model.safetensors");
    examined_be("t2i-adapter", true);
    examined_look("reference/doctor/unet-f8.safetensors");
    examined_be("unet", false);
    examined_know("", "dtypes", "F8_E4M3");
    examined_find("unknown-quantisation", NULL, "3 tensors of F8_E4M3");
}
END_TEST

// Kinds by a few names each.
static void try_names(const char *kind, const char *family, const char *const *names,
                      size_t columns) {
    static float x[4096];
    struct tt_view views[8];
    size_t count = 0;
    for (size_t i = 0; i < 4096; i++) x[i] = (float)i;
    for (; names[count]; count++) views[count] = view_of(names[count], 1, columns, x);
    write_tensors("k.safetensors", views, count, NULL);
    examined_look(in("k.safetensors"));
    ck_assert_str_eq(examined_kind(), kind);
    if (family) examined_know("", "family", family);
}

#define NAMES(...) (const char *const[]){__VA_ARGS__, NULL}
START_TEST(kinds) {
    static const char to_k[] =
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight";
    try_names("checkpoint", "Stable Diffusion 1.x", NAMES(to_k, "first_stage_model.decoder.x",
              "cond_stage_model.transformer.text_model.x"), 768);
    examined_know("", "holds", "vae");
    try_names("checkpoint", "Stable Diffusion 2.x", NAMES(to_k, "first_stage_model.decoder.x",
              "cond_stage_model.model.x"), 1024);
    try_names("checkpoint", "Stable Diffusion XL", NAMES(to_k, "conditioner.embedders.0.x",
              "conditioner.embedders.1.model.x"), 2048);
    try_names("checkpoint", "Stable Diffusion XL refiner", NAMES(to_k,
              "conditioner.embedders.0.model.x"), 1280);
    try_names("unet", "Stable Diffusion 2.x", NAMES(to_k), 1024);
    try_names("unet", NULL, NAMES("model.diffusion_model.input_blocks.0.0.weight"), 9);
    examined_know("", "variant", "for inpainting");
    try_names("vae", NULL, NAMES("encoder.conv_in.weight", "decoder.conv_in.weight"), 3);
    try_names("text-encoder", "Stable Diffusion 1.x",
              NAMES("text_model.embeddings.token_embedding.weight"), 768);
    try_names("ip-adapter", NULL, NAMES("image_proj.proj.weight", "ip_adapter.1.x"), 4);
    try_names("upscaler", NULL, NAMES("conv_first.weight", "body.0.rdb1.conv1.weight"), 3);
    try_names("motion-module", NULL, NAMES("down_blocks.0.motion_modules.0.temporal_transformer.x"),
              3);
    try_names("latents", NULL, NAMES("latents"), 16);
    try_names("foreign-file", "Flux", NAMES("double_blocks.0.img_attn.qkv.weight",
              "single_blocks.0.linear1.weight"), 3);
    examined_find("foreign-family", NULL, "Flux");
    must_advise("foreign-family", "would need");
    try_names("foreign-file", "Stable Diffusion 3",
              NAMES("model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight"), 3);
    examined_be("foreign-file", false);
    try_names("unet", NULL, NAMES(to_k, "x.weight.quant_state.bitsandbytes__nf4"), 768);
    examined_find("unknown-quantisation", NULL, "NF4");
    examined_look("reference/gguf/blocks.gguf");
    examined_be("tensors", true);
    examined_find("quantised", NULL, "8 of 11 tensors");
}
END_TEST

START_TEST(gguf) {
    size_t size;
    char *data = test_read("reference/gguf/blocks.gguf", &size);
    write_bytes("a.gguf", data, size - 100);
    examined_look(in("a.gguf"));
    examined_find("cut-short", NULL, NULL);
    write_bytes("a.gguf", data, 40);
    examined_look(in("a.gguf"));
    examined_find("cut-short", NULL, NULL);
    write_bytes("a.safetensors", data, size);
    examined_look(in("a.safetensors"));
    examined_find("wrong-name", NULL, "GGUF");
    free(data);
}
END_TEST

// ---- pictures, recordings, checkpoints ----

START_TEST(ours) {
    examined_look("reference/pictures/lighthouse.png");
    examined_be("picture", true);
    examined_know("", "format", "PNG");
    examined_know("", "settings_of", "tintype");
    ck_assert(examined_number("", "width") == 128);
    size_t size;
    char *data = test_read("reference/pictures/lighthouse.png", &size);
    write_bytes("a.png", data, size / 2);
    examined_look(in("a.png"));
    examined_find("broken-picture", NULL, NULL);
    free(data);
    examined_look("reference/recordings/sd15");
    examined_be("recording", true);
    ck_assert(examined_number("", "calls") == 6);
    shell("cp -r reference/recordings/sd15 '%s/r' && chmod -R u+w '%s/r'", folder, folder);
    shell("truncate -s 3 $(ls '%s/r/'*.safetensors | head -n 1)%s", folder, "");
    examined_look(in("r"));
    examined_find("cannot-open", NULL, NULL);
    const char *const metadata[] = {"format", "tintype-checkpoint-1", NULL};
    static const float x[4] = {1, 2, 3, 4};
    const struct tt_view view = view_of("unet/weight/a", 2, 2, x);
    write_tensors("c.safetensors", &view, 1, metadata);
    examined_look(in("c.safetensors"));
    examined_be("training-checkpoint", true);
}
END_TEST

// ---- folders ----

START_TEST(sound_models) {
    static const char *const models[] = {"reference/tiny/sd15", "reference/tiny/sd21",
                                         "reference/models/scenes", "reference/tiny/ddpm",
                                         "reference/tiny/lcm", "reference/tiny/variants/sharded"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        examined_look(models[i]);
        examined_be("diffusers-folder", true);
        ck_assert(examined_number("cost", "peak_bytes") > examined_number("cost", "weight_bytes"));
        ck_assert(examined_number("cost", "seconds") > 0 && examined_number("cost", "flops") > 0);
        ck_assert(examined_number("unet", "tensors") > 100);
    }
    examined_know("", "pipeline", "StableDiffusionPipeline");
    examined_look("reference/models/scenes");
    examined_know("", "prediction_type", "v_prediction");
    examined_know("unet", "class", "UNet2DConditionModel");
    examined_know("vae", "dtypes", "F16");
    examined_look("reference/tiny/xl");
    examined_be("diffusers-folder", true);
    examined_know("", "family", "Stable Diffusion XL");
    ck_assert(examined_number("text_encoder_2", "tensors") > 20);
    examined_look("reference/tiny/xl-refiner");
    examined_be("refiner", true);
    examined_look("reference/tiny/taesd");
    examined_be("vae-folder", true);
    examined_know("", "use", "--vae PATH");
    examined_look("reference/tiny/sd15/unet");
    examined_be("unet", true);
    examined_know("", "use", "-m MODEL --unet PATH");
    examined_know("unet", "class", "UNet2DConditionModel");
    examined_look("reference/tiny/sd15/text_encoder");
    examined_be("text-encoder", true);
    examined_find("no-use-here", NULL, NULL);
    examined_look("reference/tiny/sd15/vae");
    examined_be("vae-folder", true);
}
END_TEST

START_TEST(missing) {
    take_model("reference/tiny/sd15");
    ck_assert(!unlink(in("unet/diffusion_pytorch_model.safetensors")));
    examined_look(folder);
    examined_find("missing-weights", NULL, "found no weights");
    examined_know("vae", "class", "AutoencoderKL"); // the rest is looked at all the same
    write_bytes("unet/diffusion_pytorch_model.bin", "\x80\2\x8a\n", 4);
    examined_look(folder);
    examined_find("pickle", NULL, NULL);
    write_text("unet/diffusion_pytorch_model.safetensors",
               "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n");
    examined_look(folder);
    examined_find("git-lfs-pointer", NULL, NULL);
    write_bytes("unet/diffusion_pytorch_model.safetensors", "\377\0\0\0\0\0\0\0{\"x\":", 13);
    examined_look(folder);
    examined_find("cut-short", NULL, NULL);
    examined_be("diffusers-folder", false);
    shell("rm -r '%s/text_encoder' '%s/tokenizer'", folder, folder);
    examined_look(folder);
    examined_find("missing-file", NULL, "no such folder");
    take_model("reference/tiny/sd15");
    write_text("scheduler/scheduler_config.json",
               "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n");
    examined_look(folder);
    examined_find("git-lfs-pointer", NULL, NULL);
    examined_know("unet", "class", "UNet2DConditionModel");
    take_model("reference/tiny/sd15");
    ck_assert(!unlink(in("vae/config.json")));
    ck_assert(!symlink("../../blobs/none", in("vae/config.json")));
    examined_look(folder);
    examined_find("missing-file", NULL, "a link to ../../blobs/none, which is not there");
    take_model("reference/tiny/sd15");
    ck_assert(!unlink(in("model_index.json")));
    examined_look(folder);
    examined_be("diffusers-folder", false);
    examined_find("missing-file", NULL, "no such file");
    ck_assert_uint_eq(examined_count("cannot-open"), 0); // the same thing again
    examined_know("unet", "class", "UNet2DConditionModel");
    take_model("reference/tiny/variants/sharded");
    shell("rm $(ls '%s'/unet/*-of-*.safetensors | head -n 1)%s", folder, "");
    examined_look(folder);
    examined_find("missing-shard", NULL, NULL);
}
END_TEST

// One part's tensors changed: one away, one of another shape, one of another dtype, one too many,
// one of zeros, one not finite.
START_TEST(tensors) {
    struct tt_safetensors *file;
    struct tt_error err = {0};
    static const int32_t whole[8192];
    static const float zeros[65536];
    static float bad[8192];
    take_model("reference/tiny/sd15");
    ck_assert(!tt_safetensors_open(
        NULL, "reference/tiny/sd15/unet/diffusion_pytorch_model.safetensors", &file, &err));
    size_t count = tt_safetensors_count(file), kept = 0;
    struct tt_view *views = calloc(count + 1, sizeof *views);
    for (size_t i = 0; i < 8192; i++) bad[i] = i == 5 ? INFINITY : (float)i;
    for (size_t i = 0; i < count; i++) {
        struct tt_view view = *tt_safetensors_at(file, i);
        if (!strcmp(view.name, "conv_out.bias")) continue;
        if (!strcmp(view.name, "conv_in.bias")) {
            view.shape = (struct tt_shape){1, {3}};
            view.bytes = 12;
        }
        if (!strcmp(view.name, "time_embedding.linear_1.bias")) {
            view.dtype = TT_I32;
            view.data = whole;
        }
        if (!strcmp(view.name, "time_embedding.linear_2.weight")) view.data = zeros;
        if (!strcmp(view.name, "time_embedding.linear_2.bias")) view.data = bad;
        views[kept++] = view;
    }
    views[kept++] = view_of("what.is.this", 2, 2, zeros);
    ck_assert(!tt_safetensors_write(NULL, in("unet/diffusion_pytorch_model.safetensors"), views,
                                    kept, NULL, &err));
    free(views);
    tt_safetensors_close(file);
    examined_look(folder);
    examined_be("diffusers-folder", false);
    examined_find("missing-tensor", "conv_out.bias", NULL);
    ck_assert_str_eq(examined_finding("missing-tensor", NULL, NULL)->expected, "(4)");
    examined_find("misshapen-tensor", "conv_in.bias", "(3)");
    examined_find("wrong-dtype", "time_embedding.linear_1.bias", "I32");
    examined_find("superfluous-tensors", NULL, "what.is.this");
    examined_find("all-zero", "time_embedding.linear_2.weight", NULL);
    examined_find("not-finite", "time_embedding.linear_2.bias", "0 NaN and 1 infinite");
}
END_TEST

START_TEST(folders) {
    examined_look(folder);
    examined_find("empty-folder", NULL, NULL);
    write_text("notes.txt", "nothing");
    examined_look(folder);
    examined_find("no-model", NULL, "1 files and 0 folders");
    write_text("model_index.json", "{\"_class_name\": \"FluxPipeline\"}");
    examined_look(folder);
    examined_be("foreign-folder", false);
    examined_find("foreign-family", NULL, "Flux (FluxPipeline)");
    must_advise("foreign-family", "it would need");
    write_text("model_index.json", "{\"_class_name\": \"NobodysPipeline\"}");
    examined_look(folder);
    examined_find("cannot-open", NULL, "NobodysPipeline");
    write_text("model_index.json", "{");
    examined_look(folder);
    examined_find("broken-header", NULL, NULL);
    shell("rm -r '%s'; mkdir -p '%s/unet'", folder, folder);
    write_bytes("unet/model.onnx", "\x08\x07", 2);
    examined_look(folder);
    examined_find("onnx", NULL, NULL);
    shell("rm -r '%s'; mkdir -p '%s/unet'", folder, folder);
    write_text("unet/openvino_model.xml", "<net ");
    examined_look(folder);
    examined_find("openvino", NULL, NULL);
    shell("rm -r '%s'; mkdir -p '%s/Unet.mlmodelc'", folder, folder);
    write_bytes("Unet.mlmodelc/weights", "x", 1);
    examined_look(folder);
    examined_find("coreml", NULL, NULL);
    shell("rm -r '%s'; mkdir -p '%s'", folder, folder);
    write_bytes("unet.plan", "\1\2", 2);
    examined_look(folder);
    examined_find("tensorrt", NULL, NULL);
    examined_look("reference/tiny");
    examined_be("collection", false);
    examined_find("several-models", NULL, "diffusers folders");
    examined_know("", "models", "sd15: a diffusers folder");
    examined_look("reference/doctor");
    examined_be("collection", false);
    examined_know("", "models", "lora-kohya.safetensors: a LoRA");
}
END_TEST

// Links in a circle, a pipe, a folder that may be what its file's name says.
START_TEST(hostile) {
    shell("ln -s . '%s/again' && ln -s nowhere '%s/gone.safetensors'", folder, folder);
    shell("mkfifo '%s/pipe.safetensors' && mkdir '%s/folder.safetensors'", folder, folder);
    examined_look(folder);
    ck_assert_int_eq(examined_finding("more", NULL, NULL) != NULL, 0);
    shell("mkdir '%s/unet' '%s/vae'", folder, folder);
    write_text("model_index.json", "{\"_class_name\": \"StableDiffusionPipeline\", \"unet\": 3}");
    shell("mkfifo '%s/unet/config.json' && ln -s ../.. '%s/vae/config.json'", folder, folder);
    examined_look(folder);
    examined_be("diffusers-folder", false);
    examined_find("cannot-open", NULL, NULL);
}
END_TEST

START_TEST(trained) {
    write_text("training.json", "{\"format\": \"tintype-training\"}");
    examined_look(folder);
    examined_find("missing-file", NULL, NULL);
    const char *const metadata[] = {"format", "tintype-checkpoint-1", NULL};
    static const float x[4] = {1, 2, 3, 4};
    const struct tt_view view = view_of("unet/weight/a", 2, 2, x);
    write_tensors("checkpoint.safetensors", &view, 1, metadata);
    write_tensors("latents.safetensors", &view, 1, NULL);
    examined_look(folder);
    examined_be("training-checkpoint", true);
    examined_know("", "made_by", "tintype train");
}
END_TEST

START_TEST(cache) {
    shell("mkdir -p '%s/models--a--b/snapshots/0123' '%s/models--a--b/blobs'", folder, folder);
    shell("mkdir -p '%s/models--a--b/refs' && printf 0123 >'%s/models--a--b/refs/main'", folder,
          folder);
    examined_look(in("models--a--b"));
    examined_be("hub-cache", false);
    examined_find("cache-root", NULL, NULL);
    ck_assert_ptr_nonnull(strstr(examined_finding("cache-root", NULL, NULL)->advice,
                                 "models--a--b/snapshots/0123"));
    write_text("models--a--b/blobs/4d7a.incomplete", "x");
    examined_look(in("models--a--b"));
    examined_find("half-download", NULL, NULL);
    examined_look(folder);
    examined_be("collection", false);
    examined_find("several-models", NULL, "1 entries of a hub's cache");
    shell("cp -r reference/tiny/sd15/. '%s/models--a--b/snapshots/0123'%s", folder, "");
    examined_look(in("models--a--b/snapshots/0123"));
    examined_find("half-download", NULL, NULL);
}
END_TEST

// Of a size that no machine has the memory for, and of one that is no picture's.
START_TEST(sizes) {
    take_model("reference/tiny/sd15");
    shell("sed -i 's/\"sample_size\": [0-9]*/\"sample_size\": 2000/' '%s/unet/config.json'%s",
          folder, "");
    examined_look(folder);
    examined_find("short-of-memory", NULL, "GB that a picture takes");
    examined_be("diffusers-folder", true);
    shell("sed -i 's/\"sample_size\": 2000/\"sample_size\": 5000/' '%s/unet/config.json'%s", folder,
          "");
    examined_look(folder);
    examined_find("cannot-open", NULL, NULL);
}
END_TEST

START_TEST(variants) {
    examined_look_as("reference/tiny/variants/fp16", false, "fp16");
    examined_be("diffusers-folder", true);
    examined_look_as("reference/tiny/sd15", false, "none");
    examined_find("cannot-open", NULL, "variant");
}
END_TEST

static Suite *doctor(void) {
    Suite *suite = suite_create("doctor");
    const struct {
        const char *name;
        const TTest *test;
    } all[] = {
        {"bytes", bytes}, {"nothing", nothing}, {"codes", codes}, {"headers", headers},
        {"many", many}, {"values", values}, {"cancelled", cancelled}, {"loras", loras},
        {"broken_loras", broken_loras}, {"adapters", adapters}, {"kinds", kinds}, {"gguf", gguf},
        {"ours", ours}, {"sound_models", sound_models}, {"missing", missing},
        {"tensors", tensors}, {"folders", folders}, {"cache", cache},
        {"hostile", hostile}, {"trained", trained}, {"sizes", sizes},
        {"variants", variants},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        TCase *tcase = tcase_create(all[i].name);
        tcase_add_checked_fixture(tcase, open_folder, close_folder);
        tcase_set_timeout(tcase, 120);
        tcase_add_test(tcase, all[i].test);
        suite_add_tcase(suite, tcase);
    }
    return suite;
}

int main(void) {
    return test_main(doctor(), NULL);
}
