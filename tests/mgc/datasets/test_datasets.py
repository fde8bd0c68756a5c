"""Opening a dataset: folders however dirty, precomputed features, GTZAN's own facts, and what an error says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from mgc.config import DataConfig
from mgc.datasets import folder, gtzan, precomputed
from mgc.datasets.registry import open_dataset
from mgc.datasets.verify import verify
from mgc.files import contents, reading
from mgc.files.cache import cache_dir
from mgc.tracks import gtzan_lists
from mgc.tracks.dataset import DatasetError
from mgc.tracks.splits import make_split
from mgc.words.errors import ConfigError


@pytest.fixture
def mgc_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty $MGC_DATA."""
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("MGC_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def write_features(path: Path, **arrays: Any) -> Path:
    """A precomputed file of six tracks, 4 bins x 10 frames, two genres; arrays are added or replaced."""
    features = np.arange(6 * 4 * 10, dtype=np.uint8).reshape(6, 4, 10)
    table = {"features": features, "track_id": [f"t{i}" for i in range(6)], "genre": list("aabbab")}
    np.savez(path, **{key: np.asarray(value) for key, value in (table | arrays).items() if value is not None})
    return path


# --- folders ----------------------------------------------------------------------------------------------------------


def test_a_folder_gives_a_track_for_each_file_with_the_artist_of_the_table(audio_folder: Path) -> None:
    dataset = open_dataset(str(audio_folder))
    assert dataset.name == "little"
    assert dataset.genres == ("high", "low")
    assert [track.track_id for track in dataset.tracks][:2] == ["high/0", "high/1"]
    assert [track.artist for track in dataset.tracks][:2] == ["high artist 0", "high artist 1"]
    assert dataset.tracks[0].path == audio_folder / "high" / "0.wav"
    assert not dataset.is_synthetic
    assert dataset.notes == ()


def test_the_digest_is_of_ids_genres_artists_and_contents_and_of_nothing_else(audio_folder: Path) -> None:
    def digest() -> str:
        return open_dataset(str(audio_folder)).digest

    first = digest()
    table = (audio_folder / "tracks.csv").read_text()
    (audio_folder / "tracks.csv").write_text(table.replace("low artist 3", "low artist 2"))
    other_artist = digest()
    (audio_folder / "tracks.csv").write_text(table)
    os.utime(audio_folder / "low" / "3.wav", ns=(1, 1))
    assert digest() == first
    (audio_folder / "low" / "3.wav").rename(audio_folder / "low" / "4.wav")
    other_id = digest()
    (audio_folder / "low" / "4.wav").rename(audio_folder / "low" / "3.wav")
    with (audio_folder / "low" / "3.wav").open("ab") as file:
        file.write(b"\0\0")
    assert len({first, other_artist, other_id, digest()}) == 4


def test_the_digest_does_not_depend_on_where_the_folder_lies(audio_folder: Path) -> None:
    before = open_dataset(str(audio_folder)).digest
    moved = audio_folder.rename(audio_folder.with_name("elsewhere"))
    assert open_dataset(str(moved)).digest == before


def test_equal_stems_keep_their_suffix(audio_folder: Path) -> None:
    os.link(audio_folder / "low" / "0.wav", audio_folder / "low" / "0.flac")
    ids = {track.track_id for track in open_dataset(str(audio_folder)).tracks}
    assert {"low/0.wav", "low/0.flac", "low/1"} <= ids
    assert "low/0" not in ids


def test_a_dirty_folder_opens_and_tells_what_it_left_out(audio_folder: Path) -> None:
    (audio_folder / "nothing here").mkdir()
    (audio_folder / ".hidden").mkdir()
    (audio_folder / "readme.txt").write_text("hello")
    low = audio_folder / "low"
    (low / "notes.txt").write_text("hello")
    (low / "._0.wav").write_bytes(b"a resource fork")
    (low / "empty.wav").touch()
    (low / "also empty.mp3").touch()
    (low / "dangling.wav").symlink_to("nowhere.wav")
    (low / "loop.wav").symlink_to("loop.wav")
    (low / "folder.wav").mkdir()
    (audio_folder / "loop").symlink_to("loop")
    (audio_folder / "high" / "gr\u00fc\u00dfe \u97f3\u697d.WAV").write_bytes((low / "0.wav").read_bytes())
    (audio_folder / "high" / os.fsdecode(b"latin \xe9.wav")).write_bytes((low / "1.wav").read_bytes())
    dataset = open_dataset(str(audio_folder))
    assert Counter(track.genre for track in dataset.tracks) == {"high": 6, "low": 4}
    assert dataset.notes == (
        "2 files left out: empty (first 'low/also empty.mp3')",
        "3 files left out: cannot be read (first 'low/dangling.wav')",
    )
    json.dumps([track.track_id for track in dataset.tracks])


def test_a_file_that_may_not_be_read_is_left_out(audio_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readable = reading.file_hash

    def refuse(path: Path) -> str:
        if path.name == "2.wav":
            raise PermissionError(13, "Permission denied")
        return readable(path)

    monkeypatch.setattr(folder, "file_hash", refuse)  # tests may run as root, who may read everything
    dataset = open_dataset(str(audio_folder))
    assert len(dataset.tracks) == 6
    assert dataset.notes[0] == "2 files left out: cannot be read (first 'high/2.wav')"


def test_a_folder_without_audio_says_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / "blues").mkdir()
    (tmp_path / "blues" / "x.wav").touch()
    with pytest.raises(
        DatasetError,
        match=r"^no usable audio in .*: expected <genre>/<file> with one of \.au, \.flac, \.mp3, \.ogg, \.wav$",
    ):
        open_dataset(str(tmp_path))


def test_one_genre_is_not_enough(audio_folder: Path) -> None:
    (audio_folder / "low").rename(audio_folder.parent / "gone")
    with pytest.raises(DatasetError, match=r"^dataset 'little' must have at least 2 genres, got high$"):
        open_dataset(str(audio_folder))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("path,genre\n", r"tracks\.csv: column artist is missing"),
        ("", r"tracks\.csv: column artist and path is missing"),
        ("path,artist\n\nlow/0.wav\n", r"tracks\.csv:3: must have 2 cells, as the first line has, got 1 \(.*\)"),
        ("genre,path,artist\nlow\n", r"tracks\.csv:2: must have 3 cells, as the first line has, got 1 \(.*\)"),
        ("path,artist\nlow/0.wav,Earth, Wind\n", r"tracks\.csv:2: must have 2 .* got 3 \(quote a cell with a comma\)"),
        (
            "path,artist\nlow/0.wav,A\n./low/0.wav,B\n",
            r"tracks\.csv:3: 'low/0.wav' is listed twice, with the artists 'A' and 'B'",
        ),
        ("path,artist,artist\nlow/0.wav,A,B\n", r"tracks\.csv: column artist is there twice"),
        ('path,artist\nlow/0.wav,"A\nlow/1.wav,B\n', r"tracks\.csv: cannot be read: unexpected end of data"),
        ("path,genre,artist\nlow/0.wav,high,x\n", r"tracks\.csv:2: genre must be its folder's name 'low', got 'high'"),
    ],
)
def test_a_table_that_cannot_be_right_is_an_error(audio_folder: Path, table: str, message: str) -> None:
    (audio_folder / "tracks.csv").write_text(table)
    with pytest.raises(DatasetError, match=rf"^.*/{message}$"):
        open_dataset(str(audio_folder))


