// SPDX-License-Identifier: MIT
// What the metadata of a LoRA tells: words that call what it was trained on. kohya's sd-scripts
// write ss_* keys (ss_tag_frequency: {folder: {tag: count}}); the model spec has modelspec.*.
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "doctor/doctor.h"

enum { TAGS = 12, COUNTED = 100000 };

struct tag {
    const char *text;
    json_int_t count;
};

static int by_count(const void *a, const void *b) {
    const struct tag *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return strcmp(x->text, y->text);
}

// "10_ohwx man": the folder's pictures are shown ten times, and its words are the concept's.
static const char *concept_of(const char *folder) {
    const char *at = folder;
    while (isdigit((unsigned char)*at)) at++;
    return at > folder && *at == '_' && at[1] ? at + 1 : NULL;
}

static void tell_tags(struct tt_examination *x, const json_t *root) {
    struct tag *tags = calloc(COUNTED, sizeof *tags);
    const char *folder, *text;
    json_t *counts, *count;
    size_t n = 0, distinct = 0;
    if (!tags) {
        x->no_memory = true;
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)root, folder, counts) {
        const char *words = concept_of(folder);
        if (words) tt_doctor_listed(x, "", "trigger_words", words);
        json_object_foreach(counts, text, count) {
            const char *begin = text + strspn(text, " ");
            if (*begin && json_is_integer(count) && n < COUNTED)
                tags[n++] = (struct tag){begin, json_integer_value(count)};
        }
    }
    qsort(tags, n, sizeof *tags, by_count);
    for (size_t i = 0; i < n && distinct < TAGS; i++, distinct++)
        tt_doctor_listed(x, "", "tags", tt_doctor_text(x, "%s: %lld", tags[i].text,
                                                       (long long)tags[i].count));
    free(tags);
}

// diffusers keeps peft's configuration: {"unet.lora_alpha": 8, ...}.
static void tell_configuration(struct tt_examination *x, const struct tt_doctor_file *file) {
    static const char *const keys[] = {"unet.lora_alpha", "transformer.lora_alpha",
                                       "text_encoder.lora_alpha"};
    const char *text = tt_doctor_metadata(file, "lora_adapter_metadata");
    json_t *root = NULL;
    if (!text || tt_json_parse(file->path, text, strlen(text), &root, NULL)) return;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *alpha = json_object_get(root, keys[i]);
        if (!json_is_number(alpha)) continue;
        tt_doctor_fact(x, "", "alpha", tt_doctor_text(x, "%g", json_number_value(alpha)));
        break;
    }
    json_decref(root);
}

void tt_doctor_triggers(struct tt_examination *x, const struct tt_doctor_file *file) {
    static const char *const told[][2] = {
        {"modelspec.title", "title"}, {"ss_output_name", "title"},
        {"modelspec.architecture", "architecture"}, {"ss_sd_model_name", "trained_on"},
        {"ss_resolution", "resolution"}, {"modelspec.resolution", "resolution"},
        {"ss_steps", "steps"}, {"modelspec.license", "licence"},
        {"ss_training_comment", "comment"}, {"modelspec.usage_hint", "hint"},
    };
    const char *phrase = tt_doctor_metadata(file, "modelspec.trigger_phrase");
    const char *tags = tt_doctor_metadata(file, "ss_tag_frequency");
    json_t *root = NULL;
    struct tt_error why = {TT_OK, ""};
    tell_configuration(x, file);
    if (phrase) tt_doctor_listed(x, "", "trigger_words", phrase);
    if (tags && strcmp(tags, "None")) {
        enum tt_status status = tt_json_parse(file->path, tags, strlen(tags), &root, &why);
        if (status == TT_SYSTEM) x->no_memory = true;
        if (status)
            tt_doctor_find(x, TT_CODE_NOTED, file->path, NULL,
                           tt_doctor_text(x, "ss_tag_frequency: %.300s", why.message), "JSON",
                           NULL);
        else tell_tags(x, root);
        json_decref(root);
    }
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        const char *value = tt_doctor_metadata(file, told[i][0]);
        bool again = i && !strcmp(told[i][1], told[i - 1][1]) &&
                     tt_doctor_metadata(file, told[i - 1][0]);
        if (value && !again && strcmp(value, "None")) tt_doctor_fact(x, "", told[i][1], value);
    }
}
