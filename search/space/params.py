"""The `params` of a space: each a value or a domain, some under a condition (`when`). Knows no models."""

from __future__ import annotations

import graphlib
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

from mgc.words.errors import ConfigError, check_names, nearest
from search.space.document import Document, Key, dotted
from search.space.domains import FORMS, Domain, Float, Int, domain, hashable, label, values
from search.space.foreign import own_domain

MAX_CORNERS = 300
"""Up to so many corners of a space are all tried."""


@dataclass(frozen=True)
class Condition:
    """Holds in a config where the param `param` is active and has one of the values."""

    param: str
    values: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.param} = {' or '.join(map(label, self.values))}"

    def holds(self, chosen: Mapping[str, Any]) -> bool:
        """Whether it holds beside these values, in which an inactive param is missing."""
        return self.param in chosen and hashable(chosen[self.param]) in self._allowed

    @cached_property
    def _allowed(self) -> frozenset[Any]:
        return frozenset(map(hashable, self.values))


@dataclass(frozen=True, kw_only=True)
class Param:
    """A fixed value, or a domain. It is active in a config, that is part of it, where all conditions of `when` hold.

    `key` is the path to it in the file; () for a param that no file has.
    """

    name: str
    value: Any = None
    domain: Domain | None = None
    when: tuple[Condition, ...] = ()
    key: Key = field(default=(), compare=False)

    def is_active(self, chosen: Mapping[str, Any]) -> bool:
        """Whether all conditions hold beside the values of the params that stand before this one."""
        return all(condition.holds(chosen) for condition in self.when)

    def key_of(self, value: Any) -> Key:
        """The path to one of its values in the file, or to the param where the value is not written out."""
        if self.domain is None or value not in (ends := self.domain.ends()):
            return self.key
        return (*self.key, self.domain.form, ends.index(value))

    def canonical(self) -> Any:
        """The param as plain data of one form: equal for params that mean the same."""
        when = {condition.param: list(condition.values) for condition in self.when}
        if self.domain is None:
            return {"value": self.value, "when": when} if when else self.value
        return {**written(self.domain), **({"when": when} if when else {})}


def written(of: Domain) -> dict[str, Any]:
    """A domain as a file has it: {"uniform": [2.0, 64.0]}, or {"int": [32, 128], "step": 16}."""
    plain = {of.form: list(of.ends())}
    match of:
        case Float(step=float(step)):
            return {**plain, "step": step}
        case Int(step=step) if step != 1:
            return {**plain, "step": step}
    return plain


Choose = Callable[[str, Domain], Any]
"""Gives a param, by its name and its domain, one value."""

ValuesOf = Callable[[str, Domain], Sequence[Any]]
"""Gives a param, by its name and its domain, all values that it is to take."""


def walk(order: Iterable[Param], choose: Choose) -> dict[str, Any]:
    """The active params of one config. `order`: every param after those that its conditions name."""
    chosen: dict[str, Any] = {}
    for param in order:
        if param.is_active(chosen):
            chosen[param.name] = param.value if param.domain is None else choose(param.name, param.domain)
    return chosen


def combinations(order: Sequence[Param], values_of: ValuesOf) -> Iterator[dict[str, Any]]:
    """Every combination of the values once, the last param changing fastest. `order` is as in `walk`."""
    return _continued({}, order, values_of)


def _continued(chosen: dict[str, Any], order: Sequence[Param], values_of: ValuesOf) -> Iterator[dict[str, Any]]:
    """Every combination that begins with the chosen values."""
    if not order:
        yield chosen
        return
    param, *others = order
    if not param.is_active(chosen):
        yield from _continued(chosen, others, values_of)
        return
    for value in (param.value,) if param.domain is None else values_of(param.name, param.domain):
        yield from _continued({**chosen, param.name: value}, others, values_of)


def corners(params: Mapping[str, Param]) -> Iterator[dict[str, Any]]:
    """Configs with every domain at one of its ends, or at each of its values where other params depend on it.

    Of more than MAX_CORNERS: the first so many, each end of each domain, and as many drawn corners.
    """
    order, parents = ordered(params), parents_of(params)

    def ends(name: str, domain: Domain) -> Sequence[Any]:
        return values(domain) if name in parents else domain.ends()

    first = list(islice(combinations(order, ends), MAX_CORNERS + 1))
    yield from first[:MAX_CORNERS]
    if len(first) > MAX_CORNERS:
        for name in params:
            yield from combinations(order, _ends_of_some(ends, with_ancestors(params, [name])))
        rng = random.Random(0)
        for _ in range(MAX_CORNERS):
            yield walk(order, lambda name, domain: rng.choice(ends(name, domain)))


def _ends_of_some(ends: ValuesOf, names: Collection[str]) -> ValuesOf:
    """Every end of the named params, and only the first end of each other."""
    return lambda name, domain: ends(name, domain)[: None if name in names else 1]


