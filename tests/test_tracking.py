"""MLflow shows what the record says: all of it, once, whatever happens to the server on the way."""

import itertools
import logging
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from small_study import add_epoch, add_trial, new_record

from search import tracking
from search.journal import locked
from search.mlflow_runs import STUDY, StudyRuns
from search.tracking import Tracker, TrackingError, default_uri, main, redacted, sync

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """A sqlite file with MLflow's tables in it, to be copied: making one takes over a second."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def out(tmp_path, empty_store):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    return tmp_path


@pytest.fixture
def record(out):
    return new_record(out)


@pytest.fixture
def short_pauses(monkeypatch):
    monkeypatch.setattr(tracking, "PAUSES_S", (0.01, 0.05))


def tracker_of(record, uri=None):
    tracker = Tracker(record, uri=uri or default_uri(record.folder.parent), experiment="se_ratio")
    tracker.start()
    return tracker


def client_of(record):
    return MlflowClient(default_uri(record.folder.parent))


def runs_in(client, kind="trial"):
    """The runs of a kind by their tag (`mgc.trial` is `study/number`)."""
    experiment = client.get_experiment_by_name("se_ratio")
    runs = [run for run in client.search_runs([experiment.experiment_id]) if f"mgc.{kind}" in run.data.tags]
    names = [run.data.tags[f"mgc.{kind}"] for run in runs]
    assert len(names) == len(set(names)), "a run is there twice"
    return dict(zip(names, runs, strict=True))


def curve(client, run, name="val_accuracy"):
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]


def until(condition, seconds=20.0):
    """Wait for a condition; fail when it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def test_a_trial_becomes_a_run_with_params_curves_and_tags(record):
    number = add_trial(record, scores=[0.4, 0.5], r=31.43, params={"channels": [32, 64], "fmax": None})
    record.fact(number, "node", "n1")
    record.end(number, "complete", values=[0.5])

    assert sync(record, default_uri(record.folder.parent), "se_ratio") == 0

    client = client_of(record)
    run = runs_in(client)["se_ratio-001/0"]
    assert run.data.params == {"model": "se_cnn", "r": "31.43", "channels": "[32, 64]", "fmax": "null", "seed": "0"}
    assert set(run.data.metrics) == {"val_accuracy", "train_loss", "seconds"}
    assert curve(client, run) == [(1, 0.4), (2, 0.5)]
    assert run.info.run_name == "trial-000"
    trial = record.trial(number)
    assert (run.info.start_time, run.info.end_time) == (int(trial.started * 1000), int(trial.ended * 1000))
    expected = {"dataset": "synthetic", "split": "artist", "dataset_digest": "d1", "split_digest": "s1", "node": "n1"}
    expected |= {"network": "net-4", "seed": "0", "state": "complete", "mlflow.source.git.commit": "c0ffee"}
    assert expected.items() <= run.data.tags.items()
    assert run.data.tags["versions"] == "torch 2.13.0, ray 2.60.0"
    parent = runs_in(client, "study")["se_ratio-001"]
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id


@pytest.mark.parametrize(
    ("state", "reason", "status", "tags"),
    [
        ("complete", None, "FINISHED", {"state": "complete"}),
        ("stopped", "ASHA after epoch 1", "KILLED", {"state": "stopped", "stopped_by": "ASHA after epoch 1"}),
        ("failed", "NaN loss", "FAILED", {"state": "failed", "reason": "NaN loss"}),
        ("running", None, "KILLED", {"state": "interrupted"}),
    ],
)
def test_a_run_ends_as_what_its_trial_ended(record, state, reason, status, tags):
    add_trial(record, state, [0.5], reason=reason)
    tracker_of(record).finish("KILLED")
    run = runs_in(client_of(record))["se_ratio-001/0"]
    assert run.info.status == status
    assert tags.items() <= run.data.tags.items()
    assert not {"stopped_by", "reason"} & (run.data.tags.keys() - tags.keys())


