"""`python -m search.report STUDY`: writes the report of a study again, sends it to MLflow, prints the answer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mgc.words.command import TextParser, exit_code, folder, program
from search.record.files import PAGE, study_names
from search.record.record import Record
from search.report.report import send, write_report
from search.results.confirmed import confirmations, study_answer
from search.tracking.registry import default_uri


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: _main(options))


def parser() -> TextParser:
    made = TextParser(
        prog=program("search.report"), description="Write the report of a study again, and print its answer."
    )
    study = made.add_argument("study", metavar="STUDY", help="name of the study")
    study.completer = study_names  # type: ignore[attr-defined]
    made.add_argument("--out", type=folder, default=Path("runs"), help="folder of the studies (default: %(default)s)")
    made.add_argument("--tracking-uri", help="MLflow's address (default: $MLFLOW_TRACKING_URI, else OUT/mlflow.db)")
    return made


def _main(options: argparse.Namespace) -> int:
    study = options.out / options.study
    written = write_report(study)
    send(study, options.tracking_uri or default_uri(options.out))
    print(study_answer(Record.open(study), confirmations(study)).text)
    print(f"report   {(written / PAGE).absolute().as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
