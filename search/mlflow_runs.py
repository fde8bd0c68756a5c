"""The runs of one study on an MLflow server: found or made, and told what the record says. The one import of MLflow.

Every call here may fail, and may be made again afterwards with the same end: runs are found by their tags, and points
sent twice are the same points (search.projection). Nothing here waits, tries again or runs in the background.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mgc.cache import built
from mgc.config import ConfigError
from search import projection
from search.overview import Heading
from search.projection import EPOCHS_TAG, Point, Status
from search.record import Record

if TYPE_CHECKING:
    # Importing MLflow takes 1 to 2 s: whatever imports it for real stands in a function.
    from mlflow import MlflowClient
    from mlflow.entities import Experiment
    from mlflow.entities import Run as MlflowRun

STUDY = -1
"""The number under which the study's own run stands among those of its trials."""
MAX_POINTS = 800
"""Points in one call: MLflow takes 1000 of points, params and tags together, and 100 each of the latter two."""

_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # whoever calls tries again; MLflow's own way takes minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # printing it costs a request for each run that ends
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""MLflow reads these from the environment only; a value that the user has set is left."""
_SERVERS = re.compile(r"(https?|postgresql|mysql|mssql)(\+\w+)?://|databricks")


class TrackingError(ConfigError):
    """A tracking server that cannot be used: a wrong URI, nobody there, or one that refuses."""


@dataclass
class Run:
    """A run as MLflow has it."""

    run_id: str
    status: str
    epochs: int | None = None
    """How many of its trial's epochs are there; None before anything was sent."""
    tags: dict[str, str] = field(default_factory=dict)
    """As they were sent from here: each costs the server about as much as a metric, and few change."""


