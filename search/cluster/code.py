"""The program's own files: what a job takes along to a cluster, and by what nodes see that they run the same code.

Knows the packages' folders; imports nothing of `search`, whose `__init__` leads to all of it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import mgc

PACKAGES = (Path(mgc.__file__).parent, Path(__file__).parents[1])
"""The folders of `mgc` and `search`."""


def digest() -> str:
    """8 hex digits of the program's files: nodes with equal digests run equal code, templates and lists of tracks."""
    hasher = blake2b(digest_size=4)
    for package in PACKAGES:
        for path in sorted(_files(package)):
            hasher.update(path.relative_to(package.parent).as_posix().encode() + path.read_bytes())
    return hasher.hexdigest()


def copy_packages(folder: Path) -> None:
    """Put a copy of both packages into a folder."""
    for package in PACKAGES:
        for path in _files(package):
            copy = folder / path.relative_to(package.parent)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)


def _files(package: Path) -> Iterator[Path]:
    """The files of a package, without what Python or an editor keeps there; in a clone `search/spaces` is a link."""
    for folder, _, names in os.walk(package, followlinks=True):
        for path in (Path(folder, name) for name in names):
            parts = path.relative_to(package).parts
            if path.is_file() and "__pycache__" not in parts and not any(part.startswith(".") for part in parts):
                yield path
