// SPDX-License-Identifier: MIT
// Runs that nobody made, with the fields of --json.
#include "report_samples.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "util.h"

const char sample_hostile[] =
    "</script><script>document.title='owned'</script><!--<script><img src=x onerror=alert(1)>"
    "\"'`&amp;${1}\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xae\x01.__proto__.constructor";

static const char *const layers[][2] = {
    {"norm1", "group_norm"}, {"conv1", "conv2d"}, {"time_emb_proj", "linear"},
    {"norm2", "group_norm"}, {"conv2", "conv2d"}, {"attn1.to_q", "linear"},
    {"attn1.to_k", "linear"}, {"attn1.to_v", "linear"}, {"attn1", "attention"},
    {"attn1.to_out.0", "linear"}, {"ff.net.0.proj", "linear"}, {"ff.net.0", "geglu"},
    {"ff.net.2", "linear"}, {"resnet", "add"}, {"proj_out", "conv2d"}, {"concat", "concat"},
};
enum { LAYERS = sizeof layers / sizeof *layers };

static void name_of(size_t i, size_t n, char *text, size_t size) {
    static const char *const sides[] = {"down_blocks", "mid_block", "up_blocks"};
    size_t block = i / LAYERS, blocks = (n + LAYERS - 1) / LAYERS, side = 3 * block / blocks;
    size_t in_side = block - side * blocks / 3;
    snprintf(text, size, "%s.%zu.%s.%zu.%s", sides[side], in_side / 4,
             in_side % 2 ? "attentions" : "resnets", in_side % 4 / 2, layers[i % LAYERS][0]);
}

static double drawn(uint64_t *state, double low, double high) {
    double t = (double)(test_random(state) >> 11) * 0x1p-53;
    return low * pow(high / low, t);
}

// What a tensor past its tolerance has beside the rest.
static void add_detail(json_t *tensor, uint64_t *state, double difference) {
    json_t *decades = json_array();
    for (int i = 0; i < 17; i++)
        json_array_append_new(decades, json_integer((json_int_t)(test_random(state) % 90000)));
    double value = drawn(state, 0.01, 3);
    json_t *more = json_pack(
        "{s:f, s:I, s:[I,I,I,I], s:f, s:f, s:f, s:f, s:[i,i], s:[i,i], s:o}", "max_relative",
        drawn(state, 1e-3, 10), "ulp", (json_int_t)(test_random(state) % 900000000), "at",
        (json_int_t)1, (json_int_t)(test_random(state) % 320), (json_int_t)17, (json_int_t)5,
        "ours", value, "recorded", value + difference, "cosine", 1 - drawn(state, 1e-6, 1e-2),
        "sqnr", drawn(state, 20, 90), "nan", 0, 0, "inf", 0, 0, "decades", decades);
    json_object_update(tensor, more);
    json_decref(more);
}

// off: how many times its limit the tensor is off, at least.
static json_t *make_tensor(size_t i, size_t n, double off, bool nan, uint64_t *state) {
    char name[160];
    name_of(i, n, name, sizeof name);
    bool differs = off > 0;
    double err32 = drawn(state, 1e-7, 4e-7) * pow(30, (double)i / (double)n);
    double limit = 10 * err32;
    double difference = differs ? limit * off * drawn(state, 1.1, 6)
                                : limit * drawn(state, 0.08, 0.3) * (0.3 + (double)i / (double)n);
    json_t *tensor = json_pack(
        "{s:s, s:s, s:[i,i,i,i], s:o, s:o, s:f, s:f, s:o, s:b}", "name", name, "type",
        layers[i % LAYERS][1], "shape", 2, 320 << (i % 3), 64 >> (i % 3), 64 >> (i % 3),
        "difference", nan ? json_null() : json_real(difference), "relative_l2",
        nan ? json_null() : json_real(difference * 0.4), "limit", limit, "err32", err32, "times",
        nan ? json_null() : json_real(difference / limit), "agrees", !differs && !nan);
    if (differs || nan) add_detail(tensor, state, difference);
    if (nan) json_object_set_new(tensor, "nan", json_pack("[i,i]", 64, 0));
    return tensor;
}