def test_what_mlflow_refuses_keeps_nothing_else_back(record):
    add_trial(record, "complete", [0.4, math.nan, 0.6], params={"long": "x" * 7000, "empty": ""})
    assert tracker_of(record).finish("FINISHED") == 0
    client = client_of(record)
    run = runs_in(client)["se_ratio-001/0"]
    assert curve(client, run) == [(1, 0.4), (3, 0.6)]
    assert run.data.params["long"] == "x" * 5997 + "..."
    assert run.data.params["empty"] == ""


def test_a_trial_of_many_epochs_arrives_whole(record):
    add_trial(record, "complete", [step / 1000 for step in range(1, 301)])
    assert tracker_of(record).finish("FINISHED") == 0
    client = client_of(record)
    assert len(curve(client, runs_in(client)["se_ratio-001/0"])) == 300


def test_the_study_explains_itself_and_has_the_best_score(record):
    add_trial(record, "complete", [0.5], r=16)
    add_trial(record, "complete", [0.7], r=32)
    add_trial(record, "stopped", [0.9], r=2)
    add_trial(record, "complete", [0.6], r=31)
    tracker_of(record).finish("FINISHED")
    parent = runs_in(client_of(record), "study")["se_ratio-001"]
    assert (parent.info.status, parent.info.run_name) == ("FINISHED", "se_ratio-001")
    assert parent.data.metrics == {"val_accuracy": 0.7}
    note = parent.data.tags["mlflow.note.content"]
    assert "0.7000 (trial 1: r = 32; mean 0.6500 with trial 3 of the same network)" in note
    assert "3 complete, 1 stopped (of 4)" in note
    assert "**Caution: synthetic music: no result about real genres.**" in note


def test_the_study_is_described_while_it_runs(record):
    tracker = tracker_of(record)
    client = client_of(record)

    def note():
        return client.get_run(tracker.parent_run_id).data.tags["mlflow.note.content"]

    record.note("header", {**record.header, "dataset": "gtzan", "is_synthetic": False})
    tracker.touch()
    until(lambda: "**dataset**: gtzan\n" in note())
    tracker.touch(add_trial(record, "complete", [0.75]))
    until(lambda: "1 complete (of 4)" in note() and "0.7500 (trial 0" in note())
    assert client.get_run(tracker.parent_run_id).info.status == "RUNNING"
    tracker.finish("FINISHED")


@pytest.mark.parametrize(("every_s", "described"), [(60.0, {0, 9}), (0.0, set(range(10)))])
def test_the_study_is_described_every_so_often_and_last_of_all(record, monkeypatch, every_s, described):
    monkeypatch.setattr(tracking, "DESCRIBE_EVERY_S", every_s)
    ready, sent, send = threading.Event(), [], StudyRuns.send

    def seen(runs, number, *, end):
        ready.wait(20)
        sent.append(number)
        send(runs, number, end=end)

    monkeypatch.setattr(StudyRuns, "send", seen)
    tracker = tracker_of(record)
    tracker.touch()
    until(lambda: not tracker._dirty)
    for _ in range(9):
        tracker.touch(add_trial(record, "complete", [0.5]))
    ready.set()
    until(lambda: len(set(sent)) == 10)
    tracker.finish("FINISHED")
    trials_before = {len({*sent[:place]} - {STUDY}) for place, number in enumerate(sent) if number == STUDY}
    assert trials_before == described


def test_the_experiment_names_its_primary_metric(record):
    tracker_of(record).finish("FINISHED")
    tags = client_of(record).get_experiment_by_name("se_ratio").tags
    assert tags["mlflow.experiment.primaryMetric.name"] == "val_accuracy"
    assert tags["mlflow.experiment.primaryMetric.greaterIsBetter"] == "True"


