"""Audio files: decoded, mixed to mono, resampled. Everything that can be wrong with a file ends here as AudioError."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mgc.config import ConfigError

Samples = npt.NDArray[np.float32]

AUDIO_SUFFIXES = frozenset({".wav", ".au", ".flac", ".ogg", ".mp3"})


class AudioError(ConfigError):
    """A file that gives no usable samples; the message is one line with the file and the reason."""


def decode(path: Path, sr: int) -> Samples:
    """The whole file as mono samples (S,) in about [-1, 1] at `sr` Hz.

    Channels are averaged; another rate is resampled as `librosa.load` does (soxr_hq). Raises AudioError for a file that
    cannot be read or decoded, has no samples, or has samples that are not finite.
    """
    y_CS, rate = _read(path)
    y_S = y_CS.mean(axis=0, dtype=np.float32)
    if y_S.size == 0:
        raise AudioError(f"{path}: has no samples")
    if not np.isfinite(y_S).all():
        raise AudioError(f"{path}: has samples that are not finite")
    return y_S if rate == sr else _resample(y_S, rate, sr)


def _read(path: Path) -> tuple[Samples, int]:
    """Samples (C, S) and their rate: by libsndfile, else by whatever decoder audioread finds on this machine."""
    import soundfile

    _check_readable(path)
    try:
        y_SC, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError) as error:
        return _read_otherwise(path, " ".join(str(error).split()))
    return y_SC.T, rate


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror}") from None
    if empty:
        raise AudioError(f"{path}: is empty")


def _read_otherwise(path: Path, reason: str) -> tuple[Samples, int]:
    """As `_read`, for what libsndfile refused for this reason, which is the one told where audioread fails too."""
    import librosa

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # librosa announces that it falls back to audioread
            y, rate = librosa.load(path, sr=None, mono=False)
    except Exception:  # audioread's decoders raise whatever they like, often without a text
        raise AudioError(f"{path}: cannot be decoded: {reason}") from None
    return np.atleast_2d(y), int(rate)


def _resample(y_S: Samples, rate: int, sr: int) -> Samples:
    import librosa

    return np.asarray(librosa.resample(y_S, orig_sr=rate, target_sr=sr), dtype=np.float32)
