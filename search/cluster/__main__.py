"""`python -m search.cluster`: the command line for what a cluster needs beside studies; the work is other files'."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mgc.words.command import EXIT_FAILED, Parser, exit_code, program
from search.cluster.token import user_token


def main(words: Sequence[str] | None = None) -> int:
    """Returns 0, 1 for a cluster with problems or a study that failed, 2 for a mistake of the user's."""
    arguments = parser().parse_args(words)
    with user_token():
        return exit_code(lambda: int(arguments.do(arguments)))


def parser() -> Parser:
    top = Parser(
        prog=program("search.cluster"),
        description="Prepare and check clusters, and look after studies that run on them.",
    )
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    check = commands.add_parser("check", help="check a cluster's file")
    check.add_argument("cluster", metavar="CLUSTER.yaml", type=Path)
    check.set_defaults(do=_check)

    prepare = commands.add_parser(
        "aws", help="make the bucket, security group and instance profiles that a cluster's file names"
    )
    prepare.add_argument("cluster", metavar="CLUSTER.yaml", type=Path)
    prepare.add_argument("--bucket", required=True, help="where data, checkpoints, records and artifacts lie")
    prepare.add_argument("--ssh-from", required=True, metavar="RANGE", help="your own addresses: 198.51.100.7/32")
    prepare.set_defaults(do=_aws)

    preflight = commands.add_parser("preflight", help="check that every node of a cluster can run a study")
    preflight.add_argument("--cluster", metavar="CLUSTER.yaml", type=Path, help="default: the cluster that runs here")
    preflight.add_argument("--data", metavar="NAME|DIR|FILE", help="dataset that every node must have")
    preflight.add_argument("--storage", metavar="s3://...|DIR", default=os.environ.get("MGC_STORAGE") or None)
    preflight.add_argument("--tracking-uri", metavar="URI", default=os.environ.get("MLFLOW_TRACKING_URI"))
    preflight.add_argument("--out", help=argparse.SUPPRESS)  # every job gets one
    preflight.set_defaults(do=_preflight)

    look = commands.add_parser("look", help="show a cluster's MLflow and Ray dashboard on this machine, until Ctrl-C")
    look.add_argument("--cluster", metavar="CLUSTER.yaml", type=Path, required=True)
    look.set_defaults(do=_look)

    for name, text in (
        ("attach", "show the log of a study that runs on a cluster"),
        ("stop", "stop a study; it can go on later"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("job", metavar="JOB")
        where = command.add_mutually_exclusive_group(required=True)
        where.add_argument("--cluster", metavar="CLUSTER.yaml", type=Path)
        where.add_argument("--address", metavar="http://HOST:PORT", help="of Ray's dashboard")
        command.set_defaults(do=_follow, stop=name == "stop")
    return top


def _preflight(arguments: argparse.Namespace) -> int:
    if arguments.cluster is not None:
        from search.cluster import jobs

        options = {"--data": arguments.data, "--storage": arguments.storage, "--tracking-uri": arguments.tracking_uri}
        words = ["preflight", *(word for name, value in options.items() if value for word in (name, value))]
        where = {"cluster": arguments.cluster, "address": None}
        return jobs.run(words, module="search.cluster", name="preflight", environment={}, **where)

    from search.cluster.preflight import check, report
    from search.machines.ray_cluster import cluster
    from search.storage.storage import storage_address

    storage = None if arguments.storage is None else storage_address(arguments.storage)
    with cluster("auto"):
        nodes, problems = check(storage=storage, dataset=arguments.data, tracking_uri=arguments.tracking_uri)
    report(nodes, problems)
    return EXIT_FAILED if problems else 0


def _look(arguments: argparse.Namespace) -> int:
    from search.cluster.file import read
    from search.cluster.tunnel import DASHBOARD_PORT, MLFLOW_PORT, tunnel

    file = read(arguments.cluster)
    with tunnel(file, MLFLOW_PORT) as mlflow, tunnel(file, DASHBOARD_PORT) as dashboard, suppress(KeyboardInterrupt):
        print(f"MLflow     {mlflow}\ndashboard  {dashboard} (asks for the token in ~/.ray/auth_token)", flush=True)
        signal.pause()
    return 0


def _follow(arguments: argparse.Namespace) -> int:
    from search.cluster import jobs

    with jobs.connected(cluster=arguments.cluster, address=arguments.address) as at:
        return jobs.stop(at, arguments.job) if arguments.stop else jobs.follow(at, arguments.job)


def _check(arguments: argparse.Namespace) -> int:
    from search.cluster.file import read

    print(f"{arguments.cluster}: cluster {read(arguments.cluster).name} is in order")
    return 0


def _aws(arguments: argparse.Namespace) -> int:
    from search.cluster import aws
    from search.cluster.file import read

    for line in aws.prepare(read(arguments.cluster), bucket=arguments.bucket, ssh_from=arguments.ssh_from):
        print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
