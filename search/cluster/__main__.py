"""`python -m search.cluster`: what clusters need beside studies, as a command line and nothing else."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mgc.config import ConfigError

EXIT_FAILED, EXIT_USAGE = 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, 1 for a cluster with problems or a study that failed, 2 for a mistake of the user's."""
    given = parser().parse_args(arguments)
    try:
        return int(given.do(given))
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m search.cluster", description="Clusters for studies.")
    commands = made.add_subparsers(required=True, metavar="COMMAND")

    check = commands.add_parser("check", help="say what is wrong with a cluster's file")
    check.add_argument("cluster", metavar="CLUSTER.yaml", type=Path)
    check.set_defaults(do=_check)

    prepare = commands.add_parser("aws", help="make the bucket, security group and instance profiles of a file")
    prepare.add_argument("cluster", metavar="CLUSTER.yaml", type=Path)
    prepare.add_argument("--bucket", required=True, help="where data, checkpoints, records and artifacts lie")
    prepare.add_argument("--ssh-from", required=True, metavar="RANGE", help="your own addresses: 198.51.100.7/32")
    prepare.set_defaults(do=_aws)
    return made


def _check(given: argparse.Namespace) -> int:
    from search.cluster.file import read

    print(f"{given.cluster}: cluster {read(given.cluster).name} is in order")
    return 0


def _aws(given: argparse.Namespace) -> int:
    from search.cluster import aws
    from search.cluster.file import read

    for line in aws.prepare(read(given.cluster), bucket=given.bucket, ssh_from=given.ssh_from):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
