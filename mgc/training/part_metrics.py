"""Metrics of plug-ins by name: functions of a part's predictions. Those that are shipped are fields of `Scores`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mgc.words.errors import ConfigError, one_line

if TYPE_CHECKING:
    from mgc.training.metrics import Predictions  # NumPy, which a space file's check does not need


class MetricError(ConfigError):
    """A metric cannot be computed of predictions."""


@dataclass(frozen=True, kw_only=True)
class PartMetric:
    """A function of a part's predictions, and whether more or less of it is better."""

    name: str
    of: Callable[[Predictions], Any]
    mode: Literal["max", "min"]
    description: str

    def value(self, predictions: Predictions) -> float:
        """The metric of these predictions. MetricError where the function fails, or gives no number."""
        try:
            value = self.of(predictions)
        except Exception as error:  # whatever it may be, the code is the user's
            raise MetricError(f"metric {self.name} failed: {type(error).__name__}: {one_line(error)}") from error
        try:
            return float(value)
        except (TypeError, ValueError):
            raise MetricError(f"metric {self.name} must give a number, got {one_line(ValueError(value))}") from None


PART_METRICS: dict[str, PartMetric] = {}
"""By name, without the part."""


def part_metrics(part: str, predictions: Predictions) -> dict[str, float]:
    """Every plug-in's metric of these predictions, under its name for a part: `val_top3`, `test_top3`."""
    return {f"{part}_{name}": metric.value(predictions) for name, metric in PART_METRICS.items()}
