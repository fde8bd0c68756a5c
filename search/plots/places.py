"""Where the values of a param stand on an axis: numbers by their size, choices in the order of the space file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mgc.words.texts import plotted
from search.record.header import StudyHeader
from search.words import brief

Place = Callable[[Any], float]


def places(values: Sequence[Any], header: StudyHeader, name: str) -> tuple[Place, list[str] | None]:
    """A function from a value of the param to its place, and the labels at 0, 1, ...; None for a range of numbers."""
    listed = choices(header, name)
    if listed is None and all(map(_is_number, values)):
        return float, None
    shown = {plotted(brief(value)) for value in values}
    in_order = dict.fromkeys(plotted(brief(value)) for value in [*(listed or ()), *values])
    labels = [label for label in in_order if label in shown]
    return (lambda value: labels.index(plotted(brief(value)))), labels


def choices(header: StudyHeader, name: str) -> Sequence[Any] | None:
    """The values that the space lists for a param, in the order of the file; None for a range, or a param without."""
    form = header.canonical.get("params", {}).get(name)
    if not isinstance(form, Mapping):
        return None
    listed: Sequence[Any] | None = form.get("choice", form.get("grid"))
    return listed


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
