"""Which configs train the same network in the same way: the key of an effective network. No torch at import.

A study records these keys, so what goes into one may not change: a new field must be left out at its default.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable
from typing import Any

from mgc.config import AugmentConfig, ClipConfig, ClipShape, FeatureConfig, OptimizerConfig, Section
from mgc.features.registry import own_keys
from mgc.models.network import NetworkConfig
from mgc.networks.networks import on_meta
from mgc.networks.training_config import TrainingConfig

ALWAYS = {
    "features": ("sr", "modality", "spectrogram", "n_fft", "hop_length", "n_mels", "fmin", "fmax", "normalize"),
    "clips": ("clip_seconds", "clips_per_track", "clip_overlap", "random_clips", "picture", "vote"),
    "optimizer": ("batch_size", "optimizer", "lr", "beta1", "beta2", "eps", "weight_decay", "l1_penalty", "precision"),
    "data": ("split", "ratios", "folds", "split_seed"),
}
"""The keys that the first studies recorded; every later one enters only where it is not at its default."""


def effective_network(config: TrainingConfig, shape: ClipShape, num_genres: int) -> str:
    """Key of what is really built and trained, 12 hex digits: configs that share it differ in seed and fold.

    It covers the network (its repr and the shapes of its weights), the model's fields that do not show whole in these,
    the texts of a plug-in's model and feature, and the split, features, clips, augmentation, optimizer and epochs,
    without the keys that have no effect beside the others.
    """
    model = config.model
    augment = augment_in_effect(config.augment)
    parts = {
        "network": network_digest(model, shape, num_genres),
        "model": {"name": model.name, **model.model_dump(exclude={*model.rounded, *model.shown})},
        "features": features_in_effect(config.features),
        "clips": clips_in_effect(config.clips),
        "optimizer": optimizer_in_effect(config.optimizer),
        "data": _without(_table(config.data, ALWAYS["data"]), ("dataset", "fold")),
        "epochs": config.epochs,
        **({"augment": augment} if augment else {}),
        **({"plugin": model.plugin} if model.plugin is not None else {}),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


_digests: dict[Hashable, str] = {}
"""By what `network_digest` is asked for, since a search asks for the same structure hundreds of times."""


def network_digest(model: NetworkConfig, shape: ClipShape, num_genres: int) -> str:
    """Hash of the network's repr and of its weights' names and shapes."""
    key = (model.structure(), shape, num_genres)
    if key not in _digests:
        network = on_meta(model, shape, num_genres)
        shapes = {name: tuple(parameter.shape) for name, parameter in network.named_parameters()}
        _digests[key] = hashlib.sha256(f"{network!r}\n{shapes}".encode()).hexdigest()
    return _digests[key]


def features_in_effect(features: FeatureConfig) -> dict[str, Any]:
    """The feature keys without those that change nothing. `bins` and `frames` are in the network's shape already.

    Of a plug-in's feature any key may change something, and so may its text.
    """
    table = _table(features, ALWAYS["features"])
    if features.modality == "raw":
        of_pictures = ("spectrogram", "n_fft", "hop_length", "n_mels", "fmin", "fmax", "normalize")
        return _without(table, (*of_pictures, *own_keys(type(features))))
    if features.plugin is not None:
        return {**features.model_dump(), "plugin": features.plugin}
    if features.spectrogram == "embedding":
        return _without(table, ("sr", "n_fft", "hop_length", "n_mels", "fmin", "fmax"))
    if features.spectrogram == "stft_db":
        return _without(table, ("n_mels", "fmin", "fmax"))
    return {**table, "fmax": features.fmax if features.fmax is not None else features.sr / 2}


def clips_in_effect(clips: ClipConfig) -> dict[str, Any]:
    """The clip keys without `clips_per_track` where an overlapping grid decides instead."""
    table = _table(clips, ALWAYS["clips"])
    return table if clips.clip_overlap is None else _without(table, ("clips_per_track",))


def augment_in_effect(augment: AugmentConfig) -> dict[str, Any]:
    """The augmentation that is on: a mask's width counts where there are masks."""
    num_masks = {"time_mask_width": augment.time_masks, "freq_mask_width": augment.freq_masks}
    widths = {width for width, num in num_masks.items() if num}
    return _without(_table(augment, always=widths), num_masks.keys() - widths)


def optimizer_in_effect(optimizer: OptimizerConfig) -> dict[str, Any]:
    """The optimizer's keys without Adam's own where plain SGD moves the weights."""
    table = _table(optimizer, ALWAYS["optimizer"])
    return _without(table, ("beta2", "eps")) if optimizer.optimizer == "sgd" else table


def _table(section: Section, always: Iterable[str] = ()) -> dict[str, Any]:
    """These keys of a section, and the others that are not at their defaults."""
    defaults = type(section)().model_dump()
    return {key: value for key, value in section.model_dump().items() if key in always or value != defaults[key]}


def _without(table: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    left_out = set(keys)
    return {key: value for key, value in table.items() if key not in left_out}
