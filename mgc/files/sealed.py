"""Folders of the cache that are checked whenever they are opened: is each file as it was when it was built?

A seal, one file in the folder, holds size, times and hash of every other file. A file whose size and times are those
of its last check is taken as it is; any other one is hashed, which costs about a second for 1 GB.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

from mgc.files.cache import built, discard, locked
from mgc.files.reading import file_hash, read_checked, write_checked
from mgc.words.errors import ConfigError

log = logging.getLogger("mgc")

SEAL = ".seal.json"

Times = tuple[int, int, int]
"""A file's size in bytes, and when its content and its entry in the folder changed, in ns."""

Seal = Mapping[str, tuple[Times, str]]
"""By the file's name in the folder: its times when it was hashed last, and its hash."""


def sealed(folder: Path, build: Callable[[Path], None]) -> Path:
    """As `cache.built`, for a folder that is built again, with a warning, where a file is not as it was built.

    A folder without a seal, of an earlier version of this program, is built again too. Files that were added are left
    alone. Raises ConfigError where a damaged folder cannot be removed.
    """
    if folder.exists() and not _is_unchanged(folder):
        with locked(folder):
            if folder.exists() and (fault := _fault(folder)):
                _discard(folder, fault)
    return built(folder, partial(_build, build))


def _discard(folder: Path, fault: str) -> None:
    log.warning("%s is made again: %s", folder, fault)
    try:
        discard(folder)
    except OSError as error:
        raise ConfigError(f"{folder} is damaged and cannot be removed: {error.strerror} (see MGC_CACHE)") from None


def _build(build: Callable[[Path], None], folder: Path) -> None:
    build(folder)
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    with ThreadPoolExecutor() as pool:  # blake2b and reading leave Python's lock
        hashes = dict(zip(paths, pool.map(file_hash, paths), strict=True))
    _write_seal(folder, {path.relative_to(folder).as_posix(): digest for path, digest in hashes.items()})


def _write_seal(folder: Path, hashes: Mapping[str, str]) -> None:
    write_checked(folder / SEAL, {name: (_times(folder / name), digest) for name, digest in hashes.items()})


def _read_seal(folder: Path) -> Seal:
    """Raises OSError and ValueError where there is none, or it is damaged."""
    return {name: (tuple(times), digest) for name, (times, digest) in read_checked(folder / SEAL).items()}


def _is_unchanged(folder: Path) -> bool:
    """Whether the times of all files are those of their last check."""
    with suppress(OSError, ValueError):
        return all(_times(folder / name) == times for name, (times, _) in _read_seal(folder).items())
    return False


def _fault(folder: Path) -> str | None:
    """What is wrong with a folder of which a file may have changed; None, and a new seal, if all are as they were."""
    try:
        seal = _read_seal(folder)
    except (OSError, ValueError):
        return "it has no checksums, or damaged ones"
    for name, (times, digest) in seal.items():
        try:
            if _times(folder / name) != times and file_hash(folder / name) != digest:
                return f"{name} is not as it was written"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    with suppress(OSError):  # another user's: then every opening hashes what has changed
        _write_seal(folder, {name: digest for name, (_, digest) in seal.items()})
    return None


def _times(path: Path) -> Times:
    about = path.stat()
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns
