"""`--rerun STUDY/TRIAL`: one trial trained again from its record, without Ray, and compared with what it scored."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from mgc.clips.clips import open_clips
from mgc.datasets.registry import open_dataset
from mgc.tracks.splits import make_split
from mgc.training.device import best_device
from mgc.training.training import Training, TrainingError
from mgc.words.errors import ConfigError
from search.execution.spec import trial_spec
from search.record.plugins import go_on_with
from search.record.record import Record
from search.record.studies import check_data, trial_called
from search.record.trial import TrialRecord
from search.settings.metrics import SECONDS_PER_CLIP
from search.settings.objectives import means

TIMES = frozenset({"order", "seconds", "clips_per_s", SECONDS_PER_CLIP})
"""What an epoch's record holds that is no score."""


def rerun(out: Path, which: str) -> bool:
    """Train `STUDY/TRIAL` for as many epochs as it has, print each beside its record; whether all are identical.

    Raises ConfigError where there is no such trial, or its data are no longer those of then.
    """
    record, trial = find(out, which)
    for line in go_on_with(record):
        print(line)
    spec = trial_spec(record, trial)
    config = spec.config()
    device = best_device()
    torch.set_num_threads(int(trial.facts.get("threads", 1)))
    dataset = open_dataset(config.data.dataset)
    check_data(record, {"dataset": dataset.digest, "split": make_split(dataset, config.data).digest})
    clips = open_clips(config, device=device, parts=spec.clip_parts, train_on=spec.train_on)
    for note in possible_causes(record, trial, device):
        print(f"not as it was: {note}")
    identical, metrics = 0, record.header.objectives.metrics
    for then, now in zip(trial.epochs, _epochs(Training(config, clips, device), metrics), strict=False):
        differences = _score_differences(then, now)
        identical += not differences
        print(f"epoch {then['epoch']:g}/{len(trial.epochs)}: {'; '.join(differences) or 'identical'}", flush=True)
    print(f"{which}: the scores of {identical} of {len(trial.epochs)} epochs are identical")
    return identical == len(trial.epochs)


def find(out: Path, which: str) -> tuple[Record, TrialRecord]:
    """The trial called `STUDY/NUMBER`, or the one whose scores it took over."""
    record, trial = trial_called(out, which)
    trial = trial if trial.reuse is None else record.trial(trial.reuse)
    if not trial.epochs:
        raise ConfigError(f"trial {trial.number} of {record.name} has no epoch to compare with", "rerun")
    return record, trial


def possible_causes(record: Record, trial: TrialRecord, device: str) -> list[str]:
    """What may make scores differ though nothing is wrong: another device, other versions."""
    here = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    there = trial.facts.get("device", here)
    notes = [] if here == there else [f"device {there} then, {here} now"]
    for name in ("torch", "librosa", "numpy"):
        then, now = record.header.versions.get(name), importlib.metadata.version(name)
        notes += [] if then == now else [f"{name} {then} then, {now} now"]
    return notes


def _epochs(training: Training, metrics: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """The metrics of each epoch, those of `metrics` that are means over epochs too. A training that fails ends them."""
    epochs: list[Mapping[str, Any]] = []
    try:
        for scores in training:
            epochs.append({"epoch": scores.epoch, **scores.metrics()})
            yield {**epochs[-1], **means(epochs, metrics)}
    except TrainingError as error:
        print(f"TrainingError: {error}")


def _score_differences(then: Mapping[str, float], now: Mapping[str, float]) -> list[str]:
    """Every score that is not the same, bit for bit."""
    names = [name for name in then if name not in TIMES and not _is_same(then[name], now.get(name))]
    return [f"{name} {then[name]!r} then, {now.get(name)!r} now" for name in names]


def _is_same(then: float, now: float | None) -> bool:
    """Whether two scores are identical; a score of a part that there is not is NaN in both."""
    return then == now or (now is not None and math.isnan(then) and math.isnan(now))
