"""`python -m benchmarks.chaos --kills 30`: a study whose driver is killed at random moments, and what it lost by it.

A 20-trial study of tiny music is started, SIGKILLed, resumed, killed again, ... and at last left to its end. A third of
the kills come in the first seconds of a driver's life, the others after a random number of lines of the record. Then
everything is counted: trials, epochs, MLflow's runs and points, checkpoints, processes. With one trial at a time, the
default, the study must also have found what an undisturbed one finds, bit for bit. Exit status 1 if anything differs.
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
from search.journal import JOURNAL
from search.record import Record

TRIALS = 20
MARK = "MGC_CHAOS"
"""Variable by which the processes of the studies are known in /proc."""
LINES = 12
"""Lines that a driver may write, at most, before it is killed: of some 230, so that 30 kills come before the end."""
GONE_S = 30.0
"""How long the last processes of a killed driver may take to go."""


@dataclass
class Damage:
    """What a study lost, has twice, or left behind; one line each."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lost or self.doubled or self.orphaned)


def main(arguments: Sequence[str] | None = None) -> int:
    given = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        cpus = max(1, (os.cpu_count() or 1) // given.at_once)
        space = tiny_study.write_space(folder, trials=TRIALS, cpus_per_trial=cpus)
        environment = {**tiny_study.environment(folder), MARK: uuid.uuid4().hex}
        startup_s = _undisturbed(space, environment)
        kills, seconds = _chaos(space, environment, given.kills, startup_s, random.Random(given.seed))
        record = Record.open(folder / "runs" / "chaos")
        damage = _damage(record, environment[MARK])
        differing = _differing(folder) if given.at_once == 1 else None
        return _report(record, kills, seconds, damage, differing)


def _undisturbed(space: Path, environment: dict[str, str]) -> float:
    """Run the study of reference; seconds until its first trial was recorded."""
    started, first = time.monotonic(), None
    process = tiny_study.start(space, "calm", environment)
    while process.poll() is None:
        if first is None and _lines(space.parent / "runs" / "calm") > 6:
            first = time.monotonic() - started
        time.sleep(0.1)
    if process.returncode != 0:
        sys.exit(f"the undisturbed study failed:\n{(space.parent / 'calm.err').read_text()}")
    print(f"undisturbed: {time.monotonic() - started:.0f} s, {first or 0:.0f} s to the first trials", flush=True)
    return first or 10.0


def _chaos(
    space: Path, environment: dict[str, str], kills: int, startup_s: float, rng: random.Random
) -> tuple[int, float]:
    """Start, kill and resume until the study has ended; how many kills came before that, and how long it took."""
    started, done = time.monotonic(), 0
    while True:
        process = tiny_study.start(space, "chaos", environment)
        if done < kills and not _ends_before(process, space.parent / "runs" / "chaos", startup_s, rng):
            process.send_signal(signal.SIGKILL)
            done += 1
            print(f"kill {done}: {_lines(space.parent / 'runs' / 'chaos')} lines in the record", flush=True)
        if process.wait() == 0:
            return done, time.monotonic() - started
        if process.returncode != -signal.SIGKILL:
            sys.exit(f"a resumed study failed:\n{(space.parent / 'chaos.err').read_text()}")


def _ends_before(process: subprocess.Popen[bytes], study: Path, startup_s: float, rng: random.Random) -> bool:
    """Wait for the moment of the next kill; whether the driver ended before it."""
    until = time.monotonic() + (rng.uniform(0, startup_s) if rng.random() < 1 / 3 else math.inf)
    enough = _lines(study) + rng.randint(3, LINES)  # three or four of them are a driver's start
    while process.poll() is None and time.monotonic() < until and _lines(study) < enough:
        time.sleep(0.01)
    time.sleep(rng.uniform(0, 0.1))
    return process.poll() is not None


def _lines(study: Path) -> int:
    journal = study / JOURNAL
    return journal.read_bytes().count(b"\n") if journal.is_file() else 0


def _damage(record: Record, mark: str) -> Damage:
    damage = Damage()
    check_record(record, damage, TRIALS)
    check_mlflow(record, damage)
    check_disk(record, damage)
    damage.orphaned += [f"process {each}" for each in _left(mark)]
    return damage


def check_record(record: Record, damage: Damage, trials: int) -> None:
    """Every trial ended, each with its epochs 1 to n once, and every order given once."""
    found = record.trials()
    damage.lost += [f"{trials - len(found)} trials"] * (len(found) < trials)
    damage.doubled += [f"{len(found) - trials} trials"] * (len(found) > trials)
    for trial in found:
        damage.orphaned += [f"trial {trial.number} is still running"] * (trial.state == "running")
        epochs = [int(epoch["epoch"]) for epoch in trial.epochs]
        if epochs != list(range(1, len(epochs) + 1)) or (trial.state == "complete") != (len(epochs) == 9):
            damage.lost.append(f"trial {trial.number} is {trial.state} with epochs {epochs}")
    orders = Counter(epoch["order"] for trial in found for epoch in trial.epochs)
    damage.doubled += [f"order {order} is given {times} times" for order, times in orders.items() if times > 1]


def check_mlflow(record: Record, damage: Damage, uri: str | None = None) -> None:
    """One run for each trial, ended as the trial did, with each epoch's point once."""
    from mlflow import MlflowClient

    client = MlflowClient(uri or f"sqlite:///{record.folder.parent / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tiny")
    runs: dict[int, list[object]] = {}
    for run in client.search_runs([experiment.experiment_id], max_results=1000):
        damage.orphaned += [f"run {run.info.run_name} is RUNNING"] * (run.info.status == "RUNNING")
        study, _, number = run.data.tags.get("mgc.trial", "").rpartition("/")
        if study == record.name:
            runs.setdefault(int(number), []).append(run)
    ends = {"complete": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
    for trial in record.trials():
        of_trial = runs.pop(trial.number, [])
        damage.lost += [f"trial {trial.number} has no run"] * (not of_trial)
        damage.doubled += [f"trial {trial.number} has {len(of_trial)} runs"] * (len(of_trial) > 1)
        for run in of_trial:
            if run.info.status != ends.get(trial.state):
                damage.lost.append(f"run of trial {trial.number}, {trial.state}, is {run.info.status}")
            points = Counter((p.step, p.value) for p in client.get_metric_history(run.info.run_id, "val_loss"))
            there = Counter((int(epoch["epoch"]), epoch["val_loss"]) for epoch in trial.epochs)
            damage.lost += [f"points {there - points} of trial {trial.number}"] * bool(there - points)
            damage.doubled += [f"points {points - there} of trial {trial.number}"] * bool(points - there)
    damage.orphaned += [f"run of trial {number}" for number in runs]


def check_disk(record: Record, damage: Damage) -> None:
    """The weights of the best three complete trials, and no other file."""
    complete = [trial for trial in record.trials() if trial.state == "complete"]
    best = sorted(complete, key=lambda trial: (-trial.last["val_accuracy"], trial.number))[:3]
    wanted = {record.folder / "trials" / f"{trial.number:05d}" / "weights.safetensors" for trial in best}
    there = {path for path in (record.folder / "trials").rglob("*") if path.is_file()}
    damage.lost += [f"weights {path.parent.name}" for path in wanted - there]
    damage.orphaned += [f"file {path.parent.name}/{path.name}" for path in there - wanted]


def _left(mark: str) -> list[int]:
    """The processes of any of the drivers that are still there after GONE_S."""
    until = time.monotonic() + GONE_S
    while (left := marked(mark)) and time.monotonic() < until:
        time.sleep(0.5)
    return left


def marked(mark: str, title: str = "") -> list[int]:
    """The processes, but for this one, that have this text in their environment and are called so (Linux)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment, name = (process / "environ").read_bytes(), (process / "comm").read_text()
        except OSError:
            continue  # it has just ended
        if mark.encode() in environment and name.startswith(title) and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found


def _differing(folder: Path) -> list[int]:
    """The numbers of the trials that came out otherwise than in the undisturbed study."""
    calm, chaos = (tiny_study.outcome(Record.open(folder / "runs" / name)) for name in ("calm", "chaos"))
    return [one["number"] for one, other in zip(calm, chaos, strict=True) if one != other]


def _report(record: Record, kills: int, seconds: float, damage: Damage, differing: list[int] | None) -> int:
    states = Counter(trial.state for trial in record.trials())
    epochs = sum(len(trial.epochs) for trial in record.trials())
    found = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    print(f"{kills} kills in {seconds:.0f} s; {TRIALS} trials: {found}; {epochs} epochs")
    print(f"lost {len(damage.lost)}  doubled {len(damage.doubled)}  orphaned {len(damage.orphaned)}")
    for line in [*damage.lost, *damage.doubled, *damage.orphaned]:
        print(f"  {line}")
    if differing is not None:
        print("equal to the undisturbed study" if not differing else f"unlike the undisturbed one: trials {differing}")
    return 1 if damage or differing else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description="Kill a study until it is done.")
    parser.add_argument("--kills", type=int, default=30, help="SIGKILLs to the driver (default: %(default)s)")
    parser.add_argument("--at-once", type=int, default=1, help="trials that run at once (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
