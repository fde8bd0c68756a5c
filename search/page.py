"""One self-contained HTML page: text, tables, pictures inside. It loads nothing from anywhere and runs no script."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .4rem; }
.answer { font-size: 1.15rem; border-left: 4px solid #4a6fa5; padding: .4rem 1rem; background: #f4f7fb; }
.red { color: #b3261e; font-weight: 700; } .note { color: #555; font-size: .9rem; }
table { border-collapse: collapse; font-size: .85rem; margin: .5rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .2rem .7rem .2rem 0; border-bottom: 1px solid #ddd; vertical-align: top; }
th { border-bottom: 2px solid #999; } img { max-width: 100%; display: block; margin: .5rem 0; }
code { font-size: .8rem; overflow-wrap: anywhere; } .scroll { overflow-x: auto; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } .scroll { overflow: visible; }
  section, img, tr { break-inside: avoid; } .long { break-inside: auto; } h2 { break-after: avoid; } }
"""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table, shown on the page and kept as `name`.csv. `shown` limits the page's rows, not the file's."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    shown: int | None = None


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A plot, shown on the page and kept as `name`.png; `text` says what it shows where it cannot be seen."""

    name: str
    data: bytes
    text: str


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading with remarks, pictures and tables below it."""

    title: str
    remarks: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()


@dataclass(frozen=True, kw_only=True)
class Page:
    """The page's parts from top to bottom; `cautions` are what nobody may overlook, in red."""

    title: str
    about: str
    answer: str
    cautions: Sequence[str]
    sections: Sequence[Section] = field(default_factory=tuple)

    def html(self) -> str:
        """The whole page."""
        cautions = "".join(f'<p class="red">{text(caution)}</p>' for caution in self.cautions)
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
            f"<title>{text(self.title)}</title><style>{STYLE}</style></head>\n<body><h1>{text(self.title)}</h1>"
            f'<p class="note">{text(self.about)}</p>\n<p class="answer">{text(self.answer)}</p>\n{cautions}\n'
            + "\n".join(map(_section, self.sections))
            + "\n</body></html>\n"
        )


def text(words: str) -> str:
    """Escaped, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(words))


def _section(section: Section) -> str:
    remarks = "".join(f"<p>{text(remark)}</p>" for remark in section.remarks)
    body = remarks + "".join(map(_picture, section.pictures)) + "".join(map(_table, section.tables))
    is_long = any(len(table.rows) > 12 for table in section.tables)
    return f"<section{' class=long' if is_long else ''}><h2>{text(section.title)}</h2>{body}</section>"


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.data).decode()
    return f'<img alt="{text(picture.text)}" src="data:image/png;base64,{data}">'


def _table(table: Table) -> str:
    rows = table.rows[: table.shown]
    head = "".join(f"<th>{text(column)}</th>" for column in table.columns)
    body = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    left = len(table.rows) - len(rows)
    more = f'<p class="note">{left} more rows are in {text(table.name)}.csv.</p>' if left else ""
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{more}'
