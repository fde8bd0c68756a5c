"""Folders on a disk and in a bucket read alike; a study's copy is whole at any moment and can be gone on with."""

from __future__ import annotations

import os
import shutil
import threading
import time
from pathlib import Path

import boto3
import pytest
import torch
from buckets_here import BUCKET
from small_study import add_epoch, add_trial, new_record
from waiting import until

from mgc.datasets.remote import local_copy
from mgc.files import buckets
from mgc.tracks.dataset import DatasetError
from mgc.words.errors import ConfigError
from search.record.files import CHECKPOINT, JOURNAL
from search.record.notes import DRIVER
from search.record.record import Record
from search.storage import checkpoints, copies
from search.storage.checkpoints import CheckpointError
from search.storage.copies import Copier, copy_study, only_driver
from search.storage.lease import Holder, Lease, leased
from search.storage.storage import Folder, StorageError, restore_studies, storage_address

pytestmark = pytest.mark.slow


def test_a_folder_gives_back_what_was_put_there(storage):
    folder = Folder(storage)
    assert folder.files() == {}
    folder.write("00007/checkpoint.pt", b"old")
    folder.write("00007/checkpoint.pt", b"newer")
    folder.write("record.log", b"{}\n")
    assert folder.files() == {"00007/checkpoint.pt": 5, "record.log": 3}
    assert folder.below("00007").read("checkpoint.pt") == b"newer"
    folder.remove("00007/checkpoint.pt")
    folder.remove("00007/checkpoint.pt")
    assert folder.files() == {"record.log": 3}
    with pytest.raises(FileNotFoundError):
        folder.read("00007/checkpoint.pt")


def test_names_may_have_any_characters_of_a_name(storage):
    folder = Folder(f"{storage}/my studies {{1}} 100%")
    folder.write("a b#?/\u00e4", b"x")
    assert folder.files() == {"a b#?/\u00e4": 1}
    assert folder.read("a b#?/\u00e4") == folder.version_and_content("a b#?/\u00e4")[1] == b"x"


def test_one_driver_alone_creates_or_replaces_a_file(storage):
    folder = Folder(storage)
    first = folder.replace("record.log", b"one\n", None)
    assert first is not None and folder.version_and_content("record.log") == (first, b"one\n")
    assert folder.replace("record.log", b"two\n", None) is None
    second = folder.replace("record.log", b"two\n", first)
    assert second is not None
    assert folder.replace("record.log", b"three\n", first) is None
    assert folder.version_and_content("record.log") == (second, b"two\n")
    folder.remove("record.log")
    assert folder.replace("record.log", b"three\n", second) is None
    assert folder.version_and_content("record.log") is None
    assert folder.files() == {}


