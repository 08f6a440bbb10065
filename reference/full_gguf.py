# SPDX-License-Identifier: MIT
"""A checkpoint of Stable Diffusion 1.5's full size with random weights, in the layout of stable-diffusion.cpp.

Usage: full_gguf.py KIND OUT.gguf      KIND: F32, F16, Q8_0, Q4_0, Q4_K or Q6_K
Rows that are no whole blocks of KIND are Q8_0, and F16 where these do not fit either; vectors are F32. As
full_sd15.py's, its pictures are noise, its time and memory are real.
"""

import math
import sys

import gguf
import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from record_single import original_unet, original_vae

Type = gguf.GGMLQuantizationType
# Where the float16 scale of a block stands, and what the largest number of the block is without it.
SCALE = {Type.Q8_0: (0, 127), Type.Q4_0: (0, 8), Type.Q6_K: (208, 128 * 32), Type.Q4_K: (0, 63 * 15)}


def shapes():
    with torch.device("meta"):
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
        vae = AutoencoderKL(
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            block_out_channels=[128, 256, 512, 512],
            layers_per_block=2,
        )
        text = CLIPTextModel(CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_attention_heads=12))
    for name, value in unet.state_dict().items():
        yield "model.diffusion_model." + original_unet(name, unet.config), list(value.shape)
    for name, value in vae.state_dict().items():
        old, shape = original_vae(name, vae.config), list(value.shape)
        matrix = ".attn_1." in old and ".norm." not in old and len(shape) == 2
        yield "first_stage_model." + old, shape + [1, 1] if matrix else shape
    for name, value in text.state_dict().items():
        if not name.endswith("position_ids"):
            yield "cond_stage_model.transformer.text_model." + name.removeprefix("text_model."), list(value.shape)


def kind_of(kind, shape):
    if len(shape) < 2:
        return Type.F32
    for choice in (kind, Type.Q8_0) if kind in SCALE else (kind,):
        if shape[-1] % gguf.GGML_QUANT_SIZES[choice][0] == 0:
            return choice
    return Type.F16


def random(rng, kind, shape, name):
    """Numbers that keep activations near one."""
    most = math.sqrt(3 / math.prod(shape[1:])) if len(shape) > 1 else 0.1
    if kind not in SCALE:
        numbers = rng.random(shape, dtype=np.float32) * np.float32(2 * most) - np.float32(most)
        if len(shape) == 1 and name.endswith("weight"):
            numbers += 1
        return numbers.astype(np.float16) if kind == Type.F16 else numbers
    block, size = gguf.GGML_QUANT_SIZES[kind]
    data = np.frombuffer(rng.bytes(math.prod(shape) // block * size), dtype=np.uint8).reshape(-1, size).copy()
    at, largest = SCALE[kind]
    data[:, at:at + 2] = np.array([most / largest], dtype=np.float16).view(np.uint8)
    if kind == Type.Q4_K:
        data[:, 2:4] = np.array([most / 126], dtype=np.float16).view(np.uint8)
    return data.reshape(shape[:-1] + [shape[-1] // block * size])


def main():
    kind, out = Type[sys.argv[1]], sys.argv[2]
    rng = np.random.default_rng(5)
    writer = gguf.GGUFWriter(out, "sd1", use_temp_file=True)
    for name, shape in shapes():
        use = kind_of(kind, shape)
        data = random(rng, use, shape, name)
        writer.add_tensor(name, data, raw_dtype=use if use in SCALE else None)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
