"""One study from start to end: the record first, then MLflow, Ray, data and sampler, as they may fail.

It knows the order and little else; each part has its own file. What takes long to import, and is needed only
once Ray is there, is imported while Ray starts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from search import checkpoints
from search.connection import cluster
from search.copies import Copier
from search.cost import Limits
from search.display import Display
from search.journal import locked
from search.objectives import Objectives
from search.overview import numbered
from search.projection import Status
from search.record import Record, TrialRecord, has_begun
from search.resume import check_space, folder_to_resume, folder_to_start, is_finished, num_trials
from search.signals import StopRequest, stop_signals
from search.space import Space
from search.specs import study_header
from search.storage import Folder, bring_back, checked
from search.tracking import NoTracker, Tracker, default_uri


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
    offline: bool = False
    """Tell MLflow nothing; `search.tracking sync` does later."""
    warm_start: Record | None = None
    """An earlier study whose results the sampler starts with."""
    trials_given: bool = False
    """Whether the number of trials is asked for now, rather than the file's."""
    num_gpus: int | None = None
    """GPUs that a Ray of this process's own is told it has; None lets it look."""
    storage: str | None = None
    """Where checkpoints and a copy of the study lie (search.storage); None is the study's own folder."""
    limits: Limits = field(default_factory=Limits)
    """Where the study ends politely."""


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
        return next(iter(Objectives.of(self.record.header).ranked(self.record.trials())), None)


def run_study(space: Space, options: Options) -> Outcome:
    """Run a study of this space, a new one or one that goes on, to its end or until a signal asks it to stop.

    Raises ConfigError where the folder, the data or the tracking server cannot be used, the study cannot go on, or the
    disk is full: what was written until then is whole, and the study can be resumed.
    """
    out = options.out.absolute()
    storage = None if options.storage is None else checked(options.storage)
    remarks = [] if storage is None else _brought_back(storage, out, space, options)
    find = folder_to_resume if options.resume else folder_to_start
    folder = find(out, space.name, options.name)
    uri = options.tracking_uri or default_uri(out)
    with locked(folder):
        if not has_begun(folder):
            header = study_header(space, folder.name, trials_given=options.trials_given)
            record = Record.create(folder, {**header, **_place(storage, folder.name)})
            remarks += [f"nothing to resume: {folder.name} begins"] if options.resume else []
            return _run(space, record, uri, options, remarks)
        record = Record.open(folder)
        remarks += [f"changed since the study began: {change}" for change in check_space(record, space)]
        trials = num_trials(record, space, given=options.trials_given)
        now = {
            "trials": trials,
            "reference": dict(space.reference),
            "resources": space.resources.model_dump(mode="json"),
            **_place(storage, folder.name),
        }
        record.note("header", {**record.header, **now})
        if is_finished(record) and not record.notes().get("open", True):
            return outcome_of(record, uri)
        return _run(space, record, uri, options, remarks)


def _brought_back(storage: str, out: Path, space: Space, options: Options) -> list[str]:
    """Take from the storage what another machine began. Returns what is to be said about that."""
    Folder(storage).check()
    found = bring_back(storage, out, space=space.name, name=options.name)
    return [f"brought back from {storage}: {', '.join(found)}"] if found and options.resume else []


def _place(storage: str | None, study: str) -> dict[str, str]:
    """Where a study's checkpoints and copy lie, for its header."""
    return {} if storage is None else {"storage": f"{storage}/{study}"}


@dataclass(frozen=True)
class Parts:
    """What a study that runs consists of."""

    space: Space
    record: Record
    options: Options
    display: Display
    tracker: Tracker
    copier: Copier
    stop: StopRequest


def _run(space: Space, record: Record, uri: str, options: Options, remarks: Sequence[str]) -> Outcome:
    started = time.monotonic()
    record.note("open", True)
    keep = space.resources.keep
    with Copier(record, also=lambda: checkpoints.prune(record, record.trials(), keep)) as copier:
        tracker = (NoTracker if options.offline else Tracker)(record, uri=uri, experiment=space.name)
        with Display(record, quiet=options.quiet) as display, stop_signals(display.line) as stop:
            for line in (f"study {record.name} in {record.folder}", *remarks):
                display.line(line)
            hopeless, unsent = _through(Parts(space, record, options, display, tracker, copier, stop))
        run_ids = {trial.number: run_id for trial in record.trials() if (run_id := tracker.run_id(trial.number))}
        seconds = record.notes().get("end", {}).get("seconds", 0.0) + time.monotonic() - started
        record.note("end", {"seconds": seconds, "hopeless": hopeless, "unsent": unsent, "run_ids": run_ids})
        record.note("open", False)
    return outcome_of(record, uri)


def _through(parts: Parts) -> tuple[str | None, int]:
    """Search, tidy up, report. Returns why no trial can succeed, if that is so, and how many runs MLflow lacks."""
    record, tracker, stop = parts.record, parts.tracker, parts.stop
    hopeless: str | None = None
    status: Status = "FAILED"
    try:
        with suppress(KeyboardInterrupt):
            tracker.start()
            hopeless = _search(parts)
        _tidy(parts)
        if not stop():
            from search.finishing import finish

            finish(record, tracker)
        status = "FAILED" if hopeless else "FINISHED" if is_finished(record) else "KILLED"
    finally:
        stop.polite = True  # what is left is short, and MLflow is to hear how it ended
        unsent = tracker.finish(status, within_s=stop.left_s)
    return hopeless, unsent


def _search(parts: Parts) -> str | None:
    """Run the trials that are left, on a Ray cluster. Returns why none can succeed, if that is so."""
    options = parts.options
    with cluster(options.address, num_gpus=options.num_gpus, meanwhile=_import_what_follows) as is_own:
        from search.on_cluster import search

        return search(parts, is_own=is_own)


def _import_what_follows() -> None:
    """torch, SciPy and Matplotlib, which together take as long to import as Ray to start. Nothing of Ray's own is among
    it: where modules import each other in a circle, two threads that begin at different ones may see them half made.
    """
    import search.finishing
    import search.plan
    import search.sampler  # noqa: F401


def _tidy(parts: Parts) -> None:
    """Leave on the disk what is needed: to go on, or, of a finished study, the weights of its best trials."""
    record, keep = parts.record, parts.space.resources.keep
    checkpoints.prune(record, record.trials(), keep)
    if not is_finished(record):
        return
    files = checkpoints.export_weights(record, keep)
    for number, file in files.items():
        parts.tracker.log_artifact(file, number=number)
    if files:
        size_mb = checkpoints.size_bytes(record) / 1e6
        parts.display.line(f"kept the weights of {numbered(sorted(files), limit=keep)}, the best ({size_mb:.1f} MB)")


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
