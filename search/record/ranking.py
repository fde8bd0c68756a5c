"""The results of a study, from its trials alone: counts, ranking, Pareto front, groups of equal networks.

Everything that shows results uses these functions, so that `best` and `repeat` mean the same on the terminal and in
MLflow. This file must not know terminals, MLflow, Optuna or Ray.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from search.record.header import StudyHeader
from search.record.trial import State, TrialRecord
from search.settings.metrics import is_share
from search.settings.objectives import Objectives, dominates
from search.stats import Interval, over_seeds
from search.words import brief

BOOKKEEPING = frozenset({"epoch", "order"})
"""Keys of an epoch in the record that number it; all others are metrics."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """The complete trials of one effective network. They are repeats of one result, so they count as one."""

    key: str
    metric: str
    """The first metric that trials are compared by."""
    trials: tuple[TrialRecord, ...]
    """Best first."""
    scores: tuple[float, ...]
    """That metric of each trial, in the same order."""

    @property
    def mean(self) -> float:
        return statistics.fmean(self.scores)

    @property
    def interval(self) -> Interval:
        """Mean and 95 % interval over repeats and folds; of few repeats their scores, without an interval."""
        return over_seeds(self.scores, is_share=is_share(self.metric))

    @property
    def std(self) -> float | None:
        """Standard deviation over repeats; None for a network trained once."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else None

    def values(self, param: str) -> str:
        """The values of a varying param in its trials, as text: one value, the range of numbers, or every label.

        A dash where none of the trials has the param (`when`).
        """
        values = [trial.varying[param] for trial in self.trials if param in trial.varying]
        texts = sorted({brief(value) for value in values})
        if len(texts) > 1 and all(isinstance(value, int | float) for value in values):
            return f"{brief(min(values))} to {brief(max(values))}"
        return ", ".join(texts) or "-"


def ranked(trials: Iterable[TrialRecord], objectives: Objectives) -> list[TrialRecord]:
    """The complete trials that keep all limits and have a finite first metric, best first.

    Trials that are equal in the first metric are ordered by the other metrics, then by their numbers.
    """
    entries = [(objectives.signed(trial.last), trial.number, trial) for trial in trials if _can_win(trial, objectives)]
    finite = [entry for entry in entries if math.isfinite(entry[0][0])]
    return [trial for *_, trial in sorted(finite, key=lambda entry: entry[:2])]


def pareto_front(trials: Iterable[TrialRecord], objectives: Objectives) -> list[TrialRecord]:
    """The Pareto front of the complete trials that keep all limits, best by the first metric first.

    A trial is on the front unless another one is at least as good in every metric and better in one.
    """
    points = [(trial, objectives.signed(trial.last)) for trial in ranked(trials, objectives)]
    finite = [(trial, point) for trial, point in points if all(map(math.isfinite, point))]
    return [trial for trial, point in finite if not any(dominates(other, point) for _, other in finite)]


def state_of(trial: TrialRecord, objectives: Objectives) -> str:
    """The trial's state as text; one that breaks a limit is `complete, infeasible`."""
    return trial.state if objectives.is_feasible(trial.last) else f"{trial.state}, infeasible"


def scores_of(trial: TrialRecord, objectives: Objectives) -> dict[str, float]:
    """The values of the metrics that trials are compared by, by name, without those that the trial does not have."""
    return {name: trial.last[name] for name in objectives.metrics if name in trial.last}


def _can_win(trial: TrialRecord, objectives: Objectives) -> bool:
    return trial.state == "complete" and objectives.metric in trial.last and objectives.is_feasible(trial.last)


def finite_score(trial: TrialRecord, metric: str) -> float | None:
    """The trial's metric; None where the trial has none, or one that is NaN or infinite."""
    score = trial.score(metric)
    return score if score is not None and math.isfinite(score) else None


def networks(trials: Iterable[TrialRecord], objectives: Objectives) -> list[Network]:
    """The networks of the complete trials that keep all limits, in the order of each network's best trial."""
    groups: dict[str, list[TrialRecord]] = {}
    for trial in ranked(trials, objectives):
        groups.setdefault(trial.network, []).append(trial)
    metric = objectives.metric
    return [
        Network(key=key, metric=metric, trials=tuple(group), scores=tuple(trial.last[metric] for trial in group))
        for key, group in groups.items()
    ]


def repeats(trials: Iterable[TrialRecord]) -> dict[int, list[int]]:
    """By each trial's number, the numbers of the other trials that have the same effective network."""
    network_of = {trial.number: trial.network for trial in trials}
    groups: dict[str, list[int]] = {}
    for number, network in network_of.items():
        groups.setdefault(network, []).append(number)
    return {number: [other for other in groups[network] if other != number] for number, network in network_of.items()}


def counts(trials: Iterable[TrialRecord]) -> dict[State, int]:
    """How many trials are in each state."""
    num_in = Counter(trial.state for trial in trials)
    states: tuple[State, ...] = ("complete", "stopped", "paused", "failed", "running")
    return {state: num_in[state] for state in states}


def states_text(trials: Iterable[TrialRecord], *, live: bool) -> str:
    """How many trials are in which state: `3 complete, 1 stopped`. A running one of a study that is not `live`, which
    no driver runs, was interrupted. Empty without trials.
    """
    names: dict[State, str] = {"running": "running" if live else "interrupted"}
    return ", ".join(f"{number} {names.get(state, state)}" for state, number in counts(trials).items() if number)


def has_ended(header: StudyHeader, trials: Sequence[TrialRecord]) -> bool:
    """Whether a study is at its end: no trial is left to begin, none runs, and none that is paused is needed. Paused
    trials are needed until `resources.keep` trials are complete.
    """
    num_in = counts(trials)
    is_enough = not num_in["paused"] or num_in["complete"] >= header.keep
    return len(trials) >= header.trials and not num_in["running"] and is_enough
