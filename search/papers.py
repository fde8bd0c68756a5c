"""`python -m search.papers`: every figure that the papers publish, with ours beside it or the way to get it.

It reads the studies' records and the space files; it trains nothing.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mgc.config import ConfigError
from search.figures import Figure, figures, has
from search.journal import JOURNAL, RecordError
from search.overview import Heading
from search.record import Record, TrialRecord
from search.stats import Interval, over_seeds

EXIT_USAGE = 2
COLUMNS = (
    "paper", "table", "model", "setting", "dataset", "metric", "published",
    "ours", "low", "high", "runs", "ours_metric", "ours_dataset", "ours_split", "study", "run", "confirm", "reason",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Ours:
    """What our studies say of a figure: mean and 95 % interval over runs that differ in their seed."""

    values: tuple[float, ...]
    metric: str
    """What was measured: the figure's own metric, or until `confirm` has opened the test split that of validation."""
    study: str
    dataset: str
    split: str

    @property
    def interval(self) -> Interval:
        """Mean and Student's t over the runs; its ends are unknown for a single one. All but minutes are shares."""
        found = over_seeds(self.values)
        return found if self.metric == "train_minutes" else found.within(0, 1)

    def __str__(self) -> str:
        return str(self.interval)


def ours_of(figure: Figure, records: Sequence[Record]) -> Ours | None:
    """Our value of a figure: on the paper's dataset before another, the same metric before validation's, more runs."""
    found = [ours for record in records if (ours := _in_study(figure, record))]
    dataset = figure.published.dataset
    ranks = [(ours.dataset == dataset, ours.metric == figure.metric, len(ours.values)) for ours in found]
    return found[max(range(len(found)), key=ranks.__getitem__)] if found else None


def is_comparable(figure: Figure, ours: Ours | None) -> bool:
    """Whether ours is of the paper's dataset and metric. Of which split it is, it says itself."""
    return ours is not None and ours.dataset == figure.published.dataset and ours.metric == figure.metric


def _in_study(figure: Figure, record: Record) -> Ours | None:
    """What one study of the figure's space, or the confirmation of one, says of it; None without its settings."""
    heading = Heading.of(record.header)
    if heading.space not in (figure.space.name, f"{figure.space.name}-confirm") or heading.split is None:
        return None
    trials = [trial for trial in record.trials("complete") if has(trial.params, figure.params)]
    tests = tested(record)
    for metric in (figure.metric, figure.metric.replace("test_", "val_")):
        scores = [measured(trial, metric, figure.epochs, tests.get(trial.number, {})) for trial in trials]
        if values := tuple(score for score in scores if score is not None):
            return Ours(
                values=values, metric=metric, study=record.name, dataset=heading.dataset_label, split=heading.split
            )
    return None


def tested(record: Record) -> Mapping[int, Mapping[str, float]]:
    """What `search.confirm` noted of each model, by its trial; nothing before it has opened the test part."""
    noted = record.notes().get("test", {}).get("scores", {})
    names = {"test_accuracy_none": "test_clip_accuracy"}
    return {
        int(number): {names.get(name, name): value for name, value in found.items()} for number, found in noted.items()
    }


def measured(trial: TrialRecord, metric: str, epochs: int | None, test: Mapping[str, float]) -> float | None:
    """A trial's metric after so many epochs, or after its last; None where it has not come so far or has no such.

    `test` holds what its model said after the last epoch.
    """
    number = epochs or len(trial.epochs)
    if number > len(trial.epochs):
        return None
    if metric == "train_minutes":
        return sum(epoch["seconds"] for epoch in trial.epochs[:number]) / 60
    return {**trial.epochs[number - 1], **(test if number == len(trial.epochs) else {})}.get(metric)


def records_in(out: Path) -> list[Record]:
    """Every readable study under a folder."""
    found = []
    for journal in sorted(out.glob(f"*/{JOURNAL}")):
        try:
            found.append(Record.open(journal.parent))
        except RecordError:
            continue
    return found


