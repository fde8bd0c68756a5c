"""`python -m mgc.predict`: any file of any length, several at once, in words, JSON and pictures."""

from __future__ import annotations

import json
import os
import pickle
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_dataset import SR, tiny_config, tone_in_noise, write_tracks

from mgc import predict
from mgc.clips import open_clips
from mgc.datasets import open_dataset
from mgc.predict import PIECE_S, hear, newest_model
from mgc.saved import SavedModel, load_model, save_model
from mgc.train import Training


@pytest.fixture(scope="module")
def tracks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tracks(tmp_path_factory.mktemp("predict") / "music", [2.0, 1.5, 1.0, 0.5])


@pytest.fixture(scope="module")
def training(tracks: Path) -> Training:
    config = tiny_config(tracks, epochs=6)
    training = Training(config, open_clips(config, parts=("train", "validation", "test"), progress=False))
    for _ in training:
        pass
    return training


@pytest.fixture(scope="module")
def folder(training: Training, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("saved") / "model", training)


@pytest.fixture(scope="module")
def model(folder: Path) -> SavedModel:
    return load_model(folder)


def song(path: Path, seconds: float, *, hz: float = 250.0, sr: int = SR) -> Path:
    soundfile.write(os.fsencode(path), tone_in_noise(int(seconds * sr), hz, seed=1), sr)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[str], list[str]]:
    status = predict.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return status, out.splitlines(), err.splitlines()


# --- what it says -----------------------------------------------------------------------------------------------------


def test_for_a_held_out_track_it_says_what_the_training_says(
    tracks: Path, training: Training, model: SavedModel
) -> None:
    predictions = training.predict("test")
    paths = {track.track_id: track.path for track in open_dataset(str(tracks)).tracks}
    for track_id, expected_G in zip(predictions.track_ids, predictions.by("sum")[0], strict=True):
        heard = hear(model, paths[track_id])
        np.testing.assert_allclose([heard.probabilities[genre] for genre in predictions.genres], expected_G, atol=1e-5)


@pytest.mark.parametrize("seconds", [0.001, 0.2, 0.31, 0.6, 44.0, 46.0, 100.0])
def test_any_length_is_heard(model: SavedModel, tmp_path: Path, seconds: float) -> None:
    heard = hear(model, song(tmp_path / "x.wav", seconds))
    assert sum(heard.probabilities.values()) == pytest.approx(1)
    num_pieces = 1 if seconds <= 1.5 * PIECE_S else round(seconds / PIECE_S)
    assert len(heard.start_s_N) == len(heard.probabilities_NG) == (4 * num_pieces if seconds > 0.6 else 1)
    assert (np.diff(heard.start_s_N) > 0).all()
    assert heard.start_s_N[-1] <= max(0.0, seconds - 0.6) + 0.02


def test_a_long_song_is_the_vote_of_its_pieces(model: SavedModel, tmp_path: Path) -> None:
    parts = [tone_in_noise(30 * SR, 250.0 * 2**octave, seed=octave) for octave in range(2)]
    soundfile.write(tmp_path / "both.wav", np.concatenate(parts), SR, subtype="PCM_16")
    both = hear(model, tmp_path / "both.wav")
    for number, y_S in enumerate(parts):
        soundfile.write(tmp_path / "one.wav", y_S, SR, subtype="PCM_16")
        one = hear(model, tmp_path / "one.wav")
        clips = slice(4 * number, 4 * number + 4)
        np.testing.assert_allclose(both.probabilities_NG[clips], one.probabilities_NG, atol=1e-6)
        np.testing.assert_allclose(both.start_s_N[clips], one.start_s_N + 30 * number)


def test_another_rate_and_stereo_are_heard_as_the_same_song(model: SavedModel, tmp_path: Path) -> None:
    y_S = tone_in_noise(2 * 48_000, 250.0, seed=1)
    soundfile.write(tmp_path / "stereo.wav", np.stack([y_S, y_S], axis=1), 48_000)
    soundfile.write(tmp_path / "mono.wav", y_S, 48_000)
    assert hear(model, tmp_path / "stereo.wav").probabilities == hear(model, tmp_path / "mono.wav").probabilities


def test_silence_has_probabilities(model: SavedModel, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros(2 * SR), SR)
    assert np.isfinite(hear(model, tmp_path / "x.wav").probabilities_NG).all()


# --- the command ------------------------------------------------------------------------------------------------------


