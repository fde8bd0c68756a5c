"""`python -m search.show STUDY/TRIAL`: what became of one trial; of a STUDY alone a line for each trial."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from mgc.words.command import TextParser, exit_code, folder, program
from search.record.files import study_names
from search.record.ranking import BOOKKEEPING, ranked, repeats, scores_of, state_of
from search.record.record import Record
from search.record.studies import trial_called
from search.record.trial import TrialRecord
from search.results.commands import rerun_command
from search.results.confirmed import confirmations, study_answer
from search.space.describe import params_lines
from search.terminal.columns import Column, fitting, table_of
from search.terminal.tables import score_text, trial_line
from search.words import duration, numbered

WIDTH = 120
"""Columns of what is no terminal, and of the lines of params."""
TIMES = ("seconds", "clips_per_s")


def main(words: Sequence[str] | None = None) -> int:
    """Print the trial, or the study. Returns 2 for a mistake of the user's."""
    arguments = parser().parse_args(words)
    return exit_code(lambda: _main(arguments))


def _main(arguments: argparse.Namespace) -> int:
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    if "/" in arguments.which:
        record, trial = trial_called(arguments.out, arguments.which)
        lines = trial_lines(record, trial)
    else:
        record = Record.open(arguments.out / arguments.which)
        lines = study_lines(record)
    for line in lines:
        console.print(Text(line), soft_wrap=True)
    if "/" in arguments.which and trial.epochs:
        console.print(table_of(fitting(_epoch_columns(record, trial), console.width)))
    return 0


def study_lines(record: Record) -> Iterator[str]:
    """The study's answer, and a line for each trial."""
    trials, objectives = record.trials(), record.header.objectives
    best, same = ranked(trials, objectives)[:1], repeats(trials)
    yield study_answer(record, confirmations(record.folder)).text
    for trial in trials:
        yield trial_line(trial, record.header, same[trial.number], is_best=trial in best).plain


def trial_lines(record: Record, trial: TrialRecord) -> Iterator[str]:
    """Everything that the record knows of a trial, but its epochs."""
    header = record.header
    yield f"trial {trial.number} of {record.name}: {_state(record, trial)}"
    yield f"dataset {header.dataset_label}, split {header.split}, compared by {header.objectives}"
    yield f"{_scores(record, trial)} after epoch {len(trial.epochs)} of {header.max_epochs}"
    yield from params_lines({**trial.params, "seed": trial.seed}, WIDTH)
    yield f"what varies: {', '.join(trial.varying) or 'nothing'}"
    others = repeats(record.trials())[trial.number]
    yield f"network {trial.network}" + (f", as {numbered(others, limit=len(others))}" if others else "")
    if facts := [f"{name} {value}" for name, value in trial.facts.items()]:
        yield f"facts: {', '.join(facts)}"
    if trial.ended is not None:
        yield f"from its start to its end {duration(trial.ended - trial.started)}, pauses included"
    if trial.epochs:
        yield f"to train it again: {rerun_command(record.folder, trial.number)}"


def _state(record: Record, trial: TrialRecord) -> str:
    """The trial's state, and why it is in it."""
    state = state_of(trial, record.header.objectives)
    if trial.state == "paused":
        return f"{state}: it waits after epoch {len(trial.epochs)} until the scheduler promotes it"
    if trial.reuse is not None:
        return f"{state}: it copies the scores of trial {trial.reuse}, which has the same network"
    reasons = [trial.reason, record.header.objectives.violations_text(trial.last)]
    why = "; ".join(dict.fromkeys(reason for reason in reasons if reason))
    return f"{state}: {why}" if why else state


def _scores(record: Record, trial: TrialRecord) -> str:
    scores = scores_of(trial, record.header.objectives)
    return ", ".join(f"{name} {score_text(name, score)}" for name, score in scores.items()) or "no score"


def _epoch_columns(record: Record, trial: TrialRecord) -> list[Column]:
    """A column for each metric: what trials are compared by first, then the others, as far as there is room."""
    first = [name for name in record.header.objectives.metrics if name in trial.epochs[0]]
    others = [name for name in trial.epochs[0] if name not in (*first, *BOOKKEEPING)]
    titles = {"epoch": [f"{epoch['epoch']:g}" for epoch in trial.epochs]}
    for name in (*first, *sorted(others, key=lambda name: name in TIMES)):
        titles[name] = ["-" if epoch.get(name) is None else score_text(name, epoch[name]) for epoch in trial.epochs]
    return [
        Column(title=title, cells=[Text(cell) for cell in cells], may_go=title not in ("epoch", *first), is_narrow=True)
        for title, cells in titles.items()
    ]


def parser() -> TextParser:
    made = TextParser(prog=program("search.show"), description="One trial of a study, or a line for each.")
    which = made.add_argument("which", metavar="STUDY[/TRIAL]", help="a study's name, and a trial's number")
    which.completer = study_names  # type: ignore[attr-defined]
    made.add_argument(
        "--out", metavar="DIR", type=folder, default=Path("runs"), help="where studies are (default: %(default)s)"
    )
    return made


if __name__ == "__main__":
    sys.exit(main())
