"""The record of a study: one journal in the study's folder, to which lines are only appended.

It owns what is true about a study: its space, and the params, seed, epochs and end of every trial. Each step of the
study is written here before anything else happens, and the state of the sampler, of ASHA and of MLflow is rebuilt from
here. It is an Optuna journal, so that Optuna's own tools can open it. It must not know Ray or MLflow. One driver writes
(it holds the study's lock), anybody may read.
"""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from mgc.files.whole import whole
from mgc.words.errors import one_line
from search.record.ended import Ended, EndedBy, State
from search.record.files import JOURNAL
from search.record.header import StudyHeader
from search.record.journal import Journal, RecordError, not_writable, open_journal
from search.record.notes import Note

_log = logging.getLogger(__name__)

optuna.logging.set_verbosity(optuna.logging.ERROR)

Value = TypeVar("Value")

_STATES: dict[TrialState, State] = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}
_OPTUNA_STATES: dict[State, TrialState] = {
    "paused": TrialState.RUNNING,
    **{state: optuna_state for optuna_state, state in _STATES.items()},
}
_EPOCH = "epoch/"
_PROMOTED = "promoted/"
_HEADER = "header"
_METRIC_NAMES = "study:metric_names"
"""The key under which Optuna and its tools look for the names of a study's metrics."""
_OPTIONAL = ("reuse", "known", "rejected", "infeasible")
"""Fields of a proposal that are written only where they have a value."""
_BYTES_PER_BYTE = 8
"""Of memory for a byte of the file: 20,000 trials of three epochs are 28 MB there, and 200 MB once they are read."""
_OWN_KEYS = frozenset({"params", "varying", "seed", "network", "repeat", "reason", "by", "paused", *_OPTIONAL})
"""The keys of a trial beside its epochs and facts."""


class NotBegunError(RecordError):
    """A folder without a record: no study began there, or its driver was killed before it wrote one."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What the sampler proposes for a trial, before the trial starts."""

    params: Mapping[str, Any]
    """Every param of the trial, fixed ones included, without `seed`."""
    varying: Mapping[str, Any]
    """The params that the sampler chose."""
    labels: Mapping[str, Any]
    """The varying params as Optuna stores them (lists as labels)."""
    distributions: Mapping[str, BaseDistribution]
    seed: int
    network: str
    """The key of its effective network."""
    repeat: int
    """How many earlier trials have the same effective network and the same fold, those of a warm start included."""
    reuse: int | None = None
    """The number of the earlier trial of the same network whose scores this one copies instead of being trained."""
    known: Mapping[str, float] = field(default_factory=dict)
    """The metrics that need no training: `num_weights`."""
    rejected: Sequence[Mapping[str, Any]] = ()
    """Earlier proposals for this trial, whose networks break a limit of the study (search.sampler.sampler)."""
    infeasible: str | None = None
    """The limit that its network breaks, for people; such a trial is not trained."""


@dataclass(frozen=True, kw_only=True)
class TrialRecord(Proposal):
    """One trial as the record holds it: its proposal, its epochs and its end."""

    number: int
    state: State
    reason: str | None
    """Why it failed, or what stopped it."""
    ended_by: EndedBy | None = None
    """Who stopped it or let it fail. None for a complete or running trial, and in records of earlier versions."""
    epochs: tuple[Mapping[str, float], ...]
    """The metrics of each epoch, in order. `epoch` counts from 1; `order` counts all reports and promotions of the
    study from 0.
    """
    promotions: Mapping[int, int] = field(default_factory=dict)
    """The epochs at which it was paused and promoted, each with its `order` among the study's reports."""
    facts: Mapping[str, Any]
    """Where it ran and what it cost: node, device, ..."""
    started: float
    """In seconds since 1970."""
    ended: float | None
    """In seconds since 1970; None while it runs."""

    @property
    def last(self) -> Mapping[str, float]:
        """The metrics of the last epoch, and those that need no training."""
        return {**self.known, **(self.epochs[-1] if self.epochs else {})}

    @property
    def is_untrained(self) -> bool:
        """Whether it ends without training: it copies another trial's scores, or its network breaks a limit."""
        return self.reuse is not None or self.infeasible is not None

    def score(self, metric: str) -> float | None:
        """The metric after the last epoch; None where the trial does not have it yet."""
        return self.last.get(metric)


