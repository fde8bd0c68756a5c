"""`python -m mgc.predict`: any file of any length, several at once, in words, JSON and pictures."""

from __future__ import annotations

import json
import os
import pickle
import resource
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_dataset import SR, tiny_config, tone_in_noise, write_tracks

from mgc import predict
from mgc.clips.clips import open_clips
from mgc.datasets.registry import open_dataset
from mgc.plots import draw_confusion, draw_curves
from mgc.predict import PIECE_S, newest_model, predict_song
from mgc.saved import SavedModel, load_model, save_model
from mgc.training.training import Training


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
        prediction = predict_song(model, paths[track_id])
        np.testing.assert_allclose(
            [prediction.probabilities[genre] for genre in predictions.genres], expected_G, atol=1e-5
        )


@pytest.mark.parametrize("seconds", [0.001, 0.2, 0.31, 0.6, 44.0, 46.0, 100.0])
def test_any_length_is_heard(model: SavedModel, tmp_path: Path, seconds: float) -> None:
    prediction = predict_song(model, song(tmp_path / "x.wav", seconds))
    assert sum(prediction.probabilities.values()) == pytest.approx(1)
    num_pieces = 1 if seconds <= 1.5 * PIECE_S else round(seconds / PIECE_S)
    assert len(prediction.start_s_N) == len(prediction.probabilities_NG) == (4 * num_pieces if seconds > 0.6 else 1)
    assert (np.diff(prediction.start_s_N) > 0).all()
    assert prediction.start_s_N[-1] <= max(0.0, seconds - 0.6) + 0.02


def test_a_long_song_is_the_vote_of_its_pieces(model: SavedModel, tmp_path: Path) -> None:
    parts = [tone_in_noise(30 * SR, 250.0 * 2**octave, seed=octave) for octave in range(2)]
    soundfile.write(tmp_path / "both.wav", np.concatenate(parts), SR, subtype="PCM_16")
    both = predict_song(model, tmp_path / "both.wav")
    for number, y_S in enumerate(parts):
        soundfile.write(tmp_path / "one.wav", y_S, SR, subtype="PCM_16")
        one = predict_song(model, tmp_path / "one.wav")
        clips = slice(4 * number, 4 * number + 4)
        np.testing.assert_allclose(both.probabilities_NG[clips], one.probabilities_NG, atol=1e-6)
        np.testing.assert_allclose(both.start_s_N[clips], one.start_s_N + 30 * number)


def test_another_rate_and_stereo_are_heard_as_the_same_song(model: SavedModel, tmp_path: Path) -> None:
    y_S = tone_in_noise(2 * 48_000, 250.0, seed=1)
    soundfile.write(tmp_path / "stereo.wav", np.stack([y_S, y_S], axis=1), 48_000)
    soundfile.write(tmp_path / "mono.wav", y_S, 48_000)
    assert (
        predict_song(model, tmp_path / "stereo.wav").probabilities
        == predict_song(model, tmp_path / "mono.wav").probabilities
    )


def test_silence_has_probabilities(model: SavedModel, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros(2 * SR), SR)
    assert np.isfinite(predict_song(model, tmp_path / "x.wav").probabilities_NG).all()


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
        assert told.keys() == {"path", "genre", "probabilities", "synthetic"}
        assert told["synthetic"] is False
        assert told["path"] == str(path)
        assert told["probabilities"] == predict_song(model, path).probabilities
        assert told["genre"] == max(told["probabilities"], key=told["probabilities"].get)


def test_a_folder_is_answered_with_how_its_songs_are_named(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "my music").mkdir()
    status, out, err = run(capsys, tmp_path / "my music", "--model", folder)
    place = f"{tmp_path}/my music"
    assert (status, out) == (2, [])
    assert err == [f"error: {place} is a folder; name the songs in it, such as '{place}'/*.mp3"]


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
    assert err[0] == f"error: {bad[0]}: cannot be read: No such file or directory"


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


