# SPDX-License-Identifier: MIT
"""Record what the modules of torch networks are given and give, in any loop of yours, for `tintype verify`.

    from tintype_hook import Recording
    with Recording("out", settings={"prompt": "a lighthouse", "seed": 7, "steps": 20}) as r:
        r.watch("unet", pipe.unet)                  # or r.watch_pipeline(pipe): all networks, and the scheduler
        pipe("a lighthouse", num_inference_steps=20, generator=torch.Generator().manual_seed(7))

This one file is all there is to copy: it needs nothing but torch. RECORDINGS.md describes what it writes. Each call
of a watched module becomes a pair of files, written while it runs: what is held in memory is the run itself and,
without err32 and drift32, about twice its largest tensor. A recording that was stopped goes on when the same program
runs again: calls that are complete are computed, and checked, but not written again.

With err32 and drift32 (see Recording) modules are computed again in float64, which takes more time than the run.
"""

import contextlib
import copy
import ctypes
import functools
import glob
import hashlib
import inspect
import json
import math
import os
import platform
import re
import sys
import time

import torch
from torch.overrides import TorchFunctionMode

try:
    import numpy  # sorts faster, in less memory; nothing needs it
except ImportError:
    numpy = None

PARTS = ("text_encoder", "text_encoder_2", "unet", "vae_encoder", "vae_decoder")
NOT_STEPPED = ("text_encoder", "text_encoder_2", "vae_encoder", "vae_decoder", "pipeline")
METHODS = {"vae_encoder": "encode", "vae_decoder": "decode"}
RENAMED = {"pooler_output": "pooled", "z": "sample", "x": "sample"}
FLOATS = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
NAMES = {**FLOATS, torch.float64: "F64", torch.int64: "I64", torch.int32: "I32", torch.uint8: "U8", torch.bool: "BOOL"}
CHUNK = 1 << 20  # elements that are looked at together
BUFFER = 16 << 20  # bytes of a call that are kept in memory before they go to the file
GOLDEN = 0.6180339887498949


