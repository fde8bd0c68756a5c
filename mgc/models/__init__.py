"""The models by name, and what can be asked of a config's network before it is trained. No torch at import.

Each file holds one paper's models, each with its own frozen config. This one knows the names.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from mgc.config import (
    AugmentConfig,
    ClipConfig,
    ClipShape,
    ConfigError,
    FeatureConfig,
    OptimizerConfig,
    TrainingConfig,
)
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
from mgc.models.network import ClipTooShortError, NetworkConfig
from mgc.models.residual import ResidualConfig
from mgc.models.se_cnn import SECNNConfig
from mgc.models.shallow import ShallowConfig
from mgc.wording import nearest

if TYPE_CHECKING:
    from torch import nn

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


def build_model(config: TrainingConfig, shape: ClipShape, num_genres: int) -> nn.Module:
    """The network of this config for clips of this shape. ConfigError if it cannot take them.

    Its input is a batch's `x`, its output logits (B, num_genres); initial weights come from torch's global generator.
    """
    check_shape(config, shape)
    return _standardized(config, shape, network_config(config).build(shape, num_genres))


def model_to_load(config: TrainingConfig, shape: ClipShape, num_genres: int) -> nn.Module:
    """The same module for weights that are read from elsewhere: nothing pretrained is looked for, and torch's global
    generator stays as it is.
    """
    import torch

    check_shape(config, shape)
    with torch.random.fork_rng([]):
        return _standardized(config, shape, network_config(config).architecture(shape, num_genres))


def _standardized(config: TrainingConfig, shape: ClipShape, network: nn.Module) -> nn.Module:
    """The network, behind the standardization of its picture's bins where the config asks for it."""
    if config.features.normalize != "band" or shape.modality == "raw":
        return network
    from torch import nn

    from mgc.models.layers import Standardize

    return nn.Sequential(Standardize(shape.bins), network)


def check_shape(config: TrainingConfig, shape: ClipShape) -> None:
    """Raise a ConfigError for clips that the model cannot take; it names the shortest one that it can, in seconds."""
    model = network_config(config)
    try:
        model.check_shape(shape)
    except ClipTooShortError as error:
        shortest_s = math.ceil(1000 * seconds_of(error.frames, config, shape)) / 1000
        raise ConfigError(
            f"clip_seconds must be >= {shortest_s:g} for {model.name} at {error.frames} frames or more, "
            f"got {config.clips.clip_seconds:g} ({shape.frames} frames)",
            "clip_seconds",
        ) from None


def seconds_of(frames: int, config: TrainingConfig, shape: ClipShape) -> float:
    """Length of the shortest clip that has this many frames; without waveforms a frame's length is the clip's share."""
    if shape.samples:
        return (frames - 1) * config.features.hop_length / config.features.sr
    return frames * config.clips.clip_seconds / shape.frames


def num_weights(config: TrainingConfig, shape: ClipShape, num_genres: int) -> int:
    """Number of weights that training moves."""
    return sum(parameter.numel() for parameter in on_meta(network_config(config), shape, num_genres).parameters())


def effective_network(config: TrainingConfig, shape: ClipShape, num_genres: int) -> str:
    """Key of what is really built and trained, 12 hex digits: configs that share it differ in seed and fold.

    It covers the network (its repr and the shapes of its weights), the model's fields but those that show in it whole,
    and the split, features, clips, augmentation, optimizer and epochs, without the keys that have no effect beside the
    others.
    """
    model = network_config(config)
    augment = augment_in_effect(config.augment)
    parts = {
        "network": network_digest(model, shape, num_genres),
        "model": {"name": model.name, **model.model_dump(exclude={*model.rounded, *model.shown})},
        "features": features_in_effect(config.features),
        "clips": clips_in_effect(config.clips),
        "optimizer": optimizer_in_effect(config.optimizer),
        "data": config.data.model_dump(exclude={"dataset", "fold"}),
        "epochs": config.epochs,
        **({"augment": augment} if augment else {}),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def network_config(config: TrainingConfig) -> NetworkConfig:
    """The model's config as what it is: `TrainingConfig` knows only that it is a section."""
    assert isinstance(config.model, NetworkConfig)
    return config.model


_digests: dict[Hashable, str] = {}


def network_digest(model: NetworkConfig, shape: ClipShape, num_genres: int) -> str:
    """Hash of the network's repr and of its weights' names and shapes; each structure is built once."""
    key = (model.structure(), shape, num_genres)
    if key not in _digests:
        network = on_meta(model, shape, num_genres)
        shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
        _digests[key] = hashlib.sha256(f"{network!r}\n{shapes}".encode()).hexdigest()
    return _digests[key]


def on_meta(model: NetworkConfig, shape: ClipShape, num_genres: int) -> nn.Module:
    """The network without memory or values: milliseconds, and torch's generator stays where it is."""
    import torch

    with torch.device("meta"):
        return model.architecture(shape, num_genres)


def features_in_effect(features: FeatureConfig) -> dict[str, Any]:
    """The feature keys without those that change nothing: `bins` and `frames` are in the network's shape already."""
    table = features.model_dump()
    mel_keys = ("n_mels", "fmin", "fmax")
    if features.modality == "raw":
        return {"sr": features.sr, "modality": "raw"}
    if features.spectrogram == "log_mel":
        return {**table, "fmax": features.fmax if features.fmax is not None else features.sr / 2}
    return {key: value for key, value in table.items() if key not in mel_keys}


def clips_in_effect(clips: ClipConfig) -> dict[str, Any]:
    """The clip keys without `clips_per_track` where an overlapping grid decides instead, and what is off."""
    table = clips.model_dump(exclude=set() if clips.random_offset else {"random_offset"})
    if clips.clip_overlap is not None:
        del table["clips_per_track"]
    return table


def augment_in_effect(augment: AugmentConfig) -> dict[str, Any]:
    """The keys of what is on: a mask's width counts where there are masks."""
    table, nothing = augment.model_dump(), AugmentConfig().model_dump()
    off = [key for key in table if not key.endswith("_width") and table[key] == nothing[key]]
    widths = [key.replace("masks", "mask_width") for key in off]
    return {key: value for key, value in table.items() if key not in (*off, *widths)}


def optimizer_in_effect(optimizer: OptimizerConfig) -> dict[str, Any]:
    """The optimizer's keys without Adam's own where plain SGD moves the weights, and without what is off."""
    off = {"schedule": "constant", "warmup_epochs": 0, "label_smoothing": 0}
    table = {key: value for key, value in optimizer.model_dump().items() if key not in off or value != off[key]}
    if optimizer.optimizer == "sgd":
        del table["beta2"], table["eps"]
    return table
