"""What users of other tools write in a space file, and how it is written here: W&B's sweeps, Optuna, Ray Tune.

Knows the words of those tools and of ours, and no document. Nothing of it is accepted: it ends the line of an error.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

KEYS: Mapping[str, str] = {
    "direction": "search.mode: max or min",
    "directions": "search.mode: [max, min]",
    "goal": "search.mode: max or min",
    "n_trials": "search.trials",
    "num_samples": "search.trials",
    "run_cap": "search.trials",
    "method": "search.sampler",
    "algorithm": "search.sampler",
    "search_alg": "search.sampler",
    "pruner": "budget.scheduler",
    "early_terminate": "budget.scheduler",
    "max_t": "budget.max_epochs",
    "max_iter": "budget.max_epochs",
    "max_resource": "budget.max_epochs",
    "grace_period": "budget.min_epochs",
    "min_iter": "budget.min_epochs",
    "min_resource": "budget.min_epochs",
    "eta": "budget.reduction_factor",
    "parameters": "params",
    "param_space": "params",
    "hyperparameters": "params",
}
"""Keys of other tools, and what is written here instead."""

_LOWS, _HIGHS, _LISTS = ("min", "low", "lower"), ("max", "high", "upper"), ("values", "choices", "categories")
_STEPS = ("step", "q", "step_size")


def own_key(key: str) -> str:
    """What is written here for a key of another tool, for the end of a line; '' for a key of none.

    >>> own_key("n_trials"), own_key("colour")
    (' (here it is search.trials)', '')
    """
    return f" (here it is {KEYS[key]})" if key in KEYS else ""


def own_domain(raw: Mapping[str, Any]) -> str | None:
    """What is written here for a domain of another tool; None for what is none.

    >>> own_domain({"min": 0.1, "max": 1.0}), own_domain({"distribution": "q_uniform", "values": [8, 16]})
    ('{uniform: [0.1, 1.0]}', '{choice: [8, 16]}')
    >>> own_domain({"low": 1e-5, "high": 0.1, "log": True}), own_domain({"min": 2}), own_domain({"min": 1, "max": 9})
    ('{loguniform: [1e-05, 0.1]}', None, '{int: [1, 9]}')
    >>> own_domain({"distribution": "q_uniform", "min": 16, "max": 64, "q": 8})
    '{int: [16, 64], step: 8}'
    """
    if (listed := _first(raw, _LISTS)) is not None:
        return f"{{choice: {_text(listed)}}}" if isinstance(listed, list) else None
    low, high = _first(raw, _LOWS), _first(raw, _HIGHS)
    if not _is_number(low) or not _is_number(high):
        return None
    form = "int" if isinstance(low, int) and isinstance(high, int) else "uniform"
    by_logarithm = raw.get("log") is True or str(raw.get("distribution", raw.get("type", ""))).startswith("log")
    step = _first(raw, _STEPS)
    if _is_number(step) and not by_logarithm:
        return f"{{{form}: {_text([low, high])}, step: {_text([step])[1:-1]}}}"
    return f"{{{ ({'int': 'logint', 'uniform': 'loguniform'}[form] if by_logarithm else form) }: {_text([low, high])}}}"


def to_try(values: list[Any]) -> str:
    """How several values to try are written, for the end of a line about a list.

    >>> to_try(["crnn", "se_cnn"])
    ' (to try each: {choice: [crnn, se_cnn]})'
    """
    return f" (to try each: {{choice: {_text(values)}}})"


def _first(raw: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((raw[name] for name in names if name in raw), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(values: list[Any]) -> str:
    """A list as a space file has it: words without quotes.

    >>> _text(["adam", 0.5, [1, 2]])
    '[adam, 0.5, [1, 2]]'
    """
    return f"[{', '.join(each if isinstance(each, str) else json.dumps(each) for each in values)}]"