def test_it_prints_the_most_probable_genres(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    path = song(tmp_path / "x.wav", 2.0)
    status, out, err = run(capsys, path, "--model", folder, "--top", "1")
    assert (status, err) == (0, [])
    assert len(out) == 1
    assert out[0].startswith(f"{path}: high ") or out[0].startswith(f"{path}: low ")
    assert out[0].endswith(" (4 clips, vote sum)")
    assert out[0].count(",") == 1


def test_json_is_one_object_per_song_and_line(
    capsys: pytest.CaptureFixture[str], folder: Path, model: SavedModel, tmp_path: Path
) -> None:
    paths = [song(tmp_path / os.fsdecode(b"a \xe9\nb.wav"), 2.0), song(tmp_path / "\u97f3 2.wav", 1.0, hz=500.0)]
    status, out, _ = run(capsys, *paths, "--model", folder, "--json")
    assert status == 0
    for path, line in zip(paths, out, strict=True):
        told = json.loads(line)
        assert told.keys() == {"path", "genre", "probabilities"}
        assert told["path"] == str(path)
        assert told["probabilities"] == hear(model, path).probabilities
        assert told["genre"] == max(told["probabilities"], key=told["probabilities"].get)


def test_what_cannot_be_heard_is_one_line_and_the_others_go_on(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    good = song(tmp_path / "good.wav", 1.0)
    bad = [tmp_path / name for name in ("missing.wav", "empty.mp3", "text.wav", "text.m4a", "two\nlines.wav")]
    bad[1].touch()
    for path in bad[2:]:
        path.write_text("not audio\n" * 100)
    status, out, err = run(capsys, bad[0], good, *bad[1:], tmp_path, good, "--model", folder)
    assert status == 2
    assert len(out) == 2
    assert len(err) == 6
    assert err[0] == f"{bad[0]}: cannot be read: No such file or directory"


def test_a_broken_mp3_is_one_line_also_where_its_decoder_complains_by_itself(
    capfd: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "noise.mp3"
    path.write_bytes(b"\xff\xfb\x90\x00" + np.random.default_rng(0).bytes(3000))
    assert predict.main([str(path), "--model", str(folder)]) == 2
    assert len(capfd.readouterr().err.splitlines()) == 1


def test_a_plot_is_drawn_beside_the_song_or_in_a_given_folder(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    path = song(tmp_path / "x.wav", 1.0)
    assert run(capsys, path, "--model", folder, "--plot")[0] == 0
    assert run(capsys, path, "--model", folder, "--plot", "--out", tmp_path / "plots")[0] == 0
    for png in (tmp_path / "x.wav.genres.png", tmp_path / "plots" / "x.wav.genres.png"):
        assert png.read_bytes().startswith(b"\x89PNG")
    status, _, err = run(capsys, path, "--model", folder, "--plot", "--out", path)
    assert (status, len(err)) == (2, 1)


# --- which model ------------------------------------------------------------------------------------------------------


def test_by_default_it_is_the_newest_under_runs(
    capsys: pytest.CaptureFixture[str],
    training: Training,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = song(tmp_path / "x.wav", 1.0)
    status, _, err = run(capsys, path)
    assert status == 2
    assert err == ["no model under runs/*/model: train one (python -m mgc.train), or give --model FOLDER"]
    for age, name in enumerate(("new", "old", "older")):
        config = save_model(tmp_path / "runs" / name / "model", training) / "config.json"
        os.utime(config, (2e9 - age, 2e9 - age))
    assert newest_model() == Path("runs/new/model")
    status, _, err = run(capsys, path)
    assert (status, err) == (0, ["model: runs/new/model"])


def test_a_folder_without_a_model_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, _, err = run(capsys, "x.wav", "--model", tmp_path)
    assert (status, len(err)) == (2, 1)


class Bomb:
    def __reduce__(self):
        return (os.mkdir, (os.environ["BOMB"],))


def test_nothing_pickled_is_opened(
    capsys: pytest.CaptureFixture[str], training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOMB", str(tmp_path / "boom"))
    folder = save_model(tmp_path / "model", training)
    for name in ("model.pkl", "model.pt", "pytorch_model.bin", "weights.safetensors"):
        (folder / name).write_bytes(pickle.dumps(Bomb()))
    status, _, err = run(capsys, song(tmp_path / "x.wav", 1.0), "--model", folder)
    assert (status, len(err)) == (2, 1)
    assert not (tmp_path / "boom").exists()


@pytest.mark.slow
def test_an_hour_takes_no_more_memory_than_a_minute(folder: Path, tmp_path: Path) -> None:
    def peak_mb(seconds: float) -> float:
        path = song(tmp_path / f"{seconds}.wav", seconds, sr=16_000)
        script = (
            "import sys, resource; from mgc.predict import main; status = main(sys.argv[1:]);"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(status)"
        )
        command = [sys.executable, "-c", script, str(path), "--model", str(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        path.unlink()
        return int(done.stdout.splitlines()[-1]) / 1024

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0
    assert peak_mb(3600.0) < peak_mb(60.0) + 40  # whole, it would be 230 MB of samples alone
