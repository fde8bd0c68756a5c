"""`python -m search.papers`: every figure that the papers publish, with ours beside it or the way to get it.

It reads the studies' records and the space files; it trains nothing. What a figure is, results/published.py knows.
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

from mgc.words.command import Parser, exit_code, folder, program
from search.record.files import JOURNAL, PAGE, REPORT
from search.record.notes import TEST, scores_on_test
from search.record.record import Record, readable
from search.record.trial import TrialRecord
from search.results.published import Figure, figures, has_settings
from search.settings.metrics import is_share
from search.space.shipped import SHIPPED
from search.stats import Interval, over_seeds

COLUMNS = (
    "paper", "table", "model", "setting", "dataset", "split", "metric", "published",
    "ours", "low", "high", "runs", "ours_metric", "ours_dataset", "ours_split", "study", "run", "confirm", "reason",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Ours:
    """Our measurement of a figure, by one study: a value for each run; the runs differ in their seed."""

    values: tuple[float, ...]
    metric: str
    """The figure's own metric, or the same on the validation split until `confirm` has opened the test split."""
    study: str
    dataset: str
    split: str

    @property
    def interval(self) -> Interval:
        """Mean and 95 % interval over the runs, whose ends are unknown for a few runs."""
        return over_seeds(self.values, is_share=is_share(self.metric))

    def __str__(self) -> str:
        return str(self.interval)


def ours_of(figure: Figure, records: Sequence[Record]) -> Ours | None:
    """The best of our measurements of a figure, or None.

    The paper's dataset goes before another, then the figure's metric before that of validation, then more runs.
    """

    def rank(ours: Ours) -> tuple[bool, bool, int]:
        return ours.dataset == figure.published.dataset, ours.metric == figure.metric, len(ours.values)

    return max((ours for record in records if (ours := _in_study(figure, record))), key=rank, default=None)


def is_comparable(figure: Figure, ours: Ours | None) -> bool:
    """Whether ours has the paper's dataset and metric. The split may be another: the table shows which."""
    return ours is not None and ours.dataset == figure.published.dataset and ours.metric == figure.metric


def _in_study(figure: Figure, record: Record) -> Ours | None:
    """The measurement of a figure by one study, or None where it is of another space or has no run with its settings.

    A confirmation of a study of the figure's space counts too.
    """
    header = record.header
    if header.space not in (figure.space.name, f"{figure.space.name}-confirm") or header.split is None:
        return None
    trials = [trial for trial in record.trials("complete") if has_settings(trial.params, figure.params)]
    tests = scores_by_trial(record)
    for metric in (figure.metric, figure.metric.replace("test_", "val_")):
        scores = [metric_value(trial, metric, figure.epochs, tests.get(trial.number, {})) for trial in trials]
        if values := tuple(score for score in scores if score is not None):
            return Ours(
                values=values, metric=metric, study=record.name, dataset=header.dataset_label, split=header.split
            )
    return None


def scores_by_trial(record: Record) -> Mapping[int, Mapping[str, float]]:
    """The scores on the test split by the number of the trial; none before `search.confirm` has opened that split."""
    names = {"test_accuracy_none": "test_clip_accuracy"}
    return {
        number: {names.get(name, name): value for name, value in scores.items()}
        for number, scores in scores_on_test(record.noted(TEST)).items()
    }


def metric_value(trial: TrialRecord, metric: str, epochs: int | None, test: Mapping[str, float]) -> float | None:
    """A trial's metric after a number of epochs, or after its last one; None where the trial has no such value.

    `test` holds the scores of its model, the one after the last epoch, on the test split.
    """
    number = epochs or len(trial.epochs)
    if number > len(trial.epochs):
        return None
    if metric == "train_minutes":
        return sum(epoch["seconds"] for epoch in trial.epochs[:number]) / 60
    return {**trial.epochs[number - 1], **(test if number == len(trial.epochs) else {})}.get(metric)


def records_in(out: Path) -> list[Record]:
    """Every readable study under a folder."""
    folders = [journal.parent for journal in sorted(out.glob(f"*/{JOURNAL}"))]
    return [record for folder in folders if (record := readable(folder)) is not None]


