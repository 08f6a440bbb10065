// SPDX-License-Identifier: MIT
// Memory runs out: every allocation of whole runs fails once, our own and the libraries'. Nothing
// may crash or leak, the status is TT_SYSTEM with a message (or the run comes through and its
// output is the usual one), and no file is left behind (tests/alloc_watch.h).
#include "alloc_watch.h"
#include "tintype.h"

#include "io/json.h"
#include "model/clip.h"
#include "model/unet.h"
#include "model/vae.h"
#include "single/configs.h"
#include "single/renamed.h"
#include "text/tokenizer.h"
#include "util.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// ---- a model as small as can be ----

static void put(const char *file, const char *text) {
    FILE *out = fopen(test_path(file), "w");
    ck_assert(out && fputs(text, out) >= 0 && !fclose(out));
}

static const char clip_json[] =
    "{\"architectures\": [\"CLIPTextModel\"], \"hidden_act\": \"gelu\", \"hidden_size\": 8,"
    " \"intermediate_size\": 12, \"max_position_embeddings\": 6, \"num_attention_heads\": 2,"
    " \"num_hidden_layers\": 1, \"vocab_size\": 16, \"eos_token_id\": 1,"
    " \"model_type\": \"clip_text_model\"}";
static const char unet_json[] =
    "{\"_class_name\": \"UNet2DConditionModel\", \"block_out_channels\": [8],"
    " \"attention_head_dim\": 2, \"cross_attention_dim\": 8, \"layers_per_block\": 1,"
    " \"norm_num_groups\": 2, \"down_block_types\": [\"DownBlock2D\"],"
    " \"up_block_types\": [\"UpBlock2D\"], \"sample_size\": 4}";
static const char vae_json[] =
    "{\"_class_name\": \"AutoencoderKL\", \"block_out_channels\": [4, 4], \"latent_channels\": 4,"
    " \"norm_num_groups\": 2, \"layers_per_block\": 1, \"down_block_types\":"
    " [\"DownEncoderBlock2D\", \"DownEncoderBlock2D\"], \"up_block_types\":"
    " [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\"], \"scaling_factor\": 0.5}";
static const char scheduler_json[] =
    "{\"_class_name\": \"EulerAncestralDiscreteScheduler\", \"beta_schedule\": \"scaled_linear\","
    " \"num_train_timesteps\": 20, \"timestep_spacing\": \"leading\", \"steps_offset\": 1}";
static const char vocab_json[] =
    "{\"<|startoftext|>\": 0, \"<|endoftext|>\": 1, \"a\": 2, \"a</w>\": 3, \"t\": 4,"
    " \"t</w>\": 5, \"at</w>\": 6}";
static const char tokenizer_json[] =
    "{\"version\": \"1.0\", \"added_tokens\": [{\"id\": 0, \"content\": \"<|startoftext|>\"},"
    " {\"id\": 1, \"content\": \"<|endoftext|>\", \"normalized\": true}],"
    " \"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"},"
    " {\"type\": \"Replace\", \"pattern\": {\"Regex\": \"\\\\s+\"}, \"content\": \" \"},"
    " {\"type\": \"Lowercase\"}]},"
    " \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\","
    " \"pattern\": {\"Regex\": \"'s|'t|'re|'ve|'m|'ll|'d|[\\\\p{L}]+|[\\\\p{N}]|"
    "[^\\\\s\\\\p{L}\\\\p{N}]+\"}}]},"
    " \"post_processor\": {\"type\": \"RobertaProcessing\"},"
    " \"model\": {\"type\": \"BPE\", \"end_of_word_suffix\": \"</w>\", \"merges\":"
    " [[\"a\", \"t</w>\"]], \"vocab\": {\"<|startoftext|>\": 0, \"<|endoftext|>\": 1, \"a\": 2,"
    " \"t</w>\": 3, \"at</w>\": 4}}}";

