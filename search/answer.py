"""What a study says, in two sentences, each figure with its split and its interval. Reads the study's folder only.

The first sentence gives the best, the second whether that is more than noise. A search can say of noise only how far
chance carries one accuracy on this many tracks; after `search.confirm` the test part speaks instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mgc.config import Vote
from mgc.metrics import Predictions
from search.objectives import Objectives, plain_name
from search.overview import Heading, Network, brief, networks, numbered
from search.predictions import VALIDATION, kept
from search.record import Record, TrialRecord
from search.stats import Interval, over_tracks

VOTES: Mapping[str, Vote] = {"val_accuracy_sum": "sum", "val_accuracy_majority": "majority"}
"""The vote of the metrics that name one; `val_accuracy` has the trial's own."""


MOST_NAMED = 4
"""Params that a sentence names of a config."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The sentences, and what nobody may overlook when reading them."""

    sentences: tuple[str, ...]
    cautions: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.sentences)


def answer(record: Record) -> Answer:
    """What the search says, before anything is confirmed."""
    heading, trials = Heading.of(record.header), record.trials()
    best = heading.objectives.ranked(trials)[:1]
    if not best:
        return Answer(sentences=(nothing(trials, heading.objectives),), cautions=heading.cautions)
    found = networks(trials, heading.objectives)
    interval = best_interval(record, best[0], heading)
    sentences = (
        _best_sentence(heading, found, len(trials), interval),
        _noise_sentence(record, heading, found, interval),
    )
    return Answer(sentences=sentences, cautions=heading.cautions)


def nothing(trials: Sequence[TrialRecord], by: Objectives) -> str:
    """Why there is no best trial."""
    reasons = list(dict.fromkeys(trial.reason for trial in trials if trial.state == "failed" and trial.reason))
    why = f": {reasons[0]}" if reasons else ""
    complete = [trial for trial in trials if trial.state == "complete"]
    if complete and all(by.broken(trial.last) for trial in complete):
        return f"None of {len(complete)} complete trials keeps {by.limits_text}, so there is no answer."
    if complete:
        return f"None of {len(complete)} complete trials has a score that is a number, so there is no answer{why}."
    return f"No trial of {len(trials)} used its whole budget, so there is no answer{why}."


def named(varying: Mapping[str, object], most: int | None = MOST_NAMED) -> str:
    """A config by what varies, in a sentence by the first params of many (`most` None: by all).

    >>> named({"r": 31.4283}), named({}), named(dict.fromkeys("abcdef", 1))
    ('r = 31.43', 'the only config', 'a = 1, b = 1, c = 1 and 3 more params')
    """
    parts = [f"{name} = {brief(value)}" for name, value in varying.items()]
    if most is None or len(parts) <= most:
        return ", ".join(parts) or "the only config"
    return f"{', '.join(parts[: most - 1])} and {len(parts) - most + 1} more params"


def best_interval(record: Record, best: TrialRecord, heading: Heading) -> Interval | None:
    """The best's accuracy with its interval over the validation tracks; None where it is not an accuracy by track.

    That of a mean over epochs is as wide as the last epoch's: its tracks are the same.
    """
    path = record.folder / VALIDATION
    metric = plain_name(heading.metric)
    if not path.is_file() or not metric.startswith("val_accuracy"):
        return None
    said, _ = kept(path)
    own: Vote = "sum" if best.params.get("vote", "sum") != "majority" else "majority"
    last = over_tracks(right(said, VOTES.get(metric, own))[None])
    shift = best.last[heading.metric] - last.mean if metric != heading.metric else 0.0
    return Interval(mean=last.mean + shift, low=last.low + shift, high=last.high + shift)


def right(said: Predictions, vote: Vote) -> np.ndarray:
    """Whether each track (M,) was told right, as 0 or 1."""
    probabilities_MG, label_M = said.by(vote)
    return np.asarray(probabilities_MG.argmax(axis=1) == label_M, dtype=float)


def _best_sentence(heading: Heading, found: Sequence[Network], num_trials: int, interval: Interval | None) -> str:
    best = found[0].trials[0]
    score = f"{heading.metric} {found[0].scores[0]:.3f}"
    if interval is not None:
        score += f" [{interval.low:.3f}, {interval.high:.3f}] (95 % bootstrap over the validation tracks)"
    return (
        f"The best of {num_trials} trials is {named(best.varying)} (trial {best.number}): {score} "
        f"on {heading.dataset_label}, split {heading.split}{_repeats_phrase(found[0])}."
    )


def _repeats_phrase(network: Network) -> str:
    if network.std is None:
        return ", one training"
    others = numbered([trial.number for trial in network.trials[1:]])
    return f"; with {others} of the same network the mean is {network.mean:.3f}, the deviation {network.std:.3f}"


def _noise_sentence(record: Record, heading: Heading, found: Sequence[Network], interval: Interval | None) -> str:
    command = f"`python -m search.confirm {record.name}{_out(record.folder)}`"
    confirm = f"{command} retrains the best over seeds and opens the test part"
    if len(found) < 2:
        return f"It is the only network that was trained to the end, so there is nothing to compare it with; {confirm}."
    if interval is None:
        rest = f"{len(found) - 1} other networks"
        return f"How much of the lead over the {rest} is noise, this search cannot tell; {confirm}."
    others = found[1:]
    within = sum(network.scores[0] >= interval.low for network in others)
    if within:
        share = "All" if within == len(others) else f"{within} of the"
        return (
            f"{share} {len(others)} other networks trained to the end lie within that interval: "
            f"no difference that this search could show at 95 %; {confirm}."
        )
    return (
        f"All {len(others)} other networks trained to the end lie below that interval, "
        f"but the best of many is flattered by chance; {confirm}."
    )


def _out(folder: Path) -> str:
    return "" if folder.parent.name == "runs" else f" --out {folder.parent}"


def is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
