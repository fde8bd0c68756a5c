"""Promoting ASHA: what it pauses and promotes, against the rule written down naively; and its own three rules."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from search.scheduler.promote import EARLY_TRIALS, PROBES, PromotingAsha
from search.scheduler.scheduler import FirstRung, Go, Pause, scheduler_of
from search.settings.sections import Budget
from search.stats import rank_correlation

FULL = 27


class Naive:
    """The same rules, from nothing but the list of all that happened, each time anew."""

    def __init__(self, rungs, factor):
        self.rungs, self.factor, self.scores, self.went_on = rungs, factor, {rung: {} for rung in rungs}, set()

    def better(self, rung, trial):
        def key(each):
            return (-self.scores[rung][each], each)

        return sum(key(other) < key(trial) for other in self.scores[rung])

    def goes_on_at_once(self, rung, trial, score):
        self.scores[rung][trial] = score
        is_early = sum(at == self.rungs[-1] for at, _ in self.went_on) < EARLY_TRIALS
        goes = is_early and self.better(rung, trial) < max(1, len(self.scores[rung]) / self.factor)
        self.went_on |= {(rung, trial)} if goes else set()
        return goes

    def next(self):
        for rung in reversed(self.rungs):
            quota = len(self.scores[rung]) // self.factor
            num_promoted = sum(at == rung for at, _ in self.went_on)
            waiting = [each for each in self.scores[rung] if (rung, each) not in self.went_on]
            for trial in sorted(waiting, key=lambda each: self.better(rung, each)):
                rank = self.better(rung, trial)
                if rank < quota and (num_promoted < quota or rank < max(1, quota // self.factor)):
                    return trial
        return None


def replayed(asha, curves, slots=3, *, naive=None, promotions=None):
    """Trains trials of these curves as a study does; returns the epochs that each has trained."""
    epochs, running, begun = {}, [], 0
    for _ in range(10_000):
        while len(running) < slots:
            number = asha.next()
            if naive is not None:
                assert number == naive.next()
            if number is not None:
                asha.promoted(number)
                if naive is not None:
                    naive.went_on.add((epochs[number], number))
                if promotions is not None:
                    promotions.append(number)
            elif begun < len(curves):
                number, begun = begun, begun + 1
            else:
                break
            running.append(number)
        if not running:
            return epochs
        number = running.pop(0)
        epoch = epochs[number] = epochs.get(number, 0) + 1
        score = curves[number][epoch - 1]
        if epoch == FULL:
            continue
        decision = asha.on_report(number, epoch, score)
        if naive is not None:
            rung = epoch in naive.rungs
            assert decision == (Pause() if rung and not naive.goes_on_at_once(epoch, number, score) else Go())
        if decision == Go():
            running.append(number)
    raise AssertionError("it does not end")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 6), st.integers(2, 4))
def test_it_decides_as_the_rule_written_down_naively(seed, num_trials, slots, factor):
    generator = np.random.default_rng(seed)
    curves = np.round(generator.normal(0, 1, (num_trials, 1)) + generator.normal(0, 0.5, (num_trials, FULL)), 1)
    rungs = Budget(min_epochs=1, max_epochs=FULL, reduction_factor=factor).rungs()
    asha = PromotingAsha(rungs=rungs, reduction_factor=factor, mode="max")
    epochs = replayed(asha, curves.tolist(), slots, naive=Naive(rungs, factor))
    assert set(epochs.values()) <= {*rungs, FULL} and len(epochs) == num_trials


def test_a_lower_loss_is_better_where_less_is():
    curves = np.random.default_rng(0).normal(0, 1, (40, FULL))
    most = PromotingAsha(rungs=(1, 3, 9), reduction_factor=3, mode="max")
    least = PromotingAsha(rungs=(1, 3, 9), reduction_factor=3, mode="min")
    assert replayed(most, curves.tolist()) == replayed(least, (-curves).tolist())


def test_a_score_that_is_not_a_number_is_the_worst():
    asha = PromotingAsha(rungs=(1,), reduction_factor=2, mode="max")
    decisions = [asha.on_report(number, 1, math.nan if number % 2 else float(number)) for number in range(12)]
    assert decisions[0] == Go() and all(decision == Pause() for decision in decisions[1::2])
    for _ in range(12):
        if (number := asha.next()) is None:
            break
        assert number % 2 == 0
        asha.promoted(number)


def test_when_nothing_else_is_to_do_the_deepest_and_best_goes_on():
    asha = PromotingAsha(rungs=(1, 3), reduction_factor=3, mode="max")
    assert asha.best_paused() is None
    replay = {0: 0.9, 1: 0.1, 2: 0.3, 3: 0.2}
    for number, score in replay.items():
        asha.on_report(number, 1, score)
    assert asha.best_paused() == 2
    asha.promoted(2)
    assert asha.best_paused() == 3
    assert [asha.on_report(number, 3, score) for number, score in ((0, 0.5), (2, -5.0))] == [Go(), Pause()]
    assert asha.best_paused() == 2, "a rung deeper"


def test_a_trial_that_reported_further_was_promoted():
    """A record that lost the line of a promotion, or whose reports came by another way."""
    asha = PromotingAsha(rungs=(1, 3), reduction_factor=3, mode="max")
    assert [asha.on_report(number, 1, 1.0 - number) for number in range(2)] == [Go(), Pause()]
    asha.on_report(1, 2, 0.0)
    assert asha.best_paused() is None


@pytest.mark.parametrize(("noise", "first_rung"), [(0.01, 1), (100.0, 3)])
def test_a_first_rung_that_tells_nothing_is_skipped(noise, first_rung):
    generator = np.random.default_rng(3)
    worth = generator.normal(0, 1, (60, 1))
    curves = worth + generator.normal(0, 0.01, (60, FULL))
    curves[:, 0] += generator.normal(0, noise, 60)
    asha = scheduler_of(Budget(max_epochs=FULL), "max")
    epochs = replayed(asha, curves.tolist())
    expected = spearmanr(curves[:PROBES, 0], curves[:PROBES, 2]).statistic
    assert asha.first_rung == FirstRung(first_rung, pytest.approx(expected))
    assert all(epochs[number] >= 3 for number in range(PROBES)), "the probes pass the first rung"
    if first_rung == 3:
        assert all(epochs[number] >= 3 for number in range(PROBES + 3, 60))
    else:
        assert sum(epochs[number] == 1 for number in range(60)) > 20


def test_ranks_of_equal_scores_agree_in_nothing():
    assert math.isnan(rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]))
    assert rank_correlation([-math.inf, 1.0, 2.0], [1.0, 2.0, 3.0]) == pytest.approx(1.0)
