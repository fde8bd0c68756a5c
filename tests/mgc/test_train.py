"""`python -m mgc.train`: what it prints, and what it leaves in its folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_dataset import PARAMS, SMALL_NETWORK, write_tracks

from mgc.clips.clips import open_clips
from mgc.config import DataConfig
from mgc.networks.training_config import training_config
from mgc.saved import load_model
from mgc.train import main
from mgc.training.training import Training, TrainingError

SETTINGS: dict[str, Any] = {
    **{key: value for key, value in (PARAMS | SMALL_NETWORK).items() if key != "model"},
    "clip_seconds": 0.6,
    "clips_per_track": 4,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tracks(tmp_path_factory.mktemp("command") / "music", [1.0] * 6)


def command(folder: Path, out: Path, *more: str, **settings: Any) -> list[str]:
    given = [argument for key, value in settings.items() for argument in ("--set", f"{key}={value}")]
    fixed = ["--model", "se_cnn", "--split", "track", "--device", "cpu", "--data", str(folder), "--out", str(out)]
    return [*fixed, *more, *given]


def test_it_prints_a_line_per_epoch_with_the_splits_name(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(folder, tmp_path, "--epochs", "2", **SETTINGS)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("epoch")] == ["epoch 1/2", "epoch 2/2"]
    assert all("(vote sum, split track)" in line for line in lines if line.startswith("epoch"))
    assert lines[-2:] == [f"model: {tmp_path}/se_cnn-001/model", f"curves: {tmp_path}/se_cnn-001/curves.png"]


@pytest.mark.slow
def test_the_command_is_loaded_once() -> None:
    """As `__main__`; a second time as `mgc.train` would make every class of it twice."""
    command = [sys.executable, "-X", "importtime", "-m", "mgc.train", "--help"]
    imports = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
    modules = {line.rpartition("|")[2].strip() for line in imports}
    assert "mgc.training.training" in modules
    assert "mgc.train" not in modules


def test_the_model_is_to_the_bit_that_of_the_same_training_by_hand(folder: Path, tmp_path: Path) -> None:
    assert main(command(folder, tmp_path, "--epochs", "2", **SETTINGS, seed=7)) == 0
    data = DataConfig.checked({"dataset": str(folder), "split": "track"})
    config = training_config({"model": "se_cnn", **SETTINGS, "seed": 7}, data=data, epochs=2)
    training = Training(config, open_clips(config, progress=False))
    scores = list(training)
    saved = load_model(tmp_path / "se_cnn-001" / "model")
    for name, tensor in training.model.state_dict().items():
        assert torch.equal(saved.model.state_dict()[name], tensor), name
    assert saved.about["scores"]["val_loss"] == scores[-1].val_loss
    assert (tmp_path / "se_cnn-001" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_each_training_has_a_folder_of_its_own(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "se_cnn-001").mkdir()
    assert main(command(folder, tmp_path, "--epochs", "1", **SETTINGS)) == 0
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["se_cnn-001", "se_cnn-002"]
    assert list((tmp_path / "se_cnn-001").iterdir()) == []


def test_a_training_that_fails_is_one_line_and_leaves_no_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(training: Training) -> None:
        raise TrainingError("the training diverged")

    monkeypatch.setattr(Training, "epoch", fail)
    assert main(command(folder, tmp_path, "--epochs", "3", **SETTINGS)) == 1
    assert capsys.readouterr().err.endswith("the training diverged\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"settings": {"dropuot": 0.1}}, "unknown key 'dropuot' (did you mean 'dropout'?)\n"),
        ({"out": "file"}, "no folder can be made in {}/file: File exists\n"),
    ],
)
def test_a_mistake_is_answered_with_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], given: dict[str, Any], message: str
) -> None:
    (tmp_path / "file").touch()
    settings = SETTINGS | given.get("settings", {})
    assert main(command(folder, tmp_path / given.get("out", "x"), **settings)) == 2
    assert capsys.readouterr().err.endswith(message.format(tmp_path))
