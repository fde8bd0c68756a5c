"""A study as JSON for the script of its page: the header, and each trial by itself, so that a page can be sent news.

Everything is plain JSON data, rounded to what a screen can show; the lines of a config alone are exact. Knows no page.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from search.plots.places import choices
from search.record.files import JOURNAL
from search.record.notes import OPEN, STAIRS
from search.record.ranking import networks
from search.record.record import Record
from search.record.trial import TrialRecord
from search.report.timeline import stretches
from search.results.commands import rerun_command
from search.space.document import written
from search.terminal.tables import varying_names
from search.words import brief

DIGITS = 5
"""Of a score or a param: more than a chart can show."""
MOST_EPOCHS = 600_000
"""Epochs of all trials with which every trial has its curve, about 8 MB of text."""
MOST_NETWORKS = 60
"""Networks drawn as lines; the best come first."""
TRAIN = "train_accuracy"

Json = dict[str, Any]


def page_data(record: Record) -> Json:
    """A study's header under `study` and all of its trials under `trials`."""
    trials = record.trials()
    with_curve = curve_numbers(trials)
    base = trials[0].params if trials else {}
    return {
        "study": study_data(record, trials),
        "trials": [trial_data(trial, record, base, with_curve=trial.number in with_curve) for trial in trials],
    }


def study_data(record: Record, trials: Sequence[TrialRecord]) -> Json:
    """What is said once of all trials: metrics, params that vary, equal networks, the config of trial 0."""
    header, names = record.header, varying_names(trials)
    before, after = _command(record)
    return {
        "name": record.name,
        "metrics": list(header.metrics),
        "modes": list(header.modes),
        "planned": header.trials,
        "max_epochs": header.max_epochs,
        "rungs": list(header.rungs),
        "split": header.split,
        "is_open": record.noted(OPEN),
        "params": [_param(record, trials, name) for name in names],
        "networks": list(_networks(record, trials)),
        "base": _lines(trials[0].params) if trials else {},
        "command": [before, after],
        "with_train": any(TRAIN in trial.epochs[0] for trial in trials if trial.epochs),
    }


def trial_data(trial: TrialRecord, record: Record, base: Mapping[str, Any], *, with_curve: bool = True) -> Json:
    """One trial. Its config stands as the lines in which it differs from `base`, the params of trial 0."""
    metrics, last = record.header.metrics, trial.last
    data: Json = {
        "number": trial.number,
        "state": trial.state,
        "scores": [_rounded(last.get(metric)) for metric in metrics],
        "epochs": len(trial.epochs),
        "seconds": 0 if trial.is_untrained else _rounded(sum(epoch.get("seconds", 0.0) for epoch in trial.epochs)),
        "seed": trial.seed,
        "network": trial.network,
        "values": {name: _shown(value) for name, value in trial.varying.items()},
        "lines": _lines({name: value for name, value in trial.params.items() if not _is_same(name, value, base)}),
        "without": [name for name in base if name not in trial.params],
        "node": trial.facts.get("node"),
        "stretches": [[round(start, 1), round(end, 1)] for start, end in stretches(trial, last_change(record))],
    }
    if with_curve and trial.epochs:
        data["curve"] = [_rounded(epoch.get(metrics[0])) for epoch in trial.epochs]
        data["train"] = [_rounded(epoch.get(TRAIN)) for epoch in trial.epochs]
    said = {"reason": trial.reason, "reuse": trial.reuse}
    if violations := record.header.objectives.violations_text(last):
        said["infeasible"] = violations
    return data | {name: value for name, value in said.items() if value is not None}


def last_change(record: Record) -> float:
    """When the record was last written, in seconds since 1970."""
    return (record.folder / JOURNAL).stat().st_mtime


def curve_numbers(trials: Sequence[TrialRecord]) -> set[int]:
    """The trials whose curves are kept: all, or as many as MOST_EPOCHS allows, spread evenly over the study."""
    num_epochs = sum(len(trial.epochs) for trial in trials)
    step = max(1, math.ceil(num_epochs / MOST_EPOCHS))
    return {trial.number for trial in trials[::step]}


def _param(record: Record, trials: Sequence[TrialRecord], name: str) -> Json:
    """A param's axis: numbers, on a logarithmic one where the space says so, or the labels of its choices in order."""
    header = record.header
    values = [trial.varying[name] for trial in trials if name in trial.varying]
    listed = choices(header, name)
    if listed is None and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return {"name": name, "log": is_log(header.canonical, name)}
    shown = {brief(value) for value in values}
    labels = dict.fromkeys(brief(value) for value in [*(listed or ()), *values])
    return {"name": name, "labels": [label for label in labels if label in shown]}


def is_log(canonical: Mapping[str, Mapping[str, object]], name: str) -> bool:
    """Whether the space gives the param's range by its logarithm."""
    form = canonical.get("params", {}).get(name)
    return isinstance(form, Mapping) and bool({"loguniform", "logint"} & form.keys())


def _networks(record: Record, trials: Sequence[TrialRecord]) -> Iterator[Json]:
    """The effective networks that can be drawn as a line: trained more than once, or made by a range of a param."""
    stairs = record.noted(STAIRS)
    found = [
        (network, {name: steps[network.key] for name, steps in stairs.items() if network.key in steps})
        for network in networks(trials, record.header.objectives)
    ]
    for network, steps in [each for each in found if each[1] or len(each[0].trials) > 1][:MOST_NETWORKS]:
        interval = network.interval
        yield {
            "trials": [trial.number for trial in network.trials],
            "mean": _rounded(network.mean),
            "interval": [_rounded(interval.low), _rounded(interval.high)] if interval.is_known else None,
            "steps": {name: list(map(_rounded, step)) for name, step in steps.items()},
        }


def _command(record: Record) -> tuple[str, str]:
    """What stands before and behind a trial's number in the command that trains it again."""
    text, at = rerun_command(record.folder, 0), f"{record.folder.name}/"
    before, _, after = text.partition(f"{at}0")
    return before + at, after


def _lines(params: Mapping[str, Any]) -> dict[str, str]:
    return {name: _line(name, value) for name, value in params.items()}


def _line(name: str, value: Any) -> str:
    """A param as a line of a space file. Numbers are written here: ruamel needs a millisecond for each."""
    if isinstance(value, int | float) and math.isfinite(value):
        return f"{name}: {json.dumps(value)}"
    return _written(name, json.dumps(value))


@lru_cache(maxsize=4096)
def _written(name: str, value: str) -> str:
    return written({name: json.loads(value)})[0]


def _is_same(name: str, value: Any, base: Mapping[str, Any]) -> bool:
    return name in base and type(base[name]) is type(value) and bool(base[name] == value)


def _shown(value: Any) -> float | str | None:
    """A param's value as a chart places it: a number, or the label of a choice."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return _rounded(value) if is_number else brief(value)


def _rounded(value: float | None) -> float | None:
    """To DIGITS digits; None for what is no finite number."""
    if value is None or not math.isfinite(value):
        return None
    return value if isinstance(value, int) else float(f"{value:.{DIGITS}g}")
