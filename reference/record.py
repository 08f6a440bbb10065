# SPDX-License-Identifier: MIT
"""Record every module of the networks of a diffusers pipeline: inputs, outputs, and what float32
costs.

Usage: record.py [MODEL...]
       record.py --model FOLDER --out FOLDER [--size HxW] [--batch N] [--timestep T] [--tokens N]
       record.py --pipeline FOLDER --prompt TEXT [--steps N] [--seed S] ... -o RECORDING
The first form: all settings of the tiny pipelines named, or of all of them, to reference/golden/.
The second tells how much memory each network will take, and refuses what the machine has no room
for, before it begins: all that the modules are given and give is held in float32 and float64.
The third is a whole run, from the prompt to the picture (record_run.py; --help lists its options).
The format is described in RECORDINGS.md.
"""

import argparse
import os
import shutil
import sys

import diffusers
import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel, UNet2DModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from common import (
    HERE,
    describe,
    exact_time_embedding,
    file_sha256,
    guidance_embedding,
    sha256,
    tensor_bytes,
    versions,
    write_json,
    write_tensors,
)

# model -> setting -> latent size, batch, timestep per row, tokens, and the text's length within
# them.
SETTINGS = {
    "sd15": {
        "square": dict(
            size=(4, 4), batch=2, timestep=[999.0, 1.0], tokens=77, words=[0, 12], vae_size=(2, 3)
        ),
        "token": dict(size=(5, 3), batch=1, timestep=[0.25], tokens=1, words=[0]),
    },
    "sd21": {
        "wide": dict(size=(6, 10), batch=1, timestep=[2.0], tokens=77, words=[75], vae_size=(3, 5)),
        "odd": dict(
            size=(5, 9), batch=2, timestep=[519.375, 0.0], tokens=5, words=[3, 1], vae_size=(5, 2)
        ),
    },
    "wide": {
        "tall": dict(size=(13, 9), batch=1, timestep=[3.0], tokens=77, words=[20], vae_size=(7, 9)),
        "small": dict(
            size=(4, 7),
            batch=3,
            timestep=[981.0, 0.5, 17.0],
            tokens=16,
            words=[2, 14, 5],
            vae_size=(5, 4),
        ),
    },
    "odd": {
        "square": dict(size=(7, 7), batch=1, timestep=[1.5], tokens=9, words=[4]),
        "wide": dict(
            size=(1, 12), batch=2, timestep=[700.0, 6.0], tokens=2, words=[0, 0], vae_batch=2
        ),
    },
    "rare": {
        "tall": dict(
            size=(9, 6), batch=2, timestep=[333.25, 4.0], tokens=19, words=[17, 3], vae_size=(3, 2)
        ),
    },
    "lcm": {
        "square": dict(size=(4, 4), batch=2, timestep=[2.0, 0.5], tokens=4, words=[2, 1]),
    },
    "xl": {
        "square": dict(size=(4, 4), batch=2, timestep=[999.0, 1.0], tokens=77, words=[0, 12], vae_size=(2, 3)),
    },
    "xl-refiner": {"wide": dict(size=(3, 5), batch=1, timestep=[180.5], tokens=9, words=[4], vae_size=(1, 2))},
    "xl-uneven": {"tall": dict(size=(6, 4), batch=2, timestep=[2.0, 0.5], tokens=5, words=[3, 1], vae_size=(2, 2))},
    "ddpm": {"wide": dict(size=(4, 8), batch=2, timestep=[3.0, 700.0])},
    "ddim": {"tall": dict(size=(6, 4), batch=1, timestep=[0.5])},
    "taesd": {"tall": dict(size=(3, 2), batch=2)},
    "taegelu": {"wide": dict(size=(4, 6), batch=1)},
}


class Recorder:
    """Hooks every module of a network and keeps inputs and outputs in order of execution."""

    def __init__(self, network):
        self.calls, self.count, self.handles = [], {}, []
        for path, module in network.named_modules():
            if path in ("", "text_model"):
                continue
            path = path.removeprefix("text_model.")
            self.handles.append(module.register_forward_hook(self.hook(path), with_kwargs=True))

    def hook(self, path):
        def record(module, args, kwargs, output):
            call = self.count[path] = self.count.get(path, 0) + 1
            inputs = [
                x.detach().clone() for x in [*args, *kwargs.values()] if isinstance(x, torch.Tensor)
            ]
            if hasattr(output, "to_tuple"):
                output = output.to_tuple()
            while isinstance(output, (tuple, list)):
                output = output[0]
            self.calls.append(
                dict(
                    name=path if call == 1 else f"{path}#{call}",
                    type=type(module).__name__,
                    leaf=not any(True for _ in module.children()),
                    inputs=inputs,
                    output=output.detach().clone(),
                )
            )

        return record

    def stop(self):
        for handle in self.handles:
            handle.remove()
        return self.calls


