# SPDX-License-Identifier: MIT
"""Time tintype and its peers by turns on the same networks and threads, and print the ratio to
PyTorch beside its limit.

Usage: compare.py MODEL [--tintype build/tintype] [--rounds N] [--threads N] [--part NAME]...
[--limit NAME=RATIO]... [-W PX] [-H PX] [--openvino] [--json]

Machines are noisy and two days are not comparable: only ratios from one run count. Each round times
PyTorch in both memory formats, OpenVINO if asked, and tintype once more; the best time of each side
counts. Exit status 1 if a ratio to PyTorch is above its limit.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import torch

from torch_bench import FORMATS, PARTS, Part

LIMITS = {"unet": 0.60, "vae-decode": 0.50}


def run_tintype(args, part, batch):
    """Return (seconds per repeat, peak memory in MiB) of one `tintype profile`."""
    command = [
        args.tintype,
        "profile",
        "--json",
        "--part",
        part,
        "--batch",
        str(batch),
        "-m",
        args.model,
        "-W",
        str(args.W),
        "-H",
        str(args.H),
        "--threads",
        str(args.threads),
        "--repeat",
        "2",
    ]
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, stdout=out)
        peak = 0
        while process.poll() is None:
            # Not ru_maxrss: a child inherits the parent's, and PyTorch's is large.
            try:
                with open(f"/proc/{process.pid}/status") as f:
                    peak = max(
                        [peak, *(int(line.split()[1]) for line in f if line.startswith("VmHWM"))]
                    )
            except OSError:
                pass
            time.sleep(0.02)
        if process.returncode != 0:
            sys.exit(f"{' '.join(command)}: exit status {process.returncode}")
        out.seek(0)
        return json.load(out)["seconds"], peak / 1024


def compare(args, name):
    batch = 2 if name == "unet" else 1
    part = Part(args.model, name, batch, args.W, args.H)
    theirs, ours, memory = {format_name: [] for format_name in FORMATS}, [], 0.0
    converted, openvino = None, []
    if args.openvino:
        from openvino_bench import Converted

        converted = Converted(part, args.threads)
        converted.run()
    for turn in range(args.rounds):
        for format_name in FORMATS:
            part.set_format(format_name)
            if turn == 0:
                part.run()
            theirs[format_name].append(part.run())
        if converted:
            openvino.append(converted.run())
        seconds, peak = run_tintype(args, name, batch)
        ours += seconds
        memory = max(memory, peak)
    best = min(FORMATS, key=lambda f: min(theirs[f]))
    ratio = min(ours) / min(theirs[best])
    peer = {"openvino_seconds": openvino, "openvino_best": min(openvino)} if openvino else {}
    return peer | {
        "part": name,
        "batch": batch,
        "width": args.W,
        "height": args.H,
        "threads": args.threads,
        "torch_seconds": theirs,
        "torch_best": min(theirs[best]),
        "torch_format": best,
        "tintype_seconds": ours,
        "tintype_best": min(ours),
        "tintype_peak_mib": round(memory),
        "ratio": ratio,
        "limit": args.limits.get(name),
    }


def main():
    parser = argparse.ArgumentParser(add_help=False, usage=__doc__)
    parser.add_argument("model")
    parser.add_argument("--tintype", default="build/tintype")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--part", action="append", choices=PARTS)
    parser.add_argument("--limit", action="append", default=[])
    parser.add_argument("-W", type=int, default=512)
    parser.add_argument("-H", type=int, default=512)
    parser.add_argument("--openvino", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    args.limits = dict(LIMITS, **{k: float(v) for k, v in (item.split("=") for item in args.limit)})
    torch.set_num_threads(args.threads)
    results = [compare(args, name) for name in args.part or LIMITS]
    if args.json:
        print(
            json.dumps(
                {
                    "torch": torch.__version__,
                    "cpu": torch.backends.cpu.get_cpu_capability(),
                    "results": results,
                }
            )
        )
    else:
        print(
            f"{'part':12}{'PyTorch s':>11}{'format':>15}{'tintype s':>11}"
            f"{'MiB':>7}{'ratio':>8}{'limit':>7}" + f"{'OpenVINO s':>12}" * args.openvino
        )
        for r in results:
            limit = "-" if r["limit"] is None else f"{r['limit']:.2f}"
            print(
                f"{r['part']:12}{r['torch_best']:11.3f}{r['torch_format']:>15}"
                f"{r['tintype_best']:11.3f}"
                f"{r['tintype_peak_mib']:7}{r['ratio']:8.3f}{limit:>7}"
                + (f"{r['openvino_best']:12.3f}" if args.openvino else "")
            )
    sys.exit(any(r["limit"] is not None and not r["ratio"] <= r["limit"] for r in results))


if __name__ == "__main__":
    main()
