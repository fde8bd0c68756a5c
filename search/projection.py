"""What MLflow is told of a study: the record translated into plain tags, params, points and Markdown.

Everything here is a function of the record, the points' times included: told twice, MLflow hears the same thing twice,
and its metric table, keyed by (name, time, step, value), keeps it once. No MLflow is imported.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from search.overview import BOOKKEEPING, Heading, brief, counts, networks, numbered
from search.record import TrialRecord

Status = Literal["RUNNING", "FINISHED", "KILLED", "FAILED"]
"""MLflow's words for how a run stands; a study that was interrupted is KILLED."""

MAX_PARAM = 6000
MAX_TAG = 8000
"""Characters that MLflow keeps of a value."""
VIEW = "results"
"""Name of the view of a space's runs that is written for MLflow's pages."""
EPOCHS_TAG = "epochs"
"""How many epochs of a trial MLflow has: written after their points, in the same call."""


class Point(NamedTuple):
    """One value of a curve; `time_ms` since 1970, `step` is the epoch."""

    name: str
    value: float
    time_ms: int
    step: int


def run_name(number: int) -> str:
    return f"trial-{number:03d}"


def params(trial: TrialRecord) -> dict[str, str]:
    """Every param of a trial as its space file would write it: lists as `[32, 64]`, nothing as `null`."""
    return {key: _text(value, MAX_PARAM) for key, value in {**trial.params, "seed": trial.seed}.items()}


def points(trial: TrialRecord, after: int) -> list[Point]:
    """The metrics of the epochs that come after the first `after`; NaN and infinity, which no plot can show, left out.

    An epoch's time is the trial's start plus the seconds of its epochs so far.
    """
    elapsed, found = 0.0, []
    for index, epoch in enumerate(trial.epochs):
        elapsed += epoch.get("seconds", 0.0)
        time_ms = milliseconds(trial.started + elapsed)
        if index >= after:
            told = {**trial.known, **epoch}
            found += [Point(name, float(told[name]), time_ms, int(told["epoch"])) for name in _metrics(told)]
    return found


def _metrics(epoch: Any) -> list[str]:
    """Those that trials are compared by come first, for MLflow's plots begin with the first that they meet."""
    names = [name for name, value in epoch.items() if name not in BOOKKEEPING and math.isfinite(value)]
    return sorted(names, key=lambda name: not name.startswith("val_accuracy"))


def experiment_tags(heading: Heading, header: Mapping[str, Any]) -> dict[str, str]:
    """What MLflow's pages of a space show first: trainings, not prompts; the primary metric; and a view of the table
    with the columns that matter, best first (MLflow keeps shared views as tags).
    """
    written = header.get("canonical", {}).get("params", {})
    varying = [name for name, form in written.items() if isinstance(form, Mapping) and "value" not in form]
    metrics = [f"metrics.`{name}`" for name in heading.objectives.metrics]
    columns = [*metrics, *(f"params.`{name}`" for name in varying), "params.`seed`"]
    view = {
        "searchFilter": "",
        "orderByKey": f"metrics.`{heading.metric}`",
        "orderByAsc": heading.mode == "min",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": [*columns, "attributes.`Created`", "tags.`state`", "tags.`epochs`", "tags.`split`"],
    }
    return {
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.experiment.primaryMetric.name": heading.metric,
        "mlflow.experiment.primaryMetric.greaterIsBetter": str(heading.mode == "max"),
        f"mlflow.sharedViewState.{VIEW}": json.dumps(view),
    }


def view_link(experiment_id: str, heading: Heading) -> str:
    """Markdown that leads to that view."""
    page = f"#/experiments/{experiment_id}/runs?viewStateShareKey={VIEW}&workflowType=machine_learning"
    return f"\n\n[All trials by {heading.metric}, best first]({page})"


def study_tags(heading: Heading) -> dict[str, str]:
    """What all trials of a study share: data, versions, commit."""
    found = {
        "space": heading.space,
        "dataset": heading.dataset,
        "split": heading.split,
        **{f"{what}_digest": digest for what, digest in heading.digests.items()},
        "versions": ", ".join(f"{name} {version}" for name, version in heading.versions.items()) or None,
        "mlflow.source.git.commit": heading.commit,
        "caution": "; ".join(heading.cautions) or None,
    }
    return {key: _text(value, MAX_TAG) for key, value in found.items() if value is not None}


def front_tags(heading: Heading, trials: Sequence[TrialRecord]) -> dict[str, str]:
    """The numbers of the trials on the Pareto front, of a study with several metrics that has ended."""
    if not heading.objectives.are_several:
        return {}
    return {"pareto_front": ", ".join(str(trial.number) for trial in heading.objectives.front(trials))}


def limit_tags(heading: Heading, trial: TrialRecord) -> dict[str, str]:
    """Which limits a trial does not keep."""
    broken = heading.objectives.broken(trial.last)
    return {} if broken is None else {"infeasible": _text(broken, MAX_TAG)}


