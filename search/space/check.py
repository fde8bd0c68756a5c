"""The door: what a document declares, checked, or one SpaceError that says where, which rule, what it got.

What a value must be is decided by the section that owns its key; here stands only which values can come together.
Rules that tie params together hold for all values between the ends of domains if they hold at the ends: so every config
of a space is valid if its corners are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypedDict, TypeVar

from mgc.config import SHARED_SECTIONS, DataConfig, FeatureConfig, Section
from mgc.features.registry import FEATURES, own_keys
from mgc.models.registry import MODELS, model_class
from mgc.networks.training_config import allowed_keys, spectrogram_of, training_config
from mgc.words.errors import ConfigError, check_names, close_to, nearest
from search.settings.samplers import check_declared
from search.settings.sections import Budget, Published, Resources, SearchConfig
from search.space.document import Document, Key, SpaceError, dotted
from search.space.domains import Grid, contains, label, of_domain
from search.space.foreign import own_key, to_try
from search.space.overrides import changeable_keys
from search.space.params import Param, check_possible, corners, read_params, with_ancestors

S = TypeVar("S", bound=Section)

KEYS = ("description", "data", "params", "search", "budget", "resources", "profiles", "published", "reference")
"""The first level of a space file."""

TIES = ("model", "modality", "spectrogram")
"""Params that decide which others make sense, whatever section those are of."""


class Contents(TypedDict):
    """What a space file declares, under the names that search.space.space.Space has for it."""

    description: str
    data: DataConfig
    params: Mapping[str, Param]
    search: SearchConfig
    budget: Budget
    resources: Resources
    published: tuple[Published, ...]
    reference: Mapping[str, Any]
    profiles: tuple[str, ...]


def checked(document: Document, *, strict: bool = False) -> Contents:
    """The contents of a document. SpaceError for the first mistake.

    `strict` also refuses conditions that can never hold: for a file as it is, not for one that --set narrows.
    """
    check_declared()
    _check_keys(document)
    params = read_params(document)
    contents = Contents(
        description=_description(document),
        data=_data(document, params),
        params=params,
        search=_search(document, params),
        budget=_section(document, "budget", Budget),
        resources=_section(document, "resources", Resources),
        published=_published(document),
        reference=document.section("reference"),
        profiles=tuple(document.section("profiles")),
    )
    _check_params(document, params, contents["data"], contents["budget"].full)
    if strict:
        check_possible(document, params, _profile_values(document))
    _check_sampler(document, params, contents["search"])
    _check_reference(document, contents["reference"], contents["data"], contents["budget"].full)
    return contents


def _check_keys(document: Document) -> None:
    for key in document.values:
        if key not in KEYS:
            raise document.error((key,), _unknown(key, KEYS))
    if not document.section("params"):
        raise document.error(("params",), "a space must have params, got none")


def _unknown(key: str, allowed: Collection[str]) -> str:
    """What is wrong with a key that its place does not have: how it is called here, or to which section it belongs."""
    sections = [f"{section}.{key}" for section, keys in changeable_keys().items() if key in keys]
    belongs = f" (it belongs to a section: {' or '.join(sections)})" if sections else ""
    return f"unknown key {key!r}{own_key(key) or belongs or close_to(key, allowed) or nearest(key, allowed)}"


# ---- sections


def _description(document: Document) -> str:
    text = document.values.get("description", "")
    if not isinstance(text, str):
        raise document.error(("description",), f"description must be text, got {text!r}")
    return text


def _section(document: Document, name: str, section: type[S], without: Collection[str] = ()) -> S:
    values = {key: value for key, value in document.section(name).items() if key not in without}
    try:
        return section.checked(values)
    except ConfigError as error:
        if error.key in values and error.key not in section.keys():
            raise document.error((name, error.key), _unknown(error.key, section.keys())) from None
        raise document.located(error, {key: (name, key) for key in values}, (name,)) from None


def _data(document: Document, params: Mapping[str, Param]) -> DataConfig:
    fold_varies = "fold" in params and params["fold"].key[0] == "data"
    return _section(document, "data", DataConfig, without=("fold",) if fold_varies else ())


def _search(document: Document, params: Mapping[str, Param]) -> SearchConfig:
    """With `first` checked, and on_repeat decided: params that give the seed leave nothing to reseed or reuse."""
    search = _section(document, "search", SearchConfig)
    if search.first and search.is_exhaustive:
        raise document.error(("search", "first"), f"search.first must not stand beside sampler {search.sampler}")
    first = tuple(_first(document, params, ("search", "first", index), of) for index, of in enumerate(search.first))
    search = search.model_copy(update={"first": first})
    if "seed" not in params:
        return search.model_copy(update={"on_repeat": search.on_repeat or "reseed"})
    if search.on_repeat not in (None, "allow"):
        key = ("search", "on_repeat")
        raise document.error(
            key, f"search.on_repeat must be allow where seed is among the params, got {search.on_repeat!r}"
        )
    return search.model_copy(update={"on_repeat": "allow"})


def _first(document: Document, params: Mapping[str, Param], at: Key, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Params that are tried before any proposal: those of them that vary, with values of their domains."""
    for name, value in chosen.items():
        key = (*at, name)
        if name not in params:
            raise document.error(key, f"{dotted(at)} must name params, got {name!r}{nearest(name, params)}")
        for condition in params[name].when:
            beside = chosen.get(condition.param, params[condition.param].value)
            if beside not in condition.values:
                raise document.error(key, f"{dotted(key)} needs {condition}, got {label(beside)}")
        domain = params[name].domain
        if domain is None and label(value) != label(params[name].value):
            raise document.error(key, f"{dotted(key)} must be {label(params[name].value)} as in params, got {value!r}")
        if domain is not None and not contains(domain, value):
            raise document.error(key, f"{dotted(key)} must be in {domain}, got {value!r}")
    domains = {name: params[name].domain for name in chosen}
    return {name: of_domain(domain, chosen[name]) for name, domain in domains.items() if domain is not None}


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
        check_names(published.params, (*changeable_keys()["params"], "epochs"))
    except ConfigError as error:
        raise document.error((*key, "params", error.key or ""), str(error)) from None
    return published


