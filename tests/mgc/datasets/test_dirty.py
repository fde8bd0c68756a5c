"""Folders as users have them: every kind of file that is not as it should be, with real bytes, all the way to training.

What opening a folder leaves out, what decoding refuses, and what a training makes of the rest.
"""

from __future__ import annotations

import io
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from rich.cells import cell_len
from tiny_dataset import SR, tiny_config, tone_in_noise, write_tracks

from mgc.clips.clips import open_clips
from mgc.config import DataConfig, FeatureConfig
from mgc.datasets import __main__ as cli
from mgc.datasets import dataset_info
from mgc.datasets.registry import open_dataset
from mgc.datasets.verify import verify
from mgc.features.audio import AudioError, decode, header
from mgc.features.features import open_store
from mgc.saved import save_model
from mgc.tracks.dataset import DatasetError
from mgc.tracks.splits import make_split
from mgc.training.training import Training
from mgc.words.errors import ConfigError

FEATURES = FeatureConfig(sr=SR, n_fft=256, hop_length=128, n_mels=32)
TONE = tone_in_noise(2 * SR, 250.0, seed=999)


def encoded(y_S: np.ndarray = TONE, file_format: str = "WAV", sr: int = SR, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, y_S, sr, format=file_format, subtype=subtype)
    return file.getvalue()


def with_nan(value: float) -> np.ndarray:
    y_S = TONE.copy()
    y_S[SR] = value
    return y_S


def header_of_years() -> bytes:
    """A FLAC whose header promises 2^36 - 1 samples; its sound is two seconds."""
    content = bytearray(encoded(file_format="FLAC"))
    content[21] |= 0x0F
    content[22:26] = b"\xff" * 4
    return bytes(content)


def wav_header(**changes: int) -> bytes:
    content = bytearray(encoded(subtype="PCM_16"))
    for place, value in changes.items():
        at = int(place.removeprefix("at_"))
        content[at : at + 4] = value.to_bytes(4, "little")
    return bytes(content)


MP3 = encoded(file_format="MP3")

REFUSED = {
    "zero bytes.wav": (b"", "is empty"),
    "text.wav": (b"I am no sound\n" * 50, "cannot be decoded"),
    "text.au": (b"I am no sound\n" * 500, "cannot be decoded"),
    "text.mp3": (b"I am no sound\n" * 50, "cannot be decoded"),
    "html.flac": (b"<!DOCTYPE html><html>404</html>", "cannot be decoded"),
    "header only.wav": (encoded(np.zeros(0)), "has no samples"),
    "half a header.wav": (encoded()[:20], "cannot be decoded"),
    "cut off.flac": (encoded(file_format="FLAC")[:9000], "cannot be decoded"),
    "noise.mp3": (np.random.default_rng(0).bytes(3000), "cannot be decoded"),
    "years in the header.flac": (header_of_years(), "cannot be decoded"),
    "nan.wav": (encoded(with_nan(np.nan), subtype="FLOAT"), "has samples that are not finite"),
    "infinity.wav": (encoded(with_nan(np.inf), subtype="DOUBLE"), "has samples that are not finite"),
    "a flipped exponent.wav": (encoded(with_nan(1e30), subtype="FLOAT"), r"has samples beyond 1e\+10 times full scale"),
    "no rate.wav": (wav_header(at_24=1), "has a sampling rate of 1 Hz, must be 1000 to 768000"),
}
"""File -> its bytes, and what is said of it. Such a track is left out of a training."""

