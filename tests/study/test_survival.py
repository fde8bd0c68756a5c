"""A study whose driver and workers are killed, by the command line: it goes on, and nothing is lost. All of it real."""

from __future__ import annotations

import json
import os
import signal
from types import SimpleNamespace

import pytest
from drivers import MARK, Driver, place_in
from waiting import until

from benchmarks.losses import Damage, check_disk, check_mlflow, check_record, marked
from search.record.files import JOURNAL
from search.record.record import Record

pytestmark = [pytest.mark.slow, pytest.mark.long]

TRIALS = 20


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return place_in(tmp_path_factory.mktemp("survival"), trials=TRIALS)


@pytest.fixture(scope="module")
def life(place):
    """One study that is killed, interrupted twice, robbed of a worker, and at last ends; what was seen on the way."""
    seen = SimpleNamespace()

    driver = Driver(place, "--name", "life", name="life")
    driver.until(lambda: (driver.study / JOURNAL).is_file(), "it has begun")
    driver.process.send_signal(signal.SIGSTOP)  # or it might end before the second has begun
    seen.second_driver = Driver(place, "--resume", "life", name="life").end()
    driver.process.send_signal(signal.SIGCONT)
    driver.until_epochs(4)
    driver.process.kill()
    driver.end()
    seen.second_of_name = Driver(place, "--name", "life", name="life").end()

    driver = Driver(place, "--resume", name="life")
    driver.until_epochs(4)
    driver.process.send_signal(signal.SIGTERM)
    driver.until(lambda: "stopping: " in driver.err.read_text(), "it stops politely")
    driver.interrupt()
    seen.twice = driver.end()
    seen.after_twice = Record.open(driver.study).trials()

    driver = Driver(place, "--resume", "life", name="life")
    driver.until_epochs(2)
    os.kill(marked(place.env[MARK], "ray::TrainingTr")[0], signal.SIGKILL)
    seen.whole = driver.end()
    seen.record = Record.open(driver.study)
    seen.trials = seen.record.trials()
    seen.extended = Driver(place, "--resume", "life", "--trials", TRIALS + 1, name="life").end()
    return seen


def test_a_second_driver_is_refused_with_pid_and_host_of_the_first(life):
    assert life.second_driver.code == 2
    assert life.second_driver.stderr.splitlines()[-1].startswith("error: study life is running already: pid ")
    assert f" on {os.uname().nodename} since " in life.second_driver.stderr


def test_a_name_that_is_taken_is_refused(life):
    line = "error: study life is there already: --resume life goes on with it"
    assert (life.second_of_name.code, life.second_of_name.stderr.splitlines()[-1]) == (2, line)


def test_a_second_signal_ends_at_once_and_leaves_a_record(life):
    assert life.twice.code == 130
    assert life.twice.seconds < 10
    assert "running" in {trial.state for trial in life.after_twice}


def test_in_the_end_nothing_is_lost_or_there_twice(life):
    assert life.whole.code == 0, life.whole.stderr
    damage = Damage()
    check_record(life.record, damage, trials=TRIALS + 1)
    check_mlflow(life.record, damage)
    check_disk(life.record, damage)
    assert not damage, damage


def test_a_killed_worker_fails_no_trial(life):
    assert sum(trial.facts.get("worker_losses", 0) for trial in life.trials) >= 1
    assert [trial.number for trial in life.trials if trial.state == "failed"] == []


def test_a_finished_study_is_extended_when_asked(life):
    first, extended = (json.loads(each.stdout.splitlines()[-1]) for each in (life.whole, life.extended))
    assert (first["trials"], extended["trials"]) == (TRIALS, TRIALS + 1)
    for before, after in zip(life.trials, life.record.trials(), strict=False):
        assert after.epochs[: len(before.epochs)] == before.epochs
        assert after == before or before.state == "paused"  # a paused one may be promoted


def test_no_process_is_left(life, place):
    until(lambda: not marked(place.env[MARK]), "all processes have ended")


def test_other_data_are_refused_and_nothing_is_touched(life, place):
    track = place.folder / "music" / "low" / "0.wav"
    before = track.read_bytes()
    track.write_bytes(before[:-400])
    try:
        refused = Driver(place, "--resume", "life", "--trials", TRIALS + 2, name="life").end()
    finally:
        track.write_bytes(before)
    assert refused.code == 2
    assert refused.stderr.splitlines()[-1].startswith("error: study life began with another dataset: digest ")
    assert len(life.record.trials()) == TRIALS + 1