// Made-up weights of every parameter on the tapes, each once, in `shards` files and an index.
static void put_weights(const char *module, struct tt_tape *const *tapes, int tape_count,
                        int shards) {
    enum { MOST = 256 };
    struct tt_view views[MOST];
    size_t count = 0;
    uint64_t state = 1;
    for (int t = 0; t < tape_count; t++)
        for (int n = 0; n < tapes[t]->node_count; n++)
            for (int p = 0; p < TT_MAX_PARAMS; p++) {
                const struct tt_param *param = tapes[t]->nodes[n].param[p];
                if (!param) continue;
                size_t elements = tt_shape_count(&param->shape);
                float *data = malloc(elements * sizeof *data);
                ck_assert(data && count < MOST);
                for (size_t i = 0; i < elements; i++) data[i] = 0.3f * test_random_f32(&state);
                views[count++] = (struct tt_view){param->name, TT_F32, param->shape, data,
                                                  elements * sizeof *data};
            }
    char file[128], index[MOST * 128] = "{\"weight_map\": {";
    struct tt_error error = {0};
    for (int s = 0; s < shards; s++) {
        size_t first = count * (size_t)s / (size_t)shards;
        size_t end = count * (size_t)(s + 1) / (size_t)shards;
        if (shards > 1) snprintf(file, sizeof file, "model/%s/%d.safetensors", module, s);
        else snprintf(file, sizeof file, "model/%s/model.safetensors", module);
        ck_assert_msg(!tt_safetensors_write(NULL, test_path(file), views + first, end - first, NULL,
                                            &error), "%s", error.message);
        for (size_t i = first; i < end; i++)
            snprintf(index + strlen(index), sizeof index - strlen(index),
                     "%s\"%s\": \"%d.safetensors\"", i ? ", " : "", views[i].name, s);
    }
    strcat(index, "}}");
    snprintf(file, sizeof file, "model/%s/model.safetensors.index.json", module);
    if (shards > 1) put(file, index);
    for (size_t i = 0; i < count; i++) free((void *)views[i].data);
}

static struct tt_json *parse(const char *text) {
    struct tt_json *json;
    ck_assert(!tt_json_open("config", text, strlen(text), &json, NULL));
    return json;
}

static void put_networks(void) {
    struct tt_clip_config clip;
    struct tt_unet_config unet;
    struct tt_vae_config vae;
    struct tt_tape tapes[4] = {0}, *const all[4] = {tapes, tapes + 1, tapes + 2, tapes + 3};
    struct tt_json *json[3] = {parse(clip_json), parse(unet_json), parse(vae_json)};
    struct tt_error error = {0};
    tt_clip_config_read(json[0], &clip, &error);
    tt_unet_config_read(json[1], &unet, &error);
    tt_vae_config_read(json[2], &vae, &error);
    ck_assert_msg(!error.status, "%s", error.message);
    tt_clip_tape(&tapes[0], &clip, 1, 2, 0);
    tt_unet_tape(&tapes[1], &unet, 1, 4, 4, 2);
    tt_vae_encoder_tape(&tapes[2], &vae, 1, 8, 8);
    tt_vae_decoder_tape(&tapes[3], &vae, 1, 4, 4);
    put_weights("text_encoder", all, 1, 1);
    put_weights("unet", all + 1, 1, 2);
    put_weights("vae", all + 2, 2, 1);
    for (int i = 0; i < 4; i++) tt_tape_free(&tapes[i]);
    for (int i = 0; i < 3; i++) tt_json_free(json[i]);
}

static void make_model(void) {
    static const char *const folders[] = {"model",      "model/text_encoder", "model/unet",
                                          "model/vae",  "model/scheduler",    "model/tokenizer",
                                          "tokenizers", "tokenizers/tokenizer", "out",
                                          "recording"};
    if (!access(test_path("model/made"), F_OK)) return;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        mkdir(test_path(folders[i]), 0777);
    put("model/model_index.json", "{\"_class_name\": \"StableDiffusionPipeline\"}");
    put("model/text_encoder/config.json", clip_json);
    put("model/unet/config.json", unet_json);
    put("model/vae/config.json", vae_json);
    put("model/scheduler/scheduler_config.json", scheduler_json);
    put("model/tokenizer/vocab.json", vocab_json);
    put("model/tokenizer/merges.txt", "#version: 0.2\na t</w>\n");
    put("model/tokenizer/tokenizer_config.json",
        "{\"model_max_length\": 6, \"bos_token\": {\"content\": \"<|startoftext|>\"},"
        " \"added_tokens_decoder\": {\"1\": {\"content\": \"<|endoftext|>\"}}}");
    put("tokenizers/tokenizer/tokenizer.json", tokenizer_json);
    put("tokenizers/tokenizer/special_tokens_map.json", "{\"pad_token\": \"<|endoftext|>\"}");
    put("tokenizers/tokenizer/added_tokens.json", "{\"<more>\": 5}");
    put("recording/recording.json",
        "{\"format\": \"tintype-recording\", \"version\": 1, \"parts\": [{\"part\": \"unet\","
        " \"file\": \"file\", \"tensors\": [{\"name\": \"latents\", \"type\": \"input\","
        " \"shape\": [64]}, {\"name\": \"out\", \"type\": \"output\", \"shape\": [1, 4, 4, 4],"
        " \"stored\": \"latents\", \"err32\": 1e-6, \"maxabs\": 1}]}]}");
    put_networks();
    put("model/made", "");
}

