"""A dataset that a plug-in's function gives: tracks of audio files, or the path of an .npz."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from mgc.datasets import precomputed
from mgc.files import contents
from mgc.files.reading import file_hash
from mgc.tracks.dataset import Dataset, DatasetError, Track, dataset_of


def open_declared(name: str, function: Callable[[], Any]) -> Dataset:
    """The dataset of what the function returns. Raises DatasetError for what is none."""
    given = function()
    if isinstance(given, str | os.PathLike):
        return _of_file(name, Path(given))
    if not isinstance(given, Iterable):
        raise DatasetError(f"dataset {name} must return tracks, or the path of an .npz, got {given!r}", "dataset")
    tracks = [_checked(name, track) for track in given]
    if repeated := _repeated(track.track_id for track in tracks):
        raise DatasetError(f"dataset {name} must have unique track ids, got {repeated!r} twice", "dataset")
    return dataset_of(name, _with_contents(name, tracks))


def _of_file(name: str, path: Path) -> Dataset:
    if (root := precomputed.root_of(path)) is None:
        raise DatasetError(f"dataset {name} must return the path of an .npz file, got {str(path)!r}", "dataset")
    return precomputed.read(root, name=name)


def _checked(name: str, track: Any) -> Track:
    if not isinstance(track, Track):
        raise DatasetError(f"dataset {name} must return Tracks, got {track!r}", "dataset")
    if not isinstance(track.path, Path):
        raise DatasetError(f"dataset {name}: {track.track_id}: path must be a Path, got {track.path!r}", "dataset")
    return replace(track, path=track.path.expanduser().absolute())


def _repeated(ids: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for track_id in ids:
        if track_id in seen:
            return track_id
        seen.add(track_id)
    return None


def _with_contents(name: str, tracks: Iterable[Track]) -> list[Track]:
    """The tracks with the hashes of their files, by which another machine knows that it has the same."""
    tracks = list(tracks)
    paths = [track.path for track in tracks if track.path is not None]
    hashes = contents.hashes(paths, of=Path(f"/plug-in/{name}"), hash_one=file_hash)
    for path, content in hashes.items():
        if isinstance(content, OSError):
            raise DatasetError(f"dataset {name}: {path} cannot be read: {content.strerror}", "dataset")
    return [replace(track, content=str(hashes[track.path])) for track in tracks if track.path is not None]
