"""Keeps a tracking backend up to date with a study's record, in the background.

A backend is a projection of the record that can be sent again: what it has is looked up, what it lacks is sent. One
thread does all of it, so no trial waits for a server or fails because of one; what the server did not get in the end is
sent by `python -m search.tracking sync STUDY`. Which backend it is, and what the record says, is not known here.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

from mgc.words.errors import one_line
from search.tracking.backend import STUDY, AwayError, Backend, Status, TrackingError
from search.tracking.outbox import Item, Outbox

OPEN_WITHIN_S = 20.0
"""How long a new place is left alone while no trial has a result."""
PATIENCE_S = 15.0
"""How long the end waits for the next thing to be sent."""
PAUSES_S = (0.5, 30.0)
"""First and longest pause before a server that was away is tried again; each is twice the one before."""

_log = logging.getLogger(__name__)


class Tracker:
    """Sends a study's runs to a backend, from `start` to `finish`; one that never starts sends nothing (`--offline`).

    >>> import tempfile
    >>> from search.record.header import StudyHeader
    >>> from search.record.record import Record
    >>> from search.tracking.registry import tracker_of
    >>> header = StudyHeader(
    ...     space="r", created="2026-01-01", trials=1, max_epochs=9, metrics=("val_loss",), modes=("min",)
    ... )
    >>> out = Path(tempfile.mkdtemp())
    >>> tracker = tracker_of(Record.create(out / "r-001", header), f"sqlite:///{out}/mlflow.db")
    >>> tracker.start()
    >>> tracker.finish("FINISHED")
    0
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._place = f"{backend.name} at {backend.where}"
        self._outbox = Outbox()
        self._end: Status | None = None
        self._first_connection: Future[None] = Future()
        self._is_connected = False
        self._num_sent = 0
        self._pauses: Iterator[float] | None = None  # while the server is away
        self._thread = threading.Thread(target=self._run, name="tracker", daemon=True)

    def run_id(self, number: int) -> str | None:
        """The backend's name of a trial's run, or of the study's; None until it is there."""
        return self._backend.run_id(number)

    @property
    def page(self) -> str | None:
        """The backend's page of the study's runs, relative to its own address; None before it is there."""
        return self._backend.page

    def start(self) -> None:
        """Connect, and mark what the backend lacks.

        Raises TrackingError if the backend cannot be used, or has not answered after its `connect_s`. A new place is
        left to the thread, which waits for the first result, OPEN_WITHIN_S at most: making one takes seconds of this
        process, and the first trials begin the sooner.
        """
        self._backend.prepare()
        if self._backend.is_new:
            self._first_connection.set_result(None)
        self._thread.start()
        try:
            self._first_connection.result(self._backend.connect_s)
        except TimeoutError:
            self._outbox.abandon()
            raise TrackingError(f"{self._place} did not answer within {self._backend.connect_s:g} s") from None
        except Exception as error:
            raise TrackingError(f"{self._place} cannot be used: {one_line(error)}") from None

    def touch(self, number: int = STUDY) -> None:
        """The record of a trial, or of the study as a whole, changed: show it soon. Returns at once."""
        self._outbox.mark([number])

    def log_artifact(self, path: Path, folder: str = "", *, number: int = STUDY) -> None:
        """Copy a file or folder to a folder of a trial's artifacts, or of the study's, soon. Returns at once."""
        self._outbox.add(Item(number, path, folder))

    def finish(self, status: Status, *, within_s: float = math.inf) -> int:
        """Send all that is left and end the study's run; returns how many runs could not be sent completely.

        Trials that the record calls running are shown as interrupted. A server that is away is tried once more.
        """
        deadline = time.monotonic() + within_s
        behind = self._backend.behind(live=False)
        self._end = status
        self._outbox.close(behind)
        self._wait_for_thread(deadline)
        return len(self._outbox.abandon())

    def _wait_for_thread(self, deadline: float) -> None:
        """Wait for the thread's end, as long as it still sends something every PATIENCE_S."""
        num_sent = -1
        while self._thread.is_alive() and not self._outbox.is_abandoned and self._num_sent > num_sent:
            num_sent = self._num_sent
            patience_s = PATIENCE_S if self._is_connected else max(PATIENCE_S, self._backend.connect_s)
            self._thread.join(max(0.0, min(patience_s, deadline - time.monotonic())))

    def _run(self) -> None:
        """The thread. It never ends unseen: a line says so, the study goes on, and what is not sent is counted."""
        try:
            self._work()
        except BaseException as error:  # a SystemExit too, which otherwise ends a thread without a word
            reason = f"{type(error).__name__}: {error}"
            _log.warning("%s is sent nothing more (%s)", self._place, reason)
            self._outbox.abandon()
            if not self._first_connection.done():
                self._first_connection.set_exception(TrackingError(reason))

    def _work(self) -> None:
        """Connect and send all, until the study's end; where that fails, again after a pause."""
        if self._first_connection.done():  # the place is new, so nobody waits for it
            self._outbox.wait_for_result(OPEN_WITHIN_S)
        is_last_try = False
        while not is_last_try:
            is_last_try = self._outbox.is_closed
            try:
                self._connect()
                self._send_all()
                return
            except Exception as error:  # whatever goes wrong with a server, the study goes on
                if not self._first_connection.done():
                    self._first_connection.set_exception(error)
                    return
                self._pause(error)

    def _connect(self) -> None:
        self._backend.connect()
        self._is_connected = True
        self._outbox.mark(self._backend.behind(live=self._end is None))
        if not self._first_connection.done():
            self._first_connection.set_result(None)

    def _send_all(self) -> None:
        while (item := self._outbox.take()) is not None:
            self._send(item)
            if self._pauses is not None:
                _log.warning("%s answers again", self._place)
            self._pauses = None
            self._num_sent += 1

    def _send(self, item: Item) -> None:
        """Send a run or a file, put it back where the server is away, or set it aside where it is never accepted."""
        try:
            if item.path is not None:
                self._backend.send_file(item.number, item.path, item.folder)
            elif self._backend.send(item.number, end=self._end) != "RUNNING" and item.number != STUDY:
                self.touch()  # the study's description counts the ended trials and names the best
            self._outbox.done(item)
        except AwayError:
            self._outbox.put_back(item)
            raise
        except Exception as error:
            run = "the study" if item.number == STUDY else f"trial {item.number}"
            what = item.path or "the run"
            _log.warning("%s does not take %s of %s: %s", self._backend.name, what, run, one_line(error))
            self._outbox.refuse(item)

    def _pause(self, error: Exception) -> None:
        """Say once that the server is away, and wait before the next try."""
        self._is_connected = False
        if self._pauses is None:
            _log.warning("%s is away (%s); results are sent later", self._place, one_line(error))
            self._pauses = _pauses_s()
        self._outbox.pause(next(self._pauses))


def _pauses_s() -> Iterator[float]:
    pause_s, longest_s = PAUSES_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, longest_s)
