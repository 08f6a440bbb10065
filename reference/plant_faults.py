# SPDX-License-Identifier: MIT
"""Plant faults in PyTorch's code, as ports have them, and record what comes of it: for `tintype verify` to explain.

Usage: plant_faults.py [--whole] [--out FOLDER] [NAME...]
Of each fault of README.md's table, or of those named, a recording of one network of a tiny pipeline, to
reference/faults/NAME: what is near the first tensor that the fault changes, or with --whole all of it. faults.json
lists them with what `verify` must say. Beside the faults stand those that are in no list, which must be called
unknown, and recordings without a fault. `run-*` are of the first step of a whole run: what lies between its networks.
"""

import argparse
import contextlib
import json
import os
import shutil
import types

import diffusers
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import record
from common import HERE, versions, write_json, write_tensors
from tintype_hook import Recording

TIMESTEPS = [13.0, 2.0]  # small ones: float32 computes the sinusoids of large ones badly, which widens every limit


# ---- the networks ----


def tiny(*path):
    return os.path.join(HERE, "tiny", *path)


def load(model, part):
    if part == "text_encoder":
        return record.load_text_encoder(tiny(model, "text_encoder"))
    if part == "unet":
        return record.load_unet(tiny(model, "unet"))
    return record.load_vae(tiny(model) if record.is_vae(tiny(model)) else tiny(model, "vae"))


