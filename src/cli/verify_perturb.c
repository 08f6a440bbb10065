// SPDX-License-Identifier: MIT
// verify --perturb NODES=HOW: what a lower precision of some nodes would do to the picture, and to
// the nodes behind them.
//
// Two sessions of one model draw the same picture on two threads, node by node in turns: the first
// computes a node and waits; the second computes it, rounds or disturbs it where it is asked to,
// compares, and lets the first go on. So each value is compared while both are there, and nothing
// needs to be kept.
#include <fnmatch.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/alike.h"
#include "cli/verify.h"

enum how { BF16, F16, INT8, NOISE };

// What is asked: "down_blocks.*,conv_in=bf16".
struct what {
    const char *text;
    char *patterns; // ended by zeros where commas were
    size_t count;   // of patterns
    enum how how;
    double size; // of the noise
};

// A node, over all calls.
struct node {
    char *name;
    double squares, reference, worst; // of its L2 norms; the largest relative L2 of one call
    bool touched;
};

struct lockstep {
    struct verify *v;
    const struct what *what;
    struct tt_session *sessions[2]; // as it is; disturbed
    const struct tt_settings *with;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int turn;     // whose: 0 or 1
    bool ended;   // either of them
    const float *plain; // the first one's output of this node
    const char *name;
    struct node *nodes;
    size_t count, room;
    json_t *places; // name -> index
    struct tt_rng rng;
    float *latents[2];
    struct tt_image images[2];
    enum tt_status status[2];
    struct tt_error errors[2];
    enum tt_status failed; // of the comparing itself
};

// ---- what is asked ----

static enum tt_status parse(struct cli *cli, const char *text, struct what *what) {
    static const char *const hows[] = {"bf16", "f16", "int8", "noise:"};
    const char *equals = strrchr(text, '=');
    *what = (struct what){.text = text, .how = BF16};
    if (equals && equals > text) {
        while (what->how < NOISE && strcmp(equals + 1, hows[what->how])) what->how++;
        size_t length = strlen(hows[NOISE]);
        bool good = what->how < NOISE || !strncmp(equals + 1, hows[NOISE], length);
        if (good && what->how == NOISE)
            good = !cli_number("perturb", equals + 1 + length, &what->size, NULL) &&
                   what->size > 0 && what->size <= 1e6;
        if (good) {
            what->patterns = strndup(text, (size_t)(equals - text));
            if (!what->patterns) return tt_fail(&cli->error, TT_SYSTEM, "out of memory");
            what->count = 1;
            for (char *at = what->patterns; (at = strchr(at, ',')); at++) {
                *at = '\0';
                what->count++;
            }
            return TT_OK;
        }
    }
    return tt_fail(&cli->error, TT_BAD_INPUT, "--perturb: found '%s', expected NODES=bf16, f16, "
                   "int8 or noise:S with S from 0 to 1e6, as 'down_blocks.*=bf16'", text);
}

static bool matches(const struct what *what, const char *name) {
    const char *pattern = what->patterns;
    for (size_t i = 0; i < what->count; i++, pattern += strlen(pattern) + 1)
        if (!fnmatch(pattern, name, 0)) return true;
    return false;
}

// A step is asked for by its own name or by that of a module that returns its output.
static bool is_asked(const struct what *what, const struct tt_step *step) {
    const char *module;
    bool asked = matches(what, tt_step_name(step));
    for (size_t i = 0; !asked && (module = tt_step_module(step, i)); i++)
        asked = matches(what, module);
    return asked;
}

// ---- rounding ----

// The nearest number with so many bits behind the point of a mantissa, ties to even, from the
// smallest exponent on; beyond the largest magnitude, infinity.
static float rounded(float x, int bits, int least, double most) {
    int exponent;
    if (!isfinite(x) || !(fabsf(x) > 0)) return x;
    frexp((double)x, &exponent);
    if (exponent - 1 < least) exponent = least + 1;
    double unit = ldexp(1, exponent - 1 - bits), y = nearbyint((double)x / unit) * unit;
    return fabs(y) > most ? (float)copysign(INFINITY, (double)x) : (float)y;
}

