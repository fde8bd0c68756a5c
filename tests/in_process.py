"""An executor that trains in this process, one epoch after another, the trials in turn: for tests of what is above."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from search.execution.executor import Answer, Blocked, Event, Failed, Lost, Reported


class WorkerLostError(Exception):
    """The worker of a trial is gone."""


class DiskFullError(Exception):
    """No trial can go on."""


class InProcess:
    """`curve(spec, epoch)` gives the metrics of an epoch, or raises WorkerLostError, DiskFullError, or any failure.

    There are so many `workers`; other trials wait. A spec may give `known_epochs`, after which the trial reports.
    """

    def __init__(
        self, curve: Callable[[Mapping[str, Any], int], Mapping[str, float]], *, slots: int = 1, workers: int = 1000
    ) -> None:
        self.curve, self.slots, self.workers = curve, slots, workers
        self.trained: dict[int, int] = {}
        """Epochs of each trial, as its checkpoint has them."""
        self.specs: dict[int, Mapping[str, Any]] = {}
        """Of the trials that are here now, in the order of their starts."""
        self.is_closed = self.is_released = False
        self._reported: dict[int, int] = {}
        self._workers: list[int] = []
        """The trials that have one."""
        self._ready: deque[int] = deque()

    @property
    def free_slots(self) -> int:
        return self.slots - len(self.specs)

    @property
    def running(self) -> Collection[int]:
        return self._workers

    @property
    def waiting(self) -> Collection[int]:
        return [number for number in self.specs if number not in self._workers]

    def start(self, number: int, spec: Any) -> None:
        self.is_released = False
        self.specs[number] = spec
        self._reported[number] = spec.get("known_epochs", 0)
        self._ready.append(number)

    def events(self) -> Sequence[Event]:
        self._workers += list(self.waiting)[: self.workers - len(self._workers)]
        number = next((number for number in self._ready if number in self._workers), None)
        if number is None:
            return ()
        self._ready.remove(number)
        return (self._trained(number),)

    def answer(self, number: int, answer: Answer) -> None:
        if answer == "go":
            self._ready.append(number)
            return
        del self.specs[number]
        self._workers = [other for other in self._workers if other != number]
        self._ready = deque(other for other in self._ready if other != number)

    def release(self) -> None:
        self.is_released = True

    def close(self) -> None:
        self.is_closed = True
        for number in [*self.specs]:
            self.answer(number, "stop")

    def _trained(self, number: int) -> Event:
        epoch = self._reported[number] + 1
        try:
            metrics = self.curve(self.specs[number], epoch)
        except WorkerLostError as error:
            return Lost(number=number, reason=str(error), is_announced="announced" in str(error))
        except DiskFullError as error:
            return Blocked(number=number, reason=str(error))
        except Exception as error:
            return Failed(number=number, reason=f"{type(error).__name__}: {error}", trace="Traceback: in curve\n")
        self._reported[number] = epoch
        self.trained[number] = max(epoch, self.trained.get(number, 0))
        return Reported(number=number, metrics={"epoch": epoch, **metrics}, facts={"node": "here"})
