"""The page of a report: its parts as data, and the HTML that `page.html.jinja` makes of them.

The page is one file that loads nothing from anywhere and runs no script. Jinja escapes every text of its parts; words
between backticks are shown as code. Knows no study.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

TEMPLATE = "page.html.jinja"
LONG_TABLE = 12
"""Rows from which a section may be broken over two sheets of paper."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table, shown on the page and kept as `name`.csv. `shown` limits the page's rows, not the file's."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    shown: int | None = None

    @property
    def shown_rows(self) -> Sequence[Sequence[str]]:
        return self.rows[: self.shown]

    @property
    def num_hidden(self) -> int:
        return len(self.rows) - len(self.shown_rows)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A plot, shown on the page and kept as `name`.png; `text` says what it shows where it cannot be seen."""

    name: str
    data: bytes
    text: str

    @property
    def address(self) -> str:
        """The picture itself as an address, so that the page needs no other file."""
        return f"data:image/png;base64,{base64.b64encode(self.data).decode()}"

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return self.data


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading with remarks, a block of code, pictures and tables below it."""

    title: str
    remarks: Sequence[str] = ()
    code: str = ""
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()

    @property
    def is_long(self) -> bool:
        return any(len(table.rows) > LONG_TABLE for table in self.tables)


@dataclass(frozen=True, kw_only=True)
class Page:
    """The page's parts from top to bottom; `cautions` are what nobody may overlook, in red."""

    title: str
    about: str
    answer: str
    cautions: Sequence[str]
    sections: Sequence[Section] = ()

    def html(self) -> str:
        """The whole page."""
        return _templates().get_template(TEMPLATE).render(page=self)


def _templates() -> Environment:
    folder = FileSystemLoader(Path(__file__).parent)
    made = Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters["pieces"] = pieces
    return made


def pieces(text: str) -> list[str]:
    """A text cut at its backticks: plain words and code in turn.

    >>> pieces("type `make bench` here"), pieces("`a` `b"), pieces("plain")
    (['type ', 'make bench', ' here'], ['', 'a', ' `b'], ['plain'])
    """
    return re.split(r"`([^`]+)`", text)
