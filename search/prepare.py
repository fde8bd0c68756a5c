"""What a study stands on before its first trial: the dataset, its split and features, and the params as decided here.

It knows mgc, torch included, and the space; not Ray, Optuna or MLflow.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mgc.clips import Clips, clip_shape, open_clips
from mgc.config import ConfigError, DataConfig, TrainingConfig, training_config
from mgc.datasets import Dataset, open_dataset
from mgc.models import check_shape, effective_network, num_weights
from mgc.splits import Split, make_split
from mgc.train import choose_precision
from search.corners import corners
from search.objectives import NUM_WEIGHTS
from search.space import Param, Space

MAX_STORES = 8
"""Feature settings that are built before the study starts; of a space with more, each trial builds what it needs."""
FIXED_BY_FILE = ("sr", "spectrogram", "n_fft", "hop_length", "n_mels", "fmin", "fmax")


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A space with its data: whatever its trials share."""

    space: Space
    """As it will run: `precision` decided, params that precomputed features fix left out."""
    dataset: Dataset
    split: Split
    notes: tuple[str, ...]
    """One-line remarks for the user about what was decided here; those about the data come with the clips."""

    def network_key(self, params: Mapping[str, Any]) -> str:
        """The key of the effective network of these params."""
        config = self.space.check_params(params)
        return effective_network(config, clip_shape(config, self.dataset), len(self.dataset.genres))

    def num_weights(self, params: Mapping[str, Any]) -> int:
        config = self.space.check_params(params)
        return num_weights(config, clip_shape(config, self.dataset), len(self.dataset.genres))

    def known_metrics(self, params: Mapping[str, Any]) -> dict[str, float]:
        """The metrics that need no training."""
        return {NUM_WEIGHTS: self.num_weights(params)}

    def header(self) -> dict[str, Any]:
        """What the study's record says of its data."""
        return {
            "dataset": self.dataset.name,
            "is_synthetic": self.dataset.is_synthetic,
            "split": self.split.label,
            "digests": {"dataset": self.dataset.digest, "split": self.split.digest},
            "genres": list(self.dataset.genres),
            "precision": self.space.params["precision"].value,
        }

    def open_clips(self, *, device: str = "cpu", progress: bool = True) -> Clips:
        """Build the features that the trials will share, and return the clips of one of the space's configs."""
        configs = [self.space.check_params(params) for params in self.space.sample(64)]
        longest_last = sorted(configs, key=lambda config: config.clips.clip_seconds)  # may be too long for every track
        settings = {config.features: config for config in longest_last}
        if len(settings) <= MAX_STORES:
            for config in settings.values():
                open_clips(config, device=device, progress=progress)
        return open_clips(configs[0], device=device, progress=progress)


def trial_config(spec: Mapping[str, Any]) -> TrainingConfig:
    """The typed config of one trial: its `params`, `seed`, `data` and full `epochs`."""
    config = training_config(spec["params"], data=DataConfig.checked(spec["data"]), epochs=spec["epochs"])
    return replace(config, seed=spec["seed"])


def prepare(
    space: Space, *, device: str, precision: str | None = None, progress: bool = True, make: bool = True
) -> Ground:
    """Open the data of a space and decide what is decided once per study: `precision` is what was decided before, if it
    was. `make=False` makes no synthetic music.

    Raises ConfigError for data that is not there or cannot be split so, and for clips that no model here can take.
    """
    dataset = open_dataset(space.data.dataset, progress=progress, make=make)
    split = make_split(dataset, space.check_params(space.sample(1)[0]).data)
    space, notes = _without_fixed_features(space, dataset)
    _check_clips(space, dataset)
    space = _with_precision(space, precision or choose_precision(device))
    return Ground(space=space, dataset=dataset, split=split, notes=notes)


def _check_clips(space: Space, dataset: Dataset) -> None:
    """ConfigError for clips that a model of the space cannot take, tried at the ends of all domains together."""
    known: set[Hashable] = set()
    for params in corners(space.params):
        config = space.check_params(params)
        shape = clip_shape(config, dataset)
        if (config.model, shape) not in known:
            known.add((config.model, shape))
            check_shape(config, shape)


def _with_precision(space: Space, decided: str) -> Space:
    """`precision: auto` becomes a value that every trial of the study has, resumed and repeated ones too."""
    asked = space.params.get("precision", Param(name="precision", value="auto"))
    if asked.domain is not None or asked.value != "auto":
        return space
    return replace(space, params={**space.params, "precision": replace(asked, value=decided)})


def _without_fixed_features(space: Space, dataset: Dataset) -> tuple[Space, tuple[str, ...]]:
    """Precomputed features are as they are: a param that they fix must agree where the file tells, and has no effect
    where it does not; so it is neither trained with nor logged. A search over one would compare nothing: ConfigError.
    """
    if dataset.precomputed is None:
        return space, ()
    facts = {"spectrogram": "log_mel", **dataset.precomputed.facts, "n_mels": dataset.precomputed.bins}
    given = [space.params[key] for key in FIXED_BY_FILE if key in space.params]
    for param in given:
        if param.domain is not None:
            raise ConfigError(f"params.{param.name} cannot vary: the features in {dataset.name} are computed already")
        if param.name in facts and param.value != facts[param.name]:
            raise ConfigError(
                f"params.{param.name} must be {facts[param.name]} as in {dataset.name}, got {param.value}"
            )
    known = {key: Param(name=key, value=facts[key]) for key in FIXED_BY_FILE if key in facts}
    others = [param.name for param in given if param.name not in facts]
    rest = {name: param for name, param in space.params.items() if name not in FIXED_BY_FILE}
    reference = {name: value for name, value in space.reference.items() if name not in FIXED_BY_FILE}
    reference |= {key: param.value for key, param in known.items()} if reference else {}
    notes = (f"{', '.join(others)} left out: the features in {dataset.name} are computed already",) if others else ()
    return replace(space, params={**rest, **known}, reference=reference), notes
