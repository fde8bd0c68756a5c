"""What MLflow shows of a study: the record translated into plain tags, params, points and Markdown.

Everything here is a function of the record, the points' times too. So what is sent twice is the same both times, and
MLflow's table of metrics, whose key is (name, time, step, value), keeps it once. MLflow itself is not imported.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from search.record.header import StudyHeader
from search.record.ranking import BOOKKEEPING, has_ended, networks, pareto_front, ranked, states_text
from search.record.trial import TrialRecord
from search.space.describe import params_block
from search.tracking.backend import Status
from search.words import numbered, pairs

MAX_PARAM = 6000
"""Characters that MLflow keeps of a param's value."""
MAX_TAG = 8000
"""Characters that MLflow keeps of a tag's value."""
VIEW = "results"
"""The name under which MLflow's pages find the table of a space's runs, with its columns and its order."""
EPOCHS_TAG = "epochs"
"""The tag with the number of a trial's epochs that MLflow has; it is sent together with the last of their points."""


class Point(NamedTuple):
    """One value of a curve; `time_ms` since 1970, `step` is the epoch."""

    name: str
    value: float
    time_ms: int
    step: int


def run_name(number: int) -> str:
    return f"trial-{number:03d}"


def params(trial: TrialRecord) -> dict[str, str]:
    """Every param of a trial as a space file would write it: a list as `[32, 64]`, None as `null`."""
    return {key: _text(value, MAX_PARAM) for key, value in {**trial.params, "seed": trial.seed}.items()}


def points(trial: TrialRecord, after: int) -> list[Point]:
    """The metrics of all epochs but the first `after`. NaN and infinity are left out: no plot can show them.

    An epoch's time is the trial's start plus the seconds of its epochs so far.
    """
    elapsed_s, of_epochs = 0.0, []
    for index, epoch in enumerate(trial.epochs):
        elapsed_s += epoch.get("seconds", 0.0)
        time_ms = milliseconds(trial.started + elapsed_s)
        if index >= after:
            metrics = {**trial.known, **epoch}
            names = _names(metrics)
            of_epochs += [Point(name, float(metrics[name]), time_ms, int(metrics["epoch"])) for name in names]
    return of_epochs


def _names(metrics: Mapping[str, float]) -> list[str]:
    """The metrics that can be shown; the accuracy comes first, for MLflow's plots begin with the first metric."""
    names = [name for name, value in metrics.items() if name not in BOOKKEEPING and math.isfinite(value)]
    return sorted(names, key=lambda name: not name.startswith("val_accuracy"))


def experiment_tags(header: StudyHeader) -> dict[str, str]:
    """What MLflow's pages of a space show first: trainings, not prompts; the primary metric; and a table of the runs
    with the columns that matter, the best run first. MLflow keeps such a table (a shared view) as a tag.
    """
    params = header.canonical.get("params", {})
    varying = [name for name, domain in params.items() if isinstance(domain, Mapping) and "value" not in domain]
    metrics = [f"metrics.`{name}`" for name in header.objectives.metrics]
    columns = [*metrics, *(f"params.`{name}`" for name in varying), "params.`seed`"]
    view = {
        "searchFilter": "",
        "orderByKey": f"metrics.`{header.metric}`",
        "orderByAsc": header.mode == "min",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": [*columns, "attributes.`Created`", "tags.`state`", "tags.`epochs`", "tags.`split`"],
    }
    return {
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.experiment.primaryMetric.name": header.metric,
        "mlflow.experiment.primaryMetric.greaterIsBetter": str(header.mode == "max"),
        f"mlflow.sharedViewState.{VIEW}": json.dumps(view),
    }


def runs_page(experiment_id: str) -> str:
    """The experiment's table, as an address relative to the server's own."""
    return f"#/experiments/{experiment_id}/runs?viewStateShareKey={VIEW}&workflowType=machine_learning"


def view_link(experiment_id: str, header: StudyHeader) -> str:
    """Markdown with a link to the experiment's table."""
    return f"\n\n[All trials by {header.metric}, best first]({runs_page(experiment_id)})"


def study_params(header: StudyHeader) -> dict[str, str]:
    """What all trials of a study share, as params of its own run: the fixed params under their names, what varies as
    `domain.NAME`, who proposes, the epochs of a complete trial.
    """
    canonical = header.canonical
    values: dict[str, Any] = {"sampler": header.sampler, "max_epochs": header.max_epochs}
    for name, value in canonical.get("params", {}).items():
        if not isinstance(value, Mapping):
            values[name] = value
        elif "value" in value:
            values[name] = value["value"]
        else:
            values[f"domain.{name}"] = value
    return {key: _text(value, MAX_PARAM) for key, value in values.items() if value is not None}


def study_tags(header: StudyHeader) -> dict[str, str]:
    """What all trials of a study share: data, versions, commit."""
    tags = {
        "space": header.space,
        "dataset": header.dataset,
        "split": header.split,
        **{f"{what}_digest": digest for what, digest in header.digests.items()},
        "versions": ", ".join(f"{name} {version}" for name, version in header.versions.items()) or None,
        "mlflow.source.git.commit": header.commit,
        "caution": "; ".join(header.cautions) or None,
    }
    return _filled(tags)


def front_tags(header: StudyHeader, trials: Sequence[TrialRecord]) -> dict[str, str]:
    """Of a study that ended, and has several metrics: the numbers of the trials on the Pareto front."""
    if not header.objectives.are_several:
        return {}
    return {"pareto_front": ", ".join(str(trial.number) for trial in pareto_front(trials, header.objectives))}


