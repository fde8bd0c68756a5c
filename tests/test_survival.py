"""A study's life by the command line: drivers and workers killed, signals, a full disk, other data. All of it real."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pytest
from test_tracking import free_port, server

from benchmarks import tiny_study
from benchmarks.chaos import Damage, check_disk, check_mlflow, check_record, marked
from search.journal import JOURNAL
from search.record import Record

pytestmark = pytest.mark.slow

TRIALS = 20
MARK = "MGC_SURVIVAL"


class Driver:
    """`python -m search.run` in a process group of its own, as a terminal starts it."""

    def __init__(self, place, *arguments, name="life"):
        self.study = place.runs / name
        command = [sys.executable, "-m", "search.run", str(place.space), "--address", "local", "--json"]
        options = ["--out", str(place.runs), *map(str, arguments)]
        said = Path(tempfile.mkdtemp(dir=place.folder))
        self.out, self.err = said / "out", said / "err"
        with self.out.open("w") as out, self.err.open("w") as err:
            streams = {"stdout": out, "stderr": err}
            self.process = subprocess.Popen([*command, *options], env=place.env, start_new_session=True, **streams)

    def until_epochs(self, count):
        """Wait until the record has so many epochs more than now."""
        enough = self.epochs() + count
        self.until(lambda: self.epochs() >= enough)

    def until(self, condition, seconds=120):
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.end().stderr
            assert time.monotonic() < deadline, "it never happened"
            time.sleep(0.02)

    def epochs(self):
        journal = self.study / JOURNAL
        return journal.read_bytes().count(b'"epoch/') if journal.is_file() else 0

    def interrupt(self, number=signal.SIGINT):
        """Ctrl-C: the signal goes to every process of the group."""
        os.killpg(self.process.pid, number)

    def end(self):
        """Wait for the end: exit code, what was said, and how long it took from here."""
        started = time.monotonic()
        code = self.process.wait(240)
        seconds = time.monotonic() - started
        return SimpleNamespace(code=code, stdout=self.out.read_text(), stderr=self.err.read_text(), seconds=seconds)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A tiny study's space and music, and where its drivers run."""
    folder = tmp_path_factory.mktemp("survival")
    space = tiny_study.write_space(folder, trials=TRIALS)
    env = {**tiny_study.environment(folder), MARK: str(folder)}
    return SimpleNamespace(folder=folder, space=space, runs=folder / "runs", env=env)


@pytest.fixture(scope="module")
def life(place):
    """One study that is killed, interrupted, robbed of a worker, and at last ends; what was seen on the way."""
    seen = SimpleNamespace(record=None)

    driver = Driver(place, "--name", "life")
    driver.until(lambda: (driver.study / JOURNAL).is_file())
    driver.process.send_signal(signal.SIGSTOP)  # or it might end before the second has begun
    seen.second_driver = Driver(place, "--resume", "life").end()
    driver.process.send_signal(signal.SIGCONT)
    driver.until_epochs(4)
    driver.process.kill()
    seen.killed = driver.end()
    seen.second_of_name = Driver(place, "--name", "life").end()

    driver = Driver(place, "--resume")
    driver.until_epochs(4)
    driver.interrupt()
    driver.until(lambda: "stopping: " in driver.err.read_text())
    driver.interrupt()
    seen.twice = driver.end()
    seen.after_twice = Record.open(driver.study).trials()

    driver = Driver(place, "--resume", "life")
    driver.until_epochs(4)
    driver.process.send_signal(signal.SIGTERM)
    seen.sigterm = driver.end()

    driver = Driver(place, "--resume", "life")
    driver.until_epochs(4)
    driver.interrupt()
    seen.polite = driver.end()
    seen.after_polite = Record.open(driver.study).trials()
    seen.files = {path.parent.name for path in driver.study.glob("trials/*/checkpoint.pt")}
    client = mlflow.MlflowClient(f"sqlite:///{place.runs}/mlflow.db")
    experiment = client.get_experiment_by_name("tiny").experiment_id
    seen.runs_after_polite = client.search_runs([experiment])

    driver = Driver(place, "--resume", "life")
    driver.until(lambda: marked(place.env[MARK], "raylet"))
    driver.process.send_signal(signal.SIGTERM)
    seen.early = driver.end()

    driver = Driver(place, "--resume", "life")
    driver.until_epochs(2)
    workers = marked(place.env[MARK], "ray::TrainingTr")
    os.kill(workers[0], signal.SIGKILL)
    seen.whole = driver.end()
    seen.record = Record.open(driver.study)
    seen.trials = seen.record.trials()
    seen.again = Driver(place, "--resume", "life").end()
    seen.extended = Driver(place, "--resume", "life", "--trials", TRIALS + 1).end()
    return seen