def test_a_resumed_study_goes_on_in_the_same_runs(record):
    first = add_trial(record, "complete", [0.5, 0.6])
    second = add_trial(record, scores=[0.3])
    before = tracker_of(record)
    before.finish("KILLED")

    again = tracker_of(record)
    assert [again.run_id(number) for number in (first, second)] == [before.run_id(first), before.run_id(second)]
    client = client_of(record)
    add_epoch(record, second, 2, 0.4)
    again.touch(second)
    until(lambda: len(curve(client, client.get_run(again.run_id(second)))) == 2)
    until(lambda: client.get_run(again.run_id(second)).info.status == "RUNNING")
    until(lambda: client.get_run(again.parent_run_id).info.status == "RUNNING")
    record.end(second, "complete", values=[0.4])
    again.finish("FINISHED")

    runs = runs_in(client)
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert curve(client, runs["se_ratio-001/0"]) == [(1, 0.5), (2, 0.6)]
    assert curve(client, runs["se_ratio-001/1"]) == [(1, 0.3), (2, 0.4)]
    assert runs["se_ratio-001/1"].data.tags["state"] == "complete"


def test_a_study_of_the_same_name_elsewhere_keeps_its_own_runs(record, tmp_path):
    add_trial(record, "complete", [0.5])
    other = new_record(tmp_path / "elsewhere", created="2026-02-02T00:00:00+00:00")
    uri = default_uri(record.folder.parent)
    one, two = tracker_of(record, uri), tracker_of(other, uri)
    assert (one.finish("FINISHED"), two.finish("FINISHED")) == (0, 0)
    assert one.parent_run_id != two.parent_run_id


def test_an_epoch_costs_one_call(record, monkeypatch):
    calls = []

    def counted(name):
        original = getattr(MlflowClient, name)
        monkeypatch.setattr(MlflowClient, name, lambda self, *a, **k: (calls.append(name), original(self, *a, **k))[1])

    number = add_trial(record)
    tracker = tracker_of(record)
    until(lambda: client_of(record).get_run(tracker.run_id(number)).data.params if tracker.run_id(number) else False)
    for name in [name for name in vars(MlflowClient) if not name.startswith("_") and name != "tracking_uri"]:
        if callable(getattr(MlflowClient, name)):
            counted(name)
    for epoch in (1, 2, 3):
        add_epoch(record, number, epoch, 0.5)
        tracker.touch(number)
        until(lambda epoch=epoch: len(calls) >= epoch)
    tracker.finish("FINISHED")
    ends_of_trial_and_study = ["log_batch", "set_terminated"] * 2
    assert calls == ["log_batch"] * 3 + ends_of_trial_and_study


def broken(monkeypatch, name, *, after_work, error, on=lambda call: call == 1):
    """Make calls of a client's method fail, `after_work` as when only the answer is lost; returns the counter."""
    original, count = getattr(MlflowClient, name), itertools.count(1)
    seen = []

    def method(self, *args, **kwargs):
        seen.append(args)
        if not on(next(count)):
            return original(self, *args, **kwargs)
        if after_work:
            original(self, *args, **kwargs)
        raise error

    monkeypatch.setattr(MlflowClient, name, method)
    return seen


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("name", ["create_run", "log_batch", "set_terminated"])
@pytest.mark.parametrize("after_work", [True, False], ids=["answer lost", "request lost"])
def test_what_fails_once_arrives_once(record, monkeypatch, caplog, name, after_work):
    tracker = tracker_of(record)
    broken(monkeypatch, name, after_work=after_work, error=MlflowException("connection reset"))
    number = add_trial(record, "complete", [0.4, 0.5])
    tracker.touch(number)
    until(lambda: any("answers again" in message for message in caplog.messages))
    assert tracker.finish("FINISHED") == 0
    client = client_of(record)
    run = runs_in(client)["se_ratio-001/0"]
    assert curve(client, run) == [(1, 0.4), (2, 0.5)]
    assert run.info.status == "FINISHED"


def test_points_are_there_once_even_if_only_they_arrived(record):
    """The worst case of a lost answer: the points are in, the tag that says so is not."""
    number = add_trial(record, "complete", [0.4, 0.5])
    tracker = tracker_of(record)
    tracker.finish("FINISHED")
    client = client_of(record)
    client.delete_tag(tracker.run_id(number), "epochs")
    assert tracker_of(record).finish("FINISHED") == 0
    assert curve(client, runs_in(client)["se_ratio-001/0"]) == [(1, 0.4), (2, 0.5)]


