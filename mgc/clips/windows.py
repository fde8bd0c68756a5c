"""Windows over a store's rows: where the clips lie in a store, and the gather that makes a batch of them.

Shape suffixes: B clips of a batch, N clips of a part, M tracks of a part, F bins, T frames, S samples; R rows of a
store (frames or samples), W values of a row, L rows of a window, P windows, V = L x W values of a window.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mgc.clips.cutting import Ints
from mgc.features.features import Kind, Store
from mgc.tracks.dataset import Track

RESIDENT_SHARE = 0.2
"""A store is copied to the GPU if it takes at most this share of the GPU's free memory: trials may share a GPU."""


@dataclass(frozen=True)
class Cuts:
    """The clips of one part. For each clip: the index of its track, where it starts, and the latest start that it could
    have; starts are in steps (see mgc.clips.cutting).
    """

    tracks: tuple[Track, ...]
    track_N: Ints
    start_N: Ints
    last_start_N: Ints


def with_random_starts(cuts: Cuts, generator: torch.Generator) -> Cuts:
    """The same clips at starts that are drawn uniformly from the whole track."""
    share_N = torch.rand(len(cuts.start_N), dtype=torch.float64, generator=generator).numpy()
    return replace(cuts, start_N=(share_N * (cuts.last_start_N + 1)).astype(np.int64))


class Windows:
    """Every window of a fixed length over a store's rows, as a view: one gather of windows makes a batch.

    Clips start every `step` rows. The rows are on the device if it is a GPU with room for them, else in the mapped
    file.
    """

    def __init__(self, kind: Kind, store: Store, length: int, step: int, device: torch.device) -> None:
        self._kind, self._length, self._step, self._device = kind, length, step, device
        self._scale, self._tracks = store.scale, store.tracks
        self._has_short_tracks = any(stored.num_rows < length for stored in store.tracks.values())
        rows_RW = store.rows_RW.to(device) if _fits(store.rows_RW, device) else store.rows_RW
        num_rows, width = rows_RW.shape
        self._x_PV = rows_RW.as_strided((num_rows - length + 1, length * width), (width, 1))

    def place(self, cuts: Cuts) -> tuple[Tensor, Tensor]:
        """The first row (N,) of each clip, and the number (N,) of rows from there to the end of its track."""
        stored_M = [self._tracks[track.track_id] for track in cuts.tracks]
        first_N = np.array([stored.first_row for stored in stored_M])[cuts.track_N]
        num_rows_N = np.array([stored.num_rows for stored in stored_M])[cuts.track_N]
        start_N = cuts.start_N * self._step
        home = self._x_PV.device
        return torch.from_numpy(first_N + start_N).to(home), torch.from_numpy(num_rows_N - start_N).to(home)

    def take(self, row_B: Tensor, num_rows_B: Tensor) -> Tensor:
        """The clips at these places, in float32 on the device: pictures (B, 1, F, T) or waveforms (B, S)."""
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
    """Whether a store is copied to this device: only to a GPU, and only if it is small enough."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return rows_RW.nbytes <= RESIDENT_SHARE * free
