"""Keeps MLflow up to date with a study's record, in the background: experiment = space, run = study, child run = trial.

MLflow is a projection of the record that can be sent again: what it has is looked up, what it lacks is sent. One thread
does all of it, so no trial waits for a server or fails by one; what the server did not get in the end is sent by
`python -m search.tracking sync STUDY`.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path

from mgc.config import ConfigError
from search.journal import locked
from search.mlflow_runs import STUDY, StudyRuns, TrackingError, check_uri, default_uri, is_refusal, one_line, redacted
from search.overview import Heading
from search.projection import Status
from search.record import Record

__all__ = ["NoTracker", "Tracker", "TrackingError", "default_uri", "redacted", "sync"]

REACH_S = 10.0
"""How long the start waits for a server; a request gives up after half of that."""
OPEN_S = 60.0
"""How long it waits for a sqlite file, which only a busy machine can make slow."""
OPEN_WITHIN_S = 20.0
"""How long a new sqlite file is left alone while no trial has a result."""
PATIENCE_S = 15.0
"""How long the end waits for the next thing to be sent."""
PAUSES_S = (0.5, 30.0)
"""First and longest pause before a server that was away is tried again."""
DESCRIBE_EVERY_S = 2.0
"""Time between two descriptions of the study, at least: each ranks all trials, and holds the interpreter meanwhile."""

_log = logging.getLogger(__name__)


class Tracker:
    """Sends what a study's record says to MLflow, from `start` to `finish`.

    >>> import tempfile; out = Path(tempfile.mkdtemp())
    >>> header = {"space": "r", "created": "2026-01-01T00:00:00+00:00", "trials": 1, "max_epochs": 9}
    >>> record = Record.create(out / "r-001", {**header, "metric": "val_accuracy", "mode": "max"})
    >>> tracker = Tracker(record, uri=default_uri(out), experiment="r")
    >>> tracker.start(); tracker.finish("FINISHED")
    0
    """

    def __init__(self, record: Record, *, uri: str, experiment: str) -> None:
        self.where = redacted(uri)
        """The URI, fit to be shown."""
        self._record, self._uri = record, uri
        self._runs = StudyRuns(record, uri, experiment)
        self._change = threading.Condition()
        self._dirty: dict[int, None] = {}  # a set that keeps its order: who fails goes to the end
        self._files: deque[tuple[int, Path, str]] = deque()
        self._refused: set[tuple[int, Path | None]] = set()
        self._end: Status | None = None
        self._sent = 0
        self._described_at = -math.inf
        self._open_at = -math.inf
        self._given_up = self._is_away = False
        self._reached: Future[None] = Future()
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)

    @property
    def parent_run_id(self) -> str | None:
        """MLflow's id of the study's run; None until the server has answered for the first time."""
        return self.run_id(STUDY)

    def run_id(self, number: int) -> str | None:
        """MLflow's id of a trial's run; None until it is there."""
        run = self._runs.runs.get(number)
        return run.run_id if run else None

    def start(self) -> None:
        """Reach the server, make the study's run or find it again, and mark what the server lacks.

        Raises TrackingError within REACH_S if the server cannot be used. A new sqlite file takes seconds to make and
        can hardly fail once its folder is known to be writable, so that is left to the thread. It waits for the first
        result, OPEN_WITHIN_S at most: the seconds are this process's, and the first trials begin the sooner.
        """
        if check_uri(self._uri):
            self._reached.set_result(None)
            self._open_at = time.monotonic() + OPEN_WITHIN_S
        elif not self._uri.startswith("sqlite:"):
            self._runs.load()  # seconds on a busy machine, which are not the server's
        self._thread.start()
        try:
            self._reached.result(wait_s := OPEN_S if self._uri.startswith("sqlite:") else REACH_S)
        except TimeoutError:
            self._given_up = True
            raise TrackingError(f"MLflow at {self.where} did not answer within {wait_s:g} s") from None
        except Exception as error:
            raise TrackingError(f"MLflow at {self.where} cannot be used: {one_line(error)}") from None

    def touch(self, number: int = STUDY) -> None:
        """The record of a trial, or of the study as a whole, changed: show it soon. Returns at once."""
        with self._change:
            if number in self._dirty and number != STUDY:
                self._open_at = -math.inf  # it changed when it began, so this is a result
            self._dirty[number] = None
            self._change.notify()

    def log_artifact(self, path: Path, folder: str = "", *, number: int = STUDY) -> None:
        """Copy a file or folder to a folder of a trial's artifacts, or of the study's, soon. Returns at once."""
        with self._change:
            self._files.append((number, path, folder))
            self._change.notify()

    def finish(self, status: Status, *, within_s: float = math.inf) -> int:
        """Send all that is left and end the study's run; returns how many runs could not be sent completely.

        Trials that the record calls running are shown as interrupted. A server that is away is tried once more.
        """
        until = time.monotonic() + within_s
        behind = self._runs.behind(live=False)
        with self._change:
            self._end = status
            self._dirty.update(dict.fromkeys(behind))
            self._change.notify()
        before = -1
        while self._thread.is_alive() and not self._given_up and self._sent > before and time.monotonic() < until:
            before = self._sent
            is_opening = self._uri.startswith("sqlite:") and not self._runs.connected
            patience_s = OPEN_S if is_opening else PATIENCE_S
            self._thread.join(min(patience_s, max(until - time.monotonic(), 0.0)))
        with self._change:
            self._given_up = True
            left = [number for number, *_ in (*self._refused, *self._files)]
            return len({*self._dirty, *left})

    def _work(self) -> None:
        """The thread: one thing after another until the study's end; what fails is done again after a pause."""
        pause = 0.0
        while self._wait(pause):
            is_last_try = self._end is not None
            try:
                self._send_next()
                pause = 0.0
            except Exception as error:  # whatever goes wrong with MLflow, the study goes on
                if not self._reached.done():
                    self._reached.set_exception(error)
                    return
                self._lose(error)
                if is_last_try:
                    return
                pause = min(max(2 * pause, PAUSES_S[0]), PAUSES_S[1])

    def _wait(self, pause: float) -> bool:
        """Wait out the pause, which the study's end cuts short, then for work; False where no more can come."""
        with self._change:
            if pause:
                self._change.wait_for(lambda: self._end is not None, timeout=pause)
            while not self._has_work() and self._end is None:
                self._change.wait(self._description_due_in_s() if self._runs.connected else self._open_in_s())
            return self._has_work() and not self._given_up

    def _has_work(self) -> bool:
        if self._runs.connected:
            return self._next_run() is not None or bool(self._files)
        return not self._open_in_s() or self._end is not None or bool(self._files)

    def _open_in_s(self) -> float:
        """Seconds until a new sqlite file is opened though no trial has a result."""
        return max(0.0, self._open_at - time.monotonic())

    def _next_run(self) -> int | None:
        """The study where its description is due, else the trial that waits longest; at the end the study is last."""
        if STUDY in self._dirty and self._end is None and not self._description_due_in_s():
            return STUDY
        last = STUDY if STUDY in self._dirty and self._end is not None else None
        return next((number for number in self._dirty if number != STUDY), last)

    def _take_run(self) -> int | None:
        """The next run, no longer marked before its record is read: a change from here on marks it again."""
        with self._change:
            number = self._next_run()
            if number is not None:
                del self._dirty[number]
            return number

    def _description_due_in_s(self) -> float | None:
        """Seconds until the study is described again; None where it did not change."""
        return max(0.0, self._described_at + DESCRIBE_EVERY_S - time.monotonic()) if STUDY in self._dirty else None

    def _send_next(self) -> None:
        """Send what is due first: runs, then files, which may be large."""
        if not self._runs.connected:
            self._connect()
        if (number := self._take_run()) is not None:
            self._send_run(number)
        elif self._files:
            self._send_file()
        if self._is_away:
            _log.warning("MLflow at %s answers again", self.where)
        self._is_away = False
        self._sent += 1

    def _connect(self) -> None:
        self._runs.connect()
        with self._change:
            self._dirty.update(dict.fromkeys(self._runs.behind(live=self._end is None)))
        if not self._reached.done():
            self._reached.set_result(None)

    def _lose(self, error: Exception) -> None:
        """Forget what the server has, for an answer may have been lost: the next connection looks it up."""
        if not self._is_away:
            _log.warning("MLflow at %s is away (%s); results are sent later", self.where, one_line(error))
        self._is_away = True
        self._runs.connected = False

    def _send_run(self, number: int) -> None:
        try:
            self._attempt(number, None, lambda: self._runs.send(number, end=self._end))
        except Exception:
            self.touch(number)
            raise
        if number == STUDY:
            self._described_at = time.monotonic()
        run = self._runs.runs.get(number)
        if number != STUDY and run and run.status != "RUNNING":
            self.touch()  # the study's description counts the ended trials and names the best

    def _send_file(self) -> None:
        number, path, folder = self._files[0]
        self._attempt(number, path, lambda: self._runs.send_file(number, path, folder))
        self._files.popleft()

    def _attempt(self, number: int, path: Path | None, send: Callable[[], None]) -> None:
        """Send a run, or a file of it, or set it aside where that can never work."""
        try:
            send()
            self._refused.discard((number, path))
        except Exception as error:
            if not is_refusal(error):
                raise
            what = "the study" if number == STUDY else f"trial {number}"
            _log.warning("MLflow does not take %s of %s: %s", path or "the run", what, one_line(error))
            self._refused.add((number, path))


