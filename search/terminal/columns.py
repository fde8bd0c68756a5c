"""Tables that fit a terminal: no column without content, and as many of the params as there is room for.

Columns are text of any kind; it knows neither trials nor studies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from search.words import brief

GAP = 2
"""Blanks between two columns, and around the whole table."""
LONGEST = 12
"""Characters of a value that is not shortened."""
LONGEST_NUMBER = 6


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column with a cell for each row. One that `may_go` is left out where there is no room; the title of one that
    `is_narrow` is broken after underscores where it is wider than the cells.
    """

    title: str
    cells: Sequence[Text]
    may_go: bool = False
    is_narrow: bool = False

    @property
    def is_empty(self) -> bool:
        return all(cell.plain in ("", "-") for cell in self.cells)

    @property
    def is_constant(self) -> bool:
        return len({cell.plain for cell in self.cells}) == 1

    @property
    def heading(self) -> str:
        """The title in lines."""
        if not self.is_narrow:
            return self.title
        pieces = self.title.replace("_", "_ ").replace("  ", " ").split(" ")
        width = max(len(piece) for piece in [*pieces, *(cell.plain for cell in self.cells)])
        lines = [""]
        for piece in pieces:
            if len(lines[-1]) + len(piece) <= width:
                lines[-1] += piece
            else:
                lines.append(piece)
        return "\n".join(lines)

    @property
    def width(self) -> int:
        return max(len(line) for line in [*self.heading.split("\n"), *(cell.plain for cell in self.cells)])


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that `width` characters have room for, in their order, without the empty ones. Of those that may go
    the ones go first that have the same in every row, then the last.
    """
    filled = [column for column in columns if not column.is_empty]
    if sum(column.width + GAP for column in filled) <= width:
        return filled
    filled = [replace(column, is_narrow=True) for column in filled]
    kept = [column for column in filled if not column.may_go]
    room = width - sum(column.width + GAP for column in kept)
    for column in sorted((column for column in filled if column.may_go), key=lambda column: column.is_constant):
        if column.width + GAP <= room:
            kept.append(column)
            room -= column.width + GAP
    return [column for column in filled if column in kept]


def table_of(columns: Sequence[Column], *, sections: Sequence[int] = ()) -> Table:
    """A table of these columns; `sections` are the numbers of rows after which there is a space."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(Text(column.heading), no_wrap=True)
    for number, cells in enumerate(zip(*(column.cells for column in columns), strict=True), start=1):
        table.add_row(*cells, end_section=number in sections)
    return table


def short(value: Any) -> str:
    """A param's value where room is scarce: few digits of a long number, the ends of a long list, the start of a text.

    >>> [short(value) for value in (31.4283, 0.00123456, [32, 64], [32, 64, 128, 256, 128], "efficientnet_b0")]
    ['31.43', '0.0012', '[32, 64]', '[32 .. 128]', 'efficientn..']
    """
    text = brief(value)
    if isinstance(value, float) and len(text) > LONGEST_NUMBER:
        return f"{value:.2g}"
    if isinstance(value, list) and len(text) > LONGEST:
        text = f"[{brief(value[0])} .. {brief(value[-1])}]"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 2]}.."
