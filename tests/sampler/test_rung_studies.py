"""The proposals of whole studies whose samplers hear of rungs: the same after a restore, learned from the rungs.

No network is trained: three trials run at once and end in an order of their own, with scores computed from their
params. At a rung the worse half pauses, and one paused trial in four goes on later.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from search.record.trial import TrialRecord
from search.sampler.choosers import STARTUP_TRIALS
from search.sampler.sampler import Sampler
from search.sampler.translate import suggest
from search.sampler.warmstart import EarlierResult
from search.space.space import Space

SLOTS = 3
RUNGS = (1, 3, 9)

MIXED = """
params:
  model: {choice: [se_cnn, shallow]}
  r: {uniform: [2, 64], when: {model: se_cnn}}
  dropout: {uniform: [0.0, 0.5]}
  lr: {loguniform: [1.0e-4, 1.0e-1]}
  batch_size: {logint: [4, 64]}
  num_maps: {choice: [8, 16, 32], when: {model: shallow}}
"""
ONE = "params: {model: se_cnn, r: {uniform: [2, 64]}}\n"
LIMIT = "constraints: {num_weights: {max: 400}}"
TWO = "metric: [val_accuracy, num_weights], mode: [max, min]"


def known(params):
    return {"num_weights": 10_000 / params.get("r", 100.0)}


def network(params):
    return f"{params['model']} {int(128 / params.get('r', 2.0))}"


def accuracy(params, epoch=9):
    score = 1 - abs(params.get("r", 60.0) - 30) / 64 - abs(params.get("lr", 0.01) - 0.01) * 5
    return score - params.get("dropout", 0.0) / 9 - 0.3 / epoch


class Study:
    """A study in memory, whose sampler may be replaced by a restored one at any time."""

    def __init__(self, text, search, folder, warm=(), stops=False):
        (folder / "s.yaml").write_text(f"{text}search: {{{search}, trials: 50, seed: 3}}\nbudget: {{min_epochs: 1}}\n")
        self.space, self.warm, self.stops = Space.load(folder / "s.yaml"), warm, stops
        self.trials, self.live, self.paused = [], [], []
        self.sampler = self.restored()

    def restored(self):
        sampler = Sampler(self.space, network, known=known, slots=SLOTS)
        sampler.learn(self.warm)
        sampler.restore(self.trials)
        for number in self.paused:
            sampler.pause(number)
        return sampler

    def run(self, trials, *, is_restarted=lambda number: False):
        while len(self.trials) < trials:
            if is_restarted(len(self.trials)):
                self.sampler = self.restored()
            if self.paused and len(self.trials) % 4 == 3:
                self.live.append(self.paused.pop(0))
                self.sampler.go_on(self.live[-1])
            self.begin()
            while len(self.live) >= SLOTS:
                self.train(self.live.pop(7 * len(self.trials) % len(self.live)))
        return self.trials

    def begin(self):
        number = len(self.trials)
        trial = TrialRecord(
            **vars(self.sampler.propose(number)),
            number=number, state="running", reason=None, epochs=(), facts={}, started=0.0, ended=None,
        )  # fmt: skip
        self.trials.append(trial)
        if trial.infeasible is None:
            self.live.append(number)
        else:
            self.end(number, "stopped")

    def train(self, number):
        """To the next rung."""
        trial = self.trials[number]
        for epoch in range(len(trial.epochs) + 1, 10):
            metrics = {"epoch": epoch, "val_accuracy": accuracy(trial.params, epoch)}
            self.trials[number] = trial = replace(trial, epochs=(*trial.epochs, metrics))
            self.sampler.report(trial)
            if number % 7 == 6:
                return self.end(number, "failed")
            if epoch in RUNGS:
                break
        if epoch == 9:
            return self.end(number, "complete")
        others = [each.epochs[epoch - 1]["val_accuracy"] for each in self.trials if len(each.epochs) >= epoch]
        if trial.epochs[-1]["val_accuracy"] >= np.median(others):
            self.live.append(number)
        elif self.stops:
            self.end(number, "stopped")
        else:
            self.paused.append(number)
            self.sampler.pause(number)

    def end(self, number, state):
        self.trials[number] = replace(self.trials[number], state=state, ended=1.0)
        self.sampler.tell(self.trials[number])


def warm_results():
    fixed = {"model": "se_cnn"}
    results = [{"params": {**fixed, "r": r}, "state": "complete", "epoch": 9} for r in (4.0, 20.0, 28.0, 50.0)]
    results.append({"params": {**fixed, "r": 60.0}, "state": "stopped", "epoch": 3})
    return [
        EarlierResult(**each, metrics={"val_accuracy": accuracy(each["params"], each["epoch"])}) for each in results
    ]


CASES = {
    "rung_gp": (MIXED, "sampler: rung_gp", (), False),
    "rung_gp stops": (MIXED, "sampler: auto", (), True),
    "rung_gp with a limit": (MIXED, f"sampler: rung_gp, {LIMIT}", (), False),
    "rung_gp reuses": (ONE, "sampler: rung_gp, on_repeat: reuse", (), False),
    "rung_gp warm": (ONE, "sampler: rung_gp", warm_results(), False),
    "rung_gp with two metrics": (ONE, f"sampler: rung_gp, {TWO}", (), False),
    "params of one's own": (ONE, "first: [{r: 30}, {model: se_cnn}, {r: 3.5}]", (), True),
    "tpe": (MIXED, "sampler: tpe", (), False),
    "tpe stops": (MIXED, "sampler: tpe", (), True),
    "tpe with a limit": (MIXED, f"sampler: tpe, {LIMIT}", (), False),
    "tpe warm": (ONE, "sampler: tpe", warm_results(), False),
    "tpe with two metrics": (ONE, f"sampler: auto, {TWO}", (), False),
    "gp": (ONE, "sampler: gp", (), False),
}  # fmt: skip


@pytest.fixture
def study(tmp_path):
    return lambda case: Study(CASES[case][0], CASES[case][1], tmp_path, *CASES[case][2:])


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.slow] if case == "gp" else []) for case in CASES]
)
def test_restored_at_every_trial_a_study_makes_the_same_proposals(case, study):
    trials = 16 if case == "gp" else 24
    undisturbed = study(case).run(trials)
    assert study(case).run(trials, is_restarted=lambda number: True) == undisturbed
    assert {trial.state for trial in undisturbed} >= {"complete", "failed"}


@pytest.mark.parametrize("case", ["rung_gp", "rung_gp stops", "tpe", "tpe stops"])
def test_it_learns_from_rungs(case, study):
    """Of paused and stopped trials as of others: later proposals are better."""
    scores = [accuracy(trial.params) for trial in study(case).run(60)]
    assert np.mean(scores[-20:]) > np.mean(scores[:STARTUP_TRIALS]) + 0.05


def test_tpe_makes_the_proposals_of_a_study_that_ended_at_the_deepest_rung_with_enough_results(study):
    """Plain Optuna, given what each trial had at that rung, proposes the same: paused trials are no bad ones."""
    ours, rungs = study("tpe"), set()
    for _ in range(3):
        number = len(ours.run(len(ours.trials) + 14))
        rung = deepest_rung(ours.trials, 10)
        rungs.add(rung)
        own = optuna.create_study(direction="maximize", sampler=tpe(number))
        own.add_trials(trial for each in ours.trials if (trial := ending_at(each, rung, ours.paused)) is not None)
        trial = own.ask()
        ours.space.walk(lambda name, domain, trial=trial: suggest(trial, name, domain))
        assert ours.sampler.propose(number).labels == trial.params
        ours.sampler = ours.restored()
    assert len(rungs) > 1


def deepest_rung(trials, num):
    """With so many results of trials that did not fail."""
    counts = {rung: sum(len(t.epochs) >= rung and t.state != "failed" for t in trials) for rung in RUNGS}
    return max(rung for rung in RUNGS if counts[rung] >= num)


def ending_at(trial, rung, paused):
    params = {"params": dict(trial.labels), "distributions": dict(trial.distributions)}
    if trial.state == "failed":
        return None
    if len(trial.epochs) >= rung:
        return create_trial(value=trial.epochs[rung - 1]["val_accuracy"], **params)
    is_training = trial.state == "running" and trial.number not in paused
    return create_trial(state=TrialState.RUNNING, **params) if is_training else None


def tpe(number):
    seed = int(np.random.default_rng((3, number)).integers(2**31))
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=0, multivariate=True, group=True, constant_liar=True)


def test_first_come_the_params_of_the_file_whatever_was_restored(study):
    ours = study("params of one's own")
    ours.run(5, is_restarted=lambda number: True)
    assert [trial.params["r"] for trial in ours.trials][::2][:2] == [30.0, 3.5]
    assert 30.0 != ours.trials[1].params["r"] != 3.5
    assert [trial.varying["r"] in (30.0, 3.5) for trial in ours.trials] == [True, False, True, False, False]


def test_first_params_that_break_a_limit_are_rejected_once(tmp_path):
    ours = Study(ONE, f"first: [{{r: 3}}, {{r: 40}}], {LIMIT}", tmp_path)
    ours.run(4, is_restarted=lambda number: True)
    assert ours.trials[0].rejected[0]["labels"] == {"r": 3.0}
    assert ours.trials[1].params["r"] == 40.0
    assert all(each["labels"]["r"] != 3.0 for trial in ours.trials[1:] for each in trial.rejected)


def test_results_below_the_first_rung_are_left_out(study):
    """Where a scheduler finds that early epochs rank trials otherwise, the sampler is told so."""
    ours = study("rung_gp")
    ours.run(30)
    ours.sampler.first_rung = 3
    later = ours.sampler.propose(30)
    restored = ours.restored()
    restored.first_rung = 3
    assert restored.propose(30) == later != ours.restored().propose(30)


def test_proposals_are_by_random_params_no_longer_than_for_the_start(study):
    """Trials at their first rung count as results, though none has ended."""
    spread = Sampler(study("rung_gp").space, network, known=known, slots=SLOTS, name="qmc")
    ours = study("rung_gp").run(24)
    same = [trial.params == spread.propose(trial.number).params for trial in ours]
    assert all(same[:STARTUP_TRIALS]) and not any(same[STARTUP_TRIALS + 2 * SLOTS :])
