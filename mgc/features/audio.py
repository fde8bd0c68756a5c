"""Decodes audio files, mixes them to mono, resamples them. Everything that is wrong with a file becomes an AudioError.

Files are read in blocks: so a header that promises years of sound costs no memory, and a long song can be read in
pieces.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mgc.files.reading import open_regular
from mgc.words.errors import ConfigError

log = logging.getLogger("mgc")

Samples = npt.NDArray[np.float32]

AUDIO_SUFFIXES = frozenset({".wav", ".au", ".flac", ".ogg", ".mp3"})
"""The formats that libsndfile decodes on every machine. A dataset has no other files."""

BLOCK = 1 << 18
"""Number of samples of each channel that are read at once."""

HEADERLESS = "RAW"
"""What libsndfile takes a file for that has no header of audio, if its name ends as old formats do (.au, .gsm, .vox).
Any file would be noise then.
"""

RATES_HZ = (1000, 768_000)
"""A header with a rate below the first or above the second is wrong."""

LOUDEST = 1e10
"""Greater than any sample of a good file, even of floats in the range of 32-bit integers. Damaged files reach 1e38."""

DENSEST = 10_000
"""Samples of each channel that one byte of a file can hold at most: FLAC's frames of silence have 65,535 in ten."""


class AudioError(ConfigError):
    """A file has no usable samples; the message is one line with the file and the reason."""


def decode(path: Path, sr: int) -> Samples:
    """The whole file as mono samples (S,) in about [-1, 1] at `sr` Hz.

    Channels are averaged; another rate is resampled as `librosa.load` does (soxr_hq). Raises AudioError for a file that
    cannot be read or decoded, has no samples, or has samples that are no sound (see `fault_of`). Of a file that is cut
    off the existing part is decoded if its format allows that (wav, au, ogg, mp3; not flac).
    """
    pairs = list(blocks(path))
    rate = pairs[0][1] if pairs else sr
    return _joined(path, [block_S for block_S, _ in pairs], rate, sr)


def decode_pieces(path: Path, sr: int, seconds: float) -> Iterator[Samples]:
    """As `decode`, in pieces of `seconds`, each resampled separately; the last is 0.5 to 1.5 times as long.

    So a file of up to 1.5 x `seconds` is one piece, equal to the result of `decode`, and a file of any length takes the
    same memory.
    """
    rest: list[Samples] = []
    num_rest, rate = 0, sr
    for block_S, rate in blocks(path):
        rest.append(block_S)
        num_rest += len(block_S)
        piece = round(seconds * rate)
        if num_rest <= piece * 1.5:
            continue
        y_S = np.concatenate(rest)
        while len(y_S) > piece * 1.5:
            yield _joined(path, [y_S[:piece]], rate, sr)
            y_S = y_S[piece:]
        rest, num_rest = [y_S], len(y_S)
    yield _joined(path, rest, rate, sr)


def _joined(path: Path, parts: list[Samples], rate: int, sr: int) -> Samples:
    """The parts as one signal at `sr` Hz. Raises AudioError for no samples, or samples that are no sound."""
    y_S = np.concatenate(parts) if parts else np.empty(0, np.float32)
    if y_S.size == 0:
        raise AudioError(f"{path}: has no samples")
    if fault := fault_of(y_S):
        raise AudioError(f"{path}: {fault}")
    return y_S if rate == sr else _resample(y_S, rate, sr)


def fault_of(y_S: Samples) -> str | None:
    """Why samples are no sound: they are not finite, or so large that their power would not be finite."""
    if not np.isfinite(y_S).all():
        return "has samples that are not finite"
    if y_S.size and np.abs(y_S).max() > LOUDEST:
        return f"has samples beyond {LOUDEST:g} times full scale"
    return None


