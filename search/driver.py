"""One study from start to end: the record first, then MLflow, Ray, data and sampler, as they may fail.

It knows the order and little else; each part has its own file.
"""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from search.display import Display
from search.finishing import finish
from search.overview import ranked
from search.prepare import Ground, prepare
from search.projection import Status
from search.record import Record, TrialRecord, locked
from search.resume import check_data, check_space, is_finished, next_folder, resumable
from search.sampler import Sampler
from search.space import Space
from search.tracking import Tracker, default_uri
from search.trial import CHECKPOINT, TrainingTrial
from search.tuner import Slots, Tuner, cluster, slots

KEEP = 3
"""Weights of so many of the best complete trials are kept."""
VERSIONS_OF = ("mgc-search", "torch", "ray", "optuna", "mlflow", "librosa", "numpy")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a study is run, which changes nothing of what it finds."""

    out: Path = Path("runs")
    name: str | None = None
    address: str | None = None
    """Ray's address; None is a cluster that runs on this machine, else one of this process's own."""
    tracking_uri: str | None = None
    quiet: bool = False
    resume: bool = False
    """Go on with the study called `name`, or else with the newest unfinished one of the space, if there is one."""
    num_gpus: int | None = None
    """GPUs that a Ray of this process's own is told it has; None lets it look."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a study ended."""

    record: Record
    seconds: float
    interrupted: bool
    hopeless: str | None
    """Why no trial of it could succeed."""
    tracking_uri: str
    unsent: int
    """Runs that MLflow lacks, since its server was away."""
    run_ids: dict[int, str]
    """MLflow's run of each trial that reached it, by number."""

    @property
    def best(self) -> TrialRecord | None:
        """The best complete trial."""
        header = self.record.header
        return next(iter(ranked(self.record.trials(), header["metric"], header["mode"])), None)


def run_study(space: Space, options: Options) -> Outcome:
    """Run a study of this space, a new one or one that goes on, to its end or until a signal asks it to stop.

    Raises ConfigError where the folder, the data or the tracking server cannot be used, or the study cannot go on.
    """
    out = options.out.absolute()
    known = resumable(out, space.name, options.name) if options.resume else None
    folder = known or next_folder(out, space.name, options.name)
    uri = options.tracking_uri or default_uri(out)
    with locked(folder):
        if known is None:
            return _run(space, Record.create(folder, header(space, folder.name)), uri, options)
        record = Record.open(folder)
        changes = check_space(record, space)
        record.note("header", {**record.header, "trials": max(space.num_trials, len(record.trials()))})
        if is_finished(record) and not record.notes()["open"]:
            return outcome_of(record, uri)
        return _run(space, record, uri, options, remarks=changes)


def _run(space: Space, record: Record, uri: str, options: Options, remarks: Sequence[str] = ()) -> Outcome:
    started = time.monotonic()
    record.note("open", True)
    tracker = Tracker(record, uri=uri, experiment=space.name)
    status: Status = "FAILED"
    hopeless = None
    try:
        with Display(record, quiet=options.quiet) as display, stop_signals(display.line) as stopped:
            for remark in remarks:
                display.line(f"changed since the study began: {remark}")
            tracker.start()
            hopeless = _search(space, record, display, tracker, options, stopped)
            _send_weights(record, tracker)
            finish(record, tracker, trial_folder)
        status = "KILLED" if record.trials("running") else "FAILED" if hopeless else "FINISHED"
    finally:
        unsent = tracker.finish(status)
    run_ids = {trial.number: run_id for trial in record.trials() if (run_id := tracker.run_id(trial.number))}
    seconds = record.notes().get("end", {}).get("seconds", 0.0) + time.monotonic() - started
    record.note("end", {"seconds": seconds, "hopeless": hopeless, "unsent": unsent, "run_ids": run_ids})
    record.note("open", False)
    return outcome_of(record, uri)


def _search(
    space: Space, record: Record, display: Display, tracker: Tracker, options: Options, stop: Callable[[], bool]
) -> str | None:
    """Run the trials that are left. Returns why none can succeed, if that is so."""
    with cluster(options.address, num_gpus=options.num_gpus):
        share = slots(space.resources)
        ground = _prepared(space, record, display, share)
        tracker.touch()
        tuner = _tuner(ground, record, share, changed=_told(record, display, tracker), stop=stop)
        tuner.run()
    return tuner.hopeless


def outcome_of(record: Record, uri: str) -> Outcome:
    """How a study ended, from its record alone."""
    end = record.notes()["end"]
    return Outcome(
        record=record,
        seconds=end["seconds"],
        interrupted=not is_finished(record) and end["hopeless"] is None,
        hopeless=end["hopeless"],
        tracking_uri=uri,
        unsent=end["unsent"],
        run_ids={int(number): run_id for number, run_id in end["run_ids"].items()},
    )


