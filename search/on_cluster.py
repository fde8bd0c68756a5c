"""A study on a cluster that it is connected to: its data and plan, then the trials that are left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from search import checkpoints, measuring, warmstart
from search.cost import Meter
from search.display import Display
from search.nodes import following, has_bf16, rates, slots
from search.plan import plan_lines
from search.prepare import Ground, prepare
from search.record import Record
from search.resume import check_data
from search.sampler import Sampler
from search.space import Space
from search.specs import trial_spec
from search.study import Slots
from search.trial import TrainingTrial
from search.tuner import Tuner

if TYPE_CHECKING:
    from search.driver import Parts


def search(parts: Parts, *, is_own: bool) -> str | None:
    """Run the trials that are left. Returns why none can succeed, if that is so. `is_own`: the cluster is nobody
    else's.
    """
    space, record, options = parts.space, parts.record, parts.options
    if not is_own:
        _check_nodes(parts)
    ground = _prepared(space, record, parts.display, slots(space.resources))
    share = slots(ground.space.resources)
    for line in (*plan_lines(ground, share), f"disk: weights of the best {space.resources.keep} trials are kept"):
        parts.display.line(line)
    _warm_up(record, ground, options.warm_start, parts.display)
    parts.tracker.touch()
    meter = Meter(record, rates, options.limits, parts.display.line)
    tuner = _tuner(ground, share, parts, meter)
    parts.stop.polite = True
    try:
        tuner.run()
    finally:
        meter.look()
        meter.note()
    return tuner.hopeless


def _check_nodes(parts: Parts) -> None:
    """Ask every node of somebody else's cluster what would fail there."""
    from search.cluster.preflight import before_trials

    header, uri = parts.record.header, None if parts.options.offline else parts.options.tracking_uri
    dataset = parts.space.data.dataset
    for line in before_trials(storage=header.get("storage"), dataset=dataset, tracking_uri=uri):
        parts.display.line(line)


def _prepared(space: Space, record: Record, display: Display, share: Slots) -> Ground:
    """The data of a study, opened, its features built, what they are written into the record, and `trials_per_gpu`
    decided where it is `auto`.
    """
    precision = record.header.get("precision") or _precision_elsewhere(share)
    device = "cuda" if share.gpus else "cpu"
    ground = prepare(space, device=device, precision=precision, progress=not display.quiet)
    check_data(record, ground.header()["digests"])
    clips = ground.open_clips(progress=not display.quiet)
    notes = (*ground.notes, *clips.notes)
    for note in notes:
        display.line(note)
    record.note("header", {**record.header, **ground.header(), "notes": notes})
    resources = measuring.decided(ground, record, share, display.line)
    return replace(ground, space=replace(ground.space, resources=resources))


def _precision_elsewhere(share: Slots) -> str | None:
    """What `precision: auto` means where the GPUs are on other machines than the driver; None where it can look."""
    if not share.gpus or torch.cuda.is_available():
        return None
    return "bf16" if has_bf16() else "fp32"


def _warm_up(record: Record, ground: Ground, earlier: Record | None, display: Display) -> None:
    """Take into the record what an earlier study found, once; a study that goes on has it already."""
    if warmstart.NOTE not in record.notes() and earlier is not None:
        record.note(warmstart.NOTE, warmstart.usable(earlier, ground.space, ground.header()["digests"]))
    if warmstart.NOTE in record.notes():
        display.line(warmstart.said(record.notes()[warmstart.NOTE]))


def _tuner(ground: Ground, share: Slots, parts: Parts, meter: Meter) -> Tuner:
    space, record = ground.space, parts.record
    sampler = Sampler(space, ground.network_key, known=ground.known_metrics, slots=share.count)
    sampler.learn(record.notes().get(warmstart.NOTE, {"results": []})["results"])
    sampler.restore(record.trials())
    return Tuner(
        record,
        sampler,
        trainable=TrainingTrial,
        specs=lambda trial: trial_spec(space, record, share, trial),
        objectives=space.search.objectives,
        budget=space.budget,
        slots=share,
        trials=space.num_trials,
        changed=_told(parts),
        stop=lambda: parts.stop() or meter(),
        at_once=following(space.resources, parts.display.line),
    )


def _told(parts: Parts) -> Callable[[int], None]:
    """What happens after each change of a trial's record."""
    record, is_copied = parts.record, parts.options.storage is not None

    def changed(number: int) -> None:
        parts.tracker.touch(number)
        trials = record.trials()
        parts.display.update(trials)
        if trials[number].state != "running":
            parts.copier.soon()
            if not is_copied:  # whose copier deletes what no longer matters, since a storage may be slow
                checkpoints.prune(record, trials, parts.space.resources.keep)

    return changed