def test_objects_whose_names_lead_out_of_a_folder_are_not_copied_out_of_it(server, tmp_path):
    client = boto3.client("s3")
    client.put_object(Bucket=BUCKET.removeprefix("s3://"), Key="evil/r-001/../../../a.safetensors", Body=b"x")
    client.put_object(Bucket=BUCKET.removeprefix("s3://"), Key="evil/r-001/record.log", Body=b"x")
    with pytest.raises(
        StorageError, match=r"cannot be read: the name of the object 'r-001/\.\./.* leads out of its folder"
    ):
        restore_studies(f"{BUCKET}/evil", tmp_path / "in" / "out", space="r", name=None)
    with pytest.raises(DatasetError, match=r"the name of the object .* leads out of its folder"):
        local_copy(f"{BUCKET}/evil")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_answer_is_not_taken_for_an_empty_one(tmp_path, monkeypatch):
    (tmp_path / "r-001").mkdir()
    (tmp_path / "r-001" / JOURNAL).write_text("{}")

    def refuse(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(StorageError, match=r"cannot be read: Input/output error$"):
        restore_studies(str(tmp_path), tmp_path / "out", space="r", name=None)


def test_what_is_no_regular_file_is_not_copied(tmp_path):
    record = new_record(tmp_path, storage=f"{tmp_path}/shared/se_ratio-001")
    os.mkfifo(record.folder / "pipe")
    (record.folder / "zeros").symlink_to("/dev/zero")
    with Copier(record, Lease(None)):
        pass
    assert set(Folder(tmp_path / "shared" / "se_ratio-001").files()) == {JOURNAL}


def test_a_study_that_another_driver_runs_is_not_copied_beside_it(storage, tmp_path, caplog):
    """As a confirmation copies the study that it confirms, when it writes down that the test part was opened."""
    address = f"{storage}/se_ratio-001"
    record = new_record(tmp_path, storage=address)
    copy_study(record)
    before = Folder(address).read(JOURNAL)
    add_trial(record, "complete", [0.5])
    with leased(Folder(address)):
        copy_study(record)
    assert Folder(address).read(JOURNAL) == before
    assert caplog.messages[0].startswith(f"se_ratio-001 is not copied: study {address} is running already: pid ")
    copy_study(record)
    assert Folder(address).read(JOURNAL) == (record.folder / JOURNAL).read_bytes()


def test_a_bucket_that_is_not_there_is_said(server):
    with pytest.raises(StorageError, match=r"^storage s3://nobodys-bucket/x cannot be written: .*"):
        Folder("s3://nobodys-bucket/x").check()


def test_a_storage_is_an_address_or_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert storage_address("s3://bucket/studies/") == "s3://bucket/studies"
    assert storage_address("shared") == str(tmp_path / "shared")
    for text in ("", "gs://bucket/x", "s3://", "s3:///x", "s3://user@bucket/x", "s3://a b/x"):
        with pytest.raises(StorageError, match=rf"^storage must be s3://BUCKET/PATH or a folder, got '{text}'$"):
            storage_address(text)
    with pytest.raises(ConfigError, match=r"^~nobody-of-this-name/x: this machine has no user 'nobody-of-this-name'$"):
        storage_address("~nobody-of-this-name/x")


def test_checkpoints_come_back_from_the_storage_as_they_were(storage):
    folder = f"{storage}/trials/00003"
    assert checkpoints.load(folder) is None
    checkpoints.save(folder, {"model": {"weight": torch.arange(3)}, "epoch": 1})
    checkpoints.save(folder, {"model": {"weight": torch.arange(4)}, "epoch": 2})
    assert checkpoints.load(folder)["epoch"] == 2
    assert checkpoints.load(folder)["model"]["weight"].tolist() == [0, 1, 2, 3]


def test_a_checkpoint_that_the_bucket_does_not_take_is_said(server):
    with pytest.raises(CheckpointError, match=r"^s3://nobodys-bucket/x: cannot write a checkpoint: "):
        checkpoints.save("s3://nobodys-bucket/x", {"epoch": 1})


def test_checkpoints_on_the_storage_are_pruned_like_those_on_the_disk(storage, tmp_path):
    record = new_record(tmp_path, storage=f"{storage}/se_ratio-001")
    for state, score in (("complete", 0.2), ("complete", 0.9), ("stopped", 0.1), ("running", 0.3)):
        number = add_trial(record, state, [score])
        checkpoints.save(checkpoints.checkpoint_folder(record, number), {"model": {"w": torch.ones(1)}, "epoch": 1})
    before = record.trials()
    late = add_trial(record, "running", [0.4])
    checkpoints.save(checkpoints.checkpoint_folder(record, late), {"model": {}, "epoch": 1})

    checkpoints.prune(record, before, {1}, Lease(None))

    left = set(Folder(f"{storage}/se_ratio-001/trials").files())
    assert left == {f"{number:05d}/{CHECKPOINT}" for number in (1, 3, late)}
    files = checkpoints.export_weights(record, {1}, Lease(None))
    assert files == {1: record.folder / "trials" / "00001" / "weights.safetensors"}
    there = Folder(f"{storage}/se_ratio-001/trials")
    assert f"00001/{CHECKPOINT}" not in there.files()
    assert there.read("00001/weights.safetensors") == files[1].read_bytes()  # at once: this machine may be lost


def test_the_record_is_on_the_storage_soon_after_a_trial_ended(storage, tmp_path):
    record = new_record(tmp_path, storage=f"{storage}/se_ratio-001")
    with Copier(record, Lease(None)) as copier:
        until_copied(storage, record)
        add_trial(record, "complete", [0.5])
        copier.copy_soon()
        until_copied(storage, record)
    (tmp_path / "elsewhere").mkdir()
    assert restore_studies(storage, tmp_path / "elsewhere", space="se_ratio", name=None) == ["se_ratio-001"]
    assert Record.open(tmp_path / "elsewhere" / "se_ratio-001").trial(0).last["val_accuracy"] == 0.5


def until_copied(storage, record):
    whole = (record.folder / JOURNAL).stat().st_size
    until(lambda: Folder(f"{storage}/se_ratio-001").files().get(JOURNAL) == whole, "the record is copied")


def test_the_record_is_copied_now_and_then_even_if_no_trial_ends(storage, tmp_path, monkeypatch):
    monkeypatch.setattr(copies, "EVERY_S", 0.1)
    record = new_record(tmp_path, storage=f"{storage}/se_ratio-001")
    number = add_trial(record)
    with Copier(record, Lease(None)):
        until_copied(storage, record)
        add_epoch(record, number, 1, 0.4)
        until_copied(storage, record)


def test_half_a_line_is_not_copied(tmp_path):
    record = new_record(tmp_path, storage=f"{tmp_path}/shared/se_ratio-001")
    whole = (record.folder / JOURNAL).read_bytes()
    with (record.folder / JOURNAL).open("ab") as file:
        file.write(b'{"op_code": 4, "wor')
    with Copier(record, Lease(None)):
        pass
    assert (tmp_path / "shared" / "se_ratio-001" / JOURNAL).read_bytes() == whole


def test_what_a_study_leaves_is_copied_but_no_checkpoint_and_no_lock(tmp_path):
    record = new_record(tmp_path, storage=f"{tmp_path}/shared/se_ratio-001")
    for name in ("report/report.html", "trials/00001/weights.safetensors", "trials/00002/checkpoint.pt", "lock"):
        (record.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (record.folder / name).write_text(name)
    with Copier(record, Lease(None)):
        pass
    copied = set(Folder(tmp_path / "shared" / "se_ratio-001").files())
    assert copied == {JOURNAL, "report/report.html", "trials/00001/weights.safetensors"}


def test_a_study_that_went_on_elsewhere_is_not_overwritten_by_an_older_copy(tmp_path, caplog):
    record = new_record(tmp_path, storage=str(tmp_path / "shared" / "se_ratio-001"))
    copy_study(record)
    stored = tmp_path / "shared" / "se_ratio-001" / JOURNAL
    elsewhere = stored.read_bytes() + b'{"op_code": 3, "from": "another machine"}\n'
    stored.write_bytes(elsewhere)
    add_trial(record, "complete", [0.5])
    copy_study(record)
    assert stored.read_bytes() == elsewhere
    assert caplog.messages == [f"not copied: another machine has continued the study on {stored.parent}"]


def add_elsewhere(storage, record):
    """Another machine's line behind the stored record."""
    folder = Folder(f"{storage}/{record.name}")
    stored = folder.read(JOURNAL) + b'{"op_code": 3, "from": "another machine"}\n'
    folder.write(JOURNAL, stored)
    return stored


def test_a_copy_while_the_study_runs_never_takes_the_place_of_what_another_machine_wrote(
    storage, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(copies, "EVERY_S", 0.05)
    record = new_record(tmp_path, storage=f"{storage}/se_ratio-001")
    pruned = []
    with Copier(record, Lease(None), after_copy=lambda: pruned.append(1)):
        until_copied(storage, record)
        until(lambda: pruned, "what the copy makes superfluous is deleted")
        elsewhere = add_elsewhere(storage, record)
        add_trial(record, "complete", [0.5])
        until(lambda: caplog.messages, "it is said")
        pruned.clear()
    assert Folder(f"{storage}/se_ratio-001").read(JOURNAL) == elsewhere
    assert not pruned  # nothing is deleted that the other machine may need
    address = f"{storage}/se_ratio-001"
    assert caplog.messages == [
        f"another machine continues the study on {address}, so this one copies nothing there",
        f"not copied: another machine has continued the study on {address}",
    ]


def test_another_machine_that_writes_in_the_moment_of_a_copy_is_not_overwritten(storage, tmp_path, monkeypatch, caplog):
    record = new_record(tmp_path, storage=f"{storage}/se_ratio-001")
    copy_study(record)
    add_trial(record, "complete", [0.5])
    look, elsewhere = Folder.version_and_content, []

    def late(self, name):
        found = look(self, name)
        if name == JOURNAL and not elsewhere:
            elsewhere.append(b"")
            elsewhere.append(add_elsewhere(storage, record))
        return found

    monkeypatch.setattr(Folder, "version_and_content", late)
    copy_study(record)
    assert Folder(f"{storage}/se_ratio-001").read(JOURNAL) == elsewhere[1]
    assert caplog.messages == [
        f"the copy on {storage}/se_ratio-001 is not complete: another process writes there at the same time"
    ]


class NoLease:
    """The lease of a driver that does not have it any more."""

    is_sure, lost = False, "somebody has taken the lease"

    def renew(self):
        pass


def test_without_the_lease_nothing_is_copied_and_no_checkpoint_is_deleted(storage, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(copies, "EVERY_S", 0.01)
    record = new_record(tmp_path, storage=f"{storage}/se_ratio-001")
    for score in (0.2, 0.9):
        number = add_trial(record, "complete", [score])
        state = {"model": {"w": torch.ones(1)}, "epoch": 1}
        checkpoints.save(checkpoints.checkpoint_folder(record, number), state)
    before = Folder(storage).files()
    with Copier(record, NoLease(), after_copy=lambda: checkpoints.prune(record, record.trials(), {1}, NoLease())):
        time.sleep(0.1)
    checkpoints.prune(record, record.trials(), {1}, NoLease())
    checkpoints.export_weights(record, {1}, NoLease())
    assert Folder(storage).files() == before
    assert caplog.messages == []


def test_the_copying_thread_survives_any_error_and_names_its_traceback(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(copies, "EVERY_S", 0.01)
    record = new_record(tmp_path, storage=f"{tmp_path}/shared/se_ratio-001")
    errors = [ValueError("a stray file")]

    def fail_once():
        if errors:
            raise errors.pop()

    with Copier(record, Lease(None), after_copy=fail_once):
        until(lambda: not errors, "the error")
        add_trial(record, "complete", [0.5])
        until_copied(str(tmp_path / "shared"), record)
    log = record.folder / "errors.log"
    assert caplog.messages == [
        f"the study could not be copied to {tmp_path}/shared/se_ratio-001: ValueError: a stray file (see {log})"
    ]
    assert "ValueError: a stray file" in log.read_text()


def test_a_driver_begins_with_what_the_storage_has_beyond_its_own_record(storage, tmp_path, caplog):
    address = f"{storage}/se_ratio-001"
    record = new_record(tmp_path / "here", storage=address)
    copy_study(record)
    restore_studies(storage, tmp_path / "there", space="se_ratio", name=None)
    other = Record.open(tmp_path / "there" / "se_ratio-001")
    add_trial(other, "complete", [0.5])
    copy_study(other)
    with only_driver(record.folder, address):
        assert [trial.state for trial in Record.open(record.folder).trials()] == ["complete"]
    assert caplog.messages == [
        f"another machine has continued study se_ratio-001; its newer record is taken from {address}"
    ]
    add_trial(Record.open(record.folder), "complete", [0.6])
    with only_driver(record.folder, address):  # ahead of the storage, as after a storage that was away
        assert len(Record.open(record.folder).trials()) == 2


def test_a_study_that_went_on_in_two_ways_is_refused_with_the_remedy(storage, tmp_path):
    address = f"{storage}/se_ratio-001"
    record = new_record(tmp_path, storage=address)
    copy_study(record)
    add_elsewhere(storage, record)
    add_trial(record, "complete", [0.5])
    line = rf"^study se_ratio-001 was continued in two places, in {record.folder} and on {address}; move one of them"
    with pytest.raises(StorageError, match=line), only_driver(record.folder, address):
        pass


def begun_twice(storage, tmp_path):
    """A study that one driver has copied to its storage, and the same study in the folder of another driver."""
    record = new_record(tmp_path / "here", storage=f"{storage}/se_ratio-001")
    copy_study(record)
    restore_studies(storage, tmp_path / "there", space="se_ratio", name=None)
    return record, Record.open(tmp_path / "there" / "se_ratio-001")


def test_a_driver_that_is_late_with_a_copy_is_refused_once_another_has_taken_the_lease(storage, tmp_path):
    """It was suspended between its look at the lease and its copy."""
    record, other = begun_twice(storage, tmp_path)
    late = copies._Copy(record, Folder(record.header.storage))
    late.update()
    with only_driver(other.folder, other.header.storage) as lease:
        assert Record.open(other.folder).noted(DRIVER) == str(lease.holder)
        add_trial(record, "complete", [0.5])
        with pytest.raises(copies._WentOnError):
            late.update()
        assert Folder(record.header.storage).read(JOURNAL) == (other.folder / JOURNAL).read_bytes()


def test_a_copy_that_comes_while_another_driver_catches_up_is_caught_up_with_too(storage, tmp_path, monkeypatch):
    record, other = begun_twice(storage, tmp_path)
    late = copies._Copy(record, Folder(record.header.storage))
    late.update()
    replace, is_late = Folder.replace, [True]

    def replace_later(self, name, content, version):
        if name == JOURNAL and is_late.pop():
            is_late.append(False)
            add_trial(record, "complete", [0.5])
            late.update()
        return replace(self, name, content, version)

    is_late.insert(0, False)  # of the late copy itself
    monkeypatch.setattr(Folder, "replace", replace_later)
    with only_driver(other.folder, other.header.storage):
        assert [trial.state for trial in Record.open(other.folder).trials()] == ["complete"]


def test_a_driver_whose_copy_is_refused_looks_at_once_who_has_the_lease(tmp_path, monkeypatch, caplog):
    record, other = begun_twice(str(tmp_path / "shared"), tmp_path)
    monkeypatch.setattr(Holder, "is_dead", True)  # the other driver takes it for one that was killed
    with leased(Folder(record.header.storage)) as lease, Copier(record, lease) as copier:
        until_copied(str(tmp_path / "shared"), record)
        with only_driver(other.folder, other.header.storage) as taken:
            add_trial(record, "complete", [0.5])
            copier.copy_soon()
            until(lambda: lease.lost is not None, "the look")
    line = f"another machine continues the study on {record.header.storage}, so this one copies nothing there"
    assert caplog.messages[0] == line
    assert lease.lost == f"{taken.holder} has taken the lease of {record.header.storage}"


def test_the_folder_of_the_study_is_no_storage_for_its_copy(tmp_path):
    line = rf"^storage must be another folder than --out, got {tmp_path} for both$"
    with pytest.raises(StorageError, match=line), only_driver(tmp_path / "r-001", f"{tmp_path}/./r-001"):
        pass


def test_a_storage_that_is_away_is_said_once_and_holds_nothing_up(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(copies, "EVERY_S", 0.01)
    tried = threading.Semaphore(0)

    def refuse(self, name, content, version=None):
        tried.release()
        raise OSError("away")

    monkeypatch.setattr(Folder, "write", refuse)
    monkeypatch.setattr(Folder, "replace", refuse)
    record = new_record(tmp_path, storage=f"{tmp_path}/shared/se_ratio-001")
    with Copier(record, Lease(None)):
        assert all(tried.acquire(timeout=10) for _ in range(3))
    said = [entry.message for entry in caplog.records]
    assert said[0].startswith("the record could not be copied to ") and said[0].endswith(": away")
    assert [line.startswith("the copy on ") for line in said[1:]] == [True]


def test_studies_of_other_spaces_stay_where_they_are(tmp_path):
    new_record(tmp_path / "shared", "se_ratio-001")
    new_record(tmp_path / "shared", "se_ratio-002")
    for name in ("se_ratio_two-001", "se_ratio-001-confirm"):
        new_record(tmp_path / "shared", name)
    new_record(tmp_path / "shared", "mine")
    new_record(tmp_path / "out", "se_ratio-002")
    storage, out = str(tmp_path / "shared"), tmp_path / "out"
    assert restore_studies(storage, out, space="se_ratio", name=None) == ["se_ratio-001"]
    assert restore_studies(storage, out, space="se_ratio", name="mine") == ["mine"]
    assert sorted(os.listdir(out)) == ["mine", "se_ratio-001", "se_ratio-002"]


def test_a_dataset_in_a_bucket_is_fetched_once_and_again_when_it_changed(server, audio_folder, monkeypatch, tmp_path):
    from mgc.datasets.registry import open_dataset

    monkeypatch.setenv("MGC_CACHE", str(tmp_path / "cache"))
    for path in audio_folder.rglob("*.*"):
        buckets.write(f"{BUCKET}/data/little/{path.relative_to(audio_folder)}", path.read_bytes())
    fetches = []
    fetch = buckets.fetch
    monkeypatch.setattr(buckets, "fetch", lambda address, to: (fetches.append(address), fetch(address, to)))

    here = open_dataset(str(audio_folder))
    there = open_dataset(f"{BUCKET}/data/little")
    again = open_dataset(f"{BUCKET}/data/little/")

    assert (there.name, there.digest, again.digest) == (here.name, here.digest, here.digest)
    assert fetches == [f"{BUCKET}/data/little"]
    assert {Path(track.path).is_relative_to(tmp_path / "cache") for track in there.tracks} == {True}
    buckets.remove(f"{BUCKET}/data/little/high/0.wav")
    assert len(open_dataset(f"{BUCKET}/data/little").tracks) == len(here.tracks) - 1
    assert len(fetches) == 2


def test_a_dataset_that_is_larger_than_the_disk_is_refused_before_any_of_it_comes(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MGC_CACHE", str(tmp_path / "cache"))
    buckets.write(f"{BUCKET}/data/large/a.wav", bytes(2_000_000))
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    monkeypatch.setattr(buckets, "fetch", lambda address, to: pytest.fail("it was fetched"))
    line = rf"^dataset {BUCKET}/data/large needs 0\.0 GB in {tmp_path}/cache, 0\.0 GB are free \(set MGC_CACHE "
    with pytest.raises(DatasetError, match=line):
        local_copy(f"{BUCKET}/data/large")


def test_a_dataset_that_is_not_in_the_bucket_is_said(server):
    from mgc.datasets.registry import open_dataset
    from mgc.tracks.dataset import DatasetError

    with pytest.raises(DatasetError, match=rf"no dataset at {BUCKET}/nothing: no object is there"):
        open_dataset(f"{BUCKET}/nothing")
