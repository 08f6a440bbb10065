# SPDX-License-Identifier: MIT
"""Generate with tintype what full_sd15.py recorded, and compare the final latents with diffusers'.

Usage: latents.py MODEL RECORDING_FOLDER [--tintype build/tintype] [--limit 1e-4] [--only NAME]
                  [-- OPTION...]
Prints the relative L2 and largest difference per scheduler; options after `--` go to tintype. Exit
status 1 if the relative L2 of one is above the limit.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import torch
from safetensors.torch import load_file


def main():
    arguments = sys.argv[1:]
    extra = arguments[arguments.index("--") + 1 :] if "--" in arguments else []
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("model")
    parser.add_argument("recording")
    parser.add_argument("--tintype", default="build/tintype")
    parser.add_argument("--limit", type=float, default=1e-4)
    parser.add_argument("--only")
    args = parser.parse_args(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    failed = False
    for name in [args.only] if args.only else sorted(os.listdir(args.recording)):
        folder = os.path.join(args.recording, name)
        if not os.path.exists(os.path.join(folder, "pipeline.json")):
            continue
        with open(os.path.join(folder, "pipeline.json")) as f:
            case = json.load(f)["cases"][0]
        recorded = load_file(os.path.join(folder, "pipeline.safetensors"))
        expected = recorded[f"{name}.latents.{len(case['timesteps'])}"]
        options = [
            f"{k}={str(v).lower() if isinstance(v, bool) else v}"
            for k, v in case["scheduler_options"].items()
        ]
        with tempfile.TemporaryDirectory() as temporary:
            latents, picture = os.path.join(temporary, "z.safetensors"), os.path.join(
                temporary, "x.png"
            )
            command = [
                args.tintype,
                "generate",
                "--quiet",
                "-m",
                args.model,
                "-p",
                case["prompt"],
                "-n",
                case["negative_prompt"],
                "-s",
                str(case["seed"]),
                "--steps",
                str(case["steps"]),
                "--guidance-scale",
                str(case["guidance_scale"]),
                "--scheduler",
                case["scheduler"],
                "-W",
                str(case["width"]),
                "-H",
                str(case["height"]),
                "-o",
                picture,
                "--save-latents",
                latents,
                *[word for option in options for word in ("--scheduler-option", option)],
                *extra,
            ]
            began = time.time()
            subprocess.run(command, check=True)
            seconds = time.time() - began
            ours = load_file(latents)["latents"]
        difference = ours.double() - expected.double()
        relative = (difference.norm() / expected.double().norm()).item()
        failed |= not relative <= args.limit
        print(
            f"{name:18} relative L2 {relative:.3g}, largest difference "
            f"{difference.abs().max():.3g} of {expected.abs().max():.3g}, "
            f"tintype {seconds:.1f} s, diffusers {case['seconds']} s",
            flush=True,
        )
    sys.exit(failed)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
