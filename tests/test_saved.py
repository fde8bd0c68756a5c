"""A model folder: what it holds, that it predicts what the training said, and what is said of broken ones."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_dataset import SR, tiny_config, write_tracks

from mgc.audio import decode
from mgc.clips import open_clips
from mgc.config import ClipConfig, ConfigError
from mgc.datasets import open_dataset
from mgc.listener import Listener
from mgc.saved import SavedModelError, load_model, save_model
from mgc.train import Training


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    return write_tracks(tmp_path_factory.mktemp("saved") / "music", [2.0, 1.5, 1.0, 0.5])


def trained(tracks, **params):
    config = tiny_config(tracks, epochs=1, **params)
    training = Training(config, open_clips(config, progress=False))
    training.epoch()
    return training


@pytest.fixture(scope="module")
def training(tracks):
    return trained(tracks)


@pytest.fixture
def saved(training, tmp_path):
    return save_model(tmp_path / "model", training, about={"study": "r-001", "scores": {"val_accuracy": 0.5}})


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"clip_overlap": 0.5},
        {"vote": "majority"},
        {"precision": "bf16"},
        {"spectrogram": "stft_db", "normalize": "none", "clips_per_track": 1},
        {"modality": "both", "picture": [32, 32]},
        {"normalize": "track"},
        {"modality": "raw", "picture": [32, 32]},
    ],
    ids=lambda params: " ".join(map(str, params.values())) or "defaults",
)
def test_it_predicts_for_a_file_what_the_training_predicts_for_the_track(tracks, tmp_path, params):
    training = trained(tracks, **params)
    model = load_model(save_model(tmp_path / "model", training))
    said = training.predict("validation")
    probabilities_MG, _ = said.by(training.config.clips.vote)
    paths = {track.track_id: track.path for track in open_dataset(str(tracks)).tracks}
    for number, track_id in enumerate(said.track_ids):
        heard = model.predict(decode(paths[track_id], SR))
        assert heard.probabilities_NG == pytest.approx(said.probabilities_NG[said.track_N == number], abs=1e-5)
        assert [heard.probabilities[genre] for genre in model.genres] == pytest.approx(
            probabilities_MG[number], abs=1e-5
        )
    assert len(said.track_ids) > 1


def test_a_batch_of_tracks_gives_what_each_gives_alone(saved):
    model = load_model(saved)
    y_BS = np.random.default_rng(0).normal(0, [[0.1], [0.3]], (2, 2 * SR)).astype(np.float32)
    with torch.inference_mode():
        together_BG = model.listener(torch.from_numpy(y_BS)).numpy()
    for y_S, together_G in zip(y_BS, together_BG, strict=True):
        alone = model.predict(y_S).probabilities
        assert [alone[genre] for genre in model.genres] == pytest.approx(together_G, abs=1e-5)


@pytest.mark.parametrize("length", [4800, 4801, 7000, 16_000, 16_129, 33_333])
@pytest.mark.parametrize(
    "clips",
    [{"clips_per_track": 1}, {"clips_per_track": 4}, {"clip_overlap": 0.5}, {"clip_overlap": 0.5, "random_clips": 2}],
    ids=str,
)
def test_starts_in_torch_are_those_of_the_dataset(training, tmp_path, length, clips):

    config = replace(training.config, clips=ClipConfig.checked({"clip_seconds": 0.6, **clips}))
    listener = Listener(training.model, config, training.clips.shape)
    in_torch_N = listener.starts(length, torch.device("cpu"))
    assert torch.equal(torch.unique(in_torch_N), listener.known_starts(length))


def test_the_folder_tells_what_the_model_is(saved, training):
    about = json.loads((saved / "config.json").read_text())
    assert about["params"]["r"] == 2.0
    assert about["params"]["precision"] == "fp32"
    assert about["data"]["dataset"] == training.config.data.dataset
    assert (about["genres"], about["split"]) == (["high", "low"], "track")
    assert (about["study"], about["scores"]) == ("r-001", {"val_accuracy": 0.5})
    assert about["dataset_digest"] == open_dataset(training.config.data.dataset).digest
    assert sorted(path.name for path in saved.iterdir()) == ["config.json", "weights.safetensors"]
    assert load_model(saved).config.flat() == training.config.flat()


def test_a_second_model_takes_the_place_of_the_first(saved, training):
    save_model(saved, training, about={"study": "other"})
    assert load_model(saved).about["study"] == "other"
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_loading_leaves_the_random_state_alone(saved):
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    load_model(saved)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_audio_shorter_than_half_a_clip_is_refused_and_a_shorter_one_is_padded(saved):
    model = load_model(saved)
    noise_S = np.random.default_rng(0).normal(0, 0.1, SR).astype(np.float32)
    assert len(model.predict(noise_S[: SR // 2]).probabilities_NG) == 1
    with pytest.raises(ConfigError, match=r"^the audio is shorter than half a clip: 0\.25 s of 0\.6 s$"):
        model.predict(noise_S[: SR // 4])


def test_a_broken_folder_is_one_line(saved, tmp_path):
    with pytest.raises(SavedModelError, match=r"nothing: no model here \(there is no config\.json\)$"):
        load_model(tmp_path / "nothing")
    about = json.loads((saved / "config.json").read_text())
    for changes, reason in (
        ({"format": 9}, r"format is 9$"),
        ({"genres": ["a", "b", "c"]}, r"size mismatch"),
        ({"params": {**about["params"], "chanels": 1}}, r"unknown key 'chanels'"),
    ):
        (saved / "config.json").write_text(json.dumps({**about, **changes}))
        with pytest.raises(SavedModelError, match=rf"^\S+model: not a model of this version \(format 1\): .*{reason}"):
            load_model(saved)
    (saved / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(SavedModelError, match="cannot be read"):
        load_model(saved)
