# SPDX-License-Identifier: MIT
"""Record what diffusers draws with the tiny pipelines when their folders are not as it writes them:
reference/golden/folders/folders.{json,safetensors}.

Usage: record_folders.py

A case is a tiny folder, changes to it (edits of JSON, files moved, removed, scaled or added to), and
what a call of the pipeline's own class gives for it: its final latents, or its picture in [0, 1].
tests/test_folders.c makes the same changes.
"""

import inspect
import json
import logging
import os
import shutil
import sys
import tempfile
import warnings

import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file

from common import HERE, file_sha256, versions, write_json, write_tensors
from record_pipeline import CLASSES, PROMPT

TINY = os.path.join(HERE, "tiny")
OUT = os.path.join(HERE, "golden", "folders")
UNET, VAE = "unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors"
TEXT = "text_encoder/model.safetensors"
INDEX = "model_index.json"
SCHEDULER = "scheduler/scheduler_config.json"


def edit(file, take=(), **keys):
    """Set keys of a JSON file, and take some away."""
    return {"op": "edit", "file": file, "set": keys, "take": list(take)}


def move(source, target):
    return {"op": "move", "from": source, "to": target}


def lend(source, target):
    """A file of another tiny folder, in place of what is there."""
    return {"op": "lend", "from": source, "to": target}


def remove(path):
    return {"op": "remove", "path": path}


def scaled(source, target, factor, add=()):
    """A copy of weights times a power of two, and with more tensors (of two zeros)."""
    return {"op": "scale", "from": source, "to": target, "factor": factor, "add": list(add)}


def sharded(source, factor):
    """An index beside a file of weights, with one shard: these weights times a power of two."""
    return {"op": "shard", "from": source, "factor": factor}


def case(name, model, *changes, **settings):
    base = dict(
        name=name,
        model=model,
        changes=changes,
        pipeline="StableDiffusionPipeline",  # what it is opened as; None: as its index says
        scheduler=None,
        variant=None,
        seed=3,
        steps=3,
        width=0,  # the model's own
        height=0,
        guidance_scale=5.0,
    )
    return dict(base, **settings)


def root_layout(part):
    return [move(f"{part}/{f}", f) for f in ("config.json", os.path.basename(UNET))] + [
        remove(part)
    ]


