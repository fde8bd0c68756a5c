"""The problems of folders by half, as the command line of the yardstick takes them.

python -m benchmarks.searches --problems $(python -m benchmarks.searches.halves tuning FOLDER...)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.searches.lcbench import LCBench, tasks
from benchmarks.searches.problems import Problem
from benchmarks.searches.tables import Table
from mgc.words.errors import ConfigError

HALVES = ("tuning", "held-out")
ALWAYS_HELD_OUT = ("gtzan_curves",)
"""Folders of which nothing is for tuning: the curves of our own networks."""


def opened(problem: str) -> Problem:
    """A problem by its path: a table's file, or LCBench's `FOLDER:TASK`. ConfigError where there is none."""
    if problem.endswith(".npz"):
        return Table.load(Path(problem))
    folder, colon, task = problem.rpartition(":")
    if not colon:
        raise ConfigError(f"{problem}: a problem must be a table (.npz) or LCBench's FOLDER:TASK")
    return LCBench(Path(folder), task)


def problems(folder: Path) -> list[str]:
    """The problems of a folder in their order. ConfigError where it has none."""
    if (folder / "encoding.json").is_file():
        return [f"{folder}:{task}" for task in tasks(folder)]
    if not (tables := sorted(map(str, folder.glob("*.npz")))):
        raise ConfigError(f"{folder}: has neither tables (.npz) nor LCBench's encoding.json")
    return tables


def half(of: str, folder: Path) -> list[str]:
    """The problems of a folder that are for tuning, or those that are held out."""
    all_of_it, held_out = problems(folder), problems(folder)[1::2]
    if folder.resolve().name in ALWAYS_HELD_OUT:
        held_out = all_of_it
    return [problem for problem in all_of_it if (problem in held_out) == (of == "held-out")]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.searches.halves", description="The problems of folders by half."
    )
    parser.add_argument("half", choices=HALVES)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    given = parser.parse_args(arguments)
    try:
        print("\n".join(problem for folder in given.folders for problem in half(given.half, folder)))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
