# SPDX-License-Identifier: MIT
"""Record what begins with a picture: reference/from_picture/
  {picture,mask,black}.png          what is drawn from; written once
  resized.{json,safetensors}        pictures at other sizes, blurred, laid over others, as Pillow makes them
  strength.json                     the first call, how many there are, and its timestep, of every scheduler
  runs.{json,safetensors}           the final latents of tiny pipelines
  xl.{json,safetensors}             those of SDXL's kind

Usage: record_from_picture.py [resized|strength|runs|xl]...
"""

import inspect
import os
import sys
from types import SimpleNamespace

import diffusers
import numpy
import torch
from diffusers import (
    AutoencoderTiny,
    LatentConsistencyModelImg2ImgPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLInpaintPipeline,
    UNet2DConditionModel,
)
from diffusers.image_processor import VaeImageProcessor
from PIL import Image, ImageFilter

from common import HERE, file_sha256, versions, write_json, write_tensors
from record_pipeline import CLASSES, NEGATIVE, PROMPT, open_pipeline

FOLDER = os.path.join(HERE, "from_picture")
PICTURE, MASK, BLACK = (os.path.join(FOLDER, name + ".png") for name in ("picture", "mask", "black"))
WIDTH, HEIGHT = 50, 37
BASE = dict(
    num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
)


def make_pictures():
    """Slopes, edges and noise; a mask with a soft edge, that touches no side."""
    y, x = numpy.mgrid[0:HEIGHT, 0:WIDTH]
    rng = numpy.random.default_rng(19)
    pixels = numpy.stack([x * 5, y * 6, (x * y) % 256], -1).astype(numpy.uint8)
    pixels[8:20, 10:22] = rng.integers(0, 256, (12, 12, 3))
    pixels[25:, 30:] = (250, 20, 90)
    mask = numpy.zeros((HEIGHT, WIDTH), numpy.uint8)
    mask[9:25, 12:33] = 255
    mask[8, 12:33], mask[25, 12:33] = 90, 140
    for path, array in ((PICTURE, pixels), (MASK, mask), (BLACK, 0 * mask)):
        if not os.path.exists(path):
            Image.fromarray(array).save(path)


def rgb(image):
    return torch.from_numpy(numpy.array(image.convert("RGB")))


# ---- pictures of another size ----

FILTERS = {"lanczos": Image.Resampling.LANCZOS, "bicubic": Image.Resampling.BICUBIC}
# Widths and heights, that shrink and grow one, both or none; one where rows go first, by Pillow 13.
SIZES = [(24, 16), (50, 37), (50, 12), (17, 37), (61, 9), (49, 20), (100, 74), (7, 60), (1, 1), (48, 35)]
BOXES = [(0, 0, 50, 0), (0, 37, 50, 37), (0, 0, 0, 37), (50, 0, 50, 37), (3, 5, 20, 30)]
FITTED = [(24, 16), (16, 24), (40, 11), (11, 40), (50, 37), (64, 64), (9, 30)]


def record_resized():
    picture, mask = Image.open(PICTURE).convert("RGB"), Image.open(MASK).convert("RGB")
    processor, cases, tensors = VaeImageProcessor(vae_scale_factor=1), [], {}

    def keep(image, **case):
        tensors[str(len(cases))] = rgb(image)
        cases.append(case)

    for name, resample in FILTERS.items():
        for size in SIZES:
            keep(picture.resize(size, resample), what="resample", filter=name, size=size)
        for box in BOXES:
            size = (50, 6) if box[0] == 0 and box[2] == 50 else (6, 37)
            resized = picture.resize(size, resample, box=box)
            keep(resized, what="resample", filter=name, size=size, box=box)
    for how in ("default", "crop", "fill"):
        for width, height in FITTED:
            resized = processor.resize(picture, height, width, resize_mode=how)
            keep(resized, what="resize", how=how.replace("default", "stretch"), size=(width, height))
    for radius in (0.4, 1, 2.5, 4, 17, 90):
        for image, name in ((picture, "picture"), (mask, "mask")):
            keep(image.filter(ImageFilter.GaussianBlur(radius)), what="blur", of=name, radius=radius)
    write("resized", tensors, cases)


# ---- strength ----

STEPS = (1, 2, 3, 4, 5, 7, 10, 18, 20, 25, 29, 50)
STRENGTHS = (0.02, 0.05, 0.1, 0.2, 0.3, 1 / 3, 0.5, 0.55, 0.58, 0.6, 0.7, 0.75, 0.8, 0.9, 0.99, 1.0)
SPACINGS = ("leading", "trailing", "linspace")