BASE = "variants/base"
PIXELS = dict(pipeline=None, steps=4, guidance_scale=1.0)
DDIM = ["diffusers", "DDIMScheduler"]
OLD = "0.6.0"
TINY_VAE = [
    lend("taesd/config.json", "vae/config.json"),
    lend("taesd/" + os.path.basename(VAE), VAE),
    edit(INDEX, vae=["diffusers", "AutoencoderTiny"]),
]
CASES = [
    # A middle that is not there, or is one block.
    case("no-middle", BASE, edit("unet/config.json", mid_block_type=None)),
    case("one-block-middle", BASE, edit("unet/config.json", mid_block_type="UNetMidBlock2D")),
    # The class of a scheduler is the index's.
    case("index-ddim", BASE, edit(INDEX, scheduler=DDIM), steps=5),
    case("index-ddim-unnamed", BASE, edit(INDEX, scheduler=DDIM), edit(SCHEDULER, ["_class_name"])),
    case(
        "index-euler",
        BASE,
        edit(INDEX, scheduler=["diffusers", "EulerDiscreteScheduler"]),
        edit(SCHEDULER, ["steps_offset", "clip_sample"], timestep_spacing="leading"),
    ),
    case("index-then-named", BASE, edit(INDEX, scheduler=DDIM), scheduler="pndm"),
    case("index-ddpm", "ddpm", edit(INDEX, scheduler=["diffusers", "DDIMScheduler"]), **PIXELS),
    # Repairs of old files.
    case(
        "old-sample-size",
        BASE,
        edit("unet/config.json", sample_size=32, _diffusers_version=OLD),
        steps=1,
        guidance_scale=1.0,
    ),
    case(
        "new-sample-size",
        BASE,
        edit("unet/config.json", sample_size=12, _diffusers_version="0.10.0.dev0"),
    ),
    case(
        "old-scheduler",
        BASE,
        edit(INDEX, scheduler=DDIM),
        edit(SCHEDULER, ["steps_offset"], clip_sample=True),
    ),
    case(
        "old-scheduler-lost",
        BASE,
        edit(SCHEDULER, ["clip_sample", "steps_offset"]),
        scheduler="ddim",
    ),
    case(
        "lcm-unrepaired",
        "lcm",
        edit("unet/config.json", sample_size=12, _diffusers_version=OLD),
        pipeline="LatentConsistencyModelPipeline",
        guidance_scale=8.0,
        steps=2,
    ),
    case("shift", BASE, edit("vae/config.json", shift_factor=0.75), picture=True),
    # Another class of autoencoder; its scaling.
    case("tiny-vae", "sd15", *TINY_VAE, picture=True),
    case(
        "tiny-vae-scaled",
        "sd15",
        *TINY_VAE,
        edit("vae/config.json", scaling_factor=0.5, shift_factor=0.25),
        picture=True,
    ),
    # No scheduler, but one by name.
    case("no-scheduler-ddim", BASE, remove("scheduler"), scheduler="ddim"),
    case("no-scheduler-euler", BASE, edit(INDEX, scheduler=[None, None]), scheduler="euler"),
    # Classes that differ by use.
    case("img2img", BASE, edit(INDEX, _class_name="StableDiffusionImg2ImgPipeline")),
    case("inpaint", BASE, edit(INDEX, _class_name="StableDiffusionInpaintPipeline")),
    case(
        "lcm-img2img",
        "lcm",
        edit(INDEX, _class_name="LatentConsistencyModelImg2ImgPipeline"),
        pipeline="LatentConsistencyModelPipeline",
        guidance_scale=8.0,
        steps=2,
    ),
    case(
        "pndm",
        "ddpm",
        edit(INDEX, _class_name="PNDMPipeline", scheduler=["diffusers", "PNDMScheduler"]),
        **dict(PIXELS, steps=5),
    ),
    case("pndm-of-ddpm", "ddpm", edit(INDEX, _class_name="PNDMPipeline"), **PIXELS),
    case("ddim-of-ddpm", "ddpm", edit(INDEX, _class_name="DDIMPipeline"), **PIXELS),
    # Files in the folder itself.
    case("root", "ddpm", *root_layout("unet"), move(SCHEDULER, "scheduler_config.json"),
         remove("scheduler"), **PIXELS),
    case("root-scheduler", BASE, move(SCHEDULER, "scheduler_config.json"), remove("scheduler")),
    case("root-vae", BASE, *root_layout("vae"), picture=True),
    # Grey.
    case("grey", "grey", **PIXELS),
    case("grey-root", "grey", *root_layout("unet"), **dict(PIXELS, seed=8)),
    # Beta schedules of their own.
    case("sigmoid", "ddpm", edit(SCHEDULER, beta_schedule="sigmoid"), **PIXELS),
    case("laplace", "ddpm", edit(SCHEDULER, beta_schedule="laplace"), **PIXELS),
    case(
        "laplace-text",
        BASE,
        edit(INDEX, scheduler=["diffusers", "DDPMScheduler"]),
        edit(SCHEDULER, beta_schedule="laplace", prediction_type="sample"),
    ),
    case(
        "exp",
        BASE,
        edit(INDEX, scheduler=["diffusers", "HeunDiscreteScheduler"]),
        edit(SCHEDULER, beta_schedule="exp"),
    ),
    # Which of several files.
    case("index-beside-unet", BASE, sharded(UNET, 0.5)),
    case("index-beside-text", BASE, sharded(TEXT, 0.5)),
    case("index-beside-vae", BASE, sharded(VAE, 0.5), picture=True),
    case(
        "variant-unet",
        BASE,
        scaled(UNET, UNET.replace(".", ".non_ema.", 1), 0.5),
        variant="non_ema",
    ),
    case(
        "variant-two",
        BASE,
        scaled(UNET, UNET.replace(".", ".bf16.", 1), 0.5),
        scaled(TEXT, TEXT.replace(".", ".bf16.", 1), 0.5),
        variant="bf16",
    ),
    case(
        "variant-not-asked",
        BASE,
        scaled(UNET, UNET.replace(".", ".ema.", 1), 0.5),
        scaled(UNET, UNET.replace(".", ".fp16.", 1), 0.5),
    ),
    # Tensors and keys that nobody knows.
    case(
        "left-over",
        BASE,
        scaled(UNET, UNET, 1, ["ema.decay", "mid_block.extra"]),
        scaled(TEXT, TEXT, 1, ["vision_model.embeddings.class_embedding"]),
        scaled(VAE, VAE, 1, ["loss.logvar"]),
    ),
    case(
        "unknown-keys",
        BASE,
        edit(INDEX, movie_maker=["diffusers", "Nothing"], requires_safety_checker=False),
        edit("unet/config.json", decay=0.9, center_input_sample=None, attention_type=None),
        edit("vae/config.json", lossconfig={}),
        edit("text_encoder/config.json", surprise=1, model_type="clip", architectures=["CLIPModel"]),
        edit(SCHEDULER, timestep_values=None, tensor_format="pt", noise_sampler_seed=1, eta=0.5),
    ),
    case("defaults-listed", BASE, edit("unet/config.json", _use_default_values=["flip_sin_to_cos"],
                                       flip_sin_to_cos=False)),
    case(
        "other-scheduler-s-keys",
        BASE,
        edit(SCHEDULER, variance_type="learned", solver_type="new", algorithm_type="new"),
    ),
    case("flags-null", BASE, edit("unet/config.json", flip_sin_to_cos=None)),
]