// ---- the runs ----

static enum tt_status open_for(bool every_node, struct tt_engine **engine,
                               struct tt_session **session, struct tt_error *error) {
    struct tt_model *model = NULL;
    struct tt_engine_settings settings;
    tt_engine_defaults(&settings, sizeof settings);
    settings.threads = 1;
    settings.every_node = every_node;
    enum tt_status status = tt_engine_new(&settings, engine, error);
    if (!status) status = tt_model_open(test_path("model"), *engine, &model, error);
    if (!status) status = tt_session_new(model, NULL, session, error);
    tt_model_close(model);
    for (int part = 0; part < (int)tt_part_count() && !status; part++) {
        if (!tt_model_has_part(tt_session_model(*session), part)) continue;
        const struct tt_weights *weights;
        status = tt_model_weights(tt_session_model(*session), part, &weights, error);
    }
    alloc_watch.opened = alloc_watch.count;
    return status;
}

static enum tt_status open_all(struct tt_engine **engine, struct tt_session **session,
                               struct tt_error *error) {
    return open_for(false, engine, session, error);
}

static enum tt_status open_only(struct tt_error *error) {
    struct tt_engine *engine = NULL;
    struct tt_session *session = NULL;
    enum tt_status status = open_all(&engine, &session, error);
    tt_session_free(session);
    tt_engine_free(engine);
    return status;
}

// A text in two passes; or with a picture, of which a mask, blurred, shows a region.
static enum tt_status draw(bool masked, struct tt_error *error) {
    struct tt_engine *engine = NULL;
    struct tt_session *session = NULL;
    struct tt_settings settings;
    struct tt_image from = {0}, picture = {0};
    char hash[TT_MODEL_HASH_SIZE];
    tt_settings_defaults(&settings, sizeof settings);
    settings.prompt = "At a\xcc\x81 <|endoftext|> t", settings.steps = 2;
    settings.scheduler_options = (const char *const[]){"trained_betas=null", NULL};
    if (!masked) settings.upscale = 2, settings.upscale_in = TT_UPSCALE_PIXELS;
    else settings.image = settings.mask = &from, settings.mask_blur = settings.inpaint_padding = 1;
    enum tt_status status = tt_image_read(NULL, test_path("picture.png"), &from, error);
    if (!status) status = open_all(&engine, &session, error);
    if (!status) status = tt_generate(session, &settings, NULL, &picture, error);
    if (!status) status = tt_model_hash(tt_session_model(session), hash, error);
    if (!status) status = tt_image_write(NULL, test_path("out/file"), &picture, hash, error);
    tt_image_free(&from);
    tt_image_free(&picture);
    tt_session_free(session);
    tt_engine_free(engine);
    return status;
}
static enum tt_status generate(struct tt_error *error) { return draw(false, error); }
static enum tt_status masked(struct tt_error *error) { return draw(true, error); }

static enum tt_status encode(struct tt_error *error) {
    struct tt_engine *engine = NULL;
    struct tt_session *session = NULL;
    struct tt_image picture = {0};
    float latents[4 * 4 * 4];
    struct tt_view view = {"latents", TT_F32, {4, {1, 4, 4, 4}}, latents, sizeof latents};
    static const char *const notes[] = {"format", "pt", NULL};
    enum tt_status status = tt_image_read(NULL, test_path("picture.png"), &picture, error);
    if (!status) status = open_all(&engine, &session, error);
    if (!status) status = tt_pixels_to_latents(session, picture.rgb, 8, 8, NULL, latents, error);
    if (!status) status = tt_safetensors_write(NULL, test_path("out/file"), &view, 1, notes, error);
    tt_image_free(&picture);
    tt_session_free(session);
    tt_engine_free(engine);
    return status;
}