def test_a_run_that_mlflow_refuses_is_counted_and_the_others_arrive(record, monkeypatch, caplog):
    original = MlflowClient.log_batch

    def picky(self, run_id, metrics, params, tags):
        if any(metric.value == 0.4 for metric in metrics):
            raise MlflowException("no such thing", error_code=INVALID_PARAMETER_VALUE)
        original(self, run_id, metrics=metrics, params=params, tags=tags)

    monkeypatch.setattr(MlflowClient, "log_batch", picky)
    add_trial(record, "complete", [0.4])
    add_trial(record, "complete", [0.5])
    assert tracker_of(record).finish("FINISHED") == 1
    client = client_of(record)
    assert curve(client, runs_in(client)["se_ratio-001/1"]) == [(1, 0.5)]
    assert "MLflow does not take the run of trial 0: no such thing" in caplog.messages


@pytest.mark.usefixtures("short_pauses")
def test_a_server_that_stays_away_is_said_once_and_ends_nothing(record, monkeypatch, caplog):
    tracker = tracker_of(record)
    away = MlflowException("Failed: [Errno 111] Connection refused'))")
    seen = broken(monkeypatch, "create_run", after_work=False, error=away, on=lambda call: True)
    for _ in range(3):
        tracker.touch(add_trial(record, "complete", [0.5]))
    until(lambda: len(seen) > 3)
    assert tracker.finish("FINISHED") == 4
    warnings = [message for message in caplog.messages if "is away" in message]
    assert warnings == [f"MLflow at {tracker.where} is away (Connection refused); results are sent later"]


@pytest.mark.usefixtures("short_pauses")
def test_a_server_that_answers_but_takes_no_description_is_said_once(record, monkeypatch, caplog):
    monkeypatch.setattr(tracking, "DESCRIBE_EVERY_S", 0.2)
    tracker = tracker_of(record)
    tracker.touch()
    until(lambda: tracker._sent)
    full = MlflowException("database or disk is full")
    seen = broken(monkeypatch, "log_batch", after_work=False, error=full, on=lambda call: True)
    tracker.touch()
    until(lambda: len(seen) > 3)
    assert tracker.finish("FINISHED") == 1
    assert [message for message in caplog.messages if "is away" in message or "answers again" in message] == [
        f"MLflow at {tracker.where} is away (database or disk is full); results are sent later"
    ]


def test_a_hanging_server_holds_nobody_up(record, monkeypatch):
    hangs, go_on, answered = threading.Event(), threading.Event(), threading.Event()
    original = MlflowClient.log_batch

    def hang(*args, **kwargs):
        hangs.set()
        assert go_on.wait(20)
        answered.set()
        return original(*args, **kwargs)

    tracker = tracker_of(record)
    monkeypatch.setattr(MlflowClient, "log_batch", hang)
    number = add_trial(record)
    tracker.touch(number)
    until(hangs.is_set)
    for epoch in range(1, 51):
        add_epoch(record, number, epoch, 0.5)
        tracker.touch(number)
    assert not answered.is_set()
    go_on.set()
    assert tracker.finish("KILLED") == 0
    client = client_of(record)
    assert len(curve(client, runs_in(client)["se_ratio-001/0"])) == 50


def test_the_end_waits_no_longer_than_its_patience(record, monkeypatch):
    monkeypatch.setattr(tracking, "PATIENCE_S", 0.1)
    tracker = tracker_of(record)
    over = threading.Event()
    monkeypatch.setattr(MlflowClient, "create_run", lambda *args: over.wait(20))
    tracker.touch(add_trial(record, "complete", [0.5]))
    started = time.monotonic()
    assert tracker.finish("FINISHED") >= 1
    assert time.monotonic() - started < 2
    over.set()


