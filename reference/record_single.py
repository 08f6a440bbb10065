# SPDX-License-Identifier: MIT
"""Single files of weights as their families' own repositories name the tensors, and what diffusers makes of them.

Usage: record_single.py [CASE...]
Writes reference/single/<case>.json: the file's tensors (name, dtype, shape), the folder that diffusers'
from_single_file and save_pretrained make of it (name, shape and sha256 of each tensor as float32), and its final
latents. Weights are no part of it: they follow from position and shape (`fill`), so that the tests make the same
files.

The inverse of diffusers' naming is written down here, and checked by what from_single_file gives back.
"""

import json
import math
import os
import re
import shutil
import sys
import tempfile

import diffusers
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from common import hashed_uniform, sha256, tensor_bytes, versions, write_json
from make_tiny import CROSS, PLAIN, SCALED_LINEAR, SD15_SCHEDULER, unet_config, vae_config
from record_tokenizer import unpack_clip

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "single")
PROMPT, NEGATIVE, SEED, STEPS, GUIDANCE = "a lighthouse at sunset", "blurry", 7, 4, 5.0
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


XL_SCHEDULER = EulerDiscreteScheduler.from_config(
    dict(
        SCALED_LINEAR,
        timestep_spacing="leading",
        steps_offset=1,
        clip_sample=False,
        set_alpha_to_one=False,
        skip_prk_steps=True,
    )
)
PIPELINES = {
    "sd1": StableDiffusionPipeline,
    "sd2": StableDiffusionPipeline,
    "xl": StableDiffusionXLPipeline,
    "refiner": StableDiffusionXLImg2ImgPipeline,
}


def fill(tensors):
    """The numbers of a file: [name, dtype, shape] -> tensor. Matrices keep activations near one; a vector is 1 + u/4
    as the weight of a norm, else u/8; u: hashed_uniform with the tensor's position as salt."""
    out = {}
    for salt, (name, dtype, shape) in enumerate(tensors):
        u = hashed_uniform(shape, salt)
        if len(shape) > 1:
            fan = math.prod(shape[1:])
            u = u * 2.0 ** math.floor(math.log2(3 / fan) / 2)
        elif name.endswith(".weight"):
            u = 1 + u / 4
        else:
            u = u / 8
        out[name] = u.to(DTYPES[dtype]).contiguous()
    return out


# ---- the names of the original layout ----

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
UNET = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}


def original_unet(name, config):
    """input_blocks: the first convolution, then layers and a way down of each level; output_blocks likewise."""
    layers, levels = config["layers_per_block"], len(config["block_out_channels"])
    for new, old in UNET.items():
        if name.startswith(new + "."):
            return old + name[len(new) :]
    form = r"(down|up|mid)_block(?:s\.(\d+))?\.(\w+)\.(\d+)\.(.*)"
    side, level, kind, layer, rest = re.fullmatch(form, name).groups()
    level, layer = int(level or 0), int(layer)
    if kind == "resnets":
        end, dot, tail = rest.partition(".")
        rest = RESNET[end] + dot + tail
    if side == "mid":
        return f"middle_block.{1 if kind == 'attentions' else 2 * layer}.{rest}"
    if side == "down":
        block = 1 + level * (layers + 1)
        if kind == "downsamplers":
            return f"input_blocks.{block + layers}.0.op.{rest.removeprefix('conv.')}"
        return f"input_blocks.{block + layer}.{int(kind == 'attentions')}.{rest}"
    block = level * (layers + 1)
    if kind == "upsamplers":
        child = 2 if config["up_block_types"][level].startswith("Cross") else 1
        return f"output_blocks.{block + layers}.{child}.{rest}"
    assert level < levels
    return f"output_blocks.{block + layer}.{int(kind == 'attentions')}.{rest}"


def original_vae(name, config):
    levels = len(config["block_out_channels"])
    for new, old in {
        "mid_block.resnets.0": "mid.block_1",
        "mid_block.resnets.1": "mid.block_2",
        "mid_block.attentions.0.group_norm": "mid.attn_1.norm",
        "mid_block.attentions.0.to_q": "mid.attn_1.q",
        "mid_block.attentions.0.to_k": "mid.attn_1.k",
        "mid_block.attentions.0.to_v": "mid.attn_1.v",
        "mid_block.attentions.0.to_out.0": "mid.attn_1.proj_out",
        "conv_norm_out": "norm_out",
        "conv_shortcut": "nin_shortcut",
        "downsamplers.0": "downsample",
        "upsamplers.0": "upsample",
    }.items():
        name = name.replace(new, old)
    name = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d+)", r"down.\1", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets", lambda m: f"up.{levels - 1 - int(m[1])}.block", name)
    return re.sub(r"up_blocks\.(\d+)", lambda m: f"up.{levels - 1 - int(m[1])}", name)


OPENCLIP = {
    "text_model.": "",
    "encoder.layers.": "transformer.resblocks.",
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.token_embedding": "token_embedding",
    "final_layer_norm": "ln_final",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn": "attn",
}


