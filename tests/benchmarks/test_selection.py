"""The replay of selection rules: on curves whose answer is known, and as NumPy and plain counting have it."""

import numpy as np
import pytest

from benchmarks.curves import COLUMNS, NUM_FOLDS, plans
from benchmarks.selection import RULES, Recorded, _epochs, agreement, found, read, scores, search

EPOCHS = 12


def recorded(num_configs, noise, seed=0):
    """Configs whose worth is known; validation is that worth with noise of its own in every epoch."""
    rng = np.random.default_rng(seed)
    test_C = np.linspace(0.4, 0.6, num_configs)
    val_CFE = test_C[:, None, None] + rng.normal(0, noise, (num_configs, NUM_FOLDS, EPOCHS))
    return Recorded(val_CFE=val_CFE, seconds_CFE=np.ones_like(val_CFE), test_C=test_C)


@pytest.mark.parametrize("num_epochs", [1, 3, 5])
def test_a_mean_is_numpys_over_the_last_epochs(num_epochs):
    curve_E = np.random.default_rng(0).random(EPOCHS)
    expected = [curve_E[max(0, end - num_epochs) : end].mean() for end in range(1, EPOCHS + 1)]
    assert scores(curve_E, num_epochs) == pytest.approx(np.array(expected))


def test_without_noise_every_rule_agrees_and_finds_the_best():
    of = recorded(10, noise=0)
    for rule in RULES:
        assert agreement(of, rule) == pytest.approx(1)
        *_, (_, config) = search(of, scores(of.val_CFE, rule.num_epochs), range(10), 0, folded=rule.folded)
        assert config == 9


def test_with_noise_in_every_epoch_means_and_folds_agree_better_with_the_test():
    last, best, three, five, folds, *_ = (np.mean([agreement(recorded(40, 0.1, seed), rule) for seed in range(5)])
                                         for rule in RULES)  # fmt: skip
    assert last < three < five
    assert last < folds
    assert best < five


def test_a_folded_search_pays_for_its_folds():
    of = recorded(1, noise=0)
    [(plain, _)] = search(of, of.val_CFE, [0], 0, folded=False)
    [(folded, _)] = search(of, of.val_CFE, [0], 0, folded=True)
    assert (plain, folded) == (EPOCHS, NUM_FOLDS * EPOCHS)


def test_asha_goes_by_the_score_at_its_rungs():
    rungs = {1: [0.5, 0.6, 0.7], 3: []}
    assert _epochs(np.full(EPOCHS, 0.4), rungs) == 1
    assert _epochs(np.full(EPOCHS, 0.8), rungs) == EPOCHS
    assert rungs == {1: [0.5, 0.6, 0.7, 0.4, 0.8], 3: [0.8]}


def test_before_anything_is_complete_a_search_is_worth_any_config():
    of = recorded(5, noise=0.1)
    slow = Recorded(val_CFE=of.val_CFE, seconds_CFE=of.seconds_CFE * 1000, test_C=of.test_C)
    assert found(slow, RULES[0], np.random.default_rng(0), 3) == pytest.approx(of.test_C.mean())


def test_only_configs_with_every_training_are_read(tmp_path):
    lines = [",".join(COLUMNS)]
    for plan in plans(2):
        if plan.key != ("1", "2", "0"):
            lines += [f"{','.join(plan.key)},{epoch},0.5,0.{4 + plan.config},1.0" for epoch in (1, 2)]
    (tmp_path / "curves.csv").write_text("\n".join(lines) + "\n")
    of = read(tmp_path / "curves.csv")
    assert (of.val_CFE.shape, of.test_C.tolist()) == ((1, NUM_FOLDS, 2), [0.4])
