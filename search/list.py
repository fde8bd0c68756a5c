"""`python -m search.list`: every study under a folder with its data, its best and how it stands. Reads records only."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from mgc.words.command import Parser, exit_code, folder, program
from search.record.files import JOURNAL
from search.record.journal import is_locked
from search.record.notes import OPEN
from search.record.ranking import ranked
from search.record.record import Record, readable
from search.record.studies import is_finished
from search.results.answer import best_interval
from search.results.confirmed import confirmed
from search.stats import Interval, over_both
from search.terminal.columns import Column, fitting, table_of

PIPE_WIDTH = 200
"""Columns of what is no terminal."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One study, or one confirmation."""

    study: str
    created: str
    dataset: str
    split: str
    metric: str
    """What `best` is; `test accuracy` of a confirmation."""
    best: float | None
    low: float | None
    high: float | None
    state: str
    trials: int
    """How many have begun, of `of`."""
    of: int

    @property
    def best_text(self) -> str:
        if self.best is None:
            return ""
        ends = "" if self.low is None or self.high is None else f" [{self.low:.3f}, {self.high:.3f}]"
        return f"{self.metric} {self.best:.3f}{ends}"


def line_of(record: Record) -> Line:
    """What the list says of a study."""
    header, trials = record.header, record.trials()
    metric, interval = _best(record)
    is_known = interval is not None and interval.is_known
    return Line(
        study=record.name,
        created=header.created,
        dataset=header.dataset_label if header.dataset else "",
        split=header.split or "",
        metric=metric,
        best=None if interval is None else interval.mean,
        low=interval.low if interval is not None and is_known else None,
        high=interval.high if interval is not None and is_known else None,
        state=state_of(record),
        trials=len(trials),
        of=header.trials,
    )


def _best(record: Record) -> tuple[str, Interval | None]:
    """The metric that counts, with the interval of the best: on the test part once it was opened; None without one."""
    metric = record.header.metric
    if (result := confirmed(record.folder)) is not None:
        return "test accuracy", over_both(result.chosen.right_SM)
    for best in ranked(record.trials(), record.header.objectives)[:1]:
        score = best.last[metric]
        return metric, best_interval(record, best) or Interval(mean=score, low=float("nan"), high=float("nan"))
    return metric, None


def state_of(record: Record) -> str:
    """How a study stands: `finished`, `running`, `stopped` politely, or `interrupted` (by a kill or an error)."""
    if is_locked(record.folder):
        return "running"
    if record.noted(OPEN):
        return "interrupted"
    return "finished" if is_finished(record) else "stopped"


def lines_in(out: Path) -> list[Line]:
    """A line for each readable study under a folder, the newest first; a warning says which cannot be read."""
    records = [readable(journal.parent) for journal in out.glob(f"*/{JOURNAL}")]
    lines = [line_of(record) for record in records if record is not None]
    return sorted(lines, key=lambda line: line.created, reverse=True)


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
