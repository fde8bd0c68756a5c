"""The replay of searches on recorded curves: on curves whose course is known beforehand."""

import csv
import json

import numpy as np
import pytest
from ray.tune.schedulers import FIFOScheduler

from benchmarks import quality
from benchmarks.joint_curves import CONFIGS, CURVES, SCORES, SPACE, Curves, read
from benchmarks.quality import Course, Nearest, PlainOptuna, RaysOptuna, domains, never, ratio, replay, times
from search.rungs import asha
from search.space import Space


@pytest.fixture(scope="module")
def space():
    return Space.load(SPACE)


@pytest.fixture(scope="module")
def curves(space):
    """Configs whose final score grows with dropout, 0.1 to 0.6, in a straight line from 0.1; an epoch is a second."""
    params = tuple({name: config[name] for name in space.varying} for config in space.sample(60))
    best_C = np.array([0.1 + config["dropout"] for config in params])
    val_CE = 0.1 + (best_C[:, None] - 0.1) * np.arange(1, 10) / 9
    return Curves(params=params, val_CE=val_CE, seconds_CE=np.ones((60, 9)))


class Listed:
    """Proposes the recorded configs in turn."""

    def __init__(self, curves):
        self.curves, self.told = curves, []

    def propose(self, number):
        return self.curves.params[number]

    def report(self, number, epoch, score):
        pass

    def end(self, number, epoch, score, *, is_complete):
        self.told.append((number, epoch, is_complete))


def test_the_nearest_to_a_recorded_config_is_itself(space, curves):
    nearest = Nearest(space, curves)
    assert [nearest(params) for params in curves.params] == list(range(60))


def test_without_stopping_every_trial_runs_whole_two_at_a_time(space, curves):
    searcher = Listed(curves)
    course = replay(searcher, FIFOScheduler(), curves, Nearest(space, curves), 10)
    assert course.at_s == (9, 9, 18, 18, 27, 27, 36, 36, 45, 45) and course.end_s == 45
    assert course.score == pytest.approx(curves.val_CE[:10, -1])
    assert searcher.told == [(number, 9, True) for number in range(10)]


def test_asha_stops_at_its_rungs_what_a_count_by_hand_stops(space, curves):
    searcher = Listed(curves)
    course = replay(searcher, asha(space.budget, space.search.objectives), curves, Nearest(space, curves), 40)
    ends = {number: epoch for number, epoch, _ in searcher.told}
    assert set(ends.values()) == {1, 3, 9}
    assert course.at_s[-1] <= course.end_s <= sum(ends.values()) / 2 + 9
    rung, expected = [], []
    for number in range(40):  # all reach the first rung, in the order of their starts
        score = curves.val_CE[number, 0]
        expected.append(bool(rung) and score < np.percentile(rung, 100 * 2 / 3))
        rung.append(score)
    assert [ends[number] == 1 for number in range(40)] == expected


@pytest.mark.slow
@pytest.mark.parametrize("method", quality.METHODS)
def test_every_search_proposes_from_the_space_and_is_told_of_every_end(curves, method):
    first, second = quality.courses(method, curves, seeds=2)
    assert first != second
    assert first == quality.courses(method, curves, seeds=1)[0]
    assert len(first.score) == 40 if method == quality.PATIENT else 1 <= len(first.score) < 40
    assert first.best > np.median(curves.val_CE[:, -1])


@pytest.mark.parametrize("searcher_of", [PlainOptuna, RaysOptuna])
def test_what_others_propose_lies_in_the_space(space, searcher_of):
    proposed = searcher_of(space, 0).propose(0)
    assert list(proposed) == list(domains(space))
    assert isinstance(proposed["channels"], list) and 0 <= proposed["dropout"] <= 0.5


def test_the_time_is_when_the_first_trial_within_a_point_of_the_final_best_ends():
    patient = [Course(at_s=(10.0, 20.0, 30.0), score=(0.5, 0.9, 0.7), end_s=30.0)]
    fast = [Course(at_s=(1.0, 2.0, 3.0), score=(0.6, 0.88, 0.885), end_s=4.0)]
    assert times(patient) == [20.0] and times(fast) == [2.0]
    assert never(fast, patient) == 1 and never(patient, fast) == 0
    assert [fast[0].held(second) for second in (0.5, 1.0, 2.5, 9.0)] == [0.0, 0.6, 0.88, 0.885]


def test_a_ratio_of_medians_with_its_interval():
    ours = np.array([1.0, 2.0, 3.0, 2.0, 1.5])
    middle, low, high = ratio(3 * ours, ours)
    assert middle == pytest.approx(3) and low <= middle <= high


def test_only_whole_curves_are_read(space, tmp_path):
    names = list(space.varying)
    config = space.sample(1)[0]
    rows = [["config", *names, *SCORES]]
    for number, epochs in ((4, 9), (7, 5)):
        values = [json.dumps(config[name]) for name in names]
        rows += [[number, *values, epoch, 0.1 * epoch, 2.0] for epoch in range(1, epochs + 1)]
    with (tmp_path / "curves.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    found = read(tmp_path / "curves.csv", space)
    assert found.params == ({name: config[name] for name in names},)
    assert found.val_CE == pytest.approx(0.1 * np.arange(1, 10)[None])


def test_the_recorded_curves_are_whole_and_of_this_space(space):
    curves = read(CURVES, space)
    assert len(curves.params) == CONFIGS
    for params in curves.params:
        space.check_params({**space.sample(1)[0], **params})