def place_tags(heading: Heading, trial: TrialRecord, trials: Sequence[TrialRecord]) -> dict[str, str]:
    """Whether a trial is on the Pareto front of a study with several metrics, once no other can take its place."""
    if len(trials) < heading.trials or any(each.ended is None for each in trials):
        return {}
    return {"pareto_front": _text(trial.number in {each.number for each in heading.objectives.front(trials)}, MAX_TAG)}


def trial_tags(trial: TrialRecord, *, live: bool) -> dict[str, str]:
    """Where and as what a trial ran, and how it stands. `live` is false once its study runs no longer."""
    interrupted = trial.state == "running" and not live
    found = {
        "seed": trial.seed,
        "network": trial.network,
        "repeat": trial.repeat,
        "state": "interrupted" if interrupted else trial.state,
        **{key: value for key, value in trial.facts.items() if isinstance(value, str | int | float)},
        "stopped_by": trial.reason if trial.state == "stopped" else None,
        "reason": trial.reason if trial.state == "failed" else None,
        EPOCHS_TAG: len(trial.epochs),
    }
    return {key: _text(value, MAX_TAG) for key, value in found.items() if value is not None}


def trial_status(trial: TrialRecord, *, live: bool) -> Status:
    """RUNNING only while it runs; what ASHA or the user ended before its time was killed."""
    match trial.state:
        case "complete":
            return "FINISHED"
        case "failed":
            return "FAILED"
        case "stopped":
            return "KILLED"
        case "running":
            return "RUNNING" if live else "KILLED"


def test_points(trial: TrialRecord, scores: Mapping[str, float]) -> list[Point]:
    """What a trial's model reached on the test part, at its last epoch."""
    step = int(trial.last.get("epoch", 0))
    own = {name: value for name, value in scores.items() if name.startswith("test_")}  # those of train are its curves
    return [Point(name, float(value), end_ms(trial), step) for name, value in own.items() if math.isfinite(value)]


def best_point(heading: Heading, trials: Sequence[TrialRecord]) -> list[Point]:
    """The best score as the study's own point, so that studies can be compared; its step counts the ended trials."""
    best = heading.objectives.ranked(trials)[:1]
    step = sum(trial.ended is not None for trial in trials)
    return [Point(heading.metric, t.last[heading.metric], milliseconds(t.ended or t.started), step) for t in best]


def description(name: str, heading: Heading, trials: Sequence[TrialRecord], answer: str | None = None) -> str:
    """The study in a few lines of Markdown, for whoever opens its run in MLflow; first its answer, once it has one."""
    about = {
        "space": heading.space,
        "dataset": heading.dataset_label if heading.dataset else None,
        "split": heading.split,
        "compared by": f"{_compared(heading)}, {heading.max_epochs} epochs at most",
        "trials": ", ".join(f"{n} {state}" for state, n in counts(trials).items() if n) + f" (of {heading.trials})",
        "best": _best_line(heading, trials),
        "Pareto front": _front_line(heading, trials),
    }
    lines = [f"- **{label}**: {text}" for label, text in about.items() if text is not None]
    caution = [f"**Caution: {'; '.join(heading.cautions)}.**", ""] if heading.cautions else []
    said = [answer, "", "The whole report: artifact `report/report.html`.", ""] if answer else []
    return "\n".join([f"### {name}", heading.description or "", "", *said, *caution, *lines])


def _compared(heading: Heading) -> str:
    by = heading.objectives
    pairs = zip(by.metrics, by.modes, strict=True)
    compared = " and ".join(f"`{name}` of the last epoch ({mode})" for name, mode in pairs)
    return f"{compared}, limits {by.limits_text}" if by.limits else compared


def _front_line(heading: Heading, trials: Sequence[TrialRecord]) -> str | None:
    """The trials on the front; None for one metric, whose front is the best."""
    front = heading.objectives.front(trials) if heading.objectives.are_several else []
    return ", ".join(f"trial {trial.number}" for trial in front) or None


def _best_line(heading: Heading, trials: Sequence[TrialRecord]) -> str | None:
    """The best trial, with what its repeats say of the noise."""
    for network in networks(trials, heading.objectives)[:1]:
        best = network.trials[0]
        chosen = ", ".join(f"{key} = {brief(value)}" for key, value in best.varying.items())
        others = [trial.number for trial in network.trials[1:]]
        noise = f"; mean {network.mean:.4f} with {numbered(others)} of the same network" if others else ""
        return f"{network.scores[0]:.4f} ({numbered([best.number])}: {chosen}{noise})"
    return None


def end_ms(trial: TrialRecord) -> int:
    """When a trial ended, or, of an interrupted one, its last epoch."""
    trained = sum(epoch.get("seconds", 0.0) for epoch in trial.epochs)
    return milliseconds(trial.started + trained if trial.ended is None else trial.ended)


def milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _text(value: Any, limit: int) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
