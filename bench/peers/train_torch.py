# SPDX-License-Identifier: MIT
"""Time steps of training by tintype and by PyTorch (float32), by turns in one run and on the same
threads, and print images per second, their ratio and the peak memory of each.

Usage: train_torch.py [MODEL] [--tintype build/tintype] [--rounds N] [--steps N] [--threads N]
                      [--part unet|vae]... [--batch N] [--limit RATIO] [--json]

MODEL is reference/models/scenes unless said. A step is the same on both sides: unet, the text
encoder and the U-Net at batch 16, squared error of what the model predicts; vae, both halves at
batch 8, absolute error and the KL term; then backward, clipping by norm, AdamW. PyTorch gets random
numbers for data, foreach kernels, and a process for each memory format, of which the faster one
counts; tintype train reads pictures and writes its log. Each round takes some steps of each; the
best and the median step count. Memory is the process's peak (VmHWM). Exit status 1 if
tintype's images per second over PyTorch's are below the limit, or its memory is above.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

SCENES = os.path.join(os.path.dirname(__file__), "..", "..", "reference", "models", "scenes")
FORMATS = ("contiguous", "channels_last")
BATCH = {"unet": 16, "vae": 8}
RATIO = 1.5


def peak_of(pid):
    """Peak memory of a process in MiB; 0 when it has gone."""
    try:
        with open(f"/proc/{pid}/status") as f:
            return max([0, *(int(line.split()[1]) for line in f if line.startswith("VmHWM"))]) / 1024
    except OSError:
        return 0


# ---- PyTorch, in a process of its own: a line in, "steps N", a line out, seconds of each ----


def make_unet(model, batch):
    import torch
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

    unet = UNet2DConditionModel.from_pretrained(os.path.join(model, "unet"), torch_dtype=torch.float32)
    text = CLIPTextModel.from_pretrained(os.path.join(model, "text_encoder"), dtype=torch.float32)
    shape = (batch, unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)
    tokens = (batch, text.config.max_position_embeddings)

    def loss(like):
        noisy, target = like(torch.randn(shape)), torch.randn(shape)
        t, ids = torch.randint(0, 1000, (batch,)), torch.randint(0, text.config.vocab_size, tokens)
        context = text(ids).last_hidden_state
        return torch.nn.functional.mse_loss(unet(noisy, t, context).sample, target)

    return [unet, text], loss


def make_vae(model, batch):
    import torch
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(os.path.join(model, "vae"), torch_dtype=torch.float32)
    shape = (batch, vae.config.in_channels, vae.config.sample_size, vae.config.sample_size)

    def loss(like):
        x = like(torch.rand(shape) * 2 - 1)
        posterior = vae.encode(x).latent_dist
        y = vae.decode(posterior.sample()).sample
        return torch.nn.functional.l1_loss(y, x) + 1e-6 * posterior.kl().mean()

    return [vae], loss


def work(args):
    import torch

    torch.set_num_threads(args.threads)
    networks, loss = {"unet": make_unet, "vae": make_vae}[args.part[0]](args.model, args.batch)
    layout = getattr(torch, args.worker if args.worker == "channels_last" else "contiguous_format")
    parameters = []
    for network in networks:
        network.train().to(memory_format=layout)
        parameters += network.parameters()
    optimiser = torch.optim.AdamW(parameters, lr=1e-5, foreach=True)
    print(torch.__version__, torch.backends.cpu.get_cpu_capability(), flush=True)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            began = time.perf_counter()
            loss(lambda x: x.contiguous(memory_format=layout)).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            seconds.append(time.perf_counter() - began)
        print(json.dumps(seconds), flush=True)


class Torch:
    def __init__(self, args, part, batch, layout):
        command = [sys.executable, __file__, args.model, "--worker", layout, "--part", part]
        command += ["--batch", str(batch), "--threads", str(args.threads)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.about = self.read()
        self.begun = peak_of(self.process.pid)  # Python, the libraries, the weights
        self.run(1)

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit("PyTorch's process ended early")
        return line.strip()

    def run(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return json.loads(self.read())

    def close(self):
        peak = peak_of(self.process.pid)
        self.process.stdin.close()
        self.process.wait()
        return peak


# ---- tintype ----


def run_tintype(args, part, batch, data, options):
    """Return (seconds of each step but the first, peak memory in MiB) of one `tintype train`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [args.tintype, "train", "--quiet", "--data", data, "-m", args.model, "-o", folder]
        command += ["--part", {"unet": "unet+text", "vae": "vae"}[part], "--batch", str(batch)]
        command += ["--steps", str(args.steps + 1), "--threads", str(args.threads)]
        command += ["--log-every", "1", "--save-every", "0", "--ema-decay", "0", *options]
        process, peak = subprocess.Popen(command), 0
        while process.poll() is None:
            peak = max(peak, peak_of(process.pid))
            time.sleep(0.02)
        if process.returncode != 0:
            sys.exit(f"{' '.join(command)}: exit status {process.returncode}")
        with open(os.path.join(folder, "train.jsonl")) as f:
            lines = [json.loads(line) for line in f]
    return [batch / line["images_per_second"] for line in lines[1:]], peak


