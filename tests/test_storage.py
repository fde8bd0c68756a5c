"""Folders on a disk and in a bucket read alike; a study's copy is whole at any moment and can be gone on with."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
import torch
from buckets_here import BUCKET, bucket_server
from small_study import add_epoch, add_trial, new_record

from mgc import buckets
from search import checkpoints, copies
from search.checkpoints import CHECKPOINT, CheckpointError
from search.copies import Copier
from search.journal import JOURNAL
from search.record import Record
from search.storage import Folder, StorageError, bring_back, checked

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server():
    with bucket_server() as endpoint:
        yield endpoint


@pytest.fixture(params=["disk", "bucket"])
def storage(request, tmp_path, server):
    """An empty place, as a user names it."""
    name = request.node.name.translate(str.maketrans("[]-", "___"))
    return f"{BUCKET}/{name}" if request.param == "bucket" else str(tmp_path / "shared")


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


def test_a_bucket_that_is_not_there_is_said(server):
    with pytest.raises(StorageError, match=r"^storage s3://nobodys-bucket/x cannot be written: .*"):
        Folder("s3://nobodys-bucket/x").check()


def test_a_storage_is_an_address_or_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checked("s3://bucket/studies/") == "s3://bucket/studies"
    assert checked("shared") == str(tmp_path / "shared")
    with pytest.raises(StorageError, match=r"^storage must be s3://BUCKET/PATH or a folder, got 'gs://bucket/x'$"):
        checked("gs://bucket/x")


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

    checkpoints.prune(record, before, keep=1)

    left = set(Folder(f"{storage}/se_ratio-001/trials").files())
    assert left == {f"{number:05d}/{CHECKPOINT}" for number in (1, 3, late)}
    files = checkpoints.export_weights(record, keep=1)
    assert files == {1: record.folder / "trials" / "00001" / "weights.safetensors"}
    assert f"00001/{CHECKPOINT}" not in Folder(f"{storage}/se_ratio-001/trials").files()


def test_the_record_is_on_the_storage_soon_after_a_trial_ended(storage, tmp_path):
    record = new_record(tmp_path, storage=f"{storage}/se_ratio-001")
    with Copier(record) as copier:
        until_copied(storage, record)
        add_trial(record, "complete", [0.5])
        copier.soon()
        until_copied(storage, record)
    (tmp_path / "elsewhere").mkdir()
    assert bring_back(storage, tmp_path / "elsewhere", space="se_ratio", name=None) == ["se_ratio-001"]
    assert Record.open(tmp_path / "elsewhere" / "se_ratio-001").trial(0).last["val_accuracy"] == 0.5


def until_copied(storage, record):
    whole = (record.folder / JOURNAL).stat().st_size
    deadline = time.monotonic() + 20
    while Folder(f"{storage}/se_ratio-001").files().get(JOURNAL) != whole:
        assert time.monotonic() < deadline, "never copied"
        time.sleep(0.02)


def test_the_record_is_copied_now_and_then_even_if_no_trial_ends(storage, tmp_path, monkeypatch):
    monkeypatch.setattr(copies, "EVERY_S", 0.1)
    record = new_record(tmp_path, storage=f"{storage}/se_ratio-001")
    number = add_trial(record)
    with Copier(record):
        until_copied(storage, record)
        add_epoch(record, number, 1, 0.4)
        until_copied(storage, record)


def test_half_a_line_is_not_copied(tmp_path):
    record = new_record(tmp_path, storage=f"{tmp_path}/shared/se_ratio-001")
    whole = (record.folder / JOURNAL).read_bytes()
    with (record.folder / JOURNAL).open("ab") as file:
        file.write(b'{"op_code": 4, "wor')
    with Copier(record):
        pass
    assert (tmp_path / "shared" / "se_ratio-001" / JOURNAL).read_bytes() == whole


def test_what_a_study_leaves_is_copied_but_no_checkpoint_and_no_lock(tmp_path):
    record = new_record(tmp_path, storage=f"{tmp_path}/shared/se_ratio-001")
    for name in ("report/report.html", "trials/00001/weights.safetensors", "trials/00002/checkpoint.pt", "lock"):
        (record.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (record.folder / name).write_text(name)
    with Copier(record):
        pass
    copied = set(Folder(tmp_path / "shared" / "se_ratio-001").files())
    assert copied == {JOURNAL, "report/report.html", "trials/00001/weights.safetensors"}


def test_a_storage_that_is_away_is_said_once_and_holds_nothing_up(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(copies, "EVERY_S", 0.01)
    tried = threading.Semaphore(0)

    def refuse(self, name, content):
        tried.release()
        raise OSError("away")

    monkeypatch.setattr(Folder, "write", refuse)
    record = new_record(tmp_path, storage=f"{tmp_path}/shared/se_ratio-001")
    with Copier(record):
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
    assert bring_back(storage, out, space="se_ratio", name=None) == ["se_ratio-001"]
    assert bring_back(storage, out, space="se_ratio", name="mine") == ["mine"]
    assert sorted(os.listdir(out)) == ["mine", "se_ratio-001", "se_ratio-002"]


def test_a_dataset_in_a_bucket_is_fetched_once_and_again_when_it_changed(server, audio_folder, monkeypatch, tmp_path):
    from mgc.datasets import open_dataset

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


def test_a_dataset_that_is_not_in_the_bucket_is_said(server):
    from mgc.datasets import DatasetError, open_dataset

    with pytest.raises(DatasetError, match=rf"no dataset at {BUCKET}/nothing: there is nothing"):
        open_dataset(f"{BUCKET}/nothing")
