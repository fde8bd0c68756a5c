"""The cache folder of things that are computed once and used by many processes. Does not know what they are.

Several processes, nodes and users may share one folder, also over NFS. They do not disturb each other, because
everything is made under a name that nobody else uses, and then renamed. Locks only avoid double work, so nothing breaks
where a file system has none: two processes that build the same thing both get the one that was finished first.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from filelock import FileLock

from mgc.files.paths import expanded
from mgc.files.whole import PARTIAL, is_dead, own_name, remove, remove_leftovers, sync
from mgc.words.errors import ConfigError

DAY_S = 24 * 3600

PRUNED = ".pruned"

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)

_ELSEWHERE = "set MGC_CACHE or MGC_DATA to another folder"


def cache_dir() -> Path:
    """The cache folder, created where it is missing: $MGC_CACHE, else the user's own (~/.cache/mgc on Linux)."""
    path = expanded(os.environ.get("MGC_CACHE") or platformdirs.user_cache_dir("mgc"))
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cache folder {path} cannot be made: {error.strerror} (set MGC_CACHE to another)") from None
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of `path`, a file `<path>.lock` beside it, so that other processes wait.

    Where a lock is impossible (another user's lock file, a file system without locks) nobody waits.
    """
    _make_folder(path.parent)
    lock = FileLock(path.with_name(path.name + ".lock"))
    with suppress(OSError, NotImplementedError):
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def built(path: Path, build: Callable[[Path], None]) -> Path:
    """Return `path`, a file or folder; if it is missing, make it with `build`, whole or not at all.

    `build` gets a path beside it that does not exist yet, and makes the file or folder there; when the disk has its
    files, it is renamed to `path`. Usually one process builds and the others wait. The remains of builds that were
    killed are removed. Raises ConfigError where the disk is full or fails.
    """
    if path.exists():
        _note_use(path)
        return path
    with locked(path):
        if path.exists():  # another process was faster
            return path
        remove_leftovers(path)
        partial = own_name(path)
        try:
            build(partial)
            sync(partial)
            _put(partial, path)
        except OSError as error:
            if error.errno not in DISK_ERRORS:
                raise
            raise ConfigError(f"{path} cannot be written: {error.strerror} ({_ELSEWHERE})") from None
        finally:
            remove(partial)
    return path


def _put(partial: Path, path: Path) -> None:
    """Rename `partial` to `path`, unless another process without a lock was faster: its result stays."""
    try:
        os.replace(partial, path)
    except OSError:
        if not path.exists():
            raise


def _make_folder(path: Path) -> None:
    """Make a folder if it is missing. Raises ConfigError if it cannot be made or written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"folder {path} cannot be made: {error.strerror} ({_ELSEWHERE})") from None
    if not os.access(path, os.W_OK):
        raise ConfigError(f"folder {path} cannot be written to ({_ELSEWHERE})")


# --- the entries of the cache, and their removal ----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file or folder in the cache, and the days since its last use."""

    path: Path
    num_bytes: int
    unused_days: float


def entries() -> list[Entry]:
    """Everything that this package keeps in the cache folder, the longest unused first.

    Other programs' files in the folder are not listed, and never removed.
    """
    root = cache_dir()
    patterns = ("features/*", "contents/*.json", "synthetic-*", "fetched/*")
    paths = [path for pattern in patterns for path in root.glob(pattern) if path.name[0] != "."]
    listed = [_entry(path) for path in paths if path.suffix != ".lock"]
    return sorted((entry for entry in listed if entry), key=lambda entry: -entry.unused_days)


def _entry(path: Path) -> Entry | None:
    with suppress(OSError):  # another process has removed it meanwhile
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        blocks = sum(file.stat().st_blocks for file in files)
        return Entry(path=path, num_bytes=512 * blocks, unused_days=(time.time() - path.stat().st_mtime) / DAY_S)
    return None


def prune(unused_days: float) -> list[Entry]:
    """Remove the entries that were unused for so many days or more, and the remains of dead builds.

    Returns the removed entries. An entry disappears whole: it is renamed before it is deleted. A process that has its
    files open keeps them, except on another node over NFS; so choose more days than a study takes.
    """
    removed = [entry for entry in entries() if entry.unused_days >= unused_days and _prune_one(entry.path, unused_days)]
    for folder in (cache_dir(), *(cache_dir() / name for name in ("features", "contents", "fetched"))):
        for left in folder.glob(f".*{PARTIAL}"):
            if is_dead(left):
                remove(left)
        for left in folder.glob(f".*{PRUNED}"):
            remove(left)
    return removed


def _prune_one(path: Path, unused_days: float) -> bool:
    """Remove an entry; returns False if it was used meanwhile or belongs to another user."""
    with locked(path), suppress(OSError):
        if (time.time() - path.stat().st_mtime) / DAY_S < unused_days:
            return False
        discard(path)
        path.with_name(path.name + ".lock").unlink(missing_ok=True)
        return True
    return False


def discard(path: Path) -> None:
    """Remove an entry, which disappears whole; a process that has its files open keeps them. Raises OSError."""
    gone = own_name(path, PRUNED)
    os.rename(path, gone)
    remove(gone)


def _note_use(path: Path) -> None:
    """Set the time of change, by which `prune` knows the last use."""
    with suppress(OSError):  # it belongs to another user
        os.utime(path)
