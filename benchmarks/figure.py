"""One figure of a benchmark: ours, a baseline measured in the same run, the limit, and the goal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Figure:
    """`ratio` says how many times better ours is than the baseline; `limit` is what could be had at best."""

    name: str
    unit: str
    ours: float
    baseline: float
    baseline_name: str
    more_is_better: bool
    goal: str
    limit: str = "-"

    @property
    def ratio(self) -> float:
        return self.ours / self.baseline if self.more_is_better else self.baseline / self.ours


def table(figures: Sequence[Figure]) -> str:
    """Markdown."""
    rows = [_row(figure) for figure in figures]
    return "\n".join(["| figure | ours | baseline | better by | limit | goal |", "|---|---|---|---|---|---|", *rows])


def _row(figure: Figure) -> str:
    baseline = f"{figure.baseline:.3g} {figure.unit} ({figure.baseline_name})"
    ours = f"{figure.ours:.3g} {figure.unit}"
    return f"| {figure.name} | {ours} | {baseline} | {figure.ratio:.1f}x | {figure.limit} | {figure.goal} |"
