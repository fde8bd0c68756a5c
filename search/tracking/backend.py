"""What a tracking backend is: the four calls by which a study's runs are kept up to date with its record.

A run is a number: a trial's own, or STUDY for the study as a whole. A backend neither waits, nor tries again, nor works
in the background, and every call of it may be made again: that is the business of search.tracking.tracker, which knows
no more of a backend than what stands here.
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Literal, Protocol

from mgc.words.errors import ConfigError

STUDY = -1
"""The number of the study's own run, among those of its trials."""

Status = Literal["RUNNING", "FINISHED", "KILLED", "FAILED"]
"""How a run stands, in MLflow's words; a study that was interrupted is KILLED."""


class TrackingError(ConfigError):
    """A tracking server that cannot be used: a wrong URI, nobody there, or one that refuses."""


class AwayError(Exception):
    """A call that failed and may succeed later: the server is away, too slow, or in trouble itself."""


class RefusedError(Exception):
    """A call that fails however often it is made: the server does not accept what it was sent."""


class Backend(Protocol):
    """A place that shows a study's runs. Four calls have to be written; what has a default may be left.

    `connect`, `send` and `send_file` raise AwayError where the same call may succeed later. Any other error of `send`
    or `send_file` means that this run or file is never accepted; the others are.
    """

    name: str
    """What the place is called in a message: `MLflow`."""
    where: str
    """Its address, without a password."""
    connect_s: float = 10.0
    """Seconds after which a first connection that has not answered is given up."""

    @abstractmethod
    def connect(self) -> None:
        """Find out which runs are there and how far; also after an AwayError, for an answer may have been lost."""

    @abstractmethod
    def behind(self, *, live: bool) -> list[int]:
        """The numbers of the runs that do not show what the record says; before `connect` all of them.

        `live` is whether the study runs: if not, a trial that the record calls running was interrupted.
        """

    @abstractmethod
    def send(self, number: int, *, end: Status | None) -> Status:
        """Make a run show what the record says now, and return how it stands then.

        `end` is the status in which the study ended; None while it runs.
        """

    @abstractmethod
    def send_file(self, number: int, path: Path, folder: str) -> None:
        """Copy a file or folder to the folder `folder` of a run's files; "" is the folder of them all."""

    def prepare(self) -> None:
        """Check the address and load what takes long, asking no server. TrackingError for an address of no use."""
        return None

    @property
    def is_new(self) -> bool:
        """Whether the place has yet to be made: the first connection is slow, but hardly fails, so nobody waits."""
        return False

    @property
    def page(self) -> str | None:
        """The page of the study's runs, relative to the place's own address; None where it has none, or not yet."""
        return None

    def run_id(self, number: int) -> str | None:
        """The backend's own name of a run; None where it has none, or the run is not there."""
        return None
