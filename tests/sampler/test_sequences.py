"""The proposals of whole studies that began when samplers heard only of ends: those of earlier versions of this code,
those that plain Optuna makes of the same results, and after a restore those of the undisturbed study.

No network is trained: three trials run at once and end in an order of their own, complete, stopped or failed, with
scores computed from their params.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import replace
from functools import cache

import numpy as np
import optuna
import pytest
from optuna.distributions import distribution_to_json, json_to_distribution
from optuna.trial import TrialState

from search.record.trial import TrialRecord
from search.sampler.choosers import BAYESIAN_ATTEMPTS, STARTUP_TRIALS
from search.sampler.sampler import Sampler
from search.sampler.translate import distribution, stored, suggest
from search.sampler.warmstart import EarlierResult
from search.space.space import Space

SLOTS = 3
FULL = 9
"""Epochs of a complete trial."""

MIXED = """
params:
  model: {choice: [se_cnn, shallow]}
  r: {uniform: [2, 64], when: {model: se_cnn}}
  dropout: {uniform: [0.0, 0.5]}
  lr: {loguniform: [1.0e-4, 1.0e-1]}
  batch_size: {logint: [4, 64]}
  random_clips: {int: [1, 4]}
  num_maps: {choice: [8, 16, 32], when: {model: shallow}}
"""
"""Every kind of domain, some under a condition."""
PLAIN = """
params:
  model: se_cnn
  r: {uniform: [2, 64]}
  lr: {loguniform: [1.0e-4, 1.0e-1]}
  channels: {choice: [[8, 8, 16, 16, 16], [8, 16, 32, 32, 32]]}
"""
ONE = "params: {model: se_cnn, r: {uniform: [2, 64]}}\n"
"""Effective networks are trained again and again."""
GRID = "params: {model: se_cnn, r: {grid: [4, 8, 16, 32, 48]}, dropout: {grid: [0.1, 0.2]}, se_blocks: [1]}\n"
FOLDS = "data: {split: artist, folds: 3, fold: {grid: [0, 1, 2]}}\n" + GRID

LIMIT = "constraints: {num_weights: {max: 400}}"
TWO = "metric: [val_accuracy, num_weights], mode: [max, min]"


def known(params):
    return {"num_weights": 10_000 / params.get("r", 100.0)}


def network(params):
    return f"{params['model']} {int(128 / params.get('r', 2.0))}"


def accuracy(params):
    return (
        1 - abs(params.get("r", 60.0) - 30) / 64 - abs(params.get("lr", 0.01) - 0.01) - params.get("dropout", 0.0) / 9
    )


def ended(trial):
    """What became of a trial: every fifth fails, of the others two in three are stopped after an epoch or three."""
    if trial.infeasible is not None:
        return replace(trial, state="stopped")
    if trial.number % 5 == 4:
        return replace(trial, state="failed", reason="no")
    epoch = (FULL, 1, 3)[trial.number % 3]
    score = accuracy(trial.params) * (epoch / FULL) ** 0.2
    state = "complete" if epoch == FULL else "stopped"
    return replace(trial, state=state, epochs=({"epoch": epoch, "val_accuracy": score},))


def running(proposal, number):
    return TrialRecord(
        **vars(proposal), number=number, state="running", reason=None, epochs=(), facts={}, started=0.0, ended=None
    )


class Study:
    """A study in memory, whose sampler may be replaced by a restored one at any time."""

    def __init__(self, text, search, tmp_path, warm=()):
        (tmp_path / "s.yaml").write_text(
            f"{text}search: {{{search}, trials: 50, seed: 3}}\nbudget: {{epochs: {FULL}}}\n"
        )
        self.space, self.warm = Space.load(tmp_path / "s.yaml"), warm
        self.proposals, self.trials, self.live, self.before = [], [], [], []
        self.sampler = self.restored()

    def restored(self):
        sampler = Sampler(self.space, network, known=known, slots=SLOTS, hears_rungs=False)
        sampler.learn(self.warm)
        sampler.restore(self.trials)
        return sampler

    def propose(self):
        number = len(self.trials)
        self.before.append(tuple(self.trials))
        self.proposals.append(self.sampler.propose(number))
        self.trials.append(running(self.proposals[-1], number))
        self.live.append(number)

    def end_one(self):
        """End a running trial, seldom the one that began first."""
        number = self.live.pop(7 * len(self.trials) % len(self.live))
        self.trials[number] = ended(self.trials[number])
        self.sampler.tell(self.trials[number])

    def run(self, trials, *, is_restarted=lambda number: False):
        for number in range(trials):
            if is_restarted(number):
                self.sampler = self.restored()
            self.propose()
            if len(self.live) == SLOTS:
                self.end_one()
        return self.proposals


def plain(value):
    """JSON of a proposal with six digits of each number: processors differ in the last ones."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value


