"""The cost of a study: hours, GPU hours, and dollars where the nodes have a price.

While the study runs, all nodes of the cluster count, idle ones too, since they must be paid for. The cost is noted in
the record, so that a resumed study continues to count. This file knows the record, and must not know Ray.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from mgc.words.errors import ConfigError
from search.record.notes import COST, Cost
from search.record.record import Record

LOOK_EVERY_S = 2.0
NOTE_EVERY_S = 30.0


class Rates(Protocol):
    """The GPUs of all present nodes, and their price in dollars per hour (search.machines.nodes)."""

    @property
    def gpus(self) -> float: ...
    @property
    def usd(self) -> float | None: ...


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The cost at which a study stops, its running trials after their epoch; None for no limit."""

    hours: float | None = None
    usd: float | None = None

    def reached(self, cost: Cost) -> str | None:
        """The option of the limit that this cost reaches, as on the command line; None where there is none."""
        if self.hours is not None and cost.hours >= self.hours:
            return f"--max-hours {self.hours:g}"
        if self.usd is not None and cost.usd is not None and cost.usd >= self.usd:
            return f"--max-cost {self.usd:g}"
        return None


class Meter:
    """Counts the cost of a study while it runs. A call returns whether a limit is reached; the study calls it often.

    Raises ConfigError for a limit in dollars where no node has a price.
    """

    def __init__(
        self,
        record: Record,
        rates: Callable[[], Rates],
        limits: Limits,
        say: Callable[[str], None],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._record, self._rates, self._limits, self._say, self._now = record, rates, limits, say, now
        self.cost = Cost(**record.noted(COST))
        self.reached: str | None = None
        self._looked_at = self._noted_at = now()
        self._last = rates()
        if limits.usd is not None and self._last.usd is None:
            raise ConfigError("--max-cost needs prices: give node types a label usd-per-hour in the cluster's file")

    def __call__(self) -> bool:
        if self._now() - self._looked_at >= LOOK_EVERY_S:
            self.look()
        if self.reached is None and (reached := self._limits.reached(self.cost)):
            self.reached = reached
            self._say(f"stopping: {reached} is reached; running trials finish their epoch and save a checkpoint")
        return self.reached is not None

    def look(self) -> None:
        """Add the cost since the last look, at the rates of that look."""
        now, before = self._now(), self.cost
        hours = (now - self._looked_at) / 3600
        usd = before.usd if self._last.usd is None else (before.usd or 0.0) + hours * self._last.usd
        gpu_hours = before.gpu_hours + hours * self._last.gpus
        self.cost = replace(before, hours=before.hours + hours, gpu_hours=gpu_hours, usd=usd)
        self._looked_at, self._last = now, self._rates()
        if now - self._noted_at >= NOTE_EVERY_S:
            self.note()

    def note(self) -> None:
        """Write the cost into the record."""
        self._noted_at = self._now()
        self._record.note(COST, asdict(self.cost))
