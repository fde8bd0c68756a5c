"""How numbers, params and times are written for people: on the terminal, in reports, in MLflow and in messages.

Text of values alone: it knows no space, record or metric, and imports nothing of the project.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

MOST_NAMED = 4
"""With more params than this a sentence gets too long."""


def brief(value: Any) -> str:
    """A param's value as a table shows it: numbers to four digits, lists and null as in YAML.

    >>> [brief(value) for value in (31.4283, 1e-4, 32, [32, 64], None, "adam")]
    ['31.43', '0.0001', '32', '[32, 64]', 'null', 'adam']
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def number(value: float) -> str:
    """A metric's value: a whole number with all its digits, any other with four.

    >>> number(500000.0), number(0.00123456), number(0.5), number(float("nan"))
    ('500,000', '0.001235', '0.5', 'nan')
    """
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def pairs(params: Mapping[str, object]) -> str:
    """All params with their values.

    >>> pairs({"r": 31.4283, "pool": "max"})
    'r = 31.43, pool = max'
    """
    return ", ".join(f"{name} = {brief(value)}" for name, value in params.items())


def named(varying: Mapping[str, object], most: int | None = MOST_NAMED) -> str:
    """A config by the params that vary, in a sentence: the first of them where there are more than `most` (None: all).

    >>> named({"r": 31.4283}), named({}), named(dict.fromkeys("abcdef", 1))
    ('r = 31.43', 'the only config', 'a = 1, b = 1, c = 1 and 3 more params')
    """
    if most is None or len(varying) <= most:
        return pairs(varying) or "the only config"
    first = dict(list(varying.items())[: most - 1])
    return f"{pairs(first)} and {len(varying) - most + 1} more params"


def numbered(numbers: Sequence[int], limit: int = 3) -> str:
    """Trials by their numbers: `trial 3`, `trials 3, 5`, or the first few of many.

    >>> numbered([3]), numbered([3, 5]), numbered([1, 2, 3, 4, 5])
    ('trial 3', 'trials 3, 5', 'trials 1, 2, 3 and 2 more')
    """
    return f"trial{'s' if len(numbers) > 1 else ''} {some(numbers, limit)}"


def some(things: Sequence[object], limit: int = 3) -> str:
    """The first few of many things, and how many more there are.

    >>> some(["a", "b"]), some(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c and 2 more')
    """
    more = f" and {len(things) - limit} more" if len(things) > limit else ""
    return f"{', '.join(map(str, things[:limit]))}{more}"


def duration(seconds: float) -> str:
    """A time in the unit in which somebody would say it.

    >>> [duration(seconds) for seconds in (0.02, 0.3, 38, 130, 4800, 50_000, 300_000)]
    ['under 0.1 s', '0.3 s', '38 s', '2 min', '1 h 20 min', '14 h', '3 days 11 h']
    """
    if seconds < 90:
        return _in_seconds(seconds)
    if seconds < 3570:
        return f"{seconds / 60:.0f} min"
    if seconds < 10 * 3600:
        return _in_two(round(seconds / 60), 60, "h", "min")
    whole_hours = round(seconds / 3600)
    return f"{whole_hours} h" if whole_hours < 48 else _in_two(whole_hours, 24, "days", "h")


def moment(iso: str) -> str:
    """A moment that a record has in ISO 8601, to the minute.

    >>> moment("2026-11-22T00:31:18+00:00")
    '2026-11-22 00:31 UTC'
    """
    return f"{datetime.fromisoformat(iso).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _in_seconds(seconds: float) -> str:
    if 0 < seconds < 0.1:
        return "under 0.1 s"
    return f"{seconds:.1f} s" if 0 < seconds < 0.95 else f"{seconds:.0f} s"


def _in_two(number: int, size: int, unit: str, small_unit: str) -> str:
    """A number of small units in units of so many of them, and what is left over."""
    units, rest = divmod(number, size)
    return f"{units} {unit} {rest} {small_unit}" if rest else f"{units} {unit}"
