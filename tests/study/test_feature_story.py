"""The feature of docs/plugins.md, searched as the page says, used afterwards, and exported."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from plugin_files import page_block

from mgc.datasets.registry import open_dataset
from mgc.plugins import use_files
from mgc.plugins.loading import use
from mgc.saved import load_model
from search.record.record import Record
from search.run import main
from search.tracking.mlflow_model import example, export_model

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_ray: None) -> Iterator[SimpleNamespace]:
    """The page's two files, run with two trials of one epoch."""
    monkeypatch.chdir(tmp_path)
    Path("my_features.py").write_text(page_block("Your own features"))
    Path("root_mel.yaml").write_text(page_block("Your own features", "yaml"))
    small = ["--set", "search.trials=2", "--set", "budget.epochs=1", "--set", "params.n_mels=16"]
    code = main(["root_mel.yaml", "--plugin", "my_features.py", *small, "--offline", "--quiet"])
    yield SimpleNamespace(code=code, study=tmp_path / "runs" / "root_mel-001")
    use(())


def test_the_pages_feature_is_searched_saved_used_and_exported(story: SimpleNamespace) -> None:
    assert story.code == 0
    record = Record.open(story.study)
    roots = {trial.params["root"] for trial in record.trials("complete")}
    assert len(roots) == 2
    assert all(0.1 <= root <= 0.6 for root in roots)
    assert [plugin.name for plugin in record.header.plugins] == ["my_features.py"]

    song = next(track.path for track in open_dataset("synthetic").tracks if track.genre == "fizz")
    words = [sys.executable, "-m", "mgc.predict", "--plugin", "my_features.py", "--model", story.study / "model", song]
    predicted = subprocess.run(words, capture_output=True, text=True, check=False)
    assert predicted.returncode == 0, predicted.stderr
    assert re.search(r": \w+ [01]\.\d\d, ", predicted.stdout)

    use_files("my_features.py")
    listener = load_model(story.study / "model").listener
    export_model(story.study / "model", Path("exported"))
    graph = torch.export.load(next(Path("exported").rglob("*.pt2"))).module()
    y_BS = torch.from_numpy(example(listener))
    np.testing.assert_allclose(graph(y_BS).detach(), listener(y_BS).detach(), atol=1e-5)
