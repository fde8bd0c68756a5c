"""Copies a study to its storage: the record after each ended trial and every 30 s, the other files at the end.

The record on the driver's disk stays the truth: if that machine is lost, so are the lines since the last copy. The
study does not wait for a storage that does not answer; the next copy holds everything again. A copy takes the place of
the stored record only if that is its beginning, and only while this driver has the lease of the storage. This file
knows the record's file and the storage, and must not know what the record says.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from mgc.files.whole import PARTIAL, REPLACED, write_whole
from mgc.words.errors import ConfigError, one_line
from search.record.faults import note_fault
from search.record.files import CHECKPOINT, JOURNAL, LOCK, PLUGINS, plugin_file
from search.record.notes import DRIVER, note_line
from search.record.record import Record
from search.storage.lease import Lease, leased
from search.storage.storage import Folder, StorageError, error_text

EVERY_S = 30.0
PATIENCE_S = 60.0
"""How long the end of the study waits for a copy that has started."""

_log = logging.getLogger(__name__)


class _WentOnError(Exception):
    """The stored record is not the beginning of this one: the study went on elsewhere."""


@contextmanager
def only_driver(folder: Path, storage: str | None) -> Iterator[Lease]:
    """Have the lease of a study's storage while the block runs, and first bring to its folder what the storage has
    beyond it. Nothing of that where the study has no storage.

    A driver that had the lease before may still be about to write, since it was suspended or the storage's clock has
    jumped. So a line that names the new driver is written to both records first: whatever the old one copies from then
    on is refused, since the stored record is not the beginning of its own.

    Raises LeaseError where another driver has the lease, StorageError where the storage does not answer, or where its
    record and the one of the folder went on in two ways, RecordError where the one of the folder is damaged.
    """
    stored = None if storage is None else Folder(storage)
    if stored is not None and Path(stored.address).resolve() == folder.resolve():
        raise StorageError(f"storage must be another folder than --out, got {folder.parent} for both", "storage")
    with leased(stored) as lease:
        if stored is not None:
            line = note_line(DRIVER, str(lease.holder), writer=lease.holder.driver)
            try:
                while not _catch_up(folder, stored, line):
                    pass  # the old driver has just copied its record once more
            except OSError as error:
                text = f"storage {stored.address} cannot be used: {error_text(error)}"
                raise StorageError(text, "storage") from None
        yield lease


def _catch_up(folder: Path, storage: Folder, line: bytes) -> bool:
    """Bring the lines that the storage's record has beyond the one in a folder, since another machine wrote them, and
    add a line to both. Returns False, and adds nothing, where the stored record changes meanwhile.

    Raises StorageError where the two went on in two ways, RecordError where the own one is damaged, OSError.
    """
    version, stored = storage.version_and_content(JOURNAL) or (None, b"")
    own = whole_lines(folder)
    if not own and not stored:
        return True
    if not stored.startswith(own) and not own.startswith(stored):
        Record.open(folder)  # raises where it is damaged, which the command of that error mends
        raise StorageError(
            f"study {folder.name} was continued in two places, in {folder} and on {storage.address}; move one of them "
            "away, and the other goes on",
            "storage",
        )
    content = max(own, stored, key=len) + line
    if storage.replace(JOURNAL, content, version) is None:
        return False
    write_whole(folder / JOURNAL, content)
    if len(stored) > len(own):
        _log.warning(
            "another machine has continued study %s; its newer record is taken from %s", folder.name, storage.address
        )
    return True


class _Copy:
    """The record's copy on a storage, as this process has last seen it."""

    def __init__(self, record: Record, storage: Folder) -> None:
        self._record, self._storage = record, storage
        self._version: str | None = None
        self._num_bytes = -1
        """Size of the record as it was copied last; -1 before the first copy."""

    def update(self) -> None:
        """Copy the record if it has grown. Raises _WentOnError, OSError."""
        content = whole_lines(self._record.folder)
        if len(content) == self._num_bytes:
            return
        if self._num_bytes < 0:
            self._copy_plugins()
        version = self._version and self._storage.replace(JOURNAL, content, self._version)
        self._version = version or self._compare_and_replace(content)
        self._num_bytes = len(content)

    def _copy_plugins(self) -> None:
        for each in self._record.header.plugins:
            self._storage.write(f"{PLUGINS}/{each.name}", plugin_file(self._record.folder, each.name).read_bytes())

    def _compare_and_replace(self, content: bytes) -> str:
        version, stored = self._storage.version_and_content(JOURNAL) or (None, b"")
        if not content.startswith(stored):
            raise _WentOnError
        new = self._storage.replace(JOURNAL, content, version)
        if new is None:
            raise OSError("another process writes there at the same time")
        return new


