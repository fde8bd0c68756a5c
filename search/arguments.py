"""What the command lines of studies have in common: kinds of values, and the words that say again what was parsed."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from mgc.words.errors import ConfigError
from search.record.files import checked_name


def study(text: str) -> str:
    """The name of a new study."""
    try:
        return checked_name(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def limit(text: str) -> float:
    """A number above 0."""
    if not (value := float(text)) > 0:
        raise argparse.ArgumentTypeError(f"must be > 0, got {text}")
    return value


def count(text: str) -> int:
    """A whole number from 1 on."""
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"must be >= 1, got {value}")
    return value


def words_of(parser: argparse.ArgumentParser, given: argparse.Namespace, **changes: Any) -> list[str]:
    """The words that this parser takes for these values. A value at its default is left out unless it is among the
    changes: the default may be another one where the words are read.

    >>> parser = argparse.ArgumentParser(); _ = parser.add_argument("file"); _ = parser.add_argument("--out")
    >>> words_of(parser, parser.parse_args(["a.yaml", "--out", "my runs"]), file="b.yaml")
    ['b.yaml', '--out', 'my runs']
    """
    values = {**vars(given), **changes}
    return [
        word
        for action in parser._actions
        if action.dest in changes or values.get(action.dest) != action.default
        for word in _words(action, values.get(action.dest))
    ]


def _words(action: argparse.Action, value: Any) -> Iterator[str]:
    if value is None or value is False or isinstance(action, argparse._HelpAction):
        return
    if not action.option_strings:
        yield str(value)
        return
    for each in value if isinstance(value, list) else [value]:
        yield action.option_strings[0]
        if not isinstance(each, bool) and each != action.const:
            yield str(each)
