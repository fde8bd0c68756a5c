"""The clips of a training: cut from the tracks' stored features, in batches on the device. Knows no model.

Shape suffixes: B clips of a batch, N clips of a part, K clips of a track, M tracks of a part, C channels, F bins,
T frames, S samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mgc.clips.cutting import Ints, Ruler, clip_shape, length_notes, ruler_of, starts_of_tracks
from mgc.clips.windows import Cuts, Windows, with_random_starts
from mgc.config import ClipConfig, ClipShape
from mgc.datasets.registry import open_dataset
from mgc.features.features import Kind, Store, levels, open_store
from mgc.networks.training_config import TrainingConfig
from mgc.tracks.dataset import Dataset, DatasetChangedError, Track
from mgc.tracks.splits import Part, Split, make_split
from mgc.words.errors import ConfigError

STATISTICS_BATCH = 16
"""Number of clips in one step of the statistics. It is small because the process keeps the memory that a step needs in
double precision."""


class Batch(NamedTuple):
    """Clips as a model takes them, their genres, and the indices of their tracks in the part.

    `x` is the picture (B, 1, F, T) in [0, 1], the waveform (B, S) in [-1, 1), or for modality `both` the pair
    (waveform, picture). With `normalize: track` each track's picture has mean 0 and deviation 1 instead.
    """

    x: Tensor | tuple[Tensor, Tensor]
    y_B: Tensor
    track_B: Tensor


@dataclass(frozen=True, kw_only=True)
class _PartClips:
    """One part's clips: genres and tracks on the device, and the places in each store's windows."""

    track_ids: tuple[str, ...]
    y_N: Tensor
    track_N: Tensor
    cuts: Cuts
    places: tuple[tuple[Tensor, Tensor], ...]
    level_M: tuple[Tensor, Tensor] | None
    """Mean and standard deviation of each track's picture, if batches are standardized by them."""