@pytest.mark.parametrize(
    ("stand_in", "reason"),
    [
        (os.mkfifo, "not a regular file"),
        (os.mkdir, "Is a directory"),
        (lambda table: os.symlink("nowhere", table), "No such file or directory"),
        (lambda table: os.symlink("/dev/zero", table), "not a regular file"),
    ],
    ids=["pipe", "folder", "broken link", "device"],
)
def test_a_table_that_is_no_file_is_not_taken_for_none(audio_folder: Path, stand_in, reason: str) -> None:
    """Without its artists every track would count as an artist of its own, and the split would leak."""
    table = audio_folder / "tracks.csv"
    table.unlink()
    stand_in(table)
    with pytest.raises(DatasetError, match=rf"^{table}: cannot be read: {reason}$"):
        open_dataset(str(audio_folder))


@pytest.mark.parametrize("spec", ["/", "//", "."])
def test_a_path_without_a_name_is_no_dataset(tmp_path: Path, spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(folder, "audio_files", lambda root: iter(()))
    with pytest.raises(DatasetError, match=r"^no usable audio in /"):
        open_dataset(spec)


def test_a_table_may_name_some_artists_and_files_that_are_gone(audio_folder: Path) -> None:
    (audio_folder / "tracks.csv").write_text(
        "artist,year,path\nSomeone,1999,low/0.wav\n,2000,low/1.wav\nX,2001,low/9.wav\n"
    )
    dataset = open_dataset(str(audio_folder))
    assert {track.track_id: track.artist for track in dataset.tracks if track.artist} == {"low/0": "Someone"}
    assert dataset.notes == ("tracks.csv lists 1 files that are not used (first 'low/9.wav')",)


def test_contents_are_read_once_while_files_do_not_change(audio_folder: Path) -> None:
    read: list[str] = []

    def hash_one(path: Path) -> str:
        read.append(path.name)
        return "hash of " + path.name

    files = sorted((audio_folder / "low").iterdir())
    first = contents.hashes(files, of=audio_folder / "low", hash_one=hash_one)
    assert contents.hashes(files, of=audio_folder / "low", hash_one=hash_one) == first
    assert len(read) == 4
    os.utime(files[0], ns=(5, 5))
    contents.hashes(files, of=audio_folder / "low", hash_one=hash_one)
    assert read[4:] == [files[0].name]


def test_a_damaged_list_of_contents_is_made_anew(audio_folder: Path) -> None:
    digest = open_dataset(str(audio_folder)).digest
    for store in (cache_dir() / "contents").iterdir():
        store.write_text('{"half": [1,')
    assert open_dataset(str(audio_folder)).digest == digest


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_name_is_looked_up_in_mgc_data(audio_folder: Path, mgc_data: Path) -> None:
    audio_folder.rename(mgc_data / "mine")
    write_features(mgc_data / "computed.npz")
    assert open_dataset("mine").name == "mine"
    assert open_dataset("computed").precomputed is not None


def test_an_unknown_name_is_answered_with_the_nearest(audio_folder: Path, mgc_data: Path) -> None:
    audio_folder.rename(mgc_data / "ballads")
    for beside in ("ballads.lock", "notes.txt"):  # a download leaves its lock
        (mgc_data / beside).touch()
    with pytest.raises(DatasetError, match=r"^no dataset 'balads': .* under .*/data \(did you mean 'ballads'\?\)$"):
        open_dataset("balads")
    with pytest.raises(DatasetError, match=r"\(there is ballads, fma_small, gtzan, synthetic\)$"):
        open_dataset("xyz")


def test_a_file_that_is_no_npz_is_refused(audio_folder: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"^dataset must be a folder or an \.npz file, got the file '.*tracks\.csv'$"
    ):
        open_dataset(str(audio_folder / "tracks.csv"))


def test_missing_gtzan_says_how_to_get_it(mgc_data: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"^GTZAN is not in .*/data/gtzan: run python -m mgc\.datasets download gtzan, or .*$"
    ):
        open_dataset("gtzan")


@pytest.mark.parametrize("inside", ["", "genres", "Data/genres_original"])
def test_gtzan_is_found_however_it_was_unpacked(mgc_data: Path, inside: str, audio_folder: Path) -> None:
    for genre in gtzan.GENRES:
        (mgc_data / "gtzan" / inside / genre).mkdir(parents=True)
        sound = (audio_folder / "low" / "0.wav").read_bytes()
        (mgc_data / "gtzan" / inside / genre / f"{genre}.00000.wav").write_bytes(sound)
    dataset = open_dataset("gtzan")
    assert dataset.name == "gtzan"
    assert dataset.genres == gtzan.GENRES
    assert dataset.tracks[0].artist == "gtzan-0"


def test_opening_datasets_imports_nothing_heavy() -> None:
    code = (
        "import sys, mgc.datasets.folder, mgc.datasets.synthetic, mgc.datasets.precomputed, mgc.tracks.splits;"
        "print([name for name in ('torch', 'librosa', 'pandas', 'scipy', 'soundfile') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# --- GTZAN's facts ----------------------------------------------------------------------------------------------------


def test_gtzans_artists_are_those_published() -> None:
    artists = gtzan_lists.artists()
    assert len(artists) == 948
    assert len(set(artists.values())) == 412
    genres_of_artist = {(artist, track_id.split(".")[0]) for track_id, artist in artists.items()}
    assert len(genres_of_artist) == 412  # no artist in two genres


def test_the_fault_filtered_lists_are_those_published() -> None:
    counts = Counter(gtzan_lists.fault_filtered().values())
    assert counts == {"train": 443, "validation": 197, "test": 290, "excluded": 70}
    parts_of_artist: dict[str, set[str]] = {}
    for track_id, part in gtzan_lists.fault_filtered().items():
        if track_id in gtzan_lists.artists() and part != "excluded":
            parts_of_artist.setdefault(gtzan_lists.artists()[track_id], set()).add(part)
    assert [artist for artist, parts in parts_of_artist.items() if len(parts) > 1] == ["gtzan-138"]


@pytest.mark.parametrize("track_id", ["blues.00001", "blues/blues.00001", "blues.00001.wav", "x/blues/blues.00001.au"])
def test_gtzans_id_is_found_in_every_spelling(track_id: str) -> None:
    assert gtzan_lists.gtzan_id(track_id) == "blues.00001"


def test_real_gtzan_opens_with_its_artists(gtzan_mini: Path) -> None:
    dataset = open_dataset(str(gtzan_mini))
    assert Counter(track.genre for track in dataset.tracks) == dict.fromkeys(gtzan.GENRES, 10)
    assert {track.artist for track in dataset.tracks if track.genre == "blues"} == {"gtzan-0"}
    [note] = dataset.notes
    assert note == "taken for GTZAN by the lengths of 100 of its 100 tracks: its published artists and faults are used"
    assert verify(str(gtzan_mini), progress=False).remarks


@pytest.fixture(scope="module")
def namesakes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty tones of 30 s in a folder where every name is one of GTZAN's."""
    root = tmp_path_factory.mktemp("namesakes") / "music"
    for genre in ("jazz", "rock"):
        (root / genre).mkdir(parents=True)
        for number in range(36, 46):
            write_sound(root / genre / f"{genre}.{number:05}.flac", 661_500)
    return root


def write_sound(path: Path, num_samples: int) -> None:
    soundfile.write(path, np.tile(np.sin(np.arange(100)), num_samples // 100 + 1)[:num_samples], 22_050)


def test_own_files_with_gtzans_names_are_not_gtzan(namesakes: Path) -> None:
    dataset = open_dataset(str(namesakes))
    assert not dataset.is_gtzan
    assert {track.artist for track in dataset.tracks} == {None}
    assert dataset.notes == (
        "20 tracks are named like GTZAN's, but nothing shows that they are: its artists and faults are not used "
        f"(if it is a copy of GTZAN, name it gtzan:{namesakes})",
    )
    assert verify(str(namesakes), progress=False).remarks == {}
    with pytest.raises(ConfigError, match=r"'fault_filtered' lists .* and music is not known to be GTZAN: "):
        make_split(dataset, DataConfig(split="fault_filtered"))


def test_a_copy_of_gtzan_is_gtzan_where_the_user_says_so(namesakes: Path) -> None:
    dataset = open_dataset(f"gtzan:{namesakes}")
    assert dataset.is_gtzan
    assert {track.artist for track in dataset.tracks} <= {*gtzan_lists.artists().values(), None}
    assert dataset.notes == ("taken for GTZAN by its name: its published artists and faults are used",)
    assert verify(f"gtzan:{namesakes}", progress=False).remarks


def test_other_music_is_not_gtzan_whatever_the_user_says(audio_folder: Path) -> None:
    with pytest.raises(DatasetError, match=r"^no track of little has a name of GTZAN's, such as blues\.00000$"):
        open_dataset(f"gtzan:{audio_folder}")


def with_published_lengths(root: Path, *, but: int = 0) -> Path:
    """Silence as long as tracks of GTZAN, and under their names; some tracks are a sample longer."""
    for number, own_id in enumerate(sorted(gtzan_lists.lengths())[90:110]):
        path = root / own_id.split(".")[0] / f"{own_id}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sound(path, gtzan_lists.lengths()[own_id] + (number < but))
    return root


@pytest.mark.parametrize(("but", "is_gtzan"), [(0, True), (2, True), (3, False)])
def test_gtzan_is_recognized_by_the_lengths_of_nearly_all_tracks(tmp_path: Path, but: int, is_gtzan: bool) -> None:
    dataset = open_dataset(str(with_published_lengths(tmp_path / "music", but=but)))
    assert dataset.is_gtzan == is_gtzan
    assert any(track.artist for track in dataset.tracks) == is_gtzan


def test_a_table_beside_the_files_wins_over_gtzans_lists(tmp_path: Path) -> None:
    root = with_published_lengths(tmp_path / "music")
    rows = [f"{path.relative_to(root).as_posix()},artist {path.stem}" for path in root.glob("*/*.flac")]
    (root / "tracks.csv").write_text("\n".join(["path,artist", *rows]))
    dataset = open_dataset(str(root))
    assert not dataset.is_gtzan
    assert {track.artist for track in dataset.tracks} == {f"artist {path.stem}" for path in root.glob("*/*.flac")}
    assert verify(str(root), progress=False).remarks == {}
    assert open_dataset(f"gtzan:{root}").tracks[0].artist == dataset.tracks[0].artist


def test_the_published_lengths_are_those_of_real_gtzan(gtzan_mini: Path) -> None:
    assert len(gtzan_lists.lengths()) == 1000
    for path in gtzan_mini.glob("*/*.flac"):
        assert soundfile.info(path).frames == gtzan_lists.lengths()[path.stem]


# --- precomputed ------------------------------------------------------------------------------------------------------


def test_a_precomputed_file_gives_tracks_shape_and_facts(tmp_path: Path) -> None:
    path = write_features(tmp_path / "x.npz", artist=[*"uvwxy", ""], sr=22_050, n_fft=2048, frame_seconds=0.05)
    dataset = open_dataset(str(path))
    assert [track.track_id for track in dataset.tracks] == ["t0", "t1", "t2", "t3", "t4", "t5"]
    assert [track.artist for track in dataset.tracks] == ["u", "v", "w", "x", "y", None]
    assert dataset.tracks[0].path is None
    assert dataset.precomputed is not None
    assert (dataset.precomputed.bins, dataset.precomputed.frames) == (4, 10)
    assert dataset.precomputed.frame_seconds == 0.05
    assert dataset.precomputed.settings == {"sr": 22_050, "n_fft": 2048}
    np.testing.assert_array_equal(
        np.stack(list(dataset.precomputed.pictures())), np.arange(240, dtype=np.uint8).reshape(6, 4, 10)
    )


def test_without_frame_seconds_the_frames_share_thirty_seconds(tmp_path: Path) -> None:
    dataset = precomputed.read(write_features(tmp_path / "x.npz"))
    assert dataset.precomputed is not None
    assert dataset.precomputed.frame_seconds == 3.0


def test_its_own_split_is_kept(tmp_path: Path) -> None:
    parts = ["train", "valid", "test", "excluded", "validation", "train"]
    dataset = precomputed.read(write_features(tmp_path / "x.npz", some_split=parts))
    assert dataset.own_split == dict(
        zip(("t0", "t1", "t2", "t3", "t4", "t5"), ["train", "validation", "test", "excluded", "validation", "train"],
            strict=True)
    )  # fmt: skip


def test_equal_features_have_equal_contents_and_other_features_another_digest(tmp_path: Path) -> None:
    features = np.arange(240, dtype=np.uint8).reshape(6, 4, 10)
    features[4] = features[0]
    one, other = (
        precomputed.read(write_features(tmp_path / "1.npz")),
        precomputed.read(write_features(tmp_path / "2.npz", features=features)),
    )
    assert other.tracks[4].content == other.tracks[0].content != other.tracks[1].content
    assert one.digest != other.digest


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"genre": None}, "array 'genre' is missing"),
        ({"features": None}, "array 'features' is missing"),
        ({"features": np.zeros((6, 4))}, r"features must be tracks x bins x frames, got the shape \(6, 4\)"),
        ({"genre": list("ab")}, r"genre must have 6 items, got the shape \(2,\)"),
        ({"track_id": list("abcdea")}, "track_id must be unique, got 'a' twice"),
        ({"a_split": ["train"] * 6, "b_split": ["train"] * 6}, "must have one split, got a_split and b_split"),
        ({"a_split": ["tran"] * 6}, "a_split must be one of train, valid, validation, test, excluded, got 'tran'"),
    ],
)
def test_arrays_that_do_not_fit_are_one_line(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=rf"^.*/x\.npz: {message}$"):
        precomputed.read(write_features(tmp_path / "x.npz", **arrays))


