"""An .npz of features that somebody else computed: one picture per track, no audio. Computes no features.

It holds `features` (N, F, T), `track_id` (N,), `genre` (N,); optionally `artist` (N,), one `<name>_split` (N,) of
train, valid or validation, test, excluded; and scalars: `frame_seconds` (else the track's 30 s by its frames), and
settings such as `n_fft` or `sr`, with which those of a training must agree. Other arrays are not read.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

from mgc.config import FeatureConfig
from mgc.files import contents, npz
from mgc.tracks.dataset import Dataset, DatasetError, Precomputed, Track, dataset_of

TRACK_SECONDS = 30.0

MOST_TRACKS = 1_000_000
MOST_CHARACTERS = 1000
MOST_BYTES = 4 * MOST_CHARACTERS
"""Of a track's id, genre or artist: a compressed file of some kilobytes could hold texts that fill the memory."""

FEATURES, IDS, GENRES, ARTISTS, FRAME_SECONDS = "features", "track_id", "genre", "artist", "frame_seconds"

_PARTS = {"train": "train", "valid": "validation", "validation": "validation", "test": "test", "excluded": "excluded"}

Headers = Mapping[str, npz.Header]


def root_of(path: Path) -> Path | None:
    """The path itself if it is an .npz file, else None."""
    return path if path.is_file() and path.suffix == ".npz" else None


def read(path: Path, *, name: str | None = None) -> Dataset:
    """The dataset in this file. Raises DatasetError for a file without the arrays that this module describes."""
    path = path.absolute()
    try:
        return _read(path, name or path.stem)
    except npz.NpzError as error:
        raise DatasetError(str(error), "dataset") from None


def _read(path: Path, name: str) -> Dataset:
    headers = npz.headers(path)
    _check(path, headers)
    ids, genres = _texts(path, IDS, headers), _texts(path, GENRES, headers)
    artists = _texts(path, ARTISTS, headers) if ARTISTS in headers else [""] * len(ids)
    if repeated := [track_id for track_id, uses in Counter(ids).items() if uses > 1]:
        raise DatasetError(f"{path}: {IDS} must be unique, got {repeated[0]!r} twice", "dataset")
    precomputed = _precomputed(path, headers)
    tracks = [
        Track(track_id=track_id, genre=genre, artist=artist or None, path=None, content=content)
        for track_id, genre, artist, content in zip(ids, genres, artists, _contents(path), strict=True)
    ]
    own_split = _own_split(path, ids, headers)
    return dataset_of(name, tracks, own_split=own_split, precomputed=precomputed)


def _contents(path: Path) -> list[str]:
    """The content hash of every track."""
    hashes = contents.hashes([path], of=path, hash_one=_row_hashes)[path]
    if isinstance(hashes, OSError):
        raise DatasetError(f"{path}: cannot be read: {hashes.strerror}", "dataset")
    return hashes.split()


def _row_hashes(path: Path) -> str:
    """The content hash of every track, separated by blanks."""
    pictures = npz.items(path, FEATURES)
    return " ".join(blake2b(x_FT.tobytes(), digest_size=8).hexdigest() for x_FT in pictures)


def _check(path: Path, headers: Headers) -> None:
    """Raise DatasetError for arrays that are missing, do not fit together, or do not fit into memory."""
    for key in (FEATURES, IDS, GENRES):
        if key not in headers:
            raise DatasetError(f"{path}: array {key!r} is missing", "dataset")
    _check_features(path, headers[FEATURES])
    num_tracks = headers[FEATURES].shape[0]
    for key in (IDS, GENRES, ARTISTS, *_split_keys(headers)):
        if key in headers and headers[key].shape != (num_tracks,):
            raise DatasetError(
                f"{path}: {key} must have {num_tracks} items, got the shape {headers[key].shape}", "dataset"
            )
    if len(_split_keys(headers)) > 1:
        raise DatasetError(f"{path}: must have one split, got {' and '.join(_split_keys(headers))}", "dataset")


def _check_features(path: Path, header: npz.Header) -> None:
    if len(header.shape) != 3 or 0 in header.shape:
        raise DatasetError(f"{path}: features must be tracks x bins x frames, got the shape {header.shape}", "dataset")
    if header.dtype != np.uint8 and header.dtype.kind != "f":
        raise DatasetError(f"{path}: features must be uint8 or floats in [0, 1], got {header.dtype}", "dataset")
    if header.shape[0] > MOST_TRACKS:
        raise DatasetError(f"{path}: must have at most {MOST_TRACKS} tracks, got {header.shape[0]}", "dataset")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if header.num_bytes > memory:
        raise DatasetError(
            f"{path}: features take {header.num_bytes / 1e9:.1f} GB, this machine has {memory / 1e9:.1f} GB of memory",
            "dataset",
        )


def _texts(path: Path, key: str, headers: Headers) -> list[str]:
    """The items of an array of texts or integers, as texts."""
    dtype = headers[key].dtype
    if dtype.kind not in "USiu":
        raise DatasetError(f"{path}: {key} must be texts or integers, got {dtype}", "dataset")
    if dtype.itemsize > MOST_BYTES:
        raise DatasetError(f"{path}: {key} must have texts of at most {MOST_CHARACTERS} characters", "dataset")
    values = npz.read_array(path, key)
    try:
        return [each.decode() if isinstance(each, bytes) else str(each) for each in values.tolist()]
    except (ValueError, SystemError):  # bytes that are no UTF-8, numbers that are no characters
        raise DatasetError(f"{path}: {key} has an item that is no text", "dataset") from None


def _split_keys(headers: Headers) -> list[str]:
    return sorted(key for key in headers if key.endswith("_split"))


def _own_split(path: Path, ids: Sequence[str], headers: Headers) -> dict[str, str] | None:
    for key in _split_keys(headers):
        parts = _texts(path, key, headers)
        if unknown := set(parts) - _PARTS.keys():
            raise DatasetError(f"{path}: {key} must be one of {', '.join(_PARTS)}, got {min(unknown)!r}", "dataset")
        return {track_id: _PARTS[part] for track_id, part in zip(ids, parts, strict=True)}
    return None


def _precomputed(path: Path, headers: Headers) -> Precomputed:
    _, bins, frames = headers[FEATURES].shape
    settings = {key: _scalar(path, key, headers) for key in FeatureConfig.keys() if key in headers}
    seconds = _scalar(path, FRAME_SECONDS, headers) if FRAME_SECONDS in headers else TRACK_SECONDS / frames
    if isinstance(seconds, str) or seconds <= 0:
        raise DatasetError(f"{path}: {FRAME_SECONDS} must be a number above 0, got {seconds!r}", "dataset")
    return Precomputed(path=path, bins=bins, frames=frames, frame_seconds=float(seconds), settings=settings)


def _scalar(path: Path, key: str, headers: Headers) -> int | float | str:
    """A single number, which is finite, or a single text."""
    header = headers[key]
    if header.shape != () or header.dtype.kind not in "iufU" or header.num_bytes > MOST_BYTES:
        raise DatasetError(f"{path}: {key} must be one number or a text, got {header.dtype} {header.shape}", "dataset")
    value: int | float | str = npz.read_array(path, key).item()
    if header.dtype.kind == "f" and not math.isfinite(value := float(value)):
        raise DatasetError(f"{path}: {key} must be a finite number, got {value}", "dataset")
    return value
