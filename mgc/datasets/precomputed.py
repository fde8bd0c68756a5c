"""An .npz of features that someone else computed: one picture per track, no audio. Reads it, computes none.

It holds `features` (N, F, T), `track_id` (N,), `genre` (N,); optionally `artist` (N,), one `<name>_split` (N,) of
train, valid or validation, test, excluded; and scalars: `frame_seconds` (else the track's 30 s by its frames), and
settings such as `n_fft` or `sr` that a training's own must agree with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt
from numpy.lib import format

from mgc.datasets import Dataset, DatasetError, Track, contents, dataset_of, gtzan

TRACK_SECONDS = 30.0

_PARTS = {"train": "train", "valid": "validation", "validation": "validation", "test": "test", "excluded": "excluded"}


@dataclass(frozen=True, kw_only=True)
class Precomputed:
    """Features on disk: `bins` x `frames` a track, a frame every `frame_seconds`; `facts` are settings it names."""

    path: Path
    bins: int
    frames: int
    frame_seconds: float
    facts: Mapping[str, int | float | str]

    def load(self) -> npt.NDArray[Any]:
        """The features (N, F, T) of all tracks in the dataset's order, in the file's own type."""
        with np.load(self.path) as file:
            return np.asarray(file["features"])


def read(path: Path, *, name: str | None = None) -> Dataset:
    """The dataset in this file. Raises DatasetError for a file that is not as the top of this page says."""
    path = path.absolute()
    try:
        arrays, shape = _small_arrays(path), _shape(path)
        contents_N = contents.hashes([path], of=path, hash_one=_row_hashes)[path]
    except (OSError, ValueError, KeyError, BadZipFile) as error:  # whatever a file that is no .npz makes NumPy raise
        raise DatasetError(f"{path}: cannot be read as features: {error}", "dataset") from None
    if isinstance(contents_N, OSError):
        raise DatasetError(f"{path}: cannot be read: {contents_N.strerror}", "dataset")
    _check(path, arrays, shape)
    no_artists = [""] * shape[0]
    columns = (arrays["track_id"], arrays["genre"], arrays.get("artist", no_artists), contents_N.split())
    tracks = [
        Track(track_id=str(track_id), genre=str(genre), artist=str(artist) or None, path=None, content=content)
        for track_id, genre, artist, content in zip(*columns, strict=True)
    ]
    return dataset_of(
        name or path.stem,
        gtzan.with_artists(tracks),
        given_split=_given_split(path, arrays),
        precomputed=_precomputed(path, arrays, shape),
    )


def _small_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """All but the features, which stay on disk."""
    with np.load(path) as file:
        return {key: file[key] for key in file.files if key != "features"}


def _shape(path: Path) -> tuple[int, ...]:
    """Shape of the features, from their header alone."""
    with ZipFile(path) as archive, archive.open("features.npy") as file:
        header = {(1, 0): format.read_array_header_1_0, (2, 0): format.read_array_header_2_0}
        shape, _, _ = header[format.read_magic(file)](file)
        return tuple(shape)


def _row_hashes(path: Path) -> str:
    """The content hash of every track, separated by blanks."""
    with np.load(path) as file:
        return " ".join(blake2b(x_FT.tobytes(), digest_size=8).hexdigest() for x_FT in file["features"])


def _check(path: Path, arrays: Mapping[str, npt.NDArray[Any]], shape: tuple[int, ...]) -> None:
    """Raise DatasetError for arrays that do not fit together."""
    if len(shape) != 3:
        raise DatasetError(f"{path}: features must be tracks x bins x frames, got the shape {shape}", "dataset")
    for key in ("track_id", "genre", "artist", *_split_keys(arrays)):
        if key not in arrays and key in ("track_id", "genre"):
            raise DatasetError(f"{path}: array {key!r} is missing", "dataset")
        if key in arrays and arrays[key].shape != shape[:1]:
            raise DatasetError(
                f"{path}: {key} must have {shape[0]} items, got the shape {arrays[key].shape}", "dataset"
            )
    if repeated := [track_id for track_id, uses in Counter(arrays["track_id"].tolist()).items() if uses > 1]:
        raise DatasetError(f"{path}: track_id must be unique, got {repeated[0]!r} twice", "dataset")
    if len(_split_keys(arrays)) > 1:
        raise DatasetError(f"{path}: must have one split, got {' and '.join(_split_keys(arrays))}", "dataset")


def _split_keys(arrays: Mapping[str, npt.NDArray[Any]]) -> list[str]:
    return sorted(key for key in arrays if key.endswith("_split"))


def _given_split(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, str] | None:
    for key in _split_keys(arrays):
        parts = arrays[key].tolist()
        if unknown := set(parts) - _PARTS.keys():
            raise DatasetError(f"{path}: {key} must be one of {', '.join(_PARTS)}, got {min(unknown)!r}", "dataset")
        return {track_id: _PARTS[part] for track_id, part in zip(arrays["track_id"].tolist(), parts, strict=True)}
    return None


def _precomputed(path: Path, arrays: Mapping[str, npt.NDArray[Any]], shape: tuple[int, ...]) -> Precomputed:
    facts = {key: array.item() for key, array in arrays.items() if array.ndim == 0}
    _, bins, frames = shape
    frame_seconds = float(facts.pop("frame_seconds", TRACK_SECONDS / frames))
    return Precomputed(path=path, bins=bins, frames=frames, frame_seconds=frame_seconds, facts=facts)
