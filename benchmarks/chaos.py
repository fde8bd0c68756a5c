"""`python -m benchmarks.chaos --kills 100`: a study whose driver is killed at random moments, and what it lost by it.

A study of tiny music is searched, then its best configs are confirmed, then its report is written. The driver of each
is SIGKILLed, started again, killed again, ... and at last left to its end. A third of the kills come in the first
seconds of a driver's life, the others after a random number of lines of the record. After most kills a file is damaged
before the next life: a bit of a record's last line is flipped, its end is cut off, or a file that is nobody's appears.
Then everything is counted: trials, epochs, test scores, MLflow's runs and points, checkpoints, processes. With one
trial at a time, the default, search and confirmation must also have found what undisturbed ones find, bit for bit. Exit
status 1 if anything differs.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import tiny_study
from benchmarks.losses import (
    Damage,
    check_disk,
    check_mlflow,
    check_processes,
    check_readable,
    check_record,
    check_tested,
)
from search.record.files import JOURNAL, PREDICTIONS, REPORT, TRIALS, confirmation_folder
from search.record.notes import TEST, scores_on_test
from search.record.record import Record

CALM, KILLED = "calm", "chaos"
"""The names of the undisturbed study and of the other one."""
MARK = "MGC_CHAOS"
"""Variable by which the processes of the studies are known in /proc."""
MIN_TRIALS = 20
LINES = 12
"""Lines that a driver may write, at most, before it is killed: of some 230 in 20 trials, so that 30 kills come before
the end.
"""
STRAYS = (".DS_Store", f"{TRIALS}/.DS_Store", f"{TRIALS}/notes.txt", f"{REPORT}/.DS_Store", f"{PREDICTIONS}/Thumbs.db")
RAY_IS_LATE = "error: Ray did not start on this machine (The current node timed out during startup"
"""What a driver says on a busy machine where Ray has not started within its 30 s; the driver is started again."""
HARMS = ("a flipped bit", "a cut end", "a stray file", None)


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command of the program that is killed so many times: `python -m search.NAME WORDS`."""

    name: str
    kills: int
    words: Sequence[str]
    """With STUDY for the study's name."""
    is_confirmation: bool = False
    is_short: bool = False
    """Whether it trains nothing: it is killed in its first seconds, and runs again until it was killed often enough."""


