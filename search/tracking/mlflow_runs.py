"""The runs of a study on an MLflow server, found by their tags or made: experiment = space, run = study, child = trial.

Whatever is made here is made once, however often it is asked for: first it is looked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from search.record.header import StudyHeader
from search.record.record import Record
from search.tracking import projection
from search.tracking.backend import STUDY, TrackingError
from search.tracking.projection import EPOCHS_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment
    from mlflow.entities import Run as MlflowRun


@dataclass
class Run:
    """A run as MLflow has it."""

    run_id: str
    status: str
    epochs: int | None = None
    """How many of its trial's epochs are there; None before anything was sent."""
    tags: dict[str, str] = field(default_factory=dict)
    """As they were last sent from here: each costs the server about as much as a metric, and few change."""
    has_params: bool = False


def open_experiment(client: MlflowClient, record: Record, artifacts: str | None) -> str:
    """The id of the space's experiment, made if need be; its tags say what MLflow's pages show first.

    `artifacts` is the URI under which a new one keeps its files. Raises TrackingError for one that was deleted.
    """
    name = record.header.space
    experiment = client.get_experiment_by_name(name) or _create_experiment(client, name, artifacts)
    if experiment.lifecycle_stage == "deleted":
        raise TrackingError(f"experiment {name} is deleted there; restore it, or delete it for good")
    for key, value in projection.experiment_tags(record.header).items():
        if experiment.tags.get(key) != value:
            client.set_experiment_tag(experiment.experiment_id, key, value)
    return str(experiment.experiment_id)


def open_runs(client: MlflowClient, experiment_id: str, record: Record) -> dict[int, Run]:
    """The runs that are there by number; the study's own, under STUDY, is made if need be."""
    study = _open_study(client, experiment_id, record)
    return {STUDY: study, **_trial_runs(client, experiment_id, study.run_id)}


def create_trial_run(client: MlflowClient, experiment_id: str, record: Record, number: int, study_id: str) -> Run:
    """A new run of a trial, under the study's run."""
    tags = {
        "mlflow.parentRunId": study_id,
        "mgc.trial": f"{record.name}/{number}",
        **projection.study_tags(record.header),
    }
    started_ms = projection.milliseconds(record.trial(number).started)
    run = client.create_run(experiment_id, started_ms, tags, projection.run_name(number))
    return Run(run.info.run_id, run.info.status)


def result_pages(client: MlflowClient) -> list[tuple[str, str]]:
    """The name of every space that has studies there, and the page of its runs, relative to the server's address."""
    experiments = client.search_experiments(order_by=["last_update_time DESC"])
    key = f"mlflow.sharedViewState.{projection.VIEW}"
    return [(each.name, projection.runs_page(each.experiment_id)) for each in experiments if key in each.tags]


def created_ms(header: StudyHeader) -> int:
    """When the study began, in ms since 1970."""
    return projection.milliseconds(datetime.fromisoformat(header.created).timestamp())


def _create_experiment(client: MlflowClient, name: str, artifacts: str | None) -> Experiment:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_experiment(client.create_experiment(name, artifact_location=artifacts))
    except MlflowException:
        experiment = client.get_experiment_by_name(name)
        if experiment is None:  # else another study has just made it
            raise
        return experiment


def _open_study(client: MlflowClient, experiment_id: str, record: Record) -> Run:
    """The study's run: that of the same name and beginning, for others may have a study of this name."""
    header = record.header
    own = {"mgc.study": record.name, "mgc.created": header.created}
    for run in _search(client, experiment_id, own):
        return Run(run.info.run_id, run.info.status, has_params=bool(run.data.params))
    text = projection.description(record.name, header, [])
    tags = {**own, **projection.study_tags(header), "mlflow.note.content": text}
    run = client.create_run(experiment_id, created_ms(header), tags, record.name)
    return Run(run.info.run_id, run.info.status)


def _trial_runs(client: MlflowClient, experiment_id: str, study_id: str) -> dict[int, Run]:
    runs = {}
    for run in _search(client, experiment_id, {"mlflow.parentRunId": study_id}):
        tags = run.data.tags
        if "mgc.trial" in tags:
            epochs = int(tags[EPOCHS_TAG]) if EPOCHS_TAG in tags else None
            runs[int(tags["mgc.trial"].rsplit("/", 1)[1])] = Run(run.info.run_id, run.info.status, epochs)
    return runs


def _search(client: MlflowClient, experiment_id: str, tags: Mapping[str, str]) -> list[MlflowRun]:
    """All runs of the experiment with these tags; MLflow returns them in pages."""
    query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    page = client.search_runs([experiment_id], query)
    runs = list(page)
    while page.token:
        page = client.search_runs([experiment_id], query, page_token=page.token)
        runs += page
    return runs
