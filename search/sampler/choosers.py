"""How each sampler of a space file chooses the values of a trial. A new sampler is an entry of CHOOSERS; that of a
plug-in has none.

A choice depends on the study's seed, the trial's number and the results so far, never on a generator that a killed
process took with it. Nothing here knows networks, limits or the record.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from scipy.stats import qmc

from mgc.plugins.samplers import DECLARED_SAMPLERS
from search.sampler.declared import declared_sampler
from search.sampler.rung_gp import RungGPSampler
from search.sampler.translate import at
from search.space.params import Choose
from search.space.space import Space

STARTUP_TRIALS = 10
"""Results that a Bayesian sampler waits for, at least, and one for each param that varies: with fewer it would keep to
the first model that did well. Until then proposals spread over the space.
"""

MAX_ATTEMPTS = 100
"""Candidates for one trial, until the network of one keeps the study's limits; if none does, none is trained."""
BAYESIAN_ATTEMPTS = 10
"""The first so many come from the Bayesian sampler, which may insist on a region; the others from anywhere."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a candidate is wanted for."""

    seed: int
    """The study's."""
    number: int
    """The trial's."""
    attempt: int
    """From 0: how many candidates of this trial broke a limit before."""
    num_results: int
    """Trials that a sampler can learn from so far."""
    rungs: Sequence[int]
    """The epochs whose results count, ascending; the last one is the full budget."""

    def generator(self) -> np.random.Generator:
        """Random numbers of this request alone."""
        return np.random.default_rng((self.seed, self.number, self.attempt))


class Chooser(Protocol):
    """Chooses values: by a function of a param's name and domain, or by a sampler of Optuna's, made for one request."""

    @property
    def attempts(self) -> int:
        """How many candidates it makes for one trial at most."""

    @property
    def min_at_rung(self) -> int | None:
        """Optuna's sampler learns from one rung, the deepest one with so many results. None: from every trial."""

    def choose(self, request: Request) -> Choose | BaseSampler: ...


class Grid:
    """The combinations in their order, each once: one that breaks a limit is not replaced by another."""

    attempts, min_at_rung = 1, None

    def __init__(self, combinations: Sequence[Mapping[str, Any]]) -> None:
        self._combinations = combinations

    def choose(self, request: Request) -> Choose:
        combination = self._combinations[request.number]
        return lambda name, _: combination[name]


class Random:
    """Every value drawn by itself, evenly over its domain."""

    attempts, min_at_rung = MAX_ATTEMPTS, None

    def choose(self, request: Request) -> Choose:
        generator = request.generator()
        return lambda name, domain: at(domain, generator.random())


class Spread:
    """The points of a scrambled Sobol sequence: however many are taken, they fill the space evenly."""

    attempts, min_at_rung = MAX_ATTEMPTS, None

    def __init__(self, names: Sequence[str]) -> None:
        self._names = sorted(names)
        self._random = Random()

    def choose(self, request: Request) -> Choose:
        if request.attempt:
            return self._random.choose(request)
        point = self._point(request.seed, request.number)
        return lambda name, domain: at(domain, point[name])

    def _point(self, seed: int, number: int) -> dict[str, float]:
        """A share in [0, 1) of the width of each param's domain."""
        sequence = qmc.Sobol(len(self._names), seed=np.random.default_rng(seed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # exact balance needs a power of two; any start is fine here
            return dict(zip(self._names, sequence.random(number + 1)[number], strict=True))


Make = Callable[[Space, int, Request], BaseSampler]
"""Makes a sampler of Optuna's for one request, by the space and a seed."""


class Bayesian:
    """A sampler of Optuna's once there are results enough; the points of Spread before. `startup` says how many are
    enough, where it is not counted.

    `slots` trials run at once, so that many proposals are made without each other's results: the start is at least
    twice as long. A sampler that knows no rungs learns from one of them alone, where `is_at_one_rung`: from the deepest
    one that has more results than params (Falkner et al. 2018, BOHB).
    """

    attempts = MAX_ATTEMPTS

    def __init__(
        self, space: Space, slots: int, make: Make, *, is_at_one_rung: bool = False, startup: int | None = None
    ) -> None:
        self._space, self._make = space, make
        self.min_at_rung = max(STARTUP_TRIALS, len(space.varying) + 1) if is_at_one_rung else None
        counted = max(STARTUP_TRIALS, 2 * slots, len(space.varying))
        self._startup = counted if startup is None else startup
        self._spread, self._random = Spread(list(space.varying)), Random()

    def choose(self, request: Request) -> Choose | BaseSampler:
        if request.num_results < self._startup:
            return self._spread.choose(request)
        if request.attempt >= BAYESIAN_ATTEMPTS:
            return self._random.choose(request)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return self._make(self._space, int(request.generator().integers(2**31)), request)


def tpe(space: Space, seed: int, _: Request) -> BaseSampler:
    """Tree-structured Parzen estimators (Bergstra et al. 2011) of all params together; running trials count as bad, so
    that proposals made side by side differ.
    """
    is_conditional = any(param.when for param in space.varying.values())
    return TPESampler(seed=seed, n_startup_trials=0, multivariate=True, group=is_conditional, constant_liar=True)


def gaussian_process(_: Space, seed: int, __: Request) -> BaseSampler:
    """Optuna's Gaussian process, which learns from complete trials only; scores of equal params may differ."""
    return GPSampler(seed=seed, n_startup_trials=0, deterministic_objective=False)


def rung_gp(_: Space, seed: int, request: Request) -> BaseSampler:
    """Our Gaussian process over params and epochs. Its seed is the request's own, so that no trial's number counts."""
    return RungGPSampler(seed=seed, rungs=request.rungs[:-1], full=request.rungs[-1], startup=1, number=0)


CHOOSERS: Mapping[str, Callable[[Space, int, bool], Chooser]] = {
    "rung_gp": lambda space, slots, _: Bayesian(space, slots, tpe if space.search.objectives.are_several else rung_gp),
    "tpe": lambda space, slots, hears_rungs: Bayesian(space, slots, tpe, is_at_one_rung=hears_rungs),
    "gp": lambda space, slots, hears_rungs: Bayesian(space, slots, gaussian_process, is_at_one_rung=hears_rungs),
    "qmc": lambda space, *_: Spread(list(space.varying)),
    "random": lambda *_: Random(),
    "grid": lambda space, *_: Grid(space.grid()),
}
"""Name of a sampler -> its chooser for a space of which so many trials run at once, in a study that hears what trials
report at rungs, or only how they end.
"""


def chooser(name: str, space: Space, slots: int, hears_rungs: bool) -> Chooser:
    """The chooser of a sampler that a space names, as CHOOSERS says, or of a plug-in's, which is asked from the first
    trial on. Raises PluginError for a plug-in's that cannot be made.
    """
    if name in CHOOSERS:
        return CHOOSERS[name](space, slots, hears_rungs)
    declared = DECLARED_SAMPLERS[name]

    def make(space: Space, seed: int, _: Request) -> BaseSampler:
        return declared_sampler(space, seed, declared)

    return Bayesian(space, slots, make, is_at_one_rung=hears_rungs, startup=0)
