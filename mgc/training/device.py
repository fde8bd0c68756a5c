"""The device that a training runs on, how a model is put there, and the precision that it multiplies in."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

Precision = Literal["fp32", "bf16"]


def best_device() -> str:
    """Where trainings run: on this process's GPU if it has one, else on the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def place_model(model: nn.Module, device: torch.device) -> nn.Module:
    """The model on the device, in the memory format in which convolutions are fast."""
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def choose_precision(device: str | torch.device) -> Precision:
    """The precision that `auto` means on this device: bf16 where its hardware multiplies in bf16, else fp32."""
    match torch.device(device).type:
        case "cpu":
            can = torch.cpu.get_capabilities()
            has_bf16 = bool(can.get("avx512_bf16") or can.get("amx_bf16"))
        case "cuda":
            has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
        case _:
            has_bf16 = False
    return "bf16" if has_bf16 else "fp32"
