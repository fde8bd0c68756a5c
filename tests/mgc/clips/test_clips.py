"""Clips against slices of their tracks' features; where they start; what is said of tracks that are too short."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from tiny_dataset import SR, tiny_config, write_precomputed, write_tracks

from mgc.clips.clips import Batch, Clips, open_clips
from mgc.clips.cutting import clip_shape, clip_starts
from mgc.config import ClipConfig
from mgc.datasets.registry import open_dataset
from mgc.features.features import feature_module, open_store
from mgc.networks.training_config import TrainingConfig
from mgc.words.errors import ConfigError

torch.set_num_threads(1)

GRID_OF_HALVES = ClipConfig(clip_overlap=0.5)


def test_evenly_spread_clips_start_at_the_start_and_end_at_the_end() -> None:
    starts_N = clip_starts(1000, 100, ClipConfig(clips_per_track=10), "t")
    np.testing.assert_array_equal(starts_N, 100 * np.arange(10))


def test_a_single_clip_is_in_the_middle() -> None:
    assert clip_starts(1000, 100, ClipConfig(clips_per_track=1), "t").tolist() == [450]


def test_30_s_at_3_s_and_half_overlap_are_19_clips_in_whatever_unit() -> None:
    assert len(clip_starts(661_500, 66_150, GRID_OF_HALVES, "t", step=512)) == 19
    assert len(clip_starts(661_794, 66_150, GRID_OF_HALVES, "t", step=1)) == 19
    assert clip_starts(500, 50, GRID_OF_HALVES, "t").tolist() == list(range(0, 451, 25))


def test_starts_on_the_same_step_count_once() -> None:
    assert clip_starts(1010, 1000, ClipConfig(clips_per_track=10), "t", step=100).tolist() == [0]


def test_random_clips_are_of_the_grid_and_each_track_has_its_own() -> None:
    config = ClipConfig(clip_overlap=0.5, random_clips=5)
    grid_N = clip_starts(1000, 100, GRID_OF_HALVES, "t")
    drawn = {track_id: tuple(clip_starts(1000, 100, config, track_id)) for track_id in ("t", "u", "v")}
    assert all(set(starts) <= set(grid_N) and len(set(starts)) == 5 for starts in drawn.values())
    assert len(set(drawn.values())) == 3
    assert drawn["t"] == (150, 250, 300, 650, 850)  # in every process and on every machine


def test_more_random_clips_than_there_are_is_all_of_them() -> None:
    config = ClipConfig(clip_overlap=0.5, random_clips=50)
    assert len(clip_starts(1000, 100, config, "t")) == 19


@given(
    length=st.integers(1, 5000),
    clip=st.integers(1, 5000),
    step=st.integers(1, 600),
    overlap=st.none() | st.floats(0, 0.99),
    num=st.integers(1, 30),
)
def test_every_clip_lies_inside_its_track(length: int, clip: int, step: int, overlap: float | None, num: int) -> None:
    starts_N = clip_starts(length, clip, ClipConfig(clips_per_track=num, clip_overlap=overlap), "t", step)
    assert starts_N[0] >= 0
    assert np.all(np.diff(starts_N) > 0)
    if length >= clip:
        assert step * starts_N[-1] + clip <= length
        assert starts_N[-1] + 1 + clip // step <= 1 + length // step  # in frames
    else:
        assert starts_N.tolist() == [0]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MGC_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tracks(tmp_path / "tiny", seconds=[2.0, 1.5, 1.7, 3.0, 2.5, 2.0, 2.0, 2.0])


def only_batch(clips: Clips) -> Batch:
    """All train clips, in the tracks' order."""
    [batch] = clips.batches("train", batch_size=10_000)
    return batch


def waveform_of(config: TrainingConfig, track_id: str) -> torch.Tensor:
    dataset = open_dataset(config.data.dataset)
    [path] = [track.path for track in dataset.tracks if track.track_id == track_id]
    return torch.from_numpy(soundfile.read(path, dtype="float32")[0])


