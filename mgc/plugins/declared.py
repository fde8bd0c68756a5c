"""The decorators of a plug-in file. Each notes what stands under it; mgc.plugins.loading checks and enters it.

A file that is imported in another way, such as by a test of its author's, notes the same and enters nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from mgc.words.errors import ConfigError

Kind = Literal["model", "feature", "metric", "dataset", "sampler"]
Mode = Literal["max", "min"]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """One thing that a plug-in adds, and the line of its decorator."""

    kind: Kind
    name: str
    thing: Any
    line: int
    mode: Mode = "max"


_noted: list[Declaration] = []


def model(name: str) -> Callable[[T], T]:
    """Makes a `Network` a model that space files call `name`. Its fields are hyperparameters of it."""
    return _noting("model", name)


def feature(name: str) -> Callable[[T], T]:
    """Makes a `Feature` one that space files name under `spectrogram`. Its fields are hyperparameters of it."""
    return _noting("feature", name)


def metric(name: str, *, mode: Mode) -> Callable[[T], T]:
    """Makes a function of `Predictions` a metric, a number of which more (`max`) or less (`min`) is better.

    Space files call it `val_<name>`; a confirmation has `test_<name>` too.
    """
    if mode not in ("max", "min"):
        raise ConfigError(f"mode of metric {name!r} must be max or min, got {mode!r}")
    return _noting("metric", name, mode)


def dataset(name: str) -> Callable[[T], T]:
    """Makes a function without arguments a dataset that space files call `name`. It returns `Track`s of audio files, or
    the path of an .npz of features or embeddings.
    """
    return _noting("dataset", name)


def sampler(name: str) -> Callable[[T], T]:
    """Makes a function of a space and a seed a sampler that space files call `name`. It returns one of Optuna's."""
    return _noting("sampler", name)


def _noting(kind: Kind, name: Any, mode: Mode = "max") -> Callable[[T], T]:
    if not isinstance(name, str):
        raise ConfigError(f'{kind} needs a name: write @{kind}("my_{kind}")')
    line = sys._getframe(2).f_lineno

    def note(thing: T) -> T:
        _noted.append(Declaration(kind=kind, name=name, thing=thing, line=line, mode=mode))
        return thing

    return note


@contextmanager
def noted() -> Iterator[list[Declaration]]:
    """The declarations of whatever runs in the block."""
    before = _noted.copy()
    _noted.clear()
    try:
        declarations: list[Declaration] = []
        yield declarations
        declarations += _noted
    finally:
        _noted[:] = before