class Clips:
    """The clips of the parts that were opened. Its batches depend on nothing but config, dataset and generator.

    `notes` are one-line remarks for the user: about the dataset, the split, and tracks that are padded or left out.
    """

    def __init__(
        self,
        shape: ClipShape,
        dataset: Dataset,
        split: Split,
        windows: Sequence[Windows],
        cuts: Mapping[Part, Cuts],
        device: torch.device,
        notes: Sequence[str] = (),
        *,
        levels: Mapping[str, tuple[float, float]] | None = None,
        random_offset: bool = False,
    ) -> None:
        self.shape, self.split = shape, split
        self.dataset_digest = dataset.digest
        self.genres = dataset.genres
        self.notes = (*dataset.notes, *split.notes, *notes)
        self._windows, self._levels, self._random_offset = windows, levels, random_offset
        self._parts = {part: self._part_clips(each, device) for part, each in cuts.items()}

    def _part_clips(self, cuts: Cuts, device: torch.device) -> _PartClips:
        label_M = np.array([self.genres.index(track.genre) for track in cuts.tracks])
        return _PartClips(
            track_ids=tuple(track.track_id for track in cuts.tracks),
            y_N=torch.from_numpy(label_M[cuts.track_N]).to(device),
            track_N=torch.from_numpy(cuts.track_N).to(device),
            cuts=cuts,
            places=self._places(cuts),
            level_M=None if self._levels is None else _columns([self._levels[t.track_id] for t in cuts.tracks], device),
        )

    def _places(self, cuts: Cuts) -> tuple[tuple[Tensor, Tensor], ...]:
        return tuple(windows.place(cuts) for windows in self._windows)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that were opened."""
        return tuple(self._parts)

    def num_tracks(self, part: Part) -> int:
        return len(self._part(part).track_ids)

    def num_clips(self, part: Part) -> int:
        return len(self._part(part).y_N)

    def track_ids(self, part: Part) -> tuple[str, ...]:
        """The ids of the part's tracks; a batch's `track_B` are indices into them."""
        return self._part(part).track_ids

    def num_batches(self, part: Part, batch_size: int) -> int:
        return -(-self.num_clips(part) // batch_size)

    def batches(self, part: Part, batch_size: int, *, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Every clip of the part once: in an order that the CPU generator draws, without one in the tracks' order.

        With a generator and the config's `random_offset`, clips start anywhere in their track. Batches differ in size
        by at most one clip, because batch normalization fails on a last batch of one clip.
        """
        clips = self._part(part)
        num_clips = self.num_clips(part)
        order_N = torch.arange(num_clips) if generator is None else torch.randperm(num_clips, generator=generator)
        places = clips.places
        if generator is not None and self._random_offset:
            places = self._places(with_random_starts(clips.cuts, generator))
        columns = [clips.y_N, clips.track_N, *(column_N for place in places for column_N in place)]
        num_batches = self.num_batches(part, batch_size)
        chunks = [column_N[order_N.to(column_N.device)].tensor_split(num_batches) for column_N in columns]
        for y_B, track_B, *rows in zip(*chunks, strict=True):
            x = [
                windows.take(row_B, num_rows_B)
                for windows, row_B, num_rows_B in zip(self._windows, rows[::2], rows[1::2], strict=True)
            ]
            if clips.level_M is not None:
                mean_B111, deviation_B111 = (level_M[track_B].view(-1, 1, 1, 1) for level_M in clips.level_M)
                x[-1] = (x[-1] - mean_B111) / deviation_B111
            yield Batch(x[0] if len(x) == 1 else (x[0], x[1]), y_B, track_B)

    @cached_property
    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (F,) of each frequency bin over the train clips, on the device, in float32."""
        sums_F2, count = torch.zeros(self.shape.bins, 2, dtype=torch.float64), 0
        for batch in self.batches("train", STATISTICS_BATCH):
            x_BCFT = batch.x[1] if isinstance(batch.x, tuple) else batch.x
            x_FN = x_BCFT.transpose(0, 2).flatten(1).double()
            sums_F2 = sums_F2.to(x_FN.device) + torch.stack((x_FN.sum(1), x_FN.square().sum(1)), dim=1)
            count += x_FN.shape[1]
        mean_F, square_F = (sums_F2 / count).unbind(1)
        deviation_F = (square_F - mean_F.square()).clamp(min=0).sqrt()
        return mean_F.float(), deviation_F.float()

    def _part(self, part: Part) -> _PartClips:
        if part not in self._parts:
            raise ValueError(f"the {part} part was not opened (there is {', '.join(self._parts)})")
        return self._parts[part]


def _columns(pairs: Sequence[tuple[float, float]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Two tensors (M,) of these M pairs."""
    first, second = torch.tensor(pairs).to(device).unbind(1)
    return first, second


def open_clips(
    config: TrainingConfig,
    *,
    device: str | torch.device = "cpu",
    parts: Sequence[Part] = ("train", "validation"),
    train_on: Sequence[Part] = ("train",),
    progress: bool = True,
    digest: str | None = None,
) -> Clips:
    """The clips of these parts of the config's dataset. Only a caller that names the test part gets it.

    `train_on` are the parts of the split whose clips make up `train`: a last training may take validation's as well.
    `digest` is the dataset's, if the caller knows it: DatasetChangedError if the dataset has another one now.

    A track shorter than a clip is padded with silence if it is at least half as long, else left out; a note says so.
    Raises ConfigError if the clip is longer than every track or a part has no clip.
    """
    dataset = open_dataset(config.data.dataset, progress=progress)
    _check_digest(dataset, digest)
    split = make_split(dataset, config.data)
    shape, ruler = clip_shape(config, dataset), ruler_of(config, dataset)
    stores = {kind: open_store(dataset, config.features, kind, progress=progress) for kind in _kinds(shape)}
    first_store = next(iter(stores.values()))
    tracks = _tracks_with_clips(dataset, first_store, ruler, config.clips)
    return Clips(
        shape,
        dataset,
        split,
        windows=[_windows(store, kind, shape, ruler, torch.device(device)) for kind, store in stores.items()],
        cuts={part: _cuts(tracks, split, train_on if part == "train" else (part,)) for part in parts},
        device=torch.device(device),
        notes=_notes(dataset, first_store, ruler),
        levels=levels(stores["spectrogram"]) if _is_levelled(config, stores) else None,
        random_offset=config.clips.random_offset,
    )


