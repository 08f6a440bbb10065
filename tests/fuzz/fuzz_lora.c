// SPDX-License-Identifier: MIT
// Input: a LoRA's file; or 'C', a length of two bytes, as much of an adapter_config.json, and then
// the file; or 'P' and a prompt with tags. What is accepted is merged into weights of small layers.
#include "fuzz.h"

#include "lora/lora_merge.h"

#include <string.h>

// A piece of a U-Net and of a text encoder: a layer of each kind.
static void make_modules(struct tt_lora_modules *modules) {
    const size_t padding[4] = {1, 1, 1, 1}, none[4] = {0};
    struct tt_tape unet = {0}, text = {0};
    struct tt_error error = {0};
    tt_value x = tt_nn_input(&unet, "sample", (struct tt_shape){4, {1, 3, 4, 4}}, TT_F32);
    tt_value y = tt_nn_input(&unet, "context", (struct tt_shape){3, {1, 2, 5}}, TT_F32);
    tt_push(&unet, "down_blocks.0");
    tt_nn_conv2d(&unet, "resnets.0.conv1", x, 2, 3, 1, padding);
    tt_nn_conv2d(&unet, "attentions.0.proj_in", x, 4, 1, 1, none);
    tt_nn_linear(&unet, "attentions.0.transformer_blocks.0.attn2.to_k", y, 4, false);
    tt_nn_linear(&unet, "attentions.0.transformer_blocks.0.attn2.to_out.0", y, 5, true);
    tt_nn_conv2d(&unet, "downsamplers.0.conv", x, 3, 3, 2, padding);
    tt_pop(&unet, x);
    y = tt_nn_input(&text, "hidden", (struct tt_shape){3, {1, 2, 6}}, TT_F32);
    tt_nn_linear(&text, "encoder.layers.0.self_attn.q_proj", y, 6, true);
    must(!tt_tape_status(&unet, &error) && !tt_tape_status(&text, &error));
    must(!tt_lora_modules_add(modules, "unet", &unet, &error));
    must(!tt_lora_modules_add(modules, "text_encoder", &text, &error));
    must(!tt_lora_modules_end(modules, &error));
    tt_tape_free(&unet);
    tt_tape_free(&text);
}

static const float weight[128];

struct base {
    const struct tt_lora_modules *modules;
    struct tt_view views[16];
};

static const struct tt_view *find(void *context, const char *name) {
    struct base *base = context;
    for (size_t i = 0; i < base->modules->count; i++) {
        const struct tt_lora_module *module = &base->modules->modules[i];
        if (strcmp(module->weight, name)) continue;
        base->views[i] = (struct tt_view){.name = module->weight, .dtype = TT_F32,
                                          .shape = module->shape, .data = weight,
                                          .bytes = tt_shape_count(&module->shape) * sizeof(float)};
        must(base->views[i].bytes <= sizeof weight);
        return &base->views[i];
    }
    return NULL;
}

static void merge(const struct tt_lora_modules *modules, const struct tt_lora_file *file) {
    struct tt_kernels kernels;
    struct base base = {.modules = modules};
    const struct tt_source source = {.context = &base, .name = "fuzz", .find = find};
    const struct tt_lora_use uses[] = {{file, 0.75}, {file, 0}};
    static const char *const folders[] = {"unet", "text_encoder", "text_encoder_2"};
    tt_kernels_init(&kernels, 0);
    for (size_t f = 0; f < 3; f++) {
        struct tt_lora_merge *merged;
        struct tt_error error = {0};
        must(!tt_lora_merge_new(&source, modules, folders[f], uses, 2, &kernels, 1, &merged,
                                &error));
        if (!merged) continue;
        const struct tt_source with = tt_lora_merge_source(merged);
        for (size_t i = 0; i < modules->count; i++) {
            const struct tt_view *found = with.find(with.context, modules->modules[i].weight);
            struct tt_view view;
            must(found != NULL);
            enum tt_status status = tt_source_acquire(&with, found, &view, &error);
            must_explain(status, error);
            error = (struct tt_error){0};
            if (status) continue; // not finite
            must(view.bytes == found->bytes && view.data);
            tt_source_release(&with, &view);
        }
        tt_lora_merge_free(merged);
    }
}

static void read_lora(const uint8_t *data, size_t size) {
    struct tt_lora_modules modules = {0};
    struct tt_lora_file *file;
    struct tt_error error = {0};
    struct tt_bytes config = {0};
    if (size > 3 && *data == 'C') {
        size_t length = (size_t)data[1] << 8 | data[2];
        if (length > size - 3) length = size - 3;
        config = (struct tt_bytes){.data = data + 3, .size = length};
        data += 3 + length;
        size -= 3 + length;
    }
    make_modules(&modules);
    const struct tt_lora_reader reader = {.modules = &modules, .model = "fuzz"};
    enum tt_status status = tt_lora_open_memory(&reader, "fuzz", data, size,
                                                config.data ? &config : NULL, &file, &error);
    must_explain(status, error);
    must(!status == (file != NULL));
    if (!status) {
        must(file->count && file->count <= modules.count);
        merge(&modules, file);
    }
    tt_lora_close(file);
    tt_lora_modules_free(&modules);
}

static void read_prompt(const uint8_t *data, size_t size) {
    char *text = malloc(size + 1);
    struct tt_lora_prompt prompt;
    struct tt_error error = {0};
    must(text != NULL);
    memcpy(text, data, size);
    text[size] = 0;
    enum tt_status status = tt_lora_prompt_read(text, &prompt, &error);
    must_explain(status, error);
    if (!status) must(strlen(prompt.text) + 7 * prompt.count <= size);
    if (!status) tt_lora_prompt_free(&prompt);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size && *data == 'P') read_prompt(data + 1, size - 1);
    else read_lora(data, size);
    return 0;
}
