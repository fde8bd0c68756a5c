"""What a search is tried on: params with their domains, and what each config scores after each epoch and costs.

A problem knows no search. There are two kinds, both opened by the text that the command line has for them: a table of
recorded curves (`tables`) and LCBench's surrogate (`lcbench`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from search.space.params import Param

Floats = npt.NDArray[np.float64]
Config = Mapping[str, Any]
"""The active params that vary, each with its value."""

BEST_OF = 300
"""A score of 1 is what so many random configs hold at best, on average."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The training of one config, over epochs E."""

    score_E: Floats
    """What a search sees after each epoch; more is better."""
    seconds_E: Floats
    """What each epoch costs. An epoch that nobody timed counts as one second."""
    worth: float
    """What the complete trial is judged by, in the units of the problem's scale. A search does not see it."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Puts what trials are worth on one scale for all problems: 0 is the median config, 1 the expected best of 300."""

    zero: float
    one: float

    @classmethod
    def of(cls, worth_C: Floats) -> Scale:
        """The scale of configs C: 300 are drawn from them with replacement, so the largest is the i-th smallest with
        probability (i / C)^300 - ((i - 1) / C)^300.
        """
        below = (np.arange(len(worth_C) + 1) / len(worth_C)) ** BEST_OF
        return cls(zero=float(np.median(worth_C)), one=float(np.sort(worth_C) @ np.diff(below)))

    def __call__(self, worth: float) -> float:
        return (worth - self.zero) / (self.one - self.zero)


class Trainings(Protocol):
    """The trainings of one replay: it remembers what it has trained."""

    def taken(self, config: Config) -> Config:
        """The config that is trained where this one is proposed, once for each proposal."""
        ...

    def curve(self, config: Config) -> Curve:
        """How a config goes that `taken` has given."""
        ...


class Problem(Protocol):
    """One task, with all configs that may be tried on it."""

    @property
    def name(self) -> str: ...
    @property
    def group(self) -> str:
        """The folder that it comes from: problems of one group are averaged."""
        ...

    @property
    def digest(self) -> str:
        """Of its data: other data, other digest."""
        ...

    @property
    def params(self) -> Mapping[str, Param]: ...
    @property
    def num_epochs(self) -> int: ...
    @property
    def full_s(self) -> float:
        """What training one config to the end costs on average."""
        ...

    @property
    def scale(self) -> Scale: ...
    def trainings(self, seed: int) -> Trainings: ...
