"""The record: what is written is there again, in one line each, whatever happens to the process that wrote it."""

import errno
import json
import math
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import sys

import optuna
import pytest
from optuna.distributions import FloatDistribution
from small_study import add_trial, ended, new_record, study_header

from search.record.files import JOURNAL
from search.record.journal import RecordError, locked
from search.record.record import NotBegunError, Record, has_begun
from search.record.trial import Ended, Proposal

HEADER = study_header()


def proposal(r=16.0, repeat=0):
    return Proposal(
        params={"model": "se_cnn", "r": r},
        varying={"r": r},
        labels={"r": r},
        distributions={"r": FloatDistribution(2.0, 64.0)},
        seed=repeat,
        network=f"net-{int(128 / r)}",
        repeat=repeat,
    )


@pytest.fixture
def record(tmp_path):
    with locked(tmp_path / "r-001"):
        yield Record.create(tmp_path / "r-001", HEADER)


def test_what_was_written_is_there_for_the_next_reader(record):
    number = record.start(proposal(31.43))
    record.report(number, {"epoch": 1, "val_accuracy": 0.5})
    record.fact(number, "node", "here")
    record.end(number, ended("complete"), values=[0.5])

    trial = Record.open(record.folder).trial(0)

    assert trial.params == {"model": "se_cnn", "r": 31.43}
    assert (trial.state, trial.seed, trial.network, trial.facts) == ("complete", 0, "net-4", {"node": "here"})
    assert trial.epochs == ({"epoch": 1, "val_accuracy": 0.5, "order": 0},)
    assert trial.started <= trial.ended


def test_an_epoch_is_kept_once(record):
    number = record.start(proposal())
    assert record.report(number, {"epoch": 1, "val_accuracy": 0.5})
    assert not record.report(number, {"epoch": 1, "val_accuracy": 0.9})
    assert [epoch["val_accuracy"] for epoch in record.trial(number).epochs] == [0.5]


def test_reports_are_numbered_across_trials_and_drivers(record):
    first, second = record.start(proposal()), record.start(proposal())
    record.report(first, {"epoch": 1})
    record.report(second, {"epoch": 1})
    again = Record.open(record.folder)
    again.report(first, {"epoch": 2})
    assert [epoch["order"] for epoch in again.trial(first).epochs] == [0, 2]


def test_optuna_itself_reads_the_record_with_the_curve_of_every_trial(record):
    for scores, state in (([0.3, 0.5], "complete"), ([0.4], "stopped"), ([], "failed"), ([0.2, math.nan], "paused")):
        number = record.start(proposal())
        for epoch, score in enumerate(scores, start=1):
            record.report(number, {"epoch": epoch, "val_accuracy": score, "val_loss": 1.0})
        if state == "paused":
            record.pause(number)
        else:
            record.end(number, ended(state, "why"), values=scores[-1:] or None)

    study = as_optuna_reads(record)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "FAIL", "RUNNING"]
    assert study.best_value == 0.5
    assert study.metric_names == ["val_accuracy"]
    assert [trial.intermediate_values for trial in study.trials] == [{1: 0.3, 2: 0.5}, {1: 0.4}, {}, {1: 0.2}]
    assert study.trials[0].params == {"r": 16.0}


def as_optuna_reads(record):
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(record.folder / JOURNAL)))
    return optuna.load_study(study_name=record.name, storage=storage)


def test_an_epoch_and_its_intermediate_value_are_written_by_one_call_or_not_at_all(record, monkeypatch):
    number = record.start(proposal())
    before = (record.folder / JOURNAL).read_bytes()
    synced = []
    monkeypatch.setattr(os, "fsync", lambda _: synced.append(1))
    assert record.report(number, {"epoch": 1, "val_accuracy": 0.5})
    assert (record.folder / JOURNAL).read_bytes().removeprefix(before).count(b"\n") == 2
    assert len(synced) == 1

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    written = (record.folder / JOURNAL).read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordError, match="No space left"):
        record.report(number, {"epoch": 2, "val_accuracy": 0.6})
    assert (record.folder / JOURNAL).read_bytes() == written
    monkeypatch.undo()
    assert record.report(number, {"epoch": 2, "val_accuracy": 0.6})
    assert as_optuna_reads(record).trials[0].intermediate_values == {1: 0.5, 2: 0.6}


