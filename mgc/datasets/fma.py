"""FMA small (Defferrard et al. 2017): 8000 clips of 30 s, 1000 of each of eight genres, MP3, under free licenses.

Read as its two archives unpack: `fma_metadata/tracks.csv` (a table with two header rows and a third that names the
index) beside `fma_small/000/000002.mp3`. Genres (`track.genre_top`), artists (`artist.id`, else `artist.name`) and the
authors' own split by artist (`set.split`: 80/10/10) come from the table; a training takes the latter as split `given`.

Six files hold less than two seconds of audio or none, since wrong lengths in the source made the authors cut beside the
music. They are left out: https://github.com/mdeff/fma/issues/8, and known errata in the wiki of that repository.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from mgc.datasets import Dataset, DatasetError, Track, contents, dataset_of

NAME = "fma_small"
AUDIO, TABLE = Path("fma_small"), Path("fma_metadata") / "tracks.csv"

GENRES = ("Electronic", "Experimental", "Folk", "Hip-Hop", "Instrumental", "International", "Pop", "Rock")
TRACKS_PER_GENRE = 1000
BROKEN = frozenset({"098565", "098567", "098569", "099134", "108925", "133297"})

_COLUMNS = (("set", "subset"), ("set", "split"), ("track", "genre_top"), ("artist", "id"), ("artist", "name"))
_PARTS = {"training": "train", "validation": "validation", "test": "test"}
_LONGEST_CELL = 10_000_000
"""Characters: artists' biographies are longer than Python's own limit for a cell."""


def root_of(folder: Path) -> Path | None:
    """The folder that holds FMA's two, if this is it or its folder of audio; one of the two is enough to tell."""
    if (folder / AUDIO).is_dir() or (folder / TABLE.parent).is_dir():
        return folder
    return folder.parent if folder.name == NAME and (folder.parent / TABLE).is_file() else None


def read(root: Path) -> Dataset:
    """The small subset in this folder. Raises DatasetError where a part of it is missing or is no table of FMA's."""
    root = root.absolute()
    for part, archive in ((TABLE, "fma_metadata.zip"), (AUDIO, "fma_small.zip")):
        if not (root / part).exists():
            raise DatasetError(
                f"{root}: {part} is missing: unpack {archive} of https://github.com/mdeff/fma there", "dataset"
            )
    rows = {track_id: row for track_id, row in _rows(root / TABLE).items() if track_id not in BROKEN}
    paths = {track_id: root / AUDIO / track_id[:3] / f"{track_id}.mp3" for track_id in rows}
    hashes = contents.hashes(paths.values(), of=root / AUDIO, hash_one=contents.file_hash)
    here = [track_id for track_id, path in paths.items() if isinstance(hashes[path], str)]
    tracks = (
        Track(
            track_id=track_id,
            genre=rows[track_id]["genre"],
            artist=rows[track_id]["artist"] or None,
            path=paths[track_id],
            content=str(hashes[paths[track_id]]),
        )
        for track_id in here
    )
    split = {track_id: rows[track_id]["part"] for track_id in here}
    return dataset_of(NAME, tracks, given_split=split, notes=_notes(root, len(rows) - len(here)))


def _notes(root: Path, num_missing: int) -> Iterator[str]:
    """What was left out."""
    if num_broken := sum((root / AUDIO / track_id[:3] / f"{track_id}.mp3").exists() for track_id in BROKEN):
        yield f"{num_broken} {'file' if num_broken == 1 else 'files'} left out: known to hold no 30 s of audio"
    if num_missing:
        yield f"{num_missing} tracks of {TABLE} left out: their files are missing or cannot be read"


def _rows(table: Path) -> Mapping[str, Mapping[str, str]]:
    """Track id -> genre, artist, part of the small subset's tracks. The table, of 260 MB, is read once per machine."""
    found = contents.hashes([table], of=table, hash_one=_as_text)[table]
    if isinstance(found, OSError):
        raise DatasetError(f"{table}: cannot be read: {found.strerror}", "dataset")
    rows: Mapping[str, Mapping[str, str]] = json.loads(found)
    if not rows:
        raise DatasetError(f"{table}: no track of subset small with a genre and a split", "dataset")
    return rows


def _as_text(table: Path) -> str:
    """What `_rows` gives, as JSON."""
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        with table.open(encoding="utf-8", newline="") as file:
            return json.dumps(dict(_small(table, csv.reader(file))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{table}: cannot be read: {error}", "dataset") from None
    finally:
        csv.field_size_limit(limit)


def _small(table: Path, lines: Iterator[list[str]]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of the small subset, from a reader that stands at the first header row."""
    header = list(zip(next(lines, []), next(lines, []), strict=False))
    if missing := [".".join(column) for column in _COLUMNS if column not in header]:
        raise DatasetError(f"{table}: column {' and '.join(missing)} is missing", "dataset")
    where = [header.index(column) for column in _COLUMNS]
    next(lines, None)  # names the index: track_id and nothing else
    for line in lines:
        subset, part, genre, artist, name = (line[index].strip() for index in where)
        if subset == "small" and genre and part in _PARTS:
            own = f"fma-{artist}" if artist else name
            yield f"{int(line[0]):06d}", {"genre": genre, "artist": own, "part": _PARTS[part]}


def nominal() -> Dataset:
    """What the dataset holds, for an estimate where it is not: every genre's tracks in shares of 80, 10 and 10."""
    ids = {genre: [f"{genre} {number}" for number in range(TRACKS_PER_GENRE)] for genre in GENRES}
    parts = ["train"] * 8 + ["validation", "test"]
    tracks = [Track(track_id=each, genre=genre, artist=each, path=None) for genre, own in ids.items() for each in own]
    split = {each: parts[number % 10] for own in ids.values() for number, each in enumerate(own)}
    return dataset_of(NAME, tracks, given_split=split, notes=["not on this machine: estimated for 8000 tracks of 30 s"])
