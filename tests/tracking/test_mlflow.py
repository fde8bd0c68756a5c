"""What MLflow shows of a study is what the record says: all of it, and once."""

import itertools
import logging
import math
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from servers import Relay, free_port, long_answers, server
from small_study import add_epoch, add_trial, ended, new_record
from waiting import until

from search.record.journal import locked
from search.tracking import mlflow_backend, mlflow_client, tracker
from search.tracking.__main__ import main
from search.tracking.backend import STUDY, AwayError, RefusedError, TrackingError
from search.tracking.mlflow_backend import MlflowBackend
from search.tracking.mlflow_client import check_uri, complete
from search.tracking.registry import default_uri, tracker_of
from search.tracking.sync import sync

ROOT = Path(__file__).parents[2]


@pytest.fixture
def record(mlflow_folder):
    return new_record(mlflow_folder)


def uri_of(record):
    return default_uri(record.folder.parent)


def connected(record):
    backend = MlflowBackend(record, uri_of(record))
    backend.connect()
    return backend


def send_all(record, end="FINISHED"):
    """Send what MLflow lacks of a study that ended, or, where `end` is None, that runs."""
    backend = connected(record)
    for number in backend.behind(live=end is None):
        backend.send(number, end=end)
    return backend


def client_of(record):
    return MlflowClient(uri_of(record))


def runs_in(client, kind="trial"):
    """The runs of a kind by their tag (`mgc.trial` is `study/number`)."""
    experiment = client.get_experiment_by_name("se_ratio")
    runs = [run for run in client.search_runs([experiment.experiment_id]) if f"mgc.{kind}" in run.data.tags]
    names = [run.data.tags[f"mgc.{kind}"] for run in runs]
    assert len(names) == len(set(names)), "a run is there twice"
    return dict(zip(names, runs, strict=True))


def curve(client, run, name="val_accuracy"):
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]


def note(client, run_id):
    return client.get_run(run_id).data.tags["mlflow.note.content"]


def test_a_trial_becomes_a_run_with_params_curves_and_tags(record):
    number = add_trial(record, scores=[0.4, 0.5], r=31.43, params={"channels": [32, 64], "fmax": None})
    record.fact(number, "node", "n1")
    record.end(number, ended("complete"), values=[0.5])

    assert sync(record, uri_of(record)) == 0

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
        ("stopped", "ASHA after epoch 1", "FINISHED", {"state": "stopped", "stopped_by": "ASHA after epoch 1"}),
        ("failed", "NaN loss", "FAILED", {"state": "failed", "reason": "NaN loss"}),
        ("running", None, "KILLED", {"state": "interrupted"}),
    ],
)
def test_a_run_ends_as_its_trial_ended(record, state, reason, status, tags):
    add_trial(record, state, [0.5], reason=reason)
    send_all(record, "KILLED")
    run = runs_in(client_of(record))["se_ratio-001/0"]
    assert run.info.status == status
    assert tags.items() <= run.data.tags.items()
    assert not {"stopped_by", "reason"} & (run.data.tags.keys() - tags.keys())


def test_values_that_mlflow_does_not_take_are_left_out_or_cut(record):
    add_trial(record, "complete", [0.4, math.nan, 0.6], params={"long": "x" * 7000, "empty": ""})
    send_all(record)
    client = client_of(record)
    run = runs_in(client)["se_ratio-001/0"]
    assert curve(client, run) == [(1, 0.4), (3, 0.6)]
    assert run.data.params["long"] == "x" * 5997 + "..."
    assert run.data.params["empty"] == ""


def test_a_trial_of_many_epochs_arrives_whole(record):
    add_trial(record, "complete", [step / 1000 for step in range(1, 301)])
    send_all(record)
    client = client_of(record)
    assert len(curve(client, runs_in(client)["se_ratio-001/0"])) == 300


def test_the_study_explains_itself_and_has_the_best_score(record):
    add_trial(record, "complete", [0.5], r=16)
    add_trial(record, "complete", [0.7], r=32)
    add_trial(record, "stopped", [0.9], r=2)
    add_trial(record, "complete", [0.6], r=31)
    send_all(record)
    parent = runs_in(client_of(record), "study")["se_ratio-001"]
    assert (parent.info.status, parent.info.run_name) == ("FINISHED", "se_ratio-001")
    assert parent.data.metrics == {"val_accuracy": 0.7}
    text = parent.data.tags["mlflow.note.content"]
    assert "0.7000 (trial 1: r = 32; mean 0.6500 with trial 3 of the same network)" in text
    assert "3 complete, 1 stopped (of 4)" in text
    assert "**Caution: synthetic music: no result about real genres.**" in text


