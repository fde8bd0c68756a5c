"""The file under a study's record: lines of JSON, each there whole or not at all, written by the one driver that holds
the study's lock.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from mgc.config import ConfigError

JOURNAL = "record.log"


class RecordError(ConfigError):
    """A study's folder that cannot be used: not there, not a record, not writable, or in another driver's hands."""


def open_journal(journal: Path) -> JournalStorage:
    """Optuna's storage on such a file, made where there is none."""
    return JournalStorage(_Journal(journal))


def unwritable(folder: Path, error: OSError) -> RecordError:
    """What is said of a study's folder that cannot be written: a full disk, a quota, missing rights."""
    return RecordError(f"{folder}: cannot write the study's folder: {error.strerror or error}")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a study's folder for one driver; the lock goes with the process, however that ends.

    Raises RecordError that names the pid and host of the driver that holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / "lock").open("a+")
    except OSError as error:
        raise unwritable(folder, error) from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise RecordError(f"study {folder.name} is running already: {handle.read().strip()}") from None
        _sign(handle, folder)
        drop_torn_line(folder / JOURNAL)
        yield


def _sign(handle: IO[str], folder: Path) -> None:
    """Say in the lock who holds it."""
    try:
        handle.truncate(0)
        handle.write(f"pid {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        handle.flush()
    except OSError as error:
        raise unwritable(folder, error) from None


def drop_torn_line(journal: Path) -> None:
    """Cut off what a killed driver left of a last, unfinished line; the next line would be glued to it."""
    if not journal.is_file():
        return
    with journal.open("rb+") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - (1 << 20))
        file.seek(start)
        tail = file.read()
        if tail and not tail.endswith(b"\n"):
            file.truncate(start + tail.rfind(b"\n") + 1)


class _StudyLock(JournalFileOpenLock):
    """No lock: the one driver that writes holds the study's. Optuna's own outlives a killed driver for 30 s."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


class _Journal(JournalFileBackend):
    """Optuna's file of lines, of which a line is written whole or not at all: a full disk leaves none half done."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), lock_obj=_StudyLock(str(path)))
        self._path = path

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        try:
            with self._path.open("ab", buffering=0) as file:
                before = file.seek(0, os.SEEK_END)
                try:
                    if file.write(lines) != len(lines):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                    os.fsync(file.fileno())
                except OSError:
                    file.truncate(before)
                    raise
        except OSError as error:
            raise unwritable(self._path.parent, error) from None
