"""`python -m search.space --schema`: the JSON Schema of space files, for editors."""

from __future__ import annotations

import json
from collections.abc import Sequence

from mgc.words.command import Parser
from search.space.schema import space_schema


def main(arguments: Sequence[str] | None = None) -> None:
    parser = Parser(prog="python -m search.space", description="What a space file may hold.")
    parser.add_argument("--schema", action="store_true", required=True, help="print the JSON Schema of space files")
    parser.parse_args(arguments)
    print(json.dumps(space_schema(), indent=2))


if __name__ == "__main__":
    main()
