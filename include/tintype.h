// SPDX-License-Identifier: MIT
// tintype: latent text-to-image diffusion on a plain CPU. The public interface, all of it: the
// command line uses nothing else.
//
// From the outside in: an engine says what to run on; a model is a diffusers folder opened on it; a
// session is what one caller has of a model; tt_generate() makes pictures of a text. Every stage
// that it is made of can be called alone: tokenizer, text encoder, U-Net, autoencoder both ways,
// schedulers, noise, and the files.
//
// Tensors are float32, row-major, without gaps, in PyTorch's order: (N, C, H, W) or (N, T, D).
// "latents" have the model's scaling on them, as schedulers see them; where a function takes or
// gives them without it, its comment says so.
//
// Errors. A function that can fail returns an enum tt_status and takes a struct tt_error last,
// which may be NULL. The first message stays: set the struct to zero before the first call and
// again after an error. Outputs of a failed call are as they were, unless its comment says
// otherwise, and nothing is left to free.
//
// Growth. A struct of settings begins with `size`. Let its defaults function fill it, then change
// what you like: fields that a later version appends then keep their defaults in a program that was
// built before it. Other structs that the library hands out by pointer may grow at their ends, too.
// Functions stay as they are within one number of the shared library's name (libtintype.so.N).
//
// Threads. There are no global variables. A handle serves one thread at a time; different handles
// serve different threads at once. Models and engines serve any number of threads: each caller has
// a session of its own, with one copy of the weights behind all. No lock is held while a network
// runs or a callback is called. Each call
// splits its own work over the threads of its engine (OpenMP). Idle OpenMP threads spin unless
// OMP_WAIT_POLICY=passive is in the environment when the program starts: better so on a busy
// machine. Results never depend on threads or instruction sets: the same bits, always.
//
// What OpenMP does not spare a program. Its runtime ends the process, with exit status 1, when a
// thread cannot be made. tt_engine_new() therefore starts as many threads of its own first, ends
// them, and then lets OpenMP make its team, which the calling thread keeps: too few are an error,
// TT_SYSTEM. But OpenMP makes a team for each thread that calls in, and another one when the number
// changes: an engine that is used by another thread than made it, engines with different numbers of
// threads on one thread, OMP_DYNAMIC=true. Where threads may run out, make an engine on each thread
// that uses one, all alike. After fork() only the parent has its team, and a child that asks for
// one waits forever: fork before the first engine, or let the child have one thread.
//
// Stacks. A thread that calls in needs a stack of 256 KiB, and so do OpenMP's threads
// (OMP_STACKSIZE). Less is TT_SYSTEM, from tt_engine_new() or from the call of a network.
//
// Mapped files. Weights and recordings are mapped, not read. When such a file is cut short while it
// is open, or its disk fails, reading it raises SIGBUS, as POSIX has it for any mapping; that ends
// the process, unless it handles the signal. The library handles none. Who replaces a model's files
// should rename new ones into place. Memory given as the bytes of a file is only ever read, never
// written to, unmapped or given back to the system.
#ifndef TINTYPE_H
#define TINTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#pragma GCC visibility push(default) // the shared library exports what stands here, nothing else
#define TT_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define TT_PRINTF(text, first)
#endif

#define TT_VERSION "0.3.0"

// The version of the library that runs; TT_VERSION is the one that was compiled against.
const char *tt_version(void);

// ---- errors ----

// What a call came to; the same numbers are the exit codes of the command line.
enum tt_status {
    TT_OK = 0,
    TT_MISMATCH = 1,    // a comparison failed
    TT_BAD_INPUT = 2,   // bad usage or bad input: the message names file, key, found, expected
    TT_SYSTEM = 3,      // the system failed: memory, disk
    TT_CANCELLED = 130, // a callback asked to stop
};

// Where a failing call leaves its message. Callers own it.
struct tt_error {
    enum tt_status status;
    char message[1024];
};

// Writes a printf-style message and the status into err (which may be NULL) and returns status, so
// that a failure is one line: `return tt_fail(err, TT_BAD_INPUT, "%s: ...", path);`. The first
// message wins.
enum tt_status tt_fail(struct tt_error *err, enum tt_status status, const char *format, ...)
    TT_PRINTF(3, 4);

// Puts "context: " before the message already in err; returns its status.
enum tt_status tt_fail_prefix(struct tt_error *err, const char *format, ...) TT_PRINTF(2, 3);

// ---- files: what is read and written ----

// What one piece of work reads and what it writes, so that it never writes over what it reads, nor
// one output over another, under whatever names: files are known by device and inode. Give the same
// one to every call that takes it (and to the engine, for the models it opens). NULL where a
// function takes it: nothing is known, and nothing is refused. May be used by several threads.
//
// Every file is written under a random name of its own (".tintype-" and digits) in the folder where
// it will be, flushed to the disk and renamed: a failure or a kill leaves the old file, or none.
// Links are followed, and the mode of a file that is replaced is kept. What a killed process left
// is removed by the next one that writes in that folder. A path that names a device or a pipe is
// written straight.
struct tt_files;

// cancelled, which may be NULL, is asked while long files are read: a non-zero answer ends that
// with TT_CANCELLED.
enum tt_status tt_files_new(int (*cancelled)(void *context), void *context,
                            struct tt_files **files, struct tt_error *err);
void tt_files_free(struct tt_files *files);

// The file at path is read, by whatever means.
enum tt_status tt_files_read(struct tt_files *files, const char *path, struct tt_error *err);

// To be asked before the work: whether the file at path can be written when it is done. Remembers
// it as an output. TT_BAD_INPUT: it is read, or an output already, or a folder, or write-protected;
// its folder is missing or cannot be written in.
enum tt_status tt_files_plan(struct tt_files *files, const char *path, struct tt_error *err);

// Writes size bytes as the file at path. TT_BAD_INPUT: as tt_files_plan() says; TT_SYSTEM: the disk
// is full or fails.
enum tt_status tt_write_file(struct tt_files *files, const char *path, const void *data,
                             size_t size, struct tt_error *err);

// An earlier run of the same work has written the file at path: it may be replaced and removed.
enum tt_status tt_files_adopt(struct tt_files *files, const char *path, struct tt_error *err);

// Removes the file at path, if it is still the one that was written with these files, or adopted,
// and else nothing.
enum tt_status tt_files_remove(struct tt_files *files, const char *path, struct tt_error *err);

// A folder that is whole or not there: its files are written below tt_new_folder_path(), another
// name beside it, and the end gives it its own. TT_BAD_INPUT: at path is something that is no empty
// folder. The end frees, also after an error; keep false: the folder and all in it are removed.
struct tt_new_folder;
enum tt_status tt_new_folder_begin(const char *path, struct tt_new_folder **folder,
                                   struct tt_error *err);
const char *tt_new_folder_path(const struct tt_new_folder *folder);
enum tt_status tt_new_folder_end(struct tt_new_folder *folder, bool keep, struct tt_error *err);

// ---- engine: what networks run on ----

struct tt_engine;

// The most threads of an engine.
enum { TT_MOST_THREADS = 1024 };

struct tt_engine_settings {
    size_t size;
    const char *cpu; // no more than this instruction set ("scalar", "avx2", ...); NULL: any
    // 0: as many as OpenMP takes (OMP_NUM_THREADS, else one a processor).
    size_t threads;
    bool conv_direct; // no Winograd, which is chosen by shape where it is faster
    // Asked before every node of every network and before every weight that is loaded, on the
    // thread that made the call; a non-zero answer stops the call with TT_CANCELLED. May be NULL.
    int (*cancelled)(void *context);
    void *context;
    // Every node of a network is a step of its own, none folded into another, so that observers are
    // shown each of them. The bits stay the same; it takes somewhat longer.
    bool every_node;
    // Told, one line each, what a call cuts, ignores or assumes: a prompt that is too long, a key
    // of a configuration that means nothing here. The same line may come twice. The context is the
    // one above. May be NULL.
    void (*note)(void *context, const char *text);
    struct tt_files *files; // where models note what they read; borrowed; may be NULL
};

// Fills `size` bytes (sizeof *settings) with the defaults.
void tt_engine_defaults(struct tt_engine_settings *settings, size_t size);

// settings NULL: the defaults. TT_BAD_INPUT: a processor that is unknown or not this one; more than
// TT_MOST_THREADS threads, whoever asks for them (a machine that has more processors uses so many).
// TT_SYSTEM: fewer threads than that can be started, or a stack is too small; see the top of this
// file. An engine must outlive its models.
enum tt_status tt_engine_new(const struct tt_engine_settings *settings, struct tt_engine **engine,
                             struct tt_error *err);
void tt_engine_free(struct tt_engine *engine);

// "avx512": the highest instruction set in use; and how many threads.
const char *tt_engine_cpu(const struct tt_engine *engine);
size_t tt_engine_threads(const struct tt_engine *engine);

// The kernel table: name, class ("exact": all variants give the same bits; "bounded") and the
// variant in use of entry i; false at the end.
bool tt_kernel_list(const struct tt_engine *engine, size_t i, const char **name,
                    const char **class_name, const char **variant);

// ---- tensors and files of them ----

enum { TT_MAX_RANK = 8 };

// A shape in PyTorch order, e.g. {4, {N, C, H, W}} or {3, {N, T, C}}.
struct tt_shape {
    size_t rank;
    size_t dim[TT_MAX_RANK];
};

// The second line: ggml's kinds of blocks, quantised together, as GGUF files hold them.
enum tt_dtype {
    TT_F64, TT_F32, TT_F16, TT_BF16, TT_I64, TT_I32, TT_I16, TT_I8, TT_U8, TT_BOOL,
    TT_Q8_0, TT_Q4_0, TT_Q4_1, TT_Q5_0, TT_Q5_1, TT_Q4_K, TT_Q5_K, TT_Q6_K,
};

// A stored tensor, row-major in PyTorch order; data is borrowed (a mapped file) and only as aligned
// as the file makes it.
struct tt_view {
    const char *name;
    enum tt_dtype dtype;
    struct tt_shape shape;
    const void *data;
    size_t bytes;
};

// Bytes of one element; 0: no such dtype, or one of blocks.
size_t tt_dtype_size(enum tt_dtype dtype);
// Elements in a block, which lie one behind the other in the tensor's order, whatever its shape;
// and the block's bytes. Of other dtypes 1, and tt_dtype_size().
size_t tt_dtype_block(enum tt_dtype dtype);
size_t tt_dtype_block_size(enum tt_dtype dtype);
// "F32", as safetensors headers spell it, "Q4_K", as ggml does; "?": no such dtype.
const char *tt_dtype_name(enum tt_dtype dtype);

// Number of elements; rank 0 is a scalar (1). The product has been checked where the shape was
// made.
size_t tt_shape_count(const struct tt_shape *shape);
bool tt_shape_equal(const struct tt_shape *a, const struct tt_shape *b);
// The same order of elements, if they are as many: sizes of 1 count for nothing, and the two of a
// picture may be one.
bool tt_shape_same_order(const struct tt_shape *a, const struct tt_shape *b);
// "(2, 320, 64, 64)" into text, cut to size; returns text.
char *tt_shape_text(const struct tt_shape *shape, char *text, size_t size);

// Copies count elements of a view starting at element first into out, as the nearest floats; true
// is 1. Blocks are dequantised as the Python package gguf does it, to the same bits. Elements that
// the view does not have are NaN.
void tt_view_floats(const struct tt_view *view, size_t first, size_t count, float *out);

// The safetensors format: 8 bytes header length (little-endian), a JSON header, then the data of
// all tensors without gaps. Source: the format section of the safetensors README.
struct tt_safetensors;

// Maps and checks the whole header of the file at path: length, JSON, keys, dtypes, shapes against
// byte ranges, and that the ranges cover the data exactly (no overlap, no hole, no rest).
// TT_BAD_INPUT names the file and the tensor.
enum tt_status tt_safetensors_open(struct tt_files *files, const char *path,
                                   struct tt_safetensors **out, struct tt_error *err);
// The same on size borrowed bytes; name stands for the file in messages.
enum tt_status tt_safetensors_open_memory(const char *name, const void *data, size_t size,
                                          struct tt_safetensors **out, struct tt_error *err);
void tt_safetensors_close(struct tt_safetensors *file);