@dataclass
class Record:
    """The journal of one study, open for reading, and for writing inside `locked`.

    >>> import tempfile; folder = Path(tempfile.mkdtemp()) / "r-001"
    >>> about = {"space": "r", "created": "2026-01-01", "trials": 1, "max_epochs": 9}
    >>> header = StudyHeader(**about, metrics=("val_accuracy",), modes=("max",))
    >>> record = Record.create(folder, header)
    >>> record.trials()
    []
    """

    folder: Path
    storage: Journal
    study_id: int
    header: StudyHeader
    _next_order: int = field(default=0)
    _ended: dict[int, TrialRecord] = field(default_factory=dict, repr=False)
    """The ended trials that were read already, by number; they cannot change any more."""

    @classmethod
    def create(cls, folder: Path, header: StudyHeader) -> Record:
        """A new record. The file appears with its header or not at all.

        Raises RecordError where the folder cannot be written, or has a record already.
        """
        if has_begun(folder):
            raise RecordError(f"{folder}: there is a study already")
        try:
            with whole(folder / JOURNAL) as partial:
                storage = open_journal(partial)
                study_id = storage.create_new_study(_directions(header), folder.name)
                storage.set_study_user_attr(study_id, _HEADER, header.json_data())
                storage.set_study_system_attr(study_id, _METRIC_NAMES, list(header.metrics))
        except OSError as error:
            raise not_writable(folder, error) from None
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Record:
        """An existing record. What is no whole line at its end is left out; `locked` cuts it off.

        Raises NotBegunError where there is no record, RecordError where there is one that cannot be read.
        """
        if not (folder / JOURNAL).is_file():
            raise NotBegunError(f"{folder}: no study here (there is no {JOURNAL})")
        try:
            return cls._opened(folder)
        except OSError as error:
            raise RecordError(f"{folder / JOURNAL}: cannot be read: {error.strerror}") from None
        except RecordError:
            raise
        except Exception as error:  # a line without a checksum may say nonsense, for which Optuna raises any error
            raise RecordError(f"{folder / JOURNAL} is damaged: {one_line(error)}") from None

    @classmethod
    def _opened(cls, folder: Path) -> Record:
        _check_size(folder / JOURNAL)
        storage = open_journal(folder / JOURNAL)
        studies = storage.get_all_studies()
        if not studies or _HEADER not in studies[0].user_attrs:
            raise NotBegunError(f"{folder}: the study ended before it began (its record has no header)")
        header = StudyHeader.of_json(studies[0].user_attrs[_HEADER], folder / JOURNAL)
        record = cls(folder, storage, studies[0]._study_id, header)
        for trial in record.trials():
            _check(trial)
        record._next_order = 1 + max((order for trial in record.trials() for order in _orders(trial)), default=-1)
        return record

    @property
    def name(self) -> str:
        return self.folder.name

    def refresh(self) -> None:
        """Read the header again, which the study's driver may have amended; all else is read at each call anyway."""
        raw = self.storage.get_study_user_attrs(self.study_id)[_HEADER]
        self.header = StudyHeader.of_json(raw, self.folder / JOURNAL)

    def amend(self, **changes: Any) -> None:
        """Write the header again, with other values of some fields."""
        header = self.header.amended(**changes)
        self.storage.set_study_user_attr(self.study_id, _HEADER, header.json_data())
        self.header = header

    def note(self, note: Note[Value], value: Value) -> None:
        """Write a JSON value about the study as a whole; it replaces the earlier value of this note."""
        self.storage.set_study_user_attr(self.study_id, note.key, value)

    def noted(self, note: Note[Value]) -> Value:
        """The last value of this note, or its default."""
        value: Value = self.storage.get_study_user_attrs(self.study_id).get(note.key, note.default)
        return value

    def trials(self, *states: State) -> list[TrialRecord]:
        """All trials in the order of their numbers, or those in one of the states."""
        optuna_states = tuple({_OPTUNA_STATES[state] for state in states}) or None
        trials = [self._as_record(trial) for trial in self.frozen_trials(optuna_states)]
        return [trial for trial in trials if not states or trial.state in states]

    def trial(self, number: int) -> TrialRecord:
        return self._as_record(self.storage.get_trial(self._trial_id(number)))

    def frozen_trials(self, states: tuple[TrialState, ...] | None = None) -> list[FrozenTrial]:
        """The trials as Optuna sees them, for samplers."""
        return self.storage.get_all_trials(self.study_id, deepcopy=False, states=states)

    def optuna_study(self) -> optuna.Study:
        """A copy of the trials as a study of Optuna's in memory, with which nobody can write into the record."""
        study = optuna.create_study(study_name=self.name, directions=_directions(self.header))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(list(self.header.metrics))
        study.add_trials(self.frozen_trials())
        return study

    def start(self, proposal: Proposal, facts: Mapping[str, Any] | None = None) -> int:
        """Write a new running trial with its first facts in one line of the journal, and return its number."""
        trial = create_trial(
            state=TrialState.RUNNING,
            params=dict(proposal.labels),
            distributions=dict(proposal.distributions),
            user_attrs={
                "params": dict(proposal.params),
                "varying": dict(proposal.varying),
                "seed": proposal.seed,
                "network": proposal.network,
                "repeat": proposal.repeat,
                **{key: value for key in _OPTIONAL if (value := getattr(proposal, key)) not in (None, {}, ())},
                **(facts or {}),
            },
        )
        return self.storage.get_trial_number_from_id(self.storage.create_new_trial(self.study_id, trial))

    def report(self, number: int, metrics: Mapping[str, float]) -> bool:
        """Write an epoch's metrics, and the first of those that trials are compared by as Optuna's intermediate value,
        by which its tools draw the trial's curve. Returns False, and writes nothing, where the record has that epoch.
        """
        epoch, score = int(metrics["epoch"]), metrics.get(self.header.metric)
        key = f"{_EPOCH}{epoch:05d}"
        trial_id = self._trial_id(number)
        if key in self.storage.get_trial(trial_id).user_attrs:
            return False
        with self.storage.together():
            if score is not None and math.isfinite(score):
                self.storage.set_trial_intermediate_value(trial_id, epoch, score)
            self.storage.set_trial_user_attr(trial_id, key, {**metrics, "order": self._next_order})
        self._next_order += 1
        return True

    def pause(self, number: int) -> None:
        """Write that a running trial waits at the epoch that it has reached. Optuna calls it running: it refuses to
        change a trial that has ended.
        """
        self.storage.set_trial_user_attr(self._trial_id(number), "paused", len(self.trial(number).epochs))

    def promote(self, number: int) -> None:
        """Write that a trial goes on from the rung that it has reached, whether its pause was written or not."""
        key = f"{_PROMOTED}{len(self.trial(number).epochs):05d}"
        self.storage.set_trial_user_attr(self._trial_id(number), key, self._next_order)
        self._next_order += 1

    def fact(self, number: int, key: str, value: Any) -> None:
        """Write where a running trial runs, or what it costs."""
        self.storage.set_trial_user_attr(self._trial_id(number), key, value)

    def end(
        self,
        number: int,
        ended: Ended,
        *,
        values: Sequence[float] | None = None,
        violations: Mapping[str, float] | None = None,
    ) -> None:
        """End a running trial for good.

        `values` are the metrics that trials are compared by; for Optuna they are the result of a complete trial.
        `violations` says by how much the trial misses each limit; Optuna takes them for constraints, which a trial
        keeps where they are at most 0.
        """
        trial_id = self._trial_id(number)
        for limit, miss in (violations or {}).items():
            self.storage.set_trial_system_attr(trial_id, f"constraints:{limit}", miss)
        if ended.reason is not None:
            self.storage.set_trial_user_attr(trial_id, "reason", ended.reason)
            self.storage.set_trial_user_attr(trial_id, "by", ended.by)
        result = values if ended.state == "complete" else None
        self.storage.set_trial_state_values(trial_id, _OPTUNA_STATES[ended.state], result)

    def _as_record(self, trial: FrozenTrial) -> TrialRecord:
        if not trial.state.is_finished():
            return _trial_record(trial)
        if trial.number not in self._ended:
            self._ended[trial.number] = _trial_record(trial)
        return self._ended[trial.number]

    def _trial_id(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self.study_id, number)


