# SPDX-License-Identifier: MIT
"""Record ten optimiser steps of each network, as PyTorch and diffusers take them, and the single
operations of an optimiser step: reference/training/.

Usage: record_training.py
The pictures, order, captions, timesteps and noise are those that `tintype train` draws from the
same settings, so its whole run is what is compared. The format is described in README.md.
"""

import os

import diffusers
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel, compute_snr
from PIL import Image
from torch.optim.swa_utils import get_ema_multi_avg_fn
from transformers import CLIPTokenizer

from common import (
    HERE,
    FOLD,
    exact_time_embedding,
    file_sha256,
    fold,
    hashed,
    hashed_uniform,
    round_up,
    versions,
    write_json,
    write_tensors,
)
from record import load_text_encoder

FOLDER = os.path.join(HERE, "training")
STEPS, WIDTH, HEIGHT, PICTURES = 10, 48, 40, 5
COMMON = dict(width=WIDTH, height=HEIGHT, steps=STEPS, batch=2, warmup_steps=3,
              schedule="cosine", learning_rate=2e-3, weight_decay=0.05, ema_decay=0.75, epsilon=1e-8)
# Settings as tintype calls them; what is not said has tintype's default.
CASES = {
    "text": dict(model="tiny/sd15", part="text", seed=5, clip_norm=1.1, caption_dropout=0.3,
                 min_snr=0),
    "unet": dict(model="tiny/sd21", part="unet", seed=6, clip_norm=1, caption_dropout=0.1,
                 prediction_type="v_prediction", min_snr=5, zero_snr=True,
                 epsilon=1e-6),
    "unet+text": dict(model="tiny/variants/base", part="unet+text", seed=7, clip_norm=1,
                      caption_dropout=0.2, accumulate=2, schedule="linear", min_snr=5),
    "vae": dict(model="tiny/wide", part="vae", seed=8, clip_norm=1.5, flip=True, accumulate=2,
                l1_weight=1, l2_weight=0.5, kl_weight=1e-4, schedule="constant",
                epsilon=1e-6),
}
BETAS = (0.9, 0.999)
M64 = (1 << 64) - 1


# ---- what tintype draws ----


