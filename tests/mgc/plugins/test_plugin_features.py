"""Features of plug-ins: what they compute, where it is kept, how spaces name them, what a mistake is answered with."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from plugin_files import refused, written
from tiny_dataset import PARAMS, tiny_config, write_tracks

from mgc.clips.clips import open_clips
from mgc.config import ClipConfig, DataConfig, FeatureConfig
from mgc.datasets.registry import open_dataset
from mgc.features.audio import decode
from mgc.features.features import feature_module, open_store
from mgc.features.registry import feature_class
from mgc.files.cache import entries
from mgc.networks.effective import features_in_effect
from mgc.networks.training_config import TrainingConfig, training_config
from mgc.plugins import use_files
from mgc.plugins.loading import use
from mgc.plugins.plugin import PluginError
from mgc.plugins.trying import try_feature
from mgc.saved import load_model, save_model
from mgc.training.training import Training
from mgc.words.errors import ConfigError
from search.space.document import SpaceError
from search.space.schema import space_schema
from search.space.space import Space

FEATURE = '''\
"""The loudness of each hop, under several powers."""
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional

from mgc.plugins import Feature, feature


class Loudness(nn.Module):
    def __init__(self, hop, powers):
        super().__init__()
        self.hop, self.powers = hop, powers

    def forward(self, y):
        hops = functional.pad(y, (self.hop // 2, self.hop // 2)).unfold(1, self.hop, self.hop)
        mean = hops.abs().mean(dim=2)
        return torch.stack([mean ** power for power in range(1, self.powers + 1)], dim=1)


@feature("loudness")
class LoudnessFeature(Feature):
    powers: Annotated[int, Field(ge=1, le=8, description="how many powers")] = 2
    paper: ClassVar = {"hop_length": 64}

    @property
    def bins(self):
        return self.powers

    def build(self):
        return Loudness(self.hop_length, self.powers)
'''
SPACE = """\
params:
  model: probe
  spectrogram: {choice: [loudness, log_mel]}
  powers: {int: [1, 4], when: {spectrogram: loudness}}
