// SPDX-License-Identifier: MIT
#include "lora/lora_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

// Of one network; folder "": of whatever network the file is for.
struct scope {
    char folder[24];
    double alpha;
    bool root, given;
    const json_t *pattern; // module -> alpha, or NULL
};
enum { SCOPES = 4 };

struct tt_lora_settings {
    struct scope scopes[SCOPES];
    size_t count;
    json_t *root;
};

static const json_t *value_of(const json_t *root, const char *prefix, const char *key) {
    char name[80];
    snprintf(name, sizeof name, "%s%s", prefix, key);
    return json_object_get(root, name);
}

// What must be absent, null, false, "none" or empty: it would change what is computed.
static enum tt_status check_plain(const char *file, const json_t *root, const char *prefix,
                                  struct tt_error *err) {
    static const char *const keys[] = {"use_dora", "lora_bias", "fan_in_fan_out", "use_bdlora",
                                       "alora_invocation_tokens", "modules_to_save",
                                       "layer_replication", "bias"};
    char text[80];
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *value = value_of(root, prefix, keys[i]);
        bool plain = !value || json_is_null(value) || json_is_false(value) ||
                     (json_is_string(value) && !strcmp(json_string_value(value), "none")) ||
                     (json_is_array(value) && !json_array_size(value));
        if (!plain)
            return tt_fail(err, TT_BAD_INPUT, "%s: %s%s: found %s, expected none: plain LoRA is "
                           "what is supported", file, prefix, keys[i],
                           tt_json_text(value, text, sizeof text));
    }
    const json_t *type = value_of(root, prefix, "peft_type");
    if (type && !json_is_null(type) &&
        (!json_is_string(type) || strcmp(json_string_value(type), "LORA")))
        return tt_fail(err, TT_BAD_INPUT, "%s: %speft_type: found %s, expected \"LORA\"", file,
                       prefix, tt_json_text(type, text, sizeof text));
    return TT_OK;
}

static enum tt_status read_pattern(const char *file, const char *prefix, struct scope *scope,
                                   const json_t *pattern, struct tt_error *err) {
    const char *key;
    json_t *value;
    char text[80];
    if (!pattern || json_is_null(pattern)) return TT_OK;
    if (!json_is_object(pattern))
        return tt_fail(err, TT_BAD_INPUT, "%s: %salpha_pattern: found %s, expected an object", file,
                       prefix, tt_json_text(pattern, text, sizeof text));
    json_object_foreach((json_t *)pattern, key, value) {
        // peft takes it for a regular expression; what it writes is a module's name.
        if (strpbrk(key, "*+?()[]{}|\\^$"))
            return tt_fail(err, TT_BAD_INPUT, "%s: %salpha_pattern: found '%.100s', expected names "
                           "of modules: expressions are not supported", file, prefix, key);
        if (!json_is_number(value))
            return tt_fail(err, TT_BAD_INPUT, "%s: %salpha_pattern.%.100s: found %s, expected a "
                           "number", file, prefix, key, tt_json_text(value, text, sizeof text));
    }
    scope->pattern = pattern;
    return TT_OK;
}

// The settings whose keys begin with prefix ("unet.", or "").
static enum tt_status read_scope(struct tt_lora_settings *s, const char *file, const char *folder,
                                 struct tt_error *err) {
    struct scope *scope = &s->scopes[s->count];
    char prefix[32] = "", text[80];
    if (*folder) snprintf(prefix, sizeof prefix, "%s.", folder);
    const json_t *alpha = value_of(s->root, prefix, "lora_alpha");
    const json_t *root = value_of(s->root, prefix, "use_rslora");
    enum tt_status status = check_plain(file, s->root, prefix, err);
    if (status || !alpha) return status;
    if (!json_is_number(alpha))
        return tt_fail(err, TT_BAD_INPUT, "%s: %slora_alpha: found %s, expected a number", file,
                       prefix, tt_json_text(alpha, text, sizeof text));
    if (root && !json_is_boolean(root) && !json_is_null(root))
        return tt_fail(err, TT_BAD_INPUT, "%s: %suse_rslora: found %s, expected true or false",
                       file, prefix, tt_json_text(root, text, sizeof text));
    snprintf(scope->folder, sizeof scope->folder, "%s", folder);
    scope->alpha = json_number_value(alpha);
    scope->root = json_is_true(root);
    s->count++;
    return read_pattern(file, prefix, scope, value_of(s->root, prefix, "alpha_pattern"), err);
}

enum tt_status tt_lora_settings_read(const char *name, const char *metadata,
                                     const struct tt_bytes *config,
                                     struct tt_lora_settings **out, struct tt_error *err) {
    static const char *const folders[] = {"unet", "text_encoder", "text_encoder_2"};
    char file[512];
    struct tt_lora_settings *s = calloc(1, sizeof *s);
    enum tt_status status = TT_OK;
    *out = NULL;
    if (!s) return tt_fail(err, TT_SYSTEM, "%s: out of memory", name);
    snprintf(file, sizeof file, "%s: %s", name, metadata ? "lora_adapter_metadata"
                                                         : "adapter_config.json");
    if (metadata) status = tt_json_parse(file, metadata, strlen(metadata), &s->root, err);
    else if (config) status = tt_json_parse(file, config->data, config->size, &s->root, err);
    if (!status && s->root && !json_is_object(s->root))
        status = tt_fail(err, TT_BAD_INPUT, "%s: found no object", file);
    for (size_t i = 0; !status && s->root && metadata && i < sizeof folders / sizeof *folders; i++)
        status = read_scope(s, file, folders[i], err);
    if (!status && s->root && !metadata) status = read_scope(s, file, "", err);
    if (status) tt_lora_settings_free(s);
    else *out = s;
    return status;
}

void tt_lora_settings_free(struct tt_lora_settings *s) {
    if (!s) return;
    json_decref(s->root);
    free(s);
}

// Whether a key of the pattern is the module's name or the end of it that begins behind a dot.
static bool matches(const char *key, const char *module, size_t length) {
    size_t size = strlen(key);
    return size <= length && !memcmp(module + length - size, key, size) &&
           (size == length || module[length - size - 1] == '.');
}

bool tt_lora_settings_alpha(const struct tt_lora_settings *s, const char *folder,
                            const char *module, size_t length, double *alpha, bool *root) {
    const char *key;
    json_t *value;
    for (size_t i = 0; i < s->count; i++) {
        const struct scope *scope = &s->scopes[i];
        if (*scope->folder && (!folder || strcmp(scope->folder, folder))) continue;
        *alpha = scope->alpha;
        *root = scope->root;
        json_object_foreach((json_t *)scope->pattern, key, value) {
            if (!matches(key, module, length)) continue;
            *alpha = json_number_value(value);
            break;
        }
        return true;
    }
    return false;
}