static enum tt_status decode(struct tt_error *error) {
    struct tt_engine *engine = NULL;
    struct tt_session *session = NULL;
    struct tt_safetensors *file = NULL;
    uint8_t rgb[8 * 8 * 3];
    struct tt_image picture = {8, 8, rgb};
    enum tt_status status = tt_safetensors_open(NULL, test_path("latents"), &file, error);
    if (!status) status = open_all(&engine, &session, error);
    if (!status)
        status = tt_latents_to_pixels(session, tt_safetensors_at(file, 0)->data, 4, 4, rgb, error);
    if (!status) status = tt_image_write(NULL, test_path("out/file"), &picture, "\xc3\xa9", error);
    tt_safetensors_close(file);
    tt_session_free(session);
    tt_engine_free(engine);
    return status;
}

static enum tt_status read_recording(struct tt_error *error) {
    struct tt_recording *recording = NULL;
    enum tt_status status = tt_recording_open(NULL, test_path("recording"), &recording, error);
    if (!status) status = tt_recording_check_values(recording, 0, error);
    if (!status && tt_recording_count(recording, 0) != 2) status = TT_MISMATCH;
    tt_recording_close(recording);
    return status;
}

// ---- a recording, begun, stopped and gone on with ----

// The files of a recording that is whole, in the order of their names, as one: out/file. Of others,
// whether what is there is what a stopped run may leave; its list is there only when all is. The
// folder is gone afterwards.
static void gather(bool whole) {
    static char *list;
    static size_t list_size;
    struct dirent **names;
    char path[512];
    int count = scandir(test_path("recorded"), &names, NULL, alphasort);
    FILE *all = whole ? fopen(test_path("out/file"), "w") : NULL;
    ck_assert(!whole || (all && count > 8));
    for (int i = 0; i < count; i++) {
        const char *name = names[i]->d_name;
        size_t size;
        if (strcmp(name, ".") && strcmp(name, "..")) {
            snprintf(path, sizeof path, "%s/%s", test_path("recorded"), name);
            ck_assert_msg(strncmp(name, ".tintype-", 9), "%s is left", name);
            ck_assert_msg(!whole || strcmp(name, "recording.part.json"), "%s is left", name);
            char *bytes = test_read(path, &size);
            if (all) ck_assert_uint_eq(fwrite(bytes, 1, size, all), size);
            bool is_list = !strcmp(name, "recording.json");
            ck_assert_msg(!is_list || !list || (size == list_size && !memcmp(bytes, list, size)),
                          "%s is another", name);
            if (is_list && !list) list = bytes, list_size = size;
            else free(bytes);
            unlink(path);
        }
        free(names[i]);
    }
    if (count >= 0) free(names);
    if (all) fclose(all);
    rmdir(test_path("recorded"));
}

static int stop(void *context, const struct tt_progress *seen) {
    (void)context, (void)seen;
    return 1;
}

static enum tt_status record_until(struct tt_session *session,
                                   int (*progress)(void *context, const struct tt_progress *seen),
                                   struct tt_error *error) {
    struct tt_recorder *recorder = NULL;
    struct tt_recorder_settings with;
    struct tt_settings settings;
    tt_recorder_defaults(&with, sizeof with);
    with.statistics = true;
    tt_settings_defaults(&settings, sizeof settings);
    settings.prompt = "At a t";
    settings.steps = 1;
    settings.progress = progress;
    settings.scheduler_options = (const char *const[]){"trained_betas=null", NULL};
    enum tt_status status = tt_recorder_new(session, NULL, test_path("recorded"), &with, &settings,
                                            &recorder, error);
    if (!status) status = tt_recorder_run(recorder, error);
    tt_recorder_free(recorder);
    return status;
}

