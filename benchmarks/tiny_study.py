"""A study that trains in milliseconds: its music, its space file, the environment of its drivers, what came out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from search.record.record import Record
from search.study.rerun import TIMES

SR = 8000
SPACE = """\
data: {{dataset: {music}, split: artist, ratios: [50, 25, 25]}}
params:
  model: se_cnn
  r: {{uniform: [2, 16]}}
  lr: {{loguniform: [0.0001, 0.01]}}
  channels: [4, 4, 8, 8, 8]
  spectrogram: log_mel
  sr: 8000
  n_mels: 32
  n_fft: 512
  hop_length: 128
  clip_seconds: 0.6
  clips_per_track: 3
  batch_size: 8
search: {{trials: {trials}, seed: 1}}
budget: {{min_epochs: 1, max_epochs: 9, reduction_factor: 3}}
resources: {{cpus_per_trial: {cpus}}}
"""


def write_space(folder: Path, *, trials: int, cpus_per_trial: int = 1) -> Path:
    """A space file with its music beside it: three genres of eight tracks of 2 s, tones in noise."""
    music = folder / "music"
    rows = ["path,genre,artist"]
    generator = np.random.default_rng(0)
    for genre, hz in (("low", 110), ("middle", 440), ("high", 1760)):
        (music / genre).mkdir(parents=True, exist_ok=True)
        for number in range(8):
            times_s = np.arange(2 * SR) / SR
            tone_S = np.sin(2 * np.pi * hz * (1 + 0.02 * number) * times_s)
            y_S = 0.3 * tone_S + 0.1 * generator.standard_normal(len(times_s))
            soundfile.write(music / genre / f"{number}.wav", y_S, SR)
            rows.append(f"{genre}/{number}.wav,{genre},{genre}-{number // 2}")
    (music / "tracks.csv").write_text("\n".join(rows) + "\n")
    path = folder / "tiny.yaml"
    path.write_text(SPACE.format(music=music, trials=trials, cpus=cpus_per_trial))
    return path


def environment(folder: Path) -> dict[str, str]:
    """Of drivers whose caches lie in this folder; a busy machine is to slow Ray's workers no more than others."""
    own = {"MGC_CACHE": str(folder / "cache"), "RAY_worker_niceness": "0", "OMP_WAIT_POLICY": "PASSIVE"}
    return {**os.environ, **own}


def outcome(record: Record) -> list[dict[str, Any]]:
    """What a study found, trial by trial, without the times."""
    return [
        {
            "number": trial.number,
            "params": dict(trial.params),
            "seed": trial.seed,
            "repeat": trial.repeat,
            "state": trial.state,
            "reason": trial.reason,
            "epochs": [{key: value for key, value in epoch.items() if key not in TIMES} for epoch in trial.epochs],
        }
        for trial in record.trials()
    ]
