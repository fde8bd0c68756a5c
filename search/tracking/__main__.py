"""The command line of tracking: `sync STUDY` sends what MLflow lacks of a study, `ui` shows MLflow's pages."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from pathlib import Path

from mgc.words.command import TextParser, exit_code, folder, program
from mgc.words.errors import ConfigError
from search.record.files import study_names
from search.record.journal import locked
from search.record.record import Record
from search.tracking.mlflow_client import check_uri, client_of, is_new_file
from search.tracking.mlflow_runs import result_pages
from search.tracking.registry import default_uri
from search.tracking.sync import sync

HOST, PORT = "127.0.0.1", 5000


def main(arguments: list[str] | None = None) -> int:
    """Run the command line. Returns its exit code: 0, 1 where something could not be sent, 2 where nothing could."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: int(options.do(options)))


def parser() -> TextParser:
    top = TextParser(prog=program("search.tracking"), description="Send studies to MLflow, or show its pages.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    send = commands.add_parser("sync", help="send what MLflow lacks of a study")
    send.add_argument("study", metavar="STUDY", help="name of the study").completer = study_names  # type: ignore[attr-defined]
    send.set_defaults(do=_sync)
    show = commands.add_parser("ui", help="show MLflow's pages on this machine, until Ctrl-C")
    show.add_argument("--port", type=int, default=PORT, help="the first port that is tried (default: %(default)s)")
    show.set_defaults(do=_ui)
    for command in (send, show):
        command.add_argument(
            "--out", type=folder, default=Path("runs"), help="folder of the studies (default: %(default)s)"
        )
        command.add_argument("--tracking-uri", help="default: $MLFLOW_TRACKING_URI, else sqlite:///OUT/mlflow.db")
    return top


def _sync(options: argparse.Namespace) -> int:
    record = Record.open(options.out / options.study)
    with locked(record.folder):
        unsent = sync(record, options.tracking_uri or default_uri(options.out))
    print(f"{options.study}: {len(record.trials()) + 1 - unsent} runs are in MLflow, {unsent} could not be sent")
    return 1 if unsent else 0


def _ui(options: argparse.Namespace) -> int:
    """Print the address of each space's page. MLflow's server takes the place of this process, unless it runs already,
    somewhere else.
    """
    uri = options.tracking_uri or default_uri(options.out)
    check_uri(uri)
    if is_new_file(uri):
        raise ConfigError(f"{uri}: no study has been sent there yet")
    is_there = uri.startswith("http")
    address = uri.rstrip("/") if is_there else f"http://{HOST}:{_free_port(options.port)}"
    for name, page in result_pages(client_of(uri)):
        print(f"{name}  {address}/{page}", flush=True)
    if not is_there:
        os.environ["MLFLOW_BACKEND_STORE_URI"] = uri  # not on the command line, which other users can read
        words = ["-m", "mlflow", "ui", "--host", HOST, "--port", address.rpartition(":")[2]]
        os.execv(sys.executable, [sys.executable, *words])
    return 0


def _free_port(first: int) -> int:
    """The first port from this one on that nobody listens on."""
    for port in range(first, 65536):
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)):
                return port
    raise ConfigError(f"no port from {first} on is free")


if __name__ == "__main__":
    sys.exit(main())
