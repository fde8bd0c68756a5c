"""A model folder: what it holds, that it predicts what the training said, and what is said of broken ones."""

import itertools
import json
import math
import os
import re
import stat
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from tiny_dataset import SR, tiny_config, write_tracks

from mgc.clips.clips import open_clips
from mgc.config import ClipConfig
from mgc.datasets.registry import open_dataset
from mgc.features.audio import decode
from mgc.listener import Listener
from mgc.saved import SavedModelError, load_model, save_model
from mgc.training.training import Training
from mgc.words.errors import ConfigError


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
        prediction = model.predict(decode(paths[track_id], SR))
        assert prediction.probabilities_NG == pytest.approx(said.probabilities_NG[said.track_N == number], abs=1e-5)
        assert [prediction.probabilities[genre] for genre in model.genres] == pytest.approx(
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
    assert torch.equal(torch.unique(in_torch_N), listener.unique_starts(length))


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
    with pytest.raises(SavedModelError, match=r"nothing: no model here \(there is no such folder\)$"):
        load_model(tmp_path / "nothing")
    with pytest.raises(SavedModelError, match=r": no model here \(there is no config\.json\)$"):
        load_model(tmp_path)
    about = json.loads((saved / "config.json").read_text())
    for changes, reason in (
        ({"format": 9}, r"format must be <= 1, got 9$"),
        ({"genres": ["a", "b", "c"]}, r"size mismatch"),
        ({"params": {**about["params"], "chanels": 1}}, r"unknown key 'chanels'"),
    ):
        (saved / "config.json").write_text(json.dumps({**about, **changes}))
        with pytest.raises(SavedModelError, match=rf"^\S+model: not a model of this version \(format 1\): .*{reason}"):
            load_model(saved)
    (saved / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(SavedModelError, match="cannot be read"):
        load_model(saved)


HOSTILE = {
    "a list": lambda about: [],
    "null": lambda about: None,
    "a number": lambda about: 1,
    "params as a list": lambda about: {**about, "params": []},
    "params as text": lambda about: {**about, "params": "model"},
    "data as a list": lambda about: {**about, "data": [1]},
    "epochs as text": lambda about: {**about, "epochs": "3"},
    "epochs without end": lambda about: {**about, "epochs": float("inf")},
    "genres as a number": lambda about: {**about, "genres": 3},
    "genres as text": lambda about: {**about, "genres": "ab"},
    "no genres": lambda about: {**about, "genres": []},
    "genres as lists": lambda about: {**about, "genres": [["a"], ["b"]]},
    "a clip as a list": lambda about: {**about, "clip": []},
    "a clip of a negative length": lambda about: {**about, "clip": {**about["clip"], "frames": -1}},
    "a clip of nothing": lambda about: {**about, "clip": {**about["clip"], "bins": 0, "frames": 0}},
    "a picture as a number": lambda about: {**about, "clip": {**about["clip"], "picture": 7}},
    "a picture of one side": lambda about: {**about, "clip": {**about["clip"], "picture": [7]}},
    "a picture without an area": lambda about: {**about, "clip": {**about["clip"], "picture": [0, 0]}},
    "a width beyond any memory": lambda about: {
        **about,
        "params": {**about["params"], "channels": [10**12, 4, 8, 8, 8]},
    },
    "a clip beyond any memory": lambda about: {**about, "clip": {**about["clip"], "bins": 10**15, "frames": 10**15}},
    "clips shorter than a sample": lambda about: {**about, "params": {**about["params"], "clip_seconds": 1e-9}},
    "clips of another length": lambda about: {**about, "params": {**about["params"], "clip_seconds": 0.1}},
    "a seed as a list": lambda about: {**about, "params": {**about["params"], "seed": []}},
    "no keys": lambda about: {},
}


def test_weights_that_are_no_numbers_give_an_error_and_no_genre(saved):
    path = saved / "weights.safetensors"
    weights = load(path.read_bytes())
    path.write_bytes(save({name: w * math.nan if w.is_floating_point() else w for name, w in weights.items()}))
    model = load_model(saved)
    with pytest.raises(SavedModelError, match=r"^the model's probabilities are no numbers: its weights are damaged; "):
        model.predict(np.zeros(2 * model.sr, np.float32))


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_description_is_one_line(saved, change):
    about = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(change(about)))
    with pytest.raises(SavedModelError) as raised:
        load_model(saved)
    line = str(raised.value)
    assert line.startswith(f"{saved}: ") and "\n" not in line and len(line) < len(str(saved)) + 400


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"genres": ["\\ud800"]}'],
    ids=["empty", "cut", "nested", "binary", "half a character"],
)
def test_a_description_that_is_no_json_is_one_line(saved, content):
    (saved / "config.json").write_bytes(content)
    with pytest.raises(SavedModelError, match=rf"^{saved}: cannot be read: "):
        load_model(saved)


@pytest.mark.parametrize("name", ["config.json", "weights.safetensors"])
def test_a_named_pipe_in_a_models_folder_holds_nobody_up(saved, name):
    (saved / name).unlink()
    os.mkfifo(saved / name)
    with pytest.raises(SavedModelError, match=rf"cannot be read: .*{name} is no regular file"):
        load_model(saved)


def test_colleagues_may_read_every_file_of_a_model(saved):
    umask = os.umask(0)
    os.umask(umask)
    assert {stat.S_IMODE(path.stat().st_mode) for path in saved.iterdir()} == {0o666 & ~umask}


def test_while_a_model_is_replaced_readers_find_the_old_or_the_new_one(saved, training):
    is_over = threading.Event()

    def write():
        for number in itertools.takewhile(lambda _: not is_over.is_set(), itertools.count()):
            save_model(saved, training, about={"study": f"r-{number:03d}"})

    writer = threading.Thread(target=write)
    writer.start()
    studies = set()
    try:
        while len(studies) < 10 and writer.is_alive():
            studies.add(load_model(saved).about["study"])
    finally:
        is_over.set()
        writer.join()
    assert len(studies) == 10 and all(re.fullmatch(r"r-\d{3,}", study) for study in studies)
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


KILLED = """
import os, signal, sys
from pathlib import Path
from mgc.files.whole import whole

rename, count = os.rename, int(sys.argv[2])

def killed(*paths):
    global count
    count -= 1
    if count < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(*paths)

os.rename = os.replace = killed
with whole(Path(sys.argv[1])) as partial:
    partial.mkdir()
    (partial / "config.json").write_text("{}")
"""


@pytest.mark.parametrize("renames", [0, 1])
def test_a_writer_that_is_killed_leaves_a_whole_model_and_the_next_one_clears_up(saved, training, renames):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(saved), str(renames)], check=False)
    assert killed.returncode == -9
    assert saved.exists() == (renames == 0)
    assert load_model(saved).about["study"] == "r-001"
    save_model(saved, training, about={"study": "next"})
    assert load_model(saved).about["study"] == "next"
    assert [path.name for path in saved.parent.iterdir()] == ["model"]
