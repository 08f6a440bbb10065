// SPDX-License-Identifier: MIT
#include "lora/lora_names.h"

#include <string.h>

// Ends of names, the longer ones first where one is the end of another.
static const struct ending {
    const char *text;
    enum tt_lora_role role;
    const char *kind;
} endings[] = {
    // peft; diffusers today; kohya's scripts.
    {".lora_A.weight", TT_LORA_DOWN, NULL},
    {".lora_B.weight", TT_LORA_UP, NULL},
    {".lora_down.weight", TT_LORA_DOWN, NULL},
    {".lora_up.weight", TT_LORA_UP, NULL},
    // diffusers before it had peft: LoRALinearLayer as `lora`, in a text encoder
    // `lora_linear_layer`, in an attention processor `to_q_lora`.
    {".lora_linear_layer.down.weight", TT_LORA_DOWN, NULL},
    {".lora_linear_layer.up.weight", TT_LORA_UP, NULL},
    {".lora.down.weight", TT_LORA_DOWN, NULL},
    {".lora.up.weight", TT_LORA_UP, NULL},
    {"_lora.down.weight", TT_LORA_DOWN, NULL},
    {"_lora.up.weight", TT_LORA_UP, NULL},
    // A saved peft adapter may keep the name that it had in memory.
    {".lora_A.default.weight", TT_LORA_DOWN, NULL},
    {".lora_B.default.weight", TT_LORA_UP, NULL},
    {".alpha", TT_LORA_ALPHA, NULL},
    // What other adapters have: LyCORIS, peft's other kinds.
    {".lora_mid.weight", TT_LORA_OTHER, "LoCon in three factors (lora_mid)"},
    {".dora_scale", TT_LORA_OTHER, "DoRA"},
    {".lora_magnitude_vector", TT_LORA_OTHER, "DoRA"},
    {".lora_magnitude_vector.weight", TT_LORA_OTHER, "DoRA"},
    {".lora_B.bias", TT_LORA_OTHER, "LoRA with biases"},
    {".lora_up.bias", TT_LORA_OTHER, "LoRA with biases"},
    {".lora_embedding_A", TT_LORA_OTHER, "LoRA of an embedding"},
    {".lora_embedding_B", TT_LORA_OTHER, "LoRA of an embedding"},
    {".oft_blocks", TT_LORA_OTHER, "OFT"},
    {".oft_diag", TT_LORA_OTHER, "OFT"},
    {".oft_R.weight", TT_LORA_OTHER, "OFT"},
    {".boft_R", TT_LORA_OTHER, "BOFT"},
    {".boft_s", TT_LORA_OTHER, "BOFT"},
    {".a1.weight", TT_LORA_OTHER, "GLoRA"},
    {".a2.weight", TT_LORA_OTHER, "GLoRA"},
    {".b1.weight", TT_LORA_OTHER, "GLoRA"},
    {".b2.weight", TT_LORA_OTHER, "GLoRA"},
    {".on_input", TT_LORA_OTHER, "IA3"},
    {".ia3_l", TT_LORA_OTHER, "IA3"},
    {".vera_lambda_b", TT_LORA_OTHER, "VeRA"},
    {".vera_lambda_d", TT_LORA_OTHER, "VeRA"},
    {".diff", TT_LORA_OTHER, "whole differences (LyCORIS full)"},
    {".diff_b", TT_LORA_OTHER, "whole differences (LyCORIS full)"},
};
enum { ENDINGS = sizeof endings / sizeof *endings };

// Families whose tensors end in many ways.
static const struct {
    const char *text, *kind;
} parts[] = {{".hada_", "LoHa"}, {".lokr_", "LoKr"}, {".set_weight", "whole weights"}};

static bool ends(const char *text, size_t length, const char *end) {
    size_t tail = strlen(end);
    return length > tail && !memcmp(text + length - tail, end, tail);
}

enum tt_lora_role tt_lora_role(const char *name, size_t *length, const char **kind) {
    size_t whole = strlen(name);
    for (size_t i = 0; i < ENDINGS; i++) {
        if (!ends(name, whole, endings[i].text)) continue;
        *length = whole - strlen(endings[i].text);
        *kind = endings[i].kind;
        return endings[i].role;
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const char *at = strstr(name, parts[i].text);
        if (!at || at == name) continue;
        *length = (size_t)(at - name);
        *kind = parts[i].kind;
        return TT_LORA_OTHER;
    }
    return TT_LORA_NONE;
}

bool tt_lora_is_name(const char *name) {
    size_t length;
    const char *kind;
    return tt_lora_role(name, &length, &kind) != TT_LORA_NONE;
}

// Skips a beginning; whether it was there.
static bool skip(const char **name, size_t *length, const char *begin) {
    size_t head = strlen(begin);
    if (*length <= head || memcmp(*name, begin, head)) return false;
    *name += head;
    *length -= head;
    return true;
}

static const struct {
    const char *begin, *folder;
} prefixes[] = {
    {"lora_unet_", "unet"},           {"lora_te_", "text_encoder"},
    {"lora_te1_", "text_encoder"},    {"lora_te2_", "text_encoder_2"},
    {"unet.", "unet"},                {"text_encoder.", "text_encoder"},
    {"text_encoder_2.", "text_encoder_2"},
};

const char *tt_lora_bare(const char *name, size_t *length) {
    for (bool more = true; more;) {
        more = skip(&name, length, "base_model.model.");
        for (size_t i = 0; !more && i < sizeof prefixes / sizeof *prefixes; i++)
            more = skip(&name, length, prefixes[i].begin);
    }
    return name;
}

bool tt_lora_key(const char *name, size_t length, char key[TT_LORA_KEY], const char **folder) {
    static const char processor[] = ".processor.";
    const size_t inner = sizeof processor - 2; // with one of its dots
    size_t used = 0;
    *folder = NULL;
    skip(&name, &length, "base_model.model.");
    for (size_t i = 0; !*folder && i < sizeof prefixes / sizeof *prefixes; i++)
        if (skip(&name, &length, prefixes[i].begin)) *folder = prefixes[i].folder;
    skip(&name, &length, "base_model.model.");
    // In front of a text encoder's modules, or not, as versions of transformers have it.
    if (!skip(&name, &length, "text_model.")) skip(&name, &length, "text_model_");
    for (size_t i = 0; i < length; i++) {
        if (length - i > inner && !memcmp(name + i, processor, inner + 1)) i += inner;
        if (used + 1 >= TT_LORA_KEY) return false;
        key[used++] = name[i] == '.' ? '_' : name[i];
    }
    key[used] = 0;
    return true;
}