def load_json(path):
    with open(path) as f:
        return json.load(f)


def scale_weights(source, target, factor, add):
    tensors = {k: v * factor for k, v in load_file(source).items()}
    tensors.update({k: torch.zeros(2) for k in add})
    save_file(tensors, target, metadata={"format": "pt"})
    return tensors


def apply(folder, change):
    def at(key):
        return os.path.join(folder, change[key])

    if change["op"] == "edit":
        data = load_json(at("file"))
        data.update(change["set"])
        for key in change["take"]:
            data.pop(key, None)
        with open(at("file"), "w") as f:
            json.dump(data, f)
    elif change["op"] == "move":
        shutil.move(at("from"), at("to"))
    elif change["op"] == "lend":
        shutil.copy(os.path.join(TINY, change["from"]), at("to"))
    elif change["op"] == "remove":
        shutil.rmtree(at("path"))
    elif change["op"] == "scale":
        scale_weights(at("from"), at("to"), change["factor"], change["add"])
    else:
        shard = at("from").replace(".", "-00001-of-00001.", 1)
        tensors = scale_weights(at("from"), shard, change["factor"], [])
        with open(at("from") + ".index.json", "w") as f:
            weight_map = {k: os.path.basename(shard) for k in tensors}
            json.dump({"metadata": {}, "weight_map": weight_map}, f)


def open_pipeline(folder, settings):
    name = settings["pipeline"]
    cls = getattr(diffusers, name) if name else DiffusionPipeline
    passed = {}
    if settings["scheduler"] and not os.path.exists(os.path.join(folder, SCHEDULER)):
        passed["scheduler"] = CLASSES[settings["scheduler"]]()
    if load_json(os.path.join(folder, INDEX)).get("scheduler", [None])[0] is None:
        passed["scheduler"] = CLASSES[settings["scheduler"]]()
    pipeline = cls.from_pretrained(folder, variant=settings["variant"], **passed)
    pipeline.set_progress_bar_config(disable=True)
    if settings["scheduler"] and not passed:
        pipeline.scheduler = CLASSES[settings["scheduler"]].from_config(pipeline.scheduler.config)
    return pipeline


def run(folder, settings):
    """The final latents (C, h, w) of a pipeline with a text and, where it is asked for, its picture;
    the picture in [0, 1] of one without."""
    pipeline = open_pipeline(folder, settings)
    alone = not hasattr(pipeline, "vae")
    arguments = dict(
        num_inference_steps=settings["steps"],
        generator=torch.Generator().manual_seed(settings["seed"]),
        guidance_scale=settings["guidance_scale"],
        output_type="np" if alone else "latent",
    )
    if not alone:
        arguments.update(prompt=PROMPT, negative_prompt="")
    known = inspect.signature(pipeline.__call__).parameters
    arguments = {k: v for k, v in arguments.items() if k in known}
    out = pipeline(**arguments).images
    if alone:
        return torch.from_numpy(out[0]).permute(2, 0, 1).contiguous(), None
    picture = None
    if settings.get("picture"):
        arguments.update(output_type="np", generator=torch.Generator().manual_seed(settings["seed"]))
        picture = torch.from_numpy(pipeline(**arguments).images[0]).permute(2, 0, 1).contiguous()
    return out[0].contiguous(), picture


def main():
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore", FutureWarning)
    tensors, cases = {}, []
    wanted = sys.argv[1:]
    for settings in CASES:
        if wanted and settings["name"] not in wanted:
            continue
        with tempfile.TemporaryDirectory() as work, torch.inference_mode():
            folder = os.path.join(work, "m")
            shutil.copytree(os.path.join(TINY, settings["model"]), folder)
            for change in settings["changes"]:
                apply(folder, change)
            result, picture = run(folder, settings)
        assert torch.isfinite(result).all(), settings["name"]
        tensors[settings["name"]] = result
        if picture is not None:
            tensors[settings["name"] + ".picture"] = picture
        cases.append({k: v for k, v in settings.items() if k != "pipeline"})
        print(settings["name"], tuple(result.shape), f"rms {result.square().mean().sqrt():.3g}")
    if wanted:
        return
    os.makedirs(OUT, exist_ok=True)
    path = os.path.join(OUT, "folders.safetensors")
    write_tensors(path, tensors)
    os.chmod(path, 0o644)
    write_json(
        os.path.join(OUT, "folders.json"),
        {
            "format": "tintype-folders",
            "version": 1,
            "versions": versions(),
            "prompt": PROMPT,
            "file": "folders.safetensors",
            "sha256": file_sha256(path),
            "cases": cases,
        },
    )


if __name__ == "__main__":
    main()
