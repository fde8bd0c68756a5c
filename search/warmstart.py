"""An earlier study's results for the sampler of a new one, where both mean the same.

A result can be used if its score was measured in the same way (metric, data, split, budget) and its params are some
that the new space could have: fixed ones equal, varying ones inside their domains. What can be used is kept in the new
study's own record, so that it goes on alike when the earlier study is gone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mgc.config import ConfigError, DataConfig, training_config
from search.domains import Choice, Domain, label
from search.record import Record, TrialRecord
from search.space import Space, difference

NOTE = "warm_start"
"""Under which the record keeps `study`, `total`, and the usable `results`: `params`, `state`, `epoch`, `metrics`."""


def usable(earlier: Record, space: Space, digests: Mapping[str, str]) -> dict[str, Any]:
    """What a new study of this space, on data of these digests, can use of an earlier one: the note for its record.

    `unlike` says why nothing can be used at all.
    """
    trials = earlier.trials("complete", "stopped")
    unlike = _unlike(earlier.header, space, digests)
    results = [] if unlike else [found for trial in trials if (found := _result(earlier, trial, space)) is not None]
    return {"study": earlier.name, "total": len(trials), "unlike": unlike, "results": results}


def said(note: Mapping[str, Any]) -> str:
    """The note in a line for the user."""
    why = f" ({'; '.join(note['unlike'])})" if note["unlike"] else ""
    return f"warm start: {len(note['results'])} of {note['total']} results of {note['study']} can be used{why}"


def _unlike(header: Mapping[str, Any], space: Space, digests: Mapping[str, str]) -> list[str]:
    """Why scores of the earlier study cannot be compared with those of this space."""
    old, new = header["canonical"], space.canonical()
    keys = {"search": ("metric", "mode", "smooth_epochs"), "budget": tuple(new["budget"])}
    before = {section: {key: old[section].get(key) for key in names} for section, names in keys.items()}
    after = {section: {key: new[section].get(key) for key in names} for section, names in keys.items()}
    there = header.get("digests", {})
    others = [f"another {what}" for what, digest in digests.items() if there.get(what) != digest]
    return [*others, *difference(before, after)]


def _result(earlier: Record, trial: TrialRecord, space: Space) -> dict[str, Any] | None:
    by = space.search.objectives
    metrics = {name: trial.last.get(name, math.nan) for name in (*by.metrics, *by.limits)}
    if not trial.epochs or not all(map(math.isfinite, metrics.values())):
        return None
    params = _params_in(space, earlier, trial)
    return params and {"params": params, "state": trial.state, "epoch": len(trial.epochs), "metrics": metrics}


def _params_in(space: Space, earlier: Record, trial: TrialRecord) -> dict[str, Any] | None:
    """The params of this space that train what the earlier trial trained; None where there are none."""

    def same(name: str, domain: Domain) -> Any:
        if name not in trial.params or not is_in(domain, trial.params[name]):
            raise LookupError(name)
        return trial.params[name]

    try:
        params = space.walk(same)
        # Compared as typed configs, in which what one file writes and the other leaves to the default is the same.
        data = DataConfig.checked(earlier.header["canonical"]["data"])
        old = training_config(without_seed(trial.params), data=data, epochs=space.budget.full)
        new = training_config(without_seed(params), data=data, epochs=space.budget.full)
    except (ConfigError, LookupError):
        return None
    return params if old == new else None


def is_in(domain: Domain, value: Any) -> bool:
    """Whether a domain has this value.

    >>> from search.domains import Float, Int
    >>> is_in(Float(2.0, 64.0), 2), is_in(Int(1, 4), 2.5), is_in(Choice(([1, 2], [3])), [1, 2])
    (True, False, True)
    """
    if isinstance(domain, Choice):
        return label(value) in domain.labels()
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and domain.low <= value <= domain.high and (isinstance(domain.low, float) or value == int(value))


def without_seed(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name != "seed"}
