# SPDX-License-Identifier: MIT
"""What all recorders share: versions, hashes, and the pair of runs (float32 and float64) behind
each stored tensor."""

import hashlib
import json
import math
import os
import platform

import numpy
import torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))


def round_functions(**functions):
    """Make functions of float32 tensors (name=the same in numpy) give the nearest floats on every
    machine: the vector libraries behind PyTorch are off by one bit in up to a fifth of them on some
    processors, and the tables of the schedulers with it, and timesteps rounded from these."""

    def corrected(original, exact):
        def function(x, *rest):
            if x.dtype != torch.float32 or x.requires_grad or (rest and rest[0] != 0.5):
                return original(x, *rest)
            return torch.from_numpy(numpy.asarray(exact(x.double().numpy()).astype(numpy.float32)))

        return function

    for name, exact in functions.items():
        for owner, attribute in ((torch, name), (torch.Tensor, name)):
            setattr(owner, attribute, corrected(getattr(owner, attribute), exact))
        if name == "sqrt":
            torch.Tensor.__pow__ = corrected(torch.Tensor.__pow__, exact)


round_functions(sqrt=numpy.sqrt)


def versions():
    import diffusers
    import transformers

    return {
        "torch": torch.__version__.split("+")[0],
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }


def tensor_bytes(tensor):
    return tensor.contiguous().numpy().tobytes()


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def file_sha256(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def describe(name, f32, f64):
    """Return (stored tensor, manifest entry) for the float32 and the float64 result of one
    computation."""
    if not f32.is_floating_point():
        assert torch.equal(f32, f64), name
        return f32.contiguous(), {
            "name": name,
            "shape": list(f32.shape),
            "dtype": {torch.int64: "I64", torch.uint8: "U8"}[f32.dtype],
            "sha256": sha256(tensor_bytes(f32)),
        }
    assert f32.dtype == torch.float32 and f64.dtype == torch.float64, (name, f32.dtype, f64.dtype)
    assert f32.shape == f64.shape and torch.isfinite(f64).all(), name
    error = (f32.double() - f64).abs()
    stored = f64.float().contiguous()
    return stored, {
        "name": name,
        "shape": list(f32.shape),
        "dtype": "F32",
        "err32": round_up(error.max().item()),
        "rms32": round_up(error.pow(2).mean().sqrt().item()),
        "maxabs": round_up(f64.abs().max().item()),
        "rms": round_up(f64.pow(2).mean().sqrt().item()),
        "sha256": sha256(tensor_bytes(stored)),
    }


def round_up(x):
    """Four digits are enough, but a limit must not shrink."""
    if x == 0:
        return 0.0
    digits = 3 - math.floor(math.log10(x))
    return float(f"{math.ceil(x * 10.0 ** digits) / 10.0 ** digits:.12g}")


FOLD = 127


def hashed(n, salt=0):
    """n numbers of 32 bits, a function of position and salt that any language computes alike."""
    x = torch.arange(n, dtype=torch.int64) * 0x9E3779B1 + salt * 0x7FEB352D
    x = x & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
    x = ((x ^ (x >> 12)) * 0x297A2D39) & 0xFFFFFFFF
    return x ^ (x >> 15)


def hashed_uniform(shape, salt):
    """Floats in [-1, 1) of 24 bits; exact in float32."""
    values = (hashed(math.prod(shape), salt) >> 8).double() * 2.0**-23 - 1
    return values.float().reshape(shape)


def fold(tensor):
    """A tensor of more than FOLD elements (float64) as FOLD sums: element i goes to sum i mod FOLD
    with a sign of its own. Every element counts, and errors fold as the values do."""
    flat = tensor.reshape(-1)
    if flat.numel() <= FOLD:
        return flat
    signs = 1.0 - 2.0 * (hashed(flat.numel()) & 1).double()
    sums = torch.zeros(FOLD, dtype=torch.float64)
    return sums.index_add_(0, torch.arange(flat.numel()) % FOLD, flat * signs)


# Tests map these files. One that is cut short, if only to be written again with the same bytes, is a
# bus error in whoever reads it: a new one takes its place.


def write_tensors(path, tensors):
    save_file({k: v.contiguous().clone() for k, v in tensors.items()}, path + ".part")
    os.replace(path + ".part", path)


def write_json(path, data, entries=("tensors", "cases")):
    """Write `data` indented, but each element of the lists named in `entries` on one line."""
    marks = []

    def flatten(value):
        if isinstance(value, dict):
            return {
                k: (
                    [mark(e) for e in v]
                    if k in entries
                    and isinstance(v, list)
                    and v
                    and not any(isinstance(e, dict) and any(x in e for x in entries) for e in v)
                    else flatten(v)
                )
                for k, v in value.items()
            }
        return [flatten(v) for v in value] if isinstance(value, list) else value

    def mark(value):
        marks.append(json.dumps(value))
        return f"@{len(marks) - 1}@"

    text = json.dumps(flatten(data), indent=1)
    for i, value in enumerate(marks):
        text = text.replace(f'"@{i}@"', value, 1)
    with open(path + ".part", "w") as f:
        f.write(text + "\n")
    os.replace(path + ".part", path)


def exact_time_embedding():
    """A context in which diffusers' sinusoidal embedding is computed in float64 for float64
    timesteps."""
    from contextlib import contextmanager

    from diffusers.models import embeddings

    original = embeddings.get_timestep_embedding

    def in_float64(
        timesteps,
        embedding_dim,
        flip_sin_to_cos=False,
        downscale_freq_shift=1,
        scale=1,
        max_period=10000,
    ):
        assert timesteps.dtype == torch.float64
        half = embedding_dim // 2
        frequency = torch.exp(
            -math.log(max_period)
            * torch.arange(half, dtype=torch.float64)
            / (half - downscale_freq_shift)
        )
        phase = scale * timesteps[:, None] * frequency[None]
        parts = [torch.sin(phase), torch.cos(phase)]
        value = torch.cat(parts[::-1] if flip_sin_to_cos else parts, dim=-1)
        return torch.nn.functional.pad(value, (0, embedding_dim % 2))

    @contextmanager
    def context():
        embeddings.get_timestep_embedding = in_float64
        try:
            yield
        finally:
            embeddings.get_timestep_embedding = original

    return context()


class WideTorch:
    """Stands for the module `torch` inside a scheduler: what asks for float32 gets float64."""

    float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


def wide_randn(shape, generator=None, device=None, dtype=None, layout=None):
    """The float32 run's noise, for a float64 run."""
    from diffusers.utils.torch_utils import randn_tensor

    return randn_tensor(shape, generator=generator, dtype=torch.float32).to(dtype)


def widen(scheduler):
    """Make a scheduler, timesteps set, compute its steps in float64 from its float32 tables.

    Returns a context to run the steps in.
   
"""
    import sys
    from contextlib import contextmanager

    for name in (
        "alphas_cumprod",
        "final_alpha_cumprod",
        "sigmas",
        "sigmas_interpol",
        "sigmas_up",
        "sigmas_down",
        "alpha_t",
        "sigma_t",
        "lambda_t",
    ):
        value = getattr(scheduler, name, None)
        if isinstance(value, torch.Tensor):
            setattr(scheduler, name, value.double())
    module = sys.modules[type(scheduler).__module__]
    replaced = {"torch": WideTorch(), "randn_tensor": wide_randn}

    @contextmanager
    def context():
        original = {k: getattr(module, k) for k in replaced if hasattr(module, k)}
        for name in original:
            setattr(module, name, replaced[name])
        torch.set_default_dtype(torch.float64)  # for tensors made of numbers inside a step
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)
            for name, value in original.items():
                setattr(module, name, value)

    return context()


def guidance_embedding(scale, dim):
    """The pipelines' get_guidance_scale_embedding(scale - 1), in float64 throughout; (1, dim)."""
    half = dim // 2
    frequencies = torch.exp(torch.arange(half).double() * -(math.log(10000) / (half - 1)))
    phases = (torch.tensor(scale - 1) * 1000).double() * frequencies
    embedding = torch.cat([phases.sin(), phases.cos()])[None]
    return torch.nn.functional.pad(embedding, (0, dim % 2))


def scheduler_config(scheduler):
    return {k: v for k, v in scheduler.config.items() if k != "_use_default_values"}
