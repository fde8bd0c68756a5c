"""Embeddings as a dataset, and the probe that is trained on them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from tiny_dataset import write_tracks
from torch import nn

from mgc.clips.clips import open_clips
from mgc.clips.cutting import clip_shape
from mgc.config import DataConfig
from mgc.datasets.registry import open_dataset
from mgc.models.layers import PoolTime
from mgc.networks.networks import build_model
from mgc.networks.training_config import TrainingConfig, training_config
from mgc.saved import load_model, save_model
from mgc.training.training import Training
from mgc.words.errors import ConfigError
from search.execution.ground import prepare
from search.space.space import Space

SPACES = Path(__file__).parents[3] / "spaces"
GENRES, NUM_TRACKS, DIMS = 3, 60, 12


def write_embeddings(path: Path, *, frames: int | None = None, **more: Any) -> np.ndarray:
    """Embeddings (N, D) or (N, T, D) around a center for each genre, of very different scales; returns them."""
    rng = np.random.default_rng(0)
    scales = 10.0 ** rng.uniform(-3, 4, DIMS)
    genre_N = np.arange(NUM_TRACKS) % GENRES
    shape = (NUM_TRACKS, DIMS) if frames is None else (NUM_TRACKS, frames, DIMS)
    centers = rng.normal(size=(GENRES, DIMS))[genre_N].reshape(NUM_TRACKS, *[1] * (len(shape) - 2), DIMS)
    embeddings = ((centers + 0.7 * rng.normal(size=shape)) * scales).astype(np.float32)
    ids = [f"track {number}" for number in range(NUM_TRACKS)]
    np.savez(path, embeddings=embeddings, track_id=ids, genre=[f"genre {genre}" for genre in genre_N], **more)
    return embeddings


def probe(path: Path, *, epochs: int = 1, **params: Any) -> TrainingConfig:
    data = DataConfig.checked({"dataset": str(path), "split": "track", "ratios": [3, 1, 1]})
    fixed = {"model": "probe", "spectrogram": "embedding", "dims": DIMS, "precision": "fp32"}
    return training_config({**fixed, **params}, data=data, epochs=epochs)


@pytest.mark.parametrize("frames", [None, 1, 5])
def test_a_clip_holds_the_embeddings_of_its_track_whatever_their_scale(tmp_path: Path, frames: int | None) -> None:
    embeddings = write_embeddings(tmp_path / "e.npz", frames=frames)
    clips = open_clips(probe(tmp_path / "e.npz"), progress=False)
    [batch] = clips.batches("train", NUM_TRACKS)
    for x_CDT, track in zip(batch.x, batch.track_B, strict=True):
        number = int(clips.track_ids("train")[track].split()[1])
        expected_TD = embeddings[number].reshape(-1, DIMS)
        assert np.array_equal(x_CDT[0].numpy().T, expected_TD)


def test_without_layers_it_is_logistic_regression(tmp_path: Path) -> None:
    """With scikit-learn's weights its logits are scikit-learn's, and training comes near to its loss."""
    write_embeddings(tmp_path / "e.npz", frames=4)
    config = probe(tmp_path / "e.npz", epochs=150, lr=0.03, batch_size=36)
    clips = open_clips(config, progress=False)
    training = Training(config, clips)
    [batch] = clips.batches("train", NUM_TRACKS)
    mean_D, deviation_D = (level.numpy() for level in clips.statistics)
    pooled_BD = ((batch.x[:, 0].mT.numpy() - mean_D) / deviation_D).mean(axis=1)
    reference = LogisticRegression(C=np.inf, max_iter=5000).fit(pooled_BD, batch.y_B.numpy())
    for scores in training:
        last = scores
    assert last.train_accuracy == reference.score(pooled_BD, batch.y_B.numpy())
    [linear] = [layer for layer in training.model.modules() if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(reference.coef_))
        linear.bias.copy_(torch.from_numpy(reference.intercept_))
        logits_BG = training.model.eval()(batch.x).numpy()
    np.testing.assert_allclose(logits_BG, reference.decision_function(pooled_BD), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ("mean", lambda x: [x.mean(-1)]),
        ("max", lambda x: [x.max(-1)]),
        ("mean_max", lambda x: [x.mean(-1), x.max(-1)]),
        ("mean_deviation", lambda x: [x.mean(-1), x.std(-1)]),
    ],
)
def test_pooling_is_numpys(pooling: str, expected: Any) -> None:
    x_BCFT = np.random.default_rng(1).normal(size=(2, 1, 3, 7))
    pooled = PoolTime(pooling)(torch.from_numpy(x_BCFT)).numpy()
    np.testing.assert_allclose(pooled, np.concatenate([each.reshape(2, -1) for each in expected(x_BCFT)], axis=1))


def test_the_deviation_of_a_single_frame_gives_finite_gradients() -> None:
    x_BCFT = torch.randn(2, 1, 3, 1, requires_grad=True)
    PoolTime("mean_deviation")(x_BCFT).sum().backward()  # type: ignore[no-untyped-call]
    assert x_BCFT.grad is not None
    assert x_BCFT.grad.isfinite().all()


def test_layers_are_as_many_as_the_config_says(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "e.npz")
    config = probe(tmp_path / "e.npz", layers=[7, 5], dropout=0.5, pooling="mean_max")
    model = build_model(config, clip_shape(config, open_dataset(str(tmp_path / "e.npz"))), GENRES)
    sizes = [tuple(layer.weight.shape) for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert sizes == [(7, 2 * DIMS), (5, 7), (GENRES, 5)]
    with pytest.raises(ConfigError, match=r"^layers must have at most 2 items, got \[1, 2, 3\]$"):
        probe(tmp_path / "e.npz", layers=[1, 2, 3])


def test_a_saved_probe_loads_and_hears_no_audio(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "e.npz")
    training = Training(config := probe(tmp_path / "e.npz"), open_clips(config, progress=False))
    model = load_model(save_model(tmp_path / "model", training))
    assert model.config == config
    with pytest.raises(ConfigError, match="hears no audio"):
        model.predict(np.zeros(22_050, dtype=np.float32))


def test_the_shipped_space_takes_what_the_file_fixes(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "e.npz", frames=3, artist=[f"artist {n}" for n in range(NUM_TRACKS)])
    space = Space.load(SPACES / "probe.yaml", data=str(tmp_path / "e.npz"))
    ground = prepare(space, device="cpu", progress=False)
    assert (ground.space.params["spectrogram"].value, ground.space.params["dims"].value) == ("embedding", DIMS)
    params = ground.space.sample(1)[0]
    assert ground.network_key(params) == ground.network_key({**params, "seed": 5})
    assert ground.open_clips([params], progress=False).shape.bins == DIMS


@pytest.mark.parametrize(
    ("arrays", "line"),
    [
        ({"embeddings": np.zeros((4, 2, 3, 1))},
         "embeddings must be tracks x frames x dims or tracks x dims, got the shape (4, 2, 3, 1)"),
        ({"embeddings": np.zeros((4, 3), dtype=int)}, "embeddings must be floats, got int64"),
        ({"embeddings": np.zeros((4, 3)), "features": np.zeros((4, 3, 2))},
         "must have features or embeddings, got both"),
        ({"embeddings": np.zeros((5, 3))}, "track_id must have 5 items, got the shape (4,)"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_one_line(tmp_path: Path, arrays: dict[str, Any], line: str) -> None:
    np.savez(tmp_path / "e.npz", track_id=list("abcd"), genre=list("xyxy"), **arrays)
    with pytest.raises(ConfigError, match=f"^{re.escape(f'{tmp_path}/e.npz: {line}')}$"):
        open_dataset(str(tmp_path / "e.npz"))


def test_embeddings_that_are_no_numbers_are_one_line(tmp_path: Path) -> None:
    embeddings = np.random.default_rng(0).normal(size=(12, DIMS))  # equal ones would be repetitions of one track
    embeddings[5, 3] = np.nan
    np.savez(tmp_path / "e.npz", track_id=np.arange(12), genre=list("xy") * 6, embeddings=embeddings)
    with pytest.raises(ConfigError, match=r"e\.npz: embeddings must be finite numbers$"):
        open_clips(probe(tmp_path / "e.npz"), progress=False)


def test_audio_has_no_embeddings_and_embeddings_no_other_picture(tmp_path: Path) -> None:
    write_embeddings(tmp_path / "e.npz")
    config = training_config(
        {"model": "probe"}, data=DataConfig.checked({"dataset": str(tmp_path / "e.npz")}), epochs=1
    )
    with pytest.raises(ConfigError, match=r"^spectrogram must be 'embedding', as in e, got 'log_mel'$"):
        clip_shape(config, open_dataset(str(tmp_path / "e.npz")))
    with pytest.raises(ConfigError, match=r"^dims must be a number beside spectrogram embedding, got null$"):
        training_config({"model": "probe", "spectrogram": "embedding"}, data=DataConfig(), epochs=1)
    config = probe(tmp_path / "e.npz")
    line = "spectrogram must be stft_db or log_mel for synthetic, which holds audio, got 'embedding'"
    with pytest.raises(ConfigError, match=f"^{line}$"):
        clip_shape(config, open_dataset("synthetic", make=False))


def test_the_script_of_the_page_makes_embeddings_that_a_probe_learns_from(tmp_path: Path) -> None:
    page = (SPACES.parent / "docs" / "plugins.md").read_text()
    [script] = [each for each in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S) if "embed.py" in each]
    (tmp_path / "embed.py").write_text(script)
    music = write_tracks(tmp_path / "music", [6.1 + number / 10 for number in range(8)])
    command = [sys.executable, "embed.py", str(music)]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(SPACES.parent)}, check=False)
    assert done.returncode == 0
    dataset = open_dataset(str(tmp_path / "embeddings.npz"))
    assert dataset.precomputed is not None
    assert (dataset.precomputed.bins, dataset.precomputed.frames, dataset.precomputed.frame_seconds) == (64, 2, 3.0)
    config = probe(tmp_path / "embeddings.npz", epochs=20, dims=64, clip_seconds=6.0, lr=0.01)
    *_, last = Training(config, open_clips(config, progress=False))
    assert last.val_accuracy == 1
