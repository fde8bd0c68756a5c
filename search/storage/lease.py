"""The lease of a study's storage: of several drivers, on any machines, one alone writes there.

The storage holds a numbered file for each driver that took the lease, `lease/00003`; the highest number has it. A file
is created by one driver only, and written again by that driver alone, every EVERY_S, so that nothing is ever taken from
somebody who still renews it. A lease that nobody has renewed for STALE_S is free, and so is one whose driver has ended:
on the machine of that driver this is seen at once. Clocks of two machines are never compared. The storage's own clock
gives an age; where that clock jumps, the waiting driver's own one does.

It must not know what a study is, nor what is written under the lease.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated
from uuid import uuid4

from pydantic import Field, TypeAdapter, ValidationError

from mgc.files.whole import is_running
from mgc.words.errors import ConfigError, one_line
from mgc.words.texts import printable
from search.storage.storage import Folder, StorageError, error_text

FOLDER = "lease"
EVERY_S = 15.0
STALE_S = 60.0
"""A lease that was not renewed for so long is free: three renewals were missed."""
SURE_S = 45.0
"""So long after its last renewal a driver still counts on its lease; another one waits for STALE_S."""
LOOK_S = 1.0
"""How often a driver that waits looks at the lease."""

_log = logging.getLogger(__name__)


class LeaseError(ConfigError):
    """Another driver has the lease of a study's storage."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The driver that a lease is of, as its file says."""

    driver: str
    """A random id."""
    host: str
    pid: Annotated[int, Field(ge=0, lt=2**31)]
    since: str
    """When it took the lease, by its own clock: for people."""
    machine: str = ""
    """The machine since it was switched on, and the space of process ids on it; "" where the system does not tell."""
    process: int = 0
    """When the process began, in ticks of that machine: a process id is given again."""
    renewals: int = 0
    is_over: bool = False
    """Whether it has given the lease back."""

    def __str__(self) -> str:
        return printable(f"pid {self.pid} on {self.host} since {self.since}")

    @property
    def content(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @property
    def is_dead(self) -> bool:
        """Whether its process has certainly ended; False where this machine cannot know."""
        if not self.was_here:
            return False
        began = _process(self.pid)
        return not is_running(self.pid) if began is None else began != self.process

    @property
    def was_here(self) -> bool:
        """Whether it was started on this machine, and among processes that this one can see."""
        return bool(self.machine) and self.machine == _machine()


class Lease:
    """A driver's lease of a folder of the storage; of None, of a study without a storage, it is certain for ever."""

    def __init__(
        self, folder: Folder | None, number: int = 0, own: Holder | None = None, taken_at: float = 0.0
    ) -> None:
        self._folder, self._number = folder, number
        self.holder = own or _new_holder()
        """This driver."""
        self._sure_until = taken_at + SURE_S
        self.lost: str | None = None
        """Who has taken the lease meanwhile, in one line for people; None as long as nobody has."""

    @property
    def is_sure(self) -> bool:
        """Whether no other driver can have the lease now. It is not where the storage did not answer for SURE_S."""
        return self._folder is None or (self.lost is None and _clock() < self._sure_until)

    def check(self) -> None:
        """Raises LeaseError where another driver has taken the lease."""
        if self.lost is not None:
            raise LeaseError(f"{self.lost} and goes on with it; this driver has ended")

    def renew(self) -> None:
        """Write the lease again, and look whether another driver has taken it. Raises OSError."""
        if self._folder is None or self.lost is not None:
            return
        began, holder = _clock(), _holder(self._folder, self._number)
        if holder is None or holder.driver == self.holder.driver:
            self.holder = replace(self.holder, renewals=self.holder.renewals + 1)
            # The file comes before the look: who takes a lease looks at its file once more (_take), so that never both
            # are sure.
            self._folder.write(_name(self._number), self.holder.content)
            last = max(_numbers(self._folder))
            if last == self._number:
                self._sure_until = began + SURE_S
                return
            holder = _holder(self._folder, last)
        self.lost = f"{holder or 'another driver'} has taken the lease of {_study(self._folder)}"

    def give_back(self) -> None:
        """Let the next driver have it at once. Raises OSError."""
        if self._folder is not None and self.lost is None:
            self._folder.write(_name(self._number), replace(self.holder, is_over=True).content)


@contextmanager
def leased(storage: Folder | None) -> Iterator[Lease]:
    """Have the lease of a study's storage while the block runs; a thread renews it. None is a study without a storage.

    Waits for a lease of another machine that nobody seems to renew, STALE_S at most. Raises LeaseError where another
    driver has the lease, StorageError where the storage does not answer.
    """
    if storage is None:
        yield Lease(None)
        return
    folder = storage.below(FOLDER)
    try:
        lease = _take(folder)
    except OSError as error:
        raise StorageError(f"storage {storage.address} cannot be used: {error_text(error)}", "storage") from None
    is_over = threading.Event()
    thread = threading.Thread(target=_renew, args=[lease, is_over], name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        is_over.set()
        thread.join(EVERY_S)
        with suppress(OSError):  # it is stale soon
            lease.give_back()


def _renew(lease: Lease, is_over: threading.Event) -> None:
    """The thread: renew the lease until the study is over or another driver has the lease."""
    is_away = False
    while not is_over.wait(EVERY_S) and lease.lost is None:
        try:
            lease.renew()
            is_away = False
        except Exception as error:  # whatever goes wrong with a storage, the next try may succeed
            if not is_away:
                _log.warning("the lease on the storage could not be renewed: %s", one_line(error))
            is_away = True
    if lease.lost is not None:
        _log.warning("%s: this study ends here", lease.lost)


def _take(folder: Folder) -> Lease:
    """The lease, once it is free. Raises LeaseError, OSError."""
    while True:
        last = max(_numbers(folder), default=0)
        before = _wait_until_free(folder, last)
        own, number, taken_at = _new_holder(), last + 1, _clock()
        if not _create(folder, number, own):
            continue  # another driver was faster
        if max(_numbers(folder)) == number and folder.version_and_content(_name(last)) == before:
            break
        folder.remove(_name(number))  # the last driver has just renewed its lease after all, or there is a later one
    for earlier in _numbers(folder) - {number}:
        folder.remove(_name(earlier))
    return Lease(folder, number, own, taken_at)


def _create(folder: Folder, number: int, own: Holder) -> bool:
    """Create the file of this number. Returns False where another driver has done that."""
    name = _name(number)
    folder.replace(name, own.content, None)
    if _holder(folder, number) != own:
        return False
    if folder.excludes(name, own.content):
        return True
    _log.warning(
        "storage %s knows no conditional writes: of two drivers that begin a study in the same second both may run",
        _study(folder),
    )
    time.sleep(LOOK_S)  # the other one may have written its own in the meantime; the last one counts
    return _holder(folder, number) == own


def _wait_until_free(folder: Folder, number: int) -> tuple[str, bytes] | None:
    """Wait until nobody has the lease of this number; returns its file as it is then, None where there is none.

    Raises LeaseError where its driver is alive, OSError.
    """
    name, began, age_s, is_told = _name(number), _clock(), 0.0, False
    first = now = folder.version_and_content(name)
    while now is not None:
        holder = _of_json(now[1])
        if holder.is_over or holder.is_dead:
            return now
        with suppress(FileNotFoundError):
            age_s = max(folder.age_s(name), _clock() - began)
        if now != first or (holder.was_here and age_s < STALE_S):
            raise LeaseError(
                f"study {_study(folder)} is running already: {holder}, which renewed its lease {max(age_s, 0):.0f} s "
                "ago; stop that driver first, or choose another --name"
            )
        if age_s >= STALE_S:
            return now
        if not is_told:
            _log.warning("waiting for at most %.0f s: %s had the lease of %s", STALE_S - age_s, holder, _study(folder))
        is_told = True
        time.sleep(min(LOOK_S, STALE_S - age_s))
        now = folder.version_and_content(name)
    return None


def _study(folder: Folder) -> str:
    """The address of the study that a lease's folder is of."""
    return folder.address.removesuffix(f"/{FOLDER}")


def _name(number: int) -> str:
    return f"{number:05d}"


def _numbers(folder: Folder) -> set[int]:
    return {int(name) for name in folder.files() if re.fullmatch("[0-9]{5,}", name)}


def _holder(folder: Folder, number: int) -> Holder | None:
    """What a lease's file says; None where there is none."""
    found = folder.version_and_content(_name(number))
    return None if found is None else _of_json(found[1])


_HOLDER = TypeAdapter(Holder)


def _of_json(content: bytes) -> Holder:
    """What a lease's file says; an unknown driver where it says nothing, since it is new or damaged."""
    try:
        return _HOLDER.validate_json(content)
    except ValidationError:
        return Holder(driver="", host="an unknown host", pid=0, since="an unknown time")


def _new_holder() -> Holder:
    """This process, with a new random id."""
    return Holder(
        driver=uuid4().hex,
        host=socket.gethostname(),
        pid=os.getpid(),
        since=time.strftime("%Y-%m-%d %H:%M:%S"),
        machine=_machine(),
        process=_process(os.getpid()) or 0,
    )


def _machine() -> str:
    """This machine since it was switched on, and the namespace of its process ids: containers have one each."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _process(pid: int) -> int | None:
    """When a process of this machine began, in ticks since the machine did; -1 for one that has ended, and whose parent
    has not asked how. None where there is none, or where this user may not see it.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *others = status.rpartition(")")[2].split()  # the name before it may hold spaces and parentheses
    return -1 if state in ("Z", "X") else int(others[18])


def _clock() -> float:
    """Seconds that go on while the machine sleeps too."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