HEARD = {
    "8 bit.wav": (encoded(subtype="PCM_U8"), 2.0),
    "24 bit.wav": (encoded(subtype="PCM_24"), 2.0),
    "float.wav": (encoded(subtype="FLOAT"), 2.0),
    "double.wav": (encoded(subtype="DOUBLE"), 2.0),
    "a-law.au": (encoded(file_format="AU", subtype="ALAW"), 2.0),
    "48 kHz stereo.wav": (encoded(np.stack([np.repeat(TONE, 6)] * 2, axis=1), sr=48_000), 2.0),
    "six channels.flac": (encoded(np.stack([TONE] * 6, axis=1), "FLAC"), 2.0),
    "cut off.wav": (encoded(subtype="PCM_16")[: 44 + 2 * SR], 1.0),
    "cut off.mp3": (MP3[: len(MP3) // 2], 1.0),
    "id3 before.mp3": (b"ID3\x04\x00\x00\x00\x00\x07\x76" + b"\0" * 1014 + MP3, 2.0),
    "broken first frame.mp3": (MP3[:200] + b"\x55" * 400 + MP3[600:], 2.0),
    "garbage after.wav": (encoded(subtype="PCM_16") + b"LIST" + b"\xff" * 500, 2.0),
    "no length in the header.wav": (wav_header(at_4=0xFFFFFFFF, at_40=0xFFFFFFFF), 2.0),
    "silent.wav": (encoded(np.zeros(2 * SR)), 2.0),
    "wrong suffix.mp3": (encoded(), 2.0),
}
"""File -> its bytes, and how many seconds of sound it gives."""


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_line_that_names_the_file(tmp_path: Path, name: str, capfd) -> None:
    content, reason = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(AudioError, match=rf"^{tmp_path}/{name}: {reason}[^\n]*$"):
            decode(tmp_path / name, SR)
    assert [fault.what for fault in _verified(tmp_path / name) if re.match(reason, fault.what)]


@pytest.mark.parametrize("name", HEARD)
def test_it_is_heard_as_the_sound_that_it_is(tmp_path: Path, name: str) -> None:
    content, seconds = HEARD[name]
    (tmp_path / name).write_bytes(content)
    y_S = decode(tmp_path / name, SR)
    assert len(y_S) / SR == pytest.approx(seconds, abs=0.4 if name.endswith("mp3") else 0.001)
    assert np.isfinite(y_S).all()
    if "silent" not in name:
        assert 0.1 < np.abs(y_S[: SR // 2]).max() < 1.2


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("cut off.wav", r"is cut off: its header promises 2\.0 s, it has 1\.0 s"),
        ("cut off.mp3", r"is cut off: its header promises 2\.\d s, it has \d\.\d s"),
        ("silent.wav", "is silent"),
        ("no length in the header.wav", None),
        ("id3 before.mp3", None),
        ("24 bit.wav", None),
    ],
)
def test_verify_tells_what_can_be_heard_and_is_not_whole(tmp_path: Path, name: str, told: str | None) -> None:
    (tmp_path / name).write_bytes(HEARD[name][0])
    found = [fault.what for fault in _verified(tmp_path / name)]
    assert found == [] if told is None else len(found) == 1 and re.fullmatch(told, found[0])


def _verified(file: Path) -> list:
    """The faults that `verify` finds in one file among good ones."""
    root = write_tracks(file.parent / "good", [1.0] * 2)
    os.link(file, root / "low" / file.name)
    return [fault for fault in verify(str(root), progress=False).faults if fault.file == f"low/{file.name}"]


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """Two genres of good tracks; beside them what has no end: a pipe into which nobody writes, a link to a device."""
    root = write_tracks(tmp_path / "endless", [1.0] * 4)
    os.mkfifo(root / "low" / "a pipe.wav")
    (root / "high" / "zeros.wav").symlink_to("/dev/zero")
    return root


COMMANDS = {
    "info": ("mgc.datasets", "info", "FOLDER"),
    "verify": ("mgc.datasets", "verify", "FOLDER"),
    "predict a pipe": ("mgc.predict", "FOLDER/low/a pipe.wav", "--model", "FOLDER/model"),
    "predict a device": ("mgc.predict", "FOLDER/high/zeros.wav", "--model", "FOLDER/model"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_waits_for_the_end_of_what_has_none(endless: Path, name: str) -> None:
    config = tiny_config(endless, epochs=1)
    save_model(endless / "model", Training(config, open_clips(config, progress=False)))
    command = [sys.executable, "-m", *(part.replace("FOLDER", str(endless)) for part in COMMANDS[name])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == {"info": 0, "verify": 1}.get(name, 2), done.stderr
    assert "Traceback" not in done.stderr
    assert "not a regular file" in done.stdout + done.stderr


def test_names_that_are_no_utf_8_are_texts_in_the_dataset(tmp_path: Path) -> None:
    root = write_tracks(tmp_path / "music", [1.0] * 2)
    (root / "low" / "low.0.wav").rename(root / "low" / os.fsdecode(b"caf\xe9.wav"))
    (root / "low").rename(root / os.fsdecode(b"sch\xf6n"))
    dataset = open_dataset(str(root.rename(tmp_path / os.fsdecode(b"\xff"))))
    assert (dataset.name, dataset.genres) == (r"\udcff", ("high", r"sch\udcf6n"))
    assert dataset.tracks[2].track_id == r"sch\udcf6n/caf\udce9"
    assert {header(track.path).samplerate for track in dataset.tracks if track.path} == {SR}
    assert len(open_store(dataset, FEATURES, "waveform", progress=False).tracks) == 4


def test_pipes_and_devices_are_left_out_with_a_note(endless: Path) -> None:
    dataset = open_dataset(str(endless))
    assert len(dataset.tracks) == 8
    assert dataset.notes == ("2 files left out: not a regular file (first 'high/zeros.wav')",)


# --- a training on all of it ------------------------------------------------------------------------------------------


@pytest.fixture
def dirty(tmp_path: Path) -> Path:
    """Two genres of six good tracks each, and one of everything."""
    root = write_tracks(tmp_path / "dirty", [1.0] * 6)
    for name, (content, _) in {**REFUSED, **HEARD}.items():
        (root / "low" / name).write_bytes(content)
    (root / "low" / "short.wav").write_bytes(encoded(TONE[: SR // 5]))
    (root / "low" / os.fsdecode(b"latin \xe9.wav")).write_bytes(encoded(TONE[::-1].copy()))
    (root / "high" / "gr\u00fc\u00dfe \u97f3\u697d.wav").write_bytes(encoded(-TONE))
    (root / "high" / ".hidden.wav").write_bytes(encoded())
    (root / "low" / "dangling.wav").symlink_to("nowhere.wav")
    (root / "low" / "loop.wav").symlink_to("loop.wav")
    (root / "high" / "loop").symlink_to(root)
    (root / "empty genre").mkdir()
    return root


def test_a_training_on_everything_at_once_is_finite_and_tells_what_it_left_out(dirty: Path, caplog, capfd) -> None:
    config = tiny_config(dirty, epochs=2)
    clips = open_clips(config, parts=("train", "validation", "test"), progress=False)
    for scores in Training(config, clips):
        assert all(np.isfinite(value) for value in scores.metrics().values())
    refused = len(REFUSED) - 1  # the empty one is not opened at all
    assert len([each for each in caplog.messages if each.startswith("skipped track")]) == refused
    assert clips.notes[:2] == (
        "2 files left out: cannot be read (first 'low/dangling.wav')",
        "1 file left out: empty (first 'low/zero bytes.wav')",
    )
    assert any(re.match(rf"{refused} of \d+ tracks are left out: they cannot be decoded", note) for note in clips.notes)
    assert any(
        note.startswith("left out because they are shorter than half a clip: 1 track (low/short)")
        for note in clips.notes
    )
    ids = {track_id for part in ("train", "validation", "test") for track_id in clips.track_ids(part)}
    assert len(ids) == 12 + len(HEARD) + 2
    assert "Warning" not in capfd.readouterr().err.replace("Warning: Xing stream size off", "")


def test_silence_alone_gives_no_nan(tmp_path: Path) -> None:
    for genre in ("a", "b"):
        (tmp_path / "music" / genre).mkdir(parents=True)
        for number in range(4):
            y_S = np.zeros(SR + 100 * number)
            soundfile.write(tmp_path / "music" / genre / f"{number}.wav", y_S, SR)
    for features in ({"spectrogram": "stft_db"}, {"spectrogram": "log_mel"}, {"modality": "both"}):
        config = tiny_config(tmp_path / "music", epochs=1, picture=[32, 32], **features)
        scores = Training(config, open_clips(config, progress=False)).epoch()
        assert all(np.isfinite(value) for value in scores.metrics().values()), features


def test_tracks_that_are_all_too_short_are_one_line(tmp_path: Path) -> None:
    root = write_tracks(tmp_path / "music", [0.2] * 4)
    with pytest.raises(ConfigError, match=r"^clip_seconds must be <= 0\.2 \(the tracks' length\), got 0\.6$"):
        open_clips(tiny_config(root), progress=False)
    clips = open_clips(tiny_config(root, clip_seconds=0.2, hop_length=32), progress=False)
    assert clips.num_clips("train") > 0


@pytest.mark.parametrize("num_samples", [1, 5, 100])
def test_a_track_of_a_few_samples_has_features(tmp_path: Path, num_samples: int) -> None:
    root = write_tracks(tmp_path / "music", [1.0])
    soundfile.write(root / "low" / "tick.wav", np.full(num_samples, 0.5), 48_000)
    for kind in ("spectrogram", "waveform"):
        store = open_store(open_dataset(str(root)), FEATURES, kind, progress=False)
        assert store.tracks["low/tick"].num_rows >= 1
        assert torch.isfinite(store.rows_RW.float()).all()


def test_a_genre_of_one_track_is_named_with_the_way_out(tmp_path: Path) -> None:
    root = write_tracks(tmp_path / "music", [1.0] * 4)
    (root / "one").mkdir()
    soundfile.write(root / "one" / "0.wav", TONE, SR)
    with pytest.raises(ConfigError, match=r"^data\.split 'track' needs >= 3 tracks per genre; one has 1: add tracks"):
        make_split(open_dataset(str(root)), DataConfig(dataset=str(root), split="track"))


def test_a_folder_without_genres_says_what_was_expected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(3):
        soundfile.write(tmp_path / f"{number}.wav", TONE, SR)
    with pytest.raises(DatasetError, match=r"^no usable audio in .*: expected <genre>/<file> with one of "):
        open_dataset(str(tmp_path))
    assert cli.main(["verify", str(tmp_path)]) == 1
    assert "expected <genre>/<file>" in capsys.readouterr().out
    assert cli.main(["info", str(tmp_path)]) == 2


# --- what may not be read ---------------------------------------------------------------------------------------------

AS_NOBODY = """
import os, sys
import librosa, soundfile
import mgc.features.features
from mgc.datasets import fma, folder, gtzan, precomputed, synthetic  # now: nobody may not read Python
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
from mgc.datasets.registry import open_dataset
dataset = open_dataset(sys.argv[1])
print(len(dataset.tracks), *dataset.notes, sep="\\n")
"""


def as_nobody(script: str, *arguments: object, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run a script as a user who has no rights here, as root would not notice that anything is forbidden."""
    environment = {**os.environ, "MGC_CACHE": str(cache)}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """A folder that every user may reach and write."""
    for folder in tmp_path.parents:
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(folder.stat().st_mode | 0o055)
    tmp_path.chmod(0o777)
    return tmp_path


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="needs root, which alone can become another user")
def test_what_may_not_be_read_is_left_out(public: Path) -> None:
    root = write_tracks(public / "music", [1.0] * 3, genres=("high", "low", "secret"))
    (root / "low" / "low.1.wav").chmod(0)
    (root / "secret").chmod(0)
    done = as_nobody(AS_NOBODY, root, cache=public / "cache")
    assert done.stdout.splitlines() == ["5", "1 file left out: cannot be read (first 'low/low.1.wav')"], done.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="needs root, which alone can become another user")
def test_a_cache_that_may_not_be_written_is_one_line(public: Path) -> None:
    (public / "cache").mkdir(mode=0o755)
    root = write_tracks(public / "music", [1.0] * 3)
    script = AS_NOBODY + (
        "from mgc.features.features import open_store; from mgc.config import FeatureConfig\n"
        "from mgc.words.errors import ConfigError\n"
        "try: open_store(dataset, FeatureConfig(), 'waveform', progress=False)\n"
        "except ConfigError as error: print(error)"
    )
    done = as_nobody(script, root, cache=public / "cache")
    assert done.stdout.startswith("6\n"), done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"folder {public}/cache/features cannot be made: Permission denied")


# --- folders that change ----------------------------------------------------------------------------------------------


def test_a_folder_that_changes_has_another_digest_and_another_store(tmp_path: Path) -> None:
    root = write_tracks(tmp_path / "music", [1.0] * 4)
    before = open_dataset(str(root))
    soundfile.write(root / "low" / "low.0.wav", TONE, SR)
    changed = open_dataset(str(root))
    (root / "low" / "low.1.wav").unlink()
    fewer = open_dataset(str(root))
    assert len({before.digest, changed.digest, fewer.digest}) == 3
    assert [len(each.tracks) for each in (before, changed, fewer)] == [8, 8, 7]
    stores = [open_store(each, FEATURES, "waveform", progress=False) for each in (before, changed)]
    assert len({store.rows_RW.data_ptr() for store in stores}) == 2


def test_clips_are_of_the_dataset_that_was_asked_for_or_of_none(tmp_path: Path) -> None:
    root = write_tracks(tmp_path / "music", [1.0] * 4)
    digest = open_dataset(str(root)).digest
    open_clips(tiny_config(root), progress=False, digest=digest)
    (root / "low" / "low.1.wav").unlink()
    with pytest.raises(DatasetError, match=rf"^dataset 'music' has changed: digest {digest} before, [0-9a-f]+ now$"):
        open_clips(tiny_config(root), progress=False, digest=digest)


def test_a_file_that_vanishes_before_it_is_decoded_is_skipped(tmp_path: Path) -> None:
    root = write_tracks(tmp_path / "music", [1.0] * 4)
    dataset = open_dataset(str(root))
    (root / "low" / "low.1.wav").unlink()
    store = open_store(dataset, FEATURES, "waveform", progress=False)
    assert list(store.skipped) == ["low/low.1"]
    assert "No such file" in store.skipped["low/low.1"]


def test_a_file_that_vanishes_while_the_folder_is_read_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_tracks(tmp_path / "music", [1.0] * 4)

    def slow_hash(path: Path) -> str:
        content = path.read_bytes()
        (root / "low" / "low.1.wav").unlink(missing_ok=True)
        return str(len(content))

    monkeypatch.setattr("mgc.datasets.folder.file_hash", slow_hash)
    dataset = open_dataset(str(root))
    assert len(dataset.tracks) == 7
    assert dataset.notes == ("1 file left out: cannot be read (first 'low/low.1.wav')",)


# --- repetitions ------------------------------------------------------------------------------------------------------


def test_the_same_sound_in_another_format_or_genre_is_found(tmp_path: Path) -> None:
    root = write_tracks(tmp_path / "music", [1.0] * 2)
    y_S, _ = soundfile.read(root / "high" / "high.0.wav")
    soundfile.write(root / "high" / "copy.flac", y_S, SR)
    soundfile.write(root / "low" / "copy.wav", y_S, SR)
    assert [(fault.file, fault.what) for fault in verify(str(root), progress=False).faults] == [
        ("high/high.0.wav", "repeats high/copy.flac"),
        ("low/copy.wav", "repeats high/copy.flac, of another genre"),
    ]


def test_split_track_keeps_repetitions_on_one_side(tmp_path: Path) -> None:
    root = write_tracks(tmp_path / "music", [1.0] * 8)
    for number in range(4):
        os.link(root / "low" / "low.0.wav", root / "low" / f"copy {number}.wav")
    dataset = open_dataset(str(root))
    for seed in range(5):
        parts = make_split(dataset, DataConfig(dataset=str(root), split="track", split_seed=seed)).parts
        assert len({part for track_id, part in parts.items() if "copy" in track_id or track_id == "low/low.0"}) == 1


# --- GTZAN's own faults -----------------------------------------------------------------------------------------------


def test_verify_names_gtzans_known_faults(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for genre, numbers in {"jazz": (33, 54, 1), "disco": (51, 0, 1)}.items():
        (tmp_path / "copy" / genre).mkdir(parents=True)
        for number in numbers:
            y_S = tone_in_noise(2 * SR, 200.0 + number, seed=number + len(genre))
            soundfile.write(tmp_path / "copy" / genre / f"{genre}.{number:05}.wav", y_S, SR)
    (tmp_path / "copy" / "jazz" / "jazz.00054.wav").write_bytes(b"no sound at all" * 100)
    assert cli.main(["verify", f"gtzan:{tmp_path / 'copy'}"]) == 1
    out = capsys.readouterr().out
    assert "jazz/jazz.00054.wav  cannot be decoded" in out
    assert "(known: broken in common copies of GTZAN)" in out
    assert "2 tracks excluded from the fault-filtered split" in out
    assert "disco.00051, jazz.00033" in out
    assert "1 track of no known artist" in out


def test_verify_exits_with_0_where_nothing_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_tracks(tmp_path / "music", [1.0] * 3)
    assert cli.main(["verify", str(root)]) == 0
    assert capsys.readouterr().out == "6 files checked: no faults\n"
    assert cli.main(["verify", str(tmp_path / "musik")]) == 2


def test_info_tells_what_the_splits_hold_and_leak(audio_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = (audio_folder / "tracks.csv").read_text()
    (audio_folder / "tracks.csv").write_text(table.replace("artist 3", "artist 2").replace("artist 1", "artist 2"))
    (audio_folder / "low" / "9.wav").write_bytes((audio_folder / "low" / "0.wav").read_bytes())
    assert cli.main(["info", str(audio_folder)]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[0].startswith("little: 9 tracks, 0.00 h, digest ")
    assert {"high 4 2 0.00", "low 5 2 0.00", "all 9 4 0.00"} <= set(lines)
    assert "9 x 8000 Hz, 1 channel, WAV PCM_16" in lines
    assert "exact repetitions: low/0, low/9" in lines
    assert any(
        line.startswith("artist - - - data.split 'artist' needs >= 3 artists per genre; high has 2") for line in lines
    )
    assert any("1 track of train's artists, 0 repetitions" in line for line in lines if line.startswith("track "))
    assert "clip * * * every track: its clips are in train, validation and test" in lines


def test_info_claims_nothing_of_artists_whom_nobody_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", str(write_tracks(tmp_path / "music", [1.0] * 4))]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    leaks = {row[0]: " ".join(row[4:]) for row in rows if row and row[0] in ("artist", "track")}
    assert leaks == {"artist": "artists unknown, 0 repetitions", "track": "artists unknown, 0 repetitions"}


# --- many files -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_twenty_thousand_files_open_in_seconds(tmp_path: Path) -> None:
    content = bytearray(encoded(TONE[:400], subtype="PCM_16"))
    for genre in range(10):
        (tmp_path / "many" / f"genre {genre}").mkdir(parents=True)
        for number in range(2000):
            content[44:48] = (2000 * genre + number).to_bytes(4, "little")
            (tmp_path / "many" / f"genre {genre}" / f"{number}.wav").write_bytes(content)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    dataset = open_dataset(str(tmp_path / "many"))
    first, started = time.monotonic() - started, time.monotonic()
    assert open_dataset(str(tmp_path / "many")).digest == dataset.digest
    again, started = time.monotonic() - started, time.monotonic()
    make_split(dataset, DataConfig(dataset="x", split="track"))
    split = time.monotonic() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"20000 files: first {first:.1f} s, again {again:.1f} s, split {split:.1f} s, {grown:.0f} MB")
    assert len(dataset.tracks) == 20_000
    assert again < 15 and first < 60 and grown < 200 and split < 30
    assert threading.active_count() < 20


OBEYED = "a\x1b[2J\nb\u202e"
"""A name that clears the screen, ends the line and turns the rest of it around."""


def test_no_name_of_a_file_or_genre_is_obeyed_by_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_tracks(tmp_path / "music", [1.0] * 3, genres=("high", OBEYED))
    (root / "high" / f"{OBEYED}.wav").write_bytes(b"I am no sound")
    dataset = open_dataset(str(root))
    assert dataset.genres == (r"a\x1b[2J\nb\u202e", "high")
    with pytest.raises(AudioError, match=r"^[ -~]+/a\\x1b\[2J\\nb\\u202e\.wav: cannot be decoded: [ -~]+$"):
        decode(root / "high" / f"{OBEYED}.wav", SR)
    assert cli.main(["verify", str(root)]) == 1
    assert cli.main(["info", str(root)]) == 0
    out, err = capsys.readouterr()
    assert r"high/a\x1b[2J\nb\u202e.wav" in out
    assert re.fullmatch(r"[ -~\n]+", out + err)


def test_the_hours_of_a_dataset_are_not_what_a_lying_header_promises(tmp_path: Path) -> None:
    root = write_tracks(tmp_path / "music", [36.0], genres=("high", "low"))
    (root / "low" / "years.flac").write_bytes(header_of_years())
    assert [round(genre.hours, 2) for genre in dataset_info.genres(open_dataset(str(root)))] == [0.01, 0.01]


def test_checksums_that_are_no_text_are_a_fault_and_no_end(tmp_path: Path) -> None:
    root = write_tracks(tmp_path / "music", [1.0] * 3)
    (root / ".checksums").write_bytes(b"\xff\xfe  a\xff.wav\n")
    assert "a\udcff.wav" in {fault.file for fault in verify(str(root), progress=False).faults}


def test_names_in_a_table_line_up_and_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    cli._print_table(
        [
            ("file", "what is wrong"),
            ("\u4f4e\u3044/[red]\u540d\u524d.wav", "a"),
            ("high/" + 200 * "x", "b"),
            ("\udcff", "c"),
        ]
    )
    *_, wide, long, escaped = capsys.readouterr().out.splitlines()
    assert wide.startswith("\u4f4e\u3044/[red]\u540d\u524d.wav ") and escaped.startswith("\\udcff ")
    assert long.rstrip() == "high/" + 200 * "x" + "  b"
    assert cell_len(wide[: wide.rindex("a")]) == len("high/") + 200 + 2
