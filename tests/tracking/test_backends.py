"""What every tracking backend has to answer; a new one is one more entry of `make`."""

import pytest
from memory_backend import MemoryBackend
from small_study import add_epoch, add_trial, ended, new_record

from search.tracking.backend import STUDY
from search.tracking.mlflow_backend import MlflowBackend


@pytest.fixture
def record(mlflow_folder):
    return new_record(mlflow_folder)


@pytest.fixture(params=["memory", "mlflow"])
def make(request, record):
    """A function that makes a backend for the study; all that it makes are of the same place."""
    runs = {}
    makers = {
        "memory": lambda: MemoryBackend(record, runs),
        "mlflow": lambda: MlflowBackend(record, f"sqlite:///{record.folder.parent}/mlflow.db"),
    }
    return makers[request.param]


def connected(make):
    backend = make()
    backend.prepare()
    backend.connect()
    return backend


def send_all(backend, end=None):
    return {number: backend.send(number, end=end) for number in backend.behind(live=end is None)}


def test_before_it_connects_all_is_behind(make, record):
    numbers = [add_trial(record, "complete", [0.5]), add_trial(record)]
    backend = make()
    assert backend.behind(live=True) == backend.behind(live=False) == [*numbers, STUDY]
    assert backend.run_id(numbers[0]) is None


def test_what_was_sent_is_behind_no_more_for_it_and_for_the_next_that_connects(make, record):
    number = add_trial(record, scores=[0.5])
    backend = connected(make)
    assert send_all(backend)[number] == "RUNNING"
    again = connected(make)
    assert backend.behind(live=True) == again.behind(live=True) == []
    assert again.run_id(number) == backend.run_id(number)


def test_an_epoch_and_an_end_put_a_trial_behind(make, record):
    number = add_trial(record, scores=[0.5])
    backend = connected(make)
    send_all(backend)
    add_epoch(record, number, 2, 0.6)
    assert backend.behind(live=True) == [number]
    assert send_all(backend) == {number: "RUNNING"}
    record.end(number, ended("complete"), values=[0.6])
    assert backend.behind(live=True) == [number]
    assert send_all(backend) == {number: "FINISHED"}
    assert connected(make).behind(live=True) == []


def test_a_study_that_ended_is_behind_when_it_goes_on_and_so_are_its_running_trials(make, record):
    number = add_trial(record, scores=[0.5])
    backend = connected(make)
    assert send_all(backend, end="KILLED") == {number: "KILLED", STUDY: "KILLED"}
    again = connected(make)
    assert again.behind(live=True) == [number, STUDY]
    assert send_all(again) == {number: "RUNNING", STUDY: "RUNNING"}


def test_what_is_sent_twice_is_there_once(make, record):
    number = add_trial(record, "complete", [0.5])
    backend = connected(make)
    for _ in range(2):
        assert backend.send(number, end=None) == "FINISHED"
    run_id = backend.run_id(number)
    again = connected(make)
    assert again.run_id(number) == run_id
    assert number not in again.behind(live=True)
