// SPDX-License-Identifier: MIT
// LoRA files of any writer, and textual inversion embeddings. Names are those of kohya's
// sd-scripts, LyCORIS, peft and diffusers (old and new).
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "doctor/doctor.h"

// What a tensor is of its module. DOWN is (rank, in, ...), UP (out, rank, ...).
enum role { DOWN, UP, ALPHA, SCALE, FACTOR, DIFF };

static const struct ending {
    const char *end;
    enum role role;
    const char *algorithm, *writer;
} endings[] = {
    {".lora_down.weight", DOWN, "LoRA", "kohya"},
    {".lora_up.weight", UP, "LoRA", "kohya"},
    {".lora_mid.weight", FACTOR, "LoRA (convolutions)", "kohya"},
    {".lora_A.weight", DOWN, "LoRA", "peft"},
    {".lora_B.weight", UP, "LoRA", "peft"},
    {".lora_A.default.weight", DOWN, "LoRA", "peft"},
    {".lora_B.default.weight", UP, "LoRA", "peft"},
    {".lora_A.default_0.weight", DOWN, "LoRA", "peft"},
    {".lora_B.default_0.weight", UP, "LoRA", "peft"},
    {".lora.down.weight", DOWN, "LoRA", "diffusers"},
    {".lora.up.weight", UP, "LoRA", "diffusers"},
    {"_lora.down.weight", DOWN, "LoRA", "diffusers"},
    {"_lora.up.weight", UP, "LoRA", "diffusers"},
    {".lora_linear_layer.down.weight", DOWN, "LoRA", "diffusers"},
    {".lora_linear_layer.up.weight", UP, "LoRA", "diffusers"},
    {".alpha", ALPHA, NULL, NULL},
    {".dora_scale", SCALE, "DoRA", NULL},
    {".lora_magnitude_vector", SCALE, "DoRA", NULL},
    {".lora_magnitude_vector.weight", SCALE, "DoRA", NULL},
    {".hada_w1_b", DOWN, "LoHa", "LyCORIS"},
    {".hada_w1_a", UP, "LoHa", "LyCORIS"},
    {".hada_w2_a", FACTOR, "LoHa", "LyCORIS"},
    {".hada_w2_b", FACTOR, "LoHa", "LyCORIS"},
    {".hada_t1", FACTOR, "LoHa", "LyCORIS"},
    {".hada_t2", FACTOR, "LoHa", "LyCORIS"},
    {".lokr_w1", FACTOR, "LoKr", "LyCORIS"},
    {".lokr_w1_a", FACTOR, "LoKr", "LyCORIS"},
    {".lokr_w1_b", FACTOR, "LoKr", "LyCORIS"},
    {".lokr_w2", FACTOR, "LoKr", "LyCORIS"},
    {".lokr_w2_a", FACTOR, "LoKr", "LyCORIS"},
    {".lokr_w2_b", FACTOR, "LoKr", "LyCORIS"},
    {".lokr_t2", FACTOR, "LoKr", "LyCORIS"},
    {".oft_blocks", FACTOR, "OFT", "LyCORIS"},
    {".oft_diag", FACTOR, "OFT", "LyCORIS"},
    {".diff", DIFF, "whole differences", "LyCORIS"},
    {".diff_b", DIFF, "whole differences", "LyCORIS"},
};
enum { ENDINGS = sizeof endings / sizeof *endings };

// What is trained, by how its names begin; the first that fits.
static const struct {
    const char *begins, *trains;
} components[] = {
    {"lora_unet_", "unet"},
    {"lora_te1_", "text_encoder"},
    {"lora_te2_", "text_encoder_2"},
    {"lora_te3_", "text_encoder_3"},
    {"lora_te_", "text_encoder"},
    {"lora_transformer_", "transformer"},
    {"unet.", "unet"},
    {"text_encoder_2.", "text_encoder_2"},
    {"text_encoder.", "text_encoder"},
    {"transformer.", "transformer"},
    {"diffusion_model.", "unet"},
    {"base_model.model.", "unet"},
    {"down_blocks.", "unet"},
    {"mid_block.", "unet"},
    {"up_blocks.", "unet"},
};
enum { COMPONENTS = sizeof components / sizeof *components };

