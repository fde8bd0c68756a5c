"""timm, and nothing else: its networks by name, and the weights that they start from.

timm imports torchvision, of which it needs only transforms. torchvision as PyPI has it is built for CUDA: beside a
CPU-only torch its compiled part does not load, and the import fails at `operator torchvision::nms does not exist`. In
that case `import_torchvision` declares the names of its two operators first, which is enough. Where torchvision can be
imported nothing is declared: a second declaration would be an error.
"""

from __future__ import annotations

import difflib
import importlib
import logging
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from mgc.words.errors import ConfigError

log = logging.getLogger("mgc")

SCHEMAS = tuple(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor" for name in ("nms", "qnms"))
"""torchvision's two operators."""


@cache
def import_timm() -> ModuleType:
    """The package timm. Raises ConfigError where it or torchvision is not installed."""
    try:
        import_torchvision()
        import timm
    except ImportError as error:
        raise ConfigError(f"models of timm need the packages timm and torchvision: {error}", "model") from None
    return timm


@cache
def import_torchvision() -> torch.library.Library | None:
    """Import torchvision, where necessary after declaring its operators; returns the declaration.

    The operators exist as long as the declaration, which the cache keeps. Raises ImportError where torchvision is not
    installed.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        forget_torchvision()
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for schema in SCHEMAS:
            library.define(schema)  # type: ignore[no-untyped-call]
        importlib.import_module("torchvision")
        return library
    return None


def forget_torchvision() -> None:
    """Drop the modules that a failed import has left, so that the next import runs all of them again."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]


def check_name(name: str) -> None:
    """Raise a ConfigError for a network that timm does not have, with the nearest names."""
    timm = import_timm()
    if not timm.is_model(name.partition(".")[0]):
        close = " or ".join(repr(f"timm/{each}") for each in difflib.get_close_matches(name, timm.list_models()))
        raise ConfigError(f"unknown model 'timm/{name}'" + (f" (did you mean {close}?)" if close else ""), "model")


def untrained(name: str, channels: int, **head: Any) -> nn.Module:
    """timm's network for pictures of this many channels; `head` are timm's arguments for the layers on top."""
    check_name(name)
    network: nn.Module = import_timm().create_model(name, in_chans=channels, **head)
    return network


def trained(name: str, channels: int, weights: str | None, **head: Any) -> nn.Module:
    """The same network with the weights of a file, or without a file with those of timm (from its cache or the web).

    timm adapts the first convolution to the number of channels and leaves a head of another size untrained. Raises
    ConfigError for weights that cannot be read or downloaded, or that do not fit.
    """
    check_name(name)
    source = f"the weights in {weights}" if weights else f"pretrained weights of {name}"
    overlay = {"state_dict": read_weights(name, weights)} if weights else None
    try:
        network: nn.Module = import_timm().create_model(
            name, pretrained=True, in_chans=channels, pretrained_cfg_overlay=overlay, **head
        )
    except Exception as error:  # timm, its hub's client and torch raise errors of many types
        log.debug("%s cannot be loaded", source, exc_info=True)
        rule = "do not fit" if weights else "cannot be had; give a file as weights, or set pretrained: false"
        raise ConfigError(f"{source} {rule} ({first_line(error)})", "weights" if weights else "pretrained") from error
    return network


def read_weights(name: str, path: str) -> dict[str, torch.Tensor]:
    """The state dict in a .safetensors or .pth file, read without running anything that the file holds."""
    if not Path(path).is_file():
        raise ConfigError(f"weights must be a file, got {path!r}", "weights")
    try:
        state: dict[str, torch.Tensor] = import_timm().models.load_state_dict(path, weights_only=True)
    except Exception as error:  # a file that is broken or holds something else: torch raises errors of many types
        log.debug("weights in %s cannot be read", path, exc_info=True)
        raise ConfigError(f"weights in {path} cannot be read ({first_line(error)})", "weights") from error
    with torch.device("meta"):
        expected = import_timm().create_model(name).state_dict()
    if not expected.keys() & state.keys():
        raise ConfigError(f"weights in {path} are not those of {name}: no name in common", "weights")
    return state


def first_line(error: Exception) -> str:
    """An error's type and the first line of its text."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