@dataclass
class Chaos:
    """A folder where drivers are killed, and what was done there so far."""

    folder: Path
    rng: random.Random
    environment: dict[str, str]
    startup_s: float = 10.0
    """Seconds of an undisturbed command until its first trials were recorded, or to its end where it trains nothing."""
    kills: Counter[str] = field(default_factory=Counter)
    """By command."""
    harms: Counter[str] = field(default_factory=Counter)
    strays: set[Path] = field(default_factory=set)
    damage: Damage = field(default_factory=Damage)
    _sizes: dict[Path, int] = field(default_factory=dict)
    """How many bytes each record had when its last line was damaged; until it is longer, that line is left alone."""

    def start(self, command: Command, name: str) -> subprocess.Popen[bytes]:
        """A driver. What it says is in `NAME.err`."""
        words = [name if word == "STUDY" else word for word in command.words]
        line = [sys.executable, "-m", f"search.{command.name}", *words, "--out", str(self.folder / "runs")]
        with (self.folder / f"{name}.out").open("wb") as out, (self.folder / f"{name}.err").open("ab") as err:
            return subprocess.Popen(line, env=self.environment, stdout=out, stderr=err)

    def leave(self, command: Command) -> None:
        """Run a command that nobody disturbs to its end, and measure its start."""
        started, first = time.monotonic(), None
        process = self.start(command, CALM)
        while process.poll() is None:
            if first is None and _num_lines(self.study_of(command, CALM)) > 6:
                first = time.monotonic() - started
            time.sleep(0.1)
        if self._is_ray_late(process.returncode, CALM):
            return self.leave(command)
        self._check_exit(process.returncode, CALM)
        seconds = time.monotonic() - started
        self.startup_s = first if first is not None and not command.is_short else seconds
        print(f"undisturbed {command.name}: {seconds:.0f} s, {self.startup_s:.0f} s of them its start", flush=True)

    def kill(self, command: Command) -> None:
        """Start a command and kill it, again and again, and at last leave it to its end."""
        while True:
            process = self.start(command, KILLED)
            is_enough = self.kills[command.name] >= command.kills
            if not is_enough and not self._ends_before(process, command):
                process.send_signal(signal.SIGKILL)
            code = process.wait()
            for study in self._studies():
                check_readable(study, self.damage)
            if code == -signal.SIGKILL:
                self._count(command)
                self._harm()
                continue
            if self._is_ray_late(code, KILLED):
                continue
            self._check_exit(code, KILLED)
            if is_enough or not command.is_short:
                return

    def study_of(self, command: Command, name: str) -> Path:
        """The study whose record grows while the command runs."""
        study = self.folder / "runs" / name
        return confirmation_folder(study, "train") if command.is_confirmation else study

    def _ends_before(self, process: subprocess.Popen[bytes], command: Command) -> bool:
        """Wait for the moment of the next kill; whether the driver ended before it."""
        study = self.study_of(command, KILLED)
        is_early = command.is_short or self.rng.random() < 1 / 3
        until = time.monotonic() + (self.rng.uniform(0, self.startup_s) if is_early else math.inf)
        enough = _num_lines(study) + self.rng.randint(3, LINES)  # three or four of them are a driver's start
        while process.poll() is None and time.monotonic() < until and _num_lines(study) < enough:
            time.sleep(0.01)
        time.sleep(self.rng.uniform(0, 0.1))
        return process.poll() is not None

    def _count(self, command: Command) -> None:
        self.kills[command.name] += 1
        lines = _num_lines(self.study_of(command, KILLED))
        print(f"kill {self.kills.total()}, {command.name}: {lines} lines in the record", flush=True)

    def _harm(self) -> None:
        """Damage a file of one of the studies, most times. A record of no more than its header stays whole."""
        study, harm = self.rng.choice(self._studies()), self.rng.choice(HARMS)
        journal = study / JOURNAL
        if harm is None or _num_lines(study) <= 2:
            return
        if harm == "a stray file":
            self._stray(study / self.rng.choice(STRAYS))
        elif journal.stat().st_size > self._sizes.get(journal, 0):
            (_flip_last if harm == "a flipped bit" else _cut_last)(journal, self.rng)
            self._sizes[journal] = journal.stat().st_size
        else:
            return
        self.harms[harm] += 1

    def _stray(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self.rng.randbytes(40))
        self.strays.add(path)

    def _studies(self) -> list[Path]:
        """The folders of the killed study and of its confirmation, as far as they are there."""
        return sorted(path for path in (self.folder / "runs").glob(f"{KILLED}*") if path.is_dir())

    def _is_ray_late(self, code: int, name: str) -> bool:
        """Whether a driver ended so because Ray was too slow for itself."""
        is_late = code != 0 and self._said(name).splitlines()[-1].startswith(RAY_IS_LATE)
        if is_late:
            print("Ray did not start within its 30 s", flush=True)
        return is_late

    def _check_exit(self, code: int, name: str) -> None:
        if code != 0:
            sys.exit(f"a driver of {name} ended with status {code}:\n{self._said(name)}")

    def _said(self, name: str) -> str:
        return (self.folder / f"{name}.err").read_text().rstrip() or "nothing"


def _num_lines(study: Path) -> int:
    journal = study / JOURNAL
    return journal.read_bytes().count(b"\n") if journal.is_file() else 0


def _flip_last(journal: Path, rng: random.Random) -> None:
    """Flip one bit of the last line."""
    content = bytearray(journal.read_bytes())
    place = rng.randrange(_start_of_last(content), len(content))
    content[place] ^= 1 << rng.randrange(8)
    journal.write_bytes(content)


def _cut_last(journal: Path, rng: random.Random) -> None:
    """Cut off the end of the last line."""
    content = journal.read_bytes()
    os.truncate(journal, rng.randrange(_start_of_last(content) + 1, len(content)))