@pytest.mark.parametrize("spectrogram", ["log_mel", "stft_db"])
def test_a_picture_is_a_slice_of_its_tracks_features(folder: Path, spectrogram: str) -> None:
    config = tiny_config(folder, spectrogram=spectrogram, clip_overlap=0.5)
    clips = open_clips(config, progress=False)
    x_BCFT, _, track_B = only_batch(clips)
    for index, track_id in enumerate(clips.track_ids("train")):
        y_S = waveform_of(config, track_id)
        x_FT = feature_module(config.features)(y_S[None])[0]
        starts = [start // 128 for start in range(0, len(y_S) - 4800 + 1, 2400)]
        expected_BCFT = torch.stack([x_FT[None, :, start : start + 1 + 4800 // 128] for start in starts])
        torch.testing.assert_close(x_BCFT[track_B == index], expected_BCFT, atol=2**-11, rtol=0)


def test_a_raw_clip_is_a_slice_of_its_track(folder: Path) -> None:
    config = tiny_config(folder, modality="raw", clips_per_track=3)
    clips = open_clips(config, progress=False)
    wave_BS, _, track_B = only_batch(clips)
    for index, track_id in enumerate(clips.track_ids("train")):
        y_S = waveform_of(config, track_id)
        starts = [0, round((len(y_S) - 4800) / 2), len(y_S) - 4800]
        assert torch.equal(wave_BS[track_B == index], torch.stack([y_S[start : start + 4800] for start in starts]))


def test_with_both_the_picture_is_that_of_the_waveform(folder: Path) -> None:
    config = tiny_config(folder, modality="both", clip_overlap=0.5)
    (wave_BS, x_BCFT), _, track_B = only_batch(clips := open_clips(config, progress=False))
    power_BFT = feature_module(config.features).power(wave_BS)
    inner = slice(2, -2)  # away from the ends, where the track goes on and the clip does not
    for index, track_id in enumerate(clips.track_ids("train")):
        peak = feature_module(config.features).power(waveform_of(config, track_id)[None]).max()
        level_BFT = (1 + (power_BFT[track_B == index] / peak).log10() / 8).clamp(min=0)
        pictures_BFT = x_BCFT[track_B == index, 0]
        torch.testing.assert_close(pictures_BFT[..., inner], level_BFT[..., inner], atol=1e-3, rtol=0)


@pytest.mark.parametrize("modality", ["spectrogram", "raw", "both"])
def test_the_shape_that_is_told_is_the_shape_that_comes(folder: Path, modality: str) -> None:
    config = tiny_config(folder, modality=modality, picture=[64, 48])
    shape = clip_shape(config, open_dataset(str(folder)))
    clips = open_clips(config, progress=False)
    assert clips.shape == shape
    assert (shape.modality, shape.bins, shape.frames, shape.samples) == (modality, 32, 1 + 4800 // 128, 4800)
    assert shape.picture == (64, 48)
    x = only_batch(clips).x
    wave_BS, x_BCFT = x if isinstance(x, tuple) else (x, x)
    if modality != "spectrogram":
        assert wave_BS.shape[1:] == (shape.samples,)
    if modality != "raw":
        assert x_BCFT.shape[1:] == (1, shape.bins, shape.frames)


def test_clips_carry_the_genre_of_their_track(folder: Path) -> None:
    clips = open_clips(tiny_config(folder), progress=False)
    genres = {track.track_id: track.genre for track in open_dataset(str(folder)).tracks}
    _, y_B, track_B = only_batch(clips)
    assert [clips.genres[label] for label in y_B] == [genres[clips.track_ids("train")[index]] for index in track_B]


def test_parts_share_no_track_and_have_the_splits_tracks(folder: Path) -> None:
    parts = ("train", "validation", "test")
    clips = open_clips(tiny_config(folder), parts=parts, progress=False)
    all_ids = [track_id for part in parts for track_id in clips.track_ids(part)]
    assert len(set(all_ids)) == len(all_ids) == 16
    for part in parts:
        assert {clips.split.assign(track_id, 1)[0] for track_id in clips.track_ids(part)} == {part}
        assert clips.num_clips(part) == 4 * clips.num_tracks(part)


def test_the_clip_split_parts_the_clips_of_a_track(folder: Path) -> None:
    clips = open_clips(tiny_config(folder, split="clip", clips_per_track=8), progress=False)
    assert set(clips.track_ids("train")) & set(clips.track_ids("validation"))
    assert clips.num_clips("train") + clips.num_clips("validation") < 8 * 16


def test_the_test_part_is_not_there_unless_asked_for(folder: Path) -> None:
    clips = open_clips(tiny_config(folder), progress=False)
    with pytest.raises(ValueError, match=r"^the test part was not opened \(there is train, validation\)$"):
        clips.num_clips("test")


def test_a_generator_shuffles_and_its_seed_decides_how(folder: Path) -> None:
    clips = open_clips(tiny_config(folder), progress=False)

    def epoch(seed: int) -> Batch:
        [batch] = clips.batches("train", 1000, generator=torch.Generator().manual_seed(seed))
        return batch

    assert torch.equal(epoch(1).x, epoch(1).x)
    assert not torch.equal(epoch(1).x, epoch(2).x)
    in_order = only_batch(clips)
    assert as_counter(epoch(1)) == as_counter(in_order)
    assert not torch.equal(epoch(1).track_B, in_order.track_B)


def as_counter(batch: Batch) -> Counter[tuple[bytes, int, int]]:
    assert isinstance(batch.x, torch.Tensor)
    columns = (batch.x, batch.y_B.tolist(), batch.track_B.tolist())
    return Counter((x.numpy().tobytes(), label, track) for x, label, track in zip(*columns, strict=True))


@pytest.mark.parametrize("batch_size", [1, 7, 31, 32, 33, 1000])
def test_batches_are_at_most_so_large_and_nearly_equal(folder: Path, batch_size: int) -> None:
    clips = open_clips(tiny_config(folder), progress=False)
    sizes = [len(batch.y_B) for batch in clips.batches("train", batch_size)]
    assert sum(sizes) == clips.num_clips("train") == 32
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_a_short_track_ends_in_silence_and_a_shorter_one_is_left_out(tmp_path: Path) -> None:
    folder = write_tracks(tmp_path / "short", seconds=[2.0, 0.29, 0.31, 0.31, 0.31, 0.31, 0.31, 0.31])
    for modality in ("spectrogram", "raw"):
        config = tiny_config(folder, modality=modality)
        clips = open_clips(config, parts=("train", "validation", "test"), progress=False)
        assert any(
            note.startswith("left out because they are shorter than half a clip: 2 tracks (") for note in clips.notes
        )
        assert any(
            note.startswith("shorter than a clip and filled up with silence: 12 tracks (") for note in clips.notes
        )
        x, _, track_B = only_batch(clips)
        for index, track_id in enumerate(clips.track_ids("train")):
            y_S = waveform_of(config, track_id)
            if len(y_S) == round(0.31 * SR):
                [clip] = x[track_B == index]
                expected = y_S if modality == "raw" else feature_module(config.features)(y_S[None])
                torch.testing.assert_close(clip[..., : expected.shape[-1]], expected, atol=2**-11, rtol=0)
                assert not clip[..., expected.shape[-1] :].any()


def test_a_clip_longer_than_every_track_is_an_error(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"^clip_seconds must be <= 3\.0 \(the tracks' length\), got 3\.5$"):
        open_clips(tiny_config(folder, clip_seconds=3.5), progress=False)


@pytest.fixture
def precomputed(tmp_path: Path) -> Path:
    """Eight tracks of 500 frames of 60 ms; frame t of track n is full of (7 t + n) mod 256."""
    values_NFT = (7 * np.arange(500) + np.arange(8)[:, None])[:, None, :].repeat(32, axis=1) % 256
    return write_precomputed(tmp_path / "given.npz", values_NFT.astype(np.uint8), frame_seconds=0.06)


def test_3_s_of_a_precomputed_set_with_frames_of_60_ms_are_50_frames(precomputed: Path) -> None:
    clips = open_clips(tiny_config(precomputed, clip_seconds=3.0, clip_overlap=0.5), progress=False)
    assert (clips.shape.bins, clips.shape.frames, clips.shape.samples) == (32, 50, 0)
    x_BCFT, _, track_B = only_batch(clips)
    for index, track_id in enumerate(clips.track_ids("train")):
        starts_B = torch.arange(0, 451, 25)
        values_BT = (7 * (starts_B[:, None] + torch.arange(50)) + int(track_id.split(".")[1])) % 256
        expected_BCFT = (values_BT / 255)[:, None, None, :].expand(19, 1, 32, 50)
        torch.testing.assert_close(x_BCFT[track_B == index], expected_BCFT)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_mels": 64}, r"n_mels must give the 32 bins of given, got 64 \(64 bins\)"),
        ({"spectrogram": "stft_db"}, r"spectrogram must give the 32 bins of given, got 'stft_db' \(129 bins\)"),
        ({"modality": "both"}, "modality must be 'spectrogram' for given, which has no audio, got 'both'"),
        ({"clip_seconds": 0.01}, r"clip_seconds must be >= 0\.06, got 0\.01"),
        ({"clip_seconds": 45.0}, r"clip_seconds must be <= 30\.0 \(the tracks' length\), got 45"),
    ],
)
def test_what_a_precomputed_set_cannot_give_is_an_error(
    precomputed: Path, params: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{message}$"):
        open_clips(tiny_config(precomputed, **params), progress=False)


def test_settings_that_a_precomputed_set_names_must_agree(tmp_path: Path) -> None:
    pictures_NFT = np.zeros((4, 32, 50), np.uint8)
    path = write_precomputed(tmp_path / "given.npz", pictures_NFT, n_fft=2048)
    with pytest.raises(ConfigError, match=r"^n_fft must be 2048, as in given, got 256$"):
        clip_shape(tiny_config(path), open_dataset(str(path)))


def offsets(config: TrainingConfig, epochs: int) -> tuple[Clips, list[Batch]]:
    clips = open_clips(config, progress=False)
    generator = torch.Generator().manual_seed(0)
    return clips, [next(clips.batches("train", 1000, generator=generator)) for _ in range(epochs)]


def test_random_offsets_are_uniform_over_the_track_and_new_in_every_epoch(folder: Path) -> None:
    config = tiny_config(folder, modality="raw", random_offset=True)
    clips, epochs = offsets(config, 40)
    for index, track_id in enumerate(clips.track_ids("train")):
        y_S = waveform_of(config, track_id)
        beginnings_PS = y_S.unfold(0, 8, 1)  # eight samples of noise are like no others
        starts = []
        for wave_BS, y_B, track_B in epochs:
            assert len(y_B) == clips.num_clips("train") == 32
            for wave_S in wave_BS[track_B == index]:
                [start] = (beginnings_PS == wave_S[:8]).all(dim=1).nonzero()[:, 0].tolist()
                assert torch.equal(wave_S, y_S[start : start + 4800])
                starts.append(start)
        assert len(starts) == 160
        assert len(set(starts)) > 140
        last = len(y_S) - 4800
        assert max(starts) <= last
        assert kstest(np.array(starts) / (last + 1), "uniform").pvalue > 1e-3


def test_with_random_offsets_picture_and_waveform_start_together(folder: Path) -> None:
    config = tiny_config(folder, modality="both", random_offset=True)
    clips, [((wave_BS, x_BCFT), _, track_B)] = offsets(config, 1)
    for index, track_id in enumerate(clips.track_ids("train")):
        y_S = waveform_of(config, track_id)
        x_FT = feature_module(config.features)(y_S[None])[0]
        windows_PS = y_S.unfold(0, 4800, 128)
        for clip in (track_B == index).nonzero()[:, 0]:
            [frame] = (windows_PS == wave_BS[clip]).all(dim=1).nonzero()[:, 0].tolist()
            expected_FT = x_FT[:, frame : frame + clips.shape.frames]
            torch.testing.assert_close(x_BCFT[clip, 0], expected_FT, atol=2**-11, rtol=0)


def test_only_training_draws_its_offsets(folder: Path) -> None:
    plain, drawing = (open_clips(tiny_config(folder, random_offset=given), progress=False) for given in (False, True))
    for part in ("train", "validation"):
        assert torch.equal(next(plain.batches(part, 1000)).x, next(drawing.batches(part, 1000)).x)
    assert torch.equal(plain.statistics[0], drawing.statistics[0])


@pytest.mark.parametrize("params", [{}, {"modality": "both"}, {"random_offset": True}], ids=str)
def test_normalized_by_track_its_whole_picture_has_mean_0_and_deviation_1(folder: Path, params: Any) -> None:
    config = tiny_config(folder, clip_overlap=0.5)
    levelled = tiny_config(folder, clip_overlap=0.5, normalize="track", **params)
    plain, clips = open_clips(config, progress=False), open_clips(levelled, progress=False)
    store = open_store(open_dataset(str(folder)), config.features, "spectrogram")
    (x, _, track_B), before_BCFT = only_batch(clips), only_batch(plain).x
    x_BCFT = x[1] if isinstance(x, tuple) else x
    for index, track_id in enumerate(clips.track_ids("train")):
        stored = store.tracks[track_id]
        picture_RF = store.rows_RW[stored.first_row : stored.first_row + stored.num_rows].double().numpy()
        expected_BCFT = (before_BCFT[track_B == index].double() - picture_RF.mean()) / picture_RF.std()
        torch.testing.assert_close(x_BCFT[track_B == index].double(), expected_BCFT, atol=1e-4, rtol=0)


def test_a_picture_that_never_changes_is_only_centered(tmp_path: Path) -> None:
    x_NFT = np.tile(np.arange(8, dtype=np.uint8)[:, None, None], (1, 8, 500))
    ids = [f"t{number}" for number in range(8)]
    np.savez(tmp_path / "flat.npz", features=x_NFT, track_id=ids, genre=["a", "b"] * 4)
    config = tiny_config(tmp_path / "flat.npz", n_mels=8, normalize="track", hop_length=64)
    assert not only_batch(open_clips(config, progress=False)).x.any()
