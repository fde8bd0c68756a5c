"""The file of a model's predictions of every clip of a part, from which scores are computed again without training.

One .npz for each model: plain arrays without pickled objects, and for the page of a report pictures of some tracks.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mgc.files import npz
from mgc.files.whole import whole
from mgc.training.metrics import Predictions

ARRAYS = ("genres", "track_ids", "label_M", "track_N", "probabilities_NG", "loss")
PICTURE = "picture/"

Pictures = Mapping[str, npt.NDArray[np.uint8]]
"""Small spectrograms (F, T) by track id."""


def write_predictions(path: Path, predictions: Predictions, pictures: Pictures | None = None) -> None:
    """Write a file of predictions in place of the last one, which stays until the new one is whole."""
    arrays: dict[str, Any] = {
        "genres": np.array(predictions.genres),
        "track_ids": np.array(predictions.track_ids),
        "label_M": predictions.label_M,
        "track_N": predictions.track_N,
        "probabilities_NG": predictions.probabilities_NG.astype(np.float32),
        "loss": np.array(predictions.loss),
    }
    arrays |= {f"{PICTURE}{track_id}": picture for track_id, picture in (pictures or {}).items()}
    with whole(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def read_predictions(path: Path) -> tuple[Predictions, Pictures]:
    """The predictions in a file, and the pictures. NpzError where there is no such file, or it is damaged."""
    arrays = {name: npz.read_array(path, name) for name in npz.headers(path)}
    if missing := [name for name in ARRAYS if name not in arrays]:
        raise npz.NpzError(f"{path}: array {missing[0]!r} is missing")
    predictions = Predictions(
        genres=tuple(arrays["genres"].tolist()),
        track_ids=tuple(arrays["track_ids"].tolist()),
        label_M=arrays["label_M"],
        track_N=arrays["track_N"],
        probabilities_NG=arrays["probabilities_NG"],
        loss=float(arrays["loss"]),
    )
    pictures = {name: array for name, array in arrays.items() if name.startswith(PICTURE)}
    return predictions, {name.removeprefix(PICTURE): array for name, array in pictures.items()}
