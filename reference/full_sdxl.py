# SPDX-License-Identifier: MIT
"""A pipeline of Stable Diffusion XL's full size with random weights, in float16.

Usage: full_sdxl.py MODEL [--latents FILE [--steps N] [--size PX] [--threads N]]
MODEL is the folder to write the pipeline to (7 GB), unless it is there; one tensor after the other,
so that it takes little memory. With --latents, diffusers' final latents of it (guidance 5, seed 42),
computed in float32 from these weights, which takes 15 GB of memory, and what that took:

    full_sdxl.py sdxl --latents diffusers.safetensors --steps 2 --size 1024
    tintype generate -m sdxl -p "a lighthouse at sunset, stars over the sea" -s 42 --steps 2 \\
                     --guidance-scale 5 -o noise.png --save-latents tintype.safetensors
    tintype verify tintype.safetensors diffusers.safetensors
"""

import argparse
import json
import os
import resource
import struct
import time

import diffusers
import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from make_tiny import CROSS, PLAIN, SCALED_LINEAR, unet_config, vae_config
from record_tokenizer import unpack_clip

PROMPT, SEED = "a lighthouse at sunset, stars over the sea", 42


def text_config(**config):
    return CLIPTextConfig(
        vocab_size=49408, max_position_embeddings=77, bos_token_id=0, eos_token_id=2, pad_token_id=1, **config
    )


def parts():
    """name -> a network without data, of its full size."""
    first = text_config(
        hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12,
        hidden_act="quick_gelu", projection_dim=768,
    )
    second = text_config(
        hidden_size=1280, intermediate_size=5120, num_attention_heads=20, num_hidden_layers=32,
        hidden_act="gelu", projection_dim=1280,
    )
    with torch.device("meta"):
        return {
            "unet": UNet2DConditionModel(
                **unet_config(
                    [(PLAIN, 320), (CROSS, 640), (CROSS, 1280)],
                    attention_head_dim=[5, 10, 20],
                    transformer_layers_per_block=[1, 2, 10],
                    layers_per_block=2,
                    cross_attention_dim=2048,
                    sample_size=128,
                    use_linear_projection=True,
                    addition_embed_type="text_time",
                    addition_time_embed_dim=256,
                    projection_class_embeddings_input_dim=2816,
                )
            ),
            "vae": AutoencoderKL(
                **vae_config(
                    [128, 256, 512, 512], layers_per_block=2, latent_channels=4, scaling_factor=0.13025,
                    sample_size=1024,
                )
            ),
            "text_encoder": CLIPTextModel(first),
            "text_encoder_2": CLIPTextModelWithProjection(second),
        }


def value_of(module, name, parameter, generator):
    """As make_tiny.py's randomise()."""
    value = torch.randn(parameter.shape, generator=generator)
    if isinstance(module, (torch.nn.GroupNorm, torch.nn.LayerNorm)):
        value = 1 + 0.2 * value if name == "weight" else 0.2 * value
    elif isinstance(module, torch.nn.Embedding):
        value = 0.5 * value
    elif parameter.dim() > 1:
        value = value / (parameter[0].numel() ** 0.5)
    else:
        value = 0.1 * value
    return value.half()


def write_weights(network, path, seed):
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        f"{path}.{name}" if path else name: (module, name, parameter)
        for path, module in network.named_modules()
        for name, parameter in module.named_parameters(recurse=False)
    }
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name in sorted(tensors):
        parameter = tensors[name][2]
        end = at + 2 * parameter.numel()
        header[name] = {"dtype": "F16", "shape": list(parameter.shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".part", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            f.write(value_of(*tensors[name], generator).numpy().tobytes())
    os.rename(path + ".part", path)
    return at


def build(folder):
    index = {"_class_name": "StableDiffusionXLPipeline", "_diffusers_version": diffusers.__version__}
    total = 0
    for i, (name, network) in enumerate(parts().items()):
        at = os.path.join(folder, name)
        os.makedirs(at, exist_ok=True)
        text = name.startswith("text")
        if text:
            network.config.architectures = [type(network).__name__]
            network.config.save_pretrained(at)
        else:
            network.save_config(at)
        file = "model.safetensors" if text else "diffusion_pytorch_model.safetensors"
        total += write_weights(network, os.path.join(at, file), 8000 + i)
        index[name] = ["transformers" if text else "diffusers", type(network).__name__]
        print(f"{name}: {total / 1e9:.1f} GB so far", flush=True)
    for name, pad in (("tokenizer", "<|endoftext|>"), ("tokenizer_2", "!")):
        at = os.path.join(folder, name)
        tokenizer = CLIPTokenizer.from_pretrained(unpack_clip(at), pad_token=pad, model_max_length=77)
        for file in os.listdir(at):
            os.remove(os.path.join(at, file))
        tokenizer.save_pretrained(at)
        index[name] = ["transformers", "CLIPTokenizer"]
    scheduler = EulerDiscreteScheduler(**SCALED_LINEAR, timestep_spacing="leading", steps_offset=1)
    scheduler.save_pretrained(os.path.join(folder, "scheduler"))
    index["scheduler"] = ["diffusers", "EulerDiscreteScheduler"]
    index |= {"force_zeros_for_empty_prompt": True, "add_watermarker": False}
    with open(os.path.join(folder, "model_index.json"), "w") as f:
        json.dump(index, f, indent=2)


def run(args):
    pipeline = StableDiffusionXLPipeline.from_pretrained(args.model, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    marks = [time.time()]

    def after(_, k, t, state):
        marks.append(time.time())
        print(f"step {k + 1}: {marks[-1] - marks[-2]:.1f} s", flush=True)
        return state

    latents = pipeline(
        PROMPT, height=args.size, width=args.size, num_inference_steps=args.steps, guidance_scale=5.0,
        generator=torch.Generator().manual_seed(SEED), output_type="latent", callback_on_step_end=after,
    ).images
    save_file({"latents": latents}, args.latents)
    began = time.time()
    pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor)
    print(f"decode: {time.time() - began:.1f} s", flush=True)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory: {most / 2**20:.2f} GiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--latents")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    diffusers.utils.logging.set_verbosity_error()
    if not os.path.exists(os.path.join(args.model, "model_index.json")):
        build(args.model)
    if args.latents:
        with torch.inference_mode():
            run(args)


if __name__ == "__main__":
    main()
