// SPDX-License-Identifier: MIT
// GGUF files of random blocks, in the layouts of stable-diffusion.cpp and of ComfyUI.
#ifndef TESTS_GGUF_FILE_H
#define TESTS_GGUF_FILE_H

#include "single_file.h"

// Turns all matrices and kernels whose rows (flat: all elements, as ComfyUI stores them) are whole
// blocks into blocks of the kinds by turns; how many. stored, of SINGLE_TENSORS: under which shape
// a tensor is stored; rank 0: its own.
size_t gguf_quantise(struct single_file *file, struct tt_shape *stored, bool flat);

// Writes the file; fails the test when it cannot.
void gguf_write(const struct single_file *file, const struct tt_shape *stored, const char *path);

#endif
