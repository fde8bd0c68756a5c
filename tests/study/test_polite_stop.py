"""One Ctrl-C or SIGTERM stops a study within seconds, and what it has trained is kept."""

from __future__ import annotations

import signal
from types import SimpleNamespace

import mlflow
import pytest
from drivers import MARK, Driver, place_in

from benchmarks.losses import Damage, check_disk, check_mlflow, marked
from search.record.record import Record

pytestmark = [pytest.mark.slow, pytest.mark.long]

TRIALS, EPOCHS = 2, 60
"""Two trials that run at once, so long that neither ends before it is interrupted."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return place_in(tmp_path_factory.mktemp("polite"), trials=TRIALS)


@pytest.fixture(scope="module")
def stops(place):
    """A study that is interrupted, ended before its first trial, and at last ends; what was seen on the way."""
    seen, budget = SimpleNamespace(), ("--set", f"budget.epochs={EPOCHS}")

    driver = Driver(place, "--name", "polite", *budget, name="polite")
    driver.until(lambda: driver.epochs() and all_train(driver.study), "each trial has an epoch")
    driver.interrupt()
    seen.polite = driver.end()
    seen.trials = Record.open(driver.study).trials()
    seen.checkpoints = {int(path.parent.name) for path in driver.study.glob("trials/*/checkpoint.pt")}
    client = mlflow.MlflowClient(f"sqlite:///{place.runs}/mlflow.db")
    seen.runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])

    driver = Driver(place, "--resume", "polite", *budget, name="polite")
    driver.until(lambda: marked(place.env[MARK], "raylet"), "Ray starts")
    driver.process.send_signal(signal.SIGTERM)
    seen.early = driver.end()

    seen.whole = Driver(place, "--resume", "polite", *budget, name="polite").end()
    seen.record = Record.open(driver.study)
    return seen


def all_train(study):
    trials = Record.open(study).trials("running")
    return len(trials) == TRIALS and all(trial.epochs for trial in trials)


def test_one_ctrl_c_stops_within_30_s_and_says_how_to_go_on(stops, place):
    assert stops.polite.code == 130
    assert stops.polite.seconds < 30
    options = f"--set budget.epochs={EPOCHS} --resume polite --out {place.runs} --address local"
    command = f"python -m search.run {place.space} {options}"
    assert stops.polite.stderr.splitlines()[-1] == f"stopped; to go on: {command}"
    assert "Traceback" not in stops.polite.stderr


def test_one_ctrl_c_leaves_a_checkpoint_of_every_running_trial(stops):
    assert [(trial.number, trial.state) for trial in stops.trials] == [(0, "running"), (1, "running")]
    assert stops.checkpoints == {0, 1}


def test_one_ctrl_c_closes_every_run(stops):
    assert {run.info.run_name: run.info.status for run in stops.runs} == {
        "polite": "KILLED", "trial-000": "KILLED", "trial-001": "KILLED",
    }  # fmt: skip
    interrupted = {run.info.run_name for run in stops.runs if run.data.tags.get("state") == "interrupted"}
    assert interrupted == {"trial-000", "trial-001"}


def test_sigterm_before_the_first_trial_ends_at_once(stops):
    assert stops.early.code == 130
    assert stops.early.seconds < 30
    assert "Traceback" not in stops.early.stderr


def test_what_was_stopped_goes_on_from_its_checkpoints_and_nothing_is_lost_or_there_twice(stops):
    assert stops.whole.code == 0, stops.whole.stderr
    for before, trial in zip(stops.trials, stops.record.trials(), strict=True):
        assert trial.state == "complete" and trial.epochs[: len(before.epochs)] == before.epochs
        assert trial.facts["resumed_after"] == len(before.epochs)
        assert [epoch["epoch"] for epoch in trial.epochs] == list(range(1, EPOCHS + 1))
    damage = Damage()
    check_mlflow(stops.record, damage)
    check_disk(stops.record, damage)
    assert not damage, damage