@pytest.mark.parametrize("torn", [b'{"op', b'{"op_code": 4, "worker_id": "x"'])
def test_a_line_that_a_killed_driver_left_unfinished_is_dropped(record, torn):
    record.start(proposal())
    with (record.folder / JOURNAL).open("ab") as journal:
        journal.write(torn)

    assert len(Record.open(record.folder).trials()) == 1


def test_after_a_torn_line_the_next_driver_writes_on(tmp_path):
    folder = tmp_path / "r-001"
    with locked(folder):
        Record.create(folder, HEADER).start(proposal())
    with (folder / JOURNAL).open("ab") as journal:
        journal.write(b'{"op')

    with locked(folder):
        Record.open(folder).start(proposal())

    assert [trial.number for trial in Record.open(folder).trials()] == [0, 1]


def test_a_second_driver_is_refused_with_the_pid_of_the_first(record):
    with (
        pytest.raises(RecordError, match=r"^study r-001 is running already: pid \d+ on \S+ since \S+ \S+$"),
        locked(record.folder),
    ):
        pass


def test_the_lock_of_a_dead_driver_is_not_in_the_way(tmp_path):
    code = f"""
import os, signal
from pathlib import Path
from search.record.journal import locked
with locked(Path({str(tmp_path / "r-001")!r})):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -9
    with locked(tmp_path / "r-001"):
        pass


def test_a_folder_without_a_study_is_an_error(tmp_path):
    with pytest.raises(RecordError, match=rf"^{re.escape(str(tmp_path))}: no study here \(there is no record.log\)$"):
        Record.open(tmp_path)


def test_a_study_that_was_killed_before_its_header_says_so(tmp_path):
    (tmp_path / JOURNAL).write_bytes(b"")
    with pytest.raises(NotBegunError, match="ended before it began"):
        Record.open(tmp_path)
    assert not has_begun(tmp_path)


def test_a_reader_sees_what_another_process_writes(record):
    process = multiprocessing.get_context("spawn").Process(target=_write, args=(record.folder,))
    process.start()
    process.join()
    assert [trial.params["r"] for trial in record.trials()] == [8.0]


def _write(folder):
    Record.open(folder).start(proposal(8.0))


def test_a_line_that_the_disk_has_no_room_for_is_not_there_at_all(record):
    record.start(proposal())
    before = (record.folder / JOURNAL).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 40, hard))
    try:
        with pytest.raises(RecordError, match=r"r-001: cannot write the study's folder: "):
            record.start(proposal(8.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (record.folder / JOURNAL).read_bytes() == before

    assert record.start(proposal(4.0)) == 1
    assert [trial.params["r"] for trial in Record.open(record.folder).trials()] == [16.0, 4.0]


def test_a_record_is_there_with_its_header_or_not_at_all(tmp_path):
    """Killed after any of the system calls that make it, a driver leaves a whole record or none."""
    for calls in range(1, 40):
        folder = tmp_path / f"r-{calls:03d}"
        process = multiprocessing.get_context("fork").Process(target=_create_until, args=(folder, calls))
        process.start()
        process.join()
        assert process.exitcode in (0, -9)
        assert not has_begun(folder) or Record.open(folder).header == HEADER
        if process.exitcode == 0:
            break
        with locked(folder):
            assert has_begun(folder) or Record.create(folder, HEADER)
    assert process.exitcode == 0
    assert calls > 5


def _create_until(folder, calls):
    """Make a record; at the so-manieth file operation of ours the process is gone."""
    left = [calls]

    def audit(event, arguments):
        if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.truncate") and str(folder) in str(arguments[0]):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(audit)
    with locked(folder):
        Record.create(folder, HEADER)


def test_a_record_is_never_made_over_another(record):
    record.start(proposal())
    with pytest.raises(RecordError, match="there is a study already"):
        Record.create(record.folder, HEADER)


def test_a_trial_that_failed_only_at_first_has_no_reason(record):
    """The driver was killed between the two lines of a failure; started again, the trial was complete."""
    number = record.start(proposal())
    record.storage.set_trial_user_attr(record._trial_id(number), "reason", "worker lost")
    record.report(number, {"epoch": 1, "val_accuracy": 0.5})
    record.end(number, ended("complete"), values=[0.5])
    assert record.trial(number).reason is None


def test_a_trial_that_was_cut_short_says_why_and_by_whom(record):
    stopped, complete = record.start(proposal()), record.start(proposal())
    record.report(stopped, {"epoch": 1, "val_accuracy": 0.5})
    record.end(stopped, Ended("stopped", "ASHA after epoch 1", by="scheduler"), values=[0.5])
    record.end(complete, Ended("complete", None, by="budget"), values=[0.5])
    first, second = Record.open(record.folder).trials()
    assert (first.state, first.reason, first.ended_by) == ("stopped", "ASHA after epoch 1", "scheduler")
    assert (second.state, second.reason, second.ended_by, second.facts) == ("complete", None, None, first.facts)


def rewritten(record, change):
    """The record's file with each line changed by hand, without checksums."""
    lines = [json.loads(line) for line in (record.folder / JOURNAL).read_text().splitlines()]
    for line in lines:
        del line["crc32"]
        change(line)
    (record.folder / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))