// Tensors in the order of their names (bytewise), NULL at the end. Views and names live until
// close.
size_t tt_safetensors_count(const struct tt_safetensors *file);
const struct tt_view *tt_safetensors_at(const struct tt_safetensors *file, size_t index);
// NULL when there is no such tensor.
const struct tt_view *tt_safetensors_find(const struct tt_safetensors *file, const char *name);
// SHA-256 of a tensor's bytes, 64 hexadecimal digits.
enum { TT_VIEW_DIGEST = 65 };
void tt_view_digest(const struct tt_view *view, char text[TT_VIEW_DIGEST]);
// The value of a `__metadata__` key, or NULL.
const char *tt_safetensors_metadata(const struct tt_safetensors *file, const char *key);
const char *tt_safetensors_name(const struct tt_safetensors *file);

// Writes the views as one file. Tensors are laid out as the reference
// writer does: by element size downwards, then by name; the header is padded with spaces to a
// multiple of 8. metadata is NULL, or keys and values in turn ending with NULL. TT_BAD_INPUT when a
// name is used twice or is no valid UTF-8, or when bytes and shape of a view disagree.
enum tt_status tt_safetensors_write(struct tt_files *files, const char *path,
                                    const struct tt_view *views, size_t count,
                                    const char *const *metadata, struct tt_error *err);
// The same into memory, which the caller frees; name stands for the file in messages.
enum tt_status tt_safetensors_encode(const char *name, const struct tt_view *views, size_t count,
                                     const char *const *metadata, void **data, size_t *size,
                                     struct tt_error *err);

// ---- pictures ----

// 8-bit RGB, rows from the top, no gaps.
struct tt_image {
    size_t width, height;
    uint8_t *rgb;
};

// No picture wider or higher than this is read, nor one of more pixels.
enum { TT_IMAGE_SIDE = 32768, TT_IMAGE_PIXELS = 1 << 28 };

// Reads a PNG (any colour type and depth), a JPEG (grey or colour) or a WebP (the first frame of an
// animation), told apart by content, and turns it upright where it carries an orientation tag.
// Transparency lies over black, mixed in linear light. TT_BAD_INPUT names the file and what is
// wrong with it.
enum tt_status tt_image_read(struct tt_files *files, const char *path, struct tt_image *image,
                             struct tt_error *err);
// The same from size bytes; name stands for the file in messages.
enum tt_status tt_image_read_memory(const char *name, const void *data, size_t size,
                                    struct tt_image *image, struct tt_error *err);
// Frees the pixels (with free()) and empties the struct; also takes an empty one.
void tt_image_free(struct tt_image *image);

enum tt_image_format { TT_PNG, TT_JPEG };

// The format that the end of a name asks for: .png, .jpg or .jpeg, or none of letters, which is a
// PNG. TT_BAD_INPUT: another one.
enum tt_status tt_image_format(const char *path, enum tt_image_format *format,
                               struct tt_error *err);

// Writes the picture in the format that the name asks for. settings, UTF-8 or NULL, goes into a
// PNG's text chunk called "parameters", where web interfaces look for it, or a JPEG's comment (up
// to 65,533 bytes of it). The same picture and settings give the same bytes; a JPEG is of quality
// 95, without subsampled colours.
enum tt_status tt_image_write(struct tt_files *files, const char *path,
                              const struct tt_image *image, const char *settings,
                              struct tt_error *err);
// The same into memory, which the caller frees; name stands for the file in messages.
enum tt_status tt_image_encode(const char *name, enum tt_image_format format,
                               const struct tt_image *image, const char *settings, void **data,
                               size_t *size, struct tt_error *err);

// The text that a PNG carries as "parameters"; the caller frees it. TT_BAD_INPUT: no PNG, or it has
// no such text.
enum tt_status tt_image_read_settings(struct tt_files *files, const char *path, char **settings,
                                      struct tt_error *err);
// The same from size bytes; name stands for the file in messages.
enum tt_status tt_image_read_settings_memory(const char *name, const void *data, size_t size,
                                             char **settings, struct tt_error *err);

// ---- noise ----

// The CPU random generator of PyTorch, bit for bit: seed S here is torch.Generator("cpu") with
// manual_seed(S). Every draw of a run (first latents, noise inside a step) comes from one of these.
// A Mersenne twister (MT19937) and the second half of the last pair of normal numbers that was
// drawn one by one. A plain value: copying it forks the stream.
struct tt_rng {
    uint32_t state[624];
    size_t next;   // index of the next word of state; 624: state must be renewed first
    bool has_spare;
    double spare;
};

// Starts the stream of seed. As in PyTorch only its low 32 bits count.
void tt_rng_seed(struct tt_rng *rng, uint64_t seed);

// torch.rand: n floats in [0, 1), multiples of 2^-24.
void tt_rng_uniform(struct tt_rng *rng, float *out, size_t n);

// torch.randn: n standard normal floats. Sizes below 16 are drawn one by one in double precision
// (and leave or take the spare); from 16 on, blocks of 16, and for a size that is no multiple of 16
// the last 16 numbers are drawn anew. So one call for n + m numbers is not two calls for n and m.
void tt_rng_normal(struct tt_rng *rng, float *out, size_t n);

// The noise schedule: how much of the picture and how much noise a sample holds at training
// timestep t. Tables of `count` floats. betas and alphas_cumprod have the bits of PyTorch's;
// sigmas, the square roots of (1 - a) / a, are within 1 ulp of it. Tables rescaled to zero terminal
// SNR are not bound to its bits: its square root is not correctly rounded, and the rescaling
// cancels, so that a few values near pure noise differ by tens of ulp.
struct tt_schedule {
    size_t count; // N, the number of training timesteps
    float *betas;
    float *alphas_cumprod;
    float *sigmas; // increasing with t
};

// The forward process in closed form: out = sqrt(a_t) x0 + sqrt(1 - a_t) noise, n floats each,
// t < N (beyond: NaN). out may be x0 or noise.
void tt_add_noise(const struct tt_schedule *schedule, size_t t, const float *x0, const float *noise,
                  float *out, size_t n);

// The velocity a v_prediction model learns: out = sqrt(a_t) noise - sqrt(1 - a_t) x0.
// The same for t and out.
void tt_velocity(const struct tt_schedule *schedule, size_t t, const float *x0, const float *noise,
                 float *out, size_t n);

// ---- schedulers ----

// A scheduler walks from noise to a sample: it picks the timesteps at which the model is called and
// makes each next sample from the model's answer. Samples are float32, and each is within
// a few units in the last place of what diffusers gives when it computes in float64.
//
//     tt_scheduler_open(&s, "euler", NULL, NULL, err);
//     tt_scheduler_set_timesteps(s, 20, err);
//     tt_scheduler_start(s, images, elements, err);
//     x = randn() * tt_scheduler_init_noise_sigma(s);
//     for (size_t i = 0; i < tt_scheduler_calls(s); i++) {
//         tt_scheduler_scale_input(s, i, x, scaled);
//         model(scaled, tt_scheduler_timesteps(s)[i], output);
//         tt_scheduler_step(s, i, output, x, rngs, n_rngs, x, err);
//     }
struct tt_scheduler;
struct tt_model;

// The list behind `tintype schedulers`: name and class in diffusers of entry i; false at the end.
bool tt_scheduler_list(size_t i, const char **name, const char **class_name);

// A scheduler by its name or its class in diffusers, with the settings of the model's
// scheduler_config.json (model NULL: the class's defaults) and options, "key=value" strings ending
// with NULL (NULL: none), on top. name NULL: the class that the model's file names. The model is
// not needed afterwards. TT_BAD_INPUT: an unknown name, an option that the class does not know, a
// value that it does not support.
enum tt_status tt_scheduler_open(struct tt_scheduler **scheduler, const char *name,
                                 const struct tt_model *model, const char *const *options,
                                 struct tt_error *err);
void tt_scheduler_free(struct tt_scheduler *scheduler);

// The name on the command line, and the noise schedule.
const char *tt_scheduler_name(const struct tt_scheduler *scheduler);
const struct tt_schedule *tt_scheduler_schedule(const struct tt_scheduler *scheduler);

// Chooses timesteps for `steps` steps, and forgets the run before. Errors: 0 or too many steps.
enum tt_status tt_scheduler_set_timesteps(struct tt_scheduler *scheduler, size_t steps,
                                          struct tt_error *err);

// The same for a run that begins with a picture, noised so much that `strength` (more than 0, up to
// 1) of the steps are left: *first is the first call, as get_timesteps() of diffusers' pipelines
// chooses it. whole: as LatentConsistencyModelImg2ImgPipeline, whose lcm (and tcd) makes all the
// steps below that strength; *first is 0 then. TT_BAD_INPUT, too: no step is left.
enum tt_status tt_scheduler_set_strength(struct tt_scheduler *scheduler, size_t steps,
                                         double strength, bool whole, size_t *first,
                                         struct tt_error *err);

// How often the model is called (steps, or more: pndm repeats one), and at which timesteps.
size_t tt_scheduler_calls(const struct tt_scheduler *scheduler);
const float *tt_scheduler_timesteps(const struct tt_scheduler *scheduler);

// The noise levels, `calls` of them and the last, final one; NULL for schedulers without (ddim,
// pndm).
const float *tt_scheduler_sigmas(const struct tt_scheduler *scheduler);

// The standard deviation of the first sample, which is this times randn.
float tt_scheduler_init_noise_sigma(const struct tt_scheduler *scheduler);

// Begins a run on samples of `images` times `elements` floats. All memory of the run is taken here.
enum tt_status tt_scheduler_start(struct tt_scheduler *scheduler, size_t images, size_t elements,
                                  struct tt_error *err);

// out = the model's input at call i; NaN when there is no such call. out may be sample.
void tt_scheduler_scale_input(const struct tt_scheduler *scheduler, size_t i, const float *sample,
                              float *out);

// Whether steps draw random numbers.
bool tt_scheduler_needs_noise(const struct tt_scheduler *scheduler);

// out = the sample after call i (calls are made in order, from any first i), given the model's
// output there. out may be sample. Noise: one generator draws randn(images, ...) at once, `images`
// generators draw for one image each, as in diffusers. Errors: no generator where one is needed, a
// timestep outside the schedule (from a large steps_offset), a call that there is not, a run that
// has not begun.
enum tt_status tt_scheduler_step(struct tt_scheduler *scheduler, size_t i,
                                 const float *model_output, const float *sample,
                                 struct tt_rng *const *rngs, size_t n_rngs, float *out,
                                 struct tt_error *err);

// out = x0 with as much noise as call i expects, for runs that start from a picture. out may be x0.
enum tt_status tt_scheduler_add_noise(const struct tt_scheduler *scheduler, size_t i,
                                      const float *x0, const float *noise, float *out,
                                      struct tt_error *err);

// ---- model ----

// Opens the diffusers folder at path, or the built-in model when path is NULL, and reads its
// configuration; weights are mapped when a part is first used.
//
// A folder with config.json of an AutoencoderKL or AutoencoderTiny, and no model_index.json, is a
// model of which the autoencoder alone is there: for tt_latents_to_pixels(), as a second model that
// shows the latents of another one quickly, and to encode pictures.
//
// model_index.json decides what the parts are: the classes of the networks, and the scheduler's,
// whatever its own file says; and with its own class, the pipeline, how old files are repaired. A
// part that has no folder of its own is looked for in the folder itself. Files of git-lfs that were
// not fetched, and a hub's cache in place of one of its snapshots, are told as such. A key that no
// class of diffusers 0.42 (transformers 5) knows is noted and ignored; one that its class knows and
// that is not supported here is TT_BAD_INPUT, unless it has its default. Without a
// scheduler_config.json, a scheduler must be named.
enum tt_status tt_model_open(const char *path, const struct tt_engine *engine,
                             struct tt_model **model, struct tt_error *err);

// What weights take in memory. Results have the same bits either way.
enum tt_weights_kept {
    TT_WEIGHTS_STORED, // what they take in their files: half precision is widened where it is read
    TT_WEIGHTS_F32,    // float32
};

// A LoRA: thin matrices whose products are added to a model's weights, in the file that peft,
// diffusers or kohya's scripts write. Other adapters are refused by their names.
enum { TT_LORAS = 64 }; // of a model, at most
struct tt_lora {
    const char *path;   // of the .safetensors file
    double weight;      // how often it counts: 1 as it was trained, 0 not at all
    const char *sha256; // tt_lora_info.sha256 that it must have; NULL: any
};

