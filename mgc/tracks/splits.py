"""The policies that divide a dataset's tracks into train, validation and test.

Tracks that belong together (of one artist, or exact repetitions) stay in one part, and every genre is divided in the
same ratios as nearly as its groups of tracks allow. Only the policy `clip` divides what belongs together, to reproduce
papers that did so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

import numpy as np

from mgc.config import DataConfig
from mgc.tracks.dataset import Dataset, Track
from mgc.tracks.groups import Group, deal, group_tracks, take
from mgc.tracks.gtzan_lists import fault_filtered, gtzan_id
from mgc.words.errors import ConfigError

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")

LAST = 10
"""The number of tracks of each genre that `last_ten` tests on."""

VALIDATION_SHARE = 0.1
"""The share of the training tracks that becomes validation under a policy without a validation part."""


@dataclass(frozen=True, kw_only=True)
class ClipDeal:
    """How `clip` divides a track's clips: in consecutive shares, after a shuffle that depends on the track's id."""

    seed: int
    shares: tuple[tuple[Part, float], ...]

    def assign(self, track_id: str, num_clips: int) -> list[Part | None]:
        """The part of each clip. A part gets its share of a track rounded down or up; over many tracks this averages
        out.
        """
        rng = np.random.default_rng(list(blake2b(f"{self.seed} {track_id}".encode("utf-8", "replace")).digest()))
        places = (rng.permutation(num_clips) + rng.random()) / num_clips
        ends = np.cumsum([share for _, share in self.shares[:-1]])
        return [self.shares[index][0] for index in np.searchsorted(ends, places, side="right")]


@dataclass(frozen=True, kw_only=True)
class Split:
    """A division of a dataset, by tracks (`parts`; a track without a part is left out) or by clips (`clips`)."""

    policy: str
    label: str
    """The split's name beside every printed accuracy: `artist`, `clip (leaky)`, `artist fold 2/5`."""
    digest: str
    parts: Mapping[str, Part] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    clips: ClipDeal | None = None

    def assign(self, track_id: str, num_clips: int) -> list[Part | None]:
        """The part of each clip of a track; None for the clips of a track that is left out."""
        if self.clips is not None:
            return self.clips.assign(track_id, num_clips)
        return [self.parts.get(track_id)] * num_clips


def make_split(dataset: Dataset, config: DataConfig) -> Split:
    """Divide the dataset as the config says. Equal arguments give an equal split, on every machine.

    Raises ConfigError where the policy cannot divide this dataset, with the genre at fault and a policy that can.
    """
    if config.folds is not None and config.fold is None:
        raise ConfigError(f"fold is missing: folds {config.folds} needs one of 0 to {config.folds - 1}", "fold")
    if config.split == "clip":
        clips = ClipDeal(seed=config.split_seed, shares=_clip_shares(config))
        ids = sorted(track.track_id for track in dataset.tracks)
        return Split(policy="clip", label=_label(config), digest=_digest(clips, ids), clips=clips)
    match config.split:
        case "artist" | "track":
            parts, notes = _by_ratios(dataset, config)
        case "last_ten":
            parts, notes = _last_ten(dataset, config), ()
        case "fault_filtered" | "given":
            parts, notes = _by_list(dataset, config)
    _check_parts(dataset, config, parts)
    return Split(
        policy=config.split, label=_label(config), digest=_digest(sorted(parts.items())), parts=parts, notes=notes
    )


def _label(config: DataConfig) -> str:
    policy = "clip (leaky)" if config.split == "clip" else config.split
    return policy if config.fold is None else f"{policy} fold {config.fold + 1}/{config.folds}"


def _digest(*facts: object) -> str:
    return blake2b(repr(facts).encode("ascii", "backslashreplace"), digest_size=8).hexdigest()


