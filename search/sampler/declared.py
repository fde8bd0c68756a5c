"""Samplers of plug-ins: made for one proposal, and blamed by file and line where they fail.

Knows Optuna's interface of a sampler, and nothing of results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from mgc.plugins.loading import error_text, line_of
from mgc.plugins.samplers import DeclaredSampler
from mgc.words.errors import ConfigError
from search.space.space import Space


def declared_sampler(space: Space, seed: int, declared: DeclaredSampler) -> BaseSampler:
    """The plug-in's sampler for one proposal. PluginError where it cannot be made, and later where it fails."""
    with _blamed(declared):
        sampler = declared.make(space, seed)
    if not isinstance(sampler, BaseSampler):
        rule = f"must return a sampler of Optuna's (BaseSampler), got {type(sampler).__name__}"
        raise declared.plugin.error(f"sampler {declared.name} {rule}", declared.line)
    return Blamed(sampler, declared)


class Blamed(BaseSampler):
    """A plug-in's sampler whose errors, and values outside of their range, are PluginErrors."""

    def __init__(self, sampler: BaseSampler, declared: DeclaredSampler) -> None:
        self._sampler, self._declared = sampler, declared

    def reseed_rng(self) -> None:
        with _blamed(self._declared):
            self._sampler.reseed_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        with _blamed(self._declared):
            return self._sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        with _blamed(self._declared):
            values = self._sampler.sample_relative(study, trial, search_space)
            for name, value in values.items():
                _check(name, value, search_space[name])
            return values

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        with _blamed(self._declared):
            value = self._sampler.sample_independent(study, trial, param_name, param_distribution)
            _check(param_name, value, param_distribution)
            return value

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        with _blamed(self._declared):
            self._sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        with _blamed(self._declared):
            self._sampler.after_trial(study, trial, state, values)


@contextmanager
def _blamed(declared: DeclaredSampler) -> Iterator[None]:
    try:
        yield
    except ConfigError:
        raise
    except Exception as error:  # whatever it may be, the code is the user's
        line = line_of(error, declared.plugin) or declared.line
        raise declared.plugin.error(f"sampler {declared.name} failed: {error_text(error)}", line) from error


def _check(name: str, value: Any, of: BaseDistribution) -> None:
    """ValueError for a value that a param cannot have."""
    match of:
        case CategoricalDistribution(choices=choices):
            is_possible = value in choices
        case FloatDistribution(low=low, high=high) | IntDistribution(low=low, high=high):
            is_possible = low <= value <= high
        case _:
            is_possible = True
    if not is_possible:
        raise ValueError(f"{name} must be in {of}, got {value!r}")
