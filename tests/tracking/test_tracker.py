"""The tracker shows a backend all of the record, whatever happens to the backend, and holds nobody up."""

import itertools
import threading
import time
from pathlib import Path

import pytest
from memory_backend import MemoryBackend
from small_study import add_epoch, add_trial, new_record
from waiting import until

from search.tracking import outbox
from search.tracking import tracker as module
from search.tracking.backend import STUDY, AwayError, TrackingError
from search.tracking.tracker import Tracker


@pytest.fixture
def record(tmp_path):
    return new_record(tmp_path)


@pytest.fixture
def backend(record):
    return MemoryBackend(record)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(module, "PAUSES_S", (0.001, 0.01))


def started(backend):
    tracker = Tracker(backend)
    tracker.start()
    return tracker


def away(calls):
    """What makes a backend fail for so many calls, as when its server is away."""
    left = itertools.repeat(None, calls)

    def before(call):
        for _ in left:
            raise AwayError("Connection refused")

    return before


def test_what_the_backend_lacks_at_the_start_is_sent(record, backend):
    number = add_trial(record, "complete", [0.5])
    tracker = started(backend)
    until(lambda: backend.runs == {number: (1, "FINISHED"), STUDY: (0, "RUNNING")})
    assert tracker.run_id(number) == f"run {number}"
    assert tracker.finish("FINISHED") == 0
    assert backend.runs[STUDY] == (0, "FINISHED")


def test_what_the_backend_has_is_not_sent_again(record, backend):
    add_trial(record, "complete", [0.5])
    assert started(backend).finish("FINISHED") == 0
    second = MemoryBackend(record, backend.runs)
    assert started(second).finish("FINISHED") == 0
    assert set(second.sent) == {STUDY}


def test_an_epoch_is_sent_once_and_alone(record, backend):
    number = add_trial(record)
    tracker = started(backend)
    until(lambda: len(backend.runs) == 2)
    backend.calls.clear()
    for epoch in (1, 2, 3):
        add_epoch(record, number, epoch, 0.5)
        tracker.touch(number)
        until(lambda epoch=epoch: backend.runs[number][0] == epoch)
    assert backend.calls == [number] * 3
    assert tracker.finish("KILLED") == 0
    assert backend.calls == [number] * 4 + [STUDY]


def test_a_trial_that_runs_at_the_end_is_shown_as_interrupted(record, backend):
    number = add_trial(record, scores=[0.5])
    tracker = started(backend)
    until(lambda: backend.runs.get(number) == (1, "RUNNING"))
    assert tracker.finish("KILLED") == 0
    assert backend.runs[number] == (1, "KILLED")


@pytest.mark.parametrize(("every_s", "described"), [(60.0, {0, 9}), (0.0, set(range(10)))])
def test_the_study_is_described_every_so_often_and_last_of_all(record, backend, monkeypatch, every_s, described):
    monkeypatch.setattr(outbox, "DESCRIBE_EVERY_S", every_s)
    tracker = started(backend)
    until(lambda: backend.sent == [STUDY])
    ready = threading.Event()
    backend.before = lambda call: ready.wait(20)
    for _ in range(9):
        tracker.touch(add_trial(record, "complete", [0.5]))
    ready.set()
    until(lambda: len(set(backend.sent)) == 10)
    assert tracker.finish("FINISHED") == 0
    sent = backend.sent
    assert {len({*sent[:place]} - {STUDY}) for place, number in enumerate(sent) if number == STUDY} == described


def test_files_arrive_and_one_that_is_never_accepted_holds_nobody_up(record, backend, caplog):
    def before(call):
        if call == Path("gone.txt"):
            raise FileNotFoundError("no such file: gone.txt")

    backend.before = before
    number = add_trial(record, "complete", [0.5])
    tracker = started(backend)
    tracker.log_artifact(Path("gone.txt"))
    tracker.log_artifact(Path("weights"), "best", number=number)
    assert tracker.finish("FINISHED") == 1  # the study's own run lacks a file
    assert backend.files == [(number, Path("weights"), "best")]
    assert caplog.messages == ["Memory does not take gone.txt of the study: no such file: gone.txt"]


