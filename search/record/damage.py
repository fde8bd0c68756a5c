"""What happens to the bytes of a record that are no whole lines: they are cut off or mended, and kept in a file beside.

The next line would otherwise be written behind them, and nobody could read either. Only who holds the study's lock may
do that. Knows files and lines, and not what a line means.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from mgc.files.whole import write_whole
from search.record.files import damaged_file
from search.record.lines import decoded, is_torn, mended


def cut_end(journal: Path) -> Path | None:
    """Cut off what stands behind the last whole line. Returns the file that keeps it; None where there is nothing.

    A record without a single whole line is left as it is, unless its first line is only unfinished. Raises OSError.
    """
    content = journal.read_bytes()
    end = len(content)
    while end and decoded(content[(start := content.rfind(b"\n", 0, end - 1) + 1) : end]) is None:
        end = start
    if end == 0 and not is_torn(content):
        return None
    return _cut(journal, content, end)


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What was done to a damaged record."""

    mended: tuple[int, ...] = ()
    """The numbers of the lines, from 1, in which a flipped bit was put right."""
    cut: int | None = None
    """The number of the first line that was cut off, with all that followed; None where every line was saved."""
    kept: Path | None = None
    """The file with what stood in the record from the first damage on; None where there was none."""


def repair(journal: Path) -> Repair:
    """Put a flipped bit right where checksums tell which one it is. Cut off the first line with any other damage, and
    all that follow. Raises OSError.
    """
    before = content = journal.read_bytes()
    start, number, mended_lines, first = 0, 1, [], None
    while start < len(content):
        end = content.find(b"\n", start) + 1
        if decoded(content[start:end]) is not None:
            start, number = end, number + 1
            continue
        first = start if first is None else first
        end = _next_whole(content, start)
        whole = mended(content[start:end])
        if whole is None:
            break
        mended_lines.append(number)
        content = content[:start] + whole + content[end:]
    if first is None:
        return Repair()
    kept = _keep(journal, before[first:])
    write_whole(journal, content[:start])
    return Repair(mended=tuple(mended_lines), cut=number if start < len(content) else None, kept=kept)


def _next_whole(content: bytes, start: int) -> int:
    """Where the first whole line begins behind the damaged one that begins at `start`; the end where there is none."""
    while after := content.find(b"\n", start) + 1:
        end = content.find(b"\n", after) + 1
        if decoded(content[after:end]) is not None:
            return after
        start = after
    return len(content)


def _cut(journal: Path, content: bytes, end: int) -> Path | None:
    """Move what stands from `end` on to a file of its own; that file is whole before the record becomes shorter."""
    if end == len(content):
        return None
    kept = _keep(journal, content[end:])
    with journal.open("rb+") as file:
        file.truncate(end)
        os.fsync(file.fileno())
    return kept


def _keep(journal: Path, content: bytes) -> Path:
    """Write bytes of a record into a new file beside it."""
    kept = next(path for number in count(1) if not (path := damaged_file(journal.parent, number)).exists())
    write_whole(kept, content)
    return kept
