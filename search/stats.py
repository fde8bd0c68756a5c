"""How sure a figure is: intervals over seeds and over tracks, differences with theirs, and the sentence for each.

NumPy and SciPy only; knows neither records nor models. Shape suffixes: S seeds, M tracks, D draws of a bootstrap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]

LEVEL = 0.95
FEWEST = 5
"""Trainings from which an interval over them is drawn; fewer are shown one by one."""
DRAWS = 10_000
"""Of a bootstrap; its ends then vary by about a tenth of a point of accuracy from seed to seed."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate and where it may as well lie, at 95 %. The ends are NaN where there is too little to say.

    >>> str(Interval(mean=0.5, low=0.4, high=0.6)), str(Interval(mean=0.5, low=math.nan, high=math.nan))
    ('0.500 [0.400, 0.600]', '0.500')
    """

    mean: float
    low: float
    high: float
    points: tuple[float, ...] = ()
    """The values that the mean is of, where they are too few for an interval but more than one."""

    @property
    def is_known(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    def moved(self, mean: float) -> Interval:
        """The interval of a share, in [0, 1], round another mean: the odds of its ends move as those of its mean.

        >>> str(Interval(mean=0.9, low=0.8, high=0.97).moved(0.8)), str(Interval(mean=1, low=1, high=1).moved(0.9))
        ('0.800 [0.640, 0.935]', '0.900 [0.900, 0.900]')
        """
        if not 0 < self.mean < 1 or not 0 < mean < 1:
            return Interval(mean=mean, low=mean, high=mean)
        factor = mean / (1 - mean) * (1 - self.mean) / self.mean
        low, high = (factor * end / (1 - end + factor * end) for end in (self.low, self.high))
        return Interval(mean=mean, low=low, high=high)

    def __str__(self) -> str:
        if self.is_known:
            return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"
        return f"{self.mean:.3f} ({points_text(self.points)})" if self.points else f"{self.mean:.3f}"


def points_text(points: Sequence[float]) -> str:
    """Single values, in order of size: `0.600, 0.640`."""
    return ", ".join(f"{point:.3f}" for point in sorted(points))


def over_seeds(values: Sequence[float] | Floats, *, is_share: bool = True) -> Interval:
    """Student's t interval of a mean over seeds: what another training would change, on the same tracks.

    The interval of a share, which can only be in [0, 1], is that of its log odds, carried back (the logit interval of
    Stata's `proportion`): it never reaches beyond 0 or 1. Of fewer than FEWEST values there is none, but the values
    themselves.

    >>> str(over_seeds([0.95, 0.99, 1.0, 0.98, 0.99])), str(over_seeds([0.64, 0.60]))
    ('0.982 [0.934, 0.995]', '0.620 (0.600, 0.640)')
    """
    mean = float(np.mean(values))
    if len(values) < FEWEST:
        points = tuple(map(float, values)) if len(values) > 1 else ()
        return Interval(mean=mean, low=math.nan, high=math.nan, points=points)
    from scipy.special import stdtrit  # 0.1 s, which only those who have repeats need

    half = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2) * np.std(values, ddof=1) / math.sqrt(len(values)))
    low, high = _share_ends(mean, half) if is_share else (mean - half, mean + half)
    return Interval(mean=mean, low=low, high=high)


def _share_ends(mean: float, half: float) -> tuple[float, float]:
    """The ends of a share's interval, whose half width is `half` where the share itself is taken for normal."""
    if half == 0:  # also at 0 and 1, which have no log odds
        return mean, mean
    log_odds, half_odds = math.log(mean / (1 - mean)), half / (mean * (1 - mean))
    low, high = (1 / (1 + math.exp(-each)) for each in (log_odds - half_odds, log_odds + half_odds))
    return min(low, mean), max(high, mean)  # of equal values, whose mean is rounded, the ends are too


def over_tracks(right_SM: Floats, *, seed: int = 0) -> Interval:
    """Percentile bootstrap of an accuracy over the tracks: what other tracks of the same kind would change.

    `right_SM` says how right each training was on each track (0 or 1); trainings are averaged and not drawn.
    """
    right_M = np.asarray(right_SM, dtype=float).mean(axis=0)
    weight_DM = _counts(np.random.default_rng(seed), len(right_M))
    return _percentiles(float(right_M.mean()), weight_DM @ right_M / len(right_M))


def over_both(value_SM: Floats, *, seed: int = 0) -> Interval:
    """Bootstrap that draws trainings and tracks at once (the pigeonhole bootstrap, Owen 2007): what both would change.

    It is conservative: with neither effect it overstates the variance, never understates it.
    """
    value_SM = np.asarray(value_SM, dtype=float)
    rng = np.random.default_rng(seed)
    num_seeds, num_tracks = value_SM.shape
    drawn_DM = _counts(rng, num_seeds) @ value_SM / num_seeds
    means_D = np.einsum("dm,dm->d", drawn_DM, _counts(rng, num_tracks)) / num_tracks
    return _percentiles(float(value_SM.mean()), means_D)


def difference(right_a_SM: Floats, right_b_SM: Floats, *, seed: int = 0) -> Interval:
    """Accuracy of a minus that of b, paired: both stand for the same tracks and the same seeds, in the same order.

    Of pairs with more trainings on one side the surplus is left out.
    """
    seeds = min(len(right_a_SM), len(right_b_SM))
    paired_SM = np.asarray(right_a_SM, dtype=float)[:seeds] - np.asarray(right_b_SM, dtype=float)[:seeds]
    return over_both(paired_SM, seed=seed)


def rank_correlation(some: Sequence[float], others: Sequence[float]) -> float:
    """Spearman's rank correlation; NaN where all values of one side are equal. Minus infinity is the lowest rank."""
    from scipy.stats import rankdata, spearmanr  # slow to import

    if len(set(some)) == 1 or len(set(others)) == 1:
        return math.nan
    return float(spearmanr(rankdata(some), rankdata(others)).statistic)


def verdict(a: str, b: str, gap: Interval) -> str:
    """What a difference says, in a sentence's words.

    >>> verdict("r = 31.43", "r = 16", Interval(mean=0.012, low=-0.010, high=0.034))
    'no difference shown at 95 % between r = 31.43 and r = 16: +1.2 points [-1.0, +3.4]'
    >>> verdict("r = 4", "r = 16", Interval(mean=-0.05, low=-0.08, high=-0.02))
    'r = 4 is worse than r = 16: -5.0 points [-8.0, -2.0] at 95 %'
    """
    points = f"{100 * gap.mean:+.1f} points"
    if not gap.is_known:
        return f"{a} and {b} differ by {points}; how sure that is, one training cannot tell"
    ends = f"[{100 * gap.low:+.1f}, {100 * gap.high:+.1f}]"
    if gap.low <= 0 <= gap.high:
        return f"no difference shown at 95 % between {a} and {b}: {points} {ends}"
    return f"{a} is {'better' if gap.mean > 0 else 'worse'} than {b}: {points} {ends} at 95 %"


def _counts(rng: np.random.Generator, size: int) -> Floats:
    """How often each of `size` things is drawn in each draw (D, size), with replacement."""
    return rng.multinomial(size, np.full(size, 1 / size), size=DRAWS).astype(float)


def _percentiles(mean: float, drawn_D: Floats) -> Interval:
    low, high = np.quantile(drawn_D, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean=mean, low=float(low), high=float(high))
