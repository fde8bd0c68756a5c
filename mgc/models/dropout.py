"""Dropout as torch has it, in a third of its time on a CPU, where torch draws one random number for each value."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEVELS = 1 << 16
"""Probabilities are multiples of 1 / LEVELS, so that one random number of 64 bits is enough for four values."""


class Dropout(nn.Dropout):
    """In training each value is 0 with probability p, else 1 / (1 - p) times itself (Srivastava et al. 2014).

    torch's global generator of the device draws the random numbers. On a CPU p must be less than 1 and is rounded to a
    multiple of 1 / LEVELS.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        return x * mask_like(x, self.p) if x.device.type == "cpu" else super().forward(x)


def mask_like(x: Tensor, p: float) -> Tensor:
    """0 or 1 / (1 - p) for each value of x, in its type and memory format; dense, even if x is a view."""
    num_dropped = min(round(p * LEVELS), LEVELS - 1)
    num = x.numel()
    chance_N = torch.empty(-(-num // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)[:num]
    mask = torch.empty_like(x)
    in_memory_N = mask.as_strided((num,), (1,))
    torch.ge(chance_N, num_dropped - LEVELS // 2, out=in_memory_N).mul_(LEVELS / (LEVELS - num_dropped))
    return mask
