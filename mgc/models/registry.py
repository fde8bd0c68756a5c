"""The models by name. A new model is one file in this folder, with its config, and one entry here.

Imports no torch, so that a space file is checked in milliseconds.
"""

from __future__ import annotations

import inspect
import re

from mgc.config import SHARED_KEYS
from mgc.models.architectures import (
    CNN3Config,
    CNN4Config,
    CNN4GRUConfig,
    EfficientNetB0Config,
    EfficientNetB0GRUConfig,
    VGG11Config,
    timm_class,
)
from mgc.models.clip_length import CRNNCNNConfig, CRNNConfig, CRNNRNNConfig
from mgc.models.network import NetworkConfig
from mgc.models.probe import ProbeConfig
from mgc.models.residual import ResidualConfig
from mgc.models.se_cnn import SECNNConfig
from mgc.models.shallow import ShallowConfig
from mgc.words.errors import ConfigError, nearest

MODELS: dict[str, type[NetworkConfig]] = {}
"""By name: the shipped models, then those of the plug-ins in use."""

BUILD = ("self", "shape", "num_genres")
"""The arguments of a model's `build`."""


def add(model: type[NetworkConfig]) -> None:
    """Enter a model under its name. ConfigError, and nothing entered, for one that a study could not use."""
    _check(model)
    MODELS[model.name] = model


def _check(model: type[NetworkConfig]) -> None:
    if not isinstance(model, type) or not issubclass(model, NetworkConfig):
        raise ConfigError(f"a model must be a class of Network, got {getattr(model, '__name__', model)!r}")
    name = model.name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigError(f"a model's name must be small letters, digits and _, got {name!r}")
    if name in MODELS:
        raise ConfigError(f"there is a model {name!r} already; give this one another name")
    if shared := [key for key in model.keys() if key in SHARED_KEYS]:
        raise ConfigError(f"{name}.{shared[0]} is a hyperparameter of every model already; give this one another name")
    if inspect.isabstract(model) or (arguments := tuple(inspect.signature(model.build).parameters)) != BUILD:
        got = "none" if inspect.isabstract(model) else f"build({', '.join(arguments)})"
        raise ConfigError(f"{name} must have build({', '.join(BUILD)}), got {got}")
    try:
        model.checked(model.checked({}).model_dump())  # pydantic checks no default by itself
    except ConfigError as error:
        raise ConfigError(f"every field of {name} must have a default that keeps its own rules: {error}") from None


for _shipped in (
    SECNNConfig,
    ShallowConfig,
    ResidualConfig,
    CNN3Config,
    CNN4Config,
    CNN4GRUConfig,
    EfficientNetB0Config,
    EfficientNetB0GRUConfig,
    VGG11Config,
    CRNNConfig,
    CRNNCNNConfig,
    CRNNRNNConfig,
    ProbeConfig,
):
    add(_shipped)


def model_class(name: str) -> type[NetworkConfig]:
    """The config class of a model, or of `timm/<name>` for any network of timm; ConfigError for an unknown name."""
    if name.startswith("timm/") and name != "timm/":
        return timm_class(name)
    if name not in MODELS:
        raise ConfigError(f"unknown model {name!r}{nearest(name, [*MODELS, 'timm/<name>'])}", "model")
    return MODELS[name]
