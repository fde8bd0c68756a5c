"""A trained model as a folder: weights without pickled code, and everything that one needs to use them.

    save_model(Path("model"), training, about={"scores": {...}})
    model = load_model(Path("model"))
    song = model.predict(decode(path, model.sr))
    print(song.genre, song.probabilities)

`weights.safetensors` holds the state dict, `config.json` the rest: `params` (the flat table of hyperparameters with the
seed), `data`, `epochs`, `epochs_done`, `genres`, `clip` (the shape of a clip), `split` (its label), `dataset_digest`,
`plugin` and `feature_plugin` (of a model, or features, from a plug-in: its name and digest; its text lies in the
folder), and what `about` adds (study,
trial, scores, ...). Shape suffixes: S samples, N clips, G genres.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from mgc.clips.cutting import audio_ruler
from mgc.config import ClipShape, DataConfig, Modality, Vote
from mgc.datasets import synthetic
from mgc.files.whole import read_together, whole
from mgc.listener import Listener
from mgc.networks.networks import model_to_load
from mgc.networks.training_config import TrainingConfig, training_config
from mgc.plugins.loading import by_digest, check_in_use
from mgc.plugins.plugin import NAME, Plugin, PluginError
from mgc.training.device import place_model
from mgc.training.metrics import votes
from mgc.training.training import Training
from mgc.words.errors import ConfigError, config_error, one_line

WEIGHTS, CONFIG = "weights.safetensors", "config.json"
FORMAT = 1
CLIPS_AT_ONCE = 64
"""Number of clips of a track that go through the network together."""


class SavedModelError(ConfigError):
    """A folder does not hold a model, or not one that this version can use."""


@dataclass(frozen=True, kw_only=True)
class SongPrediction:
    """A model's prediction for one recording, by clip and by vote.

    Probabilities are in [0, 1]; `start_s_N` are the clips' starts in seconds.
    """

    genres: tuple[str, ...]
    vote: Vote
    start_s_N: npt.NDArray[np.floating[Any]]
    probabilities_NG: npt.NDArray[np.floating[Any]]

    @property
    def probabilities(self) -> dict[str, float]:
        """Each genre's probability under the vote, the most probable first; vote `none` counts as `sum` here."""
        vote: Vote = "sum" if self.vote == "none" else self.vote
        track_N = np.zeros(len(self.probabilities_NG), dtype=np.int64)
        probabilities_G = votes(self.probabilities_NG, track_N, vote)[0].tolist()
        pairs = zip(self.genres, probabilities_G, strict=True)
        return dict(sorted(pairs, key=lambda pair: pair[1], reverse=True))

    @property
    def genre(self) -> str:
        return next(iter(self.probabilities))


@dataclass(frozen=True)
class SavedModel:
    """A model as it was saved, ready to predict. `about` is the content of config.json."""

    model: nn.Module
    """From a batch's `x` (see mgc.clips.clips.Batch) to logits, in evaluation mode."""
    config: TrainingConfig
    genres: tuple[str, ...]
    shape: ClipShape
    about: Mapping[str, Any]
    device: torch.device

    @property
    def sr(self) -> int:
        """The sampling rate in Hz of the audio that `predict` takes."""
        return self.config.features.sr

    @property
    def is_synthetic(self) -> bool:
        """Whether it was trained on the music that this program makes: then its genres are invented."""
        return self.config.data.dataset == synthetic.NAME

    @cached_property
    def listener(self) -> Listener:
        """The model behind its features: waveforms (B, S) to probabilities (B, G).

        Raises ConfigError for a model of precomputed features, which cannot take audio.
        """
        return Listener(self.model, self.config, self.shape).to(self.device).eval()

    @torch.inference_mode()
    def predict(self, y_S: npt.NDArray[np.float32], *, vote: Vote | None = None) -> SongPrediction:
        """The prediction for a mono recording at `sr` Hz, made as for a track of the model's dataset.

        `vote` defaults to the config's. Raises ConfigError for audio shorter than half a clip, for a model of
        precomputed features, and for one whose weights give no numbers.
        """
        listener = self.listener
        start_N = listener.unique_starts(len(y_S))
        y_on_device_S = torch.from_numpy(y_S).to(self.device)
        probabilities_NG = listener.clip_probabilities(y_on_device_S, start_N.to(self.device), CLIPS_AT_ONCE)
        if not probabilities_NG.isfinite().all():
            raise SavedModelError("the model's probabilities are no numbers: its weights are damaged; train it again")
        return SongPrediction(
            genres=self.genres,
            vote=vote or self.config.clips.vote,
            start_s_N=start_N.numpy() * listener.ruler.step * listener.ruler.unit_s,
            probabilities_NG=probabilities_NG.cpu().numpy(),
        )