def _shares(config: DataConfig) -> tuple[float, float, float]:
    """Train, validation and test as shares of 1, also where the ratios have no validation part."""
    train, validation, test = (ratio / sum(config.ratios) for ratio in config.ratios)
    if validation == 0:
        train, validation = (1 - VALIDATION_SHARE) * train, VALIDATION_SHARE * train
    return train, validation, test


def _clip_shares(config: DataConfig) -> tuple[tuple[Part, float], ...]:
    """Test first, so that it is the same with and without folds."""
    train, validation, test = _shares(config)
    if config.folds is None:
        return (("test", test), ("validation", validation), ("train", train))
    folds = tuple(_fold_part(fold, config) for fold in range(config.folds))
    return (("test", test), *((part, (1 - test) / config.folds) for part in folds))


def _fold_part(fold: int, config: DataConfig) -> Part:
    return "validation" if fold == config.fold else "train"


# --- the policies -----------------------------------------------------------------------------------------------------


def _by_ratios(dataset: Dataset, config: DataConfig) -> tuple[dict[str, Part], tuple[str, ...]]:
    """`artist` and `track`: first choose test, then divide the rest."""
    tracks, notes = _with_artists(dataset) if config.split == "artist" else (dataset.tracks, ())
    groups = group_tracks(tracks, by_artist=config.split == "artist")
    _check_enough(dataset, config, _num_groups(groups), needed=1 + _num_rest_parts(config))
    rng = np.random.default_rng(config.split_seed)
    train, validation, test = _shares(config)
    chosen, rest = take(groups, test, leave=_num_rest_parts(config), rng=rng)
    return {**_parts(chosen, "test"), **_divided(rest, validation / (train + validation), config, rng)}, notes


def _with_artists(dataset: Dataset) -> tuple[Sequence[Track], tuple[str, ...]]:
    """The tracks that `artist` can divide. If no track names its artist, every track counts as its own artist's."""
    named = [track for track in dataset.tracks if track.artist]
    if not named:
        return dataset.tracks, (
            f"{dataset.name} names no artists: every track counts as if it had an artist of its own",
        )
    if unnamed := len(dataset.tracks) - len(named):
        return named, (f"{unnamed} tracks without a known artist are in no part of the split by artist",)
    return named, ()


def _last_ten(dataset: Dataset, config: DataConfig) -> dict[str, Part]:
    """The last ten tracks of each genre, by their ids, are test."""
    by_genre = {genre: sorted(t.track_id for t in dataset.tracks if t.genre == genre) for genre in dataset.genres}
    test = {track_id for ids in by_genre.values() for track_id in ids[-LAST:]}
    rest = group_tracks((track for track in dataset.tracks if track.track_id not in test), by_artist=False)
    num_tracks = _num_groups(rest) + Counter({genre: len(ids[-LAST:]) for genre, ids in by_genre.items()})
    _check_enough(dataset, config, num_tracks, needed=_num_rest_parts(config) + LAST)
    rng = np.random.default_rng(config.split_seed)
    return {**dict.fromkeys(sorted(test), "test"), **_divided(rest, VALIDATION_SHARE, config, rng)}


def _by_list(dataset: Dataset, config: DataConfig) -> tuple[dict[str, Part], tuple[str, ...]]:
    """`fault_filtered` and `given`: as listed; folds divide the listed train and validation tracks by artist."""
    listed = _list(dataset, config)
    parts: dict[str, Part] = {track_id: part for track_id, part in listed.items() if part in PARTS}
    left_out = len(dataset.tracks) - len(parts)
    notes = (f"{left_out} tracks are left out by the split {config.split!r}",) if left_out else ()
    if config.folds is None and "validation" in parts.values():
        return parts, notes
    rest = [track for track in dataset.tracks if parts.get(track.track_id) in ("train", "validation")]
    groups = group_tracks(rest, by_artist=True)
    _check_enough(dataset, config, _num_groups(groups), needed=_num_rest_parts(config))
    divided = _divided(groups, VALIDATION_SHARE, config, np.random.default_rng(config.split_seed))
    return {**parts, **divided}, notes


