"""Which config promises most: expected improvement at the full budget, and where it is highest."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import erfcx, log_ndtr

from search.sampler.encoding import Encoding
from search.sampler.gaussian_process import Floats

NUM_RANDOM = 300
NUM_STARTS = 8
NUM_LEADERS = 6
NUM_STEPS = 20
"""Configs tried round each leader, in each round."""
START_SCALES = (0.2, 0.05)
CLIMB_SCALES = (0.1, 0.03)


def log_expected_improvement(mean: Floats, deviation: Floats, best: float) -> Floats:
    """log E[max(y - best, 0)] for normal y, accurate far below the best too (Ament et al. 2023, appendix A).

    >>> log_expected_improvement(np.array([0.0]), np.array([1.0]), 0.0).round(4).tolist()  # log of 1 / sqrt(2 pi)
    [-0.9189]
    """
    z = (mean - best) / deviation
    far = np.minimum(z, -1.0)
    near = np.maximum(z, -1.0)
    log_density = -0.5 * z**2 - 0.5 * math.log(2 * math.pi)
    # phi(z) + z Phi(z), and the same as phi(z) (1 + z Phi(z) / phi(z)), which does not vanish far below.
    value_near = np.exp(-0.5 * near**2) / math.sqrt(2 * math.pi) + near * np.exp(log_ndtr(near))
    ratio_far = 1 + far * math.sqrt(math.pi / 2) * erfcx(-far / math.sqrt(2))
    log_far = log_density + np.log(np.maximum(ratio_far, 1e-300))
    return np.asarray(np.where(z < -1.0, log_far, np.log(value_near)) + np.log(deviation))


def highest(
    acquisition: Callable[[Floats], Floats], encoding: Encoding, starts_NP: Floats, generator: np.random.Generator
) -> Floats:
    """The row of the config with the highest acquisition that was found: among random ones, round the starts, and by
    climbing from the best of these.
    """
    around = np.repeat(starts_NP, NUM_RANDOM // (2 * NUM_STARTS), axis=0)
    rows_MP = np.concatenate(
        [encoding.random(NUM_RANDOM, generator), *(encoding.near(around, scale, generator) for scale in START_SCALES)]
    )
    values_M = acquisition(rows_MP)
    for scale in CLIMB_SCALES:
        leaders_MP = rows_MP[np.argsort(-values_M, kind="stable")[:NUM_LEADERS]]
        steps_MP = encoding.near(np.repeat(leaders_MP, NUM_STEPS, axis=0), scale, generator)
        rows_MP, values_M = np.concatenate([rows_MP, steps_MP]), np.concatenate([values_M, acquisition(steps_MP)])
    return np.asarray(rows_MP[np.argmax(values_M)])
