"""timm, and nothing else: its networks by name, and the weights that they start from."""

from __future__ import annotations

import difflib
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from mgc.config import ConfigError
from mgc.models.torchvision_stub import import_torchvision


@cache
def import_timm() -> ModuleType:
    """The package, torchvision made importable first. ConfigError where either is not installed."""
    try:
        import_torchvision()
        import timm
    except ImportError as error:
        raise ConfigError(f"models of timm need the packages timm and torchvision: {error}", "model") from None
    return timm


def check_name(name: str) -> None:
    """Raise a ConfigError for a network that timm does not have, with the nearest names."""
    timm = import_timm()
    if not timm.is_model(name.partition(".")[0]):
        close = " or ".join(repr(f"timm/{each}") for each in difflib.get_close_matches(name, timm.list_models()))
        raise ConfigError(f"unknown model 'timm/{name}'" + (f" (did you mean {close}?)" if close else ""), "model")


def untrained(name: str, channels: int, **head: Any) -> nn.Module:
    """timm's network for pictures of this many channels; `head` says what is on top, in timm's words."""
    check_name(name)
    network: nn.Module = import_timm().create_model(name, in_chans=channels, **head)
    return network


def trained(name: str, channels: int, weights: str | None, **head: Any) -> nn.Module:
    """The same, starting from a file's weights, or without a file from those of timm (its cache, else the network).

    The first convolution is adapted to the channels and a head of another size is left untrained, as timm does.
    Raises ConfigError where the weights cannot be had or do not fit.
    """
    check_name(name)
    source = f"the weights in {weights}" if weights else f"pretrained weights of {name}"
    overlay = {"state_dict": read_weights(name, weights)} if weights else None
    try:
        network: nn.Module = import_timm().create_model(
            name, pretrained=True, in_chans=channels, pretrained_cfg_overlay=overlay, **head
        )
    except Exception as error:
        rule = "do not fit" if weights else "cannot be had; give a file as weights, or set pretrained: false"
        raise ConfigError(f"{source} {rule} ({first_line(error)})", "weights" if weights else "pretrained") from error
    return network


def read_weights(name: str, path: str) -> dict[str, torch.Tensor]:
    """The state dict in a .safetensors or .pth file, read without running anything that the file holds."""
    if not Path(path).is_file():
        raise ConfigError(f"weights must be a file, got {path!r}", "weights")
    try:
        state: dict[str, torch.Tensor] = import_timm().models.load_state_dict(path, weights_only=True)
    except Exception as error:
        raise ConfigError(f"weights in {path} cannot be read ({first_line(error)})", "weights") from error
    with torch.device("meta"):
        wanted = import_timm().create_model(name).state_dict()
    if not wanted.keys() & state.keys():
        raise ConfigError(f"weights in {path} are not those of {name}: no name in common", "weights")
    return state


def first_line(error: Exception) -> str:
    """An error's own words, cut to one line."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
