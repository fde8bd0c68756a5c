"""Spectrograms against librosa; the store against the features of its tracks, and whatever disturbs its building."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from tiny_dataset import SR, tone_in_noise, write_precomputed, write_tracks

from mgc.config import FeatureConfig
from mgc.datasets.registry import open_dataset
from mgc.features import features
from mgc.features.features import LogMel, STFTdB, feature_module, open_store
from mgc.tracks.dataset import Dataset
from mgc.words.errors import ConfigError

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore:n_fft=")  # librosa's, of signals shorter than a window

LOG_MEL = FeatureConfig(sr=SR, spectrogram="log_mel", n_fft=256, hop_length=128, n_mels=32)
STFT = FeatureConfig(sr=SR, spectrogram="stft_db", n_fft=256, hop_length=128)

NOISE = tone_in_noise(2 * SR, 440.0, seed=0)
SIGNALS = {
    "noise": NOISE,
    "very quiet": NOISE * np.float32(1e-6),
    "far below anything audible": NOISE * np.float32(1e-12),
    "too loud": NOISE * np.float32(100),
    "silence": np.zeros(SR, np.float32),
    "a click in silence": np.eye(1, SR, SR // 2, dtype=np.float32)[0],
    "half silent": np.concatenate([np.zeros(SR, np.float32), NOISE]),
    "shorter than a window": NOISE[:50],
    "a single sample": NOISE[:1],
}


@pytest.mark.parametrize("y_S", SIGNALS.values(), ids=SIGNALS)
@pytest.mark.parametrize(("n_fft", "hop_length"), [(256, 128), (1024, 300)])
def test_stft_db_agrees_with_librosa(y_S: np.ndarray, n_fft: int, hop_length: int) -> None:
    stft_FT = librosa.stft(y_S, n_fft=n_fft, hop_length=hop_length)
    expected_FT = librosa.amplitude_to_db(np.abs(stft_FT), ref=np.max, top_db=80)
    assert_same_decibels(STFTdB(n_fft, hop_length), y_S, expected_FT)


@pytest.mark.parametrize("y_S", SIGNALS.values(), ids=SIGNALS)
@pytest.mark.parametrize(("fmin", "fmax"), [(0.0, None), (50.0, 3000.0)])
def test_log_mel_agrees_with_librosa(y_S: np.ndarray, fmin: float, fmax: float | None) -> None:
    mel_FT = librosa.feature.melspectrogram(
        y=y_S, sr=SR, n_fft=512, hop_length=128, n_mels=24, fmin=fmin, fmax=fmax, pad_mode="constant"
    )
    expected_FT = librosa.power_to_db(mel_FT, ref=np.max, top_db=80)
    assert_same_decibels(LogMel(SR, 512, 128, 24, fmin, fmax), y_S, expected_FT)


def assert_same_decibels(module: torch.nn.Module, y_S: np.ndarray, expected_FT: np.ndarray) -> None:
    x_FT = module(torch.from_numpy(y_S)[None])[0].numpy()
    assert x_FT.min() >= 0
    assert x_FT.max() <= 1
    np.testing.assert_allclose(80 * x_FT - 80, expected_FT, atol=0.01)


def test_each_track_of_a_batch_is_relative_to_its_own_maximum() -> None:
    y_BS = torch.from_numpy(np.stack([NOISE, NOISE * np.float32(0.01)]))
    loud_FT, quiet_FT = feature_module(STFT)(y_BS)
    torch.testing.assert_close(loud_FT, quiet_FT, atol=1e-4, rtol=0)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MGC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tracks(tmp_path / "tiny", seconds=[2.0, 0.7, 1.1])


@pytest.fixture
def dataset(folder: Path) -> Dataset:
    return open_dataset(str(folder))


@pytest.mark.parametrize("config", [LOG_MEL, STFT], ids=["log_mel", "stft_db"])
def test_the_store_holds_every_tracks_spectrogram_in_half_precision(dataset: Dataset, config: FeatureConfig) -> None:
    store = open_store(dataset, config, "spectrogram", progress=False)
    assert set(store.tracks) == {track.track_id for track in dataset.tracks}
    for track in dataset.tracks:
        y_S, _ = soundfile.read(track.path, dtype="float32")
        stored = store.tracks[track.track_id]
        x_TF = store.rows_RW[stored.first_row :][: stored.num_rows].float() * store.scale
        torch.testing.assert_close(x_TF.T, feature_module(config)(torch.from_numpy(y_S)[None])[0], atol=2**-11, rtol=0)
        assert stored.length == len(y_S)


def test_the_waveform_store_holds_16_bit_files_exactly(dataset: Dataset) -> None:
    store = open_store(dataset, LOG_MEL, "waveform", progress=False)
    for track in dataset.tracks:
        stored = store.tracks[track.track_id]
        y_S = store.rows_RW[stored.first_row :][: stored.length, 0]
        np.testing.assert_array_equal(y_S.numpy(), soundfile.read(track.path, dtype="int16")[0])
        np.testing.assert_array_equal(y_S.float() * store.scale, soundfile.read(track.path, dtype="float32")[0])


def test_samples_louder_than_full_scale_are_clipped_not_wrapped(tmp_path: Path) -> None:
    for genre in ("a", "b"):
        (tmp_path / "loud" / genre).mkdir(parents=True)
        soundfile.write(tmp_path / "loud" / genre / f"{genre}.wav", np.array([1.5, -1.5, 1.0]), SR, subtype="FLOAT")
    store = open_store(open_dataset(str(tmp_path / "loud")), LOG_MEL, "waveform", progress=False)
    assert store.rows_RW[:3, 0].tolist() == [32767, -32768, 32767]


def test_silence_follows_the_last_track(dataset: Dataset) -> None:
    store = open_store(dataset, LOG_MEL, "spectrogram", progress=False)
    end = max(stored.first_row + stored.num_rows for stored in store.tracks.values())
    assert len(store.rows_RW) == end + max(stored.num_rows for stored in store.tracks.values())
    assert not store.rows_RW[end:].any()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Which files were decoded, as it goes on."""
    paths: list[Path] = []
    decode = features.decode
    monkeypatch.setattr(features, "decode", lambda path, sr: paths.append(path) or decode(path, sr))
    return paths


