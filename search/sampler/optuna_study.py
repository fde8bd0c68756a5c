"""The study that Optuna's samplers look at, in memory: every trial and how it ended, in Optuna's words.

It holds nothing that the record lacks: filled again from the record, it makes the same proposals. It knows no file, no
network and no seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import Trial, TrialState

from search.record.trial import TrialRecord
from search.sampler.evidence import PAUSED, at_one_rung, without_paused
from search.sampler.translate import Candidate, suggest
from search.settings.objectives import Objectives
from search.space.space import Space

Labels = Mapping[str, Any]
"""The values of the params that vary, as Optuna stores them."""
Distributions = Mapping[str, BaseDistribution]


@dataclass
class Running:
    """A trial that has begun and not ended."""

    trial: Trial
    reported: set[int] = field(default_factory=set)
    """The rungs at which it has a result."""
    is_paused: bool = False


class OptunaStudy:
    """The trials of a study by these objectives, which hears what they report at `rungs`, the last of which is the full
    budget; without rungs it hears only how they end, as in earlier versions.

    Several metrics are optimized together. There a trial that the scheduler stopped or paused counts as worse than
    every complete one, however far it came: Optuna has no intermediate values for several metrics.
    """

    def __init__(self, objectives: Objectives, rungs: Sequence[int] = ()) -> None:
        self.objectives = objectives
        self._rungs = () if objectives.are_several else rungs
        self._study = self._new_study()
        self._running: dict[int, Running] = {}
        self._num_ended = 0
        """Trials that were trained and did not fail, those of a warm start included."""

    @property
    def num_results(self) -> int:
        """Trials that a sampler can learn from: trained, if only to a rung, and not failed."""
        return self._num_ended + sum(bool(running.reported) for running in self._running.values())

    def ask(self, space: Space, sampler: BaseSampler, min_at_rung: int | None) -> Candidate:
        """What one of Optuna's samplers proposes after the results so far. It does not run before `start`.

        With `min_at_rung` the sampler learns from one rung, the deepest one with so many results.
        """
        study = self._seen(min_at_rung)
        study.sampler = sampler
        trial = study.ask()
        candidate = Candidate.chosen(space, partial(suggest, trial))
        # Not kept as running: TPE notes values in it that the record lacks, so a restarted driver would not have them.
        study.tell(trial, state=TrialState.FAIL)
        return candidate

    def start(self, number: int, labels: Labels, distributions: Distributions) -> None:
        """The trial of that number runs from now on."""
        self._running[number] = Running(self._enter(labels, distributions))

    def report(self, trial: TrialRecord) -> None:
        """A running trial has got further: its results at rungs are kept."""
        running = self._running[trial.number]
        for metrics in trial.epochs:
            epoch, value = int(metrics["epoch"]), metrics.get(self.objectives.metric)
            if epoch in self._rungs and epoch not in running.reported and value is not None:
                running.trial.report(value, step=epoch)
                running.reported.add(epoch)

    def set_paused(self, number: int, is_paused: bool) -> None:
        """Whether a running trial waits at a rung, so that nobody trains it now."""
        running = self._running[number]
        if is_paused != running.is_paused:
            running.trial.set_user_attr(PAUSED, is_paused)
            running.is_paused = is_paused

    def reject(self, labels: Labels, distributions: Distributions, violations: Mapping[str, float]) -> None:
        """These params are not trained, since their network breaks a limit: worse than any result."""
        self._stop(self._enter(labels, distributions), violations)

    def add(self, candidate: Candidate, state: str, metrics: Mapping[str, float], epoch: int) -> None:
        """A result of an earlier study: complete, or stopped after that epoch."""
        trial = self._enter(candidate.labels, candidate.distributions)
        self._result(trial, state, metrics, epoch, is_reported=False)

    def end(self, trial: TrialRecord) -> bool:
        """A running trial ended. Returns whether it is a result: trained, not failed, with all metrics compared."""
        self.report(trial)
        running = self._running.pop(trial.number)
        if trial.infeasible is not None:
            self._stop(running.trial, self.objectives.violations(trial.known))
            return False
        if trial.state == "failed" or self.objectives.values(trial.last) is None:
            self._study.tell(running.trial, state=TrialState.FAIL)
            return False
        epoch = int(trial.last["epoch"])
        self._result(running.trial, trial.state, trial.last, epoch, is_reported=epoch in running.reported)
        return True

    def _enter(self, labels: Labels, distributions: Distributions) -> Trial:
        """A new running trial that has these values."""
        self._study.sampler = RandomSampler()  # every value is given, so it is asked for none
        self._study.enqueue_trial(dict(labels))
        return self._study.ask(dict(distributions))

    def _result(self, trial: Trial, state: str, metrics: Mapping[str, float], epoch: int, *, is_reported: bool) -> None:
        """A complete trial has its values; a stopped one counts less, by its last epoch and its value there."""
        self._num_ended += 1
        violations = self.objectives.violations(metrics)
        if state != "complete":
            if not (self.objectives.are_several or is_reported):
                trial.report(metrics[self.objectives.metric], step=epoch)
            self._stop(trial, violations)
            return
        _constrain(trial, violations)
        self._study.tell(trial, [metrics[name] for name in self.objectives.metrics])

    def _stop(self, trial: Trial, violations: Mapping[str, float]) -> None:
        _constrain(trial, violations)
        self._study.tell(trial, state=TrialState.PRUNED)

    def _seen(self, min_at_rung: int | None) -> optuna.Study:
        """The study, or what a sampler that knows neither rungs nor pauses is to see of it."""
        trials = self._study.get_trials(deepcopy=False)
        if min_at_rung is not None and self._rungs:
            trials = at_one_rung(trials, self._rungs, min_at_rung)
        elif self.objectives.are_several and any(running.is_paused for running in self._running.values()):
            trials = without_paused(trials)
        else:
            return self._study
        study = self._new_study()
        study.add_trials(trials)
        return study

    def _new_study(self) -> optuna.Study:
        return optuna.create_study(
            directions=["maximize" if mode == "max" else "minimize" for mode in self.objectives.modes]
        )


def _constrain(trial: Trial, violations: Mapping[str, float]) -> None:
    for limit, miss in violations.items():
        trial.set_constraint(limit, miss)
