# SPDX-License-Identifier: MIT
"""Record autograd's gradients of every parameter, module output and input of the networks that
record.py has recorded, for the same inputs.

Usage: record_gradients.py [MODEL...]
Writes golden/<model>/<setting>/gradients.{json,safetensors} for the settings below, or those of the models
named. The format is described in README.md.
"""

import json
import os
import sys

import diffusers
import torch
from diffusers import AutoencoderTiny
from safetensors.torch import load_file

from common import (
    HERE,
    exact_time_embedding,
    file_sha256,
    fold,
    FOLD,
    hashed_uniform,
    round_up,
    versions,
    write_json,
    write_tensors,
)
from record import (
    decoder_forward,
    is_vae,
    load_text_encoder,
    load_unet,
    load_vae,
    text_forward,
    unet_forward,
)

SETTINGS = [
    *("sd15/square", "sd15/token", "sd21/odd", "wide/tall", "odd/wide", "rare/tall"),
    *("ddpm/wide", "ddim/tall", "taesd/tall", "taegelu/wide"),
]


def encoder_forward(network, sample):
    output = network.encode(sample)
    if isinstance(network, AutoencoderTiny):
        return {"latents": output.latents}
    return {"moments": output.latent_dist.parameters}


PARTS = {
    "text_encoder": ("text_encoder", load_text_encoder, text_forward),
    "unet": ("unet", load_unet, unet_forward),
    "vae_encoder": ("vae", load_vae, encoder_forward),
    "vae_decoder": ("vae", load_vae, decoder_forward),
}


def short(path):
    return path.removeprefix("text_model.")


def watch(network):
    """Hook every module; return the dictionary that a run fills with its outputs by name."""
    outputs, count = {}, {}

    def hook(path):
        def keep(module, args, output):
            call = count[path] = count.get(path, 0) + 1
            if hasattr(output, "to_tuple"):
                output = output.to_tuple()
            while isinstance(output, (tuple, list)):
                output = output[0]
            if output.requires_grad:
                output.retain_grad()
                outputs[path if call == 1 else f"{path}#{call}"] = output

        return keep

    handles = [
        module.register_forward_hook(hook(short(path)))
        for path, module in network.named_modules()
        if path not in ("", "text_model")
    ]
    return outputs, handles


def gradients(network, forward, inputs):
    """kind/name -> gradient of the sum over outputs of <output, seed>, the seeds being
    hashed_uniform(index of the output)."""
    network.zero_grad(set_to_none=True)
    inputs = {
        k: v.clone().requires_grad_(k != "timestep") if v.is_floating_point() else v
        for k, v in inputs.items()
    }
    modules, handles = watch(network)
    outputs = forward(network, **inputs)
    total = sum(
        (value * hashed_uniform(value.shape, i).to(value.dtype)).sum()
        for i, value in enumerate(outputs.values())
    )
    total.backward()
    for handle in handles:
        handle.remove()
    found = {
        "input": inputs,
        "output": modules,
        "parameter": {short(k): v for k, v in network.named_parameters()},
    }
    return list(outputs), {
        f"{kind}/{name}": tensor.grad.detach()
        for kind, tensors in found.items()
        for name, tensor in tensors.items()
        if tensor.requires_grad and tensor.grad is not None
    }


def record_part(part, folder, recording, tensors):
    """Add the folded gradients of a part to `tensors`; return its part of the manifest."""
    module, load, forward = PARTS[part]
    network = load(folder if is_vae(folder) else os.path.join(folder, module)).eval()
    stored = load_file(os.path.join(recording, part + ".safetensors"))
    with open(os.path.join(recording, "recording.json")) as f:
        manifest = next(p for p in json.load(f)["parts"] if p["part"] == part)
    inputs = {name: stored[name] for name in manifest["inputs"]}
    outputs, narrow = gradients(network.float(), forward, inputs)
    inputs = {k: v.double() if v.is_floating_point() else v for k, v in inputs.items()}
    with exact_time_embedding():
        outputs, wide = gradients(network.double(), forward, inputs)
    assert list(narrow) == list(wide)
    entries, known = [], {}
    for name, truth in wide.items():
        assert torch.isfinite(truth).all(), name
        folded = fold(truth)
        error = (fold(narrow[name].double()) - folded).abs()
        place = known.setdefault(folded.float().numpy().tobytes(), f"{part}/{name}")
        if place == f"{part}/{name}":
            tensors[place] = folded.float()
        entries.append(
            {
                "kind": name.split("/")[0],
                "name": name.split("/")[1],
                "shape": list(truth.shape),
                **({"stored": place} if place != f"{part}/{name}" else {}),
                "err32": round_up(error.max().item()),
                "rms32": round_up(error.pow(2).mean().sqrt().item()),
                "maxabs": round_up(folded.abs().max().item()),
            }
        )
    return {"part": part, "outputs": outputs, "tensors": entries}


def main():
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    for setting in SETTINGS:
        recording = os.path.join(HERE, "golden", setting)
        model, name = setting.split("/")
        if sys.argv[1:] and model not in sys.argv[1:]:
            continue
        tensors = {}
        parts = [
            record_part(part, os.path.join(HERE, "tiny", model), recording, tensors)
            for part in PARTS
            if os.path.exists(os.path.join(recording, part + ".safetensors"))
        ]
        path = os.path.join(recording, "gradients.safetensors")
        write_tensors(path, tensors)
        write_json(
            os.path.join(recording, "gradients.json"),
            {
                "format": "tintype-gradients",
                "version": 1,
                "model": model,
                "setting": name,
                "fold": FOLD,
                "versions": versions(),
                "file": os.path.basename(path),
                "sha256": file_sha256(path),
                "parts": parts,
            },
        )


if __name__ == "__main__":
    main()