struct tt_model_settings {
    size_t size;
    // Which of several sets of weights to read: "fp16" for NAME.fp16.safetensors; NULL: those
    // without a variant, or, where there are none, fp16. Parts that do not have it are read without
    // (noted); TT_BAD_INPUT when no part has it.
    const char *variant;
    enum tt_weights_kept weights; // default TT_WEIGHTS_STORED
    // Another autoencoder in place of the model's own: a folder with its config.json and weights
    // (AutoencoderTiny or AutoencoderKL), or another model's. TT_BAD_INPUT when its latents have
    // another number of channels than the U-Net, or the model draws without latents. NULL: none.
    // Or one file that holds an autoencoder, as tt_model_open() reads it.
    const char *vae;
    // Of a model that is one file: a folder whose configurations and tokenizer go before what the
    // file's family makes one assume. TT_BAD_INPUT when the model is a folder itself. NULL: none.
    const char *config;
    // What the U-Net predicts, "epsilon", "v_prediction" or "sample", whatever the model's
    // scheduler says. TT_BAD_INPUT when the model has no scheduler of its own. NULL: as it says.
    const char *prediction_type;
    // Another U-Net in place of the model's own: as vae. NULL: none.
    const char *unet;
    // LoRAs, merged into the weights in float32 when these are read, in this order; one that is
    // given twice counts twice. Borrowed for the call. TT_BAD_INPUT: no LoRA of the plain kind
    // (LoHa, LoKr, DoRA, ...), one for other models, or more than TT_LORAS.
    const struct tt_lora *loras;
    size_t lora_count;
};

// Fills `size` bytes (sizeof *settings) with the defaults.
void tt_model_defaults(struct tt_model_settings *settings, size_t size);

// The same with settings; NULL: the defaults.
enum tt_status tt_model_open_with(const char *path, const struct tt_engine *engine,
                                  const struct tt_model_settings *settings,
                                  struct tt_model **model, struct tt_error *err);
// A model never changes, but that weights are read when they are first used, once for all. It may
// serve any number of threads, and lives until each of its holders has closed it: who opened it,
// who keeps it (which returns it), and its sessions.
struct tt_model *tt_model_keep(struct tt_model *model);
void tt_model_close(struct tt_model *model);

// A part is a network of a model that can be called alone. Calls take its index, which is found by
// its name and may be another in another version of the library: "text", "text-2" (SDXL's second
// text encoder), "unet", "vae-encode", "vae-decode". The index for a name; -1: none is called so.
int tt_part_find(const char *name);
// Indexes go from 0 to one below this.
size_t tt_part_count(void);
// Its name, and where a model's folder has it ("text_encoder"; the two halves of the autoencoder
// share theirs); "?": no such part.
const char *tt_part_name(int part);
const char *tt_part_folder(int part);
// Whether the model has it.
bool tt_model_has_part(const struct tt_model *model, int part);

// What the configuration files say.
struct tt_model_info {
    const char *name;      // the folder, or "built-in model"
    const char *scheduler; // class in diffusers of the model's own scheduler; "": it has none
    size_t width, height;  // of the pictures it was trained on; 0 when not said
    size_t factor;         // pixels a latent stands for in each direction: 8 for Stable Diffusion
    size_t latent_channels;
    size_t tokens; // that the text encoder is given: a prompt is cut or padded to this length
    size_t text_width, text_layers; // text_width: D, of each embedding
    size_t unet_levels, unet_channels[8];
    // latents = (what the encoder gives - shift) * scaling. The shift is 0: the pipelines that are
    // read here ignore their files' shift_factor, which is noted.
    double scaling_factor, shift_factor;
    // A U-Net alone, which draws without a text and in pixel space (diffusers' UNet2DModel, in the
    // folder of a DDPMPipeline, DDIMPipeline or PNDMPipeline). Its latents are the picture, (3,
    // height, width) about [-1, 1], or (1, height, width) where it knows grey alone: factor 1,
    // latent_channels 3 or 1, scaling_factor 1, no tokens and no text_width.
    // Of the parts only "unet" is there; the calls of others are TT_BAD_INPUT.
    bool unconditional;
    // Of the guidance scale's embedding, where the U-Net was distilled with guidance: it takes the
    // scale as an input, in one pass (time_cond_proj_dim of its configuration; LCM). 0: it was not.
    size_t guidance_width;
    // The autoencoder's encoder gives a posterior's mean and logarithm of variance (AutoencoderKL),
    // rather than latents.
    bool posterior;
    // SDXL. Its U-Net is told, too, what the second text encoder says of the whole text
    // (text_embeds, of this width) and so many numbers (time_ids): heights, widths and places of
    // struct tt_settings, 6, or 5 of its refiner. 0: it is not.
    size_t pooled_width, time_ids;
    // SDXL's refiner, which goes on with what another model has begun (tt_settings.refiner): it
    // draws nothing from noise.
    bool second_stage;
    // Of each channel of the latents, where SDXL's autoencoder has them, else NULL:
    // latents = (what the encoder gives - mean) * scaling / std.
    const float *latents_mean, *latents_std;
    // Of a model that is one file: its family ("Stable Diffusion 1.x"), else NULL.
    const char *family;
    // What the U-Net predicts ("v_prediction"), and why that is thought: what of a file says so, or
    // that nothing does. NULL: the model has no scheduler of its own.
    const char *prediction_type, *prediction_from;
    // No negative prompt is told to the U-Net as zeros, rather than as an empty text.
    bool force_zeros;
    // What suits it, where a program has nothing else: 20 steps and 7.5, or what its class in
    // diffusers has (5 of SDXL). few_steps: why it was taken for one that was distilled to few
    // steps (Turbo, Lightning, LCM), of which these are; NULL: it was not.
    size_t steps;
    double guidance_scale;
    const char *few_steps;
    // Of the U-Net's input: latent_channels; or as many for a picture's latents beside them
    // (instruct-pix2pix, which follows instructions about a picture); or one more, for a mask
    // (inpainting). Models of the last two kinds draw with a picture alone. 0: no U-Net.
    size_t input_channels;
};

// Lives as long as the model.
const struct tt_model_info *tt_model_info(const struct tt_model *model);

// The model's own picture size where *width or *height is 0. TT_BAD_INPUT when it has none, or when
// the size does not divide by the autoencoder's factor (unconditional: by what the U-Net halves).
enum tt_status tt_model_size(const struct tt_model *model, size_t *width, size_t *height,
                             struct tt_error *err);

// The LoRAs of a model, in their order; those of weight 0 are among them. Texts live as long as the
// model. False: there is no such one.
struct tt_lora_info {
    const char *path;
    double weight;
    const char *sha256;      // of the file: its header's, and that of the data, digested together
    const char *data_sha256; // of all that follows the header, as web interfaces take it
    size_t modules, ignored; // layers that it changes; tensors that the model has no place for
    size_t least_rank, most_rank;
};
size_t tt_model_lora_count(const struct tt_model *model);
bool tt_model_lora(const struct tt_model *model, size_t index, struct tt_lora_info *info);

// A prompt with tags <lora:NAME> or <lora:NAME:WEIGHT> in it, as web interfaces write them: the
// text without them, and what they say, in their order. TT_BAD_INPUT: a tag that is not closed, has
// no name, or another weight than a number; more than TT_LORAS. To be freed, unless it failed.
struct tt_lora_prompt {
    char *text;
    size_t count;
    char *name[TT_LORAS];
    double weight[TT_LORAS];
};
enum tt_status tt_lora_prompt_read(const char *prompt, struct tt_lora_prompt *out,
                                   struct tt_error *err);
void tt_lora_prompt_free(struct tt_lora_prompt *prompt);
// The path of folder/NAME.safetensors, to be freed with free(). TT_BAD_INPUT when it is not there:
// the message lists what is.
enum tt_status tt_lora_find(const char *folder, const char *name, char **path,
                            struct tt_error *err);

// A weight as networks have it, with LoRAs merged in, under any of its names; *there is false when
// the part has none of that name. Otherwise to be given back to tt_model_weight_done(), which ends
// its data.
enum tt_status tt_model_weight(struct tt_model *model, int part, const char *name, bool *there,
                               struct tt_view *view, struct tt_error *err);
void tt_model_weight_done(struct tt_model *model, int part, const struct tt_view *view);

// A name for the weights of all parts, 10 hexadecimal digits: from names, types and shapes of all
// tensors and the first kilobyte of each; and from LoRAs that count, with their weights.
enum { TT_MODEL_HASH_SIZE = 11 };
enum tt_status tt_model_hash(struct tt_model *model, char text[TT_MODEL_HASH_SIZE],
                             struct tt_error *err);

// What a model says that it can draw: the text of words.json in its folder, checked,
//     {"format": "tintype-words", "pixels": [W, H], "words": {"subjects": ["house", ...], ...}}
// with any lists of texts in "words". *text is NULL when there is none, else to be freed with
// free(). TT_BAD_INPUT when the file says that it is one and is not as above.
enum tt_status tt_model_words(const struct tt_model *model, char **text, struct tt_error *err);

// Whether a part has weights that could be opened: a folder may have configurations alone.
bool tt_model_has_weights(const struct tt_model *model, int part);

// The stored tensors of a part, in the order of their names; the two halves of the autoencoder
// share theirs. They live as long as the model. at: NULL at the end.
struct tt_weights;
enum tt_status tt_model_weights(struct tt_model *model, int part,
                                const struct tt_weights **weights, struct tt_error *err);
size_t tt_weights_count(const struct tt_weights *weights);
const struct tt_view *tt_weights_at(const struct tt_weights *weights, size_t index);
// The one of that name, whatever version of the libraries wrote the file: text encoders with and
// without `text_model.`, an autoencoder's attention as query, key, value and proj_attn. NULL: none.
const struct tt_view *tt_weights_named(const struct tt_weights *weights, const char *name);
// The file or index that was opened.
const char *tt_weights_name(const struct tt_weights *weights);

// ---- text to tokens ----

// CLIP's tokenizer: a prompt to token ids, equal to the fast tokenizer of the transformers library.
struct tt_tokenizer;

// The model's; lives as long as it. NULL: unconditional. Of two text encoders: the first one's.
const struct tt_tokenizer *tt_model_tokenizer(const struct tt_model *model);
// That of a text encoder ("text", "text-2"). NULL: the model does not have it, or it is none.
const struct tt_tokenizer *tt_part_tokenizer(const struct tt_model *model, int part);

// The ids of text (UTF-8): start of text, the text's tokens, end of text, padding up to max (>= 2);
// a longer text is cut, the end of text stays. *used is how many ids the whole text takes, start
// and end counted and padding not: it was cut when *used > max. used may be NULL. TT_BAD_INPUT: max
// is less than 2, or text is no valid UTF-8 (the message names the byte).
enum tt_status tt_tokenizer_encode(const struct tt_tokenizer *tokenizer, const char *text,
                                   int32_t *ids, size_t max, size_t *used, struct tt_error *err);

// The token as the vocabulary spells it ("light</w>"), NULL when there is no such id.
const char *tt_tokenizer_token(const struct tt_tokenizer *tokenizer, int32_t id);
// The bytes the token stands for, NUL-terminated and cut to size; a space stands for "</w>". They
// may be a part of a character. Returns text.
char *tt_tokenizer_text(const struct tt_tokenizer *tokenizer, int32_t id, char *text, size_t size);

// model_max_length of tokenizer_config.json, 0 when it is not given or says "no limit". 1: it has
// no room for start and end of a text (it is 0 or 1), and texts are neither cut to it nor padded.
size_t tt_tokenizer_max_length(const struct tt_tokenizer *tokenizer);
// One more than the largest id, added tokens included: the rows an embedding must have.
int32_t tt_tokenizer_size(const struct tt_tokenizer *tokenizer);
int32_t tt_tokenizer_start(const struct tt_tokenizer *tokenizer);
int32_t tt_tokenizer_end(const struct tt_tokenizer *tokenizer);
int32_t tt_tokenizer_padding(const struct tt_tokenizer *tokenizer);

// ---- networks, one call each ----

// The sizes of a call: batch; height and width of the network's own input (pixels for the encoder,
// latents for U-Net and decoder); tokens (text and U-Net). What a part does not read is ignored.
struct tt_size {
    size_t n, height, width, tokens;
};

