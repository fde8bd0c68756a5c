"""What a command of ours needs before the rest is imported, which takes seconds. Knows the standard library alone."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import Any

EXIT_INTERRUPTED = 130
PROGRAM = "mgc-search"
"""The console script, whose commands are the modules that have a command line."""


def start_command() -> None:
    """Prepare the process if it is one of `python -m OUR.COMMAND` or of the console script: while Python imports a
    package so that it can run one of its modules, it has `-m` in place of the command's name. A program that imports us
    is left as it is.
    """
    if sys.argv[:1] != ["-m"] and os.path.basename(*sys.argv[:1] or [""]) != PROGRAM:
        return
    os.environ["MPLBACKEND"] = "agg"  # no command opens a window, and matplotlib refuses a name that it does not know
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # ignored, say, in the background of a shell
        signal.signal(signal.SIGINT, _end)


def begin_work() -> None:
    """Let Ctrl-C raise KeyboardInterrupt from here on: there is something to end in order."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: Any) -> None:
    """End at once. An import may turn any error that is raised within it into another one, or swallow it."""
    with suppress(OSError):
        os.write(2, b"interrupted\n")
    os._exit(EXIT_INTERRUPTED)
