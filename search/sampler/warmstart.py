"""A warm start: the results of an earlier study that the sampler of a new one can learn from.

A result can be used if its score was measured in the same way (metric, data, split, budget) and the new space could
have its params: the fixed ones are equal, the others lie inside their domains. The results are kept in the record of
the new study, which goes on the same way when the earlier one is gone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mgc.config import DataConfig
from mgc.networks.training_config import training_config
from mgc.words.errors import ConfigError
from search.record.header import StudyHeader
from search.record.notes import WARM_START
from search.record.record import Record
from search.record.trial import TrialRecord
from search.space.domains import Domain, contains
from search.space.space import Space, difference


@dataclass(frozen=True, kw_only=True)
class EarlierResult:
    """A trial of the earlier study, as a trial of the new one."""

    params: Mapping[str, Any]
    """All of the new space that are active, fixed ones included."""
    state: str
    """`complete`, or `stopped` for one that did not get to its end: stopped or paused."""
    epoch: int
    """The last one, from 1."""
    metrics: Mapping[str, float]
    """Those that the new study compares or limits, after that epoch."""


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """What a study takes from an earlier one. Its fields are the keys of the record's note."""

    study: str
    """The name of the earlier study."""
    total: int
    """Its results, complete or not."""
    unlike: Sequence[str]
    """Why none of them can be used; empty where some may."""
    results: Sequence[EarlierResult]
    """Those that can be used."""

    @classmethod
    def of(cls, earlier: Record, space: Space, digests: Mapping[str, str]) -> WarmStart:
        """What a new study of this space, on data of these digests (`dataset`, `split`), can take."""
        trials = earlier.trials("complete", "stopped", "paused")
        unlike = _unlike(earlier.header, space, digests)
        results = [] if unlike else [result for trial in trials if (result := _result(earlier, trial, space))]
        return cls(study=earlier.name, total=len(trials), unlike=unlike, results=results)

    @classmethod
    def noted(cls, record: Record) -> WarmStart | None:
        """What the study of this record took; None where it began with nothing."""
        note = record.noted(WARM_START)
        if note is None:
            return None
        return cls(**{**note, "results": [EarlierResult(**result) for result in note["results"]]})

    def note(self, record: Record) -> None:
        """Keep it in the record, as JSON."""
        record.note(WARM_START, asdict(self))

    def __str__(self) -> str:
        why = f" ({'; '.join(self.unlike)})" if self.unlike else ""
        return f"warm start: {len(self.results)} of {self.total} results of {self.study} can be used{why}"


def _unlike(header: StudyHeader, space: Space, digests: Mapping[str, str]) -> list[str]:
    """Why scores of the earlier study cannot be compared with those of this space."""
    old, new = header.canonical, space.canonical()
    keys = {"search": ("metric", "mode", "smooth_epochs"), "budget": tuple(new["budget"])}
    before = {section: {key: old[section].get(key) for key in names} for section, names in keys.items()}
    after = {section: {key: new[section].get(key) for key in names} for section, names in keys.items()}
    others = [f"another {name}" for name, digest in digests.items() if header.digests.get(name) != digest]
    return [*others, *difference(before, after)]


def _result(earlier: Record, trial: TrialRecord, space: Space) -> EarlierResult | None:
    """The trial's result for this space; None where a metric is missing or no number, or its params do not fit."""
    objectives = space.search.objectives
    metrics = {name: trial.last.get(name, math.nan) for name in (*objectives.metrics, *objectives.constraints)}
    if not trial.epochs or not all(map(math.isfinite, metrics.values())):
        return None
    params = _params_in(space, earlier, trial)
    if params is None:
        return None
    return EarlierResult(
        params=params,
        state="complete" if trial.state == "complete" else "stopped",
        epoch=len(trial.epochs),
        metrics=metrics,
    )


def _params_in(space: Space, earlier: Record, trial: TrialRecord) -> dict[str, Any] | None:
    """The params of this space that train what the earlier trial trained; None where there are none."""

    def same(name: str, domain: Domain) -> Any:
        if name not in trial.params or not contains(domain, trial.params[name]):
            raise LookupError(name)
        return trial.params[name]

    try:
        params = space.walk(same)
        # As typed configs: a default that one file writes and the other leaves out is the same.
        data = DataConfig.checked(earlier.header.canonical["data"])
        old = training_config(_without_seed(trial.params), data=data, epochs=space.budget.full)
        new = training_config(_without_seed(params), data=data, epochs=space.budget.full)
    except (ConfigError, LookupError):
        return None
    return params if old == new else None


def _without_seed(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name != "seed"}
