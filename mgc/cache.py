"""The cache folder: where things that are computed once and used by many processes lie. Not what they are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from filelock import FileLock

from mgc.config import ConfigError


def cache_dir() -> Path:
    """The cache folder, created where it is missing: $MGC_CACHE, else the user's own (~/.cache/mgc on Linux)."""
    path = Path(os.environ.get("MGC_CACHE") or platformdirs.user_cache_dir("mgc")).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cache folder {path} cannot be made: {error.strerror} (set MGC_CACHE to another)") from None
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of `path` (a file `<path>.lock` beside it) against every other process of this node."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(path.name + ".lock")):
        yield


def built(path: Path, build: Callable[[Path], None]) -> Path:
    """`path`, a file or folder, made by `build` where it is missing: by one process only, and whole or not at all.

    `build` gets a sibling path that does not exist yet and makes the file or folder there; it is renamed to `path` when
    `build` returns. What a killed build left behind is removed by the next.
    """
    if path.exists():
        return path
    with locked(path):
        if path.exists():  # another process was faster
            return path
        partial = path.with_name(f".{path.name}.partial")
        _remove(partial)
        try:
            build(partial)
            os.replace(partial, path)
        finally:
            _remove(partial)
    return path


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
