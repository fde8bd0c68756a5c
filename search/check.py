"""The door: makes a Space of a document, or one SpaceError that says where, which rule, what it got.

What a value must be is decided by the section that owns its key; here stands only which values can come together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from mgc.config import ConfigError, DataConfig, Section, check_known
from search.corners import check_every_config
from search.document import Document, dotted
from search.domains import Grid
from search.overrides import KEYS as OVERRIDABLE
from search.params import Param, check_possible, read_params
from search.space import Space
from search.study import Budget, Published, Resources, SearchConfig

S = TypeVar("S", bound=Section)

KEYS = ("description", "data", "params", "search", "budget", "resources", "profiles", "published", "reference")
"""The first level of a space file."""


def checked_space(document: Document, path: Path, *, profile: str | None = None, strict: bool = False) -> Space:
    """`strict` also refuses conditions that can never hold: for a file as it is, not for one that --set narrows."""
    _check_keys(document)
    params = read_params(document)
    space = Space(
        name=path.stem,
        path=path,
        description=_description(document),
        data=_data(document, params),
        params=params,
        search=_search(document, params),
        budget=_section(document, "budget", Budget),
        resources=_section(document, "resources", Resources),
        published=_published(document),
        profiles=tuple(document.section("profiles")),
        profile=profile,
    )
    if strict:
        check_possible(document, params, _profile_values(document))
    check_every_config(document, space)
    _check_sampler(document, space)
    return replace(space, reference=_reference(document, space))


def _check_keys(document: Document) -> None:
    try:
        check_known(document.values, KEYS)
    except ConfigError as error:
        raise document.error((error.key or "",), str(error)) from None
    if not document.section("params"):
        raise document.error(("params",), "a space must have params, got none")


def _description(document: Document) -> str:
    text = document.values.get("description", "")
    if not isinstance(text, str):
        raise document.error(("description",), f"description must be text, got {text!r}")
    return text


def _section(document: Document, name: str, section: type[S], without: Collection[str] = ()) -> S:
    given = {key: value for key, value in document.section(name).items() if key not in without}
    try:
        return section.checked(given)
    except ConfigError as error:
        raise document.located(error, {key: (name, key) for key in given}, (name,)) from None


def _data(document: Document, params: Mapping[str, Param]) -> DataConfig:
    fold_varies = "fold" in params and params["fold"].key[0] == "data"
    return _section(document, "data", DataConfig, without=("fold",) if fold_varies else ())


def _search(document: Document, params: Mapping[str, Param]) -> SearchConfig:
    """With on_repeat decided: params that give the seed themselves leave nothing to reseed or reuse."""
    search = _section(document, "search", SearchConfig)
    if "seed" not in params:
        return search.model_copy(update={"on_repeat": search.on_repeat or "reseed"})
    if search.on_repeat not in (None, "allow"):
        key = ("search", "on_repeat")
        raise document.error(key, f"search.on_repeat must be allow where params give seed, got {search.on_repeat!r}")
    return search.model_copy(update={"on_repeat": "allow"})


def _published(document: Document) -> tuple[Published, ...]:
    entries = document.values.get("published", [])
    if not isinstance(entries, list):
        raise document.error(("published",), f"published must be a list, got {entries!r}")
    return tuple(_published_entry(document, index, entry) for index, entry in enumerate(entries))


def _published_entry(document: Document, index: int, entry: Any) -> Published:
    key = ("published", index)
    if not isinstance(entry, dict):
        raise document.error(key, f"{dotted(key)} must be a mapping, got {entry!r}")
    try:
        published = Published.checked(entry)
    except ConfigError as error:
        raise document.located(error, {name: (*key, name) for name in entry}, key) from None
    try:
        check_known(published.params, (*OVERRIDABLE["params"], "epochs"))
    except ConfigError as error:
        raise document.error((*key, "params", error.key or ""), str(error)) from None
    return published


def _reference(document: Document, space: Space) -> Mapping[str, Any]:
    given = document.section("reference")
    if given:
        try:
            space.check_params(given)
        except ConfigError as error:
            raise document.located(error, {key: ("reference", key) for key in given}, ("reference",)) from None
    return given


def _profile_values(document: Document) -> dict[str, list[Any]]:
    """The values that profiles give to params, by name."""
    profiles = [values for values in document.section("profiles").values() if isinstance(values, dict)]
    found: dict[str, list[Any]] = {}
    for name, value in (item for profile in profiles for item in profile.items()):
        found.setdefault(name.removeprefix("params."), []).append(value)
    return found


def _check_sampler(document: Document, space: Space) -> None:
    """A grid has only listed domains that are to be gone through, another sampler has none of them."""
    grid = space.search.sampler == "grid"
    for param in space.varying.values():
        if isinstance(param.domain, Grid) != grid:
            needs = "a grid domain under" if grid else "a domain other than grid under"
            key = max(param.key, ("search", "sampler"), key=lambda at: document.place(at).layer)
            name, sampler = dotted(param.key), space.search.sampler
            raise document.error(key, f"{name} must have {needs} sampler {sampler}, got {param.domain}")
