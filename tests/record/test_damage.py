"""A damaged record: what is no whole line is never read for true, never written behind, and never lost."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import shutil
from pathlib import Path

import optuna
import pytest
from small_study import add_epoch, add_trial, ended, new_record, study_header

from search.record.__main__ import main
from search.record.files import JOURNAL
from search.record.journal import RecordError, _warn_once, locked
from search.record.record import NotBegunError, Record
from search.record.studies import studies
from search.storage.copies import only_driver

EARLIER = Path(__file__).parents[1] / "study" / "earlier" / "half-001"
"""A study that a version without checksums recorded."""


@pytest.fixture(autouse=True)
def _warnings_from_the_start():
    _warn_once.cache_clear()


@pytest.fixture
def journal(tmp_path):
    """The record of a study with a complete trial, a stopped and a running one."""
    record = new_record(tmp_path, "r-001")
    add_trial(record, "complete", [0.25, 0.5, 0.75])
    add_trial(record, "stopped", [0.125], r=31.43, reason="ASHA after epoch 1")
    add_trial(record, "running", [0.375], r=8.0)
    return record.folder / JOURNAL


def content(folder):
    """All that is read of a record."""
    record = Record.open(folder)
    notes = record.storage.get_study_user_attrs(record.study_id)
    return record.header, record.trials(), {key: notes[key] for key in notes if key != "header"}


def lines(journal):
    return journal.read_bytes().splitlines(keepends=True)


def kept(journal):
    """The bytes that were cut off a record."""
    return [file.read_bytes() for file in sorted(journal.parent.glob("record.damaged-*"))]


def flipped(data, place, bit):
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def test_a_flipped_bit_is_found_or_changes_nothing(journal, caplog):
    whole, expected = journal.read_bytes(), content(journal.parent)
    places = random.Random(17).sample(range(8 * len(whole)), 500)
    ends = [8 * (place + index) + bit for place in _ends(whole)[-2:] for index in range(-24, 1) for bit in range(8)]
    unseen, found = [], 0
    for place, bit in (divmod(each, 8) for each in {*places, *ends}):
        journal.write_bytes(flipped(whole, place, bit))
        caplog.clear()
        _warn_once.cache_clear()
        try:
            is_same = content(journal.parent) == expected
        except RecordError:
            is_same = False
        else:
            if not is_same and not caplog.messages:
                unseen.append((place, bit))
        found += not is_same
    assert unseen == []
    assert found > 700


def _ends(data):
    """The places of the last byte of each line."""
    return [place for place, byte in enumerate(data) if byte == ord("\n")]


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: flipped(line, len(line) // 2, 0),
        lambda line: flipped(line, len(line) // 2, 7),
        lambda line: line[:-1] + b"\x0b",
        lambda line: line[:40] + b"\n" + line[41:],
        lambda line: line[:-30],
        lambda line: bytes(len(line)),
        lambda line: line[:20] + bytes(len(line) - 20),
    ],
    ids=["a bit", "no UTF-8", "the end of the line", "two lines", "cut", "zeros", "zeros at the end"],
)
def test_a_damaged_last_line_is_cut_off_and_kept_and_the_next_driver_writes_on(journal, damage, caplog):
    *before, last = lines(journal)
    harmed = damage(last)
    assert harmed != last
    journal.write_bytes(b"".join(before) + harmed)

    assert [len(trial.epochs) for trial in Record.open(journal.parent).trials()] == [3, 1, 0]
    with locked(journal.parent):
        record = Record.open(journal.parent)
        add_epoch(record, 2, 1, 0.375)
        record.end(2, ended("complete"), values=[0.375])

    trials = Record.open(journal.parent).trials()
    assert [(trial.state, len(trial.epochs)) for trial in trials] == [("complete", 3), ("stopped", 1), ("complete", 1)]
    assert kept(journal) == [harmed]
    assert (
        caplog.messages[-1] == f"{journal}: its last line was not whole and was cut off (record.damaged-001 keeps it)"
    )


def test_what_was_cut_off_before_is_kept_too(journal):
    for torn in (b'{"op', b'{"op_code"'):
        with journal.open("ab") as file:
            file.write(torn)
        with locked(journal.parent):
            pass
    assert kept(journal) == [b'{"op', b'{"op_code"']


def test_a_whole_record_is_left_alone(journal, caplog):
    before = journal.read_bytes()
    with locked(journal.parent):
        pass
    assert (journal.read_bytes(), kept(journal), caplog.messages) == (before, [], [])


def test_a_line_that_is_being_written_is_no_damage(journal, caplog):
    with journal.open("ab") as file:
        file.write(b'{"op_code":8,"worker_id":"w')
    assert len(Record.open(journal.parent).trials()) == 3
    assert caplog.messages == []


@pytest.mark.parametrize("data", [bytes(3000), b"\x00\n" * 40, b"<html>\n</html>\n"])
def test_a_file_that_is_no_record_is_never_replaced_by_a_new_study(journal, data):
    journal.write_bytes(data)
    with (
        locked(journal.parent),
        pytest.raises(RecordError, match=r"record.log:1: .* damaged.*nothing can be saved, and another"),
    ):
        Record.create(journal.parent, study_header())
    assert journal.read_bytes() == data


def test_a_damaged_line_in_the_middle_is_named_and_repaired_by_the_command_that_its_error_names(journal, capsys):
    before = lines(journal)
    damaged = [*before[:11], flipped(flipped(before[11], 60, 3), 70, 0), *before[12:]]
    journal.write_bytes(b"".join(damaged))
    out = journal.parent.parent
    with pytest.raises(RecordError) as error:
        Record.open(journal.parent)
    assert str(error.value) == (
        f"{journal}:12: this line is damaged, one of {len(before)}; "
        f"to mend it, or to save what stands before it: python -m search.record repair r-001 --out {out}"
    )

    assert main(str(error.value).partition("search.record ")[2].split()) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{journal}:12: this line is damaged, and cut off with all that follow",
        f"{journal}: what stood there from the first damage on is in record.damaged-001",
        "r-001 has 1 trial (1 complete)",
    ]
    assert lines(journal) == before[:11]
    assert kept(journal) == [b"".join(damaged[11:])]
    assert add_trial(Record.open(journal.parent)) == 1


def test_a_flipped_bit_in_the_middle_is_put_right_wherever_it_is(journal, capsys):
    whole, expected = journal.read_bytes(), content(journal.parent)
    middle = b"".join(lines(journal)[:-2])  # what damages the last line too is cut off by the lock
    places = random.Random(17).sample(range(8 * len(middle)), 100)
    ends = [8 * place + bit for place in _ends(middle) for bit in range(8)]
    num_mended = 0
    for place, bit in (divmod(each, 8) for each in {*places, *ends}):
        journal.write_bytes(flipped(whole, place, bit))
        assert main(["repair", "r-001", "--out", str(journal.parent.parent)]) == 0
        num_mended += ": a flipped bit is put right" in capsys.readouterr().out
        assert content(journal.parent) == expected
    assert num_mended > 150


def test_two_damaged_lines_are_both_mended(journal, capsys):
    before = lines(journal)
    damaged = [*before[:3], flipped(before[3], 30, 3), before[4], flipped(before[5], 60, 1), *before[6:]]
    journal.write_bytes(b"".join(damaged))
    assert main(["repair", "r-001", "--out", str(journal.parent.parent)]) == 0
    assert [line.split(": ")[0] for line in capsys.readouterr().out.splitlines()[:2]] == [
        f"{journal}:4",
        f"{journal}:6",
    ]
    assert lines(journal) == before
    assert kept(journal) == [b"".join(damaged[3:])]


def test_a_whole_record_needs_no_repair(journal, capsys):
    before = journal.read_bytes()
    assert main(["repair", "r-001", "--out", str(journal.parent.parent)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{journal}: no line is damaged"
    assert journal.read_bytes() == before


def test_a_study_of_which_nothing_is_left_cannot_be_repaired(journal, capsys):
    first, header, *others = lines(journal)
    journal.write_bytes(b"".join([first, header[:60] + header[70:], *others]))
    assert main(["repair", "r-001", "--out", str(journal.parent.parent)]) == 2
    assert capsys.readouterr().err.endswith("no study could be saved, since the damage is in its first lines\n")
    assert main(["repair", "none", "--out", str(journal.parent.parent)]) == 2
    assert "no study here" in capsys.readouterr().err


def test_a_damaged_study_is_left_out_of_a_list_of_studies_with_a_warning(journal, caplog):
    out = journal.parent.parent
    new_record(out, "r-002")
    before = lines(journal)
    journal.write_bytes(b"".join([*before[:5], b"\x00\n", *before[6:]]))
    assert [record.name for record in studies(out, "se_ratio")] == ["r-002"]
    [message] = caplog.messages
    assert message.startswith(f"{journal}:6: this line is damaged") and message.endswith("; this study is left out")


def test_every_line_has_a_checksum_and_optuna_opens_them(journal):
    assert all(len(json.loads(line)["crc32"]) == 8 for line in lines(journal))
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
    study = optuna.load_study(study_name="r-001", storage=storage)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "RUNNING"]
    assert (study.best_value, study.trials[1].params) == (0.75, {"r": 31.43})


def test_an_earlier_record_is_read_and_its_new_lines_have_checksums(tmp_path):
    folder = Path(shutil.copytree(EARLIER, tmp_path / "half-001"))
    before, expected = lines(folder / JOURNAL), Record.open(EARLIER).trials()
    with locked(folder):
        record = Record.open(folder)
        assert record.trials() == expected
        record.fact(expected[-1].number, "node", "here")
    assert lines(folder / JOURNAL)[: len(before)] == before
    assert [b'"crc32":' in line for line in lines(folder / JOURNAL)] == [False] * len(before) + [True]
    assert Record.open(folder).trial(expected[-1].number).facts["node"] == "here"


def test_nonsense_in_a_line_without_a_checksum_is_an_error_of_one_line(journal):
    line = b'{"op_code":99,"worker_id":"w"}\n'
    journal.write_bytes(b"".join([*lines(journal), line]))
    with pytest.raises(RecordError, match=r"^[^\n]*record.log is damaged: [^\n]*$"):
        Record.open(journal.parent)


def test_a_torn_first_line_is_a_study_that_never_began(tmp_path):
    folder = tmp_path / "r-001"
    folder.mkdir()
    (folder / JOURNAL).write_bytes(b'{"op_code":0,"worker_id":"w","study_name":"r-001","dir')
    with pytest.raises(NotBegunError):
        Record.open(folder)
    with locked(folder):
        assert Record.create(folder, study_header()).trials() == []


def test_a_folder_that_cannot_be_locked_is_an_error_of_one_line(journal, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    line = f"{journal.parent}: cannot be locked (No locks available); choose an --out on a disk that has locks"
    with pytest.raises(RecordError) as error, locked(journal.parent):
        pass
    assert str(error.value) == line


def start_beside(journal, storage):
    """What a driver does first with a study that has a storage."""
    with locked(journal.parent), only_driver(journal.parent, str(storage)):
        return len(Record.open(journal.parent).trials())


def test_what_was_cut_off_comes_back_from_the_storage(journal, tmp_path):
    whole, storage = journal.read_bytes(), tmp_path / "storage" / "r-001"
    storage.mkdir(parents=True)
    (storage / JOURNAL).write_bytes(whole)
    journal.write_bytes(whole[:-50])
    assert start_beside(journal, storage) == 3
    assert journal.read_bytes() == (storage / JOURNAL).read_bytes()
    assert journal.read_bytes().startswith(whole)


def test_a_damaged_record_is_not_taken_for_one_that_went_on_in_two_ways(journal, tmp_path):
    whole, storage = journal.read_bytes(), tmp_path / "storage" / "r-001"
    storage.mkdir(parents=True)
    (storage / JOURNAL).write_bytes(whole)
    first, header, third, *others = lines(journal)
    journal.write_bytes(b"".join([first, header, third[:50] + third[60:], *others]))
    with pytest.raises(RecordError, match=r"record.log:3: this line is damaged"):
        start_beside(journal, storage)
    assert main(["repair", "r-001", "--out", str(journal.parent.parent)]) == 0
    assert start_beside(journal, storage) == 3
    assert journal.read_bytes() == (storage / JOURNAL).read_bytes()
    assert journal.read_bytes().startswith(whole)
