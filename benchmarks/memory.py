"""Memory that the data of four trials on one node takes, beside one copy of it for each."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import torch

from benchmarks.figure import Figure
from mgc.clips.clips import open_clips
from mgc.config import DataConfig
from mgc.networks.training_config import TrainingConfig, training_config

TRIALS = 4
FRAMES, BINS = 1000, 128


def figures(data: str, *, quick: bool) -> Iterator[Figure]:
    num_tracks = 400 if quick else 1600
    with tempfile.TemporaryDirectory() as folder:
        files = {count: write_features(Path(folder) / f"{count}.npz", count) for count in (40, num_tracks)}
        few, many = (memory_of_trials(str(path)) for path in files.values())
    copy = float(np.dtype(np.uint8).itemsize * (num_tracks - 40) * BINS * FRAMES)
    yield Figure(
        name=f"memory of the data of {TRIALS} trials, {copy / 1e6:.0f} MB of features",
        unit="copies",
        ours=(many - few) / copy,
        baseline=float(TRIALS),
        baseline_name="one copy per trial",
        more_is_better=False,
        goal="<= 1.1 copies",
    )


def write_features(path: Path, num_tracks: int, *, bins: int = BINS, frames: int = FRAMES) -> Path:
    """An .npz of random features, in steps of 1/255, which one byte holds; of four genres."""
    generator = np.random.default_rng(0)
    x_MFT = generator.integers(0, 256, (num_tracks, bins, frames), dtype=np.uint8)
    track_id = np.array([f"genre{number % 4}.{number:05}" for number in range(num_tracks)])
    genre = np.array([f"genre{number % 4}" for number in range(num_tracks)])
    np.savez(path, features=x_MFT, track_id=track_id, genre=genre)
    return path


def memory_of_trials(data: str) -> float:
    """Bytes that as many processes as there are trials take together after an epoch of batches, shared pages once."""
    config = training_config(
        {"model": "se_cnn", "spectrogram": "log_mel", "n_mels": BINS, "clip_seconds": 3.0, "clip_overlap": 0.5},
        data=DataConfig(dataset=data),
        epochs=1,
    )
    open_clips(config, progress=False)  # the store is built once per node
    context = multiprocessing.get_context("spawn")
    barrier, sizes = context.Barrier(TRIALS), context.Queue()
    trials = [context.Process(target=_epoch, args=(config, barrier, sizes)) for _ in range(TRIALS)]
    for trial in trials:
        trial.start()
    found = [sizes.get(timeout=300) for _ in trials]
    for trial in trials:
        trial.join()
    return float(sum(found))


def _epoch(config: TrainingConfig, barrier: Barrier, sizes: multiprocessing.Queue[int]) -> None:
    torch.set_num_threads(1)
    clips = open_clips(config, progress=False)
    for part in clips.parts:
        for batch in clips.batches(part, 64, generator=torch.Generator()):
            assert len(batch.y_B)
    clips.statistics  # noqa: B018
    barrier.wait(300)  # a page is shared by those that have it now
    sizes.put(proportional_bytes())
    barrier.wait(300)


def proportional_bytes() -> int:
    """Memory of this process: its own pages, and its share of those that it has in common with others (PSS)."""
    lines = Path(f"/proc/{os.getpid()}/smaps_rollup").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
