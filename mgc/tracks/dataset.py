"""What a dataset is: tracks with a genre each, their digest, and the errors. Knows none of the kinds of datasets."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy.typing as npt
import platformdirs

from mgc.files import npz
from mgc.files.paths import expanded
from mgc.words.errors import ConfigError
from mgc.words.texts import printable


class DatasetError(ConfigError):
    """A dataset is not there or cannot be used; the message says how to get it or what is wrong with it."""


class DatasetChangedError(DatasetError):
    """A dataset is not the same as when its digest was recorded."""


@dataclass(frozen=True, kw_only=True)
class Track:
    """One recording. `path` is None in precomputed datasets; `content` is a hash of the recording."""

    track_id: str
    genre: str
    artist: str | None
    path: Path | None
    content: str | None = None


@dataclass(frozen=True, kw_only=True)
class Precomputed:
    """Features in a file: `bins` x `frames` for each track, one frame every `frame_seconds` seconds.

    `settings` are the feature settings that the file names, such as `n_fft`.
    """

    path: Path
    bins: int
    frames: int
    frame_seconds: float
    settings: Mapping[str, int | float | str]
    is_embedding: bool = False
    """Whether they are vectors of any numbers, one for each frame; otherwise they are pictures in [0, 1]."""

    def pictures(self) -> Iterator[npt.NDArray[Any]]:
        """The features (F, T) of each track in the dataset's order, in the file's own type; read one by one."""
        if not self.is_embedding:
            yield from npz.items(self.path, "features")
            return
        for x_TD in npz.items(self.path, "embeddings"):
            yield x_TD.reshape(-1, self.bins).T


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Tracks and their genres. `notes` are one-line remarks for the user: which files were left out, and why."""

    name: str
    tracks: tuple[Track, ...]
    genres: tuple[str, ...]
    digest: str
    is_synthetic: bool = False
    is_gtzan: bool = False
    """Whether its tracks are GTZAN's, by their content or by the user's word, so that what others published holds."""
    own_split: Mapping[str, str] | None = None
    """track_id -> train, validation, test or excluded, where the dataset brings a split."""
    precomputed: Precomputed | None = field(default=None, compare=False)
    notes: tuple[str, ...] = ()


def dataset_of(
    name: str,
    tracks: Iterable[Track],
    *,
    is_synthetic: bool = False,
    is_gtzan: bool = False,
    own_split: Mapping[str, str] | None = None,
    precomputed: Precomputed | None = None,
    notes: Iterable[str] = (),
) -> Dataset:
    """The dataset of these tracks, with its genres and digest. Raises DatasetError for fewer than two genres.

    Bytes of a name that are no UTF-8 are escaped: records, models and pages hold these names, and must be texts.
    """
    tracks = tuple(map(_in_texts, tracks))
    genres = tuple(sorted({track.genre for track in tracks}))
    if len(genres) < 2:
        raise DatasetError(
            f"dataset {name!r} must have at least 2 genres, got {', '.join(genres) or 'none'}", "dataset"
        )
    return Dataset(
        name=printable(name),
        tracks=tracks,
        genres=genres,
        digest=_digest(tracks),
        is_synthetic=is_synthetic,
        is_gtzan=is_gtzan,
        own_split=own_split and {printable(track_id): part for track_id, part in own_split.items()},
        precomputed=precomputed,
        notes=tuple(notes),
    )


def _in_texts(track: Track) -> Track:
    artist = track.artist and printable(track.artist)
    return replace(track, track_id=printable(track.track_id), genre=printable(track.genre), artist=artist)


def _digest(tracks: Iterable[Track]) -> str:
    """16 hex digits of every track's id, genre, artist and content: another dataset has another digest."""
    digest = blake2b(digest_size=8)
    for track in tracks:
        facts = (track.track_id, track.genre, track.artist, track.content)
        digest.update(repr(facts).encode("ascii", "backslashreplace"))
    return digest.hexdigest()


def data_dir() -> Path:
    """The folder of datasets that are opened by name: $MGC_DATA, else the user's (~/.local/share/mgc on Linux)."""
    return expanded(os.environ.get("MGC_DATA") or platformdirs.user_data_dir("mgc"))