static void disturb(struct lockstep *l, float *y, size_t n) {
    double largest = 0, squares = 0;
    float noise[1024];
    for (size_t i = 0; i < n; i++) {
        largest = fmax(largest, fabs((double)y[i]));
        squares += (double)y[i] * (double)y[i];
    }
    double step = largest / 127, sigma = l->what->size * sqrt(squares / (double)(n ? n : 1));
    for (size_t i = 0; i < n; i++) {
        if (l->what->how == NOISE && i % 1024 == 0) tt_rng_normal(&l->rng, noise, 1024);
        switch (l->what->how) {
        case BF16: y[i] = rounded(y[i], 7, -126, 0x1.fep127); break;
        case F16: y[i] = rounded(y[i], 10, -14, 65504); break;
        case INT8:
            if (step > 0 && isfinite(step)) y[i] = (float)(nearbyint((double)y[i] / step) * step);
            break;
        default: y[i] = (float)((double)y[i] + sigma * (double)noise[i % 1024]);
        }
    }
}

// ---- in turns ----

// False when the other one has ended.
static bool wait_for(struct lockstep *l, int turn) {
    pthread_mutex_lock(&l->lock);
    while (l->turn != turn && !l->ended) pthread_cond_wait(&l->changed, &l->lock);
    bool mine = l->turn == turn;
    pthread_mutex_unlock(&l->lock);
    return mine;
}

static void give_to(struct lockstep *l, int turn) {
    pthread_mutex_lock(&l->lock);
    l->turn = turn;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

static void end(struct lockstep *l) {
    pthread_mutex_lock(&l->lock);
    l->ended = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
}

// The first one has a node: it waits until the other has compared.
static void after_plain(void *context, const struct tt_step *step) {
    struct lockstep *l = context;
    l->plain = tt_step_output(step);
    l->name = tt_step_name(step);
    give_to(l, 1);
    wait_for(l, 0);
}

static struct node *node_of(struct lockstep *l, const char *name) {
    const json_t *place = json_object_get(l->places, name);
    if (place) return &l->nodes[json_integer_value(place)];
    if (l->count == l->room) {
        size_t room = l->room ? 2 * l->room : 256;
        struct node *nodes = realloc(l->nodes, room * sizeof *nodes);
        if (!nodes) return NULL;
        l->nodes = nodes;
        l->room = room;
    }
    struct node *node = &l->nodes[l->count];
    *node = (struct node){.name = strdup(name)};
    if (!node->name || json_object_set_new(l->places, name, json_integer((json_int_t)l->count))) {
        free(node->name);
        return NULL;
    }
    l->count++;
    return node;
}

static void compare(struct lockstep *l, const struct tt_step *step, const float *y, bool asked) {
    const struct tt_shape *shape = tt_step_shape(step);
    size_t n = tt_shape_count(shape);
    struct tt_view plain = {l->name, TT_F32, {1, {n}}, l->plain, n * sizeof(float)};
    struct tt_shape row = {1, {n}};
    struct tt_difference d;
    struct node *node = node_of(l, tt_step_name(step));
    if (!node) l->failed = tt_fail(&l->errors[1], TT_SYSTEM, "out of memory");
    if (l->failed) return;
    l->failed = tt_compare(l->v->cli->engine, y, &row, TT_LIES_TORCH, &plain, false, &d,
                           &l->errors[1]);
    if (l->failed) return;
    node->touched = node->touched || asked;
    node->squares += d.l2 * d.l2;
    node->reference += d.reference_l2 * d.reference_l2;
    node->worst = fmax(node->worst, d.relative_l2);
}

static void after_disturbed(void *context, const struct tt_step *step, float *y) {
    struct lockstep *l = context;
    if (!wait_for(l, 1) || strcmp(l->name, tt_step_name(step))) {
        end(l);
        return;
    }
    bool asked = is_asked(l->what, step);
    if (asked) disturb(l, y, tt_shape_count(tt_step_shape(step)));
    compare(l, step, y, asked);
    give_to(l, 0);
}

static int has_ended(void *context, const struct tt_progress *progress) {
    const struct lockstep *l = context;
    (void)progress;
    return l->failed || cli_cancelled(NULL);
}

static void draw(struct lockstep *l, int which) {
    struct tt_settings with = *l->with;
    with.progress = has_ended;
    with.context = l;
    l->status[which] = tt_generate(l->sessions[which], &with, l->latents[which], &l->images[which],
                                   &l->errors[which]);
    end(l);
}

static void *draw_plain(void *context) {
    draw(context, 0);
    return NULL;
}

// ---- one run ----

static enum tt_status make_sessions(struct lockstep *l) {
    struct verify *v = l->v;
    const struct tt_model_info *info = tt_model_info(v->model);
    size_t n = info->latent_channels * (l->with->width / info->factor) *
               (l->with->height / info->factor);
    enum tt_status status = TT_OK;
    for (int i = 0; !status && i < 2; i++) {
        l->latents[i] = calloc(n, sizeof *l->latents[i]);
        if (!l->latents[i]) return tt_fail(&v->cli->error, TT_SYSTEM, "out of memory");
        status = tt_session_new(v->model, NULL, &l->sessions[i], &v->cli->error);
    }
    l->places = json_object();
    tt_rng_seed(&l->rng, 1);
    return status;
}

static enum tt_status run_both(struct lockstep *l) {
    struct cli *cli = l->v->cli;
    struct tt_observer observer = {l, NULL, after_plain};
    struct tt_override override = {l, NULL, after_disturbed};
    pthread_t thread;
    tt_session_observe(l->sessions[0], &observer, 1);
    tt_session_override(l->sessions[1], &override);
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 8 << 20);
    if (pthread_create(&thread, &attributes, draw_plain, l)) {
        pthread_attr_destroy(&attributes);
        return tt_fail(&cli->error, TT_SYSTEM, "cannot start a thread");
    }
    pthread_attr_destroy(&attributes);
    draw(l, 1);
    pthread_join(thread, NULL);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->changed);
    for (int i = 0; i < 2; i++)
        if (l->status[i]) return tt_fail(&cli->error, l->status[i], "%s", l->errors[i].message);
    return l->failed ? tt_fail(&cli->error, l->failed, "%s", l->errors[1].message) : TT_OK;
}

