"""Augmentation: what masks hide and mixup mixes, by the papers' own words; and that only training ever hears it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from tiny_dataset import tiny_config, write_tracks
from torch.nn import functional

from mgc.clips.augment import Augmentation, gains, masks, mixed_pairs, mixup_weights, noisy
from mgc.clips.clips import Batch, Clips, open_clips
from mgc.training.training import Training

torch.set_num_threads(1)

CPU = torch.device("cpu")
EVERYTHING: dict[str, Any] = {
    "modality": "both",
    "time_masks": 2,
    "freq_masks": 1,
    "mixup_alpha": 0.4,
    "gain_db": 6.0,
    "noise_snr_db": 10.0,
    "random_offset": True,
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tracks(tmp_path_factory.mktemp("data") / "tiny", seconds=[1.5] * 8)


@pytest.fixture(autouse=True)
def _cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MGC_CACHE", str(folder.parent / "cache"))


def opened(folder: Path, **params: Any) -> tuple[Augmentation, Clips, Batch]:
    config = tiny_config(folder, **params)
    clips = open_clips(config, progress=False)
    [batch] = clips.batches("train", 1000)
    return Augmentation(config.augment, clips), clips, batch


def test_a_mask_is_one_bar_whose_width_and_place_are_uniform() -> None:
    hidden_BN = masks(20_000, 1, 40, 0.26, CPU).numpy()  # 10.4 of 40: at most 10
    edges_B = np.abs(np.diff(np.pad(hidden_BN, ((0, 0), (1, 1))).astype(int), axis=1)).sum(axis=1)
    assert set(edges_B) == {0, 2}  # one bar, or none
    width_B = hidden_BN.sum(axis=1)
    assert stats.chisquare(np.bincount(width_B, minlength=11)).pvalue > 1e-3
    start_B = hidden_BN[width_B == 10].argmax(axis=1)
    assert stats.chisquare(np.bincount(start_B, minlength=31)).pvalue > 1e-3


def test_masks_are_drawn_for_each_clip_and_may_overlap() -> None:
    hidden_BN = masks(2000, 3, 50, 0.2, CPU)
    assert len(torch.unique(hidden_BN, dim=0)) > 1900
    assert hidden_BN.sum(dim=1).max() <= 30
    assert 9 < hidden_BN.sum(dim=1).float().mean() < 15  # three times 5, less where they overlap


def test_a_full_width_may_hide_everything_and_no_masks_hide_nothing() -> None:
    assert masks(2000, 1, 5, 1.0, CPU).all(dim=1).any()
    assert not masks(10, 0, 5, 1.0, CPU).any()


def test_what_is_hidden_is_the_mean_of_its_bin_over_the_training_clips(folder: Path) -> None:
    augmentation, _, batch = opened(folder, time_masks=1, freq_masks=1, time_mask_width=0.5, freq_mask_width=0.5)
    assert isinstance(batch.x, torch.Tensor)
    mean_F = batch.x.mean(dim=(0, 1, 3))
    x_BCFT, label_B = augmentation(batch)
    is_changed = x_BCFT != batch.x
    assert 0.2 < is_changed.float().mean() < 0.6
    torch.testing.assert_close(x_BCFT[is_changed], mean_F[:, None].expand_as(x_BCFT)[is_changed], atol=1e-5, rtol=0)
    assert torch.equal(label_B, batch.y_B)


def test_the_greater_half_of_a_beta_weighs_the_own_clip() -> None:
    for alpha in (0.2, 1.0, 4.0):
        weight_B = mixup_weights(5000, alpha, CPU)
        assert weight_B.min() >= 0.5
        beta = stats.beta(alpha, alpha)
        assert stats.kstest(weight_B.double().numpy(), lambda x, beta=beta: 2 * beta.cdf(x) - 1).pvalue > 1e-3


def test_a_mixed_batch_and_its_loss_are_the_papers_formula(folder: Path) -> None:
    """Zhang et al. (2018), sec. 2: x = w x_i + (1 - w) x_j, y = w y_i + (1 - w) y_j."""
    augmentation, clips, batch = opened(folder, modality="both", mixup_alpha=0.7)
    torch.manual_seed(3)
    (wave_BS, x_BCFT), share_BG = augmentation(batch)
    torch.manual_seed(3)
    partner_B = torch.randperm(len(batch.y_B))
    weight_B = mixup_weights(len(batch.y_B), 0.7, CPU)
    for mixed, own in zip((wave_BS, x_BCFT), batch.x, strict=True):
        shape = (-1, *[1] * (own.dim() - 1))
        expected = weight_B.view(shape) * own + (1 - weight_B.view(shape)) * own[partner_B]
        torch.testing.assert_close(mixed, expected)
    logits_BG = torch.randn(len(batch.y_B), len(clips.genres))
    for smoothing in (0.0, 0.1):
        own_B, other_B = (
            functional.cross_entropy(logits_BG, label_B, reduction="none", label_smoothing=smoothing)
            for label_B in (batch.y_B, batch.y_B[partner_B])
        )
        expected_loss = (weight_B * own_B + (1 - weight_B) * other_B).mean()
        loss = functional.cross_entropy(logits_BG, share_BG, label_smoothing=smoothing)
        torch.testing.assert_close(loss, expected_loss)
    assert torch.equal(share_BG.argmax(dim=1), batch.y_B)
    torch.testing.assert_close(mixed_pairs(weight_B, partner_B, torch.ones_like(weight_B)), weight_B)


def test_gains_are_uniform_in_decibels() -> None:
    level_B = 20 * gains(5000, 6.0, CPU).log10()
    assert stats.kstest(level_B.double().numpy(), stats.uniform(-6, 12).cdf).pvalue > 1e-3


@pytest.mark.parametrize("snr_db", [0.0, 20.0])
def test_noise_is_white_and_as_far_below_each_clip_as_asked(snr_db: float) -> None:
    wave_BS = torch.randn(2, 50_000) * torch.tensor([[0.01], [0.5]])
    noise_BS = noisy(wave_BS, snr_db) - wave_BS
    level_B = 10 * (wave_BS.square().mean(dim=1) / noise_BS.square().mean(dim=1)).log10()
    assert level_B.tolist() == pytest.approx([snr_db, snr_db], abs=0.1)
    assert abs(np.corrcoef(noise_BS[0, 1:], noise_BS[0, :-1])[0, 1]) < 0.02


def test_silence_stays_silent() -> None:
    assert not noisy(torch.zeros(1, 10), 0.0).any()


def test_without_augmentation_nothing_is_drawn_or_changed(folder: Path) -> None:
    augmentation, _, batch = opened(folder, modality="both")
    before = torch.get_rng_state()
    x, label_B = augmentation(batch)
    assert x[0] is batch.x[0] and x[1] is batch.x[1] and label_B is batch.y_B
    assert torch.equal(torch.get_rng_state(), before)


def test_the_batch_itself_is_left_as_it_is(folder: Path) -> None:
    augmentation, clips, batch = opened(folder, **EVERYTHING)
    augmentation(batch)
    [again] = clips.batches("train", 1000)
    assert torch.equal(batch.x[0], again.x[0]) and torch.equal(batch.x[1], again.x[1])


def test_evaluation_hears_clips_as_they_are(folder: Path) -> None:
    plain = tiny_config(folder, modality="both")
    augmented = tiny_config(folder, **EVERYTHING)
    one, other = (Training(config, open_clips(config, progress=False)) for config in (plain, augmented))
    for part in ("train", "validation"):
        expected_NG = one.predict(part).probabilities_NG
        np.testing.assert_array_equal(other.predict(part).probabilities_NG, expected_NG)
    assert one.epoch().train_loss != other.epoch().train_loss
