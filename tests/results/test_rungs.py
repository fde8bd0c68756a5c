"""What a study says of its first rung, by the trials that went on from there."""

import math

import pytest
from small_study import add_trial, new_record

from search.record.notes import FIRST_RUNG
from search.results.rungs import rung_agreement, rung_warning

ORDERS = {"same": range(8), "chance": (3, 6, 0, 7, 2, 5, 1, 4), "reverse": range(7, -1, -1)}


@pytest.fixture
def record(tmp_path):
    return new_record(tmp_path, trials=30, rungs=[1], max_epochs=3)


def study(record, order, *, num_stopped=5):
    """Trials that went on, in this order after the last epoch, and some that did not."""
    for first, last in enumerate(order):
        add_trial(record, "complete", [0.3 + first / 100, 0.5, 0.6 + last / 100], r=2.0 + first)
    for number in range(num_stopped):
        add_trial(record, "stopped", [0.1], r=20.0 + number)
    return record.trials()


@pytest.mark.parametrize(("order", "correlation"), [("same", 1.0), ("reverse", -1.0), ("chance", -0.0952)])
def test_the_ranks_of_the_first_rung_are_compared_with_those_of_the_trials_that_went_on(record, order, correlation):
    agreement = rung_agreement(record.header, study(record, ORDERS[order]))
    assert (agreement.rung, agreement.later, agreement.num_trials) == (1, 3, 8)
    assert agreement.correlation == pytest.approx(correlation, abs=1e-3)
    assert agreement.is_chance == (order != "same")


def test_a_first_rung_that_ranks_no_better_than_chance_is_said_with_what_was_compared(record):
    assert rung_warning(record, study(record, ORDERS["chance"])) == (
        "the order of trials after epoch 1 says no more than chance about that after 3: rank correlation -0.10 over "
        "the 8 trials that reached it, mostly the best of epoch 1"
    )


def test_of_few_trials_and_without_rungs_nothing_is_said(record, tmp_path):
    assert rung_warning(record, study(record, ORDERS["chance"][:7])) is None
    without = new_record(tmp_path / "without", trials=30)
    assert rung_agreement(without.header, study(without, ORDERS["same"])) is None


def test_equal_scores_rank_nothing(record):
    for _ in range(8):
        add_trial(record, "complete", [0.1, 0.2, 0.3])
    agreement = rung_agreement(record.header, record.trials())
    assert math.isnan(agreement.correlation) and agreement.is_chance


def test_what_the_probes_showed_goes_before_the_trials_that_were_chosen(record):
    trials = study(record, ORDERS["chance"])
    record.note(FIRST_RUNG, {"epoch": 1, "agreement": 0.8})
    assert rung_warning(record, trials) is None