def has_begun(folder: Path) -> bool:
    """Whether a folder holds a study's record. Raises RecordError for one that cannot be read."""
    try:
        Record.open(folder)
    except NotBegunError:
        return False
    return True


def readable(folder: Path) -> Record | None:
    """The record in a folder; None where no study began, and where it cannot be read, which a warning says."""
    try:
        return Record.open(folder)
    except NotBegunError:
        return None
    except RecordError as error:
        _log.warning("%s; this study is left out", error)
        return None


def _check_size(journal: Path) -> None:
    """Raise RecordError for a file that this machine's memory cannot hold once it is read."""
    needed = _BYTES_PER_BYTE * journal.stat().st_size
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > memory:
        raise RecordError(
            f"{journal}: reading it takes about {needed / 1e9:.1f} GB, this machine has {memory / 1e9:.1f} GB of memory"
        )


def _directions(header: StudyHeader) -> list[StudyDirection]:
    return [StudyDirection.MAXIMIZE if mode == "max" else StudyDirection.MINIMIZE for mode in header.modes]


def _check(trial: TrialRecord) -> None:
    """Raise ValueError for a trial that no driver has written. The plots of a report are called after its params: a
    name that is a path would leave the report's folder.
    """
    for name in (*trial.params, *trial.varying):
        if not name.isidentifier():
            raise ValueError(f"trial {trial.number} has a param called {name!r}")
    for key, kind in (("seed", int), ("repeat", int), ("network", str)):
        if not isinstance(value := getattr(trial, key), kind):
            raise ValueError(f"trial {trial.number} has the {key} {value!r}")
    for name, value in (item for epoch in trial.epochs for item in epoch.items()):
        if not isinstance(value, int | float | None):
            raise ValueError(f"trial {trial.number} has the {name} {value!r}")