def test_a_second_driver_is_refused_with_pid_and_host_of_the_first(life):
    assert life.second_driver.code == 2
    assert life.second_driver.stderr.splitlines()[-1].startswith("error: study life is running already: pid ")
    assert f" on {os.uname().nodename} since " in life.second_driver.stderr


def test_a_name_that_is_taken_is_refused(life):
    line = "error: study life is there already: --resume life goes on with it"
    assert (life.second_of_name.code, life.second_of_name.stderr.splitlines()[-1]) == (2, line)


def test_a_second_ctrl_c_ends_at_once_and_leaves_a_record(life):
    assert life.twice.code == 130
    assert life.twice.seconds < 10
    assert "running" in {trial.state for trial in life.after_twice}


def test_one_ctrl_c_stops_within_30_s_and_says_how_to_go_on(life, place):
    assert life.polite.code == 130
    assert life.polite.seconds < 30
    command = f"python -m search.run {place.space} --resume life --address local --out {place.runs}"
    assert life.polite.stderr.splitlines()[-1] == f"stopped; to go on: {command}"
    assert "Traceback" not in life.polite.stderr


def test_sigterm_stops_as_politely(life):
    assert (life.sigterm.code, life.sigterm.stderr.splitlines()[-1]) == (130, life.polite.stderr.splitlines()[-1])
    assert life.sigterm.seconds < 30


def test_one_ctrl_c_leaves_a_checkpoint_of_every_running_trial(life):
    running = {f"{trial.number:05d}" for trial in life.after_polite if trial.state == "running" and trial.epochs}
    assert running <= life.files


def test_one_ctrl_c_closes_every_run(life):
    statuses = {run.info.status for run in life.runs_after_polite}
    assert "RUNNING" not in statuses
    (study,) = [run for run in life.runs_after_polite if run.info.run_name == "life"]
    assert study.info.status == "KILLED"
    interrupted = {run.info.run_name for run in life.runs_after_polite if run.data.tags.get("state") == "interrupted"}
    assert interrupted == {f"trial-{t.number:03d}" for t in life.after_polite if t.state == "running"}


def test_sigterm_before_the_first_trial_ends_at_once(life):
    assert life.early.code == 130
    assert life.early.seconds < 30
    assert "Traceback" not in life.early.stderr


def test_in_the_end_nothing_is_lost_or_there_twice(life):
    assert life.whole.code == 0, life.whole.stderr
    damage = Damage()
    check_record(life.record, damage, trials=TRIALS + 1)
    check_mlflow(life.record, damage)
    check_disk(life.record, damage)
    assert not damage, damage


def test_a_killed_worker_fails_no_trial(life):
    assert [trial.number for trial in life.trials if trial.state == "failed"] == []


def test_a_finished_study_prints_the_same_again_and_is_extended_when_asked(life):
    assert (life.again.code, life.again.stdout.splitlines()[-1]) == (0, life.whole.stdout.splitlines()[-1])
    first, extended = (json.loads(each.stdout.splitlines()[-1]) for each in (life.again, life.extended))
    assert (first["trials"], extended["trials"]) == (TRIALS, TRIALS + 1)
    assert life.record.trials()[:TRIALS] == life.trials


