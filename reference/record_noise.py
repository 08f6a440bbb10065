# SPDX-License-Identifier: MIT
"""Record random numbers, noise schedules, scheduler steps and timesteps: reference/noise/. Format:
README.md."""

import argparse
import bisect
import functools
import inspect
import math
import os
import struct
import zlib
from contextlib import contextmanager, nullcontext
from unittest import mock

import diffusers
import mpmath
import numpy
import scipy.stats
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from common import (
    HERE,
    describe,
    file_sha256,
    round_functions,
    round_up,
    sha256,
    tensor_bytes,
    versions,
    widen,
    write_json,
    write_tensors,
)
from record_pipeline import CLASSES
from scheduler_cases import BASE, SCALED_LINEAR, SIGMAS, step_cases, timestep_cases

OUT = os.path.join(HERE, "noise")
SEED = 31  # of the noise inside steps
round_functions(log=numpy.log, exp=numpy.exp)


def write(name, tensors, **fields):
    path = os.path.join(OUT, name + ".safetensors")
    write_tensors(path, tensors)
    os.chmod(path, 0o644)
    write_json(
        os.path.join(OUT, name + ".json"),
        {
            "format": f"tintype-{name.split('/')[0]}",
            "version": 1,
            "versions": versions(),
            "file": os.path.basename(path),
            "sha256": file_sha256(path),
            **fields,
        },
    )


def record_randn():
    """Draws from one generator in sequence: below 16 numbers, tails, the cached second number
    between calls."""
    sizes = [1, 2, 3, 7, 14, 15, 16, 17, 23, 31, 32, 33, 47, 48, 60, 100, 255, 256, 257, 1000]
    draws = [(f"size-{n}", 42, [[n]]) for n in sizes]
    draws += [
        (f"seed-{seed}", seed, [[16], [5], [40]])
        for seed in (0, 1, 7, 5489, 2**31, 2**32 - 1, 2**32 + 42, 2**63 - 1)
    ]
    draws += [
        ("cached-odd", 3, [[3], [1], [2], [5]]),
        ("cached-over-block", 3, [[1], [16], [1], [33], [3]]),
        ("cached-tail", 9, [[15], [20], [15]]),
        ("single-numbers", 4, [[1]] * 7),
        ("latents-tail", 42, [[1, 4, 9, 9]] * 3),
        ("latents-odd", 6, [[2, 3, 5, 7], [1, 3, 5, 7]]),
        ("latents-512", 42, [[1, 4, 64, 64]] * 2),
        ("latents-512-seed-0", 0, [[1, 4, 64, 64]]),
        ("latents-512-batch", 1, [[4, 4, 64, 64]]),
        ("latents-768", 42, [[1, 4, 96, 96]]),
        ("latents-1024", 42, [[1, 4, 128, 128]]),
        ("million", 12345, [[1000003]]),
        ("many", 777, [[4000000]]),
    ]
    tensors, cases = {}, []
    for name, seed, shapes in draws:
        generator = torch.Generator().manual_seed(seed)
        case = {
            "name": name,
            "seed": seed,
            "shapes": shapes,
            "sha256": [],
            "stored": [],
            "first": [],
        }
        for k, shape in enumerate(shapes):
            value = torch.randn(shape, generator=generator)
            case["sha256"].append(sha256(tensor_bytes(value)))
            case["first"].append(value.flatten()[:8].tolist())
            small = value.numel() <= 400
            case["stored"].append(f"{name}.{k}" if small else None)
            if small:
                tensors[f"{name}.{k}"] = value
        cases.append(case)
    write("randn", tensors, cases=cases)


