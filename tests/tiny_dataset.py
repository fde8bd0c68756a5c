"""A dataset of a few tracks that a test makes in milliseconds, random clips, and the config of a small training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from mgc.config import ClipShape, DataConfig
from mgc.networks.training_config import TrainingConfig, training_config

SR = 8000
PARAMS = {"model": "se_cnn", "sr": SR, "spectrogram": "log_mel", "n_fft": 256, "hop_length": 128, "n_mels": 32}
SMALL_NETWORK = {"channels": [4, 4, 4, 8, 8], "r": 2.0, "batch_size": 8, "precision": "fp32"}
CLIPS = {"clip_seconds": 0.6, "clips_per_track": 4, "clip_overlap": None}


def write_tracks(folder: Path, seconds: list[float], genres: tuple[str, ...] = ("high", "low")) -> Path:
    """A folder of WAV files: per genre one of each length, a tone in noise, another octave for every genre."""
    for octave, genre in enumerate(genres):
        (folder / genre).mkdir(parents=True)
        for number, length in enumerate(seconds):
            y_S = tone_in_noise(int(length * SR), 250.0 * 2**octave, seed=100 * octave + number)
            soundfile.write(folder / genre / f"{genre}.{number}.wav", y_S, SR, subtype="PCM_16")
    return folder


def tone_in_noise(num_samples: int, hz: float, seed: int) -> np.ndarray:
    """Samples (S,) of about full scale, with a tone that comes and goes."""
    times_s = np.arange(num_samples) / SR
    tone_S = np.sin(2 * np.pi * hz * times_s) * (1 + np.sin(2 * np.pi * 3 * times_s)) / 4
    return (tone_S + np.random.default_rng(seed).normal(0, 0.1, num_samples)).astype(np.float32)


def tiny_config(dataset: Path | str, *, epochs: int = 3, split: str = "track", **params: Any) -> TrainingConfig:
    """The config of a small SE-CNN on this dataset; any param can be given anew."""
    data = DataConfig.checked({"dataset": str(dataset), "split": split, "ratios": [2, 1, 1]})
    return training_config({**PARAMS, **SMALL_NETWORK, **CLIPS, **params}, data=data, epochs=epochs)


def clips_of(shape: ClipShape, num: int) -> Any:
    """Random clips as a batch holds them."""
    wave_BS = 2 * torch.rand(num, shape.samples) - 1
    x_BCFT = torch.rand(num, 1, shape.bins, shape.frames)
    return {"raw": wave_BS, "spectrogram": x_BCFT, "both": (wave_BS, x_BCFT)}[shape.modality]


def write_precomputed(path: Path, features_NFT: np.ndarray, **more: object) -> Path:
    """An `.npz` of these features, one track of genre a or b for each."""
    ids = [f"track.{number}" for number in range(len(features_NFT))]
    genres = ["a" if number % 2 else "b" for number in range(len(features_NFT))]
    np.savez(path, features=features_NFT, track_id=ids, genre=genres, **more)
    return path
