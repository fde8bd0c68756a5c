"""The domains that a param can have: Float, Int, Choice, Grid. Knows neither files nor Optuna."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from mgc.words.errors import ConfigError, check_names

MAX_LISTED = 1000
"""A range of more integers than this is not listed."""


@dataclass(frozen=True)
class Float:
    """Every real number from low to high, or with `step` every step from low to high. With `log`, its logarithm is what
    is drawn evenly.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.log)
        if self.step is not None:
            _check_step(self.low, self.high, self.step)

    def __str__(self) -> str:
        steps = "" if self.step is None else f" in steps of {self.step:g}"
        return f"{self.form} [{self.low:g}, {self.high:g}]{steps}"

    @property
    def form(self) -> str:
        return "loguniform" if self.log else "uniform"

    @property
    def size(self) -> float:
        return math.inf if self.step is None else round((self.high - self.low) / self.step) + 1

    def ends(self) -> tuple[float, ...]:
        """The lowest and the highest value."""
        return self.low, self.high

    def nth(self, index: int) -> float:
        """The value so many steps above low, as it is written in decimals: 0.3, and not 0.1 + 2 x 0.1 in binary."""
        return float(_decimal(self.low) + index * _decimal(self.step or 0.0))

    def nearest(self, value: float) -> float:
        """The value of the domain that is nearest to one of the range."""
        return value if self.step is None else self.nth(round((value - self.low) / self.step))

    def sample(self, rng: random.Random) -> float:
        if self.step is not None:
            return self.nth(rng.randrange(int(self.size)))
        return _drawn(rng, self.low, self.high, self.log)


@dataclass(frozen=True)
class Int:
    """Every integer from low to high, both included, or every `step`th. With `log`, its logarithm is what is drawn
    evenly.
    """

    low: int
    high: int
    log: bool = False
    step: int = 1

    def __post_init__(self) -> None:
        for number in (self.low, self.high, self.step):
            if type(number) is not int:
                raise ConfigError(f"must have integers, got {number!r}")
        _check_range(self.low, self.high, self.log)
        _check_step(self.low, self.high, self.step)

    def __str__(self) -> str:
        steps = "" if self.step == 1 else f" in steps of {self.step}"
        return f"{self.form} [{self.low}, {self.high}]{steps}"

    @property
    def form(self) -> str:
        return "logint" if self.log else "int"

    @property
    def size(self) -> float:
        return (self.high - self.low) // self.step + 1

    def ends(self) -> tuple[int, ...]:
        return self.low, self.high

    def nth(self, index: int) -> int:
        """The value so many steps above low."""
        return self.low + index * self.step

    def sample(self, rng: random.Random) -> int:
        if not self.log:
            return self.nth(rng.randint(0, int(self.size) - 1))
        return min(max(round(_drawn(rng, self.low - 0.5, self.high + 0.5, log=True)), self.low), self.high)


@dataclass(frozen=True)
class Choice:
    """One of the listed values, which may be lists themselves (channel widths)."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ConfigError("must have at least one value, got []")
        earlier: set[Any] = set()
        for value in self.values:
            if isinstance(value, Mapping):
                raise ConfigError(f"must have plain values or lists, got {value!r}")
            if not earlier.isdisjoint(same := {hashable(value), ("label", label(value))}):
                raise ConfigError(f"must have each value once, got {value!r} twice")
            earlier |= same

    def __str__(self) -> str:
        return f"{self.form} [{', '.join(self.labels())}]"

    @property
    def form(self) -> str:
        return "choice"

    @property
    def size(self) -> float:
        return len(self.values)

    def ends(self) -> tuple[Any, ...]:
        return self.values

    def sample(self, rng: random.Random) -> Any:
        return rng.choice(self.values)

    def labels(self) -> tuple[str, ...]:
        """A plain string for each value, in the same order: Optuna's categories may not be lists."""
        return tuple(self._by_label)

    def from_label(self, text: str) -> Any:
        return self._by_label[text]

    def has_label(self, text: str) -> bool:
        return text in self._by_label

    @cached_property
    def _by_label(self) -> Mapping[str, Any]:
        return {label(value): value for value in self.values}


@dataclass(frozen=True)
class Grid(Choice):
    """A Choice for `sampler: grid`, which tries each of its values with every combination of the other params."""

    @property
    def form(self) -> str:
        return "grid"


Domain = Float | Int | Choice

FORMS = ("uniform", "loguniform", "int", "logint", "choice", "grid")
"""The keys of domains in a file: {uniform: [2, 64]}."""


STEPPED = ("uniform", "int")
"""Those that may have a step: {int: [32, 128], step: 16}."""


def domain(form: str, items: Any, step: Any = None) -> Domain:
    """The domain that a file has as `{form: items, step: step}`. The text of a ConfigError begins with the form."""
    check_names([form], FORMS, "domain")
    if not isinstance(items, list):
        raise ConfigError(f"{form} must be a list, got {items!r}")
    try:
        return _domain(form, items, step)
    except ConfigError as error:
        raise ConfigError(f"{form} {error}") from None


def _domain(form: str, items: list[Any], step: Any) -> Domain:
    if step is not None and form not in STEPPED:
        raise ConfigError(f"must have no step, which {' and '.join(STEPPED)} may have, got step {step!r}")
    if form == "choice":
        return Choice(tuple(items))
    if form == "grid":
        return Grid(tuple(items))
    if len(items) != 2:
        raise ConfigError(f"must be [low, high], got {items!r}")
    for end in items:
        _check_number(end)
    if step is not None:
        _check_number(step)
    low, high = items
    if form in ("int", "logint"):
        return Int(low, high, log=form == "logint", step=1 if step is None else step)
    return Float(float(low), float(high), log=form == "loguniform", step=None if step is None else float(step))


def label(value: Any) -> str:
    """A value as one plain string, the same for a list and a tuple.

    >>> [label(value) for value in ("se_cnn", [32, 64], 0.5, True, None)]
    ['se_cnn', '[32, 64]', '0.5', 'true', 'null']
    """
    return value if isinstance(value, str) else json.dumps(value)


def values(domain: Domain) -> tuple[Any, ...]:
    """Every value of a domain. ConfigError for a domain that cannot be listed."""
    if isinstance(domain, Choice):
        return domain.values
    if domain.size > MAX_LISTED:
        raise ConfigError(f"must have at most {MAX_LISTED} values, got {domain}")
    return tuple(map(domain.nth, range(int(domain.size))))


def contains(domain: Domain, value: Any) -> bool:
    """Whether a domain has this value; a real number that is whole counts as an integer.

    >>> contains(Float(2.0, 64.0), 2), contains(Int(1, 4), 2.5), contains(Choice(([1, 2], [3])), (1, 2))
    (True, False, True)
    >>> contains(Float(0.1, 0.5, step=0.1), 0.3), contains(Int(8, 32, step=8), 20)
    (True, False)
    """
    if isinstance(domain, Choice):
        return domain.has_label(label(value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if not domain.low <= value <= domain.high:
        return False
    return value == domain.nearest(value) if isinstance(domain, Float) else (value - domain.low) % domain.step == 0


def hashable(value: Any) -> Any:
    """A value of a file as one that a set can hold; equal values stay equal."""
    if isinstance(value, Mapping):
        return frozenset((key, hashable(each)) for key, each in value.items())
    return tuple(map(hashable, value)) if isinstance(value, list) else value


def of_domain(domain: Domain, value: Any) -> Any:
    """A value that a domain contains as the domain itself has it: 2.0 for a Float's 2."""
    if isinstance(domain, Choice):
        return domain.from_label(label(value))
    return float(value) if isinstance(domain, Float) else int(value)


def _check_number(end: Any) -> None:
    if isinstance(end, str):
        raise ConfigError(f"must have numbers, got the text {end!r}")
    if isinstance(end, bool) or not isinstance(end, int | float) or not math.isfinite(end):
        raise ConfigError(f"must have finite numbers, got {end!r}")


def _check_range(low: float, high: float, log: bool) -> None:
    if not low < high:
        raise ConfigError(f"must have low < high, got [{low:g}, {high:g}]")
    if log and low <= 0:
        raise ConfigError(f"must have low > 0 on a log scale, got {low:g}")


def _check_step(low: float, high: float, step: float) -> None:
    if step <= 0:
        raise ConfigError(f"must have a step > 0, got {step:g}")
    rest = (_decimal(high) - _decimal(low)) % _decimal(step)
    if rest:
        last = _decimal(high) - rest
        raise ConfigError(f"must reach high in whole steps of {step:g}, got [{low:g}, {high:g}] (the last is {last})")


def _decimal(number: float) -> Decimal:
    """The number as it is written."""
    return Decimal(repr(number))


def _drawn(rng: random.Random, low: float, high: float, log: bool) -> float:
    """A number of the range. It is cut at the ends, since exp(log(high)) may be rounded to more than high."""
    if not log:
        return rng.uniform(low, high)
    return min(max(math.exp(rng.uniform(math.log(low), math.log(high))), low), high)
