"""What a scheduler is: it hears every report of a study and answers whether that trial goes on, pauses or stops.

A scheduler knows trials by their numbers and reports by epoch and score. It keeps nothing on disk: a new driver tells
it every report of the record again, in the same order, and it answers the same. It must not know the record, the
sampler, or how trials are trained.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Protocol

from search.settings.schedulers import SCHEDULERS
from search.settings.sections import Budget


@dataclass(frozen=True)
class Go:
    """The trial trains its next epoch."""


@dataclass(frozen=True)
class Pause:
    """The trial gives its worker back and keeps its checkpoint, until it is promoted."""


@dataclass(frozen=True)
class Stop:
    """The trial ends here."""

    reason: str
    """For people: `ASHA after epoch 3`."""


Decision = Go | Pause | Stop


@dataclass(frozen=True)
class FirstRung:
    """The first rung at which new trials are judged."""

    epoch: int
    agreement: float
    """The rank correlation (Spearman) of the scores at the first two rungs, in [-1, 1]; NaN where all were equal."""


class Scheduler(Protocol):
    """Decides after each report of a trial that has not used its whole budget."""

    @property
    def first_rung(self) -> FirstRung | None:
        """What it has found out about the first rung, if it looks for one and has found it."""
        ...

    def on_report(self, trial: int, epoch: int, score: float) -> Decision:
        """What becomes of the trial of this number after `epoch`, counted from 1. `score` may be NaN."""
        ...

    def next(self) -> int | None:
        """The paused trial that has earned to go on where a worker is free; None for none."""
        ...

    def best_paused(self) -> int | None:
        """The paused trial that is the first to go on where there is nothing else to do; None where none is paused."""
        ...

    def promoted(self, trial: int) -> None:
        """The trial is not paused any more: it goes on."""
        ...

    def hopeless(self) -> Collection[int]:
        """The paused trials that will hardly go on, so that their checkpoints need not be kept."""
        ...


class NeverPauses:
    """What a scheduler answers that pauses no trial."""

    first_rung: FirstRung | None = None

    def next(self) -> int | None:
        return None

    def best_paused(self) -> int | None:
        return None

    def promoted(self, trial: int) -> None:
        raise ValueError(f"trial {trial} is not paused")

    def hopeless(self) -> Collection[int]:
        return ()


class NoScheduler(NeverPauses):
    """Every trial runs its whole budget."""

    def on_report(self, trial: int, epoch: int, score: float) -> Decision:
        return Go()


def scheduler_of(budget: Budget, mode: str) -> Scheduler:
    """A new scheduler for a study of this budget, of whose scores `mode`, max or min, is the better."""
    if not budget.rungs():
        return NoScheduler()
    scheduler: Scheduler = resolve_name(SCHEDULERS[budget.scheduler].made_by)(budget, mode)
    return scheduler