// Kinds of modules, by how their names end once dots are underscores; the first that fits.
static const struct {
    const char *end, *target;
} targets[] = {
    {"attn1_to_q", "attn1.to_q"}, {"attn1_to_k", "attn1.to_k"}, {"attn1_to_v", "attn1.to_v"},
    {"attn1_to_out_0", "attn1.to_out"}, {"attn2_to_q", "attn2.to_q"},
    {"attn2_to_k", "attn2.to_k"}, {"attn2_to_v", "attn2.to_v"},
    {"attn2_to_out_0", "attn2.to_out"}, {"to_q", "to_q"}, {"to_k", "to_k"}, {"to_v", "to_v"},
    {"to_out_0", "to_out"}, {"to_out", "to_out"}, {"ff_net_0_proj", "ff.net.0.proj"},
    {"ff_net_2", "ff.net.2"}, {"proj_in", "proj_in"}, {"proj_out", "proj_out"},
    {"q_proj", "q_proj"}, {"k_proj", "k_proj"}, {"v_proj", "v_proj"}, {"out_proj", "out_proj"},
    {"fc1", "fc1"}, {"fc2", "fc2"}, {"conv1", "conv1"}, {"conv2", "conv2"},
    {"conv_shortcut", "conv_shortcut"}, {"time_emb_proj", "time_emb_proj"},
    {"conv_in", "conv_in"}, {"conv_out", "conv_out"}, {"conv", "conv"}, {"qkv", "qkv"},
};
enum { TARGETS = sizeof targets / sizeof *targets };

// Families by words in the names, where no width says it.
static const struct {
    const char *word, *family;
} words[] = {
    {"double_blocks", "Flux"}, {"single_transformer_blocks", "Flux"},
    {"joint_blocks", "Stable Diffusion 3"}, {"lora_te2_", "Stable Diffusion XL"},
    {"text_encoder_2", "Stable Diffusion XL"}, {"img_mod", "Qwen-Image"},
    {"context_refiner", "Z-Image"}, {"cross_attn_k", "Wan"},
};

static const struct ending *ending_of(const char *name) {
    for (size_t i = 0; i < ENDINGS; i++)
        if (tt_text_ends(name, endings[i].end)) return &endings[i];
    return NULL;
}

bool tt_doctor_is_lora(const struct tt_doctor_file *file) {
    for (size_t i = 0; i < file->count; i++) {
        const struct ending *ending = ending_of(file->tensors[i].view.name);
        if (ending && ending->role != ALPHA && ending->role != SCALE) return true;
    }
    return false;
}

// ---- module by module ----

struct piece {
    const char *name; // of the tensor,
    size_t length;    // of which the first so many bytes are the module's
    const struct ending *ending;
    const struct tt_view *view;
};

// What is counted on the way.
struct tally {
    size_t modules, other, of_target[TARGETS], of_component[COMPONENTS], of_ending[ENDINGS];
    size_t least, most; // ranks
    float low, high;    // alphas
    size_t alphas, context, text;
    const char *family;
};

static int by_module(const void *a, const void *b) {
    const struct piece *x = a, *y = b;
    size_t length = x->length < y->length ? x->length : y->length;
    int order = memcmp(x->name, y->name, length);
    if (order) return order;
    return x->length < y->length ? -1 : x->length > y->length;
}

// Whether the first n bytes of name end so, if their dots were underscores.
static bool ends_like(const char *name, size_t n, const char *end) {
    size_t length = strlen(end);
    if (n < length) return false;
    for (size_t i = 0; i < length; i++) {
        char c = name[n - length + i];
        if ((c == '.' ? '_' : c) != end[i]) return false;
    }
    return n == length || name[n - length - 1] == '.' || name[n - length - 1] == '_';
}