def test_only_what_a_store_depends_on_makes_another_one(dataset: Dataset, decoded: list[Path]) -> None:
    def num_decoded(kind: features.Kind, **changed: object) -> int:
        before = len(decoded)
        open_store(dataset, FeatureConfig(**{**LOG_MEL.model_dump(), **changed}), kind, progress=False)
        return len(decoded) - before

    assert num_decoded("spectrogram") == 6
    assert num_decoded("spectrogram", modality="both") == 0
    assert num_decoded("spectrogram", n_mels=16) == 6
    assert num_decoded("spectrogram", hop_length=64) == 6
    assert num_decoded("spectrogram", spectrogram="stft_db") == 6
    assert num_decoded("spectrogram", spectrogram="stft_db", n_mels=16) == 0
    assert num_decoded("waveform") == 6
    assert num_decoded("waveform", hop_length=64) == 0
    assert num_decoded("waveform", sr=4000) == 6


def test_another_content_makes_another_store(folder: Path, dataset: Dataset, decoded: list[Path]) -> None:
    open_store(dataset, LOG_MEL, "spectrogram", progress=False)
    soundfile.write(dataset.tracks[0].path, NOISE, SR)
    open_store(open_dataset(str(folder)), LOG_MEL, "spectrogram", progress=False)
    assert len(decoded) == 12


def test_an_undecodable_track_is_skipped_with_one_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "high" / "high.1.wav").write_bytes(b"RIFF, but no more than that")
    with caplog.at_level(logging.WARNING, logger="mgc"):
        store = open_store(open_dataset(str(folder)), LOG_MEL, "spectrogram", progress=False)
    assert len(store.tracks) == 5
    [(track_id, reason)] = store.skipped.items()
    assert caplog.messages == [f"skipped track {track_id}: {reason}"]
    assert "high.1.wav" in reason


