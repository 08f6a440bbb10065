# SPDX-License-Identifier: MIT
"""Record a whole run of a diffusers pipeline: every call of the text encoder, the U-Net and the autoencoder's decoder,
module by module, the scheduler's steps, noise, latents and picture. This is `record.py --pipeline`; what records is
tintype_hook.py, which does the same in any loop of yours.

What it will take is told first: networks without data are run once, and counted. With the same options it goes on where
it was stopped. Exit status: 0 done, 2 bad usage or input, 3 the system failed.
"""

import argparse
import inspect
import json
import os
import re
import sys
import time
import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

import common  # noqa: F401: its correctly rounded square roots
from record import (
    added_widths,
    available,
    decoder_forward,
    text_encoder_class,
    text_encoders,
    text_forward,
    unet_class,
    unet_forward,
    vae_class,
)
from tintype_hook import Recording, RecordingError, first, out_of_memory

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class Live(TorchDispatchMode):
    """The most bytes that the tensors made under it take at one time."""

    def __init__(self):
        super().__init__()
        self.now = self.most = 0
        self.known = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.known:
                    self.known.add(storage._cdata)
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self.gone, storage._cdata, storage.nbytes())
        self.most = max(self.most, self.now)
        return out

    def gone(self, key, size):
        self.known.discard(key)
        self.now -= size


class Cost:
    """What a call of a network without data (on the meta device) would take and leave."""

    def __init__(self, part, network, forward, inputs, modules, statistics):
        self.part, self.element = part, next(network.parameters()).element_size()
        self.weights = sum(x.numel() * x.element_size() for x in network.parameters())
        self.widest = max((x.numel() for m in network.modules() for x in m.parameters(False)), default=0) * 8
        self.bytes = self.tensors = self.elements = self.largest = 0
        self.statistics, self.known, self.kept, handles = statistics, set(), [], []
        self.tensors = len(inputs)
        for value in inputs.values():
            self.add(value, True)
        for path, module in network.named_modules():
            if path and (not modules or re.search(modules, path)):
                handles.append(module.register_forward_hook(self.hook, with_kwargs=True))
        with torch.no_grad(), FlopCounterMode(display=False) as flops:
            forward(network, **inputs)
        for handle in handles:
            handle.remove()
        self.kept = []
        counts = {k: sum(v.values()) for k, v in flops.get_flop_counts().items() if k != "Global"}
        self.flop = flops.get_total_flops()
        self.nested = sum(counts.values())  # a module's own and what is within, at every level
        with torch.no_grad(), Live() as live:
            forward(network, **inputs)
        self.live = live.most

    def hook(self, module, args, kwargs, output):
        for value in [*args, *kwargs.values()]:
            if isinstance(value, torch.Tensor):
                self.add(value, False)
        if first(output) is not None:
            self.tensors += 1
            self.add(first(output), False)

    def add(self, value, whole):
        """Tensors of the same memory and as many elements in the same order are in the file once."""
        key = (value.untyped_storage()._cdata, value.storage_offset(), value.numel(), value.is_contiguous())
        if key in self.known or (not value.is_contiguous() and key[:3] in self.known):
            return
        self.known.add(key)
        self.kept.append(value)
        n = value.numel()
        self.elements += n
        self.largest = max(self.largest, n * value.element_size())
        # 256 floats and a line of numbers each
        self.bytes += n * value.element_size() if whole or n <= 256 or not self.statistics else 1024 + 300


def rates():
    """Multiplications and additions per second in float32 and float64, bytes hashed per second."""
    import hashlib

    found = []
    for dtype in (torch.float32, torch.float64):
        a = torch.randn(768, 768, dtype=dtype)
        a @ a
        began = time.perf_counter()
        for _ in range(4):
            a @ a
        found.append(4 * 2 * 768**3 / (time.perf_counter() - began))
    began = time.perf_counter()
    hashlib.sha256(bytes(1 << 25)).digest()
    return *found, (1 << 25) / (time.perf_counter() - began)


def size(n):
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{n / 1e6:.1f} MB"


