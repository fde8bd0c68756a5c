"""The study's durable record: one append-only journal in the study's folder, written before anything else happens.

It owns what is true about a study: the space it was made from, every trial's params, seed, epochs and end. The sampler,
ASHA's rungs and MLflow are rebuilt from it. It is an Optuna journal, so that Optuna's own tools can open it; it knows
nothing of Ray or MLflow. One driver writes (it holds the study's lock), anybody may read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.distributions import BaseDistribution
from optuna.storages import JournalStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.journal import JOURNAL, RecordError, open_journal, unwritable
from search.objectives import listed

optuna.logging.set_verbosity(optuna.logging.ERROR)

State = Literal["running", "complete", "stopped", "failed"]

_STATES: dict[TrialState, State] = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}
_ENDS: dict[State, TrialState] = {state: optuna_state for optuna_state, state in _STATES.items()}
_EPOCH = "epoch/"
_MAY_LACK = ("reuse", "known", "rejected", "infeasible")
"""What only some trials have to be said of them."""


class NotBegunError(RecordError):
    """A folder in which no study has begun: its driver was killed before there was a record."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What a trial is to be, before it starts."""

    params: Mapping[str, Any]
    """Every param that the trial is given, fixed ones included, without `seed`."""
    varying: Mapping[str, Any]
    """Those that the sampler chose."""
    labels: Mapping[str, Any]
    """The varying params as Optuna stores them (lists as labels)."""
    distributions: Mapping[str, BaseDistribution]
    seed: int
    network: str
    """Key of its effective network."""
    repeat: int
    """How many trials of the same effective network, on the same fold, came before it, a warm start's included."""
    reuse: int | None = None
    """The ended trial of the same network whose scores it takes over, untrained."""
    known: Mapping[str, float] = field(default_factory=dict)
    """The metrics that are known before its training: `num_weights`."""
    rejected: Sequence[Mapping[str, Any]] = ()
    """What was proposed in its place before and could not keep the study's limits (search.sampler)."""
    infeasible: str | None = None
    """Why it is not trained: which limit its network cannot keep."""


@dataclass(frozen=True, kw_only=True)
class TrialRecord(Proposal):
    """One trial as the record holds it: what was proposed, and what became of it."""

    number: int
    state: State
    reason: str | None
    """Why it failed, or what stopped it."""
    epochs: tuple[Mapping[str, float], ...]
    """The metrics of each epoch, in order; `epoch` counts from 1, `order` numbers all reports of the study."""
    facts: Mapping[str, Any]
    """Where it ran and what it cost: node, device, ..."""
    started: float
    ended: float | None
    """Seconds since 1970."""

    @property
    def last(self) -> Mapping[str, float]:
        """The metrics of the last epoch, and those that were known before the first."""
        return {**self.known, **(self.epochs[-1] if self.epochs else {})}

    @property
    def is_untrained(self) -> bool:
        """Whether it ends without being trained: its scores are another's, or its network breaks a limit."""
        return self.reuse is not None or self.infeasible is not None

    def score(self, metric: str) -> float | None:
        """The metric of the last epoch; None before the first."""
        return self.last.get(metric)