def _list(dataset: Dataset, config: DataConfig) -> Mapping[str, str]:
    """track_id -> part, as listed. The split in a precomputed file is the list that the file was made with."""
    if dataset.own_split and (config.split == "given" or dataset.precomputed):
        return dataset.own_split
    if config.split == "given":
        raise ConfigError(f"{dataset.name} has no split of its own: use --set data.split=artist", "split")
    listed = fault_filtered() if dataset.is_gtzan else {}
    own_ids = ((track.track_id, gtzan_id(track.track_id)) for track in dataset.tracks)
    parts = {track_id: listed[own_id] for track_id, own_id in own_ids if own_id and own_id in listed}
    if not parts:
        raise ConfigError(
            f"data.split 'fault_filtered' lists GTZAN's tracks, and {dataset.name} is not known to be GTZAN: "
            "use --set data.split=artist",
            "split",
        )
    return parts


def _num_rest_parts(config: DataConfig) -> int:
    """The number of parts without test: the folds, or train and validation."""
    return config.folds or len(("train", "validation"))


def _divided(
    groups: Sequence[Group], validation: float, config: DataConfig, rng: np.random.Generator
) -> dict[str, Part]:
    """Divide what is not test: `validation` is the share of validation, unless there are folds."""
    if config.folds is None:
        chosen, rest = take(groups, validation, leave=1, rng=rng)
        return {**_parts(chosen, "validation"), **_parts(rest, "train")}
    parts: dict[str, Part] = {}
    for fold, dealt in enumerate(deal(groups, config.folds, rng)):
        parts |= _parts(dealt, _fold_part(fold, config))
    return parts


def _parts(groups: Iterable[Group], part: Part) -> dict[str, Part]:
    return {track.track_id: part for group in groups for track in group}


# --- what cannot be divided -------------------------------------------------------------------------------------------


def _num_groups(groups: Iterable[Group]) -> Counter[str]:
    """The number of groups in which each genre occurs."""
    return Counter(genre for group in groups for genre in {track.genre for track in group})


def _check_enough(dataset: Dataset, config: DataConfig, available: Counter[str], *, needed: int) -> None:
    """Raise a ConfigError for a genre with fewer artists, or tracks, than parts."""
    poorest = min(dataset.genres, key=lambda genre: available[genre])
    if available[poorest] >= needed:
        return
    unit = "tracks" if config.split in ("track", "last_ten") else "artists"
    folds = f" with {config.folds} folds" if config.folds else ""
    raise ConfigError(
        f"data.split {config.split!r}{folds} needs >= {needed} {unit} per genre; {poorest} has {available[poorest]}: "
        f"{_remedy(dataset, config)}",
        "split",
    )


def _check_parts(dataset: Dataset, config: DataConfig, parts: Mapping[str, Part]) -> None:
    """Raise a ConfigError for a genre without tracks in a part; lists and artists of several genres may cause this.

    A list needs no test tracks, because a search opens none.
    """
    present = {(track.genre, parts.get(track.track_id)) for track in dataset.tracks}
    needed = PARTS[:2] if config.split in ("fault_filtered", "given") else PARTS
    for genre in dataset.genres:
        for part in needed:
            if (genre, part) not in present:
                raise ConfigError(
                    f"data.split {config.split!r} leaves no {part} tracks of {genre}: {_remedy(dataset, config)}",
                    "split",
                )


def _remedy(dataset: Dataset, config: DataConfig) -> str:
    """What the user can do about a genre that cannot be divided: use another policy, if one works."""
    distinct = _num_groups(group_tracks(dataset.tracks, by_artist=False))
    if config.split != "track" and all(distinct[genre] > _num_rest_parts(config) for genre in dataset.genres):
        return "use --set data.split=track"
    return "add tracks, or take the genre out"
