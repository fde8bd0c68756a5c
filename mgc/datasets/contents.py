"""Content hashes of files: computed once, then known by the file's path, size and time of change."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import blake2b, file_digest
from pathlib import Path

from mgc.cache import cache_dir, write_whole
from mgc.config import ConfigError

Known = dict[str, tuple[int, int, str]]
"""File name -> its size in bytes, time of change in ns, hash."""


def file_hash(path: Path) -> str:
    """16 hex digits of a file's bytes."""
    with path.open("rb") as file:
        return file_digest(file, lambda: blake2b(digest_size=8)).hexdigest()


def hashes(paths: Iterable[Path], *, of: Path, hash_one: Callable[[Path], str]) -> Mapping[Path, str | OSError]:
    """The hash of each file of the dataset `of`, or the OSError that reading it raised.

    Kept in one file per dataset in the cache folder; two processes that write it at once cost at most a second hashing.
    """
    store = _store(of)
    known = _read(store)
    with ThreadPoolExecutor() as pool:  # blake2b and reading leave Python's lock
        entries = dict(zip(paths, pool.map(lambda path: _entry(path, known, hash_one), paths), strict=True))
    found = {str(path): entry for path, entry in entries.items() if not isinstance(entry, OSError)}
    if found != known:
        with suppress(OSError, ConfigError):  # a full or foreign disk costs the next one the hashing, nothing else
            write_whole(store, json.dumps(found))
    return {path: entry if isinstance(entry, OSError) else entry[2] for path, entry in entries.items()}


def _entry(path: Path, known: Known, hash_one: Callable[[Path], str]) -> tuple[int, int, str] | OSError:
    try:
        stat = path.stat()
        match known.get(str(path)):
            case (stat.st_size, stat.st_mtime_ns, _) as entry:
                return entry
        return (stat.st_size, stat.st_mtime_ns, hash_one(path))
    except OSError as error:
        return error


def _store(of: Path) -> Path:
    name = blake2b(os.fsencode(of.absolute()), digest_size=8).hexdigest()
    return cache_dir() / "contents" / f"{name}.json"


def _read(store: Path) -> Known:
    try:
        return {name: (size, time, digest) for name, (size, time, digest) in json.loads(store.read_text()).items()}
    except (OSError, ValueError):  # none yet, or not ours: hash again
        return {}