def test_files_arrive_and_a_missing_one_holds_nobody_up(record, tmp_path, caplog):
    number = add_trial(record, "complete", [0.5])
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"w")
    tracker = tracker_of(record)
    tracker.log_artifact(tmp_path / "gone.txt")
    tracker.log_artifact(weights, "best", number=number)
    assert tracker.finish("FINISHED") == 1  # the study's own run lacks a file
    stored = tmp_path / "mlartifacts" / tracker.run_id(number) / "artifacts" / "best" / "weights.safetensors"
    assert stored.read_bytes() == b"w"
    assert any("gone.txt" in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (
            "file:///x/mlruns",
            "tracking URI must be sqlite:///FILE or http(s)://HOST:PORT (MLflow takes no folders), got ",
        ),
        (
            "mlruns",
            "tracking URI must be sqlite:///FILE or http(s)://HOST:PORT (MLflow takes no folders), got 'mlruns'",
        ),
        ("sqlite:////proc/none/mlflow.db", "tracking file /proc/none/mlflow.db cannot be written: "),
        ("sqlite:///{out}", "tracking file {out} cannot be written: Is a directory"),
        ("sqlite:///{out}/text.db", "tracking file {out}/text.db is not a sqlite database"),
    ],
)
def test_a_uri_that_cannot_work_is_said_before_anything_is_loaded(record, tmp_path, uri, message):
    (tmp_path / "text.db").write_text("this is not a database")
    started = time.monotonic()
    with pytest.raises(TrackingError) as caught:
        tracker_of(record, uri.format(out=tmp_path))
    assert str(caught.value).startswith(message.format(out=tmp_path))
    assert time.monotonic() - started < 0.5


def test_a_server_that_is_not_there_is_said_at_the_start(record):
    uri = f"http://user:secret@127.0.0.1:{free_port()}"
    shown = uri.replace("user:secret", "...")
    started = time.monotonic()
    with pytest.raises(TrackingError) as caught:
        tracker_of(record, uri)
    assert str(caught.value) == f"MLflow at {shown} cannot be used: Connection refused"
    assert time.monotonic() - started < 5