def test_no_process_is_left(life, place):
    until = time.monotonic() + 30
    while marked(place.env[MARK]) and time.monotonic() < until:
        time.sleep(0.5)
    assert marked(place.env[MARK]) == []


def test_other_data_are_refused_and_nothing_is_touched(life, place):
    track = place.folder / "music" / "low" / "0.wav"
    before = track.read_bytes()
    track.write_bytes(before[:-400])
    try:
        refused = Driver(place, "--resume", "life", "--trials", TRIALS + 2).end()
    finally:
        track.write_bytes(before)
    assert refused.code == 2
    assert refused.stderr.splitlines()[-1].startswith("error: study life began with another dataset: digest ")
    assert len(life.record.trials()) == TRIALS + 1


@pytest.fixture
def small_disk(tmp_path):
    """A filesystem of 100 kB, which `grow` makes larger."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a filesystem takes root")
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "none", folder], check=False).returncode:
        pytest.skip("this machine does not let us mount a filesystem")
    yield SimpleNamespace(
        path=folder, grow=lambda: subprocess.run(["mount", "-o", "remount,size=50m", folder], check=True)
    )
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_said_in_a_line_and_the_study_goes_on_when_there_is_room(place, small_disk):
    on_disk = SimpleNamespace(**{**vars(place), "runs": small_disk.path})
    full = Driver(on_disk, "--name", "full", "--offline", name="full").end()
    assert full.code == 2, full.stderr
    assert full.stderr.splitlines()[-1].startswith("error: ")
    assert "No space left on device" in full.stderr.splitlines()[-1]
    assert "Traceback" not in full.stderr
    assert "failed" not in {trial.state for trial in Record.open(small_disk.path / "full").trials()}

    small_disk.grow()
    done = Driver(on_disk, "--resume", "full", "--offline", name="full").end()
    assert done.code == 0, done.stderr
    assert f"lacks {TRIALS + 1} runs; send them: python -m search.tracking sync full" in done.stdout
    damage = Damage()
    check_record(Record.open(small_disk.path / "full"), damage, trials=TRIALS)
    check_disk(Record.open(small_disk.path / "full"), damage)
    assert not damage, damage

    sync = [sys.executable, "-m", "search.tracking", "sync", "full", "--out", str(small_disk.path)]
    assert subprocess.run(sync, check=False, env=place.env, cwd=Path(__file__).parents[1]).returncode == 0
    check_mlflow(Record.open(small_disk.path / "full"), damage)
    assert not damage, damage


@pytest.mark.parametrize("out", ["/proc/runs", "FILE/runs"])
def test_a_folder_that_cannot_be_written_is_said_in_a_line(place, tmp_path, out):
    (tmp_path / "file").write_text("")
    on_nothing = SimpleNamespace(**{**vars(place), "runs": Path(out.replace("FILE", str(tmp_path / "file")))})
    refused = Driver(on_nothing).end()
    assert refused.code == 2
    assert len(refused.stderr.splitlines()) == 1
    assert "cannot write the study's folder: " in refused.stderr


def test_a_tracking_server_that_goes_for_good_holds_nobody_up_and_hears_everything_later(place):
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    (place.runs / "away").mkdir(parents=True)
    folder = SimpleNamespace(folder=place.runs / "away")
    with server(folder, port):
        driver = Driver(place, "--resume", "away", "--tracking-uri", uri, name="away")
        driver.until_epochs(4)
    done = driver.end()
    assert done.code == 0, done.stderr
    assert f"MLflow at {uri} is away" in done.stderr
    assert f"search.tracking sync away --out {place.runs} --tracking-uri {uri}" in done.stdout

    sync = [sys.executable, "-m", "search.tracking", "sync", "away", "--out", str(place.runs), "--tracking-uri", uri]
    with server(folder, port):
        assert subprocess.run(sync, check=False, env=place.env).returncode == 0
        damage = Damage()
        check_mlflow(Record.open(place.runs / "away"), damage, uri)
        assert not damage, damage
