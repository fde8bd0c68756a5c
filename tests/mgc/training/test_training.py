"""Training: bit for bit the same however it is interrupted, right in its figures, and clear about what goes wrong."""

from __future__ import annotations

import copy
import io
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from one_device import OneDevice
from tiny_dataset import tiny_config, write_tracks
from torch.nn import functional

from mgc.clips.clips import Batch, Clips, open_clips
from mgc.networks.training_config import TrainingConfig
from mgc.training.device import choose_precision
from mgc.training.metrics import Predictions
from mgc.training.training import Scores, Training, TrainingError

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tracks(tmp_path_factory.mktemp("data") / "tiny", seconds=[1.5] * 8)


@pytest.fixture(autouse=True)
def _cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MGC_CACHE", str(folder.parent / "cache"))


@pytest.fixture
def config(folder: Path) -> TrainingConfig:
    return tiny_config(folder, dropout=0.5)


@pytest.fixture
def clips(config: TrainingConfig) -> Clips:
    return open_clips(config, progress=False)


def untimed(scores: Scores) -> Scores:
    return replace(scores, seconds=0.0, clips_per_s=0.0)


def run(training: Training) -> list[Scores]:
    return [untimed(scores) for scores in training]


def assert_same_weights(training: Training, other: Training) -> None:
    others = other.model.state_dict()
    for name, weight in training.model.state_dict().items():
        assert torch.equal(weight, others[name]), name


VARIANTS: list[dict[str, Any]] = [
    {},
    {"precision": "bf16"},
    {"optimizer": "sgd"},
    {"optimizer": "adamw", "weight_decay": 0.1, "l1_penalty": 1e-4},
    {"modality": "both", "clip_overlap": 0.5},
    {
        "optimizer": "adamw",
        "schedule": "cosine",
        "warmup_epochs": 1,
        "label_smoothing": 0.1,
        "time_masks": 2,
        "freq_masks": 1,
        "mixup_alpha": 0.4,
        "random_offset": True,
        "normalize": "track",
        "batch_norm": True,
        "head": "average",
        "dense_dropout": 0.3,
        "precision": "bf16",
    },
    {
        "modality": "both",
        "optimizer": "sgd",
        "schedule": "one_cycle",
        "gain_db": 6.0,
        "noise_snr_db": 20.0,
        "time_masks": 1,
        "mixup_alpha": 1.0,
        "random_offset": True,
    },
]


@pytest.mark.parametrize("params", VARIANTS, ids=str)
def test_the_same_seed_gives_the_same_bits_whatever_else_the_process_did(folder: Path, params: dict[str, Any]) -> None:
    config = tiny_config(folder, dropout=0.5, **params)
    clips = open_clips(config, progress=False)
    first = Training(config, clips)
    first_scores = run(first)
    torch.rand(17)
    run(Training(tiny_config(folder, seed=5, clip_overlap=0.5), clips))
    second = Training(config, clips)
    assert run(second) == first_scores
    assert_same_weights(first, second)


@pytest.mark.parametrize("params", VARIANTS, ids=str)
@pytest.mark.parametrize("interrupted_after", [0, 1, 2])
def test_a_resumed_training_is_the_undisturbed_one_to_the_bit(
    folder: Path, params: dict[str, Any], interrupted_after: int
) -> None:
    config = tiny_config(folder, dropout=0.5, **params)
    clips = open_clips(config, progress=False)
    undisturbed = Training(config, clips)
    scores = run(undisturbed)
    interrupted = Training(config, clips)
    for _ in range(interrupted_after):
        interrupted.epoch()
    file = io.BytesIO()
    torch.save(interrupted.state_dict(), file)
    torch.rand(17)
    resumed = Training(config, clips)
    resumed.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    assert run(resumed) == scores[interrupted_after:]
    assert_same_weights(resumed, undisturbed)


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_bits(folder: Path, config: TrainingConfig, clips: Clips) -> None:
    Training(tiny_config(folder, seed=5), clips).epoch()
    here = [repr(scores) for scores in run(Training(config, clips))]
    code = (
        "import sys; sys.path[:0] = sys.argv[2:]; from test_training import *\n"
        "config = tiny_config(sys.argv[1], dropout=0.5)\n"
        "print(*run(Training(config, open_clips(config))), sep='\\n')"
    )
    arguments = [sys.executable, "-c", code, str(folder), *map(str, Path(__file__).parents[:3])]
    there = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.splitlines()
    assert there == here


def test_a_training_leaves_the_process_random_state_alone(config: TrainingConfig, clips: Clips) -> None:
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    Training(config, clips).epoch()
    assert torch.equal(torch.rand(5), expected)


