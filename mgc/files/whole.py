"""Files and folders that are there whole or not at all: written beside their place, then renamed into it.

Readers see the old one or the new one, and the last writer wins. A folder cannot be renamed over another one, so the
old one goes aside first; `read_together` and the next writer find it there, should this process be killed in between.
Knows no cache and no study.
"""

from __future__ import annotations

import errno
import glob
import os
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

PARTIAL = ".partial"
REPLACED = ".replaced"
"""The end of the name of a folder that another one takes the place of."""
LOOKS = 10
"""How often a folder is looked for that others put aside and replace meanwhile."""
STALE_S = 24 * 3600
"""What an unknown process of another node has left counts as dead after this time."""


def own_name(path: Path, purpose: str = PARTIAL) -> Path:
    """A name beside `path` that no other process on any node has: `.<name>.<host>.<pid>.<random><purpose>`."""
    return path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.{uuid4().hex[:8]}{purpose}")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path for the block to make a file or a folder at, which takes the place of `path` when the block ends.

    Until then, and if the block raises, what was at `path` stays. The folder around it is made, and what killed
    processes have left beside `path` is deleted. What the block wrote is on the disk before it is renamed, so that a
    machine that loses its power leaves no empty file. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    partial = own_name(path)
    try:
        yield partial
        sync(partial)
        _put(partial, path)
    finally:
        with suppress(OSError):  # of the disk that failed in the first place
            remove(partial)


def _put(partial: Path, path: Path) -> None:
    """Rename `partial` to `path`. A folder there goes aside first, and is deleted when the new one is in its place."""
    while path.is_dir():
        old = own_name(path, REPLACED)
        os.rename(path, old)
        try:
            os.rename(partial, path)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                os.rename(old, path)
                raise
            continue  # another process has put its own there meanwhile
        finally:
            remove(old)
        return
    os.replace(partial, path)


def read_together(path: Path, *names: str) -> list[bytes]:
    """The content of these files of a folder that `whole` makes: all from one and the same folder, though a writer may
    put another into its place meanwhile.

    Raises FileNotFoundError where the folder or a file is missing, OSError where one is no regular file.
    """
    while True:
        folder = _opened(path)
        try:
            return [_content(folder, name) for name in names]
        except FileNotFoundError:  # of this folder, or of one that is being deleted since another took its place
            now = _opened(path)
            is_same = os.path.samestat(os.fstat(folder), os.fstat(now))
            os.close(now)
            if is_same:
                raise
        finally:
            os.close(folder)


def _opened(path: Path) -> int:
    """The open folder at `path`, or aside where a writer is between its two renames, or was killed there.

    A writer may be faster than a look at both places, so there are several looks. Raises FileNotFoundError.
    """
    for _ in range(LOOKS):
        for place in (path, *(own for own in _beside(path) if own.suffix == REPLACED)):
            with suppress(FileNotFoundError):
                return os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def _content(folder: int, name: str) -> bytes:
    # without O_NONBLOCK a named pipe would hold the reader up for ever
    with open(os.open(name, os.O_RDONLY | os.O_NONBLOCK, dir_fd=folder), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, f"{name} is no regular file")
        return file.read()


def write_whole(path: Path, content: str | bytes | memoryview) -> None:
    """Write a file in place of the last one, which stays until the new one is whole. Raises OSError."""
    with whole(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_leftovers(path: Path) -> None:
    """Delete what killed processes have left beside `path`. A folder goes back to its place if the process was killed
    after it had put it aside.
    """
    for left in _beside(path):
        if not is_dead(left):
            continue
        if left.suffix == REPLACED and not path.exists():
            with suppress(OSError):  # another process was faster
                os.rename(left, path)
        else:
            remove(left)


def _beside(path: Path) -> list[Path]:
    """What processes have made for `path` under names of their own, and put aside."""
    found = path.parent.glob(f".{glob.escape(path.name)}.*")
    return sorted(own for own in found if own.suffix in (PARTIAL, REPLACED))


def is_dead(own: Path) -> bool:
    """Whether the process that gave a file its `own_name` has ended: it does not run on this node, or it is of another
    node and the file a day old.
    """
    try:
        host, pid, _ = own.stem.rsplit(".", 2)
        if host.endswith(f".{socket.gethostname()}") and pid.isdigit():
            return not is_running(int(pid))
        return time.time() - own.lstat().st_mtime > STALE_S
    except (OSError, ValueError):  # it is gone, or it has a name that is not ours
        return False


def is_running(pid: int) -> bool:
    """Whether there is a process of this id on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def write_new(path: Path, content: bytes) -> bool:
    """Write a file unless there is one, whole or not at all. Returns False where there is one, or where another process
    on any node was faster. Raises OSError.
    """
    with _prepared(path, content) as partial:
        return _link(partial, path)


def write_if(path: Path, content: bytes, is_wanted: Callable[[], bool]) -> bool:
    """Write a file in place of the last one if that is still wanted when all but its name is on the disk. Returns
    whether it was. Raises OSError.
    """
    with _prepared(path, content) as partial:
        if not is_wanted():
            return False
        os.replace(partial, path)
        return True


@contextmanager
def _prepared(path: Path, content: bytes) -> Iterator[Path]:
    """A file on the disk with this content, beside its place, for the block to give it its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path)
    partial = own_name(path)
    try:
        partial.write_bytes(content)
        sync(partial)
        yield partial
    finally:
        with suppress(OSError):  # of the disk that failed in the first place
            remove(partial)


def _link(partial: Path, path: Path) -> bool:
    try:
        os.link(partial, path)
    except FileExistsError:
        return partial.stat().st_nlink > 1  # NFS may send a request twice, and answer for the second one
    except OSError:  # a file system without links: the name is taken first
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            return False
        os.replace(partial, path)
    return True


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Wait until the disk has a file, or all files of a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    for file in files:
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
