// SPDX-License-Identifier: MIT
// Parts by name: every part of several kinds of model is listed, called with named tensors, and
// gives the bits that the functions of tintype.h give; what does not fit is told before any work.
#include "util.h"

#include "tintype.h"

#include <stdlib.h>
#include <string.h>

struct place {
    struct tt_engine *engine;
    struct tt_model *model;
    struct tt_session *session;
    struct tt_error err;
};

static void open_place(struct place *p, const char *path) {
    struct tt_engine_settings settings;
    *p = (struct place){0};
    tt_engine_defaults(&settings, sizeof settings);
    settings.threads = 2;
    ck_assert(!tt_engine_new(&settings, &p->engine, &p->err));
    ck_assert_msg(!tt_model_open(path, p->engine, &p->model, &p->err), "%s", p->err.message);
    ck_assert(!tt_session_new(p->model, NULL, &p->session, &p->err));
}

static void close_place(struct place *p) {
    tt_session_free(p->session);
    tt_model_close(p->model);
    tt_engine_free(p->engine);
}

// ---- the list ----

START_TEST(list) {
    static const char *const names[] = {"text", "unet", "vae-encode", "vae-decode"};
    static const char *const folders[] = {"text_encoder", "unet", "vae", "vae"};
    ck_assert_uint_ge(tt_part_count(), 4);
    for (int i = 0; i < (int)tt_part_count(); i++)
        ck_assert_int_eq(tt_part_find(tt_part_name(i)), i); // no name twice
    for (int i = 0; i < 4; i++) {
        int part = tt_part_find(names[i]);
        ck_assert_int_ge(part, 0);
        ck_assert_str_eq(tt_part_folder(part), folders[i]);
    }
    ck_assert_int_eq(tt_part_find("tail"), -1);
    ck_assert_int_eq(tt_part_find(NULL), -1);
    ck_assert_str_eq(tt_part_name(-1), "?");
    ck_assert_str_eq(tt_part_folder((int)tt_part_count()), "?");
}
END_TEST

// ---- calls ----

// What a part takes and gives at a size, and arrays of its values.
struct call {
    struct tt_view inputs[TT_PORTS];
    struct tt_room outputs[TT_PORTS];
    size_t inputs_count, outputs_count;
};

static void make_call(struct place *p, int part, struct tt_size size, struct call *c) {
    struct tt_port ports[TT_PORTS];
    size_t count;
    uint64_t state = 3;
    *c = (struct call){.inputs_count = 0};
    ck_assert_msg(!tt_part_ports(p->model, part, size, ports, &count, &p->err), "%s",
                  p->err.message);
    for (size_t i = 0; i < count; i++) {
        size_t n = tt_shape_count(&ports[i].shape), bytes = n * tt_dtype_size(ports[i].dtype);
        void *data = calloc(1, bytes);
        ck_assert(data != NULL);
        for (size_t k = 0; ports[i].dtype == TT_F32 && k < n; k++)
            ((float *)data)[k] = 0.5f * test_random_f32(&state);
        for (size_t k = 0; ports[i].dtype == TT_I32 && k < n; k++)
            ((int32_t *)data)[k] = (int32_t)(k % 7);
        if (ports[i].output)
            c->outputs[c->outputs_count++] = (struct tt_room){
                ports[i].name, ports[i].dtype, ports[i].shape, data, bytes};
        else
            c->inputs[c->inputs_count++] = (struct tt_view){
                ports[i].name, ports[i].dtype, ports[i].shape, data, bytes};
    }
}

static void free_call(struct call *c) {
    for (size_t i = 0; i < c->inputs_count; i++) free((void *)(uintptr_t)c->inputs[i].data);
    for (size_t i = 0; i < c->outputs_count; i++) free(c->outputs[i].data);
}

static const void *input(const struct call *c, const char *name) {
    for (size_t i = 0; i < c->inputs_count; i++)
        if (!strcmp(c->inputs[i].name, name)) return c->inputs[i].data;
    return NULL;
}

static enum tt_status by_function(struct place *p, const char *name, struct tt_size size,
                                  const struct call *c, float *out) {
    const float *sample = input(c, "sample");
    if (!strcmp(name, "text"))
        return tt_session_text(p->session, input(c, "input_ids"), size.n, size.tokens, out,
                               &p->err);
    if (!strcmp(name, "unet"))
        return tt_session_unet(p->session, size, sample, input(c, "timestep"),
                               input(c, "encoder_hidden_states"), out, &p->err);
    return (strcmp(name, "vae-encode") ? tt_session_decode
                                       : tt_session_encode)(p->session, size, sample, out, &p->err);
}

static const char *const models[] = {"reference/tiny/sd15", "reference/tiny/lcm",
                                     "reference/tiny/wide", "reference/tiny/ddpm",
                                     "reference/tiny/taesd", "reference/tiny/taegelu"};
enum { MODELS = sizeof models / sizeof *models };

