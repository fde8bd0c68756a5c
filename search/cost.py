"""What a study costs: hours, GPU hours, and dollars where the nodes say what an hour of them costs.

All nodes of the cluster count while the study runs, idle ones too, for they are paid for. What was spent is noted in
the record, so that a study that goes on goes on counting. Knows the record, nothing of Ray.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from mgc.config import ConfigError
from search.record import Record

NOTE = "cost"
LOOK_EVERY_S = 2.0
NOTE_EVERY_S = 30.0


class Rates(Protocol):
    """What the nodes that are there add up to in an hour (search.nodes)."""

    @property
    def gpus(self) -> float: ...
    @property
    def usd(self) -> float | None: ...


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a study has cost so far, all its starts together. `usd` is None where no node ever told its price."""

    hours: float = 0.0
    gpu_hours: float = 0.0
    usd: float | None = None

    def __str__(self) -> str:
        """`0.31 GPU hours, $0.12`; nothing where there is neither.

        >>> str(Spent(hours=1.0, gpu_hours=0.314, usd=0.1234)), str(Spent(hours=1.0))
        ('0.31 GPU hours, $0.12', '')
        """
        gpus = [f"{self.gpu_hours:.2f} GPU hours"] if self.gpu_hours else []
        return ", ".join([*gpus, *([] if self.usd is None else [f"${self.usd:.2f}"])])


def spent(notes: Mapping[str, Any]) -> Spent:
    """What a record's notes say."""
    return Spent(**notes.get(NOTE, {}))


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Where a study is to end politely; None for no end."""

    hours: float | None = None
    usd: float | None = None

    def reached(self, now: Spent) -> str | None:
        """The limit that is reached, as the user gave it."""
        if self.hours is not None and now.hours >= self.hours:
            return f"--max-hours {self.hours:g}"
        if self.usd is not None and now.usd is not None and now.usd >= self.usd:
            return f"--max-cost {self.usd:g}"
        return None


class Meter:
    """Counts what a study costs while it runs. Called often, it says whether a limit is reached.

    Raises ConfigError for a limit in dollars where no node tells its price.
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
        self.spent = spent(record.notes())
        self.reached: str | None = None
        self._looked_at = self._noted_at = now()
        self._last = rates()
        if limits.usd is not None and self._last.usd is None:
            raise ConfigError("--max-cost needs prices: give node types a label usd-per-hour in the cluster's file")

    def __call__(self) -> bool:
        if self._now() - self._looked_at >= LOOK_EVERY_S:
            self.look()
        if self.reached is None and (reached := self._limits.reached(self.spent)):
            self.reached = reached
            self._say(f"stopping: {reached} is reached; running trials end their epoch and keep checkpoints")
        return self.reached is not None

    def look(self) -> None:
        """Add what the nodes cost since the last look, at the rates found then."""
        now, before = self._now(), self.spent
        hours = (now - self._looked_at) / 3600
        usd = before.usd if self._last.usd is None else (before.usd or 0.0) + hours * self._last.usd
        gpu_hours = before.gpu_hours + hours * self._last.gpus
        self.spent = replace(before, hours=before.hours + hours, gpu_hours=gpu_hours, usd=usd)
        self._looked_at, self._last = now, self._rates()
        if now - self._noted_at >= NOTE_EVERY_S:
            self.note()

    def note(self) -> None:
        """Keep what was spent in the record."""
        self._noted_at = self._now()
        self._record.note(NOTE, asdict(self.spent))
