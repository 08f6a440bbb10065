// SPDX-License-Identifier: MIT
#include "lora/lora_modules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static enum tt_status no_memory(struct tt_error *err) {
    return tt_fail(err, TT_SYSTEM, "out of memory for the names of a LoRA's modules");
}

static bool has(const struct tt_lora_modules *m, size_t first, const char *weight) {
    for (size_t i = first; i < m->count; i++)
        if (!strcmp(m->modules[i].weight, weight)) return true;
    return false;
}

// The layers of a network are named by a tape that ends before they do.
static enum tt_status add_module(struct tt_lora_modules *m, const char *folder, size_t first,
                                 const struct tt_param *param, struct tt_error *err) {
    if (has(m, first, param->name)) return TT_OK;
    if (m->count == m->room) {
        size_t room = m->room ? 2 * m->room : 256;
        struct tt_lora_module *larger = realloc(m->modules, room * sizeof *larger);
        if (!larger) return no_memory(err);
        m->modules = larger;
        m->room = room;
    }
    const char *weight = tt_pool_format(&m->pool, "%s", param->name);
    if (!weight) return no_memory(err);
    m->modules[m->count++] = (struct tt_lora_module){folder, weight, param->shape};
    return TT_OK;
}

enum tt_status tt_lora_modules_add(struct tt_lora_modules *m, const char *folder,
                                   const struct tt_tape *tape, struct tt_error *err) {
    enum tt_status status = TT_OK;
    size_t first = m->count;
    for (int i = 0; !status && i < tape->node_count; i++) {
        const struct tt_node *node = &tape->nodes[i];
        const struct tt_param *param = node->param[0];
        bool product = node->op == TT_OP_linear || node->op == TT_OP_conv2d;
        if (product && param && tt_text_ends(param->name, ".weight"))
            status = add_module(m, folder, first, param, err);
    }
    return status;
}

void tt_lora_modules_free(struct tt_lora_modules *m) {
    free(m->modules);
    free(m->aliases);
    tt_pool_free(&m->pool);
    *m = (struct tt_lora_modules){0};
}

// ---- names ----

static enum tt_status add_alias(struct tt_lora_modules *m, const char *name, size_t module,
                                bool original, struct tt_error *err) {
    char key[TT_LORA_KEY];
    const char *folder;
    if (!tt_lora_key(name, strlen(name), key, &folder)) return TT_OK; // no file has it
    if (m->alias_count == m->alias_room) {
        size_t room = m->alias_room ? 2 * m->alias_room : 1024;
        struct tt_lora_alias *larger = realloc(m->aliases, room * sizeof *larger);
        if (!larger) return no_memory(err);
        m->aliases = larger;
        m->alias_room = room;
    }
    const char *text = tt_pool_format(&m->pool, "%s", key);
    if (!text) return no_memory(err);
    m->aliases[m->alias_count++] = (struct tt_lora_alias){text, module, original};
    return TT_OK;
}

// `name` with `end`, which it ends with, replaced by `by`; false: it does not, or is too long.
static bool with_end(const char *name, const char *end, const char *by, char text[TT_LORA_KEY]) {
    if (!tt_text_ends(name, end)) return false;
    int used = snprintf(text, TT_LORA_KEY, "%.*s%s", (int)(strlen(name) - strlen(end)), name, by);
    return used > 0 && used < TT_LORA_KEY;
}

// How many layers (resnets) a block of the U-Net has: of "down_blocks" or "up_blocks", number
// `block`; and whether it has attentions.
struct block {
    size_t layers;
    bool attends;
};
enum { BLOCKS = 16 };
struct blocks {
    struct block down[BLOCKS], up[BLOCKS];
};

static void see_blocks(const struct tt_lora_modules *m, struct blocks *blocks) {
    for (size_t i = 0; i < m->count; i++) {
        size_t block, layer;
        const char *name = m->modules[i].weight;
        bool down = sscanf(name, "down_blocks.%zu.", &block) == 1;
        if ((!down && sscanf(name, "up_blocks.%zu.", &block) != 1) || block >= BLOCKS) continue;
        struct block *b = down ? &blocks->down[block] : &blocks->up[block];
        const char *inner = strchr(strchr(name, '.') + 1, '.') + 1;
        if (sscanf(inner, "resnets.%zu.", &layer) == 1 && layer >= b->layers) b->layers = layer + 1;
        if (!strncmp(inner, "attentions.", 11)) b->attends = true;
    }
}

// What the original U-Net calls a layer inside a block, from diffusers' name of it.
static const char *inner_name(const char *name) {
    static const char *const renamed[][2] = {
        {"conv1", "in_layers.2"}, {"conv2", "out_layers.3"},
        {"time_emb_proj", "emb_layers.1"}, {"conv_shortcut", "skip_connection"},
    };
    for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++)
        if (!strcmp(name, renamed[i][0])) return renamed[i][1];
    return name;
}

