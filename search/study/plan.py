"""How a study is run, and what it is to do: a search and a confirmation are two plans for one driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from search.machines.cost import Limits
from search.machines.signals import StopRequest
from search.record.record import Record
from search.record.trial import TrialRecord
from search.settings.sections import Budget
from search.space.space import Space
from search.storage import checkpoints
from search.storage.copies import Copier
from search.storage.lease import Lease
from search.terminal.display import Display
from search.tracking.tracker import Tracker

if TYPE_CHECKING:  # torch and Ray, which a study waits for only once its record is there
    from search.execution.ground import Ground
    from search.machines.slots import Slots
    from search.study.loop import Proposer


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What a search and a confirmation have in common."""

    out: Path = Path("runs")
    """The folder of all studies."""
    address: str | None = None
    """Ray's address; None is a cluster that runs on this machine, else one of this process's own."""
    tracking_uri: str | None = None
    """MLflow's; None is $MLFLOW_TRACKING_URI, else a file under `out`."""
    storage: str | None = None
    """Where checkpoints and a copy of the study lie (search.storage.storage); None is the study's own folder."""
    limits: Limits = field(default_factory=Limits)
    """Where the study ends politely."""
    quiet: bool = False
    offline: bool = False
    """MLflow is told nothing; `python -m search.tracking sync` sends everything later."""
    num_gpus: int | None = None
    """GPUs that a Ray of this process's own is told it has; None lets it look."""


@dataclass(frozen=True, kw_only=True)
class SearchOptions(RunOptions):
    """How a search is run."""

    name: str | None = None
    """The study's name; None is the space's with the next number."""
    resume: bool = False
    """Go on with the study called `name`, or else with the newest unfinished one of the space, if there is one."""
    warm_start: Record | None = None
    """An earlier study whose results the sampler starts with."""
    trials_given: bool = False
    """Whether the number of trials is asked for now, rather than the file's."""


@dataclass(frozen=True, kw_only=True)
class ConfirmOptions(RunOptions):
    """What is confirmed, and how it is run."""

    top: int | None = 3
    """So many of the best effective networks; None takes all."""
    seeds: int = 5
    """Trainings of each."""
    train_on: str = "train"
    """A key of search.record.header.TRAIN_PARTS."""


class Plan(Protocol):
    """A search, or a confirmation."""

    @property
    def space(self) -> Space: ...

    @property
    def budget(self) -> Budget:
        """How many epochs trials run, and where they may be stopped."""

    @property
    def kept_text(self) -> str:
        """What stays on the disk, in a phrase."""

    def ground(self, *, device: str, precision: str | None, progress: bool) -> Ground:
        """The space with its data open."""

    def configs(self, ground: Ground) -> Sequence[Mapping[str, Any]]:
        """Params as the trials will have them: all of them, or a sample."""

    def proposer(self, run: Run, ground: Ground, slots: Slots) -> Proposer:
        """What proposes the trials, with all that the record knows already."""

    def kept(self, trials: Sequence[TrialRecord]) -> set[int]:
        """The ended trials whose weights stay."""

    def conclude(self, run: Run) -> bool:
        """What is left to do when no trial runs any more: of a study that has ended, or one that was asked to stop.
        Returns whether all of that was done.
        """


@dataclass(frozen=True)
class Run:
    """A study that runs: its plan, its record, and what goes along with it."""

    plan: Plan
    record: Record
    options: RunOptions
    display: Display
    tracker: Tracker
    copier: Copier
    lease: Lease
    """Of the study's storage."""
    stop: StopRequest


def prune(plan: Plan, record: Record, lease: Lease) -> None:
    """Delete the checkpoints that no longer matter."""
    trials = record.trials()
    checkpoints.prune(record, trials, plan.kept(trials), lease)