def row(figure: Figure, ours: Ours | None, out: Path) -> dict[str, Any]:
    """One line of the CSV."""
    run, confirm = ("", "") if figure.reason else figure.commands(out)
    published = figure.published
    known: Mapping[str, Any] = {}
    if ours:
        low, high = (ours.interval.low, ours.interval.high) if ours.interval.is_known else (None, None)
        known = {
            "ours": ours.interval.mean,
            "low": low,
            "high": high,
            "runs": len(ours.values),
            "ours_metric": ours.metric,
        }
        known |= {"ours_dataset": ours.dataset, "ours_split": ours.split, "study": ours.study}
    return {
        **dict.fromkeys(COLUMNS, ""),
        "paper": figure.paper,
        "table": published.table,
        "model": published.params.get("model", figure.space.params["model"].value),
        "setting": figure.setting,
        "dataset": published.dataset,
        "metric": figure.metric,
        "published": published.value,
        "run": run,
        "confirm": confirm,
        "reason": figure.reason or "",
        **known,
    }


def write_csv(rows: Iterable[Mapping[str, Any]], file: TextIO) -> None:
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


Line = tuple[Figure, Ours | None]


def view(lines: Sequence[Line], out: Path) -> Iterator[Table | Text]:
    """A table for each of the papers' tables, and under it the commands for what it lacks."""
    for (paper, name), group in groupby(lines, key=lambda line: (line[0].paper, line[0].published.table)):
        block = list(group)
        yield _table(f"{paper}: {name}, {block[0][0].published.dataset}", block)
        yield from _missing(block, out)


def _table(title: str, lines: Sequence[Line]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for column in ("setting", "metric", "published", "ours", "runs", "measured as", "on"):
        table.add_column(column, no_wrap=column in ("published", "runs"), overflow="fold")
    for figure, ours in lines:
        mine = ["-"] * 4
        if ours:
            on = f"{ours.dataset}, split {ours.split} ({ours.study})"
            mine = [str(ours), str(len(ours.values)), ours.metric, on]
        cells = [figure.setting, figure.metric, f"{figure.published.value:g}", *mine]
        table.add_row(*map(Text, cells))
    return table


def _missing(lines: Sequence[Line], out: Path) -> Iterator[Text]:
    """The commands, or the reason, for each figure of a table that has nothing comparable yet."""
    open_figures = [figure for figure, ours in lines if not is_comparable(figure, ours)]
    for command in dict.fromkeys(c for figure in open_figures if not figure.reason for c in figure.commands(out)):
        yield Text(f"  {command}")
    for figure in open_figures:
        if figure.reason:
            yield Text(f"  {figure.setting}: {figure.reason}")
    yield Text()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the list. Returns 2 for a mistake of the user's."""
    given = _parser().parse_args(arguments)
    try:
        known = figures(given.spaces)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    records = records_in(given.out)
    lines = [(figure, None if figure.reason else ours_of(figure, records)) for figure in known]
    if given.csv:
        write_csv((row(figure, ours, given.out) for figure, ours in lines), sys.stdout)
        return 0
    console = Console(width=None if sys.stdout.isatty() else 200, soft_wrap=False, highlight=False)
    for each in view(lines, given.out):
        console.print(each, soft_wrap=isinstance(each, Text))
    own = sum(is_comparable(figure, ours) for figure, ours in lines)
    console.print(f"{len(lines)} published figures, {own} of them with ours on the same dataset and metric")
    return 0


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m search.papers", description=(__doc__ or "").partition(": ")[2])
    made.add_argument("--spaces", metavar="DIR", type=Path, default=Path("spaces"), help="the space files")
    made.add_argument("--out", metavar="DIR", type=Path, default=Path("runs"), help="where studies are kept")
    made.add_argument("--csv", action="store_true", help="one line per figure, as CSV")
    return made


if __name__ == "__main__":
    sys.exit(main())