// A session: what one caller has of a model, its plans with their activations, and its observers.
// As many as wanted draw from one model and one copy of its weights, each on a thread of its own;
// each gives the bits that it gives alone. One serves one thread at a time, and holds its model: it
// may be closed before. Plans of several parts and sizes stay side by side, while they keep within
// plan_bytes; beyond that those that were not used for the longest time are dropped, but never the
// one that is called.
struct tt_session;

struct tt_session_settings {
    size_t size;
    // What to run on; NULL: what the model was opened on. It must outlive the session. Sessions of
    // several threads may share an engine whose callbacks may be called by all of them.
    const struct tt_engine *engine;
    size_t plan_bytes; // default 512 MiB
};

// Fills `size` bytes (sizeof *settings) with the defaults.
void tt_session_defaults(struct tt_session_settings *settings, size_t size);

// settings NULL: the defaults. TT_SYSTEM: no memory.
enum tt_status tt_session_new(struct tt_model *model, const struct tt_session_settings *settings,
                              struct tt_session **session, struct tt_error *err);
void tt_session_free(struct tt_session *session);
struct tt_model *tt_session_model(const struct tt_session *session);

// Plans the calls of a part at a size, and loads its weights; every call does it when it is needed,
// so this only chooses the moment.
enum tt_status tt_session_prepare(struct tt_session *session, int part, struct tt_size size,
                                  struct tt_error *err);
// The same for calls that have a backward pass (tt_session_backward): they keep what that needs,
// and the weights as floats, beside room for their gradients. Other plans are dropped for it;
// calls give the same bits.
enum tt_status tt_session_prepare_training(struct tt_session *session, int part,
                                           struct tt_size size, struct tt_error *err);
// Bytes of activations of the plan of a part that was used last; 0 when it has none.
size_t tt_session_activations(const struct tt_session *session, int part);

// A tensor that a part takes or gives at some size.
struct tt_port {
    const char *name; // "encoder_hidden_states"
    enum tt_dtype dtype;
    struct tt_shape shape;
    bool output;
    bool optional; // an input that may be left out; it is then zeros
};

// Those of a part of the model: its inputs, then its outputs, the main one first. `size` as for a
// call.
enum { TT_PORTS = 16 };
enum tt_status tt_part_ports(const struct tt_model *model, int part, struct tt_size size,
                             struct tt_port ports[TT_PORTS], size_t *count, struct tt_error *err);

// The size of a call for n pictures of width x height pixels (0: the model's own) and texts of the
// model's length; and of a call with these inputs, which are checked as tt_part_run() does it.
enum tt_status tt_part_size_for(const struct tt_model *model, int part, size_t n, size_t width,
                                size_t height, struct tt_size *size, struct tt_error *err);
enum tt_status tt_part_size_of(const struct tt_model *model, int part,
                               const struct tt_view *inputs, size_t count, struct tt_size *size,
                               struct tt_error *err);

// Room for an output; as many bytes as dtype and shape take, in PyTorch's order.
struct tt_room {
    const char *name;
    enum tt_dtype dtype;
    struct tt_shape shape;
    void *data;
    size_t bytes;
};

// Calls a part with all its inputs, in any order, and writes those of its outputs that are asked
// for:
//     text        input_ids (N, T) I32 -> last_hidden_state (N, T, D), which the U-Net attends to;
//                 pooled (N, D); text_embeds (N, P), with a projection
//     text-2      the same. Of SDXL, both first give hidden_states (N, T, D), of the layer before
//                 the last: the U-Net attends to those of both, side by side
//     unet        sample (N, C, H, W), timestep (N), encoder_hidden_states (N, T, D) (not of an
//                 unconditional model), timestep_cond (N, G) (optional, with a guidance_width),
//                 text_embeds (N, P) and time_ids (N, I) (with a pooled_width)
//                 -> out (N, C', H, W)
//     vae-encode  sample (N, 3, H, W) in [-1, 1] -> moments (N, 2C, h, w), see tt_session_encode()
//     vae-decode  sample (N, C, H, W), the scaling undone -> out (N, 3, h, w), about [-1, 1]
// all F32 where nothing else is said. TT_BAD_INPUT names an input or output that is missing or
// unknown, or of another dtype or shape, with what was found and expected; and further as below.
enum tt_status tt_part_run(struct tt_session *session, int part, const struct tt_view *inputs,
                           size_t input_count, const struct tt_room *outputs, size_t output_count,
                           struct tt_error *err);

// The same as functions of arrays, which have the shapes that the size says. TT_BAD_INPUT: a size
// that the part cannot have, a weight that is missing, of another shape or not finite, an input
// that is not finite; and when values stop being finite on the way, the message names the node
// where that begins.

// ids (n, tokens) -> hidden (n, tokens, D), the embeddings that the U-Net attends to.
enum tt_status tt_session_text(struct tt_session *session, const int32_t *ids, size_t n,
                               size_t tokens, float *hidden, struct tt_error *err);

// sample (n, C, height, width), timesteps (n), embeddings (n, tokens, D) -> out like sample: what
// the model predicts (noise, velocity or sample: its scheduler knows). An unconditional model reads
// no embeddings; one with a pooled_width is told more, which tt_part_run() takes (TT_BAD_INPUT).
enum tt_status tt_session_unet(struct tt_session *session, struct tt_size size, const float *sample,
                               const float *timesteps, const float *embeddings, float *out,
                               struct tt_error *err);

// The same for a model with a guidance_width, which then answers as if guided by this scale.
// Other models, and the call above, go without.
enum tt_status tt_session_unet_guided(struct tt_session *session, struct tt_size size,
                                      const float *sample, const float *timesteps,
                                      const float *embeddings, double guidance_scale, float *out,
                                      struct tt_error *err);
// image (n, 3, height, width) in [-1, 1] -> moments (n, 2C, h, w), without the scaling: mean, then
// logarithm of the variance, not yet clamped. Of an encoder without a posterior: latents (n, C, h,
// w), without the scaling.
enum tt_status tt_session_encode(struct tt_session *session, struct tt_size size,
                                 const float *image, float *moments, struct tt_error *err);

// latents (n, C, height, width), the scaling undone -> image (n, 3, H, W), about [-1, 1].
enum tt_status tt_session_decode(struct tt_session *session, struct tt_size size,
                                 const float *latents, float *image, struct tt_error *err);

// The backward pass from a part's last call, prepared by tt_session_prepare_training: from the
// gradient of a loss with regard to what that call gave (dout, of its shape) to that of every
// weight of the part. Once for each call; TT_BAD_INPUT when there is none to go back from. A call
// that is stopped (TT_CANCELLED) leaves gradients half added.
enum tt_status tt_session_backward(struct tt_session *session, int part, const float *dout,
                                   struct tt_error *err);
// The gradient of a weight by its checkpoint's name ("conv_in.weight"), in PyTorch's shape and
// order; NULL: the part has no such weight, or is not prepared for training. Valid until the next
// backward or prepare.
const float *tt_session_gradient(const struct tt_session *session, int part, const char *weight,
                                 struct tt_shape *shape);

// Latents (C, h, w), one picture -> its RGB pixels, (h f, w f, 3), f the model's factor.
// TT_BAD_INPUT: latents that are not finite, or a size that the decoder cannot have.
enum tt_status tt_latents_to_pixels(struct tt_session *session, const float *latents, size_t h,
                                    size_t w, uint8_t *rgb, struct tt_error *err);

// RGB pixels (height, width, 3; their luma where latents are grey) -> latents (C, h, w): the mean
// of the posterior, or a sample of it when rng is given.
enum tt_status tt_pixels_to_latents(struct tt_session *session, const uint8_t *rgb, size_t height,
                                    size_t width, struct tt_rng *rng, float *latents,
                                    struct tt_error *err);

// ---- generation ----

// What a progress callback sees, valid during the call.
struct tt_progress {
    size_t picture, pictures; // which picture, from 0; how many
    size_t step, steps;       // calls of the U-Net that are done, from 1; how many there will be
    float timestep;           // at which the last one was made
    struct tt_shape shape;    // (1, C, h, w)
    const float *latents;     // after the step
    const float *prediction;  // what the U-Net predicted for this step, guided
    const struct tt_scheduler *scheduler;
    const struct tt_rng *rng; // as the step left it
    size_t next; // the call of the scheduler that follows; tt_scheduler_calls(): none does
    const float *input; // what the U-Net was given for this step: the sample, scaled
};

// How a prompt says what weighs how much, and what becomes of one that is longer than the text
// encoder takes.
enum tt_prompt_syntax {
    TT_PROMPT_PLAIN,  // all words alike, as diffusers' pipelines take them; what is too long is cut
    TT_PROMPT_WEBUI,  // (a), (a:1.2), [a], \(, BREAK, in chunks: stable-diffusion-webui 1.10
    TT_PROMPT_COMPEL, // a++, (a b)1.2, .and(), .blend(), in chunks: compel 2.5
};

// A file of textual inversion (arXiv 2208.01618), .safetensors: one tensor (n, D), as diffusers or
// web UIs write it, or for SDXL clip_l (n, D) and clip_g (n, E). word is what stands for it in a
// prompt; NULL: what the file says, or its name (in webui's syntax always its name).
struct tt_inversion_file {
    const char *path, *word;
    const char *sha256; // tt_inversion_info.sha256 that it must have; NULL: any
};

// No guidance scale is larger, or smaller than its negative.
enum { TT_GUIDANCE_MOST = 1000 };

// How a picture of another size becomes one of the wanted size: its proportions change; what stands
// out is cut off; or what is missing is filled up from its edges.
enum tt_resize { TT_RESIZE_STRETCH, TT_RESIZE_CROP, TT_RESIZE_FILL };

// What is enlarged before a second pass.
enum tt_upscale_in { TT_UPSCALE_LATENTS, TT_UPSCALE_PIXELS };

// What to draw, and how.
struct tt_settings {
    size_t size;
    // UTF-8; negative NULL: "", but for a model of SDXL that was taught to do without
    // (force_zeros_for_empty_prompt). An unconditional model takes neither: NULL or "".
    const char *prompt, *negative;
    uint64_t seed;                 // picture k takes seed + k
    size_t count;                  // pictures; default 1
    size_t steps;                  // default 20
    size_t width, height;          // pixels; 0: the model's own
    // Default 7.5; 1 or less: one pass, without the negative prompt. A model with a
    // guidance_width makes one pass at any scale, an unconditional one, too.
    double guidance_scale;
    double guidance_rescale;       // 0 to 1; arXiv 2305.08891, section 3.4; default 0: none
    // The part of the run that is guided, as fractions of its steps, rounded to whole ones (arXiv
    // 2404.07724); default 0 to 1. Steps a to b of n: (a - 1.0) / n to (double)b / n, where n is
    // tt_scheduler_calls(). Steps outside are of one pass: the prompt's own prediction.
    double guidance_start, guidance_stop;
    const char *scheduler;         // name or class; NULL: the model's own
    const char *const *scheduler_options; // "key=value" strings ending with NULL; NULL: none
    // Called after every step of every picture, on the calling thread; may be NULL. A non-zero
    // answer stops the run with TT_CANCELLED. The session may be used inside: to see the picture so
    // far, give progress->latents to tt_latents_to_pixels(session, ...) with h and w of
    // progress->shape. That costs the decoding.
    int (*progress)(void *context, const struct tt_progress *progress);
    void *context;
    // Called with the latents (C, h, w) of each picture when it is done, before the next is begun,
    // so that work can be saved as it is done: tt_latents_to_pixels() gives its pixels. On the
    // calling thread, with the same context; may be NULL. A non-zero answer stops the run with
    // TT_CANCELLED.
    int (*finished)(void *context, size_t picture, const float *latents);
    // Of SDXL, which is told them (no other model is): pixels of the picture as it might have been
    // before it was scaled and cut, where the cut begins, and of the picture itself. 0 x 0: the
    // picture's own size. And the same of what is guided away from: both sizes, or, with 0 x 0 of
    // both, as above; a refiner then takes the crop for (0, 0), as diffusers' does.
    size_t original_width, original_height, crop_left, crop_top, target_width, target_height;
    size_t negative_original_width, negative_original_height;
    size_t negative_crop_left, negative_crop_top, negative_target_width, negative_target_height;
    // Of SDXL's refiner, which is told them: default 6, and 2.5 of what is guided away from.
    double aesthetic_score, negative_aesthetic_score;
    // A second model of SDXL, which goes on where this part of the noise schedule has been walked:
    // diffusers' denoising_end and denoising_start. Steps, guidance, scheduler and texts are those
    // above, and its autoencoder gives the pixels. NULL: none; default 0.8.
    struct tt_session *refiner;
    double refine_from;
    int prompt_syntax; // enum tt_prompt_syntax, of both prompts
    // Layers of the text encoder that are left out, the last ones: diffusers' clip_skip, where web
    // UIs count one more. In plain syntax of the prompt alone, as in diffusers' pipelines.
    size_t clip_skip;
    // Textual inversion: files, and a folder whose files go by their names and are read when a
    // prompt has one. TT_BAD_INPUT: a file that is none, or of another width than the model's; a
    // word that the vocabulary has (in webui's syntax it may). NULL: none.
    const struct tt_inversion_file *inversions;
    size_t inversion_count;
    const char *inversion_folder;
    // A picture to begin with; NULL: noise alone. Without width and height the size is the
    // picture's, rounded down to what the model can draw (of one alone, its proportions).
    // mask, of the same size: white (luma of 128 and more) is drawn anew, the rest stays.
    const struct tt_image *image, *mask;
    // How much of the way is gone, more than 0, up to 1: that part of the steps. Negative, the
    // default: 0.8, or with a mask 1. Not of instruct-pix2pix, which begins with noise.
    double strength;
    int resize; // enum tt_resize: picture and mask to the size; default TT_RESIZE_STRETCH
    // Pixels; the mask is blurred so far. What lies outside of it then stays as it is in the
    // picture, pixel for pixel. Default 0.
    double mask_blur;
    // Only what the mask shows is drawn, and so many pixels around it, at the full size (default:
    // the model's), and put back into the picture, whose size the result has. Negative, the
    // default: all is drawn.
    int inpaint_padding;
    double image_guidance_scale; // of instruct-pix2pix; below 1: one pass; negative: 1.5
    // A second pass, at so many times the size, that begins with the first one's latents or
    // pixels, as enlarged; 0, the default: none.
    double upscale, upscale_strength; // strength of the second; negative, the default: 0.5
    int upscale_in;                   // enum tt_upscale_in
};