def record_schedules():
    """Betas and alphas_cumprod to the bit; add_noise, velocity and x0 in closed form with float64
    truth."""
    tensors, cases = {}, []
    betas = [
        ("linear", 0.0001, 0.02),
        ("linear", 0.00085, 0.012),
        ("scaled_linear", 0.00085, 0.012),
        ("scaled_linear", 0.0001, 0.02),
        ("squaredcos_cap_v2", 0.0001, 0.02),
    ]
    for kind, start, end in betas:
        for steps in (1000, 1, 2, 7, 50, 999):
            for zero_snr in (False, True):
                if zero_snr and steps not in (1000, 50):
                    continue
                name = f"{kind}-{start:g}-{end:g}-{steps}" + ("-zero-snr" if zero_snr else "")
                scheduler = DDIMScheduler(
                    num_train_timesteps=steps,
                    beta_start=start,
                    beta_end=end,
                    beta_schedule=kind,
                    rescale_betas_zero_snr=zero_snr,
                )
                sigmas = ((1 - scheduler.alphas_cumprod) / scheduler.alphas_cumprod) ** 0.5
                cases.append(
                    {
                        "name": name,
                        "beta_schedule": kind,
                        "beta_start": start,
                        "beta_end": end,
                        "num_train_timesteps": steps,
                        "rescale_betas_zero_snr": zero_snr,
                    }
                )
                tensors[f"{name}.betas"] = scheduler.betas
                tensors[f"{name}.alphas_cumprod"] = scheduler.alphas_cumprod
                if not zero_snr:
                    tensors[f"{name}.sigmas"] = sigmas
    scheduler = DDPMScheduler(num_train_timesteps=1000, **SCALED_LINEAR)
    generator = torch.Generator().manual_seed(5)
    clean, noise = torch.randn(2, 4, 3, 5, generator=generator), torch.randn(
        2, 4, 3, 5, generator=generator
    )
    tensors.update(clean=clean, noise=noise)
    closed = []
    for t in (0, 1, 250, 500, 750, 998, 999):
        steps = torch.tensor([t, 999 - t])
        root = scheduler.alphas_cumprod.double()[steps].view(2, 1, 1, 1)
        signal, sigma = root.sqrt(), (1 - root).sqrt()
        values = {
            "noisy": (
                scheduler.add_noise(clean, noise, steps),
                signal * clean.double() + sigma * noise,
            ),
            "velocity": (
                scheduler.get_velocity(clean, noise, steps),
                signal * noise - sigma * clean,
            ),
        }
        for kind, (f32, f64) in values.items():
            name = f"{kind}.{t}"
            tensors[name], entry = describe(name, f32, f64)
            closed.append({"timesteps": steps.tolist(), "kind": kind, **entry})
    write(
        "schedules",
        tensors,
        cases=cases,
        closed_form={
            "clean": "clean",
            "noise": "noise",
            "schedule": "scaled_linear-0.00085-0.012-1000",
            "tensors": closed,
        },
    )


def record_beta():
    """Quantiles of the beta distribution behind use_beta_sigmas, of scipy and exact: beta.json."""
    a = b = 0.6
    grid = {1 - x for n in (2, 3, 7, 20, 50) for x in numpy.linspace(0, 1, n).tolist()}
    tails = {1e-100, 1e-30, 1e-16, 1e-9, 1e-4, 1 - 2.0**-53, 1 - 1e-9, 1 - 1e-4}
    middle = {math.nextafter(0.5, 0), math.nextafter(0.5, 1)}
    cases = []
    for p in sorted(grid | tails | middle):
        found = float(scipy.stats.beta.ppf(p, a, b))
        cases.append({"p": p, "scipy": found, "exact": exact_quantile(p, a) if 0 < p < 1 else p})
    write_json(
        os.path.join(OUT, "beta.json"),
        {"format": "tintype-beta", "version": 1, "versions": versions(), "a": a, "b": b}
        | {"cases": cases},
    )


def exact_quantile(p, a):
    """The p-quantile of the beta distribution (a, a), by Newton's method in 60 digits."""
    with mpmath.workdps(60):
        a, whole = mpmath.mpf(a), mpmath.beta(mpmath.mpf(a), mpmath.mpf(a))
        share = min(mpmath.mpf(p), 1 - mpmath.mpf(p))
        x = min((share * a * whole) ** (1 / a), mpmath.mpf(0.5))
        for _ in range(100):
            before = x
            reached = mpmath.betainc(a, a, 0, x, regularized=True)
            slope = (x * (1 - x)) ** (a - 1) / whole
            x = min(x * mpmath.exp(mpmath.log(share / reached) * reached / (x * slope)), 0.5)
            if abs(x / before - 1) < mpmath.mpf(10) ** -40:
                break
        return float(x if p <= 0.5 else 1 - x)


def run_steps(scheduler, steps, eta, start, outputs, wide):
    """The sampling loop with recorded model outputs; returns the samples after each call, and what
    scale_model_input made of the samples before."""
    scheduler.set_timesteps(steps)
    known = inspect.signature(scheduler.step).parameters
    extra = {"eta": eta, "generator": torch.Generator().manual_seed(SEED)}
    extra = {k: v for k, v in extra.items() if k in known}
    sample = start * torch.as_tensor(scheduler.init_noise_sigma, dtype=torch.float32)
    dtype = torch.float64 if wide else torch.float32
    scaled, samples = [], []
    with widen(scheduler) if wide else nullcontext():
        sample = sample.to(dtype)
        for k, t in enumerate(scheduler.timesteps):
            scaled.append(scheduler.scale_model_input(sample, t))
            output = outputs[k % len(outputs)].to(dtype)
            sample = scheduler.step(output, t, sample, **extra, return_dict=False)[0]
            samples.append(sample)
    return scaled, samples


