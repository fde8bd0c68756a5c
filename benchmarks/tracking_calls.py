"""What telling MLflow of an epoch costs, in calls and in milliseconds, beside Ray's own MLflow callback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from mlflow import MlflowClient
from optuna.distributions import FloatDistribution
from ray.air._internal.mlflow import _MLflowLoggerUtil  # what ray.air.integrations.mlflow logs through

from benchmarks.figure import Figure
from search.record.header import StudyHeader
from search.record.record import Record
from search.record.trial import Proposal
from search.tracking.mlflow_backend import MlflowBackend

HEADER = StudyHeader(
    space="s",
    created="2026-01-01T00:00:00+00:00",
    trials=1,
    max_epochs=999,
    dataset="synthetic",
    metrics=("val_accuracy",),
    modes=("max",),
)
METRICS = ("train_loss", "val_loss", "val_accuracy", "val_clip_accuracy", "val_f1", "seconds", "clips_per_s", "lr")
"""About as many as an epoch of ours has."""


@dataclass(frozen=True)
class Cost:
    """Of telling one epoch."""

    calls: float
    milliseconds: float


def figures(data: str, *, quick: bool) -> Iterator[Figure]:
    epochs = 20 if quick else 100
    with tempfile.TemporaryDirectory() as folder:
        for where, place in (("sqlite", on_sqlite), ("a server on loopback", on_server)):
            with place(Path(folder)) as uri, mock.patch.dict(os.environ):
                tellers = teller_of_ours(Path(folder) / where.replace(" ", "-"), uri), teller_of_ray(uri)
                ours, rays = costs_of(tellers, epochs)
            for unit, goal in (("calls", "<= 1 call"), ("milliseconds", "-")):
                yield Figure(
                    name=f"telling MLflow of an epoch, {where}",
                    unit=unit,
                    ours=getattr(ours, unit),
                    baseline=getattr(rays, unit),
                    baseline_name="Ray's MLflow callback",
                    more_is_better=False,
                    goal=goal,
                )


def costs_of(tellers: Sequence[Callable[[int], None]], epochs: int) -> list[Cost]:
    """What each teller's epochs cost; they take turns, so that a busy machine is busy for all of them."""
    calls, seconds = [0] * len(tellers), [0.0] * len(tellers)
    for tell in tellers:
        tell(1)  # the first makes the run
    for epoch in range(2, epochs + 2):
        for which, tell in enumerate(tellers):
            with counted_calls() as counted:
                started = time.perf_counter()
                tell(epoch)
                seconds[which] += time.perf_counter() - started
            calls[which] += len(counted)
    return [Cost(count / epochs, 1e3 * taken / epochs) for count, taken in zip(calls, seconds, strict=True)]


def teller_of_ours(folder: Path, uri: str) -> Callable[[int], None]:
    """Writes an epoch of a running trial into a record, and sends what MLflow lacks of it, as the tracker's thread."""
    record = Record.create(folder, HEADER)
    proposal = Proposal(
        params={"r": 16.0},
        varying={"r": 16.0},
        labels={"r": 16.0},
        distributions={"r": FloatDistribution(2, 64)},
        seed=0,
        network="n",
        repeat=0,
    )
    number = record.start(proposal)
    backend = MlflowBackend(record, uri)
    backend.connect()

    def tell(epoch: int) -> None:
        record.report(number, metrics_of(epoch))
        backend.send(number, end=None)

    return tell


def teller_of_ray(uri: str) -> Callable[[int], None]:
    logger = _MLflowLoggerUtil()
    logger.setup_mlflow(tracking_uri=uri, experiment_name="ray")
    run = logger.start_run(run_name="trial")
    return lambda epoch: logger.log_metrics(step=epoch, metrics_to_log=dict(metrics_of(epoch)), run_id=run.info.run_id)


def metrics_of(epoch: int) -> Mapping[str, float]:
    return {"epoch": epoch, **{name: number + 1 / epoch for number, name in enumerate(METRICS)}}


@contextmanager
def counted_calls() -> Iterator[list[str]]:
    """The calls of MLflow's client while the block runs, by their name; what a call calls itself is not another."""
    calls: list[str] = []
    depth = 0

    def counting(name: str) -> Callable[..., object]:
        original = getattr(MlflowClient, name)

        def call(*arguments: object, **named: object) -> object:
            nonlocal depth
            if depth == 0:
                calls.append(name)
            depth += 1
            try:
                return original(*arguments, **named)
            finally:
                depth -= 1

        return call

    names = [name for name, value in vars(MlflowClient).items() if callable(value) and not name.startswith("_")]
    with mock.patch.multiple(MlflowClient, **{name: counting(name) for name in names}):
        yield calls


@contextmanager
def on_sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder}/file.db"


@contextmanager
def on_server(folder: Path) -> Iterator[str]:
    """MLflow's own server, on a sqlite file."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    store = ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--host", "127.0.0.1", "--port", port]
    command = [sys.executable, "-m", "mlflow", "server", *store, "--workers", "1"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(f"http://127.0.0.1:{port}/health", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < until:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(f"no MLflow server at {address}")
