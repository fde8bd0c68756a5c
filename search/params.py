"""The `params` of a space: each a value or a domain, some only `when` others have certain values. Knows no models."""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mgc.config import ConfigError, check_known
from mgc.wording import nearest
from search.document import Document, Key, dotted
from search.domains import FORMS, Domain, domain, label, values


@dataclass(frozen=True)
class Condition:
    """Holds where the other param is active and has one of the values."""

    param: str
    values: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.param} = {' or '.join(map(label, self.values))}"


@dataclass(frozen=True, kw_only=True)
class Param:
    """A fixed value, or a domain to choose from; active where all of `when` hold. `key` is its place in the file."""

    name: str
    value: Any = None
    domain: Domain | None = None
    when: tuple[Condition, ...] = ()
    key: Key = field(default=(), compare=False)

    def canonical(self) -> Any:
        """The param as a file may write it: the same for every way to write the same."""
        when = {condition.param: list(condition.values) for condition in self.when}
        if self.domain is None:
            return {"value": self.value, "when": when} if when else self.value
        return {**written(self.domain), **({"when": when} if when else {})}


def written(of: Domain) -> dict[str, Any]:
    """A domain as a file writes it: {"uniform": [2.0, 64.0]}."""
    return {of.form: list(of.ends())}


Choose = Callable[[str, Domain], Any]


def walk(order: Iterable[Param], choose: Choose) -> dict[str, Any]:
    """The active params of one config; `choose` is asked for the value of each active domain, conditions first."""
    chosen: dict[str, Any] = {}
    for param in order:
        if all(condition.param in chosen and chosen[condition.param] in condition.values for condition in param.when):
            chosen[param.name] = param.value if param.domain is None else choose(param.name, param.domain)
    return chosen


def combinations(order: Sequence[Param], values_of: Callable[[str, Domain], Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Every combination of the listed values once: an odometer whose wheels are the domains that a walk meets."""
    wheels: list[int] = []
    while True:
        sizes: list[int] = []

        def turned(name: str, of: Domain, sizes: list[int] = sizes) -> Any:
            listed = values_of(name, of)
            if len(sizes) == len(wheels):
                wheels.append(0)
            sizes.append(len(listed))
            return listed[wheels[len(sizes) - 1]]

        yield walk(order, turned)
        while wheels and wheels[-1] + 1 == sizes[len(wheels) - 1]:
            wheels.pop()
        if not wheels:
            return
        wheels[-1] += 1


def ordered(params: Mapping[str, Param]) -> tuple[Param, ...]:
    """The params with every condition's param before those that depend on it."""
    graph = {name: [condition.param for condition in param.when] for name, param in params.items()}
    return tuple(params[name] for name in graphlib.TopologicalSorter(graph).static_order())


def with_ancestors(params: Mapping[str, Param], names: Iterable[str]) -> dict[str, Param]:
    """The named params and all that their being active depends on."""
    found, todo = set(), list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [condition.param for condition in params[name].when]
    return {name: param for name, param in params.items() if name in found}


def read_params(document: Document) -> dict[str, Param]:
    """The checked params of a document in its order, and `data.fold` among them where it varies."""
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
        check_known(raw, (*FORMS, "value", "when"))
    except ConfigError as error:
        raise document.error((*key, error.key or ""), str(error)) from None
    forms = [form for form in raw if form != "when"]
    if len(forms) != 1:
        got = " and ".join(forms) or "none"
        raise document.error(key, f"{section}.{name} must have one of value, {', '.join(FORMS)}, got {got}")
    when = _when(document, (*key, "when"), raw["when"]) if "when" in raw else ()
    if forms == ["value"]:
        return Param(name=name, value=raw["value"], when=when, key=key)
    try:
        return Param(name=name, domain=domain(forms[0], raw[forms[0]]), when=when, key=key)
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
                known = nearest(condition.param, params)
                raise document.error(key, f"{dotted(key[:-1])} must name params, got {condition.param!r}{known}")
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
    """SpaceError for a condition on a value that the other param never has, neither here nor in `also`."""
    for param in params.values():
        for condition in param.when:
            parent = params[condition.param]
            possible = [*(values(parent.domain) if parent.domain else (parent.value,)), *also.get(parent.name, ())]
            for value in condition.values:
                if value not in possible:
                    known = nearest(label(value), map(label, possible))
                    key = (*param.key, "when", condition.param)
                    raise document.error(key, f"{dotted(key)} must be a value of {parent.name}, got {value!r}{known}")