static void free_lockstep(struct lockstep *l) {
    for (int i = 0; i < 2; i++) {
        tt_session_free(l->sessions[i]);
        tt_image_free(&l->images[i]);
        free(l->latents[i]);
    }
    for (size_t i = 0; i < l->count; i++) free(l->nodes[i].name);
    free(l->nodes);
    json_decref(l->places);
}

// ---- what came of it ----

static double relative(double squares, double reference) {
    return squares > 0 ? sqrt(squares) / sqrt(reference) : 0;
}

static json_t *describe(const struct lockstep *l, const struct alike *alike, double least) {
    const struct tt_model_info *info = tt_model_info(l->v->model);
    size_t n = info->latent_channels * (l->with->width / info->factor) *
               (l->with->height / info->factor), touched = 0;
    double squares = 0, reference = 0;
    json_t *nodes = json_array();
    for (size_t i = 0; i < n; i++) {
        double d = (double)l->latents[1][i] - (double)l->latents[0][i];
        squares += d * d;
        reference += (double)l->latents[0][i] * (double)l->latents[0][i];
    }
    for (size_t i = 0; i < l->count; i++) {
        const struct node *node = &l->nodes[i];
        touched += node->touched;
        if (node->squares > 0 || node->touched)
            json_array_append_new(
                nodes, json_pack("{s:s, s:o, s:o, s:b}", "name", node->name, "relative_l2",
                                 cli_json_real(relative(node->squares, node->reference)), "worst",
                                 cli_json_real(node->worst), "perturbed", node->touched));
    }
    return json_pack("{s:o, s:I, s:o, s:o, s:I, s:o, s:b, s:o}", "perturb",
                     cli_json_text(l->what->text), "perturbed", (json_int_t)touched, "psnr",
                     cli_json_real(alike->psnr), "ssim", cli_json_real(alike->ssim), "largest",
                     (json_int_t)alike->largest, "latents_relative_l2",
                     cli_json_real(relative(squares, reference)), "may",
                     alike->psnr >= least, "nodes", nodes);
}

static enum tt_status try_one(struct verify *v, const struct what *what,
                              const struct tt_settings *with, double least, json_t *results) {
    struct lockstep l = {.v = v, .what = what, .with = with};
    struct alike alike;
    size_t touched = 0;
    enum tt_status status = make_sessions(&l);
    if (!status) status = run_both(&l);
    for (size_t i = 0; i < l.count; i++) touched += l.nodes[i].touched;
    if (!status && !touched)
        status = tt_fail(&v->cli->error, TT_BAD_INPUT, "--perturb: found '%s', which no node of %s "
                         "is called; see the names of 'tintype profile'", what->text,
                         tt_model_info(v->model)->name);
    if (!status) status = alike_measure(&l.images[0], &l.images[1], &alike, &v->cli->error);
    if (!status) json_array_append_new(results, describe(&l, &alike, least));
    free_lockstep(&l);
    return status;
}

