"""What the cache holds is what was built: damage of every kind is found when it is opened, and built again."""

from __future__ import annotations

import json
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import boto3
import numpy as np
import pytest
import torch
from buckets_here import BUCKET, bucket_server
from tiny_dataset import SR, write_tracks

from mgc.config import FeatureConfig
from mgc.datasets import synthetic
from mgc.datasets.registry import open_dataset
from mgc.features.features import Store, open_store
from mgc.files import cache, sealed
from mgc.tracks.dataset import Dataset
from mgc.words.errors import ConfigError

CONFIG = FeatureConfig(sr=SR, spectrogram="log_mel", n_fft=256, hop_length=128, n_mels=32)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MGC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return open_dataset(str(write_tracks(tmp_path / "tiny", seconds=[2.0, 0.7, 1.1])))


def opened(dataset: Dataset) -> Store:
    return open_store(dataset, CONFIG, "spectrogram", progress=False)


@pytest.fixture
def store(dataset: Dataset, own_cache: Path) -> Path:
    """The folder of a store that is whole."""
    opened(dataset)
    return next((own_cache / "features").glob("log_mel-????????????????"))


def flip_bits(path: Path, number: int = 2000) -> None:
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    rng = np.random.default_rng(0)
    np.bitwise_xor.at(content, rng.integers(0, len(content), number), 1 << rng.integers(0, 8, number, dtype=np.uint8))
    path.write_bytes(content.tobytes())


def flip_one_bit_as_a_disk_does(path: Path) -> None:
    """The times of the file stay."""
    before = path.stat()
    flip_bits(path, 1)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def fill_with_zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def make_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES: dict[str, Callable[[Path], None]] = {
    "2,000 flipped bits": flip_bits,
    "one flipped bit": flip_one_bit_as_a_disk_does,
    "zeros": fill_with_zeros,
    "half a file": halve,
    "an empty file": lambda path: os.truncate(path, 0),
    "no file": Path.unlink,
    "a pipe": make_a_pipe,
}


