# SPDX-License-Identifier: MIT
"""Record whole runs of the tiny pipelines, prompt to picture:
reference/golden/<model>/pipeline.{json,safetensors}, few.{json,safetensors} of models and
schedulers for few steps, unconditional.{json,safetensors} of those that take no prompt, and
schedulers.{json,safetensors}: the final latents of every scheduler.

Usage: record_pipeline.py [pipeline|few|unconditional|schedulers]...

The sampling loop is written out here so that it can run in float64, too; its float32 run must equal
the pipeline's own __call__ bit for bit, or the recorder stops.
"""

import inspect
import os
import sys
from contextlib import nullcontext
from itertools import product

import diffusers
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DEISMultistepScheduler,
    DiffusionPipeline,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    KDPM2AncestralDiscreteScheduler,
    KDPM2DiscreteScheduler,
    LCMScheduler,
    LMSDiscreteScheduler,
    PNDMScheduler,
    TCDScheduler,
    UniPCMultistepScheduler,
)
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from diffusers.utils.torch_utils import randn_tensor

from common import (
    HERE,
    describe,
    exact_time_embedding,
    file_sha256,
    guidance_embedding,
    scheduler_config,
    versions,
    widen,
    write_json,
    write_tensors,
)

CLASSES = {
    "ddpm": DDPMScheduler,
    "ddim": DDIMScheduler,
    "pndm": PNDMScheduler,
    "lms": LMSDiscreteScheduler,
    "euler": EulerDiscreteScheduler,
    "euler-ancestral": EulerAncestralDiscreteScheduler,
    "heun": HeunDiscreteScheduler,
    "kdpm2": KDPM2DiscreteScheduler,
    "kdpm2-ancestral": KDPM2AncestralDiscreteScheduler,
    "dpm++-2m": DPMSolverMultistepScheduler,
    "dpm++-2s": DPMSolverSinglestepScheduler,
    "unipc": UniPCMultistepScheduler,
    "deis": DEISMultistepScheduler,
    "lcm": LCMScheduler,
    "tcd": TCDScheduler,
}
PROMPT, NEGATIVE = "a lighthouse at sunset, stars over the sea", "blurry, low quality"


def case(name, scheduler, options=None, **settings):
    return dict(
        dict(
            name=name,
            scheduler=scheduler,
            options=options or {},
            prompt=PROMPT,
            negative_prompt="",
            seed=7,
            steps=4,
            count=1,
            guidance_scale=7.5,
            guidance_rescale=0.0,
            eta=0.0,
        ),
        **settings,
    )