class Copier:
    """Copies a study to its storage, if it has one, in a thread while the block runs. The thread calls `after_copy`
    after each copy: what it deletes, no record needs any more. Nothing is copied without the lease.
    """

    def __init__(self, record: Record, lease: Lease, *, after_copy: Callable[[], None] = lambda: None) -> None:
        self._record, self._lease, self._after_copy = record, lease, after_copy
        self._storage = _storage(record)
        self._due = threading.Event()
        self._is_ending = False
        self._is_away = False
        """Whether the last copy failed, which was said then."""
        self._thread = threading.Thread(target=self._work, name="copies", daemon=True)

    def __enter__(self) -> Self:
        if self._storage is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._storage is None:
            return
        self._is_ending = True
        self._due.set()
        self._thread.join(PATIENCE_S)
        self._renew_lease()  # another driver may have it by now, and the storage may answer again
        if self._lease.is_sure:
            _copy_all(self._record, self._storage)
        elif self._lease.lost is None:
            _log.warning("the copy on %s is not complete: it does not answer", self._storage.address)

    def copy_soon(self) -> None:
        """Make the thread copy the record now, not at its next turn. Returns at once."""
        self._due.set()

    def _work(self) -> None:
        assert self._storage is not None
        copy = _Copy(self._record, self._storage)
        while not self._is_ending:
            if self._lease.is_sure:
                self._copy(copy)
            self._due.wait(EVERY_S)
            self._due.clear()

    def _copy(self, copy: _Copy) -> None:
        assert self._storage is not None
        try:
            copy.update()
            self._after_copy()
            self._is_away = False
        except _WentOnError:
            self._say(
                "another machine continues the study on %s, so this one copies nothing there", self._storage.address
            )
            self._renew_lease()
        except OSError as error:
            self._say("the record could not be copied to %s: %s", self._storage.address, error_text(error))
        except Exception as error:  # the study goes on without a copy, and the next try may succeed
            log = note_fault(self._record.folder, "the copy of the study")
            name, text = type(error).__name__, one_line(error)
            self._say("the study could not be copied to %s: %s: %s (see %s)", self._storage.address, name, text, log)

    def _renew_lease(self) -> None:
        """Look at once who has the lease."""
        with suppress(OSError):
            self._lease.renew()

    def _say(self, line: str, *values: object) -> None:
        """Warn, once until a copy succeeds."""
        if not self._is_away:
            _log.warning(line, *values)
        self._is_away = True


def copy_study(record: Record) -> None:
    """Copy a study that no driver runs to its storage, if it has one. Logs a warning where a driver does run it, where
    the storage does not answer, or where the study went on elsewhere.
    """
    storage = _storage(record)
    if storage is None:
        return
    try:
        with leased(storage):
            _copy_all(record, storage)
    except ConfigError as error:
        _log.warning("%s is not copied: %s", record.name, error)


def _copy_all(record: Record, storage: Folder) -> None:
    try:
        _Copy(record, storage).update()
        _copy_results(record, storage)
    except _WentOnError:
        _log.warning("not copied: another machine has continued the study on %s", storage.address)
    except OSError as error:
        _log.warning("the copy on %s is not complete: %s", storage.address, error_text(error))


def whole_lines(folder: Path) -> bytes:
    """The content of the record in a folder, without a half-written last line; empty where there is none."""
    try:
        content = (folder / JOURNAL).read_bytes()
    except FileNotFoundError:
        return b""
    return content[: content.rfind(b"\n") + 1]


def _copy_results(record: Record, storage: Folder) -> None:
    """Copy the report, the model, the predictions and the weights; the storage has the checkpoints already."""
    for name in Folder(record.folder).files():
        is_remains = any(part.endswith((PARTIAL, REPLACED)) for part in Path(name).parts)
        if name not in (JOURNAL, LOCK) and CHECKPOINT not in Path(name).name and not is_remains:
            storage.write(name, (record.folder / name).read_bytes())


def _storage(record: Record) -> Folder | None:
    """The folder of the study's copy; None for a study without a storage."""
    address = record.header.storage
    return None if address is None else Folder(address)
