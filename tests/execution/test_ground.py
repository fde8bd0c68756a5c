"""What is refused before a study's first trial: clips that some model of the space cannot take."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mgc.words.errors import ConfigError
from search.execution.ground import prepare
from search.space.space import Space

SPACES = Path(__file__).parents[2] / "spaces"

CONDITIONAL = """
data: {dataset: synthetic}
params:
  model: {choice: [crnn_rnn, crnn_cnn, crnn]}
  n_mels: 128
  clip_seconds: {choice: [0.3, 2.0], when: {model: [crnn_cnn, crnn_rnn]}}
"""

RARE = """
data: {dataset: synthetic}
params:
  model: se_cnn
  spectrogram: log_mel
  r: {uniform: [2, 64]}
  dropout: {uniform: [0, 0.5]}
  lr: {loguniform: [1e-4, 1e-2]}
  batch_size: {choice: [8, 16, 32, 64]}
  channels: {choice: [[8, 8, 8, 8, 8], [16, 16, 16, 16, 16]]}
  clip_seconds: {uniform: [0.7, 30]}
"""


def refusal(path: Path, *overrides: str) -> str | None:
    """The line that refuses a space; None where nothing does."""
    try:
        prepare(Space.load(path, overrides=overrides), device="cpu", make=False)
    except ConfigError as error:
        return str(error)
    return None


def shipped() -> Iterator[Any]:
    for path in sorted(SPACES.glob("*.yaml")):
        yield pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem == "architectures" else [])


@pytest.mark.parametrize("path", shipped())
def test_shipped_spaces_have_clips_that_their_models_take(path: Path) -> None:
    space = Space.load(path)
    assert refusal(path) is None
    for profile in space.profiles:
        prepare(Space.load(path, profile=profile), device="cpu", make=False)


def test_one_too_short_choice_is_refused_with_the_shortest_that_is_taken() -> None:
    option = "params.clip_seconds={choice: [6.0, 3.0, 1.0]}"
    line = refusal(SPACES / "joint.yaml", option)
    rule = "params.clip_seconds must be >= 1.44 for se_cnn, which needs at least 32 frames, got 1 (22 frames)"
    assert line == f"--set {option}: {rule}"
    assert refusal(SPACES / "joint.yaml", "params.clip_seconds={choice: [6.0, 3.0, 1.44]}") is None


def test_too_few_bins_are_refused_by_the_param_and_the_line_that_gives_them(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(CONDITIONAL.replace("n_mels: 128", "n_mels: {choice: [128,\n    32]}"))
    rule = "params.n_mels must be >= 128 for crnn, got 32 (or set picture: [128, "
    assert (refusal(path) or "").startswith(f"{path}:6: {rule}")
    path.write_text(CONDITIONAL.replace("n_mels: 128", "spectrogram: stft_db\n  n_fft: 128\n  hop_length: 64"))
    assert (refusal(path) or "").startswith(f"{path}:6: params.n_fft must be >= 254 for crnn, got 128 (or set")
    assert refusal(path, "params.picture=[128, 128]") is None


def test_a_choice_that_only_one_model_cannot_take_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(CONDITIONAL)
    assert refusal(path) is None
    path.write_text(CONDITIONAL.replace("0.3", "0.1"))
    assert re.match(
        r".*/x\.yaml:6: params\.clip_seconds must be >= 0.163 for crnn_cnn, which needs at least 8 frames, got 0.1 ",
        refusal(path) or "",
    )
    path.write_text(CONDITIONAL.replace("0.1", "0.3").replace("[crnn_cnn, crnn_rnn]", "crnn_rnn"))
    assert refusal(path) is None


def test_the_short_end_of_a_range_is_refused_however_seldom_it_is_drawn(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(RARE)
    assert "clip_seconds must be >= 0.72 for se_cnn" in (refusal(path) or "")
