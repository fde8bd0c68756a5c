"""What several tests share: a cache of their own, small trees of audio, and real GTZAN where this machine has it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

SHARED = Path(os.environ.get("MGC_SHARED") or Path(__file__).parents[2] / "shared")


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the user's cache or data, or joins a Ray cluster that happens to run here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", "local")
        patch.setenv("MGC_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("MGC_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(autouse=True)
def no_tracking_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the user's server nor one that an earlier test left set: mlflow.set_tracking_uri writes it there."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")


@pytest.fixture
def audio_folder(tmp_path: Path) -> Path:
    """Two genres of four tracks of one second, tones of different pitch; `tracks.csv` names four artists of each."""
    root = tmp_path / "little"
    rows = ["path,genre,artist"]
    for genre, hz in (("high", 880.0), ("low", 110.0)):
        (root / genre).mkdir(parents=True)
        for number in range(4):
            y_S = 0.5 * np.sin(2 * np.pi * (hz + number) * np.arange(8000) / 8000)
            soundfile.write(root / genre / f"{number}.wav", y_S, 8000, subtype="PCM_16")
            rows.append(f"{genre}/{number}.wav,{genre},{genre} artist {number}")
    (root / "tracks.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def gtzan_mini() -> Path:
    """A hundred tracks of real GTZAN."""
    return _shared("data/gtzan_mini")


@pytest.fixture
def gtzan_logmel() -> Path:
    """All of real GTZAN but one track, as log-mel features."""
    return _shared("data/gtzan_logmel_64x500.npz")


def _shared(name: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"real GTZAN is not here: {path} does not exist (set MGC_SHARED to the folder that holds data/)")
    return path


WHOLE_SPACE = """
description: which r for two kinds of noise
data: {dataset: DATASET, split: track, ratios: [2, 1, 1]}
params:
  model: se_cnn
  r: {uniform: [2, 16]}
  channels: [4, 4, 4, 8, 8]
  spectrogram: log_mel
  sr: 8000
  n_fft: 256
  hop_length: 128
  n_mels: 32
  clip_seconds: 0.6
  clips_per_track: 2
  clip_overlap: null
  batch_size: 8
search: {trials: 4, seed: 3}
budget: {min_epochs: 1, max_epochs: 2, reduction_factor: 2}
published: [{table: Table 2, params: {r: 31.43}, metric: test_accuracy, value: 0.924, dataset: gtzan}]
"""


@pytest.fixture(scope="session")
def whole_study(tmp_path_factory: pytest.TempPathFactory, own_folders: None) -> Path:
    """The folder of a study that was searched, then confirmed once: two seeds of its best network and the default."""
    from tiny_dataset import write_tracks

    from search import confirm, run

    root = tmp_path_factory.mktemp("whole")
    music = write_tracks(root / "music", [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7])
    (root / "whole.yaml").write_text(WHOLE_SPACE.replace("DATASET", str(music)))
    assert run.main([str(root / "whole.yaml"), "--out", str(root / "runs"), "--quiet"]) == 0
    before = root / "runs" / "whole-001" / "report"
    (root / "searched.html").write_bytes((before / "report.html").read_bytes())
    assert confirm.main(["whole-001", "--top", "1", "--seeds", "2", "--out", str(root / "runs"), "--quiet"]) == 0
    return root / "runs" / "whole-001"