CASES = {
    "sd15": [
        case("pndm", "pndm", steps=6, negative_prompt=NEGATIVE),
        case("pndm-unguided", "pndm", guidance_scale=1.0, seed=0),
        case("ddim", "ddim", seed=42),
        case("ddim-eta", "ddim", eta=0.7, steps=5, negative_prompt=NEGATIVE),
        case("ddim-clip", "ddim", {"clip_sample": True}, steps=5),
        case("ddim-rescale", "ddim", {"timestep_spacing": "trailing"}, guidance_rescale=0.7),
        case("euler", "euler", steps=5),
        case("euler-karras", "euler", {"use_karras_sigmas": True}, steps=5),
        case("euler-one", "euler", {"timestep_spacing": "trailing"}, steps=1, guidance_scale=0.0),
        case("euler-ancestral", "euler-ancestral", steps=5),
        case("euler-ancestral-two", "euler-ancestral", steps=2, count=2, seed=11, prompt=""),
        case("dpm++-2m", "dpm++-2m", steps=6),
        case(
            "dpm++-2m-karras",
            "dpm++-2m",
            {"use_karras_sigmas": True},
            steps=6,
            negative_prompt=NEGATIVE,
        ),
        case(
            "dpm++-2m-long", "dpm++-2m", {"use_karras_sigmas": True}, steps=20, guidance_scale=3.0
        ),
    ],
    "sd21": [
        case("ddim", "ddim", steps=5, negative_prompt=NEGATIVE),
        case("pndm", "pndm", steps=5),
        case("euler", "euler", {"timestep_spacing": "leading", "steps_offset": 1}, steps=5),
        case("euler-trailing", "euler", {"timestep_spacing": "trailing"}, guidance_rescale=0.5),
        case("euler-ancestral", "euler-ancestral", steps=5, count=2),
        case("dpm++-2m-karras", "dpm++-2m", {"use_karras_sigmas": True}, steps=6),
    ],
    "wide": [
        case("euler", "euler", {"timestep_spacing": "leading", "steps_offset": 1}, steps=5),
        case("dpm++-2m", "dpm++-2m", {"solver_order": 1}, steps=4, guidance_scale=1.0),
    ],
}
# What models distilled to few steps are run with: their schedulers, and no guidance of two passes.
FEW = {
    "sd15": [
        case("lcm", "lcm", guidance_scale=1.0),
        case("lcm-guided", "lcm", steps=2, negative_prompt=NEGATIVE, guidance_scale=1.5),
        case("lcm-eight", "lcm", {"original_inference_steps": 100}, steps=8, guidance_scale=0.0),
        case("tcd", "tcd", guidance_scale=0.0),
        case("tcd-eta", "tcd", guidance_scale=0.0, eta=0.3, count=2),
        case("turbo", "euler", {"timestep_spacing": "trailing"}, steps=4, guidance_scale=0.0),
        case(
            "turbo-one",
            "euler-ancestral",
            {"timestep_spacing": "trailing"},
            steps=1,
            guidance_scale=0.0,
        ),
        case(
            "turbo-three",
            "euler-ancestral",
            {"timestep_spacing": "trailing"},
            steps=3,
            guidance_scale=0.0,
        ),
    ],
    "sd21": [
        case("lcm", "lcm", {"rescale_betas_zero_snr": True}, guidance_scale=1.0),
        case("tcd-eta", "tcd", eta=1.0, guidance_scale=1.0, seed=3),
        case("turbo-one", "ddim", {"timestep_spacing": "trailing"}, steps=1, guidance_scale=0.0),
    ],
    "lcm": [
        case("lcm", "lcm", guidance_scale=8.5),
        case("lcm-two", "lcm", steps=2, guidance_scale=1.3, count=2),
        case("lcm-unguided", "lcm", steps=1, guidance_scale=1.0),
    ],
}
# In pixel space and without a prompt.
UNCONDITIONAL = {
    "ddpm": [
        case("ddpm", "ddpm", prompt=None, steps=5),
        case("ddpm-two", "ddpm", prompt=None, steps=4, count=2, seed=11),
        case("euler", "euler", prompt=None),
    ],
    "ddim": [
        case("ddim", "ddim", prompt=None, steps=5),
        case("ddim-eta", "ddim", {"clip_sample": False}, prompt=None, eta=0.7, count=2),
    ],
}
FILES = {"pipeline": CASES, "few": FEW, "unconditional": UNCONDITIONAL}
# Every scheduler runs on these, with two prompts.
EVERY = {
    "sd15": dict(steps=6, guidance_scale=7.5),
    "sd21": dict(steps=5, guidance_scale=5.0),
    "wide": dict(steps=4, guidance_scale=0.0),
}
PROMPTS = (PROMPT, "two red boats below a green hill")
# width, height in pixels
SIZES = {"sd15": (48, 32), "sd21": (40, 24), "wide": (24, 16), "lcm": (24, 16)}
SIZES.update({"ddpm": (8, 8), "ddim": (10, 6)})


def make_generators(settings):
    seeds = range(settings["seed"], settings["seed"] + settings["count"])
    return [torch.Generator().manual_seed(s) for s in seeds]


