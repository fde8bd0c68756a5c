"""Folders for what a process writes on the side: of its user alone, and removed at its end. What a killed process left,
the next one removes. Does not know what is in them.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NAME = re.compile(r"mgc-tmp-[a-z0-9_]{8}")
"""Short: the paths of Ray's sockets, which lie in such a folder, may have 107 bytes."""
UNLOCKED = "mgc-new-"
"""What a name begins with until its folder is locked."""
MAX_ROOT = 24
"""Bytes of the longest $TMPDIR that Ray can use: after it come a name and a socket's path of 66 bytes."""
PRIVATE = 0o700


@contextmanager
def scratch() -> Iterator[Path]:
    """A new empty folder under $TMPDIR, with mode 0700, locked while the block runs and removed after it.

    It is under /tmp where $TMPDIR is too long for Ray. Raises OSError where no folder can be made.
    """
    root = Path(tempfile.gettempdir())
    root = root if len(os.fsencode(root)) <= MAX_ROOT else Path("/tmp")
    _remove_dead(root)
    unlocked = Path(tempfile.mkdtemp(prefix=UNLOCKED, dir=root))
    folder = unlocked.with_name(unlocked.name.replace("new", "tmp", 1))
    lock = os.open(unlocked, os.O_RDONLY)  # the system frees it when the process ends, however it ends
    try:
        with suppress(OSError):  # a file system without locks, where nobody removes what others left
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unlocked.rename(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_dead(root: Path) -> None:
    """Remove the folders that killed processes of this user have left."""
    for folder in root.iterdir():
        if NAME.fullmatch(folder.name) and _is_dead(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_dead(folder: Path) -> bool:
    """Whether a folder is this user's, and no process holds its lock."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        status = os.fstat(lock)
        if (status.st_uid, stat.S_IMODE(status.st_mode)) != (os.getuid(), PRIVATE):
            return False
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # its process runs, or the file system has no locks
        return False
    finally:
        os.close(lock)
    return True
