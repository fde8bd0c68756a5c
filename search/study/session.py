"""A study on a cluster that it is connected to: its data, an estimate of its time, then the trials that are left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from search.estimate.estimate import estimate_lines
from search.execution import gpu_share
from search.execution.ground import Ground
from search.execution.ray_tune import RayTuneExecutor
from search.execution.spec import trial_spec
from search.execution.worker import TrainingTrial
from search.machines.cost import Meter
from search.machines.nodes import has_bf16, live_trial_count, rates, slots
from search.machines.slots import Slots
from search.record.notes import FIRST_RUNG, first_rung_text
from search.record.plugins import plugins_of
from search.record.studies import check_data
from search.scheduler.scheduler import scheduler_of
from search.study.loop import StudyLoop
from search.study.plan import Run, prune


def train(run: Run, *, is_own: bool) -> str | None:
    """Run the trials that are left. Returns why none can succeed, if that is so. `is_own`: the cluster is nobody
    else's. Raises LeaseError where another driver has taken the lease of the storage.
    """
    plan, record, display = run.plan, run.record, run.display
    if not is_own:
        _check_nodes(run)
    ground = _opened(run)
    share = slots(ground.space.resources)
    estimate = estimate_lines(ground, share, plan.configs(ground), budget=plan.budget, trials=record.header.trials)
    for line in (*estimate, f"disk: the {plan.kept_text} are kept"):
        display.line(line)
    meter = Meter(record, rates, run.options.limits, display.line)

    def stop() -> bool:
        run.lease.check()  # its error ends the trials where they are: another driver's write their checkpoints now
        return run.stop() or meter()

    loop = _loop(run, ground, share, stop)
    run.tracker.touch()
    run.stop.polite = True
    try:
        loop.run()
    finally:
        meter.look()
        meter.note()
    return loop.hopeless


def _check_nodes(run: Run) -> None:
    """Ask every node of somebody else's cluster what would fail there."""
    from search.cluster.preflight import before_trials  # Ray's cluster tools, which one's own cluster does not need

    uri = None if run.options.offline else run.options.tracking_uri
    dataset = run.plan.space.data.dataset
    storage, plugins = run.record.header.storage, plugins_of(run.record)
    for line in before_trials(storage=storage, dataset=dataset, tracking_uri=uri, plugins=plugins):
        run.display.line(line)


def _opened(run: Run) -> Ground:
    """The study's data, open, with the features that its trials share; what they are stands in the record then. Its
    space has a number of trials per GPU where the file says `auto`.
    """
    record, display = run.record, run.display
    share = slots(run.plan.space.resources)
    precision = record.header.precision or _precision_elsewhere(share)
    device = "cuda" if share.gpus else "cpu"
    ground = run.plan.ground(device=device, precision=precision, progress=not display.quiet)
    check_data(record, ground.header()["digests"])
    clips = ground.open_clips(run.plan.configs(ground), progress=not display.quiet)
    notes = (*ground.notes, *clips.notes)
    for note in notes:
        display.line(note)
    record.amend(**ground.header(), notes=notes)
    resources = gpu_share.decide_trials_per_gpu(ground, record, share, display.line)
    return replace(ground, space=replace(ground.space, resources=resources))


def _precision_elsewhere(share: Slots) -> str | None:
    """What `precision: auto` means where the GPUs are on other machines than the driver; None where it can look."""
    if not share.gpus or torch.cuda.is_available():
        return None
    return "bf16" if has_bf16() else "fp32"


def _loop(run: Run, ground: Ground, share: Slots, stop: Callable[[], bool]) -> StudyLoop:
    plan, record = run.plan, run.record
    header, resources = record.header, ground.space.resources
    at_once = live_trial_count(resources, run.display.line)
    threads, gpu_trials = share.cpus_per_trial, share.trials_per_gpu
    return StudyLoop(
        record,
        plan.proposer(run, ground, share),
        scheduler_of(plan.budget, header.mode),
        RayTuneExecutor(TrainingTrial, study=record.name, request=share.request, at_once=at_once),
        specs=lambda trial: trial_spec(record, trial, threads=threads, gpu_trials=gpu_trials),
        objectives=header.objectives,
        epochs=header.max_epochs,
        trials=header.trials,
        min_complete=header.keep,
        changed=_after_each_change(run),
        stop=stop,
    )


def _after_each_change(run: Run) -> Callable[[int], None]:
    """What happens after each change of a trial's record."""
    record, is_copied = run.record, run.record.header.storage is not None
    is_told = record.noted(FIRST_RUNG) is not None

    def changed(number: int) -> None:
        nonlocal is_told
        if not is_told and (found := record.noted(FIRST_RUNG)) is not None:
            run.display.line(first_rung_text(found, record.header.rungs))
            is_told = True
        run.tracker.touch(number)
        trials = record.trials()
        run.display.update(trials)
        if trials[number].state != "running":
            run.copier.copy_soon()
            if not is_copied:  # otherwise the copier prunes, in its own thread, since a storage may be slow
                prune(run.plan, record, run.lease)

    return changed
