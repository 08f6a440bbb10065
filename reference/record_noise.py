# SPDX-License-Identifier: MIT
"""Record random numbers, noise schedules, scheduler steps and timesteps: reference/noise/. Format:
README.md."""

import os
import zlib
from contextlib import nullcontext

import diffusers
import numpy
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from common import (
    HERE,
    describe,
    file_sha256,
    scheduler_config,
    sha256,
    tensor_bytes,
    versions,
    widen,
    write_json,
    write_tensors,
)
from record_pipeline import CLASSES

OUT = os.path.join(HERE, "noise")
SCALED_LINEAR = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
SPACINGS = ("leading", "trailing", "linspace")


def write(name, tensors, **fields):
    path = os.path.join(OUT, name + ".safetensors")
    write_tensors(path, tensors)
    os.chmod(path, 0o644)
    write_json(
        os.path.join(OUT, name + ".json"),
        {
            "format": f"tintype-{name}",
            "version": 1,
            "versions": versions(),
            "file": name + ".safetensors",
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


def run_steps(kind, config, steps, eta, seed, start, outputs, dtype):
    """The sampling loop with recorded model outputs; returns the scheduler and name -> tensor."""
    scheduler = CLASSES[kind].from_config(config)
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(seed)
    extra = {"eta": eta, "generator": generator} if kind == "ddim" else {}
    extra = {"generator": generator} if kind == "euler-ancestral" else extra
    tensors = {}
    with widen(scheduler) if dtype == torch.float64 else nullcontext():
        sample = start.to(dtype) * scheduler.init_noise_sigma
        if getattr(scheduler, "sigmas", None) is not None:
            tensors["sigmas"] = scheduler.sigmas
        for k, t in enumerate(scheduler.timesteps):
            scaled = scheduler.scale_model_input(sample, t)
            if not torch.equal(scaled, sample):
                tensors[f"scaled.{k}"] = scaled
            sample = scheduler.step(
                outputs[k % 8].to(dtype), t, sample, **extra, return_dict=False
            )[0]
            tensors[str(k)] = sample
    return scheduler, tensors


def step_cases():
    """Yield (name, scheduler, config, steps, eta)."""
    base = dict(num_train_timesteps=1000, **SCALED_LINEAR)
    predictions = ("epsilon", "v_prediction", "sample")
    plain = {"ddim": {"clip_sample": False}, "pndm": {"skip_prk_steps": True}}
    for kind in CLASSES:
        for spacing in SPACINGS:
            for prediction in predictions:
                config = dict(
                    base,
                    timestep_spacing=spacing,
                    prediction_type=prediction,
                    **plain.get(kind, {}),
                )
                for n in (1, 2, 5, 20, 50) if prediction == "epsilon" else (5, 20):
                    yield f"{kind}.{spacing}.{prediction}.{n}", kind, config, n, 0.0
        for offset in (1, 3):
            config = dict(
                base, timestep_spacing="leading", steps_offset=offset, **plain.get(kind, {})
            )
            yield f"{kind}.offset-{offset}.20", kind, config, 20, 0.0
        for schedule in ("linear", "squaredcos_cap_v2"):
            config = dict(
                base, beta_schedule=schedule, timestep_spacing="leading", **plain.get(kind, {})
            )
            yield f"{kind}.{schedule}.10", kind, config, 10, 0.0
        yield f"{kind}.train-50.7", kind, dict(
            base, num_train_timesteps=50, **plain.get(kind, {})
        ), 7, 0.0
        if kind != "pndm":
            config = dict(
                base,
                rescale_betas_zero_snr=True,
                prediction_type="v_prediction",
                timestep_spacing="trailing",
                **plain.get(kind, {}),
            )
            yield f"{kind}.zero-snr.6", kind, config, 6, 0.0
    ddim = dict(base, clip_sample=False)
    for n in (5, 20):
        for eta in (0.3, 1.0):
            yield f"ddim.eta-{eta}.{n}", "ddim", ddim, n, eta
        yield f"ddim.clip.{n}", "ddim", dict(base, clip_sample=True), n, 0.0
        yield f"ddim.clip-range.{n}", "ddim", dict(
            base, clip_sample=True, clip_sample_range=2.5
        ), n, 0.5
        yield f"ddim.alpha-not-one.{n}", "ddim", dict(
            ddim, set_alpha_to_one=False, steps_offset=1
        ), n, 0.0
        yield f"ddim.thresholding.{n}", "ddim", dict(
            ddim, thresholding=True, sample_max_value=1.5
        ), n, 0.0
        yield f"pndm.alpha-one.{n}", "pndm", dict(
            base, skip_prk_steps=True, set_alpha_to_one=True
        ), n, 0.0
        yield f"pndm.runge-kutta.{n}", "pndm", dict(base, skip_prk_steps=False), n, 0.0
    for n in (1, 2, 5, 20, 50):
        yield f"euler.karras.{n}", "euler", dict(base, use_karras_sigmas=True), n, 0.0
        yield f"dpm++-2m.karras.{n}", "dpm++-2m", dict(base, use_karras_sigmas=True), n, 0.0
    yield "euler.karras.leading.10", "euler", dict(
        base, use_karras_sigmas=True, timestep_spacing="leading", steps_offset=1
    ), 10, 0.0
    yield "euler.karras.v_prediction.10", "euler", dict(
        base, use_karras_sigmas=True, prediction_type="v_prediction"
    ), 10, 0.0
    yield "euler.sigma-min.10", "euler", dict(base, final_sigmas_type="sigma_min"), 10, 0.0
    yield "euler.log-linear.10", "euler", dict(base, interpolation_type="log_linear"), 10, 0.0
    for name, options in {
        "order-1": dict(solver_order=1),
        "order-3": dict(solver_order=3),
        "heun": dict(solver_type="heun"),
        "sigma-min": dict(final_sigmas_type="sigma_min"),
        "not-lower": dict(lower_order_final=False),
        "not-lower-sigma-min": dict(lower_order_final=False, final_sigmas_type="sigma_min"),
        "euler-at-final": dict(euler_at_final=True),
        "karras-heun-sigma-min": dict(
            use_karras_sigmas=True, solver_type="heun", final_sigmas_type="sigma_min"
        ),
        "karras-v": dict(use_karras_sigmas=True, prediction_type="v_prediction"),
        "cosine-karras": dict(use_karras_sigmas=True, beta_schedule="squaredcos_cap_v2"),
        "lambda-clipped": dict(beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1),
    }.items():
        for n in (6, 20):
            yield f"dpm++-2m.{name}.{n}", "dpm++-2m", dict(base, **options), n, 0.0


def record_steps():
    generator = torch.Generator().manual_seed(2024)
    start = torch.randn(1, 4, 3, 5, generator=generator)
    outputs = [torch.randn(1, 4, 3, 5, generator=generator) for _ in range(8)]
    stored, cases = {"start": start, **{f"model.{k}": v for k, v in enumerate(outputs)}}, []
    for name, kind, config, steps, eta in step_cases():
        arguments = (kind, config, steps, eta, 31, start, outputs)
        case = {
            "name": name,
            "scheduler": kind,
            "scheduler_config": scheduler_config(CLASSES[kind].from_config(config)),
            "steps": steps,
            "seed": 31,
            "eta": eta,
        }
        cases.append(case)
        try:
            scheduler, f32 = run_steps(*arguments, torch.float32)
        except (ValueError, IndexError, TypeError, ZeroDivisionError, NotImplementedError) as error:
            case["raises"] = f"{type(error).__name__}: {error}"
            print(name, case["raises"])
            continue
        if not all(torch.isfinite(v).all() for v in f32.values()):
            case["not_finite"] = True
            print(name, "is not finite")
            continue
        _, f64 = run_steps(*arguments, torch.float64)
        case.update(
            timesteps=scheduler.timesteps.tolist(),
            init_noise_sigma=float(scheduler.init_noise_sigma),
            tensors=[],
        )
        for key, value in f32.items():
            tensor, entry = describe(f"{name}.{key}", value, f64[key].double())
            entry.pop("sha256"), entry.pop("rms32"), entry.pop("rms")
            stored[entry["name"]] = tensor
            case["tensors"].append(entry)
    write("steps", stored, cases=cases)


def record_timesteps():
    """CRC-32 of the timesteps for every n, per scheduler and spacing."""
    cases = []
    for kind in CLASSES:
        options = [
            dict(timestep_spacing=spacing, steps_offset=offset)
            for spacing in SPACINGS
            for offset in ((0, 1) if spacing == "leading" else (0,))
        ]
        if kind == "dpm++-2m":
            options.append(dict(use_karras_sigmas=True))
        for option in options:
            config = dict(num_train_timesteps=1000, **SCALED_LINEAR, **option)
            if kind == "pndm":
                config["skip_prk_steps"] = True
            scheduler = CLASSES[kind].from_config(config)
            counts, sums, dtype = [], [], None
            for n in range(1, 1001):
                try:
                    scheduler.set_timesteps(n)
                except (ValueError, IndexError, ZeroDivisionError):
                    counts.append(None), sums.append(None)
                    continue
                values = scheduler.timesteps.numpy()
                integer = numpy.issubdtype(values.dtype, numpy.integer)
                dtype = "I32" if integer else "F32"
                data = values.astype(numpy.int32 if integer else numpy.float32).tobytes()
                counts.append(len(values)), sums.append(zlib.crc32(data))
            cases.append(
                {
                    "scheduler": kind,
                    "options": option,
                    "dtype": dtype,
                    "counts": counts,
                    "crc32": sums,
                }
            )
    write_json(
        os.path.join(OUT, "timesteps.json"),
        {
            "format": "tintype-timesteps",
            "version": 1,
            "versions": versions(),
            "num_train_timesteps": 1000,
            **SCALED_LINEAR,
            "cases": cases,
        },
    )


def main():
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    os.makedirs(OUT, exist_ok=True)
    record_randn()
    record_schedules()
    record_steps()
    record_timesteps()


if __name__ == "__main__":
    main()