def timesteps_of(scheduler, steps, strength, whole):
    """What the pipelines' get_timesteps() leaves; whole: that of LatentConsistencyModelImg2ImgPipeline."""
    if whole:
        scheduler.set_timesteps(steps, strength=strength)
        return 0, scheduler.timesteps.tolist()
    pipeline = SimpleNamespace(scheduler=scheduler)
    timesteps, kept = StableDiffusionImg2ImgPipeline.get_timesteps(pipeline, steps, strength, "cpu")
    if kept < 1:  # the inpainting pipeline's own check
        raise ValueError("no step is left")
    return len(scheduler.timesteps) - len(timesteps), timesteps.tolist()


def record_strength():
    cases = []
    for kind, cls in CLASSES.items():
        distilled = kind in ("lcm", "tcd")
        spaced = "timestep_spacing" in inspect.signature(cls).parameters and not distilled
        for spacing in SPACINGS if spaced else (None,):
            for whole in (False, True) if distilled else (False,):
                options = {"timestep_spacing": spacing} if spacing else {}
                if kind == "pndm":
                    options["skip_prk_steps"] = True
                rows = []
                for steps in STEPS:
                    scheduler = cls.from_config(dict(BASE, **options))
                    if not whole:
                        scheduler.set_timesteps(steps)
                    for strength in STRENGTHS:
                        try:
                            first, left = timesteps_of(scheduler, steps, strength, whole)
                        except (ValueError, IndexError):
                            left = []
                        row = [first, len(left), left[0]] if left else None
                        rows.append([steps, strength, row])
                cases.append({"scheduler": kind, "options": options, "whole": whole, "rows": rows})
    write_json(
        os.path.join(FOLDER, "strength.json"),
        {"format": "tintype-strength", "versions": versions(), "base": BASE, "cases": cases},
    )
    print(len(cases), "schedulers and spacings,", sum(len(c["rows"]) for c in cases), "rows")


# ---- runs ----


def pairs(kind, model, sizes, strengths, guidance, schedulers=tuple(CLASSES), **more):
    """Cases in which each pair of scheduler, strength, size and guidance comes once at least: the latter
    two go round at different speeds."""
    cases = []
    for i, scheduler in enumerate(schedulers):
        for j, strength in enumerate(strengths):
            width, height = sizes[(i + j) % len(sizes)]
            cases.append(
                dict(
                    kind=kind,
                    model=model,
                    scheduler=scheduler,
                    strength=strength,
                    width=width,
                    height=height,
                    guidance_scale=guidance[(i + 2 * j) % len(guidance)],
                    steps=(5, 6, 4, 7)[j % 4],
                    seed=len(cases),
                    eta=0.4 if scheduler in ("ddim", "tcd") and j == 1 else 0.0,
                    **more,
                )
            )
    return cases


