# SPDX-License-Identifier: MIT
"""Checks of tintype_hook.py and `record.py --pipeline` (minutes; needs what requirements.txt lists): recordings that
are stopped and go on, full disks, memory, and the numbers beside those of the older recorder and of plain PyTorch.

Usage: check_hook.py [NAME...]     the names are those of the functions below, without check_
"""

import copy
import glob
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

import numpy
import torch
from safetensors.torch import load_file

import tintype_hook
from common import HERE
from record import load_unet, unet_forward
from tintype_hook import Recording, RecordingError

BASE = os.path.join(HERE, "tiny", "variants", "base")
RUN = [sys.executable, os.path.join(HERE, "record.py"), "--pipeline", BASE, "--prompt", "fog", "--steps", "3", "--seed",
       "5", "--width", "16", "--height", "8", "--threads", "1"]


def entries(folder, part, call=0):
    """(manifest's entries by name, values by name) of a call."""
    with open(os.path.join(folder, "recording.json")) as f:
        calls = json.load(f)["calls"]
    found = next(c for c in calls if c["part"] == part and c["call"] == call)
    with open(os.path.join(folder, found["manifest"])) as f:
        listed = json.load(f)["tensors"]
    assert len(listed) == found["tensors"]
    return {e["name"]: e for e in listed}, load_file(os.path.join(folder, found["file"]))


def same(a, b):
    """Folders hold the same bytes."""
    assert sorted(os.listdir(a)) == sorted(os.listdir(b)), (os.listdir(a), os.listdir(b))
    for name in os.listdir(a):
        with open(os.path.join(a, name), "rb") as f, open(os.path.join(b, name), "rb") as g:
            assert f.read() == g.read(), name


def run(out, *options, stop=None, **more):
    """Record; with stop=(TEXT, SIGNAL), send the signal once a line with this text was printed."""
    command = [*RUN, *options, "-o", out]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **more)
    said = []
    for line in process.stderr:
        said.append(line)
        if stop and line.startswith(stop[0]):
            process.send_signal(stop[1])
            stop = None
    return process.wait(), "".join(said)


def check_resume(work):
    whole, stopped = os.path.join(work, "whole"), os.path.join(work, "stopped")
    status, said = run(whole, "--err32", "all")
    assert status == 0, said
    for options in ([], ["--statistics"]):
        if options:
            shutil.rmtree(whole), shutil.rmtree(stopped)
            assert run(whole, *options)[0] == 0
        else:
            options = ["--err32", "all"]
        for text, sign in (("text_encoder, call 1", signal.SIGKILL), ("unet, call 0", signal.SIGINT),
                           ("unet, call 2", signal.SIGKILL)):
            status, said = run(stopped, *options, stop=(text, sign))
            assert status in (-signal.SIGKILL, 130), said
            assert not os.path.exists(os.path.join(stopped, "recording.json"))
            with open(os.path.join(stopped, "recording.part.json")) as f:
                for call in json.load(f)["calls"]:  # what is listed is whole
                    load_file(os.path.join(stopped, call["file"]))
        status, said = run(stopped, *options, "--seed", "6")
        assert status == 2 and "settings" in said, said
        status, said = run(stopped, *options, "--modules", "conv")
        assert status == 2 and "modules" in said, said
        status, said = run(stopped, *options)
        assert status == 0 and "goes on behind" in said and "unet, call 0" not in said, said
        same(whole, stopped)
    status, said = run(stopped, *options)
    assert status == 2 and "exists" in said, said


def check_disk(work):
    """A file that may not grow, as on a full disk: exit 3, nothing half-written, and it goes on."""
    out, whole = os.path.join(work, "full"), os.path.join(work, "whole")
    status, said = run(out, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200000, 200000)))
    assert status == 3 and "cannot be written" in said, (status, said)
    assert not glob.glob(os.path.join(out, "*.part")) and not os.path.exists(os.path.join(out, "recording.json"))
    assert run(out)[0] == 0 and run(whole)[0] == 0
    same(out, whole)
    with open(os.path.join(work, "file"), "w"):
        pass
    assert run(os.path.join(work, "file", "x"))[0] == 3
    assert run(os.path.join(work))[0] == 2  # not empty


