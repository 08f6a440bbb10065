# SPDX-License-Identifier: MIT
"""Record whole runs of the tiny SDXL pipelines by diffusers' own __call__:
reference/golden/xl/runs.{json,safetensors}: the final latents of each, and the pictures of some.

Usage: record_xl.py

The runs are a table of scheduler, size, guidance, number of pictures, negative prompt, refiner and
numbers that the U-Net is told, in which each pair of values stands at least once. Several pictures
are one batch, except with numbers of their own for the negative prompt: then diffusers 0.42 gives the
rows of the batch each other's (StableDiffusionXLPipeline repeats both behind each other, not each),
so that its pictures are not those that it draws one by one. Those are recorded.
"""

import os
from itertools import combinations, product

import torch
from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline

from common import HERE, versions, write_json, write_tensors
from record_pipeline import CLASSES

PROMPT, OTHER = "a lighthouse at sunset, stars over the sea", "blurry, low quality"
# Without these a run starts in the middle of what it cannot (pndm), or clips the samples of random
# weights everywhere, which makes a chaos of rounding.
OPTIONS = {
    "pndm": {"skip_prk_steps": True},
    "ddim": {"clip_sample": False},
    "ddpm": {"clip_sample": False},
}
AXES = {
    "scheduler": list(CLASSES),
    "size": [(8, 8), (6, 9), (5, 12)],  # of latents: height, width
    "guidance": [(1.0, 0.0), (5.0, 0.0), (7.5, 0.7)],  # scale, rescaling
    "count": [1, 2],
    "negative": [None, "", OTHER],
    "refiner": [None, ("xl-refiner", 0.8), ("xl-refiner", 0.5), ("xl", 0.6)],
    "numbers": [
        {},
        {"original_size": (80, 70), "crops_coords_top_left": (3, 9)},
        {"target_size": (1024, 768), "negative_original_size": (32, 40),
         "negative_target_size": (64, 48), "negative_crops_coords_top_left": (5, 1)},
    ],
}


def pairs_of(row):
    return set(combinations(enumerate(row), 2))


def table():
    """Rows of indices into the axes, chosen greedily until each pair of values has been."""
    ranges = [range(len(values)) for values in AXES.values()]
    left = set().union(*(pairs_of(row) for row in product(*ranges)))
    rows = []
    while left:
        first = min(left)
        best = max(
            (row for row in product(*ranges) if first in pairs_of(row)),
            key=lambda row: (len(pairs_of(row) & left), [-i for i in row]),
        )
        rows.append(best)
        left -= pairs_of(best)
    return [{name: AXES[name][i] for name, i in zip(AXES, row)} for row in rows]


def load(kind, name):
    pipeline = kind.from_pretrained(os.path.join(HERE, "tiny", name))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, pipeline.scheduler.config


def run(base, refiner, case, steps, seed):
    if case["count"] > 1 and "negative_original_size" in case["numbers"]:
        single = dict(case, count=1)
        return torch.cat([run(base, refiner, single, steps, seed + k) for k in range(case["count"])])
    (base, base_config), (refiner, refiner_config) = base, refiner
    kind, options = CLASSES[case["scheduler"]], OPTIONS.get(case["scheduler"], {})
    generators = [torch.Generator("cpu").manual_seed(seed + k) for k in range(case["count"])]
    scale, rescale = case["guidance"]
    height, width = case["size"]
    asked = dict(
        prompt=PROMPT,
        negative_prompt=case["negative"],
        num_inference_steps=steps,
        num_images_per_prompt=case["count"],
        guidance_scale=scale,
        guidance_rescale=rescale,
        generator=generators,
        output_type="latent",
        **case["numbers"],
    )
    base.scheduler = kind.from_config(base_config, **options)
    if not refiner:
        return base(height=8 * height, width=8 * width, **asked).images
    begun = base(height=8 * height, width=8 * width, denoising_end=case["refiner"][1], **asked).images
    refiner.scheduler = kind.from_config(refiner_config, **options)
    return refiner(image=begun, denoising_start=case["refiner"][1], **case["scores"], **asked).images


def decode(pipeline, latents):
    """The pixels of a pipeline's output_type "pil", as bytes (N, H, W, 3)."""
    config = pipeline.vae.config
    if config.latents_mean is not None:
        mean, std = (torch.tensor(config[k]).view(1, 4, 1, 1) for k in ("latents_mean", "latents_std"))
        latents = latents * std / config.scaling_factor + mean
    else:
        latents = latents / config.scaling_factor
    with torch.no_grad():
        image = pipeline.vae.decode(latents).sample
    return torch.from_numpy(
        (pipeline.image_processor.postprocess(image, output_type="np") * 255).round().astype("uint8")
    )


def main():
    torch.set_num_threads(1)
    bases = {name: load(StableDiffusionXLPipeline, name) for name in ("xl", "xl-uneven")}
    refiners = {name: load(StableDiffusionXLImg2ImgPipeline, name) for name in ("xl-refiner", "xl")}
    cases, tensors = [], {}
    rows = [dict(row, model="xl") for row in table()]
    plain = dict(size=(8, 8), guidance=(5.0, 0.0), count=1, negative=None, refiner=None, numbers={})
    rows += [
        dict(plain, model="xl-uneven", scheduler="lcm"),
        dict(plain, model="xl-uneven", scheduler="euler", size=(6, 9), negative=OTHER, count=2),
        dict(plain, model="xl-uneven", scheduler="euler", guidance=(1.0, 0.0)),
    ]
    for i, row in enumerate(rows):
        steps, seed, name = 6 + i % 3, 7 + i, f"{i:02d}-{row['scheduler']}"
        base, last = bases[row["model"]], row["refiner"] and row["refiner"][0]
        row["scores"] = {}
        if last == "xl-refiner" and i % 2:
            row["scores"] = dict(aesthetic_score=7.5, negative_aesthetic_score=1.0)
        latents = run(base, refiners[last] if last else (None, None), row, steps, seed)
        tensors[f"{name}.latents"] = latents
        pictures = i % 8 == 0 or row["model"] != "xl"
        if pictures:
            tensors[f"{name}.image"] = decode((refiners[last] if last else base)[0], latents)
        cases.append(
            dict(
                name=name,
                model=row["model"],
                prompt=PROMPT,
                negative_prompt=row["negative"],
                scheduler=row["scheduler"],
                options=OPTIONS.get(row["scheduler"], {}),
                steps=steps,
                seed=seed,
                count=row["count"],
                guidance_scale=row["guidance"][0],
                guidance_rescale=row["guidance"][1],
                height=8 * row["size"][0],
                width=8 * row["size"][1],
                refiner=last,
                refine_from=row["refiner"][1] if last else None,
                picture=pictures,
                **row["numbers"],
                **row["scores"],
            )
        )
    folder = os.path.join(HERE, "golden", "xl")
    os.makedirs(folder, exist_ok=True)
    write_tensors(os.path.join(folder, "runs.safetensors"), tensors)
    write_json(os.path.join(folder, "runs.json"), dict(versions=versions(), cases=cases))
    print(f"{len(cases)} runs")


if __name__ == "__main__":
    main()
