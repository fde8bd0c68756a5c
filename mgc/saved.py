"""A trained model as a folder: weights without pickled code, and everything that is needed to use them.

    save_model(Path("model"), training, about={"scores": {...}})
    heard = load_model(Path("model")).predict(decode(path, model.sr))
    print(heard.genre, heard.probabilities)

`weights.safetensors` holds the state dict, `config.json` the rest: `params` (the flat table of hyperparameters, seed
included), `data`, `epochs`, `genres`, `clip` (the shape of a clip), `split` (label), `dataset_digest`, and whatever
`about` adds (study, trial, scores, ...). Shape suffixes: S samples, N clips, G genres.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from mgc.config import ClipShape, ConfigError, DataConfig, TrainingConfig, Vote, training_config
from mgc.listener import Listener
from mgc.metrics import votes
from mgc.models import model_to_load
from mgc.train import Training, placed

WEIGHTS, CONFIG = "weights.safetensors", "config.json"
FORMAT = 1
CLIPS_AT_ONCE = 64
"""Clips of a track that go through the network together."""


class SavedModelError(ConfigError):
    """A folder that holds no usable model."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a model says of one recording. Probabilities are in [0, 1]; `start_s_N` are the clips' starts in seconds."""

    genres: tuple[str, ...]
    vote: Vote
    start_s_N: npt.NDArray[np.floating[Any]]
    probabilities_NG: npt.NDArray[np.floating[Any]]

    @property
    def probabilities(self) -> dict[str, float]:
        """Each genre's probability under the vote, most probable first; vote `none` combines clips as `sum`."""
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
    """A model as it was saved, ready to predict. `about` is the whole of config.json."""

    model: nn.Module
    """From a batch's `x` (see mgc.clips.Batch) to logits, in evaluation mode."""
    config: TrainingConfig
    genres: tuple[str, ...]
    shape: ClipShape
    about: Mapping[str, Any]
    device: torch.device

    @property
    def sr(self) -> int:
        """The rate in Hz at which `predict` wants its samples."""
        return self.config.features.sr

    @property
    def hears_audio(self) -> bool:
        """False for a model of precomputed features: how they were made of audio is not known."""
        return self.shape.samples > 0

    @cached_property
    def listener(self) -> Listener:
        """The model behind its features, from waveforms (B, S) to probabilities (B, G); ConfigError for a model that
        hears no audio.
        """
        return Listener(self.model, self.config, self.shape).to(self.device).eval()

    @torch.inference_mode()
    def predict(self, y_S: npt.NDArray[np.float32], *, vote: Vote | None = None) -> Heard:
        """What the model says of a mono recording at `sr` Hz, as it would of a track of its dataset.

        `vote` defaults to the config's. Raises ConfigError for audio shorter than half a clip, and where
        `hears_audio` is false.
        """
        listener = self.listener
        start_N = listener.known_starts(len(y_S))
        y_on_device_S = torch.from_numpy(y_S).to(self.device)
        probabilities_NG = listener.clip_probabilities(y_on_device_S, start_N.to(self.device), CLIPS_AT_ONCE)
        return Heard(
            genres=self.genres,
            vote=vote or self.config.clips.vote,
            start_s_N=start_N.numpy() * listener.ruler.step * listener.ruler.unit_s,
            probabilities_NG=probabilities_NG.cpu().numpy(),
        )


def save_model(folder: Path, training: Training, *, about: Mapping[str, Any] | None = None) -> Path:
    """Write a training's model to a folder, in place of one that is there; returns the folder.

    The precision is saved as what `auto` came to. `about` is JSON, for whoever reads config.json.
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
        **(about or {}),
    }
    partial = folder.with_name(f"{folder.name}.{os.getpid()}")
    partial.mkdir(parents=True)
    save_file(state, partial / WEIGHTS)
    (partial / CONFIG).write_text(json.dumps(description, indent=2) + "\n")
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)
    return folder


def load_model(folder: Path, device: str | torch.device = "cpu") -> SavedModel:
    """The model in a folder that `save_model` wrote. Raises SavedModelError where there is none that can be used."""
    try:
        about = json.loads((folder / CONFIG).read_text())
        state = load_file(folder / WEIGHTS)
    except FileNotFoundError as error:
        raise SavedModelError(f"{folder}: no model here (there is no {Path(error.filename).name})") from None
    except (OSError, ValueError, SafetensorError) as error:
        raise SavedModelError(f"{folder}: cannot be read: {' '.join(str(error).split())}") from None
    try:
        return _assembled(about, state, torch.device(device))
    except (KeyError, TypeError, RuntimeError, ConfigError) as error:
        reason = " ".join(str(error).split())
        raise SavedModelError(f"{folder}: not a model of this version (format {FORMAT}): {reason}") from None


def _assembled(about: Mapping[str, Any], state: Mapping[str, torch.Tensor], device: torch.device) -> SavedModel:
    if about["format"] != FORMAT:
        raise SavedModelError(f"format is {about['format']}")
    config = training_config(about["params"], data=DataConfig.checked(about["data"]), epochs=about["epochs"])
    clip = about["clip"]
    shape = ClipShape(**{**clip, "picture": clip["picture"] and tuple(clip["picture"])})
    genres = tuple(about["genres"])
    model = model_to_load(config, shape, len(genres))
    model.load_state_dict(state)
    model = placed(model, device)
    return SavedModel(model=model.eval(), config=config, genres=genres, shape=shape, about=about, device=device)