def test_the_seed_decides_weights_dropout_and_order(config: TrainingConfig, clips: Clips) -> None:
    other_config = replace(config, seed=1)
    assert untimed(Training(config, clips).epoch()) != untimed(Training(other_config, clips).epoch())


def test_every_epoch_has_its_own_dropout(folder: Path, clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    in_order = clips.batches
    monkeypatch.setattr(clips, "batches", lambda part, size, generator=None: in_order(part, size))
    config = tiny_config(folder, dropout=0.5, optimizer="sgd", lr=1e-30)  # weights that do not move
    first, second, third = (scores.train_loss for scores in Training(config, clips))
    assert len({first, second, third}) == 3


def test_every_epoch_has_its_own_order(folder: Path, clips: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = []

    def recorded(part: str, size: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        if part == "train" and generator is not None:  # without one the statistics read them, once
            orders.append(torch.randperm(100, generator=generator.clone_state()).tolist())
        return batches(part, size, generator=generator)

    batches = clips.batches
    monkeypatch.setattr(clips, "batches", recorded)
    list(Training(tiny_config(folder), clips))
    assert len({tuple(order) for order in orders}) == len(orders) == 3


@pytest.mark.parametrize("params", VARIANTS, ids=str)
def test_no_step_mixes_devices_or_waits_for_one(
    folder: Path, params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The meta device stands in for a GPU: it has no value that could be waited for."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # this and the next it does not know
    monkeypatch.setattr(torch, "_sample_dirichlet", torch.empty_like)
    config = tiny_config(folder, **params)
    clips = open_clips(config, device="meta", progress=False)
    training = Training(config, clips, "meta")
    with OneDevice():
        for batch in clips.batches("train", config.optimizer.batch_size, generator=torch.Generator()):
            training._step(batch)


def test_iteration_ends_after_the_configs_epochs_and_goes_on_where_it_was(config: TrainingConfig, clips: Clips) -> None:
    training = Training(config, clips)
    assert training.epoch().epoch == 1
    assert [scores.epoch for scores in training] == [2, 3]
    assert list(training) == []


def test_a_handful_of_clips_is_learned_by_heart(folder: Path) -> None:
    config = tiny_config(folder, dropout=0.0, lr=3e-3, channels=[16] * 5, epochs=20)
    *_, last = Training(config, open_clips(config, progress=False))
    assert last.train_accuracy == 1
    assert last.train_loss < 0.01
    assert last.val_accuracy == 1


def test_scores_are_those_of_the_models_own_answers(config: TrainingConfig, clips: Clips) -> None:
    training = Training(config, clips)
    scores = training.epoch()
    [batch] = clips.batches("validation", 1000)
    with torch.inference_mode():
        logits_NG = training.model.eval()(batch.x)
    probabilities_NG, y_N, track_N = logits_NG.softmax(1), batch.y_B, batch.track_B
    right = [
        (probabilities_NG[track_N == track].sum(0).argmax() == y_N[track_N == track][0]).item()
        for track in range(clips.num_tracks("validation"))
    ]
    assert scores.val_loss == pytest.approx(functional.cross_entropy(logits_NG, y_N).item(), abs=1e-5)
    assert scores.val_clip_accuracy == pytest.approx((logits_NG.argmax(1) == y_N).float().mean().item())
    assert scores.val_accuracy == scores.val_accuracy_sum == pytest.approx(np.mean(right))


@pytest.mark.parametrize(("vote", "accuracy"), [("none", 1 / 3), ("sum", 1.0), ("majority", 0.0)])
def test_val_accuracy_is_that_of_the_configs_vote(folder: Path, clips: Clips, vote: str, accuracy: float) -> None:
    one_sure_clip_and_two_doubtful = Predictions(
        genres=("high", "low"),
        track_ids=("t",),
        label_M=np.array([0]),
        track_N=np.array([0, 0, 0]),
        probabilities_NG=np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6]]),
        loss=0.5,
    )
    training = Training(tiny_config(folder, vote=vote), clips)
    training.predict = lambda part: one_sure_clip_and_two_doubtful  # type: ignore[method-assign]
    scores = training.epoch()
    assert scores.val_accuracy == pytest.approx(accuracy)
    assert scores.val_clip_accuracy == pytest.approx(1 / 3)
    assert (scores.val_accuracy_sum, scores.val_accuracy_majority, scores.val_loss) == (1.0, 0.0, 0.5)


def test_the_metrics_are_all_numbers_but_the_epoch(config: TrainingConfig, clips: Clips) -> None:
    metrics = Training(config, clips).epoch().metrics()
    assert "epoch" not in metrics
    assert {"val_accuracy", "val_clip_accuracy", "val_f1", "train_loss", "seconds"} <= metrics.keys()
    assert all(math.isfinite(value) for value in metrics.values())


def test_predictions_are_of_the_part_that_is_asked_for(folder: Path) -> None:
    config = tiny_config(folder)
    clips = open_clips(config, parts=("train", "validation", "test"), progress=False)
    predictions = Training(config, clips).predict("test")
    assert predictions.track_ids == clips.track_ids("test")
    assert predictions.probabilities_NG.shape == (clips.num_clips("test"), 2)
    np.testing.assert_allclose(predictions.probabilities_NG.sum(axis=1), 1, rtol=1e-5)
    genres = [predictions.genres[label] for label in predictions.label_M]
    assert all(track_id.startswith(genre) for track_id, genre in zip(predictions.track_ids, genres, strict=True))


def test_predicting_changes_nothing(config: TrainingConfig, clips: Clips) -> None:
    training, other = Training(config, clips), Training(config, clips)
    training.predict("train")
    assert untimed(training.epoch()) == untimed(other.epoch())


def test_a_training_that_diverges_says_so(folder: Path, clips: Clips) -> None:
    training = Training(tiny_config(folder, optimizer="sgd", lr=10.0, l1_penalty=1.0, epochs=100), clips)
    with pytest.raises(TrainingError, match=r"^the training loss is (nan|inf) in epoch \d+: .* \(lr 10, fp32\)$"):
        list(training)


def test_one_step_is_that_of_the_loss_with_its_l1_penalty(folder: Path) -> None:
    config = tiny_config(folder, dropout=0.0, optimizer="sgd", beta1=0.0, lr=0.1, l1_penalty=0.01, batch_size=1000)
    training = Training(config, clips := open_clips(config, progress=False))
    reference = copy.deepcopy(training.model).train()
    [batch] = clips.batches("train", 1000)
    l1 = sum(weight.abs().sum() for weight in reference.parameters() if weight.dim() > 1)
    loss = functional.cross_entropy(reference(batch.x), batch.y_B)
    (loss + 0.01 * l1).backward()
    scores = training.epoch()
    assert scores.train_loss == pytest.approx(loss.item(), rel=1e-5)
    for moved, before in zip(training.model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(moved, before - 0.1 * before.grad, atol=1e-6, rtol=1e-4)


def test_one_step_with_smoothed_labels_is_torchs_own(folder: Path) -> None:
    params = {"optimizer": "sgd", "beta1": 0.0, "lr": 0.1, "label_smoothing": 0.3, "batch_size": 1000}
    training = Training(tiny_config(folder, dropout=0.0, **params), clips := open_clips(tiny_config(folder)))
    reference = copy.deepcopy(training.model).train()
    [batch] = clips.batches("train", 1000)
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.3)(reference(batch.x), batch.y_B)
    loss.backward()
    scores = training.epoch()
    assert scores.train_loss == pytest.approx(loss.item(), rel=1e-5)
    for moved, before in zip(training.model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(moved, before - 0.1 * before.grad, atol=1e-6, rtol=1e-4)
    logits_NG = torch.from_numpy(training.predict("validation").probabilities_NG).log()
    [batch] = clips.batches("validation", 1000)
    assert scores.val_loss == pytest.approx(functional.cross_entropy(logits_NG, batch.y_B).item(), abs=1e-5)


def test_the_learning_rate_moves_with_every_step_of_the_budget(folder: Path, clips: Clips) -> None:
    training = Training(tiny_config(folder, schedule="cosine", optimizer="sgd", lr=0.1, epochs=4), clips)
    rates = []
    for _ in range(4):
        training.epoch()
        rates.append(training.state_dict()["optimizer"]["param_groups"][0]["lr"])
    assert rates == pytest.approx([0.05 * (1 + math.cos(math.pi * epoch / 4)) for epoch in (1, 2, 3, 4)])


@pytest.mark.parametrize(
    ("can", "expected"),
    [({"avx512_bf16": True}, "bf16"), ({"amx_bf16": True}, "bf16"), ({"avx512_f": True}, "fp32"), ({}, "fp32")],
)
def test_a_cpu_takes_bf16_only_where_it_multiplies_in_it(
    monkeypatch: pytest.MonkeyPatch, can: dict[str, bool], expected: str
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: can)
    assert choose_precision("cpu") == expected


def test_auto_precision_is_resolved_when_the_training_is_made(
    folder: Path, clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mgc.training.training.choose_precision", lambda device: "bf16")
    assert Training(tiny_config(folder, precision="auto"), clips).precision == "bf16"
    assert Training(tiny_config(folder, precision="fp32"), clips).precision == "fp32"