class StudyRuns:
    """The study's run and those of its trials, by number; the study's own under STUDY."""

    def __init__(self, record: Record, uri: str, experiment: str) -> None:
        self.connected = False
        self.runs: dict[int, Run] = {}
        self._record, self._uri, self._experiment = record, uri, experiment
        self._client: MlflowClient | None = None
        self._experiment_id = ""

    def load(self) -> None:
        """Import MLflow and make the client, which asks nothing of a server."""
        _ = self.client

    @property
    def client(self) -> MlflowClient:
        """Made at the first use; for a new sqlite file that makes its tables, which takes a second or two."""
        if self._client is None:
            self._client = _quiet_client(self._uri)
        return self._client

    def connect(self) -> None:
        """Find or make experiment and study's run, and look up which trials are there, with how many epochs."""
        heading = Heading.of(self._record.header)
        self._experiment_id = self._open_experiment(heading)
        study = self._open_study(heading)
        self.runs = {STUDY: study, **self._children(study.run_id)}
        self.connected = True

    def behind(self, *, live: bool) -> list[int]:
        """The numbers of the trials, or STUDY, whose run is not there or does not say what the record says."""
        found = []
        for trial in self._record.trials():
            expected = (len(trial.epochs), projection.trial_status(trial, live=live))
            run = self.runs.get(trial.number)
            if run is None or (run.epochs, run.status) != expected:
                found.append(trial.number)
        study = self.runs.get(STUDY)
        return found if live and study and study.status == "RUNNING" else [*found, STUDY]

    def send(self, number: int, *, end: Status | None) -> None:
        """Bring a trial's run, or the study's, up to the record. `end`: as what the study ended, None while it runs."""
        if number == STUDY:
            self._send_study(end)
        else:
            self._send_trial(number, live=end is None)

    def send_file(self, number: int, path: Path, folder: str) -> None:
        """A file or folder as the run's artifact; an MLflow model's folder as a model of the run."""
        if (path / "MLmodel").is_file():
            self._send_model(self.runs[number].run_id, path)
        else:
            self.client.log_artifact(self.runs[number].run_id, str(path), folder or None)

    def _send_model(self, run_id: str, folder: Path) -> None:
        """A model that the experiment's page lists, with its run as where it is from."""
        from mlflow.entities import LoggedModelOutput

        made = self.client.create_logged_model(self._experiment_id, self._record.name, run_id, model_type="pt2")
        self.client.log_model_artifacts(made.model_id, str(folder))
        self.client.finalize_logged_model(made.model_id, "READY")
        self.client.log_outputs(run_id, [LoggedModelOutput(made.model_id, 0)])

    def _send_trial(self, number: int, *, live: bool) -> None:
        trial = self._record.trial(number)
        if number not in self.runs:
            self.runs[number] = self._create_trial(number)
        run = self.runs[number]
        heading = Heading.of(self._record.header)
        tags = {**projection.trial_tags(trial, live=live), **projection.limit_tags(heading, trial)}
        if heading.objectives.are_several:
            tags |= projection.place_tags(heading, trial, self._record.trials())
        tested = self._record.notes().get("test", {}).get("scores", {}).get(str(number), {})
        self._log(
            run.run_id,
            points=[*projection.points(trial, after=run.epochs or 0), *projection.test_points(trial, tested)],
            params=projection.params(trial) if run.epochs is None else {},
            tags={name: value for name, value in tags.items() if run.tags.get(name) != value},
        )
        run.epochs, run.tags = len(trial.epochs), tags
        self._set_status(run, projection.trial_status(trial, live=live), projection.end_ms(trial))

    def _send_study(self, end: Status | None) -> None:
        heading, trials = Heading.of(self._record.header), self._record.trials()
        run = self.runs[STUDY]
        text = projection.description(self._record.name, heading, trials, self._record.notes().get("answer"))
        text += projection.view_link(self._experiment_id, heading)
        self._log(
            run.run_id,
            points=projection.best_point(heading, trials) if end else [],
            params={},
            tags={
                **projection.study_tags(heading),
                **(projection.front_tags(heading, trials) if end else {}),
                "mlflow.note.content": text,
            },
        )
        ended = max((projection.end_ms(trial) for trial in trials), default=_created_ms(heading))
        self._set_status(run, end or "RUNNING", ended)

    def _log(self, run_id: str, *, points: Sequence[Point], params: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """One call for up to MAX_POINTS points. The tags go with the last: they say how many epochs are there."""
        from mlflow.entities import Metric, Param, RunTag

        for start in range(0, max(len(points), 1), MAX_POINTS):
            is_last = start + MAX_POINTS >= len(points)
            self.client.log_batch(
                run_id,
                metrics=[Metric(*point) for point in points[start : start + MAX_POINTS]],
                params=[Param(*item) for item in params.items()] if start == 0 else [],
                tags=[RunTag(*item) for item in tags.items()] if is_last else [],
            )

    def _set_status(self, run: Run, status: Status, end_ms: int) -> None:
        if status == run.status and status == "RUNNING":
            return
        if status == "RUNNING":
            self.client.update_run(run.run_id, status=status)
        else:
            self.client.set_terminated(run.run_id, status, end_ms)
        run.status = status

    def _open_experiment(self, heading: Heading) -> str:
        """The experiment's id; its tags say what MLflow's pages show first."""
        found = self.client.get_experiment_by_name(self._experiment) or self._create_experiment()
        if found.lifecycle_stage == "deleted":
            raise TrackingError(f"experiment {self._experiment} is deleted there; restore it, or delete it for good")
        for key, value in projection.experiment_tags(heading, self._record.header).items():
            if found.tags.get(key) != value:
                self.client.set_experiment_tag(found.experiment_id, key, value)
        return str(found.experiment_id)

    def _create_experiment(self) -> Experiment:
        from mlflow.exceptions import MlflowException

        try:
            made = self.client.create_experiment(self._experiment, artifact_location=_artifacts(self._uri))
        except MlflowException:
            found = self.client.get_experiment_by_name(self._experiment)
            if found is None:  # else another study has just made it
                raise
            return found
        return self.client.get_experiment(made)

    def _open_study(self, heading: Heading) -> Run:
        """The study's run: that of the same name and beginning, for others may have a study of this name."""
        own = {"mgc.study": self._record.name, "mgc.created": heading.created}
        for run in self._search(own):
            return Run(run.info.run_id, run.info.status)
        about = projection.description(self._record.name, heading, [])
        tags = {**own, **projection.study_tags(heading), "mlflow.note.content": about}
        made = self.client.create_run(self._experiment_id, _created_ms(heading), tags, self._record.name)
        return Run(made.info.run_id, made.info.status)

    def _create_trial(self, number: int) -> Run:
        trial = self._record.trial(number)
        tags = {
            "mlflow.parentRunId": self.runs[STUDY].run_id,
            "mgc.trial": f"{self._record.name}/{number}",
            **projection.study_tags(Heading.of(self._record.header)),
        }
        started = projection.milliseconds(trial.started)
        made = self.client.create_run(self._experiment_id, started, tags, projection.run_name(number))
        return Run(made.info.run_id, made.info.status)

    def _children(self, parent_id: str) -> dict[int, Run]:
        found = {}
        for run in self._search({"mlflow.parentRunId": parent_id}):
            tags = run.data.tags
            if "mgc.trial" in tags:
                epochs = int(tags[EPOCHS_TAG]) if EPOCHS_TAG in tags else None
                found[int(tags["mgc.trial"].rsplit("/", 1)[1])] = Run(run.info.run_id, run.info.status, epochs)
        return found

    def _search(self, tags: Mapping[str, str]) -> list[MlflowRun]:
        """All runs of the experiment with these tags; MLflow gives them in pages."""
        query = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        page = self.client.search_runs([self._experiment_id], query)
        runs = list(page)
        while page.token:
            page = self.client.search_runs([self._experiment_id], query, page_token=page.token)
            runs += page
        return runs


def _quiet_client(uri: str) -> MlflowClient:
    """A client that fails at once rather than trying for minutes, and logs nothing of its own."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if uri.startswith("sqlite:///"):
        # Whole or not at all: MLflow does not go on with a file whose tables a killed process has half made.
        built(_sqlite_path(uri), lambda path: _close(MlflowClient(f"sqlite:///{path}")))
    return MlflowClient(uri)


def _close(client: MlflowClient) -> None:
    """Have a client make its tables, and leave nothing of them in memory."""
    client.search_experiments(max_results=1)
    store = client._tracking_client.store
    if engine := getattr(store, "engine", None):
        engine.dispose()


def default_uri(out: Path) -> str:
    """$MLFLOW_TRACKING_URI, else a sqlite file beside the studies."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{out.resolve() / 'mlflow.db'}"


def check_uri(uri: str) -> bool:
    """Whether a URI means a sqlite file that has yet to be made. Raises TrackingError for one that nobody could use.

    MLflow itself would try a broken sqlite file again for minutes.
    """
    if uri.startswith("sqlite:///"):
        return _is_new_sqlite(_sqlite_path(uri))
    if not _SERVERS.match(uri):
        raise TrackingError(
            f"tracking URI must be sqlite:///FILE or http(s)://HOST:PORT (MLflow takes no folders), got {uri!r}"
        )
    return False


def _is_new_sqlite(path: Path) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            file.seek(0)
            start = file.read(16)
        if not start:
            path.unlink()
    except OSError as error:
        raise TrackingError(f"tracking file {path} cannot be written: {error.strerror}") from None
    if start and not start.startswith(b"SQLite format 3"):
        raise TrackingError(f"tracking file {path} is not a sqlite database")
    return not start


def _sqlite_path(uri: str) -> Path:
    return Path(uri.removeprefix("sqlite:///"))


def _artifacts(uri: str) -> str | None:
    """Where a sqlite file's artifacts lie: `mlartifacts` beside it. A server knows its own place."""
    return (_sqlite_path(uri).resolve().parent / "mlartifacts").as_uri() if uri.startswith("sqlite:") else None


def _created_ms(heading: Heading) -> int:
    return projection.milliseconds(datetime.fromisoformat(heading.created).timestamp())


def is_refusal(error: Exception) -> bool:
    """Whether trying again cannot help: MLflow says no to what it was sent, or what should be sent is broken."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        code = int(error.get_http_status_code())  # type: ignore[no-untyped-call]
        return 400 <= code < 500 and code != 429
    return not isinstance(error, ConnectionError | TimeoutError) and type(error).__module__ != "requests.exceptions"


def one_line(error: Exception) -> str:
    """The reason in MLflow's, or the network's, own words, without the layers that each repeat it."""
    text = " ".join(str(error).split())
    if found := re.search(r"\[Errno -?\d+\] ([^'\")(]+)", text):
        return found[1].strip()
    if "Invalid Host header" in text:
        return "it refuses this host name (start it with --allowed-hosts, or use its IP address)"
    return text[:300] or type(error).__name__


def redacted(uri: str) -> str:
    """A URI without its password."""
    return re.sub(r"//[^@/]*@", "//...@", uri)