def test_a_file_that_is_no_archive_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_text("hello")
    with pytest.raises(DatasetError, match=r"^.*/x\.npz: cannot be read as \.npz: File is not a zip file$"):
        precomputed.read(tmp_path / "x.npz")


@pytest.mark.parametrize("prefix", ["", "gtzan:"])
def test_real_gtzan_features_bring_the_published_split_and_with_the_users_word_the_artists(
    gtzan_logmel: Path, prefix: str
) -> None:
    dataset = open_dataset(f"{prefix}{gtzan_logmel}")
    assert dataset.precomputed is not None
    assert (dataset.precomputed.bins, dataset.precomputed.frames, dataset.precomputed.frame_seconds) == (64, 500, 0.06)
    assert sum(track.artist is None for track in dataset.tracks) == (52 if prefix else 999)
    assert len(make_split(dataset, DataConfig(split="fault_filtered")).parts) == 929
    published = gtzan_lists.fault_filtered()
    assert dataset.own_split == {t.track_id: published[str(gtzan_lists.gtzan_id(t.track_id))] for t in dataset.tracks}


def test_for_a_misspelled_folder_its_neighbor_is_proposed(audio_folder: Path) -> None:
    with pytest.raises(DatasetError, match=r" \(did you mean 'little'\?\)$"):
        open_dataset(str(audio_folder.with_name("litle")))
