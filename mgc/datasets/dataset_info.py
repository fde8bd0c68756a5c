"""What a dataset holds, and what each split of it would hold and leak. Reads files' headers, decodes no audio."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from mgc.config import DataConfig, SplitPolicy
from mgc.features.audio import credible_header
from mgc.tracks.dataset import Dataset, Track
from mgc.tracks.splits import PARTS, Part, make_split
from mgc.words.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class GenreInfo:
    """One genre. Tracks without a named artist do not count in `num_artists`."""

    genre: str
    num_tracks: int
    num_artists: int
    hours: float


@dataclass(frozen=True, kw_only=True)
class SplitInfo:
    """One split policy at its default ratios: numbers of train, validation and test tracks, and what test and train
    share.

    `refused` says why a policy cannot divide this dataset. `leaky` marks the policy that divides the clips of a track.
    """

    policy: str
    tracks: tuple[int, ...] = ()
    of_train_artists: int = 0
    """Test tracks whose artist also trains."""
    repeated: int = 0
    """Test tracks that are also in train, under another name."""
    refused: str | None = None
    leaky: bool = False


def genres(dataset: Dataset) -> list[GenreInfo]:
    """Every genre of the dataset. A track whose header cannot be read counts 0 hours."""
    seconds = dict(zip(dataset.tracks, (each[0] for each in headers(dataset)), strict=True))
    return [_genre(genre, [track for track in dataset.tracks if track.genre == genre], seconds)
            for genre in dataset.genres]  # fmt: skip


def _genre(genre: str, tracks: Sequence[Track], seconds: dict[Track, float]) -> GenreInfo:
    artists = {track.artist for track in tracks if track.artist}
    hours = sum(seconds[track] for track in tracks) / 3600
    return GenreInfo(genre=genre, num_tracks=len(tracks), num_artists=len(artists), hours=hours)


def rates(dataset: Dataset) -> Counter[str]:
    """Numbers of tracks by their form: `22050 Hz, 1 channel, WAV PCM_16`."""
    return Counter(form for _, form in headers(dataset))


def headers(dataset: Dataset) -> list[tuple[float, str]]:
    """Length in s and form of every track, from its header."""
    if dataset.precomputed is not None:
        about = dataset.precomputed
        length_s = about.frames * about.frame_seconds
        return [(length_s, f"features, {about.bins} x {about.frames}") for _ in dataset.tracks]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda track: _header(track.path), dataset.tracks))


def _header(path: Path | None) -> tuple[float, str]:
    assert path is not None
    about = credible_header(path)
    if about is None:
        return 0.0, "unreadable"
    channels = f"{about.channels} channel{'s' if about.channels > 1 else ''}"
    return about.duration, f"{about.samplerate} Hz, {channels}, {about.format} {about.subtype}"


def repetitions(dataset: Dataset) -> list[tuple[str, ...]]:
    """Ids of the tracks that have equal content, group by group."""
    groups: dict[str, list[str]] = {}
    for track in dataset.tracks:
        if track.content:
            groups.setdefault(track.content, []).append(track.track_id)
    return [tuple(ids) for ids in groups.values() if len(ids) > 1]


def splits(dataset: Dataset) -> list[SplitInfo]:
    """This dataset under every policy."""
    return [_split(dataset, policy) for policy in get_args(SplitPolicy)]


def _split(dataset: Dataset, policy: str) -> SplitInfo:
    try:
        split = make_split(dataset, DataConfig.checked({"dataset": dataset.name, "split": policy}))
    except ConfigError as error:
        return SplitInfo(policy=policy, refused=str(error))
    if split.clips is not None:
        return SplitInfo(policy=policy, leaky=True)
    parts: dict[Part, list[Track]] = {part: [] for part in PARTS}
    for track in dataset.tracks:
        if part := split.parts.get(track.track_id):
            parts[part].append(track)
    artists = {track.artist for track in parts["train"] if track.artist}
    sounds = {track.content for track in parts["train"] if track.content}
    return SplitInfo(
        policy=policy,
        tracks=tuple(len(parts[part]) for part in PARTS),
        of_train_artists=sum(track.artist in artists for track in parts["test"]),
        repeated=sum(track.content in sounds for track in parts["test"]),
    )
