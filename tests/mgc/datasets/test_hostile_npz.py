"""Files that somebody made to do harm, or that a disk damaged: every .npz opens, or is refused in one line."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mgc.config import DataConfig, FeatureConfig
from mgc.datasets import __main__ as cli
from mgc.datasets.registry import open_dataset
from mgc.features.features import open_store
from mgc.tracks.dataset import DatasetError
from mgc.tracks.splits import make_split
from mgc.words.errors import ConfigError

IDS, GENRES = [f"t{number}" for number in range(6)], list("aabbab")
FEATURES = np.arange(240, dtype=np.uint8).reshape(6, 4, 10)


def write(path: Path, **arrays: Any) -> Path:
    """A good file of six tracks, 4 bins x 10 frames; arrays are added or replaced."""
    np.savez(path, **({"features": FEATURES, "track_id": IDS, "genre": GENRES} | arrays))
    return path


def header(shape: tuple[int, ...], dtype: str) -> bytes:
    """The first bytes of an array, as NumPy writes them."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


def replace(path: Path, name: str, content: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    """The file with other bytes in place of one array."""
    with zipfile.ZipFile(path) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for each, before in (members | {f"{name}.npy": content}).items():
            archive.writestr(each, before if each != f"{name}.npy" else content)
    return path


def promising(path: Path, name: str, shape: tuple[int, ...], dtype: str) -> Path:
    """An array whose header promises more than the file holds."""
    return replace(write(path), name, header(shape, dtype) + b"\0" * 100)


def broken_compression(path: Path) -> Path:
    np.savez_compressed(path, features=np.random.default_rng(0).random((6, 40, 50)), track_id=IDS, genre=GENRES)
    content = bytearray(path.read_bytes())
    content[5000:5200] = b"\xff" * 200
    path.write_bytes(content)
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


def half(path: Path) -> Path:
    path.write_bytes(write(path).read_bytes()[:700])
    return path


def one_array(path: Path) -> Path:
    """A plain array under the name of an archive."""
    with path.open("wb") as file:
        np.save(file, FEATURES)
    return path


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "empty": (empty, "cannot be read as .npz: File is not a zip file"),
    "half": (half, "cannot be read as .npz: File is not a zip file"),
    "a single array": (one_array, "cannot be read as .npz: File is not a zip file"),
    "broken compression": (broken_compression, r"array 'features' cannot be read: .+"),
    "44 TiB of features": (
        lambda path: promising(path, "features", (6, 2**20, 2**20), "<f8"),
        r"array 'features' cannot be read: its header promises the shape \(6, 1048576, 1048576\) of float64, it has .*",
    ),
    "44 TiB of genres": (
        lambda path: promising(path, "genre", (6,), f"<U{2**41}"),
        "array 'genre' cannot be read: .+",
    ),
    "a negative shape": (
        lambda path: promising(path, "features", (6, -4, 10), "|u1"),
        "array 'features' cannot be read: .+",
    ),
    "no frames": (
        lambda path: write(path, features=FEATURES[:, :, :0]),
        r"features must be tracks x bins x frames, got the shape \(6, 4, 0\)",
    ),
    "no tracks": (
        lambda path: write(path, features=FEATURES[:0], track_id=[], genre=[]),
        r"features must be tracks x bins x frames, got the shape \(0, 4, 10\)",
    ),
    "text as frame_seconds": (
        lambda path: write(path, frame_seconds="soon"),
        "frame_seconds must be a number above 0, got 'soon'",
    ),
    "NaN as frame_seconds": (
        lambda path: write(path, frame_seconds=np.nan),
        "frame_seconds must be a finite number, got nan",
    ),
    "NaN of 16 bytes as frame_seconds": (
        lambda path: write(path, frame_seconds=np.longdouble("nan")),
        "frame_seconds must be a finite number, got nan",
    ),
    "no time as frame_seconds": (
        lambda path: write(path, frame_seconds=0.0),
        "frame_seconds must be a number above 0, got 0.0",
    ),
    "frame_seconds for each track": (
        lambda path: write(path, frame_seconds=[0.1] * 6),
        r"frame_seconds must be one number or a text, got float64 \(6,\)",
    ),
    "NaN as a setting": (lambda path: write(path, fmax=np.nan), "fmax must be a finite number, got nan"),
    "NaN ids": (
        lambda path: write(path, track_id=np.full(6, np.nan)),
        "track_id must be texts or integers, got float64",
    ),
    "NaN genres": (lambda path: write(path, genre=[1.0, np.nan] * 3), "genre must be texts or integers, got float64"),
    "objects": (lambda path: write(path, genre=np.array([None] * 6)), "array 'genre' cannot be read: .*objects"),
    "complex features": (
        lambda path: write(path, features=FEATURES * 1j),
        r"features must be uint8 or floats in \[0, 1\], got complex128",
    ),
    "endless texts": (
        lambda path: write(path, genre=["a" * 100_000, "b"] * 3),
        "genre must have texts of at most 1000 characters",
    ),
    "no characters": (
        lambda path: replace(write(path), "genre", header((6,), "<U1") + b"\xff" * 24),
        "genre has an item that is no text",
    ),
}
"""What is wrong -> how to make it, and what is said of it."""


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_file_is_refused_in_one_line(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    make, message = REFUSED[name]
    path = make(tmp_path / "x.npz")
    with pytest.raises(DatasetError, match=rf"^{path}: {message}$"):
        open_dataset(str(path))
    assert cli.main(["info", str(path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


LIMITED = """
import resource, sys
from mgc.datasets import __main__ as cli
resource.setrlimit(resource.RLIMIT_DATA, (700_000_000, 700_000_000))
sys.exit(cli.main(["info", sys.argv[1]]))
"""


def bomb(path: Path, shape: tuple[int, int, int]) -> Path:
    """Features of zeros, some thousand times as large as their file."""
    write(path, track_id=np.arange(shape[0]), genre=np.arange(shape[0]) % 2)
    with (
        zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("features.npy", "w", force_zip64=True) as file,
    ):
        file.write(header(shape, "|u1"))
        for _ in range(shape[0]):
            file.write(bytes(shape[1] * shape[2]))
    return path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_features_of_1_gb_in_a_file_of_5_mb_are_hashed_without_the_memory_for_them(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.npz", (64, 4096, 4096))
    assert path.stat().st_size < 6e6
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_features_that_no_memory_can_hold_are_refused_by_their_header(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "large.npz", features=np.zeros((6, 1000, 1000), np.uint8))
    monkeypatch.setattr("mgc.datasets.precomputed.os.sysconf", lambda name: {"SC_PAGE_SIZE": 4096}.get(name, 1000))
    with pytest.raises(DatasetError, match=r"^.*: features take 0\.0 GB, this machine has 0\.0 GB of memory$"):
        open_dataset(str(path))


def test_no_flipped_bit_or_cut_end_raises_anything_else(tmp_path: Path) -> None:
    """Every refusal is a ConfigError of one line, whatever NumPy, zipfile and zlib raise."""
    rng = np.random.default_rng(0)
    sound = {}
    for name, save in (("stored", np.savez), ("packed", np.savez_compressed)):
        save(tmp_path / f"{name}.npz", features=FEATURES, track_id=IDS, genre=GENRES, sr=22_050, a_split=["train"] * 6)
        sound[name] = (tmp_path / f"{name}.npz").read_bytes()
    refusals = []
    for number in range(600):
        content = bytearray(sound[("stored", "packed")[number % 2]])
        if number % 3 == 0:
            del content[int(rng.integers(1, len(content))) :]
        for place in rng.integers(0, len(content), int(rng.integers(1, 5))):
            content[place] ^= 1 << int(rng.integers(8))
        path = tmp_path / "harmed.npz"
        path.write_bytes(content)
        try:
            open_store(open_dataset(str(path)), FeatureConfig(), "spectrogram", progress=False)
        except ConfigError as error:
            refusals.append(str(error))
    assert len(refusals) > 300
    assert not [refusal for refusal in refusals if "\n" in refusal]


def test_integer_ids_keep_the_split_that_the_file_brings(tmp_path: Path) -> None:
    parts = ["train", "train", "valid", "train", "valid", "test"]
    path = write(tmp_path / "x.npz", track_id=np.arange(6) + 100, its_split=parts)
    dataset = open_dataset(str(path))
    split = make_split(dataset, DataConfig(dataset=str(path), split="given"))
    assert split.parts == dict(zip([str(100 + number) for number in range(6)],
                                   ["train", "train", "validation", "train", "validation", "test"],
                                   strict=True))  # fmt: skip


def test_ids_and_parts_of_bytes_are_texts(tmp_path: Path) -> None:
    parts = np.array(["train", "train", "valid", "train", "valid", "test"], "S")
    path = write(tmp_path / "x.npz", track_id=np.array(IDS, "S"), genre=np.array(GENRES, "S"), its_split=parts)
    dataset = open_dataset(str(path))
    assert ([track.track_id for track in dataset.tracks], dataset.genres) == (IDS, ("a", "b"))
    assert len(make_split(dataset, DataConfig(dataset=str(path), split="given")).parts) == 6


@pytest.mark.parametrize("order", ["C", "F"])
def test_features_in_either_order_have_the_same_contents(tmp_path: Path, order: str) -> None:
    path = write(tmp_path / f"{order}.npz", features=np.array(FEATURES, order=order))
    dataset = open_dataset(str(path))
    assert dataset.digest == open_dataset(str(write(tmp_path / "x.npz"))).digest
    assert dataset.precomputed is not None
    np.testing.assert_array_equal(list(dataset.precomputed.pictures()), FEATURES)
