"""What is yet to be sent, and in which order. It knows neither the record nor a server.

The driver's thread marks runs and adds files, and never waits; the tracker's thread takes them one after another.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from search.tracking.backend import STUDY

DESCRIBE_EVERY_S = 2.0
"""Time between two descriptions of the study, at least: each ranks all trials, and holds the interpreter meanwhile."""


class Item(NamedTuple):
    """A run that changed, or a file of it."""

    number: int
    path: Path | None = None
    folder: str = ""


class Outbox:
    """Runs before files, which may be large; a run that is marked again before it is taken is sent once.

    The study is described as soon as DESCRIBE_EVERY_S have passed since the last time, before any trial; after `close`
    it comes after the trials, so that its run ends last.
    """

    def __init__(self) -> None:
        self.is_closed = self.is_abandoned = False
        self._change = threading.Condition()
        self._trials: dict[int, int] = {}  # number to how often it was marked, in the order of the first marks
        self._has_study = False
        self._described_at = -math.inf
        self._files: deque[Item] = deque()
        self._taken: Item | None = None
        self._refused: set[Item] = set()

    def mark(self, numbers: Iterable[int]) -> None:
        """The record of these runs changed."""
        with self._change:
            for number in numbers:
                self._mark(number)
            self._change.notify_all()

    def add(self, file: Item) -> None:
        with self._change:
            self._files.append(file)
            self._change.notify_all()

    def close(self, behind: Iterable[int]) -> None:
        """These runs are to be sent again, and nothing comes after what is there now."""
        with self._change:
            self.is_closed = True
            for number in behind:
                self._mark(number)
            self._change.notify_all()

    def abandon(self) -> set[int]:
        """Hand out nothing any more. Returns the numbers of the runs that lack something."""
        with self._change:
            self.is_closed = self.is_abandoned = True
            self._change.notify_all()
            taken = [] if self._taken is None else [self._taken]
            study = {STUDY} if self._has_study else set()
            return {*self._trials, *study, *(item.number for item in (*self._files, *self._refused, *taken))}

    def take(self) -> Item | None:
        """Wait for an item that is due; None once there is none and none can come."""
        with self._change:
            while (item := self._next()) is None and not self.is_closed:
                self._change.wait(self._description_due_in_s() if self._has_study else None)
            if item is None or self.is_abandoned:
                return None
            self._remove(item)
            self._taken = item
            return item

    def done(self, item: Item) -> None:
        """The taken item was sent."""
        with self._change:
            self._refused.discard(item)
            self._settle(item)

    def refuse(self, item: Item) -> None:
        """The taken item can never be sent: it is counted among what is lacking, and not tried again by itself."""
        with self._change:
            self._refused.add(item)
            self._settle(item)

    def put_back(self, item: Item) -> None:
        """The taken item is to be tried again, after all others, so that it keeps none of them back."""
        with self._change:
            self._taken = None
            if item.path is None:
                self._mark(item.number)
            else:
                self._files.append(item)

    def pause(self, seconds: float) -> None:
        """Let time pass, which `close` cuts short."""
        with self._change:
            self._change.wait_for(lambda: self.is_closed, seconds)

    def wait_for_result(self, seconds: float) -> None:
        """Wait until a trial has a result, a file is there or nothing more comes, `seconds` at most."""
        with self._change:
            self._change.wait_for(lambda: self.is_closed or self._has_result() or bool(self._files), seconds)

    def _mark(self, number: int) -> None:
        if number == STUDY:
            self._has_study = True
        else:
            self._trials[number] = self._trials.get(number, 0) + 1

    def _next(self) -> Item | None:
        is_due = self._has_study and self._description_due_in_s() <= 0
        if is_due and not self.is_closed:
            return Item(STUDY)
        if self._trials:
            return Item(next(iter(self._trials)))
        if self._has_study and self.is_closed:
            return Item(STUDY)
        return self._files[0] if self._files else None

    def _remove(self, item: Item) -> None:
        """Take an item off before the record is read for it: a change from here on marks the run again."""
        if item.path is not None:
            self._files.popleft()
        elif item.number == STUDY:
            self._has_study = False
        else:
            del self._trials[item.number]

    def _settle(self, item: Item) -> None:
        self._taken = None
        if item == Item(STUDY):
            self._described_at = time.monotonic()

    def _description_due_in_s(self) -> float:
        return self._described_at + DESCRIBE_EVERY_S - time.monotonic()

    def _has_result(self) -> bool:
        """Whether a trial was marked twice: first it began, so the second time it has a result."""
        return any(marks > 1 for marks in self._trials.values())