def limit_tags(header: StudyHeader, trial: TrialRecord) -> dict[str, str]:
    """The limits that a trial breaks, if any."""
    return _filled({"infeasible": header.objectives.violations_text(trial.last)})


def place_tags(header: StudyHeader, trial: TrialRecord, trials: Sequence[TrialRecord]) -> dict[str, str]:
    """Whether a trial is on the Pareto front; nothing before the study's end, for another may take its place."""
    if not has_ended(header, trials):
        return {}
    front = {each.number for each in pareto_front(trials, header.objectives)}
    return _filled({"pareto_front": trial.number in front})


def trial_tags(trial: TrialRecord, *, live: bool) -> dict[str, str]:
    """Where a trial ran, with which network and seed, and how it stands. `live` is whether its study still runs."""
    interrupted = trial.state == "running" and not live
    tags = {
        "seed": trial.seed,
        "network": trial.network,
        "repeat": trial.repeat,
        "state": "interrupted" if interrupted else trial.state,
        **{key: value for key, value in trial.facts.items() if isinstance(value, str | int | float)},
        "stopped_by": trial.reason if trial.state == "stopped" else None,
        "reason": trial.reason if trial.state == "failed" else None,
        EPOCHS_TAG: len(trial.epochs),
    }
    return _filled(tags)


def trial_status(trial: TrialRecord, *, live: bool) -> Status:
    """RUNNING while it runs, or is paused in a study that runs; KILLED if its study was interrupted before it ended. A
    trial that the scheduler stopped or paused did not go wrong: it is FINISHED, and the tag `state` tells the rest.
    """
    match trial.state:
        case "complete" | "stopped":
            return "FINISHED"
        case "failed":
            return "FAILED"
        case "running":
            return "RUNNING" if live else "KILLED"
        case "paused":
            return "RUNNING" if live else "FINISHED"


def test_points(trial: TrialRecord, scores: Mapping[str, float]) -> list[Point]:
    """The scores of a trial's model on the test part, at its last epoch; those on the train part are in its curves."""
    step = int(trial.last.get("epoch", 0))
    on_test = {name: value for name, value in scores.items() if name.startswith("test_") and math.isfinite(value)}
    return [Point(name, float(value), end_ms(trial), step) for name, value in on_test.items()]


def best_point(header: StudyHeader, trials: Sequence[TrialRecord]) -> list[Point]:
    """The best score as a point of the study's own run, so that studies can be compared; its step is how many trials
    have ended. No point while no trial is complete.
    """
    best = ranked(trials, header.objectives)[:1]
    step = sum(trial.ended is not None for trial in trials)
    return [Point(header.metric, t.last[header.metric], milliseconds(t.ended or t.started), step) for t in best]


def description(
    name: str,
    header: StudyHeader,
    trials: Sequence[TrialRecord],
    answer: str | None = None,
    winner: Mapping[str, Any] | None = None,
    *,
    live: bool = True,
) -> str:
    """The study in a few lines of Markdown, for whoever opens its run in MLflow: first its answer, if it has one, last
    the params of the config that the answer is about. `live` is whether the study runs.
    """
    about = {
        "space": header.space,
        "dataset": header.dataset_label if header.dataset else None,
        "split": header.split,
        "compared by": f"{_compared(header)}, {header.max_epochs} epochs at most",
        "trials": f"{states_text(trials, live=live)} (of {header.trials})",
        "best": _best_line(header, trials),
        "Pareto front": _front_line(header, trials),
    }
    lines = [f"- **{label}**: {text}" for label, text in about.items() if text is not None]
    caution = [f"**Caution: {'; '.join(header.cautions)}.**", ""] if header.cautions else []
    result = [answer, "", "The whole report: artifact `report/report.html`.", ""] if answer else []
    block = ["", "The best config, for a space file:", "", "```yaml", params_block(winner), "```"] if winner else []
    return "\n".join([f"### {name}", header.description or "", "", *result, *caution, *lines, *block])


def _compared(header: StudyHeader) -> str:
    """What trials are compared by."""
    by = header.objectives
    modes = zip(by.metrics, by.modes, strict=True)
    metrics = " and ".join(f"`{name}` of the last epoch ({mode})" for name, mode in modes)
    return f"{metrics}, limits {by.constraints_text}" if by.constraints else metrics


def _front_line(header: StudyHeader, trials: Sequence[TrialRecord]) -> str | None:
    """The trials on the front; None for one metric, whose front is the best."""
    front = pareto_front(trials, header.objectives) if header.objectives.are_several else []
    return ", ".join(f"trial {trial.number}" for trial in front) or None


def _best_line(header: StudyHeader, trials: Sequence[TrialRecord]) -> str | None:
    """The best trial, with the mean over the trials of the same network; None while no trial is complete."""
    for network in networks(trials, header.objectives)[:1]:
        best = network.trials[0]
        others = [trial.number for trial in network.trials[1:]]
        noise = f"; mean {network.mean:.4f} with {numbered(others)} of the same network" if others else ""
        return f"{network.scores[0]:.4f} ({numbered([best.number])}: {pairs(best.varying)}{noise})"
    return None


def end_ms(trial: TrialRecord) -> int:
    """When a trial ended; for one that was interrupted, when its last epoch did."""
    trained_s = sum(epoch.get("seconds", 0.0) for epoch in trial.epochs)
    return milliseconds(trial.started + trained_s if trial.ended is None else trial.ended)


def milliseconds(seconds: float) -> int:
    return int(seconds * 1000)


def _filled(tags: Mapping[str, Any]) -> dict[str, str]:
    """The tags that have a value, as text."""
    return {key: _text(value, MAX_TAG) for key, value in tags.items() if value is not None}


def _text(value: Any, limit: int) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
