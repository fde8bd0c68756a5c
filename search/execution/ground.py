"""The data of a study, opened before its first trial: the dataset, its split and its features.

It also decides the params that are decided once per study (`precision`, and those that precomputed features fix). It
knows mgc, torch included, and the space. It must not know Ray, Optuna or MLflow.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from mgc.clips.clips import Clips, open_clips
from mgc.clips.cutting import clip_shape
from mgc.datasets.registry import open_dataset
from mgc.networks.effective import effective_network
from mgc.networks.networks import check_shape, num_weights
from mgc.plugins.plugin import PluginError
from mgc.plugins.trying import try_feature, try_network
from mgc.tracks.dataset import Dataset
from mgc.tracks.splits import Split, make_split
from mgc.training.device import choose_precision
from mgc.words.errors import ConfigError
from search.settings.metrics import NUM_WEIGHTS
from search.space.domains import label
from search.space.params import Param, corners
from search.space.space import Space

SAMPLE = 64
"""How many configs represent a space, where all of them would be too many."""
V = TypeVar("V")

MAX_STORES = 8
"""Feature settings that are built before the study starts; of a space with more, each trial builds what it needs."""
FIXED_BY_FILE = ("sr", "spectrogram", "n_fft", "hop_length", "n_mels", "fmin", "fmax", "dims")


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A space with its data, which all trials share."""

    space: Space
    """The space that is run: with a decided `precision`, and with the values that precomputed features fix."""
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
        """The fields of the record's header that describe the data."""
        return {
            "dataset": self.dataset.name,
            "is_synthetic": self.dataset.is_synthetic,
            "split": self.split.label,
            "digests": {"dataset": self.dataset.digest, "split": self.split.digest},
            "genres": list(self.dataset.genres),
            "precision": self.space.params["precision"].value,
        }

    def configs(self) -> list[dict[str, Any]]:
        """Params of at most SAMPLE configs of the space, each once: spread evenly over a grid, otherwise drawn at
        random.
        """
        if self.space.search.sampler != "grid":
            return list({label(params): params for params in self.space.sample(SAMPLE)}.values())
        grid = self.space.grid()
        count = min(SAMPLE, len(grid))
        return [grid[len(grid) * index // count] for index in range(count)]

    def open_clips(self, params: Sequence[Mapping[str, Any]], *, device: str = "cpu", progress: bool = True) -> Clips:
        """Build the features for trials with these params, and return the clips of the first."""
        configs = [self.space.check_params(each) for each in params]
        longest_last = sorted(configs, key=lambda config: config.clips.clip_seconds)  # may be too long for every track
        settings = {config.features: config for config in longest_last}
        if len(settings) <= MAX_STORES:
            for config in settings.values():
                open_clips(config, device=device, progress=progress)
        return open_clips(configs[0], device=device, progress=progress)


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
    """ConfigError for clips that a model of the space cannot take or its feature cannot make, tried at the ends of all
    domains together.
    """
    known: set[Hashable] = set()
    for params in corners(space.params):
        config = space.check_params(params)
        try:
            shape = clip_shape(config, dataset)
            if shape.samples and (config.features, shape) not in known:
                known.add((config.features, shape))
                try_feature(config.features, config.clips)
            if (config.model, shape) not in known:
                known.add((config.model, shape))
                check_shape(config, shape)
                try_network(config.model, shape, len(dataset.genres))
        except PluginError:
            raise
        except ConfigError as error:
            raise space.located(error, params) from None


def _with_precision(space: Space, decided: str) -> Space:
    """`precision: auto` becomes a value that every trial of the study has, resumed and repeated ones too."""
    asked = space.params.get("precision", Param(name="precision", value="auto"))
    if asked.domain is not None or asked.value != "auto":
        return space
    return replace(space, params={**space.params, "precision": replace(asked, value=decided)})


def _without_fixed_features(space: Space, dataset: Dataset) -> tuple[Space, tuple[str, ...]]:
    """The space with the feature params of a precomputed dataset in place of its own, and a note on those left out.

    A param has the value that the file says. One whose value the file does not say has no effect, so it is left out.
    Raises ConfigError where the space searches over such a param, or gives it another value than the file.
    """
    if dataset.precomputed is None:
        return space, ()
    file = dataset.precomputed
    facts = {"spectrogram": "log_mel", **file.settings, **({} if file.is_embedding else {"n_mels": file.bins})}
    asked = [space.params[key] for key in FIXED_BY_FILE if key in space.params]
    for param in asked:
        try:
            _check_fixed(param, facts, dataset.name)
        except ConfigError as error:
            raise space.located(error, {param.name: param.value}) from None
    fixed = {key: Param(name=key, value=facts[key]) for key in FIXED_BY_FILE if key in facts}
    reference = _without_features(space.reference)
    if reference:
        reference |= {key: param.value for key, param in fixed.items()}
    without_effect = ", ".join(param.name for param in asked if param.name not in facts)
    note = f"{without_effect} ignored: {dataset.name} holds features that were computed already"
    fixed_space = replace(space, params={**_without_features(space.params), **fixed}, reference=reference)
    return fixed_space, (note,) if without_effect else ()


def _check_fixed(param: Param, facts: Mapping[str, Any], dataset: str) -> None:
    """ConfigError for a param that varies, or whose value is not the one in the dataset's file."""
    if param.domain is not None:
        raise ConfigError(f"{param.name} cannot vary: the features in {dataset} are computed already", param.name)
    if param.name in facts and param.value != facts[param.name]:
        raise ConfigError(f"{param.name} must be {facts[param.name]} as in {dataset}, got {param.value}", param.name)


def _without_features(params: Mapping[str, V]) -> dict[str, V]:
    return {name: value for name, value in params.items() if name not in FIXED_BY_FILE}