def test_a_run_that_is_never_accepted_is_counted_and_the_others_arrive(record, backend, caplog):
    refused, fine = add_trial(record, "complete", [0.4]), add_trial(record, "complete", [0.5])

    def before(call):
        if call == refused:
            raise ValueError("no such\n thing")

    backend.before = before
    assert started(backend).finish("FINISHED") == 1
    assert backend.runs.keys() == {fine, STUDY}
    assert set(caplog.messages) == {"Memory does not take the run of trial 0: no such thing"}


def test_what_fails_once_arrives_after_what_the_backend_has_was_looked_up_again(record, backend, caplog):
    tracker = started(backend)
    until(lambda: backend.runs)
    backend.calls.clear()
    backend.before = away(1)
    number = add_trial(record, "complete", [0.5])
    tracker.touch(number)
    until(lambda: number in backend.runs)
    assert backend.calls[:3] == [number, "connect", number]
    assert tracker.finish("FINISHED") == 0
    assert caplog.messages == [
        "Memory at home is away (Connection refused); results are sent later",
        "Memory at home answers again",
    ]


def test_a_backend_that_stays_away_is_said_once_and_ends_nothing(record, backend, caplog):
    tracker = started(backend)
    until(lambda: backend.runs)
    backend.before = away(10_000)
    for _ in range(3):
        tracker.touch(add_trial(record, "complete", [0.5]))
    until(lambda: len(backend.calls) > 9)
    assert tracker.finish("FINISHED") == 4
    assert caplog.messages == ["Memory at home is away (Connection refused); results are sent later"]


def test_pauses_grow_while_the_backend_is_away_and_are_short_again_later(record, backend, monkeypatch):
    monkeypatch.setattr(module, "PAUSES_S", (0.001, 0.004))
    pauses, pause = [], outbox.Outbox.pause
    monkeypatch.setattr(outbox.Outbox, "pause", lambda box, seconds: (pauses.append(seconds), pause(box, seconds)))
    tracker = started(backend)
    until(lambda: backend.runs)
    for failures in (4, 1):
        backend.before = away(failures)
        number = add_trial(record, "complete", [0.5])
        tracker.touch(number)
        until(lambda number=number: number in backend.runs)
    assert tracker.finish("FINISHED") == 0
    assert pauses == [0.001, 0.002, 0.004, 0.004, 0.001]


def test_a_backend_that_connects_but_takes_nothing_does_not_answer_again(record, backend, caplog):
    tracker = started(backend)
    until(lambda: backend.runs)
    backend.before = lambda call: call == "connect" or away(1)(call)
    tracker.touch(add_trial(record, "complete", [0.5]))
    until(lambda: backend.calls.count("connect") > 3)
    assert tracker.finish("FINISHED") == 2
    assert caplog.messages == ["Memory at home is away (Connection refused); results are sent later"]


def test_a_backend_that_is_away_at_the_end_is_tried_once_more(record, backend):
    tracker = started(backend)
    until(lambda: backend.runs)
    closed = threading.Event()

    def before(call):
        assert closed.wait(20)
        raise AwayError("Connection refused")

    backend.calls.clear()
    backend.before = before
    number = add_trial(record, "complete", [0.5])
    tracker.touch(number)
    until(lambda: backend.calls)
    threading.Timer(0.05, closed.set).start()
    assert tracker.finish("FINISHED") == 2
    assert backend.calls == [number, "connect"]


def test_a_hanging_backend_holds_nobody_up_and_gets_the_epochs_in_one_call(record, backend):
    tracker = started(backend)
    until(lambda: backend.runs)
    go_on = threading.Event()
    backend.before = lambda call: go_on.wait(20)
    number = add_trial(record)
    backend.calls.clear()
    tracker.touch(number)
    until(lambda: backend.calls)
    for epoch in range(1, 51):
        add_epoch(record, number, epoch, 0.5)
        tracker.touch(number)
    assert backend.calls == [number]
    go_on.set()
    until(lambda: backend.runs.get(number) == (50, "RUNNING"))
    assert len(backend.calls) <= 2
    assert tracker.finish("KILLED") == 0


@pytest.mark.parametrize("within_s", [0.1, 60.0])
def test_the_end_waits_no_longer_than_it_may_or_its_patience(record, backend, monkeypatch, within_s):
    monkeypatch.setattr(module, "PATIENCE_S", 60.0 if within_s < 1 else 0.1)
    tracker = started(backend)
    over = threading.Event()
    backend.before = lambda call: over.wait(20)
    tracker.touch(add_trial(record, "complete", [0.5]))
    begin = time.monotonic()
    assert tracker.finish("FINISHED", within_s=within_s) >= 1
    assert time.monotonic() - begin < 2
    over.set()


