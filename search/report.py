"""`python -m search.report STUDY`: what a study found, as one HTML page with its plots as PNG and its tables as CSV.

It is made of the study's folder alone: record, kept predictions, confirmations beside it. A section that cannot be made
says so on the page; the others stand.
"""

from __future__ import annotations

import argparse
import csv
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mgc.config import ConfigError
from search.answer import Answer, answer
from search.journal import locked
from search.material import Material
from search.overview import counts
from search.page import Page, Section
from search.record import Record
from search.sections import SECTIONS
from search.tracking import default_uri, sync

FOLDER = "report"
PAGE = "report.html"

_log = logging.getLogger(__name__)


def write_report(study: Path) -> Path:
    """Write the report of the study in this folder; returns the report's folder. RecordError where there is none."""
    page = report(Material(Record.open(study)))
    folder = study / FOLDER
    folder.mkdir(exist_ok=True)
    for old in [*folder.glob("*.png"), *folder.glob("*.csv")]:
        old.unlink()
    for section in page.sections:
        for picture in section.pictures:
            (folder / f"{picture.name}.png").write_bytes(picture.data)
        for table in section.tables:
            with (folder / f"{table.name}.csv").open("w", newline="") as file:
                csv.writer(file).writerows([table.columns, *table.rows])
    (folder / PAGE).write_text(page.html())
    return folder


def report(of: Material) -> Page:
    """The page, with whatever sections can be made."""
    said = study_answer(of)
    found = ", ".join(f"{number} {state}" for state, number in counts(of.trials).items() if number)
    about = (
        f"{of.heading.description or of.heading.space}. Study {of.record.name} of {of.heading.created}: "
        f"{len(of.trials)} trials ({found or 'none'}), compared by {of.heading.objectives} after the last epoch. "
        f"Dataset {of.heading.dataset_label}, split {of.heading.split}."
    )
    sections = [section for make in SECTIONS for section in _made(make, of)]
    return Page(title=of.record.name, about=about, answer=said.text, cautions=said.cautions, sections=sections)


def study_answer(of: Material) -> Answer:
    """The newest confirmation's answer, or else the search's own."""
    for found in of.confirmations:
        return found.answer(len(of.openings))
    return answer(of.record)


def _made(make: Callable[[Material], Iterator[Section]], of: Material) -> list[Section]:
    try:
        return list(make(of))
    except Exception as error:  # one broken section must not take the report, or the study, with it
        _log.warning("section %s of the report could not be made: %r", make.__name__, error)
        reason = " ".join(str(error).split())
        return [Section(title=make.__name__, remarks=(f"Could not be made: {type(error).__name__}: {reason}",))]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m search.report", description="Write a study's report again.")
    parser.add_argument("study", metavar="STUDY", help="its name")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="where studies are (default: %(default)s)")
    parser.add_argument("--tracking-uri", help="MLflow's (default: $MLFLOW_TRACKING_URI, else OUT/mlflow.db)")
    given = parser.parse_args(arguments)
    study = given.out / given.study
    try:
        folder = write_report(study)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    send(study, given.tracking_uri or default_uri(given.out))
    print(study_answer(Material(Record.open(study))).text)
    print(folder / PAGE)
    return 0


def send(study: Path, uri: str) -> None:
    """Bring MLflow's copy of a study and its report up to date; a study that runs does so itself when it ends."""
    try:
        with locked(study):
            record = Record.open(study)
            files = [path for name in (FOLDER, "model") if (path := study / name).is_dir()]
            unsent = sync(record, uri, record.header["space"], files)
    except ConfigError as error:
        print(f"not sent to MLflow: {error}", file=sys.stderr)
        return
    if unsent:
        print(f"not sent to MLflow completely: {unsent} runs", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