def span(seconds):
    return f"{seconds / 3600:.1f} hours" if seconds > 5400 else f"{seconds / 60:.0f} minutes" if seconds > 99 else \
        f"{seconds:.0f} seconds"


def costs(folder, args, guided, height, width):
    """part -> (Cost, calls) of the run that `args` ask for."""
    dtype, steps = DTYPES[args.dtype], -(-args.calls // args.every)
    found, latent = {}, os.path.exists(os.path.join(folder, "vae"))
    with torch.device("meta"):
        at = os.path.join(folder, "unet")
        unet = unet_class(at).from_config(unet_class(at).load_config(at)).to(dtype).eval()
        batch = 2 if guided else 1
        factor = 1

        def cost(part, network, forward, **inputs):
            inputs = {k: v.to(dtype) if v.is_floating_point() and k != "timestep" else v for k, v in inputs.items()}
            return Cost(part, network, forward, inputs, args.modules, args.statistics)

        given = {}
        if latent:
            from transformers import CLIPTextConfig

            for name in text_encoders(folder):
                config = CLIPTextConfig.from_pretrained(os.path.join(folder, name))
                text = text_encoder_class(config)(config).to(dtype).eval()
                tokens = config.max_position_embeddings
                ids = torch.zeros(1, tokens, dtype=torch.int64)
                found[name] = cost(name, text, text_forward, input_ids=ids), 1 + guided
            added = added_widths(unet, folder)
            if added:
                given |= dict(text_embeds=torch.empty(batch, added[0]), time_ids=torch.empty(batch, added[1]))
            given["encoder_hidden_states"] = torch.empty(batch, tokens, unet.config.cross_attention_dim)
            at = os.path.join(folder, "vae")
            vae = vae_class(at).from_config(vae_class(at).load_config(at)).to(dtype).eval()
            factor = 2 ** (len(vae.config.get("block_out_channels", vae.config.get("decoder_block_out_channels"))) - 1)
            latents = torch.empty(1, vae.config.latent_channels, height // factor, width // factor)
            found["vae_decoder"] = cost("vae_decoder", vae, decoder_forward, sample=latents), 1
        if unet.config.get("time_cond_proj_dim"):
            given["timestep_cond"] = torch.empty(batch, unet.config.time_cond_proj_dim)
        sample = torch.empty(batch, unet.config.in_channels, height // factor, width // factor)
        found["unet"] = cost("unet", unet, unet_forward, sample=sample, timestep=torch.empty(batch), **given), steps
    return found


def tell(folder, args, guided, height, width):
    """Say what the recording will take; stop where the machine has no room for it."""
    found = costs(folder, args, guided, height, width)
    fast, slow, hashed = rates()
    total = seconds = 0
    for cost, calls in found.values():
        lines = (700 if args.statistics else 350) * cost.tensors  # of the manifest
        once = cost.flop / fast / 0.6 + 2 * cost.elements * cost.element / hashed
        if args.statistics:
            once += cost.elements * 60e-9
        if args.err32 != "none":
            once += (cost.nested if args.err32 == "all" else cost.flop) / slow / 0.5
        if args.drift32:
            once += cost.flop / slow / 0.5
        ran = args.calls * cost.flop / fast / 0.6 if cost.part == "unet" else 0
        total += calls * (cost.bytes + lines)
        seconds += calls * once + (ran - calls * cost.flop / fast / 0.6 if cost.part == "unet" else 0)
        print(f"{cost.part}: {calls} calls of {cost.tensors} tensors, {size(cost.bytes + lines)} each, about "
              f"{span(once)}; the largest tensor {size(cost.largest)}", file=sys.stderr)
    memory = 0
    for cost, _ in found.values():
        wide = 0 if args.err32 == "none" and not args.drift32 else 8 // cost.element
        taken = cost.live + 2 * cost.largest
        if args.drift32 or args.err32 == "all":
            taken = cost.live * (1 + wide) + cost.widest
        elif wide:
            taken = cost.live + 4 * wide * cost.largest + cost.widest
        memory = max(memory, taken)
    memory += sum(cost.weights for cost, _ in found.values()) + 0.6e9  # PyTorch itself
    print(f"in all about {size(total)} on disk, {span(seconds)} on this machine as it is now, {size(memory)} of memory",
          file=sys.stderr)
    parent = os.path.abspath(args.output)
    while not os.path.exists(parent):
        parent = os.path.dirname(parent)
    room = os.statvfs(parent)
    if total > room.f_bavail * room.f_frsize:
        raise RecordingError(3, f"{args.output}: about {size(total)} are to be written and "
                                f"{size(room.f_bavail * room.f_frsize)} are free: see --every, --modules, --statistics")
    if memory > available():
        raise RecordingError(3, f"about {size(memory)} of memory are needed and {size(available())} are available: "
                                "choose --no-drift32, --err32 leaves or none, or a smaller size")


def open_pipeline(args):
    import diffusers

    path = os.path.join(args.pipeline, "model_index.json")
    try:
        with open(path) as f:
            index = json.load(f)
    except (OSError, ValueError) as error:
        raise RecordingError(2, f"{path}: is not a pipeline's index: {error}") from error
    name = index.get("_class_name", "")
    if name == "StableDiffusionXLPipeline":
        pass
    elif name.startswith("StableDiffusion") and not name.startswith("StableDiffusionXL"):
        name = "StableDiffusionPipeline"
    elif name.startswith("LatentConsistency"):
        name = "LatentConsistencyModelPipeline"
    elif name not in ("DDPMPipeline", "DDIMPipeline", "PNDMPipeline"):
        raise RecordingError(2, f"{path}: _class_name: found '{name}', expected StableDiffusionPipeline, "
                                "StableDiffusionXLPipeline, LatentConsistencyModelPipeline, DDPMPipeline, DDIMPipeline or PNDMPipeline")
    checked = "vae" in index and name != "StableDiffusionXLPipeline"
    options = dict(safety_checker=None, requires_safety_checker=False) if checked else {}
    try:
        pipeline = getattr(diffusers, name).from_pretrained(
            args.pipeline, dtype=DTYPES[args.dtype], variant=args.variant, **options)
    except (OSError, ValueError, TypeError) as error:
        raise RecordingError(2, f"{args.pipeline}: {error}") from error
    if args.scheduler or args.scheduler_option:
        kind = type(pipeline.scheduler)
        if args.scheduler:
            kind = getattr(diffusers, args.scheduler, None)
            if kind is None or not hasattr(kind, "set_timesteps"):
                raise RecordingError(2, f"--scheduler: found '{args.scheduler}', expected a class of diffusers, as "
                                        "EulerDiscreteScheduler")
        pipeline.scheduler = kind.from_config(pipeline.scheduler.config, **dict(args.scheduler_option))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def option(text):
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError("expected KEY=VALUE")
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def parse(arguments):
    parser = argparse.ArgumentParser(prog="record.py", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument("--pipeline", required=True, metavar="FOLDER", help="of diffusers, as tintype loads it")
    parser.add_argument("-o", "--output", required=True, metavar="RECORDING")
    parser.add_argument("--prompt", metavar="TEXT")
    parser.add_argument("--negative-prompt", metavar="TEXT")
    parser.add_argument("--steps", type=int, metavar="N", help="default: the pipeline's")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--guidance-scale", type=float, metavar="G", help="default: the pipeline's")
    parser.add_argument("--width", type=int, metavar="PX")
    parser.add_argument("--height", type=int, metavar="PX")
    parser.add_argument("--scheduler", metavar="CLASS", help="of diffusers; default: the model's")
    parser.add_argument("--scheduler-option", type=option, action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--variant", help="of the weights' files, as fp16")
    parser.add_argument("--modules", metavar="REGEX", help="only modules in whose path it is found")
    parser.add_argument("--every", type=int, default=1, metavar="K", help="only calls of every K-th step")
    parser.add_argument("--statistics", action="store_true", help="moments, quantiles and a sample, no whole tensors")
    parser.add_argument("--err32", choices=("all", "leaves", "none"), default="leaves",
                        help="each module alone in float64: all, those made of no others (the default), or none")
    parser.add_argument("--no-drift32", dest="drift32", action="store_false",
                        help="not the networks in float64 from their inputs, which is what tells errors end to end")
    parser.add_argument("--no-weights", action="store_true", help="no digests of the weights")
    parser.add_argument("--threads", type=int, metavar="N")
    parser.add_argument("--estimate", action="store_true", help="say what it will take, and stop")
    return parser.parse_args(arguments)


def plan(pipeline, args):
    """Settle what the options leave open. Returns (arguments of the pipeline, settings, whether it is guided)."""
    known = inspect.signature(pipeline.__call__).parameters
    latent = hasattr(pipeline, "vae")
    if latent != (args.prompt is not None):
        expected = "a prompt" if latent else "none: this pipeline takes no text"
        raise RecordingError(2, f"--prompt: found {json.dumps(args.prompt)}, expected {expected}")
    sample = pipeline.unet.config.sample_size
    sample = (sample, sample) if isinstance(sample, int) else tuple(sample)
    factor = pipeline.vae_scale_factor if latent else 1
    height, width = (given or factor * own for given, own in zip((args.height, args.width), sample))
    if not latent and (height, width) != sample:
        raise RecordingError(2, f"--width, --height: found {width}x{height}, expected {sample[1]}x{sample[0]}: this "
                                "pipeline draws in the model's own size")
    if height % 8 and latent or width % 8 and latent or min(height, width) < 1:
        raise RecordingError(2, f"--width, --height: found {width}x{height}, expected multiples of 8")
    steps = args.steps if args.steps is not None else known["num_inference_steps"].default
    if steps < 1:
        raise RecordingError(2, f"--steps: found {steps}, expected at least 1")
    scale = args.guidance_scale
    if latent and scale is None:
        scale = known["guidance_scale"].default
    guided = latent and scale > 1 and pipeline.unet.config.get("time_cond_proj_dim") is None
    settings = {
        "prompt": args.prompt, "negative_prompt": args.negative_prompt, "seed": args.seed, "steps": steps,
        "guidance_scale": scale, "width": width, "height": height, "scheduler": type(pipeline.scheduler).__name__,
        "scheduler_options": dict(args.scheduler_option),
    }
    arguments = {
        "prompt": args.prompt, "negative_prompt": args.negative_prompt, "guidance_scale": scale, "height": height,
        "width": width, "num_inference_steps": steps, "generator": torch.Generator("cpu").manual_seed(args.seed),
        "output_type": "pt" if latent else "np", "batch_size": 1,
    }
    if latent and "negative_prompt" not in known and args.negative_prompt:
        raise RecordingError(2, "--negative-prompt: this pipeline takes none")
    arguments = {k: v for k, v in arguments.items() if k in known and v is not None}
    pipeline.scheduler.set_timesteps(steps)
    args.calls = len(pipeline.scheduler.timesteps)
    return arguments, {k: v for k, v in settings.items() if v is not None}, guided


def run(args):
    if args.threads:
        torch.set_num_threads(args.threads)
    if args.every < 1:
        raise RecordingError(2, f"--every: found {args.every}, expected at least 1")
    pipeline = open_pipeline(args)
    arguments, settings, guided = plan(pipeline, args)
    tell(args.pipeline, args, guided, settings["height"], settings["width"])
    if args.estimate:
        return
    with Recording(
        args.output, settings, os.path.basename(os.path.normpath(args.pipeline)), args.modules, args.every,
        args.statistics, args.err32, args.drift32, not args.no_weights, writer="record.py",
    ) as recording:
        recording.watch_pipeline(pipeline)
        images = pipeline(**arguments).images
        if not isinstance(images, torch.Tensor):
            images = torch.from_numpy(images).permute(0, 3, 1, 2)
        recording.result(image=images)
    print(args.output)


def main(arguments=None):
    """arguments: those of the command line, or these instead. Returns the exit status."""
    import diffusers
    import transformers

    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    try:
        run(parse(arguments))
    except RecordingError as error:
        print(f"record.py: {error}", file=sys.stderr)
        return error.status
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not out_of_memory(error):
            raise
        print(f"record.py: out of memory: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("record.py: stopped; the same command goes on", file=sys.stderr)
        return 130
    return 0