def _check_digest(dataset: Dataset, digest: str | None) -> None:
    """Raise a DatasetChangedError if the dataset has another digest than this one."""
    if digest is not None and dataset.digest != digest:
        raise DatasetChangedError(
            f"dataset {dataset.name!r} has changed: digest {digest} before, {dataset.digest} now", "dataset"
        )


def _notes(dataset: Dataset, store: Store, ruler: Ruler) -> list[str]:
    """Lines for the user about tracks that are padded or left out."""
    num_skipped = len(store.skipped)
    undecodable = (
        [f"{num_skipped} of {len(dataset.tracks)} tracks are left out: they cannot be decoded"] if num_skipped else []
    )
    return [*undecodable, *length_notes(store.lengths, ruler)]


def _is_levelled(config: TrainingConfig, stores: Mapping[Kind, Store]) -> bool:
    """Whether each track's picture is brought to mean 0 and deviation 1 by its own statistics."""
    return config.features.normalize == "track" and "spectrogram" in stores


def _kinds(shape: ClipShape) -> tuple[Kind, ...]:
    """The stores that clips of this shape are cut from, in the order of a batch's `x`."""
    match shape.modality:
        case "spectrogram":
            return ("spectrogram",)
        case "raw":
            return ("waveform",)
        case "both":
            return ("waveform", "spectrogram")


def _windows(store: Store, kind: Kind, shape: ClipShape, ruler: Ruler, device: torch.device) -> Windows:
    """The windows of one store. One step of the ruler is one frame, or `ruler.step` samples."""
    if kind == "waveform":
        return Windows(kind, store, shape.samples, ruler.step, device)
    return Windows(kind, store, shape.frames, 1, device)


class _TrackClips(NamedTuple):
    """Where the K clips of one track start, and the latest start that one could have; both in steps."""

    track: Track
    start_K: Ints
    last_start: int


def _tracks_with_clips(dataset: Dataset, store: Store, ruler: Ruler, config: ClipConfig) -> list[_TrackClips]:
    """The tracks that are long enough for a clip, in the dataset's order."""
    starts = starts_of_tracks(store.lengths, ruler, config)
    return [
        _TrackClips(track, starts[track.track_id], max(0, store.lengths[track.track_id] - ruler.clip) // ruler.step)
        for track in dataset.tracks
        if track.track_id in starts
    ]


def _cuts(tracks: Sequence[_TrackClips], split: Split, parts: Sequence[Part]) -> Cuts:
    """The clips of these tracks that the split puts into these parts. Raises ConfigError if there are none."""
    chosen = []
    for each in tracks:
        parts_K = split.assign(each.track.track_id, len(each.start_K))
        is_chosen_K = np.array([part in parts for part in parts_K])
        if is_chosen_K.any():
            chosen.append(each._replace(start_K=each.start_K[is_chosen_K]))
    if not chosen:
        raise ConfigError(f"split {split.label} leaves no clip for the {' and '.join(parts)} part", "split")
    track_N = np.repeat(np.arange(len(chosen)), [len(each.start_K) for each in chosen])
    return Cuts(
        tracks=tuple(each.track for each in chosen),
        track_N=track_N,
        start_N=np.concatenate([each.start_K for each in chosen]),
        last_start_N=np.array([each.last_start for each in chosen])[track_N],
    )
