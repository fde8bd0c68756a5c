"""The report of a study, written: one HTML page, its plots as PNG, its tables as CSV; and all of it sent to MLflow.

It is made of the study's folder alone: record, predictions, confirmations beside it. A section that cannot be made says
so on the page; the others stand.
"""

from __future__ import annotations

import csv
import io
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from mgc.files.whole import write_whole
from mgc.words.errors import ConfigError, one_line
from mgc.words.redact import redacted_word
from search.record.faults import note_fault
from search.record.files import MODEL, PAGE, REPORT
from search.record.journal import locked
from search.record.notes import OPEN
from search.record.ranking import states_text
from search.record.record import Record
from search.report.data import page_data
from search.report.material import Material
from search.report.model_sections import best, config, most_wrong
from search.report.page import Page, Section
from search.report.search_sections import course, importance, params, pareto, trials
from search.report.sections import confirmation, published, reproduce
from search.results.commands import sync_command
from search.results.confirmed import study_answer
from search.tracking.sync import sync
from search.words import moment

MakeSections = Callable[[Material], Iterator[Section]]

SECTIONS: tuple[MakeSections, ...] = (
    config, confirmation, trials, pareto, params, course, importance, best, most_wrong, published, reproduce,
)  # fmt: skip
"""In the order of the page."""

_log = logging.getLogger(__name__)


def write_report(study: Path) -> Path:
    """Write the report of the study in this folder, in place of the last one; returns the report's folder.

    Each file is whole at any time, and the last page stays until the new one is there. RecordError where there is no
    study.
    """
    page = report_page(Material(Record.open(study)))
    folder = study / REPORT
    files = dict(item for section in page.sections for item in _files(section))
    for name, content in {**files, PAGE: page.html()}.items():
        write_whole(folder / name, content)
    for old in [*folder.glob("*.png"), *folder.glob("*.csv")]:
        if old.name not in files:
            old.unlink(missing_ok=True)
    return folder


def _files(section: Section) -> Iterator[tuple[str, str | bytes]]:
    """A section's plots and whole tables, each as the name and the content of a file of its own."""
    for picture in section.pictures:
        yield f"{picture.name}.png", picture.data
    for table in section.tables:
        text = io.StringIO(newline="")
        csv.writer(text).writerows([table.columns, *table.rows])
        yield f"{table.name}.csv", text.getvalue()


def report_page(material: Material) -> Page:
    """The page, with all sections that can be made."""
    header, name = material.header, material.record.name
    answer = study_answer(material.record, material.confirmations)
    states = states_text(material.trials, live=material.record.noted(OPEN))
    about = (
        f"{header.description or header.space}. Study {name}, begun {moment(header.created)}: "
        f"{len(material.trials)} trials ({states or 'none'}), compared by {header.objectives} after the last epoch. "
        f"Dataset {header.dataset_label}, split {header.split}."
    )
    sections = [section for make in SECTIONS for section in _made(make, material)]
    data = page_data(material.record) if material.trials else None
    return Page(title=name, about=about, answer=answer.text, cautions=answer.cautions, sections=sections, data=data)


def _made(make: MakeSections, material: Material) -> list[Section]:
    name = make.__name__
    try:
        return list(make(material))
    except Exception as error:  # one broken section must not take the report, or the study, with it
        log = note_fault(material.record.folder, f"section {name} of the report")
        reason = f"{type(error).__name__}: {one_line(error)}"
        _log.warning("section %s of the report could not be made: %s (%s has the traceback)", name, reason, log)
        remark = f"Could not be made: {reason} ({log.name} in the study's folder has more)"
        return [Section(title=name, remarks=(remark,))]


def send(study: Path, uri: str) -> None:
    """Bring MLflow's copy of a study and its report up to date; a study that runs does so itself when it ends.

    What MLflow does not get is told in a line of stderr.
    """
    try:
        with locked(study):
            record = Record.open(study)
            files = [path for name in (REPORT, MODEL) if (path := study / name).is_dir()]
            unsent = sync(record, uri, files)
    except ConfigError as error:
        print(f"not sent to MLflow: {error}", file=sys.stderr)
        return
    if unsent:
        command = sync_command(study, tracking_uri=redacted_word(uri))
        print(f"MLflow lacks {unsent} runs; send them: {command}", file=sys.stderr)
