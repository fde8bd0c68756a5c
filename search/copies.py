"""The copy of a study on its storage: its record soon after each ended trial and every 30 s, the rest at the end.

The record on the driver's own disk stays the truth; losing that machine loses what happened since the last copy. A
storage that is away holds nothing up: the next copy has it all. Knows the record's file and the storage.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from search.journal import JOURNAL
from search.record import Record
from search.storage import Folder, said

EVERY_S = 30.0
PATIENCE_S = 60.0
"""How long the study's end waits for a copy that is under way."""

_log = logging.getLogger(__name__)


class Copier:
    """Copies a study to its storage, if it has one, in the background while the block runs. `also` is done each time
    before.
    """

    def __init__(self, record: Record, *, also: Callable[[], None] = lambda: None) -> None:
        self._record, self._also = record, also
        self._storage = storage_of(record)
        self._due = threading.Event()
        self._ending = False
        self._copied = -1
        """Bytes of the record that the storage has."""
        self._thread = threading.Thread(target=self._work, name="copies", daemon=True)

    def __enter__(self) -> Self:
        if self._storage is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._storage is None:
            return
        self._ending = True
        self._due.set()
        self._thread.join(PATIENCE_S)
        try:
            self._copy_record(self._storage)
            self._copy_rest(self._storage)
        except OSError as error:
            _log.warning("the copy on %s is not complete: %s", self._storage.address, said(error))

    def soon(self) -> None:
        """Something happened that should not be lost. Returns at once."""
        self._due.set()

    def _work(self) -> None:
        assert self._storage is not None
        is_away = False
        while not self._ending:
            try:
                self._also()
                self._copy_record(self._storage)
                is_away = False
            except OSError as error:
                if not is_away:
                    _log.warning("the record could not be copied to %s: %s", self._storage.address, said(error))
                is_away = True
            self._due.wait(EVERY_S)
            self._due.clear()

    def _copy_record(self, storage: Folder) -> None:
        content = (self._record.folder / JOURNAL).read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) != self._copied:
            storage.write(JOURNAL, whole)
            self._copied = len(whole)

    def _copy_rest(self, storage: Folder) -> None:
        """Report, model, predictions and weights; the checkpoints are there already."""
        for name in Folder(self._record.folder).files():
            if name not in (JOURNAL, "lock") and not Path(name).name.startswith("checkpoint.pt"):
                storage.write(name, (self._record.folder / name).read_bytes())


def storage_of(record: Record) -> Folder | None:
    """Where the copy of a study lies, and its checkpoints; None where all of it is in the study's folder."""
    address = record.header.get("storage")
    return None if address is None else Folder(address)
