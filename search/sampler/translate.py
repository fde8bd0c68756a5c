"""Our domains and params in Optuna's words, and back. Knows no results and no sampler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from search.space.domains import Choice, Domain, Float, Int, label
from search.space.params import Choose
from search.space.space import Space


@dataclass(frozen=True)
class Candidate:
    """The params of a trial that may be."""

    params: Mapping[str, Any]
    """All that are active, fixed ones included."""
    domains: Mapping[str, Domain]
    """Of those whose value was chosen."""

    @classmethod
    def chosen(cls, space: Space, choose: Choose) -> Candidate:
        """The candidate whose values `choose(name, domain)` gives; it is asked for active params only."""
        domains: dict[str, Domain] = {}

        def chosen(name: str, domain: Domain) -> Any:
            domains[name] = domain
            return choose(name, domain)

        return cls(space.walk(chosen), domains)

    @property
    def varying(self) -> dict[str, Any]:
        return {name: self.params[name] for name in self.domains}

    @property
    def labels(self) -> dict[str, Any]:
        """The chosen values as Optuna stores them."""
        return {name: stored(domain, self.params[name]) for name, domain in self.domains.items()}

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        return {name: distribution(domain) for name, domain in self.domains.items()}


def distribution(domain: Domain) -> BaseDistribution:
    """A domain as Optuna's distribution."""
    match domain:
        case Float(low, high, log, step):
            return FloatDistribution(low, high, log=log, step=step)
        case Int(low, high, log, step):
            return IntDistribution(low, high, log=log, step=step)
        case Choice():
            return CategoricalDistribution(domain.labels())


def suggest(trial: Trial, name: str, domain: Domain) -> Any:
    """The value that the sampler of Optuna's study gives a trial for one param, as our own value."""
    match domain:
        case Float(low, high, log, step):
            return domain.nearest(trial.suggest_float(name, low, high, log=log, step=step))
        case Int(low, high, log, step):
            return trial.suggest_int(name, low, high, log=log, step=step)
        case Choice():
            return domain.from_label(trial.suggest_categorical(name, domain.labels()))


def stored(domain: Domain, value: Any) -> Any:
    """A value as Optuna stores it: a choice by its label, since Optuna's categories must not be lists.

    >>> stored(Choice(([32, 64], [16, 32])), [16, 32])
    '[16, 32]'
    """
    return label(value) if isinstance(domain, Choice) else value


def at(domain: Domain, share: float) -> Any:
    """The value at this share, in [0, 1), of a domain's width, which a log scale measures in logarithms.

    >>> at(Float(2.0, 64.0), 0.5), at(Int(1, 4), 0.5), at(Float(0.01, 1.0, log=True), 0.5), at(Choice(("a", "b")), 0.5)
    (33.0, 3, 0.1, 'b')
    """
    match domain:
        case Float(low, high, False, None):
            return low + share * (high - low)
        case Float(low, high, True):
            return min(max(low * (high / low) ** share, low), high)
        case Float(_, _, False) | Int(_, _, False):
            return domain.nth(int(share * domain.size))
        case Int(low, high, True):
            return min(max(int(low * ((high + 1) / low) ** share), low), high)
        case Choice(values):
            return values[int(share * len(values))]
