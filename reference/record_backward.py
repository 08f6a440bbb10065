# SPDX-License-Identifier: MIT
"""Record a U-Net's backward pass with the hook: recordings/backward, which `make test` verifies.

Usage: record_backward.py RECORDING
"""

import os
import sys

import torch
from diffusers import UNet2DConditionModel

from common import HERE
from tintype_hook import Recording


def main():
    network = UNet2DConditionModel.from_pretrained(os.path.join(HERE, "tiny", "variants", "base"), subfolder="unet")
    network.requires_grad_(True)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with Recording(sys.argv[1], modules="conv_in|conv_out|resnets.0$|to_q", weights=False) as recording:
        recording.watch("unet", network, gradients=True)
        sample, text = torch.randn(1, 4, 4, 4), torch.randn(1, 5, network.config.cross_attention_dim)
        out = network(sample, torch.tensor([400.0]), text).sample
        (out * torch.randn_like(out)).sum().backward()


if __name__ == "__main__":
    main()
