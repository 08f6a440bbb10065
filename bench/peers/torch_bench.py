# SPDX-License-Identifier: MIT
"""Time PyTorch (float32) on the networks of a diffusers folder, as a library for compare.py and
alone.

Usage: torch_bench.py MODEL [--part unet|vae-decode|...] [--threads N] [--repeat N] [--batch N]
                      [-W PX] [-H PX]
Prints one JSON object: seconds per repeat for the contiguous and the channels_last memory format.
"""

import argparse
import json
import os
import time

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel

PARTS = ("unet", "vae-decode", "vae-encode", "text")
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


class Part:
    """One network of `model` with fixed random inputs `images`, then `others`; `run` is one
    forward pass, which sets `output`, in seconds."""

    def __init__(self, model, part, batch, width, height):
        generator = torch.Generator().manual_seed(0)

        def draw(*shape):
            return torch.randn(shape, generator=generator)

        if part == "text":
            self.network = CLIPTextModel.from_pretrained(os.path.join(model, "text_encoder"))
            ids = torch.randint(0, self.network.config.vocab_size, (batch, 77), generator=generator)
            self.images, self.others = [], [ids]
            self.forward = lambda *ids: self.network(*ids).last_hidden_state
        elif part == "unet":
            self.network = UNet2DConditionModel.from_pretrained(os.path.join(model, "unet"))
            config = self.network.config
            self.images = [draw(batch, config.in_channels, height // 8, width // 8)]
            self.others = [torch.tensor(500), draw(batch, 77, config.cross_attention_dim)]
            self.forward = lambda *inputs: self.network(*inputs).sample
        else:
            self.network = AutoencoderKL.from_pretrained(os.path.join(model, "vae"))
            config, self.others = self.network.config, []
            if part == "vae-decode":
                self.images = [draw(batch, config.latent_channels, height // 8, width // 8)]
                self.forward = lambda image: self.network.decode(image).sample
            else:
                self.images = [draw(batch, config.in_channels, height, width).clamp(-1, 1)]
                self.forward = lambda image: self.network.encode(image).latent_dist.parameters
        self.network.eval()

    def set_format(self, name):
        self.network.to(memory_format=FORMATS[name])
        self.images = [image.contiguous(memory_format=FORMATS[name]) for image in self.images]

    def run(self):
        with torch.inference_mode():
            began = time.perf_counter()
            self.output = self.forward(*self.images, *self.others)
            return time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("model")
    parser.add_argument("--part", choices=PARTS, default="unet")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--batch", type=int)
    parser.add_argument("-W", type=int, default=512)
    parser.add_argument("-H", type=int, default=512)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    batch = args.batch or (2 if args.part == "unet" else 1)
    part = Part(args.model, args.part, batch, args.W, args.H)
    result = {
        "torch": torch.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "part": args.part,
        "batch": batch,
        "width": args.W,
        "height": args.H,
        "threads": args.threads,
        "seconds": {},
    }
    for name in FORMATS:
        part.set_format(name)
        part.run()
        result["seconds"][name] = [round(part.run(), 4) for _ in range(args.repeat)]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
