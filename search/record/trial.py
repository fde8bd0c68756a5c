"""A trial as the record holds it: what was proposed, its epochs, how it ended; read from Optuna's trial in the journal.

Pure data. It must not know studies, samplers, schedulers or workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

EndState = Literal["complete", "stopped", "failed"]
State = Literal["running", "paused"] | EndState
"""A paused trial has no worker: it waits at a rung until it is promoted, perhaps for good."""
EndedBy = Literal["budget", "scheduler", "limits", "repeat", "trial", "executor"]
"""Who ended a trial.

`budget`: it trained all its epochs. `scheduler`: the scheduler stopped it. `limits`: its network breaks a limit of the
study. `repeat`: it has the network of an earlier trial, and copies the scores of that one. `trial`: the training
failed. `executor`: the executor lost its worker too often.
"""


@dataclass(frozen=True)
class Ended:
    """The end of a trial.

    >>> Ended("stopped", "ASHA after epoch 3", by="scheduler").state
    'stopped'
    """

    state: EndState
    reason: str | None
    """Why it was stopped or failed, for people; None for a complete trial."""
    by: EndedBy


_STATES: dict[TrialState, State] = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped",
    TrialState.FAIL: "failed",
}
OPTUNA_STATES: dict[State, TrialState] = {
    "paused": TrialState.RUNNING,
    **{state: optuna_state for optuna_state, state in _STATES.items()},
}
PAUSED = "paused"
"""The key of the epoch at which a trial was paused last."""
_EPOCH = "epoch/"
_PROMOTED = "promoted/"
_OPTIONAL = ("reuse", "known", "rejected", "infeasible")
"""Fields of a proposal that are written only where they have a value."""
_OWN_KEYS = frozenset({"params", "varying", "seed", "network", "repeat", "reason", "by", PAUSED, *_OPTIONAL})
"""The keys of a trial beside its epochs and facts."""


def epoch_key(epoch: int) -> str:
    """The key of an epoch's metrics."""
    return f"{_EPOCH}{epoch:05d}"


def promotion_key(epoch: int) -> str:
    """The key of a promotion from the rung at an epoch."""
    return f"{_PROMOTED}{epoch:05d}"


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

    def attributes(self) -> dict[str, Any]:
        """What Optuna's trial keeps of it beside labels and distributions."""
        own = {key: getattr(self, key) for key in ("seed", "network", "repeat")}
        optional = {key: value for key in _OPTIONAL if (value := getattr(self, key)) not in (None, {}, ())}
        return {"params": dict(self.params), "varying": dict(self.varying), **own, **optional}


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

    @property
    def orders(self) -> Iterator[int]:
        """The places of its reports and promotions among those of the study."""
        yield from (int(epoch["order"]) for epoch in self.epochs)
        yield from self.promotions.values()

    def score(self, metric: str) -> float | None:
        """The metric after the last epoch; None where the trial does not have it yet."""
        return self.last.get(metric)


def check_trial(trial: TrialRecord) -> None:
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
    epoch = trial.user_attrs.get(PAUSED)
    is_promoted = epoch is not None and promotion_key(epoch) in trial.user_attrs
    return trial.state == TrialState.RUNNING and epoch is not None and not is_promoted


def trial_record(trial: FrozenTrial) -> TrialRecord:
    """The trial that one of Optuna's holds."""
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
