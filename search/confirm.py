"""`python -m search.confirm STUDY`: the command line of a confirmation, and nothing else."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mgc.plugins.sources import add_option, use_files
from mgc.words.command import EXIT_FAILED, EXIT_INTERRUPTED, TextParser, exit_code, folder, program
from search.arguments import count, limit
from search.machines.cost import Limits
from search.record.files import PAGE, REPORT, confirmation_folder, study_names
from search.record.header import TRAIN_PARTS
from search.record.notes import ANSWER, END
from search.record.record import Record
from search.space.describe import params_lines
from search.study.confirming import confirm, is_tested
from search.study.plan import ConfirmOptions

LINE = 120
"""Characters of a line of the best config's params."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: 0, 1 where nothing could be trained, 2 for a mistake of the user's, 130 if stopped."""
    args = parser().parse_args(arguments)
    return exit_code(lambda: _main(args), interrupted="interrupted; the same command goes on")


def _main(args: argparse.Namespace) -> int:
    use_files(*args.plugin)
    options = ConfirmOptions(
        top=None if args.all else args.top,
        seeds=args.seeds,
        train_on=args.train_on,
        out=args.out,
        address=args.address,
        storage=args.storage,
        limits=Limits(hours=args.max_hours, usd=args.max_cost),
        tracking_uri=args.tracking_uri,
        quiet=args.quiet,
    )
    result = confirm(args.study, options)
    record = Record.open(confirmation_folder(options.out / args.study, options.train_on))
    if result is None:
        return _unfinished(record)
    print(record.noted(ANSWER))
    print("the params of the best, to copy into a space file:", *params_lines(result.chosen.params, LINE), sep="\n")
    print(f"report   {(options.out / args.study / REPORT / PAGE).absolute().as_uri()}")
    return 0


def _unfinished(record: Record) -> int:
    """Say why a confirmation has no result; returns the exit code."""
    if (hopeless := record.noted(END)["hopeless"]) is not None:
        print(f"no training of {record.name} succeeds: {hopeless}", file=sys.stderr)
        return EXIT_FAILED
    print(f"{record.name} is not finished; the same command goes on with it", file=sys.stderr)
    return EXIT_FAILED if is_tested(record) else EXIT_INTERRUPTED


def parser() -> TextParser:
    parser = TextParser(
        prog=program("search.confirm"),
        description="Train the best configs of a study again with new seeds, then measure them on the test part.",
    )
    add = parser.add_argument
    add("study", metavar="STUDY", help="name of the study").completer = study_names  # type: ignore[attr-defined]
    add_option(parser)
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--top",
        metavar="N",
        type=count,
        default=3,
        help="how many of the best networks to confirm (default: %(default)s)",
    )
    which.add_argument("--all", action="store_true", help="confirm every network that was trained to the end")
    add(
        "--seeds",
        metavar="N",
        type=count,
        default=5,
        help="trainings of each network, with different seeds (default: %(default)s)",
    )
    add(
        "--train-on",
        choices=[*TRAIN_PARTS],
        default="train",
        help="parts to train on; with train+val nothing is left to validate on (default: %(default)s)",
    )
    add("--out", metavar="DIR", type=folder, default=Path("runs"), help="folder of the studies (default: %(default)s)")
    add(
        "--storage",
        metavar="s3://...|DIR",
        default=os.environ.get("MGC_STORAGE") or None,
        help="a place that every node reaches, for checkpoints and a copy of the confirmation (default: "
        "$MGC_STORAGE, else the study's)",
    )
    add("--address", metavar="auto|HOST", help="Ray cluster to join (default: one running here, else one of its own)")
    add(
        "--max-hours",
        metavar="H",
        type=limit,
        help="stop after so many hours, earlier starts of the study included; what runs finishes its epoch",
    )
    add("--max-cost", metavar="USD", type=limit, help="stop when the cluster has cost so many dollars during the study")
    add(
        "--tracking-uri",
        metavar="URI",
        help="MLflow's address (default: $MLFLOW_TRACKING_URI, else OUT/mlflow.db)",
    )
    add("--quiet", action="store_true", help="print only the result and errors")
    return parser


if __name__ == "__main__":
    sys.exit(main())
