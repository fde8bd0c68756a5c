"""Texts from outside, such as names of files, as every terminal, JSON document and picture can show them."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_REORDERING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""Characters that change the order of those around them, by their class in Unicode."""


def printable(text: str) -> str:
    r"""The text in one line, as UTF-8 can hold it. Escaped are bytes of a file's name that are no UTF-8, and characters
    that a terminal obeys, that end a line, or that change the order of others.

    >>> printable("caf\udce9"), printable("a\x1b[2J\n"), printable("Joe \u202elmth")
    ('caf\\udce9', 'a\\x1b[2J\\n', 'Joe \\u202elmth')
    """
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(character: str) -> str:
    is_obeyed = unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
    is_obeyed = is_obeyed or unicodedata.bidirectional(character) in _REORDERING
    return character.encode("unicode_escape").decode() if is_obeyed else character


def plotted(text: str) -> str:
    r"""The text for matplotlib, which would take what stands between two `$` for mathematics.

    >>> plotted("$\\frac$")
    '\\$\\frac\\$'
    """
    return printable(text).replace("$", r"\$")


@contextmanager
def missing_glyphs() -> Iterator[None]:
    """Let matplotlib draw a box for each character that its font does not have, without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing|Matplotlib currently does not support", UserWarning)
        yield
