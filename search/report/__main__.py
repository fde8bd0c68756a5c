"""`python -m search.report STUDY`: writes the report of a study again, sends it to MLflow, prints the answer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mgc.words.command import TextParser, exit_code, folder
from search.record.files import PAGE
from search.record.record import Record
from search.report.report import send, write_report
from search.results.confirmed import confirmations, study_answer
from search.tracking.registry import default_uri


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = TextParser(
        prog="python -m search.report", description="Write the report of a study again, and print its answer."
    )
    parser.add_argument("study", metavar="STUDY", help="name of the study")
    parser.add_argument("--out", type=folder, default=Path("runs"), help="folder of the studies (default: %(default)s)")
    parser.add_argument("--tracking-uri", help="MLflow's address (default: $MLFLOW_TRACKING_URI, else OUT/mlflow.db)")
    options = parser.parse_args(arguments)
    return exit_code(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    study = options.out / options.study
    written = write_report(study)
    send(study, options.tracking_uri or default_uri(options.out))
    print(study_answer(Record.open(study), confirmations(study)).text)
    print(f"report   {(written / PAGE).absolute().as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