static enum tt_status record(struct tt_error *error) {
    struct tt_engine *engine = NULL;
    struct tt_session *session = NULL;
    enum tt_status status = open_for(true, &engine, &session, error);
    if (!status) status = record_until(session, stop, error);
    if (status == TT_CANCELLED) {
        *error = (struct tt_error){0};
        status = record_until(session, NULL, error);
    }
    tt_session_free(session);
    tt_engine_free(engine);
    bool on = alloc_watch.on;
    alloc_watch.on = false;
    gather(!status);
    alloc_watch.on = on;
    return status;
}

static enum tt_status tokenize(struct tt_error *error) {
    struct tt_folder *folder = NULL;
    struct tt_tokenizer *tokenizer = NULL;
    int32_t ids[4];
    size_t used;
    enum tt_status status = tt_folder_open_any(test_path("tokenizers"), &folder, error);
    if (!status) status = tt_tokenizer_open(folder, "tokenizer", &tokenizer, error);
    if (!status)
        status = tt_tokenizer_encode(tokenizer, "At <more> a t\xc3\xa9", ids, 4, &used, error);
    if (!status && used <= 4) status = TT_MISMATCH;
    tt_tokenizer_close(tokenizer);
    tt_folder_close(folder);
    return status;
}

// A table of tensors as the fuzzer has it, as a file of zeros.
static void write_table(const char *path) {
    static char names[128][160];
    static const unsigned char zeros[1 << 16];
    struct tt_view views[128];
    size_t count = 0, d[4];
    char line[256];
    FILE *table = fopen("tests/fuzz/corpus/single/xl", "r");
    ck_assert(table != NULL);
    while (count < 128 && fgets(line, sizeof line, table)) {
        struct tt_view *view = &views[count];
        int n = sscanf(line, "%159s F16 %zu %zu %zu %zu", names[count], d, d + 1, d + 2, d + 3) + 1;
        *view = (struct tt_view){.name = names[count++], .dtype = TT_F16, .data = zeros};
        view->shape.rank = (size_t)n - 2;
        memcpy(view->shape.dim, d, view->shape.rank * sizeof *d);
        view->bytes = 2 * tt_shape_count(&view->shape);
        ck_assert_uint_le(view->bytes, sizeof zeros);
    }
    fclose(table);
    ck_assert(!tt_safetensors_write(NULL, path, views, count, NULL, NULL));
}

// What src/single makes of a file, but for the vocabulary.
static enum tt_status single(struct tt_error *error) {
    struct tt_tensor_file *file = NULL;
    struct tt_single what;
    struct tt_single_forms forms;
    struct tt_renamed renamed[TT_SINGLE_PARTS] = {{0}};
    json_t *made[6] = {NULL};
    const char *first;
    size_t left;
    enum tt_status status = tt_tensor_file_open(NULL, test_path("single"), &file, error);
    if (!status) tt_single_recognise(file, &what);
    if (!status) status = tt_unet_form_read(file, &what, &forms.unet, error);
    if (!status) status = tt_vae_form_read(file, &what, &forms.vae, error);
    for (int i = 0; !status && i < 2; i++)
        status = tt_text_form_read(file, &what, TT_SINGLE_TEXT + i, &forms.text[i], error);
    if (!status) status = tt_renamed_make(file, &what, &forms, renamed, &left, &first, error);
    if (!status) {
        made[0] = tt_single_unet_config(&what, &forms.unet);
        made[1] = tt_single_vae_config(what.family, &forms.vae);
        made[2] = tt_single_text_config(what.family, &forms.text[1]);
        made[3] = tt_single_scheduler_config(&what, false);
        made[4] = tt_single_tokenizer_config("!");
        made[5] = tt_single_index(&what, &forms.unet);
    }
    for (int i = 0; i < 6; json_decref(made[i++]))
        if (!status && !made[i]) status = tt_fail(error, TT_SYSTEM, "out of memory");
    for (int part = 0; part < TT_SINGLE_PARTS; part++) tt_renamed_free(&renamed[part]);
    tt_tensor_file_close(file);
    return status;
}

