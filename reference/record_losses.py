# SPDX-License-Identifier: MIT
"""Record the losses of training and their gradients, and learning rates: reference/losses/.

Usage: record_losses.py
Everything is computed in float64 on float32 inputs; only the schedule's tables are float32.
"""

import os

import torch
from diffusers import DDPMScheduler
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.optimization import get_scheduler
from diffusers.training_utils import compute_snr

from common import write_json, write_tensors

HERE = os.path.dirname(os.path.abspath(__file__))
SHAPE = (5, 4, 3, 6)
STEPS = (0, 1, 2, 3, 7, 10, 50, 98, 99, 100, 130)


def denoising(tensors):
    g = torch.Generator().manual_seed(31)
    x0, noise, out = (torch.randn(SHAPE, generator=g) for _ in range(3))
    t = torch.tensor([0, 17, 400, 811, 999])
    tensors |= {"x0": x0, "noise": noise, "out": out}
    cases = []
    for kind in ("epsilon", "v_prediction", "sample"):
        for gamma in (0, 5):
            s = DDPMScheduler(1000, 0.00085, 0.012, "scaled_linear", prediction_type=kind)
            target = {"epsilon": noise.double(), "sample": x0.double(),
                      "v_prediction": s.get_velocity(x0.double(), noise.double(), t)}[kind]
            snr = compute_snr(s, t).double()
            weight = torch.ones_like(snr)
            if gamma:  # as diffusers' examples/text_to_image/train_text_to_image.py
                weight = torch.minimum(snr, torch.full_like(snr, gamma))
                weight = weight / {"epsilon": snr, "v_prediction": snr + 1, "sample": 1}[kind]
            guess = out.double().requires_grad_()
            loss = (((guess - target) ** 2).mean((1, 2, 3)) * weight).mean()
            loss.backward()
            name = f"{kind}.{gamma}"
            tensors |= {f"{name}.noisy": s.add_noise(x0.double(), noise.double(), t).float(),
                        f"{name}.target": target.float(), f"{name}.weight": weight.float(),
                        f"{name}.gradient": guess.grad.float()}
            cases.append({"name": name, "prediction_type": kind, "gamma": gamma,
                          "t": t.tolist(), "loss": loss.item()})
    return cases


def autoencoder(tensors):
    g = torch.Generator().manual_seed(32)
    moments = torch.randn((3, 8, 3, 5), generator=g)
    moments[:, 4:] *= 12
    noise, x, dz = (torch.randn((3, 4, 3, 5), generator=g) for _ in range(3))
    m = moments.double().requires_grad_()
    posterior = DiagonalGaussianDistribution(m)
    z = posterior.mean + posterior.std * noise.double()
    kl = posterior.kl().mean()
    (1e-3 * kl + (z * dz.double()).sum()).backward()
    y = z.detach().float().double().requires_grad_()
    d = y - x.double()
    loss = 0.7 * d.abs().mean() + 0.2 * d.square().mean()
    loss.backward()
    tensors |= {"moments": moments, "vae.noise": noise, "vae.x": x, "vae.dz": dz,
                "vae.z": z.float(), "vae.dmoments": m.grad.float(), "vae.dy": y.grad.float()}
    return {"kl": kl.item(), "kl_weight": 1e-3, "l1": 0.7, "l2": 0.2, "loss": loss.item()}


def rates():
    out = []
    for name in ("constant_with_warmup", "linear", "cosine"):
        for warm in (0, 10):
            opt = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
            s = get_scheduler(name, opt, num_warmup_steps=warm, num_training_steps=100)
            values = []
            for _ in range(max(STEPS) + 1):
                values.append(s.get_last_lr()[0])
                opt.step()
                s.step()
            out.append({"schedule": name.split("_")[0], "warmup_steps": warm, "steps": 100,
                        "learning_rate": 0.5, "at": list(STEPS),
                        "rates": [values[i] for i in STEPS]})
    return out


def main():
    tensors = {}
    folder = os.path.join(HERE, "losses")
    os.makedirs(folder, exist_ok=True)
    manifest = {"denoising": denoising(tensors), "autoencoder": autoencoder(tensors),
                "rates": rates()}
    write_tensors(os.path.join(folder, "losses.safetensors"), tensors)
    write_json(os.path.join(folder, "losses.json"), manifest)


if __name__ == "__main__":
    main()
