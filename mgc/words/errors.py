"""A user's mistake, and the words of its line: which rule was broken, what it got, what there is instead.

Knows pydantic's errors, and none of the things that are checked.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

from pydantic_core import ErrorDetails

from mgc.words.redact import redacted
from mgc.words.texts import printable


class ConfigError(ValueError):
    """A user's mistake: which key, which rule, what it got. Its message shows no secrets, and nothing that a terminal
    obeys.

    `key` is the key at fault where it is one alone, `items` the place in its value: (4,) is the fifth of a list. `tied`
    are the keys of a rule that holds between several, in the order in which the message names them.
    """

    def __init__(
        self, message: str, key: str | None = None, *, items: tuple[int, ...] = (), tied: tuple[str, ...] = ()
    ) -> None:
        super().__init__(printable(redacted(message)))
        self.key = key
        self.items = items
        self.tied = tied

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: the line of the command line."""
        return [f"error: {self}"]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that the broken rule is about, the one that the message begins with first."""
        return self.tied or (() if self.key is None else (self.key,))


def check_names(names: Iterable[str], allowed: Iterable[str], what: str = "key") -> None:
    """Raise a ConfigError for the first of these names that is not allowed; it says which allowed name is the nearest.

    `what` is the noun for such a name.
    """
    allowed = tuple(allowed)
    for name in names:
        if name not in allowed:
            raise ConfigError(f"unknown {what} {name!r}{nearest(str(name), allowed)}", str(name))


def nearest(name: str, allowed: Iterable[str]) -> str:
    """The end of an error's line about an unknown name: the allowed names that are close to it, or all of them.

    >>> nearest("chanels", ["channels", "r"])
    " (did you mean 'channels'?)"
    """
    names = sorted(allowed)
    return close_to(name, names) or f" (there is {', '.join(names)})"


def close_to(name: Any, names: Iterable[str]) -> str:
    """The names that somebody who wrote `name` may have meant, for the end of a line; '' where none is like it."""
    likeness = {each: difflib.SequenceMatcher(None, str(name), each).ratio() for each in names}
    best = max(likeness.values(), default=0.0)
    close = [each for each in likeness if likeness[each] >= max(0.6, best - 0.1)]
    return f" (did you mean {' or '.join(repr(each) for each in close)}?)" if close else ""


def config_error(detail: ErrorDetails, allowed: Iterable[str] = ()) -> ConfigError:
    """One of pydantic's errors as a ConfigError of one line: key, rule, what it got. `allowed` are the section's."""
    key = str(detail["loc"][0]) if detail["loc"] else None
    if detail["type"] == "extra_forbidden":
        return ConfigError(f"unknown key {key!r}{nearest(str(key), allowed)}", key)
    path = [part for part in detail["loc"] if not _is_union_tag(part)]
    items = tuple(part for part in path if isinstance(part, int))
    raised = detail.get("ctx", {}).get("error")
    tied = raised.tied if isinstance(raised, ConfigError) else ()
    return ConfigError(f"{'.'.join(map(str, path))} {rule(detail)}".strip(), key, items=items, tied=tied)


def _is_union_tag(part: int | str) -> bool:
    """Whether a part of an error's place is pydantic's name for one type of several that a value may have."""
    return isinstance(part, str) and ("[" in part or part in ("int", "float", "str", "constrained-int"))


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
            text = f"must have at most {_items(context['max_length'])}"
        case "too_short":
            text = f"must have at least {_items(context['min_length'])}"
        case "literal_error":
            names = re.findall(r"'([^']*)'", context["expected"])
            return f"must be one of {', '.join(names)}, got {got!r}{close_to(got, names)}"
        case "value_error":
            return str(context["error"])
        case "missing":
            return "is missing"
        case "float_type" | "int_type" if isinstance(got, str) and _reads_as_number(got):
            return f"must be a number, got the text {got!r}"
        case name if name in _KINDS:
            text = f"must be {_KINDS[name]}"
        case _:
            text = "must be " + detail["msg"].removeprefix("Input should be ").removeprefix("a valid ").lower()
    return f"{text}, got {list(got) if isinstance(got, tuple) else got!r}"


_KINDS = {
    "float_type": "a number",
    "int_type": "an integer",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "string_too_short": "text that is not empty",
    "finite_number": "a finite number",
}
"""What pydantic's errors of types ask for, in the words of a YAML file."""


def _items(number: int) -> str:
    return f"{number} item{'' if number == 1 else 's'}"


def _plain(limit: float) -> str:
    return f"{limit:g}" if isinstance(limit, float) else str(limit)


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def one_line(error: Exception) -> str:
    """The text of any error in one line of at most 300 characters, without secrets and without what a terminal obeys;
    the name of its class where it has none.

    >>> one_line(RuntimeError("first\\n  second")), one_line(KeyError())
    ('first second', 'KeyError')
    """
    return printable(" ".join(redacted(str(error)).split()))[:300] or type(error).__name__
