"""An .npz of features or embeddings that somebody else computed, without audio. Computes no features.

It holds `features` (N, F, T), one picture for each track, or `embeddings` (N, T, D) or (N, D), the vectors that a
pretrained network made of each track; and `track_id` (N,), `genre` (N,). It may hold `artist` (N,), one `<name>_split`
(N,) of train, valid or validation, test, excluded; and scalars: `frame_seconds` (else the track's 30 s by its frames),
and settings such as `n_fft` or `sr`, with which those of a training must agree. Other arrays are not read.
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

FEATURES, EMBEDDINGS = "features", "embeddings"
IDS, GENRES, ARTISTS, FRAME_SECONDS = "track_id", "genre", "artist", "frame_seconds"

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
    arrays = npz.items(path, _array(npz.headers(path)))
    return " ".join(blake2b(x.tobytes(), digest_size=8).hexdigest() for x in arrays)


def _array(headers: Headers) -> str:
    """The array that holds what is known of the tracks."""
    return EMBEDDINGS if EMBEDDINGS in headers else FEATURES


def _check(path: Path, headers: Headers) -> None:
    """Raise DatasetError for arrays that are missing, do not fit together, or do not fit into memory."""
    if EMBEDDINGS in headers and FEATURES in headers:
        raise DatasetError(f"{path}: must have {FEATURES} or {EMBEDDINGS}, got both", "dataset")
    for key in (_array(headers), IDS, GENRES):
        if key not in headers:
            raise DatasetError(f"{path}: array {key!r} is missing", "dataset")
    _check_features(path, _array(headers), headers[_array(headers)])
    num_tracks = headers[_array(headers)].shape[0]
    for key in (IDS, GENRES, ARTISTS, *_split_keys(headers)):
        if key in headers and headers[key].shape != (num_tracks,):
            raise DatasetError(
                f"{path}: {key} must have {num_tracks} items, got the shape {headers[key].shape}", "dataset"
            )
    if len(_split_keys(headers)) > 1:
        raise DatasetError(f"{path}: must have one split, got {' and '.join(_split_keys(headers))}", "dataset")


def _check_features(path: Path, key: str, header: npz.Header) -> None:
    _check_kind(path, key, header)
    if header.shape[0] > MOST_TRACKS:
        raise DatasetError(f"{path}: must have at most {MOST_TRACKS} tracks, got {header.shape[0]}", "dataset")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if header.num_bytes > memory:
        raise DatasetError(
            f"{path}: {key} take {header.num_bytes / 1e9:.1f} GB, this machine has {memory / 1e9:.1f} GB of memory",
            "dataset",
        )


def _check_kind(path: Path, key: str, header: npz.Header) -> None:
    """The shape and the type of values."""
    axes, values = "tracks x bins x frames", "uint8 or floats in [0, 1]"
    if key == EMBEDDINGS:
        axes, values = "tracks x frames x dims or tracks x dims", "floats"
    num_axes = len(header.shape)
    if num_axes not in ((2, 3) if key == EMBEDDINGS else (3,)) or 0 in header.shape:
        raise DatasetError(f"{path}: {key} must be {axes}, got the shape {header.shape}", "dataset")
    if header.dtype.kind != "f" and not (key == FEATURES and header.dtype == np.uint8):
        raise DatasetError(f"{path}: {key} must be {values}, got {header.dtype}", "dataset")


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
    is_embedding = EMBEDDINGS in headers
    bins, frames = _bins_and_frames(headers)
    settings = {key: _scalar(path, key, headers) for key in FeatureConfig.keys() if key in headers}
    if is_embedding:
        settings = {"spectrogram": "embedding", "dims": bins}
    seconds = _scalar(path, FRAME_SECONDS, headers) if FRAME_SECONDS in headers else TRACK_SECONDS / frames
    if isinstance(seconds, str) or seconds <= 0:
        raise DatasetError(f"{path}: {FRAME_SECONDS} must be a number above 0, got {seconds!r}", "dataset")
    return Precomputed(
        path=path, bins=bins, frames=frames, frame_seconds=float(seconds), settings=settings, is_embedding=is_embedding
    )


def _bins_and_frames(headers: Headers) -> tuple[int, int]:
    if FEATURES in headers:
        _, bins, frames = headers[FEATURES].shape
        return bins, frames
    _, *frames_of, dims = headers[EMBEDDINGS].shape
    return dims, frames_of[0] if frames_of else 1


def _scalar(path: Path, key: str, headers: Headers) -> int | float | str:
    """A single number, which is finite, or a single text."""
    header = headers[key]
    if header.shape != () or header.dtype.kind not in "iufU" or header.num_bytes > MOST_BYTES:
        raise DatasetError(f"{path}: {key} must be one number or a text, got {header.dtype} {header.shape}", "dataset")
    value: int | float | str = npz.read_array(path, key).item()
    if header.dtype.kind == "f" and not math.isfinite(value := float(value)):
        raise DatasetError(f"{path}: {key} must be a finite number, got {value}", "dataset")
    return value
