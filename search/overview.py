"""What a study is and how it stands, from its record alone: heading, counts, ranking, groups of equal networks.

Whatever lists results takes them from here, so that `best` and `repeat` mean the same on the terminal and in MLflow. It
knows nothing of terminals, MLflow, Optuna or Ray.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.objectives import Objectives
from search.record import State, TrialRecord
from search.stats import Interval, over_seeds

BOOKKEEPING = frozenset({"epoch", "order"})
"""Keys of an epoch in the record that count it; all others are metrics."""


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A record's header by name. What is known only once the data are open is None before."""

    space: str
    created: str
    """When the study began, in ISO 8601."""
    description: str | None = None
    objectives: Objectives
    """What trials are compared by."""
    trials: int
    """How many the study is to have."""
    max_epochs: int
    dataset: str | None = None
    is_synthetic: bool = False
    split: str | None = None
    device: str | None = None
    commit: str | None = None
    digests: Mapping[str, str]
    versions: Mapping[str, str]

    @classmethod
    def of(cls, header: Mapping[str, Any]) -> Heading:
        given = {"digests": {}, "versions": {}, **{key: header[key] for key in cls.__annotations__ if key in header}}
        return cls(**given, objectives=Objectives.of(header))

    @property
    def metric(self) -> str:
        """The first of what trials are compared by."""
        return self.objectives.metric

    @property
    def mode(self) -> str:
        return self.objectives.mode

    @property
    def dataset_label(self) -> str:
        """The dataset's name, which says so where its music is made by NumPy."""
        name = str(self.dataset)
        return f"{name} (synthetic)" if self.is_synthetic and "synthetic" not in name else name

    @property
    def is_leaky(self) -> bool:
        """Whether clips of one track may be on both sides of the split."""
        return self.split is not None and "leaky" in self.split

    @property
    def cautions(self) -> tuple[str, ...]:
        """What nobody may overlook in a result of this study, each in a phrase."""
        synthetic = ("synthetic music: no result about real genres",) if self.is_synthetic else ()
        leaky = (f"split {self.split}: accuracy on tracks known from training",) if self.is_leaky else ()
        return synthetic + leaky


@dataclass(frozen=True, kw_only=True)
class Network:
    """The complete trials of one effective network: one result with its noise, not several."""

    key: str
    trials: tuple[TrialRecord, ...]
    """Best first."""
    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.scores)

    @property
    def interval(self) -> Interval:
        """Mean and 95 % interval over repeats and folds; its ends are unknown for a network trained once."""
        return over_seeds(self.scores)

    @property
    def std(self) -> float | None:
        """Standard deviation over repeats; None for a network trained once."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else None

    def values(self, param: str) -> str:
        """What its trials had for a varying param: one value, the range of numbers, or every label.

        Params that exist only for some trials (`when`) are a dash where they do not.
        """
        found = [trial.varying[param] for trial in self.trials if param in trial.varying]
        texts = sorted({brief(value) for value in found})
        if len(texts) > 1 and all(isinstance(value, int | float) for value in found):
            return f"{brief(min(found))} to {brief(max(found))}"
        return ", ".join(texts) or "-"


def finite_score(trial: TrialRecord, metric: str) -> float | None:
    score = trial.score(metric)
    return score if score is not None and math.isfinite(score) else None


def networks(trials: Iterable[TrialRecord], objectives: Objectives) -> list[Network]:
    """The complete trials that keep all limits, by effective network, in the order of each group's best trial."""
    groups: dict[str, list[TrialRecord]] = {}
    for trial in objectives.ranked(trials):
        groups.setdefault(trial.network, []).append(trial)
    return [
        Network(key=key, trials=tuple(group), scores=tuple(trial.last[objectives.metric] for trial in group))
        for key, group in groups.items()
    ]


def repeats(trials: Iterable[TrialRecord]) -> dict[int, list[int]]:
    """For each trial's number those of the other trials that train the same effective network."""
    groups: dict[str, list[int]] = {}
    listed = list(trials)
    for trial in listed:
        groups.setdefault(trial.network, []).append(trial.number)
    return {t.number: [other for other in groups[t.network] if other != t.number] for t in listed}


def counts(trials: Iterable[TrialRecord]) -> dict[State, int]:
    """How many trials are in each state."""
    found = Counter(trial.state for trial in trials)
    states: tuple[State, ...] = ("complete", "stopped", "failed", "running")
    return {state: found[state] for state in states}


def brief(value: Any) -> str:
    """A param as a table shows it: numbers to four digits, lists and null as in YAML.

    >>> [brief(value) for value in (31.4283, 1e-4, 32, [32, 64], None, "adam")]
    ['31.43', '0.0001', '32', '[32, 64]', 'null', 'adam']
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def numbered(numbers: Sequence[int], limit: int = 3) -> str:
    """`trial 3`, `trials 3, 5`, or the first few of many.

    >>> numbered([3]), numbered([3, 5]), numbered([1, 2, 3, 4, 5])
    ('trial 3', 'trials 3, 5', 'trials 1, 2, 3 and 2 more')
    """
    shown = ", ".join(str(number) for number in numbers[:limit])
    more = f" and {len(numbers) - limit} more" if len(numbers) > limit else ""
    return f"trial{'s' if len(numbers) > 1 else ''} {shown}{more}"