def digest(proposals):
    texts = []
    for each in proposals:
        distributions = {name: distribution_to_json(of) for name, of in each.distributions.items()}
        texts.append(json.dumps(plain({**vars(each), "distributions": distributions}), sort_keys=True))
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


def warm_results():
    """Of an earlier study."""
    fixed = {"model": "se_cnn", "lr": 0.01, "channels": [8, 8, 16, 16, 16]}
    results = [{"params": {**fixed, "r": r}, "state": "complete", "epoch": FULL} for r in (4.0, 20.0, 28.0, 50.0)]
    results.append({"params": {**fixed, "r": 60.0}, "state": "stopped", "epoch": 3})
    return [EarlierResult(**each, metrics={"val_accuracy": accuracy(each["params"])}) for each in results]


CASES = {
    "tpe": (MIXED, "sampler: tpe", (), 30),
    "tpe without conditions": (PLAIN, "sampler: tpe", (), 30),
    "tpe reuses": (ONE, "sampler: tpe, on_repeat: reuse", (), 30),
    "tpe with a limit": (MIXED, f"sampler: tpe, {LIMIT}", (), 30),
    "tpe with two metrics": (ONE, f"sampler: tpe, {TWO}", (), 30),
    "tpe warm": (PLAIN, "sampler: tpe", warm_results(), 20),
    "gp": (PLAIN, "sampler: gp", (), 15),
    "gp with a limit": (ONE, "sampler: gp, constraints: {num_weights: {max: 1500}}", (), 15),
    "gp warm": (PLAIN, "sampler: gp", warm_results(), 11),
    "qmc": (MIXED, "sampler: qmc", (), 30),
    "qmc with a limit": (MIXED, f"sampler: qmc, {LIMIT}", (), 30),
    "random": (MIXED, "sampler: random", (), 30),
    "random with a limit": (ONE, f"sampler: random, {LIMIT}, on_repeat: allow", (), 30),
    "random warm": (PLAIN, "sampler: random", warm_results(), 20),
    "grid": (GRID, f"sampler: grid, {LIMIT}", (), 10),
    "grid of folds": (FOLDS, "sampler: grid", (), 30),
}
DIGESTS = {
    "qmc": "30c861e4a197",
    "qmc with a limit": "41126b6b2904",
    "random": "f2850f37b227",
    "random with a limit": "21e072fd5d88",
    "random warm": "4886c3a0282b",
    "grid": "ef1705ca0f54",
    "grid of folds": "83bb3bfb76c0",
}
"""Of the proposals of each, as recorded in November 2026. None of Optuna's own, which differ between processors."""
STATES = {
    "complete": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "running": TrialState.RUNNING,
}


def marked(cases):
    """A Gaussian process takes seconds to fit."""
    return [pytest.param(name, marks=[pytest.mark.slow] if name.startswith("gp") else []) for name in cases]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """`undisturbed(case)` -> that study after all its trials, in one go."""

    @cache
    def studies(case):
        text, search, warm, trials = CASES[case]
        study = Study(text, search, tmp_path_factory.mktemp("study"), warm)
        study.run(trials)
        return study

    return studies


@pytest.mark.parametrize("case", DIGESTS)
def test_proposals_are_those_of_earlier_versions(case, undisturbed):
    """Else a study that began before an update of this code would go on as another one."""
    assert digest(undisturbed(case).proposals) == DIGESTS[case]


