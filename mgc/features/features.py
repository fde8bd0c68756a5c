"""The features of a track: waveform, STFT in dB, log-mel or a plug-in's; and the store that keeps them, computed once
per node.

The spectrograms are torch modules that agree with librosa. They are computed over whole tracks, because decibels are
relative to the track's maximum; clips are cut from the result (mgc.clips.clips).

Shape suffixes: B tracks of a batch, S samples, F frequency bins, K frequencies of the STFT, T frames, R rows of a store
(frames or samples, all tracks one after another), W values in a row.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mgc.config import FeatureConfig
from mgc.features.audio import AudioError, decode
from mgc.features.registry import Feature
from mgc.files.cache import cache_dir
from mgc.files.sealed import sealed
from mgc.tracks.dataset import Dataset, Precomputed, Track
from mgc.words.errors import ConfigError, one_line
from mgc.words.progress import progress as shown

log = logging.getLogger("mgc")

Kind = Literal["spectrogram", "waveform"]
Array = npt.NDArray[Any]

RANGE_DB = 80.0
"""A spectrogram ends so many decibels below the track's maximum (librosa's top_db)."""

FLAT = 1e-4
"""A picture, or a bin of it, with at most this standard deviation counts as constant."""

AMIN = 1e-10
"""Power below this counts as silence (librosa's amin of power_to_db, and the square of that of amplitude_to_db)."""


class STFTdB(nn.Module):
    """STFT magnitude in dB, scaled to [0, 1]: 0 is 80 dB below the track's maximum, 1 the maximum.

    Agrees with `librosa.amplitude_to_db(abs(librosa.stft(y)), ref=np.max, top_db=80)`, so a track of pure silence is 1.
    """

    window_S: Tensor

    def __init__(self, n_fft: int, hop_length: int) -> None:
        super().__init__()
        self.n_fft, self.hop_length = n_fft, hop_length
        self.register_buffer("window_S", torch.hann_window(n_fft), persistent=False)

    def power(self, y_BS: Tensor) -> Tensor:
        """Squared magnitude (B, K, T) with frames centered at multiples of the hop and silence around the track."""
        stft_BKT = torch.stft(
            y_BS, self.n_fft, self.hop_length, window=self.window_S, pad_mode="constant", return_complex=True
        )
        return stft_BKT.real.square() + stft_BKT.imag.square()

    def forward(self, y_BS: Tensor) -> Tensor:
        power_BFT = self.power(y_BS)
        peak_B11 = power_BFT.amax(dim=(1, 2), keepdim=True).clamp(min=AMIN)
        level_BFT = power_BFT.clamp(min=AMIN).div_(peak_B11).log10_()
        return level_BFT.mul_(10 / RANGE_DB).add_(1).clamp_(min=0)


class LogMel(STFTdB):
    """Mel power in dB, scaled as STFTdB: `librosa.power_to_db(librosa.feature.melspectrogram(y=y), ref=np.max)`."""

    filters_FK: Tensor

    def __init__(
        self, sr: int, n_fft: int, hop_length: int, n_mels: int, fmin: float = 0.0, fmax: float | None = None
    ) -> None:
        super().__init__(n_fft, hop_length)
        from librosa.filters import mel  # costs a second, and a store that is ready needs no filters

        filters_FK = torch.from_numpy(mel(sr=sr, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax))
        self.register_buffer("filters_FK", filters_FK, persistent=False)

    def power(self, y_BS: Tensor) -> Tensor:
        """Power (B, F, T) of the mel bands."""
        return (super().power(y_BS).mT @ self.filters_FK.T).mT


def feature_module(config: FeatureConfig) -> nn.Module:
    """The module that turns waveforms (B, S) into the config's pictures (B, F, T), in [0, 1] where it is shipped.

    The weights that a plug-in's module draws are the same in every process.
    """
    if isinstance(config, Feature):
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(0)
            return config.build().eval().requires_grad_(False)
    if config.spectrogram == "stft_db":
        return STFTdB(config.n_fft, config.hop_length)
    return LogMel(config.sr, config.n_fft, config.hop_length, config.n_mels, config.fmin, config.fmax)


def as_stored(x: Tensor, config: FeatureConfig) -> Tensor:
    """Values of a picture as a store has them: in half precision, of a plug-in's feature, which has any scale, in
    single.
    """
    return x.half() if config.plugin is None else x.float()


def fault_of_pictures(x: object, config: FeatureConfig, num_tracks: int, num_samples: int) -> str | None:
    """What is wrong with what a plug-in's module makes of so many tracks; None where nothing is."""
    wanted = (num_tracks, config.bins, 1 + num_samples // config.hop_length)
    if not isinstance(x, Tensor) or tuple(x.shape) != wanted:
        got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        return (
            f"must give pictures of the shape {wanted} (tracks, bins, 1 + samples // hop_length) for "
            f"{num_tracks} x {num_samples} samples, got {got}"
        )
    if not x.is_floating_point():
        return f"must give real numbers, got {x.dtype}"
    return None if x.isfinite().all() else "gives values that are no finite numbers"


@dataclass(frozen=True)
class Stored:
    """Where a track lies in a store. `length` is the length of its audio in samples (precomputed: in frames)."""

    first_row: int
    num_rows: int
    length: int


@dataclass(frozen=True, kw_only=True)
class Store:
    """One kind of features of every usable track. It is memory-mapped: the processes of a node share one copy.

    A row is a frame of a spectrogram or a sample of a waveform, so any window of a track is one block of memory. After
    the last track comes silence, as long as the longest track, so that a window may reach beyond the end.
    """

    rows_RW: Tensor
    tracks: Mapping[str, Stored]
    skipped: Mapping[str, str]
    """Why a track could not be used, by its id."""

    @property
    def lengths(self) -> dict[str, int]:
        """Length of each track by its id, see `Stored`."""
        return {track_id: stored.length for track_id, stored in self.tracks.items()}

    @property
    def scale(self) -> float:
        """The factor of stored values that brings spectrograms to [0, 1] and waveforms to [-1, 1)."""
        return {torch.float16: 1.0, torch.float32: 1.0, torch.uint8: 1 / 255, torch.int16: 1 / 32_768}[
            self.rows_RW.dtype
        ]


def open_store(dataset: Dataset, config: FeatureConfig, kind: Kind, *, progress: bool = True) -> Store:
    """The dataset's store for these features; it is built if this node does not have it yet, or a damaged one.

    Undecodable tracks are skipped with a warning each; a dataset without any usable track is a ConfigError.
    """
    setting = _setting(dataset, config, kind)
    key = hashlib.sha256(json.dumps(setting, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_dir() / "features" / f"{setting['kind']}-{key}"
    return _read_store(sealed(path, partial(_build, dataset, config, kind, progress)))


def levels(store: Store) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation of each track's whole picture, by its id; a constant picture has deviation 1."""
    by_track = {}
    for track_id, stored in store.tracks.items():
        rows_RF = store.rows_RW[stored.first_row : stored.first_row + stored.num_rows].double() * store.scale
        deviation, mean = (value.item() for value in torch.std_mean(rows_RF, correction=0))
        by_track[track_id] = (mean, deviation if deviation > FLAT else 1.0)
    return by_track


def _setting(dataset: Dataset, config: FeatureConfig, kind: Kind) -> dict[str, Any]:
    """Everything that a store's content depends on. Raise `format` when this file computes or writes other values."""
    setting: dict[str, Any] = {"format": 1, "dataset": dataset.digest, "kind": kind}
    if dataset.precomputed is not None:
        return {**setting, "kind": "embedding" if dataset.precomputed.is_embedding else "precomputed"}
    if kind == "waveform":
        return {**setting, "sr": config.sr}
    if config.plugin is not None:
        fields = config.model_dump(exclude={"modality", "normalize"})
        return {**setting, "kind": config.spectrogram, **fields, "plugin": config.plugin}
    of_picture = {"sr", "n_fft", "hop_length"}
    if config.spectrogram == "log_mel":
        of_picture |= {"n_mels", "fmin", "fmax"}
    return {**setting, "kind": config.spectrogram, **config.model_dump(include=of_picture)}


def _read_store(path: Path) -> Store:
    about = json.loads((path / "store.json").read_text())
    data = path / "rows.bin"
    dtype: torch.dtype = getattr(torch, about["dtype"])
    flat = torch.from_file(str(data), shared=False, size=data.stat().st_size // dtype.itemsize, dtype=dtype)
    return Store(
        rows_RW=flat.view(-1, about["width"]),
        tracks={track_id: Stored(**stored) for track_id, stored in about["tracks"].items()},
        skipped=about["skipped"],
    )


@dataclass(frozen=True)
class _TrackRows:
    rows_RW: Array
    length: int


def _build(dataset: Dataset, config: FeatureConfig, kind: Kind, progress: bool, path: Path) -> None:
    """Write the folder of a store: `rows.bin` and, describing it, `store.json`."""
    path.mkdir()
    results = shown(
        zip(dataset.tracks, _rows_of_tracks(dataset, config, kind), strict=True),
        what=f"{dataset.name}: computing the {kind}s of {len(dataset.tracks)} tracks",
        total=len(dataset.tracks),
        show=progress,
    )
    with open(path / "rows.bin", "wb") as file:
        about = _write(file, results)
    if not about["tracks"]:
        reason = next(iter(about["skipped"].values()), "it is empty")
        raise ConfigError(f"dataset {dataset.name!r} has no usable track: {reason}", "dataset")
    (path / "store.json").write_text(json.dumps(about))


def _write(file: BinaryIO, results: Iterable[tuple[Track, _TrackRows | AudioError]]) -> dict[str, Any]:
    """Write the rows of all tracks, then silence; returns the description that `_read_store` reads."""
    tracks: dict[str, dict[str, int]] = {}
    skipped: dict[str, str] = {}
    first_row, most_bytes, rows_RW = 0, 0, np.empty((0, 1))
    for track, result in results:
        if isinstance(result, AudioError):
            log.warning("skipped track %s: %s", track.track_id, result)
            skipped[track.track_id] = str(result)
            continue
        rows_RW = result.rows_RW
        file.write(rows_RW.data)
        tracks[track.track_id] = asdict(Stored(first_row, len(rows_RW), result.length))
        first_row += len(rows_RW)
        most_bytes = max(most_bytes, rows_RW.nbytes)
    file.truncate(file.tell() + most_bytes)  # a hole: silence that takes no space on disk
    return {"dtype": rows_RW.dtype.name, "width": rows_RW.shape[1], "tracks": tracks, "skipped": skipped}


def _rows_of_tracks(dataset: Dataset, config: FeatureConfig, kind: Kind) -> Iterator[_TrackRows | AudioError]:
    """The rows of every track, or why it has none, in the dataset's order."""
    if dataset.precomputed is not None:
        yield from _precomputed_rows(dataset.precomputed)
        return
    rows = _waveform_rows if kind == "waveform" else partial(_spectrogram_rows, feature_module(config), config)
    pool = ThreadPoolExecutor(_num_cores())  # threads suffice: decoding and Fourier transform release the GIL
    try:
        with _one_torch_thread():
            yield from pool.map(partial(_decoded_rows, rows, config.sr), dataset.tracks)
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupted build does not decode the rest first


def _precomputed_rows(precomputed: Precomputed) -> Iterator[_TrackRows]:
    for x_FT in precomputed.pictures():
        if precomputed.is_embedding:
            yield _embedding_rows(precomputed, x_FT)
            continue
        if x_FT.dtype != np.uint8:
            if not (x_FT.min() >= 0 and x_FT.max() <= 1):
                raise ConfigError(f"{precomputed.path}: features must be uint8 or floats in [0, 1]", "dataset")
            x_FT = x_FT.astype(np.float16)
        yield _TrackRows(np.ascontiguousarray(x_FT.T), x_FT.shape[1])


def _embedding_rows(precomputed: Precomputed, x_DT: Array) -> _TrackRows:
    """Frames (R, D) in single precision: the values of embeddings have no common scale."""
    x_TD = np.ascontiguousarray(x_DT.T, dtype=np.float32)
    if not np.isfinite(x_TD).all():
        raise ConfigError(f"{precomputed.path}: embeddings must be finite numbers", "dataset")
    return _TrackRows(x_TD, len(x_TD))


def _decoded_rows(rows: Callable[[Array], Array], sr: int, track: Track) -> _TrackRows | AudioError:
    assert track.path is not None
    try:
        y_S = decode(track.path, sr)
    except AudioError as error:
        return error
    try:
        return _TrackRows(rows(y_S), len(y_S))
    except ConfigError as error:
        raise ConfigError(f"{error} (track {track.track_id})", error.key) from None


def _waveform_rows(y_S: Array) -> Array:
    """Samples (R, 1) as 16-bit integers, the exact values of a 16-bit file; samples beyond full scale are clipped."""
    y_R: Array = np.clip(np.rint(y_S * 32_768), -32_768, 32_767).astype(np.int16)
    return y_R[:, None]


@torch.inference_mode()
def _spectrogram_rows(module: nn.Module, config: FeatureConfig, y_S: Array) -> Array:
    """Frames (R, F). Raises ConfigError for what a plug-in's module cannot do with this track."""
    y_1S = torch.from_numpy(y_S)[None]
    x_1FT = _declared_picture(module, config, y_1S) if isinstance(config, Feature) else module(y_1S)
    rows_RW: Array = as_stored(x_1FT[0].T, config).contiguous().numpy()
    return rows_RW


def _declared_picture(module: nn.Module, config: Feature, y_1S: Tensor) -> Tensor:
    try:
        x_1FT = module(y_1S)
        fault = fault_of_pictures(x_1FT, config, *y_1S.shape)
    except Exception as error:  # whatever it may be, the code is the user's
        fault = f"fails: {type(error).__name__}: {one_line(error)}"
    if fault is not None:
        raise ConfigError(f"{config.place}: feature {config.spectrogram} {fault}", "spectrogram")
    picture_1FT: Tensor = x_1FT
    return picture_1FT


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """One thread per operation of torch, because as many operations as there are cores run at the same time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _num_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@torch.inference_mode()
def small_pictures(
    dataset: Dataset, config: FeatureConfig, track_ids: Iterable[str], *, most: tuple[int, int]
) -> dict[str, Array]:
    """Pictures (F, T) of whole tracks for people, as uint8: 255 is the track's maximum, 0 is 80 dB below it; of a
    plug-in's feature, 0 is its minimum.

    They are averaged down to at most `most` rows and columns. For modality `raw` the picture is the spectrogram that
    the config describes.
    """
    kind: Kind = "waveform" if config.modality == "raw" else "spectrogram"
    store = open_store(dataset, config, kind, progress=False)
    pictures = {}
    for track_id in track_ids:
        stored = store.tracks[track_id]
        rows_RW = store.rows_RW[stored.first_row : stored.first_row + stored.num_rows].float() * store.scale
        x_FT = rows_RW.T if kind == "spectrogram" else feature_module(config)(rows_RW.T)[0]
        size = (min(x_FT.shape[0], most[0]), min(x_FT.shape[1], most[1]))
        small_FT = torch.nn.functional.adaptive_avg_pool2d(x_FT[None], size)[0]
        if config.plugin is not None:
            low, high = small_FT.aminmax()
            small_FT = (small_FT - low) / (high - low).clamp(min=FLAT)
        pictures[track_id] = (255 * small_FT).round().byte().numpy()
    return pictures
