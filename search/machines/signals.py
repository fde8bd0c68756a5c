"""Ctrl-C, SIGTERM, SIGHUP: the first asks a study to stop after the running epochs, the second ends the process."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NoReturn

STOP_S = 26.0
"""How long a stop may take after the first signal: half a minute, less the time that Ray and Python need to end."""
LEAST_LEFT_S = 4.0
"""How much time MLflow has to finish, even if the stop took longer than STOP_S."""
LATER_S = 0.05
"""How much later a signal comes again that came in the middle of a fork."""
SHOW_CURSOR = "\x1b[?25h"


class StopRequest:
    """Whether a signal has asked the study to stop; a call returns that.

    Work that asks between its steps sets `polite`: then it ends its step and keeps the result, as a trial keeps its
    checkpoint. Work that has no result to keep (opening data, starting Ray) is interrupted by a KeyboardInterrupt.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.polite = False
        self._say = say
        self._asked_at: float | None = None

    def __call__(self) -> bool:
        return self._asked_at is not None

    @property
    def left_s(self) -> float:
        """Seconds that the rest of the study may take; infinite before a signal."""
        return math.inf if self._asked_at is None else max(self._asked_at + STOP_S - time.monotonic(), LEAST_LEFT_S)

    def handle(self, number: int, frame: Any) -> None:
        """The handler of all of them."""
        if self._asked_at is not None:
            end_at_once(128 + number)
        if not self.polite and _forks().is_running:
            threading.Timer(LATER_S, os.kill, (os.getpid(), number)).start()
            return
        self._asked_at = time.monotonic()
        if not self.polite:
            raise KeyboardInterrupt
        self._say(
            "stopping: running trials finish their epoch and save a checkpoint (a second Ctrl-C ends them at once)"
        )


class _Forks:
    """Whether the main thread forks. Python drops an error that is raised in the functions that run then, such as the
    one that gives the lock of `logging` back: the interrupt would be lost, and all other threads wait for that lock.
    """

    def __init__(self) -> None:
        self.is_running = False
        # the last that are registered run first and last, so that they enclose all others
        os.register_at_fork(before=self._begin, after_in_parent=self._end, after_in_child=self._end)

    def _begin(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self.is_running = True

    def _end(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self.is_running = False


@cache
def _forks() -> _Forks:
    return _Forks()


def end_at_once(code: int) -> NoReturn:
    """End the process from any thread, whatever the others wait for."""
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), SHOW_CURSOR.encode())  # the live table has hidden it
    os._exit(code)


@contextmanager
def stop_signals(say: Callable[[str], None]) -> Iterator[StopRequest]:
    """Turn SIGINT, SIGTERM and SIGHUP (of a terminal that is closed) into a StopRequest while the block runs; SIGHUP
    stays ignored where it is (`nohup`).
    """
    request = StopRequest(say)
    _forks()
    numbers = [signal.SIGINT, signal.SIGTERM]
    numbers += [signal.SIGHUP] * (signal.getsignal(signal.SIGHUP) != signal.SIG_IGN)
    before = {number: signal.signal(number, request.handle) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
