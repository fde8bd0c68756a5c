"""The main job's wall time, beside the same trials as a tutorial would run them: a new process for each, its features
computed by librosa, an fp32 loop with a DataLoader.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from ray import tune

from benchmarks.figure import Figure
from benchmarks.trials import quiet_tune_run
from mgc.datasets.registry import open_dataset
from search.execution.spec import TrialSpec, trial_spec
from search.machines.nodes import slots
from search.machines.ray_cluster import cluster
from search.record.record import Record
from search.space.space import Space

SPACE = Path(__file__).parents[1] / "spaces" / "se_ratio.yaml"


def figures(data: str, *, quick: bool) -> Iterator[Figure]:
    folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    with folder as out, mock.patch.dict(os.environ, {"MGC_CACHE": f"{out}/cache"}):
        open_dataset("synthetic", progress=False)  # both find the music made; features are not
        started = time.perf_counter()
        record = main_job(Path(out))
        ours_s = time.perf_counter() - started
        baseline_s, how = plain(record, every=10 if quick else 3)
    yield Figure(
        name="the main job, 50 trials, two at a time",
        unit="s",
        ours=ours_s,
        baseline=baseline_s,
        baseline_name=f"a new process for each trial, its own features, fp32; {how}",
        more_is_better=False,
        goal="<= 240 s, >= 3x",
    )


def main_job(out: Path) -> Record:
    command = [
        sys.executable,
        "-m",
        "search.run",
        str(SPACE),
        "--out",
        str(out),
        "--name",
        "ours",
        "--address",
        "local",
    ]
    subprocess.run([*command, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return Record.open(out / "ours")


def plain(record: Record, *, every: int) -> tuple[float, str]:
    """Seconds that the study's trials take, each for the epochs that it ran; estimated from one in `every`."""
    space = Space.load(SPACE)
    trials = record.trials()
    chosen = trials[::every]
    with cluster("local"), tempfile.TemporaryDirectory() as scratch:
        quiet_tune_run()
        share = slots(space.resources)
        threads = share.cpus_per_trial
        specs = [trial_spec(record, trial, threads=threads) for trial in chosen]
        started = time.perf_counter()
        tune.run(
            tutorial_trial,
            config={"spec": tune.grid_search(specs)},
            storage_path=scratch,
            resources_per_trial=share.request,
            verbose=0,
        )
        seconds = time.perf_counter() - started
    return seconds * len(trials) / len(chosen), f"from {len(chosen)} of the {len(trials)}"


def tutorial_trial(config: Mapping[str, Any]) -> None:
    """One trial as it is usually written."""
    import librosa
    import numpy as np
    import torch
    from torch.nn import functional
    from torch.utils.data import DataLoader, TensorDataset

    from mgc.config import ClipShape
    from mgc.networks.networks import build_model
    from mgc.tracks.splits import make_split

    spec: TrialSpec = config["spec"]
    torch.set_num_threads(spec.threads)
    training = spec.config()
    training = replace(training, features=training.features.model_copy(update={"normalize": "none"}))
    features, clips = training.features, training.clips
    dataset = open_dataset(training.data.dataset, progress=False)
    split = make_split(dataset, training.data)
    parts: dict[str, tuple[list[np.ndarray], list[int]]] = {"train": ([], []), "validation": ([], [])}
    length = int(clips.clip_seconds * features.sr)
    for track in dataset.tracks:
        part = split.parts.get(track.track_id)
        if part not in parts:
            continue
        y_S, _ = librosa.load(track.path, sr=features.sr)
        for start in np.linspace(0, len(y_S) - length, clips.clips_per_track).astype(int):
            x_FT = librosa.feature.melspectrogram(
                y=y_S[start : start + length],
                sr=features.sr,
                n_mels=features.n_mels,
                n_fft=features.n_fft,
                hop_length=features.hop_length,
            )
            parts[part][0].append(librosa.power_to_db(x_FT, ref=np.max) / 80 + 1)
            parts[part][1].append(dataset.genres.index(track.genre))
    sets = {
        part: TensorDataset(torch.tensor(np.stack(x_NFT)[:, None], dtype=torch.float32), torch.tensor(y_N))
        for part, (x_NFT, y_N) in parts.items()
    }
    bins, frames = sets["train"].tensors[0].shape[2:]
    shape = ClipShape(modality="spectrogram", bins=bins, frames=frames, samples=length, picture=None)
    model = build_model(training, shape, len(dataset.genres))
    optimizer = torch.optim.Adam(model.parameters(), training.optimizer.lr)
    for epoch in range(1, spec.known_epochs + 1):
        model.train()
        for x_BCFT, y_B in DataLoader(sets["train"], training.optimizer.batch_size, shuffle=True):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x_BCFT), y_B)
            loss.backward()
            optimizer.step()
            loss.item()
        model.eval()
        with torch.no_grad():
            rights = [
                (model(x_BCFT).argmax(1) == y_B).float().mean().item()
                for x_BCFT, y_B in DataLoader(sets["validation"], training.optimizer.batch_size)
            ]
        tune.report({"epoch": epoch, "val_clip_accuracy": float(np.mean(rights))})