def test_the_studys_own_run_has_what_all_trials_share_as_params_and_keeps_it(record):
    canonical = {
        "params": {"lr": 0.001, "channels": [4, 8], "r": {"uniform": [1, 64]}, "pools": {"value": 2, "when": {}}}
    }
    record.amend(canonical=canonical, sampler="tpe")
    send_all(record)
    expected = {"lr": "0.001", "channels": "[4, 8]", "domain.r": '{"uniform": [1, 64]}', "max_epochs": "3",
                "pools": "2", "sampler": "tpe"}  # fmt: skip
    assert runs_in(client_of(record), "study")["se_ratio-001"].data.params == expected
    canonical["params"]["r"] = {"uniform": [1, 32]}
    record.amend(canonical=canonical)
    send_all(record)  # MLflow refuses to change a param
    assert runs_in(client_of(record), "study")["se_ratio-001"].data.params == expected


def test_the_model_of_a_search_is_a_model_of_the_studys_run_once(record):
    backend = connected(record)
    folder = record.folder / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    for content in ("a", "a", "b"):
        (folder / "weights.safetensors").write_text(content)
        backend.send_file(STUDY, folder, "")
    client = client_of(record)
    run = runs_in(client, "study")["se_ratio-001"]
    models = client.search_logged_models([run.info.experiment_id])
    assert [(model.name, model.source_run_id) for model in models] == [("se_ratio-001", run.info.run_id)] * 2
    names = [artifact.path for artifact in client.list_logged_model_artifacts(models[0].model_id)]
    assert names == ["config.json", "weights.safetensors"]


def test_ui_prints_the_page_of_the_runs_and_becomes_mlflows_server(record, monkeypatch, capsys, tmp_path):
    commands = []
    monkeypatch.setattr("os.execv", lambda program, words: commands.append(words))
    (empty := tmp_path / "empty").mkdir()
    assert main(["ui", "--out", str(empty)]) == 2
    assert capsys.readouterr().err.endswith("/mlflow.db: no study has been sent there yet\n")
    page = send_all(record).page
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "")
    arguments = ["ui", "--out", str(record.folder.parent)]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main([*arguments, "--port", str(port := taken.getsockname()[1])]) == 0
    assert re.fullmatch(rf"se_ratio  http://127.0.0.1:(\d+)/{re.escape(page)}\n", capsys.readouterr().out)
    [[*_, last]] = commands
    assert int(last) > port and os.environ["MLFLOW_BACKEND_STORE_URI"] == uri_of(record)


def test_the_study_is_described_while_it_runs(record):
    tracker, client = tracker_of(record, uri_of(record)), client_of(record)
    tracker.start()
    study = tracker.run_id(STUDY)
    record.amend(dataset="gtzan", is_synthetic=False)
    tracker.touch()
    until(lambda: "**dataset**: gtzan\n" in note(client, study))
    tracker.touch(add_trial(record, "complete", [0.75]))
    until(lambda: "1 complete (of 4)" in note(client, study) and "0.7500 (trial 0" in note(client, study))
    assert client.get_run(study).info.status == "RUNNING"
    assert tracker.finish("FINISHED") == 0


def test_the_experiment_names_its_primary_metric(record):
    connected(record)
    tags = client_of(record).get_experiment_by_name("se_ratio").tags
    assert tags["mlflow.experiment.primaryMetric.name"] == "val_accuracy"
    assert tags["mlflow.experiment.primaryMetric.greaterIsBetter"] == "True"


def test_a_resumed_study_goes_on_in_the_same_runs(record):
    first = add_trial(record, "complete", [0.5, 0.6])
    second = add_trial(record, scores=[0.3])
    before = send_all(record, "KILLED")

    add_epoch(record, second, 2, 0.4)
    again = send_all(record, None)
    assert [again.run_id(number) for number in (first, second)] == [before.run_id(first), before.run_id(second)]
    client = client_of(record)
    assert {client.get_run(again.run_id(number)).info.status for number in (second, STUDY)} == {"RUNNING"}
    record.end(second, ended("complete"), values=[0.4])
    send_all(record)

    runs = runs_in(client)
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert curve(client, runs["se_ratio-001/0"]) == [(1, 0.5), (2, 0.6)]
    assert curve(client, runs["se_ratio-001/1"]) == [(1, 0.3), (2, 0.4)]
    assert runs["se_ratio-001/1"].data.tags["state"] == "complete"


