"""`python -m search.watch [STUDY]`: the page of a study while it runs, and of all others, in a browser."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from mgc.words.command import TextParser, exit_code, folder, program
from mgc.words.errors import ConfigError
from search.record.files import study_names
from search.watching.server import Server, Studies

HOST, PORT = "127.0.0.1", 8899


def main(words: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C. Returns 2 for a mistake of the user's."""
    arguments = parser().parse_args(words)
    return exit_code(lambda: _main(arguments))


def _main(arguments: argparse.Namespace) -> int:
    studies = Studies(arguments.out)
    if arguments.study is not None:
        studies.news(arguments.study)
    elif not arguments.out.is_dir():
        raise ConfigError(f"there is no folder {arguments.out}")
    place = "" if arguments.study is None else f"{quote(arguments.study)}/"
    try:
        with Server(studies, arguments.host, arguments.port) as server:
            print(f"http://{_shown(arguments.host)}:{server.port}/{place}  (Ctrl-C ends it)", flush=True)
            server.serve_forever()
    except KeyboardInterrupt:  # the way to end it, and no failure
        pass
    return 0


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def parser() -> TextParser:
    made = TextParser(
        prog=program("search.watch"),
        description="Show a study in a browser while it runs; without a name, all studies of the folder.",
    )
    study = made.add_argument("study", metavar="STUDY", nargs="?", help="name of the study")
    study.completer = study_names  # type: ignore[attr-defined]
    made.add_argument("--out", type=folder, default=Path("runs"), help="folder of the studies (default: %(default)s)")
    made.add_argument("--port", type=int, default=PORT, help="0: any that is free (default: %(default)s)")
    made.add_argument(
        "--host", default=HOST, help="who can reach it; 0.0.0.0: everybody, without a password (default: %(default)s)"
    )
    return made


if __name__ == "__main__":
    sys.exit(main())
