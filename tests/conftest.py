"""What several tests share: a cache of their own, a Ray cluster, a study, small trees of audio, and real GTZAN where it
is; and how tests are dealt out to several processes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from known_skips import pytest_make_collect_report, pytest_runtest_makereport

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]

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


@pytest.fixture(scope="session")
def ray_address(own_folders: None) -> Iterator[str]:
    """The address of a Ray cluster of two CPUs, for the studies to which it does not matter whose it is."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_AUTH_MODE", raising=False)  # a test's own `ray.init` leaves it: every process must get in
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    yield cluster.address
    cluster.shutdown()


@pytest.fixture
def shared_ray(ray_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that do not say `--address local` run their studies on the cluster that tests share. It asks for no
    token; a Ray of this process's own leaves a setting in the environment that asks for one.
    """
    monkeypatch.setenv("RAY_ADDRESS", ray_address)
    monkeypatch.setenv("RAY_AUTH_MODE", "")
    monkeypatch.delenv("RAY_AUTH_MODE")


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
    return _shared("data/gtzan_mini", "real GTZAN")


@pytest.fixture
def gtzan_logmel() -> Path:
    """All of real GTZAN but one track, as log-mel features."""
    return _shared("data/gtzan_logmel_64x500.npz", "real GTZAN")


@pytest.fixture
def lcbench_folder() -> Path:
    """The surrogate of LCBench."""
    return _shared("data/curves/lcbench", "LCBench")


def _shared(name: str, what: str) -> Path:
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"needs {what}: {path} does not exist (set MGC_SHARED to the folder that holds data/)")
    return path


SHARED_BY = {"tests/report/test_browser.py": "whole study", "tests/study/test_confirm.py": "whole study"}
"""What files share, so that one process has their tests. Each other file is by itself."""


def group(nodeid: str) -> str:
    """The group of a test: of several processes (`-n`), one has all tests of a group.

    >>> group("tests/test_words.py::test_a"), group("tests/study/test_confirm.py::test_b")
    ('tests/test_words.py', 'whole study')
    """
    file = nodeid.partition("::")[0]
    return SHARED_BY.get(file, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out whole groups. xdist's own marks of groups do not reach pytest 9.2, whose tests' names cannot change."""
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

    return ByGroup(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of several processes the groups that take long come first: those with long tests, then those with slow ones."""
    if hasattr(config, "workerinput"):
        num_long: Counter[str] = Counter()
        num_slow: Counter[str] = Counter()
        for item in items:
            num_long[group(item.nodeid)] += bool(item.get_closest_marker("long"))
            num_slow[group(item.nodeid)] += bool(item.get_closest_marker("slow"))
        items.sort(key=lambda item: (-num_long[group(item.nodeid)], -num_slow[group(item.nodeid)]))


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
def whole_study(tmp_path_factory: pytest.TempPathFactory, ray_address: str) -> Path:
    """The folder of a study that was searched, then confirmed once: two seeds of its best network and the default."""
    from tiny_dataset import write_tracks

    from search import confirm, run

    root = tmp_path_factory.mktemp("whole")
    music = write_tracks(root / "music", [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7])
    (root / "whole.yaml").write_text(WHOLE_SPACE.replace("DATASET", str(music)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", ray_address)
        assert run.main([str(root / "whole.yaml"), "--out", str(root / "runs"), "--quiet"]) == 0
        before = root / "runs" / "whole-001" / "report"
        (root / "searched.html").write_bytes((before / "report.html").read_bytes())
        assert confirm.main(["whole-001", "--top", "1", "--seeds", "2", "--out", str(root / "runs"), "--quiet"]) == 0
    return root / "runs" / "whole-001"
