"""Which backend the runs of a study are sent to: the one that its tracking URI means. One entry for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from search.record.record import Record
from search.tracking.backend import Backend
from search.tracking.mlflow_backend import MlflowBackend
from search.tracking.mlflow_client import file_uri
from search.tracking.tracker import Tracker

BACKENDS: Mapping[str, Callable[[Record, str], Backend]] = {"mlflow": MlflowBackend}
"""By the scheme of the URI; MLflow's own URIs (`sqlite:///...`, `http://...`) are all that are not another's."""


def tracker_of(record: Record, uri: str) -> Tracker:
    """A tracker, not started, for the backend that a URI means."""
    return Tracker(backend_of(record, uri))


def backend_of(record: Record, uri: str) -> Backend:
    scheme = uri.partition(":")[0]
    return BACKENDS.get(scheme, BACKENDS["mlflow"])(record, uri)


def default_uri(out: Path) -> str:
    """$MLFLOW_TRACKING_URI, else a sqlite file beside the studies."""
    return os.environ.get("MLFLOW_TRACKING_URI") or beside(out)


def beside(out: Path) -> str:
    """The URI of the sqlite file beside the studies in a folder."""
    return file_uri(out.resolve() / "mlflow.db")
