"""The metrics that trials may be compared by, one entry each. A new metric is an entry here and its value in `Scores`.

Knows names and directions only: mgc.training.training computes what a training scores, search.execution the costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from mgc.training.part_metrics import PART_METRICS

Mode = Literal["max", "min"]
"""Whether more or less of a metric is better."""

NUM_WEIGHTS = "num_weights"
SECONDS_PER_CLIP = "val_seconds_per_clip"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A value that each epoch of a trial has, under this name in the record, in MLflow and in a space file."""

    name: str
    description: str
    mode: Mode = "max"
    is_cost: bool = False
    """Whether it says what a model takes, not how well it hears: never smoothed, and ASHA stops no trial by it."""


_SHIPPED: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            name="val_accuracy", description="share of validation tracks with the right genre, by the vote of the trial"
        ),
        Metric(
            name="val_accuracy_sum", description="val_accuracy where the probabilities of a track's clips are summed"
        ),
        Metric(name="val_accuracy_majority", description="val_accuracy where each clip of a track has one vote"),
        Metric(name="val_clip_accuracy", description="share of validation clips with the right genre"),
        Metric(name="val_f1", description="F1 of the validation tracks, the mean over genres"),
        Metric(name="val_loss", description="cross-entropy of the validation clips", mode="min"),
        Metric(name=NUM_WEIGHTS, description="weights of the network", mode="min", is_cost=True),
        Metric(name=SECONDS_PER_CLIP, description="time to predict a validation clip, in s", mode="min", is_cost=True),
    )
}
_VALIDATION = "val_"
"""What the names of a plug-in's metrics begin with, for the validation part."""


class _Metrics(Mapping[str, Metric]):
    """The shipped metrics, then those of the plug-ins in use."""

    def __getitem__(self, name: str) -> Metric:
        if name in _SHIPPED:
            return _SHIPPED[name]
        if not name.startswith(_VALIDATION):
            raise KeyError(name)
        added = PART_METRICS[name.removeprefix(_VALIDATION)]
        return Metric(name=name, description=added.description, mode=added.mode)

    def __iter__(self) -> Iterator[str]:
        yield from _SHIPPED
        yield from (f"{_VALIDATION}{name}" for name in PART_METRICS)

    def __len__(self) -> int:
        return len(_SHIPPED) + len(PART_METRICS)


METRICS: Mapping[str, Metric] = _Metrics()
"""By name."""
SHARES = {"accuracy", "precision", "recall", "f1"}
"""Words of the names of metrics that lie in [0, 1]."""
COSTS = tuple(name for name, metric in _SHIPPED.items() if metric.is_cost)


def is_share(metric: str) -> bool:
    """Whether a metric lies in [0, 1], whatever its part, its vote and the epochs that it is a mean of.

    >>> is_share("test_accuracy_sum"), is_share("val_f1_mean3"), is_share("val_loss")
    (True, True, False)
    """
    return not SHARES.isdisjoint(metric.split("_"))
