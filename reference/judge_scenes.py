# SPDX-License-Identifier: MIT
"""A small convolutional network that names subject and time of a picture, and judges a model.

    python judge_scenes.py train --out judge.pt
    python judge_scenes.py generate --judge judge.pt --model models/scenes --sheet sheet.png
    python judge_scenes.py pictures --judge judge.pt --labels labels.json FILES...

`generate` draws 200 pictures: prompts in turn over all subjects and times that training saw,
and 100 of the combinations it did not. A picture counts when subject and time are both named.
"""
import argparse
import json
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import scenes

# Scenes that no training has seen; the judge learns from others still.
TEST_SEED, JUDGE_SEED = 10_000_000, 20_000_000


def to_float(pictures):
    """uint8 N H W 3 -> float N 3 H W in [-1, 1], channels last in memory."""
    x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2)
    return x.float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)


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


def halve(pictures):
    """uint8 N 128 128 3 -> float N 3 64 64, 0 to 255: the judge needs no more detail."""
    x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2)
    return torch.cat([F.avg_pool2d(p.float(), 2) for p in x.split(500)])


class Judge(nn.Module):
    """64×64 picture -> scores of the subjects and of the times."""

    def __init__(self):
        super().__init__()
        widths, layers = (3, 32, 64, 96, 128), []
        for a, b in zip(widths, widths[1:]):
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(b),
                       nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(2 * widths[-1], len(scenes.SUBJECTS) + len(scenes.TIMES))

    def forward(self, pictures):
        """float N 3 64 64, 0 to 255 -> (N, subjects), (N, times)."""
        x = self.body((pictures / 127.5 - 1).contiguous(memory_format=torch.channels_last))
        x = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)
        return self.head(x).split([len(scenes.SUBJECTS), len(scenes.TIMES)], 1)


def drawn(count, first):
    """Scenes of all combinations, with their labels."""
    chosen = [scenes.scene_of(first + i) for i in range(count)]
    labels = [(scenes.SUBJECTS.index(s.subject), scenes.TIMES.index(s.time)) for s in chosen]
    return halve(scenes.render_all(chosen)), torch.tensor(labels)


def name(judge, pictures, batch=50):
    """Subject and time indices of halved pictures, N × 2."""
    judge.eval()
    with torch.no_grad():
        out = [torch.stack([h.argmax(1) for h in judge(pictures[i:i + batch])], 1)
               for i in range(0, len(pictures), batch)]
    return torch.cat(out)


def soften(x):
    """Half of the pictures lose detail, as generated ones may: judge shapes, not pixels."""
    n = len(x) // 2
    small = F.avg_pool2d(x[:n], 2)
    wide = F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    return torch.cat([wide, x[n:]])


def train(args):
    torch.manual_seed(5)
    judge = Judge().to(memory_format=torch.channels_last)
    began = time.time()
    pictures, labels = drawn(args.scenes, JUDGE_SEED)
    test, truth = drawn(2000, TEST_SEED)
    steps = args.epochs * len(pictures) // 32
    opt = torch.optim.AdamW(judge.parameters(), lr=3e-3, weight_decay=0.05)
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, 4e-3, total_steps=steps)
    judge.train()
    for step in range(steps):
        at = torch.randint(len(pictures), (32,))
        subject, when = judge(soften(pictures[at]))
        loss = (F.cross_entropy(subject, labels[at, 0], label_smoothing=0.05)
                + F.cross_entropy(when, labels[at, 1], label_smoothing=0.05))
        opt.zero_grad()
        loss.backward()
        opt.step()
        plan.step()
        if step % 100 == 0:
            print(f"step {step}/{steps} loss {loss.item():.4f} {time.time() - began:.0f} s",
                  flush=True)
    right = name(judge, test) == truth
    print(f"drawn test scenes: subject {right[:, 0].float().mean():.4f} "
          f"time {right[:, 1].float().mean():.4f} both {right.all(1).float().mean():.4f} "
          f"({time.time() - began:.0f} s)")
    torch.save(judge.state_dict(), args.out)


def load(path):
    judge = Judge()
    judge.load_state_dict(torch.load(path))
    return judge.to(memory_format=torch.channels_last)


