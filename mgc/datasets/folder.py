"""A folder tree `<genre>/<file>` of audio files, and the table that may name its artists. Decodes nothing.

An optional `tracks.csv` beside the genre folders has the columns `path` (as `<genre>/<file>`), `genre`, `artist`;
others are ignored. A track's id is its path without the suffix, with it where two files differ in nothing else.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mgc.audio import AUDIO_SUFFIXES
from mgc.datasets import Dataset, DatasetError, Track, contents, dataset_of, gtzan

TABLE = "tracks.csv"

EMPTY = "empty"
UNREADABLE = "cannot be read"


def read(root: Path, *, name: str | None = None) -> Dataset:
    """The dataset in this folder; files that are empty or cannot be read are left out with a note."""
    root = root.absolute()
    files = sorted(audio_files(root))
    hashes = contents.hashes(files, of=root, hash_one=contents.file_hash)
    faults = {path: fault for path in files if (fault := _fault(path, hashes[path]))}
    usable = {path.relative_to(root).as_posix(): path for path in files if path not in faults}
    if not usable:
        raise DatasetError(
            f"no usable audio in {root}: expected <genre>/<file> with one of {', '.join(sorted(AUDIO_SUFFIXES))}",
            "dataset",
        )
    artists, notes = _artists(root / TABLE, usable)
    ids = _track_ids(usable)
    tracks = (
        Track(
            track_id=ids[file], genre=path.parent.name, artist=artists.get(file), path=path, content=str(hashes[path])
        )
        for file, path in usable.items()
    )
    notes = [*_left_out(root, faults), *notes]
    return dataset_of(name or root.name, gtzan.with_artists(tracks), notes=notes)


def audio_files(root: Path) -> Iterator[Path]:
    """What looks like audio in the genre folders, hidden names excepted; links that lead nowhere are among it."""
    for genre in _listed(root):
        if genre.is_dir():
            yield from (path for path in _listed(genre) if path.suffix.lower() in AUDIO_SUFFIXES)


def _listed(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError:  # a folder that may not be read has nothing for us
        return []


def _fault(path: Path, content: str | OSError) -> str | None:
    """Why a file cannot be used, as far as can be told without decoding it."""
    if isinstance(content, OSError) or not os.access(path, os.R_OK):
        return UNREADABLE
    return EMPTY if path.stat().st_size == 0 else None


def _left_out(root: Path, faults: Mapping[Path, str]) -> Iterator[str]:
    for fault, count in Counter(faults.values()).items():
        first = next(path for path in faults if faults[path] == fault)
        yield f"{count} {'file' if count == 1 else 'files'} left out: {fault} (first {str(first.relative_to(root))!r})"


def _track_ids(names: Iterable[str]) -> dict[str, str]:
    """Name of a file -> its track's id.

    >>> _track_ids(["a/x.wav", "a/y.wav", "a/y.mp3"])
    {'a/x.wav': 'a/x', 'a/y.wav': 'a/y.wav', 'a/y.mp3': 'a/y.mp3'}
    """
    stems = {name: os.path.splitext(name)[0] for name in names}
    uses = Counter(stems.values())
    return {name: stem if uses[stem] == 1 else name for name, stem in stems.items()}


def _artists(table: Path, names: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Name of a file -> its artist, as far as the table tells, and a note where it lists files that are not there."""
    if not table.is_file():
        return {}, []
    rows = dict(_rows(table))
    absent = rows.keys() - set(names)
    notes = [f"{TABLE} lists {len(absent)} files that are not used (first {min(absent)!r})"] if absent else []
    return {name: artist for name, artist in rows.items() if artist}, notes


def _rows(table: Path) -> Iterator[tuple[str, str]]:
    """Path and artist of every row, the artist '' where the table has none."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if missing := {"path", "artist"} - set(reader.fieldnames or ()):
                raise DatasetError(f"{table}: column {' and '.join(sorted(missing))} is missing", "dataset")
            for row in reader:
                name, folder = row["path"].removeprefix("./"), row["path"].removeprefix("./").partition("/")[0]
                if row.get("genre") not in (None, "", folder):
                    raise DatasetError(
                        f"{table}:{reader.line_num}: genre must be its folder's name {folder!r}, got {row['genre']!r}",
                        "dataset",
                    )
                yield name, (row["artist"] or "").strip()
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{table}: cannot be read: {error}", "dataset") from None