START_TEST(names_and_functions) {
    struct place p;
    size_t called = 0;
    open_place(&p, models[_i]);
    for (int part = 0; part < (int)tt_part_count(); part++) {
        struct call c;
        struct tt_size size, found;
        if (!tt_model_has_part(p.model, part)) continue;
        ck_assert_msg(!tt_part_size_for(p.model, part, 2, 32, 64, &size, &p.err), "%s",
                      p.err.message);
        make_call(&p, part, size, &c);
        // In any order, without what is optional.
        struct tt_view turned[TT_PORTS];
        size_t given = 0;
        for (size_t i = c.inputs_count; i-- > 0;)
            if (strcmp(c.inputs[i].name, "timestep_cond")) turned[given++] = c.inputs[i];
        ck_assert(!tt_part_size_of(p.model, part, turned, given, &found, &p.err));
        ck_assert(!memcmp(&found, &size, sizeof size));
        ck_assert_msg(!tt_part_run(p.session, part, turned, given, c.outputs, c.outputs_count,
                                   &p.err), "%s", p.err.message);
        size_t n = tt_shape_count(&c.outputs[0].shape);
        float *other = calloc(n, sizeof *other);
        ck_assert_msg(!by_function(&p, tt_part_name(part), size, &c, other), "%s", p.err.message);
        test_equal(tt_part_name(part), other, c.outputs[0].data, n);
        // Every output alone is the same.
        for (size_t i = 0; i < c.outputs_count; i++) {
            struct tt_room room = c.outputs[i];
            ck_assert((room.data = calloc(1, room.bytes)) != NULL);
            ck_assert(!tt_part_run(p.session, part, turned, given, &room, 1, &p.err));
            test_equal(room.name, room.data, c.outputs[i].data, tt_shape_count(&room.shape));
            free(room.data);
        }
        free(other);
        free_call(&c);
        called++;
    }
    ck_assert_uint_eq(called, _i == 3 ? 1 : _i > 3 ? 2 : 4);
    close_place(&p);
}
END_TEST

// A gradient of the main output goes back to the weights of any part.
START_TEST(way_back) {
    struct place p;
    struct tt_size size;
    struct call c;
    open_place(&p, "reference/tiny/taesd");
    int part = tt_part_find("vae-decode");
    ck_assert(!tt_part_size_for(p.model, part, 1, 32, 32, &size, &p.err));
    make_call(&p, part, size, &c);
    ck_assert(!tt_session_prepare_training(p.session, part, size, &p.err));
    ck_assert(!tt_part_run(p.session, part, c.inputs, c.inputs_count, c.outputs, 1, &p.err));
    ck_assert(!tt_session_backward(p.session, part, c.outputs[0].data, &p.err));
    struct tt_shape shape;
    const float *weight = tt_session_gradient(p.session, part, "decoder.layers.5.weight", &shape);
    ck_assert(weight && tt_shape_equal(&shape, &(struct tt_shape){4, {24, 24, 3, 3}}));
    ck_assert(!tt_session_gradient(p.session, part, "decoder.layers.5.bias", NULL));
    double sum = 0;
    for (size_t i = 0; i < tt_shape_count(&shape); i++) sum += (double)(weight[i] * weight[i]);
    ck_assert(sum > 0);
    free_call(&c);
    close_place(&p);
}
END_TEST

// ---- what does not fit ----

enum wrong {
    NO_INPUT, UNKNOWN, TWICE, DTYPE, RANK, CHANNELS, OTHER_N, BYTES, ABSENT, NO_OUTPUT, OUT_SHAPE,
    OUT_DTYPE, OUT_BYTES, ODD_SIZE, WRONGS
};

static const char *const says[WRONGS] = {
    [NO_INPUT] = "input 'timestep': found none, expected F32 of shape (2) for unet of ",
    [UNKNOWN] = "input 'noise': found it, expected one of sample, timestep, encoder_hidden_states, "
                "timestep_cond, text_embeds, time_ids of unet of reference/tiny/sd15, each once",
    [TWICE] = "input 'sample': found it, expected one of ",
    [DTYPE] = "input 'sample': found F16 of shape (2, 4, 8, 8), expected F32 of shape (N, 4, H, W)",
    [RANK] = "input 'sample': found F32 of shape (2, 4, 64), expected F32 of shape (N, 4, H, W)",
    [CHANNELS] = "input 'sample': found F32 of shape (2, 5, 8, 8), expected F32 of shape (N, 4, H, "
                 "W) for unet of reference/tiny/sd15",
    [OTHER_N] = "input 'timestep': found F32 of shape (3), expected F32 of shape (2)",
    [BYTES] = "input 'sample': found 12 bytes, expected 2048",
    [ABSENT] = "input 'timestep_cond': found it, expected none: the configuration of unet of",
    [NO_OUTPUT] = "output 'sample': found it, expected one of out of unet of",
    [OUT_SHAPE] = "output 'out': found F32 of shape (2, 4, 8, 7), expected F32 of shape (2, 4, 8, "
                  "8) for unet",
    [OUT_DTYPE] = "output 'out': found F64 of shape (2, 4, 8, 8), expected F32",
    [OUT_BYTES] = "output 'out': found 4 bytes, expected 2048",
    [ODD_SIZE] = "unet: found a batch of 40000",
};