def _start_of_last(content: bytes | bytearray) -> int:
    return content.rfind(b"\n", 0, len(content) - 1) + 1


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as name:
        folder, started = Path(name), time.monotonic()
        environment = {**tiny_study.environment(folder), MARK: uuid.uuid4().hex}
        chaos = Chaos(folder, random.Random(given.seed), environment)
        for command in _commands(folder, given.kills, given.at_once):
            chaos.leave(command)
            chaos.kill(command)
        search, confirmation = (folder / "runs" / KILLED, confirmation_folder(folder / "runs" / KILLED, "train"))
        records = [Record.open(search), Record.open(confirmation)]
        for record in records:
            check_record(record, chaos.damage, record.header.trials)
            check_mlflow(record, chaos.damage, is_harmed=bool(chaos.harms))
            check_disk(record, chaos.damage, chaos.strays)
        check_tested(records[1], chaos.damage)
        check_processes(environment[MARK], chaos.damage)
        differing = _differing(records) if given.at_once == 1 else []
        _print(chaos, records, time.monotonic() - started, differing if given.at_once == 1 else None)
    return 1 if chaos.damage or differing else 0


def _commands(folder: Path, kills: int, at_once: int) -> list[Command]:
    """A search of half the kills, a confirmation of a third, reports of the rest. More kills need more trials: a driver
    that is killed while it starts brings none further.
    """
    searching, confirming = (kills + 1) // 2, kills // 3
    cpus = max(1, (os.cpu_count() or 1) // at_once)
    space = tiny_study.write_space(folder, trials=max(MIN_TRIALS, 3 * searching // 4), cpus_per_trial=cpus)
    local, seeds = ("--address", "local"), str(max(2, confirming // 4))
    confirm = ("STUDY", "--top", "2", "--seeds", seeds, "--quiet", *local)
    return [
        Command(name="run", kills=searching, words=(str(space), "--resume", "STUDY", "--json", *local)),
        Command(name="confirm", kills=confirming, words=confirm, is_confirmation=True),
        Command(name="report", kills=kills - searching - confirming, words=("STUDY",), is_short=True),
    ]


def _differing(records: Sequence[Record]) -> list[str]:
    """The trials that came out otherwise than in the undisturbed studies, and the tests that did."""
    differing = []
    for record in records:
        calm = Record.open(record.folder.with_name(record.name.replace(KILLED, CALM)))
        pairs = zip(tiny_study.outcome(calm), tiny_study.outcome(record), strict=False)
        differing += [f"{record.name}/{one['number']}" for one, other in pairs if one != other]
        if scores_on_test(calm.noted(TEST)) != scores_on_test(record.noted(TEST)):
            differing.append(f"the test scores of {record.name}")
    return differing


def _print(chaos: Chaos, records: Sequence[Record], seconds: float, differing: Sequence[str] | None) -> None:
    """The counts, as lines and as a table of Markdown."""
    for line in [*chaos.damage.lines(), *(differing or [])]:
        print(f"  {line}")
    trials = [trial for record in records for trial in record.trials()]
    done = ", ".join(f"{number} of {name}" for name, number in chaos.kills.items())
    harms = ", ".join(f"{number} x {harm}" for harm, number in sorted(chaos.harms.items()))
    print(f"{chaos.kills.total()} kills ({done}) in {seconds:.0f} s; {harms or 'nothing damaged'}")
    print("  ".join(f"{kind} {number}" for kind, number in chaos.damage.counts().items()))
    if differing is not None:
        print("equal to the undisturbed study" if not differing else "unlike the undisturbed study")
    counts = chaos.damage.counts()
    print(f"\n| SIGKILLs | files damaged | trials | epochs | {' | '.join(counts)} |\n|{'---|' * (4 + len(counts))}")
    epochs = sum(len(trial.epochs) for trial in trials)
    numbers = " | ".join(map(str, counts.values()))
    print(f"| {chaos.kills.total()}: {done} | {harms} | {len(trials)} | {epochs} | {numbers} |")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description="Kill a study until it is done.")
    parser.add_argument("--kills", type=int, default=30, help="SIGKILLs to drivers (default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=1, help="trials that run at once (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