def of_trial(**changes):
    return lambda line: line.get("user_attrs", {}).update(changes)


def of_header(**changes):
    return lambda line: line.get("user_attr", {}).get("header", {}).update(changes)


LIES = {
    "a param that is a path": (
        of_trial(varying={"/../../../evil": 1.0}),
        "trial 0 has a param called '/../../../evil'",
    ),
    "a network that is a number": (of_trial(network=3), "trial 0 has the network 3"),
    "a seed that is a list": (of_trial(seed=[]), r"trial 0 has the seed \[\]"),
    "a score that is a text": (
        of_trial(**{"epoch/00001": {"epoch": 1, "order": 0, "val_accuracy": "<b>"}}),
        "trial 0 has the val_accuracy '<b>'",
    ),
    "no metric": (of_header(metric=[]), "its header: .*metric and mode must be as many, .*"),
    "an unknown mode": (of_header(mode="most"), "its header: .*metric and mode must be as many, .*"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_record_that_nobody_of_ours_wrote_is_refused_in_a_line(record, lie):
    """The plots of a report have the names of params: one that is a path was written outside of the study."""
    record.start(proposal())
    change, reason = LIES[lie]
    rewritten(record, change)
    with pytest.raises(RecordError, match=rf"^{record.folder / JOURNAL} is damaged: {reason}$"):
        Record.open(record.folder)


def test_brackets_by_the_thousand_are_a_damaged_line(record):
    record.start(proposal())
    with (record.folder / JOURNAL).open("ab") as file:
        file.write(b'{"a":' * 100_000 + b"\n")
    assert len(Record.open(record.folder).trials()) == 1


def test_the_names_of_metrics_are_kept_once_for_all_epochs_of_all_trials(tmp_path):
    record = new_record(tmp_path)
    for _ in range(2):
        add_trial(record, "complete", [0.1, 0.2])
    epochs = [epoch for trial in Record.open(record.folder).trials() for epoch in trial.epochs]
    assert len({id(name) for epoch in epochs for name in epoch}) == len(epochs[0])


def test_a_record_that_the_memory_cannot_hold_is_refused_in_a_line(tmp_path):
    """A file of 2 TB with holes, which takes no room on the disk."""
    folder = new_record(tmp_path).folder
    os.truncate(folder / JOURNAL, 2**41)
    with pytest.raises(
        RecordError, match=r"^.*log: reading it takes about 17592\.2 GB, this machine has .* GB of memory$"
    ):
        Record.open(folder)
