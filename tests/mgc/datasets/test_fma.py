"""FMA small, on a tree of the form in which it is distributed, with real MP3 files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mgc.clips.clips import open_clips
from mgc.config import DataConfig
from mgc.datasets.registry import open_dataset
from mgc.features.audio import decode
from mgc.networks.training_config import training_config
from mgc.tracks.dataset import DatasetError
from mgc.tracks.splits import make_split

SR = 22_050
HEADER = [
    ("", "album", "artist", "artist", "artist", "set", "set", "track", "track"),
    ("", "title", "bio", "id", "name", "split", "subset", "genre_top", "title"),
    ("track_id", *[""] * 8),
]
GENRE_OF = {"Folk": 110.0, "Rock": 1760.0}
SPLIT_OF = ("training", "training", "training", "validation", "test")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two genres of five tracks as FMA has them, a known broken file, and rows that are not of the small subset."""
    root = tmp_path / "fma"
    rows, number = [], 2
    for genre, hz in GENRE_OF.items():
        for index, split in enumerate(SPLIT_OF):
            rows.append(row(number, genre=genre, artist=str(10 * index + len(genre)), split=split))
            write_mp3(root, number, hz + index)
            number += 131
    rows.append(row(98565, genre="Rock", artist="77", split="training"))
    write_mp3(root, 98565, 440.0, seconds=0.3)
    rows.append(row(5, genre="Rock", artist="78", split="training", subset="large"))
    rows.append(row(6, genre="", artist="79", split="training"))
    write_table(root, rows)
    return root


def row(
    number: int, *, genre: str, artist: str, split: str, subset: str = "small", name: str = "A\u00f1a"
) -> list[str]:
    bio = "a long life,\nin two lines, and " + "very " * 30_000
    return [str(number), "an album", bio, artist, name, split, subset, genre, "a title"]


