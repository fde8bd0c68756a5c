"""Checkpoint files: whole or not there, and only those that matter."""

import os
import resource
import stat
from contextlib import contextmanager

import pytest
import torch
from small_study import add_trial, new_record

from search.record.files import CHECKPOINT, WEIGHTS
from search.storage import checkpoints
from search.storage.checkpoints import CheckpointError
from search.storage.lease import Lease


@contextmanager
def files_limited_to(size):
    """No file of this process may grow beyond `size` bytes: what a quota does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def state(value, size=1):
    return {"model": {"weight": torch.full((size,), value)}, "scores": [{"epoch": 1, "val_loss": 0.1 + value}]}


def test_a_checkpoint_is_read_back_as_it_was_written(tmp_path):
    checkpoints.save(tmp_path / "new", state(0.5))
    again = checkpoints.load(tmp_path / "new")
    assert torch.equal(again["model"]["weight"], torch.full((1,), 0.5))
    assert again["scores"] == [{"epoch": 1, "val_loss": 0.6}]
    assert os.listdir(tmp_path / "new") == [CHECKPOINT]


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path):
    checkpoints.save(tmp_path, state(1.0))
    with (
        files_limited_to(10_000),
        pytest.raises(CheckpointError, match=rf"^{tmp_path}: cannot write a checkpoint: File too large$"),
    ):
        checkpoints.save(tmp_path, state(2.0, size=100_000))
    assert checkpoints.load(tmp_path)["model"]["weight"] == 1.0
    assert os.listdir(tmp_path) == [CHECKPOINT]


@pytest.mark.parametrize("spoiled", [b"", b"PK\x03\x04 half of it"])
def test_a_spoiled_checkpoint_is_none(tmp_path, spoiled):
    assert checkpoints.load(tmp_path) is None
    (tmp_path / CHECKPOINT).write_bytes(spoiled)
    assert checkpoints.load(tmp_path) is None


def test_a_storage_that_does_not_answer_is_not_taken_for_an_empty_one(tmp_path, monkeypatch):
    checkpoints.save(tmp_path, state(0.5))
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda path: (_ for _ in ()).throw(OSError(5, "no answer")))
    with pytest.raises(checkpoints.CheckpointError, match=r"cannot read the checkpoint: no answer$"):
        checkpoints.load(tmp_path)


def test_only_running_trials_and_the_kept_ones_keep_theirs(tmp_path):
    record = new_record(tmp_path)
    for kind, score in (("complete", 0.1), ("complete", 0.9), ("stopped", 1.0), ("running", 0.2), ("complete", 0.5)):
        number = add_trial(record, kind, [score])
        checkpoints.save(checkpoints.trial_folder(record, number), state(score))
    for name in (f".{CHECKPOINT}.elsewhere.77.ab12.partial", f"{CHECKPOINT}.elsewhere.77"):  # of dead workers
        (checkpoints.trial_folder(record, 1) / name).write_bytes(b"half")

    checkpoints.prune(record, record.trials(), {1, 4}, Lease(None))

    left = sorted(str(path.relative_to(record.folder / "trials")) for path in record.folder.glob("trials/*/*"))
    assert left == [f"{number:05d}/{CHECKPOINT}" for number in (1, 3, 4)]


def test_files_that_nobody_of_ours_left_among_the_trials_stay_and_stop_nothing(tmp_path):
    record = new_record(tmp_path)
    add_trial(record, "stopped", [0.1])
    checkpoints.save(checkpoints.trial_folder(record, 0), state(0.1))
    strays = (".DS_Store", "notes.txt", "\u0663/checkpoint.pt", "-1/checkpoint.pt", "1e3/x", "00000x/checkpoint.pt")
    for name in strays:
        (record.folder / "trials" / name).parent.mkdir(exist_ok=True)
        (record.folder / "trials" / name).write_text("")

    checkpoints.prune(record, record.trials(), set(), Lease(None))

    left = {str(path.relative_to(record.folder / "trials")) for path in record.folder.rglob("trials/**/*")}
    assert {name for name in left if "." in name} | {"1e3/x"} == set(strays)


def test_a_checkpoint_that_needs_more_memory_than_there_is_is_not_taken_for_none(tmp_path, monkeypatch):
    checkpoints.save(tmp_path, state(0.5))
    monkeypatch.setattr("torch.load", lambda *state, **how: bytearray(1 << 62))
    with pytest.raises(MemoryError):
        checkpoints.load(tmp_path)


def test_the_best_end_as_weights_without_pickled_code(tmp_path):
    record = new_record(tmp_path)
    for score in (0.1, 0.9):
        checkpoints.save(checkpoints.trial_folder(record, add_trial(record, "complete", [score])), state(score))

    for _ in range(2):
        files = checkpoints.export_weights(record, {1}, Lease(None))

    assert files == {1: record.folder / "trials" / "00001" / WEIGHTS}
    assert os.listdir(files[1].parent) == [WEIGHTS]
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(files[1].stat().st_mode) == 0o666 & ~umask  # colleagues may read them
    assert checkpoints.size_bytes(record) >= files[1].stat().st_size
