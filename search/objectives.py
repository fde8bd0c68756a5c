"""What a study compares its trials by: metrics with their modes, limits that they must keep, means over epochs.

A study of one metric is the case of length one. Everything here is arithmetic on names and numbers; it knows no
sampler, scheduler or terminal, and what it says of a trial it says of the trial's metrics alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from search.record import TrialRecord  # Optuna, without which a space file is checked

Mode = Literal["max", "min"]
Limits = Mapping[str, Mapping[str, float]]
"""Metric -> `min`, `max` or both."""

NUM_WEIGHTS = "num_weights"
SECONDS_PER_CLIP = "val_seconds_per_clip"
COSTS = (NUM_WEIGHTS, SECONDS_PER_CLIP)
"""What a model costs, not how well it hears: never smoothed, and nothing that ASHA could stop a trial by."""


@dataclass(frozen=True, kw_only=True)
class Objectives:
    """The metrics that trials are compared by, the first before the others, under their names in an epoch's record.

    >>> by = Objectives(metrics=("val_accuracy",), modes=("max",), limits={"num_weights": {"max": 500_000}})
    >>> by.broken({"val_accuracy": 0.5, "num_weights": 701_584})
    'num_weights 701,584 > 500,000'
    """

    metrics: tuple[str, ...]
    modes: tuple[str, ...]
    limits: Limits = field(default_factory=dict)

    @classmethod
    def of(cls, header: Mapping[str, Any]) -> Objectives:
        """Those of a record's header, which has `metric` and `mode` as text or lists, and `constraints` if any."""
        metrics, modes = listed(header["metric"]), listed(header["mode"])
        return cls(metrics=metrics, modes=modes, limits=header.get("constraints") or {})

    @property
    def metric(self) -> str:
        """The first metric: what ASHA and every ranking goes by."""
        return self.metrics[0]

    @property
    def mode(self) -> str:
        return self.modes[0]

    @property
    def are_several(self) -> bool:
        return len(self.metrics) > 1

    def values(self, metrics: Mapping[str, float]) -> tuple[float, ...] | None:
        """The metrics compared, in order; None where one is missing."""
        found = [metrics.get(name) for name in self.metrics]
        return None if any(value is None for value in found) else tuple(value for value in found if value is not None)

    def violations(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """By how much each limit is missed, as a share of it; at most 0 where it is kept.

        A metric that is not known, or no number, says nothing of its limits.
        """
        found: dict[str, float] = {}
        for name, limit in self.limits.items():
            value = metrics.get(name, math.nan)
            if math.isfinite(value):
                found |= {f"{name} {end}": _miss(end, value, bound) for end, bound in limit.items()}
        return found

    def broken(self, metrics: Mapping[str, float]) -> str | None:
        """The limits that are missed, in words; None where all that can be told are kept."""
        missed = [key.rsplit(" ", 1) for key, miss in self.violations(metrics).items() if miss > 0]
        said = [
            f"{name} {number(metrics[name])} {_OUTSIDE[end]} {number(self.limits[name][end])}" for name, end in missed
        ]
        return ", ".join(said) or None

    def ranked(self, trials: Iterable[TrialRecord]) -> list[TrialRecord]:
        """The complete trials that keep all limits and have a finite first metric, best first: among equals the one
        with the better other metrics, then the earlier one.
        """
        known = [(self._signed(trial.last), trial.number, trial) for trial in trials if self._can_win(trial)]
        finite = [each for each in known if math.isfinite(each[0][0])]
        return [trial for *_, trial in sorted(finite, key=lambda each: each[:2])]

    def front(self, trials: Iterable[TrialRecord]) -> list[TrialRecord]:
        """The Pareto front, best by the first metric first: of the complete trials that keep all limits those that no
        other is at least as good as in every metric and better than in one.
        """
        points = [(trial, self._signed(trial.last)) for trial in self.ranked(trials)]
        finite = [(trial, point) for trial, point in points if all(map(math.isfinite, point))]
        return [trial for trial, point in finite if not any(_dominates(other, point) for _, other in finite)]

    def state_of(self, trial: TrialRecord) -> str:
        """The trial's state, which says so where it breaks a limit: `complete, infeasible`."""
        return trial.state if self.broken(trial.last) is None else f"{trial.state}, infeasible"

    def scores(self, trial: TrialRecord) -> dict[str, float]:
        """The metrics compared that the trial has, by name."""
        return {name: trial.last[name] for name in self.metrics if name in trial.last}

    @property
    def limits_text(self) -> str:
        """`num_weights <= 500,000 and val_loss <= 2`; nothing where there is none."""
        ends = [(name, end, bound) for name, of in self.limits.items() for end, bound in of.items()]
        return " and ".join(f"{name} {_INSIDE[end]} {number(bound)}" for name, end, bound in ends)

    def __str__(self) -> str:
        """`val_accuracy`, or `val_accuracy (max) and num_weights (min), num_weights <= 500,000`."""
        pairs = zip(self.metrics, self.modes, strict=True)
        compared = " and ".join(f"{name} ({mode})" for name, mode in pairs) if self.are_several else self.metric
        return ", ".join([compared, *([self.limits_text] if self.limits else [])])

    def _can_win(self, trial: TrialRecord) -> bool:
        return trial.state == "complete" and self.metric in trial.last and self.broken(trial.last) is None

    def _signed(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """The metrics so that less is better; NaN for one that is not there."""
        pairs = zip(self.metrics, self.modes, strict=True)
        return tuple((-1 if mode == "max" else 1) * metrics.get(name, math.nan) for name, mode in pairs)


_OUTSIDE = {"max": ">", "min": "<"}
_INSIDE = {"max": "<=", "min": ">="}


def _miss(end: str, value: float, bound: float) -> float:
    return (value - bound if end == "max" else bound - value) / (abs(bound) or 1.0)


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether a, of which less is better, is nowhere worse than b and somewhere better."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)


def mean_name(metric: str, num_epochs: int) -> str:
    """The name of a metric's mean over its last epochs: `val_accuracy_mean3`; its own for one epoch, and for costs."""
    return metric if num_epochs == 1 or metric in COSTS else f"{metric}_mean{num_epochs}"


def plain_name(metric: str) -> str:
    """The metric of which this is a mean, or itself.

    >>> plain_name("val_accuracy_mean3"), plain_name("val_f1")
    ('val_accuracy', 'val_f1')
    """
    return re.sub(r"_mean\d+$", "", metric)


def means(epochs: Sequence[Mapping[str, float]], metrics: Iterable[str]) -> dict[str, float]:
    """Those of the metrics that are means, after the last of these epochs: over as many as there are at the start.

    >>> means([{"val_f1": 0.5}, {"val_f1": 0.6}, {"val_f1": 0.8}], ["val_f1_mean2", "num_weights"])
    {'val_f1_mean2': 0.7}
    """
    found = {}
    for metric in metrics:
        if (name := plain_name(metric)) != metric:
            last = [epoch[name] for epoch in epochs[-int(metric.removeprefix(f"{name}_mean")) :]]
            found[metric] = math.fsum(last) / len(last)
    return found


def listed(value: str | Sequence[str]) -> tuple[str, ...]:
    """One name, or several, as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value)


def plain(names: Sequence[str]) -> str | list[str]:
    """One name as it is, several as a list: as a space file has them."""
    return names[0] if len(names) == 1 else list(names)


def number(value: float) -> str:
    """A metric's value for people.

    >>> number(500000.0), number(0.00123456), number(0.5)
    ('500,000', '0.001235', '0.5')
    """
    return f"{value:,.0f}" if value == int(value) else f"{value:.4g}"
