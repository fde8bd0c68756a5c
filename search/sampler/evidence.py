"""What a study's trials say at their rungs: results on one scale for a sampler that knows rungs, those of one rung for
a sampler that does not, and which are awaited.

It reads Optuna's trials. It must not know a model of them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from optuna.trial import FrozenTrial, TrialState, create_trial
from scipy.special import ndtri
from scipy.stats import rankdata

from search.sampler.gaussian_process import Floats

PAUSED = "paused"
"""The user attribute of a running trial that no worker has now: true while it waits to go on."""
MAX_RUNGS = 8
"""Where trials report after more epochs than these, those of a ladder count, each half of the next one at most."""
MAX_RESULTS = 300
"""A proposal is made of so many results at most."""
MAX_PENDING = 64
"""So many of the newest running trials are expected to get results."""


class Result(NamedTuple):
    """The value of a trial after an epoch."""

    trial: int
    epoch: float
    """From 1."""
    value: float
    """More is better; not NaN."""


@dataclass(frozen=True)
class Steps:
    """At which of Optuna's steps results count, and what epoch a step is."""

    rungs: Sequence[int]
    """Ascending; the last one is the full budget."""

    @classmethod
    def of(cls, trials: Sequence[FrozenTrial], rungs: Sequence[int] | None, full: int | None) -> Steps:
        """`rungs` and `full` are as a user gives them, or None for what the trials show."""
        reported = {step for trial in trials for step in trial.intermediate_values}
        last = max(reported, default=1) if full is None else full
        steps = _ladder(reported, last) if rungs is None else sorted(rungs)
        return cls([*(step for step in steps if step < last), last])

    @property
    def full(self) -> float:
        """The epochs of the whole budget."""
        return self.epoch(self.rungs[-1])

    def epoch(self, step: int) -> float:
        """Optuna's steps may count from 0 or from 1; epochs count from 1."""
        return step + 1 - min(1, self.rungs[0])

    def depth(self, epoch: float) -> float:
        """log(epoch) as a share of that of the whole budget: 0 to 1."""
        return math.log(epoch) / math.log(self.full) if self.full > 1 else 1.0


def _ladder(reported: Collection[int], last: int) -> list[int]:
    """The steps below the last one; of many, each half of the next one at most."""
    steps = sorted(step for step in reported if step < last)
    if len(steps) < MAX_RUNGS:
        return steps
    rungs: list[int] = []
    for step in reversed(steps):
        if step <= (rungs[0] if rungs else last) / 2:
            rungs.insert(0, step)
    return rungs


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What trials have shown so far, without those that failed."""

    results: Sequence[Result]
    trials: Mapping[int, FrozenTrial]
    """By number: those that have a result, and those that are pending."""
    pending: Sequence[int]
    """Running trials that a worker trains now."""

    @classmethod
    def of(cls, trials: Sequence[FrozenTrial], steps: Steps, *, sign: float) -> Evidence:
        """`sign` is 1 where more is better, else -1."""
        results = [result for trial in trials for result in _results(trial, steps, sign)]
        pending = [trial.number for trial in trials if is_pending(trial)][-MAX_PENDING:]
        having = {result.trial for result in results} | set(pending)
        return cls(results=results, trials={t.number: t for t in trials if t.number in having}, pending=pending)

    @property
    def num_trials(self) -> int:
        """Trials that have a result."""
        return len({result.trial for result in self.results})

    def scores(self) -> Floats:
        """The results on one scale: normal quantiles of their ranks among all results, of deviation 1.

        Pooled over epochs, since ranks within one would be biased: only good trials come far.
        """
        values = np.array([result.value for result in self.results])
        scores = ndtri((rankdata(values) - 0.5) / len(values))
        return np.asarray((scores - scores.mean()) / max(scores.std(), 1e-9))


def is_pending(trial: FrozenTrial) -> bool:
    """Whether a worker trains it now."""
    return trial.state == TrialState.RUNNING and not trial.user_attrs.get(PAUSED) and bool(trial.params)


def _results(trial: FrozenTrial, steps: Steps, sign: float) -> list[Result]:
    """The trial's values at rungs; the one of a complete trial counts at the full budget."""
    values = {step: value for step, value in trial.intermediate_values.items() if step in steps.rungs}
    if trial.state == TrialState.COMPLETE and trial.value is not None:
        values[steps.rungs[-1]] = trial.value
    return [
        Result(trial.number, steps.epoch(step), -math.inf if math.isnan(value) else sign * value)
        for step, value in sorted(values.items())
    ]


def representative(results: Sequence[Result], generator: np.random.Generator) -> list[int]:
    """The indices, ascending, of MAX_RESULTS results at most: the deepest third, the best third, others by chance.

    All of them by chance would leave out what proposals depend on; the others say where nothing good is.
    """
    num = len(results)
    if num <= MAX_RESULTS:
        return list(range(num))
    order = generator.permutation(num).tolist()
    deepest = sorted(order, key=lambda index: -results[index].epoch)[: MAX_RESULTS // 3]
    best = sorted(set(order) - set(deepest), key=lambda index: -results[index].value)[: MAX_RESULTS // 3]
    chosen = {*deepest, *best}
    others = [index for index in order if index not in chosen]
    return sorted(chosen | set(others[: MAX_RESULTS - len(chosen)]))


def at_one_rung(trials: Sequence[FrozenTrial], rungs: Sequence[int], min_results: int) -> list[FrozenTrial]:
    """The trials as those of a study that ends at one rung: the deepest one with so many results, or else the one that
    has most. `rungs` ascend to the full budget.

    Who has a result there is complete. Who stopped or paused before says nothing, unless it was not trained at all:
    then it broke a constraint.
    """
    num_results = {rung: sum(_value_at(trial, rung, rungs[-1]) is not None for trial in trials) for rung in rungs}
    enough = [rung for rung in rungs if num_results[rung] >= min_results]
    rung = enough[-1] if enough else max(rungs, key=lambda rung: num_results[rung])
    return [seen for trial in trials if (seen := _ending_at(trial, rung, rungs[-1])) is not None]


def _value_at(trial: FrozenTrial, rung: int, full: int) -> float | None:
    """The trial's value at a rung; None where it has none, or failed."""
    if trial.state == TrialState.FAIL:
        return None
    if trial.state == TrialState.COMPLETE and rung == full:
        return trial.value
    return trial.intermediate_values.get(rung)


def _ending_at(trial: FrozenTrial, rung: int, full: int) -> FrozenTrial | None:
    value = _value_at(trial, rung, full)
    if value is not None and not math.isnan(value):
        return _alike(trial, TrialState.COMPLETE, value)
    if is_pending(trial):
        return trial
    is_untrained = trial.state == TrialState.PRUNED and not trial.intermediate_values
    return _alike(trial, TrialState.PRUNED, None) if value is not None or is_untrained else None


def without_paused(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials, of which those that are paused count as stopped."""
    return [
        _alike(trial, TrialState.PRUNED, None)
        if trial.user_attrs.get(PAUSED) and not trial.state.is_finished()
        else trial
        for trial in trials
    ]


def _alike(trial: FrozenTrial, state: TrialState, value: float | None) -> FrozenTrial:
    """A trial of the same params and constraints with another end."""
    return create_trial(
        state=state,
        value=value,
        params=trial.params,
        distributions=trial.distributions,
        constraints=trial.constraints,
    )
