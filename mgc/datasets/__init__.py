"""What a dataset is, and how the one that a user names is found. Each way to store one has its own file here.

A dataset is a list of tracks with a genre each; opening one reads names, tables and content hashes, decodes no audio.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from mgc import buckets
from mgc.config import ConfigError
from mgc.wording import nearest

if TYPE_CHECKING:
    from mgc.datasets.precomputed import Precomputed

BUILT_IN = ("synthetic", "gtzan", "fma_small")
"""Names that `open_dataset` knows without looking at the disk."""


class DatasetError(ConfigError):
    """A dataset that is not there or cannot be used; the message says how to get it or what is wrong with it."""


class DatasetChangedError(DatasetError):
    """A dataset that is no longer the one that was asked for."""


@dataclass(frozen=True, kw_only=True)
class Track:
    """One recording. `path` is None in precomputed datasets; `content` is a hash of all that it holds."""

    track_id: str
    genre: str
    artist: str | None
    path: Path | None
    content: str | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Tracks and what is known about them. `notes` are one-line remarks for the user: what was left out, and why."""

    name: str
    tracks: tuple[Track, ...]
    genres: tuple[str, ...]
    digest: str
    is_synthetic: bool = False
    given_split: Mapping[str, str] | None = None
    """track_id -> train, validation, test or excluded, where the dataset brings its own split."""
    precomputed: Precomputed | None = field(default=None, compare=False)
    notes: tuple[str, ...] = ()


def dataset_of(
    name: str,
    tracks: Iterable[Track],
    *,
    is_synthetic: bool = False,
    given_split: Mapping[str, str] | None = None,
    precomputed: Precomputed | None = None,
    notes: Iterable[str] = (),
) -> Dataset:
    """The dataset of these tracks, with its genres and digest. Raises DatasetError for fewer than two genres."""
    tracks = tuple(tracks)
    genres = tuple(sorted({track.genre for track in tracks}))
    if len(genres) < 2:
        raise DatasetError(
            f"dataset {name!r} must have at least 2 genres, got {', '.join(genres) or 'none'}", "dataset"
        )
    return Dataset(
        name=name,
        tracks=tracks,
        genres=genres,
        digest=_digest(tracks),
        is_synthetic=is_synthetic,
        given_split=given_split,
        precomputed=precomputed,
        notes=tuple(notes),
    )


def _digest(tracks: Iterable[Track]) -> str:
    """16 hex digits of every track's id, genre, artist and content: another dataset has another digest."""
    digest = blake2b(digest_size=8)
    for track in tracks:
        facts = (track.track_id, track.genre, track.artist, track.content)
        digest.update(repr(facts).encode("ascii", "backslashreplace"))
    return digest.hexdigest()


def data_dir() -> Path:
    """Where datasets are looked up by name: $MGC_DATA, else the user's data folder (~/.local/share/mgc on Linux)."""
    return Path(os.environ.get("MGC_DATA") or platformdirs.user_data_dir("mgc")).expanduser()


def open_dataset(spec: str, *, progress: bool = True, make: bool = True) -> Dataset:
    """The dataset that `spec` names: a built-in name, s3://bucket/path, a folder, an .npz file, or a name under
    $MGC_DATA, in this order.

    The synthetic dataset is made the first time that it is opened, with its progress shown. `make=False` only tells
    what a built-in one holds, or will hold: enough for an estimate where it is not on this machine.
    """
    from mgc.datasets import fma, folder, gtzan, precomputed, synthetic  # each of them knows this file

    match spec:
        case "synthetic":
            return synthetic.open_synthetic(progress=progress, make=make)
        case "gtzan":
            if not make and not (data_dir() / "gtzan").is_dir():
                return gtzan.nominal()
            return folder.read(located(spec), name=spec)
        case "fma_small":
            root = fma.root_of(data_dir() / spec)
            return fma.nominal() if not make and root is None else fma.read(located(spec))
    path = _existing(spec)
    if root := fma.root_of(path):
        return fma.read(root)
    return folder.read(path) if path.is_dir() else precomputed.read(path)


def located(spec: str) -> Path:
    """The folder or .npz that a spec means, or a DatasetError with what there is instead. `synthetic` has none."""
    from mgc.datasets import fma, gtzan

    match spec:
        case "gtzan":
            return gtzan.genres_folder(data_dir() / spec)
        case "fma_small":
            return fma.root_of(data_dir() / spec) or data_dir() / spec
    return _existing(spec)


def _existing(spec: str) -> Path:
    """The folder or .npz that a spec means, or a DatasetError with what there is instead."""
    if buckets.is_address(spec):
        from mgc.datasets.remote import fetched

        return fetched(spec)
    by_name = data_dir() / spec
    for path in (Path(spec).expanduser(), by_name, by_name.with_name(by_name.name + ".npz")):
        if path.is_dir() or (path.is_file() and path.suffix == ".npz"):
            return path
    if Path(spec).is_file():
        raise DatasetError(f"dataset must be a folder or an .npz file, got the file {spec!r}", "dataset")
    raise DatasetError(
        f"no dataset {spec!r}: neither a folder, an .npz file, nor a name under {data_dir()}"
        f"{nearest(spec, {*BUILT_IN, *_names_in(data_dir())})}",
        "dataset",
    )


def _names_in(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return [path.stem if path.suffix == ".npz" else path.name for path in folder.iterdir() if path.name[0] != "."]
