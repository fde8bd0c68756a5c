"""Limits and several metrics in the sampler: what is not worth training is not, and resumed it goes the same way."""

import numpy as np
import optuna
import pytest
from small_study import ended

from search.record.header import new_header
from search.record.ranking import pareto_front, ranked
from search.record.record import Record
from search.sampler.choosers import MAX_ATTEMPTS, STARTUP_TRIALS
from search.sampler.sampler import Sampler
from search.space.space import Space

GP = pytest.param("gp", marks=pytest.mark.slow)  # fitting takes seconds

SPACE = """
params: {model: se_cnn, r: {uniform: [2, 64]}}
search:
  sampler: SAMPLER
  metric: [val_accuracy, num_weights]
  mode: [max, min]
  constraints: {num_weights: {max: LIMIT}}
budget: {epochs: 9}
"""
ALL, FEW, NONE = 1e6, 500, 1
"""Limits on the weights that all r keep, about one in six, and none."""


def known(params):
    return {"num_weights": 10_000 / params["r"]}


def accuracy(params):
    return 1 - abs(params["r"] - 30) / 64


@pytest.fixture
def study(tmp_path):
    """`study(sampler, limit, trials, name)` -> the record, going on with what it holds."""

    def run(name, limit, trials, folder="s-001", end=lambda number: "complete"):
        path = tmp_path / "s.yaml"
        path.write_text(SPACE.replace("SAMPLER", name).replace("LIMIT", str(limit)))
        space = Space.load(path)
        place = tmp_path / folder
        header = new_header(space, "s-001")
        record = Record.open(place) if place.exists() else Record.create(place, header)
        sampler = Sampler(space, lambda params: str(params["r"]), known=known)
        sampler.restore(record.trials())
        for number in range(len(record.trials()), trials):
            proposal = sampler.propose(number)
            record.start(proposal)
            if proposal.infeasible is None:
                state = end(number)
                epoch = 9 if state == "complete" else 1
                record.report(number, {"epoch": epoch, "val_accuracy": accuracy(proposal.params)})
            else:
                state = "stopped"
            by, last = space.search.objectives, record.trial(number).last
            record.end(number, ended(state), values=by.values(last), violations=by.violations(last))
            sampler.tell(record.trial(number))
        return record

    return run


@pytest.mark.parametrize("name", ["tpe", GP, "random", "qmc"])
def test_what_a_limit_forbids_is_proposed_again_until_it_is_kept(study, name):
    record = study(name, FEW, STARTUP_TRIALS + 4)
    assert all(trial.params["r"] >= 10_000 / FEW for trial in record.trials())
    assert sum(len(trial.rejected) for trial in record.trials()) > 0
    assert {trial.state for trial in record.trials()} == {"complete"}


def test_where_no_network_keeps_the_limit_trials_end_untrained(study):
    record = study("tpe", NONE, 2)
    for trial in record.trials():
        assert (trial.state, trial.epochs, len(trial.rejected)) == ("stopped", (), MAX_ATTEMPTS - 1)
        assert trial.infeasible.startswith("num_weights ")
        assert trial.infeasible.endswith(" > 1")


@pytest.mark.parametrize("name", ["tpe", GP])
def test_a_study_that_was_interrupted_proposes_the_same(study, name):
    def states(number):
        return "stopped" if number % 3 == 1 else "complete"

    whole = study(name, FEW, 16, "whole", states)
    for trials in (4, 12, 13, 16):
        parts = study(name, FEW, trials, "parts", states)
    assert [t.params for t in parts.trials()] == [t.params for t in whole.trials()]
    assert [t.rejected for t in parts.trials()] == [t.rejected for t in whole.trials()]


def test_tpe_learns_where_the_limit_is(study):
    """r below 20 is forbidden: later proposals mostly keep the limit at once."""
    record = study("tpe", FEW, 40)
    early = sum(len(trial.rejected) for trial in record.trials()[:STARTUP_TRIALS])
    late = sum(len(trial.rejected) for trial in record.trials()[-STARTUP_TRIALS:])
    assert late < early


def test_tpe_searches_both_metrics(study):
    """Only r in [30, 64] is on the front: less r is worse in both."""
    record = study("tpe", ALL, 50)
    inside = [trial.params["r"] >= 30 for trial in record.trials()]
    assert sum(inside[-20:]) / 20 > sum(inside[:STARTUP_TRIALS]) / STARTUP_TRIALS
    front = pareto_front(record.trials(), record.header.objectives)
    assert all(trial.params["r"] >= 30 for trial in front[1:])
    read = optuna.load_study(study_name=record.name, storage=record.storage)
    assert {trial.number for trial in front} == {trial.number for trial in read.best_trials}


def test_a_grid_keeps_its_combinations_and_trains_those_inside(tmp_path):
    (tmp_path / "g.yaml").write_text(
        "params: {model: se_cnn, r: {grid: [8, 16, 32]}}\n"
        "search: {sampler: grid, constraints: {num_weights: {max: 700}}}\n"
    )
    sampler = Sampler(Space.load(tmp_path / "g.yaml"), lambda params: str(params["r"]), known=known)
    found = [sampler.propose(number) for number in range(3)]
    assert [(each.params["r"], each.infeasible) for each in found] == [
        (8, "num_weights 1,250 > 700"), (16, None), (32, None),
    ]  # fmt: skip


def test_tpe_learns_a_limit_that_is_only_measured(tmp_path):
    """The best accuracy is at r = 30, but only r above 45 keeps the limit."""
    (tmp_path / "m.yaml").write_text(
        "params: {model: se_cnn, r: {uniform: [2, 64]}}\n"
        "search: {constraints: {val_seconds_per_clip: {max: 1}}}\n"
        "budget: {epochs: 9}\n"
    )
    space = Space.load(tmp_path / "m.yaml")
    by = space.search.objectives
    record = Record.create(tmp_path / "m-001", new_header(space, "m-001"))
    sampler = Sampler(space, lambda params: str(params["r"]), known=known)
    for number in range(40):
        proposal = sampler.propose(number)
        record.start(proposal)
        r = proposal.params["r"]
        metrics = {"epoch": 9, "val_accuracy": accuracy(proposal.params), "val_seconds_per_clip": 45 / r}
        record.report(number, metrics)
        record.end(number, ended("complete"), values=by.values(metrics), violations=by.violations(metrics))
        sampler.tell(record.trial(number))
    assert all(trial.rejected == () for trial in record.trials())
    late = [trial.params["r"] for trial in record.trials()[-15:]]
    assert np.mean(late) > 40  # it is 45; without the limit 31
    assert ranked(record.trials(), by)[0].params["r"] >= 45
