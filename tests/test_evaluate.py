"""`python -m search.evaluate`: the accuracy of a model on labelled music, and which of it the model has met."""

import json
import shutil

import numpy as np
import pytest
from tiny_dataset import tiny_config, write_tracks

from mgc.clips.clips import open_clips
from mgc.datasets.registry import open_dataset
from mgc.saved import load_model, save_model
from mgc.training.training import Training
from mgc.words.errors import ConfigError
from search.evaluate import evaluate, main

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    return write_tracks(tmp_path_factory.mktemp("evaluate") / "music", [2.0, 1.8, 1.6, 1.4, 1.2, 1.0])


@pytest.fixture(scope="module")
def training(music):
    config = tiny_config(music, epochs=2)
    training = Training(config, open_clips(config, parts=("train", "validation", "test"), progress=False))
    for _ in training:
        pass
    return training


@pytest.fixture(scope="module")
def folder(training, tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("evaluated") / "model", training)


def test_on_its_test_part_it_scores_what_its_training_says(music, training, folder):
    evaluation = evaluate(load_model(folder), open_dataset(str(music)))
    predictions = training.predict("test")
    ids = zip(evaluation.predictions.track_ids, evaluation.counted, strict=True)
    assert {track_id for track_id, is_counted in ids if is_counted} == set(predictions.track_ids)
    np.testing.assert_array_equal(evaluation.confusion(), predictions.confusion("sum"))
    assert evaluation.accuracy(evaluation.counted).mean == pytest.approx(predictions.scores("sum").accuracy)
    assert {past: evaluation.pasts.count(past) for past in ("train", "validation", "test", "new")} == {
        "train": 6, "validation": 2, "test": 4, "new": 0,
    }  # fmt: skip


def test_a_recording_is_known_again_under_another_name(music, folder, tmp_path):
    other = write_tracks(tmp_path / "other", [1.1, 1.3])
    trained_on = load_model(folder)
    evaluation = evaluate(trained_on, open_dataset(str(music)))
    known = evaluation.predictions.track_ids[evaluation.pasts.index("train")]
    shutil.copy(music / f"{known}.wav", other / known.split("/")[0] / "renamed.wav")
    pasts = evaluate(trained_on, open_dataset(str(other))).pasts
    assert sorted(pasts) == ["new"] * 4 + ["train"]


def test_the_command_says_what_is_left_out_and_what_the_model_has_met(music, folder, tmp_path, capsys):
    other = write_tracks(tmp_path / "other", [1.1, 1.3], ("high", "jazz"))
    (other / "high" / "broken.wav").write_text("no audio")
    assert main([str(folder), str(other), "--json"]) == 0
    out = capsys.readouterr().out
    assert "left out: 2 tracks of genres that the model does not know: jazz" in out
    assert "left out: 1 track that cannot be decoded" in out
    result = json.loads(out.splitlines()[-1])
    assert (result["tracks"], result["met"], result["synthetic"]) == (2, {"new": 2}, False)
    assert np.sum(result["confusion"]) == 2
    assert main([str(folder), str(music)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("  6 tracks that trained the model: ")]
    assert [line for line in lines if line.startswith("  2 tracks that chose the model: ")]


def test_a_dataset_that_has_changed_leaves_it_unknown(music, folder, tmp_path, capsys):
    there, moved = write_tracks(tmp_path / "other", [1.1, 1.3]), tmp_path / "moved"
    shutil.copytree(folder, moved)
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps({**config, "dataset_digest": "another"}))
    assert main([str(moved), str(there)]) == 0
    line = "caution: some of these tracks may have trained the model: music is not here as it was then"
    assert line in capsys.readouterr().out.splitlines()


def test_a_model_of_synthetic_music_says_so(folder, tmp_path, capsys):
    synthetic = tmp_path / "model"
    shutil.copytree(folder, synthetic)
    config = json.loads((synthetic / "config.json").read_text())
    config["data"] |= {"dataset": "synthetic"}
    (synthetic / "config.json").write_text(json.dumps(config))
    assert main([str(synthetic), str(write_tracks(tmp_path / "other", [1.1]))]) == 0
    assert "caution: this model was trained on synthetic music" in capsys.readouterr().out


def test_music_whose_genres_the_model_does_not_know_is_refused(folder, tmp_path):
    dataset = open_dataset(str(write_tracks(tmp_path / "other", [1.1], ("jazz", "rock"))))
    with pytest.raises(ConfigError, match=r"^the model knows none of the genres jazz, rock: it knows high, low$"):
        evaluate(load_model(folder), dataset)
