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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from mgc.files.whole import whole
from mgc.words.errors import one_line
from search.record.files import JOURNAL
from search.record.header import StudyHeader
from search.record.journal import Journal, RecordError, not_writable, open_journal
from search.record.notes import Note
from search.record.trial import (
    OPTUNA_STATES,
    PAUSED,
    Ended,
    Proposal,
    State,
    TrialRecord,
    check_trial,
    epoch_key,
    promotion_key,
    trial_record,
)

_log = logging.getLogger(__name__)

optuna.logging.set_verbosity(optuna.logging.ERROR)

Value = TypeVar("Value")

_HEADER = "header"
_METRIC_NAMES = "study:metric_names"
"""The key under which Optuna and its tools look for the names of a study's metrics."""
_BYTES_PER_BYTE = 8
"""Of memory for a byte of the file: 20,000 trials of three epochs are 28 MB there, and 200 MB once they are read."""


class NotBegunError(RecordError):
    """A folder without a record: no study began there, or its driver was killed before it wrote one."""


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
            check_trial(trial)
        record._next_order = 1 + max((order for trial in record.trials() for order in trial.orders), default=-1)
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
        optuna_states = tuple({OPTUNA_STATES[state] for state in states}) or None
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
            user_attrs={**proposal.attributes(), **(facts or {})},
        )
        return self.storage.get_trial_number_from_id(self.storage.create_new_trial(self.study_id, trial))

    def report(self, number: int, metrics: Mapping[str, float]) -> bool:
        """Write an epoch's metrics, and the first of those that trials are compared by as Optuna's intermediate value,
        by which its tools draw the trial's curve. Returns False, and writes nothing, where the record has that epoch.
        """
        epoch, score = int(metrics["epoch"]), metrics.get(self.header.metric)
        key = epoch_key(epoch)
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
        self.storage.set_trial_user_attr(self._trial_id(number), PAUSED, len(self.trial(number).epochs))

    def promote(self, number: int) -> None:
        """Write that a trial goes on from the rung that it has reached, whether its pause was written or not."""
        key = promotion_key(len(self.trial(number).epochs))
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
        self.storage.set_trial_state_values(trial_id, OPTUNA_STATES[ended.state], result)

    def _as_record(self, trial: FrozenTrial) -> TrialRecord:
        if not trial.state.is_finished():
            return trial_record(trial)
        if trial.number not in self._ended:
            self._ended[trial.number] = trial_record(trial)
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
