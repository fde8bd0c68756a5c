"""Keys of effective networks, as they were when studies were recorded with them.

A study that goes on knows a repeated network by its key, so a key must not change while a network and its training stay
as they are. Renaming a module's class or attribute changes it, and so does a new field that shows at its default. The
values were computed with torch 2.13 and timm 1.0.31; another version of theirs may print a network in another way.
"""

from __future__ import annotations

from typing import Any

import pytest

from mgc.config import ClipShape, DataConfig, Modality
from mgc.models.registry import MODELS
from mgc.networks.effective import effective_network
from mgc.networks.training_config import training_config

KEYS = {
    "se_cnn": "285c0f186291",
    "shallow": "4e510be1444d",
    "residual": "3ef893749bbd",
    "cnn3": "0ecdc092a8a9",
    "cnn4": "7b9157aadef4",
    "cnn4_gru": "fb0ea8a3e36a",
    "efficientnet_b0": "99ed59197cee",
    "efficientnet_b0_gru": "ba23d60d4b18",
    "vgg11": "3d01d489742e",
    "crnn": "27dbe9ec317a",
    "crnn_cnn": "cbe4a1afcda0",
    "crnn_rnn": "b7979393c59b",
    "timm/resnet10t": "075dadedd3c2",
    "probe": "69ea61d2b229",
}
"""By the model, at its paper's values."""

SE_CNN_KEYS: dict[str, tuple[dict[str, Any], str]] = {
    "raw": ({"modality": "raw"}, "c8f1addd91fe"),
    "both": ({"modality": "both"}, "4aff206d08fd"),
    "features": ({"spectrogram": "log_mel", "n_mels": 40, "fmin": 20.0, "normalize": "track"}, "fc8786bc12bf"),
    "clips": ({"clip_overlap": None, "clips_per_track": 7, "random_offset": True}, "a0bacc1fec3f"),
    "augmentation": ({"time_masks": 2, "mixup_alpha": 0.2}, "11c38dafbfb5"),
    "optimizer": (
        {"optimizer": "sgd", "schedule": "cosine", "warmup_epochs": 2, "label_smoothing": 0.1},
        "b686d5f0eb18",
    ),
    "model": (
        {"r": 31.43, "batch_norm": True, "head": "average", "dense_dropout": 0.1, "num_blocks": 4, "se_blocks": [1, 3]},
        "dd572e8c0c1e",
    ),
}
"""SE-CNN with other modalities, and with params of each section."""


def key(model: str, modality: Modality = "spectrogram", **params: Any) -> str:
    config = training_config({"model": model, "modality": modality, **params}, data=DataConfig(), epochs=10)
    shape = ClipShape(modality=modality, bins=288, frames=432, samples=221_000, picture=None)
    return effective_network(config, shape, 10)


@pytest.mark.parametrize("model", KEYS)
def test_the_key_of_each_model_stays(model: str) -> None:
    assert key(model) == KEYS[model]


@pytest.mark.parametrize("changed", SE_CNN_KEYS)
def test_the_keys_of_other_params_stay(changed: str) -> None:
    params, recorded = SE_CNN_KEYS[changed]
    assert key("se_cnn", **params) == recorded


def test_each_model_has_a_recorded_key() -> None:
    assert set(MODELS) < set(KEYS)
