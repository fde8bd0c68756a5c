"""The space files that come with the program, by their names. Knows no content of any."""

from __future__ import annotations

import glob
from pathlib import Path

SHIPPED = Path(__file__).parents[1] / "spaces"
"""The folder of these files; in a clone it is a link to `spaces/`."""


def shipped_names() -> list[str]:
    """What a command line may name instead of a file."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def offered_spaces(prefix: str, **_: object) -> list[str]:
    """What argcomplete offers for a space: files here, and the shipped names."""
    files = [str(path) for path in Path().glob(f"{glob.escape(prefix)}*") if path.is_dir() or path.suffix == ".yaml"]
    return [*files, *(name for name in shipped_names() if name.startswith(prefix))]


def space_file(path: Path) -> Path:
    """The file that somebody means: this path, or the shipped space of this name where there is no such file.

    >>> space_file(Path("se_ratio")) == SHIPPED / "se_ratio.yaml", space_file(Path("mine.yaml"))
    (True, PosixPath('mine.yaml'))
    """
    return path if path.is_file() or str(path) not in shipped_names() else SHIPPED / f"{path}.yaml"


def word_for(path: Path) -> str:
    """What to type for a space file: the name of one that is shipped, the path of any other."""
    return path.stem if path.parent == SHIPPED else str(path)