def run(network, forward, inputs):
    """Return (calls, outputs) of `forward(network, **inputs)` with every module hooked."""
    recorder = Recorder(network)
    with torch.inference_mode():
        outputs = forward(network, **inputs)
    return recorder.stop(), outputs


def record_part(part, network, forward, inputs, path):
    """Run `network` in float32 and float64, write the safetensors file, return the part's
    manifest."""
    calls32, outputs32 = run(network.float(), forward, inputs)
    wide = {k: v.double() if v.is_floating_point() else v for k, v in inputs.items()}
    with exact_time_embedding():
        calls64, outputs64 = run(network.double(), forward, wide)
    network.float()
    assert [c["name"] for c in calls32] == [c["name"] for c in calls64]

    tensors, entries, known = {}, [], {}

    def add(name, f32, f64, **fields):
        """Add one manifest entry, and its bytes unless an earlier tensor has the same ones."""
        stored, entry = describe(name, f32, f64)
        place = known.setdefault((entry["sha256"], entry["dtype"]), name)
        if place == name:
            assert name not in tensors, name
            tensors[name] = stored
        entry = {"name": name, **fields, **entry, "stored": place}
        entries.append(entry)

    def find(f64):
        value = f64.float().contiguous() if f64.is_floating_point() else f64
        dtype = {torch.int64: "I64"}.get(value.dtype, "F32")
        return known.get((sha256(tensor_bytes(value)), dtype))

    for name, value in inputs.items():
        add(name, value, wide[name], type="input", leaf=True, inputs=[])
    for call32, call64 in zip(calls32, calls64):
        names = []
        for i, (f32, f64) in enumerate(zip(call32["inputs"], call64["inputs"])):
            place = find(f64)
            if place is None and f64.dtype in (torch.float64, torch.int64):
                place = call32["name"] + (".in" if i == 0 else f".in{i + 1}")
                add(place, f32, f64, type="in", leaf=True, inputs=[])
            if place is not None:
                names.append(place)
        add(
            call32["name"],
            call32["output"],
            call64["output"],
            type=call32["type"],
            leaf=call32["leaf"],
            inputs=names,
        )
    for name, value in outputs32.items():
        add(name, value, outputs64[name], type="output", leaf=True, inputs=[])
    write_tensors(path, tensors)
    return {
        "part": part,
        "file": os.path.basename(path),
        "sha256": file_sha256(path),
        "inputs": list(inputs),
        "outputs": list(outputs32),
        "tensors": entries,
    }


def text_forward(network, input_ids):
    text = getattr(network, "text_model", network)
    pooled = {}
    handle = text.register_forward_hook(
        lambda m, a, output: pooled.update(pooled=output.pooler_output)
    )
    output = network(input_ids=input_ids)
    handle.remove()
    result = {"last_hidden_state": output.last_hidden_state, **pooled}
    if hasattr(output, "text_embeds"):
        result["text_embeds"] = output.text_embeds
    return result


def xl_text_forward(network, input_ids):
    """As SDXL's pipelines ask for it: of the layer before the last, as it is."""
    output = network(input_ids=input_ids, output_hidden_states=True)
    result = {"hidden_states": output.hidden_states[-2], "last_hidden_state": output.last_hidden_state}
    if hasattr(output, "text_embeds"):
        result["text_embeds"] = output.text_embeds
    return result


def unet_forward(
    network, sample, timestep, encoder_hidden_states=None, timestep_cond=None, text_embeds=None, time_ids=None
):
    if isinstance(network, UNet2DModel):
        return {"out": network(sample, timestep).sample}
    added = None if time_ids is None else dict(text_embeds=text_embeds, time_ids=time_ids)
    output = network(
        sample, timestep, encoder_hidden_states, timestep_cond=timestep_cond, added_cond_kwargs=added
    )
    return {"out": output.sample}


def is_xl(folder):
    return os.path.exists(os.path.join(folder, "text_encoder_2"))


def text_encoders(folder):
    """The names of those that the pipeline has."""
    return [name for name in ("text_encoder", "text_encoder_2") if os.path.exists(os.path.join(folder, name))]


def added_widths(unet, folder):
    """The widths of text_embeds and time_ids; None: nothing is added."""
    if unet.config.get("addition_embed_type") != "text_time":
        return None
    text = CLIPTextConfig.from_pretrained(os.path.join(folder, "text_encoder_2")).projection_dim
    rest = unet.config.projection_class_embeddings_input_dim - text
    return text, rest // unet.config.addition_time_embed_dim