search: {trials: 2}
budget: {epochs: 1}
"""


def loudness(y_S: np.ndarray, hop: int, powers: int) -> np.ndarray:
    """The same pictures (F, T), by NumPy."""
    padded = np.pad(y_S, hop // 2)
    num = 1 + len(y_S) // hop
    mean_T = np.abs(padded[: num * hop].reshape(num, hop)).mean(axis=1)
    return np.stack([mean_T**power for power in range(1, powers + 1)])


def config_of(folder: Path, **params: object) -> TrainingConfig:
    own = {key: PARAMS[key] for key in ("sr", "n_fft")} | {"clip_seconds": 0.6, "clips_per_track": 4, "batch_size": 8}
    data = DataConfig.checked({"dataset": str(folder), "split": "track", "ratios": [2, 1, 1]})
    return training_config({"model": "probe", "spectrogram": "loudness", **own, **params}, data=data, epochs=2)


def line_of(text: str) -> str:
    """The line that answers a feature of this text when it is tried."""
    use_files(written(text))
    before = torch.random.get_rng_state()
    with pytest.raises(PluginError) as raised:
        try_feature(feature_class("loudness")(sr=8000), ClipConfig(clip_seconds=0.6))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_store_holds_what_the_feature_computes_of_each_track() -> None:
    folder = write_tracks(Path("music"), [1.0, 1.203, 0.7])
    use_files(written(FEATURE))
    config = config_of(folder, powers=3)
    assert (config.features.bins, config.features.hop_length) == (3, 64)
    dataset = open_dataset(str(folder))
    store = open_store(dataset, config.features, "spectrogram", progress=False)
    for track in dataset.tracks:
        place = store.tracks[track.track_id]
        assert track.path is not None
        wanted_FT = loudness(decode(track.path, 8000), 64, 3)
        rows_RW = store.rows_RW[place.first_row : place.first_row + place.num_rows]
        np.testing.assert_allclose(rows_RW.numpy().T, wanted_FT, rtol=1e-5)


def test_a_saved_model_hears_a_track_as_it_was_trained_on_it() -> None:
    folder = write_tracks(Path("music"), [1.0, 1.2, 1.4, 1.6])
    use_files(written(FEATURE))
    training = Training(config := config_of(folder), open_clips(config_of(folder), progress=False))
    [*_] = training
    save_model(Path("model"), training)
    model = load_model(Path("model"))
    predictions = training.predict("validation")
    for index, track_id in enumerate(predictions.track_ids):
        [track] = [each for each in open_dataset(str(folder)).tracks if each.track_id == track_id]
        assert track.path is not None
        song = model.predict(decode(track.path, config.features.sr))
        clips_NG = predictions.probabilities_NG[predictions.track_N == index]
        np.testing.assert_allclose(song.probabilities_NG, clips_NG, atol=1e-5)
    use(())
    with pytest.raises(PluginError, match=r"^the model in model was made with the plug-in mine\.py \(digest \w{16}\)"):
        load_model(Path("model"))


def test_features_are_kept_by_their_config_and_by_the_text_of_the_plugin() -> None:
    folder = write_tracks(Path("music"), [1.0])
    dataset = open_dataset(str(folder))

    def built(text: str = FEATURE, **params: object) -> int:
        """How many more stores there are."""
        before = len(entries())
        use_files(written(text))
        open_store(dataset, config_of(folder, **params).features, "spectrogram", progress=False)
        return len(entries()) - before

    assert built() == 1
    assert built() == built(normalize="track") == 0
    assert built(powers=3) == built(hop_length=128) == 1
    assert built(FEATURE.replace("hops.abs()", "2 * hops.abs()")) == 1


def test_the_key_of_a_network_has_the_features_fields_and_the_plugins_text() -> None:
    def key(text: str = FEATURE, **params: object) -> dict[str, object]:
        use_files(written(text))
        return features_in_effect(config_of(Path(), **params).features)

    assert key() == key()
    assert key(modality="raw") == key(modality="raw", powers=3)
    assert key() not in (key(powers=3), key(fmin=20.0), key(FEATURE + "\n"))


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("def build(self):", "def build(self, shape):", "loudness must have build(self), got build(self, shape)"),
        ("def build(self):", "def built(self):", "loudness must have build(self), got none"),
        ("    @property\n", "", "loudness must have a property bins, the rows of its pictures"),
        ("def bins(", "def rows(", "loudness must have a property bins, the rows of its pictures"),
        ("    powers:", "    lr: float = 1.0\n    powers:",
         "loudness.lr is a hyperparameter of every model already; give this one another name"),
        ("    powers:", "    n_mels: int = 4\n    powers:",
         "loudness.n_mels is a hyperparameter of every model already; give this one another name"),
        ("] = 2", "] = 9",
         "every field of loudness must have a default that keeps its own rules: powers must be <= 8, got 9"),
        ('"loudness"', '"log_mel"', "there is a feature 'log_mel' already; give this one another name"),
        ('"loudness"', '"Loud"', "a feature's name must be small letters, digits and _, got 'Loud'"),
        ("(Feature)", "", "a feature must be a class of Feature, got 'LoudnessFeature'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_declaration_is_one_line_with_file_and_line(old: str, new: str, line: str) -> None:
    assert FEATURE.count(old) == 1, old
    assert refused(FEATURE.replace(old, new)) == f"mine.py:23: {line}"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("(self.hop // 2, self.hop // 2)", "(0, 0)",
         "mine.py:32: loudness(powers=2) must give pictures of the shape (2, 2, 10) (tracks, bins, 1 + samples // "
         "hop_length) for 2 x 4800 samples, got (2, 2, 9)"),
        ("hops.abs().mean(dim=2)", "hops.abs().mean(dim=2) / y.abs().amax(dim=1)[:, None]",
         "mine.py:32: loudness(powers=2) gives values that are no finite numbers"),
        ("hops.abs().mean(dim=2)", "hops.abs().mean(dim=2) - y.mean()",
         "mine.py:32: loudness(powers=2) must make each track's picture of its own waveform alone: beside noise, "),
        ("hops.abs().mean(dim=2)", "hops.long().sum(dim=2)",
         "mine.py:32: loudness(powers=2) must give real numbers, got torch.int64"),
        ("hops.abs().mean(dim=2)", "hops.abs().mean(dim=3)",
         "mine.py:19: loudness(powers=2) fails on 4800 samples: IndexError: Dimension out of range"),
        ("return Loudness(self.hop_length,", "return Loudness(self.hop,",
         "mine.py:33: loudness(powers=2) fails on 4800 samples: AttributeError: 'LoudnessFeature' object has no"),
    ],
)  # fmt: skip
def test_a_feature_that_cannot_work_is_one_line_before_it_is_computed(old: str, new: str, line: str) -> None:
    assert FEATURE.count(old) == 1, old
    assert line_of(FEATURE.replace(old, new)).startswith(line)


def test_a_feature_that_fails_on_one_track_names_it() -> None:
    folder = write_tracks(Path("music"), [1.0, 1.2, 1.3])
    use_files(written(FEATURE.replace("mean(dim=2)", "mean(dim=2) / (y.shape[1] != 9600)")))
    with pytest.raises(
        ConfigError,
        match=r"^mine\.py:23: feature loudness gives values that are no finite numbers \(track \S*high\.1\S*\)$",
    ):
        open_store(open_dataset(str(folder)), config_of(folder).features, "spectrogram", progress=False)


def test_weights_that_a_feature_draws_are_the_same_wherever_it_is_built() -> None:
    use_files(written(FEATURE.replace("return Loudness(", "return Drawn(") + DRAWN))
    config = feature_class("loudness")(sr=8000)
    torch.manual_seed(1)
    first = feature_module(config)
    before = torch.manual_seed(2).get_state()
    second = feature_module(config)
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(torch.random.get_rng_state(), before)


DRAWN = """

