# SPDX-License-Identifier: MIT
"""Train the small text-to-picture model of reference/models/scenes from scratch, on a CPU.

Stages, each resumable from checkpoints in --out: data (draw the scenes), vae (autoencoder),
latents (encode the scenes once), unet (U-Net and text encoder together), export (a diffusers
folder). Learning rates follow the training time spent, so a busy machine only costs quality.

    python train_scenes.py --out RUN --vae-minutes 50 --unet-minutes 60
    python train_scenes.py --out RUN --stage export --folder models/scenes
"""
import argparse
import json
import math
import os
import shutil
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import scenes

TOKENS = 32
TEST_SEED = 10_000_000
BOS, EOS = "<|startoftext|>", "<|endoftext|>"
CAPTIONS_PER_SCENE = 8
FOLDERS = {AutoencoderKL: "vae", UNet2DConditionModel: "unet", CLIPTextModel: "text_encoder"}


# ---------------------------------------------------------------- tokenizer

def byte_letters():
    """The printable stand-ins of byte-level BPE, in CLIP's order."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, spare = {b: chr(b) for b in keep}, 0
    order = list(keep)
    for b in range(256):
        if b not in letters:
            letters[b] = chr(256 + spare)
            order.append(b)
            spare += 1
    return [letters[b] for b in order]


def learn_bpe():
    """Vocabulary and merges that make every caption word one token."""
    rng, words = scenes.Random(1), {}
    for seed in range(20000):
        for word in scenes.caption(scenes.scene_of(seed), rng).replace(",", " ,").split():
            words[word] = words.get(word, 0) + 1
    letters = byte_letters()
    vocab = letters + [c + "</w>" for c in letters]
    parts = {w: (*w[:-1], w[-1] + "</w>") for w in words}
    merges = []
    while True:
        pairs = {}
        for w, p in parts.items():
            for pair in zip(p, p[1:]):
                pairs[pair] = pairs.get(pair, 0) + words[w]
        if not pairs:
            break
        best = min(pairs, key=lambda k: (-pairs[k], k))
        merges.append(best)
        joined = best[0] + best[1]
        if joined not in vocab:
            vocab.append(joined)
        for w, p in parts.items():
            out, i = [], 0
            while i < len(p):
                if p[i:i + 2] == best:
                    out.append(joined)
                    i += 2
                else:
                    out.append(p[i])
                    i += 1
            parts[w] = tuple(out)
    vocab += [BOS, EOS]
    return {token: i for i, token in enumerate(vocab)}, merges


def make_tokenizer():
    vocab, merges = learn_bpe()
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=TOKENS)


def save_tokenizer(tokenizer, folder):
    """tokenizer.json as transformers writes it, and the older pair of files beside it."""
    tokenizer.save_pretrained(folder)
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    with open(os.path.join(folder, "vocab.json"), "w", encoding="utf-8") as f:
        json.dump(model["vocab"], f, ensure_ascii=False)
    with open(os.path.join(folder, "merges.txt"), "w", encoding="utf-8") as f:
        f.write("#version: 0.2\n")
        for m in model["merges"]:
            f.write((m if isinstance(m, str) else " ".join(m)) + "\n")
    special = {"bos_token": BOS, "eos_token": EOS, "pad_token": EOS, "unk_token": EOS}
    with open(os.path.join(folder, "special_tokens_map.json"), "w", encoding="utf-8") as f:
        json.dump(special, f, indent=2)


def token_ids(tokenizer, texts):
    return tokenizer(texts, padding="max_length", max_length=TOKENS, truncation=True,
                     return_tensors="pt").input_ids


# ---------------------------------------------------------------- networks

def make_vae():
    return AutoencoderKL(
        in_channels=3, out_channels=3, down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4, block_out_channels=(16, 32, 64, 96),
        layers_per_block=1, latent_channels=4, norm_num_groups=8, sample_size=128)


def make_unet():
    return UNet2DConditionModel(
        sample_size=16, in_channels=4, out_channels=4, layers_per_block=1,
        block_out_channels=(64, 128, 192),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=128, attention_head_dim=4, norm_num_groups=16)


def make_text_encoder(tokenizer):
    return CLIPTextModel(CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=512, num_hidden_layers=3,
        num_attention_heads=4, max_position_embeddings=TOKENS, hidden_act="quick_gelu",
        projection_dim=128, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id))


def make_scheduler():
    return DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
                         num_train_timesteps=1000, clip_sample=False, set_alpha_to_one=False,
                         steps_offset=1, prediction_type="v_prediction",
                         timestep_spacing="leading")


# ---------------------------------------------------------------- the training loop

class Pace:
    """Time spent training, and the thread count that is fastest beside other programs."""

    def __init__(self, spent, limit):
        self.spent, self.limit = spent, limit
        self.last = time.monotonic()
        self.cost, self.next_trial, self.trial = {}, 0.0, []

    def tick(self):
        now = time.monotonic()
        step = now - self.last
        self.last = now
        self.spent += min(step, 5.0)         # a stopped process must not lose its schedule
        if self.trial:
            threads, seen = self.trial[0]
            seen.append(step)
            if len(seen) == 5:
                self.cost[threads] = sorted(seen[1:])[1]
                self.trial.pop(0)
                if not self.trial:
                    best = min(self.cost, key=self.cost.get)
                    torch.set_num_threads(best)
                    self.next_trial = now + 45
        elif now >= self.next_trial:
            self.trial = [(1, []), (2, [])]
        if self.trial:
            torch.set_num_threads(self.trial[0][0])

    @property
    def part(self):
        return min(self.spent / self.limit, 1.0)


def learning_rate(peak, step, part, warm=200, flat=0.3):
    """Linear warm-up, a flat part, then a cosine to nothing."""
    down = 1.0 if part < flat else 0.5 * (1 + math.cos(math.pi * (part - flat) / (1 - flat)))
    return peak * min(1.0, (step + 1) / warm) * max(down, 0.003)


class Average:
    """Exponential moving average of parameters."""

    def __init__(self, params, decay):
        self.params, self.decay = list(params), decay
        self.mean = [p.detach().clone() for p in self.params]

    def update(self, step):
        keep = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.mean, [p.detach() for p in self.params], 1 - keep)

    def swap(self):
        for p, m in zip(self.params, self.mean):
            p.data, m.data = m.data, p.data


class Muon:
    """Momentum whose every matrix is made orthogonal before it is applied (Jordan 2024).

    The update's root mean square is 0.2, about Adam's, so that both share one rate. Weights of
    equal shape go through the iteration as one batch.
    """

    def __init__(self, params, momentum=0.95, decay=0.01):
        self.momentum, self.decay, self.lr = momentum, decay, 0.0
        self.groups = {}
        for p in params:
            self.groups.setdefault(p.shape, []).append(p)
        self.state = [torch.zeros((len(g), shape[0], math.prod(shape[1:])))
                      for shape, g in self.groups.items()]

    @torch.no_grad()
    def step(self):
        for buffer, (shape, group) in zip(self.state, self.groups.items()):
            grad = torch.stack([p.grad.reshape(shape[0], -1) for p in group])
            buffer.mul_(self.momentum).add_(grad)
            x = grad.add_(buffer, alpha=self.momentum)
            tall = x.shape[1] > x.shape[2]
            x = x.transpose(1, 2) if tall else x
            x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-12)
            for _ in range(5):
                a = x @ x.transpose(1, 2)
                x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
            x = x.transpose(1, 2) if tall else x
            size = 0.2 * math.sqrt(max(x.shape[1:]))
            for p, u in zip(group, x):
                p.mul_(1 - self.lr * self.decay).add_(u.reshape(shape), alpha=-self.lr * size)


def save(path, state):
    torch.save(state, path + ".tmp")
    os.replace(path + ".tmp", path)


def log(*words):
    print(time.strftime("%H:%M:%S"), *words, flush=True)


def train(name, args, models, loss_of, peak, minutes, decay, every):
    """Minimise loss_of(pace) for some minutes; every(step) runs with averaged weights."""
    path = os.path.join(args.out, name + ".pt")
    params = [p for m in models for p in m.parameters()]
    rows = {id(p) for m in models for part in m.modules()
            if isinstance(part, torch.nn.Embedding) for p in part.parameters()}
    matrices = [p for p in params
                if p.ndim > 1 and min(p.shape[:2]) >= 8 and id(p) not in rows]
    known = {id(p) for p in matrices}
    opt = torch.optim.AdamW([p for p in params if id(p) not in known], lr=peak,
                            betas=(0.9, 0.99), weight_decay=0.01, foreach=True)
    spin = Muon(matrices)
    mean, step, spent = Average(params, decay), 0, 0.0
    if os.path.exists(path):
        state = torch.load(path)
        for p, v, m, w in zip(params, state["params"], mean.mean, state["mean"]):
            p.data.copy_(v)
            m.copy_(w)
        opt.load_state_dict(state["opt"])
        for b, v in zip(spin.state, state["muon"]):
            b.copy_(v)
        step, spent = state["step"], state["spent"]
        log(name, "resumes at step", step, f"{spent / 60:.1f} min")
    pace = Pace(spent, minutes * 60)
    saved, shown, total, seen, began = spent, spent, 0.0, 0, step
    while pace.part < 1.0:
        rate = learning_rate(peak, step, pace.part)
        for group in opt.param_groups:
            group["lr"] = rate
        spin.lr = rate
        loss = loss_of(pace)
        for p in params:
            p.grad = None
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(params, 1.0, foreach=True)
        if not math.isfinite(float(norm)):
            log(name, "step", step, "skipped: gradient", float(norm))
            continue
        opt.step()
        spin.step()
        step += 1
        mean.update(step)
        pace.tick()
        total, seen = total + loss.item(), seen + 1
        if pace.spent - shown > 30:
            log(f"{name} {pace.spent / 60:.1f}/{minutes:.0f} min step {step} loss "
                f"{total / seen:.5f} rate {rate:.2e} steps/s {seen / (pace.spent - shown):.2f} "
                f"threads {torch.get_num_threads()} grad {float(norm):.2f}")
            shown, total, seen = pace.spent, 0.0, 0
        if pace.spent - saved > 180 or pace.part >= 1.0:
            save(path, {"params": [p.data for p in params], "mean": mean.mean,
                        "opt": opt.state_dict(), "muon": spin.state, "step": step, "spent": pace.spent})
            saved = pace.spent
            mean.swap()
            with torch.no_grad():
                every(step)
            mean.swap()
            pace.last = time.monotonic()
    mean.swap()
    log(name, "done", step - began, "steps")


# ---------------------------------------------------------------- stages

def data(args):
    path = os.path.join(args.out, "pictures.npy")
    chosen = scenes.training_scenes(args.scenes)
    if not os.path.exists(path):
        log("drawing", args.scenes, "scenes")
        np.save(path + ".tmp.npy", scenes.render_all(chosen))
        os.replace(path + ".tmp.npy", path)
    return chosen, np.load(path, mmap_mode="r")


def to_float(pictures):
    """uint8 N H W 3 -> float N 3 H W in [-1, 1], channels last in memory."""
    x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2)
    return x.float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)


def test_pictures(count):
    """Scenes that no training has seen, held-out combinations among them."""
    return np.stack([scenes.draw(scenes.scene_of(TEST_SEED + i)) for i in range(count)])


def reconstruct(vae, pictures, batch=8):
    out = []
    for i in range(0, len(pictures), batch):
        z = vae.encode(to_float(pictures[i:i + batch])).latent_dist.mode()
        out.append(to_bytes(vae.decode(z).sample))
    return np.concatenate(out)


def to_bytes(x):
    x = ((x.float() + 1) * 127.5).round_().clamp_(0, 255)
    return x.permute(0, 2, 3, 1).to(torch.uint8).numpy()


def psnr(a, b):
    """Mean over pictures of 10 log10(255² / mean squared error), on 8-bit values."""
    error = ((a.astype(np.float64) - b) ** 2).reshape(len(a), -1).mean(1)
    return float((10 * np.log10(255.0 ** 2 / np.maximum(error, 1e-9))).mean())


def show(pictures, path, columns):
    from PIL import Image
    Image.fromarray(scenes.sheet(list(pictures), columns)).save(path)


def edges(x):
    return x[..., 1:] - x[..., :-1], x[..., 1:, :] - x[..., :-1, :]


def train_vae(args):
    chosen, pictures = data(args)
    middle = np.array([{"left": 37, "middle": 64, "right": 91}[s.place] for s in chosen])
    torch.manual_seed(1)
    vae = make_vae().to(memory_format=torch.channels_last)
    rng = np.random.default_rng(os.getpid())
    test = test_pictures(32)

    def crops(n):
        """Quarters of pictures around the subject, where nearly all edges are."""
        out = []
        for i in rng.integers(0, len(pictures), n):
            left = int(min(max(middle[i] - 32 + rng.integers(-20, 21), 0), 64))
            top = int(rng.integers(8, 57))
            out.append(pictures[i, top:top + 64, left:left + 64])
        return np.stack(out)

    def loss_of(pace):
        # The last part sees whole pictures only: group norms must know their statistics.
        if pace.part < 0.65 and rng.random() < 0.6:
            x = to_float(crops(4 * args.vae_batch))
        else:
            x = to_float(pictures[rng.integers(0, len(pictures), args.vae_batch)])
        if rng.random() < 0.5:
            x = x.flip(3)
        post = vae.encode(x).latent_dist
        y = vae.decode(post.sample()).sample
        d = y - x
        sharp = sum(e.abs().mean() for e in edges(d))
        kl = 0.5 * (post.mean.square() + post.var - 1 - post.logvar).mean()
        return d.abs().mean() + 2.0 * d.square().mean() + 0.3 * sharp + args.kl * kl

    def every(step):
        back = reconstruct(vae, test)
        log(f"vae step {step} test PSNR {psnr(test, back):.2f} dB")
        show(np.concatenate([v for i in range(0, 24, 8) for v in (test[i:i + 8], back[i:i + 8])]),
             os.path.join(args.out, "vae.png"), 8)

    load_start(args, "vae", [vae])
    if args.vae_minutes > 0:
        train("vae", args, [vae], loss_of, args.vae_rate, args.vae_minutes, 0.999, every)
    return vae


def load_start(args, name, models):
    """Weights of the folder --start, where no checkpoint stands; answers whether it gave them."""
    if not args.start or os.path.exists(os.path.join(args.out, name + ".pt")):
        return False
    for m in models:
        trained = type(m).from_pretrained(args.start, subfolder=FOLDERS[type(m)])
        m.load_state_dict(trained.float().state_dict())
    log(name, "starts from", args.start)
    return True


def load_mean(args, name, models):
    """Averaged weights of a checkpoint, or the folder --start; answers whether there were any."""
    path = os.path.join(args.out, name + ".pt")
    if not os.path.exists(path):
        return load_start(args, name, models)
    params = [p for m in models for p in m.parameters()]
    for p, v in zip(params, torch.load(path)["mean"]):
        p.data.copy_(v)
    return True


def latents(args):
    """Means and deviations of the scenes' latents, and the factor that makes them unit size."""
    path = os.path.join(args.out, "latents.npz")
    if not os.path.exists(path):
        pictures = data(args)[1][:args.encode]
        vae = make_vae().to(memory_format=torch.channels_last)
        load_mean(args, "vae", [vae])
        mean, std = [], []
        with torch.no_grad():
            for i in range(0, len(pictures), 16):
                post = vae.encode(to_float(pictures[i:i + 16])).latent_dist
                mean.append(post.mean.contiguous().numpy())
                std.append(post.std.contiguous().numpy())
        mean, std = np.concatenate(mean), np.concatenate(std)
        scale = 1.0 / float(np.sqrt((mean.astype(np.float64) ** 2).mean()))
        np.savez(path, mean=mean, std=std, scale=scale)
        log(f"latents: scaling factor {scale:.5f}, noise {float(std.mean()) * scale:.4f}, channel "
            f"means {mean.mean((0, 2, 3)) * scale}, deviations {mean.std((0, 2, 3)) * scale}")
    got = np.load(path)
    return got["mean"], got["std"], float(got["scale"])