def test_the_end_waits_longer_than_its_patience_while_things_arrive(record, backend, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.2)
    for _ in range(10):
        add_trial(record, "complete", [0.5])
    tracker = started(backend)
    backend.before = lambda call: time.sleep(0.05)
    assert tracker.finish("FINISHED") == 0


def test_a_backend_that_cannot_be_used_is_said_at_the_start(backend):
    backend.before = away(1)
    with pytest.raises(TrackingError, match=r"^Memory at home cannot be used: Connection refused$"):
        started(backend)
    assert backend.calls == ["connect"]


def test_a_backend_that_never_answers_is_said_at_the_start_and_not_waited_for_at_the_end(record, backend):
    over = threading.Event()
    backend.before = lambda call: over.wait(20)
    backend.connect_s = 0.05
    tracker = Tracker(backend)
    with pytest.raises(TrackingError, match=r"^Memory at home did not answer within 0.05 s$"):
        tracker.start()
    begin = time.monotonic()
    assert tracker.finish("FAILED") == 1
    assert time.monotonic() - begin < 2
    over.set()
    tracker._thread.join(20)
    assert backend.calls == ["connect"]


def test_a_tracker_that_never_starts_sends_nothing_and_counts_all(record, backend):
    number = add_trial(record, "complete", [0.5])
    tracker = Tracker(backend)
    tracker.touch(number)
    tracker.log_artifact(Path("report.html"))
    assert tracker.finish("FINISHED") == 2
    assert (backend.calls, tracker.run_id(number)) == ([], None)


def test_a_new_place_is_left_alone_until_a_trial_has_a_result(record, backend):
    backend.is_new = True
    tracker = started(backend)
    number = add_trial(record)
    for touched in (STUDY, number):
        tracker.touch(touched)
    time.sleep(0.1)
    assert backend.calls == []
    add_epoch(record, number, 1, 0.5)
    tracker.touch(number)
    until(lambda: backend.runs.get(number) == (1, "RUNNING"))
    assert tracker.finish("KILLED") == 0


def test_a_new_place_is_opened_after_a_while_though_no_trial_has_a_result(record, backend, monkeypatch):
    monkeypatch.setattr(module, "OPEN_WITHIN_S", 0.05)
    backend.is_new = True
    tracker = started(backend)
    tracker.touch(number := add_trial(record))
    until(lambda: tracker.run_id(number))
    assert tracker.finish("KILLED") == 0


def test_a_new_place_holds_the_start_up_no_longer_than_the_end_waits_for_it(record, backend, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)
    backend.is_new = True
    backend.before = lambda call: call == "connect" and time.sleep(0.3)
    begin = time.monotonic()
    tracker = started(backend)
    assert time.monotonic() - begin < 0.2
    tracker.touch(add_trial(record, "complete", [0.5]))
    assert tracker.finish("FINISHED") == 0
    assert backend.runs.keys() == {0, STUDY}


def test_a_new_place_that_fails_at_first_is_tried_again(record, backend):
    backend.is_new = True
    backend.before = away(3)
    tracker = started(backend)
    tracker.log_artifact(Path("report.html"))
    until(lambda: backend.files)
    assert tracker.finish("FINISHED") == 0


def test_a_tracking_thread_that_dies_is_said_and_its_runs_are_counted(record, backend, caplog):
    tracker = started(backend)
    until(lambda: len(backend.runs) == 1)

    def dies(call):
        raise SystemExit(3)  # as a library may do; Python ends a thread by it without a word

    backend.before = dies
    tracker.touch(add_trial(record, "complete", [0.5]))
    until(lambda: not tracker._thread.is_alive())
    assert caplog.messages == ["Memory at home is sent nothing more (SystemExit: 3)"]
    tracker.touch(add_trial(record, "complete", [0.5]))
    assert tracker.finish("FINISHED") == 3  # two trials and the study


def test_a_tracking_thread_that_dies_at_the_start_is_said_there(backend):
    def dies(call):
        raise SystemExit(3)

    backend.before = dies
    with pytest.raises(TrackingError, match=r"^Memory at home cannot be used: SystemExit: 3$"):
        started(backend)