# 0: the picture's own.
SIZES_8 = ((0, 0), (40, 24), (32, 48))
SIZES_2 = ((0, 0), (24, 16), (14, 22))
GUIDANCE = (1.0, 4.0, 7.5)
RUNS = [
    *pairs("image", "sd15", SIZES_8, (0.2, 0.5, 0.8, 1.0), GUIDANCE),
    *pairs("image", "sd21", ((0, 0), (40, 24), (20, 32)), (0.3, 0.6, 1.0), GUIDANCE),
    *pairs("image", "lcm", SIZES_2, (0.3, 0.6, 1.0), (1.0, 8.0, 2.5), ("lcm",) * 3),
    *pairs("mask", "sd15", SIZES_8, (0.3, 0.75, 1.0), GUIDANCE),
    *pairs("mask", "inpaint", SIZES_2, (0.3, 0.75, 1.0), GUIDANCE),
    *pairs("mask", "lcm", SIZES_2, (0.5, 1.0), (1.0, 8.0, 2.5), ("lcm", "tcd", "ddim")),
    # The picture's guidance in strength's place.
    *[
        dict(case, image_guidance_scale=case.pop("strength"))
        for case in pairs("instruct", "instruct", SIZES_2, (0.9, 1.0, 1.5, 2.5), GUIDANCE)
    ],
    # Distilled to few steps, of an adversary: one step of two.
    *pairs(
        "image", "sd15", SIZES_8, (0.5, 1.0), (0.0,), ("euler", "euler-ancestral", "ddim"),
        options={"timestep_spacing": "trailing"},
    ),
    # An encoder that gives latents, and draws nothing.
    *pairs("image", "sd15", SIZES_8, (0.5,), (4.0,), ("euler-ancestral", "ddim"), vae="taesd"),
    *pairs("mask", "sd15", SIZES_8, (0.5, 1.0), (4.0,), ("euler-ancestral", "ddim"), vae="taesd"),
    # Sizes of other proportions, blurred masks, the masked region alone.
    *pairs("image", "sd15", SIZES_8[1:], (0.5,), (4.0,), ("ddim", "heun"), resize="crop"),
    *pairs("image", "sd15", SIZES_8[1:], (0.5,), (4.0,), ("ddim", "heun"), resize="fill"),
    *pairs("mask", "sd15", SIZES_8[1:], (0.5, 1.0), (4.0,), ("ddim", "heun"), mask_blur=3),
    *pairs("mask", "sd15", SIZES_8[1:], (0.6,), (4.0,), ("ddim", "heun"), inpaint_padding=2),
    *pairs("mask", "inpaint", SIZES_2[1:], (0.6, 1.0), (4.0,), ("ddim", "heun"), inpaint_padding=0, mask_blur=2),
    # A second pass.
    *pairs("upscale", "sd15", SIZES_8[1:], (0.4, 0.75), (1.0, 5.0), ("ddim", "heun", "euler-ancestral"),
           upscale_in="latents"),
    *pairs("upscale", "sd15", SIZES_8[1:], (0.4, 0.75), (1.0, 5.0), ("ddim", "pndm", "dpm++-2s"),
           upscale_in="pixels"),
    *pairs("upscale", "lcm", SIZES_2[1:], (0.5,), (4.0,), ("lcm",), upscale_in="latents"),
]  # fmt: skip
FEW = ("euler", "euler-ancestral", "heun", "ddim", "dpm++-2m", "lcm")
XL = [
    *pairs("image", "xl", SIZES_8, (0.3, 0.6, 1.0), GUIDANCE),
    *pairs("image", "xl-refiner", SIZES_8, (0.3, 0.7), (1.0, 5.0), FEW),
    *pairs("image", "xl-uneven", SIZES_8, (0.5,), (1.0, 5.0), ("euler", "ddim")),
    *pairs("image", "xl", SIZES_8, (0.6, 1.0), (5.0,), FEW[:4], refine_from=0.7),
    *pairs("mask", "xl", SIZES_8, (0.3, 0.75, 1.0), GUIDANCE, FEW),
    *pairs("mask", "xl", SIZES_8[1:], (0.6,), (5.0,), FEW[:2], inpaint_padding=3),
    *pairs("mask", "xl", SIZES_8, (0.3, 0.75, 1.0), GUIDANCE, FEW, unet="xl-inpaint"),
    *pairs("upscale", "xl", SIZES_8[1:], (0.5,), (5.0,), FEW[:3], upscale_in="latents"),
    *pairs("upscale", "xl", SIZES_8[1:], (0.5,), (5.0,), FEW[:3], upscale_in="pixels"),
]
for each in XL:
    if each["scheduler"] in ("ddim", "ddpm"):  # random weights' samples would be clipped everywhere
        each["options"] = {"clip_sample": False}
    if each["scheduler"] == "pndm":
        each["options"] = {"skip_prk_steps": True}
# Runge-Kutta steps begin at the first timestep alone.
for each in RUNS:
    if each["model"] == "sd21" and each["scheduler"] == "pndm":
        each["options"] = {"skip_prk_steps": True}
PIPELINES = {
    "image": StableDiffusionImg2ImgPipeline,
    "mask": StableDiffusionInpaintPipeline,
    "instruct": StableDiffusionInstructPix2PixPipeline,
}


def fitted(image, case):
    """At the size of the case, as the pipelines' own processor makes it."""
    if not case["width"]:
        return image
    processor = VaeImageProcessor(vae_scale_factor=1)
    how = case.get("resize", "default")
    return processor.resize(image, case["height"], case["width"], resize_mode=how)


def call(source, cls, case, **arguments):
    """The final latents, and the picture where a case asks for one; what the class has no argument for
    is left out."""
    parts = dict(source.components, requires_safety_checker=False)
    for key in ("requires_aesthetics_score", "force_zeros_for_empty_prompt"):
        if key in source.config:
            parts[key] = source.config[key]
    if "unet" in case:
        parts["unet"] = UNet2DConditionModel.from_pretrained(os.path.join(HERE, "tiny", case["unet"]))
    if cls is LatentConsistencyModelImg2ImgPipeline or "LatentConsistency" in cls.__name__:
        del parts["requires_safety_checker"]
    pipeline = cls(**{k: v for k, v in parts.items() if k in inspect.signature(cls).parameters})
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = CLASSES[case["scheduler"]].from_config(
        source.config_of_model, **case.get("options", {})
    )
    if "vae" in case:
        pipeline.vae = AutoencoderTiny.from_pretrained(os.path.join(HERE, "tiny", case["vae"]))
    last = {}

    def after(_, k, t, values):
        last["latents"] = values["latents"].clone()
        return values

    settings = dict(
        num_inference_steps=case["steps"],
        guidance_scale=case["guidance_scale"],
        negative_prompt=NEGATIVE,
        eta=case["eta"],
        generator=torch.Generator().manual_seed(case["seed"]),
        output_type="pil",
        callback_on_step_end=after,
    )
    settings.update(arguments)
    if not case["eta"]:  # LatentConsistencyModelImg2ImgPipeline would hand it on
        del settings["eta"]
    known = inspect.signature(pipeline.__call__).parameters
    image = pipeline(PROMPT, **{k: v for k, v in settings.items() if k in known}).images[0]
    return last["latents"], image