def _is_paused(trial: FrozenTrial) -> bool:
    """Whether it was paused and not promoted since."""
    epoch = trial.user_attrs.get("paused")
    is_promoted = epoch is not None and f"{_PROMOTED}{epoch:05d}" in trial.user_attrs
    return trial.state == TrialState.RUNNING and epoch is not None and not is_promoted


def _orders(trial: TrialRecord) -> Iterator[int]:
    """The places of its reports and promotions among those of the study."""
    yield from (int(epoch["order"]) for epoch in trial.epochs)
    yield from trial.promotions.values()


def _trial_record(trial: FrozenTrial) -> TrialRecord:
    attrs = trial.user_attrs
    is_cut_short = trial.state in (TrialState.FAIL, TrialState.PRUNED)
    assert trial.datetime_start is not None
    return TrialRecord(
        number=trial.number,
        params=attrs["params"],
        varying=attrs["varying"],
        labels=trial.params,
        distributions=trial.distributions,
        seed=attrs["seed"],
        network=attrs["network"],
        repeat=attrs["repeat"],
        state="paused" if _is_paused(trial) else _STATES[trial.state],
        reason=attrs.get("reason") if is_cut_short else None,
        ended_by=attrs.get("by") if is_cut_short else None,
        **{key: attrs[key] for key in _OPTIONAL if key in attrs},
        epochs=tuple(attrs[key] for key in sorted(attrs) if key.startswith(_EPOCH)),
        promotions={int(key[len(_PROMOTED) :]): attrs[key] for key in sorted(attrs) if key.startswith(_PROMOTED)},
        facts={key: attrs[key] for key in attrs if key not in _OWN_KEYS and not key.startswith((_EPOCH, _PROMOTED))},
        started=trial.datetime_start.timestamp(),
        ended=trial.datetime_complete.timestamp() if trial.datetime_complete else None,
    )