def save_model(folder: Path, training: Training, *, about: Mapping[str, Any] | None = None) -> Path:
    """Write a training's model to a folder, which it replaces; returns the folder.

    A precision `auto` is saved as the one that the training chose. `about` holds more values for config.json.
    """
    config, clips = training.config, training.clips
    state = {name: tensor.cpu().contiguous() for name, tensor in training.model.state_dict().items()}
    description = {
        "format": FORMAT,
        "params": {**config.flat(), "precision": training.precision},
        "data": config.data.model_dump(),
        "epochs": config.epochs,
        "epochs_done": training.epochs_done,
        "genres": clips.genres,
        "clip": asdict(clips.shape),
        "split": clips.split.label,
        "dataset_digest": clips.dataset_digest,
        **{key: {"name": plugin.name, "digest": plugin.digest} for key, plugin in _plugins_of(config).items()},
        **(about or {}),
    }
    with whole(folder) as partial:
        partial.mkdir()
        (partial / WEIGHTS).write_bytes(save(state))  # save_file makes a file that other users cannot read
        (partial / CONFIG).write_text(json.dumps(description, indent=2) + "\n")
        for plugin in _plugins_of(config).values():
            (partial / plugin.name).write_bytes(plugin.text.encode())
    return folder


def _plugins_of(config: TrainingConfig) -> dict[str, Plugin]:
    """The plug-ins that the model and its features are from, by their keys in config.json."""
    digests = {"plugin": config.model.plugin, "feature_plugin": config.features.plugin}
    return {key: by_digest(digest) for key, digest in digests.items() if digest is not None}


def load_model(folder: Path, device: str | torch.device = "cpu") -> SavedModel:
    """The model in a folder that `save_model` wrote. Raises SavedModelError for a folder without a usable model."""
    try:
        content, weights = read_together(folder, CONFIG, WEIGHTS)
        about = from_json(content)
        state = load(weights)
    except FileNotFoundError as error:
        missing = Path(error.filename).name if folder.exists() else "such folder"
        raise SavedModelError(f"{folder}: no model here (there is no {missing})") from None
    except (OSError, ValueError, SafetensorError) as error:
        raise SavedModelError(f"{folder}: cannot be read: {one_line(error)}") from None
    try:
        description = _Description.of_json(content)
        for plugin in filter(None, (description.plugin, description.feature_plugin)):
            check_in_use(plugin.name, plugin.digest, of=f"the model in {folder}", copy=folder / plugin.name)
        return _from_description(description, about, state, torch.device(device))
    except PluginError:
        raise
    except Exception as error:  # whatever a library makes of these values, this is not a model that can be used
        raise SavedModelError(f"{folder}: not a model of this version (format {FORMAT}): {one_line(error)}") from None


class _Clip(BaseModel):
    """The fields of a ClipShape."""

    model_config = ConfigDict(extra="forbid", strict=True)

    modality: Modality
    bins: Annotated[int, Field(ge=0)]
    frames: Annotated[int, Field(ge=0)]
    samples: Annotated[int, Field(ge=0)]
    picture: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None


class _Plugin(BaseModel):
    """Which plug-in the model, or its features, are from. Its text lies beside, for people: nothing here runs it."""

    model_config = ConfigDict(strict=True)

    name: Annotated[str, Field(pattern=NAME.pattern)]
    digest: str


class _Description(BaseModel):
    """What is read of config.json; the rest is for people."""

    model_config = ConfigDict(strict=True)

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)]
    params: dict[str, Any]
    data: dict[str, Any]
    epochs: int
    genres: Annotated[tuple[str, ...], Field(min_length=1)]
    clip: _Clip
    plugin: _Plugin | None = None
    feature_plugin: _Plugin | None = None

    @classmethod
    def of_json(cls, content: bytes) -> _Description:
        """Raises ConfigError for the first key that breaks a rule."""
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise config_error(error.errors()[0]) from None


def _from_description(
    description: _Description, about: Mapping[str, Any], state: Mapping[str, torch.Tensor], device: torch.device
) -> SavedModel:
    data = DataConfig.checked(description.data)
    config = training_config(description.params, data=data, epochs=description.epochs)
    shape, genres = ClipShape(**description.clip.model_dump()), description.genres
    _check_clip(shape, config)
    with torch.device("meta"):  # sizes that are not those of the weights take no memory
        model_to_load(config, shape, len(genres)).load_state_dict(state, assign=True)
    model = model_to_load(config, shape, len(genres))
    model.load_state_dict(state)
    model = place_model(model, device)
    return SavedModel(model=model.eval(), config=config, genres=genres, shape=shape, about=about, device=device)


def _check_clip(shape: ClipShape, config: TrainingConfig) -> None:
    """Raise ConfigError for a clip of audio that is not as long as the params say: a song would be cut otherwise than
    it is counted. How long a clip of precomputed features is, only their dataset knows.
    """
    ruler = audio_ruler(config.features, config.clips)
    if shape.samples and (shape.samples, shape.frames) != (ruler.clip, ruler.frames):
        raise ConfigError(
            f"clip must have {ruler.clip} samples and {ruler.frames} frames, as clip_seconds "
            f"{config.clips.clip_seconds:g} has, got {shape.samples} and {shape.frames}",
            "clip",
        )