def sample(models, scheduler, ids, empty, seed, steps=25, guidance=4.0, batch=20):
    """Latents for rows of token ids, with guidance."""
    unet, text = models
    out = []
    for i in range(0, len(ids), batch):
        part = ids[i:i + batch]
        cond = torch.cat([text(empty.expand(len(part), -1))[0], text(part)[0]])
        noise = torch.Generator().manual_seed(seed + i)
        z = torch.randn((len(part), 4, 16, 16), generator=noise)
        scheduler.set_timesteps(steps)
        for t in scheduler.timesteps:
            v = unet(torch.cat([z, z]), t, cond).sample
            no, yes = v.chunk(2)
            z = scheduler.step(no + guidance * (yes - no), t, z).prev_sample
        out.append(z)
    return torch.cat(out)


PREVIEW = ("a lighthouse at sunset", "a house on a sunny day", "a castle at night",
           "a small red windmill on the left on a sunny day", "a tent in fog",
           "a sailboat at sunset", "a snowman in the snow", "a house at night")


def train_unet(args):
    chosen, _ = data(args)
    mean, std, scale = latents(args)
    chosen = chosen[:len(mean)]
    mean, std = torch.from_numpy(mean) * scale, torch.from_numpy(std) * scale
    tokenizer = make_tokenizer()
    empty = token_ids(tokenizer, [""])
    rng = scenes.Random(77)
    ids = torch.stack([token_ids(tokenizer, [scenes.caption(s, rng) for s in chosen])
                       for _ in range(CAPTIONS_PER_SCENE)])
    torch.manual_seed(2)
    unet = make_unet().to(memory_format=torch.channels_last)
    text = make_text_encoder(tokenizer)
    scheduler = make_scheduler()
    bars = scheduler.alphas_cumprod
    vae = make_vae()
    load_mean(args, "vae", [vae])
    load_start(args, "unet", [unet, text])
    torch.manual_seed(os.getpid())

    def loss_of(pace):
        n = args.unet_batch
        at = torch.randint(len(mean), (n,))
        z = mean[at] + std[at] * torch.randn(n, 4, 16, 16)
        tokens = ids[torch.randint(CAPTIONS_PER_SCENE, (n,)), at]
        tokens = torch.where(torch.rand(n, 1) < 0.1, empty, tokens)
        # One timestep from each n-th part of the schedule: less noise in the gradient.
        t = ((torch.arange(n) + torch.rand(n)) * (1000 / n)).long().clamp_(0, 999)
        bar = bars[t].view(n, 1, 1, 1)
        noise = torch.randn_like(z)
        noisy = bar.sqrt() * z + (1 - bar).sqrt() * noise
        target = bar.sqrt() * noise - (1 - bar).sqrt() * z
        out = unet(noisy.contiguous(memory_format=torch.channels_last), t, text(tokens)[0]).sample
        snr = bar / (1 - bar)
        weight = snr.clamp(max=5.0) / (snr + 1)         # min-SNR, for velocities
        return (weight * (out - target).square()).mean() / weight.mean()

    def every(step):
        z = sample((unet, text), scheduler, token_ids(tokenizer, list(PREVIEW)), empty, 7, 12)
        show(to_bytes(vae.decode(z / scale).sample), os.path.join(args.out, "unet.png"), 8)

    if args.unet_minutes > 0:
        train("unet", args, [unet, text], loss_of, args.unet_rate, args.unet_minutes, 0.998,
              every)


