"""Changes a document by a profile, `--data` and `--set`, in this order. Knows keys, not what values mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mgc.config import DataConfig
from mgc.features.registry import FEATURES, own_keys
from mgc.models.registry import MODELS
from mgc.networks.training_config import allowed_keys
from mgc.words.errors import ConfigError, check_names, nearest
from search.settings.sections import STUDY_SECTIONS
from search.space.document import Document, Place, SpaceError, read_value


def changeable_keys() -> dict[str, tuple[str, ...]]:
    """The keys that a profile and `--set` may change, by section."""
    of_models = [key for model in MODELS.values() for key in allowed_keys(model)]
    of_features = [key for feature in FEATURES.values() for key in own_keys(feature)]
    return {
        "data": DataConfig.keys(),
        "params": tuple(dict.fromkeys([*of_models, *of_features])),
        **{name: section.keys() for name, section in STUDY_SECTIONS.items()},
    }


def with_profile(document: Document, name: str) -> Document:
    """The document with the values of one of its profiles."""
    profiles = document.section("profiles")
    if name not in profiles:
        there = nearest(name, profiles) if profiles else " (the file has none)"
        raise SpaceError(f"--profile {name}", f"unknown profile {name!r}{there}")
    values = profiles[name]
    if not isinstance(values, dict):
        raise document.error(("profiles", name), f"profiles.{name} must be {{section.key: value}}, got {values!r}")
    changed = document
    for key, value in values.items():
        place = document.place(("profiles", name, key)).text
        changed = _with(changed, key, value, Place(1, place))
    return changed


def with_data(document: Document, dataset: str) -> Document:
    return document.replaced("data", "dataset", dataset, Place(2, f"--data {dataset}"))


def with_settings(document: Document, settings: Sequence[str]) -> Document:
    """The document with the values of `--set KEY=VALUE` options; of several for one key the last counts."""
    for setting in settings:
        option = f"--set {setting}"
        key, equals, text = setting.partition("=")
        if not equals:
            raise SpaceError(option, f"must be KEY=VALUE, got {setting!r}")
        document = _with(document, key.strip(), read_value(text, option), Place(3, option))
    return document


def _with(document: Document, path: str, value: Any, place: Place) -> Document:
    section, _, key = path.partition(".")
    keys_of = changeable_keys()
    if not key:
        owners = [f"{name}.{path}" for name, keys in keys_of.items() if path in keys]
        there = f"did you mean {' or '.join(owners)}?" if owners else f"there is {', '.join(keys_of)}"
        raise SpaceError(place.text, f"must set SECTION.KEY, got {path!r} ({there})")
    try:
        check_names([section], keys_of, "section")
    except ConfigError as error:
        raise SpaceError(place.text, str(error)) from None
    if section == "budget":
        return document.replaced(section, key, value, place, drop=_excluded(key))
    return document.replaced(section, key, _conditional(document.section(section).get(key), value), place)


def _excluded(budget_key: str) -> tuple[str, ...]:
    """The keys that a budget with this key must not have: who sets one means it in place of the file's."""
    return ("scheduler", "min_epochs", "max_epochs", "reduction_factor") if budget_key == "epochs" else ("epochs",)


def _conditional(old: Any, new: Any) -> Any:
    """The new value under the old one's `when`: another value does not change where a param is active."""
    if not isinstance(old, dict) or "when" not in old:
        return new
    if not isinstance(new, dict):
        return {"value": new, "when": old["when"]}
    return {"when": old["when"], **new}
