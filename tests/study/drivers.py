"""Drivers of a tiny study as a terminal starts them, and where they run: for tests that kill, stop and resume them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

from waiting import until

from benchmarks import tiny_study
from search.record.journal import JOURNAL

MARK = "MGC_SURVIVAL"
"""Variable by which the processes of a test's drivers are known in /proc."""


def place_in(folder: Path, *, trials: int) -> SimpleNamespace:
    """A tiny study's space and music in this folder, and where its drivers run."""
    space = tiny_study.write_space(folder, trials=trials)
    env = {**tiny_study.environment(folder), MARK: str(folder)}
    return SimpleNamespace(folder=folder, space=space, runs=folder / "runs", env=env)


class Driver:
    """`python -m search.run` in a process group of its own."""

    def __init__(self, place, *arguments, name):
        self.study = place.runs / name
        command = [sys.executable, "-m", "search.run", str(place.space), "--address", "local", "--json"]
        options = ["--out", str(place.runs), *map(str, arguments)]
        output = Path(tempfile.mkdtemp(dir=place.folder))
        self.out, self.err = output / "out", output / "err"
        with self.out.open("w") as out, self.err.open("w") as err:
            streams = {"stdout": out, "stderr": err}
            self.process = subprocess.Popen([*command, *options], env=place.env, start_new_session=True, **streams)

    def until_epochs(self, count):
        """Wait until the record has so many epochs more than now."""
        enough = self.epochs() + count
        self.until(lambda: self.epochs() >= enough, f"{count} more epochs")

    def until(self, condition, what):
        def is_so():
            assert self.process.poll() is None, self.end().stderr
            return condition()

        until(is_so, what, 120)

    def epochs(self):
        journal = self.study / JOURNAL
        return journal.read_bytes().count(b'"epoch/') if journal.is_file() else 0

    def interrupt(self):
        """Ctrl-C: the signal goes to every process of the group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self):
        """Wait for the end: its exit code, what it printed, and the seconds it took from here."""
        started = time.monotonic()
        code = self.process.wait(600)
        seconds = time.monotonic() - started
        return SimpleNamespace(code=code, stdout=self.out.read_text(), stderr=self.err.read_text(), seconds=seconds)
