"""Decoding: every format and rate becomes the same mono signal, every fault one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from mgc.features.audio import AudioError, decode

SR = 22_050


def tone(sr: int, hz: float = 440.0, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(seconds * sr)) / sr)


@pytest.mark.parametrize("suffix", ["wav", "au", "flac", "ogg", "mp3"])
def test_every_format_gives_the_signal_that_was_written(tmp_path: Path, suffix: str) -> None:
    soundfile.write(tmp_path / f"tone.{suffix}", tone(SR), SR)
    y_S = decode(tmp_path / f"tone.{suffix}", SR)
    assert y_S.dtype == np.float32
    middle = slice(SR // 4, SR // 2)
    assert np.abs(y_S[middle] - tone(SR)[middle]).max() < 0.05  # lossy formats included


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
def test_another_rate_is_resampled_to_the_same_tone(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "tone.wav", tone(rate), rate)
    y_S = decode(tmp_path / "tone.wav", SR)
    assert len(y_S) == SR
    middle = slice(SR // 4, 3 * SR // 4)
    assert np.abs(y_S[middle] - tone(SR)[middle]).max() < 1e-3


def test_channels_are_averaged(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "stereo.wav", np.stack([tone(SR), -0.5 * tone(SR)], axis=1), SR, subtype="FLOAT")
    np.testing.assert_allclose(decode(tmp_path / "stereo.wav", SR), 0.25 * tone(SR), atol=1e-6)


def test_it_agrees_with_librosa_on_real_music(gtzan_mini: Path) -> None:
    import librosa

    path = gtzan_mini / "rock" / "rock.00000.flac"
    reference, _ = librosa.load(path, sr=16_000)
    np.testing.assert_array_equal(decode(path, 16_000), reference)


def test_a_file_that_is_no_audio_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.wav").write_text("not audio at all")
    with pytest.raises(AudioError, match=r"^.*/x\.wav: cannot be decoded: .*Format not recognised\.$"):
        decode(tmp_path / "x.wav", SR)


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.mp3").touch()
    with pytest.raises(AudioError, match=r"^.*/x\.mp3: is empty$"):
        decode(tmp_path / "x.mp3", SR)


def test_a_header_without_samples_says_so(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "x.wav", np.zeros(0), SR)
    with pytest.raises(AudioError, match=r"^.*/x\.wav: has no samples$"):
        decode(tmp_path / "x.wav", SR)


def test_samples_that_are_not_finite_say_so(tmp_path: Path) -> None:
    y_S = tone(SR)
    y_S[100] = np.nan
    soundfile.write(tmp_path / "x.wav", y_S, SR, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"^.*/x\.wav: has samples that are not finite$"):
        decode(tmp_path / "x.wav", SR)


@pytest.mark.parametrize("name", ["missing.wav", "loop.wav"])
def test_a_file_that_cannot_be_opened_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    with pytest.raises(AudioError, match=rf"^.*/{name}: cannot be read: [^\n]+$"):
        decode(tmp_path / name, SR)
