"""How many effective networks a space has: its different trainings, however many sets of params there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from mgc.models import model_class
from search.domains import Domain, Float, values
from search.params import combinations, ordered
from search.prepare import Ground
from search.space import Space

MAX_COMBINATIONS = 200
"""Of the listed params; with more, nobody waits for the count."""
STEP = 1e-4
"""Networks whose range is narrower than this share of the domain's may be overlooked."""

Key = Callable[[Mapping[str, Any]], str]
"""Tells the effective network of params."""


def count_networks(ground: Ground) -> str:
    """The number of effective networks, for people: `125`, or why it is not a number.

    A real param that the network rounds (the SE ratio) makes a staircase, whose steps are counted. Any other makes
    endlessly many.
    """
    stairs = [(name, param.domain) for name, param in ground.space.varying.items() if isinstance(param.domain, Float)]
    if any(name not in _rounded(ground.space) for name, _ in stairs) or len(stairs) > 1:
        return "endlessly many"
    listed = list(islice(_listed(ground.space), MAX_COMBINATIONS + 1))
    if len(listed) > MAX_COMBINATIONS:
        return f"more than {MAX_COMBINATIONS}"
    stair = stairs[0] if stairs else None
    return f"{len(set().union(*(_steps(params, stair, ground.network_key) for params in listed))):,}"


def _rounded(space: Space) -> set[str]:
    """Real params of which the models make whole numbers."""
    model = space.params["model"]
    names = [model.value] if model.domain is None else values(model.domain)
    return set.intersection(*(set(model_class(name).rounded) for name in names))


def _listed(space: Space) -> Iterator[dict[str, Any]]:
    """Every combination of the listed params; the real one at its low end."""

    def listed(name: str, domain: Domain) -> tuple[Any, ...]:
        return (domain.low,) if isinstance(domain, Float) else values(domain)

    return combinations(ordered(space.params), listed)


def _steps(params: Mapping[str, Any], stair: tuple[str, Float] | None, key: Key) -> set[str]:
    """The keys of these params along the real one, or their own."""
    if stair is None or stair[0] not in params:
        return {key(params)}
    name, domain = stair
    ends = [(end, key({**params, name: end})) for end in domain.ends()]
    step = STEP * (domain.high - domain.low)
    between = _between(*ends[0], *ends[1], lambda value: key({**params, name: value}), step)
    return {ends[0][1], ends[1][1], *between}


def _between(
    low: float, key_low: str, high: float, key_high: str, key: Callable[[float], str], step: float
) -> Iterator[str]:
    """The keys strictly between two points with known ones: between equal ones there is no other."""
    if key_low == key_high or high - low < step:
        return
    middle = (low + high) / 2
    key_middle = key(middle)
    yield key_middle
    yield from _between(low, key_low, middle, key_middle, key, step)
    yield from _between(middle, key_middle, high, key_high, key, step)