// Fills `size` bytes (sizeof *settings) with the defaults.
void tt_settings_defaults(struct tt_settings *settings, size_t size);

// What a run will be: the latents that come out are (C, h, w), their pictures width x height; calls
// of U-Nets in its (first) pass, by both models where there is a refiner, and in all.
struct tt_outline {
    size_t h, w, height, width, calls, all_calls;
};

// Checks all settings but the texts, fills in width, height, strengths and image_guidance_scale
// where they are left to the model or the picture, and tells what the run will be. TT_BAD_INPUT as
// tt_generate().
enum tt_status tt_settings_complete(const struct tt_model *model, struct tt_settings *settings,
                                    struct tt_outline *outline, struct tt_error *err);

// The picture of latents that were drawn with these settings: tt_latents_to_pixels(), and then what
// its mask leaves as it is. image is filled; free it with tt_image_free().
enum tt_status tt_develop(struct tt_session *session, const struct tt_settings *settings,
                          const float *latents, struct tt_image *image, struct tt_error *err);

// A picture at another size, by Pillow's Lanczos filter, in memory of its own.
enum tt_status tt_image_resize(const struct tt_image *image, enum tt_resize how, size_t width,
                               size_t height, struct tt_image *out, struct tt_error *err);

// The whole way from a text to pictures: embeddings once, then the latents of one picture after the
// other, then their pixels. images: `count` structs, filled (emptied after an error); free each
// with tt_image_free(). NULL: latents only. latents: (count, C, h, w), or NULL; after an error or a
// cancel they hold what was reached. TT_BAD_INPUT: settings out of range (named), text that is no
// UTF-8, weights that give values which are not finite (node and step named).
enum tt_status tt_generate(struct tt_session *session, const struct tt_settings *settings,
                           float *latents, struct tt_image *images, struct tt_error *err);

// Which files of textual inversion the prompts of these settings have, in the order of their
// vectors; to be freed with tt_inversion_info_free(). TT_BAD_INPUT: as tt_encode_prompt(), of which
// this is the part that needs no weights; both prompts are looked at.
struct tt_inversion_info {
    char *path, *word;
    char sha256[65]; // of the file, as web UIs have it, too
};
enum tt_status tt_settings_inversions(const struct tt_model *model,
                                      const struct tt_settings *settings,
                                      struct tt_inversion_info **list, size_t *count,
                                      struct tt_error *err);
void tt_inversion_info_free(struct tt_inversion_info *list, size_t count);

// Its three stages. What the U-Net attends to: embeddings (n, tokens, D); behind them, in the same
// memory, of a model with a pooled_width what a whole text says: text_embeds (n, P).
struct tt_embeddings {
    size_t n, tokens;
    float *data;
};

// The prompt's embeddings: n 1, or 2 where guidance needs two passes; then the negative prompt's
// come first, as diffusers orders them. Of an unconditional model: n 1, no tokens, no
// data. Free with tt_embeddings_free(), which also takes a zero-initialised struct.
enum tt_status tt_encode_prompt(struct tt_session *session, const struct tt_settings *settings,
                                struct tt_embeddings *embeddings, struct tt_error *err);
void tt_embeddings_free(struct tt_embeddings *embeddings);

// The latents (C, h, w) of one picture: noise of rng, denoised by the scheduler along the model's
// predictions. Reads steps, size, guidance and progress of the settings. rng goes on where the
// steps' own noise ends. With a refiner in the settings only as far as that goes on from.
enum tt_status tt_denoise(struct tt_session *session, struct tt_scheduler *scheduler,
                          const struct tt_settings *settings,
                          const struct tt_embeddings *embeddings, struct tt_rng *rng,
                          float *latents, struct tt_error *err);
// The rest, by the refiner's session, with a scheduler of its model and its own embeddings of the
// prompt: from the latents as tt_denoise() left them, in their place.
enum tt_status tt_refine(struct tt_session *session, struct tt_scheduler *scheduler,
                         const struct tt_settings *settings,
                         const struct tt_embeddings *embeddings, struct tt_rng *rng,
                         float *latents, struct tt_error *err);

// ---- training ----

// What learns: the autoencoder, or its decoder beside the encoder that is there; the U-Net, the
// text encoder, or both.
enum tt_train_part {
    TT_TRAIN_VAE,
    TT_TRAIN_UNET,
    TT_TRAIN_TEXT,
    TT_TRAIN_UNET_TEXT,
    TT_TRAIN_VAE_DECODER,
};

// What the U-Net predicts: what the model's scheduler says, or one of these.
enum tt_train_prediction {
    TT_PREDICTION_OF_MODEL,
    TT_PREDICTION_EPSILON,
    TT_PREDICTION_V,
    TT_PREDICTION_SAMPLE,
};

// The learning rate after the warm-up.
enum tt_rate { TT_RATE_CONSTANT, TT_RATE_LINEAR, TT_RATE_COSINE };

// A picture of another size than is trained on is scaled until it covers that and cut to its
// middle, or stretched to it.
enum tt_fit { TT_FIT_CROP, TT_FIT_STRETCH };

// What shows through transparent pixels. Linear: black, mixed as light is (a PNG's gAMA is applied,
// too). Black, white: mixed as the numbers are, which is how other programs do it (gAMA is not).
enum tt_background { TT_BACKGROUND_LINEAR, TT_BACKGROUND_BLACK, TT_BACKGROUND_WHITE };

// A picture of the program's own to train on.
struct tt_train_picture {
    const char *name;            // that no other picture has; NULL: its number is one
    const char *const *captions; // UTF-8; each epoch takes one of them by chance
    size_t caption_count;        // one at least, but where there is no text
    struct tt_image image;       // pixels of malloc(), which the library frees
};

// What a run tells: while it goes on, and in the lines of its log.
enum tt_train_told {
    TT_TOLD_STEPS,  // of steps that were done
    TT_TOLD_HELD,   // the loss of pictures that are held out: step and loss alone
    TT_TOLD_CHANGE, // something is another than before: the step alone
};
struct tt_train_line {
    enum tt_train_told told;
    size_t step, steps;         // done, from 1; in all (not in a log: 0)
    double loss;                // mean since the log's last line
    double learning_rate, norm; // of the last step; the gradient's norm before clipping
    double images_per_second, seconds; // since the log's last line; of this process
    double held; // the last loss of the pictures that are held out; NaN: none yet (in a log: 0)
};

// What to train, on what, and how. Texts are borrowed while it is in use.
struct tt_train_settings {
    size_t size;
    // Pictures with captions: a folder, and those in it, of PNG, JPEG or WebP files, each with a
    // .txt of its name beside it, or listed in a metadata.jsonl (imagefolder's convention).
    const char *data;
    // Or pictures of the program's own, `picture_count` of them (data is NULL then). picture()
    // gives number i into *picture, which is zeroed before; name and captions must last until it
    // is called again. It is asked for each in the beginning and whenever one is trained on, by
    // the thread that trains, and must give the same each time, which is checked. TT_BAD_INPUT,
    // with a message: that picture is left out (with `strict`: an error); another error ends the
    // run.
    size_t picture_count;
    enum tt_status (*picture)(void *context, size_t i, struct tt_train_picture *picture,
                              struct tt_error *err);
    // Called after every step, and while pictures are looked at ("pictures", "captions"), encoded
    // ("latents") and held-out ones measured: `what` says which, line->step of line->steps how far.
    // Of "training", and no other, the whole line counts. A non-zero answer stops the run: it is
    // saved, and ends with TT_CANCELLED. The same of the engine's `cancelled`. May be NULL.
    int (*progress)(void *context, const char *what, const struct tt_train_line *line);
    void *context; // of both
    uint64_t given; // which fields were said as text; tt_train_set() marks them

    // The model to begin with (NULL: the built-in one) and which of its weights, as in struct
    // tt_model_settings; or config, a folder of the same kind, for new weights from nothing.
    const char *model, *config, *variant;
    const char *output; // the folder to write: a model, its checkpoints, log and samples
    size_t steps;       // optimiser steps in all; default 1000
    size_t save_every, log_every; // a checkpoint, a line of the log every N steps; 500, 10
    size_t sample_every;          // pictures to look at every N steps; default 0: none;
    size_t sample_steps;          // so many steps each,
    double sample_guidance;       // with this guidance,
    const char *sample_prompts;   // of a file's lines; NULL: of the first captions
    bool resume; // go on from the checkpoint in output, where there is one, to the same bits
    bool change; // with other pictures, captions or settings than before, which is told
    bool force;  // train in a folder with other files, too; deletes nothing
    bool strict; // a picture that cannot be used is an error
    bool float16;                // write the trained weights in half precision
    bool checkpoint_activations; // less memory, a third more time
    size_t validate_every; // the loss of held-out pictures every N steps; 0: with checkpoints
    int part;              // enum tt_train_part; default TT_TRAIN_UNET_TEXT
    size_t width, height;  // of the pictures; 0: the model's
    int fit;               // enum tt_fit
    bool buckets;          // sizes of about the pictures' own proportions, a batch of one size,
    size_t bucket_step;    // with sides that are multiples of it; 0: 64, or less for small ones
    int background;        // enum tt_background
    bool raw_weights;      // write those without the average, too: as variant non_ema
    double validate;       // the share of the pictures that is held out; default 0
    bool flip;             // mirror half of the pictures
    size_t batch, accumulate; // pictures at once, batches a step; 8, 1
    uint64_t seed;            // of the order, the noise and new weights
    double learning_rate;     // the highest; 1e-4
    int schedule;             // enum tt_rate
    size_t warmup_steps;
    double beta1, beta2, epsilon, weight_decay; // of AdamW; 0.9, 0.999, 1e-8, 0.01
    double clip_norm;    // the largest norm of a gradient; 0: any; default 1
    double ema_decay;    // of the weights' moving average, which is written; 0: none; 0.999
    int prediction_type; // enum tt_train_prediction
    bool zero_snr;       // the schedule ends in pure noise (arXiv 2305.08891)
    double caption_dropout; // how often a caption is left empty, for guidance; 0.1
    double word_dropout;    // how often each of its words is left out
    double min_snr;         // weight of losses: min(SNR, this) (arXiv 2303.09556); 0: equal
    double l1_weight, l2_weight, kl_weight; // of an autoencoder's losses; 1, 0, 1e-6
};

