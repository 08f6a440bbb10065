# SPDX-License-Identifier: MIT
"""Make the small recordings that tests read: reference/recordings/<name>/. Usage: make_recordings.py [NAME...]

sd15 is whole; ddpm in pixel space and lcm are of every second step; half is float16; statistics; gradients is a
backward pass, by the hook; by-hand is writers/recording.py's. Small ones: 2 MB in all."""

import os
import shutil
import sys

import diffusers
import torch

import record_run
from common import HERE, hashed_uniform
from tintype_hook import Recording

sys.path.insert(0, os.path.join(HERE, "writers"))
import recording  # noqa: E402

TEXT = ["--prompt", "lighthouse", "--width", "8", "--height", "8", "--seed", "7"]
ALL = ["--err32", "all"]
SD15 = [*TEXT, "--negative-prompt", "fog", "--steps", "1", "--scheduler", "EulerDiscreteScheduler"]
# name -> (folder below tiny/, options)
RUNS = {
    "sd15": ("variants/base", [*SD15, *ALL]),
    "ddpm": ("ddpm", ["--steps", "2", "--every", "2", "--seed", "11", *ALL]),
    "lcm": ("lcm", [*TEXT, "--steps", "2", "--every", "2", "--modules", r"conv|attn2$|time_"]),
    "half": ("variants/base", [*SD15, *ALL, "--dtype", "float16", "--modules", r"resnets.0|attn1$|mlp"]),
    "statistics": ("variants/base", [*SD15, *ALL, "--statistics", "--no-weights", "--modules", r"conv|attn2$"]),
}


def gradients(out):
    """Forward and backward of a U-Net in pixel space, from the seed that record_gradients.py takes."""
    unet = diffusers.UNet2DModel.from_pretrained(os.path.join(HERE, "tiny", "ddpm", "unet")).eval()
    given = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(1)), torch.tensor([3.0])
    with Recording(out, model="ddpm", modules="mid_block|conv_in", err32="all", drift32=True, weights=False,
                   writer="make_recordings.py", quiet=True) as r:
        r.watch("unet", unet, gradients=True)
        unet(*given).sample.backward(hashed_uniform((1, 3, 8, 8), 0))


def main():
    torch.set_num_threads(1)
    for name in sys.argv[1:] or [*RUNS, "gradients", "by-hand"]:
        out = os.path.join(HERE, "recordings", name)
        shutil.rmtree(out, ignore_errors=True)
        if name == "by-hand":
            recording.demo(out)
        elif name == "gradients":
            gradients(out)
        else:
            folder, options = RUNS[name]
            status = record_run.main(["--pipeline", os.path.join(HERE, "tiny", folder), "-o", out, *options])
            if status:
                sys.exit(status)


if __name__ == "__main__":
    main()
