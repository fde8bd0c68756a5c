"""Tries a plug-in's network on clips that have a shape and no content, and its feature on noise and on silence, before
anything is computed or trained.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mgc.config import ClipConfig, ClipShape, FeatureConfig
from mgc.features.features import fault_of_pictures, feature_module
from mgc.features.registry import Feature, own_keys
from mgc.models.network import NetworkConfig
from mgc.networks.networks import random_clips
from mgc.plugins.loading import by_digest, error_text, line_of
from mgc.plugins.plugin import Plugin
from mgc.words.errors import ConfigError

NUM_CLIPS = 2


def try_network(model: NetworkConfig, shape: ClipShape, num_genres: int) -> None:
    """Raise a PluginError for a network that cannot be built, has no weights, or gives no logits (B, genres).

    Shipped models have tests for that. Nothing is computed or allocated where all goes well on torch's meta device.
    """
    if model.plugin is None:
        return
    plugin = by_digest(model.plugin)
    try:
        logits_BG = _logits(model, shape, num_genres)
    except ConfigError:
        raise
    except Exception as error:  # whatever it may be, the code is the user's
        line = line_of(error, plugin) or _line(model)
        raise plugin.error(f"{_called(model)} fails on clips of {_text(shape)}: {error_text(error)}", line) from error
    wanted = (NUM_CLIPS, num_genres)
    if not isinstance(logits_BG, Tensor) or tuple(logits_BG.shape) != wanted:
        got = tuple(logits_BG.shape) if isinstance(logits_BG, Tensor) else type(logits_BG).__name__
        rule = f"must give logits of the shape {wanted} for {NUM_CLIPS} clips of {num_genres} genres"
        raise plugin.error(f"{_called(model)} {rule}, got {got}", _line(model))


def try_feature(features: FeatureConfig, clips: ClipConfig) -> None:
    """Raise a PluginError for a plug-in's feature that cannot be built, or makes no pictures of the shape that it says
    and of finite numbers, each of its own waveform alone. It computes those of a clip of noise and one of silence.
    """
    if not isinstance(features, Feature) or features.modality == "raw":
        return
    plugin = by_digest(features.plugin)
    line = type(features).build.__code__.co_firstlineno
    num_samples = int(clips.clip_seconds * features.sr)
    noise_S = torch.rand(num_samples, generator=torch.Generator().manual_seed(0)) * 2 - 1
    y_BS = torch.stack((noise_S, torch.zeros(num_samples)))
    try:
        module = feature_module(features)
        with torch.inference_mode():
            x_BFT, silence_1FT = module(y_BS), module(y_BS[1:])
        fault = fault_of_pictures(x_BFT, features, *y_BS.shape)
        if fault is None and not torch.allclose(x_BFT[1:], silence_1FT, rtol=1e-3, atol=1e-3):
            fault = "must make each track's picture of its own waveform alone: beside noise, silence has another one"
    except Exception as error:  # whatever it may be, the code is the user's
        line = line_of(error, plugin) or line
        fault = f"fails on {num_samples} samples: {error_text(error)}"
    if fault is not None:
        raise plugin.error(f"{_called_feature(features)} {fault}", line)


def _called_feature(features: Feature) -> str:
    """The feature with its own hyperparameters: `mine(root=0.3)`."""
    values = ", ".join(f"{key}={getattr(features, key)!r}" for key in own_keys(type(features)))
    return f"{features.spectrogram}({values})"


def _logits(model: NetworkConfig, shape: ClipShape, num_genres: int) -> object:
    try:
        return _logits_on("meta", model, shape, num_genres)
    except ConfigError:
        raise
    except Exception:  # the fault may be the meta device's: it has no values, and not all operations
        return _logits_on("cpu", model, shape, num_genres)


def _logits_on(device: str, model: NetworkConfig, shape: ClipShape, num_genres: int) -> object:
    plugin = by_digest(model.plugin)
    with torch.random.fork_rng([]), torch.device(device), torch.no_grad():
        network = model.build(shape, num_genres)
        _check(network, model, plugin)
        return network(random_clips(shape, NUM_CLIPS, torch.device(device)))


def _check(network: object, model: NetworkConfig, plugin: Plugin) -> None:
    if not isinstance(network, nn.Module):
        rule = "must return a torch.nn.Module"
        raise plugin.error(f"{model.name}.build {rule}, got {type(network).__name__}", _line(model))
    if not any(weight.requires_grad for weight in network.parameters()):
        raise plugin.error(f"{model.name}.build returns a network without weights to train", _line(model))


def _line(model: NetworkConfig) -> int:
    """Where its `build` begins."""
    return type(model).build.__code__.co_firstlineno


def _called(model: NetworkConfig) -> str:
    """The model with its own hyperparameters: `mine(width=64)`."""
    return f"{model.name}({', '.join(f'{key}={value!r}' for key, value in model.model_dump().items())})"


def _text(shape: ClipShape) -> str:
    sizes = {"spectrogram": f"{shape.bins} x {shape.frames}", "raw": f"{shape.samples} samples"}
    return sizes.get(shape.modality, " and ".join(sizes.values()))