class NoTracker(Tracker):
    """Nothing is sent (`--offline`): the record has it all, and `sync` sends it later."""

    def start(self) -> None:
        return None

    def touch(self, number: int = STUDY) -> None:
        return None

    def log_artifact(self, path: Path, folder: str = "", *, number: int = STUDY) -> None:
        return None

    def finish(self, status: Status, *, within_s: float = math.inf) -> int:
        """How many runs MLflow lacks: all of them."""
        return len(self._record.trials()) + 1


def sync(record: Record, uri: str, experiment: str, files: Sequence[Path] = ()) -> int:
    """Send a whole record of a study that does not run, and files or folders as the study's artifacts.

    Returns how many runs could not be sent completely.
    """
    heading, trials = Heading.of(record.header), record.trials()
    is_whole = len(trials) >= heading.trials and all(trial.ended is not None for trial in trials)
    tracker = Tracker(record, uri=uri, experiment=experiment)
    tracker.start()
    for number in record.notes().get("test", {}).get("scores", {}):
        tracker.touch(int(number))  # what the test part gave after the last epoch shows in no run's tags
    for path in files:
        tracker.log_artifact(path)
    return tracker.finish("FINISHED" if is_whole else "KILLED")


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m search.tracking", description="Send studies to MLflow again.")
    parser.add_argument("command", choices=["sync"], help="send what MLflow lacks of a study")
    parser.add_argument("study", metavar="STUDY", help="its name")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="where studies are (default: %(default)s)")
    parser.add_argument("--tracking-uri", help="default: $MLFLOW_TRACKING_URI, else sqlite:///OUT/mlflow.db")
    options = parser.parse_args(arguments)
    try:
        record = Record.open(options.out / options.study)
        with locked(record.folder):
            unsent = sync(record, options.tracking_uri or default_uri(options.out), record.header["space"])
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{options.study}: {len(record.trials()) + 1 - unsent} runs are in MLflow, {unsent} could not be sent")
    return 1 if unsent else 0


if __name__ == "__main__":
    sys.exit(main())
