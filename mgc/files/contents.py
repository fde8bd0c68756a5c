"""Content hashes of files, each computed once and kept while its file's path, size and time of change stay the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from mgc.files.cache import cache_dir
from mgc.files.reading import read_checked, write_checked
from mgc.words.errors import ConfigError

Entry = tuple[int, int, str]
"""A file's size in bytes, time of change in ns, and hash."""


def hashes(paths: Iterable[Path], *, of: Path, hash_one: Callable[[Path], str]) -> Mapping[Path, str | OSError]:
    """The hash of each file of the dataset `of`, or the OSError that reading it raised.

    The hashes are kept in one file for each dataset in the cache folder. If two processes write it at the same time,
    one of them may have to hash again later.
    """
    store = _store(of)
    before = _read(store)
    with ThreadPoolExecutor() as pool:  # blake2b and reading leave Python's lock
        entries = dict(zip(paths, pool.map(lambda path: _entry(path, before, hash_one), paths), strict=True))
    now = {str(path): entry for path, entry in entries.items() if not isinstance(entry, OSError)}
    if now != before:
        with suppress(OSError, ConfigError):  # without the file the next process hashes again, nothing worse
            write_checked(store, now)
    return {path: entry if isinstance(entry, OSError) else entry[2] for path, entry in entries.items()}


def _entry(path: Path, before: Mapping[str, Entry], hash_one: Callable[[Path], str]) -> Entry | OSError:
    try:
        stat = path.stat()
        match before.get(str(path)):
            case (stat.st_size, stat.st_mtime_ns, _) as entry:
                return entry
        return (stat.st_size, stat.st_mtime_ns, hash_one(path))
    except OSError as error:
        return error


def _store(of: Path) -> Path:
    name = blake2b(os.fsencode(of.absolute()), digest_size=8).hexdigest()
    return cache_dir() / "contents" / f"{name}.json"


def _read(store: Path) -> dict[str, Entry]:
    try:
        return {name: (size, time, digest) for name, (size, time, digest) in read_checked(store).items()}
    except (OSError, ValueError):  # there is none yet, or it is damaged: hash again
        return {}
