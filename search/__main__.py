"""`mgc-search COMMAND`, and `python -m search COMMAND`: every command of the program under one name.

It knows in which module each command is, loads that module alone, and leaves the words to its parser.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from mgc import __version__
from mgc.words.command import PROGRAM, Parser
from mgc.words.errors import ConfigError, check_names

COMMANDS = {
    "run": ("search.run", "search the hyperparameters of a space file"),
    "new": ("search.new", "write a space file for a dataset and a model"),
    "list": ("search.list", "every study, with its best and how it stands"),
    "show": ("search.show", "one trial of a study"),
    "watch": ("search.watch", "a study in a browser, while it runs"),
    "report": ("search.report.__main__", "write a study's report again"),
    "confirm": ("search.confirm", "train the best again over seeds, then test"),
    "papers": ("search.papers", "the papers' figures, with ours beside them"),
    "predict": ("mgc.predict", "a genre for each song, by a model"),
    "evaluate": ("search.evaluate", "how often a model is right on labelled music"),
    "train": ("mgc.train", "train one config, without a search"),
    "datasets": ("mgc.datasets.__main__", "what is here, what is wrong with it, downloads, the cache"),
    "cluster": ("search.cluster.__main__", "what a cluster needs beside studies"),
    "tracking": ("search.tracking.__main__", "MLflow's pages, and what they lack"),
    "record": ("search.record.__main__", "save what can be saved of a damaged record"),
    "space": ("search.space.__main__", "the JSON Schema of space files"),
}
"""By its name: the module that has `main` and `parser`, and what the command does."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command that the first word names; returns its exit code."""
    if "_ARGCOMPLETE" in os.environ:
        complete(os.environ["COMP_LINE"])
    words = sys.argv[1:] if words is None else words
    name = parser().parse_args(words[:1]).command
    return int(_module(name).main(words[1:]))


def parser() -> Parser:
    """Reads the first word alone; the others belong to the command."""
    made = Parser(
        prog=PROGRAM,
        description="Hyperparameter search for music genre classification.",
        epilog=_commands_text(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("command", metavar="COMMAND", type=_command, help="one of those below; COMMAND --help says more")
    made.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return made


def _commands_text() -> str:
    width = max(map(len, COMMANDS))
    return "\n".join(["commands:", *(f"  {name:{width}}  {about}" for name, (_, about) in COMMANDS.items())])


def _command(name: str) -> str:
    try:
        check_names([name], COMMANDS, "command")
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return name


def _module(name: str) -> Any:
    return importlib.import_module(COMMANDS[name][0])


def complete(line: str) -> None:
    """Answer a shell that asks argcomplete's way how this line may go on, and end the process."""
    import argcomplete

    top = Parser(prog=PROGRAM)
    commands = top.add_subparsers()
    typed = line.split()[1:2]
    for name, (_, about) in COMMANDS.items():
        parents = [_module(name).parser()] if [name] == typed else []
        commands.add_parser(name, parents=parents, add_help=not parents, help=about)
    argcomplete.autocomplete(top)


if __name__ == "__main__":
    sys.exit(main())
