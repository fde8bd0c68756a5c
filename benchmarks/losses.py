"""What a study lost, has twice, or left behind: its record beside MLflow, the disk and the processes of the machine.

For benchmarks and tests that kill drivers. It knows what the record of a whole study must hold, and starts nothing.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, fields
from pathlib import Path

from search.record.files import CHECKPOINT, PAGE, PREDICTIONS, REPORT, TRIALS, WEIGHTS, trial_name
from search.record.journal import RecordError
from search.record.notes import TEST, scores_on_test
from search.record.record import NotBegunError, Record
from search.results.predictions import read_predictions

GONE_S = 30.0
"""How long the last processes of a killed driver may take to go."""


@dataclass
class Damage:
    """What a study lost, has twice, left behind, or cannot read any more; one line each."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(self.counts().values())

    def counts(self) -> dict[str, int]:
        """How many of each kind."""
        return {kind.name: len(getattr(self, kind.name)) for kind in fields(self)}

    def lines(self) -> list[str]:
        return [line for kind in fields(self) for line in getattr(self, kind.name)]


def check_record(record: Record, damage: Damage, trials: int) -> None:
    """Every trial ended or is paused, each with its epochs 1 to n once, and every order given once."""
    found = record.trials()
    damage.lost += [f"{trials - len(found)} trials"] * (len(found) < trials)
    damage.doubled += [f"{len(found) - trials} trials"] * (len(found) > trials)
    for trial in found:
        damage.orphaned += [f"trial {trial.number} is still running"] * (trial.state == "running")
        epochs = [int(epoch["epoch"]) for epoch in trial.epochs]
        if epochs != list(range(1, len(epochs) + 1)) or (trial.state == "complete") != (len(epochs) == 9):
            damage.lost.append(f"trial {trial.number} is {trial.state} with epochs {epochs}")
    orders = Counter(epoch["order"] for trial in found for epoch in trial.epochs)
    orders.update(order for trial in found for order in trial.promotions.values())
    damage.doubled += [f"order {order} is given {times} times" for order, times in orders.items() if times > 1]


def check_mlflow(record: Record, damage: Damage, uri: str | None = None, *, is_harmed: bool = False) -> None:
    """One run for each trial, ended as the trial did, with each epoch's point once. An epoch whose line was cut off the
    record (`is_harmed`) is trained again: it may have its point twice, at two times, with one value.
    """
    from mlflow import MlflowClient

    client = MlflowClient(uri or f"sqlite:///{record.folder.parent / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(record.header.space)
    runs: dict[int, list[object]] = {}
    for run in client.search_runs([experiment.experiment_id], max_results=1000):
        damage.orphaned += [f"run {run.info.run_name} is RUNNING"] * (run.info.status == "RUNNING")
        study, _, number = run.data.tags.get("mgc.trial", "").rpartition("/")
        if study == record.name:
            runs.setdefault(int(number), []).append(run)
    ends = {"complete": "FINISHED", "paused": "FINISHED", "stopped": "FINISHED", "failed": "FAILED"}
    for trial in record.trials():
        of_trial = runs.pop(trial.number, [])
        damage.lost += [f"trial {trial.number} has no run"] * (not of_trial)
        damage.doubled += [f"trial {trial.number} has {len(of_trial)} runs"] * (len(of_trial) > 1)
        for run in of_trial:
            if run.info.status != ends.get(trial.state):
                damage.lost.append(f"run of trial {trial.number}, {trial.state}, is {run.info.status}")
            points = Counter((p.step, p.value) for p in client.get_metric_history(run.info.run_id, "val_loss"))
            points = Counter(set(points)) if is_harmed else points
            there = Counter((int(epoch["epoch"]), epoch["val_loss"]) for epoch in trial.epochs)
            damage.lost += [f"points {there - points} of trial {trial.number}"] * bool(there - points)
            damage.doubled += [f"points {points - there} of trial {trial.number}"] * bool(points - there)
    damage.orphaned += [f"run of trial {number}" for number in runs]


def check_disk(record: Record, damage: Damage, strays: Collection[Path] = ()) -> None:
    """The weights of the best three complete trials, of a confirmation the checkpoints of all, and no other file but
    the `strays`, which are somebody else's.
    """
    wanted = {record.folder / TRIALS / trial_name(number) / name for number, name in _kept(record)}
    there = {path for path in (record.folder / TRIALS).rglob("*") if path.is_file()} - set(strays)
    damage.lost += [f"{path.name} {path.parent.name}" for path in wanted - there]
    damage.orphaned += [f"file {path.parent.name}/{path.name}" for path in there - wanted]


def _kept(record: Record) -> list[tuple[int, str]]:
    """The files that a finished study keeps: each as a trial's number and a name."""
    complete = record.trials("complete")
    if record.header.confirm is not None:
        return [(trial.number, CHECKPOINT) for trial in complete]
    best = sorted(complete, key=lambda trial: (-trial.last["val_accuracy"], trial.number))[:3]
    return [(trial.number, WEIGHTS) for trial in best]


def check_tested(record: Record, damage: Damage) -> None:
    """A confirmation has test scores of each complete trial, and predictions that give them again."""
    scores = scores_on_test(record.noted(TEST))
    complete = {trial.number for trial in record.trials("complete")}
    damage.lost += [f"test scores of trial {number}" for number in sorted(complete - set(scores))]
    damage.orphaned += [f"test scores of trial {number}" for number in sorted(set(scores) - complete)]
    for number in sorted(complete & set(scores)):
        file = record.folder / PREDICTIONS / f"test-{trial_name(number)}.npz"
        if not file.is_file():
            damage.lost.append(f"predictions of trial {number}")
        elif read_predictions(file)[0].scores("sum").accuracy != scores[number]["test_accuracy_sum"]:
            damage.lost.append(f"predictions of trial {number} give other scores")


def check_readable(study: Path, damage: Damage) -> None:
    """The record, the page and the predictions of a study can be read, as far as they are there."""
    try:
        Record.open(study)
    except NotBegunError:
        pass
    except RecordError as error:
        damage.unreadable.append(str(error))
    page = study / REPORT / PAGE
    if page.exists() and not page.read_text().rstrip().endswith("</html>"):
        damage.unreadable.append(f"{page} has no end")
    for file in study.glob(f"{PREDICTIONS}/*.npz"):
        try:
            read_predictions(file)
        except Exception as error:  # whatever NumPy makes of a broken file
            damage.unreadable.append(f"{file}: {error}")


def check_processes(mark: str, damage: Damage) -> None:
    """No process of any of the drivers is there after GONE_S."""
    until = time.monotonic() + GONE_S
    while (left := marked(mark)) and time.monotonic() < until:
        time.sleep(0.5)
    damage.orphaned += [f"process {each}" for each in left]


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