def compare(args, part, data):
    batch = args.batch or BATCH[part]
    peers = {layout: Torch(args, part, batch, layout) for layout in FORMATS}
    theirs, ours, memory = {layout: [] for layout in FORMATS}, [], 0
    for _ in range(args.rounds):
        for layout in FORMATS:
            theirs[layout] += peers[layout].run(args.steps)
        seconds, peak = run_tintype(args, part, batch, data, [])
        ours += seconds
        memory = max(memory, peak)
    _, small = run_tintype(args, part, batch, data, ["--checkpoint-activations"])
    best = min(FORMATS, key=lambda layout: min(theirs[layout]))
    return {
        "part": part,
        "batch": batch,
        "threads": args.threads,
        "torch": peers[best].about,
        "torch_format": best,
        "torch_images_per_second": batch / min(theirs[best]),
        "tintype_images_per_second": batch / min(ours),
        "ratio": min(theirs[best]) / min(ours),
        "ratio_of_medians": statistics.median(theirs[best]) / statistics.median(ours),
        "torch_start_mib": round(peers[best].begun),
        "torch_peak_mib": round({layout: peers[layout].close() for layout in FORMATS}[best]),
        "tintype_peak_mib": round(memory),
        "tintype_peak_checkpointing_mib": round(small),
        "torch_seconds": theirs,
        "tintype_seconds": ours,
    }


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("model", nargs="?", default=SCENES)
    parser.add_argument("--tintype", default="build/tintype")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--part", action="append", choices=BATCH)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--limit", type=float, default=RATIO)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", choices=FORMATS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return work(args)
    with tempfile.TemporaryDirectory() as data:
        scenes = [args.tintype, "scenes", "-o", data, "--count", "64", "--quiet"]
        subprocess.run(scenes, check=True)
        results = [compare(args, part, data) for part in args.part or BATCH]
    if args.json:
        print(json.dumps(results))
    else:
        print(f"{'part':6}{'batch':>6}{'PyTorch/s':>11}{'format':>15}{'tintype/s':>11}{'ratio':>7}"
              f"{'medians':>9}{'PyTorch MiB':>13}{'tintype MiB':>13}{'checkpointing':>15}")
        for r in results:
            print(f"{r['part']:6}{r['batch']:6}{r['torch_images_per_second']:11.2f}"
                  f"{r['torch_format']:>15}{r['tintype_images_per_second']:11.2f}{r['ratio']:7.2f}"
                  f"{r['ratio_of_medians']:9.2f}{r['torch_peak_mib']:7} -{r['torch_start_mib']:4}"
                  f"{r['tintype_peak_mib']:13}{r['tintype_peak_checkpointing_mib']:15}")
    sys.exit(any(not (r["ratio"] >= args.limit and r["tintype_peak_mib"] <= r["torch_peak_mib"])
                 for r in results))


if __name__ == "__main__":
    main()