def encoder_forward(network, sample):
    if isinstance(network, AutoencoderTiny):
        return {"latents": network.encode(sample).latents}
    posterior = network.encode(sample).latent_dist
    return {
        "moments": posterior.parameters,
        "mean": posterior.mean,
        "logvar": posterior.logvar,
        "std": posterior.std,
    }


def decoder_forward(network, sample):
    return {"out": network.decode(sample).sample}


def unet_class(folder):
    unconditional = UNet2DModel.load_config(folder)["_class_name"] == "UNet2DModel"
    return UNet2DModel if unconditional else UNet2DConditionModel


def load_unet(folder):
    return unet_class(folder).from_pretrained(folder).eval()


def vae_class(folder):
    tiny = AutoencoderKL.load_config(folder).get("_class_name") == "AutoencoderTiny"
    return AutoencoderTiny if tiny else AutoencoderKL


def load_vae(folder):
    return vae_class(folder).from_pretrained(folder).eval()


def is_vae(folder):
    """Whether an autoencoder stands there alone."""
    return not os.path.exists(os.path.join(folder, "model_index.json"))


def text_encoder_class(config):
    projection = "CLIPTextModelWithProjection" in (config.architectures or [])
    return CLIPTextModelWithProjection if projection else CLIPTextModel


def load_text_encoder(folder):
    config = CLIPTextConfig.from_pretrained(folder)
    return text_encoder_class(config).from_pretrained(folder).eval()


def memory(network, forward, inputs):
    """Bytes that record_part() takes for a network without data: its weights in float64, what its
    modules are given and give in float32 and float64, what goes to the file, and that once more
    while it is written."""
    calls, outputs = run(network, forward, inputs)
    given = sum(x.numel() for call in calls for x in call["inputs"])
    made = sum(call["output"].numel() for call in calls) + sum(x.numel() for x in outputs.values())
    weights = sum(x.numel() for x in network.parameters())
    return 8 * weights + 12 * (given + made) + 8 * made


def available():
    """Bytes that this process may still take: of the machine, and of its control group."""
    with open("/proc/meminfo") as f:
        free = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in f}["MemAvailable"]
    try:
        with open("/sys/fs/cgroup/memory.max") as most, open("/sys/fs/cgroup/memory.current") as now:
            return min(free, int(most.read()) - int(now.read()))
    except (OSError, ValueError):  # no such group, or "max"
        return free


def check_memory(folder, size, batch, tokens):
    """Tell what record_setting() will take, part by part, and stop when it is not there."""
    parts, latent = {}, os.path.exists(os.path.join(folder, "vae"))
    with torch.device("meta"):
        at = os.path.join(folder, "unet")
        unet = unet_class(at).from_config(unet_class(at).load_config(at)).eval()
        given = dict(
            sample=torch.empty(batch, unet.config.in_channels, *size), timestep=torch.empty(batch)
        )
        if latent:
            width = unet.config.cross_attention_dim
            given["encoder_hidden_states"] = torch.empty(batch, tokens, width)
            for name in text_encoders(folder):
                config = CLIPTextConfig.from_pretrained(os.path.join(folder, name))
                text = text_encoder_class(config)(config).eval()
                ids = torch.zeros(batch, tokens, dtype=torch.int64)
                parts[name] = memory(text, text_forward, dict(input_ids=ids))
            at = os.path.join(folder, "vae")
            vae = vae_class(at).from_config(vae_class(at).load_config(at))
            factor = 2 ** (len(vae.config.block_out_channels) - 1)
            pixels = torch.empty(1, vae.config.in_channels, *(factor * x for x in size))
            latents = torch.empty(1, vae.config.latent_channels, *size)
            parts["vae_encoder"] = memory(vae.eval(), encoder_forward, dict(sample=pixels))
            parts["vae_decoder"] = memory(vae, decoder_forward, dict(sample=latents))
        if unet.config.get("time_cond_proj_dim"):
            given["timestep_cond"] = torch.empty(batch, unet.config.time_cond_proj_dim)
        added = added_widths(unet, folder)
        if added:
            given |= dict(text_embeds=torch.empty(batch, added[0]), time_ids=torch.empty(batch, added[1]))
        parts["unet"] = memory(unet, unet_forward, given)
    free = available()
    for part, size in parts.items():
        print(f"{part}: about {size / 1e6:,.0f} MB of memory", file=sys.stderr)
    most = max(parts, key=parts.get)
    if parts[most] + 0.5e9 > free:  # PyTorch itself, and what it works with
        print(
            f"record.py: {most} takes about {parts[most] / 1e9:.1f} GB of memory and "
            f"{free / 1e9:.1f} GB are available: choose a smaller --size or --batch",
            file=sys.stderr,
        )
        sys.exit(3)



def most_tokens(folder):
    """How many tokens the text encoder of a pipeline takes; without one, any number will do."""
    names = text_encoders(folder)
    if not names:
        return 1
    return CLIPTextConfig.from_pretrained(os.path.join(folder, names[0])).max_position_embeddings