// Fills `size` bytes (sizeof *settings) with the defaults.
void tt_train_defaults(struct tt_train_settings *settings, size_t size);

// The fields that can be said as text, by name, "learning_rate", as the command line's options and
// a settings file have them: entry i, false at the end. argument is what its value is called, NULL
// of a flag.
bool tt_train_setting(size_t i, const char **name, const char **argument, const char **help);
// One as text, a choice by its word; the caller frees it. NULL: it has no value, is a flag, or
// memory is short.
char *tt_train_setting_text(const struct tt_train_settings *settings, const char *name);
// Takes one as text: a word, a number, true or false. A field that is said for a part that does not
// use it is an error of the run, even with its default. TT_BAD_INPUT: no such field, or value.
enum tt_status tt_train_set(struct tt_train_settings *settings, const char *name, const char *text,
                            struct tt_error *err);
// Takes the keys of a JSON file. Texts lie in *texts, which is to be freed after the settings' use.
// TT_BAD_INPUT names file and key: unknown ones, values of another type.
struct tt_train_texts;
enum tt_status tt_train_settings_read(struct tt_train_settings *settings, struct tt_files *files,
                                      const char *path, struct tt_train_texts **texts,
                                      struct tt_error *err);
void tt_train_texts_free(struct tt_train_texts *texts);

// A run of training: the textbook's loop, a step a call. It says what it does by the engine's note,
// and nothing of it depends on threads, instruction sets or on where it was stopped.
struct tt_trainer;

// Opens model and pictures, goes on from the checkpoint, if any, takes the output folder for its
// own, encodes pictures that are not yet, and measures those that are held out. TT_BAD_INPUT:
// settings, pictures, model folder or checkpoint do not do, named in the message; the folder is
// then as it was. The engine must outlive the trainer.
enum tt_status tt_trainer_new(const struct tt_train_settings *settings,
                              const struct tt_engine *engine, struct tt_trainer **trainer,
                              struct tt_error *err);
void tt_trainer_free(struct tt_trainer *trainer); // takes NULL, too

// One optimiser step, with the line of the log, checkpoint, samples and held-out pictures that are
// due after it. Whatever ends it early, the steps done before are saved, but not what a loss that
// is not finite has led to: TT_BAD_INPUT names step, pictures and the first node with such an
// output. After an error the trainer can only be freed, and another one resumes. TT_BAD_INPUT, too,
// when all steps are done.
enum tt_status tt_trainer_step(struct tt_trainer *trainer, struct tt_error *err);
// Steps done, those of runs before included; and what the last one gave, until the next: step 0
// where this run has done none.
size_t tt_trainer_steps(const struct tt_trainer *trainer);
const struct tt_train_line *tt_trainer_line(const struct tt_trainer *trainer);

// A checkpoint of the steps done, now.
enum tt_status tt_trainer_save(struct tt_trainer *trainer, struct tt_error *err);
// The model after the steps done, as a folder: output. It opens as others do.
enum tt_status tt_trainer_export(struct tt_trainer *trainer, struct tt_error *err);

// Every step of a network, forward and back, of the batches that are trained on is shown to these,
// until others are given; borrowed. One that stops a batch ends the run, as progress() does.
struct tt_observer;
void tt_trainer_observe(struct tt_trainer *trainer, const struct tt_observer *observers,
                        size_t count);

// All of that: steps until they are done, then the model.
enum tt_status tt_train(const struct tt_train_settings *settings, const struct tt_engine *engine,
                        struct tt_error *err);

// What training would see of its pictures, as they are cut, turned and laid on their background.
// Needs no output folder and writes nothing.
struct tt_train_data;
enum tt_status tt_train_data_open(const struct tt_train_settings *settings,
                                  const struct tt_engine *engine, struct tt_train_data **data,
                                  struct tt_error *err);
void tt_train_data_close(struct tt_train_data *data); // takes NULL, too
// How many are trained on, ordered by name, and how many are held out, which come behind them.
size_t tt_train_data_count(const struct tt_train_data *data);
size_t tt_train_data_held(const struct tt_train_data *data);
// Of picture i: its path within the folder, or name; its k-th caption, NULL at the end; the size in
// which it is seen; and itself, to be freed with tt_image_free().
const char *tt_train_data_name(const struct tt_train_data *data, size_t i);
const char *tt_train_data_caption(const struct tt_train_data *data, size_t i, size_t k);
void tt_train_data_size(const struct tt_train_data *data, size_t i, size_t *width, size_t *height);
enum tt_status tt_train_data_picture(const struct tt_train_data *data, size_t i,
                                     struct tt_image *image, struct tt_error *err);
// Which pictures come first in training: `count` of them into items.
enum tt_status tt_train_data_order(const struct tt_train_data *data, size_t *items, size_t count,
                                   struct tt_error *err);

// A log that training wrote (train.jsonl). Steps increase, and never decrease from one line to the
// next; a torn last line is left out. TT_BAD_INPUT names file, line, key, found and expected.
struct tt_train_lines;
enum tt_status tt_train_lines_read(struct tt_files *files, const char *path,
                                   struct tt_train_lines **lines, struct tt_error *err);
// NULL at the end.
const struct tt_train_line *tt_train_lines_at(const struct tt_train_lines *lines, size_t i);
void tt_train_lines_free(struct tt_train_lines *lines); // takes NULL, too

// ---- observers ----

// A node of a network as it runs, perhaps with later ones folded into it.
struct tt_step;

// Its name, the module path of the checkpoint's own library ("down_blocks.0.resnets.1.conv1");
// the shape of its output.
const char *tt_step_name(const struct tt_step *step);
const struct tt_shape *tt_step_shape(const struct tt_step *step);
// "conv2d+add_image+add": the operation and what is folded into it; returns text.
char *tt_step_text(const struct tt_step *step, char *text, size_t size);
// What it does as a line by which it runs alone, its name and data apart, "conv2d n2 c320 h64 w64
// k320 r3 s1 f32 +bias": operation, sizes, dtype, what is folded in. Returns text, cut to size (256
// are enough).
char *tt_step_problem(const struct tt_step *step, char *text, size_t size);
// The variant of the kernel that does most of its work, or "copy".
const char *tt_step_variant(const struct tt_step *step, const struct tt_engine *engine);
// Floating point operations, with what is folded into it; a multiply-add counts two.
double tt_step_flops(const struct tt_step *step);
// Its output, whole once `after` is called: rows of channels, (N, C, H, W) as (N, H, W, C). Of a
// step of the backward pass, which training has, it is the gradient of its first input, or NULL.
const float *tt_step_output(const struct tt_step *step);
// What it reads, whole when `before` is called (the step may write over it): input i from 0, which
// lies as outputs do, and its shape. NULL: no such input, or whole numbers, or a step of the way
// back.
const float *tt_step_input(const struct tt_step *step, size_t i, struct tt_shape *shape);
// The modules of the checkpoint's own library that return this output, i from 0; NULL at the end.
// "down_blocks.0.resnets.1.conv1" is one itself; a sum may end "down_blocks.0.resnets.1"; what a
// module does in between ends none. Steps of the backward pass have none. See every_node of struct
// tt_engine_settings: folded steps give the last of their nodes only.
const char *tt_step_module(const struct tt_step *step, size_t i);

// Of a step of the backward pass: the gradient with regard to what its forward step returned, whole
// when `before` is called, of that shape; and the modules that returned it, as tt_step_module()
// tells those of forward steps. NULL: it is no such step; there are no more.
const float *tt_step_gradient(const struct tt_step *step, struct tt_shape *shape);
const char *tt_step_gradient_of(const struct tt_step *step, size_t i);

// Hooks around every step; either may be NULL. Neither may alter anything. A non-zero return from
// `before` stops the run with TT_CANCELLED.
struct tt_observer {
    void *context;
    int (*before)(void *context, const struct tt_step *step);
    void (*after)(void *context, const struct tt_step *step);
};

// Every run of every part by the session is shown to these, until others are given; borrowed.
// count 0: none.
void tt_session_observe(struct tt_session *session, const struct tt_observer *observers,
                        size_t count);

// What may write where observers only look: before a step into its float32 inputs, as later steps
// that read the same will see it, too; after it, when the observers have seen it, into its output.
// Both lie as tt_step_output() says; either hook may be NULL. Steps of the backward pass are not
// shown.
struct tt_override {
    void *context;
    void (*input)(void *context, const struct tt_step *step, size_t i,
                  const struct tt_shape *shape, float *x);
    void (*output)(void *context, const struct tt_step *step, float *y);
};

// Every run of every part by the session goes through it, until another is given; borrowed. NULL:
// none, which costs nothing.
void tt_session_override(struct tt_session *session, const struct tt_override *override);

// The profile: how long every step takes, over many runs, and what it does.
struct tt_profile;

struct tt_profile_node {
    const char *name, *op, *variant;
    struct tt_shape shape; // of its output; backward, of the first gradient it gives
    double seconds;        // the sum over the runs
    double flops;          // of one run, counted directly: tt_step_flops()
    size_t runs;
    // What it belongs to: "down_blocks.0", the path up to its first number, or all but the last
    // word; the part, or with a plan both ways "forward", "backward" or "sum of gradients".
    const char *module, *stage;
    const char *kernel;  // that does most of its work; "copy": none
    const char *dtype;   // its weight is stored in, or its values are of: "f16"
    const char *problem; // tt_step_problem()
    const char *why;     // why this kernel: what was considered, what ruled the others out
    // Of one run. Operations as they are done: of Winograd's convolution its products and its
    // transforms; of attention behind a causal mask what is not left out. Bytes that any way of
    // doing it must move: inputs, weights as they are stored, what it gives, each once.
    double flops_executed, bytes;
    double median, q1, q3, best; // seconds of a run; of a sample of the runs when there are many
    double cpu_seconds; // as seconds, of all threads of the process: those that wait spin, too
    // The share of the threads' time that they wait: for others to finish, or while one works
    // alone. NaN where the threads were not asked (tt_profile_watch).
    double waiting;
    size_t live_bytes; // of activations and scratch that are in use while it runs
};

// A stretch of time: as the caller divides it.
struct tt_profile_stage {
    const char *name;
    size_t step;           // of sampling, from 1; 0: of none
    double begun, seconds; // since the profile began
    double nodes;          // seconds of the steps in it
    double flops, flops_executed, bytes;
};

// A thread's share of one step: when it began its first piece of work and ended its last one, and
// how long it worked in between. begun 0: it had none.
struct tt_profile_thread {
    double begun, ended, worked;
};

// One run of a step, kept where tt_profile_keep_events() asks for it. Times are since the profile
// began.
struct tt_profile_event {
    size_t node, stage; // indexes
    double begun, seconds, cpu_seconds;
    size_t threads;
    const struct tt_profile_thread *thread;
};

// Of the plan of the part that was used last (tt_session_prepare, or tt_session_prepare_training
// with the steps of both ways); runs of others are not counted.
enum tt_status tt_profile_new(const struct tt_session *session, int part,
                              struct tt_profile **profile, struct tt_error *err);
// The same of every step of every part that the sessions it watches run; nodes come when they first
// run.
enum tt_status tt_profile_new_all(struct tt_profile **profile, struct tt_error *err);
// Not while it watches a session.
void tt_profile_free(struct tt_profile *profile);
// The observer to give to tt_session_observe(), of one made by tt_profile_new().
struct tt_observer tt_profile_observer(struct tt_profile *profile);
// In place of that: the session shows its steps to the profile, and its threads tell how long they
// work, until it is left. TT_SYSTEM: out of memory; nothing is changed.
enum tt_status tt_profile_watch(struct tt_profile *profile, struct tt_session *session,
                                struct tt_error *err);
void tt_profile_leave(struct tt_profile *profile, struct tt_session *session);
// Forgets the times: after a first run that is not to count.
void tt_profile_reset(struct tt_profile *profile);
// Node i in the order of running; NULL at the end. Valid until the next run.
const struct tt_profile_node *tt_profile_at(const struct tt_profile *profile, size_t i);
// Whether all that was run was counted: memory was not short.
bool tt_profile_is_whole(const struct tt_profile *profile);

