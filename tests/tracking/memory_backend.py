"""A tracking backend in memory: it counts its calls, and fails or hangs as a test wants."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from search.record.record import Record
from search.tracking.backend import STUDY, Backend, Status
from search.tracking.projection import trial_status


class MemoryBackend(Backend):
    """What it has of a run is how many epochs its trial had, and the status. `runs` may be another's, who is gone."""

    name, where = "Memory", "home"
    is_new = False

    def __init__(self, record: Record, runs: dict[int, tuple[int, Status]] | None = None):
        self.record = record
        self.runs = {} if runs is None else runs
        self.files: list[tuple[int, Path, str]] = []
        self.calls: list[str | int | Path] = []
        """`connect`, a run's number, or a file's path, in the order of the calls."""
        self.before: Callable[[str | int | Path], object] = lambda call: None
        """Called before a call does anything: it may wait, or raise."""
        self._seen: dict[int, tuple[int, Status]] = {}

    @property
    def sent(self) -> list[int]:
        """The runs that were sent, or tried, one after another."""
        return [call for call in self.calls if isinstance(call, int)]

    def connect(self) -> None:
        self._call("connect")
        self._seen = dict(self.runs)

    def behind(self, *, live: bool) -> list[int]:
        trials = [t.number for t in self.record.trials() if self._seen.get(t.number) != _shown(t, live)]
        return trials if live and self._seen.get(STUDY) == (0, "RUNNING") else [*trials, STUDY]

    def send(self, number: int, *, end: Status | None) -> Status:
        self._call(number)
        shown = (0, end or "RUNNING") if number == STUDY else _shown(self.record.trial(number), end is None)
        self.runs[number] = self._seen[number] = shown
        return shown[1]

    def send_file(self, number: int, path: Path, folder: str) -> None:
        self._call(path)
        self.files.append((number, path, folder))

    def run_id(self, number: int) -> str | None:
        return f"run {number}" if number in self._seen else None

    def _call(self, call: str | int | Path) -> None:
        self.calls.append(call)
        self.before(call)


def _shown(trial, live: bool) -> tuple[int, Status]:
    return len(trial.epochs), trial_status(trial, live=live)
