# SPDX-License-Identifier: MIT
"""Time PyTorch and, where it is installed, OpenVINO on one problem of `tintype bench`.

Usage: problem.py 'conv2d n2 c320 h64 w64 k320 r3 s1 f32 +bias' [--threads N] [--repeat N] [--json]

Made-up numbers in float32, which tintype computes in, too; half-precision weights are widened
before. The median of the repeats, after one that does not count. Exit status 2: no such problem.
"""

import argparse
import json
import re
import statistics
import sys
import time

import torch
import torch.nn.functional as F

UNARY = {"silu": F.silu, "gelu": F.gelu, "relu": F.relu, "tanh": torch.tanh,
         "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x)}


class Problem(torch.nn.Module):
    """The node with its weights; `inputs` are what it is given."""

    def __init__(self, text):
        super().__init__()
        words = text.split()
        self.op, rest = words[0], words[1:]
        self.size = {m[1]: int(m[2]) for w in rest if (m := re.fullmatch(r"([a-z]+)(\d+)", w))
                     if m[1] not in ("f", "bf")}
        self.folded = {w[1:] for w in rest if w.startswith("+")}
        self.flags = {w for w in rest if w in ("causal", "flip", "backward")}
        self.numbers = {m[1]: float(m[2]) for w in rest
                        if (m := re.fullmatch(r"(scale|shift|eps)(-?[\d.]+(?:e[-+]?\d+)?)", w))}
        padding = [w[1:] for w in rest if re.fullmatch(r"p\d+,\d+,\d+,\d+", w)]
        generator = torch.Generator().manual_seed(0)

        def draw(*shape):
            return 2 * torch.rand(shape, generator=generator) - 1

        s, self.weight, self.bias = self.size, None, None
        if self.op == "conv2d":
            self.inputs = [draw(s["n"], s["c"], s["h"], s["w"])]
            self.weight = draw(s["k"], s["c"], s["r"], s["r"])
            around = (s["r"] - 1) // 2
            top, left, bottom, right = map(int, padding[0].split(",")) if padding else [around] * 4
            self.padding = (left, right, top, bottom)
            self.bias = draw(s["k"]) if "bias" in self.folded else None
        elif self.op == "linear":
            self.inputs = [draw(s["m"], s["k"])]
            self.weight = draw(s["n"], s["k"])
            self.bias = draw(s["n"]) if "bias" in self.folded else None
        elif self.op == "attention":
            self.inputs = [draw(s["n"], s["heads"], s[t], s["d"]) for t in ("q", "k", "k")]
        elif self.op == "group_norm":
            self.inputs = [draw(s["n"], s["c"], s["h"], s["w"])]
            self.weight, self.bias = draw(s["c"]), draw(s["c"])
        elif self.op == "layer_norm":
            self.inputs = [draw(s["m"], s["c"])]
            self.weight, self.bias = draw(s["c"]), draw(s["c"])
        elif self.op == "geglu":
            self.inputs = [draw(s["m"], 2 * s["c"])]
        elif self.op in UNARY:
            self.inputs = [draw(s["m"], s["c"])]
        elif self.op == "add":
            self.inputs = [draw(s["m"] // s["b"], s["b"], s["c"]), draw(s["b"], s["c"])]
        else:
            raise ValueError(f"{self.op}: no peer of it here")
        out = self.forward(*self.inputs)
        if "image_bias" in self.folded:
            self.inputs.append(draw(out.shape[0], out.shape[1], 1, 1))
        if "residual" in self.folded:
            self.inputs.append(draw(*out.shape))

    def forward(self, x, *others):
        s, others = self.size, list(others)
        if self.op == "conv2d":
            y = F.conv2d(F.pad(x, self.padding), self.weight, self.bias, s["s"]) \
                if len(set(self.padding)) > 1 else \
                F.conv2d(x, self.weight, self.bias, s["s"], self.padding[0])
        elif self.op == "linear":
            y = F.linear(x, self.weight, self.bias)
        elif self.op == "attention":
            k, v = others[:2]
            y, others = F.scaled_dot_product_attention(
                x, k, v, is_causal="causal" in self.flags, scale=self.numbers.get("scale")), []
        elif self.op == "group_norm":
            y = F.group_norm(x, s["g"], self.weight, self.bias, self.numbers.get("eps", 1e-5))
        elif self.op == "layer_norm":
            y = F.layer_norm(x, (s["c"],), self.weight, self.bias, self.numbers.get("eps", 1e-5))
        elif self.op == "geglu":
            a, b = x.chunk(2, -1)
            y = a * F.gelu(b)
        elif self.op == "add":
            y, others = x + others[0], []
        else:
            y = UNARY[self.op](x)
        for other in others:
            y = y + other
        return F.silu(y) if "silu" in self.folded else y


def median(run, repeat):
    seconds = []
    for _ in range(repeat + 1):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return 1e3 * statistics.median(seconds[1:])


def time_torch(problem, repeat):
    """The better of both memory formats; forward, or with `backward` the way back alone."""
    best = None
    formats = [torch.contiguous_format]
    if problem.inputs[0].dim() == 4 and problem.op != "attention":
        formats.append(torch.channels_last)
    for form in formats:
        inputs = [i.to(memory_format=form) if i.dim() == 4 else i for i in problem.inputs]
        if problem.op == "conv2d":
            problem.weight = problem.weight.to(memory_format=form)
        if "backward" in problem.flags:
            leaves = [t.detach().requires_grad_() for t in inputs]
            wanted = leaves + [t.requires_grad_() for t in (problem.weight, problem.bias)
                               if t is not None]
            out = problem(*leaves)
            seed = torch.ones_like(out)
            ms = median(lambda: torch.autograd.grad(out, wanted, seed, retain_graph=True), repeat)
        else:
            with torch.inference_mode():
                ms = median(lambda: problem(*inputs), repeat)
        best = ms if best is None else min(best, ms)
    return best


def time_openvino(problem, threads, repeat):
    """None: it is not installed, or knows no way back."""
    try:
        import openvino
    except ImportError:
        return None
    if "backward" in problem.flags:
        return None
    inputs = tuple(i.contiguous() for i in problem.inputs)
    with torch.inference_mode():
        model = openvino.convert_model(problem.eval(), example_input=inputs,
                                       input=[list(i.shape) for i in inputs])
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads,
               "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()
    arrays = [i.numpy() for i in inputs]
    return median(lambda: request.infer(arrays), repeat)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeat", type=int, default=21)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    try:
        problem = Problem(args.problem)
    except (KeyError, IndexError, ValueError) as error:
        print(f"problem.py: '{args.problem}': {error}", file=sys.stderr)
        return 2
    found = {f"torch {torch.__version__}": time_torch(problem, args.repeat)}
    ms = time_openvino(problem, args.threads, args.repeat)
    if ms is not None:
        found["openvino"] = ms
    if args.json:
        print(json.dumps({"problem": args.problem, "threads": args.threads, "ms": found}))
    else:
        for name, value in found.items():
            print(f"  {name}: {value:.4f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