def sample(pipeline, settings, dtype):
    """Run one case; return its tensors. In float64, the float32 run's noise and scheduler tables
    are used."""
    wide = dtype == torch.float64
    pipeline.unet.to(dtype), pipeline.vae.to(dtype), pipeline.text_encoder.to(dtype)
    scheduler = CLASSES[settings["scheduler"]].from_config(
        pipeline.config_of_model, **settings["options"]
    )
    generators = make_generators(settings)
    condition_dim, tensors = pipeline.unet.config.time_cond_proj_dim, {}
    guided = settings["guidance_scale"] > 1 and condition_dim is None
    condition = None
    if condition_dim:  # the pipeline's own embedding, or what it stands for
        condition = (
            guidance_embedding(settings["guidance_scale"], condition_dim)
            if wide
            else pipeline.get_guidance_scale_embedding(
                torch.tensor(settings["guidance_scale"] - 1).repeat(settings["count"]),
                condition_dim,
            )
        )
        condition = condition.expand(settings["count"], condition_dim)

    def ids(text):
        return pipeline.tokenizer(
            text, padding="max_length", max_length=77, truncation=True, return_tensors="pt"
        ).input_ids

    embeds, negative = pipeline.encode_prompt(
        settings["prompt"], "cpu", settings["count"], guided, settings["negative_prompt"]
    )
    tensors.update(prompt_ids=ids(settings["prompt"]), prompt_embeds=embeds[:1])
    if guided:
        tensors.update(negative_ids=ids(settings["negative_prompt"]), negative_embeds=negative[:1])
        embeds = torch.cat([negative, embeds])
    scheduler.set_timesteps(settings["steps"])
    shape = (
        settings["count"],
        pipeline.unet.config.in_channels,
        settings["height"] // pipeline.vae_scale_factor,
        settings["width"] // pipeline.vae_scale_factor,
    )
    latents = (
        randn_tensor(shape, generator=generators, dtype=torch.float32).to(dtype)
        * scheduler.init_noise_sigma
    )
    tensors["latents.0"] = latents
    pipeline.scheduler = scheduler
    extra = pipeline.prepare_extra_step_kwargs(generators, settings["eta"])
    with widen(scheduler) if wide else nullcontext():
        for k, t in enumerate(scheduler.timesteps):
            model_input = scheduler.scale_model_input(
                torch.cat([latents] * 2) if guided else latents, t
            )
            out = pipeline.unet(
                model_input,
                t.double() if wide else t,
                embeds,
                timestep_cond=condition,
                return_dict=False,
            )[0]
            if guided:
                negative_out, positive_out = out.chunk(2)
                out = negative_out + settings["guidance_scale"] * (positive_out - negative_out)
                if settings["guidance_rescale"] > 0:
                    out = rescale_noise_cfg(out, positive_out, settings["guidance_rescale"])
            latents = scheduler.step(out, t, latents, **extra, return_dict=False)[0]
            tensors[f"latents.{k + 1}"] = latents
    vae = pipeline.vae.config
    decoded = pipeline.vae.decode(
        latents / vae.scaling_factor + (vae.shift_factor or 0), return_dict=False
    )[0]
    image = (decoded * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    tensors.update(decoded=decoded, image=(image * 255).round().to(torch.uint8))
    return tensors, scheduler


def sample_unconditional(pipeline, settings, dtype):
    """The same for a pipeline in pixel space, which has nothing but a U-Net."""
    wide = dtype == torch.float64
    pipeline.unet.to(dtype)
    scheduler = CLASSES[settings["scheduler"]].from_config(
        pipeline.config_of_model, **settings["options"]
    )
    generators = make_generators(settings)
    scheduler.set_timesteps(settings["steps"])
    shape = (settings["count"], 3, settings["height"], settings["width"])
    latents = randn_tensor(shape, generator=generators, dtype=torch.float32).to(dtype)
    latents = latents * scheduler.init_noise_sigma
    tensors = {"latents.0": latents}
    known = inspect.signature(scheduler.step).parameters
    extra = {"generator": generators, "eta": settings["eta"]}
    extra = {k: v for k, v in extra.items() if k in known}
    with widen(scheduler) if wide else nullcontext():
        for k, t in enumerate(scheduler.timesteps):
            model_input = scheduler.scale_model_input(latents, t)
            out = pipeline.unet(model_input, t.double() if wide else t).sample
            latents = scheduler.step(out, t, latents, **extra).prev_sample
            tensors[f"latents.{k + 1}"] = latents
    image = (latents / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    tensors.update(decoded=latents, image=(image * 255).round().to(torch.uint8))
    return tensors, scheduler


def check_against_unconditional(pipeline, settings, tensors):
    """Hold the pictures equal to the pipeline's, which scales no input: not those of Euler."""
    if settings["scheduler"] == "euler":
        return
    scheduler = CLASSES[settings["scheduler"]].from_config(
        pipeline.config_of_model, **settings["options"]
    )
    own = type(pipeline)(unet=pipeline.unet, scheduler=scheduler)
    own.set_progress_bar_config(disable=True)
    arguments = dict(
        batch_size=settings["count"],
        num_inference_steps=settings["steps"],
        generator=make_generators(settings),
        eta=settings["eta"],
        output_type="np",
    )
    known = inspect.signature(own.__call__).parameters
    images = own(**{k: v for k, v in arguments.items() if k in known}).images
    ours = (tensors["decoded"] / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    assert (images == ours).all(), settings["name"]


def call(pipeline, settings, **more):
    """The pipeline's own call in float32; returns the final latents."""
    pipeline.scheduler = CLASSES[settings["scheduler"]].from_config(
        pipeline.config_of_model, **settings["options"]
    )
    arguments = dict(
        height=settings["height"],
        width=settings["width"],
        num_inference_steps=settings["steps"],
        guidance_scale=settings["guidance_scale"],
        negative_prompt=settings["negative_prompt"],
        num_images_per_prompt=settings["count"],
        eta=settings["eta"],
        generator=make_generators(settings),
        output_type="latent",
        guidance_rescale=settings["guidance_rescale"],
        **more,
    )
    known = inspect.signature(pipeline.__call__).parameters
    return pipeline(
        settings["prompt"], **{k: v for k, v in arguments.items() if k in known}
    ).images


def check_against_pipeline(pipeline, settings, tensors):
    """Hold the float32 run equal to the pipeline's own call."""
    steps = []

    def after(_, k, t, values):
        steps.append(values["latents"].clone())
        return values

    call(pipeline, settings, callback_on_step_end=after)
    assert len(steps) == sum(k.startswith("latents.") for k in tensors) - 1
    for k, latents in enumerate(steps):
        assert torch.equal(latents, tensors[f"latents.{k + 1}"]), (settings["name"], k)


def open_pipeline(model):
    pipeline = DiffusionPipeline.from_pretrained(os.path.join(HERE, "tiny", model))
    pipeline.set_progress_bar_config(disable=True)
    pipeline.config_of_model = pipeline.scheduler.config
    return pipeline


def write(model, file, tensors, cases):
    out = os.path.join(HERE, "golden", model)
    os.makedirs(out, exist_ok=True)
    path = os.path.join(out, file + ".safetensors")
    write_tensors(path, tensors)
    os.chmod(path, 0o644)
    write_json(
        os.path.join(out, file + ".json"),
        {
            "format": "tintype-pipeline",
            "version": 1,
            "model": model,
            "versions": versions(),
            "file": file + ".safetensors",
            "sha256": file_sha256(path),
            "cases": cases,
        },
    )


def record_every(model, fields):
    """The final latents of every scheduler with every prompt, in one tensor (case, C, h, w)."""
    pipeline, cases, latents = open_pipeline(model), [], []
    width, height = SIZES[model]
    for kind, prompt in product(CLASSES, PROMPTS):
        eta = 0.3 if kind in ("ddim", "tcd") else 0.0
        settings = case(
            f"{kind}.{PROMPTS.index(prompt)}",
            kind,
            prompt=prompt,
            seed=len(cases),
            eta=eta,
            width=width,
            height=height,
            **fields,
        )
        latents.append(call(pipeline, settings))
        assert torch.isfinite(latents[-1]).all(), settings
        cases.append(settings)
    write(model, "schedulers", {"latents": torch.cat(latents)}, cases)
    print(model, len(cases), "final latents")


def record_model(model, file, wanted):
    pipeline, stored, cases = open_pipeline(model), {}, []
    for settings in wanted:
        settings = dict(settings, width=SIZES[model][0], height=SIZES[model][1])
        run, check = sample, check_against_pipeline
        if settings["prompt"] is None:
            run, check = sample_unconditional, check_against_unconditional
        f32, scheduler = run(pipeline, settings, torch.float32)
        check(pipeline, settings, f32)
        with exact_time_embedding():
            f64, _ = run(pipeline, settings, torch.float64)
        f32["image"] = f64["image"]
        entries = []
        for name, value in f32.items():
            name = f"{settings['name']}.{name}"
            stored[name], entry = describe(
                name, value, f64[name.removeprefix(settings["name"] + ".")]
            )
            entries.append(entry)
        name, options = settings["name"], settings.pop("options")
        cases.append(
            {
                "name": name,
                "scheduler": settings["scheduler"],
                "scheduler_options": options,
                "scheduler_config": scheduler_config(scheduler),
                **settings,
                "timesteps": scheduler.timesteps.tolist(),
                "init_noise_sigma": float(scheduler.init_noise_sigma),
                "tensors": entries,
            }
        )
        worst = max(
            (e["err32"] / e["maxabs"] for e in entries if "latents" in e["name"]), default=0
        )
        print(
            model,
            name,
            f"final maxabs {entries[-3]['maxabs']:.3g}, worst relative error {worst:.2g}",
        )
    write(model, file, stored, cases)


def main():
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    with torch.inference_mode():
        for file, models in FILES.items():
            for model, wanted in models.items():
                if file in (sys.argv[1:] or FILES):
                    record_model(model, file, wanted)
        for model, fields in EVERY.items():
            if "schedulers" in (sys.argv[1:] or ["schedulers"]):
                record_every(model, fields)


if __name__ == "__main__":
    main()
