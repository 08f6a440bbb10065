# SPDX-License-Identifier: MIT
"""A recording (../RECORDINGS.md) without tintype or PyTorch, with numpy alone: for ports that are to be
held against PyTorch. Copy write_recording() and give it what your modules were given and gave."""

import json
import os
import sys

import numpy


def write_recording(folder, calls, **fields):
    """Write a recording to a folder. `calls`, in order of execution, are (part, tensors) with the part
    text_encoder, unet, vae_encoder or vae_decoder; tensors are (name, type, array), in order of execution,
    type being "input" for what the network is given, else the module's class; arrays have PyTorch's shape
    (N, C, H, W) and are float32, float16 or, for token ids, int64. `fields`: model="...", settings={...}."""
    dtypes = {"<f4": "F32", "<f2": "F16", "<i8": "I64"}
    os.makedirs(folder, exist_ok=True)
    listed = []
    for i, (part, tensors) in enumerate(calls):
        file, header, end = f"{i:05}.{part}.safetensors", {}, 0
        arrays = [numpy.ascontiguousarray(a, a.dtype.newbyteorder("<")) for _, _, a in tensors]
        for (name, _, _), array in zip(tensors, arrays):
            begin, end = end, end + array.nbytes
            header[name] = {"dtype": dtypes[array.dtype.str], "shape": array.shape, "data_offsets": [begin, end]}
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(os.path.join(folder, file), "wb") as f:
            f.write(len(text).to_bytes(8, "little") + text)
            f.writelines(array.tobytes() for array in arrays)
        entries = [{"name": n, "type": t, "shape": header[n]["shape"]} for n, t, _ in tensors]
        call = sum(c["part"] == part for c in listed)
        listed.append({"part": part, "call": call, "file": file, "tensors": entries})
    with open(os.path.join(folder, "recording.json"), "w") as f:
        json.dump({"format": "tintype-recording", "version": 2, **fields, "calls": listed}, f, indent=1)


def demo(folder, width=12, text=24):
    """A U-Net's inputs and the first thing that it computes, twice; the widths are those of reference/tiny/sd15."""
    calls = []
    for t in (0.25, 8.0):
        phase = t * numpy.exp(-numpy.log(10000) * numpy.arange(width // 2) / (width // 2))
        tensors = [
            ("sample", "input", numpy.sin(numpy.arange(60)).reshape(1, 4, 5, 3)),
            ("timestep", "input", numpy.array([t])),
            ("encoder_hidden_states", "input", numpy.cos(numpy.arange(text)).reshape(1, 1, text)),
            ("time_proj", "Timesteps", numpy.concatenate([numpy.cos(phase), numpy.sin(phase)])[None]),
        ]
        calls.append(("unet", [(name, kind, array.astype("f4")) for name, kind, array in tensors]))
    write_recording(folder, calls, writer="recording.py")


if __name__ == "__main__":
    demo(sys.argv[1])