// What is found beside the tensors.
static void add_findings(json_t *root, size_t nth, size_t steps) {
    json_t *pipeline = json_array(), *differing = json_array(), *suspects = json_array();
    for (size_t step = 0; step < steps; step++) {
        double off = (nth ? 1e-3 : 1e-6) * (1 + (double)step);
        json_array_append_new(pipeline, json_pack(
            "{s:s, s:I, s:f, s:f, s:f, s:b}", "name", "latents", "step", (json_int_t)step,
            "relative_l2", off, "difference", 3 * off, "limit", 1e-4, "agrees", off < 1e-4));
    }
    if (nth) {
        json_array_append_new(differing, json_pack(
            "{s:s, s:s, s:s, s:f}", "part", "unet", "name", "mid_block.0.resnets.0.conv1.bias",
            "what", "values", "difference", 0.25));
        json_array_append_new(suspects, json_pack(
            "{s:s, s:i, s:s, s:s, s:s, s:s, s:f, s:f, s:s, s:s}", "part", "unet", "call", 3,
            "name", "mid_block.0.resnets.0.norm1", "type", "GroupNorm", "suspect", "eps 1e-6",
            "text", "with eps 1e-06 in place of 1e-05 it gives what was recorded", "difference",
            0.0878, "left", 1.1e-7, "made_by", "group_norm of down_blocks.3", "module",
            "mid_block.0.resnets.0.norm1"));
    }
    json_object_set_new(root, "verdict", json_string(
        nth ? "DIFFERS: one module explains it: mid_block.0.resnets.0.conv1"
            : "agrees: every tensor is within 10 times err32"));
    json_object_set_new(root, "weights", json_pack(
        "{s:i, s:i, s:i, s:i, s:o}", "compared", 686, "differ", nth ? 1 : 0, "missing", 0,
        "unrecorded", 0, "differing", differing));
    json_object_set_new(root, "suspects", suspects);
    json_object_set_new(root, "pipeline", pipeline);
}

// A fault in the middle of the model from step 3 on, which fades; with nth 1 all is far off.
static double off_by(size_t i, size_t n, size_t step, size_t nth) {
    size_t fault = n / 3 + 2;
    if (nth < 2) return nth;
    if (step < 3 || i < fault) return 0;
    double faded = 900 * exp(-6.0 * (double)(i - fault) / (double)n) * (1 + (double)step);
    return i % nth && faded < 200 ? 0 : faded;
}

json_t *sample_verification(size_t tensors, size_t steps, size_t nth) {
    json_t *parts = json_array(), *first = json_null(), *worst = json_array();
    json_t *list;
    uint64_t state = 7;
    for (size_t step = 0; step < steps; step++) {
        list = json_array();
        size_t differ = 0;
        for (size_t i = 0; i < tensors; i++) {
            bool nan = nth && step >= 3 && i + 2 >= tensors;
            double off = off_by(i, tensors, step, nth);
            json_t *tensor = make_tensor(i, tensors, off, nan, &state);
            json_array_append_new(list, tensor);
            if (off == 0 && !nan) continue;
            json_t *place = json_pack("{s:s, s:I, s:O}", "part", "unet", "call",
                                      (json_int_t)step, "name", json_object_get(tensor, "name"));
            if (!differ++ && json_is_null(first)) json_decref(first), first = json_incref(place);
            if (json_array_size(worst) < 10) json_array_append(worst, place);
            json_decref(place);
        }
        json_array_append_new(parts, json_pack(
            "{s:s, s:s, s:f, s:I, s:I, s:o, s:I, s:I, s:f, s:i, s:[], s:[], s:o}", "part",
            "unet", "tolerance", "err32", "factor", 10.0, "call", (json_int_t)step, "step",
            (json_int_t)step, "file", json_sprintf("%05zu.unet.safetensors", step), "compared", (json_int_t)tensors,
            "differ", (json_int_t)differ, "times", 3.25, "left_out", 2, "not_in_model",
            "not_recorded", "tensors", list));
    }
    json_t *root = json_pack(
        "{s:s, s:s, s:s, s:s, s:{s:s, s:f}, s:s, s:b, s:s, s:b, s:o, s:o, s:o, s:[s]}", "format",
        "tintype-verification", "model", "stable-diffusion-v1-5", "recording",
        "recordings/sd15-lighthouse", "mode", "end-to-end", "tolerance", "by", "err32", "factor",
        10.0, "precision", "F32", "whole", 1, "conv", "auto", "agrees", !nth, "first", first,
        "worst", worst, "parts", parts, "notes", "the recording was made with float16");
    add_findings(root, nth, steps);
    return root;
}