def _prepared(space: Space, record: Record, display: Display, share: Slots) -> Ground:
    """The data of a study, opened, its features built, and what they are written into the record."""
    display.line(f"trials run {share}")
    ground = prepare(space, device="cuda" if share.gpus else "cpu", progress=not display.quiet)
    check_data(record, ground.header()["digests"])
    clips = ground.open_clips(progress=not display.quiet)
    notes = (*ground.notes, *clips.notes)
    for note in notes:
        display.line(note)
    record.note("header", {**record.header, **ground.header(), "notes": notes})
    return ground


def _tuner(
    ground: Ground, record: Record, share: Slots, *, changed: Callable[[int], None], stop: Callable[[], bool]
) -> Tuner:
    space = ground.space
    sampler = Sampler(space, ground.network_key, slots=share.count)
    sampler.restore(record.trials())

    def spec(trial: TrialRecord) -> dict[str, Any]:
        return {
            "params": dict(trial.params),
            "seed": trial.seed,
            "data": space.data.model_dump(),
            "epochs": space.budget.full,
            "rungs": space.budget.rungs(),
            "folder": str(trial_folder(record, trial.number)),
            "threads": share.cpus_per_trial,
            "gpu_trials": share.trials_per_gpu,
        }

    return Tuner(
        record,
        sampler,
        trainable=TrainingTrial,
        specs=spec,
        metric=space.search.metric,
        mode=space.search.mode,
        budget=space.budget,
        slots=share,
        trials=space.num_trials,
        changed=changed,
        stop=stop,
    )


def _told(record: Record, display: Display, tracker: Tracker) -> Callable[[int], None]:
    """What happens after each change of a trial's record."""

    def changed(number: int) -> None:
        tracker.touch(number)
        trials = record.trials()
        display.update(trials)
        if trials[number].state != "running":
            prune_checkpoints(record, trials)

    return changed


def trial_folder(record: Record, number: int) -> Path:
    return record.folder / "trials" / f"{number:05d}"


def prune_checkpoints(record: Record, trials: list[TrialRecord]) -> None:
    """Delete the checkpoints that no longer matter: those of ended trials that are not among the best."""
    best = ranked(trials, record.header["metric"], record.header["mode"])[:KEEP]
    wanted = {trial.number for trial in trials if trial.state == "running"} | {trial.number for trial in best}
    for folder in (record.folder / "trials").glob("*"):
        if int(folder.name) not in wanted:
            shutil.rmtree(folder, ignore_errors=True)


def _send_weights(record: Record, tracker: Tracker) -> None:
    """Weights of the best trials, without pickled code, into their folders and to MLflow."""
    for trial in ranked(record.trials(), record.header["metric"], record.header["mode"])[:KEEP]:
        folder = trial_folder(record, trial.number)
        state = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)
        save_file(
            {name: tensor.contiguous() for name, tensor in state["model"].items()}, folder / "weights.safetensors"
        )
        tracker.log_artifact(folder / "weights.safetensors", number=trial.number)


def header(space: Space, study: str) -> dict[str, Any]:
    """What a record knows of its study before the data are open."""
    return {
        "space": space.name,
        "study": study,
        "description": space.description,
        "file": str(space.path),
        "canonical": space.canonical(),
        "metric": space.search.metric,
        "mode": space.search.mode,
        "trials": space.num_trials,
        "max_epochs": space.budget.full,
        "rungs": list(space.budget.rungs()),
        "resources": space.resources.model_dump(mode="json"),
        "published": [figure.model_dump(mode="json") for figure in space.published],
        "command": _command(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {name: importlib.metadata.version(name) for name in VERSIONS_OF},
        "commit": _git_commit(),
    }


def _command() -> str | None:
    """The command line that started the study; None where Python did."""
    name = Path(sys.argv[0])
    is_ours = name.parent.name == "search" and name.suffix == ".py"
    return shlex.join(["python", "-m", f"search.{name.stem}", *sys.argv[1:]]) if is_ours else None


def _git_commit() -> str | None:
    """The commit of the code that runs, with a + where files differ from it; None outside a git checkout."""
    command = [
        "git",
        "-C",
        str(Path(__file__).parent),
        "describe",
        "--always",
        "--dirty=+",
        "--abbrev=12",
        "--exclude=*",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


@contextmanager
def stop_signals(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Ctrl-C or SIGTERM asks to stop politely, which the yielded function tells; a second ends the process at once."""
    asked: list[int] = []

    def handle(number: int, frame: Any) -> None:
        if asked:
            os._exit(128 + number)
        asked.append(number)
        say("stopping: running trials keep their checkpoints (once more ends at once)")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