// A layer of a block: input_blocks, middle_block and output_blocks count through, the convolution
// that comes first and those that halve included.
static bool block_name(const struct blocks *blocks, const char *name, char text[TT_LORA_KEY]) {
    size_t block, index, at = 0;
    char kind[16];
    int used = 0, wrote = -1;
    bool attention;
    if (sscanf(name, "down_blocks.%zu.%15[a-z].%zu.%n", &block, kind, &index, &used) == 3 && used &&
        block < BLOCKS) {
        for (size_t i = 0; i < block; i++) at += blocks->down[i].layers + 1;
        attention = !strcmp(kind, "attentions");
        if (!strcmp(kind, "downsamplers"))
            wrote = snprintf(text, TT_LORA_KEY, "input_blocks.%zu.0.op",
                             1 + at + blocks->down[block].layers);
        else
            wrote = snprintf(text, TT_LORA_KEY, "input_blocks.%zu.%d.%s", 1 + at + index, attention,
                             inner_name(name + used));
    } else if (sscanf(name, "up_blocks.%zu.%15[a-z].%zu.%n", &block, kind, &index, &used) == 3 &&
               used && block < BLOCKS) {
        for (size_t i = 0; i < block; i++) at += blocks->up[i].layers;
        attention = !strcmp(kind, "attentions");
        if (!strcmp(kind, "upsamplers"))
            wrote = snprintf(text, TT_LORA_KEY, "output_blocks.%zu.%d.%s",
                             at + blocks->up[block].layers - 1, blocks->up[block].attends ? 2 : 1,
                             name + used);
        else
            wrote = snprintf(text, TT_LORA_KEY, "output_blocks.%zu.%d.%s", at + index, attention,
                             inner_name(name + used));
    } else if (sscanf(name, "mid_block.%15[a-z].%zu.%n", kind, &index, &used) == 2 && used) {
        attention = !strcmp(kind, "attentions");
        wrote = snprintf(text, TT_LORA_KEY, "middle_block.%zu.%s", attention ? 1 : 2 * index,
                         inner_name(name + used));
    }
    return wrote > 0 && wrote < TT_LORA_KEY;
}

static bool original_name(const struct blocks *blocks, const char *name, char text[TT_LORA_KEY]) {
    static const char *const renamed[][2] = {
        {"conv_in", "input_blocks.0.0"}, {"conv_out", "out.2"},
        {"time_embedding.linear_1", "time_embed.0"}, {"time_embedding.linear_2", "time_embed.2"},
        {"add_embedding.linear_1", "label_emb.0.0"}, {"add_embedding.linear_2", "label_emb.0.2"},
    };
    for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++)
        if (!strcmp(name, renamed[i][0]))
            return snprintf(text, TT_LORA_KEY, "%s", renamed[i][1]) < TT_LORA_KEY;
    return block_name(blocks, name, text);
}

// All names of one module.
static enum tt_status name_module(struct tt_lora_modules *m, size_t i, const struct blocks *blocks,
                                  struct tt_error *err) {
    // What diffusers called the layers of attention before it had peft.
    static const char *const old[][2] = {
        {".to_out.0", ".to_out"}, {".q_proj", ".to_q"}, {".k_proj", ".to_k"}, {".v_proj", ".to_v"},
        {".out_proj", ".to_out"},
    };
    const struct tt_lora_module *module = &m->modules[i];
    char name[TT_LORA_KEY], other[TT_LORA_KEY];
    if (!with_end(module->weight, ".weight", "", name)) return TT_OK;
    enum tt_status status = add_alias(m, name, i, false, err);
    for (size_t k = 0; !status && k < sizeof old / sizeof *old; k++)
        if (with_end(name, old[k][0], old[k][1], other))
            status = add_alias(m, other, i, false, err);
    if (!status && !strcmp(module->folder, "unet") && original_name(blocks, name, other))
        status = add_alias(m, other, i, true, err);
    return status;
}

static int by_key(const void *a, const void *b) {
    const struct tt_lora_alias *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : (x->module > y->module) - (x->module < y->module);
}

enum tt_status tt_lora_modules_end(struct tt_lora_modules *m, struct tt_error *err) {
    struct blocks blocks = {0};
    enum tt_status status = TT_OK;
    see_blocks(m, &blocks);
    for (size_t i = 0; !status && i < m->count; i++) status = name_module(m, i, &blocks, err);
    if (!status && m->alias_count) qsort(m->aliases, m->alias_count, sizeof *m->aliases, by_key);
    return status;
}

const struct tt_lora_alias *tt_lora_modules_find(const struct tt_lora_modules *m, const char *key,
                                                 const char *folder, bool *several) {
    size_t begin = 0, end = m->alias_count;
    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;
        if (strcmp(m->aliases[middle].key, key) < 0) begin = middle + 1;
        else end = middle;
    }
    const struct tt_lora_alias *found = NULL;
    *several = false;
    for (; begin < m->alias_count && !strcmp(m->aliases[begin].key, key); begin++) {
        const struct tt_lora_alias *alias = &m->aliases[begin];
        if (folder && strcmp(m->modules[alias->module].folder, folder)) continue;
        if (found && found->module != alias->module) *several = true;
        if (!found) found = alias;
    }
    return found;
}

size_t tt_lora_modules_context(const struct tt_lora_modules *m) {
    for (size_t i = 0; i < m->count; i++)
        if (!strcmp(m->modules[i].folder, "unet") &&
            tt_text_ends(m->modules[i].weight, "attn2.to_k.weight"))
            return m->modules[i].shape.dim[1];
    return 0;
}
