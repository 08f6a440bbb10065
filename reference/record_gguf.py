#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes reference/gguf/: blocks of each kind that GGUF files hold, and what the package gguf makes of them.

    blocks.gguf       a tensor of random blocks for each kind, the first of them with extreme scales; F32, F16 and BF16
    blocks.safetensors    the same tensors, dequantised
    keys.gguf         keys of every type of value, lists among them; ComfyUI's orig_shape; another alignment

Usage: record_gguf.py [SD]
SD: stable-diffusion.cpp's command line, which has another writer. With it, also:
    sdcpp.gguf, sdcpp.safetensors    the same for what its converter makes of matrices, a kernel and a vector
"""
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import numpy as np
import torch
from diffusers.quantizers.gguf.utils import dequantize_functions
from safetensors.numpy import save_file

OUT = Path(__file__).parent / "gguf"
KINDS = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]
BLOCKS = 48  # of each kind; rows of 6
# Where in a block its float16 numbers stand.
HALVES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2],
          "Q6_K": [208]}
# Zeros, the smallest and largest subnormal, the smallest normal, one, the largest; all with both signs.
EXTREME = [0x0000, 0x0001, 0x03FF, 0x0400, 0x3C00, 0x7BFF]
EXTREME += [half | 0x8000 for half in EXTREME]


def random_blocks(kind, rng):
    """Blocks of random bytes whose float16 numbers are finite."""
    size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]][1]
    blocks = rng.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
    for i in range(BLOCKS):
        for k, at in enumerate(HALVES[kind]):
            half = EXTREME[(i + 5 * k * (i // 12 + 1)) % len(EXTREME)] if i < 36 else int(rng.integers(0, 0x7C00))
            blocks[i, at:at + 2] = list(struct.pack("<H", half))
    blocks[36, max(HALVES[kind]) + 2 if kind != "Q6_K" else 0:][:128] = 0  # the least and the most of each number
    blocks[37, max(HALVES[kind]) + 2 if kind != "Q6_K" else 0:][:128] = 255
    return blocks.reshape(8, -1)


def check_diffusers(data, dtype, expected):
    """diffusers' functions give the same bits in float32. Its layers call them without a dtype: in float16."""
    block, size = gguf.GGML_QUANT_SIZES[dtype]
    blocks = torch.from_numpy(data.copy()).reshape(-1, size)
    found = dequantize_functions[dtype](blocks, block, size, torch.float32).numpy().reshape(expected.shape)
    assert np.array_equal(found.view(np.uint32), expected.view(np.uint32)), dtype.name


def write_blocks():
    rng = np.random.default_rng(18)
    writer = gguf.GGUFWriter(OUT / "blocks.gguf", "tintype")
    expected = {}
    for kind in KINDS:
        dtype = gguf.GGMLQuantizationType[kind]
        data = random_blocks(kind, rng)
        writer.add_tensor(kind, data, raw_dtype=dtype)
        expected[kind] = gguf.quants.dequantize(data, dtype)
        check_diffusers(data, dtype, expected[kind])
    plain = (rng.standard_normal((3, 5, 2)) * 3).astype(np.float32)
    halves = plain.astype(np.float16)
    brain = gguf.quants.quantize(plain.reshape(3, 10), gguf.GGMLQuantizationType.BF16)
    writer.add_tensor("F32", plain)
    writer.add_tensor("F16", halves)
    writer.add_tensor("BF16", brain, raw_dtype=gguf.GGMLQuantizationType.BF16)
    expected["F32"] = plain
    expected["F16"] = halves.astype(np.float32)
    expected["BF16"] = gguf.quants.dequantize(brain, gguf.GGMLQuantizationType.BF16)
    write(writer)
    save_file(expected, OUT / "blocks.safetensors", {"made by": f"gguf {version()}, numpy {np.__version__}"})


def write_keys():
    rng = np.random.default_rng(19)
    writer = gguf.GGUFWriter(OUT / "keys.gguf", "sd1")
    writer.add_custom_alignment(128)
    writer.add_uint8("u8", 200)
    writer.add_int8("i8", -100)
    writer.add_uint16("u16", 60000)
    writer.add_int16("i16", -30000)
    writer.add_uint32("u32", 4000000000)
    writer.add_int32("i32", -2000000000)
    writer.add_uint64("u64", 18446744073709551615)
    writer.add_int64("i64", -9000000000000000000)
    writer.add_float32("f32", 0.1)
    writer.add_float64("f64", 0.1)
    writer.add_bool("yes", True)
    writer.add_bool("no", False)
    writer.add_string("text", "naïve é")
    writer.add_array("texts", ["a", "", "long " * 20])
    writer.add_array("numbers", [1, 2, 3])
    writer.add_array("nested", [[1, 2], [3]])
    weight = rng.standard_normal((4, 8, 3, 3)).astype(np.float32)  # rows of 72: no whole blocks
    flat = gguf.quants.quantize(weight.reshape(-1, 32), gguf.GGMLQuantizationType.Q8_0)
    writer.add_array("comfy.gguf.orig_shape.conv.weight", list(weight.shape))
    writer.add_tensor("conv.weight", flat, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("conv.bias", np.arange(4, dtype=np.float32))
    writer.add_tensor("ids", np.arange(3, dtype=np.int64))
    write(writer)


def write_sdcpp(program):
    rng = np.random.default_rng(20)
    part = "model.diffusion_model.middle_block."  # its converter leaves alone what it does not know
    tensors = {f"{part}{kind}.weight": rng.standard_normal((3, 256)).astype(np.float32) for kind in KINDS}
    tensors[part + "conv.weight"] = rng.standard_normal((4, 2, 3, 3)).astype(np.float16)
    tensors[part + "conv.bias"] = rng.standard_normal(4).astype(np.float32)
    rules = ",".join(f"{kind}={kind.lower().replace('_k', '_K')}" for kind in KINDS)
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        save_file(tensors, file.name)
        arguments = ["-M", "convert", "-m", file.name, "-o", OUT / "sdcpp.gguf", "--type", "f16"]
        subprocess.run([program, *arguments, "--tensor-type-rules", rules], check=True, stdout=subprocess.DEVNULL)
    expected = {}
    for tensor in gguf.GGUFReader(OUT / "sdcpp.gguf").tensors:
        numbers = tensor.data
        if tensor.tensor_type.name in KINDS:
            numbers = gguf.quants.dequantize(numbers, tensor.tensor_type)
        shape = [int(size) for size in reversed(tensor.shape)]
        expected[tensor.name] = np.ascontiguousarray(numbers).astype(np.float32).reshape(shape)
    assert {tensor.tensor_type.name for tensor in gguf.GGUFReader(OUT / "sdcpp.gguf").tensors} >= set(KINDS)
    save_file(expected, OUT / "sdcpp.safetensors", {"made by": f"gguf {version()}, numpy {np.__version__}"})


def version():
    import importlib.metadata
    return importlib.metadata.version("gguf")


def write(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    write_blocks()
    write_keys()
    if len(sys.argv) > 1:
        write_sdcpp(sys.argv[1])
