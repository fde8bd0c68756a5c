"""That every config of a space is valid: the sections that own its params try the ends and listed values of domains.

Rules that tie params together hold for all values between the ends if they hold at the ends; so corners suffice.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from mgc.config import SHARED_SECTIONS, ConfigError, known_keys, training_config
from mgc.models import MODELS, model_class
from mgc.wording import nearest
from search.document import Document, Key, dotted
from search.domains import Domain, values
from search.params import Param, combinations, ordered, walk, with_ancestors

if TYPE_CHECKING:
    from search.space import Space

MAX_CORNERS = 300
"""Up to so many corners are all tried; of more, each end of each domain, and as many drawn corners."""

TIES = ("model", "modality")
"""Params that decide which others make sense, whatever section those are of."""

Ends = Callable[[str, Domain], Sequence[Any]]

SHARED_KEYS = [section.keys() for section in SHARED_SECTIONS]


def check_every_config(document: Document, space: Space) -> None:
    """SpaceError for the first param that breaks a rule in some config of the space."""
    models = _models(document, space.params)
    for name in space.params:
        _check_owner(document, space.params, name, models)
    for group in _groups(space.params):
        params = with_ancestors(space.params, [*group, *(name for name in TIES if name in space.params)])
        for corner in corners(params):
            _check_corner(document, space, corner)


def _models(document: Document, params: Mapping[str, Param]) -> tuple[str, ...]:
    """The models that the space names."""
    if "model" not in params:
        raise document.error(("params",), f"params.model is missing (there is {', '.join(sorted(MODELS))})")
    param = params["model"]
    if param.when:
        raise document.error((*param.key, "when"), "params.model must not have a condition: every training has a model")
    models: tuple[Any, ...] = param.domain.ends() if param.domain is not None else (param.value,)
    for model in models:
        if not isinstance(model, str):
            raise document.error(param.key, f"params.model must be a name, got {model!r}")
        try:
            model_class(model)
        except ConfigError as error:
            raise document.error(param.key, f"params.model: {error}") from None
    return models


def _check_owner(document: Document, params: Mapping[str, Param], name: str, models: Sequence[str]) -> None:
    """Each param must be known to every model beside which it can be active."""
    for corner in corners(with_ancestors(params, [name, "model"])):
        model = corner["model"]
        if name not in corner or name in (known := known_keys(model_class(model))):
            continue
        key = params[name].key
        owners = [other for other in models if name in known_keys(model_class(other))]
        if not owners:
            raise document.error(key, f"unknown key {name!r}{nearest(name, known)}")
        when = owners[0] if len(owners) == 1 else f"[{', '.join(owners)}]"
        raise document.error(key, f"{dotted(key)} must stand under `when: {{model: {when}}}`, got it beside {model}")


def _groups(params: Mapping[str, Param]) -> list[list[str]]:
    """Params that rules may tie together: those of one section, those of the models, and the others."""
    shared = [[name for name in keys if name in params] for keys in SHARED_KEYS]
    own = [name for name in params if not any(name in keys for keys in SHARED_KEYS)]
    return [group for group in (*shared, own) if group]


def corners(params: Mapping[str, Param]) -> Iterator[dict[str, Any]]:
    """Configs with every domain at one of its ends, or at each of its values where others depend on it."""
    order = ordered(params)
    parents = {condition.param for param in order for condition in param.when}

    def ends(name: str, domain: Domain) -> Sequence[Any]:
        return values(domain) if name in parents else domain.ends()

    found = list(islice(combinations(order, ends), MAX_CORNERS + 1))
    yield from found[:MAX_CORNERS]
    if len(found) > MAX_CORNERS:
        for name in params:
            yield from combinations(order, _first_beside(ends, with_ancestors(params, [name])))
        rng = random.Random(0)
        for _ in range(MAX_CORNERS):
            yield walk(order, lambda n, domain: rng.choice(ends(n, domain)))


def _first_beside(ends: Ends, all_of: Collection[str]) -> Ends:
    """Every end of the named params, the first of each other."""
    return lambda name, domain: ends(name, domain)[: None if name in all_of else 1]


def _check_corner(document: Document, space: Space, corner: Mapping[str, Any]) -> None:
    try:
        training_config(corner, data=space.data, epochs=space.budget.full)
    except ConfigError as error:
        keys = {name: _place(space.params[name], value) for name, value in corner.items()}
        raise document.located(error, keys, ("params",)) from None


def _place(param: Param, value: Any) -> Key:
    """Where a value of a param is written."""
    if param.domain is None or value not in (ends := param.domain.ends()):
        return param.key
    return (*param.key, param.domain.form, ends.index(value))
