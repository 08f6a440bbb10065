// SPDX-License-Identifier: MIT
#include "noise/scheduler_config.h"

#include "io/json.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    SIZE,      // size_t, not negative
    NUMBER,    // double
    OPTIONAL,  // double, NaN for null
    FLAG,      // bool, false for null
    CHOICE,    // int, index into choices
    NUMBERS,   // struct tt_numbers, none for null
    NOTHING,   // null: what files say where diffusers can take an object
    WORD,      // char[16], empty for null
    ELSEWHERE, // a key that only schedulers know which are not here
};

static const char *const beta_schedules[] = {"linear",  "scaled_linear", "squaredcos_cap_v2",
                                             "sigmoid", "laplace",       "exp", NULL};
static const char *const predictions[] = {"epsilon", "v_prediction", "sample", "flow_prediction",
                                          NULL};
static const char *const spacings[] = {"leading", "trailing", "linspace", NULL};
static const char *const interpolations[] = {"linear", "log_linear", NULL};
static const char *const timestep_types[] = {"discrete", "continuous", NULL};
static const char *const final_sigmas[] = {"zero", "sigma_min", NULL};
static const char *const algorithms[] = {"dpmsolver",       "dpmsolver++", "sde-dpmsolver",
                                         "sde-dpmsolver++", "deis",        NULL};
static const char *const time_shifts[] = {"exponential", "linear", NULL};
static const char *const solver_types[] = {"midpoint", "heun", "logrho", "bh1", "bh2", NULL};

struct key {
    const char *name;
    enum kind kind;
    size_t offset;
    const char *const *choices;
};
#define KEY(kind, name) {#name, kind, offsetof(struct tt_scheduler_values, name), NULL}
#define PICK(name, words) {#name, CHOICE, offsetof(struct tt_scheduler_values, name), words}
#define OTHER(name) {#name, ELSEWHERE, 0, NULL}

static const struct key keys[] = {
    KEY(SIZE, num_train_timesteps),
    KEY(NUMBER, beta_start),
    KEY(NUMBER, beta_end),
    PICK(beta_schedule, beta_schedules),
    KEY(NUMBERS, trained_betas),
    PICK(prediction_type, predictions),
    PICK(timestep_spacing, spacings),
    KEY(SIZE, steps_offset),
    KEY(FLAG, rescale_betas_zero_snr),
    KEY(FLAG, clip_sample),
    KEY(NUMBER, clip_sample_range),
    KEY(FLAG, set_alpha_to_one),
    KEY(FLAG, thresholding),
    KEY(NUMBER, dynamic_thresholding_ratio),
    KEY(NUMBER, sample_max_value),
    KEY(NUMBER, eta),
    KEY(FLAG, skip_prk_steps),
    PICK(interpolation_type, interpolations),
    PICK(timestep_type, timestep_types),
    PICK(final_sigmas_type, final_sigmas),
    KEY(FLAG, use_karras_sigmas),
    KEY(FLAG, use_exponential_sigmas),
    KEY(FLAG, use_beta_sigmas),
    KEY(FLAG, use_lu_lambdas),
    KEY(FLAG, use_flow_sigmas),
    KEY(NUMBER, flow_shift),
    KEY(FLAG, use_dynamic_shifting),
    KEY(OPTIONAL, sigma_min),
    KEY(OPTIONAL, sigma_max),
    KEY(SIZE, solver_order),
    PICK(algorithm_type, algorithms),
    PICK(solver_type, solver_types),
    KEY(FLAG, lower_order_final),
    KEY(FLAG, euler_at_final),
    KEY(NUMBER, lambda_min_clipped),
    KEY(WORD, variance_type),
    PICK(time_shift_type, time_shifts),
    KEY(FLAG, predict_x0),
    KEY(NUMBERS, disable_corrector),
    {"solver_p", NOTHING, 0, NULL},
    KEY(OPTIONAL, shift_terminal),
    KEY(SIZE, original_inference_steps),
    KEY(NUMBER, timestep_scaling),
    OTHER(sigma_data),
    OTHER(sigma_schedule),
    OTHER(rho),
};
enum { KEYS = sizeof keys / sizeof keys[0] };
_Static_assert(KEYS <= 64, "one bit for each key");