static void count_module(struct tally *t, const char *name, size_t length) {
    size_t target = 0, component = 0;
    t->modules++;
    while (target < TARGETS && !ends_like(name, length, targets[target].end)) target++;
    while (component < COMPONENTS && strncmp(name, components[component].begins,
                                             strlen(components[component].begins)))
        component++;
    if (target < TARGETS) t->of_target[target]++;
    else t->other++;
    if (component < COMPONENTS) t->of_component[component]++;
}

static size_t dim(const struct tt_view *view, size_t i) {
    return view->shape.rank > i ? view->shape.dim[i] : 0;
}

static void count_rank(struct tally *t, size_t rank) {
    if (!t->most || rank < t->least) t->least = rank;
    if (rank > t->most) t->most = rank;
}

// What a module's way down says about the model that it was trained on.
static void note_width(struct tally *t, const char *name, size_t length, size_t width) {
    const char *attention = strstr(name, "attn2");
    bool key = ends_like(name, length, "to_k") || ends_like(name, length, "to_v");
    if (attention && key && !t->context) t->context = width;
    if (ends_like(name, length, "q_proj") && !t->text) t->text = width;
}

static void check_pair(struct tt_examination *x, const char *path, const struct piece *down,
                       const struct piece *up) {
    const struct piece *one = down ? down : up;
    char a[96], b[96];
    if (down && up && dim(down->view, 0) == dim(up->view, 1)) return;
    if (down && up)
        tt_doctor_find(x, TT_CODE_UNPAIRED, path, down->name,
                       tt_doctor_text(x, "ranks %zu and %zu: %s and %s", dim(down->view, 0),
                                      dim(up->view, 1),
                                      tt_shape_text(&down->view->shape, a, sizeof a),
                                      tt_shape_text(&up->view->shape, b, sizeof b)),
                       "one rank", NULL);
    else
        tt_doctor_find(x, TT_CODE_UNPAIRED, path, one->name, "no other half of its module",
                       down ? "one that goes up" : "one that goes down", NULL);
}

// The pieces of one module.
static void look_at_module(struct tt_examination *x, const char *path, const struct piece *piece,
                           size_t count, struct tally *t) {
    const struct piece *down = NULL, *up = NULL;
    count_module(t, piece->name, piece->length);
    for (size_t i = 0; i < count; i++) {
        const struct piece *p = &piece[i];
        t->of_ending[p->ending - endings]++;
        if (p->ending->role == DOWN) down = p;
        if (p->ending->role == UP) up = p;
        if (p->ending->role != ALPHA || tt_shape_count(&p->view->shape) != 1) continue;
        float alpha;
        tt_view_floats(p->view, 0, 1, &alpha);
        if (!t->alphas || alpha < t->low) t->low = alpha;
        if (!t->alphas++ || alpha > t->high) t->high = alpha;
    }
    if (!down && !up) return;
    check_pair(x, path, down, up);
    if (!down) return;
    count_rank(t, dim(down->view, 0));
    note_width(t, down->name, down->length, dim(down->view, 1));
}

// ---- what was counted ----

static const char *range(struct tt_examination *x, double least, double most) {
    return least == most ? tt_doctor_text(x, "%g", least)
                         : tt_doctor_text(x, "%g to %g", least, most);
}