@pytest.mark.parametrize("name", ["rows.bin", "store.json", sealed.SEAL])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_store_is_built_again_with_a_line(
    dataset: Dataset, store: Path, damage: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = {path.name: path.read_bytes() for path in store.iterdir() if path.name != sealed.SEAL}
    DAMAGES[damage](store / name)
    with caplog.at_level(logging.WARNING, logger="mgc"):
        assert opened(dataset).rows_RW.any()
    assert [message.split(": ")[0] for message in caplog.messages] == [f"{store} is made again"]
    assert {path.name: path.read_bytes() for path in store.iterdir() if path.name != sealed.SEAL} == before
    caplog.clear()
    opened(dataset)
    assert caplog.messages == []


def test_a_file_in_the_place_of_a_store_gives_way(dataset: Dataset, store: Path) -> None:
    shutil.rmtree(store)
    store.write_text("hello")
    assert len(opened(dataset).tracks) == 6


def test_a_store_of_an_earlier_version_without_checksums_is_built_again(dataset: Dataset, store: Path) -> None:
    (store / sealed.SEAL).unlink()
    flip_bits(store / "rows.bin")
    before = opened(dataset).rows_RW
    shutil.rmtree(store)
    assert torch.equal(before, opened(dataset).rows_RW)


def test_who_has_a_damaged_store_open_keeps_it_while_it_is_built_again(dataset: Dataset, store: Path) -> None:
    earlier = opened(dataset)
    before = earlier.rows_RW.clone()
    (store / sealed.SEAL).unlink()
    opened(dataset)
    assert torch.equal(earlier.rows_RW, before)


def test_files_are_hashed_only_when_they_have_changed(
    dataset: Dataset, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    file_hash = sealed.file_hash
    monkeypatch.setattr(sealed, "file_hash", lambda path: hashed.append(path.name) or file_hash(path))
    opened(dataset)
    assert hashed == []
    os.utime(store / "rows.bin")
    opened(dataset)
    opened(dataset)
    assert hashed == ["rows.bin"]


def test_a_copy_of_the_cache_is_taken_as_it_is(dataset: Dataset, store: Path, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(tmp_path / "cache", tmp_path / "copy")
    monkeypatch.setenv("MGC_CACHE", str(tmp_path / "copy"))
    monkeypatch.setattr("mgc.features.features._build", lambda *arguments: pytest.fail("built again"))
    opened(dataset)


def test_a_stray_file_in_a_store_stays_and_does_no_harm(
    dataset: Dataset, store: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (store / ".DS_Store").write_text("hello")
    opened(dataset)
    assert caplog.messages == []
    assert (store / ".DS_Store").exists()


def test_a_damaged_store_that_cannot_be_removed_is_one_line(
    dataset: Dataset, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    flip_bits(store / "rows.bin")
    monkeypatch.setattr(sealed, "discard", refuse)
    with pytest.raises(ConfigError, match=rf"^{store} is damaged and cannot be removed: Permission denied \(.*\)$"):
        opened(dataset)


OPEN = """
import sys
from mgc.features import features
from mgc.config import FeatureConfig
from mgc.datasets.registry import open_dataset
config = FeatureConfig(sr=8000, spectrogram="log_mel", n_fft=256, hop_length=128, n_mels=32)
print(features.open_store(open_dataset(sys.argv[1]), config, "spectrogram", progress=False).rows_RW.double().sum())
"""


@pytest.mark.slow
def test_of_two_processes_that_find_the_damage_one_builds_again(dataset: Dataset, store: Path, tmp_path: Path) -> None:
    expected = opened(dataset).rows_RW.double().sum()
    flip_bits(store / "rows.bin")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN, str(tmp_path / "tiny")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    ends = [process.communicate(timeout=60) for process in processes]
    assert [out.strip() for out, _ in ends] == [str(expected)] * 2
    assert sum(err.count("is made again") for _, err in ends) == 1


# --- the other things in the cache ------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_synthetic_music_is_made_again(damage: str, own_cache: Path) -> None:
    def music() -> dict[str, bytes]:
        dataset = synthetic.open_synthetic(tracks_per_genre=1, seconds=0.5, progress=False)
        return {track.track_id: track.path.read_bytes() for track in dataset.tracks if track.path}

    before = music()
    DAMAGES[damage](next(own_cache.glob("synthetic-*/murk/*.flac")))
    assert music() == before


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["2,000 flipped bits", "no file"])
def test_a_damaged_copy_of_a_bucket_is_fetched_again(dataset: Dataset, own_cache: Path, damage: str) -> None:
    with bucket_server():
        client = boto3.client("s3")
        for track in dataset.tracks:
            assert track.path is not None
            client.upload_file(str(track.path), BUCKET.removeprefix("s3://"), f"tiny/{track.track_id}.wav")
        digest = open_dataset(f"{BUCKET}/tiny").digest
        assert digest == dataset.digest
        DAMAGES[damage](next(own_cache.glob("fetched/*/tiny/low/*.wav")))
        assert open_dataset(f"{BUCKET}/tiny").digest == digest


def test_a_flipped_bit_in_a_list_of_contents_makes_no_other_dataset(dataset: Dataset, own_cache: Path) -> None:
    for listed in (own_cache / "contents").iterdir():
        text = listed.read_text()
        digest = json.loads(text)["content"][str(dataset.tracks[0].path)][2]
        listed.write_text(text.replace(digest, digest[:-1] + format(int(digest[-1], 16) ^ 1, "x")))
    root = dataset.tracks[0].path.parents[1] if dataset.tracks[0].path else Path()
    assert open_dataset(str(root)).digest == dataset.digest


COMMANDS = {
    "the synthetic music": ["mgc.datasets", "info", "synthetic"],
    "features": ["mgc.train", "--model", "se_cnn", "--split", "track", "--epochs", "1", "--data", "TINY"],
}


@pytest.mark.slow
@pytest.mark.parametrize("what", COMMANDS)
def test_a_full_disk_under_the_cache_is_one_line(what: str, dataset: Dataset, own_cache: Path, tmp_path: Path) -> None:
    arguments = [argument.replace("TINY", str(tmp_path / "tiny")) for argument in COMMANDS[what]]
    limited = f"ulimit -f 4; exec {sys.executable} -m {shlex.join(arguments)}"  # no file has more than 4 blocks
    done = subprocess.run(["bash", "-c", limited], cwd=tmp_path, capture_output=True, text=True, timeout=100,
                          env={**os.environ, "PYTHONPATH": str(Path(cache.__file__).parents[2])})  # fmt: skip
    assert done.returncode == 2, done.stderr
    *_, line = done.stderr.splitlines()
    assert re.fullmatch(rf"error: {own_cache}/\S+ cannot be written: File too large \(.*\)", line)
    assert "Traceback" not in done.stderr
    assert not list(own_cache.rglob("*.partial"))


def test_what_is_built_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: order.append(os.readlink(f"/proc/self/fd/{file}")) or fsync(file))
    monkeypatch.setattr(os, "replace", lambda old, new: order.append(f"now {new}") or replace(old, new))

    def build(folder: Path) -> None:
        folder.mkdir()
        (folder / "rows.bin").write_bytes(b"rows")

    cache.built(tmp_path / "x", build)
    assert [Path(path).name for path in order] == ["rows.bin", "x"]