def verdict(title, named, pairs):
    """Print and answer how many pictures are what was asked for."""
    truth = torch.tensor([(scenes.SUBJECTS.index(s), scenes.TIMES.index(t)) for s, t in pairs])
    right = named == truth
    both = right.all(1)
    print(f"{title}: subject {right[:, 0].float().mean():.3f} time "
          f"{right[:, 1].float().mean():.3f} both {both.float().mean():.3f} "
          f"({int(both.sum())} of {len(pairs)})")
    for (s, t), n, ok in zip(pairs, named.tolist(), both.tolist()):
        if not ok:
            print(f"  {s}, {t}: named {scenes.SUBJECTS[n[0]]}, {scenes.TIMES[n[1]]}")
    return both


def prompts(pairs, seed):
    """A caption for each pair, of random size, place, colour and wording."""
    rng, out = scenes.Random(seed), []
    for i, (s, t) in enumerate(pairs):
        out.append(scenes.caption(scenes.scene_of(JUDGE_SEED // 2 + i, s, t), rng))
    return out


def pairs_to_draw(count, held):
    every = [(s, t) for s in scenes.SUBJECTS for t in scenes.TIMES
             if ((s, t) in scenes.HELD_OUT) == held]
    return [every[i % len(every)] for i in range(count)]


def generate(args):
    from diffusers import StableDiffusionPipeline
    from transformers.utils import logging
    logging.set_verbosity_error()
    judge = load(args.judge)
    pipe = StableDiffusionPipeline.from_pretrained(args.model, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    for title, count, held in (("seen combinations", args.count, False),
                               ("held-out combinations", args.held, True)):
        if not count:
            continue
        pairs = pairs_to_draw(count, held)
        texts, out = prompts(pairs, 3), []
        for i in range(0, count, 20):
            noise = [torch.Generator().manual_seed(args.seed + k)
                     for k in range(i, min(i + 20, count))]
            out.append(pipe(texts[i:i + 20], num_inference_steps=args.steps, generator=noise,
                            guidance_scale=args.guidance, output_type="np").images)
        pictures = np.floor(np.concatenate(out) * 255 + 0.5).astype(np.uint8)
        verdict(title, name(judge, halve(pictures)), pairs)
        if args.sheet:
            where, last = os.path.split(args.sheet)
            show(pictures[:100], os.path.join(where, ("held-" if held else "seen-") + last), 10)
    test = np.stack([scenes.draw(scenes.scene_of(TEST_SEED + i)) for i in range(args.unseen)])
    with torch.no_grad():
        back = reconstruct(pipe.vae, test)
    print(f"autoencoder on {len(test)} unseen scenes: PSNR {psnr(test, back):.2f} dB")
    truth = [(s.subject, s.time) for s in (scenes.scene_of(TEST_SEED + i)
                                           for i in range(args.unseen))]
    verdict("reconstructed scenes", name(judge, halve(back)), truth)


def pictures(args):
    """Judge PNG files; labels.json maps file name to [subject, time]."""
    from PIL import Image
    judge = load(args.judge)
    with open(args.labels, encoding="utf-8") as f:
        labels = json.load(f)
    got = np.stack([np.asarray(Image.open(p).convert("RGB")) for p in args.files])
    pairs = [tuple(labels[p.rsplit("/", 1)[-1]]) for p in args.files]
    verdict("pictures", name(judge, halve(got)), pairs)


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    verbs = ap.add_subparsers(required=True)
    p = verbs.add_parser("train")
    p.add_argument("--out", default="judge.pt")
    p.add_argument("--scenes", type=int, default=8000)
    p.add_argument("--epochs", type=int, default=4)
    p.set_defaults(run=train)
    p = verbs.add_parser("generate")
    p.add_argument("--judge", default="judge.pt")
    p.add_argument("--model", default="models/scenes")
    p.add_argument("--count", type=int, default=200)
    p.add_argument("--held", type=int, default=100)
    p.add_argument("--unseen", type=int, default=240)
    p.add_argument("--steps", type=int, default=25)
    p.add_argument("--guidance", type=float, default=4.0)
    p.add_argument("--seed", type=int, default=1000)
    p.add_argument("--sheet", help="write contact sheets, seen- and held- before the name")
    p.set_defaults(run=generate)
    p = verbs.add_parser("pictures")
    p.add_argument("--judge", default="judge.pt")
    p.add_argument("--labels", required=True)
    p.add_argument("files", nargs="+")
    p.set_defaults(run=pictures)
    args = ap.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
