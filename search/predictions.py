"""What models said of every clip of a part, kept in the study's folder: figures can be computed again without training.

One .npz per model, plain arrays without pickled objects, and optionally pictures of some tracks, for whoever wants to
see what was misheard.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mgc.metrics import Predictions

FOLDER = "predictions"
VALIDATION = f"{FOLDER}/validation.npz"
"""Of the best trial."""
Pictures = Mapping[str, npt.NDArray[np.uint8]]
"""Small spectrograms (F, T) by track id."""


def file_of_test(number: int) -> str:
    """Where what a trial's model said of the test part lies in its study's folder."""
    return f"{FOLDER}/test-{number:05d}.npz"


def keep(path: Path, said: Predictions, pictures: Pictures | None = None) -> None:
    """Write predictions, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {
        "genres": np.array(said.genres),
        "track_ids": np.array(said.track_ids),
        "label_M": said.label_M,
        "track_N": said.track_N,
        "probabilities_NG": said.probabilities_NG.astype(np.float32),
        "loss": np.array(said.loss),
    }
    arrays |= {f"picture/{track_id}": picture for track_id, picture in (pictures or {}).items()}
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    with partial.open("wb") as file:
        np.savez_compressed(file, **arrays)
    partial.replace(path)


def kept(path: Path) -> tuple[Predictions, Pictures]:
    """What was kept there; FileNotFoundError where nothing was."""
    with np.load(path, allow_pickle=False) as file:
        said = Predictions(
            genres=tuple(file["genres"].tolist()),
            track_ids=tuple(file["track_ids"].tolist()),
            label_M=file["label_M"],
            track_N=file["track_N"],
            probabilities_NG=file["probabilities_NG"],
            loss=float(file["loss"]),
        )
        names = [name for name in file.files if name.startswith("picture/")]
        return said, {name.removeprefix("picture/"): file[name] for name in names}
