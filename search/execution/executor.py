"""What an executor is: trials go in, what happens to them comes out, and each then waits for its answer.

The study above (search.study.loop) decides everything; an executor decides nothing, and knows no record, sampler or
scheduler. Ray Tune is one (search.execution.ray_tune); another may simulate a cluster, or train in this process.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

SPEC = "spec"
"""The key of a worker's config under which the spec of its trial lies."""

Answer = Literal["go", "stop"]
"""What a trial that waits is to do: train its next epoch, on another worker if it has lost its own, or give its worker
back. A trial that gives its worker back keeps its last checkpoint and can be started again: a pause is a stop too.
"""


@dataclass(frozen=True, kw_only=True)
class Reported:
    """A trial has trained an epoch."""

    number: int
    metrics: Mapping[str, float]
    """The metrics of the epoch, `epoch` among them, which counts from 1. A trial that lost its worker may report an
    epoch again.
    """
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Where it runs: node, device, ..."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A trial went wrong by its own fault, and would again."""

    number: int
    reason: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    trace: str | None = None
    """The traceback of the error in the worker."""


@dataclass(frozen=True, kw_only=True)
class Lost:
    """A trial's worker, or its whole node, is gone; the trial can go on elsewhere from its last checkpoint."""

    number: int
    reason: str
    is_announced: bool = False
    """Whether the node said beforehand that it would be taken away, which is no fault of the trial."""


@dataclass(frozen=True, kw_only=True)
class Blocked:
    """No trial of the study can go on, by no fault of theirs: the disk is full, or the dataset has changed."""

    number: int
    reason: str


Event = Reported | Failed | Lost | Blocked


class Executor(Protocol):
    """Runs trials, each known by its number. After each event its trial waits until it is answered."""

    @property
    def free_slots(self) -> int:
        """How many more trials may be started now; less than none where slots went away."""
        ...

    @property
    def running(self) -> Collection[int]:
        """The trials that have a worker."""
        ...

    @property
    def waiting(self) -> Collection[int]:
        """The trials that were started and have no worker yet, or have lost it."""
        ...

    def start(self, number: int, spec: Any) -> None:
        """Run a trial as its spec says, as soon as there is a worker for it."""
        ...

    def events(self) -> Sequence[Event]:
        """What has happened; waits a moment where nothing has, and may then return nothing."""
        ...

    def answer(self, number: int, answer: Answer) -> None:
        """Let a trial go on or end; one that is `waiting` may be ended without an event."""
        ...

    def release(self) -> None:
        """Let workers without a trial go: there is none to start now."""
        ...

    def close(self) -> None:
        """End everything; trials that still run are killed where they are."""
        ...
