"""A folder tree `<genre>/<file>` of audio files, and the optional table of its artists. Decodes nothing.

The table is `tracks.csv` beside the genre folders, with the columns `path` (as `<genre>/<file>`), `genre`, `artist`;
other columns are ignored. A track's id is its path without the suffix; where two files differ only in the suffix, their
ids have it.
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from mgc.features.audio import AUDIO_SUFFIXES
from mgc.files import contents
from mgc.files.reading import NotRegularError, file_hash, open_regular
from mgc.tracks.dataset import Dataset, DatasetError, Track, dataset_of

TABLE = "tracks.csv"

EMPTY = "empty"
UNREADABLE = "cannot be read"
IRREGULAR = "not a regular file"


def root_of(path: Path) -> Path | None:
    """The path itself if it is a folder, else None."""
    return path if path.is_dir() else None


def read(root: Path, *, name: str | None = None) -> Dataset:
    """The dataset in this folder. Files that are empty, cannot be read or are pipes are left out, with a note."""
    root = root.absolute()
    files = sorted(audio_files(root))
    hashes = contents.hashes(files, of=root, hash_one=file_hash)
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
    notes = [*_fault_notes(root, faults), *notes]
    return dataset_of(name or root.name, tracks, notes=notes)


def audio_files(root: Path) -> Iterator[Path]:
    """The files in the genre folders that have an audio suffix, also broken links; hidden files are left out."""
    for genre in _listed(root):
        if genre.is_dir():
            yield from (path for path in _listed(genre) if path.suffix.lower() in AUDIO_SUFFIXES)


def _listed(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError:  # without the right to read it a folder counts as empty
        return []


def _fault(path: Path, content: str | OSError) -> str | None:
    """Why a file cannot be used, without decoding it; None if it looks usable."""
    if isinstance(content, NotRegularError):
        return IRREGULAR
    if isinstance(content, OSError) or not os.access(path, os.R_OK):
        return UNREADABLE
    return EMPTY if path.stat().st_size == 0 else None


def _fault_notes(root: Path, faults: Mapping[Path, str]) -> Iterator[str]:
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
    """Name of a file -> its artist, where the table has one; and a note if the table lists files that are not there.

    Raises DatasetError for a table that is there and cannot be used: without artists a split would leak.
    """
    if not os.path.lexists(table):
        return {}, []
    rows: dict[str, str] = {}
    for line, name, artist in _rows(table):
        if rows.setdefault(name, artist) != artist:
            raise DatasetError(
                f"{table}:{line}: {name!r} is listed twice, with the artists {rows[name]!r} and {artist!r}", "dataset"
            )
    absent = rows.keys() - set(names)
    notes = [f"{TABLE} lists {len(absent)} files that are not used (first {min(absent)!r})"] if absent else []
    return {name: artist for name, artist in rows.items() if artist}, notes


def _rows(table: Path) -> Iterator[tuple[int, str, str]]:
    """The line, path and artist of every row, the artist '' where the table has none."""
    try:
        with io.TextIOWrapper(open_regular(table), encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)  # otherwise a quote that is not closed takes in all later rows
            header = next(reader, [])
            if fault := _fault_of_header(header):
                raise DatasetError(f"{table}: {fault}", "dataset")
            for cells in filter(None, reader):  # a blank line has no cells
                if fault := _fault_of_row(header, cells):
                    raise DatasetError(f"{table}:{reader.line_num}: {fault}", "dataset")
                row = dict(zip(header, cells, strict=True))
                yield reader.line_num, row["path"].removeprefix("./"), row["artist"].strip()
    except OSError as error:
        raise DatasetError(f"{table}: cannot be read: {error.strerror}", "dataset") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{table}: cannot be read: {error}", "dataset") from None


def _fault_of_header(header: Sequence[str]) -> str | None:
    """What is wrong with the names of the table's columns, None if nothing is."""
    if missing := {"path", "artist"} - set(header):
        return f"column {' and '.join(sorted(missing))} is missing"
    twice = [column for column in ("path", "genre", "artist") if header.count(column) > 1]
    return f"column {twice[0]} is there twice" if twice else None


def _fault_of_row(header: Sequence[str], cells: Sequence[str]) -> str | None:
    """What is wrong with a row of the table, None if nothing is."""
    if len(cells) != len(header):
        return f"must have {len(header)} cells, as the first line has, got {len(cells)} (quote a cell with a comma)"
    row = dict(zip(header, cells, strict=True))
    folder = row["path"].removeprefix("./").partition("/")[0]
    if row.get("genre") not in (None, "", folder):
        return f"genre must be its folder's name {folder!r}, got {row['genre']!r}"
    return None
