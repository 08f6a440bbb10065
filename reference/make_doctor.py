#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes reference/doctor/: small files as other programs write them, for tests/test_doctor.c.

    lora-diffusers.safetensors    StableDiffusionLoraLoaderMixin.save_lora_weights: U-Net and text encoder, rank 2
    lora-kohya.safetensors        the same by diffusers' converter to kohya's names, alphas and metadata of sd-scripts
    lora-peft/                    peft's own folder, of a DoRA of rank 3
    lora-xl.safetensors           kohya's names with the widths of Stable Diffusion XL
    embedding-diffusers.safetensors, embedding-webui.safetensors    textual inversion, two vectors of width 768
    embedding-xl.safetensors      one for both text encoders of Stable Diffusion XL
    controlnet/, t2i-adapter/     as save_pretrained() writes them
    unet-f8.safetensors           numbers of eight bits, as torch.float8_e4m3fn

Beside requirements.txt it needs peft 0.21.
"""
import json
import re
from pathlib import Path

import torch
from diffusers import ControlNetModel, StableDiffusionPipeline, T2IAdapter, UNet2DConditionModel
from diffusers.utils import (convert_all_state_dict_to_peft, convert_state_dict_to_diffusers,
                             convert_state_dict_to_kohya)
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

OUT = Path(__file__).parent / "doctor"
UNET = dict(sample_size=8, block_out_channels=(8, 8), layers_per_block=1, cross_attention_dim=768, norm_num_groups=4,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), attention_head_dim=2)
TEXT = dict(hidden_size=768, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=8)


def randomise(model):
    """Values that no test takes for untrained ones."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.1)
    return model


def half(tensors):
    return {name: tensor.to(torch.float16).contiguous() for name, tensor in tensors.items()}


def lora(model, targets, **options):
    torch.manual_seed(7)
    model.add_adapter(LoraConfig(target_modules=targets, **options))
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn_like(parameter) * 0.1
    return get_peft_model_state_dict(model)


def write_loras(unet, text):
    unet_lora = half(lora(unet, ["to_q", "to_k", "to_v", "to_out.0"], r=2, lora_alpha=4))
    text_lora = half(lora(text, ["q_proj", "v_proj"], r=2, lora_alpha=4))
    unet_lora, text_lora = convert_state_dict_to_diffusers(unet_lora), convert_state_dict_to_diffusers(text_lora)
    config = {"r": 2, "lora_alpha": 4, "target_modules": ["to_q", "to_k", "to_v", "to_out.0"]}
    StableDiffusionPipeline.save_lora_weights(OUT, unet_lora, text_lora, weight_name="lora-diffusers.safetensors",
                                              unet_lora_adapter_metadata=config)
    names = load_file(OUT / "lora-diffusers.safetensors")
    kohya = {}
    for name, tensor in convert_state_dict_to_kohya(convert_all_state_dict_to_peft(names)).items():
        module = re.sub(r"[._]lora[._](down|up).weight|.alpha", "", name)
        role = re.search(r"(down|up).weight", name)
        if role:
            kohya[f"{module}.lora_{role[1]}.weight"] = tensor
            kohya[f"{module}.alpha"] = torch.tensor(1.0)
    tags = {"10_ohwx castle": {"castle": 20, "night sky": 12, "a \"tower\"": 3}, "reg": {"building": 30}}
    save_file(half(kohya), OUT / "lora-kohya.safetensors", metadata={
        "ss_output_name": "castles", "ss_network_dim": "2", "ss_network_alpha": "1.0",
        "ss_tag_frequency": json.dumps(tags),
        "ss_base_model_version": "sd_v1", "modelspec.trigger_phrase": "ohwx", "modelspec.title": "Castles"})


def write_peft(unet):
    torch.manual_seed(8)
    model = get_peft_model(unet, LoraConfig(target_modules=["to_k"], r=3, lora_alpha=3, use_dora=True))
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn_like(parameter) * 0.1
    model.save_pretrained(OUT / "lora-peft")
    (OUT / "lora-peft/README.md").unlink(missing_ok=True)


def write_xl():
    torch.manual_seed(9)
    pairs = {"lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k": (640, 2048),
             "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_v": (640, 2048),
             "lora_te2_text_model_encoder_layers_0_self_attn_q_proj": (1280, 1280)}
    tensors = {}
    for name, (rows, columns) in pairs.items():
        rank = 1 if "te2" in name else 2
        tensors[f"{name}.lora_down.weight"] = torch.randn(rank, columns)
        tensors[f"{name}.lora_up.weight"] = torch.randn(rows, rank)
        tensors[f"{name}.alpha"] = torch.tensor(rank / 2)
    save_file(half(tensors), OUT / "lora-xl.safetensors")


def write_embeddings():
    torch.manual_seed(10)
    save_file({"<castle>": torch.randn(2, 768) * 0.02}, OUT / "embedding-diffusers.safetensors")
    save_file({"emb_params": torch.randn(2, 768) * 0.02}, OUT / "embedding-webui.safetensors")
    save_file({"clip_l": torch.randn(1, 768) * 0.02, "clip_g": torch.randn(1, 1280) * 0.02},
              OUT / "embedding-xl.safetensors")


def main():
    OUT.mkdir(exist_ok=True)
    torch.manual_seed(1)
    unet = randomise(UNet2DConditionModel(**UNET))
    controlnet = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8))
    randomise(controlnet).half().save_pretrained(OUT / "controlnet")
    adapter = T2IAdapter(channels=(8, 8), num_res_blocks=1, downscale_factor=8)
    randomise(adapter).half().save_pretrained(OUT / "t2i-adapter")
    names = ("conv_in.weight", "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",
             "time_embedding.linear_1.weight")
    tensors = {name: tensor.to(torch.float8_e4m3fn) for name, tensor in unet.state_dict().items() if name in names}
    save_file(tensors, OUT / "unet-f8.safetensors")
    write_loras(unet, randomise(CLIPTextModel(CLIPTextConfig(**TEXT))))
    write_peft(randomise(UNet2DConditionModel(**UNET)))
    write_xl()
    write_embeddings()


if __name__ == "__main__":
    main()