def blocks(path: Path) -> Iterator[tuple[Samples, int]]:
    """Mono samples (S,) and their rate, block after block. Raises AudioError for a file that cannot be decoded.

    audioread decodes only formats that no dataset has (m4a, wma, ...). Which decoders it finds depends on the machine,
    and a dataset must be the same on all nodes.
    """
    import soundfile

    _check_readable(path)
    try:
        file = soundfile.SoundFile(os.fsencode(path))  # bytes, because a file name may be no text
    except _soundfile_errors() as error:
        if path.suffix.lower() in AUDIO_SUFFIXES:
            raise _undecodable(path, error) from None
        yield from _audioread_blocks(path, error)
        return
    with file:
        if file.format == HEADERLESS:
            raise AudioError(f"{path}: cannot be decoded: Format not recognised.")
        _check_rate(path, file.samplerate)
        while len(block_SC := _next_block(path, file)):
            yield block_SC.T.mean(axis=0, dtype=np.float32), file.samplerate


def header(path: Path) -> Any | None:
    """What soundfile reads in a file's header: its `frames`, `samplerate`, `channels`, `format`, `subtype`, `duration`.

    None where it reads nothing.
    """
    import soundfile

    with suppress(OSError, *_soundfile_errors()):
        open_regular(path).close()
        info = soundfile.info(os.fsencode(path))  # bytes, because a file name may be no text
        if info.format != HEADERLESS:
            return info
    return None


def credible_header(path: Path) -> Any | None:
    """As `header`; None also where it promises more than the file can hold."""
    about = header(path)
    with suppress(OSError):
        if about is not None and about.frames <= DENSEST * path.stat().st_size:
            return about
    return None


def _next_block(path: Path, file: Any) -> Samples:
    """Up to BLOCK samples (S, C) of an open soundfile.SoundFile."""
    try:
        return np.asarray(file.read(BLOCK, dtype="float32", always_2d=True))
    except _soundfile_errors() as error:
        raise _undecodable(path, error) from None


def _soundfile_errors() -> tuple[type[Exception], ...]:
    """The errors that soundfile raises for a broken file; TypeError for some broken headers."""
    import soundfile

    return (soundfile.SoundFileError, RuntimeError, TypeError)


def _undecodable(path: Path, error: Exception) -> AudioError:
    reason = " ".join(str(getattr(error, "error_string", error)).split()) or type(error).__name__
    if "does not exist" in reason:  # libsndfile's words for an mp3 without sound, although the file exists
        reason = "Format not recognised."
    return AudioError(f"{path}: cannot be decoded: {reason}")


def _check_readable(path: Path) -> None:
    try:
        with open_regular(path) as file:
            empty = not file.read(1)
    except OSError as error:
        raise AudioError(f"{path}: cannot be read: {error.strerror}") from None
    if empty:
        raise AudioError(f"{path}: is empty")


def _check_rate(path: Path, rate: int) -> None:
    lowest, highest = RATES_HZ
    if not lowest <= rate <= highest:
        raise AudioError(f"{path}: has a sampling rate of {rate} Hz, must be {lowest} to {highest}")


def _audioread_blocks(path: Path, refusal: Exception) -> Iterator[tuple[Samples, int]]:
    """As `blocks`, with the decoders that audioread finds on this machine.

    Without one the AudioError gives `refusal`, the error of libsndfile.
    """
    import audioread

    try:
        with closing(audioread.audio_open(path.absolute())) as file:
            _check_rate(path, file.samplerate)
            for buffer in file:
                y_SC = np.frombuffer(buffer, "<i2").reshape(-1, file.channels)
                yield y_SC.mean(axis=1, dtype=np.float32) / 32_768, file.samplerate
    except AudioError:
        raise
    except Exception:  # audioread's decoders raise errors of any type, often without a text
        log.debug("%s: audioread cannot decode it either", path, exc_info=True)
        raise _undecodable(path, refusal) from None


def _resample(y_S: Samples, rate: int, sr: int) -> Samples:
    import librosa

    return np.asarray(librosa.resample(y_S, orig_sr=rate, target_sr=sr), dtype=np.float32)
