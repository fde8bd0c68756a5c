"""MLflow as a tracking backend: what the record says of a run, sent in as few calls as MLflow allows.

Every call may be made again with the same end: runs are found by their tags (search.tracking.mlflow_runs), and points
sent twice are the same points (search.tracking.projection).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mgc.words.errors import one_line
from mgc.words.redact import redacted_word
from search.record.files import MODEL
from search.record.notes import ANSWER, TEST, WINNER, scores_on_test
from search.record.record import Record
from search.tracking import projection
from search.tracking.backend import STUDY, Backend, Status, TrackingError
from search.tracking.mlflow_client import artifact_folder, check_uri, client_of, is_file, is_new_file, mlflow_errors
from search.tracking.mlflow_runs import Run, create_trial_run, created_ms, open_experiment, open_runs
from search.tracking.projection import Point

if TYPE_CHECKING:
    from mlflow import MlflowClient

SERVER_S = 10.0
"""How long the start waits for a server; a request gives up after half of that."""
FILE_S = 60.0
"""How long it waits for a sqlite file, which only a busy machine can make slow."""
MAX_POINTS = 800
"""Points in one call: MLflow takes 1000 of points, params and tags together, and 100 each of the latter two."""


def digest_of(folder: Path) -> str:
    """What is in the files of a folder, and under which names, in 16 digits."""
    content = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content.update(f"{path.relative_to(folder)}\0{path.stat().st_size}\0".encode())
        content.update(path.read_bytes())
    return content.hexdigest()[:16]


class MlflowBackend(Backend):
    """The runs of one study on an MLflow server, or in its sqlite file."""

    name = "MLflow"

    def __init__(self, record: Record, uri: str) -> None:
        self.where = redacted_word(uri)
        self.connect_s = FILE_S if is_file(uri) else SERVER_S
        self._record, self._uri = record, uri
        self._made_client: MlflowClient | None = None
        self._experiment_id = ""
        self._runs: dict[int, Run] = {}

    def prepare(self) -> None:
        check_uri(self._uri)
        if is_file(self._uri):
            return
        try:
            _ = self._client  # importing MLflow takes seconds on a busy machine, which are not the server's
        except ModuleNotFoundError as error:
            raise TrackingError(f"MLflow at {self.where} needs the Python package {error.name}: install it") from None
        except Exception as error:
            raise TrackingError(f"MLflow at {self.where} cannot be used: {one_line(error)}") from None

    @property
    def is_new(self) -> bool:
        return is_new_file(self._uri)

    @mlflow_errors()
    def connect(self) -> None:
        """Find or make experiment and study's run, and look up which trials are there, with how many epochs."""
        self._experiment_id = open_experiment(self._client, self._record, artifact_folder(self._uri))
        self._runs = open_runs(self._client, self._experiment_id, self._record)

    def behind(self, *, live: bool) -> list[int]:
        numbers = []
        for trial in self._record.trials():
            expected = (len(trial.epochs), projection.trial_status(trial, live=live))
            run = self._runs.get(trial.number)
            if run is None or (run.epochs, run.status) != expected:
                numbers.append(trial.number)
        study = self._runs.get(STUDY)
        return numbers if live and study and study.status == "RUNNING" else [*numbers, STUDY]

    @mlflow_errors()
    def send(self, number: int, *, end: Status | None) -> Status:
        return self._send_study(end) if number == STUDY else self._send_trial(number, live=end is None)

    @mlflow_errors()
    def send_file(self, number: int, path: Path, folder: str) -> None:
        """A file or folder as the run's artifact; an MLflow model's folder as a model of the run, the model's own
        folder of a search as both.
        """
        run_id = self._runs[number].run_id
        if (path / "MLmodel").is_file():
            self._send_model(run_id, path, "pt2")
            return
        self._client.log_artifact(run_id, str(path), folder or None)
        if path.name == MODEL and self._record.header.confirm is None:
            self._send_model(run_id, path, "mgc")

    @property
    def page(self) -> str | None:
        return projection.runs_page(self._experiment_id) if self._experiment_id else None

    def run_id(self, number: int) -> str | None:
        run = self._runs.get(number)
        return run.run_id if run else None

    @property
    def _client(self) -> MlflowClient:
        """Made at the first use, for that makes a new sqlite file."""
        if self._made_client is None:
            self._made_client = client_of(self._uri)
        return self._made_client

    def _send_model(self, run_id: str, folder: Path, kind: str) -> None:
        """A model that the experiment's page lists, with its run as where it is from. One that is there is not sent
        again.
        """
        from mlflow.entities import LoggedModelOutput

        tags = {"mgc.content": digest_of(folder)}
        there = self._client.search_logged_models([self._experiment_id], f"source_run_id = '{run_id}'")
        if any(model.tags.get("mgc.content") == tags["mgc.content"] for model in there):
            return
        name = self._record.name
        model = self._client.create_logged_model(self._experiment_id, name, run_id, tags=tags, model_type=kind)
        self._client.log_model_artifacts(model.model_id, str(folder))
        self._client.finalize_logged_model(model.model_id, "READY")
        self._client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])

    def _send_trial(self, number: int, *, live: bool) -> Status:
        trial, header = self._record.trial(number), self._record.header
        run = self._trial_run(number)
        tags = {**projection.trial_tags(trial, live=live), **projection.limit_tags(header, trial)}
        if header.objectives.are_several:
            tags |= projection.place_tags(header, trial, self._record.trials())
        on_test = scores_on_test(self._record.noted(TEST)).get(number, {})
        self._log(
            run.run_id,
            points=[*projection.points(trial, after=run.epochs or 0), *projection.test_points(trial, on_test)],
            params=projection.params(trial) if run.epochs is None else {},
            tags={name: value for name, value in tags.items() if run.tags.get(name) != value},
        )
        run.epochs, run.tags = len(trial.epochs), tags
        return self._set_status(run, projection.trial_status(trial, live=live), projection.end_ms(trial))

    def _trial_run(self, number: int) -> Run:
        if number not in self._runs:
            study_id = self._runs[STUDY].run_id
            self._runs[number] = create_trial_run(self._client, self._experiment_id, self._record, number, study_id)
        return self._runs[number]

    def _send_study(self, end: Status | None) -> Status:
        header, trials = self._record.header, self._record.trials()
        answer, winner = self._record.noted(ANSWER), self._record.noted(WINNER)
        text = projection.description(self._record.name, header, trials, answer, winner, live=end is None)
        text += projection.view_link(self._experiment_id, header)
        run = self._runs[STUDY]
        self._log(
            run.run_id,
            points=projection.best_point(header, trials) if end else [],
            params={} if run.has_params else projection.study_params(header),
            tags={
                **projection.study_tags(header),
                **(projection.front_tags(header, trials) if end else {}),
                "mlflow.note.content": text,
            },
        )
        run.has_params = True  # MLflow changes none: a domain that is another one later stays as it was
        end_ms = max((projection.end_ms(trial) for trial in trials), default=created_ms(header))
        return self._set_status(run, end or "RUNNING", end_ms)

    def _log(self, run_id: str, *, points: Sequence[Point], params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """One call for up to MAX_POINTS points. The tags go with the last: they say how many epochs are there."""
        from mlflow.entities import Metric, Param, RunTag

        for start in range(0, max(len(points), 1), MAX_POINTS):
            is_last = start + MAX_POINTS >= len(points)
            self._client.log_batch(
                run_id,
                metrics=[Metric(*point) for point in points[start : start + MAX_POINTS]],
                params=[Param(*item) for item in params.items()] if start == 0 else [],
                tags=[RunTag(*item) for item in tags.items()] if is_last else [],
            )

    def _set_status(self, run: Run, status: Status, end_ms: int) -> Status:
        """Tell MLflow the status, unless it has it: an ended run is ended again, for its end may be another."""
        if status != "RUNNING":
            self._client.set_terminated(run.run_id, status, end_ms)
        elif run.status != "RUNNING":
            self._client.update_run(run.run_id, status=status)
        run.status = status
        return status