static size_t find_key(const char *name, size_t length) {
    size_t k = 0;
    while (k < KEYS && (strlen(keys[k].name) != length || memcmp(keys[k].name, name, length))) k++;
    return k;
}

const char *tt_scheduler_config_word(const char *key, int value) {
    size_t k = find_key(key, strlen(key));
    return k < KEYS && keys[k].kind == CHOICE ? keys[k].choices[value] : "?";
}

static bool read_number(const json_t *value, double *out) {
    const char *word = json_string_value(value);
    if (json_is_number(value)) *out = json_number_value(value);
    else if (word && (!strcmp(word, "-inf") || !strcmp(word, "-Infinity"))) *out = -INFINITY;
    else return false;
    if (*out <= -1e308) *out = -INFINITY; // how tt_json_parse() hands on -Infinity
    return true;
}

// What store() says when there is no memory for a list.
static const char NO_MEMORY[] = "memory for a list";

static const char *read_numbers(const json_t *value, struct tt_numbers *numbers) {
    free(numbers->values);
    *numbers = (struct tt_numbers){0};
    size_t n = json_array_size(value);
    if (json_is_null(value) || (json_is_array(value) && n == 0)) return NULL;
    double *list = n > 0 ? malloc(n * sizeof *list) : NULL;
    if (n > 0 && !list) return NO_MEMORY;
    bool good = n > 0;
    for (size_t i = 0; good && i < n; i++)
        good = read_number(json_array_get(value, i), &list[i]);
    if (!good) {
        free(list);
        return "a list of numbers or null";
    }
    *numbers = (struct tt_numbers){list, n};
    return NULL;
}

// A whole number, which may be written as 1000.0.
static bool read_size(const json_t *value, size_t *out) {
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 0.0 && number <= 1e6) || number != floor(number))
        return false;
    *out = (size_t)number;
    return true;
}

// What the value should have been, into text; or NULL when it was taken.
static const char *store(struct tt_scheduler_values *values, const struct key *key,
                         const json_t *value, char *text, size_t size) {
    void *field = (char *)values + key->offset;
    const char *word = json_string_value(value);
    switch (key->kind) {
    case SIZE: return read_size(value, field) ? NULL : "an integer from 0 to 1000000";
    case OPTIONAL:
        *(double *)field = NAN;
        if (json_is_null(value)) return NULL;
        return read_number(value, field) ? NULL : "a number or null";
    case NUMBER: return read_number(value, field) ? NULL : "a number";
    case FLAG:
        if (!json_is_boolean(value) && !json_is_null(value)) return "true or false";
        *(bool *)field = json_is_true(value);
        return NULL;
    case CHOICE:
        for (int i = 0; word && key->choices[i]; i++)
            if (!strcmp(word, key->choices[i])) {
                *(int *)field = i;
                return NULL;
            }
        snprintf(text, size, "%s", key->choices[0]);
        for (size_t i = 1; key->choices[i]; i++) {
            size_t used = strlen(text);
            snprintf(text + used, size - used, " or %s", key->choices[i]);
        }
        return text;
    case NUMBERS: return read_numbers(value, field);
    case NOTHING: return json_is_null(value) ? NULL : "null (not supported)";
    case WORD:
        if (!word && !json_is_null(value)) return "a string or null";
        snprintf(field, sizeof values->variance_type, "%s", word ? word : "");
        return NULL;
    case ELSEWHERE: return NULL;
    }
    return NULL;
}

void tt_scheduler_values_free(struct tt_scheduler_values *values) {
    free(values->trained_betas.values);
    free(values->disable_corrector.values);
    values->trained_betas = values->disable_corrector = (struct tt_numbers){0};
}

void tt_scheduler_config_free(struct tt_scheduler_config *config) {
    tt_scheduler_values_free(&config->file);
    tt_scheduler_values_free(&config->option);
    json_decref(config->wrong);
    *config = (struct tt_scheduler_config){0};
}