def record_case(cls, options, steps, eta, start, outputs):
    """Fields of a case, and its tensors."""
    try:
        scheduler = cls.from_config(dict(BASE, **options))
        scheduler.set_timesteps(steps)
        timesteps, sigmas = scheduler.timesteps.tolist(), getattr(scheduler, "sigmas", None)
        first = float(scheduler.init_noise_sigma)
        scaled32, samples32 = run_steps(scheduler, steps, eta, start, outputs, False)
        scheduler = cls.from_config(dict(BASE, **options))
        scaled64, samples64 = run_steps(scheduler, steps, eta, start, outputs, True)
    except Exception as error:  # whatever goes wrong inside diffusers: it does not take the case
        return {"raises": f"{type(error).__name__}: {error}"[:160]}, {}
    assert all(v.dtype == torch.float64 for v in scaled64 + samples64), (cls, options)
    if not all(torch.isfinite(v).all() for v in samples32 + samples64):
        return {"not_finite": True}, {}
    fields = {
        "timesteps": timesteps,
        "init_noise_sigma": first,
        "err32": [
            round_up((a.double() - b).abs().max().item()) for a, b in zip(samples32, samples64)
        ],
    }
    tensors = {"samples": torch.stack([v.float() for v in samples64])}
    if any(hasattr(scheduler, name) for name in ("sigmas_interpol", "sigmas")):
        tensors["scaled"] = torch.stack([v.float() for v in scaled64])
    if sigmas is not None:
        tensors["sigmas"] = sigmas
    elif scheduler.config.get("rescale_betas_zero_snr"):
        tensors["alphas_cumprod"] = cls.from_config(dict(BASE, **options)).alphas_cumprod
    return fields, tensors


def record_steps(kind):
    """Every step of every configuration of one scheduler: steps/<name>.{json,safetensors}."""
    generator = torch.Generator().manual_seed(2024)
    start = torch.randn(1, 2, 3, 3, generator=generator)
    outputs = torch.randn(8, 1, 2, 3, 3, generator=generator)
    stored, names, cases = {"start": start, "model": outputs}, {}, []
    for name, options, steps, eta in step_cases(kind, CLASSES[kind]):
        with faster(CLASSES[kind]):
            fields, tensors = record_case(CLASSES[kind], options, steps, eta, start, outputs)
        for part, tensor in tensors.items():  # the same table in many cases: stored once
            stored_as = names.setdefault((part, tensor_bytes(tensor)), str(len(names)))
            stored[stored_as] = tensor
            fields[part] = stored_as
        cases.append({"name": name, "options": options, "steps": steps, "eta": eta, **fields})
    write(
        f"steps/{kind}",
        stored,
        scheduler=kind,
        class_name=CLASSES[kind].__name__,
        base=BASE,
        seed=SEED,
        cases=cases,
    )
    refused = sum("raises" in case for case in cases)
    bad = sum("not_finite" in case for case in cases)
    print(f"{kind}: {len(cases)} cases, {refused} refused, {bad} not finite")


@contextmanager
def faster(cls, found=None):
    """Search where diffusers compares with a whole table, and reach scipy's function without its
    checks and once for each probability: the same values, as record_timesteps() checks for some
    numbers of steps. found: a list that gets each timestep of a set of sigmas before it is rounded,
    how far rounding errors in double precision may move it, and the sigma."""
    slow = getattr(cls, "_sigma_to_t", None)
    tables = {}

    def search(self, sigma, log_sigmas):
        if len(log_sigmas) < 2:
            return slow(self, sigma, log_sigmas)
        of_tensor = isinstance(sigma, torch.Tensor)
        if id(log_sigmas) not in tables:
            table = numpy.asarray(log_sigmas)
            tables[id(log_sigmas)] = log_sigmas, table, table.tolist()
        _, table, numbers = tables[id(log_sigmas)]
        sigma = max(sigma.item(), 1e-10)
        log_sigma = numpy.log(numpy.float32(sigma) if of_tensor else sigma)
        low = bisect.bisect_right(numbers, log_sigma) - 1
        low = min(max(low, 0), len(table) - 2)
        gap = table[low] - table[low + 1]
        share = (table[low] - log_sigma) / gap
        w = type(share)(min(max(share, 0), 1))
        t = (1 - w) * low + w * (low + 1)
        if found is not None and not of_tensor:
            error = 2.0**-49 / abs(float(gap))
            found.append((t, error if abs(share - w) < error else 0.0, sigma))
        return t

    beta = scipy.stats.beta
    with mock.patch.object(type(beta), "ppf", lambda _, q, a, b: quantile(q, a, b)):
        with mock.patch.object(cls, "_sigma_to_t", search) if slow else nullcontext():
            yield