class Drawn(nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3))
"""


def space(text: str) -> Space:
    Path("s.yaml").write_text(text)
    return Space.load("s.yaml")


def test_a_space_searches_the_features_own_fields_beside_a_shipped_one() -> None:
    use_files(written(FEATURE))
    drawn = space(SPACE).sample(40)
    assert {params.get("powers") for params in drawn} == {None, 1, 2, 3, 4}
    assert all(("powers" in params) == (params["spectrogram"] == "loudness") for params in drawn)
    properties = space_schema()["$defs"]
    assert properties["powers"]["maximum"] == 8
    assert properties["spectrogram"]["enum"] == ["stft_db", "log_mel", "embedding", "loudness"]
    use(())
    assert "powers" not in space_schema()["$defs"]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (", when: {spectrogram: loudness}", "",
         "s.yaml:4: params.powers needs `when: {spectrogram: loudness}`: log_mel has no powers"),
        ("powers: {int: [1, 4]", "powers: {int: [1, 9]", "s.yaml:4: params.powers must be <= 8, got 9"),
        ("  powers:", "  power:", "s.yaml:4: unknown key 'power' (did you mean 'powers'?)"),
        ("loudness, log_mel", "loudness, loud",
         "s.yaml:3: params.spectrogram must be one of stft_db, log_mel, embedding, loudness, got 'loud' (did you mean "
         "'loudness'?)"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_space_that_names_it_is_one_line(old: str, new: str, line: str) -> None:
    assert SPACE.count(old) == 1, old
    use_files(written(FEATURE))
    with pytest.raises(SpaceError, match=f"^{re.escape(line)}$"):
        space(SPACE.replace(old, new))


def test_a_name_that_the_model_has_too_is_refused() -> None:
    use_files(written(FEATURE.replace("powers", "layers")))
    with pytest.raises(
        ConfigError, match=r"^layers is a hyperparameter both of model probe and of spectrogram loudness: rename one$"
    ):
        config_of(Path())


def test_features_that_lie_in_a_file_are_not_computed_again() -> None:
    np.savez("f.npz", features=np.random.default_rng(0).random((8, 2, 20)), track_id=[*"abcdefgh"], genre=[*"xyxyxyxy"])
    use_files(written(FEATURE))
    with pytest.raises(ConfigError, match=r"^spectrogram must be that of f, which has no audio to compute loudness "):
        open_clips(tiny_config("f.npz", spectrogram="loudness"), progress=False)


def test_the_shipped_features_are_none_of_a_plugins() -> None:
    assert feature_class("stft_db") is feature_class("log_mel") is FeatureConfig
    assert FeatureConfig.plugin is None