enum tt_status tt_scheduler_config_read(struct tt_scheduler_config *config, struct tt_json *json,
                                        struct tt_error *err) {
    const char *class_name = tt_json_string_or(json, "_class_name", "");
    snprintf(config->file.class_name, sizeof config->file.class_name, "%s", class_name);
    config->wrong = json_object();
    if (!config->wrong) tt_json_no_memory(json);
    for (size_t k = 0; k < KEYS; k++) {
        // eta is an argument of diffusers' pipelines, which look for none in a file.
        if (!strcmp(keys[k].name, "eta")) continue;
        const json_t *value = tt_json_value(json, keys[k].name);
        if (!value) continue;
        char text[256], found[128], message[640];
        const char *expected = store(&config->file, &keys[k], value, text, sizeof text);
        if (!expected) {
            config->in_file |= UINT64_C(1) << k;
            continue;
        }
        snprintf(message, sizeof message, "%.200s: %s: found %s, expected %s", tt_json_file(json),
                 keys[k].name, tt_json_text(value, found, sizeof found), expected);
        if (expected == NO_MEMORY ||
            json_object_set_new(config->wrong, keys[k].name, json_stringn_nocheck(message,
                                                                                 strlen(message))))
            tt_json_no_memory(json);
    }
    return tt_json_finish_noting(json, "diffusers' schedulers", err);
}

// The value of "key=value" as JSON: a list may go without brackets, a word without quotes. NULL
// without memory.
static json_t *parse_value(const struct key *key, const char *text) {
    json_error_t error;
    json_t *value = tt_json_load(text, strlen(text), JSON_DECODE_ANY, &error);
    if (!value && json_error_code(&error) == json_error_out_of_memory) return NULL;
    if (key->kind == NUMBERS && !json_is_array(value) && !json_is_null(value)) {
        json_decref(value);
        value = json_array();
        if (!value) return NULL;
        for (const char *p = text; *p;) {
            char *end;
            double number = strtod(p, &end);
            if (json_array_append_new(value, end == p ? json_string(p) : json_real(number))) {
                json_decref(value);
                return NULL;
            }
            if (end == p || *end != ',') break;
            p = end + 1;
        }
    }
    return value ? value : json_string(text);
}

static enum tt_status assign(struct tt_scheduler_values *values, uint64_t *given,
                             const char *option, struct tt_error *err) {
    const char *equals = strchr(option, '=');
    if (!equals)
        return tt_fail(err, TT_BAD_INPUT, "scheduler option: found '%s', expected key=value",
                       option);
    size_t k = find_key(option, (size_t)(equals - option));
    if (k == KEYS || keys[k].kind == ELSEWHERE)
        return tt_fail(err, TT_BAD_INPUT, "scheduler option '%.*s': not a key of any scheduler",
                       (int)(equals - option), option);
    json_t *value = parse_value(&keys[k], equals + 1);
    if (!value) return tt_fail(err, TT_SYSTEM, "no memory for a scheduler option");
    char text[256];
    const char *expected = store(values, &keys[k], value, text, sizeof text);
    json_decref(value);
    if (expected == NO_MEMORY) return tt_fail(err, TT_SYSTEM, "no memory for a scheduler option");
    if (expected)
        return tt_fail(err, TT_BAD_INPUT, "scheduler option '%s': found %s, expected %s",
                       keys[k].name, equals + 1, expected);
    *given |= UINT64_C(1) << k;
    return TT_OK;
}

enum tt_status tt_scheduler_config_set(struct tt_scheduler_config *config, const char *option,
                                       struct tt_error *err) {
    return assign(&config->option, &config->in_option, option, err);
}

