# SPDX-License-Identifier: MIT
"""Time OpenVINO (float32) on the same networks and inputs as torch_bench.py, as a library for
compare.py --openvino.
"""

import time

import openvino
import torch


class Call(torch.nn.Module):
    """What a part computes, as a module."""

    def __init__(self, part):
        super().__init__()
        self.network, self.forward = part.network, part.forward


class Converted:
    """A Part of torch_bench.py for OpenVINO; shapes are fixed, which is its faster way."""

    def __init__(self, part, threads):
        inputs = (*part.images, *part.others)
        with torch.inference_mode():
            model = openvino.convert_model(Call(part).eval(), example_input=inputs,
                                           input=[list(i.shape) for i in inputs])
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads,
                   "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        self.request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()
        self.inputs = [i.contiguous().numpy() for i in inputs]

    def run(self):
        """One forward pass, which sets `output`, in seconds."""
        began = time.perf_counter()
        result = self.request.infer(self.inputs)
        seconds = time.perf_counter() - began
        self.output = torch.from_numpy(result[0])
        return seconds