// From now on the time belongs to a stage of that name; of sampling step `step`, or 0. NULL: none.
void tt_profile_stage(struct tt_profile *profile, const char *name, size_t step);
// The same, when a node of that part next runs: what comes before it belongs to the stage before.
void tt_profile_stage_with(struct tt_profile *profile, int part, const char *name, size_t step);
// What follows a way back in training, to be timed: the norm of the gradients and a step of AdamW
// over all weights of the part, with a rate of 0. TT_BAD_INPUT: it has no plan both ways.
enum tt_status tt_profile_optimise(struct tt_profile *profile, struct tt_session *session,
                                   int part, struct tt_error *err);
// Stage i, NULL at the end; valid until the next one begins.
const struct tt_profile_stage *tt_profile_stage_at(const struct tt_profile *profile, size_t i);

// From now on every run of a step is kept, for tt_profile_event_at().
void tt_profile_keep_events(struct tt_profile *profile);
// Event i in the order of running; false at the end. The threads are valid until the next run.
bool tt_profile_event_at(const struct tt_profile *profile, size_t i,
                         struct tt_profile_event *event);

// The most of activations and scratch that is in use at once while a part runs as it is planned, of
// tt_session_activations(); 0: it is not planned.
size_t tt_session_peak(const struct tt_session *session, int part);

// What the machine can do, with the instruction set and the threads of an engine.
struct tt_roof {
    double flops_per_second; // of fused multiply-adds, the innermost loop of products on data that
                             // stay in the first cache
    double bytes_per_second; // to and from memory: the better of reading, and of reading and
                             // writing, buffers that no cache holds
    double read, copy;       // the two
    bool measured;           // now; false: taken from the cache
};

// Measures it, in less than two seconds, or takes it from the folder cache (NULL: none), which is
// made and holds a file for each processor, instruction set, number of threads and version: what is
// damaged there is measured again, and what cannot be written is not. again: measures in any case.
// Threads are timed by their processor time, so that other programs disturb little.
enum tt_status tt_roof_find(const struct tt_engine *engine, const char *cache, bool again,
                            struct tt_roof *roof, struct tt_error *err);
// What the processor calls itself ("model name" of /proc/cpuinfo), into text; returns text.
char *tt_processor_name(char *text, size_t size);

// One node alone, from its problem (tt_step_problem) with made-up inputs and weights; see
// `tintype bench`.
struct tt_bench;
// TT_BAD_INPUT: the text is no problem, and names the word.
enum tt_status tt_bench_new(const char *problem, const struct tt_engine *engine,
                            struct tt_bench **bench, struct tt_error *err);
void tt_bench_free(struct tt_bench *bench);
// Fills an input (0 ..., then the per-image bias, the residual) or weight (TT_BENCH_WEIGHT: weight,
// bias) with n floats in PyTorch's order. TT_BAD_INPUT: there is no such one, or it has another
// number. Weights are to be given before the first run.
enum { TT_BENCH_IMAGE_BIAS = 8, TT_BENCH_RESIDUAL, TT_BENCH_WEIGHT, TT_BENCH_BIAS };
enum tt_status tt_bench_give(struct tt_bench *bench, int which, const float *data, size_t n,
                             struct tt_error *err);
// Runs it once without counting, then `repeat` times; node: its times and what it does.
enum tt_status tt_bench_run(struct tt_bench *bench, size_t repeat,
                            const struct tt_profile_node **node, struct tt_error *err);
// What it gave, in PyTorch's order, with its shape; of a backward pass the gradient of its first
// input. NULL: nothing yet.
const float *tt_bench_output(const struct tt_bench *bench, struct tt_shape *shape);

// ---- how tensors differ ----

// The largest difference of two tensors, and what else tells how they differ. The difference of x
// and y is |x - y|; 0 where both are NaN or both the same infinity; infinite where one alone is
// NaN, or one is infinite and the other is not the same: a NaN is a difference like any other.
enum { TT_DECADES = 17 };
struct tt_difference {
    size_t count;          // elements
    double largest;        // difference
    size_t at;             // where it is first, in PyTorch's order; 0 when nothing differs
    float ours, reference; // the two values there
    // The L2 norms of the differences and of the reference, over what is finite; their quotient,
    // infinite where `largest` is, or where the reference is 0 and something differs.
    double l2, reference_l2, relative_l2;
    size_t nan_ours, nan_reference, infinite_ours, infinite_reference; // how many
    // With `whole` alone. Over what is finite in both: the largest |x - y| / |y| of a y that is not
    // 0; the largest distance in units in the last place, that is in float32 numbers; the cosine of
    // the angle between the two, 1 when both are 0; the signal to quantisation noise ratio,
    // 20 log10(reference_l2 / l2) in decibels, infinite when nothing differs.
    bool whole;
    double max_relative, ulp, cosine, sqnr;
    // How many differences are below 1e-12; from there to 1e-11, ... from 1e2 to 1e3; and above.
    size_t decades[TT_DECADES];
};

// Where a tensor of ours lies: as PyTorch has it; or as steps do, (N, C, H, W) as rows of C.
enum tt_lies { TT_LIES_TORCH, TT_LIES_STEP };

// ours, of that shape, beside a reference of as many elements and of any dtype (as the nearest
// floats), in PyTorch's order. The bits are the same for any instruction set and number of threads.
// TT_BAD_INPUT: another number of elements; TT_SYSTEM: no memory.
enum tt_status tt_compare(const struct tt_engine *engine, const float *ours,
                          const struct tt_shape *shape, enum tt_lies lies,
                          const struct tt_view *reference, bool whole,
                          struct tt_difference *difference, struct tt_error *err);

// The element that is farthest outside of a limit of its own, |x - y| <= atol + rtol |y| (as
// numpy.allclose has it): where it is, in PyTorch's order, how large the difference and the limit
// are there. The same errors.
struct tt_excess {
    size_t at;
    float ours, reference;
    double difference, limit; // within it where difference <= limit
};
enum tt_status tt_compare_close(const struct tt_engine *engine, const float *ours,
                                const struct tt_shape *shape, enum tt_lies lies,
                                const struct tt_view *reference, double rtol, double atol,
                                struct tt_excess *excess, struct tt_error *err);

// A tensor of any dtype, in PyTorch's order, as steps of that shape have it: for overrides.
void tt_lay_steps(const struct tt_engine *engine, const struct tt_view *from,
                  const struct tt_shape *shape, float *to);

// ---- recordings ----

// What PyTorch, a port of yours, or tintype somewhere else gave for the modules of a model's
// networks: a folder with recording.json, which lists calls of networks in the order of a run, and
// two files for each, its entries and its values. reference/RECORDINGS.md describes the format;
// `tintype record` and reference/record.py write it. Version 1 has one call of each network.
//
// Opening reads the list of calls. A call is loaded, which maps its values, when it is needed, and
// unloaded after that, so that a recording may be larger than the memory. A recording serves one
// thread at a time.
struct tt_recording;

// What the run was asked for, as far as the recording says: texts are NULL and numbers 0 where it
// does not. They live as long as the recording, as all of its texts do.
struct tt_recording_settings {
    const char *prompt, *negative;
    uint64_t seed;
    size_t steps, width, height;
    double guidance_scale;                // 1: none
    const char *scheduler;                // class in diffusers
    const char *const *scheduler_options; // "key=value" strings ending with NULL
    // What SDXL was told, as in struct tt_settings; 0 x 0: not said.
    size_t original_width, original_height, crop_left, crop_top, target_width, target_height;
    size_t negative_original_width, negative_original_height;
    size_t negative_crop_left, negative_crop_top, negative_target_width, negative_target_height;
};

struct tt_recording_info {
    int version;         // 1 or 2
    const char *model;   // as the writer calls it; NULL: it does not
    const char *writer;  // "record.py", "tintype 0.3.0"; NULL: not said
    enum tt_dtype precision; // that modules computed in; TT_F32 when not said
    bool whole;          // false: it says that modules or calls are left out. true: nothing said so
    bool statistics;     // values are statistics and samples of large tensors
    const char *modules; // the expression that chose the modules; NULL: all
    size_t every;        // of so many sampling steps one is recorded
    bool has_settings;
    struct tt_recording_settings settings;
};
// Lives as long as the recording.
const struct tt_recording_info *tt_recording_info(const struct tt_recording *recording);

enum tt_recorded_kind {
    TT_RECORDED_INPUT,    // what the call was given: type "input"
    TT_RECORDED_GIVEN,    // what a module was given and no module had returned ("PATH.in"): "in"
    TT_RECORDED_OUTPUT,   // what a module, or the call, returned: any other type
    TT_RECORDED_SEED,     // the gradient with regard to the call's output, to go back from: "seed"
    TT_RECORDED_GRADIENT, // with regard to a module's output, or a parameter ("x.weight"):
                          // "gradient"
};

// Statistics of all elements; quantile i is the one of i / 16, linear between elements.
enum { TT_QUANTILES = 17 };
struct tt_recorded_statistics {
    double mean, std, min, max, l2; // of the finite ones; std over n, not n - 1
    double quantiles[TT_QUANTILES];
    size_t not_finite; // how many there are besides
};

// The sample beside statistics is a row of min(n, 256) elements; element i of it is this element of
// the n of the tensor: i itself up to 256, else floor(n frac(i 0.6180339887498949)). That of a
// weight has min(n, 16), chosen in the same way.
enum { TT_SAMPLE = 256, TT_WEIGHT_SAMPLE = 16 };
size_t tt_recorded_sample(size_t n, size_t i);
size_t tt_weight_sample(size_t n, size_t i);

// One tensor of a recording.
struct tt_recorded {
    const char *name; // "down_blocks.0.resnets.1.conv1"
    const char *type; // "Conv2d"
    enum tt_recorded_kind kind;
    struct tt_shape shape;      // view may be shaped otherwise, with as many elements
    const struct tt_view *view; // F32, F16 or BF16; or I64. With statistics: the sample
    // Values pass end to end when they are within a factor times drift32, PyTorch's own largest
    // error in float32, and one unit in the last place of maxabs, the largest magnitude. err32 is
    // that error of the module alone, on its recorded inputs. Where the recording has one of them
    // it stands for both, where it has none, 2^-18 maxabs.
    double err32, maxabs;
    double drift32;
    const struct tt_recorded_statistics *statistics; // NULL: view has every element
    const char *const *inputs; // names of what the module was given, ending with NULL
    enum tt_dtype dtype;       // it was computed in
};

// A call of a network in the recorded run, or of the scheduler, or the pipeline as one. A backward
// pass is a call of its own, with the number of the call that it goes back from.
struct tt_recorded_call {
    int part;         // -1: none of ours: "scheduler", "pipeline", another network
    const char *name; // "unet"
    size_t call;      // which of this part, from 0; those that were not recorded count, too
    bool has_step;
    size_t step; // of sampling, from 0
    const char *file, *manifest; // in the folder; manifest NULL: the entries are in recording.json
    size_t count;                // of tensors
    bool backward;
};

// Opens the folder at path and checks recording.json. TT_BAD_INPUT names the file, the key, what
// was found and expected: no recording, or of another version, a call twice.
enum tt_status tt_recording_open(struct tt_files *files, const char *path,
                                 struct tt_recording **recording, struct tt_error *err);
void tt_recording_close(struct tt_recording *recording);

// The calls in the order of the run; NULL at the end.
size_t tt_recording_calls(const struct tt_recording *recording);
const struct tt_recorded_call *tt_recording_call(const struct tt_recording *recording, size_t i);

// Reads the entries of call i and maps its values; nothing when that is done. TT_BAD_INPUT names
// file and entry: a missing key, a tensor twice, one that its file lacks or has with another number
// of elements, a file that is missing, cut short, of another call or outside of the folder.
// Unloading ends what the functions below give of the call.
enum tt_status tt_recording_load(struct tt_recording *recording, size_t i, struct tt_error *err);
void tt_recording_unload(struct tt_recording *recording, size_t i);
// Loads call i and reads all of its values: TT_BAD_INPUT names the first that is not finite.
enum tt_status tt_recording_check_values(struct tt_recording *recording, size_t i,
                                         struct tt_error *err);

// The tensors of a call, one array in order of execution; count 0: there is no such call, or it is
// not loaded. at and find: NULL when there is none. find leaves out gradients, which may have the
// names of outputs; find_gradient finds them.
size_t tt_recording_count(const struct tt_recording *recording, size_t i);
const struct tt_recorded *tt_recording_at(const struct tt_recording *recording, size_t i,
                                          size_t k);
const struct tt_recorded *tt_recording_find(const struct tt_recording *recording, size_t i,
                                            const char *name);
