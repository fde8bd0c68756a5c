"""Importances: the param that the scores depend on has the largest share; too few scores have none."""

import pytest
from optuna.distributions import FloatDistribution
from small_study import add_trial, new_record

from search.record.trial import Proposal
from search.report import importances as importances_module
from search.report.importances import evenly, importances


@pytest.fixture
def trials(tmp_path):
    """25 trials on a 5 x 5 grid of x and y, by number 0 to 24."""
    record = new_record(tmp_path)
    for number in range(25):
        params = {"x": number // 5 / 4, "y": number % 5 / 4}
        domains = dict.fromkeys(params, FloatDistribution(0, 1))
        record.start(
            Proposal(
                params=params,
                varying=params,
                labels=params,
                distributions=domains,
                seed=0,
                network=str(number),
                repeat=0,
            )
        )
    return record.trials()


def test_what_the_scores_depend_on_has_the_largest_share(trials):
    shares = importances(trials, {trial.number: 10 * trial.params["y"] + trial.params["x"] for trial in trials})
    assert list(shares) == ["y", "x"]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["y"] > 0.9


def test_of_too_many_trials_an_even_sample_is_enough(trials, monkeypatch):
    assert evenly(trials) == trials
    monkeypatch.setattr(importances_module, "MOST_TRIALS", 10)
    assert [trial.number for trial in evenly(trials)] == [0, 2, 5, 7, 10, 12, 15, 17, 20, 22]


def test_one_param_explains_all_and_has_no_bar(tmp_path):
    record = new_record(tmp_path)
    for number in range(25):
        add_trial(record, "complete", [number / 25], r=1.0 + number)
    assert importances(record.trials(), {number: number / 25 for number in range(25)}) == {}


@pytest.mark.parametrize(
    "scores",
    [{}, {3: 0.5}, {number: number / 25 for number in range(19)}, dict.fromkeys(range(25), 0.5)],
    ids=["none", "one", "fewer than 20", "all equal"],
)
def test_scores_that_tell_nothing_apart_have_no_shares(trials, scores):
    assert importances(trials, scores) == {}
