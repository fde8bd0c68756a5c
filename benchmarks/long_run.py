"""`python -m benchmarks.long_run`: what a driver takes more with each trial, and what studies leave behind.

First one study of tiny trials: the memory, open files and threads of its driver after every fiftieth trial. Then small
studies that end by themselves, by Ctrl-C, and by SIGKILL before another driver ends them, each several times: what is
in TMPDIR, and new in /dev/shm, after each. Prints two tables of Markdown; what grows is for people to judge.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import tiny_study
from search.record.files import JOURNAL

EVERY = 50
"""Trials from one look at the driver to the next."""
SMALL = 6
"""Trials of a study that is ended in some way."""
ROUNDS = 3
SHARED_MEMORY = Path("/dev/shm")


class Place:
    """A folder with a space file, and with the temporary files of its drivers in a folder of their own."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        self.folder, self.temporary = folder, temporary
        self.space = tiny_study.write_space(folder, trials=SMALL)
        self._environment = {**tiny_study.environment(folder), "TMPDIR": str(self.temporary)}

    def start(self, name: str, *options: str, goes_on: bool = False) -> subprocess.Popen[bytes]:
        """A driver of a new study of this name, or of the one that is there."""
        which = ["--resume" if goes_on else "--name", name]
        words = [str(self.space), *which, "--address", "local", "--quiet", "--out", str(self.folder / "runs")]
        with (self.folder / f"{name}.err").open("ab") as log:
            command = [sys.executable, "-m", "search.run", *words, *options]
            return subprocess.Popen(command, env=self._environment, stdout=log, stderr=log, start_new_session=True)

    def count(self, name: str, what: bytes) -> int:
        """How often this stands in the record of a study."""
        journal = self.folder / "runs" / name / JOURNAL
        return journal.read_bytes().count(what) if journal.is_file() else 0

    def temporary_files(self) -> list[str]:
        """All that lies in TMPDIR at its first two levels."""
        paths = [*self.temporary.glob("*"), *self.temporary.glob("*/*")]
        return sorted(str(path.relative_to(self.temporary)) for path in paths)


def look_at_driver(place: Place, trials: int) -> None:
    """Run a study of so many trials of one epoch, and print what its driver takes."""
    process = place.start("long", "--trials", str(trials), "--set", "budget.max_epochs=1")
    print("| trials | MB resident | open files | threads |\n|---|---|---|---|")
    following = EVERY
    while process.poll() is None:
        if (ended := place.count("long", b'"values":[')) >= following:
            print(f"| {ended} | {_of_process(process.pid)} |", flush=True)
            following += EVERY
        time.sleep(0.2)
    _check(process, 0)
    print()


def _of_process(pid: int) -> str:
    """Resident memory, open files and threads (Linux)."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    files = len(os.listdir(f"/proc/{pid}/fd"))
    return f"{int(status['VmRSS'].split()[0]) / 1e3:.0f} | {files} | {status['Threads'].strip()}"


def end(place: Place, way: str, name: str) -> None:
    """A small study that ends in this way."""
    process = place.start(name)
    if way == "by itself":
        _check(process, 0)
        return
    while place.count(name, b'"epoch/') < 2 and process.poll() is None:
        time.sleep(0.02)
    if way == "by Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)
        _check(process, 130)
        return
    process.kill()
    _check(process, -signal.SIGKILL)
    _check(place.start(name, goes_on=True), 0)


def _check(process: subprocess.Popen[bytes], code: int) -> None:
    if process.wait() != code:
        sys.exit(f"a driver ended with status {process.returncode}, not {code}")


def look_at_leavings(place: Place) -> None:
    """Print what is left behind after each of ROUNDS studies that end in each way, and its names."""
    names = []
    print("| the study ended | in TMPDIR after each | more in /dev/shm |\n|---|---|---|")
    for index, way in enumerate(("by itself", "by Ctrl-C", "by SIGKILL, and then by itself")):
        before, files = set(os.listdir(SHARED_MEMORY)), []
        for number in range(ROUNDS):
            end(place, way, f"way-{index}-{number}")
            files.append(place.temporary_files())
        time.sleep(5)  # Ray's last processes go after their driver
        shared = sorted(set(os.listdir(SHARED_MEMORY)) - before)
        print(f"| {way} | {', '.join(str(len(each)) for each in files)} | {len(shared)} |", flush=True)
        names.append(f"{way}: {[*files[-1], *shared]}")
    print("", *names, sep="\n")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_run", description="What grows, and what is left.")
    parser.add_argument("--trials", type=int, default=300, help="of the long study (default: %(default)s)")
    given = parser.parse_args(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="long-run-", ignore_cleanup_errors=True) as name,
        tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as short,  # as short as Ray needs it
    ):
        place = Place(Path(name), Path(short))
        look_at_driver(place, given.trials)
        look_at_leavings(place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
