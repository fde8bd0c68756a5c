"""The words of an error's line: which rule was broken, what it got, what there is instead. Knows no section."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from pydantic_core import ErrorDetails


def nearest(name: str, known: Iterable[str]) -> str:
    """What there is instead of an unknown name, for the end of an error's line.

    >>> nearest("chanels", ["channels", "r"])
    " (did you mean 'channels'?)"
    """
    names = sorted(known)
    return close_to(name, names) or f" (there is {', '.join(names)})"


def close_to(name: Any, names: Iterable[str]) -> str:
    likeness = {each: difflib.SequenceMatcher(None, str(name), each).ratio() for each in names}
    best = max(likeness.values(), default=0.0)
    found = [each for each in likeness if likeness[each] >= max(0.6, best - 0.1)]
    return f" (did you mean {' or '.join(repr(each) for each in found)}?)" if found else ""


def rule(detail: ErrorDetails) -> str:
    """The broken rule and what it got: `must be >= 1, got 0`."""
    context, got = detail.get("ctx", {}), detail["input"]
    match detail["type"]:
        case "greater_than_equal":
            text = f"must be >= {_plain(context['ge'])}"
        case "greater_than":
            text = f"must be > {_plain(context['gt'])}"
        case "less_than_equal":
            text = f"must be <= {_plain(context['le'])}"
        case "less_than":
            text = f"must be < {_plain(context['lt'])}"
        case "too_long":
            text = f"must have {context['max_length']} items"
        case "too_short":
            text = f"must have {context['min_length']} items"
        case "literal_error":
            names = re.findall(r"'([^']*)'", context["expected"])
            return f"must be one of {', '.join(names)}, got {got!r}{close_to(got, names)}"
        case "value_error":
            return str(context["error"])
        case "missing":
            return "is missing"
        case "float_type" | "int_type" if isinstance(got, str) and _reads_as_number(got):
            return f"must be a number, got the text {got!r}"
        case _:
            text = "must be " + detail["msg"].removeprefix("Input should be ").removeprefix("a valid ").lower()
    return f"{text}, got {list(got) if isinstance(got, tuple) else got!r}"


def _plain(limit: float) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
