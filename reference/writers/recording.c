// SPDX-License-Identifier: MIT
// A recording (../RECORDINGS.md) in plain C11, without tintype or any other library: for ports that
// are to be held against PyTorch. Copy write_recording() and give it what your modules were given
// and gave, in order of execution. It is written for little-endian machines.
#include <math.h>
#include <stdint.h>
#include <stdio.h>

// type: "input" for what the network is given, else the module's class. Values lie row-major in
// PyTorch's order of dimensions (N, C, H, W).
struct tensor {
    const char *name, *type;
    int rank;
    size_t shape[4];
    const float *values;
};

// One call of one part (text_encoder, unet, vae_encoder, vae_decoder) of a network, to FOLDER,
// which exists: 0.PART.safetensors, then recording.json. Names hold no quotes or backslashes. 0, or
// -1 when a file could not be written.
static int write_recording(const char *folder, const char *part, const struct tensor *t, int n) {
    char path[4096], shape[128], header[1 << 20] = "{", list[1 << 20] = "";
    size_t head = 1, used = 0, begin = 0, count[4096];
    for (int i = 0; i < n; i++) {
        int s = snprintf(shape, sizeof shape, "[");
        count[i] = 1;
        for (int d = 0; d < t[i].rank; count[i] *= t[i].shape[d++])
            s += snprintf(shape + s, sizeof shape - s, "%s%zu", d ? ", " : "", t[i].shape[d]);
        used += snprintf(list + used, sizeof list - used,
                         "%s{\"name\": \"%s\", \"type\": \"%s\", \"shape\": %s]}",
                         i ? ",\n    " : "", t[i].name, t[i].type, shape);
        head += snprintf(header + head, sizeof header - head,
                         "%s\"%s\": {\"dtype\": \"F32\", \"shape\": %s], \"data_offsets\": "
                         "[%zu, %zu]}", i ? ", " : "", t[i].name, shape, begin,
                         begin + count[i] * sizeof(float));
        begin += count[i] * sizeof(float);
        if (used >= sizeof list || head + 9 >= sizeof header || i == 4095) return -1;
    }
    head += snprintf(header + head, sizeof header - head, "}");
    while (head % 8) header[head++] = ' '; // so that the values begin at a multiple of 8
    snprintf(path, sizeof path, "%s/0.%s.safetensors", folder, part);
    FILE *f = fopen(path, "wb");
    uint64_t size = head;
    int bad = !f || fwrite(&size, 8, 1, f) != 1 || fwrite(header, 1, head, f) != head;
    for (int i = 0; !bad && i < n; i++) bad = fwrite(t[i].values, 4, count[i], f) != count[i];
    if ((f && fclose(f)) || bad) return -1;
    snprintf(path, sizeof path, "%s/recording.json", folder);
    if (!(f = fopen(path, "w"))) return -1;
    bad = fprintf(f, "{\"format\": \"tintype-recording\", \"version\": 2, \"calls\": [\n"
                  "  {\"part\": \"%s\", \"call\": 0, \"file\": \"0.%s.safetensors\", "
                  "\"tensors\": [\n    %s]}]}\n",
                  part, part, list) < 0;
    return fclose(f) || bad ? -1 : 0;
}

// A U-Net's inputs and the first thing that it computes: cos and sin of the timestep at WIDTH / 2
// frequencies, as diffusers' Timesteps gives them with flip_sin_to_cos and a shift of 0.
int main(int argc, char **argv) {
    enum { WIDTH = 12, TEXT = 24 }; // those of reference/tiny/sd15
    float sample[4 * 5 * 3], timestep = 0.25f, text[TEXT], embedding[WIDTH];
    for (int i = 0; i < 4 * 5 * 3; i++) sample[i] = (float)sin(i);
    for (int i = 0; i < TEXT; i++) text[i] = (float)cos(i);
    for (int i = 0; i < WIDTH / 2; i++) {
        double phase = timestep * exp(-log(10000) * i / (WIDTH / 2));
        embedding[i] = (float)cos(phase);
        embedding[i + WIDTH / 2] = (float)sin(phase);
    }
    const struct tensor tensors[] = {
        {"sample", "input", 4, {1, 4, 5, 3}, sample},
        {"timestep", "input", 1, {1}, &timestep},
        {"encoder_hidden_states", "input", 3, {1, 1, TEXT}, text},
        {"time_proj", "Timesteps", 2, {1, WIDTH}, embedding},
    };
    if (argc == 2 && !write_recording(argv[1], "unet", tensors, 4)) return 0;
    fprintf(stderr, "usage: recording FOLDER, which exists and can be written to\n");
    return 2;
}
