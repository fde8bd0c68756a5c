"""`python -m search.space --schema`: the JSON Schema of space files, for editors."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from mgc.plugins.sources import add_option, use_files
from mgc.words.command import Parser, exit_code, program
from search.space.schema import space_schema


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    return exit_code(lambda: _main(options))


def parser() -> Parser:
    made = Parser(prog=program("search.space"), description="Print the JSON Schema of space files, for editors.")
    made.add_argument("--schema", action="store_true", required=True, help="print it")
    add_option(made)
    return made


def _main(options: argparse.Namespace) -> int:
    use_files(*options.plugin)
    print(json.dumps(space_schema(), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
