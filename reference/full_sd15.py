# SPDX-License-Identifier: MIT
"""A pipeline of Stable Diffusion 1.5's full size with random weights, and diffusers' own latents
for it.

Usage: full_sd15.py MODEL [RECORDING [--steps N] [--size PX] [--threads N] [--only NAME]]
MODEL is the folder to write the pipeline to (4.2 GB, float32) unless it is there. With RECORDING,
record 512x512, 20 steps, guidance 7.5 with three schedulers below that folder, those that are not
there yet.

The recording has the format of golden/<model>/pipeline.json, but its values are float32's, as
PyTorch computed them: a float64 run of this size takes hours. One folder per scheduler, written
when it is done. Neither belongs into the repository.
"""

import argparse
import os
import time

import diffusers
import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from common import describe, file_sha256, scheduler_config, versions, write_json, write_tensors
from make_tiny import CROSS, PLAIN, SD15_SCHEDULER, randomise, unet_config, vae_config
from record_tokenizer import unpack_clip

PROMPT, NEGATIVE, SEED = "a lighthouse at sunset, stars over the sea", "blurry, low quality", 42
RUNS = {
    "pndm": ("pndm", PNDMScheduler, {}),
    "euler": ("euler", EulerDiscreteScheduler, {}),
    "dpm++-2m-karras": ("dpm++-2m", DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
}


def build(folder):
    parts = {
        "unet": UNet2DConditionModel(
            **unet_config(
                [CROSS, CROSS, CROSS, PLAIN],
                block_out_channels=[320, 640, 1280, 1280],
                attention_head_dim=8,
                layers_per_block=2,
                cross_attention_dim=768,
                sample_size=64,
                in_channels=4,
                out_channels=4,
            )
        ),
        "vae": AutoencoderKL(
            **vae_config(
                4,
                block_out_channels=[128, 256, 512, 512],
                layers_per_block=2,
                latent_channels=4,
                scaling_factor=0.18215,
                sample_size=512,
            )
        ),
        "text_encoder": CLIPTextModel(
            CLIPTextConfig(
                vocab_size=49408,
                max_position_embeddings=77,
                hidden_size=768,
                intermediate_size=3072,
                num_attention_heads=12,
                num_hidden_layers=12,
                hidden_act="quick_gelu",
                projection_dim=768,
                bos_token_id=0,
                eos_token_id=2,
                pad_token_id=1,
            )
        ),
    }
    for i, part in enumerate(parts.values()):
        randomise(part, 7000 + i)
        part.eval()
    tokenizer_folder = os.path.join(folder, "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(unpack_clip(tokenizer_folder))
    for name in os.listdir(tokenizer_folder):
        os.remove(os.path.join(tokenizer_folder, name))
    StableDiffusionPipeline(
        **parts,
        tokenizer=tokenizer,
        scheduler=SD15_SCHEDULER,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def record(pipeline, model_config, out, name, steps, size):
    kind, scheduler_class, options = RUNS[name]
    pipeline.scheduler = scheduler_class.from_config(model_config, **options)
    values, began = {}, time.time()

    def after(_, k, t, state):
        values[f"{name}.latents.{k + 1}"] = state["latents"].clone()
        print(f"{name} step {k + 1} after {time.time() - began:.0f} s", flush=True)
        return state

    start = torch.randn((1, 4, size // 8, size // 8), generator=torch.Generator().manual_seed(SEED))
    latents = pipeline(
        PROMPT,
        negative_prompt=NEGATIVE,
        height=size,
        width=size,
        num_inference_steps=steps,
        guidance_scale=7.5,
        generator=torch.Generator().manual_seed(SEED),
        output_type="latent",
        callback_on_step_end=after,
    ).images
    values[f"{name}.latents.0"] = start * pipeline.scheduler.init_noise_sigma
    seconds = time.time() - began
    decoded = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
    values[f"{name}.decoded"] = decoded
    values[f"{name}.image"] = (
        ((decoded * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1) * 255).round().to(torch.uint8)
    )
    entries = []
    for key in sorted(values, key=lambda k: (len(k), k)):
        value = values[key]
        entry = describe(key, value, value.double() if value.is_floating_point() else value)[1]
        entry.pop("err32", None), entry.pop("rms32", None)
        entries.append(entry)
    folder = os.path.join(out, name)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, "pipeline.safetensors")
    write_tensors(path, values)
    write_json(
        os.path.join(folder, "pipeline.json"),
        {
            "format": "tintype-pipeline",
            "version": 1,
            "model": "full-sd15",
            "versions": versions(),
            "threads": torch.get_num_threads(),
            "file": "pipeline.safetensors",
            "sha256": file_sha256(path),
            "cases": [
                {
                    "name": name,
                    "scheduler": kind,
                    "scheduler_options": options,
                    "scheduler_config": scheduler_config(pipeline.scheduler),
                    "prompt": PROMPT,
                    "negative_prompt": NEGATIVE,
                    "seed": SEED,
                    "steps": steps,
                    "count": 1,
                    "width": size,
                    "height": size,
                    "guidance_scale": 7.5,
                    "guidance_rescale": 0.0,
                    "eta": 0.0,
                    "timesteps": pipeline.scheduler.timesteps.tolist(),
                    "init_noise_sigma": float(pipeline.scheduler.init_noise_sigma),
                    "seconds": round(seconds, 1),
                    "tensors": entries,
                }
            ],
        },
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("recording", nargs="?")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", choices=RUNS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    diffusers.utils.logging.set_verbosity_error()
    if not os.path.exists(os.path.join(args.model, "model_index.json")):
        build(args.model)
    if not args.recording:
        return
    pipeline = StableDiffusionPipeline.from_pretrained(args.model)
    pipeline.set_progress_bar_config(disable=True)
    model_config = pipeline.scheduler.config
    with torch.inference_mode():
        for name in [args.only] if args.only else RUNS:
            if os.path.exists(os.path.join(args.recording, name, "pipeline.json")):
                continue
            record(pipeline, model_config, args.recording, name, args.steps, args.size)


if __name__ == "__main__":
    main()
