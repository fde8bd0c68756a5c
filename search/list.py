"""`python -m search.list`: every study under a folder with its data, its best and how it stands. Reads records only."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.text import Text

from mgc.words.command import Parser, exit_code, folder, program
from search.results.overview import Line, lines_in
from search.terminal.columns import Column, fitting, table_of

PIPE_WIDTH = 200
"""Columns of what is no terminal."""


def main(words: Sequence[str] | None = None) -> int:
    """Print the list. Returns 2 for a mistake of the user's."""
    arguments = parser().parse_args(words)
    return exit_code(lambda: _main(arguments))


def _main(arguments: argparse.Namespace) -> int:
    lines = lines_in(arguments.out)
    if not lines:
        print(f"no study in {arguments.out}", file=sys.stderr)
    else:
        is_terminal = sys.stdout.isatty()
        console = Console(width=None if is_terminal else PIPE_WIDTH, highlight=False)
        console.print(table_of(fitting(_columns(lines), console.width)))
    if arguments.json:
        print(json.dumps([asdict(line) for line in lines]))
    return 0


def _columns(lines: Sequence[Line]) -> list[Column]:
    """The day of a study goes first where there is no room, for the order tells most of it."""
    cells = {
        "study": [line.study for line in lines],
        "dataset": [line.dataset for line in lines],
        "split": [line.split for line in lines],
        "best": [line.best_text for line in lines],
        "state": [line.state for line in lines],
        "trials": [f"{line.trials}/{line.of}" for line in lines],
        "begun": [line.created[:10] for line in lines],
    }
    return [
        Column(title=title, cells=[Text(text) for text in texts], may_go=title in ("begun", "trials"))
        for title, texts in cells.items()
    ]


def parser() -> Parser:
    parser = Parser(prog=program("search.list"), description="List the studies in a folder, the newest first.")
    parser.add_argument(
        "--out", metavar="DIR", type=folder, default=Path("runs"), help="folder of the studies (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON list as the last line")
    return parser


if __name__ == "__main__":
    sys.exit(main())
