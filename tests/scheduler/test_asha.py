"""Stopping ASHA decides as Ray Tune's own does, report by report."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from mgc.words.errors import ConfigError
from search.scheduler.asha import StoppingAsha
from search.scheduler.scheduler import Go, NoScheduler, Pause, Stop, scheduler_of
from search.settings.schedulers import SCHEDULERS
from search.settings.sections import Budget

budgets = st.builds(
    lambda low, high, factor: Budget(min_epochs=low, max_epochs=low + high, reduction_factor=factor),
    st.integers(1, 4),
    st.integers(0, 30),
    st.integers(2, 5),
)
scores = st.one_of(st.integers(0, 4).map(float), st.floats(-1, 1), st.just(math.nan))


class Rays:
    """Ray's ASHAScheduler in our words: its clock is the epoch that we report."""

    def __init__(self, budget, mode):
        rungs = {"grace_period": budget.min_epochs, "max_t": budget.full, "reduction_factor": budget.reduction_factor}
        self.asha = ASHAScheduler(time_attr="epoch", metric="score", mode=mode, **rungs)
        self.trials = {}

    def stops(self, trial, epoch, score):
        if trial not in self.trials:
            self.trials[trial] = Trial("stub", trial_id=str(trial), stub=True)
            self.asha.on_trial_add(None, self.trials[trial])
        answer = self.asha.on_trial_result(None, self.trials[trial], {"epoch": epoch, "score": score})
        return answer == TrialScheduler.STOP


def check_as_ray_decides(budget, mode, reports):
    """Every report before the end of the budget, at which the study itself ends a trial, is answered as Ray answers."""
    ours, rays = (
        StoppingAsha(rungs=budget.rungs(), reduction_factor=budget.reduction_factor, mode=mode),
        Rays(budget, mode),
    )
    stopped = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a percentile of nothing but NaN
        for trial, epoch, score in reports:
            if epoch >= budget.full:
                assert rays.stops(trial, epoch, score)
                continue
            expected = rays.stops(trial, epoch, score)
            assert ours.on_report(trial, epoch, score) == (Stop(f"ASHA after epoch {epoch}") if expected else Go())
            stopped += expected
    return stopped


@settings(max_examples=400, deadline=None)
@given(
    budget=budgets,
    mode=st.sampled_from(["max", "min"]),
    reports=st.lists(st.tuples(st.integers(0, 7), st.integers(1, 35), scores), max_size=60),
)
def test_any_reports_in_any_order_are_answered_as_ray_answers(budget, mode, reports):
    """Epochs twice, backwards, several at once between two rungs, and reports of trials that were stopped before."""
    check_as_ray_decides(budget, mode, reports)


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("seed", range(5))
def test_whole_studies_are_answered_as_ray_answers(mode, seed):
    budget = Budget(min_epochs=2, max_epochs=50, reduction_factor=3)
    generator = np.random.default_rng(seed)
    curves = {trial: np.cumsum(generator.normal(0.02, 0.05, 50)) for trial in range(40)}
    at = dict.fromkeys(curves, 0)
    reports = []
    while at:
        trial = int(generator.choice(list(at)))
        at[trial] += 1
        reports.append((trial, at[trial], curves[trial][at[trial] - 1]))
        if at[trial] == budget.full:
            del at[trial]
    assert check_as_ray_decides(budget, mode, reports) > 20


def test_a_budget_without_rungs_stops_nobody():
    assert isinstance(scheduler_of(Budget(epochs=9), "max"), NoScheduler)
    assert scheduler_of(Budget(epochs=9), "max").on_report(0, 1, -1e9) == Go()
    assert isinstance(scheduler_of(Budget(scheduler="stop"), "max"), StoppingAsha)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_that_a_space_may_name_is_made_and_pauses_if_its_entry_says_so(name):
    scheduler = scheduler_of(Budget(scheduler=name), "max")
    decisions = {type(scheduler.on_report(trial, 1, -trial)) for trial in range(30)}
    assert decisions == {Go, Pause} if SCHEDULERS[name].pauses else {Go, Stop}


def test_a_scheduler_that_there_is_not_is_refused_with_the_names_that_there_are():
    with pytest.raises(
        ConfigError, match=r"^scheduler must be one of promote, stop, got 'stopp' \(did you mean 'stop'\?\)$"
    ):
        Budget.checked({"scheduler": "stopp"})
