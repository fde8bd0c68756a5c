"""How many effective networks a space has: its different trainings, however many sets of params there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mgc.models import model_class
from search.domains import Domain, Float, values
from search.params import combinations
from search.prepare import Ground
from search.space import Space

MAX_COMBINATIONS = 200
"""Of the listed params; with more, nobody waits for the count."""
STEP = 1e-4
"""Networks whose range is narrower than this share of the domain's may be overlooked."""


def count_networks(ground: Ground) -> str:
    """The number of effective networks, for people: `125`, or why it is not a number.

    A real param that the network rounds (the SE ratio) makes a staircase, whose steps are counted. Any other makes
    endlessly many.
    """
    stairs = [name for name, param in ground.space.varying.items() if isinstance(param.domain, Float)]
    if any(name not in _rounded(ground.space) for name in stairs) or len(stairs) > 1:
        return "endlessly many"
    if ground.space.size != math.inf and ground.space.size > MAX_COMBINATIONS:
        return f"up to {ground.space.size:,}"
    keys: set[str] = set()
    for params in _listed(ground.space):
        keys |= set(_steps(params, ground.space.varying, ground.network_key))
    return f"{len(keys):,}"


def _rounded(space: Space) -> set[str]:
    """Real params of which the models make whole numbers."""
    model = space.params["model"]
    names = [model.value] if model.domain is None else values(model.domain)
    return set.intersection(*(set(model_class(name).rounded) for name in names))


def _listed(space: Space) -> Iterator[dict[str, Any]]:
    """Every combination of the listed params; real ones at their low end."""

    def listed(name: str, domain: Domain) -> tuple[Any, ...]:
        return (domain.low,) if isinstance(domain, Float) else values(domain)

    return combinations(tuple(space.ordered), listed)


def _steps(params: Mapping[str, Any], varying: Mapping[str, Any], key: Callable[[Mapping[str, Any]], str]) -> Iterator[str]:
    """The keys along the one real param that these params have, or their own."""
    for name in params:
        domain = varying[name].domain if name in varying else None
        if isinstance(domain, Float):
            low, high = (key({**params, name: end}) for end in (domain.low, domain.high))
            yield from (low, high)
            yield from _between(domain.low, low, domain.high, high, lambda x: key({**params, name: x}), STEP * (domain.high - domain.low))
            return
    yield key(params)


def _between(a: float, key_a: str, b: float, key_b: str, key: Callable[[float], str], step: float) -> Iterator[str]:
    """The keys strictly between two points with known ones; equal ends have one step between them."""
    if key_a == key_b or b - a < step:
        return
    middle = (a + b) / 2
    key_m = key(middle)
    yield key_m
    yield from _between(a, key_a, middle, key_m, key, step)
    yield from _between(middle, key_m, b, key_b, key, step)