START_TEST(what_does_not_fit) {
    struct place p;
    struct tt_size size = {2, 8, 8, 6}, found;
    struct call c;
    open_place(&p, "reference/tiny/sd15");
    int unet = tt_part_find("unet");
    make_call(&p, unet, size, &c);
    ck_assert(c.inputs_count == 3 && c.outputs_count == 1);
    struct tt_view in[4] = {c.inputs[0], c.inputs[1], c.inputs[2], c.inputs[2]};
    struct tt_room out = c.outputs[0];
    size_t n = 3;
    switch ((enum wrong)_i) {
    case NO_INPUT: in[1] = in[2], n = 2; break;
    case UNKNOWN: in[n++].name = "noise"; break;
    case TWICE: in[n++] = in[0]; break;
    case DTYPE: in[0].dtype = TT_F16; break;
    case RANK: in[0].shape = (struct tt_shape){3, {2, 4, 64}}; break;
    case CHANNELS: in[0].shape.dim[1] = 5; break;
    case OTHER_N: in[1].shape.dim[0] = 3; break;
    case BYTES: in[0].bytes = 12; break;
    case ABSENT:
        in[n++].name = "timestep_cond";
        in[3].shape = (struct tt_shape){2, {2, 8}};
        break;
    case NO_OUTPUT: out.name = "sample"; break;
    case OUT_SHAPE: out.shape.dim[3] = 7; break;
    case OUT_DTYPE: out.dtype = TT_F64; break;
    case OUT_BYTES: out.bytes = 4; break;
    case ODD_SIZE: in[0].shape.dim[0] = in[1].shape.dim[0] = in[2].shape.dim[0] = 40000; break;
    case WRONGS: break;
    }
    memset(out.data, 0x55, c.outputs[0].bytes);
    for (int again = 0; again < 2; again++) { // before anything is planned, and after
        p.err = (struct tt_error){0};
        ck_assert_int_eq(tt_part_run(p.session, unet, in, n, &out, 1, &p.err), TT_BAD_INPUT);
        ck_assert_msg(strstr(p.err.message, says[_i]) != NULL, "%s", p.err.message);
        for (size_t i = 0; i < c.outputs[0].bytes; i++)
            ck_assert_int_eq(((unsigned char *)out.data)[i], 0x55);
        ck_assert_uint_eq(tt_session_activations(p.session, unet) > 0, again);
        p.err = (struct tt_error){0};
        if (_i < NO_OUTPUT || _i == ODD_SIZE)
            ck_assert_int_eq(tt_part_size_of(p.model, unet, in, n, &found, &p.err), TT_BAD_INPUT);
        p.err = (struct tt_error){0};
        ck_assert_msg(!tt_session_prepare(p.session, unet, size, &p.err), "%s", p.err.message);
    }
    ck_assert(!tt_part_run(p.session, unet, c.inputs, c.inputs_count, c.outputs, 1, &p.err));
    free_call(&c);
    close_place(&p);
}
END_TEST

START_TEST(parts_of_other_models) {
    struct place p;
    struct tt_size size = {1, 16, 16, 4};
    struct tt_port ports[TT_PORTS];
    size_t count = 77;
    open_place(&p, "reference/tiny/ddpm");
    int text = tt_part_find("text");
    ck_assert(!tt_model_has_part(p.model, text) && !tt_model_has_part(p.model, -1));
    ck_assert_int_eq(tt_part_ports(p.model, text, size, ports, &count, &p.err), TT_BAD_INPUT);
    ck_assert_msg(strstr(p.err.message, "text: found no such part, expected unet") != NULL, "%s",
                  p.err.message);
    ck_assert_int_eq(tt_part_ports(p.model, 99, size, ports, &count, NULL), TT_BAD_INPUT);
    ck_assert_int_eq(tt_part_run(p.session, -1, NULL, 0, NULL, 0, NULL), TT_BAD_INPUT);
    ck_assert_int_eq(tt_part_size_of(p.model, 99, NULL, 0, &size, NULL), TT_BAD_INPUT);
    ck_assert_int_eq(tt_part_size_for(p.model, text, 1, 0, 0, &size, NULL), TT_BAD_INPUT);
    ck_assert_uint_eq(count, 77);
    close_place(&p);
}
END_TEST

static Suite *parts_suite(void) {
    Suite *suite = suite_create("parts");
    TCase *tcase = tcase_create("parts");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, list);
    tcase_add_loop_test(tcase, names_and_functions, 0, MODELS);
    tcase_add_test(tcase, way_back);
    tcase_add_loop_test(tcase, what_does_not_fit, 0, WRONGS);
    tcase_add_test(tcase, parts_of_other_models);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) { return test_main(parts_suite(), NULL); }
