"""Where constraints are probably kept: a Gaussian process over configs for each constraint.

A constraint's value says by how much a trial misses it, and is at most 0 where it is kept, as in Optuna.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from optuna.trial import FrozenTrial
from scipy.special import log_ndtr

from search.sampler.encoding import Encoding
from search.sampler.gaussian_process import Floats, Points, Posterior, Prior

MAX_VALUES = 200
"""The newest values of a constraint that count."""


@dataclass(frozen=True)
class Feasibility:
    """What is known of each constraint."""

    posteriors: Sequence[Posterior]

    @classmethod
    def of(cls, trials: Sequence[FrozenTrial], encoding: Encoding, generator: np.random.Generator) -> Feasibility:
        """Of all trials that say whether they keep a constraint, trained or not."""
        misses: dict[str, dict[int, float]] = {}
        for index, trial in enumerate(trials):
            for constraint, miss in trial.constraints.items():
                misses.setdefault(constraint, {})[index] = miss
        return cls([_posterior(trials, values, encoding, generator) for _, values in sorted(misses.items())])

    def log_probability(self, columns_MC: Floats) -> Floats:
        """That configs keep all constraints, as if these were independent; 0 where there are none."""
        log_probability_M = np.zeros(len(columns_MC))
        for posterior in self.posteriors:
            mean, deviation = posterior.predict(Points.at(columns_MC, 1.0))
            log_probability_M += log_ndtr(-mean / deviation)
        return log_probability_M


def _posterior(
    trials: Sequence[FrozenTrial], misses: Mapping[int, float], encoding: Encoding, generator: np.random.Generator
) -> Posterior:
    """The process of one constraint, from its values by the trials' indices."""
    indices = sorted(misses)[-MAX_VALUES:]
    columns = encoding.columns(np.array([encoding.row(trials[index].params) for index in indices]))
    values = np.array([misses[index] for index in indices])
    size = float(np.median(np.abs(values))) or 1.0
    scaled = np.arcsinh(values / size)  # 0 stays 0, and a miss by far does not outweigh the others
    return Prior(encoding.params_C).posterior(Points.at(columns, 1.0), scaled, generator)