def token_ids(config, tokens, words, generator):
    """Rows of start, `words` random tokens, end, and padding with the end (or with 1 in every
    second row)."""
    start, end = config.vocab_size - 2, config.vocab_size - 1
    rows = []
    for i, n in enumerate(words):
        row = [start, *torch.randint(0, start, (n,), generator=generator).tolist(), end]
        row = row if len(row) <= tokens else [end] * tokens
        rows.append(row + [1 if i % 2 else end] * (tokens - len(row)))
    return torch.tensor(rows)


def record_setting(
    folder,
    out,
    model,
    setting,
    size,
    batch,
    timestep=None,
    tokens=None,
    words=None,
    vae_size=None,
    vae_batch=1,
    seed=1234,
):
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    generator = torch.Generator().manual_seed(seed)
    parts = []

    def add(part, network, forward, **inputs):
        path = os.path.join(out, part + ".safetensors")
        parts.append(record_part(part, network, forward, inputs, path))

    def finish():
        write_json(
            os.path.join(out, "recording.json"),
            {
                "format": "tintype-recording",
                "version": 1,
                "model": model,
                "setting": setting,
                "seed": seed,
                "versions": versions(),
                "parts": parts,
            },
        )

    if is_vae(folder):
        record_vae(folder, add, size, batch, generator)
        finish()
        return
    latent = os.path.exists(os.path.join(folder, "vae"))
    if latent:
        for name in text_encoders(folder):
            text = load_text_encoder(os.path.join(folder, name))
            ids = token_ids(text.config, tokens, words, generator)
            add(name, text, xl_text_forward if is_xl(folder) else text_forward, input_ids=ids)
    unet = load_unet(os.path.join(folder, "unet"))
    given = dict(
        sample=torch.randn(batch, unet.config.in_channels, *size, generator=generator),
        timestep=torch.tensor(timestep),
    )
    if latent:
        given["encoder_hidden_states"] = torch.randn(
            batch, tokens, unet.config.cross_attention_dim, generator=generator
        )
    if unet.config.get("time_cond_proj_dim"):
        scales = [8.5 - i for i in range(batch)]
        rows = [guidance_embedding(scale, unet.config.time_cond_proj_dim) for scale in scales]
        given["timestep_cond"] = torch.cat(rows).float()
    added = added_widths(unet, folder) if latent else None
    if added:
        given["text_embeds"] = torch.randn(batch, added[0], generator=generator)
        ids = [[80 + i, 1024, 3, 9 * i, 64, 72] for i in range(batch)]
        given["time_ids"] = torch.tensor([row[: added[1] - 1] + [6.5] for row in ids])
    add("unet", unet, unet_forward, **given)
    if latent:
        record_vae(os.path.join(folder, "vae"), add, vae_size or size, vae_batch, generator)
    finish()


def record_vae(folder, add, size, batch, generator):
    vae = load_vae(folder)
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    height, width = size
    add(
        "vae_encoder",
        vae,
        encoder_forward,
        sample=torch.rand(
            batch, vae.config.in_channels, height * factor, width * factor, generator=generator
        )
        * 2
        - 1,
    )
    add(
        "vae_decoder",
        vae,
        decoder_forward,
        sample=3
        * torch.randn(batch, vae.config.latent_channels, height, width, generator=generator),
    )


def main():
    if any(a == "--pipeline" or a.startswith("--pipeline=") for a in sys.argv[1:]):
        import record_run

        sys.exit(record_run.main())
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="`record.py --pipeline FOLDER --help` lists the options of whole runs.",
    )
    parser.add_argument("models", nargs="*")
    parser.add_argument("--model")
    parser.add_argument("--out")
    parser.add_argument("--size", default="8x8", help="height x width of the latents")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--timestep", type=float, default=1.0)
    parser.add_argument("--tokens", type=int, help="default: as many as the text encoder takes")
    args = parser.parse_args()
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    if args.model:
        size = tuple(int(x) for x in args.size.split("x"))
        tokens = args.tokens or most_tokens(args.model)
        if not is_vae(args.model):
            check_memory(args.model, size, args.batch, tokens)
        record_setting(
            args.model,
            args.out,
            os.path.basename(os.path.normpath(args.model)),
            "given",
            size,
            args.batch,
            [args.timestep] * args.batch,
            tokens,
            [min(10, max(tokens - 2, 0))] * args.batch,
        )
        print(args.out)
        return
    for model in args.models or SETTINGS:
        for setting, values in SETTINGS[model].items():
            out = os.path.join(HERE, "golden", model, setting)
            record_setting(os.path.join(HERE, "tiny", model), out, model, setting, **values)


if __name__ == "__main__":
    main()
