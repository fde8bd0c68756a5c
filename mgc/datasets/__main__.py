"""`python -m mgc.datasets`: the command line for datasets and for the cache."""

from __future__ import annotations

import argparse
import math
import sys
import textwrap
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mgc.datasets import dataset_info as info
from mgc.datasets.registry import SOURCES, names_here, open_dataset, source
from mgc.datasets.verify import verify
from mgc.files import cache
from mgc.tracks.dataset import data_dir
from mgc.web.download import download
from mgc.words.command import Parser, exit_code, program
from mgc.words.texts import printable

LONGEST_LINE = 10_000
"""Characters that a line of a table may have."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 1 if `verify` finds a fault, 2 for a mistake or a failed download."""
    options = parser().parse_args(arguments)
    interrupted = "interrupted; what was downloaded is kept, and the same command goes on from there"
    return exit_code(lambda: int(options.run(options)), interrupted=interrupted)


def parser() -> Parser:
    parser = Parser(
        prog=program("mgc.datasets"), description="List, fetch and check datasets, and look after the cache."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("list", help="the datasets that there are and that can be downloaded")
    command.set_defaults(run=_list)
    command = commands.add_parser(
        "download", help="fetch a public dataset into the folder MGC_DATA; an interrupted download goes on"
    )
    command.add_argument("name", metavar="NAME", help=f"one of {', '.join(SOURCES)}")
    command.set_defaults(run=_download)
    command = commands.add_parser("verify", help="check every file; exit code 1 if anything is wrong")
    command.add_argument("dataset", metavar="NAME|DIR")
    command.set_defaults(run=_verify)
    command = commands.add_parser(
        "info", help="genres, hours, sampling rates, exact repetitions, and what each split would leak"
    )
    command.add_argument("dataset", metavar="NAME|DIR")
    command.set_defaults(run=_info)
    command = commands.add_parser("cache", help="show what is cached, and delete what is not used")
    command.add_argument(
        "--prune", type=_days, metavar="DAYS", help="delete what was not used for so many days; 0 deletes everything"
    )
    command.set_defaults(run=_cache)
    return parser


def _days(text: str) -> float:
    """A number of days, from 0 on."""
    if not 0 <= (days := float(text)) < math.inf:
        raise argparse.ArgumentTypeError(f"must be >= 0, got {text}")
    return days


def _list(_: argparse.Namespace) -> int:
    print(f"datasets are looked up in {data_dir()} (MGC_DATA)")
    rows = [("synthetic", "made here", "300 tracks of 30 s, 10 invented genres: for trying things out")]
    for each in SOURCES.values():
        here = "here" if (data_dir() / each.name).is_dir() else f"download, {each.num_bytes / 1e9:.1f} GB"
        rows.append((each.name, here, each.about))
    rows += [(name, "here", "") for name in names_here() if name not in SOURCES]
    _print_table(rows)
    return 0


def _download(options: argparse.Namespace) -> int:
    selected = source(options.name)
    print(f"{selected.name}: {selected.about}\nterms: {selected.terms}", file=sys.stderr)
    print(download(selected))
    return 0


def _verify(options: argparse.Namespace) -> int:
    verdict = verify(options.dataset)
    compared = f", {verdict.num_compared} of them by checksum" if verdict.num_compared else ""
    if verdict.faults:
        _print_table([("file", "what is wrong"), *((fault.file, fault.what) for fault in verdict.faults)])
    for fact, ids in verdict.remarks.items():
        print(f"{_counted(len(ids), 'track')} {fact}:")
        print(textwrap.fill(", ".join(ids), 116, initial_indent="  ", subsequent_indent="  "))
    print(f"{verdict.num_files} files checked{compared}: {len(verdict.faults) or 'no'} faults")
    return 1 if verdict.faults else 0


def _info(options: argparse.Namespace) -> int:
    dataset = open_dataset(options.dataset)
    genres = info.genres(dataset)
    hours, artists = sum(genre.hours for genre in genres), len({t.artist for t in dataset.tracks if t.artist})
    print(f"{dataset.name}: {len(dataset.tracks)} tracks, {hours:.2f} h, digest {dataset.digest}")
    for note in dataset.notes:
        print(f"  {note}")
    rows = [(genre.genre, genre.num_tracks, genre.num_artists, f"{genre.hours:.2f}") for genre in genres]
    _print_table(
        [("genre", "tracks", "artists", "hours"), *rows, ("all", len(dataset.tracks), artists, f"{hours:.2f}")]
    )
    for form, count in info.rates(dataset).most_common():
        print(f"{count} x {form}")
    for ids in info.repetitions(dataset):
        print(f"exact repetitions: {', '.join(ids)}")
    _print_splits(info.splits(dataset), names_artists=artists > 0)
    return 0


def _print_splits(splits: Iterable[info.SplitInfo], *, names_artists: bool) -> None:
    rows: list[Sequence[object]] = [("split", "train", "validation", "test", "leaks into test")]
    for split in splits:
        if split.refused:
            rows.append((split.policy, "-", "-", "-", split.refused))
        elif split.leaky:
            rows.append((split.policy, "*", "*", "*", "every track: its clips are in train, validation and test"))
        else:
            by_artists = f"{_counted(split.of_train_artists, 'track')} of train's artists"
            leaks = f"{by_artists if names_artists else 'artists unknown'}, {_counted(split.repeated, 'repetition')}"
            rows.append((split.policy, *split.tracks, leaks))
    _print_table(rows)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _cache(options: argparse.Namespace) -> int:
    removed = cache.prune(options.prune) if options.prune is not None else []
    if removed:
        print(f"removed {len(removed)} entries, {_megabytes(removed)} MB")
    left = cache.entries()
    root = cache.cache_dir()
    rows = [(entry.path.relative_to(root), _megabytes([entry]), f"{entry.unused_days:.1f}") for entry in left]
    _print_table([("entry", "MB", "days unused"), *rows])
    print(f"{len(left)} entries, {_megabytes(left)} MB in {root} (MGC_CACHE)")
    return 0


def _megabytes(entries: Iterable[cache.Entry]) -> str:
    return f"{sum(entry.num_bytes for entry in entries) / 1e6:,.1f}"


def _print_table(rows: Sequence[Sequence[object]]) -> None:
    """Print columns as wide as their cells, however long a line gets: no file's name is cut off.

    Bytes of a name that are no text are escaped.
    """
    table = Table.grid(padding=(0, 2))
    for _ in rows[0]:
        table.add_column(no_wrap=True)
    for row in rows:
        table.add_row(*(Text(printable(str(cell))) for cell in row))
    Console(width=LONGEST_LINE).print(table)


if __name__ == "__main__":
    sys.exit(main())
