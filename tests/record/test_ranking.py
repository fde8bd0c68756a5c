"""Which trial is best, and which trials are one network, wherever results are listed."""

import pytest
from small_study import HEADER, add_trial, new_record, study_header

from search.record.header import StudyHeader
from search.record.ranking import networks, ranked, repeats
from search.settings.objectives import Objectives

HIGHEST = Objectives(metrics=("val_accuracy",), modes=("max",))
LOWEST = Objectives(metrics=("val_accuracy",), modes=("min",))


@pytest.fixture
def record(tmp_path):
    return new_record(tmp_path)


def test_the_best_is_the_complete_trial_with_the_best_finite_score(record):
    for state, score in (("complete", 0.5), ("complete", float("nan")), ("stopped", 0.9), ("complete", 0.5)):
        add_trial(record, state, [score])
    assert [trial.number for trial in ranked(record.trials(), HIGHEST)] == [0, 3]


def test_a_loss_is_better_when_smaller(record):
    add_trial(record, "complete", [0.5], r=2.0)
    add_trial(record, "complete", [0.4], r=32.0)
    add_trial(record, "complete", [0.6], r=32.0)
    found = networks(record.trials(), LOWEST)
    assert [network.scores for network in found] == [(0.4, 0.6), (0.5,)]
    assert found[0].std == pytest.approx(0.1414, abs=1e-4)


def test_a_network_shows_one_value_or_the_range_of_its_trials(record):
    for r in (31.0, 32.0, 8.0):
        add_trial(record, "complete", [0.5], r=r)
    spread, single = networks(record.trials(), HIGHEST)
    assert (spread.values("r"), single.values("r"), single.values("absent")) == ("31 to 32", "8", "-")


def test_trials_of_one_network_know_each_other_in_every_state(record):
    add_trial(record, "failed", r=31.0)
    add_trial(record, r=32.0)
    add_trial(record, r=8.0)
    assert repeats(record.trials()) == {0: [1], 1: [0], 2: []}


def test_several_objectives_are_compared_by_the_first():
    heading = study_header(metric=["val_loss", "seconds"], mode=["min", "min"])
    assert (heading.metric, heading.mode) == ("val_loss", "min")


def test_a_header_may_lack_what_only_the_data_tell():
    early = {key: HEADER[key] for key in ("space", "created", "metric", "mode", "trials", "max_epochs")}
    assert StudyHeader.of_json(early, "test").cautions == ()
