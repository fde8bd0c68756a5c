"""The cache folder: where things that are computed once and used by many processes lie. Not what they are.

Several processes, nodes and users may share one folder, also over NFS. What keeps them apart is that everything is made
under a name that nobody else has and then renamed; locks only spare double work, so it does no harm where they do not
work. Two that build the same thing at once both get what the first of them finished.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import platformdirs
from filelock import FileLock

from mgc.config import ConfigError

STALE_S = 24 * 3600
"""Age after which an unfinished build of another node is taken to be dead."""

DAY_S = 24 * 3600

PARTIAL, PRUNED = ".partial", ".pruned"

_ELSEWHERE = "MGC_CACHE and MGC_DATA choose others"


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
    """Hold the lock of `path` (a file `<path>.lock` beside it) against every other process that sees it.

    Where there can be none (another user's lock file, a file system without locks) it goes on without.
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
    """`path`, a file or folder, made by `build` where it is missing: whole or not at all, and mostly by one process.

    `build` gets a sibling path that does not exist yet and makes the file or folder there; it is renamed to `path` when
    `build` returns. What killed builds left behind is removed by the next.
    """
    if path.exists():
        _note_use(path)
        return path
    with locked(path):
        if path.exists():  # another process was faster
            return path
        for left in path.parent.glob(f".{path.name}.*{PARTIAL}"):
            if _is_dead(left):
                _remove(left)
        partial = _own_name(path, PARTIAL)
        try:
            build(partial)
            _put(partial, path)
        finally:
            _remove(partial)
    return path


def write_whole(path: Path, text: str) -> None:
    """Write a file so that readers see the old or the new one, never half of one. The last writer wins."""
    _make_folder(path.parent)
    partial = _own_name(path, PARTIAL)
    try:
        partial.write_text(text)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _put(partial: Path, path: Path) -> None:
    """Rename to `path`, unless someone without a lock was faster: then what is there stays."""
    try:
        os.replace(partial, path)
    except OSError:
        if not path.exists():
            raise


def _own_name(path: Path, purpose: str) -> Path:
    """A name beside `path` that no other process on any node has: `.<name>.<host>.<pid>.<random><purpose>`."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.{uuid4().hex[:8]}{purpose}")


def _is_dead(partial: Path) -> bool:
    """Whether the build that writes here has ended: its process is gone, or on another node it is a day old."""
    host, pid, _ = partial.name.removesuffix(PARTIAL).rsplit(".", 2)
    if host.endswith(f".{socket.gethostname()}") and pid.isdigit():
        return not _is_running(int(pid))
    return time.time() - partial.lstat().st_mtime > STALE_S


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _make_folder(path: Path) -> None:
    """Make sure that a folder is there and can be written to."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"folder {path} cannot be made: {error.strerror} ({_ELSEWHERE})") from None
    if not os.access(path, os.W_OK):
        raise ConfigError(f"folder {path} cannot be written to ({_ELSEWHERE})")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


# --- what lies there, and what can go ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing in the cache. `unused_days` counts from its last use."""

    path: Path
    num_bytes: int
    unused_days: float


def entries() -> list[Entry]:
    """Everything that this package keeps in the cache folder, the longest unused first. What others put there is not
    listed, and never pruned.
    """
    root = cache_dir()
    patterns = ("features/*", "contents/*.json", "synthetic-*", "fetched/*/*")
    paths = [path for pattern in patterns for path in root.glob(pattern) if path.name[0] != "."]
    found = [_entry(path) for path in paths if path.suffix != ".lock"]
    return sorted((entry for entry in found if entry), key=lambda entry: -entry.unused_days)


def _entry(path: Path) -> Entry | None:
    with suppress(OSError):  # pruned by someone else meanwhile
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        blocks = sum(file.stat().st_blocks for file in files)
        return Entry(path=path, num_bytes=512 * blocks, unused_days=(time.time() - path.stat().st_mtime) / DAY_S)
    return None


def prune(unused_days: float) -> list[Entry]:
    """Remove what was unused for this many days or more, and what dead builds left; the removed entries.

    An entry disappears whole: it is renamed before it is deleted. Whoever has its files open keeps them, except on
    another node over NFS; so choose more days than a study takes.
    """
    removed = [entry for entry in entries() if entry.unused_days >= unused_days and _prune_one(entry.path, unused_days)]
    for folder in (cache_dir(), cache_dir() / "features", cache_dir() / "contents", *cache_dir().glob("fetched/*")):
        for left in folder.glob(f".*{PARTIAL}"):
            if _is_dead(left):
                _remove(left)
        for left in folder.glob(f".*{PRUNED}"):
            _remove(left)
    return removed


def _prune_one(path: Path, unused_days: float) -> bool:
    """Remove an entry unless it was used meanwhile or is not ours to remove."""
    with locked(path), suppress(OSError):
        if (time.time() - path.stat().st_mtime) / DAY_S < unused_days:
            return False
        gone = _own_name(path, PRUNED)
        os.rename(path, gone)
        _remove(gone)
        path.with_name(path.name + ".lock").unlink(missing_ok=True)
        return True
    return False


def _note_use(path: Path) -> None:
    """The time of change tells the last use."""
    with suppress(OSError):  # another user's
        os.utime(path)