@dataclass
class Record:
    """The journal of one study, open for reading, and for writing inside `locked`.

    >>> import tempfile; folder = Path(tempfile.mkdtemp()) / "r-001"
    >>> record = Record.create(folder, {"metric": "val_accuracy", "mode": "max"})
    >>> record.trials()
    []
    """

    folder: Path
    storage: JournalStorage
    study_id: int
    _next_order: int = field(default=0)
    _ended: dict[int, TrialRecord] = field(default_factory=dict, repr=False)
    """Trials that nothing can change any more, as they are."""

    @classmethod
    def create(cls, folder: Path, header: Mapping[str, Any]) -> Record:
        """A new record; `header` must be JSON and say `metric` and `mode` (strings, or lists of equal length).

        It is there with its header or not at all. Raises RecordError where the folder cannot be written, or has one.
        """
        if has_begun(folder):
            raise RecordError(f"{folder}: there is a study already")
        modes = listed(header["mode"])
        directions = [StudyDirection.MAXIMIZE if mode == "max" else StudyDirection.MINIMIZE for mode in modes]
        partial = folder / f"{JOURNAL}.new"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            partial.unlink(missing_ok=True)
            storage = open_journal(partial)
            study_id = storage.create_new_study(directions, folder.name)
            storage.set_study_user_attr(study_id, "header", json.loads(json.dumps(header)))
            partial.replace(folder / JOURNAL)
        except OSError as error:
            raise unwritable(folder, error) from None
        return cls.open(folder)

    @classmethod
    def open(cls, folder: Path) -> Record:
        """An existing record; the torn last line of a killed driver is ignored.

        Raises RecordError where there is none that can be read, NotBegunError where none has begun.
        """
        if not (folder / JOURNAL).is_file():
            raise NotBegunError(f"{folder}: no study here (there is no {JOURNAL})")
        try:
            storage = open_journal(folder / JOURNAL)
        except OSError as error:
            raise RecordError(f"{folder / JOURNAL}: cannot be read: {error.strerror}") from None
        except (ValueError, LookupError, TypeError) as error:
            raise RecordError(f"{folder / JOURNAL} is damaged: {' '.join(str(error).split())}") from None
        studies = storage.get_all_studies()
        if not studies or "header" not in studies[0].user_attrs:
            raise NotBegunError(f"{folder}: the study ended before it began (its record has no header)")
        record = cls(folder, storage, studies[0]._study_id)
        record._next_order = 1 + max((int(e["order"]) for t in record.trials() for e in t.epochs), default=-1)
        return record

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def header(self) -> dict[str, Any]:
        header: dict[str, Any] = self.notes()["header"]
        return header

    def notes(self) -> dict[str, Any]:
        """What was noted of the study as a whole."""
        return self.storage.get_study_user_attrs(self.study_id)

    def note(self, key: str, value: Any) -> None:
        """Keep a JSON value of the study as a whole; a later note of the same key replaces it."""
        self.storage.set_study_user_attr(self.study_id, key, value)

    def trials(self, *states: State) -> list[TrialRecord]:
        """All trials in the order of their numbers, or those in one of the states."""
        wanted = tuple(_ENDS[state] for state in states) or None
        return [self._as_record(trial) for trial in self.frozen_trials(wanted)]

    def trial(self, number: int) -> TrialRecord:
        return self._as_record(self.storage.get_trial(self._trial_id(number)))

    def frozen_trials(self, states: tuple[TrialState, ...] | None = None) -> list[FrozenTrial]:
        """The trials as Optuna sees them, for samplers."""
        return self.storage.get_all_trials(self.study_id, deepcopy=False, states=states)

    def optuna_study(self, sampler: optuna.samplers.BaseSampler) -> optuna.Study:
        return optuna.load_study(study_name=self.folder.name, storage=self.storage, sampler=sampler)

    def start(self, proposal: Proposal) -> int:
        """Write a new running trial in one line of the journal, and return its number."""
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
                **{key: value for key in _MAY_LACK if (value := getattr(proposal, key)) not in (None, {}, ())},
            },
        )
        return self.storage.get_trial_number_from_id(self.storage.create_new_trial(self.study_id, trial))

    def report(self, number: int, metrics: Mapping[str, float]) -> bool:
        """Keep an epoch's metrics; False, and nothing is written, where that epoch is known already."""
        key = f"{_EPOCH}{int(metrics['epoch']):05d}"
        trial_id = self._trial_id(number)
        if key in self.storage.get_trial(trial_id).user_attrs:
            return False
        self.storage.set_trial_user_attr(trial_id, key, {**metrics, "order": self._next_order})
        self._next_order += 1
        return True

    def fact(self, number: int, key: str, value: Any) -> None:
        """Keep where a running trial runs or what it costs."""
        self.storage.set_trial_user_attr(self._trial_id(number), key, value)

    def end(
        self,
        number: int,
        state: State,
        *,
        values: Sequence[float] | None = None,
        violations: Mapping[str, float] | None = None,
        reason: str | None = None,
    ) -> None:
        """End a running trial for good. `values` are the metrics compared; Optuna is told them as what they are:
        of a complete trial its result, of a stopped one how far it had come at its last epoch. `violations` are what
        it calls constraints, kept where they are at most 0.
        """
        trial_id = self._trial_id(number)
        for limit, miss in (violations or {}).items():
            self.storage.set_trial_system_attr(trial_id, f"constraints:{limit}", miss)
        if reason is not None:
            self.storage.set_trial_user_attr(trial_id, "reason", reason)
        if state == "stopped" and values is not None:
            epoch = int(self.trial(number).last["epoch"])
            self.storage.set_trial_intermediate_value(trial_id, epoch, values[0])
        self.storage.set_trial_state_values(trial_id, _ENDS[state], values if state == "complete" else None)

    def _as_record(self, trial: FrozenTrial) -> TrialRecord:
        if not trial.state.is_finished():
            return _trial_record(trial)
        if trial.number not in self._ended:
            self._ended[trial.number] = _trial_record(trial)
        return self._ended[trial.number]

    def _trial_id(self, number: int) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self.study_id, number)


def has_begun(folder: Path) -> bool:
    """Whether a folder holds a study's record. RecordError for one that cannot be read."""
    try:
        Record.open(folder)
    except NotBegunError:
        return False
    return True


def _trial_record(trial: FrozenTrial) -> TrialRecord:
    own = trial.user_attrs
    ours = ("params", "varying", "seed", "network", "repeat", "reason", *_MAY_LACK)
    assert trial.datetime_start is not None
    return TrialRecord(
        number=trial.number,
        params=own["params"],
        varying=own["varying"],
        labels=trial.params,
        distributions=trial.distributions,
        seed=own["seed"],
        network=own["network"],
        repeat=own["repeat"],
        state=_STATES[trial.state],
        reason=own.get("reason") if trial.state in (TrialState.FAIL, TrialState.PRUNED) else None,
        **{key: own[key] for key in _MAY_LACK if key in own},
        epochs=tuple(own[key] for key in sorted(own) if key.startswith(_EPOCH)),
        facts={key: own[key] for key in own if key not in ours and not key.startswith(_EPOCH)},
        started=trial.datetime_start.timestamp(),
        ended=trial.datetime_complete.timestamp() if trial.datetime_complete else None,
    )
