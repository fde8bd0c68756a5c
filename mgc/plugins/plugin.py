"""A plug-in as data: the name and the text of its file. Runs nothing of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

from mgc.files.reading import open_regular
from mgc.words.errors import ConfigError, one_line

MOST_BYTES = 1_000_000
"""Of a file, which every trial's worker gets."""
NAME = re.compile(r"[A-Za-z_][\w.-]{0,95}\.py", flags=re.ASCII)


class PluginError(ConfigError):
    """A plug-in that cannot be used; the message begins with its file, and with the line where there is one."""


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """One file. Two with the same text are the same plug-in wherever they lie."""

    name: str
    """The name of the file; of an installed module `package.module.py`."""
    text: str
    path: str = field(default="", compare=False)
    """The file as its user named it, for the lines of errors."""
    is_asked: bool = field(default=True, compare=False)
    """Whether the command line names it. A study notes others only where its space uses what they add."""

    @cached_property
    def digest(self) -> str:
        """16 hex digits of the text."""
        return blake2b(self.text.encode(), digest_size=8).hexdigest()

    @property
    def package(self) -> str:
        """The package that the module of an installed plug-in belongs to, for its relative imports; else empty."""
        return self.name.removesuffix(".py").rpartition(".")[0]

    @property
    def place(self) -> str:
        """How an error's line names it."""
        return self.path or self.name

    def error(self, text: str, line: int | None = None) -> PluginError:
        where = self.place if line is None else f"{self.place}:{line}"
        return PluginError(f"{where}: {text}")


def read(path: str | Path, *, name: str | None = None, is_asked: bool = True) -> Plugin:
    """The plug-in in a file. PluginError for what is no Python file of a usable name and size."""
    file = Path(path).expanduser()
    name = name or file.name
    if not NAME.fullmatch(name):
        raise PluginError(f"{path}: a plug-in must be a file called like my_models.py, got {name!r}")
    try:
        with open_regular(file) as opened:
            content = opened.read(MOST_BYTES + 1)
        text = content.decode()
    except OSError as error:
        raise PluginError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise PluginError(f"{path}: is no text in UTF-8: {one_line(error)}") from None
    if len(content) > MOST_BYTES:
        raise PluginError(f"{path}: a plug-in must have at most {MOST_BYTES:,} bytes")
    return Plugin(name=name, text=text, path=str(path), is_asked=is_asked)