def test_a_dataset_without_a_usable_track_is_an_error_and_leaves_no_store(folder: Path, cache: Path) -> None:
    for path in folder.glob("*/*.wav"):
        path.write_bytes(b"no audio")
    with pytest.raises(ConfigError, match=r"^dataset 'tiny' has no usable track: .*high\.0\.wav: cannot be decoded"):
        open_store(open_dataset(str(folder)), LOG_MEL, "spectrogram", progress=False)
    assert stores(cache) == []


def stores(cache: Path) -> list[Path]:
    return [path for path in (cache / "features").iterdir() if path.suffix != ".lock"]


def test_an_interrupted_build_stops_soon_and_leaves_nothing(
    dataset: Dataset, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(features, "decode", interrupt)
        with pytest.raises(KeyboardInterrupt):
            open_store(dataset, LOG_MEL, "spectrogram", progress=False)
    assert stores(cache) == []
    assert len(open_store(dataset, LOG_MEL, "spectrogram", progress=False).tracks) == 6


def interrupt(path: Path, sr: int) -> np.ndarray:
    raise KeyboardInterrupt


def test_torchs_threads_are_as_before_a_build(dataset: Dataset) -> None:
    torch.set_num_threads(2)
    try:
        open_store(dataset, LOG_MEL, "spectrogram", progress=False)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


pytestmark = pytest.mark.filterwarnings("ignore:n_fft=")  # librosa's, of signals shorter than a window


BUILD = """
import os, signal, sys
from mgc.features import features
from mgc.config import FeatureConfig
from mgc.datasets.registry import open_dataset
folder, decoded, kill_at = sys.argv[1], sys.argv[2], int(sys.argv[3])
decode = features.decode
def counted(path, sr):
    with open(decoded, "a") as file:
        file.write(f"{path}\\n")
    if 0 < kill_at <= len(open(decoded).readlines()):  # two threads may have written before either reads
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(path, sr)
features.decode = counted
config = FeatureConfig(sr=8000, spectrogram="log_mel", n_fft=256, hop_length=128, n_mels=32)
print(len(features.open_store(open_dataset(folder), config, "spectrogram", progress=False).tracks))
"""


def start_build(folder: Path, decoded: Path, kill_at: int = 0) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", BUILD, str(folder), str(decoded), str(kill_at)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_that_start_together_build_once(folder: Path, tmp_path: Path) -> None:
    builds = [start_build(folder, tmp_path / "decoded") for _ in range(2)]
    assert [build.communicate(timeout=60)[0] for build in builds] == ["6\n", "6\n"]
    assert len((tmp_path / "decoded").read_text().splitlines()) == 6


@pytest.mark.slow
def test_a_killed_build_leaves_no_half_store(folder: Path, tmp_path: Path, cache: Path) -> None:
    killed = start_build(folder, tmp_path / "decoded", kill_at=4)
    assert killed.wait(timeout=60) == -signal.SIGKILL
    assert [path for path in stores(cache) if not path.name.startswith(".")] == []
    assert start_build(folder, tmp_path / "decoded").communicate(timeout=60)[0] == "6\n"
    assert len(stores(cache)) == 1


def test_precomputed_features_are_stored_as_they_are(tmp_path: Path) -> None:
    features_NFT = np.random.default_rng(0).integers(0, 256, (4, 32, 50), dtype=np.uint8)
    dataset = open_dataset(str(write_precomputed(tmp_path / "given.npz", features_NFT)))
    store = open_store(dataset, LOG_MEL, "spectrogram", progress=False)
    np.testing.assert_array_equal(store.rows_RW[: 4 * 50].view(4, 50, 32).mT.numpy(), features_NFT)
    assert store.scale * 255 == 1
    assert {stored.length for stored in store.tracks.values()} == {50}


def test_precomputed_floats_must_be_in_0_to_1(tmp_path: Path) -> None:
    dataset = open_dataset(str(write_precomputed(tmp_path / "decibels.npz", np.full((2, 32, 50), -80.0))))
    with pytest.raises(ConfigError, match=r"^.*decibels\.npz: features must be uint8 or floats in \[0, 1\]$"):
        open_store(dataset, LOG_MEL, "spectrogram", progress=False)