def check_streaming(work):
    """Calls that are written as they come hold what small ones hold, whatever room was left for the header."""
    buffer, outs = tintype_hook.BUFFER, []
    unet = load_unet(os.path.join(HERE, "tiny", "ddpm", "unet"))
    for i, (most, room) in enumerate(((buffer, None), (5000, None), (5000, 100))):
        tintype_hook.BUFFER, out = most, os.path.join(work, str(i))
        with Recording(out, quiet=True, drift32=True) as r, torch.inference_mode():
            r.watch("unet", unet)
            r.watched[0].room = r.watched[0].room if room is None else room
            unet(torch.ones(2, 3, 8, 8), 7)
        outs.append(entries(out, "unet"))
    tintype_hook.BUFFER = buffer
    for listed, values in outs[1:]:
        assert listed == outs[0][0] and values.keys() == outs[0][1].keys()
        assert all(torch.equal(v, outs[0][1][k]) for k, v in values.items())


def check_older(work):
    """Beside the goldens, of the same inputs: values within err32, and drift32 is that err32."""
    for model, setting in (("sd15", "token"), ("lcm", "square"), ("ddim", "tall")):
        golden = os.path.join(HERE, "golden", model, setting)
        with open(os.path.join(golden, "recording.json")) as f:
            part = next(p for p in json.load(f)["parts"] if p["part"] == "unet")
        truth = load_file(os.path.join(golden, part["file"]))
        unet, out = load_unet(os.path.join(HERE, "tiny", model, "unet")), os.path.join(work, model)
        with Recording(out, quiet=True, err32="all", drift32=True) as r, torch.inference_mode():
            r.watch("unet", unet)
            unet_forward(unet, **{k: truth[k] for k in part["inputs"]})
        listed, values = entries(out, "unet")
        assert {e["name"] for e in part["tensors"] if e["type"] != "in"} == \
            {k for k, e in listed.items() if e["type"] != "in"}
        off = 0
        for old in part["tensors"]:
            new = listed.get(old["name"])
            if new is None or old["dtype"] != "F32":
                continue
            assert new["shape"] == old["shape"] and new["type"] == old["type"] and new["leaf"] == old["leaf"], old
            error = (values[new["stored"]].flatten().double() - truth[old["stored"]].flatten().double()).abs().max()
            assert error <= new.get("drift32", 0) * 1.001 + old["maxabs"] * 2**-24, (old, new, error)
            off += old["type"] != "input" and abs(new["drift32"] - old["err32"]) > 1e-3 * old["err32"] + 1e-12
        # PyTorch on another processor, or another version, has other last bits
        print(f"  {model}/{setting}: drift32 is another number for {off} of {len(part['tensors'])}")


def check_alone(work):
    """err32 of single layers and of containers, beside plain float64 computations."""
    torch.manual_seed(1)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1), torch.nn.GroupNorm(2, 8), torch.nn.SiLU(),
        torch.nn.Sequential(torch.nn.Conv2d(8, 8, 3, padding="same"), torch.nn.ReLU(inplace=True)),
        torch.nn.Flatten(), torch.nn.Linear(8 * 16, 5),
    ).eval()
    x, out = torch.randn(2, 3, 8, 8), os.path.join(work, "alone")
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        shutil.rmtree(out, ignore_errors=True)
        network.to(dtype)
        with Recording(out, quiet=True, err32="all", drift32=True) as r, torch.no_grad():
            r.watch("mine", network)
            network(x.to(dtype))
        listed, values = entries(out, "mine")
        assert not r.notes, r.notes
        wide = copy.deepcopy(network).double()
        value = x.to(dtype)
        for i, layer in enumerate(network):
            given, value = value, layer(value)
            with torch.no_grad():
                error = (wide[i](given.double()) - value.double()).abs().max().item()
            assert torch.equal(values[listed[str(i)]["stored"]].reshape(value.shape), value), i
            if listed[str(i)]["stored"] == str(i):  # else it may be that of a tensor with the same bytes
                assert error <= listed[str(i)]["err32"] <= error * 1.001 + 1e-15, (i, error, listed[str(i)])
        with torch.no_grad():
            error = (wide(x.to(dtype).double()) - value.double()).abs().max().item()
        assert error <= listed["out"]["drift32"] <= error * 1.001, (error, listed["out"])
        assert next(network.parameters()).dtype == dtype  # nothing is left in float64
        assert listed["3.1"]["inputs"] == ["3.0"] and listed["4"]["stored"] == "3.1", "the ReLU in place"


