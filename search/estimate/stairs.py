"""Effective networks along a param that the network rounds (the SE ratio): how many there are, where they change."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from mgc.clips.cutting import clip_shape
from mgc.datasets.registry import open_dataset
from mgc.models.registry import model_class
from mgc.networks.effective import effective_network
from mgc.tracks.dataset import Dataset
from search.execution.ground import Ground
from search.execution.spec import trial_spec
from search.record.notes import STAIRS
from search.record.record import Record
from search.record.trial import TrialRecord
from search.space.domains import Domain, Float, values
from search.space.params import combinations, ordered
from search.space.space import Space

MAX_COMBINATIONS = 200
"""Of the listed params; with more, nobody waits for the count."""
STEP = 1e-4
"""Networks whose range is narrower than this share of the domain's may be overlooked."""

STAIR_STEPS = 24
"""Halvings by which the end of a step is found."""

Key = Callable[[Mapping[str, Any]], str]
"""Gives the key of the effective network of params."""


def count_networks(ground: Ground) -> str:
    """The number of effective networks, for people: `125`, or why it is not a number.

    A real param that the network rounds (the SE ratio) makes a staircase, whose steps are counted. Any other makes
    infinitely many.
    """
    domains = {name: param.domain for name, param in ground.space.varying.items()}
    stairs = [(name, of) for name, of in domains.items() if isinstance(of, Float) and of.step is None]
    if any(name not in _rounded(ground.space) for name, _ in stairs) or len(stairs) > 1:
        return "infinitely many"
    listed = list(islice(_listed(ground.space), MAX_COMBINATIONS + 1))
    if len(listed) > MAX_COMBINATIONS:
        return f"more than {MAX_COMBINATIONS}"
    stair = stairs[0] if stairs else None
    return f"{len(set().union(*(_steps(params, stair, ground.network_key) for params in listed))):,}"


def _rounded(space: Space) -> set[str]:
    """The params of real numbers that every model of the space rounds to whole ones."""
    model = space.params["model"]
    names = [model.value] if model.domain is None else values(model.domain)
    return set.intersection(*(set(model_class(name).rounded) for name in names))


def _listed(space: Space) -> Iterator[dict[str, Any]]:
    """Every combination of the listed params; the real one at its low end."""

    def listed(name: str, domain: Domain) -> tuple[Any, ...]:
        return (domain.low,) if isinstance(domain, Float) and domain.step is None else values(domain)

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


def note_stairs(record: Record) -> None:
    """Note the steps of each rounded param (the SE ratio): from where to where it makes a trial's network."""
    canonical = record.header.canonical
    ranges = {name: form["uniform"] for name, form in canonical["params"].items() if _is_range(form)}
    trials = record.trials()
    dataset = open_dataset(canonical["data"]["dataset"], progress=False) if trials and ranges else None
    steps: dict[str, dict[str, list[float]]] = {}
    for trial in trials:
        for name, ends in ranges.items():
            rounded = model_class(trial.params["model"]).rounded
            if dataset and name in trial.varying and name in rounded and trial.network not in steps.get(name, {}):
                step = _step(record, trial, name, ends, dataset)
                steps.setdefault(name, {})[trial.network] = step
    record.note(STAIRS, steps)


def _is_range(form: Any) -> bool:
    return isinstance(form, Mapping) and "uniform" in form and "step" not in form


def _step(record: Record, trial: TrialRecord, name: str, ends: list[float], dataset: Dataset) -> list[float]:
    """Lowest and highest value of the param that makes the trial's network, the others being as they are."""
    spec = trial_spec(record, trial)

    def is_same(value: float) -> bool:
        config = replace(spec, params={**spec.params, name: value}).config()
        return effective_network(config, clip_shape(config, dataset), len(dataset.genres)) == trial.network

    return [_edge(trial.params[name], end, is_same) for end in ends]


def _edge(inside: float, end: float, is_same: Callable[[float], bool]) -> float:
    """The value nearest to `end` that is still the same, by halving."""
    if is_same(end):
        return end
    for _ in range(STAIR_STEPS):
        middle = (inside + end) / 2
        inside, end = (middle, end) if is_same(middle) else (inside, middle)
    return inside
