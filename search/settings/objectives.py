"""What a study compares its trials by: metrics with their modes, constraints that they must keep, means over epochs.

A study of one metric is the case of length one. Everything here is arithmetic on names and numbers: it knows no record,
trial, sampler or scheduler. search.record.ranking compares trials by it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from search.settings.metrics import COSTS
from search.words import number

Constraints = Mapping[str, Mapping[str, float]]
"""Metric -> `min`, `max` or both."""


@dataclass(frozen=True, kw_only=True)
class Objectives:
    """The metrics that trials are compared by, the first before the others, under their names in an epoch's record.

    >>> by = Objectives(metrics=("val_accuracy",), modes=("max",), constraints={"num_weights": {"max": 500_000}})
    >>> by.violations_text({"val_accuracy": 0.5, "num_weights": 701_584})
    'num_weights 701,584 > 500,000'
    """

    metrics: tuple[str, ...]
    modes: tuple[str, ...]
    constraints: Constraints = field(default_factory=dict)

    @property
    def metric(self) -> str:
        """The first metric: what ASHA and every ranking goes by."""
        return self.metrics[0]

    @property
    def mode(self) -> str:
        return self.modes[0]

    def mode_of(self, metric: str) -> str:
        """Whether more or less of one of the metrics is better: max or min."""
        return self.modes[self.metrics.index(metric)]

    @property
    def are_several(self) -> bool:
        return len(self.metrics) > 1

    def values(self, metrics: Mapping[str, float]) -> tuple[float, ...] | None:
        """The values of the metrics compared, in order; None where one is missing."""
        if any(metrics.get(name) is None for name in self.metrics):
            return None
        return tuple(metrics[name] for name in self.metrics)

    def violations(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """By how much a metric is beyond each bound, as a share of the bound: {"num_weights max": 0.4}; at most 0
        where the constraint is kept. A metric that is missing, or not finite, has no entry.
        """
        excess: dict[str, float] = {}
        for name, bounds in self.constraints.items():
            value = metrics.get(name, math.nan)
            if math.isfinite(value):
                excess |= {f"{name} {end}": _excess(end, value, bound) for end, bound in bounds.items()}
        return excess

    def is_feasible(self, metrics: Mapping[str, float]) -> bool:
        """Whether these metrics break no constraint."""
        return all(excess <= 0 for excess in self.violations(metrics).values())

    def violations_text(self, metrics: Mapping[str, float]) -> str | None:
        """The constraints that these metrics break: `num_weights 701,584 > 500,000`; None where they break none."""
        broken = [key.rsplit(" ", 1) for key, excess in self.violations(metrics).items() if excess > 0]
        texts = [
            f"{name} {number(metrics[name])} {_OUTSIDE[end]} {number(self.constraints[name][end])}"
            for name, end in broken
        ]
        return ", ".join(texts) or None

    @property
    def constraints_text(self) -> str:
        """`num_weights <= 500,000 and val_loss <= 2`; empty where there is no constraint."""
        return " and ".join(
            f"{name} {_INSIDE[end]} {number(bound)}"
            for name, bounds in self.constraints.items()
            for end, bound in bounds.items()
        )

    def __str__(self) -> str:
        """`val_accuracy`, or `val_accuracy (max) and num_weights (min), num_weights <= 500,000`."""
        pairs = zip(self.metrics, self.modes, strict=True)
        compared = " and ".join(f"{name} ({mode})" for name, mode in pairs) if self.are_several else self.metric
        return ", ".join([compared, *([self.constraints_text] if self.constraints else [])])

    def signed(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """The values of the metrics compared, signed so that less is better; NaN for a metric that is missing."""
        pairs = zip(self.metrics, self.modes, strict=True)
        return tuple((-1 if mode == "max" else 1) * metrics.get(name, math.nan) for name, mode in pairs)


_OUTSIDE = {"max": ">", "min": "<"}
_INSIDE = {"max": "<=", "min": ">="}


def _excess(end: str, value: float, bound: float) -> float:
    return (value - bound if end == "max" else bound - value) / (abs(bound) or 1.0)


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether point a is nowhere worse than point b and somewhere better, where less is better everywhere."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)


def mean_name(metric: str, num_epochs: int) -> str:
    """The name of a metric's mean over the last epochs, `val_accuracy_mean3`: its own name for one epoch, and for a
    cost, which has no mean.
    """
    return metric if num_epochs == 1 or metric in COSTS else f"{metric}_mean{num_epochs}"


def plain_name(metric: str) -> str:
    """The name of the metric without the ending of a mean.

    >>> plain_name("val_accuracy_mean3"), plain_name("val_f1")
    ('val_accuracy', 'val_f1')
    """
    return re.sub(r"_mean\d+$", "", metric)


def means(epochs: Sequence[Mapping[str, float]], metrics: Iterable[str]) -> dict[str, float]:
    """The values of those metrics that are means, over the last of these epochs: over fewer at a trial's start.

    >>> means([{"val_f1": 0.5}, {"val_f1": 0.6}, {"val_f1": 0.8}], ["val_f1_mean2", "num_weights"])
    {'val_f1_mean2': 0.7}
    """
    mean_by_name = {}
    for metric in metrics:
        if (name := plain_name(metric)) != metric:
            last = [epoch[name] for epoch in epochs[-int(metric.removeprefix(f"{name}_mean")) :]]
            mean_by_name[metric] = math.fsum(last) / len(last)
    return mean_by_name


def listed(value: str | Sequence[str]) -> tuple[str, ...]:
    """One name, or several, as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value)


def plain(names: Sequence[str]) -> str | list[str]:
    """One name as text, several as a list: as a space file has them. The opposite of `listed`."""
    return names[0] if len(names) == 1 else list(names)