def check_statistics(work):
    whole, out = os.path.join(work, "whole"), os.path.join(work, "statistics")
    assert run(whole)[0] == 0 and run(out, "--statistics")[0] == 0
    seen = 0
    for part in ("text_encoder", "unet", "vae_decoder", "scheduler", "pipeline"):
        listed, values = entries(out, part)
        full, exact = entries(whole, part)
        assert listed.keys() == full.keys()
        for name, entry in listed.items():
            x = exact[full[name]["stored"]].flatten()
            stored = values[entry["stored"]]
            if "statistics" not in entry:
                assert torch.equal(x, stored.flatten()), name
                continue
            seen += 1
            n, s, x = x.numel(), entry["statistics"], x.double().numpy()
            places = [int(n * ((i * 0.6180339887498949) % 1)) for i in range(256)]
            assert n > 256 and stored.shape == (256,) and (stored.double().numpy() == x[places]).all(), name
            truth = numpy.quantile(x, numpy.arange(17) / 16)
            numpy.testing.assert_allclose(s["quantiles"], truth, rtol=1e-6, atol=1e-30)
            numpy.testing.assert_allclose([s["std"], s["l2"], s["min"], s["max"]],
                                          [x.std(), numpy.sqrt((x * x).sum()), x.min(), x.max()], rtol=1e-6)
            assert abs(s["mean"] - x.mean()) <= 1e-7 * abs(x).mean()
    assert seen > 100
    big = torch.randn(3 << 20).half()
    big[0], big[1] = float("nan"), float("inf")
    found = tintype_hook.statistics(big)
    assert found["not_finite"] == 2 and abs(found["max"] - big[2:].max().item()) <= 1e-7 * found["max"]


def check_memory(work):
    """The recording of a deep network takes no more than twice its largest tensor beside the network's own run."""
    program = """
import resource, sys, torch
sys.path.insert(0, sys.argv[1])
from tintype_hook import Recording
torch.set_num_threads(1)
layers = [torch.nn.Sequential(torch.nn.Conv2d(16, 16, 3, padding=1), torch.nn.SiLU()) for _ in range(12)]
network, x = torch.nn.Sequential(*layers).eval(), torch.ones(1, 16, 1024, 1024)
with torch.inference_mode():
    network(x)
    if sys.argv[2]:
        with Recording(sys.argv[2], quiet=True, err32=sys.argv[3], drift32=False,
                       statistics=sys.argv[4] == "1") as r:
            r.watch("deep", network)
            network(x)
    else:
        network(x)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    peak = {}
    for err32, small in (("", "0"), ("none", "0"), ("none", "1"), ("leaves", "0")):
        out = os.path.join(work, f"memory-{err32}-{small}") if err32 else ""
        done = subprocess.run([sys.executable, "-c", program, HERE, out, err32, small], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        peak[err32, small] = int(done.stdout) * 1024
        shutil.rmtree(out, ignore_errors=True)
    largest = 16 * 1024 * 1024 * 4
    for key, value in peak.items():
        print(f"  {key}: {(value - peak['', '0']) / largest:+.2f} times the largest tensor")
    most = peak["", "0"] + 2 * largest + (32 << 20)  # chunks in float64 that are looked at together
    assert peak["none", "0"] <= most and peak["none", "1"] <= most, peak


def check_backward(work):
    """Gradients beside autograd's own, in float32 and float64."""
    torch.manual_seed(2)
    network = torch.nn.Sequential(torch.nn.Linear(6, 7), torch.nn.GELU(), torch.nn.Linear(7, 3))
    x, out, steps = torch.randn(4, 6), os.path.join(work, "backward"), 2
    with Recording(out, quiet=True, err32="none", drift32=True) as r:
        r.watch("mine", network, gradients=True)
        for _ in range(steps):
            network.zero_grad()
            network(x).square().mean().backward()
    wide = copy.deepcopy(network).double()
    wide(x.double()).square().mean().backward()
    for call in (1, 3):  # forward, backward, forward, backward
        listed, values = entries(out, "mine", call)
        assert {e["type"] for e in listed.values()} == {"input", "seed", "gradient"}
        assert {"0.weight", "0.bias", "2.weight", "2.bias", "0", "1", "2"} < listed.keys()
        for name, p in network.named_parameters():
            assert torch.equal(values[listed[name]["stored"]].reshape(p.shape), p.grad), name
            truth = dict(wide.named_parameters())[name].grad
            # the seed is that of the float32 run, which the wide pass of its own does not have
            assert (truth - p.grad.double()).abs().max() <= listed[name]["drift32"] + 1e-7, name
    assert next(network.parameters()).dtype == torch.float32
    stopped = os.path.join(work, "stopped")
    for stop in (0, 1, None):  # behind the forward pass of this step, before the way back
        try:
            with Recording(stopped, quiet=True, err32="none", drift32=True) as r:
                r.watch("mine", network, gradients=True)
                for i in range(steps):
                    network.zero_grad()
                    loss = network(x).square().mean()
                    if i == stop:
                        raise KeyError
                    loss.backward()
        except KeyError:
            assert not os.path.exists(os.path.join(stopped, "recording.json"))
    same(out, stopped)