@functools.cache
def quantile(q, a, b):
    return scipy.stats.beta._ppf(q, a, b)


def timesteps_of(scheduler, n):
    """Timesteps as int32 or float32, or None where diffusers refuses n steps."""
    try:
        scheduler.set_timesteps(n)
    except Exception:
        return None
    values = scheduler.timesteps.numpy()
    integer = numpy.issubdtype(values.dtype, numpy.integer)
    return values.astype(numpy.int32 if integer else numpy.float32)


# How classes round the timesteps of a set of sigmas.
CASTS = (numpy.float32, numpy.trunc, numpy.rint)


def borders(kind, runs):
    """Of [(timesteps, what faster() found)], the positions [run, index] where a cast could fall the
    other way."""
    placed, listed = [], set()
    for run, (values, found) in enumerate(runs):
        twice = len(found) < len(values)  # a call at the end of a step, and one at the next
        for k, (t, error, sigma) in enumerate(found):
            placed.append((run, 2 * k if twice else k, t, error))
            if twice and k > 0 and kind == "heun":
                placed.append((run, 2 * k - 1, t, error))
            low, high = numpy.float32(sigma * (1 - 2.0**-49)), numpy.float32(sigma * (1 + 2.0**-49))
            if kind.startswith("kdpm2") and low != high:  # calls between this sigma and others
                listed |= {(run, at) for at in (2 * k - 1, 2 * k + 1) if 0 < at < len(values)}
    cast = {f for f in CASTS if all(f(t) == runs[run][0][k] for run, k, t, _ in placed)}
    if placed:
        (cast,) = cast
        listed |= {(run, k) for run, k, t, e in placed if cast(t - e) != cast(t + e)}
    return sorted(listed)


def record_timesteps(kind):
    """The timesteps for every number of steps from 1 to 1000, as 16 bits of a checksum for each:
    timesteps/<name>.json. Where a timestep of a set of sigmas lies so near the border between two
    integers or floats that the last bits of numpy's logarithms and powers decide, which depend on
    the machine, it counts as 0 in the checksum and is listed beside it."""
    cls, cases = CLASSES[kind], []
    for options in timestep_cases(kind, cls):
        with faster(cls):
            scheduler = cls.from_config(dict(BASE, **options))
        runs = []
        for n in range(1, 1001):
            found = []
            with faster(cls, found):
                values = timesteps_of(scheduler, n)
            if n in (1, 2, 7, 30):
                assert numpy.array_equal(values, timesteps_of(scheduler, n)), (options, n)
            runs.append((values, found if values is not None else []))
        checks, listed, kinds = [], [], set()
        of_set = any(options.get(key) for key in SIGMAS)
        for run, k in borders(kind, runs) if of_set else []:
            values = runs[run][0]
            listed.append([run + 1, k, values[k].item()])
            values[k] = 0
        for values, _ in runs:
            if values is None:
                checks.append("----")
                continue
            kinds.add(values.dtype.kind)
            data = struct.pack("<i", len(values)) + values.tobytes()
            checks.append(f"{zlib.crc32(data) & 0xFFFF:04x}")
        (dtype,) = kinds
        cases.append(
            {
                "options": options,
                "dtype": {"i": "I32", "f": "F32"}[dtype],
                "crc16": "".join(checks),
                "borders": listed,
            }
        )
        print(kind, options, cases[-1]["dtype"], len(listed), "borders", flush=True)
    os.makedirs(os.path.join(OUT, "timesteps"), exist_ok=True)
    write_json(
        os.path.join(OUT, "timesteps", kind + ".json"),
        {
            "format": "tintype-timesteps",
            "version": 3,
            "versions": versions(),
            "scheduler": kind,
            "class_name": cls.__name__,
            "base": BASE,
            "cases": cases,
        },
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for part in ("steps", "timesteps"):
        parser.add_argument(f"--{part}", metavar="NAME", help=f"only the {part} of one scheduler")
    parser.add_argument("--beta", action="store_true", help="only the beta distribution")
    parser.add_argument("--list", action="store_true", help="names of schedulers")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    os.makedirs(os.path.join(OUT, "steps"), exist_ok=True)
    if arguments.list:
        print(*CLASSES)
    elif arguments.beta:
        record_beta()
    elif arguments.steps or arguments.timesteps:
        if arguments.steps:
            record_steps(arguments.steps)
        if arguments.timesteps:
            record_timesteps(arguments.timesteps)
    else:
        record_randn()
        record_schedules()
        record_beta()
        for kind in CLASSES:
            record_steps(kind)
            record_timesteps(kind)


if __name__ == "__main__":
    main()
