"""The page of a report: its parts as data, and the HTML that `page.html.jinja` makes of them.

The page is one file that loads nothing from anywhere: it runs the script of the folder `script/` alone, which its
policy allows by the script's hash, and asks no host. Jinja escapes every text of its parts; words between backticks are
shown as code. Knows no study.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent
TEMPLATE = "page.html.jinja"
STYLE = "page.css"
SCRIPTS = ("study", "draw", "charts", "timeline", "parallel", "trials", "side_by_side", "bar", "start")
"""The files of the folder `script/` in the order in which they run."""
LONG_TABLE = 12
"""A longer table scrolls on a screen, and its section may be broken over two sheets of paper."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table, shown on the page and kept as `name`.csv. `shown` limits the page's rows, not the file's. One that
    `is_still` is shown only where no script runs, which shows the same.
    """

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    shown: int | None = None
    is_still: bool = False

    @property
    def shown_rows(self) -> Sequence[Sequence[str]]:
        return self.rows[: self.shown]

    @property
    def is_tall(self) -> bool:
        return len(self.shown_rows) > LONG_TABLE

    @property
    def num_hidden(self) -> int:
        return len(self.rows) - len(self.shown_rows)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A plot, shown on the page and kept as `name`.png; `text` says what it shows where it cannot be seen. One that
    `is_still` is shown only where no script draws the same.
    """

    name: str
    data: bytes
    text: str
    is_still: bool = False

    @property
    def address(self) -> str:
        """The picture itself as an address, so that the page needs no other file."""
        return f"data:image/png;base64,{base64.b64encode(self.data).decode()}"

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return self.data


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading with remarks, a block of code, charts, pictures and tables below it. A chart is named as in the script
    `start.js`, which draws it.
    """

    title: str
    remarks: Sequence[str] = ()
    code: str = ""
    charts: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()

    @property
    def is_live(self) -> bool:
        """Whether there is nothing in it where no script runs."""
        return bool(self.charts) and not (self.remarks or self.code or self.pictures or self.tables)

    @property
    def is_long(self) -> bool:
        return any(len(table.rows) > LONG_TABLE for table in self.tables)


@dataclass(frozen=True, kw_only=True)
class Page:
    """The page's parts from top to bottom; `cautions` are what nobody may overlook, in red. `data` is what the script
    draws, as plain JSON data; without it the page runs none.
    """

    title: str
    about: str
    answer: str
    cautions: Sequence[str]
    sections: Sequence[Section] = ()
    data: Mapping[str, Any] | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    """Addresses of other pages of the same server, by their texts."""
    is_watched: bool = False
    """Whether the script asks the server that the page comes from for news."""

    def html(self) -> str:
        """The whole page."""
        return rendered(TEMPLATE, is_watched=self.is_watched, page=self)


def rendered(template: str, *, scripts: Sequence[str] = SCRIPTS, is_watched: bool = False, **values: Any) -> str:
    """A page as HTML: a template with the style, these scripts, and the policy that allows both."""
    style, script = _text(STYLE), "\n".join(_text(f"script/{name}.js") for name in scripts)
    allowed = policy(style, script, is_watched=is_watched)
    return _templates().get_template(template).render(style=style, script=script, policy=allowed, **values)


def policy(style: str, script: str, *, is_watched: bool = False) -> str:
    """What a browser lets a page do (Content-Security-Policy): this style, this script, pictures inside; no host but,
    for a page that is watched, the one that it comes from.
    """
    news = "; connect-src 'self'" if is_watched else ""
    return (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; base-uri 'none'; "
        f"form-action 'self'{news}"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def in_script(data: Mapping[str, Any]) -> str:
    """Plain JSON data as it may stand in a script element: `<` is escaped, so that no text in it can end the element.

    >>> print(in_script({"name": "</script><b>"}))
    {"name":"\\u003c/script>\\u003cb>"}
    """
    return json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _templates() -> Environment:
    folder = FileSystemLoader(HERE)
    made = Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"pieces": pieces, "in_script": in_script}
    return made


def pieces(text: str) -> list[str]:
    """A text cut at its backticks: plain words and code in turn.

    >>> pieces("type `make bench` here"), pieces("`a` `b"), pieces("plain")
    (['type ', 'make bench', ' here'], ['', 'a', ' `b'], ['plain'])
    """
    return re.split(r"`([^`]+)`", text)
