"""Tables of recorded curves, as one `.npz` each: the configs are those that were recorded, and no others.

    space    JSON: each param that varies with its domain, in the words of our space files, conditions included
    params   (C, P): the value of each param of each config, a choice by its index, NaN where a param is not active
    score    (C, E): what a search sees after each epoch; more is better, NaN where the training diverged
    test     (C, E): what a config is judged by, after its last epoch
    seconds  (C, E): what each epoch took; NaN where the training diverged, which costs nothing more
    repeat_of (R,), repeat_score, repeat_test, repeat_seconds (R, E), where they are: configs trained again with other
        seeds

A proposal becomes the nearest config that was not tried yet in this replay, and the search is told that config's own
params: plain nearest configs are hit again and again by whoever searches near the best.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.searches.problems import Config, Curve, Floats, Scale
from mgc.words.errors import ConfigError
from search.space.document import Document, Place
from search.space.domains import Choice, Domain, Float, Int, label
from search.space.params import Param, read_params

REQUIRED = ("space", "params", "score", "test", "seconds")


@dataclass(frozen=True)
class Table:
    """One file; `load` raises ConfigError for one that is none of these."""

    path: Path
    params: Mapping[str, Param]
    """In the order of the file's columns."""
    values_CP: Floats
    score_CE: Floats
    test_CE: Floats
    seconds_CE: Floats

    @classmethod
    def load(cls, path: Path) -> Table:
        try:
            with np.load(path) as file:
                arrays = {name: file[name] for name in REQUIRED}
            declared = json.loads(str(arrays["space"]))
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"{path}: is no table of curves with {', '.join(REQUIRED)}: {error}") from None
        params = read_params(Document({"params": declared}, {(): Place(0, str(path))}))
        values, score, test, seconds = (arrays[name].astype(np.float64) for name in REQUIRED[1:])
        if values.shape != (len(score), len(params)) or not score.shape == test.shape == seconds.shape:
            raise ConfigError(
                f"{path}: the arrays' shapes must be (C, P) and (C, E), got {values.shape}, {score.shape}"
            )
        return cls(path, params, values, _without_gaps(score), _without_gaps(test), np.nan_to_num(seconds))

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def group(self) -> str:
        return self.path.resolve().parent.name

    @cached_property
    def digest(self) -> str:
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]

    @property
    def num_epochs(self) -> int:
        return self.score_CE.shape[1]

    @property
    def full_s(self) -> float:
        return float(self.seconds_CE.sum(axis=1).mean())

    @cached_property
    def scale(self) -> Scale:
        return Scale.of(self.test_CE[:, -1])

    def trainings(self, seed: int) -> UntriedRows:
        return UntriedRows(self)

    @cached_property
    def positions(self) -> Floats:
        """The configs C as `position` has them, (C, P)."""
        return np.array([self.position(self.config(row)) for row in range(len(self.values_CP))])

    def config(self, row: int) -> Config:
        """The params of a recorded config."""
        values = dict(zip(self.params, self.values_CP[row], strict=True))
        return {name: _value(_domain(self.params[name]), of) for name, of in values.items() if not np.isnan(of)}

    def position(self, config: Config) -> Floats:
        """The params P as numbers: the share of its domain's width at which a number lies, the index of a choice; NaN
        for a param that is not active.
        """
        return np.array(
            [_position(_domain(of), config[name]) if name in config else np.nan for name, of in self.params.items()]
        )

    @cached_property
    def is_choice(self) -> npt.NDArray[np.bool_]:
        """Whether each param P is a choice."""
        return np.array([isinstance(param.domain, Choice) for param in self.params.values()])


@dataclass
class UntriedRows:
    """The recorded configs that one replay has not tried yet; all of them again once each was tried."""

    table: Table
    rows: dict[str, int] = field(default_factory=dict)
    """The row of each config that was taken, by its label."""
    tried: set[int] = field(default_factory=set)

    def taken(self, config: Config) -> Config:
        if len(self.tried) == len(self.table.values_CP):
            self.tried.clear()
        apart_C = self._apart(self.table.position(config))
        apart_C[list(self.tried)] = np.inf
        row = int(apart_C.argmin())
        self.tried.add(row)
        own = self.table.config(row)
        self.rows[_key(own)] = row
        return own

    def curve(self, config: Config) -> Curve:
        row = self.rows[_key(config)]
        return Curve(
            score_E=self.table.score_CE[row],
            seconds_E=self.table.seconds_CE[row],
            worth=float(self.table.test_CE[row, -1]),
        )

    def _apart(self, position_P: Floats) -> Floats:
        """The squared distance to each config: choices that differ count 1, and so does a param that is active in one
        config only.
        """
        apart_CP = self.table.positions - position_P
        apart_CP = np.where(self.table.is_choice, apart_CP != 0, apart_CP**2)
        active_CP, is_active_P = ~np.isnan(self.table.positions), ~np.isnan(position_P)
        return np.where(active_CP & is_active_P, apart_CP, active_CP != is_active_P).sum(axis=1)


def _without_gaps(score_CE: Floats) -> Floats:
    """With the worst score of all in place of those that a diverged training does not have."""
    return np.where(np.isfinite(score_CE), score_CE, np.min(score_CE, where=np.isfinite(score_CE), initial=np.inf))


def _key(config: Config) -> str:
    return label(sorted(config.items()))


def _domain(param: Param) -> Domain:
    assert param.domain is not None
    return param.domain


def _value(domain: Domain, number: float) -> Any:
    match domain:
        case Choice(values):
            return values[int(number)]
        case Int():
            return int(number)
        case Float():
            return float(number)


def _position(domain: Domain, value: Any) -> float:
    match domain:
        case Choice():
            return float(domain.labels().index(label(value)))
        case Float(low, high, True) | Int(low, high, True):
            return float(np.log(value / low) / np.log(high / low))
        case Float(low, high) | Int(low, high):
            return float((value - low) / (high - low))