def export(args):
    """The pipeline with averaged weights, as float16, in diffusers' layout."""
    tokenizer = make_tokenizer()
    torch.manual_seed(3)
    vae, unet, text = make_vae(), make_unet(), make_text_encoder(tokenizer)
    for name, models in (("vae", [vae]), ("unet", [unet, text])):
        if not load_mean(args, name, models):
            log("export: no checkpoint of", name, "- random weights")
    if os.path.exists(os.path.join(args.out, "latents.npz")):
        vae.register_to_config(scaling_factor=round(latents(args)[2], 6))
    pipe = StableDiffusionPipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, scheduler=make_scheduler(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipe.to(torch.float16)
    card = os.path.join(args.folder, "README.md")
    kept = open(card, encoding="utf-8").read() if os.path.exists(card) else None
    shutil.rmtree(args.folder, ignore_errors=True)
    pipe.save_pretrained(args.folder)
    # transformers loads in the type its configuration names, diffusers in float32 unless told
    # otherwise: the same for both, or a plain from_pretrained mixes types.
    config = os.path.join(args.folder, "text_encoder", "config.json")
    with open(config, encoding="utf-8") as f:
        text_config = f.read()
    with open(config, "w", encoding="utf-8") as f:
        f.write(text_config.replace('"dtype": "float16"', '"dtype": "float32"'))
    save_tokenizer(tokenizer, os.path.join(args.folder, "tokenizer"))
    if kept is not None:
        with open(card, "w", encoding="utf-8") as f:
            f.write(kept)
    size = sum(os.path.getsize(os.path.join(d, f)) for d, _, fs in os.walk(args.folder)
               for f in fs)
    log(f"exported {args.folder}: {size / 1e6:.2f} MB")


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--out", default="run", help="checkpoints, cached data, previews")
    ap.add_argument("--stage", default="all",
                    choices=("all", "data", "vae", "latents", "unet", "export"))
    ap.add_argument("--folder", help="where export writes the model (default: OUT/model)")
    ap.add_argument("--start", help="a model folder to go on from, where no checkpoint stands")
    ap.add_argument("--scenes", type=int, default=24000)
    ap.add_argument("--encode", type=int, default=24000, help="scenes that the U-Net sees")
    ap.add_argument("--vae-minutes", type=float, default=50)
    ap.add_argument("--unet-minutes", type=float, default=60)
    ap.add_argument("--vae-batch", type=int, default=4)
    ap.add_argument("--unet-batch", type=int, default=24)
    ap.add_argument("--vae-rate", type=float, default=2e-3)
    ap.add_argument("--unet-rate", type=float, default=1.5e-3)
    ap.add_argument("--kl", type=float, default=1e-4)
    args = ap.parse_args()
    args.folder = args.folder or os.path.join(args.out, "model")
    os.makedirs(args.out, exist_ok=True)
    torch.set_num_threads(2)
    if args.stage in ("all", "data"):
        data(args)
    if args.stage in ("all", "vae"):
        train_vae(args)
    if args.stage == "latents":
        latents(args)
    if args.stage in ("all", "unet"):
        train_unet(args)
    if args.stage in ("all", "export"):
        export(args)


if __name__ == "__main__":
    sys.exit(main())
