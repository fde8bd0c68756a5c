"""The config of one training, made of a flat table of params: the shared sections, and the section of its model.

Nothing here imports torch, so that a space file is checked in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from mgc.config import SHARED_KEYS, AugmentConfig, ClipConfig, DataConfig, FeatureConfig, OptimizerConfig, Section
from mgc.features.registry import Feature, feature_class, own_keys
from mgc.models.network import NetworkConfig
from mgc.models.registry import model_class
from mgc.words.errors import ConfigError, check_names

S = TypeVar("S", bound=Section)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Everything that one training depends on, except the content of its data."""

    data: DataConfig
    features: FeatureConfig
    clips: ClipConfig
    augment: AugmentConfig
    optimizer: OptimizerConfig
    model: NetworkConfig
    epochs: int
    seed: int

    def flat(self) -> dict[str, Any]:
        """Every hyperparameter under its own name: the table that `training_config` reads."""
        sections: tuple[Section, ...] = (self.features, self.clips, self.augment, self.optimizer, self.model)
        table = {key: value for section in sections for key, value in section.model_dump().items()}
        return {"model": self.model.name, "seed": self.seed, **table}


def training_config(params: Mapping[str, Any], *, data: DataConfig, epochs: int) -> TrainingConfig:
    """The typed config of a flat table of params. `model` is required; missing keys take the values of its paper.

    `seed` (default 0) and `fold` may stand among the params. Raises ConfigError for unknown keys and broken rules.
    """
    if not isinstance(params.get("model"), str):
        raise ConfigError(f"model must be a name, got {params.get('model')!r}", "model")
    if epochs < 1:
        raise ConfigError(f"epochs must be >= 1, got {epochs}", "epochs")
    model = model_class(params["model"])
    feature = feature_class(spectrogram_of(model, params))
    check_names(params, allowed_keys(model, feature))
    _check_no_key_twice(model, feature)
    table = {**paper_values(model, feature, params), **params}
    config = TrainingConfig(
        features=_section(feature, table),
        clips=_section(ClipConfig, table),
        augment=_section(AugmentConfig, table),
        optimizer=_section(OptimizerConfig, table),
        model=_section(model, table),
        seed=_seed(table),
        data=DataConfig.checked({**data.model_dump(), "fold": table["fold"]}) if "fold" in table else data,
        epochs=epochs,
    )
    _check_together(config)
    return config


def allowed_keys(model: type[NetworkConfig], feature: type[FeatureConfig] = FeatureConfig) -> tuple[str, ...]:
    """Every key that a flat table may have for this model and this feature."""
    return (*SHARED_KEYS, *model.keys(), *own_keys(feature))


def spectrogram_of(model: type[NetworkConfig], params: Mapping[str, Any]) -> Any:
    """The feature that these params name; without one that of the model's paper, or the default."""
    default = FeatureConfig.model_fields["spectrogram"].default
    return params.get("spectrogram", model.paper.get("spectrogram", default))


def paper_values(model: type[NetworkConfig], feature: type[FeatureConfig], params: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the model's paper, then those of a plug-in's feature. A grid of clips is left out where params say
    how many clips a track has.
    """
    grid = {"clip_overlap", "random_clips"} if "clips_per_track" in params else set()
    of_feature = feature.paper if issubclass(feature, Feature) else {}
    return {key: value for key, value in {**model.paper, **of_feature}.items() if key not in grid}


def _check_no_key_twice(model: type[NetworkConfig], feature: type[FeatureConfig]) -> None:
    """Raise a ConfigError for a hyperparameter of a plug-in's feature that the model has too."""
    for key in own_keys(feature):
        if key in model.keys():
            name = feature.model_fields["spectrogram"].default
            raise ConfigError(
                f"{key} is a hyperparameter both of model {model.name} and of spectrogram {name}: rename one", key
            )


def _section(section: type[S], table: Mapping[str, Any]) -> S:
    """The section with its own keys of the table."""
    return section.checked({key: table[key] for key in section.keys() if key in table})


def _seed(table: Mapping[str, Any]) -> int:
    seed = table.get("seed", 0)
    if type(seed) is not int or seed < 0:
        raise ConfigError(f"seed must be an integer >= 0, got {seed!r}", "seed")
    return seed


def _check_together(config: TrainingConfig) -> None:
    """Raise a ConfigError for a key that makes no sense beside one of another section."""
    modality = config.features.modality
    if modality == "raw":
        for key, value in config.augment.needs_picture.items():
            raise ConfigError(f"{key} needs a picture: modality spectrogram or both, got {value} beside raw", key)
    if modality == "spectrogram":
        for key, value in config.augment.needs_waveform.items():
            raise ConfigError(f"{key} needs a waveform: modality raw or both, got {value:g} beside spectrogram", key)
    if config.clips.random_offset and config.data.split == "clip":
        raise ConfigError(
            "random_offset must be false under split clip: it would train on validation's clips", "random_offset"
        )
    if config.optimizer.warmup_epochs >= config.epochs:
        raise ConfigError(
            f"warmup_epochs must be < epochs, got {config.optimizer.warmup_epochs} of {config.epochs}", "warmup_epochs"
        )