def row(figure: Figure, ours: Ours | None, out: Path) -> dict[str, Any]:
    """One line of the CSV, by COLUMNS."""
    run, confirm = ("", "") if figure.reason else figure.commands(out)
    published = figure.published
    return {
        **dict.fromkeys(COLUMNS, ""),
        "paper": figure.paper,
        "table": published.table,
        "model": published.params.get("model", figure.space.params["model"].value),
        "setting": figure.setting,
        "dataset": published.dataset,
        "split": published.split or "",
        "metric": figure.metric,
        "published": published.value,
        "run": run,
        "confirm": confirm,
        "reason": figure.reason or "",
        **(_our_cells(ours) if ours else {}),
    }


def _our_cells(ours: Ours) -> dict[str, Any]:
    interval = ours.interval
    return {
        "ours": interval.mean,
        "low": interval.low if interval.is_known else None,
        "high": interval.high if interval.is_known else None,
        "runs": len(ours.values),
        "ours_metric": ours.metric,
        "ours_dataset": ours.dataset,
        "ours_split": ours.split,
        "study": ours.study,
    }


def write_csv(rows: Iterable[Mapping[str, Any]], file: TextIO) -> None:
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


Line = tuple[Figure, Ours | None]


def view(lines: Sequence[Line], out: Path) -> Iterator[Table | Text]:
    """A table for each of the papers' tables, and under it the commands for the figures that lack ours."""
    for title, group in groupby(lines, key=lambda line: _title(line[0])):
        block = list(group)
        yield _table(title, block)
        yield from _missing(block, out)


def _title(figure: Figure) -> str:
    """What all figures of one table have in common."""
    published = figure.published
    return f"{figure.paper}: {published.table}, {published.dataset}, split {published.split or 'not named'}"


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
    """The commands for the figures without a comparable one of ours, or the reason why there can be none."""
    open_figures = [figure for figure, ours in lines if not is_comparable(figure, ours)]
    for command in dict.fromkeys(c for figure in open_figures if not figure.reason for c in figure.commands(out)):
        yield Text(f"  {command}")
    for figure in open_figures:
        if figure.reason:
            yield Text(f"  {figure.setting}: {figure.reason}")
    yield Text()


def _pages(lines: Sequence[Line], records: Sequence[Record]) -> list[str]:
    """The addresses of the reports of the studies that our figures are from; a confirmation's is the study's."""
    names = {ours.study for _, ours in lines if ours}
    used = [record for record in records if record.name in names]
    studies = [record.header.confirm.study if record.header.confirm else record.name for record in used]
    pages = [record.folder.parent / study / REPORT / PAGE for record, study in zip(used, studies, strict=True)]
    return list(dict.fromkeys(page.absolute().as_uri() for page in pages if page.is_file()))


def main(words: Sequence[str] | None = None) -> int:
    """Print the list. Returns 2 for a mistake of the user's."""
    arguments = parser().parse_args(words)
    return exit_code(lambda: _main(arguments))


def _main(arguments: argparse.Namespace) -> int:
    published = figures(arguments.spaces)
    records = records_in(arguments.out)
    lines = [(figure, None if figure.reason else ours_of(figure, records)) for figure in published]
    if arguments.csv:
        write_csv((row(figure, ours, arguments.out) for figure, ours in lines), sys.stdout)
        return 0
    console = Console(width=None if sys.stdout.isatty() else 200, soft_wrap=False, highlight=False)
    for block in view(lines, arguments.out):
        console.print(block, soft_wrap=isinstance(block, Text))
    comparable = sum(is_comparable(figure, ours) for figure, ours in lines)
    for address in _pages(lines, records):
        console.print(Text(f"report   {address}"), soft_wrap=True)
    console.print(f"{len(lines)} published figures, {comparable} of them with ours on the same dataset and metric")
    return 0


def parser() -> Parser:
    parser = Parser(
        prog=program("search.papers"),
        description="List every figure of the papers beside ours, or with the commands that measure ours.",
    )
    parser.add_argument(
        "--spaces", metavar="DIR", type=folder, default=SHIPPED, help="the space files (default: the shipped ones)"
    )
    parser.add_argument(
        "--out", metavar="DIR", type=folder, default=Path("runs"), help="folder of the studies (default: %(default)s)"
    )
    parser.add_argument("--csv", action="store_true", help="one line per figure, as CSV")
    return parser


if __name__ == "__main__":
    sys.exit(main())