def original_text(state, openclip, projection):
    """name -> shape. OpenCLIP's queries, keys and values are one matrix, its projection is transposed."""
    out = {}
    for name, value in state.items():
        shape = list(value.shape)
        if not openclip:
            out["text_model." + name.removeprefix("text_model.")] = shape
            continue
        for new, old in OPENCLIP.items():
            name = name.replace(new, old)
        if ".q_proj." in name:
            name = name.replace(".q_proj.", ".in_proj_")
            shape[0] *= 3
        elif ".k_proj." in name or ".v_proj." in name or name == "text_projection.weight":
            continue
        out[name] = shape
    if openclip:
        out["text_projection"] = [out["positional_embedding"][1], projection]
        out["logit_scale"] = []
    return out


# ---- the cases ----


def text(width, layers, act, **more):
    return CLIPTextConfig(
        vocab_size=49408,
        max_position_embeddings=77,
        hidden_size=width,
        intermediate_size=2 * width,
        num_attention_heads=width // 64,
        num_hidden_layers=layers,
        hidden_act=act,
        bos_token_id=0,
        eos_token_id=2,
        pad_token_id=1,
        **more,
    )


def cases():
    """name -> (U-Net, VAE, text encoders, scheduler, what else the file has, its dtype)"""
    return {
        "sd1": dict(
            unet=unet_config(
                [(CROSS, 32), (PLAIN, 64)],
                attention_head_dim=8,
                layers_per_block=2,
                cross_attention_dim=64,
                sample_size=64,
            ),
            vae=vae_config([32, 64], layers_per_block=2, scaling_factor=0.18215, sample_size=512),
            text=[("cond_stage_model.transformer.", text(64, 2, "quick_gelu"))],
            scheduler=SD15_SCHEDULER,
            dtype="F16",
            extra=[
                ["model_ema.decay", "F32", [1]],
                ["model_ema.diffusion_modelinput_blocks00weight", "F32", [32, 4, 3, 3]],
                ["alphas_cumprod", "F32", [1000]],
                ["cond_stage_model.logit_scale", "F32", []],
            ],
        ),
        "sd2": dict(
            unet=unet_config(
                [(CROSS, 64), (CROSS, 128)],
                attention_head_dim=[1, 2],
                layers_per_block=1,
                cross_attention_dim=128,
                use_linear_projection=True,
                sample_size=96,
            ),
            vae=vae_config([32, 32], layers_per_block=1, scaling_factor=0.18215, sample_size=768),
            text=[("cond_stage_model.model.", text(128, 23, "gelu"))],
            scheduler=DDIMScheduler(
                **SCALED_LINEAR,
                prediction_type="v_prediction",
                steps_offset=1,
                set_alpha_to_one=False,
                clip_sample=False,
            ),
            dtype="F32",
            extra=[],
        ),
        "xl": dict(
            unet=unet_config(
                [(PLAIN, 64), (CROSS, 64), (CROSS, 128)],
                attention_head_dim=[1, 1, 2],
                transformer_layers_per_block=[1, 2, 3],
                layers_per_block=1,
                cross_attention_dim=192,
                use_linear_projection=True,
                addition_embed_type="text_time",
                addition_time_embed_dim=256,
                projection_class_embeddings_input_dim=128 + 6 * 256,
                sample_size=128,
            ),
            vae=vae_config([32, 32], layers_per_block=1, scaling_factor=0.13025, sample_size=1024),
            text=[
                ("conditioner.embedders.0.transformer.", text(64, 2, "quick_gelu")),
                ("conditioner.embedders.1.model.", text(128, 3, "gelu", projection_dim=128)),
            ],
            scheduler=XL_SCHEDULER,
            dtype="F16",
            extra=[["denoiser.sigmas", "F32", [1000]]],
        ),
        "refiner": dict(
            unet=unet_config(
                [(PLAIN, 64), (CROSS, 128), (PLAIN, 128)],
                attention_head_dim=[1, 2, 2],
                transformer_layers_per_block=2,
                layers_per_block=1,
                cross_attention_dim=128,
                use_linear_projection=True,
                addition_embed_type="text_time",
                addition_time_embed_dim=256,
                projection_class_embeddings_input_dim=128 + 5 * 256,
                sample_size=128,
            ),
            vae=vae_config([32, 32], layers_per_block=1, scaling_factor=0.13025, sample_size=1024),
            text=[("conditioner.embedders.0.model.", text(128, 3, "gelu", projection_dim=128))],
            scheduler=XL_SCHEDULER,
            dtype="F16",
            extra=[],
        ),
    }


def tokenizer_of(folder, prefix):
    """Text encoders of OpenCLIP are padded with id 0."""
    pad = "!" if prefix.endswith("model.") else "<|endoftext|>"
    return CLIPTokenizer.from_pretrained(unpack_clip(os.path.join(folder, "clip")), pad_token=pad)