def test_a_study_of_the_same_name_elsewhere_keeps_its_own_runs(record, tmp_path):
    other = new_record(tmp_path / "elsewhere", created="2026-02-02T00:00:00+00:00")
    backends = [MlflowBackend(each, uri_of(record)) for each in (record, other)]
    for backend in backends:
        backend.connect()
    assert backends[0].run_id(STUDY) != backends[1].run_id(STUDY)


def test_an_epoch_costs_one_call(record, monkeypatch):
    calls = []

    def counted(name):
        original = getattr(MlflowClient, name)
        monkeypatch.setattr(MlflowClient, name, lambda self, *a, **k: (calls.append(name), original(self, *a, **k))[1])

    number = add_trial(record)
    backend = send_all(record, None)
    for name in [name for name in vars(MlflowClient) if not name.startswith("_") and name != "tracking_uri"]:
        if callable(getattr(MlflowClient, name)):
            counted(name)
    for epoch in (1, 2, 3):
        add_epoch(record, number, epoch, 0.5)
        backend.send(number, end=None)
    assert calls == ["log_batch"] * 3
    for each in (number, STUDY):
        backend.send(each, end="KILLED")
    assert calls[3:] == ["log_batch", "set_terminated"] * 2


@pytest.mark.parametrize("name", ["create_run", "log_batch", "set_terminated"])
@pytest.mark.parametrize("is_done", [True, False], ids=["answer lost", "request lost"])
def test_what_fails_once_arrives_once(record, monkeypatch, name, is_done):
    number = add_trial(record, "complete", [0.4, 0.5])
    backend = connected(record)
    original = getattr(MlflowClient, name)

    def fails(*args, **kwargs):
        if is_done:
            original(*args, **kwargs)
        raise MlflowException("connection reset")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, name, fails)
        with pytest.raises(AwayError, match=r"^connection reset$"):
            backend.send(number, end=None)
    backend.connect()
    backend.send(number, end=None)
    client = client_of(record)
    run = runs_in(client)["se_ratio-001/0"]
    assert curve(client, run) == [(1, 0.4), (2, 0.5)]
    assert run.info.status == "FINISHED"


def test_points_are_there_once_even_if_only_they_arrived(record):
    """The worst case of a lost answer: the points are in, the tag that says so is not."""
    number = add_trial(record, "complete", [0.4, 0.5])
    backend, client = send_all(record), client_of(record)
    client.delete_tag(backend.run_id(number), "epochs")
    backend.connect()
    assert number in backend.behind(live=False)
    backend.send(number, end="FINISHED")
    assert curve(client, runs_in(client)["se_ratio-001/0"]) == [(1, 0.4), (2, 0.5)]


@pytest.mark.parametrize(
    ("error", "translated"),
    [
        (MlflowException("no such\n thing", error_code=INVALID_PARAMETER_VALUE), RefusedError("no such thing")),
        (MlflowException("Failed: [Errno 111] Connection refused'))"), AwayError("Connection refused")),
        (MlflowException("database or disk is full"), AwayError("database or disk is full")),
        (ConnectionResetError("reset"), AwayError("reset")),
        (TimeoutError(), AwayError("TimeoutError")),
        (FileNotFoundError("gone.txt"), RefusedError("gone.txt")),
        (
            MlflowException("Invalid Host header", error_code=INVALID_PARAMETER_VALUE),
            RefusedError("it refuses this host name (start it with --allowed-hosts, or use its IP address)"),
        ),
    ],
)
def test_an_error_says_in_a_line_whether_to_try_again(record, monkeypatch, error, translated):
    def fails(*args, **kwargs):
        raise error

    backend = connected(record)
    monkeypatch.setattr(MlflowClient, "log_batch", fails)
    with pytest.raises(type(translated)) as caught:
        backend.send(STUDY, end=None)
    assert str(caught.value) == str(translated)


def test_a_file_arrives_in_its_folder(record, tmp_path):
    number = add_trial(record, "complete", [0.5])
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"w")
    backend = send_all(record)
    backend.send_file(number, weights, "best")
    stored = tmp_path / "mlartifacts" / backend.run_id(number) / "artifacts" / "best" / "weights.safetensors"
    assert stored.read_bytes() == b"w"
    with pytest.raises(RefusedError, match=r"^No such file or directory$"):
        backend.send_file(number, tmp_path / "gone.txt", "")


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
        ("sqlite:///{out}/te%78t.db", "tracking file {out}/text.db is not a sqlite database"),
    ],
)
def test_a_uri_that_cannot_work_is_said_before_anything_is_loaded(record, tmp_path, uri, message):
    (tmp_path / "text.db").write_text("this is not a database")
    begin = time.monotonic()
    with pytest.raises(TrackingError) as caught:
        tracker_of(record, uri.format(out=tmp_path)).start()
    assert str(caught.value).startswith(message.format(out=tmp_path))
    assert time.monotonic() - begin < 0.5


