"""The record of a study on a cluster, line by line in its job's log, and the same record again where the log is read.

So the one who follows a job sees the table of its trials as at home. Knows records and their table, not Ray.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console

from search.machines.scratch import scratch
from search.record.files import JOURNAL
from search.record.journal import RecordError
from search.record.record import Record
from search.terminal.display import Display

ASKED = "MGC_ECHO_RECORD"
"""The variable that asks a driver for its record's lines."""
MARK = "record| "
"""What each of them begins with; the first one is the study's name."""
EVERY_S = 1.0
_OF_A_TRIAL = re.compile(r"trial \d+  (complete|stopped|paused|failed)")
"""The lines of a driver without a terminal that the table makes needless."""


@contextmanager
def echoed(folder: Path) -> Iterator[None]:
    """Print the lines of the record in a study's folder to stdout, those that it has and those that come; only where
    the environment asks for it.
    """
    if not os.environ.get(ASKED):
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_print_lines, args=(folder, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _print_lines(folder: Path, over: threading.Event) -> None:
    print(f"{MARK}{folder.name}", flush=True)
    rest = b""
    with (folder / JOURNAL).open("rb") as file:
        is_last = False
        while not is_last:
            is_last = over.wait(EVERY_S)
            *lines, rest = (rest + file.read()).split(b"\n")
            sys.stdout.write("".join(f"{MARK}{line.decode()}\n" for line in lines))
            sys.stdout.flush()


@contextmanager
def shown_log(console: Console | None = None) -> Iterator[Callable[[str], None]]:
    """A function that shows a job's log, piece by piece: on a terminal the table of the study's trials below what the
    job prints, elsewhere its lines without those of the record.
    """
    console = console or Console(file=sys.stdout, highlight=False)
    with ExitStack() as stack:
        if not console.is_terminal:
            yield _Lines(_print_line, lambda: None).take
            return
        table = _Table(console, stack)
        yield _Lines(table.line, table.update).take


def _print_line(line: str) -> None:
    if not line.startswith(MARK):
        print(line, flush=True)


class _Lines:
    """Cuts a text that comes in pieces into lines; `after` is called after those of a piece."""

    def __init__(self, show: Callable[[str], None], after: Callable[[], None]) -> None:
        self._show, self._after = show, after
        self._rest = ""

    def take(self, text: str) -> None:
        """The next piece, which may end within a line."""
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._show(line)
        self._after()


class _Table:
    """Makes a record of the log's lines that hold one, and shows its trials."""

    def __init__(self, console: Console, stack: ExitStack) -> None:
        self._console, self._stack = console, stack
        self._scratch = stack.enter_context(scratch())
        self._folder: Path | None = None
        self._record: Record | None = None
        self._display: Display | None = None

    def line(self, line: str) -> None:
        if line.startswith(MARK):
            self._keep(line.removeprefix(MARK))
        elif self._display is not None and not _OF_A_TRIAL.match(line):
            self._display.line(line)
        elif self._folder is None or not _OF_A_TRIAL.match(line):
            self._console.print(line, markup=False, soft_wrap=True)

    def _keep(self, line: str) -> None:
        """The study's name, which comes first, or a line of its record."""
        if self._folder is None:
            self._folder = self._scratch / Path(line).name
            self._folder.mkdir()
            return
        with (self._folder / JOURNAL).open("a") as file:
            file.write(f"{line}\n")
        if self._record is None and (record := _begun(self._folder)) is not None:
            self._record = record
            self._display = self._stack.enter_context(Display(record, console=self._console))

    def update(self) -> None:
        """Show the trials as they are now."""
        if self._record is not None and self._display is not None:
            self._display.update(self._record.trials())


def _begun(folder: Path) -> Record | None:
    """The record of which the first lines are there; None before its header is."""
    try:
        return Record.open(folder)
    except RecordError:
        return None
