"""The embedded dataset: complete, the same everywhere, different by genre, and alike by artist."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mgc.config import DataConfig
from mgc.datasets import synthetic
from mgc.datasets.synthesis import EQ_HZ, SR, STEPS, Style, render, varied
from mgc.features.audio import decode
from mgc.tracks.dataset import Dataset
from mgc.tracks.splits import make_split

PLAIN = Style(
    bpm=120, swing=0, kick="." * 16, snare="." * 16, hat="." * 16, bass="." * 16, chords="." * 16, melody="." * 16,
    scale=(0, 4, 7), progression=(0,), rolloff=6, even=1, attack=0.01, decay=0.2, drive=1,
    drums=0, low=0, middle=0, high=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def small() -> Dataset:
    return synthetic.open_synthetic(tracks_per_genre=6, seconds=3.0, progress=False)


def spectrum(y_S: np.ndarray) -> np.ndarray:
    """Power at each Hz of the first second."""
    return np.abs(np.fft.rfft(y_S[:SR])) ** 2


# --- the dataset ------------------------------------------------------------------------------------------------------


def test_ten_genres_by_artists_of_one_genre_each(small: Dataset) -> None:
    assert len(small.genres) == 10
    assert small.is_synthetic
    assert Counter(track.genre for track in small.tracks) == dict.fromkeys(small.genres, 6)
    assert all(track.artist and track.artist.startswith(track.genre) for track in small.tracks)


def test_at_full_size_every_genre_has_thirty_tracks_by_eight_artists() -> None:
    assert synthetic.TRACKS_PER_GENRE == len(synthetic.ARTIST_OF) == 30
    assert sorted(Counter(synthetic.ARTIST_OF).values()) == [1, 2, 3, 4, 4, 5, 5, 6]


def test_tracks_are_flac_of_22050_hz_and_16_bit(small: Dataset) -> None:
    for track in small.tracks[::7]:
        assert track.path is not None
        info = soundfile.info(track.path)
        assert (info.format, info.subtype, info.samplerate, info.channels) == ("FLAC", "PCM_16", 22_050, 1)
        assert info.frames == 3 * 22_050
        assert 0.85 < np.abs(decode(track.path, SR)).max() <= 1


def test_made_again_it_is_the_same(small: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MGC_CACHE", str(tmp_path))
    again = synthetic.open_synthetic(tracks_per_genre=6, seconds=3.0, progress=False)
    assert again.digest == small.digest
    for one, other in zip(small.tracks, again.tracks, strict=True):
        assert one.path is not None
        assert other.path is not None
        assert one.path.read_bytes() == other.path.read_bytes()


def test_a_track_sounds_the_same_in_a_larger_dataset(small: Dataset) -> None:
    larger = synthetic.open_synthetic(tracks_per_genre=7, seconds=3.0, progress=False)
    paths = {track.track_id: track.path for track in larger.tracks}
    first = small.tracks[0]
    assert first.path is not None
    assert first.path.read_bytes() == Path(str(paths[first.track_id])).read_bytes()
    assert larger.digest != small.digest
    assert all(path and path.exists() for path in paths.values())


def test_opened_again_it_is_read_not_made(small: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "_make", lambda *_, **__: pytest.fail("made again"))
    assert synthetic.open_synthetic(tracks_per_genre=6, seconds=3.0).digest == small.digest


@pytest.mark.parametrize("name", ["REVISION", "ARTIST_SPREAD", "TRACK_SPREAD"])
def test_other_music_is_another_dataset(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = synthetic.open_synthetic(tracks_per_genre=1, seconds=0.5, progress=False)
    monkeypatch.setattr(synthetic, name, 2 * getattr(synthetic, name))
    after = synthetic.open_synthetic(tracks_per_genre=1, seconds=0.5, progress=False)
    assert after.digest != before.digest
    assert after.tracks[0].path != before.tracks[0].path


def test_no_two_tracks_are_equal(small: Dataset) -> None:
    assert len({track.path.read_bytes() for track in small.tracks if track.path}) == len(small.tracks)


def test_it_can_be_split_by_artist_at_any_size(small: Dataset) -> None:
    split = make_split(small, DataConfig(ratios=(50, 30, 20)))
    assert Counter(split.parts.values()) == {"train": 30, "validation": 20, "test": 10}


def test_off_a_terminal_progress_is_plain_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MGC_CACHE", str(tmp_path))
    synthetic.open_synthetic(tracks_per_genre=1, seconds=0.5)
    first, last = capsys.readouterr().err.splitlines()
    assert first == "making the synthetic dataset, 10 tracks ..."
    assert last.startswith("making the synthetic dataset, 10 tracks: done in ")


# --- the music --------------------------------------------------------------------------------------------------------


def test_the_beat_is_where_the_tempo_says() -> None:
    y_S = render(replace(PLAIN, kick="9..............."), np.random.default_rng(3), 8.0)
    bar = round(STEPS * 60 / 120 / 4 * SR)
    energy = np.square(y_S).reshape(-1, SR // 50).sum(axis=1)
    loud = np.flatnonzero(energy > energy.max() / 2) * (SR // 50)
    assert len(loud) > 0
    assert all(start % bar < SR // 20 or bar - start % bar < SR // 20 for start in loud)


def test_a_note_has_the_harmonics_of_its_style() -> None:
    held = replace(PLAIN, bass="9...............", scale=(0,), attack=0.001, decay=2.0, rolloff=3.0)
    full, hollow, dull = (
        spectrum(render(style, np.random.default_rng(1), 2.0))
        for style in (held, replace(held, even=0.0), replace(held, rolloff=20.0))
    )
    root = int(np.argmax(full[50:120])) + 50
    near = slice(-3, 4)

    def level(power: np.ndarray, harmonic: int) -> float:
        at = root * harmonic
        return float(power[at + near.start : at + near.stop].max() / power[root + near.start : root + near.stop].max())

    assert level(full, 2) > 50 * level(hollow, 2)
    assert level(hollow, 3) > 0.2 * level(full, 3)
    assert level(full, 3) > 5 * level(dull, 3)


def test_the_equalizer_raises_its_band() -> None:
    noisy = replace(PLAIN, hat="9" * 16)
    raised = replace(noisy, eq=tuple(12.0 if hz == 4000 else 0.0 for hz in EQ_HZ))
    plain, treble = (spectrum(render(style, np.random.default_rng(0), 2.0)) for style in (noisy, raised))
    gain_db = 10 * np.log10(treble / plain)
    assert gain_db[3900:4100].mean() - gain_db[400:600].mean() == pytest.approx(12, abs=0.5)


def test_varied_by_nothing_is_the_same_and_by_more_is_farther() -> None:
    style = synthetic.GENRES["fizz"]
    assert varied(style, np.random.default_rng(0), 0.0) == style
    near, far = (varied(style, np.random.default_rng(0), spread) for spread in (0.1, 1.0))
    assert abs(near.bpm - style.bpm) < abs(far.bpm - style.bpm)


def test_styles_of_one_artist_are_nearer_than_those_of_the_genre() -> None:
    def distance(one: Style, other: Style) -> float:
        return float(np.sum(np.abs(np.subtract(one.eq, other.eq)))) + abs(one.rolloff - other.rolloff)

    recipes = [synthetic._Recipe("fizz", number) for number in range(30)]
    pairs = [(one, other) for one in recipes for other in recipes if one.number < other.number]
    same = [distance(one.style(), other.style()) for one, other in pairs if one.artist == other.artist]
    different = [distance(one.style(), other.style()) for one, other in pairs if one.artist != other.artist]
    assert np.mean(same) < 0.8 * np.mean(different)


@pytest.mark.slow
def test_genres_are_told_apart_by_their_spectrum_but_not_without_error() -> None:
    """Nearest centroid of band levels, artists apart, where chance is 0.1: better than that, and far from perfect."""
    dataset = synthetic.open_synthetic(tracks_per_genre=16, seconds=3.0, progress=False)
    split = make_split(dataset, DataConfig(ratios=(50, 30, 20)))
    edges = np.geomspace(60, 10_000, 25).astype(int)
    levels = {
        t.track_id: np.log([band.mean() for band in np.split(spectrum(decode(t.path, SR)), edges)[1:-1]])
        for t in dataset.tracks
        if t.path
    }
    centroids = {
        genre: np.mean(
            [levels[t.track_id] for t in dataset.tracks if t.genre == genre and split.parts[t.track_id] == "train"],
            axis=0,
        )
        for genre in dataset.genres
    }
    judged = [t for t in dataset.tracks if split.parts[t.track_id] != "train"]
    right = [
        min(centroids, key=lambda genre: float(np.linalg.norm(centroids[genre] - levels[t.track_id]))) == t.genre
        for t in judged
    ]
    assert 0.2 < np.mean(right) < 0.9
