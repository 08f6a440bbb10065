# SPDX-License-Identifier: MIT
"""A diffusers folder of Stable Diffusion 1.x, 2.x, XL or its refiner as one file in its family's own layout.

Usage: full_single.py FOLDER FILE.safetensors
The inverse of what diffusers' from_single_file does, a tensor at a time: for checks at full size, whose files are too
large for the repository.
"""

import json
import os
import struct
import sys

from safetensors import safe_open

from record_single import OPENCLIP, original_unet, original_vae

ITEMS = {"F32": 4, "F16": 2, "BF16": 2}


def parts_of(folder):
    """[part, prefix, whether OpenCLIP's names]"""
    parts = [["unet", "model.diffusion_model.", False], ["vae", "first_stage_model.", False]]
    second, first = (os.path.exists(os.path.join(folder, x)) for x in ("text_encoder_2", "text_encoder"))
    if second:
        parts.append(["text_encoder_2", f"conditioner.embedders.{int(first)}.model.", True])
    if first and second:
        parts.append(["text_encoder", "conditioner.embedders.0.transformer.", False])
    elif first:
        openclip = read_config(folder, "text_encoder")["hidden_act"] == "gelu"
        parts.append(["text_encoder", "cond_stage_model." + ("model." if openclip else "transformer."), openclip])
    return parts


def read_config(folder, part):
    with open(os.path.join(folder, part, "config.json")) as f:
        return json.load(f)


def tensors_of(folder, part):
    """name -> open file"""
    out = {}
    for entry in sorted(os.listdir(os.path.join(folder, part))):
        if entry.endswith(".safetensors"):
            file = safe_open(os.path.join(folder, part, entry), "np")
            out.update((name, file) for name in file.keys())
    return out


def named(folder):
    """new name -> (dtype, shape, [(file, name)], whether transposed)"""
    out = {}
    for part, prefix, openclip in parts_of(folder):
        config = read_config(folder, part)
        for name, file in tensors_of(folder, part).items():
            view = file.get_slice(name)
            dtype, shape, sources = view.get_dtype(), view.get_shape(), [(file, name)]
            if part == "unet":
                new = original_unet(name, config)
            elif part == "vae":
                new = original_vae(name, config)
                if ".attn_1." in new and len(shape) == 2:
                    shape = shape + [1, 1]
            elif openclip:
                new = name
                for a, b in OPENCLIP.items():
                    new = new.replace(a, b)
                if ".k_proj." in new or ".v_proj." in new:
                    continue
                if ".q_proj." in new:
                    new = new.replace(".q_proj.", ".in_proj_")
                    sources = [(file, name.replace(".q_proj.", f".{x}_proj.")) for x in "qkv"]
                    shape = [3 * shape[0]] + shape[1:]
                new = new.replace("text_projection.weight", "text_projection")
            else:
                new = "text_model." + name.removeprefix("text_model.")
            out[prefix + new] = (dtype, shape, sources, new == "text_projection")
    return out


def main():
    folder, path = sys.argv[1:]
    header, at, tensors = {}, 0, named(folder)
    for name, (dtype, shape, _, transposed) in tensors.items():
        size = ITEMS[dtype]
        for side in shape:
            size *= side
        header[name] = {"dtype": dtype, "shape": shape[::-1] if transposed else shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, _, sources, transposed in tensors.values():
            for file, name in sources:
                value = file.get_tensor(name)
                f.write((value.T.copy() if transposed else value).tobytes())


if __name__ == "__main__":
    main()
