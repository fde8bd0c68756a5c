"""Ctrl-C and SIGTERM: the first asks a study to stop politely, the second ends the process at once."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

STOP_S = 26.0
"""How long a polite stop may take; half a minute, less what it takes Ray and Python to end."""
LAST_WORDS_S = 4.0
"""What MLflow gets of it at least."""
SHOW_CURSOR = "\x1b[?25h"


class StopRequest:
    """Whether somebody asked to stop. Called, it tells; while nothing is `polite`, being asked interrupts at once.

    What can be asked between two of its steps sets `polite`: a trial ends its epoch and keeps its checkpoint. What has
    nothing to keep (opening data, starting Ray) is left by a KeyboardInterrupt.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.polite = False
        self._say = say
        self._asked_at: float | None = None

    def __call__(self) -> bool:
        return self._asked_at is not None

    @property
    def left_s(self) -> float:
        """How long what still has to be done may take."""
        return math.inf if self._asked_at is None else max(self._asked_at + STOP_S - time.monotonic(), LAST_WORDS_S)

    def handle(self, number: int, frame: Any) -> None:
        if self._asked_at is not None:
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), SHOW_CURSOR.encode())  # the live table has hidden it
            os._exit(128 + number)
        self._asked_at = time.monotonic()
        if not self.polite:
            raise KeyboardInterrupt
        self._say("stopping: running trials end their epoch and keep checkpoints (once more ends at once)")


@contextmanager
def stop_signals(say: Callable[[str], None]) -> Iterator[StopRequest]:
    """SIGINT and SIGTERM as a StopRequest while the block runs."""
    request = StopRequest(say)
    before = {number: signal.signal(number, request.handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
