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
    """No test reads or writes the user's cache or data."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MGC_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("MGC_DATA", str(tmp_path_factory.mktemp("data")))
        yield


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