def write_table(root: Path, rows: list[list[str]]) -> None:
    (root / "fma_metadata").mkdir(parents=True, exist_ok=True)
    with (root / "fma_metadata" / "tracks.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([*HEADER, *rows])


def write_mp3(root: Path, number: int, hz: float, seconds: float = 2.0) -> None:
    path = root / "fma_small" / f"{number:06d}"[:3] / f"{number:06d}.mp3"
    path.parent.mkdir(parents=True, exist_ok=True)
    times_s = np.arange(int(seconds * SR)) / SR
    soundfile.write(path, np.stack([0.5 * np.sin(2 * np.pi * hz * times_s)] * 2, axis=1), SR, format="MP3")


def test_reads_the_small_subset_with_genres_artists_and_split(tree: Path) -> None:
    dataset = open_dataset(str(tree))
    assert dataset.name == "fma_small"
    assert dataset.genres == ("Folk", "Rock")
    first = dataset.tracks[0]
    assert (first.track_id, first.genre, first.artist) == ("000002", "Folk", "fma-4")
    assert first.path == tree / "fma_small" / "000" / "000002.mp3"
    assert {track.track_id for track in dataset.tracks} == {f"{2 + 131 * number:06d}" for number in range(10)}
    assert dataset.notes == ("1 file left out: known to hold less than 30 s of audio",)


def test_its_files_are_mp3_that_decode_to_their_tones(tree: Path) -> None:
    dataset = open_dataset(str(tree))
    for track, hz in ((dataset.tracks[0], 110.0), (dataset.tracks[5], 1760.0)):
        assert track.path is not None and soundfile.info(track.path).format == "MP3"
        y_S = decode(track.path, SR)
        peak_hz = np.abs(np.fft.rfft(y_S)).argmax() * SR / len(y_S)
        assert peak_hz == pytest.approx(hz, abs=2)


def test_the_authors_split_is_the_policy_given(tree: Path) -> None:
    dataset = open_dataset(str(tree))
    split = make_split(dataset, DataConfig(dataset=str(tree), split="given"))
    parts = [split.parts[track.track_id] for track in dataset.tracks]
    assert parts == 2 * ["train", "train", "train", "validation", "test"]


def test_opens_clips_of_both_modalities(tree: Path) -> None:
    data = DataConfig(dataset=str(tree), split="given")
    params = {"model": "residual", "modality": "both", "sr": 8000, "n_fft": 256, "hop_length": 128, "clip_seconds": 1.0}
    clips = open_clips(training_config(params, data=data, epochs=1), progress=False)
    assert (clips.num_tracks("train"), clips.num_tracks("validation")) == (6, 2)


def test_is_found_by_name_wherever_its_archives_were_unpacked(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [track.track_id for track in open_dataset(str(tree)).tracks]
    monkeypatch.setenv("MGC_DATA", str(tree))  # both archives in the folder of all datasets
    assert [track.track_id for track in open_dataset("fma_small").tracks] == ids
    own = tree.parent / "data" / "fma_small"
    own.parent.mkdir()
    tree.rename(own)
    monkeypatch.setenv("MGC_DATA", str(own.parent))  # or in one of their own there
    assert [track.track_id for track in open_dataset("fma_small").tracks] == ids
    assert [track.track_id for track in open_dataset(str(own / "fma_small")).tracks] == ids


def test_tracks_without_their_files_are_counted(tree: Path) -> None:
    (tree / "fma_small" / "000" / "000002.mp3").unlink()
    dataset = open_dataset(str(tree))
    assert len(dataset.tracks) == 9
    assert dataset.own_split is not None and "000002" not in dataset.own_split
    assert dataset.notes[1] == (
        "1 tracks of fma_metadata/tracks.csv left out: their files are missing or cannot be read"
    )


def test_an_artist_without_an_id_goes_by_name(tree: Path) -> None:
    rows = [
        row(2, genre="Folk", artist="", split="training", name="Somebody"),
        row(133, genre="Rock", artist="4", split="test"),
    ]
    write_table(tree, rows)
    assert [track.artist for track in open_dataset(str(tree)).tracks] == ["Somebody", "fma-4"]


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (
            "fma_metadata",
            r"^.*/fma: fma_metadata/tracks.csv is missing: unpack fma_metadata.zip of https://.*/fma there$",
        ),
        ("fma_small", r"^.*/fma: fma_small is missing: unpack fma_small.zip of https://github.com/mdeff/fma there$"),
    ],
)
def test_a_missing_half_is_named(tree: Path, missing: str, message: str) -> None:
    (tree / missing).rename(tree / "elsewhere")
    with pytest.raises(DatasetError, match=message):
        open_dataset(str(tree))


def test_a_table_without_the_columns_is_refused(tree: Path) -> None:
    (tree / "fma_metadata" / "tracks.csv").write_text("a,b\nc,d\n")
    with pytest.raises(
        DatasetError,
        match=r"tracks.csv: column set.subset and .* and artist.id and artist.name is missing$",
    ):
        open_dataset(str(tree))


@pytest.mark.parametrize("cells", [["7"], ["seven", *row(7, genre="Folk", artist="1", split="test")[1:]]])
def test_a_row_that_is_short_or_of_no_track_is_one_line(tree: Path, cells: list[str]) -> None:
    write_table(tree, [row(2, genre="Folk", artist="1", split="training"), [], cells])
    message = rf"^[^\n]*/tracks\.csv: a row must have 9 cells, .* got {len(cells)} cells, the first '{cells[0]}'$"
    with pytest.raises(DatasetError, match=message):
        open_dataset(str(tree))


def test_what_it_holds_is_known_without_it_for_an_estimate() -> None:
    dataset = open_dataset("fma_small", make=False)
    parts = list((dataset.own_split or {}).values())
    assert (len(dataset.tracks), len(dataset.genres)) == (8000, 8)
    assert [parts.count(part) for part in ("train", "validation", "test")] == [6400, 800, 800]
    assert open_dataset("gtzan", make=False).notes == ("not on this machine: estimated for 1000 tracks of 30 s",)
    with pytest.raises(DatasetError, match=r"fma_metadata/tracks.csv is missing"):
        open_dataset("fma_small")