def test_names_with_dollars_or_other_bytes_are_drawn_to_the_letter(tmp_path: Path) -> None:
    root = write_tracks(tmp_path / "music", [2.0, 1.5, 1.0, 0.5], genres=("one", "two"))
    (root / "one").rename(root / r"$\frac$ & $x^{$")
    (root / "two").rename(root / os.fsdecode(b"caf\xe9"))
    config = tiny_config(root, epochs=1)
    training = Training(config, open_clips(config, progress=False))
    genres = (r"$\frac$ & $x^{$", "caf\\udce9")
    assert training.clips.genres == genres
    history = list(training)
    draw_curves(history, tmp_path / "curves.png", title=r"$\frac$")
    draw_confusion(np.eye(2, dtype=np.int64), genres, tmp_path / "confusion.png", title=os.fsdecode(b"$ $ \xe9"))
    path = song(tmp_path / os.fsdecode(b"$\\frac$ \xe9.wav"), 1.0)
    saved = save_model(tmp_path / "model", training)
    assert predict.main([str(path), "--model", str(saved), "--plot", "--out", str(tmp_path)]) == 0
    assert load_model(saved).genres == genres
    assert (tmp_path / f"{path.name}.genres.png").read_bytes().startswith(b"\x89PNG")


def test_a_song_in_letters_that_the_plots_font_lacks_is_drawn_without_a_warning(folder: Path, tmp_path: Path) -> None:
    path = song(tmp_path / "\u591c\u66f2 \U0001f600 \u0627\u063a.wav", 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert predict.main([str(path), "--model", str(folder), "--plot"]) == 0
    assert path.with_name(f"{path.name}.genres.png").is_file()


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
    train = "python -m mgc.train --model se_cnn --data FOLDER"
    assert err == [f"error: no model under runs/*/model: train one ({train}), or give --model FOLDER"]
    for age, name in enumerate(("new", "old", "older")):
        config = save_model(tmp_path / "runs" / name / "model", training) / "config.json"
        os.utime(config, (2e9 - age, 2e9 - age))
    assert newest_model() == Path("runs/new/model")
    status, _, err = run(capsys, path)
    assert (status, err) == (0, ["model: runs/new/model"])


@pytest.mark.parametrize("content", [None, b"[" * 200_000], ids=["pipe", "brackets by the thousand"])
def test_a_hostile_model_that_is_the_newest_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "runs" / "a" / "model" / "config.json"
    config.parent.mkdir(parents=True)
    if content is None:
        os.mkfifo(config)
    else:
        config.write_bytes(content)
    status, out, err = run(capsys, song(tmp_path / "x.wav", 1.0))
    assert (status, out) == (2, [])
    assert [line for line in err if line.startswith("error: runs/a/model: ")] == err


@pytest.fixture
def invented(training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The newest model under `runs`, of synthetic music."""
    monkeypatch.chdir(tmp_path)
    folder = save_model(tmp_path / "runs" / "a b" / "model", training)
    about = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**about, "data": {**about["data"], "dataset": "synthetic"}}))
    os.utime(folder / "config.json", (3e9, 3e9))
    return folder


def test_a_model_of_synthetic_music_is_used_only_where_it_is_named(
    capsys: pytest.CaptureFixture[str], invented: Path, training: Training, tmp_path: Path
) -> None:
    path = song(tmp_path / "x.wav", 1.0)
    status, out, [refusal] = run(capsys, path)
    assert (status, out) == (2, [])
    assert refusal.startswith("error: every model under runs/*/model was trained on synthetic music and ")
    assert run(capsys, path, "--model", shlex.split(refusal.partition("--model ")[2])[0])[0] == 0
    save_model(tmp_path / "runs" / "real" / "model", training)
    assert run(capsys, path)[2] == ["model: runs/real/model"]


def test_a_model_of_synthetic_music_says_so_wherever_it_speaks(
    capsys: pytest.CaptureFixture[str], invented: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []
    monkeypatch.setattr("mgc.plots.draw_song", lambda *arguments, title, **more: titles.append(title))
    path = song(tmp_path / "x.wav", 1.0)
    _, [text], [caution] = run(capsys, path, "--model", invented, "--plot")
    assert text.endswith(" (4 clips, vote sum, synthetic)")
    assert caution.startswith("caution: this model was trained on synthetic music")
    assert "synthetic" in titles[0]
    _, [line], _ = run(capsys, path, "--model", invented, "--json")
    assert json.loads(line)["synthetic"] is True


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