@pytest.mark.parametrize(
    ("uri", "package"), [("postgresql+psycopg2://me:pw@host/db", "psycopg2"), ("mssql://host/db", "pyodbc")]
)
def test_a_database_without_its_driver_is_said_in_a_line(record, uri, package):
    with pytest.raises(TrackingError) as caught:
        tracker_of(record, uri).start()
    shown = uri.replace("pw", "***")
    assert str(caught.value) == f"MLflow at {shown} needs the Python package {package}: install it"


def test_a_folder_whose_name_reads_as_a_query_has_its_database_inside(tmp_path):
    out = tmp_path / "q?x%20y #z"
    record = new_record(out)
    add_trial(record, "complete", [0.5])
    tracker = tracker_of(record, default_uri(out))
    tracker.start()
    assert tracker.finish("FINISHED") == 0
    assert (out / "mlflow.db").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    assert default_uri(out) == f"sqlite:///{tmp_path}/q%3Fx%2520y #z/mlflow.db"


@pytest.mark.parametrize("content", [None, b""], ids=["no file", "an empty file"])
def test_the_database_that_another_driver_makes_meanwhile_is_not_removed(tmp_path, monkeypatch, content):
    """The other driver puts its database in place, under the lock of `built`, just before the check removes a file."""
    path = tmp_path / "mlflow.db"
    if content is not None:
        path.write_bytes(content)
    unlink, others = Path.unlink, []

    def just_after_the_other(self, missing_ok=False):
        if self == path:
            with suppress(Timeout), FileLock(f"{path}.lock", timeout=0):
                others.append(path.write_bytes(b"SQLite format 3\0"))
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", just_after_the_other)
    check_uri(f"sqlite:///{path}")
    assert path.exists() == bool(others)
    assert [name for name in os.listdir(tmp_path) if not name.startswith("mlflow.db")] == []


def test_a_server_that_is_not_there_is_said_at_the_start(record):
    uri = f"http://user:secret@127.0.0.1:{free_port()}"
    shown = uri.replace("secret", "***")
    begin = time.monotonic()
    with pytest.raises(TrackingError) as caught:
        tracker_of(record, uri).start()
    assert str(caught.value) == f"MLflow at {shown} cannot be used: Connection refused"
    assert time.monotonic() - begin < 5