def inputs_of(network, model, part, seed, size, batch):
    """Inputs of a call, and what calls it."""
    generator = torch.Generator().manual_seed(seed)
    config = network.config

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    if part == "text_encoder":
        end = config.vocab_size - 1
        ids = torch.full((batch, 10), end)
        for row in range(batch):
            words = torch.randint(0, end - 1, (4 + row,), generator=generator)
            ids[row, : 5 + row] = torch.cat([torch.tensor([end - 1]), words])
        return record.text_forward, dict(input_ids=ids)
    if part == "unet":
        given = dict(
            sample=normal(batch, config.in_channels, *size),
            timestep=torch.tensor((TIMESTEPS * batch)[:batch]),
        )
        if config.get("cross_attention_dim"):
            given["encoder_hidden_states"] = normal(batch, 7, config.cross_attention_dim)
        if config.get("time_cond_proj_dim"):
            given["timestep_cond"] = normal(batch, config.time_cond_proj_dim)
        return record.unet_forward, given
    factor = 2 ** (len(config.block_out_channels) - 1)
    size, batch = (2, size[1] // 2), 1
    if part == "vae_encoder":
        pixels = torch.rand(batch, config.in_channels, *(factor * x for x in size), generator=generator)
        return record.encoder_forward, dict(sample=pixels * 2 - 1)
    return record.decoder_forward, dict(sample=normal(batch, config.latent_channels, *size))


# ---- planting ----


@contextlib.contextmanager
def replaced(owner, name, make):
    """owner.name is make(owner.name) for a while."""
    original = getattr(owner, name)
    setattr(owner, name, make(original))
    try:
        yield
    finally:
        setattr(owner, name, original)


def wrap(module, change):
    """module(*args) becomes change(forward, *args)."""
    forward = module.forward
    module.forward = lambda *args, **kwargs: change(forward, *args, **kwargs)


def after(module, change):
    wrap(module, lambda forward, *args, **kwargs: change(forward(*args, **kwargs)))


def before(module, change):
    wrap(module, lambda forward, x, *args, **kwargs: forward(change(x), *args, **kwargs))


def weight(module, change, name="weight"):
    with torch.no_grad():
        value = getattr(module, name)
        value.copy_(change(value.detach().clone()))


def no_bias(module):
    module.bias = None


def transposed(x):
    return x.transpose(0, 1)


def as_other_layout(x):
    """The numbers of (out, in, ...) as they lie, taken for (in, out, ...) and turned."""
    return x.reshape(x.shape[1], x.shape[0], *x.shape[2:]).transpose(0, 1).contiguous()


def as_channels_last(x):
    """A convolution's weight stored as (out, height, width, in), taken for (out, in, height, width)."""
    return x.permute(0, 2, 3, 1).contiguous().reshape(x.shape)


def halves(x, dim):
    return torch.cat(x.chunk(2, dim=dim)[::-1], dim=dim)


def block(unet):
    return unet.down_blocks[0].attentions[0].transformer_blocks[0]


def gate_first(geglu):
    def forward(self, x, *args, **kwargs):
        gate, hidden = self.proj(x).chunk(2, dim=-1)
        return hidden * F.gelu(gate)

    geglu.forward = types.MethodType(forward, geglu)


def quick_gelu(x):
    return x * torch.sigmoid(1.702 * x)


def tanh_gelu(geglu):
    geglu.gelu = lambda gate: F.gelu(gate, approximate="tanh")


class Function(torch.nn.Module):
    def __init__(self, function):
        super().__init__()
        self.forward = function


def own_attention(**change):
    """A context in which attention has other arguments; the function gets (original, q, k, v, arguments)."""
    what = change.pop("call", None)

    def make(original):
        def attention(q, k, v, *args, **kwargs):
            kwargs.update(change)
            return what(original, q, k, v, kwargs) if what else original(q, k, v, *args, **kwargs)

        return attention

    return replaced(F, "scaled_dot_product_attention", make)


def scaled_by(of):
    return own_attention(call=lambda f, q, k, v, a: f(q, k, v, **{**a, "scale": of(q)}))


def temperatures(f, q, k, v, a):
    each = torch.linspace(0.8, 1.3, q.shape[1], dtype=q.dtype)[None, :, None, None]
    return f(q * each, k, v, **a)


def not_causal(f, q, k, v, a):
    return f(q, k, v, **{**a, "attn_mask": None, "is_causal": False})


def joined(change):
    """A context in which torch.cat of two pictures is changed."""

    def make(original):
        def cat(tensors, dim=0, **kwargs):
            if dim == 1 and len(tensors) == 2 and tensors[0].dim() == 4:
                tensors = change(tensors)
            return original(tensors, dim=dim, **kwargs)

        return cat

    return replaced(torch, "cat", make)


def bilinear():
    def make(original):
        def interpolate(x, *args, **kwargs):
            return original(x, *args, **{**kwargs, "mode": "bilinear", "align_corners": False})

        return interpolate

    return replaced(F, "interpolate", make)


def skips_swapped(unet):
    """The first two of the skip connections that a block takes, in the wrong order: both have the same shape."""
    up = unet.up_blocks[0]

    def change(forward, hidden, res_hidden_states_tuple, *args, **kwargs):
        skips = list(res_hidden_states_tuple)
        skips[-1], skips[-2] = skips[-2], skips[-1]
        return forward(hidden, tuple(skips), *args, **kwargs)

    wrap(up, lambda forward, **kwargs: change(forward, kwargs.pop("hidden_states"),
                                              kwargs.pop("res_hidden_states_tuple"), **kwargs))


def no_residual(resnet):
    """The block gives what it computes, without what it was given."""
    kept = {}
    resnet.conv2.register_forward_hook(lambda m, a, out: kept.update(out=out))
    after(resnet, lambda out: kept["out"])


def symmetric(downsampler):
    def forward(x, *args, **kwargs):
        return F.conv2d(x, conv.weight, conv.bias, stride=2, padding=1)

    conv = downsampler.conv
    downsampler.forward = forward


def in_precision(module, dtype):
    """Computed in half precision and widened again."""
    after(module, lambda x: x.to(dtype).to(x.dtype))


def rounded(x, dtype):
    return x.to(dtype).to(x.dtype)


def padded_with(network, pad):
    def change(ids):
        ends = (ids == network.config.vocab_size - 1).int().argmax(dim=1)
        behind = torch.arange(ids.shape[1])[None] > ends[:, None]
        return torch.where(behind, torch.tensor(pad), ids)

    text = getattr(network, "text_model", network)
    before(text.embeddings.token_embedding, change)


def text_of(network):
    return getattr(network, "text_model", network)


def layer(network, i):
    return text_of(network).encoder.layers[i]


def rows_as_pixels(transformer):
    """(N, C, H, W) read as (N, HW, C) as it lies: NCHW taken for NHWC."""
    before(transformer.transformer_blocks[0],
           lambda x: x.transpose(1, 2).contiguous().reshape(x.shape))


def reseeded(x):
    return torch.randn(x.shape, generator=torch.Generator().manual_seed(5)) * x.std()


def swapped_pair(x):
    order = list(range(x.shape[1]))
    order[2], order[3] = order[3], order[2]
    return x[:, order]


def one_column(x):
    x = x.clone()
    x[:, 3] *= 1.001
    return x


def twice(forward, x, *args, **kwargs):
    once = forward(x, *args, **kwargs)
    once = once[0] if isinstance(once, tuple) else once
    return forward(once, *args, **kwargs)


def dropped(module):
    generator = torch.Generator().manual_seed(3)
    masks = {}

    def change(x):
        if x.shape not in masks:
            masks[x.shape] = (torch.rand(x.shape, generator=generator) > 0.1) / 0.9
        return x * masks[x.shape].to(x.dtype)

    after(module, change)


# name -> (model, part, what verify must say, plants it; may return a context)
FAULTS = {
    "eps-group-norm": ("sd15", "unet", "eps", lambda n: setattr(n.down_blocks[0].resnets[0].norm2, "eps", 1e-6)),
    "eps-layer-norm": ("sd15", "text_encoder", "eps", lambda n: setattr(layer(n, 0).layer_norm2, "eps", 1e-6)),
    "eps-transformer": ("wide", "unet", "eps", lambda n: setattr(n.down_blocks[0].attentions[0].norm, "eps", 1e-5)),
    "eps-of-no-list": ("sd15", "vae_decoder", "eps", lambda n: setattr(n.decoder.conv_norm_out, "eps", 3.7e-4)),
    "tanh-gelu": ("sd15", "unet", "activation", lambda n: tanh_gelu(block(n).ff.net[0])),
    "erf-gelu": ("sd15", "text_encoder", "activation",
                    lambda n: setattr(layer(n, 1).mlp, "activation_fn", Function(F.gelu))),
    "quick-gelu": ("sd21", "text_encoder", "activation",
                   lambda n: setattr(layer(n, 0).mlp, "activation_fn", Function(quick_gelu))),
    "relu": ("sd15", "vae_encoder", "activation",
             lambda n: setattr(n.encoder.down_blocks[1].resnets[0], "nonlinearity", Function(F.relu))),
    "gate-and-hidden": ("sd15", "unet", "swapped-halves", lambda n: gate_first(block(n).ff.net[0])),
    "sin-and-cos": ("sd15", "unet", "swapped-halves", lambda n: setattr(n.time_proj, "flip_sin_to_cos", False)),
    "halves-of-a-layer": ("sd15", "unet", "swapped-halves",
                    lambda n: after(block(n).ff.net[0].proj, lambda x: halves(x, -1))),
    "guided-and-unguided": ("sd15", "unet", "swapped-rows",
                            lambda n: before(block(n).attn2.to_k, lambda x: halves(x, 0))),
    "guided-rows-out": ("sd21", "unet", "swapped-rows", lambda n: after(n.conv_out, lambda x: halves(x, 0))),
    "timestep-off-by-one": ("sd15", "unet", "timestep", lambda n: before(n.time_proj, lambda t: t - 1)),
    "timestep-high": ("lcm", "unet", "timestep", lambda n: before(n.time_proj, lambda t: t + 1)),
    "timestep-scaled": ("sd21", "unet", "timestep", lambda n: before(n.time_proj, lambda t: t / 1000)),
    "transposed-square": ("sd15", "unet", "transposed-weight", lambda n: weight(block(n).attn1.to_q, transposed)),
    "transposed-text": ("sd21", "text_encoder", "transposed-weight",
                        lambda n: weight(layer(n, 0).self_attn.out_proj, transposed)),
    "transposed-layout": ("sd15", "unet", "transposed-weight", lambda n: weight(block(n).ff.net[2], as_other_layout)),
    "conv-channels-last": ("sd15", "vae_decoder", "transposed-weight",
                    lambda n: weight(n.decoder.conv_in, as_channels_last)),
    "conv-in-and-out": ("sd15", "unet", "transposed-weight",
                        lambda n: weight(n.down_blocks[0].resnets[0].conv1, transposed)),
    "no-bias-conv": ("sd15", "unet", "missing-bias", lambda n: no_bias(n.down_blocks[0].downsamplers[0].conv)),
    "no-bias-linear": ("sd15", "text_encoder", "missing-bias", lambda n: no_bias(layer(n, 1).self_attn.v_proj)),
    "no-bias-norm": ("sd21", "unet", "missing-bias", lambda n: weight(n.conv_norm_out, torch.zeros_like, "bias")),
    "heads": ("sd15", "unet", "heads", lambda n: setattr(block(n).attn1, "heads", 2)),
    "heads-one": ("sd21", "unet", "heads",
                    lambda n: setattr(n.mid_block.attentions[0].transformer_blocks[0].attn2, "heads", 1)),
    "scale-of-attention": ("sd15", "unet", "scale", lambda n: scaled_by(lambda q: 1 / q.shape[-1])),
    "scale-of-no-list": ("sd21", "unet", "scale", lambda n: scaled_by(lambda q: 0.3)),
    "scaling-factor-again": ("sd15", "vae_decoder", "scale",
                             lambda n: before(n.post_quant_conv, lambda x: x / n.config.scaling_factor)),
    "scaling-factor-out": ("sd21", "vae_encoder", "scale",
                           lambda n: after(n.quant_conv, lambda x: x * n.config.scaling_factor)),
    "no-causal-mask": ("sd15", "text_encoder", "causal-mask", lambda n: own_attention(call=not_causal)),
    "pad-token": ("sd15", "text_encoder", "pad-token", lambda n: padded_with(n, 0)),
    "pad-token-other": ("wide", "text_encoder", "pad-token", lambda n: padded_with(n, 5)),
    "skipped-resnet": ("sd15", "unet", "skipped", lambda n: wrap(n.down_blocks[0].resnets[1], lambda f, x, *a, **k: x)),
    "skipped-layer": ("sd21", "text_encoder", "skipped", lambda n: text_of(n).encoder.layers.__delitem__(1)),
    "doubled-block": ("sd15", "unet", "doubled", lambda n: wrap(block(n), twice)),
    "doubled-layer": ("sd15", "text_encoder", "doubled",
                      lambda n: wrap(layer(n, 0), twice)),
    "f16-norm": ("sd15", "unet", "dtype", lambda n: in_precision(n.down_blocks[1].resnets[0].norm2, torch.float16)),
    "bf16-attention": ("sd15", "unet", "dtype", lambda n: in_precision(block(n).attn1.to_out[0], torch.bfloat16)),
    "bf16-weight": ("sd15", "text_encoder", "dtype",
                    lambda n: weight(layer(n, 0).mlp.fc1, lambda x: rounded(x, torch.bfloat16))),
    "f16-input": ("sd15", "vae_encoder", "dtype",
                  lambda n: before(n.encoder.down_blocks[0].resnets[0].conv1, lambda x: rounded(x, torch.float16))),
    "nhwc-rows": ("sd15", "unet", "axis-order", lambda n: rows_as_pixels(n.down_blocks[0].attentions[0])),
    "nhwc-picture": ("sd15", "vae_decoder", "axis-order",
                     lambda n: after(n.post_quant_conv, lambda x: x.permute(0, 2, 3, 1).contiguous().reshape(x.shape))),
    "groups": ("sd15", "unet", "groups", lambda n: setattr(n.down_blocks[1].resnets[0].norm1, "num_groups", 2)),
    "symmetric-padding": ("sd15", "vae_encoder", "padding",
                          lambda n: symmetric(n.encoder.down_blocks[0].downsamplers[0])),
    "no-residual": ("sd15", "unet", "residual", lambda n: no_residual(n.down_blocks[0].resnets[0])),
    "bilinear": ("sd15", "vae_decoder", "upsampling", lambda n: bilinear()),
    "concat-order": ("sd15", "unet", "concat-order", lambda n: joined(lambda t: t[::-1])),
    "freq-shift": ("sd15", "unet", "timestep-shift", lambda n: setattr(n.time_proj, "downscale_freq_shift", 1)),
    "query-and-key": ("sd15", "unet", "swapped-weights",
                      lambda n: weight(block(n).attn1.to_q, lambda x: block(n).attn1.to_k.weight.detach())),
    # in no list
    "swapped-pair": ("sd15", "unet", "unknown", lambda n: before(n.down_blocks[0].resnets[1].conv1, swapped_pair)),
    "one-column": ("sd15", "unet", "unknown", lambda n: weight(block(n).attn1.to_v, one_column)),
    "clip": ("sd15", "unet", "unknown",
                    lambda n: after(n.down_blocks[0].resnets[0].norm2, lambda x: x.clamp(-1.5, 1.5))),
    "dropout-left-on": ("sd15", "unet", "unknown", lambda n: dropped(n.down_blocks[0].resnets[0].dropout)),
    "flipped-kernel": ("sd15", "vae_decoder", "unknown", lambda n: weight(n.decoder.conv_out, lambda x: x.flip(2, 3))),
    "another-seed": ("sd15", "unet", "unknown", lambda n: weight(n.down_blocks[1].resnets[0].conv2, reseeded)),
    "temperature-per-head": ("sd15", "unet", "unknown", lambda n: own_attention(call=temperatures)),
    "skips-swapped": ("sd15", "unet", "unknown", skips_swapped),
}

CLEAN = [
    (model, part, seed)
    for model, parts in {
        "sd15": ("text_encoder", "unet", "vae_encoder", "vae_decoder"),
        "sd21": ("text_encoder", "unet", "vae_encoder", "vae_decoder"),
        "wide": ("text_encoder", "vae_decoder"),
        "lcm": ("unet", "text_encoder"),
        "ddpm": ("unet",),
        "ddim": ("unet",),
        "taesd": ("vae_decoder",),
    }.items()
    for part in parts
    for seed in ((1, 2) if model not in ("sd15", "taesd") else (1, 2, 3))
][:32]


# ---- between the networks of a run ----


def other_pad(pipeline):
    pipeline.tokenizer.pad_token = pipeline.tokenizer.convert_ids_to_tokens(0)


def halves_of_prediction(pipeline):
    """The pipeline takes the unguided prediction for the guided one; what the U-Net gave is recorded before."""
    wrap(pipeline.unet, lambda forward, *args, **kwargs: (halves(forward(*args, **kwargs)[0], 0),))


# name -> plants it in a pipeline that is watched
RUNS = {
    "run-clean": lambda pipeline: None,
    "run-guided-and-unguided": halves_of_prediction,
    "run-pad-token": other_pad,
}


def record_run(name, out):
    """The inputs and outputs of the first step's calls: of each of the two texts, the U-Net, the scheduler."""
    run = dict(prompt="a lighthouse at sunset", negative_prompt="blurry", guidance_scale=7.5, width=64, height=64)
    pipeline = diffusers.DiffusionPipeline.from_pretrained(tiny("sd15"))
    pipeline.set_progress_bar_config(disable=True)
    shutil.rmtree(out, ignore_errors=True)
    settings = {"prompt": run["prompt"], "negative_prompt": run["negative_prompt"], "seed": 7, "steps": 3,
                "guidance_scale": run["guidance_scale"], "width": run["width"], "height": run["height"],
                "scheduler": type(pipeline.scheduler).__name__}
    with Recording(out, settings=settings, modules="^$", err32="none", drift32=False, weights=False, quiet=True) as r:
        r.watch_pipeline(pipeline)
        RUNS[name](pipeline)
        pipeline(**run, num_inference_steps=3, generator=torch.Generator().manual_seed(7), output_type="latent")
    path = os.path.join(out, "recording.json")
    with open(path) as f:
        header = json.load(f)
    for call in header["calls"][4:]:
        os.remove(os.path.join(out, call["file"]))
        os.remove(os.path.join(out, call["manifest"]))
    header["calls"] = header["calls"][:4]
    with open(path, "w") as f:
        json.dump(header, f, indent=1)


# ---- recording ----


def run(model, part, plant, path, seed, size=(4, 4), batch=2):
    """The manifest of a part, and its file at path."""
    network = load(model, part)
    forward, inputs = inputs_of(network, model, part, seed, size, batch)
    with (plant and plant(network)) or contextlib.nullcontext():
        return record.record_part(part, network, forward, inputs, path)


def first_others(clean, planted):
    """The places of the first tensor that the fault changed or added, and of the first that it changed, among those
    of the planted recording."""
    known = {t["name"]: t["sha256"] for t in clean["tensors"]}
    others = [i for i, t in enumerate(planted["tensors"]) if known.get(t["name"]) != t["sha256"]]
    changed = [i for i in others if planted["tensors"][i]["name"] in known]
    if not changed:
        raise SystemExit("the fault changes nothing")
    return sorted({others[0], changed[0]})


def near(manifest, path, places, around=(9, 3)):
    """Keeps the inputs of the part, what stands around the tensors at these places, and what that reads."""
    tensors = manifest["tensors"]
    keep = {i for place in places for i in range(max(place - around[0], 0), min(place + around[1], len(tensors)))}
    read = {name for i in keep for name in tensors[i]["inputs"]}
    kept = [t for i, t in enumerate(tensors) if i in keep or t["type"] == "input" or t["name"] in read]
    values = load_file(path)
    write_tensors(path, {t["stored"]: values[t["stored"]] for t in kept})
    for t in kept:
        for key in ("rms", "rms32", "leaf", "sha256"):
            t.pop(key, None)
        t["inputs"] = [name for name in t["inputs"] if any(u["name"] == name for u in kept)]
    manifest.pop("sha256")
    return {**manifest, "tensors": kept}


def write(out, model, name, manifest):
    write_json(
        os.path.join(out, "recording.json"),
        {"format": "tintype-recording", "version": 1, "model": model, "setting": name, "versions": versions(),
         "parts": [manifest]},
    )


def plant(name, out, whole):
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    model, part, _, how = FAULTS[name]
    path = os.path.join(out, part + ".safetensors")
    clean = run(model, part, None, path, 1)
    manifest = run(model, part, lambda n: enter(how(n)), path, 1)
    places = first_others(clean, manifest)
    write(out, model, name, manifest if whole else near(manifest, path, places))


def enter(planted):
    return planted if hasattr(planted, "__enter__") else None


def record_clean(i, out, whole):
    model, part, seed = CLEAN[i]
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    path = os.path.join(out, part + ".safetensors")
    size, batch = ((4, 8), 1 + seed % 2) if seed > 1 else ((4, 4), 1)
    manifest = run(model, part, None, path, 100 + i, size, batch)
    first = (i * 37) % max(len(manifest["tensors"]) - 4, 1)
    write(out, model, f"clean-{i}", manifest if whole else near(manifest, path, [first], (5, 4)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--whole", action="store_true", help="all tensors, not only those near the fault")
    parser.add_argument("--out", default=os.path.join(HERE, "faults"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    clean = [f"clean-{i:02}" for i in range(len(CLEAN))]
    for name in args.names or [*FAULTS, *clean, *RUNS]:
        folder = os.path.join(args.out, name)
        if name in FAULTS:
            plant(name, folder, args.whole)
        elif name in RUNS:
            record_run(name, folder)
        else:
            record_clean(int(name.removeprefix("clean-")), folder, args.whole)
        print(folder)
    if args.names:
        return
    cases = [{"name": name, "model": f[0], "part": f[1], "says": f[2]} for name, f in FAULTS.items()]
    cases += [
        {"name": name, "model": CLEAN[i][0], "part": CLEAN[i][1], "says": None} for i, name in enumerate(clean)
    ]
    with open(os.path.join(args.out, "faults.json"), "w") as f:
        f.write('{"cases": [\n' + ",\n".join(json.dumps(c) for c in cases) + "\n]}\n")


if __name__ == "__main__":
    main()
