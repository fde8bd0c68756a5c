"""The features by name: those that are shipped, and those of plug-ins, which have hyperparameters of their own.

Imports no torch, so that a space file is checked in milliseconds.
"""

from __future__ import annotations

import inspect
import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from pydantic import create_model

from mgc.config import SHARED_KEYS, FeatureConfig
from mgc.words.errors import ConfigError, close_to

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")


class Feature(FeatureConfig):
    """A feature of a plug-in: its own hyperparameters beside those of every feature, and the pictures that it makes."""

    paper: ClassVar[Mapping[str, Any]] = {}
    """Its values for keys of the shared sections, where they differ from the defaults there and from the model's."""
    place: ClassVar[str]
    """File and line of its declaration, with which an error begins."""

    @property
    @abstractmethod
    def bins(self) -> int:
        """Rows of the picture, or values of a vector."""

    @abstractmethod
    def build(self) -> nn.Module:
        """The module from waveforms (B, S) in [-1, 1) at `sr` Hz to pictures (B, bins, 1 + S // hop_length).

        Column t is centered at sample t x hop_length. Each picture depends on its own waveform alone. torch's generator
        draws the weights, if there are any.
        """


FEATURES: dict[str, type[FeatureConfig]] = dict.fromkeys(("stft_db", "log_mel", "embedding"), FeatureConfig)
"""By the value of `spectrogram`: the shipped features, which share one config, then those of the plug-ins in use."""


def feature_class(name: object) -> type[FeatureConfig]:
    """The config class of the feature that `spectrogram` names; ConfigError for an unknown name."""
    if not isinstance(name, str) or name not in FEATURES:
        raise ConfigError(
            f"spectrogram must be one of {', '.join(FEATURES)}, got {name!r}{close_to(name, FEATURES)}", "spectrogram"
        )
    return FEATURES[name]


def own_keys(feature: type[FeatureConfig]) -> tuple[str, ...]:
    """The hyperparameters that this feature alone has."""
    return tuple(key for key in feature.keys() if key not in FeatureConfig.keys())


def add(name: str, feature: type[Feature], *, plugin: str, place: str) -> None:
    """Enter a plug-in's feature under its name. `plugin` is the plug-in's digest, `place` file and line.

    ConfigError, and nothing entered, for one that a study could not use.
    """
    _check(name, feature)
    named = create_model(
        feature.__name__, __base__=feature, __module__=feature.__module__, spectrogram=(_literal(name), name)
    )
    named.plugin, named.place = plugin, place
    try:
        named.checked(named.checked({}).model_dump())  # pydantic checks no default by itself
    except ConfigError as error:
        raise ConfigError(f"every field of {name} must have a default that keeps its own rules: {error}") from None
    FEATURES[name] = named


def _literal(name: str) -> Any:
    """The type of this one text."""
    return Literal[name]


def _check(name: str, feature: object) -> None:
    if not isinstance(feature, type) or not issubclass(feature, Feature):
        raise ConfigError(f"a feature must be a class of Feature, got {getattr(feature, '__name__', feature)!r}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ConfigError(f"a feature's name must be small letters, digits and _, got {name!r}")
    if name in FEATURES:
        raise ConfigError(f"there is a feature {name!r} already; give this one another name")
    if taken := [key for key in _annotated(feature) if key in SHARED_KEYS]:
        raise ConfigError(f"{name}.{taken[0]} is a hyperparameter of every model already; give this one another name")
    if not isinstance(inspect.getattr_static(feature, "bins", None), property) or "bins" in feature.__abstractmethods__:
        raise ConfigError(f"{name} must have a property bins, the rows of its pictures")
    arguments = tuple(inspect.signature(feature.build).parameters)
    if "build" in feature.__abstractmethods__ or arguments != ("self",):
        got = "none" if "build" in feature.__abstractmethods__ else f"build({', '.join(arguments)})"
        raise ConfigError(f"{name} must have build(self), got {got}")


def _annotated(feature: type[Feature]) -> list[str]:
    """The names that the class itself, or a class between it and Feature, gives a type."""
    own = feature.__mro__[: feature.__mro__.index(Feature)]
    return [key for each in own for key in inspect.get_annotations(each)]
