"""Ctrl-C and SIGTERM: the first asks a study to stop politely, the second ends the process at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SHOW_CURSOR = "\x1b[?25h"


class StopRequest:
    """Whether somebody asked to stop. Called, it tells; while nothing is `polite`, being asked interrupts at once.

    What can be asked between two of its steps sets `polite`: a trial ends its epoch and keeps its checkpoint. What has
    nothing to keep (opening data, starting Ray) is left by a KeyboardInterrupt.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.polite = False
        self._say = say
        self._asked = False

    def __call__(self) -> bool:
        return self._asked

    def handle(self, number: int, frame: Any) -> None:
        if self._asked:
            if sys.stderr.isatty():
                os.write(sys.stderr.fileno(), SHOW_CURSOR.encode())  # the live table has hidden it
            os._exit(128 + number)
        self._asked = True
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
