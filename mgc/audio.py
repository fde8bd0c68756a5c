"""Audio files: decoded, mixed to mono, resampled. Everything that can be wrong with a file ends here as AudioError.

Files are read in blocks, so that a header which promises years of sound costs no memory, and a long song can be taken
in pieces.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mgc.config import ConfigError

Samples = npt.NDArray[np.float32]

AUDIO_SUFFIXES = frozenset({".wav", ".au", ".flac", ".ogg", ".mp3"})
"""What libsndfile decodes, on every machine alike. A dataset holds nothing else."""

BLOCK = 1 << 18
"""Samples of each channel that are read at once."""

RATES_HZ = (1000, 768_000)
"""Lowest and highest sampling rate that a header is believed."""

LOUDEST = 1e10
"""More than any sample of a float file, also of one that is scaled as 32-bit integers. Damaged ones reach 1e38."""


class AudioError(ConfigError):
    """A file that gives no usable samples; the message is one line with the file and the reason."""


def decode(path: Path, sr: int) -> Samples:
    """The whole file as mono samples (S,) in about [-1, 1] at `sr` Hz.

    Channels are averaged; another rate is resampled as `librosa.load` does (soxr_hq). Raises AudioError for a file that
    cannot be read or decoded, has no samples, or has samples that are no sound (see `fault_of`). A file that was cut
    off is taken as far as it goes where its format allows (wav, au, ogg, mp3; not flac).
    """
    pairs = list(blocks(path))
    rate = pairs[0][1] if pairs else sr
    return _finished(path, [block_S for block_S, _ in pairs], rate, sr)


def decode_pieces(path: Path, sr: int, seconds: float) -> Iterator[Samples]:
    """As `decode`, in pieces of `seconds`, each resampled on its own; the last is 0.5 to 1.5 times as long.

    So a file of up to 1.5 x `seconds` is one piece, equal to what `decode` gives, and any length takes the same memory.
    """
    held: list[Samples] = []
    num_held, rate = 0, sr
    for block_S, rate in blocks(path):
        held.append(block_S)
        num_held += len(block_S)
        piece = round(seconds * rate)
        if num_held <= piece * 1.5:
            continue
        y_S = np.concatenate(held)
        while len(y_S) > piece * 1.5:
            yield _finished(path, [y_S[:piece]], rate, sr)
            y_S = y_S[piece:]
        held, num_held = [y_S], len(y_S)
    yield _finished(path, held, rate, sr)


def _finished(path: Path, parts: list[Samples], rate: int, sr: int) -> Samples:
    """The parts as one signal at `sr`, or an AudioError for what is no signal."""
    y_S = np.concatenate(parts) if parts else np.empty(0, np.float32)
    if y_S.size == 0:
        raise AudioError(f"{path}: has no samples")
    if fault := fault_of(y_S):
        raise AudioError(f"{path}: {fault}")
    return y_S if rate == sr else _resample(y_S, rate, sr)


def fault_of(y_S: Samples) -> str | None:
    """Why samples are no sound: not finite, or so far beyond full scale that their power would not be."""
    if not np.isfinite(y_S).all():
        return "has samples that are not finite"
    if y_S.size and np.abs(y_S).max() > LOUDEST:
        return f"has samples beyond {LOUDEST:g} times full scale"
    return None


def blocks(path: Path) -> Iterator[tuple[Samples, int]]:
    """Mono samples (S,) and their rate, block after block; AudioError for a file that cannot be read or decoded.

    Only what no dataset holds (m4a, wma, ...) goes to audioread: whether that finds a decoder depends on the machine,
    and two nodes must not see two datasets.
    """
    import soundfile

    _check_readable(path)
    try:
        file = soundfile.SoundFile(os.fsencode(path))  # a name that is no text, too
    except _soundfile_errors() as error:
        if path.suffix.lower() in AUDIO_SUFFIXES:
            raise _undecodable(path, error) from None
        yield from _blocks_otherwise(path, error)
        return
    with file:
        _check_rate(path, file.samplerate)
        while len(block_SC := _next_block(path, file)):
            yield block_SC.T.mean(axis=0, dtype=np.float32), file.samplerate


def _next_block(path: Path, file: Any) -> Samples:
    """Up to BLOCK samples (S, C) of an open soundfile.SoundFile."""
    try:
        return np.asarray(file.read(BLOCK, dtype="float32", always_2d=True))
    except _soundfile_errors() as error:
        raise _undecodable(path, error) from None


def _soundfile_errors() -> tuple[type[Exception], ...]:
    """What soundfile raises for a file that is not as it should be; TypeError for headers of nonsense."""
    import soundfile

    return (soundfile.SoundFileError, RuntimeError, TypeError)


def _undecodable(path: Path, error: Exception) -> AudioError:
    reason = " ".join(str(getattr(error, "error_string", error)).split()) or type(error).__name__
    if "does not exist" in reason:  # libsndfile says so of an mp3 in which it finds no sound; the file has been opened
        reason = "Format not recognised."
    return AudioError(f"{path}: cannot be decoded: {reason}")


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror}") from None
    if empty:
        raise AudioError(f"{path}: is empty")


def _check_rate(path: Path, rate: int) -> None:
    lowest, highest = RATES_HZ
    if not lowest <= rate <= highest:
        raise AudioError(f"{path}: has a sampling rate of {rate} Hz, must be {lowest} to {highest}")


def _blocks_otherwise(path: Path, refusal: Exception) -> Iterator[tuple[Samples, int]]:
    """As `blocks`, by whatever decoder audioread finds here; where it finds none, libsndfile's refusal is told."""
    import audioread

    try:
        with closing(audioread.audio_open(path.absolute())) as file:
            _check_rate(path, file.samplerate)
            for buffer in file:
                y_SC = np.frombuffer(buffer, "<i2").reshape(-1, file.channels)
                yield y_SC.mean(axis=1, dtype=np.float32) / 32_768, file.samplerate
    except AudioError:
        raise
    except Exception:  # audioread's decoders raise whatever they like, often without a text
        raise _undecodable(path, refusal) from None


def _resample(y_S: Samples, rate: int, sr: int) -> Samples:
    import librosa

    return np.asarray(librosa.resample(y_S, orig_sr=rate, target_sr=sr), dtype=np.float32)
