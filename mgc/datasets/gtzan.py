"""GTZAN (Tzanetakis and Cook 2002): 1000 excerpts of 30 s, 100 of each of ten genres, mono, 16 bit, 22,050 Hz.

It has no license, so its audio does not come with this package; mgc.tracks.gtzan_lists has what others published
about its tracks. Checksums are those that mirdata 1.0.0 publishes (mirdata/datasets/gtzan_genre.py). Its first home,
opihi.cs.uvic.ca, is often down; huggingface.co has the same archive, and the checksum decides, not the address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mgc.datasets import folder
from mgc.features.audio import header
from mgc.files import contents
from mgc.tracks.dataset import Dataset, DatasetError, Track, data_dir, dataset_of
from mgc.tracks.gtzan_lists import GENRES, gtzan_id, lengths, with_artists
from mgc.web.sources import Archive, Source

NAME = "gtzan"

PREFIX = "gtzan:"
"""Before a folder, an .npz or a bucket: with it the user says that it is a copy of GTZAN."""

SR = 22_050

MANY = 20
SHARE = 0.9
"""A dataset of at least so many tracks with GTZAN's names is GTZAN if this share of them has GTZAN's lengths."""

_TERMS = "no license is known: for research at your own judgment, not to be passed on"

SOURCE = Source(
    name="gtzan",
    about="1000 tracks of 30 s, 10 genres (Tzanetakis and Cook 2002)",
    terms=_TERMS,
    archives=(
        Archive(
            file="genres.tar.gz",
            urls=(
                "https://huggingface.co/datasets/marsyas/gtzan/resolve/main/data/genres.tar.gz",
                "http://opihi.cs.uvic.ca/sound/genres.tar.gz",
            ),
            algorithm="md5",
            checksum="5b3d6dddb579ab49814ab86dba69e7c7",
            num_bytes=1_230_000_000,
            unpacked_bytes=1_330_000_000,
        ),
    ),
    inside="genres",
)

MINI_SOURCE = Source(
    name="gtzan_mini",
    about="100 tracks of GTZAN, 10 per genre; split them by track, since some genres have one artist only",
    terms=_TERMS,
    archives=(
        Archive(
            file="gtzan_mini.zip",
            urls=("https://github.com/TempoBeatDownbeat/gtzan_mini/archive/refs/heads/main.zip",),
            algorithm="md5",
            checksum="44f7f23af8363d96c59663a987f29a4c",
            num_bytes=125_000_000,
            unpacked_bytes=133_000_000,
        ),
    ),
    inside="gtzan_mini-main/genres",
)
"""Once downloaded it is opened by its name as any folder under $MGC_DATA."""


def open_gtzan(*, progress: bool = True, make: bool = True) -> Dataset:
    """GTZAN under $MGC_DATA; with `make=False`, where it is not there, what it would hold."""
    if not make and not (data_dir() / NAME).is_dir():
        return nominal()
    return as_gtzan(folder.read(path(), name=NAME))


def path() -> Path:
    """The folder of GTZAN's genres under $MGC_DATA. Raises DatasetError where it is not there."""
    return genres_folder(data_dir() / NAME)


def nominal() -> Dataset:
    """The dataset without its files, for an estimate on a machine that does not have it."""
    ids = [(genre, f"{genre}.{number:05}") for genre in GENRES for number in range(100)]
    tracks = with_artists(Track(track_id=f"{genre}/{each}", genre=genre, artist=None, path=None) for genre, each in ids)
    return dataset_of(NAME, tracks, is_gtzan=True, notes=["not on this machine: estimated for 1000 tracks of 30 s"])


def genres_folder(root: Path) -> Path:
    """The folder that holds the genres' folders in an unpacked copy; archives have it one or two levels down."""
    for folder_ in (root, root / "genres", root / "genres_original", root / "Data" / "genres_original"):
        if all((folder_ / genre).is_dir() for genre in GENRES):
            return folder_
    raise DatasetError(
        f"GTZAN is not in {root}: run python -m mgc.datasets download gtzan, "
        "or set MGC_DATA to the folder that holds gtzan",
        "dataset",
    )


# --- which datasets are GTZAN -----------------------------------------------------------------------------------------


def as_gtzan(dataset: Dataset, why: str = "by its name") -> Dataset:
    """The dataset as GTZAN, with GTZAN's artists where it names none, and a note. DatasetError where no track is named
    as one of GTZAN's.
    """
    if not _named(dataset):
        raise DatasetError(f"no track of {dataset.name} has a name of GTZAN's, such as blues.00000", "dataset")
    return dataset_of(
        dataset.name,
        with_artists(dataset.tracks),
        is_gtzan=True,
        own_split=dataset.own_split,
        precomputed=dataset.precomputed,
        notes=[*dataset.notes, f"taken for GTZAN {why}: its published artists and faults are used"],
    )


def recognized(dataset: Dataset, spec: str) -> Dataset:
    """The dataset that the user named `spec`, as GTZAN if its audio is: many tracks have GTZAN's names and lengths.

    Names alone make no GTZAN, and a dataset that names artists itself is none. A note says what has been decided.
    """
    named = _named(dataset)
    if len(named) < MANY or any(track.artist for track in dataset.tracks):
        return dataset
    num_same = sum(_have_published_lengths(named))
    if num_same >= SHARE * len(named):
        return as_gtzan(dataset, f"by the lengths of {num_same} of its {len(dataset.tracks)} tracks")
    note = (
        f"{len(named)} tracks are named like GTZAN's, but nothing shows that they are: its artists and faults are not "
        f"used (if it is a copy of GTZAN, name it {PREFIX}{spec})"
    )
    return replace(dataset, notes=(*dataset.notes, note))


def _named(dataset: Dataset) -> dict[str, Track]:
    """The tracks that have GTZAN's ids, by these."""
    return {own_id: track for track in dataset.tracks if (own_id := gtzan_id(track.track_id))}


def _have_published_lengths(named: Mapping[str, Track]) -> list[bool]:
    """Whether each track's file is as long as the track of GTZAN. A header is read again only if its file changes."""
    paths = {own_id: track.path for own_id, track in named.items() if track.path is not None}
    if not paths:
        return []
    some = next(iter(paths.values()))
    found = contents.hashes(paths.values(), of=some.parents[1] / "lengths", hash_one=_length)
    return [found[path] == f"{lengths().get(own_id)} at {SR} Hz" for own_id, path in paths.items()]


def _length(path: Path) -> str:
    about = header(path)
    return "unknown" if about is None else f"{about.frames} at {about.samplerate} Hz"