const struct tt_recorded *tt_recording_find_gradient(const struct tt_recording *recording,
                                                     size_t i, const char *name);
// The values of a tensor have been read: a hint that the memory which holds them is wanted, so that
// memory need not hold a whole call. They may be read again.
void tt_recording_release(const struct tt_recording *recording, size_t i,
                          const struct tt_recorded *tensor);
// The path of the file that holds the values of a call, for messages; NULL: it is not loaded.
const char *tt_recording_file(const struct tt_recording *recording, size_t i);

// Of several names the one that takes the fewest edits of characters to make of `name`: what may be
// meant by one that is not there. NULL: half of it would have to be another.
const char *tt_name_nearest(const char *name, const char *const *names, size_t count);

// A weight of the model that was recorded, without its values.
struct tt_recorded_weight {
    int part;              // the first part of the folder that has the weight
    const char *part_name; // as the recording calls it
    const char *name;
    struct tt_shape shape;
    enum tt_dtype dtype;   // as it was in memory
    const char *sha256;    // of the bytes in that dtype: 64 hexadecimal digits
    double mean, std, maxabs;         // NaN: not recorded
    double sample[TT_WEIGHT_SAMPLE];  // as tt_weight_sample() chooses
    size_t samples;                   // 0: not recorded
};
// Those that the recording lists; at: NULL at the end.
size_t tt_recording_weight_count(const struct tt_recording *recording);
const struct tt_recorded_weight *tt_recording_weight_at(const struct tt_recording *recording,
                                                        size_t i);

// How far a value may be from the recorded one end to end: factor * drift32 + 2^-23 maxabs.
double tt_recorded_limit(const struct tt_recorded *recorded, double factor);
// A tensor of ours, as for tt_compare(), beside recorded statistics: `difference` is that of the
// sample (`at` counts in the whole tensor), but that `largest` is the largest among it and the
// differences of the moments and quantiles, none of which is larger than that of the element that
// is farthest off; *what says which one: "sample", "mean", ... The same errors.
enum tt_status tt_compare_statistics(const struct tt_engine *engine, const float *ours,
                                     const struct tt_shape *shape, enum tt_lies lies,
                                     const struct tt_recorded *recorded, bool whole,
                                     struct tt_difference *difference, const char **what,
                                     struct tt_error *err);
// The factor to allow a part of any model: above the largest that was measured, with room, and
// larger for Winograd (conv_direct false), which amplifies rounding. 0: no such part.
double tt_recorded_factor(int part, bool conv_direct);

// ---- writing recordings ----

// Records a whole run of a model: the text encoder, every call of the U-Net, the scheduler's steps,
// the decoder, and the pipeline as one. Each call is a pair of files, written while it runs: memory
// is what the run takes and twice its largest tensor. The bits of the run are those of any other,
// and the files the same on every processor. A recording that was stopped goes on when it is begun
// again with the same settings: calls that are complete are kept.
struct tt_recorder;

struct tt_recorder_settings {
    size_t size;
    // Only modules in whose path this POSIX extended regular expression is found; NULL: all.
    const char *modules;
    size_t every; // of so many sampling steps only the first; default 1
    // Statistics and a sample in place of tensors of more than TT_SAMPLE elements, but for what
    // calls are given.
    bool statistics;
};

// Fills `size` bytes (sizeof *settings) with the defaults.
void tt_recorder_defaults(struct tt_recorder_settings *settings, size_t size);

// What a recording will take.
struct tt_recorder_cost {
    size_t calls, tensors; // to record; of them
    size_t kept;           // calls that are there already
    double bytes;          // on the disk, of what is not there yet; about
    double flops;          // of the whole run
};

// Looks at everything before the work: the settings, the run (one picture; what its texts point to
// stays borrowed; its callbacks are called, too), what is at path. Nothing is written yet.
// settings NULL: the defaults. TT_BAD_INPUT: a regular expression that is none; an engine without
// every_node; at path is something else than nothing, an empty folder, or a recording of the same
// settings that was stopped. TT_SYSTEM: the disk has less room than it takes.
enum tt_status tt_recorder_new(struct tt_session *session, struct tt_files *files, const char *path,
                               const struct tt_recorder_settings *settings,
                               const struct tt_settings *run, struct tt_recorder **recorder,
                               struct tt_error *err);
// Lives as long as the recorder.
const struct tt_recorder_cost *tt_recorder_cost(const struct tt_recorder *recorder);
// About how many seconds the run will take: measured on a call of the U-Net for a small picture,
// for which its weights are loaded.
enum tt_status tt_recorder_estimate(struct tt_recorder *recorder, double *seconds,
                                    struct tt_error *err);
// The run, recorded. After an error, or when it is stopped, complete calls are there, and nothing
// half-written. TT_SYSTEM: the disk is full or fails.
enum tt_status tt_recorder_run(struct tt_recorder *recorder, struct tt_error *err);
void tt_recorder_free(struct tt_recorder *recorder);

// ---- whose fault it is ----

// A recorded call of a part, of which any tensor can be made again, alone: from the recorded
// tensors that stand just before it, by the nodes in between. What differs then is a fault of these
// nodes, and not of what came before. A recording need not be whole: what is not recorded is made.
struct tt_alone;

// call: of the recording, which is loaded and must stay so. The session, borrowed, says on what to
// run. own_name, which may be NULL: what the model calls a recorded tensor, in memory of malloc(),
// or NULL without memory. TT_BAD_INPUT: not a call of a part that the model has; its inputs are not
// what the part takes.
enum tt_status tt_alone_new(struct tt_session *session, struct tt_recording *recording,
                            size_t call, char *(*own_name)(void *context, const char *recorded),
                            void *context, struct tt_alone **alone, struct tt_error *err);
void tt_alone_free(struct tt_alone *alone);

// How far values may be from recorded ones: |ours - recorded| <= absolute + relative |recorded|,
// and, where it is not 0, the norm of the difference <= l2 times that of what was recorded.
struct tt_bounds {
    double absolute, relative, l2;
};

// A recorded tensor made alone.
struct tt_made {
    bool made; // false: it stands for nothing that the network has; the rest is 0
    bool agrees; // within the bounds, and not of values that all are BF16's or F16's, unlike ours
    double difference;     // the largest; infinite where a value is not finite
    size_t at;             // where that is, in PyTorch's order
    float ours, recorded;  // and what is there
    size_t nodes;          // that made it; 0: it is what another module had returned
};

// Makes tensor k of the call. out: its values in PyTorch's order, or NULL.
enum tt_status tt_alone_make(const struct tt_alone *alone, size_t k, struct tt_bounds bounds,
                             float *out, struct tt_made *made, struct tt_error *err);
// "conv2d down_blocks.0.downsamplers.0.conv of down_blocks.0.resnets.0": the nodes that make it,
// and what they read; returns text. And the smallest module that holds them all.
char *tt_alone_text(const struct tt_alone *alone, size_t k, char *text, size_t size);
char *tt_alone_module(const struct tt_alone *alone, size_t k, char *text, size_t size);

// Makes one tensor after the other, in order of execution, up to the first that differs. *k: its
// number, or SIZE_MAX: none does, and what differs end to end has accumulated. *compared: how many
// were made. bounds: of each tensor, with the context.
enum tt_status tt_bisect(const struct tt_alone *alone,
                         struct tt_bounds (*bounds)(void *context, const struct tt_recorded *),
                         void *context, size_t *k, struct tt_made *made, size_t *compared,
                         struct tt_error *err);

// An explanation that fits: with it, what is made agrees.
struct tt_suspect {
    const char *name; // "eps": one word for each kind, for scripts
    char text[240];   // "eps 1e-06 in place of 1e-05"
    double difference; // the largest that is left
};
enum { TT_SUSPECTS = 16 };

// Why tensor k of the call differs: tries what ports and copies of these models usually get wrong
// (reference/README.md lists it) and gives those that explain it within the bounds, the best first.
// *count 0: none does, and nobody knows. *tried, which may be NULL: how many were tried.
enum tt_status tt_suspects(const struct tt_alone *alone, size_t k, struct tt_bounds bounds,
                           struct tt_suspect found[TT_SUSPECTS], size_t *count, size_t *tried,
                           struct tt_error *err);

// What lies between the networks of a recorded run, by its own settings: token ids and their
// padding, rows of the batch, guidance, timesteps, the autoencoder's scaling factor. Of version 2,
// with settings; of others *count is 0. A name "unknown": it differs, and nothing explains it.
struct tt_run_fault {
    size_t call;      // of the recording
    char tensor[64];  // "model_output"
    struct tt_suspect suspect;
};
enum tt_status tt_suspects_of_run(struct tt_session *session, struct tt_recording *recording,
                                  struct tt_run_fault faults[TT_SUSPECTS], size_t *count,
                                  struct tt_error *err);

// A difference alone, for those who shall see it and have no part of the rest: writes a new folder
// at path with what makes tensor k (repro.json: the nodes), what they read, their weights, what
// they give here and what was recorded (repro.safetensors), and a script that makes the same with
// PyTorch and safetensors alone (repro.py). TT_BAD_INPUT: something is at path already.
enum tt_status tt_save_repro(const struct tt_alone *alone, size_t k, struct tt_bounds bounds,
                             const char *path, struct tt_error *err);

// What such a folder comes to, run again; the model is not needed.
struct tt_repro {
    char name[240]; // of the recorded tensor
    bool agrees;
    double difference, allowed, largest; // the last: magnitude of what was recorded
    size_t nodes;
};
bool tt_is_repro(const char *path);
enum tt_status tt_repro_run(const struct tt_engine *engine, struct tt_files *files,
                            const char *path, struct tt_repro *told, struct tt_error *err);

// ---- the doctor ----

// What a file or folder is, whatever it may be; whether it is whole and sound; what is to be done
// about it; and what drawing with it would take here. Nothing that is looked at is changed, and
// values are read a piece at a time.
struct tt_examination;

enum tt_severity {
    TT_IS_NOTE,
    TT_IS_WARNING,
    TT_IS_ERROR, // what is there cannot be used as what it is
};

// Something that was found. Texts are "" where there is nothing to say.
struct tt_finding {
    const char *code; // "git-lfs-pointer": one of tt_finding_code(), for scripts
    enum tt_severity severity;
    const char *file, *tensor; // where
    const char *found, *expected, *advice;
};

// Something that is known. `of`: a part's folder ("unet"), "cost", or "": of the whole.
struct tt_fact {
    const char *of, *name; // "family", "rank", "peak_bytes"
    const char *text;      // also of a number
    double number;         // NaN: it is a text
    bool listed;           // one of several of that name
};

struct tt_examine_settings {
    size_t size;
    bool quick;          // look at names, sizes and headers alone, and read no values
    const char *variant; // as in struct tt_model_settings
    const char *cache;   // of tt_roof_find(); NULL: what the machine can do is measured
    // Called while values are read: so many bytes of how many. A non-zero answer stops with
    // TT_CANCELLED. May be NULL.
    int (*progress)(void *context, uint64_t done, uint64_t all);
    void *context;
};

// Fills `size` bytes (sizeof *settings) with the defaults.
void tt_examine_defaults(struct tt_examine_settings *settings, size_t size);

// Looks at what is at path. settings NULL: the defaults. TT_BAD_INPUT: nothing is there, or it is
// neither a file nor a folder, or may not be read; everything else is a finding.
enum tt_status tt_examine(const char *path, const struct tt_engine *engine,
                          const struct tt_examine_settings *settings,
                          struct tt_examination **examination, struct tt_error *err);
void tt_examination_free(struct tt_examination *examination); // takes NULL, too

// What it is: a word for scripts ("lora"), and in words.
const char *tt_examination_kind(const struct tt_examination *examination);
const char *tt_examination_is(const struct tt_examination *examination);
// Whether there is no error among the findings.
bool tt_examination_is_sound(const struct tt_examination *examination);
// NULL at the end. Errors come first.
const struct tt_finding *tt_finding_at(const struct tt_examination *examination, size_t i);
const struct tt_fact *tt_fact_at(const struct tt_examination *examination, size_t i);

// Every code, with its severity and what it means; and every kind; false at the end.
bool tt_finding_code(size_t i, const char **code, enum tt_severity *severity, const char **means);
bool tt_kind_list(size_t i, const char **kind, const char **is);

#if defined(__GNUC__)
#pragma GCC visibility pop
#endif
#undef TT_PRINTF

#ifdef __cplusplus
}
#endif
#endif
