"""`python -m search.space --schema`: the JSON Schema of space files, for editors."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from mgc.plugins.sources import add_option, use_files
from mgc.words.command import Parser, exit_code
from search.space.schema import space_schema


def main(arguments: Sequence[str] | None = None) -> int:
    parser = Parser(prog="python -m search.space", description="Print the JSON Schema of space files, for editors.")
    parser.add_argument("--schema", action="store_true", required=True, help="print it")
    add_option(parser)
    options = parser.parse_args(arguments)
    return exit_code(lambda: _main(options))


def _main(options: argparse.Namespace) -> int:
    use_files(*options.plugin)
    print(json.dumps(space_schema(), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