static enum tt_status schedule(struct tt_error *error) {
    static const char *const options[] = {"num_train_timesteps=8",
                                          "trained_betas=0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8", NULL};
    const char *name, *class_name;
    enum tt_status status = TT_OK;
    for (size_t i = 0; !status && tt_scheduler_list(i, &name, &class_name); i++) {
        struct tt_scheduler *s = NULL;
        struct tt_rng rng;
        float x[8] = {1, -1, 2}, scaled[8];
        tt_rng_seed(&rng, i);
        bool consistency = !strcmp(name, "tcd") || !strcmp(name, "lcm"); // want 50 steps or more
        status = tt_scheduler_open(&s, name, NULL, options + 2 * consistency, error);
        if (!status) status = tt_scheduler_set_timesteps(s, 4, error);
        if (!status) status = tt_scheduler_start(s, 1, 8, error);
        for (size_t k = 0; !status && k < tt_scheduler_calls(s); k++) {
            tt_scheduler_scale_input(s, k, x, scaled);
            status = tt_scheduler_step(s, k, scaled, x, &(struct tt_rng *){&rng}, 1, x, error);
        }
        tt_scheduler_free(s);
    }
    return status;
}

static enum tt_status read_picture(const char *path, struct tt_error *error) {
    struct tt_image picture = {0};
    enum tt_status status = tt_image_read(NULL, path, &picture, error);
    tt_image_free(&picture);
    return status;
}

static enum tt_status read_png(struct tt_error *error) {
    return read_picture("tests/fuzz/corpus/image/P.png", error);
}

static enum tt_status read_jpeg(struct tt_error *error) {
    return read_picture("tests/fuzz/corpus/image/RGB-progressive.jpg", error);
}

// How much is told goes into the output, so that nothing is left out in silence.
static enum tt_status examine(const char *path, struct tt_error *error) {
    struct tt_engine *engine = NULL;
    struct tt_examination *x = NULL;
    struct tt_engine_settings how;
    struct tt_examine_settings settings;
    size_t told = 0;
    tt_engine_defaults(&how, sizeof how);
    tt_examine_defaults(&settings, sizeof settings);
    how.threads = 1;
    settings.cache = test_path("cache");
    enum tt_status status = tt_engine_new(&how, &engine, error);
    if (!status) status = tt_examine(path, engine, &settings, &x, error);
    while (x && (tt_finding_at(x, told) || tt_fact_at(x, told))) told++;
    if (!status) status = tt_write_file(NULL, test_path("out/file"), &told, sizeof told, error);
    tt_examination_free(x);
    tt_engine_free(engine);
    return status;
}

static enum tt_status examine_lora(struct tt_error *error) {
    return examine("reference/doctor/lora-xl.safetensors", error);
}

static enum tt_status examine_model(struct tt_error *error) {
    return examine(test_path("model"), error);
}

static enum tt_status profile(struct tt_error *error) {
    struct tt_engine *engine = NULL;
    struct tt_session *session = NULL;
    struct tt_profile *p = NULL;
    enum tt_status status = open_all(&engine, &session, error);
    if (!status)
        status = tt_session_prepare(session, tt_part_find("unet"), (struct tt_size){1, 4, 4, 6},
                                    error);
    if (!status) status = tt_profile_new(session, tt_part_find("unet"), &p, error);
    tt_profile_free(p);
    tt_session_free(session);
    tt_engine_free(engine);
    return status;
}

// ---- the test ----