def _check_reference(document: Document, reference: Mapping[str, Any], data: DataConfig, epochs: int) -> None:
    if not reference:
        return
    try:
        training_config(reference, data=data, epochs=epochs)
    except ConfigError as error:
        raise document.located(error, {key: ("reference", key) for key in reference}, ("reference",)) from None


def _profile_values(document: Document) -> dict[str, list[Any]]:
    """The values that profiles give to params, by name."""
    profiles = [values for values in document.section("profiles").values() if isinstance(values, dict)]
    by_name: dict[str, list[Any]] = {}
    for name, value in (item for profile in profiles for item in profile.items()):
        by_name.setdefault(name.removeprefix("params."), []).append(value)
    return by_name


def _check_sampler(document: Document, params: Mapping[str, Param], search: SearchConfig) -> None:
    """Under a sampler that goes through all combinations every domain must be a grid, under another one none."""
    needs = "a grid domain" if search.is_exhaustive else "a domain other than grid"
    for param in params.values():
        if param.domain is not None and isinstance(param.domain, Grid) != search.is_exhaustive:
            key = max(param.key, ("search", "sampler"), key=lambda at: document.place(at).layer)
            rule = f"{dotted(param.key)} must have {needs} under sampler {search.sampler}"
            raise document.error(key, f"{rule}, got {param.domain}")


# ---- every config


def _check_params(document: Document, params: Mapping[str, Param], data: DataConfig, epochs: int) -> None:
    """SpaceError for the first param that breaks a rule in some config of the space."""
    models = _models(document, params)
    for name in params:
        _check_owner(document, params, name, models)
    for group in _groups(params):
        tried = with_ancestors(params, [*group, *(name for name in TIES if name in params)])
        for corner in corners(tried):
            _check_corner(document, params, corner, data, epochs)


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
            several = to_try(model) if isinstance(model, list) and param.domain is None else ""
            raise document.error(param.key, f"params.model must be a name, got {model!r}{several}")
        try:
            model_class(model)
        except ConfigError as error:
            raise document.error(param.key, f"params.model: {error}") from None
    return models


def _check_owner(document: Document, params: Mapping[str, Param], name: str, models: Sequence[str]) -> None:
    """Each param must be known to every model, or else to every feature, beside which it can be active."""
    for corner in corners(with_ancestors(params, [name, *(tie for tie in ("model", "spectrogram") if tie in params)])):
        model = model_class(corner["model"])
        spectrogram = spectrogram_of(model, corner)
        if name not in corner or name in (allowed := allowed_keys(model, _feature(spectrogram))):
            continue
        key = params[name].key
        if owners := [other for other in models if name in model_class(other).keys()]:
            raise document.error(key, _needs(key, "model", owners, model.name))
        if owners := [other for other in FEATURES if name in own_keys(FEATURES[other])]:
            raise document.error(key, _needs(key, "spectrogram", owners, spectrogram))
        raise document.error(key, f"unknown key {name!r}{nearest(name, allowed)}")


def _feature(spectrogram: Any) -> type[FeatureConfig]:
    """The feature of this name; of an unknown one, which `training_config` refuses, the shipped ones' config."""
    return FEATURES.get(spectrogram, FeatureConfig) if isinstance(spectrogram, str) else FeatureConfig


def _needs(key: Key, of: str, owners: Sequence[str], other: str) -> str:
    when = owners[0] if len(owners) == 1 else f"[{', '.join(owners)}]"
    return f"{dotted(key)} needs `when: {{{of}: {when}}}`: {other} has no {key[-1]}"


def _groups(params: Mapping[str, Param]) -> list[list[str]]:
    """Params that rules may tie together: those of one section, of which features have more, and the others."""
    of_features = {key for feature in FEATURES.values() for key in feature.keys()}
    sections = [of_features, *(set(section.keys()) for section in SHARED_SECTIONS if section is not FeatureConfig)]
    shared = [[name for name in params if name in keys] for keys in sections]
    others = [name for name in params if not any(name in section.keys() for section in SHARED_SECTIONS)]
    return [group for group in (*shared, others) if group]


def _check_corner(
    document: Document, params: Mapping[str, Param], corner: Mapping[str, Any], data: DataConfig, epochs: int
) -> None:
    try:
        training_config(corner, data=data, epochs=epochs)
    except ConfigError as error:
        several = _several(error, params, corner, data, epochs)
        raise located(document, several or error, params, corner) from None


def _several(
    error: ConfigError, params: Mapping[str, Param], corner: Mapping[str, Any], data: DataConfig, epochs: int
) -> ConfigError | None:
    """The error again, with how several values are written, where a list was given of which each value would do."""
    name = error.key or ""
    value = corner.get(name)
    if not isinstance(value, list) or not value or params[name].domain is not None or error.items:
        return None
    for each in value:
        try:
            training_config({**corner, name: each}, data=data, epochs=epochs)
        except ConfigError:
            return None
    return ConfigError(f"{error}{to_try(value)}", name)


def located(
    document: Document, error: ConfigError, params: Mapping[str, Param], chosen: Mapping[str, Any]
) -> SpaceError:
    """The error of a config with the place of the chosen value, or of the param, that breaks the rule."""
    written = {name: params[name].key_of(value) for name, value in chosen.items() if params[name].key}
    return document.located(error, written, ("params",))