static json_t *make_node(size_t i, size_t n, size_t step, uint64_t *state) {
    char name[160];
    name_of(i, n, name, sizeof name);
    const char *op = layers[i % LAYERS][1];
    bool product = !strcmp(op, "conv2d") || !strcmp(op, "linear") || !strcmp(op, "attention");
    bool moves = !strcmp(op, "concat");
    uint64_t fixed = 3 * i + 1; // what is the same in each step
    double bytes = drawn(&fixed, 1e5, 4e7), flop = moves ? 0
        : bytes * (product ? drawn(&fixed, 8, 300) : drawn(&fixed, 0.1, 1.5));
    double roof = fmin(536, 40 * flop / bytes), rate = roof * drawn(state, 0.35, 0.95);
    double ms = moves ? bytes / 3e7 : flop / rate / 1e6;
    json_t *node = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:[i,i,i,i], s:s, s:s, s:s}", "name", name, "module",
        name, "op", i % LAYERS == 1 ? "conv2d+add" : op, "kernel",
        product ? "gemm_f32" : "norm_f32", "variant", i % 7 ? "avx512" : "avx2", "dtype", "F32",
        "shape", 2, 320 << (i % 3), 64 >> (i % 3), 64 >> (i % 3), "problem",
        "conv2d n2 c320 h64 w64 k320 r3 s1 f32", "why",
        "winograd: 3x3, stride 1; direct is slower here", "stage", "denoise");
    json_t *numbers = json_pack(
        "{s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "step", (json_int_t)step, "ms", ms,
        "q1_ms", 0.97 * ms, "q3_ms", 1.04 * ms, "best_ms", 0.95 * ms, "cpu_ms", 1.9 * ms, "flop",
        flop, "flop_direct", 1.4 * flop, "bytes", bytes);
    json_t *more = json_pack("{s:f, s:f, s:f, s:s, s:f, s:f, s:I, s:i}", "calls",
        i % 9 ? 1.0 : 2.0, "gflops_per_s", flop / ms / 1e6,
        "gb_per_s", bytes / ms / 1e6, "bound", roof >= 536 ? "compute" : "memory",
        "share_of_roof", moves ? 0.7 : rate / roof, "imbalance", drawn(state, 0.01, 0.2),
        "live_bytes", (json_int_t)(20000000 + test_random(state) % 9000000), "runs", 5);
    json_object_update(node, numbers);
    json_object_update(node, more);
    json_decref(numbers);
    json_decref(more);
    return node;
}

json_t *sample_profile(size_t nodes, size_t steps) {
    json_t *list = json_array(), *node;
    uint64_t state = 11;
    double ms = 0, flop = 0, bytes = 0;
    size_t i;
    for (size_t step = 0; step < steps; step++)
        for (i = 0; i < nodes; i++)
            json_array_append_new(list, make_node(i, nodes, step, &state));
    json_array_foreach(list, i, node) {
        double calls = json_real_value(json_object_get(node, "calls"));
        ms += calls * json_real_value(json_object_get(node, "ms"));
        flop += calls * json_real_value(json_object_get(node, "flop"));
        bytes += calls * json_real_value(json_object_get(node, "bytes"));
    }
    json_t *root = json_pack(
        "{s:s, s:i, s:s, s:s, s:i, s:i, s:i, s:b, s:s, s:s, s:i, s:s, s:s, s:s, s:s}", "format",
        "tintype-profile", "version", 1, "model", "stable-diffusion-v1-5", "part", "unet", "batch",
        2, "width", 512, "height", 512, "train", 0, "cpu", "avx512", "cpu_model",
        "AMD EPYC 9B14 96-Core Processor", "threads", 2, "precision", "f32", "weights", "stored",
        "conv", "auto", "tintype", "0.3.0");
    json_t *more = json_pack(
        "{s:b, s:f, s:f, s:f, s:f, s:{s:f, s:f, s:b}, s:f, s:I, s:I, s:[f,f,f,f,f], "
        "s:[{s:s,s:f},{s:s,s:f},{s:s,s:f},{s:s,s:f},{s:s,s:f}], s:o}", "busy", 1, "flop",
        flop, "flop_direct", 1.4 * flop, "bytes", bytes, "median_ms", ms, "roof", "gflops", 536.0,
        "gb_per_s", 40.0, "measured", 1, "share_of_roof", 0.64, "arena_bytes",
        (json_int_t)123456789, "peak_bytes", (json_int_t)3723456789, "seconds", 0.99e-3 * ms,
        0.97e-3 * ms, 1e-3 * ms, 1.01e-3 * ms, 1.02e-3 * ms, "stages", "name", "loading", "ms",
        850.0, "name", "text", "ms", 60.0, "name", "denoise", "ms", ms, "name", "decode", "ms",
        0.1 * ms, "name", "png", "ms", 21.0, "nodes", list);
    json_object_update(root, more);
    json_decref(more);
    json_t *rows = json_array();
    for (size_t step = 1; step <= steps; step++)
        json_array_append_new(rows, json_pack("{s:s, s:I, s:f}", "name", "denoise", "step",
                                              (json_int_t)step, "ms", ms / (double)steps));
    json_object_set_new(root, "totals", json_pack("{s:o, s:[]}", "step", rows, "op"));
    json_object_set_new(root, "busy_because", json_pack("[s]", "1.4 of 2 processors were busy"));
    return root;
}

static void make_hostile_in(json_t *value) {
    const char *key;
    json_t *each;
    size_t i;
    json_array_foreach(value, i, each) {
        if (json_is_string(each)) json_array_set_new(value, i, json_string(sample_hostile));
        else make_hostile_in(each);
    }
    json_object_foreach(value, key, each) {
        if (!strcmp(key, "format")) continue;
        if (json_is_string(each)) json_object_set_new(value, key, json_string(sample_hostile));
        else make_hostile_in(each);
    }
}

void sample_make_hostile(json_t *root) {
    make_hostile_in(root);
}
