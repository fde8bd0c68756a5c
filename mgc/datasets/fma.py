"""FMA small (Defferrard et al. 2017): 8000 clips of 30 s, 1000 of each of eight genres, MP3, under free licenses.

Read as its two archives unpack: `fma_metadata/tracks.csv` (a table with two header rows and a third that names the
index) beside `fma_small/000/000002.mp3`. Genres (`track.genre_top`), artists (`artist.id`, else `artist.name`) and the
authors' own split by artist (`set.split`: 80/10/10) come from the table; a training takes the latter as split `given`.

Six files hold less than two seconds of audio or none, because wrong lengths in the source made the authors cut beside
the music. They are left out: https://github.com/mdeff/fma/issues/8, and the errata in the wiki of that repository.
Addresses and checksums are those of the README of https://github.com/mdeff/fma.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from mgc.files import contents
from mgc.files.reading import file_hash, open_regular
from mgc.tracks.dataset import Dataset, DatasetError, Track, data_dir, dataset_of
from mgc.web.sources import Archive, Source

NAME = "fma_small"
AUDIO, TABLE = Path("fma_small"), Path("fma_metadata") / "tracks.csv"

GENRES = ("Electronic", "Experimental", "Folk", "Hip-Hop", "Instrumental", "International", "Pop", "Rock")
TRACKS_PER_GENRE = 1000
BROKEN = frozenset({"098565", "098567", "098569", "099134", "108925", "133297"})

_COLUMNS = (("set", "subset"), ("set", "split"), ("track", "genre_top"), ("artist", "id"), ("artist", "name"))
_PARTS = {"training": "train", "validation": "validation", "test": "test"}
_LONGEST_CELL = 10_000_000
"""Characters: artists' biographies are longer than Python's own limit for a cell."""

SOURCE = Source(
    name="fma_small",
    about="8000 clips of 30 s, 8 genres, with artists and a split of their own (Defferrard et al. 2017)",
    terms="each track under a free license of its own, see fma_metadata/tracks.csv; metadata CC BY 4.0",
    archives=(
        Archive(
            file="fma_metadata.zip",
            urls=("https://os.unil.cloud.switch.ch/fma/fma_metadata.zip",),
            algorithm="sha1",
            checksum="f0df49ffe5f2a6008d7dc83c6915b31835dfe733",
            num_bytes=360_000_000,
            unpacked_bytes=1_500_000_000,
        ),
        Archive(
            file="fma_small.zip",
            urls=("https://os.unil.cloud.switch.ch/fma/fma_small.zip",),
            algorithm="sha1",
            checksum="ade154f733639d52e35e32f5593efe5be76c6d70",
            num_bytes=7_680_000_000,
            unpacked_bytes=7_700_000_000,
        ),
    ),
)


def open_fma(*, progress: bool = True, make: bool = True) -> Dataset:
    """FMA small under $MGC_DATA; with `make=False`, where it is not there, what it would hold."""
    if not make and root_of(data_dir() / NAME) is None:
        return nominal()
    return read(path())


def path() -> Path:
    """The folder of FMA's audio and table under $MGC_DATA, whether it is complete or not."""
    return root_of(data_dir() / NAME) or data_dir() / NAME


def root_of(folder: Path) -> Path | None:
    """The folder that holds FMA's audio and table, if `folder` is it or its folder of audio, else None.

    One of the two is enough to recognize it.
    """
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
    hashes = contents.hashes(paths.values(), of=root / AUDIO, hash_one=file_hash)
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
    return dataset_of(NAME, tracks, own_split=split, notes=_notes(root, len(rows) - len(here)))


def _notes(root: Path, num_missing: int) -> Iterator[str]:
    """A line about each reason why tracks were left out."""
    if num_broken := sum((root / AUDIO / track_id[:3] / f"{track_id}.mp3").exists() for track_id in BROKEN):
        yield f"{num_broken} {'file' if num_broken == 1 else 'files'} left out: known to hold less than 30 s of audio"
    if num_missing:
        yield f"{num_missing} tracks of {TABLE} left out: their files are missing or cannot be read"


def _rows(table: Path) -> Mapping[str, Mapping[str, str]]:
    """Track id -> genre, artist and part, of the small subset. The table of 260 MB is read once per machine."""
    text = contents.hashes([table], of=table, hash_one=_as_text)[table]
    if isinstance(text, OSError):
        raise DatasetError(f"{table}: cannot be read: {text.strerror}", "dataset")
    rows: Mapping[str, Mapping[str, str]] = json.loads(text)
    if not rows:
        raise DatasetError(f"{table}: no track of subset small with a genre and a split", "dataset")
    return rows


def _as_text(table: Path) -> str:
    """The result of `_rows` as JSON."""
    limit = csv.field_size_limit(_LONGEST_CELL)
    try:
        with io.TextIOWrapper(open_regular(table), encoding="utf-8", newline="") as file:
            return json.dumps(dict(_small(table, csv.reader(file))))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{table}: cannot be read: {error}", "dataset") from None
    finally:
        csv.field_size_limit(limit)


def _small(table: Path, lines: Iterator[list[str]]) -> Iterator[tuple[str, dict[str, str]]]:
    """The rows of the small subset, from a reader whose next line is the first header row."""
    header = list(zip(next(lines, []), next(lines, []), strict=False))
    if missing := [".".join(column) for column in _COLUMNS if column not in header]:
        raise DatasetError(f"{table}: column {' and '.join(missing)} is missing", "dataset")
    where = [header.index(column) for column in _COLUMNS]
    next(lines, None)  # names the index: track_id and nothing else
    for line in filter(None, lines):  # a blank line has no cells
        if len(line) != len(header) or not line[0].isdecimal():
            raise DatasetError(
                f"{table}: a row must have {len(header)} cells, as the first line has, of which the first is a track's "
                f"number; got {len(line)} cells, the first {line[0][:40]!r}",
                "dataset",
            )
        subset, part, genre, artist, name = (line[index].strip() for index in where)
        if subset == "small" and genre and part in _PARTS:
            own = f"fma-{artist}" if artist else name
            yield f"{int(line[0]):06d}", {"genre": genre, "artist": own, "part": _PARTS[part]}


def nominal() -> Dataset:
    """The dataset without its files, for an estimate on a machine that does not have it.

    Every genre's tracks are divided 80/10/10.
    """
    ids = {genre: [f"{genre} {number}" for number in range(TRACKS_PER_GENRE)] for genre in GENRES}
    parts = ["train"] * 8 + ["validation", "test"]
    tracks = [Track(track_id=each, genre=genre, artist=each, path=None) for genre, own in ids.items() for each in own]
    split = {each: parts[number % 10] for own in ids.values() for number, each in enumerate(own)}
    return dataset_of(NAME, tracks, own_split=split, notes=["not on this machine: estimated for 8000 tracks of 30 s"])
