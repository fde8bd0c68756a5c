"""Configs as numbers, by Optuna's distributions, and the condition under which each param stands.

A config is a row of P numbers: the share, in 0 to 1, of a numeric param's range, which a log scale measures in
logarithms; the index of a choice; NaN for a param that the config does not have. It must not know results.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from search.sampler.gaussian_process import Floats, Ints

Distributions = Mapping[str, BaseDistribution]


@dataclass(frozen=True)
class Condition:
    """Holds in a config where the param `parent` has one of the values."""

    parent: str
    values: frozenset[Hashable]


class Encoding:
    """Configs of the params that these distributions name, each under its condition, if it has one."""

    def __init__(self, distributions: Distributions, conditions: Mapping[str, Condition]) -> None:
        self.distributions, self.conditions = distributions, conditions
        self.names = list(distributions)
        self.choices_P = np.array(
            [len(of.choices) if isinstance(of, CategoricalDistribution) else 0 for of in distributions.values()]
        )
        """The number of choices of each param, 0 for a numeric one."""
        self.params_C: Ints = np.repeat(np.arange(len(self.names)), np.maximum(self.choices_P, 1))
        """The param of each column."""

    def row(self, params: Mapping[str, Any]) -> Floats:
        """A config as numbers; a value outside of its range has a share below 0 or above 1."""
        return np.array(
            [_share(of, params[name]) if name in params else math.nan for name, of in self.distributions.items()]
        )

    def params(self, row_P: Floats) -> dict[str, Any]:
        """The config of a row: only the params that it has."""
        shares = zip(self.distributions.items(), row_P.tolist(), strict=True)
        return {name: _value(of, share) for (name, of), share in shares if not math.isnan(share)}

    def columns(self, rows_NP: Floats) -> Floats:
        """The rows as points between which distances mean something: a column for a numeric param, one for each choice.

        Two choices are at a distance of 1. A param that a config does not have is in the middle of what it may be.
        """
        columns = []
        for index, num_choices in enumerate(self.choices_P):
            column = rows_NP[:, [index]]
            if num_choices:
                columns.append((column == np.arange(num_choices)) / math.sqrt(2))
            else:
                columns.append(np.where(np.isnan(column), 0.5, column))
        return np.concatenate(columns, axis=1)

    def random(self, num: int, generator: np.random.Generator) -> Floats:
        """So many rows, each param evenly over its range."""
        shares_NP = generator.random((num, len(self.names)))
        return self.possible(np.where(self.choices_P > 0, np.floor(shares_NP * self.choices_P), shares_NP))

    def near(self, rows_NP: Floats, scale: float, generator: np.random.Generator) -> Floats:
        """Each row moved in about a third of its params, at least in one: a share by about `scale`, half of the choices
        to any other.
        """
        num, num_params = rows_NP.shape
        others_NP = self.random(num, generator)
        is_moved = generator.random((num, num_params)) < max(0.3, 1.5 / num_params)
        is_moved[np.arange(num), generator.integers(num_params, size=num)] = True
        is_other = is_moved & (self.choices_P > 0) & (generator.random((num, num_params)) < 0.5)
        steps_NP = np.where(is_moved & (self.choices_P == 0), generator.normal(size=rows_NP.shape) * scale, 0.0)
        moved_NP = np.where(np.isnan(rows_NP) | is_other, others_NP, _reflected(rows_NP + steps_NP))
        for index, of in enumerate(self.distributions.values()):
            if _is_stepped(of):
                moves = zip(rows_NP[:, index].tolist(), moved_NP[:, index].tolist(), strict=True)
                moved_NP[:, index] = [_moved(of, share, moved) for share, moved in moves]
        return self.possible(moved_NP)

    def possible(self, rows_NP: Floats) -> Floats:
        """The rows as configs that can be: whole numbers where they must be, no param whose condition does not hold."""
        rows_NP = rows_NP.copy()
        for index, of in enumerate(self.distributions.values()):
            if _is_stepped(of):
                rows_NP[:, index] = [_snapped(of, share) for share in rows_NP[:, index].tolist()]
        for name in self._parents_first():
            condition = self.conditions[name]
            parent = self.names.index(condition.parent)
            allowed = [_share(self.distributions[condition.parent], value) for value in condition.values]
            is_active = np.isclose(rows_NP[:, [parent]], np.array(allowed)).any(axis=1)
            rows_NP[~is_active, self.names.index(name)] = math.nan
        return rows_NP

    def _parents_first(self) -> list[str]:
        """The params that have conditions, each after those that its condition depends on."""

        def depth(name: str) -> int:
            return 1 + depth(self.conditions[name].parent) if name in self.conditions else 0

        return sorted(self.conditions, key=depth)


def union(trials: Sequence[FrozenTrial]) -> dict[str, BaseDistribution]:
    """The params of all trials, in the order of their names, each with its newest distribution, without those that have
    one value only.
    """
    distributions: dict[str, BaseDistribution] = {}
    for trial in trials:
        distributions.update(trial.distributions)
    return {name: of for name, of in sorted(distributions.items()) if not of.single()}


def conditions(trials: Sequence[FrozenTrial], distributions: Distributions) -> dict[str, Condition]:
    """The conditions that these trials' params obey: a param is there exactly where a parent has one of some values.

    Optuna does not know conditions: an objective asks for a param or does not. Parents are choices and integers. Of
    several possible parents that one is taken that most trials have.
    """
    num_having = {name: sum(name in trial.params for trial in trials) for name in distributions}
    parents = sorted(
        (name for name, of in distributions.items() if isinstance(of, CategoricalDistribution | IntDistribution)),
        key=lambda name: -num_having[name],
    )
    found = {}
    for name in distributions:
        if num_having[name] < len(trials):
            wider = (parent for parent in parents if num_having[parent] > num_having[name])
            splits = (_split(trials, name, parent) for parent in wider)
            if condition := next((each for each in splits if each is not None), None):
                found[name] = condition
    return found


def _split(trials: Sequence[FrozenTrial], name: str, parent: str) -> Condition | None:
    """The condition on the parent that says which trials have the param; None where there is none."""
    having: set[Hashable] = set()
    lacking: set[Hashable] = set()
    for trial in trials:
        if parent in trial.params:
            (having if name in trial.params else lacking).add(trial.params[parent])
        elif name in trial.params:
            return None
    return None if having & lacking else Condition(parent, frozenset(having))


def _ends(of: BaseDistribution) -> tuple[float, float]:
    """Where the range of a numeric param begins and ends: half a step beyond its lowest and its highest value."""
    assert isinstance(of, FloatDistribution | IntDistribution)
    half = (of.step or 0) / 2
    return (math.log(of.low - half), math.log(of.high + half)) if of.log else (of.low - half, of.high + half)


def _share(of: BaseDistribution, value: Any) -> float:
    if isinstance(of, CategoricalDistribution):
        return float(of.to_internal_repr(value))
    assert isinstance(of, FloatDistribution | IntDistribution)
    low, high = _ends(of)
    return ((math.log(value) if of.log else value) - low) / (high - low)


def _value(of: BaseDistribution, share: float) -> Any:
    if isinstance(of, CategoricalDistribution):
        return of.choices[int(share)]
    assert isinstance(of, FloatDistribution | IntDistribution)
    low, high = _ends(of)
    value = low + share * (high - low)
    value = math.exp(value) if of.log else value
    if of.step is not None:
        value = of.low + round((value - of.low) / of.step) * of.step
    value = min(max(value, of.low), of.high)
    return int(value) if isinstance(of, IntDistribution) else value


def _is_stepped(of: BaseDistribution) -> bool:
    """Whether a numeric param has only some of the values in its range."""
    return getattr(of, "step", None) is not None


def _moved(of: BaseDistribution, share: float, moved: float) -> float:
    """Where a move of a stepped param leads to: to the next value at least, unless it is none."""
    assert isinstance(of, FloatDistribution | IntDistribution) and of.step is not None
    value = _value(of, share) if not math.isnan(share) else None
    if moved == share or value is None or _value(of, moved) != value:
        return moved
    value += math.copysign(of.step, moved - share)
    return _share(of, min(max(value, of.low), of.high))


def _snapped(of: BaseDistribution, share: float) -> float:
    """The share of the value that is nearest to this share."""
    return share if math.isnan(share) else _share(of, _value(of, share))


def _reflected(shares: Floats) -> Floats:
    """Shares that were moved beyond an end come back from it."""
    return np.asarray(np.clip(1 - np.abs(1 - np.abs(shares)), 0.0, 1.0))
