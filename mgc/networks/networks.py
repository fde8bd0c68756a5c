"""The network of a config: checked against the clips, built, counted. No torch at import.

Each model's own config (mgc.models.network) says what its network is; here stands what is the same for all of them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mgc.config import ClipShape
from mgc.models.network import ClipTooShortError, NetworkConfig, PictureTooSmallError
from mgc.networks.training_config import TrainingConfig
from mgc.words.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


def build_model(config: TrainingConfig, shape: ClipShape, num_genres: int) -> nn.Module:
    """The network of this config for clips of this shape. ConfigError if it cannot take them.

    Its input is a batch's `x`, its output logits (B, num_genres); initial weights come from torch's global generator.
    """
    check_shape(config, shape)
    return _standardized(config, shape, config.model.initial(shape, num_genres))


def model_to_load(config: TrainingConfig, shape: ClipShape, num_genres: int) -> nn.Module:
    """The same module, for weights that the caller loads: it starts from no pretrained weights, and does not change
    torch's global generator.
    """
    import torch

    check_shape(config, shape)
    with torch.random.fork_rng([]):
        return _standardized(config, shape, config.model.build(shape, num_genres))


def _standardized(config: TrainingConfig, shape: ClipShape, network: nn.Module) -> nn.Module:
    """The network, with a layer before it that standardizes the picture's bins if the config asks for that."""
    if config.features.normalize != "band" or shape.modality == "raw":
        return network
    from torch import nn

    from mgc.models.layers import Standardize

    return nn.Sequential(Standardize(shape.bins), network)


def check_shape(config: TrainingConfig, shape: ClipShape) -> None:
    """Raise a ConfigError for clips that the model cannot take. It names the param to change, and to which value."""
    model = config.model
    try:
        model.check_shape(shape)
    except ClipTooShortError as error:
        shortest_s = math.ceil(1000 * seconds_of(error.frames, config, shape)) / 1000
        raise ConfigError(
            f"clip_seconds must be >= {shortest_s:g} for {model.name}, which needs at least {error.frames} frames, "
            f"got {config.clips.clip_seconds:g} ({shape.frames} frames)",
            "clip_seconds",
        ) from None
    except PictureTooSmallError as error:
        if shape.picture is not None or not shape.samples:  # a dataset without waveforms has its bins already
            raise
        if config.features.plugin is not None:  # what gives its pictures their rows, only the plug-in knows
            raise
        raise _too_few_bins(config, shape, error) from None


def _too_few_bins(config: TrainingConfig, shape: ClipShape, smallest: PictureTooSmallError) -> ConfigError:
    """The error of clips that are resized by nothing and have too few rows, by the param that gives them their rows."""
    key, least = "n_mels", smallest.rows
    if config.features.spectrogram == "stft_db":
        key, least = "n_fft", 2 * (smallest.rows - 1)
    resized = f"picture: [{smallest.rows}, {max(smallest.columns, shape.columns)}]"
    return ConfigError(
        f"{key} must be >= {least} for {config.model.name}, got {getattr(config.features, key)} (or set {resized}, "
        "to which clips are resized)",
        key,
    )


def seconds_of(frames: int, config: TrainingConfig, shape: ClipShape) -> float:
    """Length of the shortest clip that has so many frames; without waveforms, by the clip's seconds per frame."""
    if shape.samples:
        return (frames - 1) * config.features.hop_length / config.features.sr
    return frames * config.clips.clip_seconds / shape.frames


def num_weights(config: TrainingConfig, shape: ClipShape, num_genres: int) -> int:
    """The number of weights that training moves."""
    return sum(parameter.numel() for parameter in on_meta(config.model, shape, num_genres).parameters())


def on_meta(model: NetworkConfig, shape: ClipShape, num_genres: int) -> nn.Module:
    """The network without values or memory. It takes milliseconds and does not change torch's generator."""
    import torch

    with torch.device("meta"):
        return model.build(shape, num_genres)


def random_clips(shape: ClipShape, count: int, device: torch.device) -> Tensor | tuple[Tensor, ...]:
    """A batch of random clips, in the form that a model takes clips of this shape."""
    import torch

    picture_BCFT = torch.rand(count, 1, shape.bins, shape.frames, device=device)
    wave_BS = torch.rand(count, shape.samples, device=device) * 2 - 1
    match shape.modality:
        case "spectrogram":
            return picture_BCFT
        case "raw":
            return wave_BS
        case "both":
            return wave_BS, picture_BCFT
