"""`python -m mgc.datasets`: the command line for datasets and the cache, and nothing else."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterable, Sequence

from mgc import cache
from mgc.config import ConfigError
from mgc.datasets import data_dir, info, open_dataset
from mgc.datasets.download import download
from mgc.datasets.sources import SOURCES, source
from mgc.datasets.verify import verify


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the status is 1 if `verify` finds anything wrong, 2 for a mistake or a failed download."""
    given = _parser().parse_args(arguments)
    try:
        status: int = given.run(given)
        return status
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what has come is kept, the same command goes on there", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mgc.datasets", description="Datasets, and the cache.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("list", help="the datasets that there are and that can be downloaded")
    command.set_defaults(run=_list)
    command = commands.add_parser("download", help="fetch a public dataset into MGC_DATA; goes on where it broke off")
    command.add_argument("name", metavar="NAME", help=f"one of {', '.join(SOURCES)}")
    command.set_defaults(run=_download)
    command = commands.add_parser("verify", help="check every file; exit code 1 if anything is wrong")
    command.add_argument("dataset", metavar="NAME|DIR")
    command.set_defaults(run=_verify)
    command = commands.add_parser("info", help="genres, hours, rates, repetitions, and what each split would leak")
    command.add_argument("dataset", metavar="NAME|DIR")
    command.set_defaults(run=_info)
    command = commands.add_parser("cache", help="show what is cached; prune what is unused")
    command.add_argument("--prune", type=float, metavar="DAYS", help="remove what was unused for so many days; 0: all")
    command.set_defaults(run=_cache)
    return parser


def _list(_: argparse.Namespace) -> int:
    print(f"datasets are looked up in {data_dir()} (MGC_DATA)")
    rows = [("synthetic", "made here", "300 tracks of 30 s, 10 invented genres: for trying things out")]
    for each in SOURCES.values():
        here = "here" if (data_dir() / each.name).is_dir() else f"download, {each.num_bytes / 1e9:.1f} GB"
        rows.append((each.name, here, each.about))
    others = sorted(path.name for path in data_dir().glob("[!.]*") if path.name not in SOURCES)
    rows += [(name, "here", "") for name in others]
    _print_table(rows)
    return 0


def _download(given: argparse.Namespace) -> int:
    wanted = source(given.name)
    print(f"{wanted.name}: {wanted.about}\nterms: {wanted.terms}", file=sys.stderr)
    print(download(wanted))
    return 0


def _verify(given: argparse.Namespace) -> int:
    verdict = verify(given.dataset)
    compared = f", {verdict.num_compared} of them by checksum" if verdict.num_compared else ""
    if verdict.faults:
        _print_table([("file", "what is wrong"), *((fault.file, fault.what) for fault in verdict.faults)])
    for fact, ids in verdict.remarks.items():
        print(f"known: {len(ids)} {fact}:")
        print(textwrap.fill(", ".join(ids), 116, initial_indent="  ", subsequent_indent="  "))
    print(f"{verdict.num_files} files checked{compared}: {len(verdict.faults) or 'no'} faults")
    return 1 if verdict.faults else 0


def _info(given: argparse.Namespace) -> int:
    dataset = open_dataset(given.dataset)
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
    _print_splits(info.splits(dataset))
    return 0


def _print_splits(splits: Iterable[info.SplitInfo]) -> None:
    rows: list[Sequence[object]] = [("split", "train", "validation", "test", "leaks into test")]
    for split in splits:
        if split.refused:
            rows.append((split.policy, "-", "-", "-", split.refused))
        elif split.leaky:
            rows.append((split.policy, "*", "*", "*", "every track: its clips are on all sides"))
        else:
            leaks = f"{split.of_train_artists} tracks of train's artists, {split.repeated} repetitions"
            rows.append((split.policy, *split.tracks, leaks))
    _print_table(rows)


def _cache(given: argparse.Namespace) -> int:
    removed = cache.prune(given.prune) if given.prune is not None else []
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
    """Columns as wide as their cells; names that are no text of this terminal are escaped."""
    cells = [[str(cell).encode(errors="backslashreplace").decode() for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


if __name__ == "__main__":
    sys.exit(main())
