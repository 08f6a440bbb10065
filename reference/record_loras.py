# SPDX-License-Identifier: MIT
"""Write LoRAs for the tiny pipelines as peft, diffusers and kohya's scripts write them, and record what
diffusers makes of them: reference/loras/<model>/<file> and reference/golden/loras/<model>.{json,safetensors}.

Usage: record_loras.py [MODEL...]

Of each case (one or several files with their weights, fused): the change of a few modules, as peft's
get_delta_weight() gives it, the fused weights of these, and the final latents of a run. Files in kohya's
layout are written here, with the names that his scripts give (`lora_unet_` and the module's path with
underscores, `lora_down`, `lora_up`, `alpha`): the scripts are no package. All others are written by the
libraries themselves.
"""

import json
import os
import re
import shutil
import sys
import tempfile

import peft
import torch
from diffusers import DDIMScheduler, DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.utils import set_weights_and_activate_adapters
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from common import HERE, file_sha256, sha256, tensor_bytes, versions, write_json, write_tensors

LORAS = os.path.join(HERE, "loras")
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
LINEAR = ATTENTION + ["ff.net.0.proj", "ff.net.2", "proj_in", "proj_out", "time_emb_proj"]
CONVOLUTIONS = ["conv1", "conv2", "conv_shortcut", "conv", "conv_in", "conv_out", "linear_1", "linear_2"]
TEXT = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]
RUN = dict(prompt="a red boat on a lake", steps=3, guidance_scale=5.0, seed=11)


