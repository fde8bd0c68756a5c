"""The file under a study's record: lines of JSON, each of which is written whole or not at all.

It owns the file and the study's lock; only the driver that holds the lock writes. Every line has a checksum
(search.record.lines). It must not know what the lines mean.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shlex
import socket
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from threading import get_ident
from typing import IO, Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from mgc.words.errors import ConfigError
from search.record.damage import cut_end
from search.record.files import JOURNAL, LOCK
from search.record.lines import decoded, encoded, is_torn

_log = logging.getLogger(__name__)


class RecordError(ConfigError):
    """A study's folder that cannot be used: it is missing, damaged, not writable, or locked by another driver."""


def open_journal(journal: Path) -> Journal:
    """Optuna's storage on this file, which is made where it is missing."""
    return Journal(_JournalFile(journal))


def not_writable(folder: Path, error: OSError) -> RecordError:
    """The error for a study's folder that cannot be written: a full disk, a quota, missing rights."""
    return RecordError(f"{folder}: cannot write the study's folder: {error.strerror or error}")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a study's folder for one driver. The system frees the lock when the process ends, however it ends.

    Raises RecordError, which names the pid and host of the driver that holds the lock, or where the folder cannot be
    written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / LOCK).open("a+")
    except OSError as error:
        raise not_writable(folder, error) from None
    with handle:
        _lock(handle, folder)
        _sign(handle, folder)
        _cut_end(folder / JOURNAL)
        yield


def is_locked(folder: Path) -> bool:
    """Whether a driver holds a study's lock now; a driver that begins in this very moment finds it taken."""
    try:
        with (folder / LOCK).open() as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _lock(handle: IO[str], folder: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        raise RecordError(f"study {folder.name} is running already: {handle.read().strip()}") from None
    except OSError as error:
        reason = error.strerror or error
        raise RecordError(f"{folder}: cannot be locked ({reason}); choose an --out on a disk that has locks") from None


def _sign(handle: IO[str], folder: Path) -> None:
    """Write into the lock which process holds it."""
    try:
        handle.truncate(0)
        handle.write(f"pid {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        handle.flush()
    except OSError as error:
        raise not_writable(folder, error) from None


def _cut_end(journal: Path) -> None:
    """Cut off what is no whole line at the end of the record, and say so: a killed driver did not finish its last line,
    or the disk damaged it.
    """
    if not journal.is_file():
        return
    try:
        kept = cut_end(journal)
    except OSError as error:
        raise not_writable(journal.parent, error) from None
    if kept is not None:
        _log.warning("%s: its last line was not whole and was cut off (%s keeps it)", journal, kept.name)


class _StudyLock(JournalFileOpenLock):
    """Locks nothing: the driver holds the study's lock already. Optuna's lock outlives a killed driver by 30 s."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


class Journal(JournalStorage):
    """Optuna's storage, which can also write several lines at once."""

    def __init__(self, file: _JournalFile) -> None:
        super().__init__(file)
        self._file = file

    @contextmanager
    def together(self) -> Iterator[None]:
        """What this thread writes inside is on the disk at its end: all of it or, after an error, nothing. Until then
        nobody reads it, not even here.
        """
        lines = self._file.held[get_ident()] = []
        try:
            yield
        finally:
            del self._file.held[get_ident()]
        self._file.append_logs(lines)


class _JournalFile(JournalFileBackend):
    """Optuna's file of lines. A line is written whole or not at all: a full disk leaves no half of one."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), lock_obj=_StudyLock(str(path)))
        self._path = path
        self._next = (0, 0)
        """The number of the first line that was not read yet, and the byte at which it begins."""
        self.held: dict[int, list[dict[str, Any]]] = {}
        """The lines that a thread is about to write together, by its id."""

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        """The lines from this number on. What is no whole line at the end is left out.

        Raises RecordError where whole lines stand behind a damaged one.
        """
        number, offset = self._next if self._next[0] == log_number_from else (0, 0)
        with self._path.open("rb") as file:
            file.seek(offset)
            for line in file:
                log = decoded(line)
                if log is None:
                    self._check_end(number, line, file)
                    return
                number, offset = number + 1, offset + len(line)
                self._next = (number, offset)
                if number > log_number_from:
                    yield log

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if (held := self.held.get(get_ident())) is not None:
            held += logs
            return
        lines = b"".join(map(encoded, logs))
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
            raise not_writable(self._path.parent, error) from None

    def _check_end(self, number: int, line: bytes, following: Iterable[bytes]) -> None:
        """Whether the line of this number, which is no whole one, may be left out with all that follow."""
        if is_torn(line):
            return
        later = [decoded(each) is not None for each in following]
        if number > 0 and not any(later):
            _warn_once(f"{self._path}: its last line is not whole and is left out")
            return
        command = shlex.join(["repair", self._path.parent.name, "--out", str(self._path.parent.parent)])
        rescue = f"to mend it, or to save what stands before it: python -m search.record {command}"
        raise RecordError(
            f"{self._path}:{number + 1}: this line is damaged, one of {number + 1 + len(later)}; "
            f"{rescue if number else 'nothing can be saved, and another folder is needed to begin again'}"
        )


@cache
def _warn_once(text: str) -> None:
    _log.warning("%s", text)