class RecordingError(Exception):
    """status: 2 for bad usage or input, 3 when the system failed."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


# ---- tensors and numbers ----


def plain(tensor):
    """A tensor as it goes to a file: on the CPU, contiguous, F32, F16, BF16 or I64."""
    tensor = tensor.detach()
    if tensor.dtype not in FLOATS and tensor.dtype != torch.int64:
        tensor = tensor.to(torch.float32 if tensor.is_floating_point() else torch.int64)
    return tensor.cpu().contiguous()


def view(tensor):
    """The bytes of a plain tensor, not copied."""
    size = tensor.numel() * tensor.element_size()
    return memoryview((ctypes.c_char * size).from_address(tensor.data_ptr())).cast("B")


def chunks(tensor):
    return tensor.reshape(-1).split(CHUNK)


def round_up(x):
    """Four digits are enough, but a limit must not shrink. None for what JSON cannot say."""
    if not math.isfinite(x):
        return None
    if x == 0:
        return 0.0
    digits = 3 - math.floor(math.log10(x))
    return float(f"{math.ceil(x * 10.0 ** digits) / 10.0 ** digits:.12g}")


def largest(tensor):
    """The largest magnitude; NaN where there is one."""
    low, high = torch.aminmax(tensor)
    return max(abs(low.item()), abs(high.item())) if not torch.isnan(low) else math.nan


def distance(a, b):
    """The largest difference, NaN where there is one."""
    most = [(x.double() - y.double()).abs().max() for x, y in zip(chunks(a), chunks(b))]
    return torch.stack(most).max().item()


def sample(tensor, count=256):
    """The fixed sample of RECORDINGS.md; a tensor that is no larger, whole and in its shape."""
    n = tensor.numel()
    if n <= count:
        return tensor
    places = [math.floor(n * (i * GOLDEN - math.floor(i * GOLDEN))) for i in range(count)]
    return tensor.reshape(-1)[torch.tensor(places)]


def ascending(tensor):
    """All elements in order, as float32: by numpy where it is, which takes no more memory than they do."""
    values = tensor.reshape(-1).float()
    if numpy is None:
        return values.sort().values
    ordered = values.numpy() if values.data_ptr() != tensor.data_ptr() else values.numpy().copy()
    ordered.sort()
    return torch.from_numpy(ordered)


def statistics(tensor):
    """Moments and quantiles of the finite elements of a plain tensor."""
    n, total, squares = tensor.numel(), 0.0, 0.0
    for x in chunks(tensor):
        x = x.double()
        total += x.sum().item()
        squares += x.square().sum().item()
    if not math.isfinite(squares):
        finite = tensor[torch.isfinite(tensor)]
        return {"not_finite": n - finite.numel(), **(statistics(finite) if finite.numel() else {})}
    mean = total / n
    spread = sum((x.double() - mean).square().sum().item() for x in chunks(tensor))
    places, ordered, quantiles = [(n - 1) * i / 16 for i in range(17)], ascending(tensor), []
    for place in places:
        low, high = ordered[math.floor(place)].item(), ordered[math.ceil(place)].item()
        quantiles.append(digits(low + (high - low) * (place - math.floor(place))))
    return {"mean": digits(mean), "std": digits(math.sqrt(spread / n)), "min": quantiles[0], "max": quantiles[-1],
            "l2": digits(math.sqrt(squares)), "quantiles": quantiles}


def digits(x):
    """As many as a float32 has, for a short manifest."""
    return float(f"{x:.8g}")


# ---- files ----


@contextlib.contextmanager
def system(path):
    """What the system refuses, a full disk above all, as one error that names the file."""
    try:
        yield
    except OSError as error:
        raise RecordingError(3, f"{path}: cannot be written: {error.strerror or error}") from error


def write_json(path, text):
    """Beside, flushed, renamed."""
    with system(path):
        try:
            with open(path + ".part", "w") as f:
                f.write(text)
                f.flush()
                os.fsync(f.fileno())
            os.replace(path + ".part", path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.remove(path + ".part")
            raise


class TensorFile:
    """A safetensors file that is written as tensors come. Small ones are collected; a large one leaves room for its
    header in front, which is filled at the end (spaces are allowed there)."""

    def __init__(self, path, room):
        self.path, self.room, self.header, self.end = path + ".part", room, {}, 0
        self.file, self.collected = None, []

    def add(self, name, tensor):
        data = view(tensor)
        shape = list(tensor.shape)
        self.header[name] = {
            "dtype": NAMES[tensor.dtype], "shape": shape, "data_offsets": [self.end, self.end + len(data)],
        }
        self.end += len(data)
        with system(self.path):
            if self.file is None and self.end > BUFFER:
                self.file = open(self.path, "w+b")
                self.file.seek(8 + self.room)
                self.file.writelines(self.collected)
                self.collected = []
            if self.file is None:
                self.collected.append(bytes(data))
            else:
                self.file.write(data)

    def read(self, name):
        """The values of a tensor that was added, flat."""
        entry = self.header[name]
        begin, end = entry["data_offsets"]
        if self.file is None:
            data = bytearray(self.collected[list(self.header).index(name)])
        else:
            data = bytearray(end - begin)
            self.file.seek(8 + self.room + begin)
            self.file.readinto(data)
            self.file.seek(0, os.SEEK_END)
        dtype = next(d for d, n in NAMES.items() if n == entry["dtype"])
        return torch.frombuffer(data, dtype=dtype)

    def finish(self, path):
        """Complete the file and give it its name."""
        text = json.dumps(self.header, separators=(",", ":")).encode()
        with system(path):
            if self.file is None or len(text) > self.room:
                self.rewrite(text + b" " * (-len(text) % 8))
            else:
                self.file.seek(0)
                self.file.write(self.room.to_bytes(8, "little") + text + b" " * (self.room - len(text)))
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()
            os.replace(self.path, path)
        return 8 + self.end + len(text)

    def rewrite(self, text):
        """Without room in front, or with too little."""
        spilled = self.file
        if spilled is not None:
            os.remove(self.path)  # it stays readable while it is open
            spilled.seek(8 + self.room)
        self.file = open(self.path, "w+b")
        self.file.write(len(text).to_bytes(8, "little") + text)
        self.file.writelines(self.collected)
        while spilled is not None and (data := spilled.read(BUFFER)):
            self.file.write(data)
        if spilled is not None:
            spilled.close()

    def discard(self):
        if self.file is not None:
            with contextlib.suppress(OSError):
                self.file.close()
        with contextlib.suppress(OSError):
            os.remove(self.path)
        self.collected = []


# ---- float64 ----

NARROW = {torch.float32, torch.float16, torch.bfloat16}
WIDENING = {torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16}


def convolve(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """conv2d in float64 tap by tap: PyTorch's unfolds its input, which takes kernel-size times its memory."""
    x = input
    stride, padding, dilation = ((v, v) if isinstance(v, int) else tuple(v) for v in (stride, padding, dilation))
    n, k, (r, s) = x.shape[0], weight.shape[0], weight.shape[2:]
    if any(padding):
        x = torch.nn.functional.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    h, w = ((x.shape[2 + i] - dilation[i] * (weight.shape[2 + i] - 1) - 1) // stride[i] + 1 for i in (0, 1))
    out = torch.zeros(n, k, h * w, dtype=x.dtype, device=x.device)
    if bias is not None:
        out += bias[:, None]
    for i in range(r):
        for j in range(s):
            top, left = i * dilation[0], j * dilation[1]
            rows = slice(top, top + (h - 1) * stride[0] + 1, stride[0])
            tap = x[:, :, rows, left : left + (w - 1) * stride[1] + 1 : stride[1]]
            for b in range(n):
                out[b].addmm_(weight[:, :, i, j], tap[b].reshape(x.shape[1], -1))
    return out.reshape(n, k, h, w)


class WideFunctions(TorchFunctionMode):
    """Whatever asks for a narrower float gets float64, so that nothing on the way is rounded."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in WIDENING:
            func = torch.Tensor.double
        elif func is torch.nn.functional.conv2d and not torch.is_grad_enabled():
            given = inspect.signature(convolve).bind(*args, **(kwargs or {})).arguments
            simple = given.get("groups", 1) == 1 and not isinstance(given.get("padding", 0), str)
            if simple and given["input"].dim() == 4 and given["input"].dtype == torch.float64:
                func = convolve
        args = tuple(torch.float64 if isinstance(a, torch.dtype) and a in NARROW else a for a in args)
        kwargs = {k: torch.float64 if isinstance(v, torch.dtype) and v in NARROW else v
                  for k, v in (kwargs or {}).items()}
        return func(*args, **kwargs)


def widen(value, grad=False):
    """The same in float64: tensors within tuples, lists and dictionaries."""
    if isinstance(value, torch.Tensor):
        if not value.is_floating_point():
            return value
        return value.detach().to(torch.float64, copy=True).requires_grad_(grad and value.requires_grad)
    if type(value) in (list, tuple):
        return type(value)(widen(v, grad) for v in value)
    if type(value) is dict:
        return {k: widen(v, grad) for k, v in value.items()}
    return value


class Wide:
    """Modules computed in float64: each gets its own weights in it while it runs, and only then."""

    def __init__(self, network):
        self.on, self.swapped, self.handles, self.seen = False, [], [], None
        self.paths = {}
        for path, module in network.named_modules():
            self.paths[module] = path
            if list(module.parameters(False)) or list(module.buffers(False)):
                self.handles.append(module.register_forward_pre_hook(lambda m, a: self.swap(m)))
                self.handles.append(module.register_forward_hook(lambda m, a, o: self.restore(m)))

    def swap(self, module):
        if not self.on:
            return
        for table in (module._parameters, module._buffers):
            for name, value in table.items():
                if value is not None and value.is_floating_point() and value.dtype != torch.float64:
                    wide = value.detach().double().requires_grad_(self.seen is not None and value.requires_grad)
                    if self.seen is not None and value.requires_grad:
                        path = f"{self.paths[module]}.{name}".lstrip(".")
                        wide = self.seen.setdefault(path, wide)  # a module that runs twice has one gradient
                    self.swapped.append((module, table, name, value))
                    table[name] = wide

    def restore(self, module=None):
        kept = []
        while self.swapped:
            owner, table, name, value = self.swapped.pop()
            if module is not None and owner is not module:
                kept.append((owner, table, name, value))
            else:
                table[name] = value
        self.swapped = kept[::-1]

    @contextlib.contextmanager
    def __call__(self, gradients=None):
        """gradients: a dictionary that gets the float64 parameters, by name."""
        default = torch.get_default_dtype()
        self.on, self.seen = True, gradients
        torch.set_default_dtype(torch.float64)
        try:
            with torch.set_grad_enabled(gradients is not None), WideFunctions():
                with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
                    yield
        finally:
            torch.set_default_dtype(default)
            self.restore()
            self.on, self.seen = False, None

    def stop(self):
        for handle in self.handles:
            handle.remove()


def out_of_memory(error):
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def is_random(module):
    drops = torch.nn.modules.dropout._DropoutNd
    return any(m.training and isinstance(m, drops) and m.p > 0 for m in module.modules())


# ---- calls ----


def first(output):
    """What a module gives: a tensor, or the first of several; None where there is none."""
    if hasattr(output, "to_tuple"):
        output = output.to_tuple()
    while isinstance(output, (tuple, list)) and output:
        output = output[0]
    return output if isinstance(output, torch.Tensor) else None


def named_outputs(part, output):
    """name -> tensor of what a whole network gives."""
    if type(output) in (list, tuple) and output and hasattr(output[0], "logvar"):
        output = output[0]
    posterior = getattr(output, "latent_dist", output)
    if hasattr(posterior, "logvar") and hasattr(posterior, "parameters"):
        return {"moments": posterior.parameters, "mean": posterior.mean, "logvar": posterior.logvar,
                "std": posterior.std}
    if isinstance(output, dict):
        found = {RENAMED.get(k, k): v for k, v in output.items() if isinstance(v, torch.Tensor)}
        if "sample" in found:
            found["out"] = found.pop("sample")
        return found
    if part == "text_encoder" and isinstance(output, tuple):
        return {k: v for k, v in zip(("last_hidden_state", "pooled"), output) if isinstance(v, torch.Tensor)}
    name = "latents" if part == "vae_encoder" else "out"
    return {name: first(output)} if first(output) is not None else {}


def named_inputs(part, signature, names, args, kwargs):
    """name -> tensor of what a whole network is given; the timestep as (N), float32, as tintype takes it."""
    given, names = {}, {**(RENAMED if part in PARTS else {}), **names}

    def take(name, value):
        if isinstance(value, torch.Tensor) and value.numel():
            given[name] = value
        elif isinstance(value, dict):
            for key, inner in value.items():
                # SDXL's are inputs of the U-Net like others
                take(key if part == "unet" and name == "added_cond_kwargs" else f"{name}.{key}", inner)
        elif isinstance(value, (list, tuple)):
            for i, inner in enumerate(value):
                take(f"{name}.{i}", inner)

    for name, value in signature.bind(*args, **kwargs).arguments.items():
        name = names.get(name, name)
        if name == "timestep" and part == "unet" and not isinstance(value, (list, tuple, dict)):
            value = torch.as_tensor(value).to(torch.float32).reshape(-1)
            value = value.expand(len(given["sample"])) if value.numel() == 1 and "sample" in given else value
        take(name, value)
    return given


class Call:
    """One call that is being recorded: its tensors so far."""

    def __init__(self, recording, part, index, step, room, backward=False):
        self.recording, self.part, self.index, self.step = recording, part, index, step
        self.backward, self.began = backward, time.time()
        self.file = TensorFile(os.path.join(recording.folder, part + ".safetensors"), room)
        self.entries, self.by_name, self.known, self.count = [], {}, {}, {}

    def add(self, name, tensor, type, leaf=True, inputs=(), **errors):
        """One entry, and its bytes unless a tensor before has the same ones. Returns the entry."""
        if not tensor.numel() or tensor.is_complex() or tensor.layout != torch.strided:
            self.recording.note(f"'{name}' of {self.part} has no values that a recording can hold: left out")
            return None
        values = plain(tensor)
        digest = hashlib.sha256(view(values)).hexdigest()
        stored = self.known.setdefault((digest, values.dtype), name)
        entry = {"name": name, "type": type, "leaf": leaf, "shape": list(tensor.shape),
                 "dtype": NAMES.get(tensor.dtype, "F32" if tensor.is_floating_point() else "I64"),
                 "stored": stored, "inputs": list(inputs)}
        if values.is_floating_point():
            entry.update(maxabs=round_up(largest(values)), **{k: round_up(v) for k, v in errors.items()})
            entry = {k: v for k, v in entry.items() if v is not None}
        twin = self.by_name.get(stored, {})
        if "err32" in twin and ("err32" in entry or type == "output"):
            entry["err32"] = max(entry.get("err32", 0), twin["err32"])
        small = values.numel() <= 256 or type in ("input", "seed") or not values.is_floating_point()
        if type in ("input", "seed", "output"):
            entry["sha256"] = digest
        if not self.recording.whole_values and not small:
            entry["statistics"] = twin["statistics"] if twin else statistics(values)
        if stored == name:
            self.file.add(name, values if "statistics" not in entry else sample(values).float())
        self.entries.append(entry)
        self.by_name[name] = entry
        return entry

    def find(self, tensor):
        """The name of a tensor with the same bytes; of integers, with the same numbers."""
        values = plain(tensor)
        name = self.known.get((hashlib.sha256(view(values)).hexdigest(), values.dtype))
        if name is None and not values.is_floating_point():
            values = values.float()
            name = self.known.get((hashlib.sha256(view(values)).hexdigest(), values.dtype))
        return name

    def numbered(self, path):
        count = self.count[path] = self.count.get(path, 0) + 1
        return path if count == 1 else f"{path}#{count}"

    def add_inputs(self, name, tensors):
        """What a module is given: names, and entries of those that no module gave."""
        names = []
        for i, tensor in enumerate(tensors):
            if not tensor.numel():
                continue
            place = self.find(tensor)
            if place is None:
                place = name + (".in" if i == 0 else f".in{i + 1}")
                if self.add(place, tensor, "in") is None:
                    continue
            names.append(place)
        return names

    def compare(self, name, wide):
        """Note how far a recorded tensor is from the same in float64."""
        entry = self.by_name.get(name)
        if entry is None or entry["dtype"] not in ("F32", "F16", "BF16", "F64"):
            return
        recorded = self.file.read(entry["stored"])
        wide = wide.detach()
        if "statistics" in entry:
            wide = sample(wide)
        if recorded.numel() != wide.numel():
            return  # another tensor: the float64 run went another way
        error = round_up(distance(recorded, wide.cpu()))
        if error is not None:
            entry["drift32"] = error

    def finish(self):
        """Name the pair of files and list the call."""
        recording = self.recording
        stem = f"{len(recording.calls):05}.{self.part}"
        manifest = {"part": self.part, "call": self.index}
        path = os.path.join(recording.folder, stem)
        lines = ",\n".join(json.dumps(e, separators=(",", ":")) for e in self.entries)
        text = json.dumps(manifest)[:-1] + ', "tensors": [\n' + lines + "\n]}\n"
        try:
            size = self.file.finish(path + ".safetensors")
            write_json(path + ".json", text)
            recording.add_call(
                {"part": self.part, "call": self.index, **({} if self.step is None else {"step": self.step}),
                 **({"backward": True} if self.backward else {}), "file": stem + ".safetensors",
                 "manifest": stem + ".json", "tensors": len(self.entries)},
                size + len(text), time.time() - self.began,
            )
        except RecordingError:
            for name in (path + ".safetensors", path + ".json"):
                with contextlib.suppress(OSError):
                    os.remove(name)
            raise


class Watch:
    """A network whose calls are recorded."""

    def __init__(self, recording, part, network, method, gradients, names):
        self.recording, self.part, self.network, self.gradients = recording, part, network, gradients
        self.names, self.counting = names, None
        self.call, self.compared, self.drifting = None, None, None
        self.busy, self.calls = False, 0
        self.owner, self.method = network, method
        self.original = getattr(network, method)
        self.signature = inspect.signature(self.original)
        self.wide = Wide(network)
        self.handles, self.versions, self.kept, self.pass_, self.collected = [], {}, {}, None, None
        modules = 0
        for path, module in network.named_modules():
            path = self.short(path)
            if not path or (recording.modules and not re.search(recording.modules, path)):
                continue
            modules += 1
            self.handles.append(module.register_forward_pre_hook(self.before(path), with_kwargs=True))
            self.handles.append(module.register_forward_hook(self.after(path), with_kwargs=True))
        self.room = 65536 + 800 * modules  # a header's line has about 150 bytes

        @functools.wraps(self.original)
        def run(*args, **kwargs):
            return self.run(args, kwargs)

        setattr(network, method, run)

    def short(self, path):
        if not self.part.startswith("text_encoder"):
            return path
        return "" if path == "text_model" else path.removeprefix("text_model.")

    def stop(self):
        if self.pass_ is not None:
            self.pass_.stop()
        for handle in self.handles:
            handle.remove()
        self.wide.stop()
        if self.method in self.owner.__dict__:
            delattr(self.owner, self.method)

    def inputs(self, args, kwargs):
        return named_inputs(self.part, self.signature, self.names, args, kwargs).items()

    def run(self, args, kwargs):
        if self.busy or self.drifting is not None or self.call is not None:
            return self.original(*args, **kwargs)
        recording, index = self.recording, self.calls
        recording.begin()
        self.calls += 1
        if self.pass_ is not None:
            recording.note(f"{self.part} was called again before its backward pass: the earlier one is not recorded")
            self.pass_.stop()
        step = None if self.part in NOT_STEPPED else recording.step_now
        if (index if step is None else step) % recording.every and self.part not in NOT_STEPPED:
            return self.original(*args, **kwargs)
        self.versions, self.kept = {}, {}
        backward = self.gradients and torch.is_grad_enabled()
        done = recording.done.get((self.part, index, False))
        if done is not None:
            self.counting = {} if backward else None
            try:
                output = self.original(*args, **kwargs)
            finally:
                self.counting = None
            outputs = named_outputs(self.part, output)
            recording.check_same(done, outputs)
            if backward:
                self.pass_ = Pass(self, step, args, kwargs, outputs, self.kept)
            return output
        self.call = Call(recording, self.part, index, step, self.room)
        try:
            for name, tensor in self.inputs(args, kwargs):
                self.call.add(name, tensor, "input")
            output = self.original(*args, **kwargs)
            outputs = named_outputs(self.part, output)
            for name, tensor in outputs.items():
                self.call.add(name, tensor, "output")
            if recording.drift32 and not self.random():
                self.drift(args, kwargs)
            self.call.finish()
            if backward:
                self.pass_ = Pass(self, step, args, kwargs, outputs, self.kept)
        except BaseException:
            self.call.file.discard()
            raise
        finally:
            self.call, self.kept = None, {}
        return output

    def random(self):
        if is_random(self.network):
            self.recording.note(f"{self.part} has dropout that is at work: neither err32 nor drift32 of its modules")
            return True
        return False

    def drift(self, args, kwargs):
        """The whole network in float64, each module beside what was recorded."""
        recorded = self.compared = self.call
        self.call, self.drifting = None, {}
        try:
            with self.wide():
                self.wide.swap(self.network)  # its method is called past its own hooks
                for name, tensor in named_outputs(self.part, self.original(*widen(args), **widen(kwargs))).items():
                    recorded.compare(name, tensor)
        except (RuntimeError, TypeError, ValueError) as error:
            if out_of_memory(error):
                raise
            self.recording.note(f"{self.part} does not run in float64, no drift32 of its modules: {error}")
        finally:
            self.call, self.drifting = recorded, None

    def before(self, path):
        """Of a module made of no others, what it is given is recorded before it can change it."""

        def hook(module, args, kwargs):
            if self.call is None or self.busy:
                return
            tensors = [x for x in [*args, *kwargs.values()] if isinstance(x, torch.Tensor)]
            if any(True for _ in module.children()):
                self.versions.setdefault(module, []).append([version(x) for x in tensors])
                return
            name = self.call.numbered(path)
            given = (args, kwargs)
            if getattr(module, "inplace", False):
                given = (tuple(x.clone() if isinstance(x, torch.Tensor) else x for x in args),
                         {k: x.clone() if isinstance(x, torch.Tensor) else x for k, x in kwargs.items()})
            self.versions.setdefault(module, []).append((name, self.call.add_inputs(name, tensors), given))

        return hook

    def after(self, path):
        def hook(module, args, kwargs, output):
            if self.drifting is not None:
                count = self.drifting[path] = self.drifting.get(path, 0) + 1
                name = path if count == 1 else f"{path}#{count}"
                if self.collected is not None:
                    self.collected[name] = first(output)
                    return
                tensors = [x for x in [*args, *kwargs.values()] if isinstance(x, torch.Tensor)]
                for i, tensor in enumerate([] if getattr(module, "inplace", False) else tensors):
                    self.compared.compare(name + (".in" if i == 0 else f".in{i + 1}"), tensor)
                if first(output) is not None:
                    self.compared.compare(name, first(output))
                return
            if self.counting is not None and not self.busy:
                count = self.counting[path] = self.counting.get(path, 0) + 1
                if first(output) is not None and first(output).requires_grad:
                    self.kept[path if count == 1 else f"{path}#{count}"] = first(output)
                return
            if self.call is None or self.busy:
                return
            leaf = not any(True for _ in module.children())
            state, value = self.versions[module].pop(), first(output)
            if leaf:
                name, names, (args, kwargs) = state
            else:
                name = self.call.numbered(path)
                tensors = [x for x in [*args, *kwargs.values()] if isinstance(x, torch.Tensor)]
                if [version(x) for x in tensors] != state:
                    self.recording.note(f"'{name}' of {self.part} changes what it is given: that is not recorded")
                    names, leaf = [], None
                else:
                    names = self.call.add_inputs(name, tensors)
            if value is None or not value.numel():
                return
            errors = {}
            wanted = self.recording.err32
            if leaf is not None and (wanted == "all" or (wanted == "leaves" and leaf)) and value.is_floating_point():
                errors = self.alone(module, name, args, kwargs, value)
            self.call.add(name, value, type(module).__name__, bool(leaf), names, **errors)
            if self.gradients and value.requires_grad:
                self.kept[name] = value

        return hook

    def alone(self, module, name, args, kwargs, value):
        """The largest error of one module, against float64 on the same inputs."""
        if is_random(module):
            self.random()
            return {}
        self.busy = True
        try:
            with self.wide():
                wide = first(module(*widen(args), **widen(kwargs)))
            return {"err32": distance(value.detach(), wide.to(value.device))}
        except (RuntimeError, TypeError, ValueError) as error:
            if out_of_memory(error):
                raise
            self.recording.note(f"'{name}' of {self.part} does not run alone in float64, no err32: {error}")
            return {}
        finally:
            self.busy = False


def version(tensor):
    """Counts changes in place; None where torch does not."""
    return None if tensor.is_inference() else tensor._version


class Pass:
    """The backward pass of a recorded call: what arrives at its outputs, and every gradient, as they come."""

    def __init__(self, watch, step, args, kwargs, outputs, kept):
        self.watch, self.args, self.kwargs, self.call = watch, args, kwargs, None
        self.index, self.step, self.seeds, self.handles = None, step, {}, []
        named = ((watch.short(k), p) for k, p in watch.network.named_parameters())
        wanted = watch.recording.modules
        for type, tensors in (("seed", outputs.items()), ("gradient", kept.items()), ("gradient", named)):
            for name, tensor in tensors:
                if tensor.requires_grad and (type == "seed" or not wanted or re.search(wanted, name)):
                    self.handles.append(tensor.register_hook(functools.partial(self.take, name, type)))

    def take(self, name, type, gradient):
        watch, recording = self.watch, self.watch.recording
        if watch.busy:
            return
        if self.index is None:
            self.index = watch.calls
            watch.calls += 1
            torch.autograd.Variable._execution_engine.queue_callback(self.end)
        if (watch.part, self.index, True) in recording.done:
            return
        try:
            if self.call is None:
                self.call = Call(recording, watch.part, self.index, self.step, 4 * watch.room, backward=True)
                for key, tensor in watch.inputs(self.args, self.kwargs):
                    self.call.add(key, tensor, "input")
            self.call.add(name, gradient, type)
        except BaseException:
            self.stop()
            raise
        if type == "seed":
            self.seeds[name] = gradient.detach()

    def end(self):
        try:
            if self.call is not None:
                if self.watch.recording.drift32 and not self.watch.random():
                    self.drift()
                self.call.finish()
        finally:
            self.stop()

    def drift(self):
        """The whole pass in float64, each gradient beside what was recorded."""
        watch, parameters = self.watch, {}
        watch.collected, watch.drifting = {}, {}
        try:
            with watch.wide(parameters):
                watch.wide.swap(watch.network)
                given = widen(self.args, True), widen(self.kwargs, True)
                outputs = named_outputs(watch.part, watch.original(*given[0], **given[1]))
                found = {**watch.collected, **{watch.short(k): p for k, p in parameters.items()}}
                found = {k: v for k, v in found.items() if k in self.call.by_name and v.requires_grad}
                wide = torch.autograd.grad(
                    [outputs[k] for k in self.seeds], list(found.values()),
                    [g.double() for g in self.seeds.values()], allow_unused=True,
                )
            for name, gradient in zip(found, wide):
                if gradient is not None:
                    self.call.compare(name, gradient)
                    entry = self.call.by_name[name]
                    entry["err32"] = entry.get("drift32")
        finally:
            watch.collected = watch.drifting = None

    def stop(self):
        for handle in self.handles:
            handle.remove()
        if self.call is not None:
            self.call.file.discard()
        self.handles, self.call, self.args, self.kwargs, self.watch.pass_ = [], None, (), {}, None


class Steps:
    """A scheduler of diffusers' kind, whose steps are recorded, and count the steps of the run."""

    def __init__(self, recording, scheduler):
        self.recording, self.scheduler, self.last = recording, scheduler, None
        self.step, self.set_timesteps = scheduler.step, scheduler.set_timesteps
        self.signature, self.calls = inspect.signature(scheduler.step), 0
        recording.step_now = 0

        @functools.wraps(self.step)
        def step(*args, **kwargs):
            return self.run(args, kwargs)

        @functools.wraps(self.set_timesteps)
        def restart(*args, **kwargs):
            recording.step_now = 0
            return self.set_timesteps(*args, **kwargs)

        scheduler.step, scheduler.set_timesteps = step, restart

    def stop(self):
        del self.scheduler.step, self.scheduler.set_timesteps

    def run(self, args, kwargs):
        recording, index, step = self.recording, self.calls, self.recording.step_now
        recording.begin()
        self.calls += 1
        wanted = not step % recording.every and ("scheduler", index, False) not in recording.done
        noise, before = [], None
        if wanted and recording.err32 != "none":
            before = {k: v for k, v in vars(self.scheduler).items() if k not in ("step", "set_timesteps")}
            before = copy.deepcopy(before)
        with drawn(self.scheduler, noise):
            output = self.step(*args, **kwargs)
        self.last = first(output)
        recording.step_now = step + 1
        done = recording.done.get(("scheduler", index, False))
        if done:
            recording.check_same(done, {"prev_sample": self.last})
        if not wanted:
            return output
        given = self.signature.bind(*args, **kwargs).arguments
        call = Call(recording, "scheduler", index, step, 65536)
        try:
            timestep = torch.as_tensor(given["timestep"]).float().reshape(-1)
            inputs = {"sample": given["sample"], "model_output": given["model_output"], "timestep": timestep,
                      **{f"noise{i + 1}" if i else "noise": x for i, x in enumerate(noise)}}
            for name, tensor in inputs.items():
                call.add(name, tensor, "input")
            call.add("prev_sample", self.last, "output", **self.alone(before, args, kwargs, noise))
            call.finish()
        except BaseException:
            call.file.discard()
            raise
        return output

    def alone(self, before, args, kwargs, noise):
        """The step in float64 from the same tables, sample, history and noise."""
        if before is None:
            return {}
        copied = object.__new__(type(self.scheduler))
        vars(copied).update({k: widen(v) for k, v in before.items()})
        wide = Wide(torch.nn.Module())
        try:
            with wide(), drawn(self.scheduler, [], [widen(x) for x in noise]):
                value = first(copied.step(*widen(args), **widen(kwargs)))
            error = distance(self.last.detach(), value.to(self.last.device))
            return {"err32": error, "drift32": error}
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            self.recording.note(f"the scheduler does not step in float64, no err32: {error}")
            return {}


@contextlib.contextmanager
def drawn(owner, noise, given=None):
    """Collect what an object of diffusers draws with randn_tensor(), or give it this instead."""
    module = sys.modules[type(owner).__module__]
    original = getattr(module, "randn_tensor", None)
    given = iter(given or [])

    def draw(*args, **kwargs):
        value = next(given, None)
        if value is None:
            value = original(*args, **kwargs)
        noise.append(value)
        return value

    if original is not None:
        module.randn_tensor = draw
    try:
        yield
    finally:
        if original is not None:
            module.randn_tensor = original


# ---- the recording ----


class Recording:
    """A folder that calls are recorded to; a context manager.

    settings     what was run, as RECORDINGS.md lists it; a recording goes on only with the same
    model        a name, for people
    modules      a regular expression: only modules in whose path it is found
    every        calls of every K-th step (of every K-th call, where no steps are counted)
    statistics   moments, quantiles and a sample of elements instead of whole tensors
    err32        "all": each module alone in float64 on its recorded inputs; what stands within modules is computed
                 again for each of them: several float64 runs; "leaves": one, for modules made of no others; "none"
    drift32      the whole network in float64: another run, with activations of twice the size; what end-to-end
                 comparisons go by
    weights      digests of the networks' weights
    quiet        no line for each call on standard error
    """

    def __init__(self, folder, settings=None, model="", modules=None, every=1, statistics=False, err32="leaves",
                 drift32=True, weights=True, writer="tintype_hook.py", quiet=False):
        if err32 not in ("all", "leaves", "none"):
            raise RecordingError(2, f"err32: found '{err32}', expected all, leaves or none")
        if every < 1:
            raise RecordingError(2, f"every: found {every}, expected at least 1")
        try:
            re.compile(modules or "")
        except re.error as error:
            raise RecordingError(2, f"modules: found '{modules}', expected a regular expression: {error}") from error
        self.folder, self.settings, self.model, self.writer = folder, settings or {}, model, writer
        self.modules, self.every, self.whole_values, self.quiet = modules, every, not statistics, quiet
        self.err32, self.drift32, self.with_weights = err32, drift32, weights
        self.calls, self.done, self.watched, self.steps, self.notes = [], {}, [], None, []
        self.header, self.step_now, self.begun, self.noise, self.pipelines = None, None, False, [], []
        self.progress, self.taken = os.path.join(folder, "recording.part.json"), contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                self.begin()
                if not self.calls:
                    self.note("no call of what is watched was made: there is nothing in the recording")
                self.write(os.path.join(self.folder, "recording.json"))
                os.remove(self.progress)
        finally:
            self.taken.close()
            for watch in self.watched + ([self.steps] if self.steps else []):
                watch.stop()

    def watch(self, part, network, method=None, gradients=False, names=None):
        """Record the calls of a torch module, or of one of its methods, as those of `part`: text_encoder, unet,
        vae_encoder, vae_decoder, or any name. gradients: their backward passes, too. names: what inputs are to be
        called that `forward` calls otherwise, as {"t": "timestep", "context": "encoder_hidden_states"}."""
        if self.begun:
            raise RecordingError(2, f"{part}: watched after the first call, expected before it")
        if not re.fullmatch(r"[A-Za-z0-9_-]+", part):
            raise RecordingError(2, f"part: found '{part}', expected letters, digits, _ and -")
        self.watched.append(Watch(self, part, network, method or METHODS.get(part, "forward"), gradients,
                                  names or {}))

    def watch_scheduler(self, scheduler):
        """Record a diffusers scheduler's steps; they count the steps of the run."""
        self.steps = Steps(self, scheduler)

    def watch_pipeline(self, pipeline):
        """Record all of a diffusers pipeline from text to image; result() adds the picture."""
        for part, name in (("text_encoder", "text_encoder"), ("text_encoder_2", "text_encoder_2"), ("unet", "unet"),
                           ("vae_decoder", "vae")):
            if getattr(pipeline, name, None) is not None:
                self.watch(part, getattr(pipeline, name))
        self.watch_scheduler(pipeline.scheduler)
        self.taken.enter_context(drawn(pipeline, self.noise))

    def step(self, index):
        """Tell which step the next calls are of, where no scheduler is watched."""
        self.step_now = index

    def result(self, image=None, latents=None, noise=None):
        """The last call, "pipeline": the picture (N,3,H,W) in [0,1]; what a watched pipeline drew and made is known."""
        self.begin()
        if latents is None and self.steps is not None:
            latents = self.steps.last
        if noise is None and self.noise:
            noise = self.noise[0]
        outputs = {k: v for k, v in (("latents", latents), ("image", image)) if v is not None}
        done = self.done.get(("pipeline", 0, False))
        if done is not None:
            self.check_same(done, outputs)
            return
        call = Call(self, "pipeline", 0, None, 65536)
        try:
            if noise is not None:
                call.add("noise", noise, "input")
            for name, tensor in outputs.items():
                call.add(name, tensor, "output")
            call.finish()
        except BaseException:
            call.file.discard()
            raise

    # ---- what is written ----

    def begin(self):
        """At the first call: see whether the folder may be written to, and what of it is there already."""
        if self.begun:
            return
        self.begun = True
        complete = os.path.join(self.folder, "recording.json")
        if os.path.exists(complete):
            raise RecordingError(2, f"{complete}: exists: a recording is not written over; remove it or choose another")
        weights = self.digests() if self.with_weights else None
        self.header = self.describe()
        if os.path.exists(self.progress):
            self.go_on(weights)
            return
        with system(self.folder):
            os.makedirs(self.folder, exist_ok=True)
            if os.listdir(self.folder):
                raise RecordingError(2, f"{self.folder}: is not empty and no recording that was stopped")
        if weights is not None:
            write_json(os.path.join(self.folder, "weights.json"), weights)
        self.write(self.progress)

    def go_on(self, weights):
        """A recording that was stopped: the same settings, networks and versions, or an error."""
        try:
            with open(self.progress) as f:
                found = json.load(f)
            calls = found.pop("calls")
            for name, value in self.header.items():
                if name != "whole" and found.get(name) != json.loads(json.dumps(value)):
                    raise RecordingError(2, f"{self.progress}: {name}: found {json.dumps(found.get(name))}, expected "
                                            f"{json.dumps(value)}, to go on with this recording")
            if weights is not None:
                with open(os.path.join(self.folder, "weights.json")) as f:
                    if f.read() != weights:
                        raise RecordingError(2, f"{f.name}: found other weights than those of this run")
        except (OSError, ValueError, KeyError) as error:
            raise RecordingError(2, f"{self.progress}: is not a recording that was stopped: {error}") from error
        for pattern in ("*.safetensors.part", "*.json.part"):
            for path in glob.glob(os.path.join(glob.escape(self.folder), pattern)):
                os.remove(path)
        self.calls, self.notes = calls, found.get("notes", [])
        self.done = {(c["part"], c["call"], c.get("backward", False)): c for c in calls}
        self.say(f"{self.folder}: goes on behind {len(calls)} calls that are there")

    def describe(self):
        """What stands in recording.json besides calls."""
        dtypes = [p.dtype for w in self.watched for p in w.network.parameters()]
        narrow = [d for d in dtypes if d in (torch.float16, torch.bfloat16)]
        header = {
            "format": "tintype-recording", "version": 2, "model": self.model, "writer": self.writer,
            "versions": {"torch": torch.__version__.split("+")[0],
                         **{n: sys.modules[n].__version__ for n in ("diffusers", "transformers") if n in sys.modules},
                         "python": platform.python_version(), "cpu": torch.backends.cpu.get_cpu_capability()},
            "precision": FLOATS[narrow[0]] if narrow else "F32",
            "whole": self.modules is None and self.every == 1, "modules": self.modules, "every": self.every,
            "values": "tensors" if self.whole_values else "statistics",
            "err32": self.err32, "drift32": self.drift32, "settings": self.settings,
        }
        if self.with_weights:
            header["weights"] = "weights.json"
        return header

    def digests(self):
        """The text of weights.json."""
        lines, seen = [], set()
        for watch in self.watched:
            part = {"vae_encoder": "vae", "vae_decoder": "vae"}.get(watch.part, watch.part)
            for name, value in watch.network.state_dict().items():
                name = watch.short(name)
                if (part, name) in seen or not value.numel():
                    continue
                seen.add((part, name))
                value = plain(value)
                entry = {"part": part, "name": name, "shape": list(value.shape), "dtype": NAMES[value.dtype],
                         "sha256": hashlib.sha256(view(value)).hexdigest()}
                if value.is_floating_point():
                    n = value.numel()
                    mean = sum(x.double().sum().item() for x in chunks(value)) / n
                    spread = sum((x.double() - mean).square().sum().item() for x in chunks(value))
                    entry.update(mean=finite(mean), std=finite(math.sqrt(spread / n)) if spread == spread else None,
                                 maxabs=round_up(largest(value)))
                entry["sample"] = [finite(x) for x in sample(value, 16).reshape(-1).tolist()]
                lines.append(json.dumps({k: v for k, v in entry.items() if v is not None}))
        return "[\n" + ",\n".join(lines) + "\n]\n"

    def add_call(self, entry, size, seconds):
        self.calls.append(entry)
        try:
            self.write(self.progress)
        except RecordingError:
            self.calls.pop()
            raise
        self.done[(entry["part"], entry["call"], entry.get("backward", False))] = entry
        step = f", step {entry['step']}" if "step" in entry else ""
        self.say(f"{entry['part']}, call {entry['call']}{step}: {entry['tensors']} tensors, {size / 1e6:,.1f} MB, "
                 f"{seconds:.1f} s")

    def write(self, path):
        header = {**self.header, **({"notes": self.notes} if self.notes else {})}
        calls = ",\n".join("  " + json.dumps(c) for c in self.calls)
        write_json(path, json.dumps(header, indent=1)[:-2] + ',\n "calls": [\n' + calls + "\n ]\n}\n")

    def check_same(self, done, outputs):
        """A call that is complete gave the same this time, or it is another run that must not go on here."""
        with open(os.path.join(self.folder, done["manifest"])) as f:
            entries = {e["name"]: e for e in json.load(f)["tensors"]}
        for name, tensor in outputs.items():
            digest = hashlib.sha256(view(plain(tensor))).hexdigest()
            if name in entries and entries[name].get("sha256", digest) != digest:
                raise RecordingError(2, f"{self.folder}/{done['manifest']}: '{name}': this run gives other values: the "
                                        "recording cannot go on (another machine, or number of threads?)")

    def note(self, text):
        """What is left out or assumed, once."""
        if text not in self.notes:
            self.notes.append(text)
            print(f"note: {text}", file=sys.stderr)

    def say(self, text):
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)


def finite(x):
    return digits(x) if math.isfinite(x) else None
