"""What a plug-in file imports: decorators for what it adds, and the few types that it needs.

    from mgc.plugins import FrontEnd, Network, model

    @model("mine")
    class Mine(Network): ...

A notebook has `use_files("my_models.py")` too. Each name is imported at its first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mgc.config import ClipShape as ClipShape
    from mgc.features.registry import Feature as Feature
    from mgc.models.layers import FrontEnd as FrontEnd
    from mgc.models.network import NetworkConfig as Network
    from mgc.plugins.declared import dataset as dataset
    from mgc.plugins.declared import feature as feature
    from mgc.plugins.declared import metric as metric
    from mgc.plugins.declared import model as model
    from mgc.plugins.declared import sampler as sampler
    from mgc.plugins.sources import use_files as use_files
    from mgc.tracks.dataset import Track as Track
    from mgc.training.metrics import Predictions as Predictions

_OFFERED = {
    "ClipShape": ("mgc.config", "ClipShape"),
    "Feature": ("mgc.features.registry", "Feature"),
    "FrontEnd": ("mgc.models.layers", "FrontEnd"),
    "Network": ("mgc.models.network", "NetworkConfig"),
    "Predictions": ("mgc.training.metrics", "Predictions"),
    "Track": ("mgc.tracks.dataset", "Track"),
    "dataset": ("mgc.plugins.declared", "dataset"),
    "feature": ("mgc.plugins.declared", "feature"),
    "metric": ("mgc.plugins.declared", "metric"),
    "model": ("mgc.plugins.declared", "model"),
    "sampler": ("mgc.plugins.declared", "sampler"),
    "use_files": ("mgc.plugins.sources", "use_files"),
}
"""The module that has each name, and the name there."""

__all__ = [
    "ClipShape",
    "Feature",
    "FrontEnd",
    "Network",
    "Predictions",
    "Track",
    "dataset",
    "feature",
    "metric",
    "model",
    "sampler",
    "use_files",
]


def __getattr__(name: str) -> Any:
    if name not in _OFFERED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, there = _OFFERED[name]
    return getattr(importlib.import_module(module), there)