def test_a_server_that_never_answers_is_said_at_the_start(record, monkeypatch):
    monkeypatch.setattr(mlflow_backend, "SERVER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TrackingError, match=rf"^MLflow at {uri} did not answer within 0.2 s$"):
            tracker_of(record, uri).start()


class Gone(BaseException):
    """What a thread gets in place of a SIGKILL of its process."""


@pytest.mark.slow
def test_a_sync_that_ends_after_any_call_leaves_a_state_that_the_next_ends(record, monkeypatch):
    """Each life of the sender comes one call further than the life before, until one comes to the end."""
    for state in ("complete", "stopped", "failed"):
        add_trial(record, state, [0.1, 0.2, 0.3])
    file = record.folder / "note.txt"
    file.write_text("hello")
    calls = SimpleNamespace(left=0)

    def counted(name):
        call = getattr(MlflowClient, name)

        def call_or_end(self, *arguments, **options):
            answer = call(self, *arguments, **options)
            calls.left -= 1
            if calls.left == 0:
                raise Gone
            return answer

        monkeypatch.setattr(MlflowClient, name, call_or_end)

    for name in ("create_experiment", "create_run", "log_batch", "set_terminated", "update_run", "log_artifact"):
        counted(name)
    lives = 0
    unsent = None
    while unsent != 0:
        lives = calls.left = lives + 1
        with suppress(TrackingError):  # it ended before it had connected
            unsent = sync(record, uri_of(record), [file])
    assert lives > 5
    client = client_of(record)
    runs = runs_in(client)
    statuses = {name: run.info.status for name, run in runs.items()}
    assert statuses == {f"se_ratio-001/{number}": end for number, end in enumerate(["FINISHED", "FINISHED", "FAILED"])}
    for run in runs.values():
        assert curve(client, run) == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_an_answer_without_an_end_is_not_read_for_ever(record, monkeypatch):
    monkeypatch.setattr(mlflow_client, "MOST_BYTES", 2**20)
    monkeypatch.setattr(mlflow_backend, "SERVER_S", 60.0)
    with long_answers(100 * 2**20) as (uri, sent):
        with pytest.raises(TrackingError, match=rf"^MLflow at {uri} cannot be used: .*its answer has more than 1 MB"):
            tracker_of(record, uri).start()
        until(lambda: sent, "the connection is closed")
    assert sent[0] < 50 * 2**20  # some of it lies in the sockets


def test_a_deleted_experiment_is_said_at_the_start(record):
    client = client_of(record)
    client.delete_experiment(client.create_experiment("se_ratio"))
    with pytest.raises(
        TrackingError, match=r"experiment se_ratio is deleted there; restore it, or delete it for good$"
    ):
        tracker_of(record, uri_of(record)).start()


def test_a_password_is_taken_from_the_environment_where_the_uri_names_a_user_without_one(monkeypatch):
    without = ["http://me@host:5000/x", "https://me:***@host", "postgresql://me@host/db", "http://host"]
    assert [complete(uri) for uri in without] == without
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a/b")
    assert [complete(uri) for uri in [*without, "http://me:own@host"]] == [
        "http://me:a%2Fb@host:5000/x",
        "https://me:a%2Fb@host",
        "postgresql://me@host/db",
        "http://host",
        "http://me:own@host",
    ]


@pytest.mark.parametrize(
    "uri", ["http://me:pa/ss@host:5000", "http://me:my pass@host", "postgresql://me:pa/ss@host/db"]
)
def test_a_password_that_makes_a_uri_unreadable_is_not_shown(uri):
    with pytest.raises(
        TrackingError, match=r"^tracking URI \w+://me:\*\*\*@host\S* cannot be read; in a password"
    ) as caught:
        check_uri(uri)
    assert "ss" not in str(caught.value).partition(";")[0]


def test_the_uri_of_the_environment_comes_before_the_file(tmp_path, monkeypatch):
    assert default_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert default_uri(tmp_path) == "http://mlflow:5000"


def test_loading_what_makes_a_tracker_loads_no_mlflow():
    code = "import sys, search.tracking.sync; sys.exit('mlflow' in sys.modules)"
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
    assert missing == f"error: {out}/nothing: no study here (there is no record.log)"
    assert running.startswith("error: study se_ratio-001 is running already: pid")


@pytest.mark.slow
def test_a_new_file_is_made_while_the_study_goes_on(tmp_path):
    record = new_record(tmp_path)
    begin = time.monotonic()
    tracker = tracker_of(record, uri_of(record))
    tracker.start()
    assert time.monotonic() - begin < 0.5
    tracker.touch(add_trial(record, "complete", [0.5]))
    assert tracker.finish("FINISHED") == 0
    assert runs_in(client_of(record)).keys() == {"se_ratio-001/0"}


@pytest.mark.slow
def test_everything_arrives_once_though_the_connection_is_cut_in_the_middle(record, caplog, monkeypatch):
    monkeypatch.setattr(tracker, "PAUSES_S", (0.01, 0.05))
    caplog.set_level(logging.WARNING)
    numbers = [add_trial(record, r=r) for r in (16, 32)]
    port = free_port()
    with server(record, port), Relay(port) as relay:
        sender = tracker_of(record, relay.uri)
        sender.start()
        for epoch, number in itertools.product(range(1, 21), numbers):
            add_epoch(record, number, epoch, epoch / 100)
            sender.touch(number)
        until(lambda: all(sender.run_id(number) for number in numbers))
        relay.cut()
        for epoch, number in itertools.product(range(21, 41), numbers):
            add_epoch(record, number, epoch, epoch / 100)
            sender.touch(number)
        numbers.append(add_trial(record, "complete", [0.5]))
        sender.touch(numbers[-1])
        until(lambda: any("is away" in message for message in caplog.messages))
        relay.join()
        for number in numbers[:2]:
            record.end(number, ended("complete"), values=[0.4])
            sender.touch(number)
        until(lambda: any("answers again" in message for message in caplog.messages), seconds=60)
        assert sender.finish("FINISHED") == 0
        client = client_of(record)
        runs = runs_in(client)
        assert [run.info.status for run in runs.values()] == ["FINISHED"] * 3
        for number in numbers[:2]:
            points = curve(client, runs[f"se_ratio-001/{number}"])
            assert points == [(epoch, epoch / 100) for epoch in range(1, 41)]
