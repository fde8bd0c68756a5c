"""The models by name. A new model is one file in this folder, with its config, and one entry here.

Imports no torch, so that a space file is checked in milliseconds.
"""

from __future__ import annotations

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
from mgc.models.residual import ResidualConfig
from mgc.models.se_cnn import SECNNConfig
from mgc.models.shallow import ShallowConfig
from mgc.words.errors import ConfigError, nearest

MODELS: dict[str, type[NetworkConfig]] = {
    model.name: model
    for model in (
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
    )
}


def model_class(name: str) -> type[NetworkConfig]:
    """The config class of a model, or of `timm/<name>` for any network of timm; ConfigError for an unknown name."""
    if name.startswith("timm/") and name != "timm/":
        return timm_class(name)
    if name not in MODELS:
        raise ConfigError(f"unknown model {name!r}{nearest(name, [*MODELS, 'timm/<name>'])}", "model")
    return MODELS[name]