def build(name, case, folder):
    """The pipeline's configurations in `folder`, without weights; its parts."""
    parts = dict(unet=UNet2DConditionModel(**case["unet"]), vae=AutoencoderKL(**case["vae"]))
    if name in ("xl", "refiner"):
        rest = dict(text_encoder=None, tokenizer=None)
        for prefix, config in case["text"]:
            second = prefix.endswith("model.")
            model = CLIPTextModelWithProjection(config) if second else CLIPTextModel(config)
            parts["text_encoder_2" if second else "text_encoder"] = model
            rest["tokenizer_2" if second else "tokenizer"] = tokenizer_of(folder, prefix)
        if name == "refiner":
            rest.update(requires_aesthetics_score=True, force_zeros_for_empty_prompt=False)
        rest.update(add_watermarker=False)
    else:
        prefix, config = case["text"][0]
        parts["text_encoder"] = CLIPTextModel(config)
        rest = dict(
            tokenizer=tokenizer_of(folder, prefix),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    PIPELINES[name](**{**rest, **parts}, scheduler=case["scheduler"]).save_pretrained(folder)
    for part in parts:
        for file in os.listdir(os.path.join(folder, part)):
            if file.endswith(".safetensors"):
                os.remove(os.path.join(folder, part, file))
    return parts


def tensors_of(case, parts):
    out = []
    for name, value in parts["unet"].state_dict().items():
        out.append(["model.diffusion_model." + original_unet(name, parts["unet"].config), list(value.shape)])
    for name, value in parts["vae"].state_dict().items():
        old, shape = original_vae(name, parts["vae"].config), list(value.shape)
        if ".attn_1." in old and ".norm." not in old and len(shape) == 2:
            shape += [1, 1]
        out.append(["first_stage_model." + old, shape])
    for (prefix, config), part in zip(case["text"], [p for n, p in parts.items() if n.startswith("text")]):
        openclip = not prefix.endswith("transformer.")
        state = dict(part.state_dict())
        if openclip and prefix.startswith("cond_stage_model"):  # the last layer, which nobody takes
            last = config.num_hidden_layers
            state.update({k.replace(".0.", f".{last}."): v for k, v in state.items() if "layers.0." in k})
        for name, shape in original_text(state, openclip, config.hidden_size).items():
            out.append([prefix + name, shape])
    tensors = [[name, case["dtype"], shape] for name, shape in out] + case["extra"]
    return sorted(tensors)


def latents_of(pipeline):
    generator = torch.Generator().manual_seed(SEED)
    return pipeline(
        PROMPT,
        negative_prompt=NEGATIVE,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        width=32,
        height=32,
        generator=generator,
        output_type="latent",
    ).images


def record(name, case):
    with tempfile.TemporaryDirectory() as work:
        config, file, made = (os.path.join(work, x) for x in ("config", "file.safetensors", "made"))
        parts = build(name, case, config)
        tensors = tensors_of(case, parts)
        save_file(fill(tensors), file)
        more = dict(text_encoder=None, tokenizer=None) if name == "refiner" else {}
        pipeline = PIPELINES[name].from_single_file(file, config=config, local_files_only=True, **more)
        pipeline.set_progress_bar_config(disable=True)
        pipeline.save_pretrained(made)
        folder = {}
        for part in parts:
            for entry in sorted(os.listdir(os.path.join(made, part))):
                if not entry.endswith(".safetensors"):
                    continue
                state = load_file(os.path.join(made, part, entry))
                folder[part] = [
                    [key, list(value.shape), sha256(tensor_bytes(value.float()))]
                    for key, value in sorted(state.items())
                ]
        latents = torch.zeros(0)
        if name != "refiner":  # which begins with what another model has drawn
            with torch.inference_mode():
                latents = latents_of(pipeline)
        configs = {}
        for part in list(parts) + ["scheduler"]:
            for entry in os.listdir(os.path.join(made, part)):
                if entry.endswith("config.json"):
                    with open(os.path.join(made, part, entry)) as f:
                        configs[f"{part}/{entry}"] = json.load(f)
        keep = os.environ.get("KEEP")  # a folder to look at what diffusers made
        if keep:
            shutil.rmtree(os.path.join(keep, name), ignore_errors=True)
            shutil.copytree(work, os.path.join(keep, name))
    print(name, len(tensors), "tensors, latents", tuple(latents.shape))
    write_json(
        os.path.join(OUT, name + ".json"),
        {
            "format": "tintype-single",
            "version": 1,
            "versions": versions(),
            "tensors": tensors,
            "folder": folder,
            "configs": configs,
            "latents": {
                "prompt": PROMPT,
                "negative_prompt": NEGATIVE,
                "seed": SEED,
                "steps": STEPS,
                "guidance_scale": GUIDANCE,
                "width": 32,
                "height": 32,
                "shape": list(latents.shape),
                "values": [float(x) for x in latents.flatten()],
            },
        },
    )


def main():
    diffusers.utils.logging.set_verbosity_error()
    os.makedirs(OUT, exist_ok=True)
    for name, case in cases().items():
        if not sys.argv[1:] or name in sys.argv[1:]:
            record(name, case)


if __name__ == "__main__":
    main()
