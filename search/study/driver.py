"""The driver of a study, a search or a confirmation, from its record to its end.

The record comes first, then MLflow, Ray, data and sampler, as they may fail. It knows the order and little else. What
takes long to import, and is needed only once Ray is there, is imported while Ray starts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress

from mgc.words.redact import redacted_word
from search.cluster.echo import echoed
from search.machines.ray_cluster import cluster
from search.machines.signals import stop_signals
from search.record.notes import END, OPEN, RUNS_PAGE, TRACKING_URI, Note
from search.record.record import Record
from search.record.studies import is_finished
from search.storage.copies import Copier
from search.storage.lease import Lease, LeaseError
from search.study.plan import Plan, Run, RunOptions, prune
from search.terminal.display import Display
from search.tracking.backend import Status
from search.tracking.registry import beside, tracker_of


def drive(plan: Plan, record: Record, lease: Lease, uri: str, options: RunOptions, remarks: Iterable[str] = ()) -> None:
    """Run a study to its end, or until a signal asks it to stop. How it ended stands in its record.

    `uri` is MLflow's; `remarks` are shown first. The caller holds the study's lock and the lease of its storage. Raises
    ConfigError where the data or the tracking server cannot be used, or the disk is full: what was written until then
    is whole, and the study can be resumed. Raises LeaseError where another driver has taken the lease meanwhile.
    """
    started = time.monotonic()
    record.note(OPEN, True)
    _note(record, TRACKING_URI, None if uri == beside(record.folder.parent) else redacted_word(uri))
    with echoed(record.folder), Copier(record, lease, after_copy=lambda: prune(plan, record, lease)) as copier:
        tracker = tracker_of(record, uri)
        with Display(record, quiet=options.quiet) as display, stop_signals(display.line) as stop:
            for line in (f"study {record.name} in {record.folder}", *remarks):
                display.line(line)
            hopeless, unsent, is_left = _through(Run(plan, record, options, display, tracker, copier, lease, stop))
        run_ids = {trial.number: run_id for trial in record.trials() if (run_id := tracker.run_id(trial.number))}
        seconds = record.noted(END)["seconds"] + time.monotonic() - started
        _note(record, RUNS_PAGE, tracker.page or record.noted(RUNS_PAGE))
        record.note(END, {"seconds": seconds, "hopeless": hopeless, "unsent": unsent, "run_ids": run_ids})
        record.note(OPEN, is_left)
    lease.check()


def _note(record: Record, note: Note[str | None], value: str | None) -> None:
    """Write a note, unless the record has it so."""
    if record.noted(note) != value:
        record.note(note, value)


def _through(run: Run) -> tuple[str | None, int, bool]:
    """Train, tidy up, conclude. Returns why no trial can succeed, if that is so, how many runs MLflow lacks, and
    whether something is left to do though all trials have ended.
    """
    record, tracker, stop = run.record, run.tracker, run.stop
    hopeless: str | None = None
    status: Status = "FAILED"
    is_left = True
    try:
        with suppress(KeyboardInterrupt, LeaseError):
            if not run.options.offline:
                tracker.start()
            hopeless = None if is_finished(record) else _train(run)
        stop.polite = True  # what follows keeps what it has
        if run.lease.lost is None:
            prune(run.plan, record, run.lease)
            is_left = not run.plan.conclude(run)
        status = "FAILED" if hopeless else "FINISHED" if is_finished(record) else "KILLED"
    finally:
        stop.polite = True  # what is left is short, and MLflow is to hear how it ended
        unsent = tracker.finish(status, within_s=stop.left_s)
    return hopeless, unsent, is_left and is_finished(record)


def _train(run: Run) -> str | None:
    """Run the trials that are left, on a Ray cluster. Returns why none can succeed, if that is so."""
    options = run.options
    with cluster(options.address, num_gpus=options.num_gpus, meanwhile=_import_what_follows) as is_own:
        from search.study.session import train

        return train(run, is_own=is_own)


def _import_what_follows() -> None:
    """torch, SciPy and Matplotlib, which together take as long to import as Ray to start. Nothing of Ray's own is among
    it: where modules import each other in a circle, two threads that begin at different ones may see them half made.
    """
    import search.estimate.estimate
    import search.report.report
    import search.sampler.sampler
    import search.study.finishing  # noqa: F401
