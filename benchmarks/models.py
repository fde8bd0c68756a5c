"""One row per model: what each of the papers' networks makes of the same tracks in a few epochs, from mgc alone.

    python -m benchmarks.models --data DIR --split track

Small settings on purpose (64 mel bands, 65 columns, a few clips per track), so that a CPU takes minutes: it shows that
every model learns and what it costs, not which is best. No settings are chosen by the scores, so the validation tracks
serve as the measure; no model starts from pretrained weights.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any

import torch

from mgc.clips.clips import open_clips
from mgc.config import DataConfig
from mgc.networks.training_config import training_config
from mgc.training.training import Training

FEATURES = {"sr": 22_050, "spectrogram": "log_mel", "n_fft": 2048, "hop_length": 1024, "n_mels": 64}
CLIPS = {"clip_seconds": 3.0, "clips_per_track": 10}
SQUARE = {"picture": [64, 64]}
FOUR_POOLS = {"pools": [2, 2, 2, 4]}
"""The paper's 2, 2, 4, 8 need 128 rows and columns."""

MODELS: Mapping[str, Mapping[str, Any]] = {
    "se_cnn": {},
    "shallow": {"n_mels": 80, "picture": [80, 80], "lr": 5e-4},
    "residual": {},
    "cnn3": SQUARE,
    "cnn4": {**SQUARE, **FOUR_POOLS},
    "cnn4_gru": {**SQUARE, **FOUR_POOLS},
    "efficientnet_b0": {**SQUARE, "lr": 1e-3},
    "efficientnet_b0_gru": {**SQUARE, "lr": 1e-3},
    "vgg11": {**SQUARE, "batch_size": 32},
    "crnn": {"pools": [[2, 2], [2, 2], [4, 2], [4, 2]]},
    "crnn_cnn": {},
    "crnn_rnn": {},
}
"""What each changes of its paper's values, beside the features and clips that all share."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One trained model. Accuracies in [0, 1]; `error` is the half width of the track accuracy's 95 % interval."""

    model: str
    epochs: int
    train: float
    clip: float
    track: float
    error: float
    seconds: float
    weights: int

    def __str__(self) -> str:
        return (
            f"| {self.model} | {self.epochs} | {self.train:.3f} | {self.clip:.3f} | {self.track:.3f} +/- "
            f"{self.error:.2f} | {self.seconds:.1f} | {self.weights:,} |"
        )


HEAD = (
    "| model | epochs | train clips | validation clips | validation tracks | s per epoch | weights |\n"
    "|---|---|---|---|---|---|---|"
)


def rows(data: DataConfig, epochs: Mapping[str, int]) -> Iterator[Row]:
    """Train each model for its number of epochs, one after another."""
    for model, own in MODELS.items():
        if epochs.get(model):
            yield trained(model, {**FEATURES, **CLIPS, **own}, data, epochs[model])


def trained(model: str, params: Mapping[str, Any], data: DataConfig, epochs: int) -> Row:
    config = training_config({"model": model, **params}, data=data, epochs=epochs)
    training = Training(config, open_clips(config))
    started = time.perf_counter()
    scores = list(training)[-1]
    seconds = (time.perf_counter() - started) / epochs
    num_tracks = training.clips.num_tracks("validation")
    return Row(
        model=model,
        epochs=epochs,
        train=scores.train_accuracy,
        clip=scores.val_clip_accuracy,
        track=scores.val_accuracy_sum,
        error=1.96 * sqrt(scores.val_accuracy_sum * (1 - scores.val_accuracy_sum) / num_tracks),
        seconds=seconds,
        weights=sum(weight.numel() for weight in training.model.parameters()),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description="One row per model.")
    parser.add_argument("--data", default="synthetic", help="name, folder or .npz file of the dataset")
    parser.add_argument("--split", default="track", help="policy that divides the tracks")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--slow-epochs", type=int, default=3, help="epochs of the networks of timm (0: leave them out)")
    parser.add_argument("--models", nargs="*", choices=MODELS, default=list(MODELS))
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    slow = ("efficientnet_b0", "efficientnet_b0_gru", "vgg11")
    epochs = {model: given.slow_epochs if model in slow else given.epochs for model in given.models}
    data = DataConfig.checked({"dataset": given.data, "split": given.split, "ratios": [60, 30, 10]})
    print(f"{given.data}, split {given.split}, 60/30/10, {given.threads} threads\n\n{HEAD}", flush=True)
    for row in rows(data, epochs):
        print(row, flush=True)


if __name__ == "__main__":
    main()
