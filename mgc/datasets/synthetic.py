"""The embedded dataset: ten invented genres of synthesized music. It is made in the cache when it is first opened.

A genre is a Style; an artist varies the genre's style, and a track varies its artist's. So tracks of one artist are
alike, and a split with the same artist on two sides gives accuracies that are too high. The dataset is for trying the
program out; it proves nothing about music.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path

import numpy as np

from mgc.datasets.synthesis import SR, Style, render, varied
from mgc.files.cache import cache_dir
from mgc.files.sealed import sealed
from mgc.tracks.dataset import Dataset, Track, dataset_of
from mgc.words.progress import progress as shown

NAME = "synthetic"

TRACKS_PER_GENRE = 30
SECONDS = 30.0
ARTIST_SPREAD = 0.7
TRACK_SPREAD = 0.5
REVISION = 1
"""Raise this when `synthesis` makes other samples, so that no cache keeps the old music."""

ARTIST_OF = (0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 0, 1, 2, 0)
"""Artist of a genre's first, second, ... track: eight artists with 1 to 6 of 30 tracks, as uneven as real ones."""

MAJOR, MINOR, DORIAN = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10)
PENTATONIC, BLUES, PHRYGIAN = (0, 2, 4, 7, 9), (0, 3, 5, 6, 7, 10), (0, 1, 3, 5, 7, 8, 10)

# fmt: off
GENRES = {
    "bramble": Style(
        bpm=96, swing=0.20, kick="9.......9.......", snare="....8.......8...", hat="..6...6...6...6.",
        bass="9.......7.......", chords="....8.......8...", melody="6..4..6...4.6...",
        scale=MAJOR, progression=(0, 3, 0, 4), rolloff=7, even=0.9, attack=0.004, decay=0.30, drive=1.2,
        drums=-4, low=-2, middle=0, high=1, eq=(0, 2, 4, 2, -4, -8)),
    "cinder": Style(
        bpm=150, swing=0.0, kick="9.4.9.4.9.4.9.4.", snare="....9.......9...", hat="8.8.8.8.8.8.8.8.",
        bass="9.9.9.9.9.9.9.9.", chords="9.9.7.9.9.7.9.7.", melody="4...4...4...4...",
        scale=PHRYGIAN, progression=(0, 0, 1, 0), rolloff=4, even=0.9, attack=0.003, decay=0.22, drive=6,
        drums=-1, low=0, middle=3, high=-3, eq=(4, -4, 0, 6, 6, 2)),
    "driftwave": Style(
        bpm=72, swing=0.0, kick="3...............", snare="................", hat="....2.......2...",
        bass="8...............", chords="9...............", melody="4.....3.....3...",
        scale=MAJOR, progression=(0, 5, 3, 4), rolloff=12, even=0.6, attack=0.25, decay=1.4, drive=1,
        drums=-14, low=-2, middle=3, high=-1, eq=(2, 4, 2, -6, -14, -20)),
    "fizz": Style(
        bpm=126, swing=0.0, kick="9...9...9...9...", snare="....6.......6...", hat="..9...9...9...9.",
        bass="..8...8...8...8.", chords="..7..7....7..7..", melody="6.3.6.3.6.3.6.3.",
        scale=MINOR, progression=(0, 5, 2, 6), rolloff=5, even=0.9, attack=0.004, decay=0.16, drive=1.5,
        drums=2, low=1, middle=0, high=0, eq=(8, 0, -6, 0, 6, 8)),
    "glimmer": Style(
        bpm=112, swing=0.0, kick="9.......9.6.....", snare="....8.......8...", hat="6.6.6.6.6.6.6.6.",
        bass="9..6....9..6....", chords="9.......9.......", melody="7...5.5.7...5.3.",
        scale=MAJOR, progression=(0, 4, 5, 3), rolloff=6, even=0.8, attack=0.01, decay=0.5, drive=1.5,
        drums=0, low=0, middle=1, high=2, eq=(-6, -2, 2, 4, 6, 8)),
    "hollow": Style(
        bpm=84, swing=0.0, kick="................", snare="................", hat="................",
        bass="7.......6.......", chords="6...5...6...5...", melody="7.5.7.5.7.5.7.5.",
        scale=MINOR, progression=(0, 3, 4, 0), rolloff=8, even=0.15, attack=0.05, decay=0.6, drive=1,
        drums=-20, low=-3, middle=1, high=3, eq=(-12, -6, 4, 6, -2, -10)),
    "juggle": Style(
        bpm=132, swing=0.33, kick="5.....4...5.....", snare="..3..2....3..3..", hat="9..59..59..59..5",
        bass="9...8...9...8...", chords="..6....5..6.....", melody="6.56..65.65.6.56",
        scale=DORIAN, progression=(1, 4, 0, 5), rolloff=9, even=0.7, attack=0.01, decay=0.25, drive=1.2,
        drums=-4, low=1, middle=-1, high=2, eq=(-4, 4, 2, -4, 0, 6)),
    "murk": Style(
        bpm=88, swing=0.12, kick="9..5..6...9.....", snare="....9.......9..3", hat="9.9.9.9.9.9.979.",
        bass="9..4..6...9.....", chords="8...............", melody="3...2.....3.....",
        scale=BLUES, progression=(0, 0, 3, 0), rolloff=10, even=0.5, attack=0.006, decay=0.45, drive=2,
        drums=4, low=3, middle=-2, high=-5, eq=(10, 6, -4, -8, -4, 2)),
    "offcut": Style(
        bpm=76, swing=0.15, kick="........9.......", snare="........7.......", hat="5.6.5.6.5.6.5.6.",
        bass="9..6..9.....7...", chords="....9.......9...", melody="4.....4...3.....",
        scale=PENTATONIC, progression=(0, 3, 0, 3), rolloff=9, even=0.6, attack=0.004, decay=0.14, drive=1.3,
        drums=-2, low=4, middle=1, high=-3, eq=(8, 4, -2, -8, -12, -10)),
    "quarry": Style(
        bpm=120, swing=0.0, kick="9.....5.9.......", snare="....9.......9...", hat="8...8...8...8...",
        bass="8.8.8.8.8.8.8.8.", chords="9..7..9...7.7...", melody="5...3...5..3....",
        scale=BLUES, progression=(0, 3, 4, 3), rolloff=5, even=0.9, attack=0.005, decay=0.4, drive=3,
        drums=0, low=0, middle=2, high=0, eq=(2, 4, 6, 6, 0, -8)),
}
# fmt: on