// How many entries the output folder has.
static int files_left(void) {
    int count = 0;
    DIR *folder = opendir(test_path("out"));
    ck_assert(folder);
    for (const struct dirent *entry; (entry = readdir(folder));) count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static int next_descriptor(void) {
    int fd = open("/dev/null", O_RDONLY);
    close(fd);
    return fd;
}

typedef enum tt_status (*work)(struct tt_error *error);

// One run with the k-th allocation refused (0: none); returns how many there were.
static long attempt(const char *name, work run, long k, bool for_good) {
    static char *usual;
    static size_t usual_size;
    struct tt_error error = {0};
    int fd = next_descriptor();
    memset(&alloc_watch, 0, sizeof alloc_watch);
    alloc_watch.fail_at = k;
    alloc_watch.for_good = for_good;
    alloc_watch.on = true;
    enum tt_status status = run(&error);
    alloc_watch.on = false;
    ck_assert_msg(alloc_watch.blocks == 0 && alloc_watch.mapped == 0,
                  "%s, allocation %ld%s: %ld blocks and %zu mapped bytes are left (status %d: %s)",
                  name, k, for_good ? " and later" : "", alloc_watch.blocks, alloc_watch.mapped,
                  status, error.message);
    ck_assert_msg(next_descriptor() == fd, "%s, allocation %ld: a file stays open", name, k);
    ck_assert_int_eq(status, error.status);
    if (status) {
        ck_assert_msg(status == TT_SYSTEM && k && error.message[0],
                      "%s, allocation %ld%s: status %d, message \"%s\"", name, k,
                      for_good ? " and later" : "", status, error.message);
        ck_assert_msg(!files_left(), "%s, allocation %ld: a file is left", name, k);
    } else if (files_left()) {
        size_t size;
        char *made = test_read(test_path("out/file"), &size);
        if (!k) free(usual), usual = made, usual_size = size;
        ck_assert_msg(size == usual_size && !memcmp(made, usual, size),
                      "%s, allocation %ld: another output", name, k);
        if (k) free(made);
        unlink(test_path("out/file"));
    }
    return alloc_watch.count;
}

static enum tt_status backward(struct tt_error *error) {
    struct tt_engine *engine = NULL;
    struct tt_session *session = NULL;
    const struct tt_size size = {1, 4, 4, 0};
    float in[4 * 4 * 4] = {0.25f}, out[3 * 32 * 32] = {0};
    enum tt_status status = open_all(&engine, &session, error);
    if (!status)
        status = tt_session_prepare_training(session, tt_part_find("vae-decode"), size, error);
    if (!status) status = tt_session_decode(session, size, in, out, error);
    if (!status) status = tt_session_backward(session, tt_part_find("vae-decode"), out, error);
    tt_session_free(session);
    tt_engine_free(engine);
    return status;
}

static const struct {
    const char *name;
    work run;
} runs[] = {
    {"open", open_only},     {"generate", generate}, {"encode", encode},
    {"decode", decode},      {"profile", profile},   {"tokenize", tokenize},
    {"schedule", schedule},  {"read_png", read_png}, {"read_jpeg", read_jpeg},
    {"backward", backward},  {"recording", read_recording}, {"single", single},
    {"examine_lora", examine_lora}, {"examine_model", examine_model}, {"record", record},
    {"masked", masked},
};

START_TEST(every_allocation) {
    struct tt_error error = {0};
    alloc_watch_find_enlarging();
    make_model();
    uint8_t rgb[8 * 8 * 3] = {200, 100};
    float latents[4 * 4 * 4] = {0.5f};
    struct tt_view view = {"latents", TT_F32, {4, {1, 4, 4, 4}}, latents, sizeof latents};
    ck_assert(!tt_image_write(NULL, test_path("picture.png"), &(struct tt_image){8, 8, rgb}, NULL,
                                  NULL));
    ck_assert(!tt_safetensors_write(NULL, test_path("latents"), &view, 1, NULL, NULL));
    write_table(test_path("single"));
    ck_assert(!tt_safetensors_write(NULL, test_path("recording/file"), &view, 1, NULL, NULL));
    // The first run also fills what libraries keep for good, and loads what they load.
    ck_assert_msg(!runs[_i].run(&error), "%s: %s", runs[_i].name, error.message);
    alloc_watch_find_runtimes();
    unlink(test_path("out/file"));
    long total = attempt(runs[_i].name, runs[_i].run, 0, false);
    ck_assert_int_gt(total, 0);
    printf("%s: %ld allocations\n", runs[_i].name, total);
    fflush(stdout);
    // Opening is gone through once, in the run that does nothing else. A recorder makes the same
    // ones for each tensor.
    long each = 1 + total / 3000;
    for (long k = runs[_i].run == open_only ? 1 : 1 + alloc_watch.opened; k <= total; k += each)
        attempt(runs[_i].name, runs[_i].run, k, false);
    for (long k = 1; k <= total; k += 1 + total / 300)
        attempt(runs[_i].name, runs[_i].run, k, true);
}
END_TEST

static Suite *alloc_suite(void) {
    Suite *suite = suite_create("alloc");
    TCase *tcase = tcase_create("every allocation fails once");
    tcase_set_timeout(tcase, 600);
    tcase_add_loop_test(tcase, every_allocation, 0, sizeof runs / sizeof *runs);
    suite_add_tcase(suite, tcase);
    return suite;
}

int main(void) { return test_main(alloc_suite(), NULL); }