def test_a_server_that_never_answers_is_said_at_the_start(record, monkeypatch):
    monkeypatch.setattr(tracking, "REACH_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TrackingError, match=rf"^MLflow at {uri} did not answer within 0.2 s$"):
            tracker_of(record, uri)


def test_a_deleted_experiment_is_said_at_the_start(record):
    client = client_of(record)
    client.delete_experiment(client.create_experiment("se_ratio"))
    with pytest.raises(
        TrackingError, match=r"experiment se_ratio is deleted there; restore it, or delete it for good$"
    ):
        tracker_of(record)


def test_a_password_is_not_shown():
    assert redacted("postgresql://me:secret@host/db") == "postgresql://...@host/db"


def test_the_uri_of_the_environment_comes_before_the_file(tmp_path, monkeypatch):
    assert default_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert default_uri(tmp_path) == "http://mlflow:5000"


def test_loading_the_module_loads_no_mlflow():
    code = "import sys, search.tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_sync_sends_a_study_and_says_how_much(record, capsys):
    add_trial(record, "complete", [0.5])
    arguments = ["sync", record.name, "--out", str(record.folder.parent)]
    assert [main(arguments), main(arguments)] == [0, 0]
    assert capsys.readouterr().out.splitlines() == ["se_ratio-001: 2 runs are in MLflow, 0 could not be sent"] * 2
    client = client_of(record)
    assert runs_in(client, "study")["se_ratio-001"].info.status == "KILLED"  # one trial of four is no whole study
    assert curve(client, runs_in(client)["se_ratio-001/0"]) == [(1, 0.5)]


def test_sync_says_what_is_wrong_in_a_line(record, capsys):
    out = str(record.folder.parent)
    assert main(["sync", "nothing", "--out", out]) == 2
    with locked(record.folder):
        assert main(["sync", record.name, "--out", out]) == 2
    missing, running = capsys.readouterr().err.splitlines()
    assert missing == f"{out}/nothing: no study here (there is no record.log)"
    assert running.startswith("study se_ratio-001 is running already: pid")


@pytest.mark.slow
def test_a_new_store_is_left_alone_until_a_trial_has_a_result(tmp_path, monkeypatch):
    record, epochs_then, looks = new_record(tmp_path), [], []
    connect, open_in_s = StudyRuns.connect, Tracker._open_in_s

    def connect_noted(runs):
        epochs_then.append(sum(len(trial.epochs) for trial in record.trials()))
        connect(runs)

    monkeypatch.setattr(StudyRuns, "connect", connect_noted)
    monkeypatch.setattr(Tracker, "_open_in_s", lambda tracker: looks.append(1) or open_in_s(tracker))
    tracker = tracker_of(record)
    number = add_trial(record, "running", [])
    for touched in (STUDY, number):
        tracker.touch(touched)
    time.sleep(0.1)  # in which it could go round and round
    assert len(looks) <= 12
    add_epoch(record, number, 1, 0.5)
    tracker.touch(number)
    until(lambda: tracker.parent_run_id)
    assert tracker.finish("FINISHED") == 0
    assert epochs_then == [1]


@pytest.mark.slow
def test_a_new_store_is_opened_after_a_while_though_no_trial_has_a_result(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "OPEN_WITHIN_S", 0.05)
    record = new_record(tmp_path)
    tracker = tracker_of(record)
    tracker.touch(number := add_trial(record, "running", []))
    until(lambda: tracker.run_id(number))
    assert tracker.finish("KILLED") == 0


@pytest.mark.slow
def test_a_new_store_is_made_while_the_study_goes_on(tmp_path):
    record = new_record(tmp_path)
    started = time.monotonic()
    tracker = tracker_of(record)
    assert time.monotonic() - started < 0.5
    tracker.touch(add_trial(record, "complete", [0.5]))
    assert tracker.finish("FINISHED") == 0
    assert runs_in(client_of(record)).keys() == {"se_ratio-001/0"}


@pytest.mark.slow
@pytest.mark.usefixtures("short_pauses")
def test_everything_arrives_once_though_the_server_is_killed_in_the_middle(record, caplog):
    caplog.set_level(logging.WARNING)
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    numbers = [add_trial(record, r=r) for r in (16, 32)]
    with server(record, port):
        tracker = tracker_of(record, uri)
        for epoch, number in itertools.product(range(1, 21), numbers):
            add_epoch(record, number, epoch, epoch / 100)
            tracker.touch(number)
        until(lambda: all(tracker.run_id(number) for number in numbers))
    for epoch, number in itertools.product(range(21, 41), numbers):
        add_epoch(record, number, epoch, epoch / 100)
        tracker.touch(number)
    numbers.append(add_trial(record, "complete", [0.5]))
    tracker.touch(numbers[-1])
    until(lambda: any("is away" in message for message in caplog.messages))
    with server(record, port):
        for number in numbers[:2]:
            record.end(number, "complete", values=[0.4])
            tracker.touch(number)
        until(lambda: any("answers again" in message for message in caplog.messages), seconds=60)
        assert tracker.finish("FINISHED") == 0
        runs = runs_in(MlflowClient(uri))
        assert [run.info.status for run in runs.values()] == ["FINISHED"] * 3
        for number in numbers[:2]:
            points = curve(MlflowClient(uri), runs[f"se_ratio-001/{number}"])
            assert points == [(epoch, epoch / 100) for epoch in range(1, 41)]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@contextmanager
def server(record, port):
    """A real MLflow server on the record's store, killed with all of its processes at the end."""
    store = default_uri(record.folder.parent)
    command = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, *command, "--backend-store-uri", store, "--artifacts-destination", str(record.folder)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until(lambda: answers(f"http://127.0.0.1:{port}/health"), seconds=60)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=1):
            return True
    except (urllib.error.URLError, OSError):
        return False