def ordered(params: Mapping[str, Param]) -> tuple[Param, ...]:
    """The params so that each stands after those that its conditions name. graphlib.CycleError where none can."""
    graph = {name: [condition.param for condition in param.when] for name, param in params.items()}
    return tuple(params[name] for name in graphlib.TopologicalSorter(graph).static_order())


def parents_of(params: Mapping[str, Param]) -> set[str]:
    """The params that conditions name."""
    return {condition.param for param in params.values() for condition in param.when}


def with_ancestors(params: Mapping[str, Param], names: Iterable[str]) -> dict[str, Param]:
    """The named params, those that their conditions name, those that the conditions of these name, and so on."""
    family, todo = set(), list(names)
    while todo:
        name = todo.pop()
        if name not in family:
            family.add(name)
            todo += [condition.param for condition in params[name].when]
    return {name: param for name, param in params.items() if name in family}


def read_params(document: Document) -> dict[str, Param]:
    """The params of a document in its order, checked by themselves; `data.fold` is one where it is a mapping."""
    params = {str(name): _param(document, ("params", name)) for name in document.section("params")}
    fold = document.section("data").get("fold")
    if isinstance(fold, dict):
        if "fold" in params:
            raise document.error(("params", "fold"), "params.fold and data.fold exclude each other, got both")
        params["fold"] = _param(document, ("data", "fold"))
    _check_conditions(document, params)
    return params


def _param(document: Document, key: Key) -> Param:
    section, name = map(str, key)
    raw = document.section(section)[name]
    if not isinstance(raw, dict):
        return Param(name=name, value=raw, key=key)
    try:
        check_names(raw, (*FORMS, "value", "step", "when"))
    except ConfigError as error:
        ours = own_domain(raw)
        text = str(error) if ours is None else f"unknown key {error.key!r} (here it is {name}: {ours})"
        raise document.error((*key, error.key or ""), text) from None
    forms = [form for form in raw if form not in ("when", "step")]
    if len(forms) != 1:
        got = " and ".join(forms) or "none"
        raise document.error(key, f"{section}.{name} must have one of value, {', '.join(FORMS)}, got {got}")
    when = _when(document, (*key, "when"), raw["when"]) if "when" in raw else ()
    if forms == ["value"] and "step" in raw:
        raise document.error((*key, "step"), f"{section}.{name} must have no step beside value, got {raw['step']!r}")
    if forms == ["value"]:
        return Param(name=name, value=raw["value"], when=when, key=key)
    try:
        return Param(name=name, domain=domain(forms[0], raw[forms[0]], raw.get("step")), when=when, key=key)
    except ConfigError as error:
        raise document.error((*key, forms[0]), f"{section}.{name}: {error}") from None


def _when(document: Document, key: Key, raw: Any) -> tuple[Condition, ...]:
    if not isinstance(raw, dict) or not raw:
        raise document.error(key, f"{dotted(key)} must be {{param: value}}, got {raw!r}")
    for name, allowed in raw.items():
        if isinstance(allowed, dict) or allowed == []:
            raise document.error((*key, name), f"{dotted((*key, name))} must be a value or several, got {allowed!r}")
    return tuple(
        Condition(name, tuple(allowed) if isinstance(allowed, list) else (allowed,)) for name, allowed in raw.items()
    )


def _check_conditions(document: Document, params: Mapping[str, Param]) -> None:
    for param in params.values():
        for condition in param.when:
            key = (*param.key, "when", condition.param)
            parent = params.get(condition.param)
            if parent is None:
                hint = nearest(condition.param, params)
                raise document.error(key, f"{dotted(key[:-1])} must name params, got {condition.param!r}{hint}")
            _check_listed(document, key, parent)
    try:
        ordered(params)
    except graphlib.CycleError as error:
        circle = error.args[1][::-1]
        key = (*params[circle[0]].key, "when")
        raise document.error(key, f"{dotted(key)} must not go in a circle, got {' -> '.join(circle)}") from None


def _check_listed(document: Document, key: Key, parent: Param) -> None:
    if parent.domain is not None:
        try:
            values(parent.domain)
        except ConfigError as error:
            raise document.error(key, f"{dotted(key)}: the param of a condition {error}") from None


def check_possible(document: Document, params: Mapping[str, Param], also: Mapping[str, Collection[Any]]) -> None:
    """SpaceError for a condition on a value that the param which it names never has, neither here nor in `also`."""
    for param in params.values():
        for condition in param.when:
            parent = params[condition.param]
            possible = [*(values(parent.domain) if parent.domain else (parent.value,)), *also.get(parent.name, ())]
            known = set(map(hashable, possible))
            for value in condition.values:
                if hashable(value) not in known:
                    hint = nearest(label(value), map(label, possible))
                    key = (*param.key, "when", condition.param)
                    raise document.error(key, f"{dotted(key)} must be a value of {parent.name}, got {value!r}{hint}")
