"""When a trial was trained: the stretches of time between its start, its pauses and its end. Knows no page."""

from __future__ import annotations

from itertools import pairwise

from search.record.trial import TrialRecord

Stretch = tuple[float, float]
"""From when to when, in seconds since 1970."""


def stretches(trial: TrialRecord, now: float) -> list[Stretch]:
    """The stretches in which a trial was trained until `now`, in order; none for a trial that is not trained.

    The record has a trial's start and end, and how long each epoch took, but not when each of them ended. The first
    stretch begins at the start and the last one ends at the end; where a trial paused more than once, its waits are
    taken for equally long.
    """
    if trial.is_untrained or not trial.epochs:
        return []
    lengths, end = _lengths(trial), trial.ended or now
    if len(lengths) == 1 and trial.state != "paused":
        return [(trial.started, max(end, trial.started))]
    num_waits = len(lengths) if trial.state == "paused" else len(lengths) - 1
    wait = max(end - trial.started - sum(lengths), 0.0) / num_waits
    at, made = trial.started, []
    for length in lengths:
        made.append((at, at + length))
        at += length + wait
    return made


def _lengths(trial: TrialRecord) -> list[float]:
    """The seconds of training before the first promotion, between promotions, and after the last one."""
    last = len(trial.epochs)
    ends = sorted({0, last, *(epoch for epoch in trial.promotions if epoch <= last)})
    seconds = [epoch.get("seconds", 0.0) for epoch in trial.epochs]
    return [sum(seconds[begin:end]) for begin, end in pairwise(ends)]