def load(model):
    pipeline = DiffusionPipeline.from_pretrained(os.path.join(HERE, "tiny", model), safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    return pipeline


def fill(module, seed):
    """Random matrices in place of the zeros that training starts from."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(module.named_parameters()):
        if ".lora_A." in name or ".lora_B." in name:
            columns = parameter[0].numel()
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.5 / columns**0.5


def random_layers(module, seed, **config):
    """(state dict, config) of a new adapter on the module, which is left without it."""
    config = LoraConfig(init_lora_weights=False, **config)
    module.add_adapter(config)
    fill(module, seed)
    state = {k: v.clone() for k, v in get_peft_model_state_dict(module, adapter_name="default").items()}
    module.delete_adapters("default") if hasattr(module, "delete_adapters") else None
    return state, config


def layers_of(model, part, seed, **config):
    return random_layers(getattr(load(model), part), seed, **config)


def settings_of(config):
    known = ("r", "lora_alpha", "target_modules", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "bias")
    values = {k: getattr(config, k) for k in known}
    return {k: sorted(v) if isinstance(v, set) else v for k, v in values.items()}


def save_diffusers(path, unet=None, text=None, unet_config=None, text_config=None):
    with tempfile.TemporaryDirectory() as folder:
        StableDiffusionPipeline.save_lora_weights(
            folder,
            unet_lora_layers=unet,
            text_encoder_lora_layers=text,
            weight_name=os.path.basename(path),
            unet_lora_adapter_metadata=unet_config,
            text_encoder_lora_adapter_metadata=text_config,
        )
        shutil.move(os.path.join(folder, os.path.basename(path)), path)
    sort_metadata(path)


def sort_metadata(path):
    """safetensors writes its metadata in an order that changes from run to run."""
    with open(path, "r+b") as f:
        size = int.from_bytes(f.read(8), "little")
        header = json.loads(f.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(text) <= size
        f.seek(8)
        f.write(text.ljust(size))


def kohya_names(layers, prefix, alphas, dtype=torch.float32):
    """alphas: one number, or a function of the module's name; None: no such keys."""
    out = {}
    for name, value in layers.items():
        module, kind = name.split(".lora_")
        key = prefix + module.replace(".", "_")
        out[key + (".lora_down.weight" if kind == "A.weight" else ".lora_up.weight")] = value.to(dtype)
        if alphas is not None:
            out[key + ".alpha"] = torch.tensor(alphas(module) if callable(alphas) else float(alphas)).to(dtype)
    return out


def old_names(layers, prefix):
    """As diffusers wrote its attention processors before version 0.22."""
    renamed = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out", "to_out.0": "to_out"}
    out = {}
    for name, value in layers.items():
        module, kind = name.split(".lora_")
        parent, layer = module.rsplit(".attn1.", 1) if ".attn1." in module else module.rsplit(".attn2.", 1)
        which = "attn1" if ".attn1." in module else "attn2"
        end = "down" if kind == "A.weight" else "up"
        out[f"{prefix}{parent}.{which}.processor.{renamed.get(layer, layer)}_lora.{end}.weight"] = value
    return out


def text_names(layers):
    """Text encoders' modules as kohya's scripts know them, with text_model in front."""
    return {k if k.startswith("text_model.") else "text_model." + k: v for k, v in layers.items()}


def original_names(state, layers):
    """kohya's names of the U-Net that his scripts train SDXL with, the original one: blocks count through.
    `layers`: resnets of a level on the way down; on the way up there is one more."""
    inner = {"conv1": "in_layers_2", "conv2": "out_layers_3", "time_emb_proj": "emb_layers_1",
             "conv_shortcut": "skip_connection"}
    whole = {"conv_in": "input_blocks_0_0", "conv_out": "out_2", "time_embedding_linear_1": "time_embed_0",
             "time_embedding_linear_2": "time_embed_2", "add_embedding_linear_1": "label_emb_0_0",
             "add_embedding_linear_2": "label_emb_0_2"}

    def name(module):
        if module in whole:
            return whole[module]
        found = re.match(r"(down|up)_blocks_(\d+)_(resnets|attentions|downsamplers|upsamplers)_(\d+)_(.*)", module)
        if not found:
            found = re.match(r"mid_block_(resnets|attentions)_(\d+)_(.*)", module)
            at = 1 if found[1] == "attentions" else 2 * int(found[2])
            return f"middle_block_{at}_{inner.get(found[3], found[3])}"
        way, block, kind, index, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
        rest = inner.get(rest, rest)
        if way == "down":
            if kind == "downsamplers":
                return f"input_blocks_{(block + 1) * (layers + 1)}_0_op"
            return f"input_blocks_{1 + block * (layers + 1) + index}_{int(kind == 'attentions')}_{rest}"
        if kind == "upsamplers":
            return f"output_blocks_{block * (layers + 1) + layers}_2_{rest}"
        return f"output_blocks_{block * (layers + 1) + index}_{int(kind == 'attentions')}_{rest}"

    out = {}
    for key, value in state.items():
        module, end = key.split(".", 1)
        begin = "lora_unet_"
        out[begin + name(module[len(begin):]) + "." + end if module.startswith(begin) else key] = value
    return out


def write_xl_files(model):
    """The same for SDXL: with both text encoders, by diffusers and in kohya's two spellings."""
    folder = os.path.join(LORAS, model)
    os.makedirs(folder, exist_ok=True)
    adapter = dict(r=4, lora_alpha=4)
    add = ["add_embedding.linear_1", "add_embedding.linear_2"]
    unet, _ = layers_of(model, "unet", 21, target_modules=LINEAR, **adapter)
    texts = [layers_of(model, part, 22 + i, target_modules=TEXT, **adapter)[0]
             for i, part in enumerate(("text_encoder", "text_encoder_2"))]
    with tempfile.TemporaryDirectory() as saved:
        StableDiffusionXLPipeline.save_lora_weights(
            saved, unet_lora_layers=unet, text_encoder_lora_layers=texts[0], text_encoder_2_lora_layers=texts[1],
            weight_name="plain.safetensors",
        )
        shutil.move(os.path.join(saved, "plain.safetensors"), os.path.join(folder, "plain.safetensors"))
    for file, seed, convolutions in (("kohya", 31, []), ("original", 41, CONVOLUTIONS + add)):
        unet, _ = layers_of(model, "unet", seed, target_modules=LINEAR + convolutions, **adapter)
        state = kohya_names(unet, "lora_unet_", 2, torch.float16)
        for i, part in enumerate(("text_encoder", "text_encoder_2")):
            text, _ = layers_of(model, part, seed + 1 + i, target_modules=TEXT, **adapter)
            state.update(kohya_names(text_names(text), f"lora_te{i + 1}_", 1.5, torch.float16))
        if convolutions:
            state = original_names(state, load(model).unet.config.layers_per_block)
        save_file(state, os.path.join(folder, file + ".safetensors"))


def write_files(model):
    """The LoRAs of one model. Returns nothing: they are looked for by their names."""
    folder = os.path.join(LORAS, model)
    os.makedirs(folder, exist_ok=True)

    def path(name):
        return os.path.join(folder, name)

    unet, config = layers_of(model, "unet", 1, r=4, lora_alpha=4, target_modules=LINEAR)
    text, text_config = layers_of(model, "text_encoder", 2, r=3, lora_alpha=3, target_modules=TEXT)
    save_diffusers(path("plain.safetensors"), unet, text)
    # Alphas, ranks by module, square roots: what the metadata says.
    unet, config = layers_of(
        model, "unet", 3, r=4, lora_alpha=6, target_modules=ATTENTION + CONVOLUTIONS, use_rslora=True,
        alpha_pattern={"attn2.to_k": 10, "mid_block.resnets.0.conv1": 2.5}, rank_pattern={"to_q": 7, "conv2": 2},
    )
    text, text_config = layers_of(model, "text_encoder", 4, r=2, lora_alpha=5, target_modules=["q_proj", "fc2"])
    save_diffusers(path("metadata.safetensors"), unet, text, settings_of(config), settings_of(text_config))
    # kohya's: LoRA of linear layers, float16 with alphas; LoCon with convolutions, bfloat16.
    unet, _ = layers_of(model, "unet", 5, r=4, lora_alpha=4, target_modules=LINEAR)
    text, _ = layers_of(model, "text_encoder", 6, r=4, lora_alpha=4, target_modules=TEXT)
    state = kohya_names(unet, "lora_unet_", 1, torch.float16)
    state.update(kohya_names(text_names(text), "lora_te_", 2, torch.float16))
    save_file(state, path("kohya.safetensors"), metadata={"ss_network_module": "networks.lora"})
    unet, _ = layers_of(
        model, "unet", 7, r=8, lora_alpha=8, target_modules=LINEAR + CONVOLUTIONS,
        rank_pattern={"conv1": 3, "conv2": 3, "conv": 5},
    )
    state = kohya_names(unet, "lora_unet_", lambda m: 1.5 if "conv" in m else 4.0, torch.bfloat16)
    save_file(state, path("locon.safetensors"))
    # The U-Net's attention alone, as diffusers named it first.
    unet, _ = layers_of(model, "unet", 8, r=4, lora_alpha=4, target_modules=ATTENTION)
    save_file(old_names(unet, "unet."), path("old.safetensors"))
    # peft's own folder.
    inner = get_peft_model(
        load(model).unet, LoraConfig(r=5, lora_alpha=8, target_modules=ATTENTION + ["conv1"], init_lora_weights=False)
    )
    fill(inner, 9)
    with tempfile.TemporaryDirectory() as saved:
        inner.save_pretrained(saved)
        os.makedirs(path("peft"), exist_ok=True)
        for name in ("adapter_model.safetensors", "adapter_config.json"):
            shutil.move(os.path.join(saved, name), os.path.join(path("peft"), name))
    with open(path("peft/adapter_config.json"), "r+") as f: # a set, in an order that changes from run to run
        config = json.load(f)
        config["target_modules"].sort()
        f.seek(0)
        f.truncate()
        f.write(json.dumps(config, indent=2, sort_keys=True))


CASES = [
    ("plain", [("plain.safetensors", 1.0)]),
    ("plain-weighted", [("plain.safetensors", 0.7)]),
    ("metadata", [("metadata.safetensors", 1.0)]),
    ("kohya", [("kohya.safetensors", 0.8)]),
    ("locon", [("locon.safetensors", 1.0)]),
    ("old", [("old.safetensors", -0.5)]),
    ("peft", [("peft/adapter_model.safetensors", 1.0)]),
    ("several", [("plain.safetensors", 0.5), ("locon.safetensors", 0.6), ("kohya.safetensors", -0.3)]),
]


XL_CASES = [
    ("plain", [("plain.safetensors", 1.0)]),
    ("kohya", [("kohya.safetensors", 0.8)]),
    ("original", [("original.safetensors", 1.0)]),
    ("several", [("plain.safetensors", 0.5), ("original.safetensors", 0.6)]),
]


def cases_of(model):
    return XL_CASES if model == "xl" else CASES


def deltas_of(module, adapters):
    """{module: [its change by each adapter]}, of the layers that have any."""
    found = {}
    for name, layer in module.named_modules():
        if hasattr(layer, "get_delta_weight") and hasattr(layer, "lora_A"):
            found[name] = [layer.get_delta_weight(a) for a in adapters if a in layer.lora_A]
    return found


def few(names):
    """Of all modules two of each kind: the first and the last."""
    kinds = {}
    for name in names:
        kinds.setdefault(name.rsplit(".", 1)[-1] if not name.endswith(".0") else name[-8:], []).append(name)
    return sorted({g[i] for g in kinds.values() for i in {0, len(g) - 1}})


def load_lora(pipeline, folder, file, name):
    """load_lora_weights(), which for some models does not give the U-Net's configuration to the names of the
    original U-Net; and whether all of the file has come in."""
    state, alphas, metadata = pipeline.lora_state_dict(
        folder, weight_name=file, return_lora_metadata=True, unet_config=pipeline.unet.config
    )
    more = dict(network_alphas=alphas, adapter_name=name, metadata=metadata, _pipeline=pipeline)
    pipeline.load_lora_into_unet(state, unet=pipeline.unet, **more)
    parts = [pipeline.unet]
    for part in ("text_encoder", "text_encoder_2"):
        if getattr(pipeline, part, None) is not None:
            parts.append(getattr(pipeline, part))
            pipeline.load_lora_into_text_encoder(state, text_encoder=parts[-1], prefix=part, **more)
    want = sum(1 for k in state if ".lora_B." in k or ".up." in k)
    have = sum(deltas_of(part, [name]) != {} and len([1 for d in deltas_of(part, [name]).values() if d and d[0].any()])
               for part in parts)
    assert want == have, (file, want, have)


def fused(model, loras):
    """(pipeline with the LoRAs in its weights, the changes of its parts' modules)."""
    pipeline = load(model)
    parts = [p for p in ("unet", "text_encoder", "text_encoder_2") if getattr(pipeline, p, None) is not None]
    if loras[0][0].startswith("peft/"):
        folder = os.path.dirname(os.path.join(LORAS, model, loras[0][0]))
        wrapped = PeftModel.from_pretrained(pipeline.unet, folder)
        changes = {"unet": deltas_of(wrapped.base_model.model, ["default"])}
        pipeline.unet = wrapped.merge_and_unload()
        return pipeline, changes
    changes = {part: {} for part in parts}
    # One after the other: transformers 5.23 makes the first adapter of a text encoder new when a second comes.
    for i, (file, weight) in enumerate(loras):
        name = f"lora{i}"
        load_lora(pipeline, os.path.join(LORAS, model), file, name)
        for part in parts: # set_adapters() does it but where layers_per_block is a list, as in sd21
            if getattr(getattr(pipeline, part), "peft_config", None):
                set_weights_and_activate_adapters(getattr(pipeline, part), [name], [weight])
            for module, found in deltas_of(getattr(pipeline, part), [name]).items():
                changes[part].setdefault(module, []).extend(found)
        pipeline.fuse_lora(components=parts, adapter_names=[name])
        pipeline.unload_lora_weights()
    return pipeline, changes


def record(model):
    tensors, cases = {}, []
    for case, loras in cases_of(model):
        pipeline, changes = fused(model, loras)
        entry = {"name": case, "loras": [{"file": f, "weight": w} for f, w in loras], "modules": {}}
        for part, found in changes.items():
            weights = dict(getattr(pipeline, part).named_parameters())
            entry["modules"][part] = len(found)
            for name in few(sorted(found)):
                if case not in ("plain-weighted", "several"):
                    tensors[f"{case}.delta.{part}.{name}.weight"] = found[name][0].detach().float()
                    continue
                tensors[f"{case}.fused.{part}.{name}.weight"] = weights[name + ".weight"].detach()
        with torch.no_grad():
            latents = pipeline(
                RUN["prompt"],
                num_inference_steps=RUN["steps"],
                guidance_scale=RUN["guidance_scale"],
                generator=torch.Generator().manual_seed(RUN["seed"]),
                output_type="latent",
            ).images
        tensors[f"{case}.latents"] = latents
        cases.append(entry)
        print(model, case, entry["modules"], float(latents.abs().mean()))
    plain = load(model)
    with torch.no_grad():
        tensors["none.latents"] = plain(
            RUN["prompt"], num_inference_steps=RUN["steps"], guidance_scale=RUN["guidance_scale"],
            generator=torch.Generator().manual_seed(RUN["seed"]), output_type="latent",
        ).images
    folder = os.path.join(HERE, "golden", "loras")
    os.makedirs(folder, exist_ok=True)
    write_tensors(os.path.join(folder, model + ".safetensors"), tensors)
    files = sorted({f for _, loras in cases_of(model) for f, _ in loras})
    write_json(
        os.path.join(folder, model + ".json"),
        {
            "versions": {**versions(), "peft": peft.__version__},
            "run": {**RUN, "scheduler": "ddim"},
            "files": {f: file_sha256(os.path.join(LORAS, model, f)) for f in files},
            "cases": cases,
            "tensors": [{"name": k, "sha256": sha256(tensor_bytes(v))} for k, v in sorted(tensors.items())],
        },
    )


if __name__ == "__main__":
    torch.use_deterministic_algorithms(True)
    for model in sys.argv[1:] or ["sd15", "sd21", "xl"]:
        write_xl_files(model) if model == "xl" else write_files(model)
        record(model)
