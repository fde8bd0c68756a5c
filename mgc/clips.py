"""Clips: windows of the tracks' stored features, and their way into batches on the device. Knows no model.

Shape suffixes: B clips of a batch, N clips of a part, M tracks of a part, C channels, F bins, T frames, S samples;
R rows of a store (frames or samples), W values of a row, L rows of a window, P windows, V = L x W values of a window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mgc.config import ClipShape, ConfigError, TrainingConfig
from mgc.cutting import Ints, clip_shape, length_notes, ruler_of, starts_of_tracks
from mgc.datasets import Dataset, DatasetChangedError, Track, open_dataset
from mgc.features import Kind, Store, levels, open_store
from mgc.splits import Part, Split, make_split

__all__ = ["Batch", "Clips", "clip_shape", "open_clips"]

RESIDENT_SHARE = 0.2
"""A store stays on the GPU if it takes at most this share of the memory free there: several trials may share one."""

STATISTICS_BATCH = 16
"""Clips of which statistics are summed at once: what that takes in double precision, a process keeps."""


class Batch(NamedTuple):
    """Clips as a model takes them, their genres, and which of the part's tracks they are from.

    `x` is the picture (B, 1, F, T) in [0, 1] (each track's brought to mean 0 and deviation 1 with `normalize: track`),
    the waveform (B, S) in [-1, 1), or for modality `both` the pair (waveform, picture).
    """

    x: Tensor | tuple[Tensor, Tensor]
    y_B: Tensor
    track_B: Tensor


@dataclass(frozen=True)
class Cuts:
    """The clips of one part: of which of its tracks each is, and where it starts, in steps (see mgc.cutting); where it
    could start at the latest.
    """

    tracks: tuple[Track, ...]
    track_N: Ints
    start_N: Ints
    last_start_N: Ints


class Windows:
    """Every window of a fixed length over a store's rows, as a view: a batch is one gather of some of them.

    Clips start every `step` rows. The rows are on the device where they fit on a GPU, else in the mapped file.
    """

    def __init__(self, kind: Kind, store: Store, length: int, step: int, device: torch.device) -> None:
        self._kind, self._length, self._step, self._device = kind, length, step, device
        self._scale, self._tracks = store.scale, store.tracks
        self._has_short_tracks = any(stored.num_rows < length for stored in store.tracks.values())
        rows_RW = store.rows_RW.to(device) if _fits(store.rows_RW, device) else store.rows_RW
        num_rows, width = rows_RW.shape
        self._x_PV = rows_RW.as_strided((num_rows - length + 1, length * width), (width, 1))

    def place(self, cuts: Cuts) -> tuple[Tensor, Tensor]:
        """First row (N,) of each clip, and how many rows (N,) from there on are of its track."""
        stored_M = [self._tracks[track.track_id] for track in cuts.tracks]
        first_N = np.array([stored.first_row for stored in stored_M])[cuts.track_N]
        num_rows_N = np.array([stored.num_rows for stored in stored_M])[cuts.track_N]
        start_N = cuts.start_N * self._step
        home = self._x_PV.device
        return torch.from_numpy(first_N + start_N).to(home), torch.from_numpy(num_rows_N - start_N).to(home)

    def take(self, row_B: Tensor, num_rows_B: Tensor) -> Tensor:
        """Placed clips in float32 on the device: pictures (B, 1, F, T) or waveforms (B, S)."""
        x_BLW = self._x_PV.index_select(0, row_B).view(len(row_B), self._length, -1)
        if self._has_short_tracks:
            is_over_BL = torch.arange(self._length, device=row_B.device) >= num_rows_B[:, None]
            x_BLW.masked_fill_(is_over_BL[:, :, None], 0)
        if x_BLW.device != self._device:
            x_BLW = x_BLW.pin_memory().to(self._device, non_blocking=True)
        x = x_BLW[:, :, 0] if self._kind == "waveform" else x_BLW.mT[:, None]
        x = x.to(torch.float32, memory_format=torch.contiguous_format)
        return x if self._scale == 1 else x.mul_(self._scale)


def _fits(rows_RW: Tensor, device: torch.device) -> bool:
    """Whether a store is to be copied to this device; for a CPU it never is."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return rows_RW.nbytes <= RESIDENT_SHARE * free


@dataclass(frozen=True, kw_only=True)
class _PartClips:
    """One part's clips: genre and track on the device, places of `Windows.place` beside the rows that they count."""

    track_ids: tuple[str, ...]
    y_N: Tensor
    track_N: Tensor
    cuts: Cuts
    places: tuple[tuple[Tensor, Tensor], ...]
    level_M: tuple[Tensor, Tensor] | None
    """Mean and standard deviation of each track's picture, where it is brought to 0 and 1."""


class Clips:
    """The clips of the opened parts. What it yields depends on nothing but config, dataset and generator.

    `notes` are one-line remarks for the user: about the dataset, the split, and tracks that were padded or left out.
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
        self._parts = {part: self._placed(each, device) for part, each in cuts.items()}

    def _placed(self, cuts: Cuts, device: torch.device) -> _PartClips:
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
        """Those that were opened."""
        return tuple(self._parts)

    def num_tracks(self, part: Part) -> int:
        return len(self._part(part).track_ids)

    def num_clips(self, part: Part) -> int:
        return len(self._part(part).y_N)

    def track_ids(self, part: Part) -> tuple[str, ...]:
        """The part's tracks in the order that a batch's `track_B` counts them."""
        return self._part(part).track_ids

    def num_batches(self, part: Part, batch_size: int) -> int:
        return -(-self.num_clips(part) // batch_size)

    def batches(self, part: Part, batch_size: int, *, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Every clip of the part once: shuffled by the generator (a CPU's), without one in the tracks' order.

        With a generator and the config's `random_offset` clips start anywhere in their track. Batches differ in size by
        at most one clip: a lone last clip would break batch normalization.
        """
        clips = self._part(part)
        num_clips = self.num_clips(part)
        order_N = torch.arange(num_clips) if generator is None else torch.randperm(num_clips, generator=generator)
        places = clips.places
        if generator is not None and self._random_offset:
            places = self._places(_drawn(clips.cuts, generator))
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
        """Mean and standard deviation (F,) of each frequency bin over the train clips, on the device."""
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


def _drawn(cuts: Cuts, generator: torch.Generator) -> Cuts:
    """The same clips from starts that are uniform over the whole track."""
    share_N = torch.rand(len(cuts.start_N), dtype=torch.float64, generator=generator).numpy()
    return replace(cuts, start_N=(share_N * (cuts.last_start_N + 1)).astype(np.int64))


def open_clips(
    config: TrainingConfig,
    *,
    device: str | torch.device = "cpu",
    parts: Sequence[Part] = ("train", "validation"),
    train_on: Sequence[Part] = ("train",),
    progress: bool = True,
    digest: str | None = None,
) -> Clips:
    """The clips of these parts of the config's dataset. The test part is opened only for those who name it.

    `train_on` are the parts of the split whose clips make up `train`: a last training may take validation as well.

    A track shorter than a clip is padded with silence if it is at least half as long, else left out, and noted. Raises
    ConfigError if the clip is longer than every track or a part has no clip, and DatasetChangedError if the dataset
    has another digest than the one that is given: it changed since that was taken.
    """
    device = torch.device(device)
    dataset = open_dataset(config.data.dataset, progress=progress)
    if digest is not None and dataset.digest != digest:
        raise DatasetChangedError(
            f"dataset {dataset.name!r} has changed: digest {digest} before, {dataset.digest} now", "dataset"
        )
    split, shape, ruler = make_split(dataset, config.data), clip_shape(config, dataset), ruler_of(config, dataset)
    stores = {kind: open_store(dataset, config.features, kind, progress=progress) for kind in _kinds(shape)}
    first_store = next(iter(stores.values()))
    starts = starts_of_tracks(first_store.lengths, ruler, config.clips)
    lasts = {track_id: max(0, length - ruler.clip) // ruler.step for track_id, length in first_store.lengths.items()}
    is_levelled = config.features.normalize == "track" and "spectrogram" in stores
    skipped = len(first_store.skipped)
    undecodable = [f"left out, undecodable: {skipped} of {len(dataset.tracks)} tracks"] if skipped else []
    return Clips(
        shape,
        dataset,
        split,
        windows=[_windows(kind, store, shape, ruler.step, device) for kind, store in stores.items()],
        cuts={part: _cuts(train_on if part == "train" else (part,), dataset, starts, lasts, split) for part in parts},
        device=device,
        notes=(*undecodable, *length_notes(first_store.lengths, ruler)),
        levels=levels(stores["spectrogram"]) if is_levelled else None,
        random_offset=config.clips.random_offset,
    )


def _kinds(shape: ClipShape) -> tuple[Kind, ...]:
    """The stores that clips of this shape are cut from, in the order of a batch's `x`."""
    match shape.modality:
        case "spectrogram":
            return ("spectrogram",)
        case "raw":
            return ("waveform",)
        case "both":
            return ("waveform", "spectrogram")


def _windows(kind: Kind, store: Store, shape: ClipShape, step: int, device: torch.device) -> Windows:
    """The windows of one store; clips start every `step` samples, that is every frame."""
    if kind == "waveform":
        return Windows(kind, store, shape.samples, step, device)
    return Windows(kind, store, shape.frames, 1, device)


def _cuts(
    parts: Sequence[Part], dataset: Dataset, starts: Mapping[str, Ints], lasts: Mapping[str, int], split: Split
) -> Cuts:
    """The clips that the split gives to these parts; `lasts` are the latest possible starts by the track's id."""
    chosen: list[tuple[Track, Ints]] = []
    for track in (track for track in dataset.tracks if track.track_id in starts):
        start_K = starts[track.track_id]
        is_of_part_K = np.array([each in parts for each in split.assign(track.track_id, len(start_K))])
        if is_of_part_K.any():
            chosen.append((track, start_K[is_of_part_K]))
    if not chosen:
        raise ConfigError(f"split {split.label} leaves no clip for the {' and '.join(parts)} part", "split")
    track_N = np.repeat(np.arange(len(chosen)), [len(start_K) for _, start_K in chosen])
    return Cuts(
        tracks=tuple(track for track, _ in chosen),
        track_N=track_N,
        start_N=np.concatenate([start_K for _, start_K in chosen]),
        last_start_N=np.array([lasts[track.track_id] for track, _ in chosen])[track_N],
    )