// to owns its lists. False: no memory.
static bool copy_field(struct tt_scheduler_values *to, const struct tt_scheduler_values *from,
                       const struct key *key) {
    static const size_t sizes[] = {
        [SIZE] = sizeof(size_t), [NUMBER] = sizeof(double), [OPTIONAL] = sizeof(double),
        [FLAG] = sizeof(bool),   [CHOICE] = sizeof(int),    [NUMBERS] = sizeof(struct tt_numbers),
        [WORD] = 16,             [NOTHING] = 0,             [ELSEWHERE] = 0,
    };
    void *field = (char *)to + key->offset;
    if (key->kind == NUMBERS) free(((struct tt_numbers *)field)->values);
    memcpy(field, (const char *)from + key->offset, sizes[key->kind]);
    if (key->kind != NUMBERS) return true;
    struct tt_numbers *numbers = field;
    const double *values = numbers->values;
    numbers->values = values ? malloc(numbers->count * sizeof *values) : NULL;
    if (values && !numbers->values) return false;
    if (values) memcpy(numbers->values, values, numbers->count * sizeof *values);
    return true;
}

// What StableDiffusionPipeline.__init__ does to old files. Its repair of a value that the file did
// not give is lost when another class is made from that configuration. known: keys of the class.
static void repair(const struct tt_scheduler_config *config, const char *class_name, uint64_t known,
                   struct tt_scheduler_values *values) {
    size_t steps_offset = find_key("steps_offset", 12), clip_sample = find_key("clip_sample", 11);
    bool own = !config->file.class_name[0] || !strcmp(config->file.class_name, class_name);
    bool offset = own || config->in_file >> steps_offset & 1;
    bool clip = own || config->in_file >> clip_sample & 1;
    if (offset && values->steps_offset != 1 && known >> steps_offset & 1)
        tt_note(config->notes, "%s: steps_offset: found %zu, taken for 1, as "
                "StableDiffusionPipeline does", class_name, values->steps_offset);
    if (clip && values->clip_sample && known >> clip_sample & 1)
        tt_note(config->notes, "%s: clip_sample: found true, taken for false, as "
                "StableDiffusionPipeline does", class_name);
    if (offset) values->steps_offset = 1;
    if (clip) values->clip_sample = false;
}

// The message of a wrong value of the file that a class reads, or NULL. The pipeline's repair gives
// an offset whatever the file has.
static const char *wrong_value(const struct tt_scheduler_config *config, const struct key *key,
                               bool known) {
    bool read = (known || key->kind == OPTIONAL) &&
                !(config->stable_diffusion && !strcmp(key->name, "steps_offset"));
    return read ? json_string_value(json_object_get(config->wrong, key->name)) : NULL;
}

enum tt_status tt_scheduler_config_resolve(const struct tt_scheduler_config *config,
                                           const char *class_name, const char *const *defaults,
                                           struct tt_scheduler_values *values,
                                           struct tt_error *err) {
    *values = (struct tt_scheduler_values){
        .sigma_min = NAN, .sigma_max = NAN, .shift_terminal = NAN};
    uint64_t known = 0;
    bool copied = true;
    for (size_t i = 0; defaults[i]; i++) {
        enum tt_status status = assign(values, &known, defaults[i], err);
        if (status) return status;
    }
    for (size_t k = 0; k < KEYS; k++) {
        uint64_t bit = UINT64_C(1) << k;
        if (config->in_option & bit & ~known)
            return tt_fail(err, TT_BAD_INPUT, "scheduler option '%s': not a key of %s",
                           keys[k].name, class_name);
        const char *wrong = wrong_value(config, &keys[k], (known & bit) != 0);
        if (wrong && !(config->in_option & bit)) return tt_fail(err, TT_BAD_INPUT, "%s", wrong);
        // sigma_min and sigma_max of the file reach classes that do not have them, too, as they
        // do in diffusers.
        if (config->in_file & bit & known || (config->in_file & bit && keys[k].kind == OPTIONAL))
            copied = copied && copy_field(values, &config->file, &keys[k]);
    }
    if (config->stable_diffusion) repair(config, class_name, known, values);
    for (size_t k = 0; k < KEYS; k++)
        if (config->in_option >> k & 1)
            copied = copied && copy_field(values, &config->option, &keys[k]);
    snprintf(values->class_name, sizeof values->class_name, "%s", class_name);
    return copied ? TT_OK : tt_fail(err, TT_SYSTEM, "no memory for the settings of a scheduler");
}