def run(source, case):
    picture, mask = Image.open(PICTURE).convert("RGB"), Image.open(MASK)
    strength = {"strength": case["strength"]} if "strength" in case else {}
    distilled = "LatentConsistency" in type(source).__name__
    plain = LatentConsistencyModelImg2ImgPipeline if distilled else StableDiffusionImg2ImgPipeline
    if "XL" in type(source).__name__:
        plain = StableDiffusionXLImg2ImgPipeline
    if "refine_from" in case:
        share, generator = case["refine_from"], torch.Generator().manual_seed(case["seed"])
        one = dict(image=fitted(picture, case), denoising_end=share, output_type="latent")
        begun, _ = call(source, plain, case, generator=generator, **one, **strength)
        two = dict(image=begun, denoising_start=share, output_type="latent")
        return call(REFINER[0], plain, case, generator=generator, **two)
    if case["kind"] == "image":
        return call(source, plain, case, image=fitted(picture, case), **strength)
    if case["kind"] == "instruct":
        more = dict(image_guidance_scale=case["image_guidance_scale"])
        return call(source, PIPELINES["instruct"], case, image=fitted(picture, case), **more)
    if case["kind"] == "upscale":
        sizes = dict(width=case["width"], height=case["height"])
        latents, image = call(source, type(source), case, **sizes)
        if case["upscale_in"] == "latents":
            larger = torch.nn.functional.interpolate(latents, scale_factor=2, mode="bilinear")
        else:
            larger = image.resize((2 * image.width, 2 * image.height), Image.Resampling.LANCZOS)
        return call(source, plain, case, image=larger, **strength)
    factor = 2 ** (len(source.vae.config.block_out_channels) - 1)
    size = [case[k] or side // factor * factor for k, side in (("width", WIDTH), ("height", HEIGHT))]
    if "mask_blur" in case:
        mask = mask.filter(ImageFilter.GaussianBlur(case["mask_blur"]))
    return call(
        source,
        StableDiffusionXLInpaintPipeline if "XL" in type(source).__name__ else PIPELINES["mask"],
        case,
        image=picture,
        mask_image=mask,
        width=size[0],
        height=size[1],
        padding_mask_crop=case.get("inpaint_padding"),
        **strength,
    )


REFINER = []  # is opened with the first run that has one


def record_runs(name, cases):
    sources, tensors = {}, {}
    if name == "xl":
        REFINER.append(open_pipeline("xl-refiner"))
    for number, case in enumerate(cases):
        if case["model"] not in sources:
            sources[case["model"]] = source = open_pipeline(case["model"])
            if isinstance(source.unet.config.sample_size, list):  # which these pipelines cannot compare
                source.unet.register_to_config(sample_size=max(source.unet.config.sample_size))
        latents, image = run(sources[case["model"]], case)
        assert torch.isfinite(latents).all(), case
        tensors[f"{number}.latents"] = latents[0]
        if "inpaint_padding" in case:
            tensors[f"{number}.image"] = rgb(image)
    write(name, tensors, cases)


def write(name, tensors, cases):
    path = os.path.join(FOLDER, name + ".safetensors")
    write_tensors(path, tensors)
    os.chmod(path, 0o644)
    write_json(
        os.path.join(FOLDER, name + ".json"),
        {
            "format": "tintype-from-picture",
            "version": 1,
            "versions": dict(versions(), pillow=Image.__version__),
            "prompt": PROMPT,
            "negative_prompt": NEGATIVE,
            "sha256": file_sha256(path),
            "cases": cases,
        },
    )
    print(name, len(cases), "cases", os.path.getsize(path), "bytes")


def main():
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    os.makedirs(FOLDER, exist_ok=True)
    make_pictures()
    wanted = sys.argv[1:] or ["resized", "strength", "runs", "xl"]
    with torch.inference_mode():
        for name, record in (
            ("resized", record_resized),
            ("strength", record_strength),
            ("runs", lambda: record_runs("runs", RUNS)),
            ("xl", lambda: record_runs("xl", XL)),
        ):
            if name in wanted:
                record()


if __name__ == "__main__":
    main()