static double number(const json_t *nodes, size_t i, const char *key) {
    return json_real_value(json_object_get(json_array_get(nodes, i), key));
}

// Those that it was not done to.
static void print_nodes(const json_t *nodes) {
    enum { MOST = 10 };
    const char *title = "of others, it reaches these most";
    size_t order[MOST], told = 0, width = strlen(title);
    for (size_t i = 0; i < json_array_size(nodes); i++) {
        size_t at = told;
        double l2 = number(nodes, i, "relative_l2");
        if (json_is_true(json_object_get(json_array_get(nodes, i), "perturbed"))) continue;
        while (at > 0 && l2 > number(nodes, order[at - 1], "relative_l2")) at--;
        if (at == MOST) continue;
        if (told < MOST) told++;
        memmove(order + at + 1, order + at, (told - at - 1) * sizeof *order);
        order[at] = i;
    }
    for (size_t k = 0; k < told; k++) {
        const json_t *name = json_object_get(json_array_get(nodes, order[k]), "name");
        if (json_string_length(name) > width) width = json_string_length(name);
    }
    printf("  %-*s   rel. L2  of one call\n", (int)width, title);
    for (size_t k = 0; k < told; k++) {
        const json_t *node = json_array_get(nodes, order[k]);
        printf("  %-*s %9.3e    %9.3e\n", (int)width,
               json_string_value(json_object_get(node, "name")),
               number(nodes, order[k], "relative_l2"), number(nodes, order[k], "worst"));
    }
}

static void print(const struct cli *cli, const json_t *results, double least) {
    size_t i;
    const json_t *one;
    json_array_foreach(results, i, one) {
        const json_t *psnr = json_object_get(one, "psnr");
        cli_print(stdout, json_string_value(json_object_get(one, "perturb")));
        printf(": %d nodes; picture: PSNR ",
               (int)json_integer_value(json_object_get(one, "perturbed")));
        if (json_is_null(psnr)) fputs("inf", stdout);
        else printf("%.1f dB", json_real_value(psnr));
        printf(", SSIM %.5f, largest %d of 255; latents: relative L2 %.3e; %s\n",
               json_real_value(json_object_get(one, "ssim")),
               (int)json_integer_value(json_object_get(one, "largest")),
               json_real_value(json_object_get(one, "latents_relative_l2")),
               json_is_true(json_object_get(one, "may")) ? "may go" : "MAY NOT");
        if (!cli->quiet) print_nodes(json_object_get(one, "nodes"));
    }
    printf("may go: the picture keeps a PSNR of %g dB (--min-psnr)\n", least);
}

enum tt_status verify_perturb(struct verify *v, const struct cli_list *asked,
                              const struct tt_settings *with, double least) {
    struct cli *cli = v->cli;
    json_t *results = json_array();
    struct cli_progress progress = {0};
    enum tt_status status = TT_OK;
    size_t count = (size_t)asked->count;
    struct what *what = calloc(count, sizeof *what);
    if (!what) status = tt_fail(&cli->error, TT_SYSTEM, "out of memory");
    for (size_t i = 0; !status && i < count; i++) status = parse(cli, asked->item[i], &what[i]);
    cli_progress_begin(&progress, cli, "perturb");
    for (size_t i = 0; !status && i < count; i++) {
        status = try_one(v, &what[i], with, least, results);
        cli_progress_step(&progress, i + 1, count);
    }
    cli_progress_end(&progress);
    for (size_t i = 0; what && i < count; i++) free(what[i].patterns);
    free(what);
    if (!status && cli->json)
        status = cli_print_json(
            cli, json_pack("{s:s, s:o, s:f, s:O}", "format", "tintype-perturbation", "model",
                           cli_json_text(tt_model_info(v->model)->name), "min_psnr", least,
                           "results", results),
            JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    else if (!status)
        print(cli, results, least);
    json_decref(results);
    return status;
}