@pytest.mark.parametrize("case", marked(name for name in CASES if name.startswith(("tpe", "gp"))))
def test_proposals_are_those_that_plain_optuna_makes_of_the_same_results(case, undisturbed):
    study = undisturbed(case)
    checked = 0
    for number, proposal in enumerate(study.proposals):
        attempts = [*(each["labels"] for each in proposal.rejected), proposal.labels]
        for attempt, labels in enumerate(attempts):
            if is_by_optuna(study, number) and attempt < BAYESIAN_ATTEMPTS:
                checked += 1
                assert labels == plain_optuna(study, number, attempt), (number, attempt)
    assert checked >= 2


@pytest.mark.parametrize("case", marked(CASES))
def test_restored_at_every_trial_a_study_makes_the_same_proposals(case, undisturbed, tmp_path):
    text, search, warm, trials = CASES[case]
    parts = Study(text, search, tmp_path, warm)
    assert parts.run(trials, is_restarted=lambda number: True) == undisturbed(case).proposals


def test_these_studies_have_what_a_sampler_must_get_right(undisturbed):
    """Repeats, reused scores, rejected params, params under a condition, trials that were not trained."""
    assert sum(each.repeat > 0 for each in undisturbed("tpe reuses").proposals) > 5
    assert sum(each.reuse is not None for each in undisturbed("tpe reuses").proposals) > 3
    assert sum(len(each.rejected) for each in undisturbed("tpe with a limit").proposals) > 0
    assert min(Counter(each.params["model"] for each in undisturbed("tpe").proposals).values()) > 3
    assert sum(each.infeasible is not None for each in undisturbed("grid").proposals) == 6


def is_by_optuna(study, number):
    """Whether there are results enough for a Bayesian proposal."""
    trained = [t for t in study.before[number] if t.state in ("complete", "stopped") and t.infeasible is None]
    return len(study.warm) + len(trained) >= STARTUP_TRIALS


def plain_optuna(study, number, attempt):
    """The labels that Optuna's own sampler proposes in a study of its own that holds the same results."""
    directions = ["maximize" if mode == "max" else "minimize" for mode in study.space.search.objectives.modes]
    entropy = (study.space.search.seed, number, attempt)[: 3 if attempt else 2]
    seed = int(np.random.default_rng(entropy).integers(2**31))
    own = optuna.create_study(directions=directions, sampler=optuna_sampler(study.space, seed))
    own.add_trials(optuna_trials(study, number, attempt))
    trial = own.ask()
    study.space.walk(lambda name, domain: suggest(trial, name, domain))
    return trial.params


def optuna_sampler(space, seed):
    if space.search.sampler == "gp":
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=0, deterministic_objective=False)
    group = "when" in str(space.canonical()["params"])
    options = {"n_startup_trials": 0, "multivariate": True, "group": group, "constant_liar": True}
    return optuna.samplers.TPESampler(seed=seed, **options)


def optuna_trials(study, number, attempt):
    """What Optuna knows at that attempt: the warm start, then each trial after what was rejected in its place."""
    for result in study.warm:
        distributions = {name: distribution(param.domain) for name, param in study.space.varying.items()}
        labels = {name: stored(study.space.varying[name].domain, result.params[name]) for name in distributions}
        metrics = {**result.metrics, "epoch": result.epoch}
        yield optuna_trial(study, labels, distributions, result.state, metrics)
    for trial in study.before[number]:
        yield from rejected_trials(study, trial.rejected)
        yield optuna_trial(study, trial.labels, trial.distributions, trial.state, trial.last)
    yield from rejected_trials(study, study.proposals[number].rejected[:attempt])


def rejected_trials(study, rejected):
    for each in rejected:
        distributions = {name: json_to_distribution(text) for name, text in each["distributions"].items()}
        yield optuna_trial(study, each["labels"], distributions, "stopped", known(each["labels"]))


def optuna_trial(study, labels, distributions, state, metrics):
    objectives = study.space.search.objectives
    is_told = state in ("complete", "stopped")
    violations = objectives.violations(metrics) if is_told else {}
    is_score = state == "stopped" and "epoch" in metrics and len(objectives.metrics) == 1
    return optuna.trial.create_trial(
        state=STATES[state],
        params=dict(labels),
        distributions=dict(distributions),
        values=[metrics[name] for name in objectives.metrics] if state == "complete" else None,
        intermediate_values={metrics["epoch"]: metrics[objectives.metric]} if is_score else {},
        system_attrs={f"constraints:{limit}": miss for limit, miss in violations.items()},
    )