def mix(z):
    """The output function of splitmix64."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & M64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & M64
    return z ^ (z >> 31)


def order(count, seed, n):
    """tt_dataset_order: a Feistel network of four rounds, walked until it lands inside."""
    epoch, at = divmod(n, count)
    half = 1
    while 1 << 2 * half < count:
        half += 1
    mask = (1 << half) - 1
    while True:
        left, right = at >> half, at & mask
        for turn in range(4):
            key = mix(seed + 0x9E3779B97F4A7C15 * (epoch * 4 + turn + 1) & M64)
            left, right = right, left ^ (mix(right + key & M64) & mask)
        at = left << half | right
        if at < count:
            return at


class Draw:
    """The chance of batch n, from a generator of its own."""

    def __init__(self, seed, n):
        self.generator = torch.Generator().manual_seed(
            mix(seed + (n + 1) * 0x9E3779B97F4A7C15 & M64) & 0xFFFFFFFF
        )

    def uniform(self):
        return torch.rand(1, generator=self.generator).item()

    def normal(self, shape):
        return torch.randn(shape, generator=self.generator)

    def below(self, n):
        return int(self.uniform() * n)


# ---- a batch ----


class Pictures:
    def __init__(self):
        names = sorted(f for f in os.listdir(FOLDER + "/pictures") if f.endswith(".png"))
        self.pictures, self.captions = [], []
        for name in names:
            path = os.path.join(FOLDER, "pictures", name)
            image = torch.frombuffer(bytearray(Image.open(path).tobytes()), dtype=torch.uint8)
            image = image.reshape(HEIGHT, WIDTH, 3).permute(2, 0, 1).float()
            self.pictures.append(2 * (image / 255) - 1)
            with open(path[:-4] + ".txt") as f:
                self.captions.append(f.read().strip())


class Denoise:
    """Noise prediction, as src/train/task_denoise.c has it."""

    def __init__(self, s, folder, dtype, data):
        self.s, self.dtype, self.data = s, dtype, data
        self.unet = UNet2DConditionModel.from_pretrained(folder + "/unet").eval().to(dtype)
        self.text = load_text_encoder(folder + "/text_encoder").eval().to(dtype)
        self.vae = AutoencoderKL.from_pretrained(folder + "/vae").eval().to(dtype)
        self.tokenizer = CLIPTokenizer.from_pretrained(folder + "/tokenizer")
        overrides = {k: v for k, v in (("prediction_type", s.get("prediction_type")),
                                       ("rescale_betas_zero_snr", s.get("zero_snr"))) if v}
        self.scheduler = DDPMScheduler.from_pretrained(folder + "/scheduler", **overrides)
        self.modules = {k: m for k, m in (("unet", self.unet), ("text_encoder", self.text))
                        if k[:4] in s["part"]}
        with torch.no_grad():
            self.moments = [self.vae.encode(p[None].to(dtype)).latent_dist for p in data.pictures]

    def loss(self, items, draw):
        config, scheduler = self.vae.config, self.scheduler
        shape = (len(items), *self.moments[0].mean.shape[1:])
        eps = draw.normal(shape).to(self.dtype)
        x0 = torch.cat([self.moments[i].mean + self.moments[i].std * eps[k]
                        for k, i in enumerate(items)])
        x0 = (x0 - (config.shift_factor or 0)) * config.scaling_factor
        captions = []
        for i in items:
            dropped = draw.uniform() < self.s["caption_dropout"]
            draw.below(1)  # which of its captions
            captions.append("" if dropped else self.data.captions[i])
        ids = self.tokenizer(captions, padding="max_length", max_length=77, truncation=True,
                             return_tensors="pt").input_ids
        context = self.text(ids).last_hidden_state
        t = torch.tensor([draw.below(1000) for _ in items])
        noise = draw.normal(shape).to(self.dtype)
        with exact_time_embedding():  # in both precisions: what is measured is the network
            out = self.unet(scheduler.add_noise(x0, noise, t), t.double(), context).sample
        v = scheduler.config.prediction_type == "v_prediction"
        target = scheduler.get_velocity(x0, noise, t) if v else noise
        loss = ((out - target) ** 2).mean((1, 2, 3))
        if self.s["min_snr"]:  # as diffusers' examples/text_to_image/train_text_to_image.py
            snr = compute_snr(scheduler, t).to(self.dtype)
            least = torch.minimum(snr, torch.full_like(snr, self.s["min_snr"]))
            loss = loss * least / (snr + 1 if v else snr)
        return loss.mean()


class Autoencoder:
    """Giving pictures back, as src/train/task_autoencoder.c has it."""

    def __init__(self, s, folder, dtype, data):
        self.s, self.dtype, self.data = s, dtype, data
        self.vae = AutoencoderKL.from_pretrained(folder + "/vae").eval().to(dtype)
        self.modules = {"vae": self.vae}

    def loss(self, items, draw):
        pictures = [self.data.pictures[i] for i in items]
        pictures = [p.flip(-1) if draw.uniform() < 0.5 else p for p in pictures]
        x = torch.stack(pictures).to(self.dtype)
        posterior = self.vae.encode(x).latent_dist
        eps = draw.normal(posterior.mean.shape).to(self.dtype)
        d = self.vae.decode(posterior.mean + posterior.std * eps).sample - x
        return (self.s["l1_weight"] * d.abs().mean() + self.s["l2_weight"] * d.square().mean()
                + self.s["kl_weight"] * posterior.kl().mean())


# ---- ten steps ----


def train(s, folder, dtype, data):
    """Return the losses, norms and rates of each step, and by name (value, average, beginning)."""
    task = (Autoencoder if s["part"] == "vae" else Denoise)(s, folder, dtype, data)
    named = {f"{module}/{name.removeprefix('text_model.')}": p
             for module, network in task.modules.items() for name, p in network.named_parameters()}
    params, begin = list(named.values()), {k: p.detach().clone() for k, p in named.items()}
    optimiser = torch.optim.AdamW(params, lr=s["learning_rate"], betas=BETAS, eps=s["epsilon"],
                                  weight_decay=s["weight_decay"], foreach=False)
    name = {"constant": "constant_with_warmup"}.get(s["schedule"], s["schedule"])
    rate = get_scheduler(name, optimiser, num_warmup_steps=s["warmup_steps"],
                         num_training_steps=STEPS)
    average = EMAModel(params, decay=s["ema_decay"])
    lines, accumulate = [], s.get("accumulate", 1)
    for step in range(STEPS):
        total = 0
        for n in range(step * accumulate, (step + 1) * accumulate):
            items = [order(PICTURES, s["seed"], n * s["batch"] + i) for i in range(s["batch"])]
            loss = task.loss(items, Draw(s["seed"], n))
            (loss / accumulate).backward(inputs=params)
            total += loss.item() / accumulate
        norm = torch.nn.utils.clip_grad_norm_(params, s["clip_norm"], foreach=False).item()
        lines.append((total, norm, rate.get_last_lr()[0]))
        optimiser.step()
        optimiser.zero_grad()
        rate.step()
        average.step(params)
    shadow = dict(zip(named, average.shadow_params))
    return lines, {k: (p.detach(), shadow[k], begin[k]) for k, p in named.items()}


def record_case(name, s, data, tensors):
    folder = os.path.join(HERE, s["model"])
    lines, narrow = train(s, folder, torch.float32, data)
    wide_lines, wide = train(s, folder, torch.float64, data)
    entries, steps = [], {}
    for key, truth in wide.items():
        for i, kind in enumerate(("value", "ema")):
            change = fold(truth[i] - truth[2])
            other = fold(narrow[key][i].double() - narrow[key][2].double())
            tensors[f"{name}/{kind}/{key}"] = change.float()
            entries.append({"kind": kind, "name": key, "shape": list(truth[i].shape),
                            "err32": round_up((other - change).abs().max().item()),
                            "maxabs": round_up(change.abs().max().item())})
    for i, what in enumerate(("loss", "norm")):
        steps[what] = [line[i] for line in wide_lines]
        steps[what + "_err32"] = round_up(max(abs(a[i] - b[i])
                                              for a, b in zip(lines, wide_lines)))
    steps["rate"] = [line[2] for line in wide_lines]
    clipped = sum(n > s["clip_norm"] for n in steps["norm"])
    assert 0 < clipped < STEPS, (name, steps["norm"], s["clip_norm"])  # both ways are taken
    return {"name": name, "settings": s, "steps": steps, "tensors": entries}


# ---- single operations ----


def record_operations(tensors):
    """AdamW of one tensor, clipping and both kinds of average, bit by bit."""
    shapes, limit = ((13, 70), (13,)), 4
    params = [torch.nn.Parameter(hashed_uniform(shape, k)) for k, shape in enumerate(shapes)]
    shadow = [p.detach().clone() for p in params]
    lerped = [p.detach().clone() for p in params]
    optimiser = torch.optim.AdamW(params, lr=3e-3, betas=BETAS, eps=1e-8, weight_decay=0.1,
                                  foreach=False)
    model, norms = EMAModel(params, decay=0.999), []
    for step in range(5):
        for k, p in enumerate(params):
            # of many sizes: the k-th bits of the hash move the exponent
            g = hashed_uniform(p.shape, 10 + 2 * step + k)
            p.grad = g * 2.0 ** -(hashed(g.numel(), 50 + k) % 24).double().float().reshape(g.shape)
        norms.append(torch.nn.utils.clip_grad_norm_(params, limit, foreach=False).item())
        optimiser.step()
        decay = model.get_decay(step + 1)
        get_ema_multi_avg_fn(decay)(lerped, [p.detach() for p in params], None)
        model.step(params)
    for k, p in enumerate(params):
        state = optimiser.state[p]
        for name, value in (("value", p), ("exp_avg", state["exp_avg"]), ("lerp", lerped[k]),
                            ("exp_avg_sq", state["exp_avg_sq"]), ("ema", model.shadow_params[k])):
            tensors[f"operations/{name}/{k}"] = value.detach()
    return {"shapes": shapes, "steps": 5, "learning_rate": 3e-3, "weight_decay": 0.1,
            "clip_norm": limit, "ema_decay": 0.999, "norms": norms}


def draw_pictures():
    """Smooth pictures of a few kilobytes, and captions of several lengths."""
    os.makedirs(FOLDER + "/pictures", exist_ok=True)
    words = ["a red boat", "two hills at noon, a path between them", "night", "a tree by the sea",
             "the lighthouse, the moon and a small red boat on a calm blue sea at sunset"]
    for k in range(PICTURES):
        coarse = hashed_uniform((1, 3, 5, 6), 100 + k)
        image = torch.nn.functional.interpolate(coarse, (HEIGHT, WIDTH), mode="bilinear")[0]
        image = ((image * 0.5 + 0.5) * 255).round().to(torch.uint8).permute(1, 2, 0)
        path = os.path.join(FOLDER, "pictures", f"{k}")
        Image.fromarray(image.contiguous().numpy()).save(path + ".png", optimize=True)
        with open(path + ".txt", "w") as f:
            f.write(words[k] + "\n")


def main():
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    draw_pictures()
    data, tensors = Pictures(), {}
    cases = [record_case(name, COMMON | s, data, tensors) for name, s in CASES.items()]
    operations = record_operations(tensors)
    path = os.path.join(FOLDER, "training.safetensors")
    write_tensors(path, tensors)
    write_json(
        os.path.join(FOLDER, "training.json"),
        {"format": "tintype-training", "version": 1, "versions": versions(), "fold": FOLD,
         "file": os.path.basename(path), "sha256": file_sha256(path), "operations": operations,
         "cases": cases},
        entries=("tensors",),
    )


if __name__ == "__main__":
    main()