def check_odd(work):
    """What is not finite, not float, empty, a tuple, or random."""

    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.drop = torch.nn.Identity(), torch.nn.LSTM(3, 3), torch.nn.Dropout(0.5)
            self.empty, self.mask = torch.nn.Identity(), torch.nn.Identity()

        def forward(self, x, more=None):
            x = self.a(x / 0)
            self.empty(x[:0]), self.mask(x > 0), self.mask(x.double())
            return self.drop(self.b(torch.nan_to_num(x))[0])

    network, out = Odd(), os.path.join(work, "odd")
    with Recording(out, quiet=True, err32="all", drift32=True) as r:
        r.watch("odd", network)
        network(torch.arange(6.0).reshape(2, 3) - 2.5, more={"y": torch.ones(2, dtype=torch.int32)})
    listed, values = entries(out, "odd")
    assert "err32" not in listed["a"] and "maxabs" not in listed["a"]
    assert torch.isinf(values[listed["a"]["stored"]]).all()
    assert "empty" not in listed and listed["mask"]["dtype"] == "BOOL" and values["mask.in"].dtype == torch.int64
    assert listed["mask#2"]["dtype"] == "F64" and listed["more.y"]["dtype"] == "I32"
    assert listed["b"]["shape"] == [2, 3] and any("dropout" in n for n in r.notes), r.notes
    try:
        with Recording(os.path.join(work, "bad"), modules="("):
            raise AssertionError
    except RecordingError as error:
        assert error.status == 2

    class Other(torch.nn.Module):
        def forward(self, x, t):
            return x + t

    with Recording(os.path.join(work, "names"), quiet=True, weights=False) as r:
        r.watch("unet", Other(), names={"t": "timestep"})
        Other.__call__(r.watched[0].network, torch.ones(2, 3), 5)
    listed, values = entries(os.path.join(work, "names"), "unet")
    assert list(listed) == ["sample", "timestep", "out"] and values["timestep"].tolist() == [5, 5]


def main():
    torch.set_num_threads(1)
    names = [n for n in globals() if n.startswith("check_")]
    for name in [f"check_{n}" for n in sys.argv[1:]] or names:
        with tempfile.TemporaryDirectory() as work:
            print(name.removeprefix("check_"), flush=True)
            globals()[name](work)
    print("all hold")


if __name__ == "__main__":
    main()
