"""The clips of a track: their shape, and where they start. Opens no audio and no store; imports no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mgc.config import ClipConfig, ClipShape, FeatureConfig
from mgc.networks.training_config import TrainingConfig
from mgc.tracks.dataset import Dataset, Precomputed
from mgc.words.errors import ConfigError

Ints = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, kw_only=True)
class Ruler:
    """The measures of a clip, in units of `unit_s` seconds: samples of audio, or frames of a precomputed dataset.

    A clip is `clip` units or `frames` frames long and starts at a multiple of `step` units. Where there is a picture
    the step is the hop, so that picture and waveform of modality `both` start at the same time.
    """

    clip: int
    step: int
    frames: int
    unit_s: float


def clip_shape(config: TrainingConfig, dataset: Dataset) -> ClipShape:
    """The shape of this config's clips. ConfigError for features that the dataset cannot give."""
    ruler = ruler_of(config, dataset)
    return ClipShape(
        modality=config.features.modality,
        bins=config.features.bins,
        frames=ruler.frames,
        samples=0 if dataset.precomputed else ruler.clip,
        picture=config.clips.picture,
    )


def ruler_of(config: TrainingConfig, dataset: Dataset) -> Ruler:
    """The ruler for this config's clips. ConfigError for features that the dataset cannot give, or too short a clip."""
    seconds, features = config.clips.clip_seconds, config.features
    if dataset.precomputed is not None:
        _check_precomputed(features, dataset.name, dataset.precomputed)
        unit_s = dataset.precomputed.frame_seconds
        clip = round(seconds / unit_s)
        ruler = Ruler(clip=clip, step=1, frames=clip, unit_s=unit_s)
    elif features.spectrogram == "embedding":
        raise ConfigError(
            f"spectrogram must be stft_db or log_mel for {dataset.name}, which holds audio, got 'embedding'",
            "spectrogram",
        )
    else:
        ruler = audio_ruler(features, config.clips)
    if ruler.clip < 1:
        raise ConfigError(f"clip_seconds must be >= {ruler.unit_s:g}, got {seconds:g}", "clip_seconds")
    return ruler


def audio_ruler(features: FeatureConfig, clips: ClipConfig) -> Ruler:
    """The ruler for clips of audio, whatever dataset it is from."""
    clip = int(clips.clip_seconds * features.sr)
    return Ruler(
        clip=clip,
        step=1 if features.modality == "raw" else features.hop_length,
        frames=1 + clip // features.hop_length,
        unit_s=1 / features.sr,
    )


def _check_precomputed(features: FeatureConfig, name: str, precomputed: Precomputed) -> None:
    """Raise a ConfigError for features that differ from those in the file."""
    if features.modality != "spectrogram":
        raise ConfigError(
            f"modality must be 'spectrogram' for {name}, which has no audio, got {features.modality!r}", "modality"
        )
    if features.plugin is not None:
        raise ConfigError(
            f"spectrogram must be that of {name}, which has no audio to compute {features.spectrogram} from",
            "spectrogram",
        )
    values = features.model_dump()
    for key, fact in precomputed.settings.items():
        if key in values and values[key] != fact:
            raise ConfigError(f"{key} must be {fact!r}, as in {name}, got {values[key]!r}", key)
    if features.bins != precomputed.bins:
        key = "n_mels" if features.spectrogram == "log_mel" else "spectrogram"
        raise ConfigError(
            f"{key} must give the {precomputed.bins} bins of {name}, got {values[key]!r} ({features.bins} bins)", key
        )


def starts_of_tracks(lengths: Mapping[str, int], ruler: Ruler, config: ClipConfig) -> dict[str, Ints]:
    """Where the clips of each track start, in steps, by the track's id; `lengths` of the tracks are in units.

    A track shorter than a clip has one clip at 0 if it is at least half as long, else it is left out. Raises
    ConfigError for a clip that is longer than every track.
    """
    longest = max(lengths.values())
    if ruler.clip > longest:
        longest_s = int(longest * ruler.unit_s * 10) / 10
        raise ConfigError(
            f"clip_seconds must be <= {longest_s} (the tracks' length), got {config.clip_seconds:g}", "clip_seconds"
        )
    return {
        track_id: clip_starts(length, ruler.clip, config, track_id, ruler.step)
        for track_id, length in lengths.items()
        if 2 * length >= ruler.clip
    }


def clip_starts(length: int, clip: int, config: ClipConfig, track_id: str, step: int = 1) -> Ints:
    """Where the clips of one track start, ascending, in steps; `length`, `clip` and `step` are in the same unit.

    Equal starts count once. `random_clips` are the same in every training: they depend on the track's id alone.

    >>> clip_starts(300, 30, ClipConfig(clips_per_track=4), "t")
    array([  0,  90, 180, 270])
    >>> len(clip_starts(300, 30, ClipConfig(clip_overlap=0.5), "t"))
    19
    """
    slack = max(0, length - clip)
    if config.clip_overlap is None:
        return np.unique(_evenly_spread(slack, config.clips_per_track) // step)
    stride = max(1, round(clip * (1 - config.clip_overlap)))
    grid = np.unique(np.arange(0, slack + 1, stride) // step)
    if config.random_clips is None:
        return grid
    return grid[sorted(_shuffled(len(grid), track_id)[: config.random_clips])]


def _shuffled(num: int, track_id: str) -> list[int]:
    """0..num-1 in an order that depends on the track's id alone, not on the process, the machine or NumPy's version."""
    return sorted(
        range(num), key=lambda index: hashlib.sha256(f"{index} {track_id}".encode("utf-8", "replace")).digest()
    )


def _evenly_spread(slack: int, num: int) -> Ints:
    """`num` starts from 0 to `slack`; a single one is in the middle."""
    return np.array([slack // 2]) if num == 1 else np.rint(np.linspace(0, slack, num)).astype(np.int64)


def length_notes(lengths: Mapping[str, int], ruler: Ruler) -> list[str]:
    """One line for the user about each kind of track that is shorter than a clip, if there are any."""
    left_out = [track_id for track_id, length in lengths.items() if 2 * length < ruler.clip]
    padded = [track_id for track_id, length in lengths.items() if length < ruler.clip <= 2 * length]
    ids_by_note = {
        "left out because they are shorter than half a clip": left_out,
        "shorter than a clip and filled up with silence": padded,
    }
    return [f"{note}: {naming(track_ids)}" for note, track_ids in ids_by_note.items() if track_ids]


def naming(track_ids: list[str]) -> str:
    """The number of tracks, and the first three ids.

    >>> naming(["a", "b", "c", "d"])
    '4 tracks (a, b, c, ...)'
    """
    first = [*track_ids[:3], *(["..."] if len(track_ids) > 3 else [])]
    return f"{len(track_ids)} {'track' if len(track_ids) == 1 else 'tracks'} ({', '.join(first)})"
