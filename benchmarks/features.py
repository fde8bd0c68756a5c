"""From audio files to features that are ready to train on, beside librosa once per overlapping clip."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import librosa
import numpy as np

from benchmarks.figure import Figure
from mgc.config import FeatureConfig
from mgc.datasets.registry import open_dataset
from mgc.features.audio import decode
from mgc.features.features import open_store

CLIP_SECONDS, OVERLAP = 3.0, 0.5
GOALS = {"stft_db": ">= 25x, <= 3x decoding", "log_mel": ">= 10x, <= 3x decoding"}


def figures(data: str, *, quick: bool) -> Iterator[Figure]:
    dataset = open_dataset(data)
    paths = [track.path for track in dataset.tracks if track.path is not None][:100]
    for spectrogram in ("stft_db", "log_mel"):
        config = FeatureConfig(spectrogram=spectrogram, n_fft=1024, hop_length=512)
        rounds = 1 if quick else 3
        pairs = [(store_s(data, config) / len(dataset.tracks), decoding_s(paths, config.sr)) for _ in range(rounds)]
        ours, decoding = min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)
        yield Figure(
            name=f"{spectrogram}, one track from file to store",
            unit="s",
            ours=ours,
            baseline=per_clip_s(paths[: 4 if quick else 10], config),
            baseline_name="librosa per overlapping clip",
            more_is_better=False,
            goal=GOALS[spectrogram],
            limit=f"bare decoding {decoding:.4f} s: {ours / decoding:.1f}x",
        )


def store_s(data: str, config: FeatureConfig) -> float:
    """Seconds to build the store of a dataset in a cache of its own; opening the dataset, hashes included, is apart."""
    with tempfile.TemporaryDirectory() as cache:
        before = os.environ.get("MGC_CACHE")
        dataset = open_dataset(data, progress=False)
        os.environ["MGC_CACHE"] = cache
        try:
            started = time.perf_counter()
            open_store(dataset, config, "spectrogram", progress=False)
            return time.perf_counter() - started
        finally:
            os.environ.pop("MGC_CACHE")
            if before is not None:
                os.environ["MGC_CACHE"] = before


def decoding_s(paths: list[Path], sr: int) -> float:
    """Seconds per track of decoding alone, on all cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        started = time.perf_counter()
        for _ in pool.map(lambda path: decode(path, sr), paths):
            pass
        return (time.perf_counter() - started) / len(paths)


def per_clip_s(paths: list[Path], config: FeatureConfig) -> float:
    """Seconds per track as the papers' code does it: decode, cut, one librosa spectrogram per clip; on one core each,
    and divided by the cores, as if it were run on all of them.
    """
    librosa.feature.melspectrogram(
        y=np.zeros(22_050, np.float32), sr=22_050
    )  # its first call compiles and builds filters
    started = time.perf_counter()
    for path in paths:
        y_S, sr = librosa.load(path, sr=config.sr)
        length = int(CLIP_SECONDS * sr)
        for start in range(0, len(y_S) - length + 1, int(length * (1 - OVERLAP))):
            _spectrogram(y_S[start : start + length], config)
    return (time.perf_counter() - started) / len(paths) / (os.cpu_count() or 1)


def _spectrogram(y_S: np.ndarray, config: FeatureConfig) -> np.ndarray:
    windows = {"n_fft": config.n_fft, "hop_length": config.hop_length}
    if config.spectrogram == "stft_db":
        return librosa.amplitude_to_db(np.abs(librosa.stft(y_S, **windows)), ref=np.max)
    return librosa.power_to_db(
        librosa.feature.melspectrogram(y=y_S, sr=config.sr, n_mels=config.n_mels, **windows), ref=np.max
    )