static void tell(struct tt_examination *x, const struct tally *t) {
    const char *algorithm = NULL, *writer = NULL;
    for (size_t i = 0; i < ENDINGS; i++) { // DoRA is LoRA with more
        if (!t->of_ending[i] || !endings[i].algorithm) continue;
        if (!algorithm || endings[i].role == SCALE) algorithm = endings[i].algorithm;
        if (!writer && endings[i].writer) writer = endings[i].writer;
    }
    if (algorithm && strcmp(algorithm, "LoRA")) tt_doctor_is(x, TT_KIND_LORA_LIKE);
    tt_doctor_fact(x, "", "algorithm", algorithm ? algorithm : "");
    tt_doctor_fact(x, "", "writer", writer ? writer : "");
    if (t->most) tt_doctor_fact(x, "", "rank", range(x, (double)t->least, (double)t->most));
    if (t->alphas) tt_doctor_fact(x, "", "alpha", range(x, (double)t->low, (double)t->high));
    tt_doctor_number(x, "", "modules", (double)t->modules);
    for (size_t i = 0; i < COMPONENTS; i++) {
        bool again = false;
        for (size_t j = 0; j < i; j++)
            again |= t->of_component[j] && !strcmp(components[i].trains, components[j].trains);
        if (t->of_component[i] && !again)
            tt_doctor_listed(x, "", "trains", components[i].trains);
    }
    for (size_t i = 0; i < TARGETS; i++)
        if (t->of_target[i])
            tt_doctor_listed(x, "", "target_modules",
                             tt_doctor_text(x, "%s: %zu", targets[i].target, t->of_target[i]));
    if (t->other)
        tt_doctor_listed(x, "", "target_modules", tt_doctor_text(x, "others: %zu", t->other));
}

static const char *family_of(const struct tt_doctor_file *file, const struct tally *t) {
    const char *family = tt_doctor_family_of_width(t->context);
    for (size_t i = 0; !family && i < sizeof words / sizeof *words; i++)
        for (size_t k = 0; !family && k < file->count; k++)
            if (strstr(file->tensors[k].view.name, words[i].word)) family = words[i].family;
    if (!family && t->text) family = tt_doctor_family_of_width(t->text);
    if (!family) family = tt_doctor_metadata(file, "modelspec.architecture");
    return family ? family : tt_doctor_metadata(file, "ss_base_model_version");
}

void tt_doctor_lora(struct tt_examination *x, const struct tt_doctor_file *file) {
    struct piece *pieces = calloc(file->count + 1, sizeof *pieces);
    struct tally t = {0};
    size_t count = 0, unknown = 0;
    const char *first = NULL;
    if (!pieces) {
        x->no_memory = true;
        return;
    }
    for (size_t i = 0; i < file->count; i++) {
        const char *name = file->tensors[i].view.name;
        const struct ending *ending = ending_of(name);
        if (!ending && !unknown++) first = name;
        if (ending)
            pieces[count++] = (struct piece){name, strlen(name) - strlen(ending->end), ending,
                                             &file->tensors[i].view};
    }
    qsort(pieces, count, sizeof *pieces, by_module);
    for (size_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && !by_module(&pieces[i], &pieces[end]);) end++;
        look_at_module(x, file->path, &pieces[i], end - i, &t);
    }
    if (unknown)
        tt_doctor_find(x, TT_CODE_SUPERFLUOUS, file->path, first,
                       tt_doctor_text(x, "%zu tensors that are none of a LoRA's", unknown), NULL,
                       NULL);
    const char *family = family_of(file, &t);
    tt_doctor_fact(x, "", "family", family ? family : "unknown");
    tell(x, &t);
    tt_doctor_triggers(x, file);
    free(pieces);
}

// ---- textual inversion ----

void tt_doctor_embedding(struct tt_examination *x, const struct tt_doctor_file *file) {
    const struct tt_doctor_tensor *params = tt_doctor_named(file, "emb_params");
    const struct tt_doctor_tensor *both = tt_doctor_named(file, "clip_g");
    const struct tt_doctor_tensor *t = both ? both : params ? params : file->tensors;
    if (!file->count) return;
    size_t rank = t->view.shape.rank, vectors = rank > 1 ? t->view.shape.dim[0] : 1;
    size_t width = rank ? t->view.shape.dim[rank - 1] : 0;
    const char *family = both ? "Stable Diffusion XL" : tt_doctor_family_of_width(width);
    tt_doctor_fact(x, "", "family", family ? family : "unknown");
    tt_doctor_fact(x, "", "form", both ? "clip_l and clip_g" : params ? "emb_params" : "diffusers");
    if (!both && !params) tt_doctor_listed(x, "", "trigger_words", t->view.name);
    tt_doctor_number(x, "", "vectors", (double)vectors);
    tt_doctor_number(x, "", "width", (double)width);
}