@dataclass(frozen=True)
class _Recipe:
    """The genre and number of a track, which decide how it sounds."""

    genre: str
    number: int

    @property
    def track_id(self) -> str:
        return f"{self.genre}/{self.genre}.{self.number:05}"

    @property
    def artist(self) -> str:
        return f"{self.genre}-{ARTIST_OF[self.number % len(ARTIST_OF)]}"

    def style(self) -> Style:
        artist = varied(GENRES[self.genre], _generator(self.artist), ARTIST_SPREAD)
        return varied(artist, _generator(self.track_id, "style"), TRACK_SPREAD)

    def write(self, folder: Path, seconds: float) -> None:
        import soundfile

        y_S = render(self.style(), _generator(self.track_id, "notes"), seconds)
        content = io.BytesIO()  # written by Python, whose errors say what is wrong with a disk
        soundfile.write(content, y_S, SR, format="FLAC", subtype="PCM_16")
        (folder / f"{self.track_id}.flac").write_bytes(content.getbuffer())


def open_synthetic(
    *, tracks_per_genre: int = TRACKS_PER_GENRE, seconds: float = SECONDS, progress: bool = True, make: bool = True
) -> Dataset:
    """The synthetic dataset; tests ask for a smaller one. The first time on a machine its 300 tracks are made.

    With `make=False` no track is made, and the paths may lead nowhere.
    """
    recipes = [_Recipe(genre, number) for genre in sorted(GENRES) for number in range(tracks_per_genre)]
    key = _key(tracks_per_genre, seconds)
    folder = cache_dir() / f"synthetic-{key}"
    if make:
        sealed(folder, partial(_make, recipes=recipes, seconds=seconds, progress=progress))
    tracks = (
        Track(
            track_id=recipe.track_id,
            genre=recipe.genre,
            artist=recipe.artist,
            path=folder / f"{recipe.track_id}.flac",
            # no hash of the file: the last bit of a sample may differ between machines, but the digest may not
            content=f"{key} {recipe.track_id}",
        )
        for recipe in recipes
    )
    return dataset_of(NAME, tracks, is_synthetic=True)


def _key(tracks_per_genre: int, seconds: float) -> str:
    """12 hex digits of everything that decides how the tracks sound."""
    facts = (REVISION, GENRES, ARTIST_OF, ARTIST_SPREAD, TRACK_SPREAD, tracks_per_genre, seconds)
    return blake2b(repr(facts).encode(), digest_size=6).hexdigest()


def _generator(*names: str) -> np.random.Generator:
    """A random generator that depends on these names only: a track is the same whatever other tracks are made."""
    return np.random.default_rng(list(blake2b(repr(names).encode(), digest_size=16).digest()))


def _make(folder: Path, recipes: list[_Recipe], seconds: float, progress: bool) -> None:
    for genre in GENRES:
        (folder / genre).mkdir(parents=True)
    what = f"making the synthetic dataset, {len(recipes)} tracks"
    for _ in shown(_write(folder, recipes, seconds), what=what, total=len(recipes), show=progress):
        pass


def _write(folder: Path, recipes: list[_Recipe], seconds: float) -> Iterator[None]:
    """Write every track, one per core at a time; yields after each. NumPy and FLAC release Python's lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(lambda recipe: recipe.write(folder, seconds), recipes)
